from . import compare, paths, signal, sweep

__all__ = [
    "compare",
    "paths",
    "signal",
    "sweep",
]
