"""Tuned models as folders that travel: adapter, calibration, the hashes of every text seen, and a card."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
