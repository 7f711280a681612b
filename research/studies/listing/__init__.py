"""All runs of a folder on one page: headline figures beside growth, and how often each window was tried."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
