"""A finished run on two pages of paper: the tear sheet that is handed around, drawn from the run's own files."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
