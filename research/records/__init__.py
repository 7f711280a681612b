"""What runs leave behind: their folders, the ledger of trials, and where each came from."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
