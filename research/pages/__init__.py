"""What all pages wear: one layout, tables, charts, formats and status marks, and one way to write a page."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
