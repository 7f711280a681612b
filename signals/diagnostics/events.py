"""What prices did around the first open at which an article could be traded, by direction and by time of publication.

Bars before that open are over when the article can be acted on: they show how much of the news the price already held
(or how much of the price the news only repeats), and nothing earns them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import ROUND_THE_CLOCK, zone_of
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import utc_microseconds
from embargo.signals.diagnostics.information import forward_returns, net_of_market_if_many
from embargo.signals.diagnostics.standard_errors import mean_by_row, newey_west_lag

BEFORE = 5
AFTER = 10
EXCHANGE_HOURS = ("pre-market", "session", "after close", "closed day")
BLOCKS = ("00–06 UTC", "06–12 UTC", "12–18 UTC", "18–24 UTC")
ALL_HOURS = "all hours"
_NO_HOUR = "outside the bars"


@dataclass(frozen=True)
class EventStudy:
    """Cumulative abnormal returns around the first tradable open.

    Attributes
    ----------
    table : DataFrame
        ``direction, hours, offset, car, low, high, events, bars``: the mean cumulative return net of the equal-weight
        market, as a fraction, 0 at the open of offset 0; the 95 % band is pointwise and clustered by bar.
    counts : dict
        Articles and events by what became of them.

    Examples
    --------
    >>> from embargo.signals.diagnostics import EventStudy
    >>> EventStudy.__match_args__
    ('table', 'counts')
    """

    table: pd.DataFrame
    counts: dict[str, int]


def publication_hours(
    published_at: pd.Series, open_at: pd.DatetimeIndex, close_at: pd.DatetimeIndex, calendar: str
) -> np.ndarray:
    """Name the part of the day in which each article was published.

    Parameters
    ----------
    published_at : Series of UTC instants, shape (n,)
    open_at, close_at : DatetimeIndex, shape (bars,)
        Bars around them, UTC.
    calendar : str
        With ``"24/7"`` the parts are blocks of six hours UTC. Else ``session`` is inside a bar, ``pre-market`` before
        the first bar of a local day that has one, ``after close`` after its last, ``closed day`` any other day.

    Returns
    -------
    array of str, shape (n,)
        ``"outside the bars"`` before the first bar's day or after the last's.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.signals.diagnostics import publication_hours
    >>> open_at = pd.DatetimeIndex(['2024-01-02 14:30', '2024-01-03 14:30'], tz='UTC')
    >>> said = pd.Series(pd.to_datetime(['2024-01-02 12:00', '2024-01-02 16:00', '2024-01-02 22:00'], utc=True))
    >>> publication_hours(said, open_at, open_at + pd.Timedelta('390min'), 'XNYS').tolist()
    ['pre-market', 'session', 'after close']
    """
    if calendar == ROUND_THE_CLOCK:
        hours = published_at.dt.tz_convert("UTC").dt.hour.to_numpy()
        return np.asarray(np.array(BLOCKS, dtype=object)[hours // 6])
    zone = zone_of(calendar)
    instants, opens, closes = utc_microseconds(published_at), utc_microseconds(open_at), utc_microseconds(close_at)
    before = np.searchsorted(opens, instants, side="right") - 1
    inside = (before >= 0) & (instants < closes[np.maximum(before, 0)])
    days = open_at.tz_convert(zone).normalize().tz_localize(None).as_unit("us").asi8
    own = pd.DatetimeIndex(published_at).tz_convert(zone).normalize().tz_localize(None).as_unit("us").asi8
    same_as_before = (before >= 0) & (days[np.maximum(before, 0)] == own)
    same_as_next = (before + 1 < len(days)) & (days[np.minimum(before + 1, len(days) - 1)] == own)
    return np.select(
        [inside, same_as_before & ~same_as_next, same_as_next & ~same_as_before, same_as_before, own < days[0],
         own > days[-1]],
        ["session", "after close", "pre-market", "session", _NO_HOUR, _NO_HOUR],
        default="closed day",
    ).astype(object)  # fmt: skip


def event_study(
    articles: pd.DataFrame,
    open_: pd.DataFrame,
    hours: np.ndarray,
    *,
    first_row: int,
    confidence: float,
    before: int = BEFORE,
    after: int = AFTER,
) -> EventStudy:
    """Average what a symbol did around the first tradable open of confident articles.

    Articles of one direction that reach the same bar and symbol are one event, dated by the earliest. Where confident
    articles disagree there is no event. The window must lie inside the bars given, with all its opens traded.

    Parameters
    ----------
    articles : DataFrame
        ``row`` (of the window), ``column``, ``bearish``, ``neutral``, ``bullish``, ``confidence``, ``known_at``.
    open_ : DataFrame, shape (bars, symbols)
        Bars before the window and the window itself; none after it.
    hours : array of str, shape (articles,)
        From `publication_hours`.
    first_row : int
        Position in ``open_`` of the window's first bar.
    confidence : float
        Articles below it make no event.
    before, after : int
        Bars around the open.

    Returns
    -------
    EventStudy

    Raises
    ------
    DataError
        If there is not one hour per article.

    References
    ----------
    MacKinlay (1997), "Event Studies in Economics and Finance", Journal of Economic Literature 35(1).

    Examples
    --------
    A good article on the twentieth bar of one of three symbols, which gains 2 % on that bar alone:

    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.signals.diagnostics import event_study
    >>> days = pd.date_range('2024-01-01', periods=60, tz='UTC')
    >>> open_ = pd.DataFrame(100.0, days, ['A', 'B', 'C'])
    >>> open_.iloc[21:, 0] = 102.0
    >>> article = {'row': [20], 'column': [0], 'bearish': [0.1], 'neutral': [0.1], 'bullish': [0.8]}
    >>> articles = pd.DataFrame(article | {'confidence': [0.8], 'known_at': days[[19]]})
    >>> study = event_study(articles, open_, np.array(['session']), first_row=0, confidence=0.6, before=2, after=2)
    >>> study.table.loc[study.table['direction'] == 'bullish'].groupby('offset')['car'].first().round(4).to_dict()
    {-2: 0.0, -1: 0.0, 0: 0.0, 1: 0.0133, 2: 0.0133}
    """
    if len(hours) != len(articles):
        raise DataError(f"event_study: {len(articles)} articles but {len(hours)} hours. Pass one each.")
    events, counts = _events(articles, hours, confidence)
    abnormal = net_of_market_if_many(forward_returns(open_, 1)).to_numpy(dtype=float)
    position = events["row"].to_numpy() + first_row
    offsets = np.arange(-before, after)
    bars = position[:, None] + offsets
    fits = ((bars >= 0) & (bars < len(abnormal) - 1)).all(axis=1)
    steps = abnormal[np.clip(bars, 0, len(abnormal) - 1), events["column"].to_numpy()[:, None]]
    whole = fits & np.isfinite(steps).all(axis=1)
    counts |= {
        "window_outside_the_bars": int((~fits).sum()),
        "bars_without_trading": int((fits & ~whole).sum()),
        "events_used": int(whole.sum()),
    }
    events, steps = events.loc[whole], steps[whole]
    path = np.concatenate([np.zeros((len(steps), 1)), np.cumsum(steps, axis=1)], axis=1)
    path -= path[:, [before]]
    return EventStudy(_averaged(events, path, len(open_) - first_row, before), counts)


def _events(articles: pd.DataFrame, hours: np.ndarray, confidence: float) -> tuple[pd.DataFrame, dict[str, int]]:
    """One row per bar and symbol with confident articles of one direction."""
    placed = (articles["row"] >= 0).to_numpy()
    sure = (articles["confidence"] >= confidence).to_numpy()
    bullish, bearish, neutral = (articles[name].to_numpy(dtype=float) for name in ("bullish", "bearish", "neutral"))
    direction = np.where((bullish > bearish) & (bullish > neutral), 1, 0)
    direction = np.where((bearish > bullish) & (bearish > neutral), -1, direction)
    used = placed & sure & (direction != 0)
    chosen = articles.loc[used, ["row", "column", "known_at"]].assign(direction=direction[used], hours=hours[used])
    cells = chosen.sort_values("known_at", kind="stable").groupby(["row", "column"], sort=True)
    one_way = cells["direction"].min() == cells["direction"].max()
    events = cells[["direction", "hours"]].first().loc[one_way].reset_index()
    counts = {
        "articles": len(articles),
        "not_placed": int((~placed).sum()),
        "not_confident": int((placed & ~sure).sum()),
        "neutral": int((placed & sure & (direction == 0)).sum()),
        "contradicted_cells": int((~one_way).sum()),
        "events": len(events),
    }
    return events, counts


def _averaged(events: pd.DataFrame, path: np.ndarray, n_rows: int, before: int) -> pd.DataFrame:
    """Mean path of each direction, of all events and by hours, with a band at each offset."""
    after = path.shape[1] - before - 1
    lag = newey_west_lag(n_rows, before + after) if n_rows else 1
    rows = []
    for direction, name in ((1, "bullish"), (-1, "bearish")):
        own = (events["direction"] == direction).to_numpy()
        for hours in (ALL_HOURS, *_in_order(events.loc[own, "hours"])):
            member = own if hours == ALL_HOURS else own & (events["hours"] == hours).to_numpy()
            row = events.loc[member, "row"].to_numpy()
            for offset in range(-before, after + 1):
                # A window of k bars overlaps with its neighbours over k bars and no more.
                reach = min(lag, newey_west_lag(n_rows, max(abs(offset), 1)))
                found = mean_by_row(path[member, before + offset], row, n_rows, lag=reach)
                rows.append(
                    {
                        "direction": name,
                        "hours": hours,
                        "offset": offset,
                        "car": found.value,
                        "low": 0.0 if offset == 0 else found.low,
                        "high": 0.0 if offset == 0 else found.high,
                        "events": found.n,
                        "bars": len(np.unique(row)),
                    }
                )
    columns = ["direction", "hours", "offset", "car", "low", "high", "events", "bars"]
    return pd.DataFrame(rows, columns=columns)


def _in_order(names: pd.Series) -> list[str]:
    known = (*EXCHANGE_HOURS, *BLOCKS, _NO_HOUR)
    return sorted(set(names), key=known.index)
