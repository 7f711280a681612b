"""Market features of a row: what the bars that had closed when it was decided say about trend, range and volume.

Row t sees bars up to ``last_closed[t]`` and nothing later, and every feature is a ratio: multiplying all prices or all
volumes of a symbol by a constant moves none, so an adjustment made years later cannot speak through a level. Windows
count the bars on which a symbol itself traded; a feature without its full window is missing, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError, LeakError
from embargo.data_loaders.schemas import Prices
from embargo.signals.recursion import faded_sum

REASONS = ("known", "no_closed_bar", "not_traded", "short_window", "undefined")

# Symbols worked on at once: the bars of so many stay in the processor's cache.
BLOCK = 64
# A spread of prices below this share of their mean is rounding, not movement.
FLAT = 1e-12


@dataclass(frozen=True)
class MarketFeatures:
    """Features as panels, and why values are missing.

    Attributes
    ----------
    panels : dict of str to DataFrame, shape (bars, symbols)
        One per feature, index ``open_at``; NaN where it is not known.
    counts : dict of str to dict of str to int
        For each feature how many cells are ``known`` and how many are missing because of ``no_closed_bar`` (the row is
        decided before the first bar closed), ``not_traded`` (the symbol did not trade in the newest closed bar),
        ``short_window`` (it has traded on too few bars so far) and ``undefined`` (no or unknown volume); they sum to
        the cells of the panel.

    Examples
    --------
    >>> from embargo.signals.fusion import FEATURES, MarketFeatures
    >>> len(FEATURES), MarketFeatures(panels={}, counts={}).panels
    (11, {})
    """

    panels: dict[str, pd.DataFrame]
    counts: dict[str, dict[str, int]]


@dataclass(frozen=True)
class _Bars:
    """Traded bars of some symbols, packed to the top of each column; NaN below. Shape (bars, symbols) each."""

    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray


def _behind(values: np.ndarray, bars: int) -> np.ndarray:
    moved = np.full_like(values, np.nan)
    moved[bars:] = values[: max(len(values) - bars, 0)]
    return moved


def _mean(values: np.ndarray, window: int) -> np.ndarray:
    """Average of the last ``window`` values, summed anew for each row: a running sum would carry old rounding along."""
    mean = np.full_like(values, np.nan)
    if len(values) >= window:
        total = values[window - 1 :].copy()
        for lag in range(1, window):
            total += values[window - 1 - lag : len(values) - lag]
        mean[window - 1 :] = total / window
    return mean


def _variance(values: np.ndarray, mean: np.ndarray, window: int) -> np.ndarray:
    """Mean squared distance of the last ``window`` values from their ``mean``."""
    variance = np.full_like(values, np.nan)
    if len(values) >= window:
        centre = mean[window - 1 :]
        total = np.zeros_like(centre)
        for lag in range(window):
            total += (values[window - 1 - lag : len(values) - lag] - centre) ** 2
        variance[window - 1 :] = total / window
    return variance


def _smoothed(values: np.ndarray, window: int, rate: float, first: int) -> np.ndarray:
    """Smooth exponentially, starting at row ``first`` from the mean of the ``window`` values that end there."""
    smooth = np.full_like(values, np.nan)
    if len(values) > first:
        # Not numpy's mean, which adds up in another order when a block has one column.
        seed = _mean(values[first - window + 1 : first + 1], window)[-1:]
        smooth[first] = seed
        smooth[first + 1 :] = faded_sum(rate * values[first + 1 :], 1.0 - rate, (1.0 - rate) * seed[0])
    return smooth


def _divided(numerator: np.ndarray, denominator: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    out = np.where(denominator == 0.0, otherwise, np.nan)
    return np.asarray(np.divide(numerator, denominator, out=out, where=denominator > 0.0))


def _earned(bars: _Bars, over: int) -> np.ndarray:
    return np.asarray(bars.close / _behind(bars.close, over) - 1.0)


def _volume_ratio(bars: _Bars) -> np.ndarray:
    return _divided(bars.volume, _mean(bars.volume, 20))


def _volatility(bars: _Bars) -> np.ndarray:
    moves = np.log(bars.close / _behind(bars.close, 1))
    return np.asarray(np.sqrt(_variance(moves, _mean(moves, 20), 20) * (20 / 19)))


def _rsi(bars: _Bars) -> np.ndarray:
    change = bars.close - _behind(bars.close, 1)
    rise = _smoothed(np.maximum(change, 0.0), 14, 1 / 14, first=14)
    fall = _smoothed(np.maximum(-change, 0.0), 14, 1 / 14, first=14)
    return np.asarray(100.0 * _divided(rise, rise + fall, otherwise=0.5))


def _macd_line(bars: _Bars) -> np.ndarray:
    return np.asarray(_smoothed(bars.close, 12, 2 / 13, first=25) - _smoothed(bars.close, 26, 2 / 27, first=25))


def _macd_histogram(bars: _Bars) -> np.ndarray:
    line = _macd_line(bars)
    return np.asarray((line - _smoothed(line, 9, 2 / 10, first=33)) / bars.close)


def _bollinger(bars: _Bars) -> np.ndarray:
    mean = _mean(bars.close, 20)
    spread = np.sqrt(_variance(bars.close, mean, 20))
    spread = np.where(spread > FLAT * mean, spread, 0.0 * mean)
    return _divided(bars.close - mean + 2.0 * spread, 4.0 * spread, otherwise=0.5)


def _atr_ratio(bars: _Bars) -> np.ndarray:
    before = _behind(bars.close, 1)
    true_range = np.maximum(bars.high, before) - np.minimum(bars.low, before)
    return np.asarray(_smoothed(true_range, 14, 1 / 14, first=14) / bars.close)


def _vwap_distance(bars: _Bars) -> np.ndarray:
    typical = (bars.high + bars.low + bars.close) / 3.0
    vwap = _divided(_mean(typical * bars.volume, 20), _mean(bars.volume, 20))
    return np.asarray(bars.close / vwap - 1.0)


# Each feature and the number of traded bars it needs.
_FORMULAS: dict[str, tuple[int, Callable[[_Bars], np.ndarray]]] = {
    "return_1": (2, lambda bars: _earned(bars, 1)),
    "return_5": (6, lambda bars: _earned(bars, 5)),
    "return_20": (21, lambda bars: _earned(bars, 20)),
    "volume_ratio": (20, _volume_ratio),
    "volatility_20": (21, _volatility),
    "rsi_14": (15, _rsi),
    "macd": (26, lambda bars: np.asarray(_macd_line(bars) / bars.close)),
    "macd_histogram": (34, _macd_histogram),
    "bollinger_position": (20, _bollinger),
    "atr_ratio": (15, _atr_ratio),
    "vwap_distance": (20, _vwap_distance),
}
FEATURES = tuple(_FORMULAS)


def market_features(
    prices: Prices, last_closed: np.ndarray, *, names: Sequence[str] = FEATURES, block: int = BLOCK
) -> MarketFeatures:
    """Compute the market features that each row may know.

    =================== ================================================================ =============
    name                definition over a symbol's own traded bars, newest closed last    bars needed
    =================== ================================================================ =============
    return_1, _5, _20   simple return of the close, a fraction                           2, 6, 21
    volume_ratio        volume over its 20-bar mean, the bar itself included              20
    volatility_20       standard deviation (n - 1) of 20 log returns, per bar             21
    rsi_14              Wilder's relative strength index, 0 to 100; 50 if nothing moved   15
    macd                12- less 26-bar exponential mean of the close, over the close     26
    macd_histogram      that line less its 9-bar exponential mean, over the close         34
    bollinger_position  0 at the lower, 1 at the upper band of 20 bars and 2 standard     20
                        deviations (n); 0.5 if the bars are flat
    atr_ratio           Wilder's 14-bar average true range over the close                 15
    vwap_distance       close over the 20-bar volume-weighted typical price, less 1       20
    =================== ================================================================ =============

    Exponential means start from a plain mean over their window, both of MACD's at the 26th bar, as in TA-Lib, whose
    RSI differs in being 0 where nothing moved.

    Parameters
    ----------
    prices : Prices, panels of shape (bars, symbols)
        A symbol traded on a bar when it has high, low and close.
    last_closed : int array, shape (bars,)
        From ``calendars.last_closed_bar``; -1 where no bar had closed yet.
    names : sequence of str
        Which of `FEATURES`.
    block : int
        Symbols worked on at once; changes speed and memory alone.

    Returns
    -------
    MarketFeatures
        float64. A halt leaves a row without values until the symbol trades again; its windows then reach over the halt.

    Raises
    ------
    ConfigError
        If a name is unknown or repeated.
    DataError
        If ``last_closed`` does not fit the bars.
    LeakError
        If a row is said to know its own bar or a later one.

    References
    ----------
    Wilder (1978), New Concepts in Technical Trading Systems; Bollinger (2001), Bollinger on Bollinger Bands; Appel
    (2005), Technical Analysis, for MACD.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.data_loaders.schemas import Prices
    >>> from embargo.signals.fusion import market_features
    >>> rng = np.random.default_rng(1)
    >>> days = pd.date_range('2024-01-01', periods=300, tz='UTC')
    >>> close = pd.DataFrame(100.0 * np.exp(rng.normal(0.0, 0.01, (300, 3)).cumsum(axis=0)), days, list('ABC'))
    >>> day = pd.Timedelta('1D')
    >>> prices = Prices(close, 1.01 * close, 0.99 * close, close, 0.0 * close + 1e6, days, days + day, '24/7')
    >>> market = market_features(prices, np.arange(300) - 1, names=['return_1', 'return_5'])
    >>> market.panels['return_5'].iloc[-1].round(4).tolist(), market.counts['return_5']['short_window']
    ([0.0276, 0.0324, 0.0051], 15)
    """
    wrong = [name for name in names if name not in _FORMULAS]
    if wrong or len(set(names)) != len(names):
        raise ConfigError(f"features: {list(names)} are not distinct names out of {list(FEATURES)}.")
    newest = _checked(prices, last_closed)
    shape = prices.close.shape
    values = {name: np.full(shape, np.nan) for name in names}
    counts = {name: dict.fromkeys(REASONS, 0) for name in names}
    fields = [getattr(prices, name).to_numpy(dtype=float) for name in ("high", "low", "close", "volume")]
    for start in range(0, shape[1], block):
        columns = slice(start, start + block)
        bars, position, number = _packed([field[:, columns] for field in fields], newest)
        safe = np.maximum(position, 0)
        for name in names:
            needed, formula = _FORMULAS[name]
            enough = (position >= 0) & (number >= needed)
            found = np.where(enough, np.take_along_axis(formula(bars), safe, axis=0), np.nan)
            values[name][:, columns] = found
            known = np.isfinite(found)
            counts[name]["known"] += int(known.sum())
            counts[name]["no_closed_bar"] += int((newest < 0).sum()) * found.shape[1]
            counts[name]["not_traded"] += int(((position < 0) & (newest >= 0)[:, None]).sum())
            counts[name]["short_window"] += int(((position >= 0) & (number < needed)).sum())
            counts[name]["undefined"] += int((enough & ~known).sum())
    index, symbols = prices.close.index, prices.close.columns
    panels = {name: pd.DataFrame(panel, index=index, columns=symbols) for name, panel in values.items()}
    return MarketFeatures(panels, counts)


def _checked(prices: Prices, last_closed: np.ndarray) -> np.ndarray:
    newest = np.asarray(last_closed, dtype=np.int64)
    bars = len(prices.close)
    if newest.shape != (bars,) or (bars and newest.min() < -1):
        raise DataError(
            f"features: last_closed has shape {newest.shape} for {bars} bars, or an entry below -1. Make it with "
            "calendars.last_closed_bar(prices.close_at, decided_at)."
        )
    ahead = newest >= np.arange(bars)
    if ahead.any():
        row = int(np.argmax(ahead))
        raise LeakError(
            f"features: row {row} ({prices.close.index[row]}) is said to know bar {newest[row]}, which closes "
            "after the row's own open. Make last_closed with calendars.last_closed_bar."
        )
    return newest


def _packed(fields: list[np.ndarray], newest: np.ndarray) -> tuple[_Bars, np.ndarray, np.ndarray]:
    """Pack traded bars to the top; tell where each row finds its newest one (-1: none) and how many it may use."""
    high, low, close, _ = fields
    traded = np.isfinite(high) & np.isfinite(low) & np.isfinite(close)
    if traded.all():
        packed = fields
    else:
        order = np.argsort(~traded, axis=0, kind="stable")
        beyond = np.arange(len(traded))[:, None] >= traded.sum(axis=0)
        packed = [np.where(beyond, np.nan, np.take_along_axis(field, order, axis=0)) for field in fields]
    row = np.maximum(newest, 0)
    number = np.cumsum(traded, axis=0)[row] * (newest >= 0)[:, None]
    position = np.where((newest >= 0)[:, None] & traded[row], number - 1, -1)
    return _Bars(*packed), position, number
