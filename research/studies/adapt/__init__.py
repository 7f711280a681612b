"""Every way to read on one honest scale: readers side by side on one split, with their costs and a recommendation."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
