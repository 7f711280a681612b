"""A window that grows and is looked at again and again: bounds that hold at whatever look one stops.

The statistic of a growing sample moves like Brownian motion in its number of rows. The level is spent as the rows come
in, and each bound is what keeps the chance of having crossed any so far at what has been spent: neither the number of
looks nor an end has to be fixed in advance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import ndtr, ndtri

from embargo.backtest.arguments import check_share
from embargo.data_loaders.errors import DataError

# Looks closer than this add nothing but work, and are finer than the grid that the bounds are found on.
LEAST_GROWTH = 1.01
_AT_FIRST = 0.2
_POWER = 0.8
_NODES = 401
_LOWEST, _HIGHEST = -7.0, 8.0
_NOTHING = 1e-14
# Further than this many deviations from where a walk is expected to have been it has not been.
_FARTHEST = 8.5


@dataclass(frozen=True)
class SequentialTest:
    """What a growing window shows after several looks, at whatever look one stops.

    Attributes
    ----------
    p_value : float
        Smallest level at which a bound has been crossed at any look so far: however many looks follow, the chance that
        it ever falls to a level without an edge is at most that level.
    bound : float
        Statistic that the newest look has to reach, at ``level``.
    statistic : float
        That of the newest look.
    detectable : float
        True Sharpe ratio per row that crosses a bound at one of these looks with 80 % probability, for independent
        normal rows.
    looks : int
        Looks judged: those by which the window had grown by at least 1 % since the one before.
    rows : int
        Rows of the newest of them.
    level : float

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import sequential_test
    >>> found = sequential_test(np.array([252, 253, 378]), np.array([0.2, 0.2, 0.001]))
    >>> found.looks, found.rows, round(found.p_value, 3)
    (2, 378, 0.003)
    """

    p_value: float
    bound: float
    statistic: float
    detectable: float
    looks: int
    rows: int
    level: float


def group_sequential_bounds(rows: np.ndarray, spent: np.ndarray) -> np.ndarray:
    """Find the bounds that spend a level as planned, one-sided.

    Parameters
    ----------
    rows : array, shape (looks,)
        Rows, or any other measure of information, at each look; each at least 1 % above the one before.
    spent : float array, shape (looks,)
        Chance, in [0, 1), with which a worthless strategy may have crossed a bound by each look; never falls.

    Returns
    -------
    float array, shape (looks,)
        Smallest standardised statistic that crosses at each look, at most 8.

    Raises
    ------
    DataError
        If the looks do not grow, or what is spent falls or is no probability.

    References
    ----------
    Armitage, McPherson and Rowe (1969), Journal of the Royal Statistical Society A 132(2), for the recursion; Lan and
    DeMets (1983), "Discrete Sequential Boundaries for Clinical Trials", Biometrika 70(3), for spending.

    Examples
    --------
    Five equal looks at 2.5 %, spent as O'Brien and Fleming would:

    >>> import numpy as np
    >>> from scipy.stats import norm
    >>> from embargo.backtest.significance import group_sequential_bounds
    >>> share = np.arange(1, 6) / 5
    >>> group_sequential_bounds(share, 2.0 * norm.sf(norm.isf(0.0125) / np.sqrt(share))).round(3).tolist()
    [4.877, 3.357, 2.68, 2.29, 2.031]
    """
    information = _checked(rows)
    plan = np.asarray(spent, dtype=float)
    if plan.shape != information.shape or (np.diff(plan, prepend=0.0) < 0.0).any() or not (plan < 1.0).all():
        raise DataError(
            f"group_sequential_bounds: spent must be a probability below 1 for each of the {len(information)} looks, "
            f"and never fall; got shape {plan.shape}."
        )
    walk = _Walk.start(0.0)
    bounds = []
    for look, share in zip(information, np.diff(plan, prepend=0.0), strict=True):
        bound = walk.bound(look, share)
        bounds.append(bound)
        walk = walk.on(look, bound)
    return np.array(bounds)


def crossing_probability(rows: np.ndarray, bounds: np.ndarray, *, drift: float = 0.0) -> float:
    """Chance that the statistic of a growing sample reaches its bound at any look.

    Parameters
    ----------
    rows : array, shape (looks,)
        As in `group_sequential_bounds`.
    bounds : float array, shape (looks,)
        One-sided.
    drift : float
        Expected statistic over the root of the rows: a true Sharpe ratio per row, for independent normal rows.

    Returns
    -------
    float

    Raises
    ------
    DataError
        If the looks do not grow, or do not have one bound each.

    References
    ----------
    As `group_sequential_bounds`; Jennison and Turnbull (2000), "Group Sequential Methods with Applications to Clinical
    Trials", chapter 19.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import crossing_probability
    >>> round(crossing_probability(np.array([1, 2]), np.array([1.645, 1.645])), 3)
    0.08
    """
    information, each = _checked(rows), np.asarray(bounds, dtype=float)
    if each.shape != information.shape or np.isnan(each).any():
        raise DataError(
            f"crossing_probability: needs one bound for each of the {len(information)} looks, got shape {each.shape} "
            f"with {int(np.isnan(each).sum())} missing."
        )
    walk, crossed = _Walk.start(drift * math.sqrt(float(np.asarray(rows)[0]))), 0.0
    for look, bound in zip(information, each, strict=True):
        crossed += walk.crossing(look, float(bound))
        walk = walk.on(look, float(bound))
    return crossed


def spent_by(rows: np.ndarray, *, level: float) -> np.ndarray:
    """Return the part of a level that a growing window has spent by each look, if nobody knows how far it will grow.

    A fifth at the first look, and of the rest as much as the window has outgrown the first one: half of it when it has
    doubled. A plan that names its end (O'Brien and Fleming's) finds more at that end and less anywhere else.

    Parameters
    ----------
    rows : array, shape (looks,)
    level : float
        One-sided, in (0, 1).

    Returns
    -------
    float array, shape (looks,)
        Below ``level`` however many rows follow.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import spent_by
    >>> spent_by(np.array([252, 504, 2520]), level=0.05).round(3).tolist()
    [0.01, 0.03, 0.046]
    """
    check_share("level", level)
    growth = np.asarray(rows, dtype=float)
    return np.asarray(level * (1.0 - (1.0 - _AT_FIRST) * growth[0] / growth))


def sequential_test(rows: np.ndarray, p_values: np.ndarray, *, level: float = 0.05) -> SequentialTest:
    """Judge a strategy that was looked at again and again while its window grew.

    Where every look is instead held against all looks so far, the answer of an early look changes with the later ones.
    This one holds at whatever look one stops, and pays for that: of a true Sharpe ratio of 2 a year, looked at monthly
    from 252 rows on, normal theory finds 77 % by 504 rows and 99 % by 1,512, where one look at the end finds 88 and
    99.9 %. With p-values of `stepwise_sharpe` 12 looks from 273 to 504 rows find 70 % (1,000 series, standard error
    1.4, one look at the end 86 %; GARCH: 70 % of 2,000, 1.0) and claim without an edge in 2.6 % (0.5; GARCH: 2.8).

    Parameters
    ----------
    rows : array, shape (looks,)
        Rows at each look, growing.
    p_values : float array, shape (looks,)
        One-sided, of each look as if it were the only one.
    level : float
        One-sided, in (0, 1).

    Returns
    -------
    SequentialTest

    Raises
    ------
    DataError
        If the rows do not grow, or do not have one p-value each, in [0, 1].

    References
    ----------
    Lan and DeMets (1983), Biometrika 70(3); Jennison and Turnbull (1989), "Interim Analyses: The Repeated Confidence
    Interval Approach", Journal of the Royal Statistical Society B 51(3), for the p-value.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import sequential_test
    >>> found = sequential_test(np.array([252, 378, 504]), np.array([0.03, 0.02, 0.01]))
    >>> round(found.p_value, 3), round(found.bound, 2), round(found.statistic, 2)
    (0.033, 2.15, 2.33)
    """
    everything, alone = np.asarray(rows, dtype=float), np.asarray(p_values, dtype=float)
    growing = everything.ndim == 1 and np.isfinite(everything).all() and (np.diff(everything, prepend=0.0) > 0.0).all()
    if not growing or not len(everything) or everything[0] < 1.0:
        raise DataError("sequential_test: needs the rows of each look, from the first to the newest, growing.")
    if alone.shape != everything.shape:
        raise DataError(f"sequential_test: {len(everything)} looks but p-values of shape {alone.shape}. Pass one each.")
    wrong = np.flatnonzero(~((alone >= 0.0) & (alone <= 1.0)))
    if len(wrong):
        raise DataError(
            f"sequential_test: the p-value of look {wrong[0]} is {alone[wrong[0]]}, not in [0, 1]. Leave out looks "
            "that have none, and their rows."
        )
    taken = _apart(everything)
    information = everything[taken]
    statistics = -ndtri(np.clip(alone[taken], _NOTHING, 1.0 - _NOTHING))
    bounds = group_sequential_bounds(information, spent_by(information, level=level))

    def missed(drift: float) -> float:
        return crossing_probability(information, bounds, drift=drift) - _POWER

    from scipy.optimize import brentq  # loaded here and below because most runs have no looks

    most = 12.0 / math.sqrt(information[0])
    return SequentialTest(
        p_value=_crossed_at(information, statistics),
        bound=float(bounds[-1]),
        statistic=float(statistics[-1]),
        detectable=float(brentq(missed, 0.0, most, xtol=1e-4 * most)),
        looks=len(taken),
        rows=int(information[-1]),
        level=level,
    )


def _apart(rows: np.ndarray) -> list[int]:
    """Positions of the looks by which the window had grown enough: a rule of the rows alone, blind to the returns."""
    taken = [0]
    for position in range(1, len(rows)):
        if rows[position] >= LEAST_GROWTH * rows[taken[-1]]:
            taken.append(position)
    return taken


def _crossed_at(information: np.ndarray, statistics: np.ndarray) -> float:
    """Smallest level at which one of the statistics reaches its bound."""

    def short(log_level: float) -> float:
        bounds = group_sequential_bounds(information, spent_by(information, level=math.exp(log_level)))
        return float((bounds - statistics).min())

    least, most = math.log(1e-6), math.log(1.0 - 1e-6)
    if short(least) <= 0.0:
        return math.exp(least)
    if short(most) > 0.0:
        return 1.0
    from scipy.optimize import brentq

    return math.exp(brentq(short, least, most, xtol=1e-4))


def _checked(rows: np.ndarray) -> np.ndarray:
    information = np.asarray(rows, dtype=float)
    if information.ndim != 1 or not len(information) or not np.isfinite(information).all() or information[0] <= 0.0:
        raise DataError("rows of the looks: needs at least one look, each at a finite number of rows above 0.")
    if (information[1:] < LEAST_GROWTH * information[:-1] * (1.0 - 1e-12)).any():
        raise DataError("rows of the looks: each look must come at least 1 % of the rows after the one before.")
    return np.asarray(information / information[0])


@dataclass(frozen=True)
class _Walk:
    """Where a sum that has crossed no bound yet stands: its density, times the weights of an integral, on a grid.

    ``now`` is the information by then, in units of that at the first look.
    """

    now: float
    drift: float
    places: np.ndarray
    weights: np.ndarray

    @classmethod
    def start(cls, drift: float) -> _Walk:
        return cls(0.0, drift, np.zeros(1), np.ones(1))

    def crossing(self, look: float, bound: float) -> float:
        """Chance of reaching a bound at the next look."""
        step = look - self.now
        away = (bound * math.sqrt(look) - self.places - self.drift * step) / math.sqrt(step)
        return float(self.weights @ ndtr(-away))

    def bound(self, look: float, share: float) -> float:
        """Bound that is reached with a given chance at the next look."""
        if self.crossing(look, _HIGHEST) >= share - _NOTHING:
            return _HIGHEST
        if self.crossing(look, _LOWEST) <= share:
            return _LOWEST
        from scipy.optimize import brentq

        return float(brentq(lambda bound: self.crossing(look, bound) - share, _LOWEST, _HIGHEST, xtol=1e-9))

    def on(self, look: float, bound: float) -> _Walk:
        """Take the look without a crossing."""
        step, root = look - self.now, math.sqrt(look)
        centre = self.drift * look
        top = bound * root
        bottom = min(centre + _LOWEST * root, top - root)
        places = np.linspace(bottom, top, _NODES)
        simpson = np.ones(_NODES)
        simpson[1:-1:2], simpson[2:-1:2] = 4.0, 2.0
        simpson *= (top - bottom) / (_NODES - 1) / 3.0
        # Given its end, a walk was near the straight line to it, whatever its drift.
        reach = _FARTHEST * math.sqrt(self.now * step / look)
        apart = self.places[1] - self.places[0] if len(self.places) > 1 else math.inf
        width = min(len(self.places), math.ceil(2.0 * reach / apart) + 2)
        first = np.floor((places * (self.now / look) - reach - self.places[0]) / apart)
        taken = np.clip(first, 0, len(self.places) - width).astype(np.int64)
        before, weights = (sliding_window_view(each, width)[taken] for each in (self.places, self.weights))
        away = (places[:, None] - before - self.drift * step) / math.sqrt(step)
        density = (np.exp(-0.5 * away * away) * weights).sum(axis=1) / math.sqrt(2.0 * math.pi * step)
        return _Walk(look, self.drift, places, density * simpson)
