"""Samples divided among the windows of a split: label intervals purged, an embargo kept, copies on one side.

Purging looks at the interval over which a label was computed, never at row counts, and only ever takes from what is
learnt: no test window shrinks. One diagnostic, `assert_no_leakage`, holds every kind of split to that promise.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from embargo.data_loaders.checks.repeats import text_keys, text_numbers
from embargo.data_loaders.errors import ConfigError, DataError, LeakError
from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.labels import SAMPLE_COLUMNS, STORY
from embargo.data_loaders.schemas import as_utc, is_among, time_order, utc_microseconds

PARTS = ("train", "validation", "test")
_INSTANTS = ("known_at", "starts_at", "ends_at")


class Window(NamedTuple):
    """A half-open stretch of time [start, end) in UTC.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.splits import Window
    >>> year = Window(pd.Timestamp("2020", tz="UTC"), pd.Timestamp("2021", tz="UTC"))
    >>> year.holds(pd.to_datetime(["2020-12-31 00:00Z", "2021-01-01 00:00Z"]))
    array([ True, False])
    """

    start: pd.Timestamp
    end: pd.Timestamp

    def holds(self, instants: pd.Series | pd.DatetimeIndex) -> np.ndarray:
        """Tell which instants lie in the window: bool array, shape (n,)."""
        return _within(utc_microseconds(instants), self)


def _within(stamps: np.ndarray, window: Window) -> np.ndarray:
    return np.asarray((stamps >= _microsecond(window.start)) & (stamps < _microsecond(window.end)))


def _microsecond(instant: pd.Timestamp) -> np.datetime64:
    return np.datetime64(instant.tz_convert(None).as_unit("us").to_datetime64())


class TimeSplit(Protocol):
    """What `part_of` and `assert_no_leakage` ask of a split.

    Attributes
    ----------
    index : int
        Named in errors.
    causal : bool
        Whether everything learnt lies before everything tested.
    windows : dict of str to tuple of Window
        The windows of ``train``, ``validation`` and ``test``, in order of time; no two of them overlap.

    Examples
    --------
    >>> from embargo.data_loaders.splits import holdout
    >>> split = holdout("2015", "2018", "2018-07", "2019")
    >>> split.index, split.causal, list(split.windows)
    (0, True, ['train', 'validation', 'test'])
    """

    @property
    def index(self) -> int: ...  # noqa: D102
    @property
    def causal(self) -> bool: ...  # noqa: D102
    @property
    def windows(self) -> dict[str, tuple[Window, ...]]: ...  # noqa: D102


@dataclass(frozen=True)
class SplitSamples:
    """Samples of one fold, sorted by ``known_at``, and how many fell away and why.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.splits import SplitSamples
    >>> empty = pd.DataFrame()
    >>> SplitSamples(empty, empty, empty, {"purged_train": 3}).counts
    {'purged_train': 3}
    """

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    counts: dict[str, int]


def _checked(samples: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in SAMPLE_COLUMNS if name not in samples.columns]
    if missing:
        raise DataError(f"samples: missing columns {missing}. Make them with embargo.data_loaders.labels.")
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
    order = time_order(samples)
    if not np.array_equal(order, np.arange(len(order))):
        samples = samples.iloc[order]
    return samples.reset_index(drop=True)


def _copy_keys(samples: pd.DataFrame, group: str | None) -> pd.Series:
    """Name what makes two samples copies: a column of the caller's, or the normalised text."""
    if group is None:
        return text_keys(samples["text"])
    if group not in samples.columns:
        raise DataError(f"samples: no column {group!r} to group by; they have {list(samples.columns)}. Name another.")
    if samples[group].isna().any():
        row = samples.loc[samples[group].isna()].iloc[0]
        raise DataError(
            f"samples: {int(samples[group].isna().sum())} have no {group!r}, first {row['article_id']!r}. "
            "Give every article without copies a group of its own."
        )
    return samples[group]


def _touching(part: pd.DataFrame, block: pd.DataFrame, windows: tuple[Window, ...], margin: pd.Timedelta) -> np.ndarray:
    """Tell which samples come within ``margin`` of a window of ``block``, or of a label that is known in it."""
    known, ends, block_known, last_ends = (
        utc_microseconds(frame[name]) for frame in (part, block) for name in ("known_at", "ends_at")
    )
    gap = margin.as_unit("us").to_timedelta64()
    touching = np.zeros(len(part), dtype=bool)
    for window in windows:
        begins = known < _microsecond(window.end) + gap
        members = last_ends[_within(block_known, window)]
        if len(members):
            begins |= known <= members.max() + gap
        touching |= begins & (ends >= _microsecond(window.start) - gap)
    return touching


