"""The compiled account: what happens to cash and shares on each row.

Two paths keep one set of rules. The plain one knows rates and nothing else and runs at the speed of memory; the general
one knows every cost and limit and can write down each order. All compiled functions share this file, because numba's
cache notices changes only in the file of the function that is called.
"""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

Array = np.ndarray

# Missing prices are NaN, so "nnan" may never join these. What sums so may not be called by another compiled function,
# only inlined (inline="always"): else both libraries hold a copy, each with its own order of sums, and numba takes the
# one that the process loaded first, which is another right after compiling than from the cache.
_LOOSE = {"reassoc", "contract", "nsz", "arcp"}
_DUST = 1e-12
_LOT_SLACK = 1e-9
_SCANS = 8

CAPPED, ROUNDED, DROPPED, UNKNOWN_IMPACT, WRITTEN_OUT, MARGIN, DEAD = 1, 2, 4, 8, 16, 32, 64
COMMISSION, SPREAD, IMPACT, HAIRCUT = 0, 1, 2, 3
BORROW, INTEREST, FUNDING = 0, 1, 2


class Terms(NamedTuple):
    """Costs and limits as plain numbers; ``participation`` 0 is no cap."""

    fee: float
    slippage: float
    borrow: float
    per_share: float
    minimum: float
    impact: float
    interest: float
    leverage: float
    maintenance: float
    participation: float
    drop: bool
    lot: float
    stale_after: int
    haircut: float


@nb.njit(cache=True, inline="always", error_model="numpy")
def _mark(fill: Array, last: Array, missing: Array, shares: Array) -> float:
    worth = 0.0
    for j in range(len(fill)):
        price = fill[j]
        quoted = price == price
        mark = price if quoted else last[j]
        last[j] = mark
        missing[j] = 0 if quoted else missing[j] + 1
        worth += shares[j] * mark
    return worth


@nb.njit(cache=True, inline="always", error_model="numpy")
def _order(
    target: Array, last: Array, missing: Array, shares: Array, order: Array, equity: float, stale_after: int
) -> tuple[float, float, float]:
    """Orders of the row in shares; return the notional sold and bought at mid prices, and the gross target."""
    sold = 0.0
    bought = 0.0
    gross = 0.0
    for j in range(len(target)):
        gap = missing[j]
        mark = last[j]
        fillable = (mark > 0.0) & ((gap == 0) | (gap == stale_after))
        goal = target[j] if gap == 0 else 0.0
        size = goal * equity / mark - shares[j]
        size = size if fillable & (abs(size) >= _DUST) else 0.0
        notional = size * mark
        sold -= min(notional, 0.0)
        bought += max(notional, 0.0)
        order[j] = size
        gross += abs(target[j])
    return sold, bought, gross


@nb.njit(cache=True, inline="always", error_model="numpy")
def _settle(close: Array, last: Array, shares: Array, order: Array) -> float:
    """Book the orders and take in the closes; return the short value at the row's marks."""
    short = 0.0
    for j in range(len(close)):
        held = shares[j] + order[j]
        held = held if abs(held) >= _DUST else 0.0
        shares[j] = held
        mark = last[j]
        short += max(-held * mark, 0.0)
        price = close[j]
        last[j] = price if price == price else mark
    return short


@nb.njit(cache=True, error_model="numpy")
def _clip(order: Array, last: Array, bought: float, room: float) -> float:
    """Cut buys from the largest down until they are worth ``room`` at mid prices; return what they are worth."""
    for _ in range(_SCANS):
        largest = -1
        most = 0.0
        for j in range(len(order)):
            notional = order[j] * last[j]
            if notional > 0.0 and notional >= most:
                most = notional
                largest = j
        if largest < 0:
            return 0.0
        rest = bought - most
        if rest < room:
            order[largest] *= (room - rest) / most
            return room
        order[largest] = 0.0
        bought = rest
        if bought <= room:
            return bought
    notional = np.empty(len(order))
    for j in range(len(order)):
        notional[j] = max(order[j] * last[j], 0.0)
    spent = 0.0
    for j in np.argsort(notional, kind="mergesort"):
        cost = notional[j]
        if cost > 0.0:
            fits = min(cost, max(room - spent, 0.0))
            order[j] *= fits / cost
            spent += fits
    return spent


