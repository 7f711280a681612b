from . import data_loaders, models, research, signals
from .backtest.judgement import judge
from .backtest.leakage import assert_causal
from .backtest.strategy import backtest
from .data_loaders.schemas import Prices
from .data_loaders.store import Store
from .research.config.experiment import Config
from .research.notebook import audit, compare, demo, run
from .research.records.run import Run

__version__: str

__all__ = [
    "Config",
    "Prices",
    "Run",
    "Store",
    "__version__",
    "assert_causal",
    "audit",
    "backtest",
    "compare",
    "data_loaders",
    "demo",
    "judge",
    "models",
    "research",
    "run",
    "signals",
]
