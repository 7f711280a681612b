from .config.experiment import Config, load_config
from .progress import Quiet
from .run.pipeline import Outcome, execute
from .run.preparation import prepare
from .studies.adapt.study import adapt
from .studies.compare.comparison import compare
from .studies.paths.paths import trade_paths
from .studies.sweep.grid import read_axis
from .studies.sweep.search import sweep

__all__ = [
    "Config",
    "Outcome",
    "Quiet",
    "adapt",
    "compare",
    "execute",
    "load_config",
    "prepare",
    "read_axis",
    "sweep",
    "trade_paths",
]
