"""Bayesian answers to "is a better than b": how probable it is, by how much, and whether it matters at all.

A p-value never says that two strategies are equal; a Bayes factor can, and so can the probability that their difference
lies within a region of practical equivalence (ROPE). Priors are stated with each function.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.integrate import quad
from scipy.stats import t as student

from embargo.backtest.arguments import check_positive, check_share
from embargo.data_loaders.errors import ConfigError, DataError

MEDIUM = math.sqrt(0.5)


@dataclass(frozen=True)
class PairedBelief:
    """What to believe of a mean difference after seeing the paired differences.

    Attributes
    ----------
    mean : float
        Of the differences; also the mean and median of the posterior (median alone below 3 differences).
    low, high : float
        Ends of the equal-tailed credible interval.
    below, inside, above : float
        Probabilities that the true difference lies below the ROPE, inside it, above it; they sum to 1.
    positive : float
        Probability that the true difference is above 0.
    bayes_factor : float or None
        How much better a difference explains the data than none does (BF10): above 3 is some evidence for one, below
        1/3 some evidence for none. None if all differences are equal.
    rope : float
        Half-width of the region that counts as no difference, in the unit of the differences.
    n : int
        Differences.
    level : float
        Of the credible interval.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import paired_belief
    >>> belief = paired_belief(np.array([0.2, 0.5, -0.1, 0.4, 0.3]), rope=0.1)
    >>> belief.n, round(belief.below + belief.inside + belief.above, 12)
    (5, 1.0)
    """

    mean: float
    low: float
    high: float
    below: float
    inside: float
    above: float
    positive: float
    bayes_factor: float | None
    rope: float
    n: int
    level: float

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON-able dictionary."""
        return asdict(self)


def jzs_bayes_factor(statistic: float, n: int, *, scale: float = MEDIUM) -> float:
    """Bayes factor for a difference over none (BF10), from the t statistic of a paired or one-sample t-test.

    The effect size (mean difference in standard deviations) has a Cauchy prior around 0, the variance Jeffreys's prior.

    Parameters
    ----------
    statistic : float
        Student's t of n differences.
    n : int
        Differences, at least 2, independent and about normal.
    scale : float
        Half of the prior lies within this many standard deviations of 0: the root of 1/2 by convention now ("medium"),
        1 in the paper. A wider prior finds for "none" more easily.

    Returns
    -------
    float
        Above 0; `inf` where it is larger than a float can say.

    Raises
    ------
    DataError
        If there are fewer than two differences, or the statistic is not finite.
    ConfigError
        If the scale is not positive.

    References
    ----------
    Rouder, Speckman, Sun, Morey and Iverson (2009), "Bayesian t tests for accepting and rejecting the null
    hypothesis", Psychonomic Bulletin & Review 16(2), equation 1. Jeffreys (1961), "Theory of probability", 5.2.

    Examples
    --------
    >>> from embargo.backtest.significance import jzs_bayes_factor
    >>> round(jzs_bayes_factor(2.5, 30), 2), round(jzs_bayes_factor(0.3, 30), 2)
    (2.71, 0.2)
    """
    if n < 2 or not math.isfinite(statistic):
        raise DataError(f"jzs_bayes_factor: needs a finite t of at least 2 differences, got t = {statistic}, n = {n}.")
    check_positive("scale", scale)
    degrees, square = n - 1, statistic**2
    # With g = scale^2 exp(2 u) the integrand is smooth and falls off on both sides, whatever n and t.
    peak = 0.5 * math.log(max(square, 1.0) / (n * scale**2))

    def log_density(u: float) -> float:
        g = scale**2 * math.exp(2.0 * u)
        shrunk = 1.0 + n * g
        fit = -0.5 * math.log(shrunk) - 0.5 * n * math.log1p(square / (shrunk * degrees))
        return fit - 0.5 * math.log(2.0 * math.pi) + math.log(2.0) - u - 0.5 * math.exp(-2.0 * u)

    grid = np.linspace(min(peak, 0.0) - 12.0, max(peak, 0.0) + 60.0, 721)
    heights = np.array([log_density(float(u)) if u > -6.5 else -np.inf for u in grid])
    top, centre = float(heights.max()), float(grid[int(heights.argmax())])
    near = grid[heights > top - 60.0]
    area = quad(
        lambda u: math.exp(log_density(u) - top), near[0] - 0.1, near[-1] + 0.1, points=[centre], limit=400,
        epsabs=0.0, epsrel=1e-10,
    )[0]  # fmt: skip
    log_factor = math.log(area) + top + 0.5 * n * math.log1p(square / degrees)
    return math.exp(log_factor) if log_factor < 709.0 else math.inf


