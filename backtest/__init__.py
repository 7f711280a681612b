"""Turn weights and prices into returns, metrics, significance and regimes; check for leaks.

The package may be called: ``embargo.backtest(weights, prices)`` is `backtest` below.
"""

import sys as _sys
from types import ModuleType as _ModuleType

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)


class _CallablePackage(_ModuleType):
    # `embargo.backtest` is this folder and, for who wants one call, what it is for. Whichever of the two a name meant,
    # the other would be lost as soon as a module inside the folder was imported. Properties leave no frame of their own
    # between caller and function.
    @property
    def __call__(self):
        return self.backtest

    @property
    def __signature__(self):
        from inspect import signature  # spared to those who only pass through

        return signature(self.backtest)


_sys.modules[__name__].__class__ = _CallablePackage
