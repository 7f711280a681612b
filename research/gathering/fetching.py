"""Filling a store from Yahoo and Bybit: only what is missing is asked for, and every answer is kept at once.

The store remembers which spans of which series were answered. A fetch asks for the rest in chunks and appends each
chunk whole, so one that is killed loses at most a chunk and the next one goes on there. The newest bars that were there
before are asked for again: what the venue has changed since becomes a revision, known from now on and not before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import pandas as pd

from embargo.data_loaders.calendars import ROUND_THE_CLOCK, sessions
from embargo.data_loaders.errors import ServiceError
from embargo.data_loaders.records import Dataset
from embargo.data_loaders.retries import Patience
from embargo.data_loaders.store import Cover, Store
from embargo.data_loaders.store.additions import Added, sift

T = TypeVar("T")
Now = Callable[[], pd.Timestamp]

TAIL_BARS = 7
CHUNK_BARS = 10_000
FLUSH_ROWS = 5_000
FLUSH_SECONDS = 15.0


@dataclass(frozen=True)
class Series:
    """One series that a source can be asked for.

    Attributes
    ----------
    dataset, venue, symbol, bar : str
        ``bar`` is empty where the dataset has none.
    step : Timedelta
        Time between two facts, roughly; the unit of the tail and of chunks.
    """

    dataset: Dataset
    venue: str
    symbol: str
    bar: str
    step: pd.Timedelta

    @property
    def tail(self) -> pd.Timedelta:
        """How far back a continued series is asked for again."""
        return TAIL_BARS * self.step

    def __str__(self) -> str:
        return f"{self.symbol} {self.bar or self.dataset}"


@dataclass(frozen=True)
class Stretch:
    """Something to ask for: ``[start, end)``, of which ``[new_from, end)`` was never answered."""

    start: pd.Timestamp
    new_from: pd.Timestamp
    end: pd.Timestamp


@dataclass(frozen=True)
class Answer:
    """What a source said about some series and one span.

    Attributes
    ----------
    facts : mapping of dataset to DataFrame
        Of the series and of whatever came with them.
    until : mapping of symbol to Timestamp
        Up to where each series was answered in full: before a bar that is unfinished or not served yet.
    failures : mapping of symbol to str
        Why a symbol has no answer; of those nothing is stored.
    gaps : mapping of symbol to int
        Bars that the source does not have although their neighbours are there.
    """

    facts: Mapping[Dataset, pd.DataFrame]
    until: Mapping[str, pd.Timestamp]
    failures: Mapping[str, str] = field(default_factory=dict)
    gaps: Mapping[str, int] = field(default_factory=dict)


Ask = Callable[[list[str], pd.Timestamp, pd.Timestamp], Answer]


@dataclass
class Tally:
    """What a fetch did so far: rows by dataset, series that needed or brought nothing, gaps, failures by name."""

    added: dict[str, Added] = field(default_factory=dict)
    complete: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    gaps: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, dataset: str, added: Added) -> None:
        """Count rows."""
        self.added[dataset] = self.added.get(dataset, Added()) + added

    def failure_lines(self) -> list[str]:
        """Each failure in one line that names what failed."""
        return [
            reason if name.partition(" ")[0] in reason else f"{name}: {reason}"
            for name, reason in self.failures.items()
        ]


def finished_until(calendar: str, bar: pd.Timedelta, now: pd.Timestamp) -> pd.Timestamp:
    """Close of the newest bar that is over at ``now``: nothing after it can be asked for yet.

    Parameters
    ----------
    calendar : str
        exchange_calendars code or ``"24/7"``.
    bar : Timedelta
        A day or longer, or a part of a session.
    now : Timestamp
    """
    day = pd.Timedelta(days=1)
    if calendar == ROUND_THE_CLOCK:
        return now.floor(min(bar, day)).as_unit("us")
    table = sessions(calendar, now - pd.Timedelta(days=21), now)
    opened = table.loc[table["open_at"] <= now]
    if opened.empty:
        return now - pd.Timedelta(days=21)
    latest = opened.iloc[-1]
    if latest["close_at"] <= now:
        return pd.Timestamp(latest["close_at"])
    if bar < day:
        return pd.Timestamp(latest["open_at"] + (now - latest["open_at"]) // bar * bar)
    return pd.Timestamp(opened.iloc[-2]["close_at"])


def spans_to_ask(
    store: Store, series: Series, start: pd.Timestamp, end: pd.Timestamp, *, chunk: pd.Timedelta | None
) -> list[Stretch]:
    """Cut what was never answered in ``[start, end)`` into chunks; one that continues a series starts with its tail."""
    covered = store.covered(series.dataset, series.venue, series.symbol, series.bar)
    spans = []
    for low, high in store.missing(series.dataset, series.venue, series.symbol, start, end, series.bar):
        before = [begin for begin, until in covered if until == low]
        first = max(low - series.tail, before[0]) if before else low
        new_from = low
        while new_from < high:
            until = high if chunk is None else min(new_from + chunk, high)
            spans.append(Stretch(first, new_from, until))
            first = new_from = until
    return spans


class Writer:
    """Appends answers to a store, several small ones at a time, and counts what they add.

    Parameters
    ----------
    store : Store
    source : str
        Recorded with each batch.
    clock : callable
        Gives the instant of each commit.
    tally : Tally
    """

    def __init__(self, store: Store, source: str, clock: Now, tally: Tally) -> None:
        self._store = store
        self._source = source
        self._clock = clock
        self._tally = tally
        self._frames: dict[Dataset, list[pd.DataFrame]] = {}
        self._covers: dict[Dataset, list[Cover]] = {}
        self._rows = 0
        self._since = time.monotonic()

    def add(self, dataset: Dataset, frame: pd.DataFrame, *, compare: bool, covers: Sequence[Cover] = ()) -> None:
        """Take facts, without those that the store has already if ``compare``; an empty frame may have covers."""
        added = Added(new=len(frame))
        if compare and len(frame):
            frame, added = sift(self._store, dataset, frame, at=self._clock())
        self._tally.add(dataset, added)
        if not self._rows and not any(self._covers.values()):
            self._since = time.monotonic()
        if len(frame):
            self._frames.setdefault(dataset, []).append(frame)
            self._rows += len(frame)
        if covers:
            self._covers.setdefault(dataset, []).extend(covers)

    def flush_when_due(self) -> None:
        """Append once enough rows or seconds have come together."""
        if self._rows >= FLUSH_ROWS or time.monotonic() - self._since >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Append everything taken so far; bars last, because their covers vouch for the rest too."""
        for dataset in sorted({*self._frames, *self._covers}, key=lambda name: name == "bars"):
            frames, covers = self._frames.pop(dataset, []), self._covers.pop(dataset, [])
            self._store.append(
                dataset,
                pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(),
                source=self._source,
                committed_at=self._clock(),
                covers=covers,
            )
        self._rows = 0
        self._since = time.monotonic()


