"""Tuning a base on labelled texts: the loop, its optimisers and checkpoints, and the built-in base model."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
