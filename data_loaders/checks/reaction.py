"""When prices move around the stamps of the news: whether the move lies where the stamps say, or hours beside it.

Prices move when news comes out, whatever the news says. Articles that would lie in another part of the day if their
clock were wrong by some hours are the ones that can tell: under the right clock the price moved in the part that they
are stamped in, not in the other. No sentiment is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import zone_of
from embargo.data_loaders.schemas import Prices, utc_microseconds

SHIFTS = tuple(hours for hours in range(-12, 13) if hours)
# Moves are measured by what is usual within this many like parts of days around; one wild move counts six-fold.
USUAL_OVER, USUAL_FROM, LARGEST_MOVE = 61, 15, 6.0
# Below these an average of moves is a handful, and its error no error.
ENOUGH_ARTICLES, ENOUGH_DAYS = 100, 40
# With fewer symbols their median is no market.
ENOUGH_FOR_MARKET = 5
_AROUND = pd.Timedelta(days=120)
_WEEKEND, _BREAK = np.timedelta64(30, "h"), np.timedelta64(4, "h")
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True, eq=False)
class Legs:
    """The parts into which bars cut time, and how far each symbol moved in each.

    Attributes
    ----------
    starts : ndarray of datetime64[us], shape (legs,)
        UTC, increasing; each leg ends where the next begins. A leg is a bar from open to close, or the time between
        one bar's close and the next one's open.
    end : datetime64[us]
        Where the last leg ends.
    moves : ndarray of float, shape (legs, symbols)
        Size of the move beside the market's, in units of what is usual for the symbol and that part of the day,
        less the average of such parts; NaN where there is none.
    symbols : Index
    alternate : bool
        Whether each bar is followed by a pause, so that even legs are bars and odd ones pauses.
    """

    starts: np.ndarray
    end: np.datetime64
    moves: np.ndarray
    symbols: pd.Index
    alternate: bool


def legs_of(prices: Prices, first: pd.Timestamp, last: pd.Timestamp) -> Legs | None:
    """Cut the time around some news into legs; None where no bar lies there."""
    return _legs(prices, first, last, _unusual)


def signed_legs_of(prices: Prices, first: pd.Timestamp, last: pd.Timestamp) -> Legs | None:
    """Cut the time around some news into legs whose ``moves`` have a side and no average taken off."""
    return _legs(prices, first, last, _beside_usual)


def _legs(
    prices: Prices, first: pd.Timestamp, last: pd.Timestamp, measured: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Legs | None:
    near = np.flatnonzero((prices.close_at >= first - _AROUND) & (prices.open_at <= last + _AROUND))
    if len(near) < 2:
        return None
    rows = slice(int(near[0]), int(near[-1]) + 1)
    opened, closed = (panel.to_numpy(dtype=float)[rows] for panel in (prices.open, prices.close))
    open_at, close_at = (utc_microseconds(pd.Series(instants[rows])) for instants in (prices.open_at, prices.close_at))
    pause = np.concatenate([[np.timedelta64(0, "us")], open_at[1:] - close_at[:-1]])
    paused = np.flatnonzero(pause > np.timedelta64(0, "us"))
    with np.errstate(divide="ignore", invalid="ignore"):
        moves = np.log(np.vstack([opened[paused] / closed[paused - 1], closed / opened]))
    starts = np.concatenate([close_at[paused - 1], open_at])
    of_pauses = np.where(pause[paused] > _WEEKEND, -1, np.where(pause[paused] > _BREAK, -2, -3))
    kinds = np.concatenate([of_pauses, _minute_of_day(prices, rows)])
    order = np.argsort(starts, kind="stable")
    moves[~np.isfinite(moves)] = np.nan
    alternate = len(paused) == len(open_at) - 1
    return Legs(starts[order], close_at[-1], measured(moves[order], kinds[order]), prices.open.columns, alternate)


def _minute_of_day(prices: Prices, rows: slice) -> np.ndarray:
    """Local minute at which each bar opens, 0 for bars of a day."""
    open_at = prices.open_at[rows]
    if np.median(np.diff(open_at.asi8)) >= pd.Timedelta(hours=20).as_unit(open_at.unit).value:
        return np.zeros(len(open_at), dtype=np.int64)
    local = open_at.tz_convert(zone_of(prices.calendar))
    return np.asarray(local.hour * 60 + local.minute, dtype=np.int64)


def _beside_market(moves: np.ndarray) -> np.ndarray:
    if moves.shape[1] < ENOUGH_FOR_MARKET:
        return moves
    ranked = pd.DataFrame(moves).median(axis=1).to_numpy()
    return np.asarray(moves - np.nan_to_num(ranked)[:, None])


def _beside_usual(moves: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Return moves beside the market's, in units of their usual size."""
    moves = _beside_market(moves)
    found = np.full(moves.shape, np.nan)
    for kind in np.unique(kinds):
        part = pd.DataFrame(moves[kinds == kind])
        usual = part.abs().rolling(USUAL_OVER, center=True, min_periods=USUAL_FROM).mean()
        found[kinds == kind] = (part / usual.where(usual > 0.0)).clip(-LARGEST_MOVE, LARGEST_MOVE)
    return found


