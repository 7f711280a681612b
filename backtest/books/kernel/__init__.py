"""Accounts kept by compiled loops over plain arrays: one with its orders, or many at once."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
