"""The books without the bookkeeping: equity, returns and orders of an account from plain arrays, compiled by numba.

It follows the rules of `embargo.backtest.simulate` to rounding, so permutations and placebo worlds may use it where
vectorbt would be too slow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embargo.backtest.books.costs import Costs
from embargo.backtest.books.execution import Execution
from embargo.backtest.books.kernel.market import (
    Market,
    check_gross,
    check_shape,
    compiled_loops,
    is_plain,
    panel_by_symbol,
    panels_of,
    terms_of,
    unwritten,
)


@dataclass(frozen=True)
class Account:
    """What an account earned; float arrays of shape (bars,).

    Attributes
    ----------
    returns : array
        Net return of each row, fraction of the equity at its fill. -1 on the row of ruin, 0 after it.
    equity : array
        Value at the end of each row, in currency.
    turnover : array
        One-way: half of buys plus sells at mid prices over the equity before them.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest import Costs
    >>> from embargo.backtest.books.kernel import Market, run
    >>> fill = np.array([[100.0], [102.0], [101.0]])
    >>> market = Market(fill=fill, close=fill, years=np.full(3, 1 / 365))
    >>> half = np.array([[0.5], [0.5], [0.0]])
    >>> run(half, market, Costs()).turnover.round(3).tolist()
    [0.25, 0.003, 0.249]
    """

    returns: np.ndarray
    equity: np.ndarray
    turnover: np.ndarray


@dataclass(frozen=True)
class Record:
    """An account with every order it made; arrays of shape (bars, symbols) unless said.

    Attributes
    ----------
    account : Account
    sizes : array
        Signed shares filled; 0 is no order.
    prices, fees : array
        Price of each fill, costs included, and its commission in currency; 0 where there is none.
    capped, rounded, dropped, impact_unknown, dead : bool array
        Orders cut by participation; rounded to lots; not repeated after such a cut; without known impact; not filled
        because nothing traded on their bar.
    margin_calls : bool array, shape (bars,)
    carry : array, shape (bars, 3)
        Borrow, interest and funding paid at the end of each row, in currency.
    commission, spread, impact, haircut : float
        Paid in all, in currency.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest import Costs
    >>> from embargo.backtest.books.kernel import Market, record
    >>> fill = np.array([[100.0], [102.0], [101.0]])
    >>> market = Market(fill=fill, close=fill, years=np.full(3, 1 / 365))
    >>> half = np.array([[0.5], [0.5], [0.0]])
    >>> kept = record(half, market, Costs())
    >>> round(kept.commission, 2), kept.margin_calls.any().item()
    (502.52, False)
    """

    account: Account
    sizes: np.ndarray
    prices: np.ndarray
    fees: np.ndarray
    capped: np.ndarray
    rounded: np.ndarray
    dropped: np.ndarray
    impact_unknown: np.ndarray
    dead: np.ndarray
    margin_calls: np.ndarray
    carry: np.ndarray
    commission: float
    spread: float
    impact: float
    haircut: float


def run(
    weights: np.ndarray,
    market: Market,
    costs: Costs,
    execution: Execution = Execution(),  # noqa: B008 - frozen
    *,
    initial_cash: float = 1_000_000.0,
) -> Account:
    """Trade target weights and return what the account earned.

    Parameters
    ----------
    weights : float array, shape (bars, symbols)
        Fractions of equity, negative is short; row t is held from the fill of bar t.
    market : Market
    costs : Costs
    execution : Execution
    initial_cash : float
        In the currency of the prices.

    Returns
    -------
    Account

    Raises
    ------
    DataError
        If shapes differ or a weight is not finite.
    ConfigError
        If the gross exposure exceeds the leverage, or a cap or impact is asked for without volume or volatility.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest import Costs
    >>> from embargo.backtest.books.kernel import Market, run
    >>> fill = np.array([[100.0], [102.0], [101.0]])
    >>> market = Market(fill=fill, close=fill, years=np.full(3, 1 / 365))
    >>> half = np.array([[0.5], [0.5], [0.0]])
    >>> run(half, market, Costs()).returns.round(5).tolist()
    [0.0095, -0.00491, -0.0005]
    """
    compiled = compiled_loops()
    target = _shaped(weights, market)
    panels = panels_of(market, costs, execution)
    gross = np.empty(len(target))
    if not is_plain(market, costs, execution):
        compiled.row_gross(target, gross)
        check_gross(gross, execution)
        return _general(target, panels, costs, execution, initial_cash, keep=False)[0]
    equity, turnover, terms = np.zeros(len(target)), np.zeros(len(target)), terms_of(costs, execution)
    compiled.plain_account(target, *panels[:3], terms, float(initial_cash), equity, turnover, gross)
    check_gross(gross, execution)
    return _account(equity, turnover, initial_cash)


def equity_of(
    weights: np.ndarray,
    market: Market,
    costs: Costs,
    execution: Execution = Execution(),  # noqa: B008 - frozen
    *,
    initial_cash: float = 1_000_000.0,
) -> Account | None:
    """Return the account of `record` to the last bit, without its orders; None where only `record` can tell.

    Panels of either layout are read as they are.

    Parameters
    ----------
    weights : float array, shape (bars, symbols)
        Fractions of equity, negative is short; row t is held from the fill of bar t.
    market : Market
    costs : Costs
    execution : Execution
    initial_cash : float
        In the currency of the prices.

    Returns
    -------
    Account or None
        None under costs and limits that are not plain rates, and where a price, weight or gross exposure is not sound.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest import Costs
    >>> from embargo.backtest.books.kernel import Market, equity_of
    >>> fill = np.array([[100.0], [102.0], [101.0]])
    >>> market = Market(fill=fill, close=fill, years=np.full(3, 1 / 365))
    >>> half = np.array([[0.5], [0.5], [0.0]])
    >>> account = equity_of(half, market, Costs())
    >>> account.returns.round(5).tolist(), equity_of(3.0 * half, market, Costs())
    ([0.0095, -0.00491, -0.0005], None)
    """
    if not (is_plain(market, costs, execution) and weights.size):
        return None
    # Loading numba takes about a second, which only those who trade should pay.
    from embargo.backtest.books.compiled_books import Rates, strict_account

    check_shape("weights", weights, market)
    (target, held_by), (fill, fill_by), (close, close_by) = map(panel_by_symbol, (weights, market.fill, market.close))
    rates = Rates(costs.fee, costs.slippage, costs.borrow_annual, costs.interest_annual, execution.stale_after)
    equity, turnover = np.zeros(len(weights)), np.zeros(len(weights))
    years, by_symbol = unwritten(market.years), (held_by, fill_by, close_by)
    sound = strict_account(target, fill, close, by_symbol, years, rates, float(initial_cash), equity, turnover)
    return _account(equity, turnover, initial_cash) if sound else None


def record(
    weights: np.ndarray,
    market: Market,
    costs: Costs,
    execution: Execution = Execution(),  # noqa: B008 - frozen
    *,
    initial_cash: float = 1_000_000.0,
) -> Record:
    """Trade target weights and write down every order; parameters and errors as in ``run``.

    Parameters
    ----------
    weights : float array, shape (bars, symbols)
        Fractions of equity, negative is short; row t is held from the fill of bar t.
    market : Market
    costs : Costs
    execution : Execution
    initial_cash : float
        In the currency of the prices.

    Returns
    -------
    Record

    Raises
    ------
    DataError
        If shapes differ or a weight is not finite.
    ConfigError
        If the gross exposure exceeds the leverage, or a cap or impact is asked for without volume or volatility.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest import Costs
    >>> from embargo.backtest.books.kernel import Market, record
    >>> fill = np.array([[100.0], [102.0], [101.0]])
    >>> market = Market(fill=fill, close=fill, years=np.full(3, 1 / 365))
    >>> half = np.array([[0.5], [0.5], [0.0]])
    >>> record(half, market, Costs()).sizes.round(1).ravel().tolist()
    [5000.0, -51.5, -4948.5]
    """
    compiled = compiled_loops()
    target = _shaped(weights, market)
    gross = np.empty(len(target))
    compiled.row_gross(target, gross)
    check_gross(gross, execution)
    account, carry, totals, sizes, prices, fees, why = _general(
        target, panels_of(market, costs, execution), costs, execution, initial_cash, keep=True
    )
    return Record(
        account=account,
        sizes=sizes,
        prices=prices,
        fees=fees,
        capped=(why & compiled.CAPPED) > 0,
        rounded=(why & compiled.ROUNDED) > 0,
        dropped=(why & compiled.DROPPED) > 0,
        impact_unknown=((why & compiled.UNKNOWN_IMPACT) > 0) & (sizes != 0.0),
        dead=(why & compiled.DEAD) > 0,
        margin_calls=np.asarray(((why & compiled.MARGIN) > 0).any(axis=1)),
        carry=carry,
        commission=float(totals[compiled.COMMISSION]),
        spread=float(totals[compiled.SPREAD]),
        impact=float(totals[compiled.IMPACT]),
        haircut=float(totals[compiled.HAIRCUT]),
    )


def _account(equity: np.ndarray, turnover: np.ndarray, initial_cash: float) -> Account:
    before = np.concatenate([[initial_cash], equity[:-1]])
    returns = np.divide(equity, before, out=np.ones_like(equity), where=before > 0.0) - 1.0
    return Account(returns, equity, turnover)


def _general(
    target: np.ndarray,
    panels: tuple[np.ndarray, ...],
    costs: Costs,
    execution: Execution,
    initial_cash: float,
    *,
    keep: bool,
) -> tuple[Account, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    compiled = compiled_loops()
    bars = len(target)
    equity, turnover, carry, totals = np.zeros(bars), np.zeros(bars), np.zeros((bars, 3)), np.zeros(4)
    shape = target.shape if keep else (0, 0)
    sizes, prices, fees = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    why = np.zeros(shape, np.uint8)
    compiled.general_account(
        target,
        panels,
        terms_of(costs, execution),
        float(initial_cash),
        equity,
        turnover,
        carry,
        totals,
        sizes,
        prices,
        fees,
        why,
    )
    return _account(equity, turnover, initial_cash), carry, totals, sizes, prices, fees, why


def _shaped(weights: np.ndarray, market: Market) -> np.ndarray:
    target = np.ascontiguousarray(weights, dtype=float)
    check_shape("weights", target, market)
    return target