@nb.njit(cache=True, inline="always", error_model="numpy")
def gross_of(target: Array) -> float:
    """Sum of absolute weights of a row."""
    total = 0.0
    for j in range(len(target)):
        total += abs(target[j])
    return total


@nb.njit(cache=True, inline="always", fastmath=_LOOSE, error_model="numpy")
def row_gross(targets: Array, gross: Array) -> None:
    """Sum of absolute weights of each row; not finite where a weight is not."""
    for t in range(len(targets)):
        gross[t] = gross_of(targets[t])


@nb.njit(cache=True, inline="always", fastmath=_LOOSE, error_model="numpy")
def plain_account(
    target: Array,
    fill: Array,
    close: Array,
    years: Array,
    terms: Terms,
    initial_cash: float,
    equity: Array,
    turnover: Array,
    gross: Array,
) -> None:
    """Equity at the end of each row, one-way turnover and gross target, for an account that knows rates only."""
    rows, symbols = target.shape
    shares = np.zeros(symbols)
    last = np.zeros(symbols)
    missing = np.zeros(symbols, np.int64)
    order = np.empty(symbols)
    up = (1.0 + terms.slippage) * (1.0 + terms.fee)
    down = (1.0 - terms.slippage) * (1.0 - terms.fee)
    cash = initial_cash
    for t in range(rows):
        worth = cash + _mark(fill[t], last, missing, shares)
        if t:
            equity[t - 1] = worth
        if not worth > 0.0:
            equity[t - 1 :] = 0.0
            turnover[t:] = 0.0
            row_gross(target[t:], gross[t:])
            return
        sold, bought, gross[t] = _order(target[t], last, missing, shares, order, worth, terms.stale_after)
        cash += sold * down
        if bought * up > cash:
            bought = _clip(order, last, bought, max(cash, 0.0) / up)
        cash -= bought * up
        turnover[t] = 0.5 * (sold + bought) / worth
        short = _settle(close[t], last, shares, order)
        interest = terms.interest * years[t] * max(-cash, 0.0)
        cash -= terms.borrow * years[t] * short + interest
    equity[rows - 1] = max(cash + (shares * last).sum(), 0.0)


@nb.njit(cache=True, error_model="numpy")
def _gross(shares: Array, last: Array) -> float:
    total = 0.0
    for j in range(len(shares)):
        total += abs(shares[j] * last[j])
    return total


@nb.njit(cache=True, error_model="numpy")
def _margin_scale(target: Array, missing: Array, terms: Terms) -> float:
    wanted = 0.0
    for j in range(len(target)):
        if missing[j] != terms.stale_after:
            wanted += abs(target[j])
    return min(1.0, 0.5 * terms.leverage / wanted) if wanted > 0.0 else 1.0


@nb.njit(cache=True, error_model="numpy")
def _limited(wish: float, held: float, goal: float, volume: float, terms: Terms) -> tuple[float, int]:
    """Cut an order to its share of volume and to whole lots; return it and the reasons."""
    size = wish
    why = 0
    if terms.participation > 0.0:
        top = terms.participation * volume if volume > 0.0 else 0.0
        if abs(size) > top:
            size = top if size > 0.0 else -top
            why |= CAPPED
    if terms.lot > 0.0 and not (goal == 0.0 and size == -held):
        whole = _whole(abs(size), terms.lot)
        if whole < abs(size):
            why |= ROUNDED
        size = whole if size > 0.0 else -whole
    return (size if abs(size) >= _DUST else 0.0), why


@nb.njit(cache=True, error_model="numpy")
def _whole(size: float, lot: float) -> float:
    # A hair of slack, so that a whole number of lots survives its own rounding error.
    return float(np.floor(size / lot + _LOT_SLACK) * lot)


