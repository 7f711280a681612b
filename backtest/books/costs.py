"""What trading and holding cost.

Every cost here is charged alike by the books, the compiled kernel and the reference ledger.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embargo.data_loaders.errors import ConfigError

_TOP = {
    "fee": 0.1,
    "slippage": 0.1,
    "borrow_annual": 10.0,
    "fee_per_share": np.inf,
    "fee_minimum": np.inf,
    "impact": 100.0,
    "interest_annual": 10.0,
}
_IN_CURRENCY = ("fee_per_share", "fee_minimum")


@dataclass(frozen=True)
class Costs:
    """Costs of trading, of being short and of borrowing cash.

    Attributes
    ----------
    fee : float
        Commission as a fraction of the traded notional (0.0005 = 5 basis points), each way.
    slippage : float
        Half the spread as a fraction of the price: buys fill at ``price * (1 + slippage)``, sells at
        ``price * (1 - slippage)``.
    borrow_annual : float
        Fee for borrowed shares, as a fraction of the short notional per year, accrued over calendar time.
    fee_per_share : float
        Commission in currency per share, on top of ``fee``.
    fee_minimum : float
        Least commission of one order, in currency.
    impact : float
        Coefficient of the square-root law: an order of ``size`` shares moves its own price by the fraction
        ``impact * volatility * sqrt(size / volume)``; about 1 in the literature (Almgren et al. 2005). 0 is none.
    interest_annual : float
        Interest on negative cash per year, a fraction, accrued over calendar time.

    Examples
    --------
    >>> from embargo.backtest.books import Costs
    >>> Costs().rate, Costs(fee=0.0, slippage=0.0002).rate
    (0.001, 0.0002)
    """

    fee: float = 0.0005
    slippage: float = 0.0005
    borrow_annual: float = 0.005
    fee_per_share: float = 0.0
    fee_minimum: float = 0.0
    impact: float = 0.0
    interest_annual: float = 0.0

    def __post_init__(self) -> None:
        for name, top in _TOP.items():
            value = getattr(self, name)
            if not (np.isfinite(value) and 0.0 <= value < top):
                unit = "It is in currency." if name in _IN_CURRENCY else "It is a fraction, not a percentage."
                raise ConfigError(f"{name} must lie in [0, {top}), got {value}. {unit}")

    @property
    def rate(self) -> float:
        """Cost of a small trade as a fraction of its notional, each way; minimum and per-share fees left out."""
        return self.fee + self.slippage
