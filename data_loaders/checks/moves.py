"""Every move of a level too far for its symbol, and whether the level came back: one reading for all that judge jumps.

Opens and closes of a symbol are read as one tape, so that a wrong open, a wrong close, a wrong bar and a wrong month
are the same thing: a stretch of the tape between a jump and the jump that takes it back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from embargo.data_loaders.schemas import Prices, utc_microseconds

# Twelve robust standard deviations and 20 %: fat tails pass, a slipped decimal or another company's price does not.
OUTLIER_SIGMAS, OUTLIER_FLOOR = 12.0, 0.20
# Where too few bars tell how far a symbol usually moves, only half or double is far.
UNKNOWN_FLOOR = float(np.log(2.0))
# A price of few ticks moves by whole ones.
TICKS = 3.0
ROBUST_BARS, ROBUST_AT_LEAST = 127, 20
MAD_TO_SIGMA = 1.4826
# A crash does not come back to within a tenth, or within the noise of two ordinary moves, at once; a bad tick does.
REVERSED_WITHIN, REVERSED_SIGMAS = 0.10, 3.0
# No market goes to a third and back with a pause of hours on both sides; eightfold, not even while it is open.
FAR, FARTHEST = float(np.log(3.0)), float(np.log(8.0))


def log_levels(panel: pd.DataFrame) -> np.ndarray:
    """Logarithms of a panel, shape kept, NaN where there is no price."""
    with np.errstate(divide="ignore", invalid="ignore"):
        values: np.ndarray = np.log(panel.to_numpy(dtype=float))
    return values


def carried(values: np.ndarray) -> np.ndarray:
    """Last known value before each bar, so that a hole does not hide a jump; shape kept, NaN before the first."""
    before = np.vstack([np.full((1, values.shape[1]), np.nan), values[:-1]])
    return before if not np.isnan(values).any() else np.asarray(pd.DataFrame(before).ffill())


def median_around(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Median of the known values in the 127 bars around some cells; NaN where fewer than 20 are known."""
    half = ROBUST_BARS // 2
    found = np.empty(len(rows))
    for start in range(0, len(rows), 20_000):
        part = slice(start, start + 20_000)
        place = rows[part, None] + np.arange(-half, half + 1)
        inside = (place >= 0) & (place < len(values))
        near = np.where(inside, values[np.clip(place, 0, len(values) - 1), columns[part, None]], np.nan)
        near.sort(axis=1)
        known = (~np.isnan(near)).sum(axis=1)
        middle = np.arange(len(near)), np.maximum(known - 1, 0) // 2, np.maximum(known, 1) // 2
        median = (near[middle[0], middle[1]] + near[middle[0], np.minimum(middle[2], ROBUST_BARS - 1)]) / 2
        found[part] = np.where(known >= ROBUST_AT_LEAST, median, np.nan)
    return found


