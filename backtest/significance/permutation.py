"""Permutation tests: a statistic against its values once the link between evidence and returns is broken.

The market stays as it was; what is broken is when, about whom, or in which direction the evidence spoke. Each way
breaks one thing and keeps the others, so that a result says what the statistic owes to that thing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np

from embargo.backtest.arguments import check_at_least
from embargo.data_loaders.errors import ConfigError, DataError

Way = Literal["dates", "shift", "symbols", "signs"]
WAYS: tuple[Way, ...] = ("dates", "shift", "symbols", "signs")

_FEWEST_SYMBOLS = 5
_Drawn = TypeVar("_Drawn")


def block_permutation(n: int, block: int, rng: np.random.Generator) -> np.ndarray:
    """Permutation of n rows that keeps runs of ``block`` neighbours together.

    The rows are read as a ring from a random starting point, so that block borders fall anywhere.

    Parameters
    ----------
    n, block : int
        Rows, and rows per block, both at least 1; one shorter block holds the remainder.
    rng : Generator

    Returns
    -------
    int array, shape (n,)
        Every row number once.

    Raises
    ------
    ConfigError
        If there are no rows, or a block has none.

    References
    ----------
    Carlstein (1986), "The use of subseries values for estimating the variance of a general statistic", Annals of
    Statistics 14(3), for blocks; Politis and Romano (1992) for the ring.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import block_permutation
    >>> block_permutation(9, 3, np.random.default_rng(1)).tolist()
    [4, 5, 6, 7, 8, 0, 1, 2, 3]
    """
    check_at_least("n", n, 1)
    check_at_least("block", block, 1)
    ring = (np.arange(n) + int(rng.integers(n))) % n
    pieces = np.split(ring, range(block, n, block))
    return np.concatenate([pieces[piece] for piece in rng.permutation(len(pieces))])


@dataclass(frozen=True)
class Rearrangement:
    """Evidence moved about on a panel of bars and symbols: cell (t, s) takes what stood at (rows[t], columns[s]).

    Attributes
    ----------
    rows : int array, shape (bars,)
    columns : int array, shape (symbols,)
    signs : int8 array, shape (bars, symbols), or None
        -1 where what was said is turned into its opposite; None where nothing is.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import Rearrangement
    >>> moved = Rearrangement(rows=np.array([1, 0]), columns=np.array([0, 1, 2]))
    >>> np.array([['a', 'b', 'c'], ['d', 'e', 'f']])[np.ix_(moved.rows, moved.columns)].tolist()
    [['d', 'e', 'f'], ['a', 'b', 'c']]
    """

    rows: np.ndarray
    columns: np.ndarray
    signs: np.ndarray | None = None


def rearrangement(way: Way, shape: tuple[int, int], block: int, rng: np.random.Generator) -> Rearrangement:
    """Draw one way of breaking the link between evidence and market.

    Parameters
    ----------
    way : {'dates', 'shift', 'symbols', 'signs'}
        ``dates`` moves blocks of bars about, all symbols together; ``shift`` turns the whole ring of bars by one random
        distance, which keeps every order of evidence in time; ``symbols`` gives each symbol the
        evidence of another, for good; ``signs`` turns the evidence of random blocks of bars, each symbol's own, into
        its opposite, and with it any lasting tilt towards good news, which the other ways keep.
    shape : (int, int)
        Bars and symbols.
    block : int
        Bars that stay together.
    rng : Generator

    Returns
    -------
    Rearrangement

    Raises
    ------
    ConfigError
        If the panel is too small for that way; `possible` tells.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import rearrangement
    >>> moved = rearrangement('symbols', (4, 5), 2, np.random.default_rng(1))
    >>> moved.rows.tolist(), moved.columns.tolist()
    ([0, 1, 2, 3], [4, 0, 1, 2, 3])
    """
    if not possible(way, shape, block):
        raise ConfigError(
            f"rearrangement: a panel of {shape[0]} bars and {shape[1]} symbols is too small for {way!r} with blocks of "
            f"{block}. Leave it out."
        )
    bars, symbols = shape
    rows, columns = np.arange(bars), np.arange(symbols)
    if way == "dates":
        return Rearrangement(block_permutation(bars, block, rng), columns)
    if way == "shift":
        # Short distances, and none at all, count too: a test that leaves out what looks like the truth rejects 6 to
        # 20 % of true nulls at 5 %.
        return Rearrangement(np.roll(rows, int(rng.integers(bars))), columns)
    if way == "symbols":
        return Rearrangement(rows, rng.permutation(symbols))
    blocks = (rows + int(rng.integers(block))) // block
    signs = rng.choice(np.array([-1, 1], dtype=np.int8), size=(blocks[-1] + 1, symbols))
    return Rearrangement(rows, columns, signs[blocks])


def possible(way: Way, shape: tuple[int, int], block: int) -> bool:
    """Tell whether a panel offers enough different arrangements of this kind to compare with.

    Parameters
    ----------
    way : {'dates', 'shift', 'symbols', 'signs'}
    shape : (int, int)
        Bars and symbols.
    block : int
        Bars that stay together.

    Returns
    -------
    bool
        ``symbols`` needs five of them, ``shift`` two blocks of bars.

    Examples
    --------
    >>> from embargo.backtest.significance import possible
    >>> possible('symbols', (250, 4), 5), possible('shift', (250, 4), 5)
    (False, True)
    """
    bars, symbols = shape
    if way == "symbols":
        return symbols >= _FEWEST_SYMBOLS
    return bars >= 2 * block if way == "shift" else bars >= 1


@dataclass(frozen=True)
class PermutationResult:
    """A statistic against its distribution under permutation.

    Attributes
    ----------
    observed : float
    p_value : float
        One-sided: (1 + permutations at least as large) / (1 + permutations).
    null_mean, null_sd : float
        Of the permuted statistics.
    null_quantiles : dict
        Keys ``"0.05"``, ``"0.5"``, ``"0.95"``, ``"0.99"``.
    n_permutations, block : int
    null : float array, shape (n_permutations,)
        The permuted statistics, in the order drawn.

    Examples
    --------
    >>> from embargo.backtest.significance import permutation_test
    >>> found = permutation_test(lambda drawn: drawn, lambda rng: rng.normal(), observed=2.0, block=1, seed=0)
    >>> found.n_permutations, sorted(found.null_quantiles)
    (500, ['0.05', '0.5', '0.95', '0.99'])
    """

    observed: float
    p_value: float
    null_mean: float
    null_sd: float
    null_quantiles: dict[str, float]
    n_permutations: int
    block: int
    null: np.ndarray = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields but the permuted statistics themselves as a JSON-able dictionary."""
        return {name: value for name, value in asdict(self).items() if name != "null"}


