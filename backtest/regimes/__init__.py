"""Market regimes: their definitions, and how a strategy fared in each of them."""

from backtest.regimes.causal import UNLABELLED, market_returns, trend_regime, volatility_regime
from backtest.regimes.table import regime_table

__all__ = ["UNLABELLED", "market_returns", "regime_table", "trend_regime", "volatility_regime"]
