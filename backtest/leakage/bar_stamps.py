"""Whether bars stand at the session they belong to, or one bar late or early.

A bar cannot be read for its own time, but what is known of time from elsewhere can be held against it: sessions that
close early trade less, days on which index options expire trade more, round-the-clock markets wake at midnight UTC, and
symbols move and trade when news of them comes out. Each speaks by itself; where none has the power, nothing is said.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import Finding, moment, plain, require_columns
from embargo.backtest.leakage.session_lag import SessionLag, session_lag
from embargo.data_loaders.calendars import ROUND_THE_CLOCK, zone_of
from embargo.data_loaders.checks.reaction import legs_of
from embargo.data_loaders.schemas import Prices, as_utc, utc_microseconds

# Standard errors by which another bar must fit better than the declared one, all witnesses together; and by which the
# declared one must fit better than either neighbour to pass.
DOUBTED, DOUBTED_BY_NEWS, BORNE_OUT = 4.0, 5.0, 3.0
# A witness who speaks clearly for the declared bars is not outvoted.
SPEAKS = 2.0
USUAL_OVER, USUAL_FROM, ENOUGH_DAYS, ENOUGH_ARTICLES = 21, 8, 60, 200
SHORT_SESSION = 0.8
FEWEST_EVENTS = 3
LARGEST = 3.0

_TITLE = CHECKS["check_bar_stamps"].title
_NEWS = "moves and volume when news comes out"
_HOUR = pd.Timedelta(hours=1)
_ASK = (
    "Ask the source what its stamp means, and hold some bars against another source on days of known large moves; more "
    "news, or bars with volumes, would tell by themselves."
)
_REMEDY = (
    "Hold some bars against another source on days of known large moves, and ask the source what its stamp means. Name "
    "the session's own date, or the instant at which the bar opens, when bars are read. Do not move bars by what fits "
    "best here: prices moved to before they were traded are look-ahead themselves."
)
# Moves a session before the news are all that tells of early labels then, and news that come late do the same.
_REMEDY_OF_EITHER = (
    "Find out which of the two it is before anything is changed. Volumes tell of the bars alone: read prices that have "
    "them. Of the news tell the source's own stamp, held against when it was seen, and other sources of the same "
    "stories: a feed that is a day late is mended there (known_at), not in the bars. "
) + _REMEDY


@dataclass(frozen=True)
class Witness:
    """What one kind of evidence says.

    Attributes
    ----------
    name : str
    events : int
        Days, sessions or articles that it rests on.
    late, early : float
        Standard errors by which the declared bars fit better than if they were labelled one bar late, or early;
        negative where the other fits better.
    """

    name: str
    events: int
    late: float
    early: float


def check_bar_stamps(prices: Prices, news: pd.DataFrame | None = None, told: pd.DataFrame | None = None) -> Finding:
    """Ask whether bars are labelled one bar late or early (T2).

    Witnesses, each as far as it has anything to say: volumes of sessions that close early and of days on which US index
    options expire (daily bars of an exchange), the jump of volume at midnight UTC (hourly bars round the clock), and
    moves and volumes of symbols in the sessions in which news of them came out, against those of the sessions beside
    (daily bars). Suspicious: together they fit a neighbouring bar better by 4 standard errors, and none speaks clearly
    for the declared one; news alone needs 5 for late labels. For early ones, which digests resemble, it must find the
    moves of sessions in the session before and those of nights in the night before, by 4 together, and clearly neither
    in the leg between nor in that of the news. Pass: the witnesses fit the declared bar better than either neighbour
    by 3.

    News that come a session late put moves where early labels do; where volumes do not tell, both are named.

    Silent on: shifts by more than one bar, intraday bars of an exchange, bars without volumes and news
    (inconclusive), and news and bars that are late together.

    Parameters
    ----------
    prices : Prices
        Bars as they are used.
    news : DataFrame, optional
        ``published_at`` (UTC) and ``symbol``.
    told : DataFrame, optional
        ``published_at, symbol`` and ``score``: what articles were taken to say, signed.

    Returns
    -------
    Finding
        Code ``T2``; ``effect`` is the difference in standard errors from the bar that fits best, of the witnesses
        together.

    Raises
    ------
    DataError
        If the news lack a column, or their stamps have no zone.

    Examples
    --------
    >>> from embargo.backtest.leakage import check_bar_stamps
    >>> from embargo.data_loaders.simulated import SimulatedMarket, simulate_market
    >>> market = simulate_market(SimulatedMarket(n_symbols=4, end="2015-12-31"))
    >>> check_bar_stamps(market.prices).verdict
    'inconclusive'
    """
    if len(prices.open_at) < ENOUGH_DAYS:
        return Finding(
            "T2",
            "inconclusive",
            _TITLE,
            f"{len(prices.open_at)} bars are too few to hold against anything.",
            remedy=_ASK,
        )
    daily = _usual_step(prices) >= 20 * _HOUR
    witnesses = [_of_calendar(prices) if daily else _of_midnight(prices)]
    if daily and news is not None:
        require_columns(news, ("published_at", "symbol"), where="bar stamps")
        witnesses.append(_of_news(news, prices))
    heard = [witness for witness in witnesses if witness is not None]
    if not heard:
        return Finding(
            "T2",
            "inconclusive",
            _TITLE,
            f"Nothing tells whether the {len(prices.open_at):,} bars stand at their own time: no volumes with early "
            "closes, option expiries or midnights UTC among them, and too little news.",
            remedy=_ASK,
        )
    said = "; ".join(
        f"{witness.name} ({witness.events:,}): z {witness.late:+.1f} against late labels, {witness.early:+.1f} against "
        "early ones"
        for witness in heard
    )
    scale = np.sqrt(len(heard))
    late, early = (sum(getattr(witness, side) for witness in heard) / scale for side in ("late", "early"))
    worst, side = min((late, "late"), (early, "early"))
    # News may come a day before a move (previews) or after it (digests): alone it must speak louder, never for early.
    by_clock = any(getattr(witness, side) <= -SPEAKS for witness in heard if witness.name != _NEWS)
    certain = any(getattr(witness, side) <= -DOUBTED for witness in heard if witness.name != _NEWS)
    needed = DOUBTED if by_clock else DOUBTED_BY_NEWS if side == "late" else float("inf")
    spoken_for = any(getattr(witness, side) >= SPEAKS for witness in heard)
    evidence = [{"witness": witness.name, "late": witness.late, "early": witness.early} for witness in heard]
    unit = "standard errors by which the declared bars fit better"
    if worst <= -needed and not spoken_for:
        harm = {
            "late": "News is then traded at prices of the bar before, when it was not out: look-ahead.",
            "early": "Prices then count as known a bar before they were, and news is traded a bar late.",
        }[side]
        return Finding(
            "T2",
            "suspicious",
            _TITLE,
            f"Bars seem to be labelled one bar {side}, from {moment(prices.open_at[0])} on: {said}. {harm}",
            evidence,
            float(worst),
            unit,
            _REMEDY if side == "late" or certain else _REMEDY_OF_EITHER,
        )
    if worst >= BORNE_OUT:
        return Finding("T2", "pass", _TITLE, f"Bars stand at their own time: {said}.", evidence, float(worst), unit)
    dated = any(witness.early >= SPEAKS for witness in heard if witness.name != _NEWS)
    lag = session_lag(news, prices, told) if daily and news is not None and not dated else None
    if lag is not None and lag.early:
        return _a_session_early(lag, prices)
    return Finding(
        "T2",
        "inconclusive",
        _TITLE,
        f"Too little tells whether bars stand at their own time: {said}; {BORNE_OUT:g} needed together.",
        evidence,
        float(worst),
        unit,
        _ASK,
    )


def _a_session_early(lag: SessionLag, prices: Prices) -> Finding:
    detail = (
        f"Bars seem to be labelled one bar early, or news stamped a session late, from {moment(prices.open_at[0])} on: "
        f"symbols moved a session before the news of them ({lag.articles:,} articles), by {lag.before:.1f} standard "
        f"errors ({lag.kinds[0]:.1f} in sessions, {lag.kinds[1]:.1f} between them), against {lag.between:.1f} in the "
        f"leg between and {lag.own:.1f} in that of the news. Early bars make prices known before they were; a feed "
        "that delivers a day late, stamped so, does no such harm. Moves and news alone cannot tell which it is."
    )
    evidence = [{"moves": name, "z": plain(float(getattr(lag, name)))} for name in ("before", "between", "own")]
    unit = "standard errors by which moves lie a session before the news"
    return Finding("T2", "suspicious", _TITLE, detail, evidence, float(lag.before), unit, _REMEDY_OF_EITHER)


def _usual_step(prices: Prices) -> pd.Timedelta:
    return pd.Timedelta(pd.Series(prices.open_at[1:] - prices.open_at[:-1]).median())


def _beside_usual(values: np.ndarray) -> np.ndarray:
    frame = pd.DataFrame(values)
    return np.asarray(frame - frame.rolling(USUAL_OVER, center=True, min_periods=USUAL_FROM).median())


def _log_volume(prices: Prices) -> np.ndarray | None:
    """Logarithms of volumes; None where hardly any are known, or they never change."""
    volume = prices.volume.to_numpy(dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(volume > 0, np.log(volume), np.nan)
    changing = bool((pd.DataFrame(logs).std() > 0).any())
    return logs if np.isfinite(logs).mean() > 0.5 and changing else None


def _of_calendar(prices: Prices) -> Witness | None:
    """Early closes have less volume, expiries more, than the sessions beside them."""
    logs = _log_volume(prices)
    if logs is None or prices.calendar == ROUND_THE_CLOCK:
        return None
    above = np.asarray(pd.DataFrame(_beside_usual(logs)).median(axis=1))
    length = np.asarray((prices.close_at - prices.open_at) / _HOUR)
    sign = np.where(length < SHORT_SESSION * np.median(length), -1.0, 0.0)
    zone = zone_of(prices.calendar)
    if zone.key == "America/New_York":
        day = prices.open_at.tz_convert(zone)
        expiry = (day.month % 3 == 0) & (day.day_of_week == 4) & (day.day >= 15) & (day.day <= 21)
        sign[np.asarray(expiry) & (sign == 0)] = 1.0
    events = np.flatnonzero(sign)
    events = events[(events > 0) & (events < len(above) - 1)]
    found = []
    for side in (1, -1):
        step = above[1:] - above[:-1]
        ordinary = (sign[1:] == 0) & (sign[:-1] == 0) & np.isfinite(step)
        error = float(np.std(step[ordinary])) if ordinary.sum() >= ENOUGH_DAYS // 2 else 0.0
        gain = sign[events] * (above[events] - above[events + side])
        gain = gain[np.isfinite(gain)]
        if len(gain) < FEWEST_EVENTS or error <= 0:
            return None
        found.append(float(np.clip(gain / error, -LARGEST, LARGEST).sum() / np.sqrt(len(gain))))
    return Witness("volume on early closes and expiries", len(events), *found)


def _of_midnight(prices: Prices) -> Witness | None:
    """Volume jumps in the hour that begins at midnight UTC, when daily candles and funding start anew."""
    logs = _log_volume(prices)
    if logs is None or prices.calendar != ROUND_THE_CLOCK or _usual_step(prices) != _HOUR:
        return None
    jump = pd.DataFrame(np.diff(logs, axis=0)).median(axis=1).to_numpy(copy=True)
    whole = np.asarray(prices.open_at[1:] - prices.open_at[:-1] == _HOUR)
    jump[~whole] = np.nan
    midnight = np.flatnonzero(prices.open_at.hour[1:] == 0)
    midnight = midnight[(midnight > 0) & (midnight < len(jump) - 1)]
    found = []
    for side in (1, -1):
        gain = jump[midnight] - jump[midnight + side]
        gain = gain[np.isfinite(gain)]
        if len(gain) < ENOUGH_DAYS:
            return None
        found.append(float(gain.mean() / gain.std() * np.sqrt(len(gain))) if gain.std() > 0 else 0.0)
    return Witness("jump of volume at midnight UTC", len(midnight), *found)


def _of_news(news: pd.DataFrame, prices: Prices) -> Witness | None:
    """Symbols move and trade in the part of the day in which news of them comes out, not a session before or after."""
    at = as_utc(news["published_at"], what="news, column published_at")
    if len(at) < ENOUGH_ARTICLES:
        return None
    legs = legs_of(prices, at.min(), at.max())
    if legs is None:
        return None
    stamps, column = utc_microseconds(at), legs.symbols.get_indexer(pd.Index(news["symbol"]))
    inside = (column >= 0) & (stamps >= legs.starts[0]) & (stamps < legs.end)
    own = np.searchsorted(legs.starts, stamps[inside], side="right") - 1
    n_legs, n_symbols = legs.moves.shape
    counts = np.bincount(own * n_symbols + column[inside], minlength=n_legs * n_symbols).reshape(n_legs, n_symbols)
    heard = counts.any(axis=0)
    if not heard.any():
        return None
    # Parts of the day are compared with the same part of the sessions beside.
    panels = [(legs.moves[:, heard], counts[:, heard], 2)]
    logs = _log_volume(prices)
    if logs is not None:
        opens = utc_microseconds(pd.Series(prices.open_at))
        row = np.searchsorted(legs.starts, opens)
        row = np.minimum(row, n_legs - 1)
        there = legs.starts[row] == opens
        columns = np.flatnonzero(heard)
        above = _beside_usual(logs[there][:, columns])
        above = above - np.nanmedian(np.where(np.isfinite(above), above, 0.0), axis=1, keepdims=True)
        panels.append((above, counts[row[there]][:, columns], 1))
    scores = []
    for side in (1, -1):
        daily: list[pd.Series] = []
        for place, (moves, number, per_session) in enumerate(panels):
            gain = _association(moves, number, side * per_session)
            day = legs.starts if place == 0 else legs.starts[row[there]]
            by_day = pd.Series(gain, index=day.astype("datetime64[D]")).groupby(level=0).sum()
            spread = float(np.sqrt((by_day**2).sum()))
            if spread > 0:
                daily.append(by_day / spread)
        if not daily or max(int((part != 0).sum()) for part in daily) < ENOUGH_DAYS:
            return None
        together = pd.concat(daily, axis=1).fillna(0.0).sum(axis=1)
        scores.append(float(together.sum() / np.sqrt((together**2).sum())))
    return Witness(_NEWS, int(inside.sum()), *scores)


def _association(moves: np.ndarray, number: np.ndarray, lag: int) -> np.ndarray:
    """Sum over symbols of news times (move of its own part less that of the part ``lag`` later), shape (parts,)."""
    busy = np.log1p(number)
    if abs(lag) == 2:
        # Sessions and the pauses between them have each their usual number of news.
        for kind in (0, 1):
            part = pd.DataFrame(busy[kind::2])
            busy[kind::2] = part - part.rolling(USUAL_OVER, center=True, min_periods=USUAL_FROM).mean()
    else:
        part = pd.DataFrame(busy)
        busy = np.asarray(part - part.rolling(USUAL_OVER, center=True, min_periods=USUAL_FROM).mean())
    moves = np.nan_to_num(np.clip(moves, -LARGEST * np.nanstd(moves), LARGEST * np.nanstd(moves)))
    other = np.zeros_like(moves)
    if lag > 0:
        other[:-lag] = moves[lag:]
    else:
        other[-lag:] = moves[:lag]
    gain: np.ndarray = (np.nan_to_num(busy) * (moves - other)).sum(axis=1)
    gain[: abs(lag)] = gain[len(gain) - abs(lag) :] = 0.0
    return gain
