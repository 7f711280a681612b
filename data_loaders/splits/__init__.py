"""Time splits: hold-out, walk-forward and combinatorial, purged by label intervals and embargoed."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
