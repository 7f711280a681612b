"""Tell whether one classifier is better than another on the same samples, or was lucky.

Each test answers its own question, and `compare_classifiers` says which. Every function is paired: it looks at nothing
but the differences on samples that both classifiers saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import chdtri, ndtr
from scipy.stats import binom, t, ttest_1samp
from scipy.stats import wilcoxon as _wilcoxon

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.calibration.forecasts import check_probabilities
from embargo.models.calibration.measures import brier_score
from embargo.models.evaluation.resampling import BLOCK, bootstrap_weights, check_resampling, percentile_interval
from embargo.models.samples import group_members

Loss = Literal["log", "brier"]

# Up to this many differences all sign flips are tried (65,536), beyond it a sample of them.
EXACT_FLIPS = 16
_QUANTILES = 10_001


@dataclass(frozen=True)
class McNemar:
    """How two classifiers disagree.

    Attributes
    ----------
    only_a, only_b : int
        Samples that only the first, only the second got right.
    p_exact : float
        Two-sided binomial; never rejects too often, and less often than it says.
    p_mid : float
        Mid-p; close to its level, and seldom above it.

    Examples
    --------
    >>> from embargo.models.evaluation import McNemar
    >>> McNemar(only_a=6, only_b=1, p_exact=0.125, p_mid=0.07).only_a
    6
    """

    only_a: int
    only_b: int
    p_exact: float
    p_mid: float


def mcnemar(correct_a: np.ndarray, correct_b: np.ndarray) -> McNemar:
    """Test whether two classifiers are equally often right on independent samples.

    Parameters
    ----------
    correct_a, correct_b : ndarray of bool, shape (n,)

    Returns
    -------
    McNemar

    References
    ----------
    McNemar 1947, "Note on the sampling error of the difference between correlated proportions", Psychometrika 12.
    Fagerland, Lydersen & Laake 2013, "The McNemar test for binary matched-pairs data: mid-p and asymptotic are better
    than exact conditional", BMC Medical Research Methodology 13.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models.evaluation import mcnemar
    >>> found = mcnemar(np.array([True] * 8 + [False] * 2), np.array([False] * 6 + [True] * 3 + [False]))
    >>> found.only_a, found.only_b, round(found.p_mid, 3)
    (6, 1, 0.07)
    """
    a, b = np.asarray(correct_a, dtype=bool), np.asarray(correct_b, dtype=bool)
    if a.shape != b.shape or a.ndim != 1:
        raise DataError(f"mcnemar: {a.shape} and {b.shape} outcomes; both must be of the same samples.")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    tail = 2 * float(binom.cdf(min(only_a, only_b), only_a + only_b, 0.5))
    point = float(binom.pmf(min(only_a, only_b), only_a + only_b, 0.5))
    return McNemar(only_a, only_b, min(1.0, tail), min(1.0, tail - point))


def paired_t(differences: np.ndarray, *, level: float = 0.95) -> tuple[float, tuple[float, float], float | None]:
    """Return the mean difference, its interval and the p-value of a mean of 0, by Student's t.

    Parameters
    ----------
    differences : ndarray, shape (n,), n at least 2
        Independent; about normal, or many. Losses on folds that share training data are neither (Dietterich 1998,
        "Approximate statistical tests for comparing supervised classification learning algorithms").
    level : float

    Returns
    -------
    (mean, (low, high), p-value). The p-value is None if all differences are equal.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models.evaluation import paired_t
    >>> differences = np.array([0.3, 0.1, 0.4, -0.1, 0.2, 0.3])
    >>> mean, (low, high), p_value = paired_t(differences)
    >>> round(mean, 3), round(low, 3), round(high, 3), round(p_value, 3)
    (0.2, 0.012, 0.388, 0.041)
    """
    values = _differences(differences, "paired_t")
    mean, spread = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    half = float(t.ppf((1 + level) / 2, len(values) - 1)) * spread
    p_value = float(ttest_1samp(values, 0.0).pvalue) if _varies(values) else None
    return mean, (mean - half, mean + half), p_value


def wilcoxon(differences: np.ndarray) -> float | None:
    """Return the p-value of Wilcoxon's signed-rank test of differences that are symmetric about 0.

    Differences of 0 are left out; None if none is left. Heavy tails, such as those of log-losses, do not move it.

    Parameters
    ----------
    differences : ndarray, shape (n,), n at least 2

    Returns
    -------
    float or None
        Two-sided p-value.

    References
    ----------
    Wilcoxon 1945, "Individual comparisons by ranking methods", Biometrics Bulletin 1.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models.evaluation import wilcoxon
    >>> differences = np.array([0.3, 0.1, 0.4, -0.1, 0.2, 0.3])
    >>> round(wilcoxon(differences), 3)
    0.094
    """
    values = _differences(differences, "wilcoxon")
    return float(_wilcoxon(values[values != 0]).pvalue) if (values != 0).any() else None


def sign_flip(differences: np.ndarray, *, flips: int = 9999, seed: int | np.random.Generator = 0) -> float:
    """Return the two-sided p-value of the mean difference when either classifier might have been the other.

    Exact where the differences are exchangeable in sign, whatever their distribution. All flips are tried for up to 16
    differences that are not 0; otherwise ``flips`` are drawn, and the p-value is at least 1 / (flips + 1).

    Parameters
    ----------
    differences : ndarray, shape (n,), n at least 2
    flips : int
    seed : int or Generator

    Returns
    -------
    float

    References
    ----------
    Fisher 1935, "The design of experiments", section 21. Phipson & Smyth 2010, "Permutation p-values should never be
    zero".

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models.evaluation import sign_flip
    >>> differences = np.array([0.3, 0.1, 0.4, -0.1, 0.2, 0.3])
    >>> sign_flip(differences)
    0.09375
    """
    values = _differences(differences, "sign_flip")
    if flips < 1:
        raise ConfigError(f"sign_flip: needs at least one flip, got {flips}.")
    moving = values[values != 0]
    observed = abs(moving.sum()) - 1e-12 * np.abs(moving).sum()
    if len(moving) <= EXACT_FLIPS:
        signs = 1 - 2 * ((np.arange(2 ** len(moving))[:, None] >> np.arange(len(moving))) & 1)
        return float((np.abs(signs @ moving) >= observed).mean())
    generator, block, beyond = np.random.default_rng(seed), max(1, BLOCK // len(moving)), 0
    for start in range(0, flips, block):
        shape = (min(block, flips - start), len(moving))
        packed = np.frombuffer(generator.bytes(-(-shape[0] * shape[1] // 8)), dtype=np.uint8)
        minus = np.unpackbits(packed, count=shape[0] * shape[1]).reshape(shape).astype(float)
        # The sum with flipped signs is the sum less twice what was flipped.
        beyond += int((np.abs(moving.sum() - 2 * (minus @ moving)) >= observed).sum())
    return (1 + beyond) / (1 + flips)


def cohens_d(differences: np.ndarray, *, level: float = 0.95) -> tuple[float | None, tuple[float, float] | None]:
    """Return the mean difference in standard deviations of the differences, and its interval.

    Parameters
    ----------
    differences : ndarray, shape (n,), n at least 2
        Of the paired kind (d_z): its size depends on how alike the classifiers are, and says how many samples it
        takes to tell them apart (about 8 / d² for four chances in five).
    level : float
        Coverage, of about normal differences, by the noncentral t distribution.

    Returns
    -------
    (d, (low, high)); None if all differences are equal.

    References
    ----------
    Cohen 1988, "Statistical power analysis for the behavioral sciences". Steiger & Fouladi 1997, "Noncentrality
    interval estimation and the evaluation of statistical models".

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models.evaluation import cohens_d
    >>> differences = np.array([0.3, 0.1, 0.4, -0.1, 0.2, 0.3])
    >>> effect, (low, high) = cohens_d(differences)
    >>> round(effect, 2), round(low, 2), round(high, 2)
    (1.12, 0.04, 2.13)
    """
    values = _differences(differences, "cohens_d")
    if not _varies(values):
        return None, None
    n, d = len(values), float(values.mean() / values.std(ddof=1))
    # A noncentral t is a normal over the root of a chi-square: averaging over its quantiles computes what scipy's own
    # distribution function answers with NaN for large effects.
    middles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    reached = d * np.sqrt(n) * np.sqrt(chdtri(n - 1, middles) / (n - 1))

    def end(tail: float) -> float:
        root = brentq(lambda shift: ndtr(reached - shift).mean() - tail, reached.min() - 40, reached.max() + 40)
        return float(root / np.sqrt(n))

    return d, (end((1 + level) / 2), end((1 - level) / 2))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values for the number of tests (family-wise error); None stays None and does not count as a test.

    References
    ----------
    Holm 1979, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6(2).
    """
    given = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    steps = np.maximum.accumulate([min(1.0, p * (len(given) - rank)) for rank, (p, _) in enumerate(given)] or [0.0])
    adjusted: list[float | None] = [None] * len(p_values)
    for (_, place), p in zip(given, steps.tolist(), strict=False):
        adjusted[place] = p
    return adjusted


