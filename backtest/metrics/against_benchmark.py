"""A return series against a benchmark: what is left of it once the benchmark's part is taken out.

Standard errors allow for serial dependence and changing variance (HAC), since daily news signals have both.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.distributions import student_sf
from embargo.backtest.metrics.ratios import annual_volatility, sharpe
from embargo.backtest.metrics.series import Returns, checked, deviation, number, quotient, yearly
from embargo.data_loaders.errors import DataError

_FEWEST_ROWS = 10


def _paired(returns: Returns, benchmark: Returns) -> tuple[np.ndarray, np.ndarray]:
    same = len(returns) == len(benchmark)
    if isinstance(returns, pd.Series) and isinstance(benchmark, pd.Series):
        same = returns.index.equals(benchmark.index)
    if not same:
        raise DataError(
            f"relative: {len(returns)} returns and {len(benchmark)} benchmark returns are not on the same rows. "
            "Reindex one to the other."
        )
    return checked(returns), checked(benchmark)


def tracking_error(returns: Returns, benchmark: Returns, *, periods_per_year: float) -> float | None:
    """Sample standard deviation (n - 1) of ``returns - benchmark`` per year, fraction; None below two rows.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.
    benchmark : Series or array, shape (bars,)
        Returns of the benchmark on the same rows.
    periods_per_year : float
        Rows in a year, from `embargo.data_loaders.calendars.bars_per_year`.

    Returns
    -------
    float or None
        Fraction, annual.

    Raises
    ------
    DataError
        If the two are not on the same rows or a return is missing.
    ConfigError
        If ``periods_per_year`` is not positive.

    References
    ----------
    Grinold and Kahn (2000), "Active Portfolio Management", chapter 5.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.metrics import tracking_error
    >>> rng = np.random.default_rng(1)
    >>> market = rng.normal(0.0005, 0.01, 250)
    >>> mine = 0.5 * market + rng.normal(0.0003, 0.005, 250)
    >>> round(tracking_error(mine, market, periods_per_year=252), 4)
    0.0988
    """
    mine, theirs = _paired(returns, benchmark)
    return annual_volatility(mine - theirs, periods_per_year=periods_per_year)


def information_ratio(returns: Returns, benchmark: Returns, *, periods_per_year: float) -> float | None:
    """Annual mean of ``returns - benchmark`` over their tracking error; None where they never differ in value.

    This is the Sharpe ratio of the difference, as Sharpe (1994) defines his ratio. quantstats' and empyrical's figures
    are per row, not per year.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.
    benchmark : Series or array, shape (bars,)
        Returns of the benchmark on the same rows.
    periods_per_year : float
        Rows in a year, from `embargo.data_loaders.calendars.bars_per_year`.

    Returns
    -------
    float or None
        Annual.

    Raises
    ------
    DataError
        If the two are not on the same rows or a return is missing.
    ConfigError
        If ``periods_per_year`` is not positive.

    References
    ----------
    Sharpe (1994), "The Sharpe Ratio"; Grinold and Kahn (2000), "Active Portfolio Management", chapter 5.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.metrics import information_ratio
    >>> rng = np.random.default_rng(1)
    >>> market = rng.normal(0.0005, 0.01, 250)
    >>> mine = 0.5 * market + rng.normal(0.0003, 0.005, 250)
    >>> round(information_ratio(mine, market, periods_per_year=252), 2)
    1.73
    """
    mine, theirs = _paired(returns, benchmark)
    return sharpe(mine - theirs, periods_per_year=periods_per_year)


def capture(returns: Returns, benchmark: Returns) -> tuple[float | None, float | None]:
    """Mean return in the benchmark's winning (losing) rows over the benchmark's own mean there: up and down capture.

    1 moves with the benchmark, twice the position captures exactly twice. empyrical takes the ratio of geometric annual
    returns of the winning days alone, which explodes with the number of rows in a year.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.
    benchmark : Series or array, shape (bars,)
        Returns of the benchmark on the same rows.

    Returns
    -------
    (up, down)
        Each float or None: ratios of mean returns per row; None where the benchmark never won (lost).

    Raises
    ------
    DataError
        If the two are not on the same rows or a return is missing.

    References
    ----------
    Bacon (2008), "Practical Portfolio Performance Measurement and Attribution", 2nd edition.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.metrics import capture
    >>> rng = np.random.default_rng(1)
    >>> market = rng.normal(0.0005, 0.01, 250)
    >>> mine = 0.5 * market + rng.normal(0.0003, 0.005, 250)
    >>> up, down = capture(mine, market)
    >>> round(up, 2), round(down, 2)
    (0.6, 0.48)
    """
    mine, theirs = _paired(returns, benchmark)
    up, down = theirs > 0.0, theirs < 0.0
    return (
        quotient(float(mine[up].mean()), float(theirs[up].mean())) if up.any() else None,
        quotient(float(mine[down].mean()), float(theirs[down].mean())) if down.any() else None,
    )


def newey_west_lags(moments: np.ndarray) -> int:
    """Lags of the Bartlett kernel that the data ask for, by the automatic rule of Newey and West.

    Parameters
    ----------
    moments : float array, shape (rows,)
        The series whose long-run variance is wanted, with mean 0 (in a regression: residual times regressor).

    Returns
    -------
    int
        At least 0; at most a quarter of the rows, because an estimate from residuals, which sum to 0, collapses beyond.

    References
    ----------
    Newey and West (1994), "Automatic Lag Selection in Covariance Matrix Estimation", Review of Economic Studies 61(4).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.metrics import newey_west_lags
    >>> noise = np.random.default_rng(1).normal(size=500)
    >>> newey_west_lags(noise - noise.mean()), newey_west_lags(np.convolve(noise, np.ones(5), 'valid'))
    (0, 12)
    """
    rows = len(moments)
    horizon: int = min(math.floor(4.0 * (rows / 100.0) ** (2.0 / 9.0)), rows - 1)
    covariance = np.array([moments[lag:] @ moments[: rows - lag] for lag in range(horizon + 1)]) / rows
    level = float(covariance[0] + 2.0 * covariance[1:].sum())
    slope = float(2.0 * (np.arange(1, horizon + 1) @ covariance[1:]))
    if not level > 0.0:
        return horizon
    wanted = 1.1447 * ((slope / level) ** 2 * rows) ** (1.0 / 3.0)
    return int(min(math.floor(wanted), rows // 4))


def regression(returns: Returns, benchmark: Returns, *, periods_per_year: float) -> dict[str, Any]:
    """Alpha and beta of ``returns = alpha + beta * benchmark + e`` by least squares, with HAC standard errors.

    Parameters
    ----------
    returns, benchmark : Series or array, shape (bars,)
        Net simple returns on the same rows; the risk-free rate is taken as 0.
    periods_per_year : float

    Returns
    -------
    dict of str to float, int or None
        ``alpha_annual`` (alpha per row times the rows per year, fraction; empyrical compounds it),
        ``alpha_standard_error`` (per year), ``alpha_t`` and two-sided ``alpha_p_value`` for alpha = 0 (Student's t with
        n - 2), ``beta``, ``beta_standard_error``, ``r_squared``, ``hac_lags`` (the larger of what the residuals and
        the residuals times the benchmark ask for). All None below ten rows or when the benchmark does not vary.

    Raises
    ------
    DataError
        If the two are not on the same rows or a return is missing.
    ConfigError
        If ``periods_per_year`` is not positive.

    References
    ----------
    Jensen (1968), "The Performance of Mutual Funds in the Period 1945-1964", Journal of Finance 23(2); errors: Newey
    and West (1987), Econometrica 55(3), lags: ``newey_west_lags``.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.metrics import regression
    >>> rng = np.random.default_rng(1)
    >>> market = rng.normal(0.0005, 0.01, 250)
    >>> mine = 0.5 * market + rng.normal(0.0003, 0.005, 250)
    >>> told = regression(mine, market, periods_per_year=252)
    >>> round(told['beta'], 2), round(told['alpha_annual'], 3), round(told['alpha_p_value'], 2)
    (0.53, 0.114, 0.1)
    """
    names = ("alpha_annual", "alpha_standard_error", "alpha_t", "alpha_p_value", "beta", "beta_standard_error")
    mine, theirs = _paired(returns, benchmark)
    periods = yearly(periods_per_year)
    spread = deviation(theirs)
    if len(mine) < _FEWEST_ROWS or not spread > 0.0:
        return dict.fromkeys((*names, "r_squared", "hac_lags"))
    # In units of its own deviation the benchmark cannot make the normal equations ill-conditioned.
    design = np.column_stack([np.ones(len(mine)), theirs / spread])
    inverse = np.linalg.pinv(design, rcond=1e-15)
    alpha, beta = params = inverse @ mine
    residuals = mine - design @ params
    lags = max(newey_west_lags(residuals), newey_west_lags(residuals * (design[:, 1] - design[:, 1].mean())))
    variances = np.diag(_hac(design, residuals, inverse @ inverse.T, lags))
    # Degenerate series can give a negative variance; its root is NaN and becomes None below.
    with np.errstate(invalid="ignore", divide="ignore"):
        alpha_error, beta_error = np.sqrt(variances)
        alpha_t = alpha / alpha_error
    # A multiple of the benchmark leaves only rounding in the residuals: its alpha has no error to be held against.
    variation = float(((mine - mine.mean()) ** 2).sum())
    exact = float(np.std(residuals)) <= 1e-12 * max(float(np.abs(mine).max()), 1e-300)
    return {
        "alpha_annual": number(alpha * periods),
        "alpha_standard_error": number(alpha_error * periods),
        "alpha_t": None if exact else number(float(alpha_t)),
        "alpha_p_value": None if exact else number(float(2.0 * student_sf(abs(alpha_t), len(mine) - 2))),
        "beta": number(beta / spread),
        "beta_standard_error": number(beta_error / spread),
        "r_squared": number(1.0 - float(residuals @ residuals) / variation) if deviation(mine) > 0.0 else None,
        "hac_lags": lags,
    }


def _hac(design: np.ndarray, residuals: np.ndarray, inverse: np.ndarray, lags: int) -> np.ndarray:
    """Newey and West's covariance of the coefficients, scaled by n / (n - k); ``inverse`` is (X'X)^-1."""
    scores = design * residuals[:, None]
    inner = scores.T @ scores
    for lag in range(1, lags + 1):
        product = scores[lag:].T @ scores[:-lag]
        inner += (1.0 - lag / (lags + 1.0)) * (product + product.T)
    rows, columns = design.shape
    covariance = inverse @ inner @ inverse.T
    return np.asarray(covariance * (rows / float(rows - columns)))


def relative(returns: Returns, benchmark: Returns, *, periods_per_year: float) -> dict[str, Any]:
    """All figures of a return series against a benchmark as one JSON-able dictionary.

    Parameters
    ----------
    returns, benchmark : Series or array, shape (bars,)
        Net simple returns on the same rows.
    periods_per_year : float
        Rows in a year, from ``calendars.bars_per_year``.

    Returns
    -------
    dict of str to float, int or None
        ``excess_return_annual`` (mean difference per row times the rows per year, fraction), ``tracking_error``,
        ``information_ratio``, ``up_capture``, ``down_capture`` and the figures of ``regression``. None where a figure
        does not exist.

    Raises
    ------
    DataError
        If the two are not on the same rows or a return is missing.
    ConfigError
        If ``periods_per_year`` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.metrics import relative
    >>> rng = np.random.default_rng(1)
    >>> market = rng.normal(0.0005, 0.01, 250)
    >>> mine = 0.5 * market + rng.normal(0.0003, 0.005, 250)
    >>> told = relative(mine, market, periods_per_year=252)
    >>> round(told['excess_return_annual'], 3), round(told['information_ratio'], 2)
    (0.171, 1.73)
    """
    mine, theirs = _paired(returns, benchmark)
    up, down = capture(mine, theirs)
    return {
        "excess_return_annual": float((mine - theirs).mean() * yearly(periods_per_year)) if len(mine) else None,
        "tracking_error": tracking_error(mine, theirs, periods_per_year=periods_per_year),
        "information_ratio": information_ratio(mine, theirs, periods_per_year=periods_per_year),
        "up_capture": up,
        "down_capture": down,
        **regression(mine, theirs, periods_per_year=periods_per_year),
    }
