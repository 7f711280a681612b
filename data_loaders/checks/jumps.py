"""Jumps of the level: bad ticks, months in another unit, splits nobody worked in, a ticker that two companies used."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from embargo.data_loaders.checks.check import MAX_EXAMPLES, Check, Grade, cells_of, graded, plural
from embargo.data_loaders.checks.moves import (
    FAR,
    MAD_TO_SIGMA,
    OUTLIER_FLOOR,
    Move,
    Tape,
    UsualMoves,
    median_around,
    stretch,
)
from embargo.data_loaders.checks.runs import BarRun, long_holes
from embargo.data_loaders.schemas import Prices

# Splits as companies make them, new shares per old; reverse splits are their inverses.
SPLIT_RATIOS = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 50.0, 100.0)
# A split is no news: beside it the overnight move is an ordinary one, up to four standard deviations, and so is the
# range of the day.
SPLIT_WITHIN, SPLIT_SIGMAS, SPLIT_AT_MOST, SPLIT_RANGE = 0.03, 4.0, 0.06, 3.0
# The day's close keeps the new level; and shares traded grow by the ratio, not as on a day of news.
WILD_BELOW = 0.6
SPLIT_KEPT_WITHIN, SPLIT_VOLUME, SPLIT_VOLUME_BARS = 0.10, 4.0, 20
# Twentyfold overnight is another unit or another company, whatever the volume.
ANOTHER_UNIT = float(np.log(20.0))
# A stretch so short at either end, in another unit, is the one that is wrong.
EDGE_BARS = 25
# After a pause of n bars a level may lie anywhere within five standard deviations of n bars, and half or double.
REUSED_SIGMAS, REUSED_FLOOR = 5.0, float(np.log(2.0))
# A high or low at twenty times the price, or a twentieth, is a misprint.
MISPRINT = float(np.log(20.0))

UNIT = (
    "Look the bars up at the source and correct them there (pence are divided by 100), or set them to missing. A hole "
    "of ten days or more that this leaves is bad too: a run goes on past it with --accept-data holes=REASON."
)


def outliers(tape: Tape) -> Check:
    """Find opens and closes that jump beyond 12 robust standard deviations and 20 %, and those that come straight back.

    A jump that is taken back within the bar or by the next one is a bad tick, if a pause lies between the jump and the
    way back or it goes to a third or threefold. A high or low that far beyond open and close is listed too: a misprint,
    or a flash crash. Silent on errors below 20 % and of less than three ticks, and on stretches of several bars
    (``level_breaks``). The window is centred: this judges data, it is no signal.
    """
    prices, moves = tape.prices, tape.moves
    shape = prices.close.shape
    ticks = [move for move in moves if move.wrong and move.back == move.row]
    stayed = [move for move in moves if not move.wrong and abs(move.size) < ANOTHER_UNIT]
    bad, lasting = _marked(ticks, shape), _at(stayed, shape)
    wick, wicks = _wicks(tape, lasting | bad)
    misprints = wicks > MISPRINT
    returns = tape.close - tape.before
    number, moved, lone = len(ticks) + int(misprints.sum()), int(lasting.sum()), int((wick & ~misprints).sum())
    verdict: Grade = "bad" if number else graded(float(moved + lone), look=1)
    groups = (("bad tick", bad | misprints), ("large move", lasting), ("long wick", wick & ~misprints))
    remedy = {
        "bad": f"Bad ticks: {UNIT[0].lower()}{UNIT[1:]}",
        "look": "Look the moves up in the news of their days: what really happened stays, what did not is corrected at "
        "the source or set to missing.",
    }
    return Check(
        "outliers",
        verdict,
        f"{plural(number, 'bad tick')}; {plural(moved, 'move')} beyond 12 robust standard deviations "
        f"that stayed; {plural(lone, 'wick')} as long.",
        {
            "bad_ticks": number,
            "lasting_moves": moved,
            "long_wicks": lone,
            "largest_log_return": _largest(returns),
        },
        pd.concat(
            [cells_of(mask, prices.close, log_return=returns).assign(trouble=name) for name, mask in groups],
            ignore_index=True,
        ).head(MAX_EXAMPLES),
        remedy=remedy.get(verdict, ""),
        marked=bad | misprints if number else (lasting | wick) if verdict == "look" else None,
    )


def _largest(returns: np.ndarray) -> float:
    finite = np.abs(returns[np.isfinite(returns)])
    return float(finite.max()) if finite.size else 0.0


def _marked(moves: list[Move], shape: tuple[int, int]) -> np.ndarray:
    marked = np.zeros(shape, dtype=bool)
    for move in moves:
        marked |= stretch(move, shape)
    return marked


def _at(moves: list[Move], shape: tuple[int, int]) -> np.ndarray:
    """Mark the bars into which moves and their ways back fell, all others being as they should."""
    marked = np.zeros(shape, dtype=bool)
    for move in moves:
        marked[move.row, move.column] = True
        if move.back is not None and move.back > move.row:
            marked[move.back, move.column] = True
    return marked


def _wicks(tape: Tape, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Highs and lows too far beyond open and close, where the bar is not at fault already; and how far each lies."""
    floor = np.fmin(tape.opens, tape.close)
    wick = np.fmax(tape.high - np.fmax(tape.opens, tape.close), floor - tape.low)
    with np.errstate(invalid="ignore"):
        rows, columns = np.nonzero((wick > OUTLIER_FLOOR) & ~known)
    far = np.zeros(wick.shape, dtype=bool)
    if len(rows):
        chosen, place = np.unique(columns, return_inverse=True)
        level = tape.prices.close.to_numpy(dtype=float)[:, chosen]
        limit, _ = UsualMoves.of(level, tape.close[:, chosen], place).at(rows, place, np.exp(floor[rows, columns]))
        far[rows, columns] = wick[rows, columns] > limit
    return far, np.where(far, wick, 0.0)


