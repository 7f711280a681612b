"""Combinatorial purged cross-validation: every group of time is tested many times, and the tests join into paths.

It trains on both sides of a test, so it tells how much of a result hangs on the one path that history took. It never
tells what could have been earned: that is what `embargo.data_loaders.splits.walk_forward` is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import edge_of
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import as_utc, utc_microseconds
from embargo.data_loaders.splits.purging import Window

MOST_SPLITS = 10_000


def groups_by_calendar(edges: Sequence[str | pd.Timestamp]) -> tuple[Window, ...]:
    """Cut time at dates, such as ``pd.date_range("2015", "2025", freq="YS")``.

    Parameters
    ----------
    edges : sequence of str or Timestamp, length N + 1
        Increasing; a bare date or naive stamp is that time in UTC.

    Returns
    -------
    tuple of N Window
        Each begins where the one before it ends.

    Raises
    ------
    ConfigError
        If there are fewer than two edges, or one is no date or not after the one before it.

    Examples
    --------
    >>> from embargo.data_loaders.splits import groups_by_calendar
    >>> [window.start.year for window in groups_by_calendar(["2019", "2020", "2021"])]
    [2019, 2020]
    """
    stamps = [edge_of(edge, f"split: edge {number}") for number, edge in enumerate(edges)]
    if len(stamps) < 2:
        raise ConfigError(f"groups: {len(stamps)} edges make no group. Give one more edge than groups.")
    for before, after in pairwise(stamps):
        if before >= after:
            raise ConfigError(f"groups: edge {after} is not after {before}. Put the edges in order, each once.")
    return tuple(Window(before, after) for before, after in pairwise(stamps))


def groups_by_count(
    start: str | pd.Timestamp, end: str | pd.Timestamp, *, instants: pd.Series | pd.DatetimeIndex, n_groups: int
) -> tuple[Window, ...]:
    """Cut [start, end) into groups with equal numbers of samples or bars.

    Every inner boundary is one of the instants, and all that share it stand behind it, so that ties are never torn
    apart; sizes differ by one, and by ties.

    Parameters
    ----------
    start, end : str or Timestamp
        Where the first group begins and the last one ends.
    instants : Series or DatetimeIndex, shape (n,)
        What is counted, UTC, in any order: ``known_at`` of the samples, or ``open_at`` of the bars.
    n_groups : int
        At least 2.

    Returns
    -------
    tuple of Window, length ``n_groups``

    Raises
    ------
    ConfigError
        If ``n_groups`` is below 2, or there are too few different instants for so many groups.
    DataError
        If an instant is naive or missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.splits import groups_by_count
    >>> days = pd.date_range("2020-01-01", periods=100, tz="UTC")
    >>> groups = groups_by_count("2020-01-01", "2020-04-10", instants=days, n_groups=4)
    >>> [int(window.holds(days).sum()) for window in groups]
    [25, 25, 25, 25]
    """
    if n_groups < 2:
        raise ConfigError(f"groups: n_groups must be at least 2, got {n_groups}.")
    ((first, last),) = groups_by_calendar([start, end])
    stamps = np.sort(utc_microseconds(as_utc(instants, what="groups: instants")))
    low, high = (np.searchsorted(stamps, edge.tz_localize(None).to_datetime64()) for edge in (first, last))
    stamps = stamps[low:high]
    inner = stamps[np.arange(1, n_groups) * len(stamps) // n_groups] if len(stamps) else stamps
    if len(inner) < n_groups - 1 or not (np.diff(inner, prepend=stamps[:1]) > np.timedelta64(0)).all():
        raise ConfigError(
            f"groups: {len(stamps)} instants, {len(np.unique(stamps))} of them different, between {first} and {last} "
            f"cannot fill {n_groups} groups of equal size without tearing ties apart. Ask for fewer groups."
        )
    return groups_by_calendar([first, *(pd.Timestamp(stamp, tz="UTC") for stamp in inner), last])


@dataclass(frozen=True)
class CombinatorialSplit:
    """One split of contiguous groups into test, validation and, of all the others, training.

    Parameters
    ----------
    index : int
        Position among the splits.
    groups : tuple of Window
        All groups, in order of time.
    test_groups, validation_groups : tuple of int
        Positions in ``groups``, increasing.

    Raises
    ------
    ConfigError
        If groups overlap or are out of order, a position is wrong or used twice, or a part is left without a group.

    Examples
    --------
    >>> from embargo.data_loaders.splits import combinatorial, groups_by_calendar
    >>> splits = combinatorial(groups_by_calendar(["2019", "2020", "2021", "2022", "2023"]), n_test=2)
    >>> splits[0].test_groups, splits[0].validation_groups, splits[0].train_groups
    ((0, 1), (2,), (3,))
    """

    index: int
    groups: tuple[Window, ...]
    test_groups: tuple[int, ...]
    validation_groups: tuple[int, ...]

    def __post_init__(self) -> None:
        for before, after in pairwise(self.groups):
            if before.end > after.start:
                raise ConfigError(
                    f"split {self.index}: a group ends at {before.end}, after the next starts at {after.start}. "
                    "Make groups with groups_by_count or groups_by_calendar."
                )
        used = [*self.test_groups, *self.validation_groups]
        if len(set(used)) < len(used) or not set(used) < set(range(len(self.groups))):
            raise ConfigError(
                f"split {self.index}: test {self.test_groups} and validation {self.validation_groups} must be "
                f"different positions among {len(self.groups)} groups, and leave one to train on."
            )
        if not self.test_groups or not self.validation_groups:
            raise ConfigError(f"split {self.index}: test and validation need a group each.")

    @property
    def train_groups(self) -> tuple[int, ...]:
        """Positions of the groups that are neither tested nor validated on."""
        used = {*self.test_groups, *self.validation_groups}
        return tuple(number for number in range(len(self.groups)) if number not in used)

    @property
    def causal(self) -> bool:
        """False: training and validation may lie after what is tested."""
        return False

    @property
    def windows(self) -> dict[str, tuple[Window, ...]]:
        """The windows of ``train``, ``validation`` and ``test``, in order of time."""
        positions = {"train": self.train_groups, "validation": self.validation_groups, "test": self.test_groups}
        return {name: tuple(self.groups[number] for number in chosen) for name, chosen in positions.items()}


def combinatorial(groups: Sequence[Window], *, n_test: int = 2, n_validation: int = 1) -> list[CombinatorialSplit]:
    """Make one split for every choice of test groups (Lopez de Prado 2018, chapter 12).

    .. warning::
       Training groups lie after tested ones. The results measure how much of a backtest is the luck of one path;
       nobody could have earned them. A model tuned this way has read the years that followed its test, so the check of
       its knowledge cutoff cannot pass, and a language model whose pretraining ended before the first group is the
       only base that adds no further foresight. Report earnings from `walk_forward` alone.

    Validation, for early stopping and calibration, takes the training groups nearest in time to a test group; among
    equally near ones first those right before a test group, as in a walk forward, and of these the latest. Divide
    samples with `embargo.data_loaders.splits.purging.part_of`, which purges training against both, and validation
    against test.

    Parameters
    ----------
    groups : sequence of Window, length N
        From `groups_by_count` or `groups_by_calendar`.
    n_test : int
        Groups that each split tests, k; at least 1.
    n_validation : int
        Groups that each split validates on; at least 1. At least one group must be left to train on.

    Returns
    -------
    list of CombinatorialSplit, length C(N, k)
        In lexicographic order of their test groups; the same for the same input.

    Raises
    ------
    ConfigError
        If the numbers do not fit, or make more than 10,000 splits, each of which trains a model.

    Examples
    --------
    >>> from embargo.data_loaders.splits import backtest_paths, combinatorial, groups_by_calendar
    >>> groups = groups_by_calendar(["2019", "2020", "2021", "2022", "2023", "2024", "2025"])
    >>> splits = combinatorial(groups, n_test=2)
    >>> len(splits), backtest_paths(splits).shape
    (15, (5, 6))
    """
    total = len(groups)
    if n_test < 1 or n_validation < 1 or n_test + n_validation >= total:
        raise ConfigError(
            f"split: n_test = {n_test} and n_validation = {n_validation} of {total} groups must each be at least 1 and "
            "leave a group to train on. Change them or cut more groups."
        )
    if comb(total, n_test) > MOST_SPLITS:
        raise ConfigError(
            f"split: {n_test} of {total} groups make {comb(total, n_test):,} splits, more than {MOST_SPLITS:,}. "
            "Each trains a model: cut fewer groups."
        )
    return [
        CombinatorialSplit(index, tuple(groups), tested, _validation(total, tested, n_validation))
        for index, tested in enumerate(combinations(range(total), n_test))
    ]


def _validation(total: int, tested: tuple[int, ...], wanted: int) -> tuple[int, ...]:
    def rank(number: int) -> tuple[int, bool, int]:
        distance = min(abs(number - test) for test in tested)
        return distance, number + distance not in tested, -number

    return tuple(sorted(sorted(set(range(total)) - set(tested), key=rank)[:wanted]))


def backtest_paths(splits: Sequence[CombinatorialSplit]) -> np.ndarray:
    """Say which split tests each group on each backtest path.

    Parameters
    ----------
    splits : sequence of CombinatorialSplit
        All of `combinatorial`.

    Returns
    -------
    int64 array, shape (phi, N) with phi = k / N * C(N, k)
        Entry [p, g] is the index of a split that tests group g. Every path covers every group once, and every pair of
        split and tested group belongs to exactly one path: path p takes the p-th split that tests the group.

    Raises
    ------
    ConfigError
        If the splits are not the whole set of one `combinatorial`.

    Examples
    --------
    >>> from embargo.data_loaders.splits import backtest_paths, combinatorial, groups_by_calendar
    >>> splits = combinatorial(groups_by_calendar(["2019", "2020", "2021", "2022", "2023"]), n_test=2)
    >>> backtest_paths(splits)
    array([[0, 0, 1, 2],
           [1, 3, 3, 4],
           [2, 4, 5, 5]])
    """
    if not splits:
        raise ConfigError("paths: no splits. Make them with combinatorial.")
    groups, n_test = splits[0].groups, len(splits[0].test_groups)
    expected = list(enumerate(combinations(range(len(groups)), n_test)))
    found = [(split.index, split.test_groups) for split in splits]
    if found != expected or any(split.groups != groups for split in splits):
        raise ConfigError(
            f"paths: {len(splits)} splits are not all {len(expected)} choices of {n_test} test groups out of "
            f"{len(groups)}, in order. Pass everything combinatorial returned."
        )
    tested_by = [[split.index for split in splits if group in split.test_groups] for group in range(len(groups))]
    return np.asarray(tested_by, dtype=np.int64).T


def path_series(splits: Sequence[CombinatorialSplit], tested: Mapping[int, pd.Series]) -> list[pd.Series]:
    """Join what each split yielded on its test groups, such as returns, into one series per backtest path.

    Parameters
    ----------
    splits : sequence of CombinatorialSplit
        All of `combinatorial`.
    tested : mapping of split index to Series
        Values at UTC instants (index, unique and increasing) inside the split's test windows.

    Returns
    -------
    list of Series, length phi
        Row p of `backtest_paths`; in order of time.

    Raises
    ------
    DataError
        If a split has no series, one is out of order or holds an instant outside its test windows, or a tested group
        got no result at all.
    ConfigError
        As `backtest_paths`.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.splits import combinatorial, groups_by_calendar, path_series
    >>> groups = groups_by_calendar(["2019", "2020", "2021", "2022"])
    >>> splits = combinatorial(groups, n_test=1)
    >>> tested = {split.index: pd.Series([0.01], index=[groups[split.test_groups[0]].start]) for split in splits}
    >>> [len(path) for path in path_series(splits, tested)]
    [3]
    """
    paths = backtest_paths(splits)
    pieces = {(split.index, group): piece for split in splits for group, piece in _pieces(split, tested).items()}
    return [pd.concat([pieces[int(chosen), group] for group, chosen in enumerate(path)]) for path in paths]


def _pieces(split: CombinatorialSplit, tested: Mapping[int, pd.Series]) -> dict[int, pd.Series]:
    """Cut the results of one split into those of its tested groups."""
    where = f"paths: split {split.index}"
    if split.index not in tested:
        raise DataError(f"{where} has no results. Run every split before joining paths.")
    results = tested[split.index]
    if not (results.index.is_monotonic_increasing and results.index.is_unique):
        raise DataError(f"{where} has results out of order or twice. Sort them by instant first.")
    stamps = as_utc(results.index, what=f"{where}, index of its results")
    inside = {group: split.groups[group].holds(stamps) for group in split.test_groups}
    stray = ~np.logical_or.reduce(list(inside.values()))
    if stray.any():
        raise DataError(
            f"{where} has {int(stray.sum())} results outside its test windows, first at "
            f"{results.index[int(np.argmax(stray))]}. Keep only what it tested."
        )
    for group, mask in inside.items():
        if not mask.any():
            raise DataError(
                f"{where} has no result in group {group}, from {split.groups[group].start} to "
                f"{split.groups[group].end}. Cut groups that each hold bars."
            )
    return {group: results.loc[mask] for group, mask in inside.items()}