def paired_belief(
    differences: np.ndarray,
    *,
    rope: float = 0.0,
    correlation: float = 0.0,
    level: float = 0.95,
    scale: float = MEDIUM,
) -> PairedBelief:
    """Say what paired differences make probable: the correlated Bayesian t-test, and a Bayes factor beside it.

    With a flat prior on mean and log variance, the posterior of the mean difference is Student's t with n - 1 degrees
    of freedom around the mean, its spread widened for the correlation of the differences.

    Parameters
    ----------
    differences : array, shape (n,), n at least 2
        a minus b on each fold, or each stretch of time long enough to be about independent of its neighbours.
    rope : float
        Differences of at most this size count as none; in the unit of the differences.
    correlation : float in [0, 1)
        Between differences that share training data: the test share of the data for repeated cross-validation (0.1 for
        ten folds). 0 for stretches of time.
    level : float
        Of the credible interval.
    scale : float
        Of the prior of the Bayes factor; see `jzs_bayes_factor`. With a correlation the factor takes the t statistic
        that allows for it.

    Returns
    -------
    PairedBelief

    Raises
    ------
    DataError
        If there are fewer than two finite differences.
    ConfigError
        If a setting is out of range.

    References
    ----------
    Corani and Benavoli (2015), "A Bayesian approach for comparing cross-validated algorithms on multiple data sets",
    Machine Learning 100. Benavoli, Corani, Demšar and Zaffalon (2017), "Time for a change: a tutorial for comparing
    multiple classifiers through Bayesian analysis", JMLR 18. Nadeau and Bengio (2003), Machine Learning 52, for the
    correlation. Kruschke (2013), "Bayesian estimation supersedes the t test", for the ROPE.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import paired_belief
    >>> belief = paired_belief(np.array([0.2, 0.5, -0.1, 0.4, 0.3]), rope=0.1)
    >>> round(belief.above, 3), round(belief.inside, 3), round(belief.bayes_factor, 2)
    (0.902, 0.085, 1.84)
    """
    values = np.asarray(differences, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise DataError(f"paired_belief: needs two finite differences or more, got shape {values.shape}.")
    check_share("level", level)
    if not 0.0 <= correlation < 1.0:
        raise ConfigError(f"correlation must lie in [0, 1), got {correlation}. It is 0 for stretches of time.")
    if not 0.0 <= rope < math.inf:
        raise ConfigError(f"rope must be finite and not negative, got {rope}. It is the half-width of the region.")
    n, mean = len(values), float(values.mean())
    spread = float(values.std(ddof=1))
    if spread <= 1e-12 * max(1e-300, float(np.abs(values).max())):
        return PairedBelief(
            mean=mean,
            low=mean,
            high=mean,
            below=float(mean < -rope),
            inside=float(abs(mean) <= rope),
            above=float(mean > rope),
            positive=0.5 if mean == 0.0 else float(mean > 0.0),
            bayes_factor=None,
            rope=rope,
            n=n,
            level=level,
        )
    error = spread * math.sqrt(1.0 / n + correlation / (1.0 - correlation))
    posterior = student(n - 1, loc=mean, scale=error)
    half = float(student.ppf(0.5 * (1.0 + level), n - 1)) * error
    below, above = float(posterior.cdf(-rope)), float(posterior.sf(rope))
    return PairedBelief(
        mean=mean,
        low=mean - half,
        high=mean + half,
        below=below,
        inside=max(0.0, 1.0 - below - above),
        above=above,
        positive=float(posterior.sf(0.0)),
        bayes_factor=jzs_bayes_factor(mean / error, n, scale=scale),
        rope=rope,
        n=n,
        level=level,
    )
