"""The simulated market: news and prices whose truth is known, for tests and for the demo."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
