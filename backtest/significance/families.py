"""Many tests at once: p-values adjusted for the size of their family."""

from __future__ import annotations

from collections.abc import Sequence

from embargo.data_loaders.errors import DataError


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values for the number of tests, by a step-down that keeps the family-wise error.

    Parameters
    ----------
    p_values : sequence of float or None
        In [0, 1]; None is a test not made, stays None and does not count.

    Returns
    -------
    list of float or None
        Adjusted p-values, in the order given.

    Raises
    ------
    DataError
        If a p-value lies outside [0, 1].

    References
    ----------
    Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6(2).

    Examples
    --------
    >>> from embargo.backtest.significance import holm
    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    adjusted, given = _family(p_values)
    worst = 0.0
    for rank, (p, place) in enumerate(given):
        worst = max(worst, min(1.0, p * (len(given) - rank)))
        adjusted[place] = worst
    return adjusted


def bonferroni(p_values: Sequence[float | None]) -> list[float | None]:
    """Multiply p-values by the number of tests (family-wise error), for intervals that must hold together.

    For tests alone `holm` keeps the same error and finds more.

    Parameters
    ----------
    p_values : sequence of float or None
        As in `holm`.

    Returns
    -------
    list of float or None
        Adjusted p-values, in the order given.

    References
    ----------
    Dunn (1961), "Multiple Comparisons Among Means", JASA 56(293).

    Examples
    --------
    >>> from embargo.backtest.significance import bonferroni
    >>> bonferroni([0.01, 0.04, None, 0.03])
    [0.03, 0.12, None, 0.09]
    """
    adjusted, given = _family(p_values)
    for p, place in given:
        adjusted[place] = min(1.0, p * len(given))
    return adjusted


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values so that a cut at q keeps the expected share of false discoveries at most q.

    Holds for independent and for positively dependent tests; for screening many candidates, never for one claim.

    Parameters
    ----------
    p_values : sequence of float or None
        As in `holm`.

    Returns
    -------
    list of float or None
        Adjusted p-values, in the order given.

    References
    ----------
    Benjamini and Hochberg (1995), "Controlling the False Discovery Rate", JRSS B 57(1); Benjamini and Yekutieli (2001),
    Annals of Statistics 29(4), for dependence.

    Examples
    --------
    >>> from embargo.backtest.significance import benjamini_hochberg
    >>> benjamini_hochberg([0.01, 0.04, None, 0.03])
    [0.03, 0.04, None, 0.04]
    """
    adjusted, given = _family(p_values)
    best = 1.0
    for rank in range(len(given), 0, -1):
        p, place = given[rank - 1]
        # In this order of operations rounding cannot lift it above what `holm` gives.
        best = min(best, p * (len(given) / rank))
        adjusted[place] = best
    return adjusted


def _family(p_values: Sequence[float | None]) -> tuple[list[float | None], list[tuple[float, int]]]:
    """Room for the adjusted values, and the given ones with their places, smallest first."""
    given = sorted((float(p), place) for place, p in enumerate(p_values) if p is not None)
    for p, place in given:
        if not 0.0 <= p <= 1.0:
            raise DataError(f"p-value {p} in place {place} does not lie in [0, 1]. Pass None for a test not made.")
    return [None] * len(p_values), given
