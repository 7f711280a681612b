"""What a reader remembers instead of reads: forecasts before and after a cutoff, masked, turned round, of a bare date.

The judgements are statistics of plain frames of forecasts; who made them, and how texts were changed, is unknown here.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