class _Gaps:
    """What lies beside each jump from a close to the next open that is large enough for a split; all shape (cells,)."""

    def __init__(self, tape: Tape, floor: float) -> None:
        gaps = tape.gaps
        with np.errstate(invalid="ignore"):
            self.rows, self.columns = np.nonzero(np.abs(gaps) > floor)
        cells = self.rows, self.columns
        self.size = gaps[cells]
        self.sigma = np.zeros(len(self.rows))
        self.ordinary = np.zeros(len(self.rows), dtype=bool)
        if not len(self.rows):
            return
        chosen, place = np.unique(self.columns, return_inverse=True)
        there = self.rows, place
        close, before = tape.close[:, chosen], tape.before[:, chosen]
        spread = tape.high[:, chosen] - tape.low[:, chosen]
        self.sigma = np.nan_to_num(MAD_TO_SIGMA * median_around(np.abs(gaps[:, chosen]), *there))
        daily = np.nan_to_num(MAD_TO_SIGMA * median_around(np.abs(close - before), *there))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # symbols without any range
            usual = np.fmax(median_around(spread, *there), np.nanmedian(spread, axis=0)[place])
        # A third up or down also happens on wild days; half or double without news does not.
        wild = np.where(np.abs(self.size) < WILD_BELOW, 0.0, SPLIT_SIGMAS * daily)
        kept = np.fmax(SPLIT_KEPT_WITHIN, wild)
        with np.errstate(invalid="ignore"):
            self.ordinary = ~(spread[there] > SPLIT_RANGE * usual)
            self.ordinary &= ~(np.abs(close[there] - before[there] - self.size) > kept)
            self.ordinary &= ~(self._growth(tape.prices) > SPLIT_VOLUME * np.exp(np.fmax(-self.size, 0.0)))

    def _growth(self, prices: Prices) -> np.ndarray:
        """Volume over the median of the 20 bars before; NaN where there is none."""
        volume = prices.volume.to_numpy(dtype=float)
        place = self.rows[:, None] - np.arange(1, SPLIT_VOLUME_BARS + 1)
        before = np.where(place >= 0, volume[np.maximum(place, 0), self.columns[:, None]], np.nan)
        before.sort(axis=1)
        known = (~np.isnan(before)).sum(axis=1)
        every = np.arange(len(before))
        usual = (before[every, np.maximum(known - 1, 0) // 2] + before[every, known // 2 % SPLIT_VOLUME_BARS]) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            growth = volume[self.rows, self.columns] / np.where(known >= SPLIT_VOLUME_BARS // 2, usual, np.nan)
        return np.asarray(growth)

    def like_split(self) -> np.ndarray:
        """Whether each is that of a usual split, forward or reverse, up to an ordinary overnight move."""
        within = np.clip(SPLIT_SIGMAS * self.sigma, SPLIT_WITHIN, SPLIT_AT_MOST)
        apart = np.abs(np.abs(self.size)[:, None] - np.log(np.asarray(SPLIT_RATIOS))).min(axis=1, initial=np.inf)
        return np.asarray((apart < within) & self.ordinary)


def splits(tape: Tape, *, adjusted_later: bool = False) -> Check:
    """Find jumps from a close to the next open that look like a split, recorded or not, and recorded ones not seen.

    A split moves the open by 2:1, 3:1, 3:2 ... up to an ordinary overnight move, is not taken back, and leaves the
    bar's range and volume ordinary. Whether it was recorded or not, levels that still jump are levels to lose half a
    position by. Silent on ratios below 3:2, on splits that coincide with a crash, and on spin-offs.

    Parameters
    ----------
    tape : Tape
    adjusted_later : bool
        The prices are raw on purpose, and recorded splits are worked in before they are traded: then a recorded split
        explains its jump.
    """
    prices, recorded, raw = tape.prices, tape.recorded, tape.raw
    gaps = _Gaps(tape, float(np.log(min(SPLIT_RATIOS))) - SPLIT_AT_MOST)
    cells = gaps.rows, gaps.columns
    written = recorded[cells]
    explained = (written != 0) & (np.abs(gaps.size + written) < np.fmax(SPLIT_WITHIN, 0.25 * np.abs(written)))
    shape = recorded.shape
    # What a bad tick, a unit or a way back explains is no split.
    away = _marked([move for move in tape.moves if move.wrong], shape)
    returned = away | np.vstack([np.zeros((1, shape[1]), dtype=bool), away[:-1]])
    unrecorded, jumping, smooth = (np.zeros(shape, dtype=bool) for _ in range(3))
    unrecorded[cells] = gaps.like_split() & (written == 0) & ~returned[cells]
    jumping[cells] = explained
    if raw:
        rows, columns = np.nonzero(recorded)
        gap = tape.gaps[rows, columns]
        with np.errstate(invalid="ignore"):
            smooth[rows, columns] = np.isfinite(gap) & (np.abs(gap) < 0.5 * np.abs(recorded[rows, columns]))
        if adjusted_later:
            jumping[:] = False
    size = np.zeros(shape)
    size[cells] = gaps.size
    marked = unrecorded | jumping | smooth
    groups = (
        ("no split recorded", unrecorded),
        ("recorded, not worked in" if raw else "adjusted, yet it jumps", jumping),
        ("split recorded, no jump: already adjusted?", smooth),
    )
    number, odd = int(unrecorded.sum()), int(jumping.sum() + smooth.sum())
    words = (
        f"{plural(number, 'jump')} like a split without a split recorded" if number else "no unrecorded split in sight"
    )
    words += f"; {plural(odd, 'recorded split')} at odds with the prices" if odd else ""
    return Check(
        "splits",
        "bad" if marked.any() else "clean",
        words + ".",
        {
            "split_like_jumps": number,
            "recorded": int((recorded != 0).sum()),
            "at_odds_with_prices": odd,
            "adjustment": prices.adjustment,
        },
        pd.concat(
            [cells_of(mask, prices.close, shares_per_old=np.exp(-size)).assign(trouble=name) for name, mask in groups],
            ignore_index=True,
        ).head(MAX_EXAMPLES),
        remedy=_about_splits(unrecorded, size) if marked.any() else "",
        marked=marked if marked.any() else None,
    )


def _about_splits(unrecorded: np.ndarray, size: np.ndarray) -> str:
    """Advise on jumps like splits, which another unit and another company make too."""
    far = unrecorded & (np.abs(size) >= ANOTHER_UNIT)
    together = unrecorded.shape[1] > 1 and (unrecorded.all(axis=1)).any()
    what = "Jumps of all symbols at once are" if together else "A jump of twentyfold or more is"
    return (f"{what} rather another unit: {UNIT[0].lower()}{UNIT[1:]} " if far.any() or together else "") + (
        "Where the company split its shares: set prices.adjust to 'total_return' for an archive with adj_close, or to "
        "'splits' for a store with its splits recorded; else divide the prices before each jump by the new shares per "
        "old at the source. Where another company took over the ticker: give each a symbol of its own, in news and "
        "prices alike. Where a recorded split shows no jump, the levels are adjusted already: import them as such, or "
        "leave the record out."
    )


def level_breaks(tape: Tape) -> Check:
    """Find stretches in another unit, levels that nothing explains, and tickers that two companies used.

    A stretch of several bars at a third or threefold of its level, or further off, that ends as it began is in another
    unit. A jump as far that stays, with volume and range as on any day, or twentyfold, is another unit or another
    company. After a pause of ten days or more a level beyond five standard deviations, and half or double, is that of
    another company. Silent on changes of less than that, on what ``splits`` finds and on single bars (``outliers``).
    """
    prices, moves = tape.prices, tape.moves
    shape = prices.close.shape
    unit = _marked([move for move in moves if move.wrong and move.back != move.row], shape)
    gaps = _Gaps(tape, FAR)
    plain = np.zeros(shape, dtype=bool)
    plain[gaps.rows, gaps.columns] = gaps.ordinary
    split = np.zeros(shape, dtype=bool)
    split[gaps.rows, gaps.columns] = gaps.like_split()
    reused = _reused(tape, long_holes(prices))
    stayed = [
        move
        for move in moves
        if not move.wrong
        and move.back is None
        and not reused[move.row, move.column]
        and not split[move.row, move.column]
        and (
            abs(move.size) >= ANOTHER_UNIT or (abs(move.size) >= FAR and move.at_open and plain[move.row, move.column])
        )
    ]
    broken = _at(stayed, shape)
    quoted = prices.close.notna().to_numpy()
    for move in stayed:
        if abs(move.size) >= ANOTHER_UNIT:
            mine = np.flatnonzero(quoted[:, move.column])
            start = move.row if move.at_open else move.row + 1
            before, after = mine[mine < start], mine[mine >= move.row]
            short = before if len(before) < len(after) else after
            if len(short) <= EDGE_BARS:
                broken[short, move.column] = True
    marked = unit | broken | reused
    sizes = np.zeros(shape)
    for move in moves:
        sizes[move.row : (move.row if move.back is None else move.back) + 1, move.column] = move.size
    groups = (("another unit", unit), ("the level breaks", broken & ~unit), ("another company?", reused))
    counts = [int(mask.any(axis=0).sum()) for _, mask in groups]
    told = [
        f"{plural(int(unit.sum()), 'bar')} of {plural(counts[0], 'symbol')} in another unit" if counts[0] else "",
        f"{plural(counts[1], 'symbol')} whose level breaks without a cause" if counts[1] else "",
        f"{plural(counts[2], 'symbol')} that another company seems to have used before" if counts[2] else "",
    ]
    advice = f"Stretches in another unit: {UNIT[0].lower()}{UNIT[1:]}" if counts[0] or counts[1] else ""
    if counts[2]:
        advice += (" " if advice else "") + (
            "A ticker used twice: give each company a symbol of its own, in news and prices alike, or keep only the "
            "company that the news are about."
        )
    return Check(
        "level breaks",
        "bad" if marked.any() else "clean",
        "; ".join(filter(None, told)) + "." if marked.any() else "every level goes on where it stood.",
        {
            "bars_in_another_unit": int(unit.sum()),
            "symbols_in_another_unit": counts[0],
            "symbols_that_break": counts[1],
            "symbols_reused": counts[2],
        },
        pd.concat(
            [_first_of_each(mask, prices, np.exp(sizes)).assign(trouble=name) for name, mask in groups],
            ignore_index=True,
        ).head(MAX_EXAMPLES),
        remedy=advice,
        marked=marked if marked.any() else None,
    )


def _first_of_each(mask: np.ndarray, prices: Prices, factor: np.ndarray) -> pd.DataFrame:
    """Symbol, first marked bar and the factor of its jump, and how many are marked, of each symbol with marked bars."""
    columns = np.flatnonzero(mask.any(axis=0))
    rows = mask[:, columns].argmax(axis=0)
    return pd.DataFrame(
        {
            "symbol": np.asarray(prices.symbols, dtype=object)[columns],
            "bar": prices.open_at[rows],
            "last_bar": prices.open_at[len(mask) - 1 - mask[::-1, columns].argmax(axis=0)],
            "bars": mask[:, columns].sum(axis=0),
            "factor": factor[rows, columns],
        }
    )


def _reused(tape: Tape, pauses: list[BarRun]) -> np.ndarray:
    """Mark the first bar after each long pause at whose end the level is not that of before."""
    marked = np.zeros(tape.close.shape, dtype=bool)
    for pause in pauses:
        own = tape.close[:, pause.column] - tape.before[:, pause.column]
        moved = np.abs(own[np.isfinite(own) & (own != 0)])
        sigma = MAD_TO_SIGMA * float(np.median(moved)) if len(moved) else 0.0
        apart = abs(tape.gaps[pause.stop, pause.column])
        if apart > max(REUSED_FLOOR, REUSED_SIGMAS * sigma * np.sqrt(pause.stop - pause.start + 1)):
            marked[pause.stop, pause.column] = True
    return marked
