"""Whether a signal knows anything of returns to come: information coefficients by horizon and lag, and how they fade.

Returns run from the row's own open, ``open[t]`` to ``open[t + h]``, because row t of a signal may be held from that
open. Everything here looks back on a finished window; nothing of it may decide a trade.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.signals.diagnostics.standard_errors import Estimate, block_means, mean_by_row, newey_west_lag

FEWEST_SYMBOLS = 5
_SPEEDS = np.geomspace(0.05, 200.0, 240)


@dataclass(frozen=True)
class HalfLife:
    """How fast a profile fades, in bars.

    Attributes
    ----------
    bars : float
        Half-life of the exponential that fits best; NaN where nothing is left to fade.
    low, high : float
        95 % interval from a block bootstrap; ``inf`` where some resamples do not fade at all.

    Examples
    --------
    >>> from embargo.signals.diagnostics import HalfLife
    >>> HalfLife(bars=2.5, low=1.0, high=float('inf'))
    HalfLife(bars=2.5, low=1.0, high=inf)
    """

    bars: float
    low: float
    high: float


def forward_returns(open_: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """Compute simple returns from ``open[t]`` to ``open[t + horizon]``.

    Parameters
    ----------
    open_ : DataFrame, shape (bars, symbols)
        NaN where a symbol did not trade.
    horizon : int
        Bars, at least 1.

    Returns
    -------
    DataFrame, shape (bars, symbols)
        Fractions; NaN where either open is missing or lies behind the last bar.

    Raises
    ------
    ConfigError
        If the horizon is below 1.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.signals.diagnostics import forward_returns
    >>> forward_returns(pd.DataFrame({'A': [100.0, 110.0, 99.0]}), 1)['A'].round(2).tolist()
    [0.1, -0.1, nan]
    """
    if horizon < 1:
        raise ConfigError(f"horizon must be at least 1 bar, got {horizon}. A return needs a later open.")
    return open_.shift(-horizon) / open_ - 1.0


def net_of_market(returns: pd.DataFrame) -> pd.DataFrame:
    """Take the mean of all symbols with a return off each row."""
    return returns.sub(returns.mean(axis=1), axis=0)


def _shared(signal: pd.DataFrame, returns: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    if signal.shape != returns.shape or not signal.columns.equals(returns.columns):
        raise DataError(
            f"information coefficient: signal of shape {signal.shape}, returns of {returns.shape}. Select the same "
            "bars and symbols of both first."
        )
    both = signal.notna().to_numpy() & returns.notna().to_numpy()
    return signal.where(both), returns.where(both)


def _standard_ranks(frame: pd.DataFrame, axis: Literal[0, 1]) -> np.ndarray:
    """Ranks along an axis with mean 0 and variance 1; NaN where all are equal."""
    ranks = frame.rank(axis=axis).to_numpy(dtype=float)
    there = np.isfinite(ranks)
    number = there.sum(axis=axis, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        ranks = ranks - np.where(there, ranks, 0.0).sum(axis=axis, keepdims=True) / number
        spread = np.sqrt((np.where(there, ranks, 0.0) ** 2).sum(axis=axis, keepdims=True) / number)
        return np.asarray(np.where(spread > 1e-12, ranks / spread, np.nan))


def _row_means(products: np.ndarray) -> np.ndarray:
    there = np.isfinite(products)
    number = there.sum(axis=1)
    return np.asarray(np.where(number > 0, np.where(there, products, 0.0).sum(axis=1) / np.maximum(number, 1), np.nan))


def rank_ic(signal: pd.DataFrame, returns: pd.DataFrame, *, fewest: int = FEWEST_SYMBOLS) -> pd.Series:
    """Spearman's correlation of signal and return across the symbols of each bar.

    Parameters
    ----------
    signal, returns : DataFrame, shape (bars, symbols)
        Ties share their mean rank, so symbols without news stand together in the middle.
    fewest : int
        Symbols a bar must have.

    Returns
    -------
    Series, shape (bars,)
        NaN where a bar has too few symbols, or one value only.

    Raises
    ------
    DataError
        If shapes or columns differ.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.signals.diagnostics import rank_ic
    >>> signal = pd.DataFrame([[1.0, 2, 3, 4, 5], [1.0, 2, 3, 4, 5]])
    >>> rank_ic(signal, pd.DataFrame([[0.1, 0.2, 0.3, 0.4, 0.5], [0.2, 0.1, 0.3, 0.5, 0.4]])).round(2).tolist()
    [1.0, 0.8]
    """
    known, earned = _shared(signal, returns)
    products = _standard_ranks(known, 1) * _standard_ranks(earned, 1)
    enough = known.notna().to_numpy().sum(axis=1) >= max(fewest, 2)
    return pd.Series(np.where(enough, _row_means(products), np.nan), index=signal.index, name="ic")


def time_series_ic(signal: pd.DataFrame, returns: pd.DataFrame) -> pd.Series:
    """Contributions of each bar to Spearman's correlation through time, for markets of few symbols.

    Each symbol's signal and returns are ranked over the whole window, which only a look back may do, and their
    standardised products averaged over the symbols of a bar. The mean over bars is the information coefficient.

    Parameters
    ----------
    signal, returns : DataFrame, shape (bars, symbols)

    Returns
    -------
    Series, shape (bars,)
        NaN where no symbol has both.

    Raises
    ------
    DataError
        If shapes or columns differ.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.signals.diagnostics import time_series_ic
    >>> signal = pd.DataFrame({'BTC': [0.1, -0.2, 0.3, 0.0]})
    >>> round(float(time_series_ic(signal, pd.DataFrame({'BTC': [0.02, -0.01, 0.01, 0.0]})).mean()), 2)
    0.8
    """
    known, earned = _shared(signal, returns)
    products = _standard_ranks(known, 0) * _standard_ranks(earned, 0)
    return pd.Series(_row_means(products), index=signal.index, name="ic")


def _coefficients(signal: pd.DataFrame, returns: pd.DataFrame, across: bool) -> pd.Series:
    return rank_ic(signal, returns) if across else time_series_ic(signal, net_of_market_if_many(returns))


def net_of_market_if_many(returns: pd.DataFrame) -> pd.DataFrame:
    """Take the market off where there is one: the mean of one or two symbols would be mostly themselves."""
    return net_of_market(returns) if returns.shape[1] > 2 else returns


def ranks_across(signal: pd.DataFrame, open_: pd.DataFrame) -> bool:
    """Whether most bars with any symbol have enough of them to rank across symbols."""
    symbols = (signal.notna() & open_.notna()).to_numpy().sum(axis=1)
    return bool(symbols.any() and np.median(symbols[symbols > 0]) >= FEWEST_SYMBOLS)


def ic_by_horizon(signal: pd.DataFrame, open_: pd.DataFrame, horizons: Sequence[int]) -> tuple[pd.DataFrame, pd.Series]:
    """Information coefficients of returns over several horizons.

    Parameters
    ----------
    signal : DataFrame, shape (bars, symbols)
        Row t is what may be held from ``open[t]``.
    open_ : DataFrame, shape (bars, symbols)
    horizons : sequence of int
        Bars, increasing.

    Returns
    -------
    (table, series)
        ``table`` has one row per horizon: ``horizon, ic, standard_error, low, high, p_value, icir, hit_rate, bars,
        effective_bars, lag, left_out``. ``icir`` is mean over standard deviation of the bars' coefficients, not
        annualised; ``left_out`` counts bars without one. ``series`` holds the coefficients of the first horizon.

    Raises
    ------
    ConfigError
        If a horizon is below 1.
    DataError
        If shapes or columns differ.

    References
    ----------
    Grinold and Kahn (2000), "Active Portfolio Management", 2nd edition, for the information coefficient; errors as in
    `mean_by_row`.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.signals.diagnostics import ic_by_horizon
    >>> rng = np.random.default_rng(1)
    >>> days = pd.date_range('2024-01-01', periods=200, tz='UTC')
    >>> signal = pd.DataFrame(rng.normal(size=(200, 10)), days)
    >>> earned = 0.002 * signal + rng.normal(0.0, 0.01, (200, 10))
    >>> open_ = 100.0 * (1.0 + earned).cumprod().shift(1, fill_value=1.0)
    >>> table, _ = ic_by_horizon(signal, open_, [1, 5])
    >>> table[['horizon', 'ic', 'standard_error', 'bars']].round(3)
       horizon     ic  standard_error  bars
    0        1  0.135           0.025   199
    1        5  0.050           0.021   195
    """
    across = ranks_across(signal, open_)
    rows, first = [], pd.Series(dtype=float)
    for horizon in horizons:
        ic = _coefficients(signal, forward_returns(open_, horizon), across)
        first = ic if first.empty else first
        found = mean_by_row(ic.to_numpy(), lag=newey_west_lag(len(ic), horizon))
        deviation = float(ic.std())
        rows.append(
            {
                "horizon": horizon,
                "ic": found.value,
                **error_columns(found),
                "icir": found.value / deviation if deviation > 0.0 else math.nan,
                "hit_rate": float((ic.dropna() > 0.0).mean()) if found.n else math.nan,
                "bars": found.n,
                "effective_bars": found.n_effective,
                "lag": found.lag,
                "left_out": int(ic.isna().sum()),
            }
        )
    return pd.DataFrame(rows), first


def error_columns(found: Estimate) -> dict[str, float]:
    """Columns that every table of estimates has."""
    return {
        "standard_error": found.standard_error,
        "low": found.low,
        "high": found.high,
        "p_value": found.p_value,
    }


def ic_by_lag(signal: pd.DataFrame, open_: pd.DataFrame, lags: Sequence[int]) -> tuple[pd.DataFrame, np.ndarray]:
    """Information coefficients of the return of one bar, some bars after the signal's own or before it.

    Lag 0 is the first bar that may be held. Before it the signal meets returns that were over when it was made: what
    shows there is the echo of prices in the news, and no one can earn it.

    Parameters
    ----------
    signal : DataFrame, shape (bars, symbols)
        Row t is what may be held from ``open[t]``.
    open_ : DataFrame, shape (bars, symbols)
    lags : sequence of int
        Bars, negative for those before the signal's own.

    Returns
    -------
    (table, series)
        ``table``: ``lag, ic, standard_error, low, high, p_value, bars``; ``series`` of shape (bars, lags).

    Examples
    --------
    A signal that repeats the return that is over when it is made:

    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.signals.diagnostics import ic_by_lag
    >>> open_ = pd.DataFrame(100.0 * np.exp(np.random.default_rng(1).normal(0.0, 0.01, (200, 10)).cumsum(axis=0)))
    >>> table, _ = ic_by_lag(open_.pct_change(), open_, [-1, 0, 1])
    >>> table[['lag', 'ic']].round(3).to_numpy().tolist()
    [[-1.0, 1.0], [0.0, -0.013], [1.0, -0.054]]
    """
    across = ranks_across(signal, open_)
    returns = forward_returns(open_, 1)
    rows, series = [], []
    for lag in lags:
        ic = _coefficients(signal, returns.shift(-lag), across).to_numpy()
        found = mean_by_row(ic, lag=newey_west_lag(len(ic)))
        rows.append({"lag": lag, "ic": found.value, **error_columns(found), "bars": found.n})
        series.append(ic)
    return pd.DataFrame(rows), np.column_stack(series)


def _fitted_half_life(profiles: np.ndarray) -> np.ndarray:
    """Half-life of ``a * 2 ** (-k / half_life)`` by least squares for each row of profiles; inf at the slow end."""
    curves = 2.0 ** (-np.arange(profiles.shape[1]) / _SPEEDS[:, None])
    match = profiles @ curves.T
    # Least squares in closed form for the height; a curve turned upside down is no decay.
    gain = np.where(match > 0.0, match**2 / (curves**2).sum(axis=1), -np.inf)
    best = gain.argmax(axis=1)
    slow = np.where(best == len(_SPEEDS) - 1, np.inf, _SPEEDS[best])
    return np.where(np.isfinite(gain.max(axis=1)), slow, np.nan)


def half_life(series: np.ndarray, *, block: int, seed: int, n_boot: int = 500) -> HalfLife:
    """Half-life of the column means of a series: the best exponential through them, with a bootstrap interval.

    Parameters
    ----------
    series : array, shape (bars, lags)
        One column per lag, lag 0 first, such as the coefficients of `ic_by_lag`.
    block : int
        Rows in a block of the bootstrap.
    seed, n_boot : int
        Of the bootstrap.

    Returns
    -------
    HalfLife
        NaN where the rows are fewer than two blocks, or a lag has none.

    References
    ----------
    Politis and Romano (1992), "A circular block-resampling procedure for stationary data", for the interval.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.signals.diagnostics import half_life
    >>> rng = np.random.default_rng(1)
    >>> series = 0.5 ** (np.arange(6) / 2.0) + rng.normal(0.0, 0.1, (200, 6))
    >>> found = half_life(series, block=10, seed=0)
    >>> round(found.bars, 2), round(found.low, 2), round(found.high, 2)
    (1.98, 1.98, 2.05)
    """
    kept = series[np.isfinite(series).any(axis=1)]
    if len(kept) < 2 * block or not np.isfinite(kept).any(axis=0).all():
        return HalfLife(math.nan, math.nan, math.nan)
    fitted = float(_fitted_half_life(np.nanmean(kept, axis=0)[None, :])[0])
    drawn = _fitted_half_life(np.nan_to_num(block_means(kept, block=block, n_boot=n_boot, seed=seed)))
    drawn = drawn[~np.isnan(drawn)]
    if math.isnan(fitted) or len(drawn) < 0.9 * n_boot:
        return HalfLife(math.nan, math.nan, math.nan)
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    return HalfLife(fitted, float(low), float(high))


def persistence(signal: pd.DataFrame, lags: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Autocorrelation of a signal: pooled over symbols, each around its own mean.

    Parameters
    ----------
    signal : DataFrame, shape (bars, symbols)
    lags : int
        The largest, in bars.

    Returns
    -------
    (table, series)
        ``table``: ``lag, autocorrelation`` for lags 0 to ``lags``; ``series`` of shape (bars, lags + 1) holds each
        bar's products, whose column means over the first one's are the autocorrelations.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.signals.diagnostics import persistence
    >>> noise = np.random.default_rng(1).normal(size=(500, 3))
    >>> table, _ = persistence(pd.DataFrame(noise).ewm(alpha=0.5).mean(), 2)
    >>> table['autocorrelation'].round(2).tolist()
    [1.0, 0.52, 0.29]
    """
    away = (signal - signal.mean()).to_numpy(dtype=float)
    columns = []
    for lag in range(min(lags, len(away) - 1) + 1):
        later = np.full_like(away, np.nan)
        later[: len(away) - lag] = away[lag:]
        columns.append(_row_means(away * later))
    series = np.column_stack(columns)
    spread = np.nanmean(series[:, 0])
    values = np.nanmean(series, axis=0) / spread if spread > 0.0 else np.full(series.shape[1], np.nan)
    return pd.DataFrame({"lag": np.arange(len(values)), "autocorrelation": values}), series


