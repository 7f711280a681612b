"""Leak-free backtests of trading signals that language models read from news."""

from importlib import import_module as _import_module

import lazy_loader as _lazy

__version__ = "0.1.0"

_opened, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)


def __getattr__(name):
    # Type checkers read that `embargo.backtest` is the function. It is the package of that name, which can be called
    # like the function, so that `import embargo.backtest.metrics` finds its way too.
    return _import_module("embargo.backtest") if name == "backtest" else _opened(name)
