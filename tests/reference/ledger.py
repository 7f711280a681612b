"""An account kept by hand: one share count per symbol, one cash balance, one order after the other.

Slow on purpose and written without vectorbt, numpy, pandas or numba, so that it can contradict the books. It knows
every rule of execution: costs, caps, lots, margin, carry, write-outs and ruin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

DUST = 1e-12


@dataclass(frozen=True)
class Rules:
    """Costs are fractions unless they name a currency; ``borrow`` and ``interest`` are per year."""

    fee: float = 0.0
    slippage: float = 0.0
    borrow: float = 0.0
    stale_after: int = 5
    fill: str = "open"
    fee_per_share: float = 0.0
    fee_minimum: float = 0.0
    impact: float = 0.0
    interest: float = 0.0
    leverage: float = 1.0
    maintenance: float = 0.25
    participation: float | None = None
    unfilled: str = "carry"
    lot: float = 0.0
    haircut: float = 0.0


@dataclass(frozen=True)
class Order:
    """A wish of one row: signed shares and the price they would fill at."""

    column: int
    size: float
    price: float
    mid: float
    whole_exit: bool
    written_out: bool
    unknown_impact: bool = False


@dataclass
class Ledger:
    """``returns`` per row, ``equity`` at each row's end, ``orders`` as (bar, column, signed size, price).

    What was paid is in currency; ``spread_paid`` is what half-spread, impact and haircut took off the marks.
    """

    rules: Rules
    cash: float
    positions: list[float]
    newest: list[float]
    absent: list[int]
    dropped: list[float | None]
    returns: list[float] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)
    worth_before: list[float] = field(default_factory=list)
    held: list[list[float]] = field(default_factory=list)
    orders: list[tuple[int, int, float, float]] = field(default_factory=list)
    fees: float = 0.0
    spread_paid: float = 0.0
    borrow_paid: float = 0.0
    interest_paid: float = 0.0
    funding_paid: float = 0.0
    stale_exits: int = 0
    capped_orders: int = 0
    impact_unknown: int = 0
    margin_calls: int = 0
    dead_bar_orders: int = 0
    rows_after_ruin: int = 0

    def worth(self, prices: list[float]) -> float:
        """Cash and positions at these prices."""
        return self.cash + sum(held * price for held, price in zip(self.positions, prices, strict=True) if held)

    def gross(self) -> float:
        """Positions at the newest prices, shorts counted as positive."""
        return sum(abs(held) * price for held, price in zip(self.positions, self.newest, strict=True) if held)


def _known(price: float) -> bool:
    return not math.isnan(price)


def _newer(new: list[float], old: list[float]) -> list[float]:
    return [fresh if _known(fresh) else known for fresh, known in zip(new, old, strict=True)]


def _cell(panel, bar: int, s: int) -> float:
    return math.nan if panel is None else panel[bar][s]


def _whole_lots(size: float, lot: float) -> float:
    if lot <= 0.0:
        return size
    return math.copysign(math.floor(abs(size) / lot + 1e-9) * lot, size)


def _fee(rules: Rules, size: float, price: float) -> float:
    return max(rules.fee_minimum, rules.fee * abs(size) * price + rules.fee_per_share * abs(size))


def _targets(ledger: Ledger, weights: list[float], equity: float) -> tuple[list[float], bool]:
    """Weights of the row after write-outs and a margin call, and whether there was one."""
    rules = ledger.rules
    goals = [0.0 if run == rules.stale_after else weight for run, weight in zip(ledger.absent, weights, strict=True)]
    called = rules.leverage > 1.0 and equity < rules.maintenance * ledger.gross()
    if called:
        ledger.margin_calls += 1
        wanted = sum(abs(goal) for goal in goals)
        if wanted > rules.leverage / 2.0:
            goals = [goal * (rules.leverage / 2.0 / wanted) for goal in goals]
    return goals, called


def _capped(ledger: Ledger, size: float, s: int, weight: float, traded: float) -> float:
    """Cut an order to the share of the volume it may take."""
    rules = ledger.rules
    if rules.participation is None:
        return size
    most = rules.participation * traded if traded > 0.0 else 0.0
    if abs(size) <= most:
        return size
    ledger.capped_orders += 1
    if rules.unfilled == "drop":
        ledger.dropped[s] = weight
    return math.copysign(most, size)


def _impact(ledger: Ledger, size: float, traded: float, swing: float) -> float:
    if ledger.rules.impact == 0.0:
        return 0.0
    if not (traded > 0.0 and _known(swing)):
        return 0.0
    return ledger.rules.impact * swing * math.sqrt(abs(size) / traded)


def _write_out(ledger: Ledger, s: int) -> Order | None:
    """The last word on a symbol that stopped trading: no market, hence no cap, no lots and no impact."""
    rules, size, mid = ledger.rules, -ledger.positions[s], ledger.newest[s]
    if abs(size) < DUST or not _known(mid):
        return None
    side = 1.0 if size > 0 else -1.0
    price = max(0.0, mid * (1.0 + side * rules.haircut) * (1.0 + side * rules.slippage))
    return Order(s, size, price, mid, whole_exit=True, written_out=True)


def _order(ledger: Ledger, s: int, goal: float, weight: float, equity: float, traded: float, swing: float):
    """What to ask for in one tradable symbol."""
    rules, mid = ledger.rules, ledger.newest[s]
    wanted = goal * equity / mid - ledger.positions[s]
    if abs(wanted) < DUST:
        return None
    size = _capped(ledger, wanted, s, weight, traded)
    whole_exit = goal == 0.0 and size == wanted
    if not whole_exit:
        size = _whole_lots(size, rules.lot)
    if abs(size) < DUST:
        return None
    side = 1.0 if size > 0 else -1.0
    price = max(0.0, mid * (1.0 + side * (rules.slippage + _impact(ledger, size, traded, swing))))
    unknown = rules.impact > 0.0 and not (traded > 0.0 and _known(swing))
    return Order(s, size, price, mid, whole_exit, written_out=False, unknown_impact=unknown)


def _asleep(ledger: Ledger, s: int, goal: float, equity: float) -> None:
    """Nobody trades today: whatever was wanted stays undone."""
    if abs(goal * equity / ledger.newest[s] - ledger.positions[s]) >= DUST:
        ledger.dead_bar_orders += 1


def _orders(ledger: Ledger, bar: int, weights: list[float], equity: float, volume, volatility, dead) -> list[Order]:
    goals, called = _targets(ledger, weights, equity)
    found = []
    for s, goal in enumerate(goals):
        if ledger.dropped[s] != weights[s]:
            ledger.dropped[s] = None
        if ledger.absent[s] == ledger.rules.stale_after:
            ledger.dropped[s] = None
            found.append(_write_out(ledger, s))
        elif ledger.absent[s] == 0 and (called or ledger.dropped[s] is None):
            if dead and dead[bar][s]:
                _asleep(ledger, s, goal, equity)
                continue
            traded, swing = _cell(volume, bar, s), _cell(volatility, bar, s)
            found.append(_order(ledger, s, goal, weights[s], equity, traded, swing))
    return [order for order in found if order is not None]


def _book(ledger: Ledger, bar: int, order: Order, size: float) -> None:
    paid = _fee(ledger.rules, size, order.price)
    ledger.cash -= size * order.price + paid
    ledger.positions[order.column] += size
    if abs(ledger.positions[order.column]) < DUST:
        ledger.positions[order.column] = 0.0
    ledger.fees += paid
    ledger.spread_paid += size * (order.price - order.mid)
    ledger.stale_exits += order.written_out
    ledger.impact_unknown += order.unknown_impact
    ledger.orders.append((bar, order.column, size, order.price))


def _affordable(rules: Rules, order: Order, money: float) -> float:
    """Shares that the money buys, fees included."""
    if money <= rules.fee_minimum:
        return 0.0
    fits = money / (order.price * (1.0 + rules.fee) + rules.fee_per_share)
    return _whole_lots(min(fits, (money - rules.fee_minimum) / order.price), rules.lot)


def _trade(ledger: Ledger, bar: int, orders: list[Order], equity: float) -> None:
    """Sells first, then the small buys, until the money is spent."""
    credit = (ledger.rules.leverage - 1.0) * equity
    for order in orders:
        if order.size < 0:
            _book(ledger, bar, order, order.size)
    buys = [order for order in orders if order.size > 0]
    for order in sorted(buys, key=lambda order: (order.size * order.price, order.column)):
        money = ledger.cash + credit
        if order.size * order.price + _fee(ledger.rules, order.size, order.price) <= money:
            _book(ledger, bar, order, order.size)
            continue
        fits = _affordable(ledger.rules, order, money)
        if fits >= DUST:
            _book(ledger, bar, order, fits)
        return


def _charge_carry(ledger: Ledger, years: float, funding: list[float] | None) -> None:
    """What holding cost over the row, at the marks of its start."""
    worths = [held * price if held else 0.0 for held, price in zip(ledger.positions, ledger.newest, strict=True)]
    borrow = ledger.rules.borrow * years * -sum(worth for worth in worths if worth < 0.0)
    interest = ledger.rules.interest * years * max(-ledger.cash, 0.0)
    rates = [rate if _known(rate) else 0.0 for rate in funding] if funding else [0.0] * len(worths)
    settled = sum(rate * worth for rate, worth in zip(rates, worths, strict=True))
    ledger.borrow_paid += borrow
    ledger.interest_paid += interest
    ledger.funding_paid += settled
    ledger.cash -= borrow + interest + settled


def _quotes(opens, closes, fill: str):
    """Fill prices of each row and what becomes known between its fills and the next row's."""
    if fill == "close":
        return closes, [[math.nan] * len(row) for row in closes]
    return opens, closes


