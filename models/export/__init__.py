"""Tuned models made portable: merged into full-precision weights, or as ONNX graphs scored without torch."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
