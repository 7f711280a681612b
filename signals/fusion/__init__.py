"""One learned signal from what the news say and what the market did, fitted on the past of each fold alone."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
