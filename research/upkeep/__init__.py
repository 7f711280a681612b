"""The upkeep of an installation: whether all that is needed is there and fits, and what the cache holds."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
