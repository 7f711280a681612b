"""Base models: the registry of what is documented about published ones, and how a name becomes files."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
