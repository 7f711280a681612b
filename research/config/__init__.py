"""The experiment as a file: every section and key, its default, and how settings files are read."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
