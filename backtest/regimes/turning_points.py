"""Bull and bear markets dated by the turning points of a price level.

A turning point is only known once the market has moved away from it, so each dating is an ex-post form that may only
report. The filter of Lunde and Timmermann has a causal form beside it: the state it was in at each bar.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from typing import Literal

import numpy as np
import pandas as pd

from embargo.backtest.regimes.causal import UNLABELLED, as_labels, at_decision
from embargo.data_loaders.errors import ConfigError, DataError

Extreme = Literal["peak", "trough"]


@dataclass(frozen=True)
class Turn:
    """A turning point.

    Attributes
    ----------
    bar : int
        Position of the extreme.
    kind : {"peak", "trough"}
    known : int
        Position of the bar whose close gave it away.

    Examples
    --------
    >>> from embargo.backtest.regimes import Turn
    >>> Turn(bar=1, kind='peak', known=3)
    Turn(bar=1, kind='peak', known=3)
    """

    bar: int
    kind: Extreme
    known: int


@dataclass(frozen=True)
class Dating:
    """A level cut into bull and bear markets.

    Attributes
    ----------
    turns : tuple of Turn
        Peaks and troughs by turns, in order.
    state : array of str, shape (bars,)
        Ex post: ``"bear"`` after a peak up to and with the trough, ``"bull"`` after a trough up to and with the peak,
        ``"unlabelled"`` up to the first turn. The phase after the last turn is unfinished and may yet be dated anew.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.regimes import lunde_timmermann
    >>> level = np.array([100.0, 110, 90, 80, 85, 100, 120])
    >>> lunde_timmermann(level).state.tolist()
    ['unlabelled', 'unlabelled', 'bear', 'bear', 'bull', 'bull', 'bull']
    """

    turns: tuple[Turn, ...]
    state: np.ndarray = field(repr=False)


def market_level(market: pd.Series) -> pd.Series:
    """Growth of 1 held in the market; a row without a return keeps the level.

    Parameters
    ----------
    market : Series, shape (bars,)
        Returns as fractions, from ``market_returns``.

    Returns
    -------
    Series, shape (bars,)
        Positive; row t is the level at the close of bar t.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.regimes import market_level
    >>> market_level(pd.Series([0.1, None, -0.5])).round(2).tolist()
    [1.1, 1.1, 0.55]
    """
    return (1.0 + market.fillna(0.0)).cumprod().rename("level")


def _levels(level: pd.Series | np.ndarray, where: str) -> np.ndarray:
    values = np.asarray(level, dtype=float)
    if values.ndim != 1 or not np.isfinite(values).all() or not (values > 0.0).all():
        raise DataError(f"{where}: the level must be one series of positive numbers. Drop or mend the rows first.")
    return values


def _phases(turns: list[Turn] | tuple[Turn, ...], bars: int) -> np.ndarray:
    state = np.full(bars, UNLABELLED, dtype=object)
    for turn in turns:
        state[turn.bar + 1 :] = "bear" if turn.kind == "peak" else "bull"
    return state


def _filter(values: np.ndarray, fall: float, rise: float) -> tuple[list[Turn], np.ndarray]:
    """Walk through the level once: the turns, and the state that was known at each close."""
    turns: list[Turn] = []
    known = np.full(len(values), UNLABELLED, dtype=object)
    state = UNLABELLED
    high = low = 0
    levels = values.tolist()
    for bar, level in enumerate(levels):
        if level >= levels[high]:
            high = bar
        if level <= levels[low]:
            low = bar
        if state != "bear" and level <= (1.0 - fall) * levels[high]:
            turns.append(Turn(high, "peak", bar))
            state, low = "bear", bar
        elif state != "bull" and level >= (1.0 + rise) * levels[low]:
            turns.append(Turn(low, "trough", bar))
            state, high = "bull", bar
        known[bar] = state
    return turns, known


def lunde_timmermann(level: pd.Series | np.ndarray, *, fall: float = 0.2, rise: float = 0.2) -> Dating:
    """Date bull and bear markets by how far the level has moved from its last extreme; ex post.

    A bear market has begun at the last peak once the level lies ``fall`` or more below it, and has ended at the last
    trough once the level lies ``rise`` or more above that. With 20 % both ways these are nearly the bear markets of the
    press, which has a longer memory: of the S&P 500 in 2002 the rule ends one in July, because closes rose by 21 % to
    August, where the press counts on to the low of October.

    Parameters
    ----------
    level : Series or array, shape (bars,)
        Prices or an index level, positive and without gaps.
    fall, rise : float
        Fractions; the paper's lambda_2 and lambda_1, for which it tries 0.10 to 0.20.

    Returns
    -------
    Dating
        Of equal extremes the latest counts.

    Raises
    ------
    ConfigError
        If a threshold is out of range.
    DataError
        If the level is not positive and finite throughout.

    References
    ----------
    Lunde and Timmermann (2004), "Duration dependence in stock prices", Journal of Business & Economic Statistics 22(3).

    Examples
    --------
    The fall from 110 is a bear market once the close is at 80, two bars after the peak:

    >>> import numpy as np
    >>> from embargo.backtest.regimes import lunde_timmermann
    >>> level = np.array([100.0, 110, 90, 80, 85, 100, 120])
    >>> lunde_timmermann(level).turns
    (Turn(bar=1, kind='peak', known=3), Turn(bar=3, kind='trough', known=5))
    """
    _check_thresholds(fall, rise)
    values = _levels(level, "lunde_timmermann")
    turns, _ = _filter(values, fall, rise)
    return Dating(tuple(turns), _phases(turns, len(values)))


def _check_thresholds(fall: float, rise: float) -> None:
    if not 0.0 < fall < 1.0 or not rise > 0.0 or not math.isfinite(rise):
        raise ConfigError(f"lunde_timmermann: fall must lie in (0, 1) and rise be positive, got {fall} and {rise}.")


def turning_regime(market: pd.Series, last_closed: np.ndarray, *, fall: float = 0.2, rise: float = 0.2) -> pd.Series:
    """Label each row bull or bear by the state of the Lunde-Timmermann filter when it was decided; causal.

    A bear market is called when the level has fallen ``fall`` below its peak, not at the peak, and a bull market when
    it has risen ``rise`` above its trough.

    Parameters
    ----------
    market : Series, shape (bars,)
        From ``market_returns``.
    last_closed : int array, shape (bars,)
        Newest bar closed when each row is decided, -1 for none.
    fall, rise : float
        As in ``lunde_timmermann``.

    Returns
    -------
    Series of str, shape (bars,)
        ``"bull"``, ``"bear"``, or ``"unlabelled"`` before the first call.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    DataError
        If the lengths differ, or a row claims to know its own bar.

    References
    ----------
    Lunde and Timmermann (2004), "Duration dependence in stock prices", Journal of Business & Economic Statistics 22(3).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.regimes import turning_regime
    >>> market = pd.Series([0.0, 0.1, -0.2, -0.1, 0.1, 0.2, 0.1])
    >>> turning_regime(market, np.arange(7) - 1).tolist()
    ['unlabelled', 'unlabelled', 'unlabelled', 'bear', 'bear', 'bear', 'bull']
    """
    _check_thresholds(fall, rise)
    _, known = _filter(_levels(market_level(market), "turning_regime"), fall, rise)
    return at_decision(known, market, last_closed)


def pagan_sossounov(
    level: pd.Series | np.ndarray,
    *,
    window: int = 8,
    phase: int = 4,
    cycle: int = 16,
    ends: int = 6,
    override: float = 0.2,
) -> Dating:
    """Date bull and bear markets by local extremes of a monthly level; ex post, since a turn needs the months after it.

    Candidates are the highest and lowest values within ``window`` months on either side. Peaks and troughs are made to
    alternate (the more extreme of two stays), and then, with alternation restored after each step: turns within
    ``ends`` months of either end go; so do a first or last turn that a value nearer the end surpasses, whole cycles
    shorter than ``cycle`` months, and phases shorter than ``phase`` months that moved by no more than ``override``,
    until every rule holds. (The paper does not say that a peak must lie above the troughs beside it; here it must.)

    Parameters
    ----------
    level : Series or array, shape (months,)
        Month-end prices, positive and without gaps.
    window, phase, cycle, ends : int
        Months; the defaults are the paper's.
    override : float
        Fraction; a shorter phase stays if the level moved by more.

    Returns
    -------
    Dating
        ``Turn.known`` is the month in which the window on its later side closed.

    Raises
    ------
    ConfigError, DataError
        If a setting is out of range, or the level is not positive and finite throughout.

    References
    ----------
    Pagan and Sossounov (2003), "A simple framework for analysing bull and bear markets", Journal of Applied
    Econometrics 18(1), appendix B; after Bry and Boschan (1971).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.regimes import pagan_sossounov
    >>> level = 100.0 * np.exp(0.5 * np.sin(np.arange(120) / 8.0))
    >>> [(turn.bar, turn.kind) for turn in pagan_sossounov(level).turns]
    [(13, 'peak'), (38, 'trough'), (63, 'peak'), (88, 'trough')]
    """
    if window < 1 or phase < 1 or cycle < 1 or ends < 0 or not override > 0.0:
        raise ConfigError(
            "pagan_sossounov: window, phase and cycle must be at least 1, ends not negative and override positive, "
            f"got {window}, {phase}, {cycle}, {ends} and {override}."
        )
    values = _levels(level, "pagan_sossounov")
    turns = _alternate(_candidates(values, window), values)
    turns = _alternate([turn for turn in turns if ends <= turn.bar < len(values) - ends], values)
    before = -1
    # A merger moves a turn, which may break a rule applied earlier; each round removes turns, so this comes to an end.
    while before != len(turns):
        before = len(turns)
        turns = _without_wrong_ways(turns, values)
        turns = _without_surpassed_ends(turns, values)
        turns = _without_short_cycles(turns, values, cycle)
        turns = _without_short_phases(turns, values, phase, override)
    return Dating(tuple(turns), _phases(turns, len(values)))


def _candidates(values: np.ndarray, window: int) -> list[Turn]:
    """Extremes of a centred window; of a plateau the last month counts, as in the filter above."""
    turns = []
    for bar in range(window, len(values) - window):
        before, after = values[bar - window : bar], values[bar + 1 : bar + window + 1]
        if values[bar] >= before.max() and values[bar] > after.max():
            turns.append(Turn(bar, "peak", bar + window))
        elif values[bar] <= before.min() and values[bar] < after.min():
            turns.append(Turn(bar, "trough", bar + window))
    return turns


def _alternate(turns: list[Turn], values: np.ndarray) -> list[Turn]:
    kept: list[Turn] = []
    for turn in turns:
        if not kept or kept[-1].kind != turn.kind:
            kept.append(turn)
        elif _surpasses(values[turn.bar], values[kept[-1].bar], turn.kind):
            kept[-1] = turn
    return kept


def _surpasses(value: float, other: float, kind: Extreme) -> bool:
    return bool(value > other) if kind == "peak" else bool(value < other)


def _without_wrong_ways(turns: list[Turn], values: np.ndarray) -> list[Turn]:
    """Drop neighbours of which the peak is not above the trough, as windows can leave them: that is no phase."""
    kept: list[Turn] = []
    for turn in turns:
        if kept and not _surpasses(values[turn.bar], values[kept[-1].bar], turn.kind):
            kept.pop()
        else:
            kept.append(turn)
    return kept


def _without_surpassed_ends(turns: list[Turn], values: np.ndarray) -> list[Turn]:
    """Drop a first or last turn that is no extreme of the stretch between it and its end of the series."""
    kept = list(turns)
    while kept and any(_surpasses(value, values[kept[0].bar], kept[0].kind) for value in values[: kept[0].bar]):
        kept.pop(0)
    while kept and any(_surpasses(value, values[kept[-1].bar], kept[-1].kind) for value in values[kept[-1].bar + 1 :]):
        kept.pop()
    return kept


def _without_short_cycles(turns: list[Turn], values: np.ndarray, cycle: int) -> list[Turn]:
    """Drop the less extreme of two like turns that are closer than a cycle, shortest first."""
    kept = list(turns)
    while True:
        lengths = [later.bar - turn.bar for turn, later in zip(kept, kept[2:], strict=False)]
        if not lengths or min(lengths) >= cycle:
            return kept
        first = int(np.argmin(lengths))
        last = first + 2
        weaker = first if _surpasses(values[kept[last].bar], values[kept[first].bar], kept[first].kind) else last
        kept = _alternate(kept[:weaker] + kept[weaker + 1 :], values)


def _without_short_phases(turns: list[Turn], values: np.ndarray, phase: int, override: float) -> list[Turn]:
    """Drop the turn of a short and small phase whose like beyond it is more extreme; at an end the outer one."""
    kept = list(turns)
    while True:
        short = [
            place
            for place, (turn, later) in enumerate(pairwise(kept))
            if later.bar - turn.bar < phase and abs(values[later.bar] / values[turn.bar] - 1.0) <= override
        ]
        if not short:
            return kept
        place = short[0]
        if place == 0:
            kept = kept[1:]
        elif place == len(kept) - 2:
            kept = kept[:-1]
        else:
            weaker = place + int(_surpasses(values[kept[place].bar], values[kept[place + 2].bar], kept[place].kind))
            kept = _alternate(kept[:weaker] + kept[weaker + 1 :], values)


def lunde_timmermann_ex_post(market: pd.Series, *, fall: float = 0.2, rise: float = 0.2) -> pd.Series:
    """Label each row bull or bear with hindsight, by `lunde_timmermann` of the market's level; for reports only.

    Parameters
    ----------
    market : Series, shape (bars,)
        From ``market_returns``.
    fall, rise : float
        As in `lunde_timmermann`.

    Returns
    -------
    Series of str, shape (bars,)
        Row t belongs to the phase that bar t was part of, though nobody knew it then: never steer by it.

    Raises
    ------
    ConfigError
        If a threshold is out of range.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.regimes import lunde_timmermann_ex_post
    >>> market = pd.Series([0.0, 0.1, -0.2, -0.1, 0.1, 0.2, 0.1])
    >>> lunde_timmermann_ex_post(market).tolist()
    ['unlabelled', 'unlabelled', 'bear', 'bear', 'bull', 'bull', 'bull']
    """
    state = lunde_timmermann(market_level(market), fall=fall, rise=rise).state
    return as_labels(state, market.index)


def pagan_sossounov_ex_post(market: pd.Series, *, override: float = 0.2) -> pd.Series:
    """Label each row bull or bear with hindsight, by `pagan_sossounov` of the month-end level; for reports only.

    Parameters
    ----------
    market : Series, shape (bars,)
        From ``market_returns``; the index are instants, whose UTC months count.
    override : float
        As in `pagan_sossounov`.

    Returns
    -------
    Series of str, shape (bars,)
        Every row has the state of its month, ``"unlabelled"`` up to the first turn: never steer by it.

    Raises
    ------
    ConfigError
        If ``override`` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.regimes import pagan_sossounov_ex_post
    >>> months = pd.date_range('2014-01-31', periods=120, freq='ME', tz='UTC')
    >>> level = pd.Series(100.0 * np.exp(0.5 * np.sin(np.arange(120) / 8.0)), months)
    >>> pagan_sossounov_ex_post(level.pct_change()).value_counts().to_dict()
    {'bull': 56, 'bear': 50, 'unlabelled': 14}
    """
    level = market_level(market)
    months = pd.DatetimeIndex(market.index).strftime("%Y-%m").to_numpy()
    last = np.flatnonzero(np.r_[months[1:] != months[:-1], True])
    dating = pagan_sossounov(level.to_numpy()[last], override=override)
    state = dating.state[np.searchsorted(last, np.arange(len(level)))]
    return as_labels(state, market.index)


def market_phases(level: pd.Series, dating: Dating) -> pd.DataFrame:
    """List the dated bull and bear markets, one row each, the unfinished one last.

    Parameters
    ----------
    level : Series, shape (bars,)
        The level that was dated, with its index.
    dating : Dating

    Returns
    -------
    DataFrame
        ``regime, start, end`` (index values of the two turns), ``known`` (when the end was confirmed, None while
        unfinished), ``bars`` and ``change`` (fraction, from turn to turn).

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.regimes import lunde_timmermann, market_phases
    >>> level = pd.Series([100.0, 110, 90, 80, 85, 100, 120])
    >>> market_phases(level, lunde_timmermann(level))[['regime', 'start', 'end', 'bars']]
      regime  start  end  bars
    0   bear      1    3     2
    1   bull      3    6     3
    """
    rows = []
    last = len(level) - 1
    for turn, later in zip_longest(dating.turns, dating.turns[1:]):
        end = last if later is None else later.bar
        rows.append(
            {
                "regime": "bear" if turn.kind == "peak" else "bull",
                "start": level.index[turn.bar],
                "end": level.index[end],
                "known": None if later is None else level.index[later.known],
                "bars": end - turn.bar,
                "change": float(level.iloc[end] / level.iloc[turn.bar] - 1.0),
            }
        )
    return pd.DataFrame(rows, columns=["regime", "start", "end", "known", "bars", "change"])
