"""Readers: every way to turn texts into three calibrated probabilities, and the cache of what they said."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
