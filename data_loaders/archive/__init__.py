"""News, prices and labelled texts from files of any size: parquet, CSV or JSONL, plain or packed, one or thousands."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
