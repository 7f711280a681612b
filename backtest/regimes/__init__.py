"""Market regimes: their definitions, and how a strategy fared in each of them.

A causal definition labels a row from what was known when the row was decided, and may steer a strategy. One whose name
ends in ``ex_post`` (or that dates turning points) looks back from the end, and may only report.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
