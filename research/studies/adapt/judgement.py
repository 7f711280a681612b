"""Readers set side by side: figures with intervals, and paired tests of each two on the same items, after Holm.

All pairs of the study are one family for each question. Enough resamples are drawn for a p-value to stand after the
correction at all: with many readers the usual number could reject nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.leakage import Finding
from embargo.backtest.significance import holm, sharpe_difference
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.evaluation.classification import classification_report
from embargo.models.evaluation.comparison import compare_classifiers
from embargo.research.config.experiment import StatisticsSection
from embargo.research.config.model import ModelSection
from embargo.research.studies.adapt.rows import MEASURES, Apart, Pair, Trust

_QUESTIONS = {"macro_f1": "macro-F1", "accuracy": "accuracy"}
# Kinds that know nothing but words and the training texts.
_OF_ITSELF = frozenset({"majority", "lexicon", "linear"})

# Kinds of which nobody can see what they were made from.
_DECLARED = frozenset({"scores", "endpoint"})


def enough_resamples(statistics: StatisticsSection, readers: int) -> int:
    """Return the resamples with which the smallest p-value stands four times over after Holm's correction.

    Examples
    --------
    >>> from embargo.research.config.experiment import StatisticsSection
    >>> from embargo.research.studies.adapt.judgement import enough_resamples
    >>> enough_resamples(StatisticsSection(bootstrap=2000), 9)
    5760
    """
    pairs = max(1, math.comb(readers, 2))
    return max(statistics.bootstrap, math.ceil(8 * pairs / statistics.significance))


@dataclass(frozen=True)
class Items:
    """The test items that every reader answered.

    Attributes
    ----------
    probabilities : dict of str to ndarray, shape (n, 3)
        By reader.
    labels : ndarray of int, shape (n,)
    articles : Series of str, shape (n,)
    left_out : dict of str to int
        Items that a reader left without an answer; an item that one did not answer is none for the others either.
    """

    probabilities: dict[str, np.ndarray]
    labels: np.ndarray
    articles: pd.Series
    left_out: dict[str, int]


def same_items(judged: Mapping[str, pd.DataFrame]) -> Items:
    """Bring what readers answered to the items that all of them answered.

    Raises
    ------
    DataError
        If two readers were asked of other items, or none is left: a difference would be that of the items.
    """
    first = next(iter(judged.values()))[["fold", "article_id", "label"]].reset_index(drop=True)
    answers, answered = {}, np.ones(len(first), dtype=bool)
    left_out: dict[str, int] = {}
    for name, frame in judged.items():
        if not frame[["fold", "article_id", "label"]].reset_index(drop=True).equals(first):
            raise DataError(f"adapt: {name} was tested on other items than the readers before it. Repeat the study.")
        answers[name] = frame[list(CLASSES)].to_numpy(dtype=float)
        there = np.isfinite(answers[name]).all(axis=1)
        answered &= there
        if not there.all():
            left_out[name] = int((~there).sum())
    if answered.sum() < 2:
        raise DataError(
            f"adapt: {int(answered.sum())} of {len(first)} test items were answered by every reader "
            f"({left_out} left out). Leave a reader out, or score more."
        )
    return Items(
        {name: values[answered] for name, values in answers.items()},
        first.loc[answered, "label"].to_numpy(dtype=np.int64),
        first.loc[answered, "article_id"].reset_index(drop=True),
        left_out,
    )


def figures_of(
    probs: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, statistics: StatisticsSection, seed: int
) -> dict[str, Any]:
    """Return accuracy and macro-F1 with intervals, calibration error and log loss of one reader."""
    report = classification_report(
        probs, labels, groups=groups, seed=seed, level=statistics.level, resamples=max(1000, statistics.bootstrap)
    )
    found: dict[str, Any] = {"n": report["n"], "ece": report["ece"], "log_loss": report["log_loss"]}
    for name in MEASURES:
        interval = report[f"{name}_interval"]
        found |= {name: report[name], f"{name}_interval": None if interval is None else tuple(interval)}
    return found


def pairs_of(
    probs: Mapping[str, np.ndarray],
    labels: np.ndarray,
    groups: np.ndarray | None,
    returns: Mapping[str, pd.Series],
    *,
    statistics: StatisticsSection,
    periods_per_year: float | None,
    seed: int,
) -> list[Pair]:
    """Test every two readers on the same items and, where both traded, on the same bars.

    Parameters
    ----------
    probs : mapping of str to ndarray, shape (n, 3)
    labels : ndarray of int, shape (n,)
    groups : array, shape (n,), or None
        Days: articles of one day tell of the same events.
    returns : mapping of str to Series
        Net returns of those readers that ever traded.
    statistics : StatisticsSection
    periods_per_year : float or None
        None where nothing is traded.
    seed : int

    Returns
    -------
    list of Pair
        In the order of the readers.
    """
    if len(probs) < 2:
        return []
    resamples = enough_resamples(statistics, len(probs))
    table = compare_classifiers(probs, labels, groups=groups, seed=seed, resamples=resamples, level=statistics.level)
    drawn, lost = table[table["test"] == "paired bootstrap"], table[table["test"] == "paired t"]
    ratios = _sharpes(list(probs), returns, statistics, periods_per_year, resamples, seed)
    pairs = []
    for a, b in combinations(probs, 2):
        rows = drawn[(drawn["a"] == a) & (drawn["b"] == b)]
        found = {
            name: _apart(rows[rows["question"].str.contains(f"({word})", regex=False)].iloc[0])
            for name, word in _QUESTIONS.items()
        }
        suffered = lost[(lost["a"] == a) & (lost["b"] == b)].iloc[0]
        pairs.append(Pair(a, b, sharpe=ratios[a, b], log_loss=_apart(suffered), **found))
    return pairs


def _apart(row: pd.Series) -> Apart:
    difference, low, high, p_value, adjusted = (
        None if pd.isna(row[name]) else float(row[name])
        for name in ("estimate", "low", "high", "p_value", "p_value_holm")
    )
    if difference == low == high == 0.0:
        return Apart(0.0, note="the same answer to every item")
    return Apart(difference, low, high, p_value, adjusted)


def _sharpes(
    names: Sequence[str],
    returns: Mapping[str, pd.Series],
    statistics: StatisticsSection,
    periods_per_year: float | None,
    resamples: int,
    seed: int,
) -> dict[tuple[str, str], Apart]:
    if periods_per_year is None:
        return dict.fromkeys(combinations(names, 2), Apart(note="nothing is traded"))
    found: dict[tuple[str, str], Apart] = {}
    for a, b in combinations(names, 2):
        if missing := [name for name in (a, b) if name not in returns]:
            found[a, b] = Apart(note=f"{' and '.join(missing)} never traded")
            continue
        told = sharpe_difference(
            returns[a],
            returns[b],
            periods_per_year=periods_per_year,
            n_boot=resamples,
            level=statistics.level,
            block=statistics.block,
            seed=seed,
        )
        note = "" if told.p_value is not None else "too few bars on which they differ"
        found[a, b] = Apart(told.difference, told.low, told.high, told.p_value, None, note)
    adjusted = holm([one.p_value for one in found.values()])
    return {
        pair: Apart(one.difference, one.low, one.high, one.p_value, p, one.note)
        for (pair, one), p in zip(found.items(), adjusted, strict=True)
    }


def trust_of(finding: Finding, section: ModelSection) -> tuple[Trust, str]:
    """Say from the audit's own check of the base (M1) whether a reader may remember the window it is tested on."""
    if finding.verdict in ("pass", "not-applicable"):
        return ("declared" if is_declared(section) else "before"), finding.detail
    unknown = all(row.get("knowledge_cutoff") is None for row in finding.evidence) if finding.evidence else True
    return ("unknown" if unknown else "inside"), finding.detail


def is_declared(section: ModelSection) -> bool:
    """Whether the cutoff of a reader, or of its teacher, is known from what somebody declares alone."""
    readers = [section, *([] if section.teacher is None else [section.teacher])]
    return any(reader.is_own or reader.kind in _DECLARED for reader in readers)


def trust_undated(section: ModelSection, exposures: Sequence[str]) -> tuple[Trust, str]:
    """Say whether a reader may remember texts that nobody has dated.

    What learnt from the training texts alone cannot; of what came with weights of elsewhere it cannot be told.
    """
    if exposures:
        return "inside", f"The publisher of its base tuned it on {', '.join(exposures)}: it may have read these texts."
    readers = [section, *([] if section.teacher is None else [section.teacher])]
    for reader in readers:
        student = reader.kind == "distilled" and not reader.on_base
        if not (reader.kind in _OF_ITSELF or student or reader.made_here):
            named = f"base {reader.base!r}" if reader.on_base else f"a reader of kind {reader.kind!r}"
            return "unknown", f"The texts are undated, so whether {named} has read them cannot be told."
    return "before", "It knows words or the training texts alone, and none of these texts."
