"""Splits in time: training before validation before test, with label intervals purged and an embargo kept.

Purging looks at the interval over which a label was computed, never at row counts, and only ever removes samples
before a boundary: the size of a test window cannot depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import pandas as pd

from data_loaders.calendars import length_of
from data_loaders.errors import ConfigError, DataError, LeakError
from data_loaders.quality import text_keys
from data_loaders.schemas import CLASSES, as_utc

SAMPLE_COLUMNS = ("article_id", "text", "label", "known_at", "starts_at", "ends_at")
_INSTANTS = ("known_at", "starts_at", "ends_at")
_EDGES = ("train_start", "train_end", "validation_start", "validation_end", "test_start", "test_end")

Span: TypeAlias = str | pd.DateOffset | pd.Timedelta


@dataclass(frozen=True)
class Fold:
    """Three half-open windows [start, end) in UTC: training, then validation, then test.

    Raises
    ------
    ConfigError
        If an edge has no time zone, a window is empty, or windows overlap or are out of order.
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


@dataclass(frozen=True)
class SplitSamples:
    """Samples of one fold, sorted by ``known_at``, and how many fell away and why."""

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    counts: dict[str, int]


def _instant(value: str | pd.Timestamp, name: str) -> pd.Timestamp:
    """Read an edge: a bare date or a naive stamp is 00:00 or that time in UTC, since it is a boundary, not an event."""
    try:
        stamp = pd.Timestamp(value)
    except ValueError as failure:
        raise ConfigError(f"split: {name} = {value!r} is no date. Write it as YYYY-MM-DD.") from failure
    if stamp is pd.NaT:
        raise ConfigError(f"split: {name} is missing. Write it as YYYY-MM-DD.")
    return (stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")).as_unit("us")


def _offset(span: Span, name: str) -> pd.DateOffset | pd.Timedelta:
    """Read a span: '90D', '12h' as fixed lengths; '6MS', '6M', '1Y' as calendar months and years."""
    if isinstance(span, str):
        digits = span[: len(span) - len(span.lstrip("0123456789"))]
        unit = span[len(digits) :].strip()
        count = int(digits) if digits else 1
        calendar_units = {"MS": "months", "M": "months", "ME": "months", "Y": "years", "YS": "years", "W": "weeks"}
        if count > 0 and unit in calendar_units:
            return pd.DateOffset(**{calendar_units[unit]: count})
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

    Raises
    ------
    ConfigError
        If the dates are unreadable or not in increasing order.
    """
    first, second, third, last = (
        _instant(value, name)
        for value, name in (
            (start, "start"),
            (validation_start, "validation_start"),
            (test_start, "test_start"),
            (end, "end"),
        )
    )
    return Fold(0, first, second, second, third, third, last)


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
    """
    origin, cursor, last = _instant(start, "start"), _instant(first_test, "first_test"), _instant(end, "end")
    test, validation = _offset(test_span, "test_span"), _offset(validation_span, "validation_span")
    rolling = None if train_span is None else _offset(train_span, "train_span")
    if last <= cursor:
        raise ConfigError(f"split: end {last} is not after first_test {cursor}.")
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
    folds = []
    for index, (test_start, test_end) in enumerate(pairwise(edges)):
        validation_start = test_start - validation
        train_start = origin if rolling is None else validation_start - rolling
        if validation_start <= origin or train_start < origin:
            raise ConfigError(
                f"split: fold {index} would train from {train_start} to {validation_start}, but the data begin at "
                f"{origin}. Move first_test later, or shorten validation_span or train_span."
            )
        folds.append(Fold(index, train_start, validation_start, validation_start, test_start, test_start, test_end))
    return folds


def _repeat(start: pd.Timestamp, offset: pd.DateOffset, times: int) -> pd.Timestamp:
    """Add an offset several times from one anchor, so that 31 January plus months does not creep to the 28th."""
    if type(offset) is pd.DateOffset and offset.kwds:
        return start + pd.DateOffset(**{unit: count * times for unit, count in offset.kwds.items()})
    stamp = start
    for _ in range(times):
        stamp = stamp + offset
    return stamp


def _checked(samples: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in SAMPLE_COLUMNS if name not in samples.columns]
    if missing:
        raise DataError(f"samples: missing columns {missing}. Make them with data_loaders.labels.")
    samples = samples.copy()
    for name in _INSTANTS:
        samples[name] = as_utc(samples[name], what=f"samples, column {name}")
    for early, late in (("starts_at", "ends_at"), ("known_at", "starts_at")):
        wrong = samples[early] > samples[late]
        if wrong.any():
            row = samples.loc[wrong].iloc[0]
            raise DataError(
                f"samples: {int(wrong.sum())} have {early} after {late}, first {row['article_id']!r} "
                f"({row[early]} > {row[late]}). A label's interval begins when its article is known."
            )
    if not samples["label"].isin(range(len(CLASSES))).all():
        odd = samples.loc[~samples["label"].isin(range(len(CLASSES)))].iloc[0]
        raise DataError(
            f"samples: label {odd['label']} of article {odd['article_id']!r} is none of 0, 1, 2 (bearish, neutral, "
            "bullish). Map it when reading the labels."
        )
    return samples.sort_values(["known_at", "article_id"], ignore_index=True, kind="stable")


def _before_boundary(
    part: pd.DataFrame, boundary: pd.Timestamp, embargo: pd.Timedelta
) -> tuple[pd.DataFrame, int, int]:
    """Keep samples whose label ended before ``boundary - embargo``; count what the purge and the embargo took."""
    purged = part["ends_at"] >= boundary
    embargoed = ~purged & (part["ends_at"] >= boundary - embargo)
    return part.loc[~purged & ~embargoed].reset_index(drop=True), int(purged.sum()), int(embargoed.sum())


def part_of(samples: pd.DataFrame, fold: Fold, *, embargo: pd.Timedelta) -> SplitSamples:
    """Divide samples among the windows of a fold, purge label intervals that cross a boundary, and keep the embargo.

    A sample belongs to the window that holds its ``known_at``. A training sample is purged when its label interval
    reaches ``validation_start``, a validation sample when it reaches ``test_start`` (Lopez de Prado 2018, chapter 7).
    Of the rest, those whose label ended within ``embargo`` before the boundary are dropped too.

    Parameters
    ----------
    samples : DataFrame
        ``article_id, text, label, known_at, starts_at, ends_at``; instants in UTC, shape (n, 6 or more).
    fold : Fold
        The windows.
    embargo : Timedelta
        Not negative. At least the memory of the features (the decay half-life) and the horizon of the labels.

    Returns
    -------
    SplitSamples
        With counts ``train, validation, test, outside, purged_train, purged_validation, embargoed_train,
        embargoed_validation`` (these add up to n) and ``test_texts_seen_in_train``, the test samples whose normalised
        text also occurs in training: they are kept, since a trader would see them too, but an accuracy should not
        boast of them.

    Raises
    ------
    ConfigError
        If the embargo is negative.
    DataError
        If the samples are malformed or a window ends up empty.
    """
    if embargo < pd.Timedelta(0):
        raise ConfigError(f"split: embargo must not be negative, got {embargo}.")
    samples = _checked(samples)
    known_at = samples["known_at"]
    windows = {
        name: samples.loc[
            (known_at >= getattr(fold, f"{name}_start")) & (known_at < getattr(fold, f"{name}_end"))
        ].reset_index(drop=True)
        for name in ("train", "validation", "test")
    }
    outside = len(samples) - sum(len(window) for window in windows.values())
    train, purged_train, embargoed_train = _before_boundary(windows["train"], fold.validation_start, embargo)
    validation, purged_validation, embargoed_validation = _before_boundary(
        windows["validation"], fold.test_start, embargo
    )
    test = windows["test"]
    for name, part in (("train", train), ("validation", validation), ("test", test)):
        if part.empty:
            raise DataError(
                f"fold {fold.index}: no {name} samples between {getattr(fold, name + '_start')} and "
                f"{getattr(fold, name + '_end')} ({len(windows[name])} before purge and an embargo of {embargo}; "
                f"all samples run from {known_at.min()} to {known_at.max()}). Move the dates, lengthen the {name} "
                "window or shorten the embargo."
            )
    assert_no_leakage(train, validation, test, fold, embargo)
    counts = {
        "train": len(train),
        "validation": len(validation),
        "test": len(test),
        "outside": outside,
        "purged_train": purged_train,
        "purged_validation": purged_validation,
        "embargoed_train": embargoed_train,
        "embargoed_validation": embargoed_validation,
        "test_texts_seen_in_train": int(text_keys(test["text"]).isin(set(text_keys(train["text"]))).sum()),
    }
    return SplitSamples(train, validation, test, counts)


def _refuse_first(part: pd.DataFrame, wrong: pd.Series, fold: Fold, complaint: str) -> None:
    if wrong.any():
        row = part.loc[wrong].iloc[0]
        raise LeakError(
            f"fold {fold.index}: {int(wrong.sum())} {complaint}, first {row['article_id']!r} (known {row['known_at']}, "
            f"label from {row['starts_at']} to {row['ends_at']}). Split with data_loaders.splits.part_of."
        )


def assert_no_leakage(
    train: pd.DataFrame, validation: pd.DataFrame, test: pd.DataFrame, fold: Fold, embargo: pd.Timedelta
) -> None:
    """Check a split against its promise, independently of how it was made.

    Raises
    ------
    LeakError
        Naming the first sample that lies outside its window, whose label interval reaches the next window or the
        embargo before it, overlaps the interval of any later sample, or which stands in two parts.
    """
    parts = {"train": train, "validation": validation, "test": test}
    for name, part in parts.items():
        start, end = getattr(fold, f"{name}_start"), getattr(fold, f"{name}_end")
        stray = (part["known_at"] < start) | (part["known_at"] >= end)
        _refuse_first(part, stray, fold, f"{name} samples lie outside [{start}, {end})")
    for before, after in (("train", "validation"), ("validation", "test"), ("train", "test")):
        boundary = getattr(fold, f"{after}_start")
        part = parts[before]
        _refuse_first(
            part,
            part["ends_at"] >= boundary - embargo,
            fold,
            f"{before} labels reach {boundary} less {embargo} embargo",
        )
        if len(parts[after]):
            earliest = parts[after]["starts_at"].min()
            _refuse_first(part, part["ends_at"] >= earliest, fold, f"{before} labels overlap {after} labels")
        shared = part["article_id"].isin(set(parts[after]["article_id"]))
        _refuse_first(part, shared, fold, f"articles stand both in {before} and in {after}")


def split_undated(samples: pd.DataFrame, *, validation_share: float, seed: int) -> SplitSamples:
    """Split labels without dates at random, by class, with copies of a text on one side.

    Only for sets whose ``known_at`` is one knowledge cutoff: dated samples must be split in time.

    Parameters
    ----------
    samples : DataFrame
        Sample frame whose ``known_at`` are all equal.
    validation_share : float
        Share of each class that goes to validation, in (0, 1); met to within one group of copies.
    seed : int
        Decides which.

    Returns
    -------
    SplitSamples
        ``test`` is empty: an undated set cannot stand for a test window.

    Raises
    ------
    ConfigError
        If the share is out of range.
    DataError
        If the samples are dated, or a side ends up empty.
    """
    if not 0.0 < validation_share < 1.0:
        raise ConfigError(f"split: validation_share must lie between 0 and 1, got {validation_share}.")
    samples = _checked(samples)
    earliest, latest = samples["known_at"].min(), samples["known_at"].max()
    if earliest != latest:
        raise DataError(
            f"split: samples are dated ({earliest} to {latest}); a random split would leak. "
            "Use holdout or walk_forward."
        )
    rng = np.random.default_rng(seed)
    keys = text_keys(samples["text"]).to_numpy()
    groups = pd.DataFrame({"key": keys, "label": samples["label"].to_numpy()}).groupby("key", sort=True)["label"]
    table = pd.DataFrame({"label": groups.first(), "size": groups.size()})
    chosen: set[str] = set()
    for _, members in table.groupby("label", sort=True):
        shuffled = members.iloc[rng.permutation(len(members))]
        reached = shuffled["size"].cumsum()
        chosen |= set(shuffled.index[(reached <= round(validation_share * float(reached.iloc[-1])))])
    held_out = np.isin(keys, np.asarray(sorted(chosen), dtype=object)) if chosen else np.zeros(len(keys), dtype=bool)
    train, validation = (samples.loc[mask].reset_index(drop=True) for mask in (~held_out, held_out))
    if train.empty or validation.empty:
        raise DataError(
            f"split: {len(samples)} undated samples leave {len(train)} for training and {len(validation)} for "
            "validation. Bring more labels or change validation_share."
        )
    counts = {"train": len(train), "validation": len(validation), "test": 0}
    return SplitSamples(train, validation, samples.iloc[:0].copy(), counts)
