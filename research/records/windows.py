"""What an attempt was traded on: bars, symbols, and marks of their prices by which the same market is known again.

Two windows overlap if they share a bar and a symbol whose prices move alike. One more bar, one symbol less or another
file of news make another window of the same market, and so do its prices rounded to ticks; the same name in another
market does not overlap with it. A mark is what an asset gained within a bar, which no later split or dividend changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import length_of
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices
from embargo.research.records.lines import opened

WINDOW, LIST, ROWS = ".window", ".jsonl", ".rows"
_A_KEY = "[0-9a-f]" * 16
_MOST_MARKS = 1 << 14
_PARTS = 1e6
_NO_MARK = np.iinfo(np.int32).min
_ENOUGH = 20
_ALIKE = 0.9
_NEAR = 0.25


@dataclass(frozen=True, eq=False)
class TradedWindow:
    """Bars and symbols that were tested on.

    Attributes
    ----------
    identity : str
        Fingerprint of bars and prices, 64 hex digits; equal for equal windows alone.
    length : int
        Of a bar, in microseconds.
    symbols : tuple of str
    open_at : int array, shape (bars,)
        When each bar opens, in microseconds since 1970, UTC.
    step : int
        Every so many bar lengths a bar has marks.
    marks : int array, shape (marked bars, symbols)
        Logarithm of close over open in millionths; the lowest number where an asset did not trade or did not move,
        which tells nothing.

    Examples
    --------
    >>> from embargo.data_loaders.simulated import SimulatedMarket, simulate_market
    >>> from embargo.research.records.windows import overlap, window_on
    >>> market = {"n_symbols": 2, "start": "2015-01-01", "end": "2015-06-01"}
    >>> one, other = (simulate_market(SimulatedMarket(seed=seed, **market)).prices for seed in (0, 1))
    >>> whole, sooner, foreign = (window_on(each, "1d") for each in (one, one.select(bars=range(80)), other))
    >>> whole.identity == sooner.identity, overlap(whole, sooner), overlap(whole, foreign)
    (False, True, False)
    """

    identity: str
    length: int
    symbols: tuple[str, ...]
    open_at: np.ndarray
    step: int
    marks: np.ndarray

    @property
    def span(self) -> tuple[np.datetime64, np.datetime64]:
        """When the first and the last bar open, UTC."""
        return self.open_at[0].astype("datetime64[us]"), self.open_at[-1].astype("datetime64[us]")

    @property
    def key(self) -> str:
        """What its files are called in the ledger."""
        return self.identity[:16]

    @cached_property
    def marked_at(self) -> np.ndarray:
        """When the marked bars open: a rule of the instant, so that windows mark the same bars."""
        return np.asarray(self.open_at[_marked(self.open_at, self.length, self.step)])


def _marked(open_at: np.ndarray, length: int, step: int) -> np.ndarray:
    return np.asarray((open_at // length) % step == 0)


def window_on(prices: Prices, bar: str) -> TradedWindow:
    """Describe the bars and prices that are tested on.

    Parameters
    ----------
    prices : Prices
        Of the test bars alone.
    bar : str
        Length of a bar, such as ``"1d"``.
    """
    length = length_of(bar) // pd.Timedelta(1, "us")
    open_at = prices.open_at.as_unit("us").asi8
    opens, closes = (np.ascontiguousarray(panel.to_numpy(dtype=float)) for panel in (prices.open, prices.close))
    digest = hashlib.sha256(",".join(prices.symbols).encode())
    digest.update(open_at.tobytes())
    for panel in (opens, closes):
        digest.update(panel.tobytes())
    step = 1
    while step < len(open_at) and _marked(open_at, length, step).sum() * opens.shape[1] > _MOST_MARKS:
        step *= 2
    rows = _marked(open_at, length, step)
    with np.errstate(invalid="ignore", divide="ignore"):
        gained = np.rint(np.log(closes[rows] / opens[rows]) * _PARTS)
    marks = np.where(np.isfinite(gained) & (gained != 0.0), gained, _NO_MARK).astype(np.int32)
    return TradedWindow(digest.hexdigest(), length, tuple(map(str, prices.symbols)), open_at, step, marks)


def overlap(one: TradedWindow, other: TradedWindow) -> bool:
    """Tell whether two windows share a bar and a symbol of the same market.

    The marks of a symbol are held against each other on the shared bars on which it moved in both. Of 20 such bars or
    more their rank correlation is 0.9 or more; of fewer more than half differ by a quarter of the larger mark at most.
    So prices rounded to ticks, or scaled for a dividend and then rounded, stay the same market until a tick is worth
    more than a typical move; two markets that have nothing but names in common are taken for one in less than one of
    1,000 cases from 20 such bars on. The same asset on another venue is the same market, and so is
    a simulated one whose news move it more or less.

    Where marks cannot be held against each other, an equal name is taken for the same asset, as an attempt too many
    costs less than one that is forgotten: where none of the shared bars is marked in both, where nothing moved on them,
    and where the bars have another length and no more than their times overlap.
    """
    if one.identity == other.identity:
        return True
    columns = _places(one.symbols, other.symbols)
    if not len(columns[0]) or not _meet(one, other):
        return False
    if one.length != other.length:
        return True
    if not len(np.intersect1d(one.open_at, other.open_at, assume_unique=True)):
        return False
    _, left, right = np.intersect1d(one.marked_at, other.marked_at, assume_unique=True, return_indices=True)
    mine, yours = one.marks[left][:, columns[0]], other.marks[right][:, columns[1]]
    moved = (mine != _NO_MARK) & (yours != _NO_MARK)
    mine, yours = np.where(moved, mine, np.nan), np.where(moved, yours, np.nan)
    bars = moved.sum(axis=0)
    return bool(np.where(bars < _ENOUGH, _few_agree(mine, yours), _ranks_agree(mine, yours)).any())


def _few_agree(mine: np.ndarray, yours: np.ndarray) -> np.ndarray:
    """Whether more than half of the marks of each symbol are near each other, or there are none."""
    moved = np.isfinite(mine)
    largest = np.maximum(np.abs(mine), np.abs(yours))
    near = np.abs(mine - yours) <= np.maximum(1.0, _NEAR * largest)
    return np.asarray((2 * near.sum(axis=0) > moved.sum(axis=0)) | ~moved.any(axis=0))


def _ranks_agree(mine: np.ndarray, yours: np.ndarray) -> np.ndarray:
    """Whether the rank correlation of the marks of each symbol is high, or a single value in one tells nothing."""
    left, right = (pd.DataFrame(marks).rank() for marks in (mine, yours))
    left, right = left - left.mean(), right - right.mean()
    return np.asarray((left * right).sum() >= _ALIKE * np.sqrt((left**2).sum() * (right**2).sum()))


def _meet(one: TradedWindow, other: TradedWindow) -> bool:
    return bool(one.open_at[0] <= other.open_at[-1] and other.open_at[0] <= one.open_at[-1])


def _places(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[list[int], list[int]]:
    at = {name: place for place, name in enumerate(other)}
    shared = [(place, at[name]) for place, name in enumerate(one) if name in at]
    return [mine for mine, _ in shared], [yours for _, yours in shared]


def keep_window(folder: Path, window: TradedWindow) -> None:
    """Write a window into the ledger, whole or not at all; one that is there stays.

    Raises
    ------
    OSError
        If the disk is full.
    """
    path = folder / f"{window.key}{WINDOW}"
    if path.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    head = {
        "window": window.identity,
        "length": window.length,
        "first": int(window.open_at[0]),
        "last": int(window.open_at[-1]),
        "bars": len(window.open_at),
        "step": window.step,
        "symbols": window.symbols,
    }
    descriptor, draft = tempfile.mkstemp(dir=folder, prefix=".window-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps(head).encode() + b"\n")
            file.write(window.open_at.astype("<i8").tobytes())
            file.write(window.marks.astype("<i4").tobytes())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def windows_in(folder: Path, near: TradedWindow | None = None) -> Iterator[TradedWindow]:
    """Read the windows of a ledger, in no order that means anything; or those alone that overlap with one.

    Raises
    ------
    DataError
        If one cannot be read, or another file of the ledger stands alone: its attempts would be forgotten.
    """
    for path in sorted([*folder.glob(f"{_A_KEY}{LIST}"), *folder.glob(f"{_A_KEY}{ROWS}")]):
        for needed in (WINDOW, LIST):
            if not os.path.lexists(path.with_suffix(needed)):
                raise DataError(
                    f"{path.with_suffix(needed)}: missing, so that nobody knows what attempts {path.name} speaks of. "
                    "Restore the file or move the others away."
                )
    for path in sorted(folder.glob(f"*{WINDOW}")):
        found = _read(path, near)
        if found is not None and (near is None or overlap(near, found)):
            yield found


def _read(path: Path, near: TradedWindow | None) -> TradedWindow | None:
    """Read a window; None for one of another time than the one asked for, of which only the head is read."""
    with opened(path) as file:
        try:
            head = json.loads(file.readline())
            first, last, bars = (int(head[name]) for name in ("first", "last", "bars"))
            if near is not None and not (first <= near.open_at[-1] and near.open_at[0] <= last):
                return None
            open_at = np.frombuffer(file.read(8 * bars), dtype="<i8")
            marks = np.frombuffer(file.read(), dtype="<i4")
            identity = str(head["window"])
            if not identity.startswith(path.stem):
                raise ValueError(f"it is of window {identity[:16]}")
            symbols, length, step = tuple(map(str, head["symbols"])), int(head["length"]), int(head["step"])
            marked = int(_marked(open_at, length, step).sum())
            return TradedWindow(identity, length, symbols, open_at, step, marks.reshape(marked, len(symbols)))
        except (ValueError, TypeError, KeyError, IndexError, RecursionError) as failure:
            raise DataError(
                f"{path}: not a window that a ledger wrote ({failure}). Restore the file or move it away."
            ) from failure