def keep_ledger(
    weights, opens, closes, *, years, cash, volume=None, volatility=None, funding=None, dead=None, **rules
) -> Ledger:
    """Replay the account bar by bar over plain lists of lists, bar by symbol.

    Parameters
    ----------
    weights, opens, closes : list of lists of float
        NaN where a symbol did not trade.
    years : list of float
        Calendar length of each row.
    cash : float
        At the start, in currency.
    volume, volatility : list of lists of float, optional
        Already lagged: what was known when the row was decided.
    funding : list of lists of float, optional
        Sum of the rates settled while the row is held; longs pay a positive one.
    dead : list of lists of bool, optional
        Bars on which nothing traded: positions keep their worth and no order fills.
    **rules : float, int or str
        Fields of ``Rules``.
    """
    fills, later = _quotes(opens, closes, rules.get("fill", "open"))
    bars, symbols = len(fills), len(fills[0])
    ledger = Ledger(Rules(**rules), cash, [0.0] * symbols, [math.nan] * symbols, [0] * symbols, [None] * symbols)
    for bar in range(bars):
        ledger.absent = [0 if _known(price) else run + 1 for price, run in zip(fills[bar], ledger.absent, strict=True)]
        ledger.newest = _newer(fills[bar], ledger.newest)
        equity = ledger.worth(ledger.newest)
        ledger.worth_before.append(equity)
        if equity <= 0.0:
            ledger.returns += [0.0] * (bars - bar)
            ledger.equity += [0.0] * (bars - bar)
            ledger.rows_after_ruin = bars - bar
            break
        _trade(ledger, bar, _orders(ledger, bar, weights[bar], equity, volume, volatility, dead), equity)
        ledger.held.append(list(ledger.positions))
        _charge_carry(ledger, years[bar], funding[bar] if funding else None)
        ledger.newest = _newer(later[bar], ledger.newest)
        upcoming = fills[bar + 1] if bar + 1 < bars else [math.nan] * symbols
        ending = max(ledger.worth(_newer(upcoming, ledger.newest)), 0.0)
        ledger.returns.append(ending / equity - 1.0)
        ledger.equity.append(ending)
    return ledger
