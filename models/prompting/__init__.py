"""Prompts: templates with a version, and the examples and earlier articles that a fold may show of what it knew."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
