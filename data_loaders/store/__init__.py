"""The point-in-time store: facts are appended, never overwritten, and can be asked for as known at any instant."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
