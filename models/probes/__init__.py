"""Texts changed so that a reader's memory shows: masked, dated otherwise, turned round, bare; and how it reads them.

What the readings are worth is judged elsewhere, by those who know what prices did.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
