"""The tuning methods, their settings, what each needs of a base, and the defaults for each."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
