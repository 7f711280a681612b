"""Data as they were known: news, prices and labels from archives, Yahoo, Bybit, a store or a simulated market.

Whatever comes in is checked at the door, dated in UTC and refused where it cannot be trusted; nothing is repaired in
silence. Time splits and checks of the data are here too.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
