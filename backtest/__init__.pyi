from . import books, leakage, metrics, regimes, rivals, significance
from .books import Books, Costs, Execution, simulate
from .judgement import Judgement, judge
from .strategy import Backtest, backtest

__all__ = [
    "Backtest",
    "Books",
    "Costs",
    "Execution",
    "Judgement",
    "backtest",
    "books",
    "judge",
    "leakage",
    "metrics",
    "regimes",
    "rivals",
    "significance",
    "simulate",
]
