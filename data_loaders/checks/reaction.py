"""When prices move around the stamps of the news: whether the move lies where the stamps say, or hours beside it.

Prices move when news comes out, whatever the news says, and good news moves them up. Articles that would lie in another
part of the day if their clock were wrong by some hours are the ones that can tell: under the right clock the price
moved in the part that they are stamped in, not in the other. The size of the moves tells it without any sentiment;
where somebody knows the tone of the texts, the direction tells it from far fewer articles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import zone_of
from embargo.data_loaders.schemas import Prices, utc_microseconds

# Where financial news is written, from west to east.
ZONES = (
    "America/Los_Angeles",
    "America/Denver",
    "America/Chicago",
    "America/New_York",
    "America/Sao_Paulo",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Moscow",
    "Asia/Kolkata",
    "Asia/Hong_Kong",
    "Asia/Tokyo",
    "Australia/Sydney",
)
SHIFTS = tuple(hours for hours in range(-12, 13) if hours)
# Moves are measured by what is usual within this many like parts of days around; one wild move counts six-fold.
USUAL_OVER, USUAL_FROM, LARGEST_MOVE = 61, 15, 6.0
# Below these an average of moves is a handful, and its error no error.
ENOUGH_ARTICLES, ENOUGH_DAYS = 100, 40
# Directions have a variance that is known better than that of sizes, and Student's law is allowed for.
ENOUGH_TONED, ENOUGH_TONED_DAYS, LARGEST_STEP = 40, 25, 4.0
# A move that a single article makes is below the usual one, where its direction shows twice as clearly as its size.
TONE_WEIGHT = 2.0
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
    steps : ndarray of float, shape (legs, symbols)
        The move itself, up or down, in the same units.
    symbols : Index
    alternate : bool
        Whether each bar is followed by a pause, so that even legs are bars and odd ones pauses.
    """

    starts: np.ndarray
    end: np.datetime64
    moves: np.ndarray
    steps: np.ndarray
    symbols: pd.Index
    alternate: bool

    @property
    def length(self) -> np.timedelta64:
        """How long a part of the day usually is."""
        return np.timedelta64(int(np.median(np.diff(self.starts).astype(np.int64))), "us")

    def of(self, stamps: np.ndarray) -> np.ndarray:
        """Tell in which leg each stamp lies, -1 before the first; int64, shape (n,)."""
        if len(stamps) < len(self.starts) or (stamps[1:] < stamps[:-1]).any():
            return np.asarray(np.searchsorted(self.starts, stamps, side="right") - 1)
        # Stamps in order are sooner cut at the starts than sought among them one by one.
        cuts = np.searchsorted(stamps, self.starts, side="left")
        return np.repeat(np.arange(-1, len(self.starts)), np.diff(cuts, prepend=0, append=len(stamps)))


def legs_of(prices: Prices, first: pd.Timestamp, last: pd.Timestamp) -> Legs | None:
    """Cut the time around some news into legs; None where no bar lies there."""
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
    unusual = _unusual(moves[order], kinds[order])
    return Legs(starts[order], close_at[-1], *unusual, prices.open.columns, alternate)


def _minute_of_day(prices: Prices, rows: slice) -> np.ndarray:
    """Local minute at which each bar opens, 0 for bars of a day."""
    open_at = prices.open_at[rows]
    if np.median(np.diff(open_at.asi8)) >= pd.Timedelta(hours=20).as_unit(open_at.unit).value:
        return np.zeros(len(open_at), dtype=np.int64)
    local = open_at.tz_convert(zone_of(prices.calendar))
    return np.asarray(local.hour * 60 + local.minute, dtype=np.int64)