def turnover(signal: pd.DataFrame, weights: pd.DataFrame) -> dict[str, float]:
    """How much changes from one bar to the next.

    Parameters
    ----------
    signal, weights : DataFrame, shape (bars, symbols)

    Returns
    -------
    dict
        ``rank_autocorrelation`` of the signal across symbols from bar to bar (NaN with fewer than two symbols);
        ``rank_change``, the mean move of a symbol in percentile rank, as a fraction; ``weights_traded`` per bar, half
        the sum of absolute changes of target weights, in fractions of equity; ``gross``, the mean sum of absolute
        weights; ``holding_bars``, how many bars a position lasts at that rate.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.signals.diagnostics import turnover
    >>> weights = pd.DataFrame({'A': [0.5, 0.5, 0.0], 'B': [-0.5, -0.5, 0.5]})
    >>> found = turnover(weights, weights)
    >>> found['weights_traded'], round(found['gross'], 3)
    (0.375, 0.833)
    """
    ranks = _standard_ranks(signal, 1)
    alike = _row_means(ranks[1:] * ranks[:-1])
    places = signal.rank(axis=1, pct=True).to_numpy()
    held = np.nan_to_num(weights.to_numpy(dtype=float))
    traded = float(0.5 * np.abs(np.diff(held, axis=0)).sum(axis=1).mean()) if len(held) > 1 else math.nan
    gross = float(np.abs(held).sum(axis=1).mean())
    return {
        "rank_autocorrelation": _mean(alike),
        "rank_change": _mean(np.abs(np.diff(places, axis=0))),
        "weights_traded": traded,
        "gross": gross,
        "holding_bars": gross / traded if traded > 0.0 else math.nan,
    }


def _mean(values: np.ndarray) -> float:
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else math.nan
