"""A config proposed from a researcher's own files: what they show, what it rests on, and what only their owner knows.

Nothing is guessed in silence: a line is written with its evidence, to be confirmed, or left out with what would settle
it. Where a guess could show news before it was out, it is left out, or is the latest that it can be.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