def losses(probs: np.ndarray, labels: np.ndarray, *, loss: Loss = "log") -> np.ndarray:
    """Return each sample's loss, shape (n,): log-loss in nats (probabilities clipped at 1e-15) or Brier in [0, 2].

    Parameters
    ----------
    probs : ndarray, shape (n, 3)
        Rows sum to 1.
    labels : ndarray of int, shape (n,)
    loss : {"log", "brier"}

    Returns
    -------
    ndarray, shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models.evaluation import losses
    >>> sure = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.2, 0.2, 0.6]] * 5)
    >>> labels = np.array([0, 1, 2, 0] * 5)
    >>> losses(sure, labels)[:4].round(3).tolist()
    [0.223, 0.223, 0.223, 1.609]
    >>> losses(sure, labels, loss="brier")[:4].round(2).tolist()
    [0.06, 0.06, 0.06, 1.04]
    """
    values, classes = np.asarray(probs, dtype=float), np.asarray(labels)
    brier_score(values, classes)
    check_probabilities(values, what="losses")
    if loss == "brier":
        return np.asarray(((values - np.eye(len(CLASSES))[classes]) ** 2).sum(axis=1))
    if loss == "log":
        return np.asarray(-np.log(np.clip(values[np.arange(len(classes)), classes], 1e-15, 1.0)))
    raise ConfigError(f"loss {loss!r} is unknown. Choose 'log' or 'brier'.")