def _unusual(moves: np.ndarray, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sizes of moves in excess of the usual one, and the moves themselves, both in units of it."""
    if moves.shape[1] >= ENOUGH_FOR_MARKET:
        ranked = pd.DataFrame(moves).median(axis=1).to_numpy()
        moves = moves - np.nan_to_num(ranked)[:, None]
    sizes = np.abs(moves)
    found, steps = np.full(sizes.shape, np.nan), np.full(sizes.shape, np.nan)
    for kind in np.unique(kinds):
        alike = kinds == kind
        part = pd.DataFrame(sizes[alike])
        usual = part.rolling(USUAL_OVER, center=True, min_periods=USUAL_FROM).mean().to_numpy()
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.where(usual > 0, usual, np.nan)
            ratio = np.minimum(part.to_numpy() / scale, LARGEST_MOVE)
            steps[alike] = np.clip(moves[alike] / scale, -LARGEST_STEP, LARGEST_STEP)
        counted = np.isfinite(ratio)
        found[alike] = ratio - (ratio[counted].mean() if counted.any() else 0.0)
    return found, steps


def reaction_by_shift(
    published_at: pd.Series,
    symbols: pd.Series,
    legs: Legs,
    tone: pd.Series | None = None,
    shifts: Sequence[int] = SHIFTS,
) -> pd.DataFrame:
    """Compare, for each shift of the clock, where prices moved: where the stamps lie, or where they would lie.

    Parameters
    ----------
    published_at : Series, shape (n,)
        Instants (UTC) as declared.
    symbols : Series, shape (n,)
    legs : Legs
    tone : Series, shape (n,), optional
        What each article says, from -1 (bad) to 1 (good), 0 for nothing, read by somebody who knows no prices.
    shifts : sequence of int
        Hours to be added to the stamps; -12 to 12 without 0 unless given.

    Returns
    -------
    DataFrame indexed by shift
        ``articles`` counts distinct symbols and legs that the shift would move to another leg; ``declared`` and
        ``shifted`` are the mean sizes of moves in either, in excess of the usual; ``z`` is their difference over its
        error, clustered by day: positive where prices moved at the declared times, NaN below 100 articles or 40 days.
        ``toned``, ``with_declared``, ``with_shifted`` and ``z_tone`` are the same of moves in the direction of the tone
        (NaN below 40 articles or 25 days, and for shifts within two short bars; no more than what speaks for the side
        that it favours), and ``score`` is both together.
    """
    stamps = utc_microseconds(published_at)
    rivals = {hours: stamps + np.timedelta64(hours, "h") for hours in shifts}
    return _table(stamps, rivals, symbols, legs, tone).rename_axis("shift_hours")


def reaction_by_zone(
    published_at: pd.Series, symbols: pd.Series, legs: Legs, tone: pd.Series | None = None
) -> pd.DataFrame:
    """Compare the stamps with what they would be if a wall clock of each of `ZONES` had been read as if it showed UTC.

    Parameters
    ----------
    published_at, symbols, legs, tone
        As in `reaction_by_shift`.

    Returns
    -------
    DataFrame indexed by zone
        Columns as of `reaction_by_shift`; summer time is that of the zone.
    """
    wall = published_at.dt.tz_convert("UTC").dt.tz_localize(None)
    first = np.ones(len(wall), dtype=bool)
    rivals = {
        zone: utc_microseconds(wall.dt.tz_localize(zone, ambiguous=first, nonexistent="shift_forward"))
        for zone in ZONES
    }
    return _table(utc_microseconds(published_at), rivals, symbols, legs, tone).rename_axis("zone")


def _table(
    stamps: np.ndarray,
    rivals: Mapping[Any, np.ndarray],
    symbols: pd.Series,
    legs: Legs,
    tone: pd.Series | None,
) -> pd.DataFrame:
    """Compare stamps with rivals; a row for each."""
    column = legs.symbols.get_indexer(pd.Index(symbols))
    inside = (column >= 0) & (stamps >= legs.starts[0] + 0.5 * _DAY) & (stamps < legs.end - 0.5 * _DAY)
    order = np.flatnonzero(inside)[np.argsort(stamps[inside], kind="stable")]
    column = column[order].astype(np.int64)
    said = np.zeros(len(order)) if tone is None else tone.to_numpy(dtype=float)[order]
    stamps = stamps[order]
    own = legs.of(stamps)
    rows = [_compared(legs, stamps, own, other[order], column, said) for other in rivals.values()]
    columns = ["articles", "declared", "shifted", "z", "toned", "with_declared", "with_shifted", "z_tone"]
    table = pd.DataFrame(rows, index=pd.Index(list(rivals)), columns=columns)
    return table.assign(score=together(table["z"].to_numpy(), table["z_tone"].to_numpy()))


def together(of_sizes: np.ndarray, of_tone: np.ndarray) -> np.ndarray:
    """Return standard errors of both witnesses together, of either where the other is silent.

    What direction a move has says nothing of its size, so that without news in prices they are independent.
    """
    both = (of_sizes + TONE_WEIGHT * of_tone) / np.sqrt(1.0 + TONE_WEIGHT**2)
    alone = np.where(np.isnan(of_tone), of_sizes, of_tone)
    return np.where(np.isnan(both), alone, both)


def _compared(
    legs: Legs, stamps: np.ndarray, own: np.ndarray, rival: np.ndarray, column: np.ndarray, tone: np.ndarray
) -> tuple[float, ...]:
    """Compare the legs in which stamps lie with those in which they would lie; a row of `reaction_by_shift`."""
    other = legs.of(rival)
    n_legs, n_symbols = legs.moves.shape
    days = legs.starts.astype("datetime64[D]")
    moved = other != own
    found: list[float] = []
    for moves, heard, weighed in ((legs.moves, moved, None), (legs.steps, moved & (tone != 0), tone)):
        place, symbol, group = _cells(own[heard] * n_legs + other[heard], column[heard], n_symbols)
        before, after = np.divmod(place, n_legs)
        # Copies say the same again, so that a text counts by what it says, not by how often.
        side = np.ones(len(place))
        if weighed is not None:
            side = np.clip(np.bincount(group, weights=weighed[heard], minlength=len(place)), -1.0, 1.0)
        declared, shifted = side * moves[before, symbol], side * moves[after, symbol]
        known = np.isfinite(declared) & np.isfinite(shifted)
        declared, shifted = declared[known], shifted[known]
        cluster = np.unique(days[before[known]], return_inverse=True)[1]
        mean = (float(declared.mean()), float(shifted.mean())) if known.any() else (np.nan, np.nan)
        enough = (ENOUGH_ARTICLES, ENOUGH_DAYS) if weighed is None else (ENOUGH_TONED, ENOUGH_TONED_DAYS)
        score, count = _score(declared - shifted, cluster, *enough)
        if weighed is not None:
            # Student's law; what a shift within two short bars moves, slow prices move as well.
            slow = legs.length < _BREAK and np.abs(rival - stamps).max() < 2 * legs.length
            # A list that reads texts the wrong way round is no evidence: prices must go the texts' way on one side.
            way = _score(declared if score > 0 else shifted, cluster, *enough)[0]
            score = np.copysign(min(abs(score), max(way, 0.0)), score)
            score = float("nan") if slow or np.isnan(score) else _as_normal(score, count - 1)
        found += [len(declared), *mean, score]
    return tuple(found)


def _cells(place: np.ndarray, column: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the distinct pairs of place and column, in order, and which of them each row is."""
    step = np.diff(place, prepend=place[:1])
    runs = np.flatnonzero(step)
    cells = (len(runs) + 1) * columns
    if (step < 0).any() or cells > 16 * len(place):
        key, group = np.unique(place * columns + column, return_inverse=True)
        return *np.divmod(key, columns), group
    # Rows in the order of time are in that of their places, so that nothing need be sorted.
    cell = np.cumsum(step != 0) * columns + column
    held = np.zeros(cells, dtype=bool)
    held[cell] = True
    number = np.cumsum(held) - 1
    filled = np.flatnonzero(held)
    first = np.append(0, runs) if len(place) else runs
    return place[first[filled // columns]], filled % columns, number[cell]


def _as_normal(score: float, freedom: int) -> float:
    """Return the normal score of the same tail as Student's t, within 0.01 from 23 degrees on (Wallace 1959, bound)."""
    shrunk = (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0)
    return float(np.copysign(shrunk * np.sqrt(freedom * np.log1p(score**2 / freedom)), score))


def _score(gain: np.ndarray, cluster: np.ndarray, enough: int, enough_days: int) -> tuple[float, int]:
    """Mean over its error, clustered, NaN without power; and the number of clusters."""
    days = int(cluster.max(initial=-1)) + 1
    if len(gain) < enough or days < enough_days:
        return float("nan"), days
    error = float(np.sqrt((np.bincount(cluster, weights=gain - gain.mean()) ** 2).sum())) / len(gain)
    return float(gain.mean()) / error if error > 0 else float("nan"), days
