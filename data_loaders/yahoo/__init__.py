"""Yahoo through yfinance: bars as traded, dividends, splits and news, as facts for the store."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
