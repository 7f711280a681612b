from . import kernel
from .costs import Costs
from .execution import Execution, dead_bars, fill_conditions, trailing_volatility, trailing_volume
from .simulation import Books, bar_years, holding_returns, net_returns, simulate

__all__ = [
    "Books",
    "Costs",
    "Execution",
    "bar_years",
    "dead_bars",
    "fill_conditions",
    "holding_returns",
    "kernel",
    "net_returns",
    "simulate",
    "trailing_volatility",
    "trailing_volume",
]