def part_of(samples: pd.DataFrame, fold: TimeSplit, *, embargo: pd.Timedelta, group: str | None = None) -> SplitSamples:
    """Divide samples among the windows of a split, purge label intervals that cross a boundary, and keep the embargo.

    A sample belongs to the window that holds its ``known_at``, and reaches over [known_at, ends_at]: what its features
    and its label saw. A block of test (or validation) reaches from the start of its window to the end of the window
    or of the last label known in it, whichever is later. Validation samples are held against test, training samples
    against test and the validation samples that remain (Lopez de Prado 2018, chapter 7):

    - those that touch a block are purged;
    - those whose label ends within ``embargo`` before a block begins, or which are known within ``embargo`` after it
      ended, are embargoed. In a `Fold` nothing learnt is known after a block, so only the first half applies.
    - copies of an article in a later part are dropped where ``group`` is given, and always from a split that is not
      causal: there the copy in training may be the later one.

    Parameters
    ----------
    samples : DataFrame
        ``article_id, text, label, known_at, starts_at, ends_at``; instants in UTC, shape (n, 6 or more).
    fold : Fold or CombinatorialSplit
        The windows.
    embargo : Timedelta
        Not negative. At least the memory of the features (the decay half-life) and the horizon of the labels.
    group : str, optional
        Column that is equal among copies, such as a cluster of near duplicates. Without it copies are told by their
        normalised text.

    Returns
    -------
    SplitSamples
        With counts ``train, validation, test, outside`` and ``purged_, embargoed_`` and ``copies_`` of train and
        validation (these add up to n; a sample counts under the first of these reasons), and
        ``test_texts_seen_in_train``, the test samples whose normalised text also occurs in training: a trader would
        see them too, but an accuracy should not boast of them.

    Raises
    ------
    ConfigError
        If the embargo is negative.
    DataError
        If the samples are malformed, a group is missing, or a part ends up empty.
    LeakError
        If an article stands in two parts.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import SimulatedMarket, samples_from_news, simulate_market
    >>> from embargo.data_loaders.splits import holdout, part_of
    >>> market = simulate_market(SimulatedMarket(n_symbols=2, start="2020-01-01", end="2020-03-31"))
    >>> fold = holdout("2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01")
    >>> parts = part_of(samples_from_news(market.news).frame, fold, embargo=pd.Timedelta(days=1))
    >>> parts.counts["train"], parts.counts["embargoed_train"]
    (26, 2)
    """
    if embargo < pd.Timedelta(0):
        raise ConfigError(f"split: embargo must not be negative, got {embargo}.")
    samples = _checked(samples)
    known_at, windows = samples["known_at"], fold.windows
    keys = _copy_keys(samples, group) if group is not None or not fold.causal else None
    known_in = {
        name: samples.loc[np.logical_or.reduce([window.holds(known_at) for window in windows[name]])] for name in PARTS
    }
    kept = {"test": known_in["test"]}
    counts: dict[str, int] = {}
    for name in ("validation", "train"):
        part = known_in[name]
        purged, close = (
            np.logical_or.reduce([_touching(part, block, windows[other], margin) for other, block in kept.items()])
            for margin in (pd.Timedelta(0), embargo)
        )
        copies = np.zeros(len(part), dtype=bool)
        if keys is not None:
            copies = is_among(keys[part.index], keys[pd.concat(kept.values()).index])
        counts[f"purged_{name}"] = int(purged.sum())
        counts[f"embargoed_{name}"] = int((close & ~purged).sum())
        counts[f"copies_{name}"] = int((copies & ~close).sum())
        kept[name] = part.loc[~close & ~copies]
    if samples.empty:
        raise DataError(
            f"fold {fold.index}: no labelled sample is left to split. Check the labels: a horizon longer than the "
            "prices leaves none."
        )
    for name in PARTS:
        if kept[name].empty:
            raise DataError(
                f"fold {fold.index}: no {name} samples between {windows[name][0].start} and {windows[name][-1].end} "
                f"({len(known_in[name])} before purge and an embargo of {embargo}; all samples run from "
                f"{known_at.min()} to {known_at.max()}). Move the dates, lengthen the {name} window or shorten the "
                "embargo."
            )
    train, validation, test = (kept[name].reset_index(drop=True) for name in PARTS)
    assert_no_leakage(train, validation, test, fold, embargo, group=group)
    counts |= {name: len(kept[name]) for name in PARTS}
    counts["outside"] = len(samples) - sum(len(part) for part in known_in.values())
    counts["test_texts_seen_in_train"] = _seen(test, train)
    return SplitSamples(train, validation, test, counts)


