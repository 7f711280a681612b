"""The compiled account of `simulate`: to the last bit that of `compiled.general_account`, for costs that are rates.

Every sum that the general account makes is made here in the same order; what is not summed is done for many symbols at
once, from panels of either layout. It stands alone because numba's cache notices changes only in the file of the
function that is called.
"""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

from embargo.backtest.books.compiled import gross_of

Array = np.ndarray

_DUST = 1e-12
_BLOCK = 8_192  # cells that are turned at once: 64 KB, which the nearest caches hold
_NEARLY = 5e-10  # less than the checks of `simulate` forgive: whoever asks them decides


class Rates(NamedTuple):
    """What an account without limits pays, and after how many missing prices it writes a position out."""

    fee: float
    slippage: float
    borrow: float
    interest: float
    stale_after: int


@nb.njit(cache=True, error_model="numpy")
def _load(panel: Array, by_symbol: bool, start: int, block: Array) -> None:
    """Copy as many rows of a panel as a block has, from ``start`` on; those beyond its end are missing."""
    rows, symbols = block.shape
    bars = panel.shape[1] if by_symbol else panel.shape[0]
    there = max(min(rows, bars - start), 0)
    if by_symbol:
        for j in range(symbols):
            column = panel[j, start : start + there]
            for b in range(there):
                block[b, j] = column[b]
    else:
        block[:there] = panel[start : start + there]
    block[there:] = np.nan


@nb.njit(cache=True, error_model="numpy")
def _unsound(prices: Array) -> int:
    """How many prices of a block are neither positive and finite nor missing."""
    flat = prices.reshape(-1)
    count = 0
    for k in range(len(flat)):
        price = flat[k]
        count += not (((price > 0.0) & (price < np.inf)) | (price != price))
    return count


@nb.njit(cache=True, error_model="numpy")
def _wish(
    target: Array,
    last: Array,
    missing: Array,
    shares: Array,
    equity: float,
    rates: Rates,
    order: Array,
    price: Array,
    sold: Array,
    bought: Array,
) -> None:
    """Orders of a row in shares, their prices, what sells bring and what buys cost, commission included."""
    up, down = max(1.0 + rates.slippage, 0.0), max(1.0 - rates.slippage, 0.0)
    for j in range(len(target)):
        gap, mark, held = missing[j], last[j], shares[j]
        fillable = (mark > 0.0) & ((gap == 0) | (gap == rates.stale_after))
        goal = target[j] if gap == 0 else 0.0
        size = goal * equity / mark - held
        size = size if fillable & (abs(size) >= _DUST) else 0.0
        level = mark * (up if size > 0.0 else down)
        notional = abs(size) * level
        paid = rates.fee * abs(size) * level
        order[j] = size
        price[j] = level
        sold[j] = notional - paid if size < 0.0 else 0.0
        bought[j] = notional + paid if size > 0.0 else 0.0


@nb.njit(cache=True, error_model="numpy")
def _sum_two(first: Array, second: Array, start: float) -> tuple[float, float]:
    one, two = start, 0.0
    for j in range(len(first)):
        one += first[j]
        two += second[j]
    return one, two


@nb.njit(cache=True, error_model="numpy")
def _clip(order: Array, price: Array, cash: float, fee: float) -> float:
    """Fill buys in ascending order of notional until the cash is spent; return the cash left."""
    notional = np.empty(len(order))
    for j in range(len(order)):
        notional[j] = order[j] * price[j] if order[j] > 0.0 else 0.0
    spent = False
    for j in np.argsort(notional, kind="mergesort"):
        if notional[j] <= 0.0:
            continue
        cost = notional[j] + fee * order[j] * price[j]
        if spent or cash - cost < 0.0:
            part = 0.0
            if not spent:
                part = min(cash / (price[j] * (1.0 + fee)), cash / price[j])
                part = min(max(part, 0.0), order[j])
            order[j] = part if part >= _DUST else 0.0
            cost = order[j] * price[j] + fee * order[j] * price[j]
            spent = True
        cash -= cost
    return cash


@nb.njit(cache=True, error_model="numpy")
def _settle(
    close: Array, fill: Array, last: Array, missing: Array, shares: Array, order: Array, traded: Array, short: Array
) -> None:
    """Book the orders, take in the closes and the next fill prices; ``order`` becomes what positions are worth then."""
    for j in range(len(close)):
        mark = last[j]
        traded[j] = abs(order[j]) * mark
        held = shares[j] + order[j]
        held = held if abs(held) >= _DUST else 0.0
        shares[j] = held
        short[j] = max(-(held * mark), 0.0)
        mark = close[j] if close[j] == close[j] else mark
        quoted = fill[j] == fill[j]
        mark = fill[j] if quoted else mark
        missing[j] = 0 if quoted else missing[j] + 1
        last[j] = mark
        order[j] = held * mark


@nb.njit(cache=True, error_model="numpy")
def _sum_three(first: Array, second: Array, third: Array) -> tuple[float, float, float]:
    one, two, three = 0.0, 0.0, 0.0
    for j in range(len(first)):
        one += first[j]
        two += second[j]
        three += third[j]
    return one, two, three


@nb.njit(cache=True, nogil=True, error_model="numpy")
def strict_account(
    target: Array,
    fill: Array,
    close: Array,
    by_symbol: tuple[bool, bool, bool],
    years: Array,
    rates: Rates,
    initial_cash: float,
    equity: Array,
    turnover: Array,
) -> bool:
    """Write the equity at the end of each row and its one-way turnover; return whether every input was sound.

    A panel is of shape (symbols, bars) where ``by_symbol`` says so, else (bars, symbols). Where the inputs are not
    sound, a price not positive or a row's gross exposure above 1, what was written means nothing.
    """
    rows = len(equity)
    symbols = target.shape[0] if by_symbol[0] else target.shape[1]
    size = min(max(_BLOCK // max(symbols, 1), 8), 64)
    wanted, closed, later = np.empty((size, symbols)), np.empty((size, symbols)), np.empty((size, symbols))
    shares, last, missing = np.zeros(symbols), np.zeros(symbols), np.zeros(symbols, np.int64)
    order, price, sold, bought = np.zeros(symbols), np.empty(symbols), np.zeros(symbols), np.zeros(symbols)
    _load(fill, by_symbol[1], 0, later[:1])
    wrong = _unsound(later[:1])
    closed[0] = np.nan
    _settle(closed[0], later[0], last, missing, shares, order, sold, bought)
    cash, worth = initial_cash, initial_cash
    ruined = False
    for t in range(rows):
        b = t % size
        if b == 0:
            _load(target, by_symbol[0], t, wanted)
            _load(close, by_symbol[2], t, closed)
            _load(fill, by_symbol[1], t + 1, later)
            wrong += _unsound(closed) + _unsound(later)
        wrong += not gross_of(wanted[b]) <= 1.0 + _NEARLY
        if ruined:
            continue
        _wish(wanted[b], last, missing, shares, worth, rates, order, price, sold, bought)
        left, spent = _sum_two(sold, bought, cash)
        cash = left - spent if left - spent >= 0.0 else _clip(order, price, left, rates.fee)
        _settle(closed[b], later[b], last, missing, shares, order, sold, bought)
        traded, short, held = _sum_three(sold, bought, order)
        turnover[t] = 0.5 * traded / worth
        cash -= rates.borrow * years[t] * short + rates.interest * years[t] * max(-cash, 0.0)
        worth = cash + held
        ruined = not worth > 0.0
        equity[t] = 0.0 if ruined else worth
    return wrong == 0
