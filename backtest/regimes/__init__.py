"""Market regimes: their definitions, and how a strategy fared in each of them.

A causal definition labels a row from what was known when the row was decided, and may steer a strategy. One whose name
ends in ``ex_post`` (or that dates turning points) looks back from the end, and may only report.
"""

from embargo.backtest.regimes.causal import UNLABELLED, at_decision, market_returns, trend_regime, volatility_regime
from embargo.backtest.regimes.equality import EqualityTest, PairDifference, sharpe_equality
from embargo.backtest.regimes.labels import label_ex_post, label_regime, threshold_regime
from embargo.backtest.regimes.markov import MarkovFit, fit_markov, markov_ex_post, markov_regime
from embargo.backtest.regimes.presets import PRESETS, RegimePreset
from embargo.backtest.regimes.spells import regime_order, spells, transition_table
from embargo.backtest.regimes.stress import WINDOWS, StressWindow, stress_table
from embargo.backtest.regimes.table import COLUMNS, regime_table
from embargo.backtest.regimes.turning_points import (
    Dating,
    Turn,
    lunde_timmermann,
    lunde_timmermann_ex_post,
    market_level,
    market_phases,
    pagan_sossounov,
    pagan_sossounov_ex_post,
    turning_regime,
)

__all__ = [
    "COLUMNS",
    "PRESETS",
    "UNLABELLED",
    "WINDOWS",
    "Dating",
    "EqualityTest",
    "MarkovFit",
    "PairDifference",
    "RegimePreset",
    "StressWindow",
    "Turn",
    "at_decision",
    "fit_markov",
    "label_ex_post",
    "label_regime",
    "lunde_timmermann",
    "lunde_timmermann_ex_post",
    "market_level",
    "market_phases",
    "market_returns",
    "markov_ex_post",
    "markov_regime",
    "pagan_sossounov",
    "pagan_sossounov_ex_post",
    "regime_order",
    "regime_table",
    "sharpe_equality",
    "spells",
    "stress_table",
    "threshold_regime",
    "transition_table",
    "trend_regime",
    "turning_regime",
    "volatility_regime",
]
