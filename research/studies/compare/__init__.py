"""A comparison of finished runs: tables and sentences for the terminal, or one HTML page with charts."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
