"""Tails and ranks that checks and intervals ask for, to the last bit those of ``scipy.stats``.

Loading ``scipy.stats`` takes longer than most of what is asked of it, so these go by the functions below it, and load
them when asked: a config is checked without.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Numbers = Any  # a number, array or Series


def student_sf(statistic: Numbers, degrees: Numbers) -> Any:
    """Probability that Student's t with some degrees of freedom is above a statistic; the shapes broadcast.

    Examples
    --------
    >>> from embargo.backtest.distributions import student_sf
    >>> round(float(student_sf(2.0, 10)), 4)
    0.0367
    """
    from scipy.special import stdtr

    return stdtr(np.asarray(degrees, dtype=float), -np.asarray(statistic, dtype=float))


def student_isf(level: Numbers, degrees: Numbers) -> Any:
    """Statistic that Student's t with some degrees of freedom exceeds with a probability; the shapes broadcast.

    Examples
    --------
    >>> from embargo.backtest.distributions import student_isf
    >>> round(float(student_isf(0.025, 10)), 3)
    2.228
    """
    return -student_ppf(level, degrees)


def student_ppf(level: Numbers, degrees: Numbers) -> Any:
    """Quantile of Student's t with some degrees of freedom; the shapes broadcast.

    Examples
    --------
    >>> from embargo.backtest.distributions import student_ppf
    >>> round(float(student_ppf(0.975, 10)), 3)
    2.228
    """
    from scipy.special import stdtrit

    share = np.asarray(level, dtype=float)
    found = stdtrit(np.asarray(degrees, dtype=float), share)
    # scipy.special has no other end than the upper one.
    return np.where(share == 0.0, -np.inf, np.where(share == 1.0, np.inf, found))


def binomial_sf(successes: Numbers, trials: Numbers, chance: Numbers) -> Any:
    """Probability of more successes than so many among trials of a chance; the shapes broadcast.

    Examples
    --------
    >>> from embargo.backtest.distributions import binomial_sf
    >>> float(binomial_sf([0, 2], 2, 0.5)[0]), float(binomial_sf(-1, 2, 0.5))
    (0.75, 1.0)
    """
    from scipy.special import betainc

    given = (np.asarray(each, dtype=float) for each in (successes, trials, chance))
    reached, of, likely = np.broadcast_arrays(*given)
    reached = np.floor(reached)
    inside = (reached >= 0.0) & (reached < of)
    tail = betainc(np.where(inside, reached + 1.0, 1.0), np.where(inside, of - reached, 1.0), likely)
    return np.where(reached < 0.0, 1.0, np.where(reached >= of, 0.0, tail))


def average_ranks(values: Numbers) -> np.ndarray:
    """Rank values from 1, those that tie by the mean of their places; all NaN where one is.

    Parameters
    ----------
    values : float array or Series, shape (rows,)

    Returns
    -------
    float array, shape (rows,)

    Examples
    --------
    >>> from embargo.backtest.distributions import average_ranks
    >>> average_ranks([0.3, 0.1, 0.3]).tolist()
    [2.5, 1.0, 2.5]
    """
    given = np.asarray(values, dtype=float)
    if np.isnan(given).any():
        return np.full(len(given), np.nan)
    order = np.argsort(given, kind="stable")
    ordered = given[order]
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(given) else np.empty(0, dtype=np.int64)
    end = np.append(first[1:], len(given))[: len(first)]
    ranks = np.empty(len(given))
    ranks[order] = np.repeat((first + 1 + end) / 2.0, end - first)
    return ranks
