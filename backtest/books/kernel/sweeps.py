"""Many accounts at once, on all cores: the net returns of many settings on the same bars, and nothing else of them.

Each account is kept as `account.run` keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from embargo.backtest.books.costs import Costs
from embargo.backtest.books.execution import Execution
from embargo.backtest.books.kernel.market import (
    Market,
    check_gross,
    check_shape,
    compiled_loops,
    is_plain,
    panels_of,
    terms_of,
)
from embargo.data_loaders.errors import ConfigError, DataError

_CHUNK = 8


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
class SweptAccounts:
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


def sweep(
    decisions: Decisions,
    market: Market,
    costs: Costs | Sequence[Costs],
    execution: Execution = Execution(),  # noqa: B008 - frozen
    *,
    initial_cash: float = 1_000_000.0,
) -> SweptAccounts:
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
    SweptAccounts

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
    compiled = compiled_loops()
    numerator, denominator, tradable, which, knobs = _evidence(decisions, execution)
    check_shape("numerator", numerator[0], market)
    panels, accounts = panels_of(market, costs, execution), _accounts(len(which), market, costs, execution)
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
) -> SweptAccounts:
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
    SweptAccounts

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
    compiled = compiled_loops()
    targets = np.ascontiguousarray(weights, dtype=float)
    if targets.ndim != 3:
        raise DataError(f"kernel: weights have shape {targets.shape}; a sweep needs (settings, bars, symbols).")
    gross = np.empty(targets.shape[1])
    for target in targets:
        check_shape("weights", target, market)
        compiled.row_gross(target, gross)
        check_gross(gross, execution)
    panels, accounts = panels_of(market, costs, execution), _accounts(len(targets), market, costs, execution)
    cash = float(initial_cash)

    def one(s: int, returns: np.ndarray) -> float:
        return float(compiled.account_returns(targets[s], panels, *accounts[s], cash, returns))

    return _spread(one, len(targets), targets.shape[1])


def _spread(one: Callable[[int, np.ndarray], float], settings: int, bars: int) -> SweptAccounts:
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
    return SweptAccounts(returns, turnover)


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
    compiled = compiled_loops()
    numerator, denominator, tradable, which, knobs = _evidence(decisions, Execution(leverage=100.0))
    weights = np.empty((len(which), *numerator.shape[1:]))
    for target, variant, knob in zip(weights, which, knobs, strict=True):
        compiled.proportional_weights(numerator[variant], denominator[variant], tradable, *knob, target)
    return weights


def _accounts(
    settings: int, market: Market, costs: Costs | Sequence[Costs], execution: Execution
) -> list[tuple[Any, bool]]:
    """Terms of each setting, and whether its account is plain."""
    each = [costs] * settings if isinstance(costs, Costs) else list(costs)
    if len(each) != settings:
        raise DataError(f"kernel: {settings} settings but {len(each)} costs. Pass one for all, or one per setting.")
    known = {cost: (terms_of(cost, execution), is_plain(market, cost, execution)) for cost in set(each)}
    return [known[cost] for cost in each]


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