def compare_classifiers(
    probs: Mapping[str, np.ndarray],
    labels: np.ndarray,
    *,
    groups: Sequence[Any] | np.ndarray | None = None,
    loss: Loss = "log",
    seed: int = 0,
    resamples: int = 2000,
    level: float = 0.95,
) -> pd.DataFrame:
    """Compare every pair of classifiers on the same samples.

    Parameters
    ----------
    probs : mapping of name to ndarray, shape (n, 3)
        At least two; rows sum to 1.
    labels : ndarray of int, shape (n,)
        Of samples that none of them was fitted, calibrated or chosen on.
    groups : sequence of length n, optional
        Names clusters of dependent samples (near-duplicates, days) or folds. Everything then counts groups instead of
        samples: the bootstrap draws groups, the tests compare sums over groups, and McNemar's test, which knows no
        groups, gives way to flipping the signs of whole groups.
    loss : {"log", "brier"}
        What "better probabilities" means.
    seed : int
        Of bootstrap and sign flips; the same table for the same seed.
    resamples : int
        Bootstrap samples; sign flips are five times as many.
    level : float
        Coverage of the intervals.

    Returns
    -------
    DataFrame with one row per pair and test: ``a, b, question, test, estimate`` (a minus b, in the unit that the
    question names; positive accuracy and F1, but negative losses, favour a), ``low, high`` (NaN where the test gives no
    interval), ``p_value, p_value_holm`` (adjusted over the pairs, within each test; NaN where there is nothing to test)
    and ``n`` (samples or groups). State the question before looking: choosing the smallest p-value of a pair among the
    tests is not adjusted for. Mean and typical loss may disagree: Wilcoxon's test rejects where differences are skewed,
    whatever their mean.

    Raises
    ------
    ConfigError
        If there are fewer than two classifiers, or settings are out of range.
    DataError
        If shapes or values do not fit, or there are fewer than two samples or groups.

    References
    ----------
    Dietterich 1998, Neural Computation 10. Efron & Tibshirani 1993, "An introduction to the bootstrap", chapters 13
    and 16. The rest where each test is defined.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models import compare_classifiers
    >>> sure = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.2, 0.2, 0.6]] * 5)
    >>> labels = np.array([0, 1, 2, 0] * 5)
    >>> blind = np.full((20, 3), 1 / 3)
    >>> table = compare_classifiers({"sure": sure, "blind": blind}, labels)
    >>> print(table[["test", "estimate", "p_value"]].round(3).to_string(index=False))
                    test  estimate  p_value
        paired bootstrap     0.250    0.227
        paired bootstrap     0.556    0.003
           McNemar exact     0.250    0.302
           McNemar mid-p     0.250    0.210
                paired t    -0.529    0.001
               sign flip    -0.529    0.002
    Wilcoxon signed rank    -0.875    0.000
               Cohen's d    -0.859      NaN
    """
    check_resampling(level, resamples, what="compare_classifiers")
    if len(probs) < 2:
        raise ConfigError(f"compare_classifiers: needs two classifiers or more, got {list(probs)}. Add one.")
    classes = np.asarray(labels)
    suffered = {name: losses(values, classes, loss=loss) for name, values in probs.items()}
    predicted = {name: np.asarray(values).argmax(axis=1) for name, values in probs.items()}
    n = len(classes)
    members = np.arange(n) if groups is None else group_members(groups, n, what="compare_classifiers")
    draws = _Draws(members, resamples, seed, level)
    rows: list[dict[str, Any]] = []
    for a, b in combinations(probs, 2):
        pair = {"a": a, "b": b, "n": draws.n}
        hits = [predicted[name] == classes for name in (a, b)]
        tests = draws.of_predictions(predicted[a], predicted[b], classes)
        if groups is None:
            tests += _disagreement(*hits)
        else:
            summed = draws.by_group(hits[0].astype(float) - hits[1])
            flipped = sign_flip(summed, flips=5 * resamples, seed=seed)
            tests.append(_row(_RIGHT, "sign flip by group", float(summed.mean()), None, flipped))
        tests += _of_losses(draws.by_group(suffered[a] - suffered[b]), loss, seed, 5 * resamples, level)
        rows += [pair | test for test in tests]
    table = pd.DataFrame(rows)
    columns = ["a", "b", "question", "test", "estimate", "low", "high", "p_value", "p_value_holm", "n"]
    adjusted = pd.Series(np.nan, index=table.index)
    for _, same in table.groupby(["question", "test"], sort=False):
        given = [None if np.isnan(p) else float(p) for p in same["p_value"]]
        adjusted[same.index] = np.array(holm(given), dtype=float)
    return table.assign(p_value_holm=adjusted)[columns]


