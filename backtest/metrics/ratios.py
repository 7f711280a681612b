"""Growth, risk and reward of a return series, and how much it traded and held.

Returns are simple per-row fractions; annual figures take the rows per year from the caller, never from a default.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from embargo.backtest.arguments import check_at_least
from embargo.backtest.metrics.series import FLAT, Returns, checked, deviation, number, quotient, yearly
from embargo.backtest.metrics.underwater import max_drawdown


def total_return(returns: Returns) -> float:
    """Compound return over the whole series, fraction: ``prod(1 + r) - 1``.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.

    Returns
    -------
    float
        Fraction; 0 for no rows.

    Raises
    ------
    DataError
        If it is not one series, or a return is missing.

    Examples
    --------
    >>> from embargo.backtest.metrics import total_return
    >>> round(total_return([0.10, -0.05]), 4)
    0.045
    """
    return float(np.prod(1.0 + checked(returns)) - 1.0)


def annual_return(returns: Returns, *, periods_per_year: float) -> float | None:
    """Geometric return per year, fraction: ``prod(1 + r) ** (periods_per_year / n) - 1``; -1 after a total loss.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.
    periods_per_year : float
        Rows in a year, from `embargo.data_loaders.calendars.bars_per_year`.

    Returns
    -------
    float or None
        Fraction per year; None without rows or where it is too large to be a number.

    Raises
    ------
    DataError
        If it is not one series, or a return is missing.
    ConfigError
        If ``periods_per_year`` is not positive.

    Examples
    --------
    >>> from embargo.backtest.metrics import annual_return
    >>> round(annual_return([0.01, 0.02, -0.01], periods_per_year=12), 4)
    0.082
    """
    values = checked(returns)
    if len(values) == 0:
        return None
    wealth = float(np.prod(1.0 + values))
    if wealth <= 0.0:
        return -1.0
    exponent = math.log(wealth) * yearly(periods_per_year) / len(values)
    return number(math.expm1(exponent)) if exponent < 700.0 else None


def annual_volatility(returns: Returns, *, periods_per_year: float) -> float | None:
    """Sample standard deviation (n - 1) per year, fraction.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.
    periods_per_year : float
        Rows in a year, from `embargo.data_loaders.calendars.bars_per_year`.

    Returns
    -------
    float or None
        Fraction, annual; None below two rows.

    Raises
    ------
    DataError
        If it is not one series, or a return is missing.
    ConfigError
        If ``periods_per_year`` is not positive.

    Examples
    --------
    >>> from embargo.backtest.metrics import annual_volatility
    >>> round(annual_volatility([0.01, 0.02, -0.01], periods_per_year=252), 4)
    0.2425
    """
    return number(deviation(checked(returns)) * math.sqrt(yearly(periods_per_year)))


def sharpe(returns: Returns, *, periods_per_year: float) -> float | None:
    """Annual Sharpe ratio ``mean / sd * sqrt(periods_per_year)`` over a risk-free rate of 0, sd with n - 1.

    None for fewer than two rows or without variation: a strategy that never traded has no Sharpe ratio.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.
    periods_per_year : float
        Rows in a year, from `embargo.data_loaders.calendars.bars_per_year`.

    Returns
    -------
    float or None
        Annual.

    Raises
    ------
    DataError
        If it is not one series, or a return is missing.
    ConfigError
        If ``periods_per_year`` is not positive.

    References
    ----------
    Sharpe (1994), "The Sharpe Ratio", Journal of Portfolio Management 21(1).

    Examples
    --------
    >>> from embargo.backtest.metrics import sharpe
    >>> round(sharpe([0.01, 0.02, -0.01], periods_per_year=252), 2)
    6.93
    >>> sharpe([0.0, 0.0, 0.0], periods_per_year=252) is None
    True
    """
    values = checked(returns)
    spread = deviation(values)
    if not spread > 0.0:
        return None
    return float(values.mean() / spread * math.sqrt(yearly(periods_per_year)))


def rolling_sharpe(returns: Returns, window: int, *, periods_per_year: float) -> pd.Series:
    """Annual Sharpe ratio of the ``window`` rows up to and including each row.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.
    window : int
        Rows, at least 2.
    periods_per_year : float
        Rows in a year, from `embargo.data_loaders.calendars.bars_per_year`.

    Returns
    -------
    Series, shape (bars,)
        On the index of ``returns``. NaN in the first ``window - 1`` rows and where the window has no variation.

    Raises
    ------
    ConfigError
        If the window is shorter than 2 rows, or ``periods_per_year`` is not positive.
    DataError
        If it is not one series, or a return is missing.

    Examples
    --------
    >>> from embargo.backtest.metrics import rolling_sharpe
    >>> rolling_sharpe([0.01, 0.02, -0.01, 0.03], 3, periods_per_year=252).round(2).tolist()
    [nan, nan, 6.93, 10.17]
    """
    check_at_least("window", window, 2)
    values = checked(returns)
    result = np.full(len(values), np.nan)
    if len(values) >= window:
        pieces = np.lib.stride_tricks.sliding_window_view(values, window)
        spread = pieces.std(axis=1, ddof=1)
        spread[spread <= FLAT * np.maximum(1.0, np.abs(pieces).max(axis=1))] = np.nan
        result[window - 1 :] = pieces.mean(axis=1) / spread * math.sqrt(yearly(periods_per_year))
    index = returns.index if isinstance(returns, pd.Series) else None
    return pd.Series(result, index=index, name="rolling_sharpe")


def sortino(returns: Returns, *, periods_per_year: float) -> float | None:
    """Annual Sortino ratio: mean over the root mean square of ``min(r, 0)`` over all rows, times the annual root.

    None without a losing row.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.
    periods_per_year : float
        Rows in a year, from `embargo.data_loaders.calendars.bars_per_year`.

    Returns
    -------
    float or None
        Annual; None below two rows or without a losing row.

    Raises
    ------
    DataError
        If it is not one series, or a return is missing.
    ConfigError
        If ``periods_per_year`` is not positive.

    References
    ----------
    Sortino and van der Meer (1991), "Downside Risk", Journal of Portfolio Management 17(4); target return 0.

    Examples
    --------
    >>> from embargo.backtest.metrics import sortino
    >>> round(sortino([0.01, 0.02, -0.01], periods_per_year=252), 2)
    18.33
    """
    values = checked(returns)
    if len(values) < 2:
        return None
    downside = math.sqrt(float(np.mean(np.minimum(values, 0.0) ** 2)))
    if downside <= FLAT:
        return None
    return float(values.mean() / downside * math.sqrt(yearly(periods_per_year)))


def calmar(returns: Returns, *, periods_per_year: float) -> float | None:
    """Annual geometric return over the absolute maximum drawdown of the whole series; None without a drawdown.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.
    periods_per_year : float
        Rows in a year, from `embargo.data_loaders.calendars.bars_per_year`.

    Returns
    -------
    float or None
        Per year.

    Raises
    ------
    DataError
        If it is not one series, or a return is missing.
    ConfigError
        If ``periods_per_year`` is not positive.

    References
    ----------
    Young (1991), "Calmar Ratio: A Smoother Tool", Futures 20(1); there over the last 36 months.

    Examples
    --------
    >>> from embargo.backtest.metrics import calmar
    >>> round(calmar([0.10, -0.05, 0.02], periods_per_year=12), 2)
    5.82
    """
    depth = max_drawdown(returns)
    growth = annual_return(returns, periods_per_year=periods_per_year)
    if not depth or growth is None:
        return None
    return growth / abs(depth)


def hit_rate(returns: Returns) -> float | None:
    """Share of the rows with a non-zero return that gained, in [0, 1]; None if every return is 0.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.

    Returns
    -------
    float or None
        Share in [0, 1].

    Raises
    ------
    DataError
        If it is not one series, or a return is missing.

    Examples
    --------
    >>> from embargo.backtest.metrics import hit_rate
    >>> hit_rate([0.02, -0.01, 0.0, 0.01, 0.03])
    0.75
    """
    values = checked(returns)
    moved = values[values != 0.0]
    return float((moved > 0.0).mean()) if len(moved) else None


def omega(returns: Returns, threshold: float = 0.0) -> float | None:
    """Sum of returns above a threshold per row over the sum of shortfalls below it; None without a shortfall.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.
    threshold : float
        Return per row, fraction.

    Returns
    -------
    float or None
        Ratio, 1 where gains and shortfalls weigh the same.

    Raises
    ------
    DataError
        If it is not one series, or a return is missing.

    References
    ----------
    Keating and Shadwick (2002), "A Universal Performance Measure", Journal of Performance Measurement 6(3).

    Examples
    --------
    >>> from embargo.backtest.metrics import omega
    >>> round(omega([0.02, -0.01, 0.03], threshold=0.005), 3)
    2.667
    """
    over = checked(returns) - threshold
    return quotient(float(np.maximum(over, 0.0).sum()), float(np.maximum(-over, 0.0).sum()))


def profit_factor(returns: Returns) -> float | None:
    """Sum of the gains over the sum of the losses: Omega at a threshold of 0; None without a losing row.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.

    Returns
    -------
    float or None
        Ratio, 1 where nothing is left.

    Raises
    ------
    DataError
        If it is not one series, or a return is missing.

    Examples
    --------
    >>> from embargo.backtest.metrics import profit_factor
    >>> round(profit_factor([0.02, -0.01, 0.03]), 2)
    5.0
    """
    return omega(returns)


def payoff_ratio(returns: Returns) -> float | None:
    """Mean gain of the winning rows over the mean loss of the losing rows; None unless there are both.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.

    Returns
    -------
    float or None
        Ratio.

    Raises
    ------
    DataError
        If it is not one series, or a return is missing.

    Examples
    --------
    >>> from embargo.backtest.metrics import payoff_ratio
    >>> round(payoff_ratio([0.02, -0.01, 0.03]), 2)
    2.5
    """
    values = checked(returns)
    gains, losses = values[values > 0.0], values[values < 0.0]
    return quotient(float(gains.mean()), -float(losses.mean())) if len(gains) and len(losses) else None


def losing_streak(returns: Returns) -> int:
    """Most losing rows one after another; a row that neither gains nor loses ends a streak.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.

    Returns
    -------
    int
        Rows.

    Raises
    ------
    DataError
        If it is not one series, or a return is missing.

    Examples
    --------
    >>> from embargo.backtest.metrics import losing_streak
    >>> losing_streak([-0.01, -0.02, 0.01, -0.01])
    2
    """
    edges = np.diff((checked(returns) < 0.0).astype(np.int8), prepend=0, append=0)
    return int((np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)).max(initial=0))


def exposure(weights: pd.DataFrame) -> dict[str, float | None]:
    """Average gross and net exposure (fractions of equity) and the share of rows with any position.

    Parameters
    ----------
    weights : DataFrame, shape (bars, symbols)
        Realised weights.

    Returns
    -------
    dict of str to float or None
        ``exposure_gross`` and ``exposure_net`` (fractions of equity, mean over the rows) and ``time_in_market``
        (share of the rows); None without rows.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.metrics import exposure
    >>> exposure(pd.DataFrame({'A': [0.5, 0.0], 'B': [-0.25, 0.0]}))
    {'exposure_gross': 0.375, 'exposure_net': 0.125, 'time_in_market': 0.5}
    """
    values = weights.to_numpy(dtype=float)
    if not len(values):
        return {"exposure_gross": None, "exposure_net": None, "time_in_market": None}
    gross = np.abs(values).sum(axis=1)
    return {
        "exposure_gross": float(gross.mean()),
        "exposure_net": float(values.sum(axis=1).mean()),
        "time_in_market": float((gross > 0.0).mean()),
    }


def annual_turnover(turnover: Returns, *, periods_per_year: float) -> float | None:
    """One-way turnover per year: how many times the equity is exchanged, from the per-row one-way turnover.

    Parameters
    ----------
    turnover : Series or array, shape (bars,)
        One-way turnover per row, fraction of equity.
    periods_per_year : float
        Rows in a year, from `embargo.data_loaders.calendars.bars_per_year`.

    Returns
    -------
    float or None
        Times the equity per year; None without rows.

    Raises
    ------
    DataError
        If it is not one series, or a value is missing.
    ConfigError
        If ``periods_per_year`` is not positive.

    Examples
    --------
    >>> from embargo.backtest.metrics import annual_turnover
    >>> round(annual_turnover([0.10, 0.05, 0.0], periods_per_year=252), 1)
    12.6
    """
    values = checked(turnover)
    return float(values.mean() * yearly(periods_per_year)) if len(values) else None
