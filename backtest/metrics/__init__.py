"""What a return series was worth: definitions, with units, of every figure a run reports.

Returns are simple per-period fractions; annual figures take the periods per year from the caller, never from a
default. A figure that does not exist (no trades, no losses, too few rows) is None, never NaN or infinity, so that no
comparison can pick it as the best.
"""

from embargo.backtest.metrics.drawdowns import deepest_drawdowns, drawdown_lengths, drawdowns, max_drawdown, ulcer_index
from embargo.backtest.metrics.frictions import break_even_cost, capacity, cost_breakdown
from embargo.backtest.metrics.ratios import (
    annual_return,
    annual_turnover,
    annual_volatility,
    calmar,
    exposure,
    hit_rate,
    losing_streak,
    omega,
    payoff_ratio,
    profit_factor,
    rolling_sharpe,
    sharpe,
    sortino,
    total_return,
)
from embargo.backtest.metrics.relative import (
    capture,
    information_ratio,
    newey_west_lags,
    regression,
    relative,
    tracking_error,
)
from embargo.backtest.metrics.series import Returns
from embargo.backtest.metrics.summary import performance
from embargo.backtest.metrics.tails import (
    expected_shortfall,
    expected_shortfall_cornish_fisher,
    kurtosis_raw,
    skewness,
    tail_ratio,
    value_at_risk,
    value_at_risk_cornish_fisher,
)
from embargo.backtest.metrics.trades import trade_figures

__all__ = [
    "Returns",
    "annual_return",
    "annual_turnover",
    "annual_volatility",
    "break_even_cost",
    "calmar",
    "capacity",
    "capture",
    "cost_breakdown",
    "deepest_drawdowns",
    "drawdown_lengths",
    "drawdowns",
    "expected_shortfall",
    "expected_shortfall_cornish_fisher",
    "exposure",
    "hit_rate",
    "information_ratio",
    "kurtosis_raw",
    "losing_streak",
    "max_drawdown",
    "newey_west_lags",
    "omega",
    "payoff_ratio",
    "performance",
    "profit_factor",
    "regression",
    "relative",
    "rolling_sharpe",
    "sharpe",
    "skewness",
    "sortino",
    "tail_ratio",
    "total_return",
    "tracking_error",
    "trade_figures",
    "ulcer_index",
    "value_at_risk",
    "value_at_risk_cornish_fisher",
]