def _seen(test: pd.DataFrame, train: pd.DataFrame) -> int:
    """Count the test samples whose text is a copy of one in training; a column `STORY` may number the texts."""
    if STORY in test.columns:
        return int(np.isin(test[STORY].to_numpy(), train[STORY].to_numpy()).sum())
    numbers = text_numbers(pd.concat([train["text"], test["text"]], ignore_index=True))
    return int(np.isin(numbers[len(train) :], numbers[: len(train)]).sum())


def _refuse_first(part: pd.DataFrame, wrong: np.ndarray, complaint: str) -> None:
    if wrong.any():
        row = part.loc[wrong].iloc[0]
        raise LeakError(
            f"{complaint.format(count=int(wrong.sum()))}, first {row['article_id']!r} (known {row['known_at']}, "
            f"label from {row['starts_at']} to {row['ends_at']}). Split with embargo.data_loaders.splits.part_of."
        )


def assert_no_leakage(
    train: pd.DataFrame,
    validation: pd.DataFrame,
    test: pd.DataFrame,
    fold: TimeSplit,
    embargo: pd.Timedelta,
    *,
    group: str | None = None,
) -> None:
    """Check a split of any kind against its promise, independently of how it was made.

    Silent on what is true of the data rather than of the split: labels that are wrong, texts that tell the future, and
    the repeated texts of a causal split when no ``group`` is given.

    Parameters
    ----------
    train, validation, test : DataFrame
        Sample frames.
    fold : Fold or CombinatorialSplit
        The windows they were cut by.
    embargo : Timedelta
        The gap that was promised around validation and test.
    group : str, optional
        As in `part_of`.

    Raises
    ------
    LeakError
        Naming the first sample that lies outside its windows, whose label reaches a block of validation or test or the
        embargo before it, which is known before such a block and the embargo after it are over, whose label overlaps
        one of the block's, or which stands, itself or as a copy, in two parts.
    DataError
        If an instant is naive or missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import SimulatedMarket, samples_from_news, simulate_market
    >>> from embargo.data_loaders.splits import assert_no_leakage, holdout, part_of
    >>> market = simulate_market(SimulatedMarket(n_symbols=2, start="2020-01-01", end="2020-03-31"))
    >>> fold = holdout("2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01")
    >>> parts = part_of(samples_from_news(market.news).frame, fold, embargo=pd.Timedelta(days=1))
    >>> assert_no_leakage(parts.train, parts.validation, parts.test, fold, pd.Timedelta(days=1))
    """
    where, parts = f"fold {fold.index}: {{count}}", {"train": train, "validation": validation, "test": test}
    spans = {name: _Spans.of(part, name) for name, part in parts.items()}
    for name, part in parts.items():
        inside = np.logical_or.reduce([_within(spans[name].known, window) for window in fold.windows[name]])
        bounds = " and ".join(f"[{window.start}, {window.end})" for window in fold.windows[name])
        _refuse_first(part, ~inside, f"{where} {name} samples lie outside {bounds}")
    for before, after in (("train", "validation"), ("validation", "test"), ("train", "test")):
        for window in fold.windows[after]:
            block = spans[after].take(_within(spans[after].known, window))
            _refuse_overlap(parts[before], spans[before], block, window, embargo, f"{where} {before}", after)
    _refuse_shared(parts, {name: part["article_id"] for name, part in parts.items()}, f"{where} articles stand")
    if group is not None or not fold.causal:
        copies = {name: _copy_keys(part, group) for name, part in parts.items()}
        _refuse_shared(parts, copies, f"{where} copies stand")