@nb.njit(cache=True, error_model="numpy")
def _wish(
    target: Array,
    scale: float,
    equity: float,
    last: Array,
    missing: Array,
    shares: Array,
    cut_at: Array,
    volume: Array,
    dead: Array,
    terms: Terms,
    order: Array,
    why: Array,
) -> None:
    """Orders of the row after every limit but cash."""
    for j in range(len(target)):
        order[j] = 0.0
        why[j] = MARGIN if scale >= 0.0 else 0
        raw = target[j]
        if raw != cut_at[j]:
            cut_at[j] = np.nan
        stale = missing[j] == terms.stale_after
        if not last[j] > 0.0 or (missing[j] and not stale):
            continue
        held = shares[j]
        if stale:
            cut_at[j] = np.nan
            if abs(held) >= _DUST:
                order[j] = -held
                why[j] |= WRITTEN_OUT
            continue
        if raw == cut_at[j] and scale < 0.0:
            why[j] |= DROPPED
            continue
        goal = raw * scale if scale >= 0.0 else raw
        wish = goal * equity / last[j] - held
        if abs(wish) < _DUST:
            continue
        if len(dead) and dead[j]:
            why[j] |= DEAD
            continue
        size, reasons = _limited(wish, held, goal, volume[j] if len(volume) else np.nan, terms)
        order[j] = size
        why[j] |= reasons
        if terms.drop and reasons & CAPPED:
            cut_at[j] = raw


@nb.njit(cache=True, error_model="numpy")
def _fee(size: float, price: float, terms: Terms) -> float:
    paid = terms.fee * size * price + terms.per_share * size
    return max(terms.minimum, paid) if size > 0.0 else 0.0


@nb.njit(cache=True, error_model="numpy")
def _price(
    order: Array, last: Array, volume: Array, volatility: Array, terms: Terms, base: Array, price: Array, why: Array
) -> None:
    """Price of each order before and after spread and impact."""
    for j in range(len(order)):
        size = abs(order[j])
        if size == 0.0:
            continue
        side = 1.0 if order[j] > 0.0 else -1.0
        base[j] = last[j]
        moved = terms.slippage
        if why[j] & WRITTEN_OUT:
            base[j] = last[j] * (1.0 + side * terms.haircut)
        elif terms.impact > 0.0:
            if len(volume) and volume[j] > 0.0 and volatility[j] >= 0.0:
                moved += terms.impact * volatility[j] * np.sqrt(size / volume[j])
            else:
                why[j] |= UNKNOWN_IMPACT
        price[j] = base[j] * max(1.0 + side * moved, 0.0)


@nb.njit(cache=True, error_model="numpy")
def _fitting(size: float, price: float, room: float, terms: Terms) -> float:
    """Largest part of a buy that ``room`` pays for, commission included."""
    part = min(room / (price * (1.0 + terms.fee) + terms.per_share), (room - terms.minimum) / price)
    part = min(max(part, 0.0), size)
    if terms.lot > 0.0 and part < size:
        part = min(_whole(part, terms.lot), size)
    return part if part >= _DUST else 0.0


@nb.njit(cache=True, error_model="numpy")
def _afford(order: Array, price: Array, cash: float, floor: float, terms: Terms) -> float:
    """Fill sells, then buys in ascending order of notional while cash stays above ``floor``; return the cash left."""
    bought = 0.0
    for j in range(len(order)):
        if order[j] < 0.0:
            cash += -order[j] * price[j] - _fee(-order[j], price[j], terms)
        elif order[j] > 0.0:
            bought += order[j] * price[j] + _fee(order[j], price[j], terms)
    if cash - bought >= floor:
        return cash - bought
    notional = np.empty(len(order))
    for j in range(len(order)):
        notional[j] = order[j] * price[j] if order[j] > 0.0 else 0.0
    spent = False
    for j in np.argsort(notional, kind="mergesort"):
        if notional[j] <= 0.0:
            continue
        cost = notional[j] + _fee(order[j], price[j], terms)
        if spent or cash - cost < floor:
            order[j] = 0.0 if spent else _fitting(order[j], price[j], cash - floor, terms)
            cost = order[j] * price[j] + _fee(order[j], price[j], terms)
            spent = True
        cash -= cost
    return cash