def _unusual(moves: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    sizes = np.abs(_beside_market(moves))
    found = np.full(sizes.shape, np.nan)
    for kind in np.unique(kinds):
        alike = kinds == kind
        part = pd.DataFrame(sizes[alike])
        usual = part.rolling(USUAL_OVER, center=True, min_periods=USUAL_FROM).mean().to_numpy()
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.minimum(part.to_numpy() / np.where(usual > 0, usual, np.nan), LARGEST_MOVE)
        counted = np.isfinite(ratio)
        found[alike] = ratio - (ratio[counted].mean() if counted.any() else 0.0)
    return found


def reaction_by_shift(published_at: pd.Series, symbols: pd.Series, legs: Legs) -> pd.DataFrame:
    """Compare, for each shift of the clock, where prices moved: where the stamps lie, or where they would lie.

    Parameters
    ----------
    published_at : Series, shape (n,)
        Instants (UTC) as declared.
    symbols : Series, shape (n,)
    legs : Legs

    Returns
    -------
    DataFrame indexed by shift, the hours added to the stamps, -12 to 12 without 0
        ``articles`` counts distinct symbols and legs that the shift would move to another leg; ``declared`` and
        ``shifted`` are the mean moves in either, in excess of the usual; ``z`` is their difference over its
        error, clustered by day: positive where prices moved at the declared times, NaN below 100 articles or 40 days.
    """
    stamps = utc_microseconds(published_at)
    column = legs.symbols.get_indexer(pd.Index(symbols))
    inside = (column >= 0) & (stamps >= legs.starts[0] + 0.5 * _DAY) & (stamps < legs.end - 0.5 * _DAY)
    order = np.argsort(stamps[inside], kind="stable")
    stamps, column = stamps[inside][order], column[inside][order].astype(np.int64)
    own = np.searchsorted(legs.starts, stamps, side="right") - 1
    day = np.cumsum(np.diff(legs.starts.astype("datetime64[D]"), prepend=legs.starts[:1].astype("datetime64[D]")) > 0)
    n_legs, n_symbols = legs.moves.shape
    rows = []
    for hours in SHIFTS:
        other = np.searchsorted(legs.starts, stamps + np.timedelta64(hours, "h"), side="right") - 1
        moved = other != own
        key = pd.unique((own[moved] * n_legs + other[moved]) * n_symbols + column[moved])
        place, symbol = np.divmod(key, n_symbols)
        before, after = np.divmod(place, n_legs)
        declared, shifted = legs.moves[before, symbol], legs.moves[after, symbol]
        known = np.isfinite(declared) & np.isfinite(shifted)
        declared, shifted, cluster = declared[known], shifted[known], day[before[known]]
        mean = (float(declared.mean()), float(shifted.mean())) if known.any() else (np.nan, np.nan)
        rows.append((len(declared), *mean, _score(declared - shifted, cluster)))
    columns = ["articles", "declared", "shifted", "z"]
    return pd.DataFrame(rows, index=pd.Index(SHIFTS, name="shift_hours"), columns=columns)


def _score(gain: np.ndarray, cluster: np.ndarray) -> float:
    """Mean over its error, clustered; NaN without power."""
    if len(gain) < ENOUGH_ARTICLES or np.count_nonzero(np.bincount(cluster)) < ENOUGH_DAYS:
        return float("nan")
    error = float(np.sqrt((np.bincount(cluster, weights=gain - gain.mean()) ** 2).sum())) / len(gain)
    return float(gain.mean()) / error if error > 0 else float("nan")