class _Spans(NamedTuple):
    """The instants of samples as datetime64[us], each of shape (n,): compared many times, read from the frame once."""

    known: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, part: pd.DataFrame, name: str) -> _Spans:
        return cls(*(utc_microseconds(as_utc(part[key], what=f"{name} samples, column {key}")) for key in _INSTANTS))

    def take(self, rows: np.ndarray) -> _Spans:
        return _Spans(*(column[rows] for column in self))


def _refuse_overlap(
    part: pd.DataFrame, spans: _Spans, block: _Spans, window: Window, embargo: pd.Timedelta, who: str, after: str
) -> None:
    """Refuse samples too close to one block, those known before its window and those known later each in their way."""
    start, end, gap = _microsecond(window.start), _microsecond(window.end), embargo.as_unit("us").to_timedelta64()
    earlier = spans.known < start
    _refuse_first(
        part, earlier & (spans.ends >= start - gap), f"{who} labels reach {window.start} less {embargo} embargo"
    )
    begins = np.minimum(spans.known, spans.starts)
    _refuse_first(
        part, ~earlier & (begins < end + gap), f"{who} samples are known before {window.end} plus {embargo} embargo"
    )
    if len(block.known):
        _refuse_first(part, earlier & (spans.ends >= block.starts.min()), f"{who} labels overlap {after} labels")
        last = block.ends.max()
        _refuse_first(
            part,
            ~earlier & (begins <= last + gap),
            f"{who} samples are known before the last {after} label ends at {pd.Timestamp(last, tz='UTC')} plus "
            f"{embargo} embargo",
        )


def _refuse_shared(parts: dict[str, pd.DataFrame], keys: dict[str, pd.Series], complaint: str) -> None:
    for before, after in combinations(PARTS, 2):
        _refuse_first(
            parts[before], is_among(keys[before], keys[after]), f"{complaint} both in {before} and in {after}"
        )


def assert_disjoint(
    train: pd.DataFrame, validation: pd.DataFrame, test: pd.DataFrame, *, group: str | None = None
) -> None:
    """Check that no article and no copy of one stands in two parts, whatever their dates.

    Parameters
    ----------
    train, validation, test : DataFrame
        Sample frames, possibly empty.
    group : str, optional
        As in `part_of`.

    Raises
    ------
    LeakError
        Naming the first sample that does.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.splits import assert_disjoint
    >>> train = pd.DataFrame({"article_id": ["1"], "text": ["Apple beats"]})
    >>> test = pd.DataFrame({"article_id": ["2"], "text": ["Apple misses"]})
    >>> assert_disjoint(train, train.iloc[:0], test)
    """
    parts = {"train": train, "validation": validation, "test": test}
    _refuse_shared(parts, {name: part["article_id"] for name, part in parts.items()}, "split: {count} articles stand")
    _refuse_shared(
        parts, {name: _copy_keys(part, group) for name, part in parts.items()}, "split: {count} copies stand"
    )


def split_undated(
    samples: pd.DataFrame, *, validation_share: float, seed: int, group: str | None = None
) -> SplitSamples:
    """Split labels without dates at random, by class, with copies on one side.

    Only for sets whose ``known_at`` is one knowledge cutoff: dated samples must be split in time.

    Parameters
    ----------
    samples : DataFrame
        Sample frame whose ``known_at`` are all equal.
    validation_share : float
        Share of each class that goes to validation, in (0, 1); met to within one group of copies.
    seed : int
        Decides which.
    group : str, optional
        Column that is equal among copies; without it copies are told by their normalised text. A group counts for the
        class of its first sample.

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

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.splits import split_undated
    >>> known_at = pd.Timestamp("2014-01-01", tz="UTC")
    >>> when = {"known_at": known_at, "starts_at": known_at, "ends_at": known_at}
    >>> texts = [f"text {number}" for number in range(20)]
    >>> samples = pd.DataFrame({"article_id": texts, "text": texts, "label": [0, 2] * 10, **when})
    >>> parts = split_undated(samples, validation_share=0.3, seed=0)
    >>> len(parts.train), len(parts.validation)
    (14, 6)
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
    keys = _copy_keys(samples, group).astype("str").to_numpy(dtype=object)
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
    test = samples.iloc[:0].copy()
    assert_disjoint(train, validation, test, group=group)
    return SplitSamples(train, validation, test, counts)
