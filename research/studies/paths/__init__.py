"""Combinatorial purged paths: every part of history tested by models taught on the others."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