def ticks(close: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Step in which a symbol's close moves, as the smallest tenth of its moves has it; shape (symbols,), else NaN."""
    found = np.full(close.shape[1], np.nan)
    for column in np.unique(columns).tolist():
        own = close[:, column]
        moved = np.abs(np.diff(own[~np.isnan(own)]))
        moved = moved[moved > 0]
        if len(moved) >= ROBUST_AT_LEAST:
            found[column] = np.quantile(moved, 0.1)
    return found


@dataclass(frozen=True, eq=False)
class UsualMoves:
    """How far is too far: everything that the limit of a cell depends on."""

    returns: np.ndarray
    tick: np.ndarray

    @classmethod
    def of(cls, level: np.ndarray, close: np.ndarray, columns: np.ndarray) -> UsualMoves:
        """Prepare the limits of some symbols from their closes, and these in logarithms; shape (bars, symbols)."""
        returns = np.abs(close - carried(close))
        # Bars in which nothing moved say nothing about how far a move goes.
        returns[returns == 0] = np.nan
        return cls(returns, ticks(level, columns))

    def at(self, rows: np.ndarray, columns: np.ndarray, price: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Limit of a move in logarithms, and the robust standard deviation of a bar, of cells around a price."""
        sigma = MAD_TO_SIGMA * median_around(self.returns, rows, columns)
        limit = np.where(np.isnan(sigma), UNKNOWN_FLOOR, np.fmax(OUTLIER_SIGMAS * sigma, OUTLIER_FLOOR))
        coarse = np.log1p(TICKS * self.tick[columns] / price)
        return np.fmax(limit, coarse), sigma


@dataclass(frozen=True)
class Move:
    """One jump of a symbol's tape, and what became of it.

    Attributes
    ----------
    column, row : int
        Symbol and bar.
    at_open : bool
        Whether it fell between a close and the open after it.
    size : float
        In logarithms.
    sigma : float
        Robust standard deviation of the symbol's bars around; NaN where unknown.
    back : int or None
        Bar up to which, that one included, the level stayed away before it came back; None where it stayed.
    back_at_open : bool
        Whether the way back fell between a close and an open.
    """

    column: int
    row: int
    at_open: bool
    size: float
    sigma: float
    back: int | None = None
    back_at_open: bool = False

    @property
    def wrong(self) -> bool:
        """Whether no market moves so: away and back."""
        if self.back is None:
            return False
        pause = self.at_open or self.back_at_open
        if self.back == self.row:
            return pause or abs(self.size) >= FAR
        return abs(self.size) >= (FAR if self.at_open and self.back_at_open else FARTHEST)


@dataclass(frozen=True, eq=False)
class Tape:
    """Levels in logarithms, the splits recorded for them, and their moves: what all that judge jumps share.

    Attributes
    ----------
    prices : Prices
    recorded : ndarray, shape (bars, symbols)
        Logarithm of the new shares per old of the split recorded for each bar (the first that ends after ``ex_at``), 0
        for none.
    """

    prices: Prices
    recorded: np.ndarray

    @classmethod
    def of(cls, prices: Prices, actions: pd.DataFrame | None = None) -> Tape:
        """Lay recorded splits out on the bars; ``actions`` as `check_prices` takes them."""
        recorded = np.zeros(prices.close.shape)
        if actions is not None and not actions.empty:
            splits = actions[actions["kind"] == "split"]
            row = np.searchsorted(utc_microseconds(prices.close_at), utc_microseconds(splits["ex_at"]), side="right")
            column = prices.close.columns.get_indexer(pd.Index(splits["symbol"]))
            held = (row < len(recorded)) & (column >= 0)
            np.add.at(recorded, (row[held], column[held]), np.log(splits["value"].to_numpy(dtype=float)[held]))
        return cls(prices, recorded)

    @property
    def raw(self) -> bool:
        """Whether the levels still hold the splits: those of prices that are not adjusted do."""
        return self.prices.adjustment == "none"

    @cached_property
    def opens(self) -> np.ndarray:
        """Logarithms of the opens, shape (bars, symbols), as all the following."""
        return log_levels(self.prices.open)

    @cached_property
    def high(self) -> np.ndarray:
        """Logarithms of the highs."""
        return log_levels(self.prices.high)

    @cached_property
    def low(self) -> np.ndarray:
        """Logarithms of the lows."""
        return log_levels(self.prices.low)

    @cached_property
    def close(self) -> np.ndarray:
        """Logarithms of the closes."""
        return log_levels(self.prices.close)

    @cached_property
    def before(self) -> np.ndarray:
        """Last close before each bar."""
        return carried(self.close)

    @cached_property
    def gaps(self) -> np.ndarray:
        """From the last close to the open; to the close where there is no open."""
        return np.asarray(np.where(np.isnan(self.opens), self.close, self.opens) - self.before)

    @cached_property
    def moves(self) -> list[Move]:
        """Every move beyond its symbol's limit, in order of symbol and bar; the way back is part of a move."""
        within, between = self.close - self.opens, self.gaps
        if self.raw and self.recorded.any():
            between = between + self.recorded
        with np.errstate(invalid="ignore"):
            suspects = (np.abs(within) > OUTLIER_FLOOR) | (np.abs(between) > OUTLIER_FLOOR)
        chosen = np.flatnonzero(suspects.any(axis=0))
        if not len(chosen):
            return []
        held = np.cumsum(self.recorded[:, chosen], axis=0) if self.raw else 0.0
        close = self.close[:, chosen] + held
        tape = np.empty((2 * len(close), len(chosen)))
        tape[0::2], tape[1::2] = self.opens[:, chosen] + held, close
        steps = tape - carried(tape)
        with np.errstate(invalid="ignore"):
            places, columns = np.nonzero(np.abs(steps) > OUTLIER_FLOOR)
        sizes = steps[places, columns]
        price = np.exp(np.fmin(tape[places, columns], tape[places, columns] - sizes))
        limits = UsualMoves.of(self.prices.close.to_numpy(dtype=float)[:, chosen], close, columns)
        limit, sigma = limits.at(places // 2, columns, price)
        far = np.abs(sizes) > limit
        order = np.lexsort((places[far], columns[far]))
        jumps = [each[far][order].tolist() for each in (columns, places, sizes, sigma)]
        found = _matched(list(zip(*jumps, strict=True)), np.isfinite(tape))
        return [replace(move, column=int(chosen[move.column])) for move in found]


def _matched(jumps: list[tuple[int, int, float, float]], known: np.ndarray) -> list[Move]:
    """Put every jump together with the one that takes it back, the innermost first."""
    moves: list[Move] = []
    open_jumps: list[tuple[int, int, float, float]] = []
    pairs: list[tuple[tuple[int, int, float, float], tuple[int, int, float, float]]] = []
    left: list[tuple[int, int, float, float]] = []
    for jump in jumps:
        if open_jumps and open_jumps[-1][0] != jump[0]:
            left += open_jumps
            open_jumps = []
        if open_jumps and _cancel(open_jumps[-1], jump):
            pairs.append((open_jumps.pop(), jump))
        else:
            open_jumps.append(jump)
    left += open_jumps
    for away, again in pairs:
        column, place, size, sigma = away
        end = again[1]
        bounds = [other[1] for other in left if other[0] == column]
        before = max((other for other in bounds if other < place), default=0)
        after = min((other for other in bounds if other > end), default=len(known))
        inside = int(known[place:end, column].sum())
        outside = int(known[before:place, column].sum()) + int(known[end:after, column].sum())
        whole = end // 2 - place // 2 > 1
        if whole and inside > outside:
            # The stretch in between is the longer: what is wrong lies around it.
            if place > before:
                moves.append(Move(column, before // 2, True, -size, sigma, (place - 1) // 2, place % 2 == 0))
            if after > end:
                moves.append(Move(column, end // 2, end % 2 == 0, -size, sigma, (after - 1) // 2, True))
        else:
            last = place + int(np.flatnonzero(known[place:end, column])[-1])
            moves.append(Move(column, place // 2, place % 2 == 0, size, sigma, last // 2, end % 2 == 0))
    moves += [Move(column, place // 2, place % 2 == 0, size, sigma) for column, place, size, sigma in left]
    return sorted(moves, key=lambda move: (move.column, move.row))


def _cancel(away: tuple[int, int, float, float], again: tuple[int, int, float, float]) -> bool:
    size = min(abs(away[2]), abs(again[2]))
    noise = np.nan_to_num(max(away[3], again[3]))
    allowed = min(max(REVERSED_WITHIN * size, REVERSED_SIGMAS * noise), 0.5 * size)
    return away[2] * again[2] < 0 and abs(away[2] + again[2]) < allowed


def stretch(move: Move, shape: tuple[int, int]) -> np.ndarray:
    """Mark the bars of a move: all until it came back, else the one it fell into."""
    marked = np.zeros(shape, dtype=bool)
    marked[move.row : (move.row if move.back is None else move.back) + 1, move.column] = True
    return marked
