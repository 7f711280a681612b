"""The gain-to-pain ratio: a template for metrics.

A metric says its definition, unit and source, never assumes how many bars a year has, and is None where it does not
exist, so that no comparison can pick it as the best.
"""

from __future__ import annotations

from embargo.backtest.metrics.series import Returns, checked, quotient


def gain_to_pain(returns: Returns) -> float | None:
    """Return the sum of all returns over the absolute sum of the losses; None without a loss.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Simple returns per bar, as fractions.

    Returns
    -------
    float or None
        Ratio without unit, never annualised: 0 for a strategy that ends where it began.

    Raises
    ------
    DataError
        If a return is missing, infinite or below -1.

    References
    ----------
    Schwager, J. D. (2012). Hedge Fund Market Wizards. Wiley.

    Examples
    --------
    >>> gain_to_pain([0.02, -0.01, 0.01])
    2.0
    >>> gain_to_pain([0.02, 0.01]) is None
    True
    """
    values = checked(returns)
    return quotient(float(values.sum()), float(-values[values < 0.0].sum()))
