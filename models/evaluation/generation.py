"""How good texts are that a model wrote, with intervals, and whether a tuned model writes better than its base.

Texts about one article depend on each other, so articles are resampled and exchanged whole. Every measure is tested on
the texts that both models have a figure for, and the p-values are adjusted for the number of measures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import DataError
from embargo.models.evaluation.comparison import holm
from embargo.models.evaluation.overlap import Measure
from embargo.models.evaluation.resampling import BLOCK, bootstrap_weights, check_resampling, percentile_interval
from embargo.models.samples import group_members


def generation_table(
    measures: Mapping[str, Measure],
    *,
    groups: Sequence[Any],
    seed: int = 0,
    resamples: int = 2000,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return each measure with its bootstrap interval.

    Parameters
    ----------
    measures : mapping of str to Measure
        Of the same n texts.
    groups : sequence of length n
        The article of each text; articles are drawn whole.
    seed, resamples : int
    level : float
        Of the bootstrap.

    Returns
    -------
    DataFrame with one row per measure: ``measure, better, value, low, high, n`` (texts that have a figure). NaN where
    none has.

    Raises
    ------
    DataError
        If their number differs.

    Examples
    --------
    >>> from embargo.models.evaluation import generation_table, mean_of
    >>> table = generation_table({"exact": mean_of("exact", "higher", [1.0, 0.0, 1.0, 1.0])}, groups=[0, 1, 2, 3])
    >>> table["value"].tolist(), table["n"].tolist()
    ([0.75], [4])
    """
    check_resampling(level, resamples, what="generation_table")
    rows = []
    for measure in measures.values():
        grouped = _by_group(measure, groups)
        drawn = np.concatenate(
            [measure.of(weights @ grouped) for weights in bootstrap_weights(len(grouped), resamples, seed=seed)]
        )
        low, high = _interval(drawn, level)
        rows.append(
            {
                "measure": measure.name,
                "better": measure.better,
                "value": measure.of_all(),
                "low": low,
                "high": high,
                "n": measure.n(),
            }
        )
    return pd.DataFrame(rows, columns=["measure", "better", "value", "low", "high", "n"])


def compare_generations(
    tuned: Mapping[str, Measure],
    base: Mapping[str, Measure],
    *,
    groups: Sequence[Any],
    seed: int = 0,
    resamples: int = 2000,
    level: float = 0.95,
) -> pd.DataFrame:
    """Tell for each measure whether one model's texts are better than another's on the same prompts.

    Parameters
    ----------
    tuned, base : mapping of str to Measure
        The same measures of the same n prompts. A prompt without a figure of either is left out of that measure.
    groups : sequence of length n
        The article of each prompt; articles are drawn, and exchanged between the models, whole.
    seed, resamples : int
    level : float
        Of the bootstrap; exchanges are five times as many.

    Returns
    -------
    DataFrame with one row per measure: ``measure, better, tuned, base, difference`` (tuned minus base), its paired
    bootstrap interval ``low, high``, ``p_bootstrap`` (two-sided, of the interval's draws on the other side of 0),
    ``p_value`` (two-sided, by exchanging the models' texts of whole articles at random: exact where neither is better),
    ``p_value_holm`` (adjusted over the measures) and ``n``. NaN where no prompt has a figure of both, or none differs.

    Raises
    ------
    DataError
        If measures or numbers of texts differ.

    References
    ----------
    Koehn 2004, "Statistical significance tests for machine translation evaluation". Riezler & Maxwell 2005, "On some
    pitfalls in automatic evaluation and significance testing for MT". Holm 1979.

    Examples
    --------
    >>> from embargo.models.evaluation import compare_generations, mean_of
    >>> tuned = {"exact": mean_of("exact", "higher", [1.0] * 8 + [0.0, None])}
    >>> base = {"exact": mean_of("exact", "higher", [0.0] * 8 + [0.0, 1.0])}
    >>> table = compare_generations(tuned, base, groups=range(10))
    >>> table["n"].tolist(), bool(table["p_value"][0] < 0.05)
    ([9], True)
    """
    check_resampling(level, resamples, what="compare_generations")
    if set(tuned) != set(base):
        raise DataError(f"compare_generations: {sorted(tuned)} and {sorted(base)} are not the same measures.")
    rows = []
    for name, first in tuned.items():
        rows.append(_compared(*_both(first, base[name]), groups, seed, resamples, level))
    table = pd.DataFrame(rows)
    adjusted = holm([None if np.isnan(p) else float(p) for p in table["p_value"]])
    table["p_value_holm"] = np.array(adjusted, dtype=float)
    columns = ["measure", "better", "tuned", "base", "difference", "low", "high", "p_bootstrap", "p_value"]
    return table[[*columns, "p_value_holm", "n"]]


