"""Leak-free backtests of trading signals that language models read from news.

In a notebook, what was made elsewhere is held to the past, traded with costs, and judged::

    prices = embargo.Prices.read("bars.csv", calendar="XNYS")     # or Prices.from_frames(open=..., ...)
    embargo.assert_causal(decide, prices=prices)                  # decide(prices) returns weights
    embargo.backtest(decide(prices), prices, trials=20)           # with weighting=, a signal
    embargo.judge(returns, periods_per_year=252, trials=20)       # returns of any strategy

and whole experiments are ``demo``, ``run``, ``compare`` and ``Run.load``, as on the command line. Row t of weights is
what is held from the open of bar t. Every error raised on purpose is an ``embargo.data_loaders.EmbargoError``.
"""

from importlib import import_module as _import_module

import lazy_loader as _lazy

__version__ = "0.1.0"

_opened, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)


def __getattr__(name):
    # Calendars take seconds to make, in a notebook as on the command line.
    _import_module("embargo.research.cache").keep_calendars()
    # Type checkers read that `embargo.backtest` is the function. It is the package of that name, which can be called
    # like the function, so that `import embargo.backtest.metrics` finds its way too.
    return _import_module("embargo.backtest") if name == "backtest" else _opened(name)
