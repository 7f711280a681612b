"""The books without the bookkeeping: equity, returns and orders of an account from plain arrays, compiled by numba.

It follows the rules of `embargo.backtest.simulate` to rounding, so sweeps, permutations and placebo worlds may use it
where vectorbt would be too slow. Nothing here imports numba before it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from embargo.backtest.books.costs import Costs
from embargo.backtest.books.execution import Execution
from embargo.data_loaders.errors import ConfigError, DataError

_NONE = np.full((1, 0), np.nan)
_NO_FLAG = np.zeros((1, 0), dtype=np.bool_)
_CHUNK = 8


@dataclass(frozen=True)
class Market:
    """Prices and whatever else fills depend on; float arrays of shape (bars, symbols) unless said.

    Attributes
    ----------
    fill : array
        Price at which row t trades, NaN where it cannot: the opens, or the closes for fills at the close.
    close : array
        The closes; they value positions that have no fill price later.
    years : array, shape (bars,)
        Calendar length of each row, from `bar_years`.
    volume : array, optional
        Trailing mean volume in shares, known when row t is decided. Needed for a participation cap and for impact.
    volatility : array, optional
        Trailing standard deviation of bar returns. Needed for impact.
    funding : array, optional
        Funding rates settled inside each row, summed; positive: longs pay. NaN counts as 0.
    dead : bool array, optional
        Bars on which nothing traded, from `embargo.backtest.books.dead_bars`: no order fills there.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.books.kernel import Market
    >>> fill = np.array([[100.0], [102.0], [101.0]])
    >>> market = Market(fill=fill, close=fill, years=np.full(3, 1 / 365))
    >>> market.fill.shape, market.volume is None
    ((3, 1), True)
    """

    fill: np.ndarray
    close: np.ndarray
    years: np.ndarray
    volume: np.ndarray | None = None
    volatility: np.ndarray | None = None
    funding: np.ndarray | None = None
    dead: np.ndarray | None = None


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


@dataclass(frozen=True)
class Decisions:
    """Many ways to turn the same evidence into proportional weights.

    Attributes
    ----------
    numerator, denominator : float array, shape (variants, bars, symbols) or (bars, symbols)
        Undecayed evidence from ``embargo.signals.aggregation.collect``; one variant per threshold or minimum of
        articles.
    tradable : bool array, shape (bars, symbols), optional
    evidence : int array, shape (settings,)
        Which variant each setting uses.
    half_life, shrinkage, gross, cap, min_signal : float or array, shape (settings,)
        As in ``AggregationSettings`` and ``WeightSettings``; a scalar holds for all settings.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.books.kernel import Decisions, decision_weights
    >>> score = np.array([[0.0], [0.8], [0.0]])
    >>> decisions = Decisions(score, np.abs(score), None, np.array([0, 0]), half_life=np.array([1.0, 2.0]), cap=1.0)
    >>> decision_weights(decisions).shape
    (2, 3, 1)
    """

    numerator: np.ndarray
    denominator: np.ndarray
    tradable: np.ndarray | None
    evidence: np.ndarray
    half_life: np.ndarray | float = 2.0
    shrinkage: np.ndarray | float = 0.5
    gross: np.ndarray | float = 1.0
    cap: np.ndarray | float = 0.10
    min_signal: np.ndarray | float = 0.02


@dataclass(frozen=True)
class Sweep:
    """What each setting earned.

    Attributes
    ----------
    returns : float array, shape (settings, bars)
        Net return of each row.
    turnover : float array, shape (settings,)
        Mean one-way turnover per bar.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest import Costs
    >>> from embargo.backtest.books.kernel import Decisions, Market, sweep
    >>> fill = np.array([[100.0], [102.0], [101.0]])
    >>> market = Market(fill=fill, close=fill, years=np.full(3, 1 / 365))
    >>> score = np.array([[0.0], [0.8], [0.0]])
    >>> decisions = Decisions(score, np.abs(score), None, np.array([0, 0]), half_life=np.array([1.0, 2.0]), cap=1.0)
    >>> sweep(decisions, market, Costs()).turnover.round(3).tolist()
    [0.131, 0.116]
    """

    returns: np.ndarray
    turnover: np.ndarray


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
    compiled = _compiled()
    target = _shaped(weights, market)
    panels = _panels(market, costs, execution)
    gross = np.empty(len(target))
    if not _is_plain(market, costs, execution):
        compiled.row_gross(target, gross)
        _check_gross(gross, execution)
        return _general(target, panels, costs, execution, initial_cash, keep=False)[0]
    equity, turnover, terms = np.zeros(len(target)), np.zeros(len(target)), compiled.Terms(*_numbers(costs, execution))
    compiled.plain_account(target, *panels[:3], terms, float(initial_cash), equity, turnover, gross)
    _check_gross(gross, execution)
    return _account(equity, turnover, initial_cash)


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
    compiled = _compiled()
    target = _shaped(weights, market)
    gross = np.empty(len(target))
    compiled.row_gross(target, gross)
    _check_gross(gross, execution)
    account, carry, totals, sizes, prices, fees, why = _general(
        target, _panels(market, costs, execution), costs, execution, initial_cash, keep=True
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


def sweep(
    decisions: Decisions,
    market: Market,
    costs: Costs | Sequence[Costs],
    execution: Execution = Execution(),  # noqa: B008 - frozen
    *,
    initial_cash: float = 1_000_000.0,
) -> Sweep:
    """Go from evidence to net returns for many settings at once, on all cores.

    The weights are those of ``embargo.signals.aggregation.decay`` followed by proportional ``embargo.signals.weights``
    with gross, cap and least signal, without band or neutrality; they are made setting by setting and never kept.

    Parameters
    ----------
    decisions : Decisions
    market : Market
    costs : Costs, or one per setting
    execution : Execution
    initial_cash : float

    Returns
    -------
    Sweep

    Raises
    ------
    DataError
        If shapes differ.
    ConfigError
        If a setting is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest import Costs
    >>> from embargo.backtest.books.kernel import Decisions, Market, sweep
    >>> fill = np.array([[100.0], [102.0], [101.0]])
    >>> market = Market(fill=fill, close=fill, years=np.full(3, 1 / 365))
    >>> score = np.array([[0.0], [0.8], [0.0]])
    >>> decisions = Decisions(score, np.abs(score), None, np.array([0, 0]), half_life=np.array([1.0, 2.0]), cap=1.0)
    >>> sweep(decisions, market, Costs()).returns.round(5).tolist()
    [[0.0, -0.00665, -0.00017], [0.0, -0.00665, -8e-05]]
    """
    compiled = _compiled()
    numerator, denominator, tradable, which, knobs = _evidence(decisions, execution)
    _same_shape("numerator", numerator[0], market)
    panels, accounts = _panels(market, costs, execution), _accounts(len(which), market, costs, execution)
    cash = float(initial_cash)

    def one(s: int, returns: np.ndarray) -> float:
        k = which[s]
        return float(
            compiled.evidence_returns(
                numerator[k], denominator[k], tradable, knobs[s], panels, *accounts[s], cash, returns
            )
        )

    return _spread(one, len(which), numerator.shape[1])


def sweep_weights(
    weights: np.ndarray,
    market: Market,
    costs: Costs | Sequence[Costs],
    execution: Execution = Execution(),  # noqa: B008 - frozen
    *,
    initial_cash: float = 1_000_000.0,
) -> Sweep:
    """Trade many panels of weights, shape (settings, bars, symbols); the rest as in ``sweep``.

    Parameters
    ----------
    weights : float array, shape (settings, bars, symbols)
        Fractions of equity, negative is short.
    market : Market
    costs : Costs or sequence of Costs
        One for all settings, or one for each.
    execution : Execution
    initial_cash : float
        In the currency of the prices.

    Returns
    -------
    Sweep

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
    >>> from embargo.backtest.books.kernel import Market, sweep_weights
    >>> fill = np.array([[100.0], [102.0], [101.0]])
    >>> market = Market(fill=fill, close=fill, years=np.full(3, 1 / 365))
    >>> half = np.array([[0.5], [0.5], [0.0]])
    >>> sweep_weights(np.stack([half, -half]), market, Costs()).returns.round(5).tolist()
    [[0.0095, -0.00491, -0.0005], [-0.01051, 0.00488, -0.00049]]
    """
    compiled = _compiled()
    targets = np.ascontiguousarray(weights, dtype=float)
    if targets.ndim != 3:
        raise DataError(f"kernel: weights have shape {targets.shape}; a sweep needs (settings, bars, symbols).")
    gross = np.empty(targets.shape[1])
    for target in targets:
        _same_shape("weights", target, market)
        compiled.row_gross(target, gross)
        _check_gross(gross, execution)
    panels, accounts = _panels(market, costs, execution), _accounts(len(targets), market, costs, execution)
    cash = float(initial_cash)

    def one(s: int, returns: np.ndarray) -> float:
        return float(compiled.account_returns(targets[s], panels, *accounts[s], cash, returns))

    return _spread(one, len(targets), targets.shape[1])


def _spread(one: Callable[[int, np.ndarray], float], settings: int, bars: int) -> Sweep:
    """Work through the settings on all cores; the compiled code lets go of the interpreter's lock."""
    returns, turnover = np.zeros((settings, bars)), np.zeros(settings)

    def some(chunk: range) -> None:
        for s in chunk:
            turnover[s] = one(s, returns[s])

    from embargo.backtest.threads import THREADS

    chunks = [range(start, min(start + _CHUNK, settings)) for start in range(0, settings, _CHUNK)]
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(some, chunks):
            pass
    return Sweep(returns, turnover)


