"""All figures of one return series, as a run reports them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from embargo.backtest.metrics import ratios, tails
from embargo.backtest.metrics.series import Returns, checked, yearly
from embargo.backtest.metrics.trades import trade_figures
from embargo.backtest.metrics.underwater import drawdown_lengths, max_drawdown, ulcer_index

_LEVEL = 0.95


def performance(
    returns: Returns,
    *,
    periods_per_year: float,
    turnover: pd.Series | None = None,
    weights: pd.DataFrame | None = None,
    trades: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """All figures of a return series as one JSON-able dictionary.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row.
    periods_per_year : float
        Rows in a year, from ``calendars.bars_per_year``.
    turnover : Series, optional
        One-way turnover per row; adds ``turnover_annual``.
    weights : DataFrame, optional
        Realised weights; adds ``exposure_gross``, ``exposure_net`` and ``time_in_market``.
    trades : DataFrame, optional
        Trade records; adds the group ``trades`` from ``trade_figures``.

    Returns
    -------
    dict of str to float, int, dict or None
        Flat, but for the groups ``tails`` (losses of one row at 95 % confidence, and the tail ratio) and ``trades``.
        None where a figure does not exist.

    Raises
    ------
    DataError
        If it is not one series, or a return is missing.
    ConfigError
        If ``periods_per_year`` is not positive.

    Examples
    --------
    >>> from embargo.backtest.metrics import performance
    >>> told = performance([0.02, -0.01, 0.03, -0.02], periods_per_year=252)
    >>> round(told['total_return'], 4), round(told['sharpe'], 2), told['losing_streak_bars']
    (0.0193, 3.33, 1)
    """
    values = checked(returns)
    periods = yearly(periods_per_year)
    longest, recovery = drawdown_lengths(values)
    figures: dict[str, Any] = {
        "n_bars": len(values),
        "total_return": ratios.total_return(values),
        "annual_return": ratios.annual_return(values, periods_per_year=periods),
        "annual_volatility": ratios.annual_volatility(values, periods_per_year=periods),
        "sharpe": ratios.sharpe(values, periods_per_year=periods),
        "sortino": ratios.sortino(values, periods_per_year=periods),
        "calmar": ratios.calmar(values, periods_per_year=periods),
        "max_drawdown": max_drawdown(values),
        "longest_drawdown_bars": longest,
        "recovery_bars": recovery,
        "ulcer_index": ulcer_index(values),
        "hit_rate": ratios.hit_rate(values),
        "profit_factor": ratios.profit_factor(values),
        "payoff_ratio": ratios.payoff_ratio(values),
        "losing_streak_bars": ratios.losing_streak(values),
        "skew": tails.skewness(values),
        "kurtosis_raw": tails.kurtosis_raw(values),
        "best_bar": float(values.max()) if len(values) else None,
        "worst_bar": float(values.min()) if len(values) else None,
        "tails": {
            "level": _LEVEL,
            "value_at_risk": tails.value_at_risk(values, _LEVEL),
            "expected_shortfall": tails.expected_shortfall(values, _LEVEL),
            "value_at_risk_cornish_fisher": tails.value_at_risk_cornish_fisher(values, _LEVEL),
            "expected_shortfall_cornish_fisher": tails.expected_shortfall_cornish_fisher(values, _LEVEL),
            "tail_ratio": tails.tail_ratio(values),
        },
    }
    if turnover is not None:
        figures["turnover_annual"] = ratios.annual_turnover(turnover, periods_per_year=periods)
    if weights is not None:
        figures.update(ratios.exposure(weights))
    if trades is not None:
        figures["trades"] = trade_figures(trades)
    return figures
