"""The data check: every check of news and prices at once, as a table for the terminal or one HTML page.

The checks themselves are in `embargo.data_loaders.checks`; here they are only gathered, ordered and shown.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