def decision_weights(decisions: Decisions) -> np.ndarray:
    """Return the weights that ``sweep`` trades, shape (settings, bars, symbols).

    Parameters
    ----------
    decisions : Decisions

    Returns
    -------
    float array, shape (settings, bars, symbols)
        Fractions of equity.

    Raises
    ------
    DataError
        If shapes differ.
    ConfigError
        If a setting is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.books.kernel import Decisions, decision_weights
    >>> score = np.array([[0.0], [0.8], [0.0]])
    >>> decisions = Decisions(score, np.abs(score), None, np.array([0, 0]), half_life=np.array([1.0, 2.0]), cap=1.0)
    >>> decision_weights(decisions).round(4)[:, :, 0].tolist()
    [[0.0, 0.6154, 0.4444], [0.0, 0.6154, 0.5308]]
    """
    compiled = _compiled()
    numerator, denominator, tradable, which, knobs = _evidence(decisions, Execution(leverage=100.0))
    weights = np.empty((len(which), *numerator.shape[1:]))
    for target, variant, knob in zip(weights, which, knobs, strict=True):
        compiled.proportional_weights(numerator[variant], denominator[variant], tradable, *knob, target)
    return weights


def _compiled() -> Any:
    # Loading numba takes about a second, which only those who trade should pay.
    from embargo.backtest.books import compiled

    return compiled


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
    compiled = _compiled()
    bars = len(target)
    equity, turnover, carry, totals = np.zeros(bars), np.zeros(bars), np.zeros((bars, 3)), np.zeros(4)
    shape = target.shape if keep else (0, 0)
    sizes, prices, fees = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    why = np.zeros(shape, np.uint8)
    compiled.general_account(
        target,
        panels,
        compiled.Terms(*_numbers(costs, execution)),
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


def _is_plain(market: Market, costs: Costs, execution: Execution) -> bool:
    """Whether the account knows rates only, so that the fast path applies."""
    unlimited = execution.participation is None and execution.lot == 0.0 and execution.haircut == 0.0
    rates = costs.fee_per_share == costs.fee_minimum == costs.impact == 0.0
    return unlimited and rates and execution.leverage == 1.0 and market.funding is None and market.dead is None


def _numbers(costs: Costs, execution: Execution) -> tuple[Any, ...]:
    """In the order of ``compiled.Terms``."""
    return (
        costs.fee,
        costs.slippage,
        costs.borrow_annual,
        costs.fee_per_share,
        costs.fee_minimum,
        costs.impact,
        costs.interest_annual,
        execution.leverage,
        execution.maintenance,
        execution.participation or 0.0,
        execution.unfilled == "drop",
        execution.lot,
        execution.stale_after,
        execution.haircut,
    )


def _accounts(
    settings: int, market: Market, costs: Costs | Sequence[Costs], execution: Execution
) -> list[tuple[Any, bool]]:
    """Terms of each setting, and whether its account is plain."""
    compiled = _compiled()
    each = [costs] * settings if isinstance(costs, Costs) else list(costs)
    if len(each) != settings:
        raise DataError(f"kernel: {settings} settings but {len(each)} costs. Pass one for all, or one per setting.")
    known = {
        cost: (compiled.Terms(*_numbers(cost, execution)), _is_plain(market, cost, execution)) for cost in set(each)
    }
    return [known[cost] for cost in each]


def _panels(market: Market, costs: Costs | Sequence[Costs], execution: Execution) -> tuple[np.ndarray, ...]:
    each = [costs] if isinstance(costs, Costs) else list(costs)
    impact = any(cost.impact > 0.0 for cost in each)
    if market.volume is None and (execution.participation is not None or impact):
        raise ConfigError(
            "kernel: a participation cap and impact need the trailing volume. Pass it, or leave them out."
        )
    if market.volatility is None and impact:
        raise ConfigError("kernel: impact needs the trailing volatility. Pass it, or set impact = 0.")
    fill = np.ascontiguousarray(market.fill, dtype=float)
    years = np.ascontiguousarray(market.years, dtype=float)
    if years.shape != (len(fill),):
        raise DataError(f"kernel: {len(fill)} bars but years of shape {years.shape}. Use the same bars.")
    panels = [fill, _panel(market.close, fill, "close")]
    extra = (("volume", market.volume), ("volatility", market.volatility), ("funding", market.funding))
    others = [_NONE if panel is None else _panel(panel, fill, name) for name, panel in extra]
    dead = _NO_FLAG if market.dead is None else _panel(market.dead, fill, "dead", np.bool_)
    return (*panels, years, *others, dead)


def _panel(panel: np.ndarray, fill: np.ndarray, name: str, dtype: type = float) -> np.ndarray:
    values: np.ndarray = np.ascontiguousarray(panel, dtype=dtype)
    if values.shape != fill.shape:
        raise DataError(f"kernel: fill has shape {fill.shape}, {name} {values.shape}. They must agree.")
    return values


def _same_shape(name: str, panel: np.ndarray, market: Market) -> None:
    if panel.shape != np.shape(market.fill):
        raise DataError(f"kernel: {name} has shape {panel.shape}, fill {np.shape(market.fill)}. They must agree.")


def _shaped(weights: np.ndarray, market: Market) -> np.ndarray:
    target = np.ascontiguousarray(weights, dtype=float)
    _same_shape("weights", target, market)
    return target


def _check_gross(gross: np.ndarray, execution: Execution) -> None:
    # A row with a missing or infinite weight has no finite gross, so the sum finds both faults.
    wrong = ~(gross <= execution.leverage + 1e-9)
    if wrong.any():
        row = int(np.argmax(wrong))
        if not np.isfinite(gross[row]):
            raise DataError(f"kernel: a weight of row {row} is not finite. Write 0 to hold nothing.")
        raise ConfigError(
            f"kernel: gross exposure {gross[row]:.6f} of row {row} exceeds the leverage {execution.leverage}. Lower it."
        )


def _evidence(
    decisions: Decisions, execution: Execution
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[tuple[float, ...]]]:
    numerator = np.ascontiguousarray(decisions.numerator, dtype=float)
    denominator = np.ascontiguousarray(decisions.denominator, dtype=float)
    if numerator.ndim == 2:
        numerator, denominator = numerator[None], denominator[None]
    if numerator.shape != denominator.shape or numerator.ndim != 3:
        raise DataError(f"kernel: numerator has shape {numerator.shape}, denominator {denominator.shape}.")
    shape = numerator.shape[1:]
    tradable = np.ones((1, shape[1]), bool) if decisions.tradable is None else np.asarray(decisions.tradable, bool)
    if decisions.tradable is not None and tradable.shape != shape:
        raise DataError(f"kernel: evidence has bars and symbols {shape}, tradable {tradable.shape}. They must agree.")
    which = np.atleast_1d(np.asarray(decisions.evidence, dtype=np.int64))
    if len(which) and (which.min() < 0 or which.max() >= len(numerator)):
        raise DataError(f"kernel: evidence names variant {which.max()}, but there are {len(numerator)}.")
    half_life, shrinkage, gross, cap, least = (
        np.broadcast_to(np.asarray(value, dtype=float), which.shape)
        for value in (decisions.half_life, decisions.shrinkage, decisions.gross, decisions.cap, decisions.min_signal)
    )
    for name, values, good in (
        ("half_life", half_life, half_life >= 0.0),
        ("shrinkage", shrinkage, shrinkage >= 0.0),
        ("gross", gross, (gross > 0.0) & (gross <= execution.leverage)),
        ("cap", cap, cap > 0.0),
        ("min_signal", least, (least >= 0.0) & (least < 1.0)),
    ):
        if not good.all():
            raise ConfigError(f"kernel: {name} {values[np.argmin(good)]} of setting {np.argmin(good)} is out of range.")
    with np.errstate(divide="ignore"):
        keep = np.where(half_life > 0.0, 0.5 ** (1.0 / half_life), 0.0)
    least = np.maximum(least, np.finfo(float).tiny)
    knobs = np.stack([keep, shrinkage, gross, cap, least], axis=1)
    return numerator, denominator, np.ascontiguousarray(tradable), which, [tuple(row) for row in knobs.tolist()]
