"""A comparison of finished runs: figures and differences, as tables and sentences, one HTML page, or JSON."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