def _both(first: Measure, second: Measure) -> tuple[Measure, Measure]:
    if first.sums.shape != second.sums.shape:
        raise DataError(
            f"compare_generations: {len(first.sums)} and {len(second.sums)} texts; give the same prompts to both."
        )
    if first.name == "BLEU":
        return first, second
    there = (first.sums[:, 1] * second.sums[:, 1])[:, None]
    return replace(first, sums=first.sums * there), replace(second, sums=second.sums * there)


def _compared(
    first: Measure, second: Measure, groups: Sequence[Any], seed: int, resamples: int, level: float
) -> dict[str, Any]:
    one, other = _by_group(first, groups), _by_group(second, groups)
    values = first.of_all(), second.of_all()
    difference = values[0] - values[1]
    row: dict[str, Any] = {"measure": first.name, "better": first.better, "tuned": values[0], "base": values[1]}
    row |= {"difference": difference, "n": first.n()}
    drawn = np.concatenate(
        [
            first.of(weights @ one) - second.of(weights @ other)
            for weights in bootstrap_weights(len(one), resamples, seed=seed)
        ]
    )
    row["low"], row["high"] = _interval(drawn, level)
    if np.isnan(difference) or np.array_equal(one, other):
        return row | {"p_bootstrap": np.nan, "p_value": np.nan}
    drawn = drawn[~np.isnan(drawn)]
    less, more = int((drawn <= 1e-12).sum()), int((drawn >= -1e-12).sum())
    row["p_bootstrap"] = min(1.0, 2 * (1 + min(less, more)) / (1 + len(drawn)))
    row["p_value"] = _exchanged(first, one, other, difference, 5 * resamples, seed)
    return row


def _exchanged(measure: Measure, one: np.ndarray, other: np.ndarray, difference: float, flips: int, seed: int) -> float:
    """Return how often a difference as large comes of giving each article's texts to either model at random."""
    generator, beyond = np.random.default_rng(seed), 0
    total, apart = one.sum(axis=0), one.sum(axis=0) - other.sum(axis=0)
    moved = one - other
    block = max(1, BLOCK // len(one))
    for start in range(0, flips, block):
        taken = generator.integers(0, 2, size=(min(block, flips - start), len(one))).astype(float)
        change = taken @ moved
        drawn = measure.of(total - change) - measure.of(total - apart + change)
        # Exact in counts, and up to rounding in the figures.
        beyond += int((np.abs(drawn) >= abs(difference) - 1e-9 * max(1.0, abs(difference))).sum())
    return (1 + beyond) / (1 + flips)


def _by_group(measure: Measure, groups: Sequence[Any]) -> np.ndarray:
    members = group_members(np.asarray(list(groups), dtype=object), len(measure.sums), what=f"measure {measure.name}")
    grouped = np.zeros((int(members.max()) + 1, measure.sums.shape[1]))
    np.add.at(grouped, members, measure.sums)
    return grouped


def _interval(drawn: np.ndarray, level: float) -> tuple[float, float]:
    there = drawn[~np.isnan(drawn)]
    return percentile_interval(there, level) if len(there) else (np.nan, np.nan)
