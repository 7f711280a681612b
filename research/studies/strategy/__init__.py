"""The audit of strategies that were made elsewhere: functions, or weights alone."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