def fill(
    wanted: Sequence[Series],
    ask: Ask,
    *,
    start: pd.Timestamp,
    end: Callable[[Series], pd.Timestamp],
    chunk: pd.Timedelta | None,
    together: int,
    store: Store,
    writer: Writer,
    tally: Tally,
    patience: Patience,
    advance: Callable[[int, int], None],
) -> None:
    """Ask for what is missing of each series and append it.

    Parameters
    ----------
    wanted : sequence of Series
        Of one dataset, venue and bar.
    ask : callable
        Symbols, start and end to an `Answer`.
    start : Timestamp
        From here, included.
    end : callable
        Up to where a series can be finished.
    chunk : Timedelta, optional
        Longest span of one question.
    together : int
        Most series in one question.
    patience : Patience
        A source that answers nothing for as long as one request may take, or to two questions in a row, is given up.

    Raises
    ------
    ServiceError
        If the source is given up; what was answered until then is taken.
    """
    questions: dict[Stretch, list[Series]] = {}
    for series in wanted:
        until = end(series)
        spans = spans_to_ask(store, series, start, until, chunk=chunk) if until > start else []
        if not spans:
            (tally.complete if until > start else tally.empty).append(str(series))
        for span in spans:
            questions.setdefault(span, []).append(series)
    parts = [
        (span, group[first : first + together])
        for span, group in questions.items()
        for first in range(0, len(group), together)
    ]
    advance(0, len(parts))
    failed: set[str] = set()
    served: set[str] = set()
    unanswered: dict[str, ServiceError] = {}
    answered, last_answer = False, time.monotonic()
    for done, (span, whole) in enumerate(parts, start=1):
        group = [series for series in whole if series.symbol not in failed]
        if not group:
            continue
        try:
            answer = interruptibly(partial(ask, [series.symbol for series in group], span.start, span.end))
        except ServiceError as failure:
            in_a_row = bool(unanswered)
            unanswered |= dict.fromkeys(map(str, group), failure)
            failed |= {series.symbol for series in group}
            if in_a_row or time.monotonic() - last_answer >= patience.deadline:
                raise _given_up(failure, len(parts) - done) from failure
            continue
        tally.failures |= {name: str(reason) for name, reason in unanswered.items()}
        unanswered, answered, last_answer = {}, True, time.monotonic()
        failed |= set(answer.failures)
        facts = answer.facts.get(group[0].dataset)
        here = set() if facts is None or facts.empty else set(facts["symbol"])
        served |= {str(series) for series in group if series.symbol in here}
        _take(answer, group, span, writer, tally)
        writer.flush_when_due()
        advance(done, len(parts))
    if unanswered and not answered:
        first = next(iter(unanswered.values()))
        raise _given_up(first, 0) from first
    tally.failures |= {name: str(reason) for name, reason in unanswered.items()}
    asked = [str(series) for series in wanted if any(series in group for group in questions.values())]
    tally.empty += [name for name in asked if name not in tally.failures and name not in served]


def interruptibly(work: Callable[[], T]) -> T:
    """Do something that waits for a server, in a thread of its own so that Ctrl-C is heard at once.

    A client that waits inside C code would hear it only when its time is up. The thread is then left behind.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as failure:
            outcome.set_exception(failure)

    threading.Thread(target=run, daemon=True).start()
    return outcome.result()


def _given_up(failure: ServiceError, left: int) -> ServiceError:
    rest = f" {left:,} more questions were not asked." if left else ""
    return ServiceError(f"{failure}{rest} What was answered is kept, and the next call continues there.")


def _take(answer: Answer, group: Sequence[Series], span: Stretch, writer: Writer, tally: Tally) -> None:
    own = group[0].dataset
    covers = [
        Cover(own, series.venue, series.symbol, series.bar, span.new_from, answer.until[series.symbol])
        for series in group
        if series.symbol in answer.until and answer.until[series.symbol] > span.new_from
    ]
    for dataset, frame in answer.facts.items():
        repeats = dataset != own or span.start < span.new_from
        writer.add(dataset, frame, compare=repeats, covers=covers if dataset == own else ())
    for series in group:
        if series.symbol in answer.failures:
            tally.failures[str(series)] = answer.failures[series.symbol]
        if missing := answer.gaps.get(series.symbol, 0):
            tally.gaps[str(series)] = tally.gaps.get(str(series), 0) + missing
