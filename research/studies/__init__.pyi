from . import adapt, compare, listing, paths, signal, sweep

__all__ = [
    "adapt",
    "compare",
    "listing",
    "paths",
    "signal",
    "sweep",
]
