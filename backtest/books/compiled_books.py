"""The compiled account of `simulate`: to the last bit that of `compiled.general_account`, for costs that are rates.

Every sum that the general account makes is made here in the same order; what is not summed is done for many symbols at
once, from panels of either layout. It stands alone because numba's cache notices changes only in the file of the
function that is called.
"""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

Array = np.ndarray

_DUST = 1e-12
_BLOCK = 16_384  # cells that are turned at once: 128 KB, which the second caches hold
_ABREAST = 8  # symbols of a line of the cache
_INFINITE = 0x7FF0_0000_0000_0000  # the bits of infinity
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
        # Some symbols at a time, so that whole lines of the cache are written.
        abreast = symbols - symbols % _ABREAST
        for first in range(0, abreast, _ABREAST):
            for b in range(there):
                for k in range(_ABREAST):
                    block[b, first + k] = panel[first + k, start + b]
        for j in range(abreast, symbols):
            for b in range(there):
                block[b, j] = panel[j, start + b]
    else:
        for b in range(there):
            for j in range(symbols):
                block[b, j] = panel[start + b, j]
    block[there:] = np.nan


@nb.njit(cache=True, error_model="numpy")
def _all_quoted(prices: Array) -> bool:
    """Whether each price is positive and finite: the bits of such are those of the integers from 1 below infinity's."""
    bits = prices.reshape(-1).view(np.int64)
    outside = 0
    for k in range(len(bits)):
        outside |= (bits[k] - 1) | (_INFINITE - 1 - bits[k])
    return outside >= 0


@nb.njit(cache=True, error_model="numpy")
def _unsound(prices: Array) -> int:
    """How many prices are neither positive and finite nor missing."""
    flat = prices.reshape(-1)
    count = 0
    for k in range(len(flat)):
        price = flat[k]
        count += not (((price > 0.0) & (price < np.inf)) | (price != price))
    return count


@nb.njit(cache=True, error_model="numpy")
def _gross(wanted: Array) -> float:
    """Sum of absolute weights of a row, in four lanes: nothing but the check of the weights depends on it."""
    first, second, third, fourth = 0.0, 0.0, 0.0, 0.0
    fours = len(wanted) - len(wanted) % 4
    for j in range(0, fours, 4):
        first += abs(wanted[j])
        second += abs(wanted[j + 1])
        third += abs(wanted[j + 2])
        fourth += abs(wanted[j + 3])
    for j in range(fours, len(wanted)):
        first += abs(wanted[j])
    return (first + second) + (third + fourth)


@nb.njit(cache=True, error_model="numpy")
def _wish(
    b: int, wanted: Array, last: Array, missing: Array, shares: Array, equity: float, rates: Rates, order: Array
) -> None:
    """Orders of a row in shares, for many symbols at once."""
    for j in range(len(order)):
        gap, mark = missing[j], last[j]
        fillable = (mark > 0.0) & ((gap == 0) | (gap == rates.stale_after))
        goal = wanted[b, j] if gap == 0 else 0.0
        size = goal * equity / mark - shares[j]
        order[j] = size if fillable & (abs(size) >= _DUST) else 0.0


@nb.njit(cache=True, error_model="numpy")
def _levels(rates: Rates) -> tuple[float, float]:
    """Return what a share is bought and sold at, of its mid price."""
    return max(1.0 + rates.slippage, 0.0), max(1.0 - rates.slippage, 0.0)


@nb.njit(cache=True, error_model="numpy")
def _price(order: Array, last: Array, rates: Rates, sold: Array, bought: Array) -> None:
    """Write what each sell brings and each buy costs, commission included, for many symbols at once."""
    up, down = _levels(rates)
    for j in range(len(order)):
        size = order[j]
        level = last[j] * (up if size > 0.0 else down)
        notional = abs(size) * level
        paid = rates.fee * abs(size) * level
        sold[j] = notional - paid if size < 0.0 else 0.0
        bought[j] = notional + paid if size > 0.0 else 0.0


