"""A sweep: many settings traded on one reading of the news, one of them chosen, and all of them shown."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
