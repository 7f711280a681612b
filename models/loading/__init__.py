"""Loading bases for tuning and scoring: quantised or not, packed, shared by all folds, on one device or several."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