@nb.njit(cache=True, error_model="numpy")
def _spend(sold: Array, bought: Array, order: Array, last: Array, cash: float) -> tuple[float, float, float]:
    """Return the cash after all sells, what all buys cost, and the notional of both at mid prices."""
    spent, traded = 0.0, 0.0
    for j in range(len(order)):
        cash += sold[j]
        spent += bought[j]
        traded += abs(order[j]) * last[j]
    return cash, spent, traded


@nb.njit(cache=True, error_model="numpy")
def _clip(order: Array, last: Array, cash: float, rates: Rates) -> tuple[float, float]:
    """Fill buys in ascending order of notional until the cash is spent; return the cash left and what was traded."""
    up, _ = _levels(rates)
    fee = rates.fee
    notional = np.empty(len(order))
    for j in range(len(order)):
        notional[j] = order[j] * (last[j] * up) if order[j] > 0.0 else 0.0
    spent = False
    for j in np.argsort(notional, kind="mergesort"):
        if notional[j] <= 0.0:
            continue
        price = last[j] * up
        cost = notional[j] + fee * order[j] * price
        if spent or cash - cost < 0.0:
            part = 0.0
            if not spent:
                part = min(cash / (price * (1.0 + fee)), cash / price)
                part = min(max(part, 0.0), order[j])
            order[j] = part if part >= _DUST else 0.0
            cost = order[j] * price + fee * order[j] * price
            spent = True
        cash -= cost
    traded = 0.0
    for j in range(len(order)):
        traded += abs(order[j]) * last[j]
    return cash, traded


@nb.njit(cache=True, error_model="numpy")
def _settle(
    b: int, closed: Array, later: Array, last: Array, missing: Array, shares: Array, order: Array
) -> tuple[float, float]:
    """Book the orders, take in the closes and the next fill prices; return the short value before, the value after."""
    short, value = 0.0, 0.0
    for j in range(len(order)):
        mark = last[j]
        held = shares[j] + order[j]
        held = held if abs(held) >= _DUST else 0.0
        shares[j] = held
        short += max(-(held * mark), 0.0)
        close, fill = closed[b, j], later[b, j]
        mark = close if close == close else mark
        quoted = fill == fill
        mark = fill if quoted else mark
        missing[j] = 0 if quoted else missing[j] + 1
        last[j] = mark
        value += held * mark
    return short, value


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
    size = min(max(_BLOCK // max(symbols, 1), 16), 128)
    wanted, closed, later = np.empty((size, symbols)), np.empty((size, symbols)), np.empty((size, symbols))
    shares, last, missing = np.zeros(symbols), np.zeros(symbols), np.zeros(symbols, np.int64)
    order, sold, bought = np.zeros(symbols), np.empty(symbols), np.empty(symbols)
    _load(fill, by_symbol[1], 0, later[:1])
    wrong = _unsound(later[:1])
    if not _all_quoted(close):
        wrong += _unsound(close)
    closed[0] = np.nan
    _settle(0, closed, later, last, missing, shares, order)
    cash, worth = initial_cash, initial_cash
    ruined = whole = False
    for t in range(rows):
        b = t % size
        if b == 0:
            _load(target, by_symbol[0], t, wanted)
            _load(fill, by_symbol[1], t + 1, later)
            # Closes stand in for fill prices that are missing, and nobody looks at the others.
            whole = _all_quoted(later)
            if not whole:
                wrong += _unsound(later)
                _load(close, by_symbol[2], t, closed)
        wrong += not _gross(wanted[b]) <= 1.0 + _NEARLY
        if ruined:
            continue
        _wish(b, wanted, last, missing, shares, worth, rates, order)
        _price(order, last, rates, sold, bought)
        left, spent, traded = _spend(sold, bought, order, last, cash)
        if left - spent >= 0.0:
            cash = left - spent
        else:
            cash, traded = _clip(order, last, left, rates)
        turnover[t] = 0.5 * traded / worth
        short, held = _settle(b, later if whole else closed, later, last, missing, shares, order)
        cash -= rates.borrow * years[t] * short + rates.interest * years[t] * max(-cash, 0.0)
        worth = cash + held
        ruined = not worth > 0.0
        equity[t] = 0.0 if ruined else worth
    return wrong == 0