def permutation_test(
    statistic: Callable[[_Drawn], float],
    draw: Callable[[np.random.Generator], _Drawn],
    *,
    observed: float,
    block: int,
    n_permutations: int = 500,
    seed: int | np.random.Generator,
    progress: Callable[[int, int], None] | None = None,
) -> PermutationResult:
    """Compare a statistic with its values when the link between signal and returns is broken at random.

    Permute the signal, not the returns of the strategy: a Sharpe ratio does not change when its returns are shuffled.

    Parameters
    ----------
    statistic : callable
        Takes what ``draw`` returns, applies it to the signal or the evidence behind it, against unmoved prices;
        returns a number, larger meaning better.
    draw : callable
        Takes a Generator and returns one arrangement, such as `block_permutation` or `rearrangement` make.
    observed : float
        The statistic of what really happened.
    block : int
        Rows kept together, at least as long as the signal's memory; recorded in the result.
    n_permutations : int
    seed : int or Generator
    progress : callable, optional
        Called with (done, total).

    Returns
    -------
    PermutationResult
        Null hypothesis: the statistic is no larger than if what the arrangement breaks meant nothing.

    Raises
    ------
    DataError
        If the statistic is not a finite number.
    ConfigError
        If there is to be no permutation.

    References
    ----------
    Phipson and Smyth (2010), "Permutation p-values should never be zero", SAGMB 9(1).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import block_permutation, permutation_test
    >>> rng = np.random.default_rng(1)
    >>> signal = rng.normal(size=250)
    >>> returns = 0.2 * signal + rng.normal(size=250)
    >>> found = permutation_test(
    ...     lambda rows: float(signal[rows] @ returns),
    ...     lambda rng: block_permutation(250, 5, rng),
    ...     observed=float(signal @ returns),
    ...     block=5,
    ...     seed=0,
    ... )
    >>> round(found.p_value, 3)
    0.002
    """
    check_at_least("n_permutations", n_permutations, 1)
    rng = np.random.default_rng(seed)
    null = np.empty(n_permutations)
    for number in range(n_permutations):
        null[number] = statistic(draw(rng))
        if progress is not None:
            progress(number + 1, n_permutations)
    return permutation_result(null, observed=observed, block=block)


def permutation_result(null: np.ndarray, *, observed: float, block: int) -> PermutationResult:
    """Judge a statistic by permuted ones that are there already, such as those computed on several machines.

    Parameters
    ----------
    null : float array, shape (n_permutations,)
        In the order drawn.
    observed : float
        The statistic of what really happened.
    block : int
        Rows that were kept together; recorded in the result.

    Returns
    -------
    PermutationResult
        As of `permutation_test`.

    Raises
    ------
    DataError
        If a statistic is not a finite number.
    ConfigError
        If there is no permutation.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import permutation_result
    >>> permutation_result(np.array([0.1, -0.3, 0.2, 0.0]), observed=0.15, block=1).p_value
    0.4
    """
    n_permutations = len(null)
    check_at_least("n_permutations", n_permutations, 1)
    if not (math.isfinite(observed) and np.isfinite(null).all()):
        raise DataError(
            "permutation_test: the statistic is not a finite number for every permutation. Return 0 for none."
        )
    # Permutations that only move empty rows repeat the observed value up to rounding; they count as equal.
    margin = 1e-12 * max(1.0, abs(observed))
    quantiles = {str(level): float(np.quantile(null, level)) for level in (0.05, 0.5, 0.95, 0.99)}
    return PermutationResult(
        observed=observed,
        p_value=float((1 + np.count_nonzero(null >= observed - margin)) / (1 + n_permutations)),
        null_mean=float(null.mean()),
        null_sd=float(null.std(ddof=1)) if n_permutations > 1 else 0.0,
        null_quantiles=quantiles,
        n_permutations=n_permutations,
        block=block,
        null=null,
    )
