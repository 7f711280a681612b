"""Splits that follow time: training before validation before test, once or walking forward.

Windows are cut at instants, never at rows, so that what was known together stays together. How samples are divided
among them, purged and checked is told in `embargo.data_loaders.splits.purging`; what trains on both sides of a test, in
`embargo.data_loaders.splits.cross_validation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import edge_of, length_of
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.schemas import as_utc, utc_microseconds
from embargo.data_loaders.splits.purging import Window

_EDGES = ("train_start", "train_end", "validation_start", "validation_end", "test_start", "test_end")

Span: TypeAlias = str | pd.DateOffset | pd.Timedelta


@dataclass(frozen=True)
class Fold:
    """Three half-open windows [start, end) in UTC: training, then validation, then test.

    Raises
    ------
    ConfigError
        If an edge has no time zone, a window is empty, or windows overlap or are out of order.

    Examples
    --------
    >>> from embargo.data_loaders.splits import holdout
    >>> fold = holdout("2015", "2018", "2018-07", "2019")
    >>> fold.causal, fold.windows["validation"][0].start
    (True, Timestamp('2018-01-01 00:00:00+0000', tz='UTC'))
    """

    index: int
    train_start: pd.Timestamp
    train_end: pd.Timestamp
    validation_start: pd.Timestamp
    validation_end: pd.Timestamp
    test_start: pd.Timestamp
    test_end: pd.Timestamp

    def __post_init__(self) -> None:
        for name in _EDGES:
            if getattr(self, name).tzinfo is None:
                raise ConfigError(
                    f"fold {self.index}: {name} = {getattr(self, name)} has no time zone. Write it in UTC."
                )
        for window in ("train", "validation", "test"):
            start, end = getattr(self, f"{window}_start"), getattr(self, f"{window}_end")
            if start >= end:
                raise ConfigError(
                    f"fold {self.index}: the {window} window from {start} to {end} is empty. Move the dates apart."
                )
        for before, after in pairwise(("train", "validation", "test")):
            end, start = getattr(self, f"{before}_end"), getattr(self, f"{after}_start")
            if end > start:
                raise ConfigError(
                    f"fold {self.index}: {before} ends at {end}, after {after} starts at {start}. "
                    "Windows must follow one another."
                )

    @property
    def causal(self) -> bool:
        """True: everything learnt lies before everything tested."""
        return True

    @property
    def windows(self) -> dict[str, tuple[Window, ...]]:
        """The one window of ``train``, ``validation`` and ``test``."""
        return {
            "train": (Window(self.train_start, self.train_end),),
            "validation": (Window(self.validation_start, self.validation_end),),
            "test": (Window(self.test_start, self.test_end),),
        }


def _months_and_the_like(**units: int) -> pd.DateOffset:
    # The stubs of pandas take every keyword of an offset for its flag "normalize".
    return pd.DateOffset(**units)  # type: ignore[arg-type]


def _offset(span: Span, name: str) -> pd.DateOffset | pd.Timedelta:
    """Read a span: '90D', '12h' as fixed lengths; '6MS', '6M', '1Y' as calendar months and years."""
    length: pd.DateOffset | pd.Timedelta
    if isinstance(span, str):
        digits = span[: len(span) - len(span.lstrip("0123456789"))]
        unit = span[len(digits) :].strip()
        count = int(digits) if digits else 1
        calendar_units = {"MS": "months", "M": "months", "ME": "months", "Y": "years", "YS": "years", "W": "weeks"}
        if count > 0 and unit in calendar_units:
            return _months_and_the_like(**{calendar_units[unit]: count})
        try:
            length = length_of(span if digits else f"1{span}")
        except ConfigError as failure:
            raise ConfigError(
                f"split: {name} = {span!r} is no span of time. Write '6MS' for months, '2Y' for years, '90D' for days."
            ) from failure
    else:
        length = span
    if isinstance(length, pd.Timedelta) and length <= pd.Timedelta(0):
        raise ConfigError(f"split: {name} = {span!r} must be longer than nothing.")
    return length


def holdout(
    start: str | pd.Timestamp,
    validation_start: str | pd.Timestamp,
    test_start: str | pd.Timestamp,
    end: str | pd.Timestamp,
) -> Fold:
    """Make one fold: train [start, validation_start), validate [validation_start, test_start), test [test_start, end).

    Parameters
    ----------
    start, validation_start, test_start, end : str or Timestamp
        Edges, increasing; a bare date is 00:00 UTC.

    Returns
    -------
    Fold

    Raises
    ------
    ConfigError
        If the dates are unreadable or not in increasing order.

    Examples
    --------
    >>> from embargo.data_loaders.splits import holdout
    >>> holdout("2015", "2018", "2018-07", "2019").test_start
    Timestamp('2018-07-01 00:00:00+0000', tz='UTC')
    """
    first, second, third, last = (
        edge_of(value, f"split: {name}")
        for value, name in (
            (start, "start"),
            (validation_start, "validation_start"),
            (test_start, "test_start"),
            (end, "end"),
        )
    )
    return Fold(0, first, second, second, third, third, last)


def _edges(
    start: str | pd.Timestamp, first_test: str | pd.Timestamp, end: str | pd.Timestamp
) -> tuple[pd.Timestamp, pd.Timestamp, pd.Timestamp]:
    """Read where the data begin and what is tested; refuse a test that ends before it begins."""
    origin, cursor, last = (
        edge_of(value, f"split: {name}") for value, name in ((start, "start"), (first_test, "first_test"), (end, "end"))
    )
    if last <= cursor:
        raise ConfigError(f"split: end {last} is not after first_test {cursor}. Move the dates apart.")
    return origin, cursor, last


def walk_forward(
    start: str | pd.Timestamp,
    first_test: str | pd.Timestamp,
    end: str | pd.Timestamp,
    *,
    test_span: Span,
    validation_span: Span,
    train_span: Span | None = None,
) -> list[Fold]:
    """Make folds whose test windows follow one another and together are exactly [first_test, end).

    Parameters
    ----------
    start : Timestamp or str
        Where the data begin; a bare date is 00:00 UTC.
    first_test, end : Timestamp or str
        Start of the first test window and end of the last one.
    test_span, validation_span : str, DateOffset or Timedelta
        Length of each test window and of the validation window right before it: ``'6MS'`` is six calendar months
        from wherever the window starts, ``'90D'`` ninety days.
    train_span : str, DateOffset or Timedelta, optional
        Length of a rolling training window. Without it training expands: it always begins at ``start``.

    Returns
    -------
    list of Fold
        What remains before ``end`` after the last whole test span is a fold of its own when it is at least half a
        span long, and belongs to the fold before it otherwise.

    Raises
    ------
    ConfigError
        If a span is unreadable, the first training window would be empty or would begin before ``start``, or
        ``end`` is not after ``first_test``.

    Examples
    --------
    >>> from embargo.data_loaders.splits import walk_forward
    >>> folds = walk_forward("2015", "2018", "2020", test_span="6MS", validation_span="3MS")
    >>> [f"{fold.test_start:%Y-%m-%d}" for fold in folds]
    ['2018-01-01', '2018-07-01', '2019-01-01', '2019-07-01']
    """
    origin, cursor, last = _edges(start, first_test, end)
    test, validation = _offset(test_span, "test_span"), _offset(validation_span, "validation_span")
    rolling = None if train_span is None else _offset(train_span, "train_span")
    edges = [cursor]
    for step in range(1, 100_000):
        edge = cursor + test * step if isinstance(test, pd.Timedelta) else _repeat(cursor, test, step)
        if edge >= last:
            whole = edge - edges[-1]
            if len(edges) > 1 and (last - edges[-1]) * 2 < whole:
                edges.pop()
            edges.append(last)
            break
        edges.append(edge)
    else:
        raise ConfigError(f"split: test_span {test_span!r} makes more than 100,000 folds. Use a longer one.")
    trained = []
    for test_start in edges[:-1]:
        validation_start = test_start - validation
        trained.append((origin if rolling is None else validation_start - rolling, validation_start))
    return _folds(origin, edges, trained, "validation_span or train_span")


def walk_forward_by_count(
    start: str | pd.Timestamp,
    first_test: str | pd.Timestamp,
    end: str | pd.Timestamp,
    *,
    instants: pd.Series | pd.DatetimeIndex,
    test_count: int,
    validation_count: int,
    train_count: int | None = None,
) -> list[Fold]:
    """Make folds that hold a number of samples or of bars each; test windows together are exactly [first_test, end).

    Every boundary between windows is one of the instants, and all that share it stand behind it: ties are never torn
    apart. A window therefore holds at least its count, and more only by those tied with its outermost one.

    Parameters
    ----------
    start, first_test, end : Timestamp or str
        As in `walk_forward`.
    instants : Series or DatetimeIndex, shape (n,)
        What is counted, UTC, in any order: ``known_at`` of the samples, or ``open_at`` of the bars. Those outside
        [start, end) do not count.
    test_count, validation_count : int
        How many instants a test window holds, and the validation window right before it; at least 1.
    train_count : int, optional
        How many a rolling training window holds. Without it training expands: it always begins at ``start``.

    Returns
    -------
    list of Fold
        What remains after the last whole test window is a fold of its own when it holds at least half of
        ``test_count``, and belongs to the fold before it otherwise.

    Raises
    ------
    ConfigError
        If a count is below 1, the instants do not fill the first training, validation and test window, or ``end`` is
        not after ``first_test``.
    DataError
        If an instant is naive or missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.splits import walk_forward_by_count
    >>> days = pd.date_range("2020-01-01", periods=100, tz="UTC")
    >>> span = {"start": "2020-01-01", "first_test": "2020-03-01", "end": "2020-04-10"}
    >>> folds = walk_forward_by_count(**span, instants=days, test_count=20, validation_count=10)
    >>> [(fold.test_end - fold.test_start).days for fold in folds]
    [20, 20]
    """
    origin, cursor, last = _edges(start, first_test, end)
    counts = {"test_count": test_count, "validation_count": validation_count, "train_count": train_count}
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ConfigError(f"split: {name} must be at least 1, got {count}.")
    stamps = np.sort(utc_microseconds(as_utc(instants, what="split: instants")))
    low, first, high = (_position(stamps, edge) for edge in (origin, cursor, last))
    if first == high:
        raise ConfigError(f"split: no instant lies between first_test {cursor} and end {last}. Move the dates.")
    edges, position = [cursor], first
    while high - position > test_count:
        # The window ends where the instant after its last one begins, past all that are tied with the last.
        following = int(np.searchsorted(stamps, stamps[position + test_count - 1], side="right"))
        left = high - following
        if left == 0 or left * 2 < test_count:
            break
        edges.append(_stamp(stamps[following]))
        position = following
    edges.append(last)
    trained = []
    for test_start in edges[:-1]:
        validation_start = _before(stamps, test_start, validation_count, low, "validation_count")
        train_start = _before(stamps, validation_start, train_count or 1, low, "train_count")
        trained.append((origin if train_count is None else train_start, validation_start))
    return _folds(origin, edges, trained, "validation_count or train_count")


def _stamp(instant: np.datetime64) -> pd.Timestamp:
    return pd.Timestamp(instant, tz="UTC").as_unit("us")


def _position(stamps: np.ndarray, edge: pd.Timestamp) -> int:
    """Count the instants before an edge."""
    return int(np.searchsorted(stamps, edge.tz_localize(None).to_datetime64(), side="left"))


def _before(stamps: np.ndarray, edge: pd.Timestamp, count: int, low: int, name: str) -> pd.Timestamp:
    """Find where the last ``count`` instants before an edge begin."""
    position = _position(stamps, edge) - count
    if position < low:
        raise ConfigError(
            f"split: {name} = {count}, but only {position + count - low} instants lie before {edge}. "
            f"Move first_test later, or lower {name}."
        )
    return _stamp(stamps[position])


def _folds(
    origin: pd.Timestamp, edges: Sequence[pd.Timestamp], trained: Sequence[tuple[pd.Timestamp, pd.Timestamp]], knob: str
) -> list[Fold]:
    """Put a test window between each two edges, after the training and validation windows found for it."""
    folds = []
    for index, ((test_start, test_end), (train_start, validation_start)) in enumerate(
        zip(pairwise(edges), trained, strict=True)
    ):
        if validation_start <= origin or train_start < origin:
            raise ConfigError(
                f"split: fold {index} would train from {train_start} to {validation_start}, but the data begin at "
                f"{origin}. Move first_test later, or shorten {knob}."
            )
        folds.append(Fold(index, train_start, validation_start, validation_start, test_start, test_start, test_end))
    return folds


def _repeat(start: pd.Timestamp, offset: pd.DateOffset, times: int) -> pd.Timestamp:
    """Add an offset several times from one anchor, so that 31 January plus months does not creep to the 28th."""
    if type(offset) is pd.DateOffset and offset.kwds:
        return start + _months_and_the_like(**{unit: count * times for unit, count in offset.kwds.items()})
    stamp = start
    for _ in range(times):
        stamp = stamp + offset
    return stamp