_RIGHT = "Is one more often right? (accuracy)"
_EVENLY = "Is one better over all classes alike? (macro-F1)"


def _row(
    question: str, test: str, estimate: float | None, interval: tuple[float, float] | None, p_value: float | None
) -> dict[str, Any]:
    low, high = interval or (np.nan, np.nan)
    figures = {"estimate": estimate, "low": low, "high": high, "p_value": p_value}
    return {"question": question, "test": test} | {
        name: np.nan if value is None else float(value) for name, value in figures.items()
    }


def _disagreement(correct_a: np.ndarray, correct_b: np.ndarray) -> list[dict[str, Any]]:
    found = mcnemar(correct_a, correct_b)
    estimate = (found.only_a - found.only_b) / len(correct_a)
    return [
        _row(_RIGHT, "McNemar exact", estimate, None, found.p_exact),
        _row(_RIGHT, "McNemar mid-p", estimate, None, found.p_mid),
    ]


def _of_losses(differences: np.ndarray, loss: str, seed: int, flips: int, level: float) -> list[dict[str, Any]]:
    mean, interval, p_value = paired_t(differences, level=level)
    question = f"Are one's probabilities better on average? (mean {loss} loss)"
    flipped = sign_flip(differences, flips=flips, seed=seed)
    effect, around = cohens_d(differences, level=level)
    typical = f"Are one's probabilities better in the typical case? (median {loss} loss)"
    size = f"How large is the difference? (standard deviations of {loss} loss)"
    return [
        _row(question, "paired t", mean, interval, p_value),
        _row(question, "sign flip", mean, None, flipped),
        _row(typical, "Wilcoxon signed rank", float(np.median(differences)), None, wilcoxon(differences)),
        _row(size, "Cohen's d", effect, around, None),
    ]


