"""What trading and holding cost, as fractions of money.

Only costs that the books, the fast path and the reference ledger all charge are here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_loaders.errors import ConfigError


@dataclass(frozen=True)
class Costs:
    """Costs of trading and of being short.

    Attributes
    ----------
    fee : float
        Commission as a fraction of the traded notional (0.0005 = 5 basis points), each way.
    slippage : float
        Half the spread plus impact, as a fraction of the price: buys fill at ``price * (1 + slippage)``, sells at
        ``price * (1 - slippage)``.
    borrow_annual : float
        Fee for borrowed shares, as a fraction of the short notional per year, accrued over calendar time.
    """

    fee: float = 0.0005
    slippage: float = 0.0005
    borrow_annual: float = 0.005

    def __post_init__(self) -> None:
        for name, top in (("fee", 0.1), ("slippage", 0.1), ("borrow_annual", 10.0)):
            value = getattr(self, name)
            if not (np.isfinite(value) and 0.0 <= value < top):
                raise ConfigError(f"{name} must lie in [0, {top}), got {value}. It is a fraction, not a percentage.")

    @property
    def rate(self) -> float:
        """Cost of a small trade as a fraction of its notional, each way."""
        return self.fee + self.slippage
