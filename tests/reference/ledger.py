"""An account kept by hand: one share count per symbol, one cash balance, one order after the other.

Slow on purpose and written without vectorbt, numpy or pandas, so that it can contradict the books.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class Ledger:
    cash: float
    positions: list[float]
    newest: list[float]
    absent: list[int]
    returns: list[float] = field(default_factory=list)
    orders: list[tuple[int, int, float, float]] = field(default_factory=list)
    fees: float = 0.0
    stale_exits: int = 0

    def worth(self, prices: list[float]) -> float:
        return self.cash + sum(held * price for held, price in zip(self.positions, prices, strict=True) if held)


def _known(price: float) -> bool:
    return not math.isnan(price)


def _fill(ledger: Ledger, bar: int, s: int, size: float, fee: float, slippage: float) -> None:
    price = ledger.newest[s] * (1 + slippage if size > 0 else 1 - slippage)
    if size > 0:
        size = min(size, ledger.cash / (price * (1 + fee)))
    if abs(size) < 1e-12:
        return
    paid = abs(size) * price * fee
    ledger.cash -= size * price + paid
    ledger.positions[s] += size
    ledger.fees += paid
    ledger.orders.append((bar, s, size, price))


def keep_ledger(weights, opens, closes, *, fee, slippage, borrow, years, cash, stale_after) -> Ledger:
    """Replay the account bar by bar over plain lists of lists."""
    bars, symbols = len(opens), len(opens[0])
    ledger = Ledger(cash, [0.0] * symbols, [math.nan] * symbols, [0] * symbols)
    for bar in range(bars):
        for s, price in enumerate(opens[bar]):
            ledger.absent[s] = 0 if _known(price) else ledger.absent[s] + 1
            ledger.newest[s] = price if _known(price) else ledger.newest[s]
        equity = ledger.worth(ledger.newest)
        wanted = []
        for s in range(symbols):
            if _known(ledger.newest[s]):
                goal = 0.0 if ledger.absent[s] == stale_after else weights[bar][s]
                wanted.append((goal * equity - ledger.positions[s] * ledger.newest[s], s, goal))
        for _, s, goal in sorted(wanted):
            if ledger.absent[s] in (0, stale_after):
                ledger.stale_exits += ledger.absent[s] == stale_after and ledger.positions[s] != 0
                _fill(ledger, bar, s, goal * equity / ledger.newest[s] - ledger.positions[s], fee, slippage)
        short = -sum(held * price for held, price in zip(ledger.positions, ledger.newest, strict=True) if held < 0)
        ledger.newest = [new if _known(new) else old for new, old in zip(closes[bar], ledger.newest, strict=True)]
        upcoming = opens[bar + 1] if bar + 1 < bars else [math.nan] * symbols
        ending = [new if _known(new) else old for new, old in zip(upcoming, ledger.newest, strict=True)]
        ledger.returns.append(ledger.worth(ending) / equity - 1 - borrow * years[bar] * short / equity)
    return ledger
