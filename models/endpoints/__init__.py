"""Models behind an OpenAI-compatible address: asked within time-outs and a budget, and every answer accounted for."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
