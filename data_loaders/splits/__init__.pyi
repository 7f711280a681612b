from .cross_validation import (
    CombinatorialSplit,
    backtest_paths,
    combinatorial,
    groups_by_calendar,
    groups_by_count,
    path_series,
)
from .folds import Fold, holdout, walk_forward, walk_forward_by_count
from .purging import PARTS, SplitSamples, TimeSplit, Window, assert_disjoint, assert_no_leakage, part_of, split_undated

__all__ = [
    "PARTS",
    "CombinatorialSplit",
    "Fold",
    "SplitSamples",
    "TimeSplit",
    "Window",
    "assert_disjoint",
    "assert_no_leakage",
    "backtest_paths",
    "combinatorial",
    "groups_by_calendar",
    "groups_by_count",
    "holdout",
    "part_of",
    "path_series",
    "split_undated",
    "walk_forward",
    "walk_forward_by_count",
]
