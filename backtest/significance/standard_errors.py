"""Standard errors of a Sharpe ratio in closed form, and what the ratio becomes over longer periods.

They are quick and need no resampling; the studentised bootstrap of ``sharpe_estimate`` is what claims rest on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.arguments import check_at_least, check_periods_per_year
from embargo.backtest.significance.long_run import long_run_variance, sharpe_influence
from embargo.backtest.significance.series import checked_returns, varies
from embargo.data_loaders.errors import ConfigError, DataError

_FEWEST_ROWS = 10


@dataclass(frozen=True)
class SharpeErrors:
    """Standard errors of one Sharpe ratio, annual; None below ten rows or without variation.

    Attributes
    ----------
    normal : float or None
        For independent, normally distributed rows. A one-sided 5 % test by it is far too eager under serial
        correlation; `docs/size_and_power.md` has the rates.
    moments : float or None
        For independent rows of any distribution, from their skewness and kurtosis. As eager as ``normal``.
    hac : float or None
        Allows for serial dependence and changing variance as well.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import sharpe_errors
    >>> sharpe_errors(np.array([0.01, 0.02]), periods_per_year=252)
    SharpeErrors(normal=None, moments=None, hac=None)
    """

    normal: float | None
    moments: float | None
    hac: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON-able dictionary."""
        return asdict(self)


def sharpe_errors(returns: pd.Series | np.ndarray, *, periods_per_year: float) -> SharpeErrors:
    """Find the standard error of an annual Sharpe ratio under three sets of assumptions.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, without missing values.
    periods_per_year : float
        Rows in a year; errors per period are multiplied by its root.

    Returns
    -------
    SharpeErrors

    Raises
    ------
    DataError
        If returns are missing.
    ConfigError
        If ``periods_per_year`` is not positive.

    References
    ----------
    Lo (2002), "The Statistics of Sharpe Ratios", Financial Analysts Journal 58(4): ``normal`` is its equation 9,
    ``hac`` its appendix A with the pre-whitened kernel of ``long_run_variance`` in the place of Newey and West's.
    Mertens (2002), "Comments on Variance of the IID estimator in Lo (2002)", for ``moments``.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import sharpe_errors
    >>> returns = np.random.default_rng(1).normal(0.001, 0.01, 500)
    >>> found = sharpe_errors(returns, periods_per_year=252)
    >>> round(found.normal, 3), round(found.moments, 3), round(found.hac, 3)
    (0.711, 0.71, 0.639)
    """
    values = checked_returns(returns, "sharpe_errors")
    check_periods_per_year(periods_per_year)
    n = len(values)
    if n < _FEWEST_ROWS or not varies(values):
        return SharpeErrors(None, None, None)
    ratio, influence = sharpe_influence(values)
    root = math.sqrt(periods_per_year / n)
    return SharpeErrors(
        normal=math.sqrt(1.0 + 0.5 * ratio**2) * root,
        moments=math.sqrt(float(influence @ influence) / n) * root,
        hac=math.sqrt(long_run_variance(influence)) * root,
    )


def aggregation_factor(autocorrelation: Sequence[float] | np.ndarray, q: int) -> float:
    """Factor that turns a Sharpe ratio per period into that of q periods, under serial correlation.

    Parameters
    ----------
    autocorrelation : sequence of float
        Of the returns at lags 1, 2, ...; lags beyond the last one given, up to q - 1, count as 0.
    q : int
        Periods aggregated, such as 12 months in a year.

    Returns
    -------
    float
        The root of q without serial correlation, less than that for trending returns.

    Raises
    ------
    DataError
        If no stationary series has such autocorrelations.
    ConfigError
        If ``q`` is below 1.

    References
    ----------
    Lo (2002), "The Statistics of Sharpe Ratios", Financial Analysts Journal 58(4), equation 20.

    Examples
    --------
    From months to years, without serial correlation and with some:

    >>> from embargo.backtest.significance import aggregation_factor
    >>> round(aggregation_factor([], 12), 3), round(aggregation_factor([0.2], 12), 3)
    (3.464, 2.963)
    """
    check_at_least("q", q, 1)
    known = np.asarray(autocorrelation, dtype=float)[: q - 1]
    variance = q + 2.0 * float((q - np.arange(1, len(known) + 1)) @ known)
    if not variance > 0.0:
        raise DataError(
            f"aggregation_factor: the autocorrelations give {q} periods a variance of {variance}. Pass fewer lags: "
            "estimates at long lags are noise."
        )
    return q / math.sqrt(variance)


def aggregated_sharpe(returns: pd.Series | np.ndarray, q: int, *, lags: int | None = None) -> float | None:
    """Sharpe ratio over q periods, allowing for the serial correlation that the square-root rule leaves out.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
    q : int
        Periods aggregated; the rows per year give the annual ratio.
    lags : int, optional
        Autocorrelations that are estimated; by default ``4 * (bars / 100) ** (2 / 9)``, since each one adds noise.

    Returns
    -------
    float or None
        None below ten rows or without variation.

    Raises
    ------
    DataError
        If returns are missing, or their autocorrelations cannot be those of ``q`` periods.
    ConfigError
        If ``q`` or ``lags`` is out of range.

    References
    ----------
    Lo (2002), "The Statistics of Sharpe Ratios", Financial Analysts Journal 58(4).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import aggregated_sharpe
    >>> returns = np.random.default_rng(1).normal(0.001, 0.01, 500)
    >>> round(aggregated_sharpe(returns, 252), 2), round(aggregated_sharpe(returns, 252, lags=0), 2)
    (1.25, 1.12)
    """
    values = checked_returns(returns, "aggregated_sharpe")
    n = len(values)
    if n < _FEWEST_ROWS or not varies(values):
        return None
    if lags is None:
        lags = int(4.0 * (n / 100.0) ** (2.0 / 9.0))
    if not 0 <= lags < n:
        raise ConfigError(f"aggregated_sharpe: lags must lie in 0 ... {n - 1}, got {lags}.")
    centred = values - values.mean()
    power = float(centred @ centred)
    correlation = [float(centred[lag:] @ centred[: n - lag]) / power for lag in range(1, lags + 1)]
    return float(values.mean() / values.std(ddof=1) * aggregation_factor(correlation, q))
