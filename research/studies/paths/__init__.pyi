from .paths import Paths, trade_paths
from .tables import print_paths

__all__ = [
    "Paths",
    "print_paths",
    "trade_paths",
]
