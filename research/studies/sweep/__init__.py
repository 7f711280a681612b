"""A sweep: the best cells as a table for the terminal, or all of them as one HTML page with heat maps."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
