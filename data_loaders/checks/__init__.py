"""What a careful researcher asks of news and prices before believing them: pure functions of plain frames.

Every check answers with a `Check`: a verdict, the figures behind it and examples. `check_news` and `check_prices` ask
them all. Each says in its own words what it is silent on; a clean verdict is no proof.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
