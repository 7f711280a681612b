"""What a return series was worth: definitions, with units, of every figure a run reports.

Returns are simple per-period fractions; annual figures take the periods per year from the caller, never from a
default. A figure that does not exist (no trades, no losses, too few rows) is None, never NaN or infinity, so that no
comparison can pick it as the best.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