@nb.njit(cache=True, error_model="numpy")
def _carry(
    t: int, shares: Array, last: Array, funding: Array, cash: float, years: float, terms: Terms, carry: Array
) -> float:
    """Borrow, interest and funding of the row."""
    short = 0.0
    settled = 0.0
    for j in range(len(shares)):
        value = shares[j] * last[j]
        short += max(-value, 0.0)
        if len(funding) and funding[j] == funding[j]:
            settled += funding[j] * value
    carry[t, BORROW] = terms.borrow * years * short
    carry[t, INTEREST] = terms.interest * years * max(-cash, 0.0)
    carry[t, FUNDING] = settled
    return float(carry[t].sum())


@nb.njit(cache=True, error_model="numpy")
def _tally(order: Array, base: Array, price: Array, terms: Terms, last: Array, totals: Array) -> float:
    """Add up what the fills cost; return their notional at mid prices."""
    notional = 0.0
    for j in range(len(order)):
        size = abs(order[j])
        if size > 0.0:
            notional += size * last[j]
            spread = size * base[j] * terms.slippage
            totals[COMMISSION] += _fee(size, price[j], terms)
            totals[SPREAD] += spread
            if terms.impact > 0.0:
                totals[IMPACT] += size * abs(price[j] - base[j]) - spread
            totals[HAIRCUT] += size * abs(base[j] - last[j])
    return notional


@nb.njit(cache=True, error_model="numpy")
def _write(
    t: int,
    order: Array,
    price: Array,
    why: Array,
    terms: Terms,
    sizes: Array,
    prices: Array,
    fees: Array,
    reasons: Array,
) -> None:
    for j in range(len(order)):
        sizes[t, j] = order[j]
        reasons[t, j] = why[j]
        if order[j] != 0.0:
            prices[t, j] = price[j]
            fees[t, j] = _fee(abs(order[j]), price[j], terms)


@nb.njit(cache=True, error_model="numpy")
def _row_of(panel: Array, t: int) -> Array:
    row: Array = panel[min(t, len(panel) - 1)]
    return row


@nb.njit(cache=True, error_model="numpy")
def general_account(
    target: Array,
    market: tuple[Array, ...],
    terms: Terms,
    initial_cash: float,
    equity: Array,
    turnover: Array,
    carry: Array,
    totals: Array,
    sizes: Array,
    prices: Array,
    fees: Array,
    reasons: Array,
) -> None:
    """Keep the account under every rule; the last four panels are written where they have rows.

    ``market`` is (fill, close, years, volume, volatility, funding, dead); a panel that is not needed has one row of no
    symbols.
    """
    fill, close, years, volumes, volatilities, fundings, deads = market
    rows, symbols = target.shape
    shares, last, order = np.zeros(symbols), np.zeros(symbols), np.zeros(symbols)
    base, price, cut_at = np.zeros(symbols), np.zeros(symbols), np.full(symbols, np.nan)
    missing, why = np.zeros(symbols, np.int64), np.zeros(symbols, np.uint8)
    cash = initial_cash
    for t in range(rows):
        worth = cash + _strict_mark(fill[t], last, missing, shares)
        if t:
            equity[t - 1] = worth
        if not worth > 0.0:
            equity[t - 1 :] = 0.0
            return
        volume = _row_of(volumes, t)
        scale = -1.0
        if terms.leverage > 1.0 and worth < terms.maintenance * _gross(shares, last):
            scale = _margin_scale(target[t], missing, terms)
        dead = _row_of(deads, t)
        _wish(target[t], scale, worth, last, missing, shares, cut_at, volume, dead, terms, order, why)
        _price(order, last, volume, _row_of(volatilities, t), terms, base, price, why)
        cash = _afford(order, price, cash, -(terms.leverage - 1.0) * worth, terms)
        turnover[t] = 0.5 * _tally(order, base, price, terms, last, totals) / worth
        if len(sizes):
            _write(t, order, price, why, terms, sizes, prices, fees, reasons)
        for j in range(symbols):
            shares[j] += order[j]
            if abs(shares[j]) < _DUST:
                shares[j] = 0.0
        cash -= _carry(t, shares, last, _row_of(fundings, t), cash, years[t], terms, carry)
        for j in range(symbols):
            if close[t, j] == close[t, j]:
                last[j] = close[t, j]
    equity[rows - 1] = max(cash + (shares * last).sum(), 0.0)


