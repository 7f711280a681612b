"""Market regimes that were known when each row was decided.

Labels use only bars closed by ``decided_at`` (the caller passes ``calendars.last_closed_bar``), so they may also steer
a strategy. Rows without enough history are labelled, not guessed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError

UNLABELLED = "unlabelled"


def market_returns(close: pd.DataFrame) -> pd.Series:
    """Equal-weighted close-to-close return of the universe.

    Parameters
    ----------
    close : DataFrame, shape (bars, symbols)
        NaN where a symbol did not trade; such a symbol is left out of the two rows that need the price. Of a bar in
        which none traded, such as an outage of an exchange, the next row holds the change across the gap.

    Returns
    -------
    Series, shape (bars,)
        Fractions; row s is known at the close of bar s. NaN on the first row and where no symbol has both prices.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.regimes import market_returns
    >>> close = pd.DataFrame({'A': [100.0, 101.0, 99.99], 'B': [50.0, np.nan, 51.0]})
    >>> market_returns(close).round(4).tolist()
    [nan, 0.01, -0.01]
    """
    values = close.to_numpy(dtype=float)
    change = np.full(values.shape, np.nan)
    rows = np.flatnonzero(np.isfinite(values).any(axis=1))
    change[rows[1:]] = values[rows[1:]] / values[rows[:-1]] - 1.0
    number = np.isfinite(change).sum(axis=1)
    total = np.nansum(change, axis=1)
    mean = np.divide(total, number, out=np.full(len(values), np.nan), where=number > 0)
    return pd.Series(mean, index=close.index, name="market")


def at_decision(state: np.ndarray, market: pd.Series, last_closed: np.ndarray) -> pd.Series:
    """Give each row the state of the newest bar that had closed when it was decided.

    Parameters
    ----------
    state : array of str, shape (bars,)
        State s may depend on bars up to and with s, on none after it.
    market : Series, shape (bars,)
        Gives the index.
    last_closed : int array, shape (bars,)
        Newest bar closed when each row is decided, -1 for none.

    Returns
    -------
    Series of str, shape (bars,)
        ``"unlabelled"`` where no bar had closed.

    Raises
    ------
    DataError
        If the lengths differ, or a row claims to know its own bar.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.regimes import at_decision
    >>> market = pd.Series([0.0, 0.1, -0.1])
    >>> at_decision(np.array(['bull', 'bull', 'bear']), market, np.array([-1, 0, 1])).tolist()
    ['unlabelled', 'bull', 'bull']
    """
    last_closed = np.asarray(last_closed, dtype=np.int64)
    if len(last_closed) != len(market):
        raise DataError(f"regimes: {len(market)} market returns but {len(last_closed)} rows. Use the same bars.")
    if (last_closed >= np.arange(len(market))).any():
        row = int(np.argmax(last_closed >= np.arange(len(market))))
        raise DataError(f"regimes: row {row} claims that bar {last_closed[row]} had closed before it was decided.")
    known = np.where(last_closed >= 0, state[np.maximum(last_closed, 0)], UNLABELLED)
    return as_labels(known, market.index)


def as_labels(state: np.ndarray, index: pd.Index) -> pd.Series:
    """Return the regime of each row as the series of text that every definition gives."""
    return pd.Series(state.astype(object), index=index, name="regime").astype("str")


def _of_traded(market: pd.Series, label: Callable[[pd.Series], np.ndarray]) -> np.ndarray:
    """Label the bars that have a market return by these alone; a bar without one keeps the label before it."""
    traded = market.notna().to_numpy()
    newest = np.cumsum(traded) - 1
    return np.asarray(np.append(label(market[traded]), UNLABELLED)[newest])


def trend_regime(market: pd.Series, last_closed: np.ndarray, *, lookback: int = 63, k: float = 0.5) -> pd.Series:
    """Label each row bull, bear or sideways from the trailing market return.

    With s the sum and d the standard deviation of the last ``lookback`` log returns: bull if
    ``s > k * d * sqrt(lookback)``, bear if ``s < -k * d * sqrt(lookback)``, else sideways. Bars in which nothing traded
    have no return and are passed over.

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
        ``"bull"``, ``"bear"``, ``"sideways"`` or ``"unlabelled"`` (fewer than ``lookback`` returns so far).

    Raises
    ------
    ConfigError
        If a setting is out of range.
    DataError
        If the lengths differ, or a row claims to know its own bar.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.regimes import trend_regime
    >>> bars = pd.date_range('2024-01-01', periods=300, tz='UTC')
    >>> market = pd.Series(np.random.default_rng(1).normal(0.0005, 0.01, 300), bars)
    >>> last_closed = np.arange(300) - 1
    >>> trend_regime(market, last_closed).value_counts().sort_index().to_dict()
    {'bear': 124, 'bull': 1, 'sideways': 112, 'unlabelled': 63}
    """
    if lookback < 2 or k < 0.0:
        raise ConfigError(f"trend_regime: lookback must be at least 2 and k not negative, got {lookback} and {k}.")

    def label(returns: pd.Series) -> np.ndarray:
        window = np.log1p(returns).rolling(lookback, min_periods=lookback)
        strength = (window.sum() / (window.std() * np.sqrt(lookback))).to_numpy()
        state = np.full(len(returns), UNLABELLED, dtype=object)
        state[strength > k] = "bull"
        state[strength < -k] = "bear"
        state[np.abs(strength) <= k] = "sideways"
        return state

    return at_decision(_of_traded(market, label), market, last_closed)


def volatility_regime(
    market: pd.Series, last_closed: np.ndarray, *, lookback: int = 21, warm_up: int = 63
) -> pd.Series:
    """Label each row calm or turbulent: trailing volatility against the median of its own past.

    Bars in which nothing traded have no return and are passed over.

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

    Raises
    ------
    ConfigError
        If a setting is out of range.
    DataError
        If the lengths differ, or a row claims to know its own bar.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.regimes import volatility_regime
    >>> moves = np.random.default_rng(1).normal(0.0, np.repeat([0.005, 0.03], [200, 50]))
    >>> volatility_regime(pd.Series(moves), np.arange(250) - 1).iloc[[0, 120, 249]].tolist()
    ['unlabelled', 'calm', 'turbulent']
    """
    if lookback < 2 or warm_up < 1:
        raise ConfigError(
            f"volatility_regime: lookback must be at least 2 and warm_up 1, got {lookback} and {warm_up}."
        )

    def label(returns: pd.Series) -> np.ndarray:
        trailing = returns.rolling(lookback, min_periods=lookback).std()
        usual = trailing.expanding(min_periods=warm_up).median()
        state = np.full(len(returns), UNLABELLED, dtype=object)
        state[(trailing > usual).to_numpy()] = "turbulent"
        state[(trailing <= usual).to_numpy()] = "calm"
        return state

    return at_decision(_of_traded(market, label), market, last_closed)
