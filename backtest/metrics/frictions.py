"""What trading cost, how much of it the strategy could bear, and how much money it could run.

The unit of trading is the traded notional, buys plus sells: twice the one-way turnover times equity. A cost per unit of
turnover can therefore be held directly against ``Costs.rate``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from embargo.backtest.arguments import check_positive
from embargo.backtest.metrics.series import Returns, checked, quotient, yearly
from embargo.data_loaders.errors import DataError


def cost_breakdown(
    paid: Mapping[str, float],
    equity_before: Returns,
    turnover: Returns,
    *,
    periods_per_year: float,
) -> dict[str, dict[str, float | None]]:
    """Say where the money for trading and holding went.

    Parameters
    ----------
    paid : mapping of str to float
        Currency paid over the whole run by part: commission, spread, impact, borrow, interest, funding and what else
        the books know. Negative where money was received (funding).
    equity_before : Series or array, shape (bars,)
        Equity at the open of each row, currency.
    turnover : Series or array, shape (bars,)
        One-way turnover per row.
    periods_per_year : float

    Returns
    -------
    dict of str to dict
        Each part of ``paid`` and their sum ``total``: ``currency``, ``per_year`` (fraction of the mean equity) and
        ``per_turnover`` (fraction of the traded notional); None without rows or without trades.

    Raises
    ------
    DataError
        If equity and turnover have different lengths or an amount is not a number.
    ConfigError
        If ``periods_per_year`` is not positive.

    Examples
    --------
    >>> from embargo.backtest.metrics import cost_breakdown
    >>> paid = {'commission': 50.0, 'spread': 30.0}
    >>> told = cost_breakdown(paid, [1000.0, 1010.0], [0.5, 0.2], periods_per_year=252)
    >>> told['total']['currency'], round(told['total']['per_turnover'], 4)
    (80.0, 0.057)
    """
    equity, traded = _equity_and_traded(equity_before, turnover)
    wrong = [part for part, amount in paid.items() if not math.isfinite(amount)]
    if wrong:
        raise DataError(f"cost_breakdown: the amount paid for {', '.join(wrong)} is not a number. Check the books.")
    years = len(equity) / yearly(periods_per_year)
    base = float(equity.mean()) * years if len(equity) else 0.0
    amounts = {part: float(amount) for part, amount in paid.items()}
    amounts["total"] = math.fsum(amounts.values())
    return {
        part: {"currency": amount, "per_year": quotient(amount, base), "per_turnover": quotient(amount, traded)}
        for part, amount in amounts.items()
    }


def _equity_and_traded(equity_before: Returns, turnover: Returns) -> tuple[np.ndarray, float]:
    equity, share = checked(equity_before), checked(turnover)
    if len(equity) != len(share):
        raise DataError(f"cost_breakdown: {len(equity)} rows of equity but {len(share)} of turnover.")
    return equity, float(2.0 * (share @ equity))


def break_even_cost(returns: Returns, turnover: Returns, *, paid: Returns | float = 0.0) -> float | None:
    """Cost per unit of traded notional at which the mean return is 0, and with it the Sharpe ratio.

    ``mean(returns + paid) / mean(2 * turnover)``. Costs of holding (borrow, interest, funding) stay in the returns.
    First order: it takes the orders as they are, though an account that pays more has less to trade with.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net of trading costs.
    turnover : Series or array, shape (bars,)
        One-way, per row.
    paid : Series, array or float
        Trading costs already in the returns, fraction of equity per row or their mean per row.

    Returns
    -------
    float or None
        Fraction, to be held against ``Costs.rate``: 0.001 is 10 basis points each way. Negative if the strategy loses
        even where trading is free; None without trades.

    Raises
    ------
    DataError
        If lengths differ.

    Examples
    --------
    >>> from embargo.backtest.metrics import break_even_cost
    >>> round(break_even_cost([0.002, 0.001, -0.001], [0.2, 0.1, 0.1], paid=0.0002), 5)
    0.00325
    """
    net, traded = checked(returns), 2.0 * checked(turnover)
    cost = np.asarray(paid, dtype=float)
    if len(net) != len(traded) or cost.shape not in ((), net.shape):
        raise DataError(f"break_even_cost: {len(net)} returns, {len(traded)} turnovers, costs of shape {cost.shape}.")
    if not len(net):
        return None
    return quotient(float(net.mean() + checked(np.atleast_1d(cost)).mean()), float(traded.mean()))


def break_even_interval(
    cost: float, turnover_annual: float, *, mean: float, low: float, high: float
) -> tuple[float, float] | None:
    """Interval of a break-even cost, by the interval of the mean return that it was made of.

    Turnover and what was paid are taken as they are: nearly all that is not known of a break-even cost is the mean.

    Parameters
    ----------
    cost : float
        From `break_even_cost`, fraction of the traded notional.
    turnover_annual : float
        One-way, times a year.
    mean, low, high : float
        Mean net return per year and the ends of its interval, fraction.

    Returns
    -------
    (low, high) or None
        Fractions of the traded notional; None without turnover.

    Examples
    --------
    >>> from embargo.backtest.metrics import break_even_interval
    >>> low, high = break_even_interval(0.0015, 50.0, mean=0.1, low=-0.04, high=0.25)
    >>> round(low, 5), round(high, 5)
    (0.0001, 0.003)
    """
    if not turnover_annual > 0.0:
        return None
    return cost + (low - mean) / (2.0 * turnover_annual), cost + (high - mean) / (2.0 * turnover_annual)


def capacity(
    returns: Returns,
    traded: pd.DataFrame | np.ndarray,
    volume: pd.DataFrame | np.ndarray,
    volatility: pd.DataFrame | np.ndarray,
    *,
    impact: float = 1.0,
    participation: float = 0.05,
) -> dict[str, float | int | None]:
    """Equity at which the strategy's own impact eats its edge, under the square-root law.

    An order of the fraction ``x`` of equity ``A`` moves the price by ``impact * volatility * sqrt(A * x / volume)``, so
    that a row costs ``sqrt(A) * sum(impact * volatility * x**1.5 / sqrt(volume))`` of the equity. With ``K`` the mean
    of that sum over the rows and ``edge`` the mean return before impact, the strategy earns ``edge - K * sqrt(A)`` per
    row: nothing at ``A = (edge / K)**2``, and most money, ``A * (edge - K * sqrt(A))``, at 4/9 of that.

    An estimate of the order of magnitude: the law's coefficient is only known to a factor of about two, and a larger
    trader would trade more slowly.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net of all costs but impact.
    traded : array, shape (bars, symbols)
        Orders as fractions of equity; the sign is ignored.
    volume : array, shape (bars, symbols)
        Currency traded in a bar, known before the fill (``execution.trailing_volume`` times a price).
    volatility : array, shape (bars, symbols)
        Standard deviation of a bar's return.
    impact : float
        Coefficient of the law, of order 1; ``Costs.impact``.
    participation : float
        Largest order as a fraction of the volume.

    Returns
    -------
    dict
        ``equity_break_even`` and ``equity_most_profit`` (currency; None without a positive edge or without known
        impact), ``equity_at_participation`` (currency, up to which 95 % of the orders stay within ``participation``),
        ``participation_break_even`` (the fraction of the volume at which each order's impact would eat the edge; above
        1 it says only that impact does not bind), ``impact`` and ``participation`` as given, ``orders`` and
        ``orders_without_volume`` (left out: no volume or no volatility known, so capacity is overstated where there are
        many).

    Raises
    ------
    DataError
        If shapes differ.
    ConfigError
        If a setting is not positive.

    References
    ----------
    Square-root law: Tóth et al. (2011), "Anomalous price impact and the critical nature of liquidity in financial
    markets", Physical Review X 1, 021006; Almgren, Thum, Hauptmann and Li (2005), "Direct estimation of equity market
    impact", Risk 18(7), who fit the power 0.6. Break-even size: Frazzini, Israel and Moskowitz (2012), "Trading Costs
    of Asset Pricing Anomalies"; size of most profit: Kahn and Shaffer (2005), "The Surprisingly Small Impact of Asset
    Growth on Expected Alpha", Journal of Portfolio Management 32(1).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.metrics import capacity
    >>> returns = np.array([0.002, -0.001, 0.001, 0.001])
    >>> traded = np.full((4, 2), 0.1)
    >>> told = capacity(returns, traded, np.full((4, 2), 1e8), np.full((4, 2), 0.02))
    >>> round(told['equity_break_even']), round(told['equity_at_participation'])
    (35156250, 50000000)
    """
    check_positive("impact", impact)
    check_positive("participation", participation)
    values = checked(returns)
    order, money, sigma = (np.asarray(panel, dtype=float) for panel in (np.abs(traded), volume, volatility))
    if not (order.shape == money.shape == sigma.shape and order.ndim == 2 and len(order) == len(values)):
        raise DataError(
            f"capacity: {len(values)} returns, orders {order.shape}, volume {money.shape} and volatility {sigma.shape} "
            "must be on the same bars and symbols."
        )
    placed = order > 0.0
    known = placed & (money > 0.0) & np.isfinite(money) & np.isfinite(sigma)
    x, v, s = order[known], money[known], sigma[known]
    rows = max(len(values), 1)
    edge = float(values.sum()) / rows
    drag = float((impact * s * x * np.sqrt(x / v)).sum()) / rows
    full = float((impact * s * x).sum()) / rows
    root = quotient(edge, drag) if edge > 0.0 else None
    share = quotient(edge, full) if edge > 0.0 else None
    return {
        "equity_break_even": None if root is None else root**2,
        "equity_most_profit": None if root is None else 4.0 / 9.0 * root**2,
        "equity_at_participation": float(np.quantile(participation * v / x, 0.05)) if len(x) else None,
        "participation_break_even": None if share is None else share**2,
        "impact": impact,
        "participation": participation,
        "orders": int(placed.sum()),
        "orders_without_volume": int(placed.sum() - known.sum()),
    }