@nb.njit(cache=True, error_model="numpy")
def _strict_mark(fill: Array, last: Array, missing: Array, shares: Array) -> float:
    worth = 0.0
    for j in range(len(fill)):
        missing[j] = 0 if fill[j] == fill[j] else missing[j] + 1
        if missing[j] == 0:
            last[j] = fill[j]
        worth += shares[j] * last[j]
    return worth


@nb.njit(cache=True, inline="always", error_model="numpy")
def _decay_row(numerator: Array, denominator: Array, keep: float, top: Array, bottom: Array) -> None:
    for j in range(len(numerator)):
        top[j] = keep * top[j] + numerator[j]
        bottom[j] = keep * bottom[j] + denominator[j]


@nb.njit(cache=True, inline="always", error_model="numpy")
def _signal_row(top: Array, bottom: Array, tradable: Array, shrinkage: float, least: float, weights: Array) -> float:
    """Write the signal of the row; return its absolute sum."""
    # Apart from the decay, because the compiler vectorises a loop over few arrays only.
    total = 0.0
    for j in range(len(top)):
        seen = bottom[j] > 0.0
        signal = top[j] / (bottom[j] + shrinkage if seen else 1.0)
        signal = min(max(signal, -1.0), 1.0)
        signal = signal if seen & tradable[j] & (abs(signal) >= least) else 0.0
        total += abs(signal)
        weights[j] = signal
    return total


@nb.njit(cache=True, inline="always", error_model="numpy")
def _scale_row(weights: Array, factor: float, cap: float) -> None:
    for j in range(len(weights)):
        weights[j] = min(max(weights[j] * factor, -cap), cap)


@nb.njit(cache=True, inline="always", fastmath=_LOOSE, error_model="numpy")
def proportional_weights(
    numerator: Array,
    denominator: Array,
    tradable: Array,
    keep: float,
    shrinkage: float,
    gross: float,
    cap: float,
    least: float,
    weights: Array,
) -> None:
    """Weights of one setting, row by row, as ``signals.aggregation.decay`` and proportional weights make them."""
    rows, symbols = numerator.shape
    top, bottom = np.zeros(symbols), np.zeros(symbols)
    for t in range(rows):
        mask = tradable[min(t, len(tradable) - 1)]
        _decay_row(numerator[t], denominator[t], keep, top, bottom)
        total = _signal_row(top, bottom, mask, shrinkage, least, weights[t])
        _scale_row(weights[t], gross / max(total, 1.0), cap)


@nb.njit(cache=True, inline="always", nogil=True, fastmath=_LOOSE, error_model="numpy")
def account_returns(
    target: Array, market: tuple[Array, ...], terms: Terms, plain: bool, initial_cash: float, returns: Array
) -> float:
    """Write the returns of one setting into ``returns``; return its mean turnover."""
    rows = len(returns)
    equity, turnover = np.zeros(rows), np.zeros(rows)
    if plain:
        plain_account(target, market[0], market[1], market[2], terms, initial_cash, equity, turnover, np.empty(rows))
    else:
        none, no_why = np.zeros((0, 0)), np.zeros((0, 0), np.uint8)
        carry, totals = np.zeros((rows, 3)), np.zeros(4)
        general_account(target, market, terms, initial_cash, equity, turnover, carry, totals, none, none, none, no_why)
    before = initial_cash
    for t in range(rows):
        returns[t] = equity[t] / before - 1.0 if before > 0.0 else 0.0
        before = equity[t]
    return float(turnover.mean())


@nb.njit(cache=True, nogil=True, fastmath=_LOOSE, error_model="numpy")
def evidence_returns(
    numerator: Array,
    denominator: Array,
    tradable: Array,
    knobs: tuple[float, ...],
    market: tuple[Array, ...],
    terms: Terms,
    plain: bool,
    initial_cash: float,
    returns: Array,
) -> float:
    """Do as ``account_returns``, the weights made on the way; ``knobs`` are keep, shrinkage, gross, cap and least."""
    target = np.empty(numerator.shape)
    keep, shrinkage, gross, cap, least = knobs
    proportional_weights(numerator, denominator, tradable, keep, shrinkage, gross, cap, least, target)
    return float(account_returns(target, market, terms, plain, initial_cash, returns))
