from . import adapt, compare, paths, signal, sweep

__all__ = [
    "adapt",
    "compare",
    "paths",
    "signal",
    "sweep",
]
