"""Turn scored articles into one number per symbol and bar, known before that bar opens, then into target weights."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
