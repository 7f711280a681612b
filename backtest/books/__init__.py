"""Books: weights and prices to returns through vectorbt, or through the compiled kernel that keeps the same books."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
