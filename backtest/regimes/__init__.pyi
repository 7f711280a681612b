from .causal import UNLABELLED, at_decision, market_returns, trend_regime, volatility_regime
from .equality import EqualityTest, PairDifference, sharpe_equality
from .labels import label_ex_post, label_regime, threshold_regime
from .markov import MarkovFit, fit_markov, markov_ex_post, markov_regime
from .presets import PRESETS, RegimePreset
from .spells import regime_order, spells, transition_table
from .stress import WINDOWS, StressWindow, stress_table
from .table import COLUMNS, regime_table, untested
from .turning_points import (
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
    "untested",
    "volatility_regime",
]