class _Draws:
    """Bootstrap samples of groups, the same for every pair."""

    def __init__(self, members: np.ndarray, resamples: int, seed: int, level: float) -> None:
        self.members, self.resamples, self.seed, self.level = members, resamples, seed, level
        self.n = int(members.max()) + 1
        if self.n < 2:
            raise DataError("compare_classifiers: needs at least two samples or groups, got one.")

    def by_group(self, differences: np.ndarray) -> np.ndarray:
        # Sums, not means, so that a large group weighs as much as its samples; scaled to keep the mean.
        return np.bincount(self.members, weights=differences) * (self.n / len(self.members))

    def of_predictions(self, a: np.ndarray, b: np.ndarray, classes: np.ndarray) -> list[dict[str, Any]]:
        k = len(CLASSES)
        cells = np.hstack([np.eye(k * k)[classes * k + one] for one in (a, b)])
        # Confusion matrices add up, so each group is drawn as one.
        counts = np.zeros((self.n, cells.shape[1]))
        np.add.at(counts, self.members, cells)
        observed = _accuracy_and_f1(counts.sum(axis=0, keepdims=True))
        drawn = bootstrap_weights(self.n, self.resamples, seed=self.seed)
        every = np.concatenate([_accuracy_and_f1(weights.astype(float) @ counts) for weights in drawn])
        rows = []
        for column, question in enumerate((_RIGHT, _EVENLY)):
            low, high = percentile_interval(every[:, column], self.level)
            less, more = ((side[:, column] >= -1e-12).sum() for side in (-every, every))
            p_value = min(1.0, 2 * (1 + min(less, more)) / (1 + self.resamples))
            rows.append(_row(question, "paired bootstrap", observed[0, column], (low, high), p_value))
        return rows


def _accuracy_and_f1(counts: np.ndarray) -> np.ndarray:
    """Return the differences (rows, 2) in accuracy and macro-F1 between the confusions in the two halves of counts."""
    k = len(CLASSES)
    confusions = counts.reshape(len(counts), 2, k, k)
    hits = np.diagonal(confusions, axis1=2, axis2=3)
    either = confusions.sum(axis=2) + confusions.sum(axis=3)
    f1 = np.divide(2 * hits, either, out=np.full(hits.shape, np.nan), where=either > 0)
    accuracy, macro = hits.sum(axis=2) / confusions.sum(axis=(2, 3)), np.nanmean(f1, axis=2)
    return np.column_stack([accuracy[:, 0] - accuracy[:, 1], macro[:, 0] - macro[:, 1]])


def _differences(differences: np.ndarray, what: str) -> np.ndarray:
    values = np.asarray(differences, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise DataError(f"{what}: needs two finite differences or more in one dimension, got shape {values.shape}.")
    return values


def _varies(values: np.ndarray) -> bool:
    return float(values.std()) > 1e-12 * max(1e-300, float(np.abs(values).max()))
