"""Market regimes that were known when each row was decided, and how a strategy fared in each of them.

Labels use only bars closed by ``decided_at`` (the caller passes ``calendars.last_closed_bar``), so they may also steer
a strategy. Rows without enough history are labelled, not guessed, and cells too small to judge carry no figures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from backtest.metrics import annual_return, annual_volatility, hit_rate, max_drawdown
from backtest.significance import automatic_block_length, conditional_sharpe, holm
from data_loaders.errors import ConfigError, DataError

UNLABELLED = "unlabelled"


def market_returns(close: pd.DataFrame) -> pd.Series:
    """Equal-weighted close-to-close return of the universe.

    Parameters
    ----------
    close : DataFrame, shape (bars, symbols)
        NaN where a symbol did not trade; such a symbol is left out of the two rows that need the price.

    Returns
    -------
    Series, shape (bars,)
        Fractions; row s is known at the close of bar s. NaN on the first row and where no symbol has both prices.
    """
    values = close.to_numpy(dtype=float)
    change = np.full(values.shape, np.nan)
    change[1:] = values[1:] / values[:-1] - 1.0
    number = np.isfinite(change).sum(axis=1)
    total = np.nansum(change, axis=1)
    mean = np.divide(total, number, out=np.full(len(values), np.nan), where=number > 0)
    return pd.Series(mean, index=close.index, name="market")


def _at_decision(state: np.ndarray, market: pd.Series, last_closed: np.ndarray) -> pd.Series:
    last_closed = np.asarray(last_closed, dtype=np.int64)
    if len(last_closed) != len(market):
        raise DataError(f"regimes: {len(market)} market returns but {len(last_closed)} rows. Use the same bars.")
    if (last_closed >= np.arange(len(market))).any():
        row = int(np.argmax(last_closed >= np.arange(len(market))))
        raise DataError(f"regimes: row {row} claims that bar {last_closed[row]} had closed before it was decided.")
    known = np.where(last_closed >= 0, state[np.maximum(last_closed, 0)], UNLABELLED)
    return pd.Series(known.astype(object), index=market.index, name="regime").astype("str")


def trend_regime(market: pd.Series, last_closed: np.ndarray, *, lookback: int = 63, k: float = 0.5) -> pd.Series:
    """Label each row bull, bear or sideways from the trailing market return.

    With s the sum and d the standard deviation of the last ``lookback`` log returns: bull if
    ``s > k * d * sqrt(lookback)``, bear if ``s < -k * d * sqrt(lookback)``, else sideways.

    Parameters
    ----------
    market : Series, shape (bars,)
        From ``market_returns``.
    last_closed : int array, shape (bars,)
        Newest bar closed when each row is decided, -1 for none.
    lookback : int
        Bars.
    k : float
        Width of the sideways zone in standard deviations of the trailing return.

    Returns
    -------
    Series of str, shape (bars,)
        ``"bull"``, ``"bear"``, ``"sideways"`` or ``"unlabelled"`` (fewer than ``lookback`` returns so far, or a gap).
    """
    if lookback < 2 or k < 0.0:
        raise ConfigError(f"trend_regime: lookback must be at least 2 and k not negative, got {lookback} and {k}.")
    log = np.log1p(market)
    window = log.rolling(lookback, min_periods=lookback)
    strength = (window.sum() / (window.std() * np.sqrt(lookback))).to_numpy()
    state = np.full(len(market), UNLABELLED, dtype=object)
    state[strength > k] = "bull"
    state[strength < -k] = "bear"
    state[np.abs(strength) <= k] = "sideways"
    return _at_decision(state, market, last_closed)


def volatility_regime(
    market: pd.Series, last_closed: np.ndarray, *, lookback: int = 21, warm_up: int = 63
) -> pd.Series:
    """Label each row calm or turbulent: trailing volatility against the median of its own past.

    Parameters
    ----------
    market : Series, shape (bars,)
        From ``market_returns``.
    last_closed : int array, shape (bars,)
        Newest bar closed when each row is decided, -1 for none.
    lookback : int
        Bars of the trailing standard deviation.
    warm_up : int
        Trailing values that the expanding median needs.

    Returns
    -------
    Series of str, shape (bars,)
        ``"turbulent"`` above the median, ``"calm"`` at or below, ``"unlabelled"`` during the warm-up.
    """
    if lookback < 2 or warm_up < 1:
        raise ConfigError(
            f"volatility_regime: lookback must be at least 2 and warm_up 1, got {lookback} and {warm_up}."
        )
    trailing = market.rolling(lookback, min_periods=lookback).std()
    usual = trailing.expanding(min_periods=warm_up).median()
    state = np.full(len(market), UNLABELLED, dtype=object)
    state[(trailing > usual).to_numpy()] = "turbulent"
    state[(trailing <= usual).to_numpy()] = "calm"
    return _at_decision(state, market, last_closed)


def regime_table(
    returns: pd.Series,
    labels: pd.Series,
    *,
    periods_per_year: float,
    n_boot: int = 2000,
    level: float = 0.95,
    seed: int | np.random.Generator,
    minimum_bars: int = 60,
    block: float | None = None,
) -> pd.DataFrame:
    """How the strategy fared in each regime, with the uncertainty of every figure that rests on few rows.

    Intervals resample (return, label) pairs in stationary blocks, so that they allow for the random number of rows in
    a regime. p-values (null hypothesis: Sharpe ratio <= 0 within the regime) are given raw and adjusted by Holm's
    method for the number of regimes judged.

    Parameters
    ----------
    returns : Series, shape (bars,)
        Net returns per row.
    labels : Series of str, shape (bars,)
        Regime of each row, same index.
    periods_per_year : float
    n_boot, level, seed, block
        As in ``significance.sharpe_estimate``.
    minimum_bars : int
        Regimes with fewer rows, and unlabelled rows, get None and a note instead of figures.

    Returns
    -------
    DataFrame, one row per regime in alphabetical order, unlabelled last
        ``regime, n_bars, share, sharpe, low, high, p_value, p_value_holm, annual_return, annual_volatility,
        max_drawdown, hit_rate, note``; annual figures as if the regime's rows followed each other. Missing figures are
        None, so that ``to_dict("records")`` is JSON-able.

    Raises
    ------
    DataError
        If the two series carry different bars.
    """
    if not labels.index.equals(returns.index):
        raise DataError("regime_table: returns and labels carry different bars. Reindex one to the other.")
    rng = np.random.default_rng(seed)
    values = returns.to_numpy(dtype=float)
    names = labels.astype(str).to_numpy()
    length = block if block is not None or len(values) < minimum_bars else automatic_block_length(values)
    rows: list[dict[str, Any]] = []
    for regime in sorted(set(names), key=lambda name: (name == UNLABELLED, name)):
        member = names == regime
        inside = values[member]
        row: dict[str, Any] = {"regime": str(regime), "n_bars": int(member.sum()), "share": float(member.mean())}
        figures = ("sharpe", "low", "high", "p_value", "annual_return", "annual_volatility", "max_drawdown", "hit_rate")
        row.update(dict.fromkeys(figures))
        row["note"] = ""
        if regime == UNLABELLED:
            row["note"] = "not enough history to tell the regime"
        elif len(inside) < minimum_bars:
            row["note"] = f"fewer than {minimum_bars} rows: not judged"
        else:
            estimate = conditional_sharpe(
                values, member, periods_per_year=periods_per_year, n_boot=n_boot, level=level, block=length, seed=rng
            )
            row.update(sharpe=estimate.sharpe, low=estimate.low, high=estimate.high, p_value=estimate.p_value)
            row["annual_return"] = annual_return(inside, periods_per_year=periods_per_year)
            row["annual_volatility"] = annual_volatility(inside, periods_per_year=periods_per_year)
            row["max_drawdown"] = max_drawdown(inside)
            row["hit_rate"] = hit_rate(inside)
        rows.append(row)
    for row, adjusted in zip(rows, holm([row["p_value"] for row in rows]), strict=True):
        row["p_value_holm"] = adjusted
    order = ["regime", "n_bars", "share", "sharpe", "low", "high", "p_value", "p_value_holm", "annual_return"]
    order += ["annual_volatility", "max_drawdown", "hit_rate", "note"]
    return pd.DataFrame([[row[name] for name in order] for row in rows], columns=order, dtype=object)
