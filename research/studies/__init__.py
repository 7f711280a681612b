"""Studies over runs and configs: sweeps, comparisons, lists of runs, readers, paths and signal diagnostics."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
