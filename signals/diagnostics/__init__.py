"""What a signal knows: how well, how soon, for how long, and from which articles, looking back on a finished window."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
