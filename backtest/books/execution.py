"""How orders become fills: when, how much of them, and with how much borrowed money.

The trailing volume and volatility that limit and move a fill are made here from bars that had closed before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from embargo.backtest.books.costs import Costs
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import Prices

STALE_AFTER = 5
VOLATILITY_BARS = 20


@dataclass(frozen=True)
class Execution:
    """How targets are traded. Nothing is filled on a bar without a price, nor on one of `dead_bars`.

    Attributes
    ----------
    fill : {"open", "close"}
        Price at which a row trades: its own open, or its own close (then its return runs close to close).
    leverage : float
        Gross exposure allowed, as a multiple of equity; cash may fall to ``-(leverage - 1)`` times equity.
    maintenance : float
        With leverage above 1: when equity falls below this fraction of the gross position before trading, the row's
        targets are scaled down to a gross of at most ``leverage / 2``.
    participation : float, optional
        Largest order as a fraction of the mean volume of the ``volume_bars`` bars that had closed at the decision.
    volume_bars : int
        Bars of that mean.
    unfilled : {"carry", "drop"}
        What participation cut off is asked for again, or forgotten until the target changes.
    lot : float
        Orders are whole multiples of this many shares, rounded towards zero; 0 allows fractions. An order that closes
        a whole position is never rounded.
    stale_after : int
        Missing fill prices in a row after which a position is written out.
    haircut : float
        Fraction of the last price lost when a position is written out: longs get less, shorts pay more.

    Examples
    --------
    >>> from embargo.backtest.books import Execution
    >>> Execution(fill='close', leverage=2.0).fill
    'close'
    """

    fill: Literal["open", "close"] = "open"
    leverage: float = 1.0
    maintenance: float = 0.25
    participation: float | None = None
    volume_bars: int = 5
    unfilled: Literal["carry", "drop"] = "carry"
    lot: float = 0.0
    stale_after: int = STALE_AFTER
    haircut: float = 0.0

    def __post_init__(self) -> None:
        if self.fill not in ("open", "close"):
            raise ConfigError(f"fill must be 'open' or 'close', got {self.fill!r}.")
        if self.unfilled not in ("carry", "drop"):
            raise ConfigError(f"unfilled must be 'carry' or 'drop', got {self.unfilled!r}.")
        if not 1.0 <= self.leverage <= 100.0:
            raise ConfigError(f"leverage must lie in [1, 100], got {self.leverage}. 1 is an account without margin.")
        if not 0.0 <= self.maintenance < 1.0:
            raise ConfigError(f"maintenance must lie in [0, 1), got {self.maintenance}. It is a fraction of the gross.")
        if self.participation is not None and not 0.0 < self.participation <= 1.0:
            raise ConfigError(f"participation must lie in (0, 1], got {self.participation}. Leave it out for no cap.")
        if self.volume_bars < 1:
            raise ConfigError(f"volume_bars must be at least 1, got {self.volume_bars}.")
        if not (np.isfinite(self.lot) and self.lot >= 0.0):
            raise ConfigError(f"lot must be finite and not negative, got {self.lot}. 0 allows fractions of a share.")
        if self.stale_after < 1:
            raise ConfigError(f"stale_after must be at least 1 bar, got {self.stale_after}.")
        if not 0.0 <= self.haircut < 1.0:
            raise ConfigError(f"haircut must lie in [0, 1), got {self.haircut}. It is a fraction of the last price.")


def _last_closed(rows: int, last_closed: np.ndarray | None, name: str) -> np.ndarray:
    newest = np.arange(rows) - 1 if last_closed is None else np.asarray(last_closed, dtype=np.int64)
    if len(newest) != rows:
        raise DataError(f"{name}: {rows} bars but {len(newest)} positions of closed bars. Use the same bars.")
    if (newest >= np.arange(rows)).any():
        row = int(np.argmax(newest >= np.arange(rows)))
        raise DataError(f"{name}: bar {newest[row]} cannot have closed when row {row} is decided.")
    return newest


def trailing_volume(volume: pd.DataFrame, last_closed: np.ndarray | None = None, *, bars: int = 5) -> pd.DataFrame:
    """Average the volume of the last bars that had closed when each row was decided.

    Take it over the whole history and cut it to the rows that trade afterwards: the first rows have no volume else.

    Parameters
    ----------
    volume : DataFrame, shape (bars, symbols)
        Shares per bar; NaN is left out of the mean.
    last_closed : int array, shape (bars,), optional
        From ``calendars.last_closed_bar``; by default the bar before.
    bars : int

    Returns
    -------
    DataFrame, shape (bars, symbols)
        NaN where no volume is known.

    Raises
    ------
    DataError
        If ``last_closed`` has another length or names a bar that had not closed.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.books import trailing_volume
    >>> volume = pd.DataFrame({'A': [100.0, 300.0, 200.0]})
    >>> trailing_volume(volume, bars=2)['A'].tolist()
    [nan, 100.0, 200.0]
    """
    newest = _last_closed(len(volume), last_closed, "trailing_volume")
    mean = volume.rolling(bars, min_periods=1).mean().to_numpy(dtype=float)
    taken = np.where((newest >= 0)[:, None], mean[np.maximum(newest, 0)], np.nan)
    return pd.DataFrame(taken, index=volume.index, columns=volume.columns)


def trailing_volatility(
    close: pd.DataFrame, last_closed: np.ndarray | None = None, *, bars: int = VOLATILITY_BARS
) -> pd.DataFrame:
    """Take the standard deviation of the last close-to-close returns known when each row was decided, per bar.

    Parameters
    ----------
    close : DataFrame, shape (bars, symbols)
    last_closed : int array, shape (bars,), optional
        As in ``trailing_volume``.
    bars : int
        Returns of the sample; fewer than two give NaN.

    Returns
    -------
    DataFrame, shape (bars, symbols)
        Per bar, fraction; NaN where too little is known.

    Raises
    ------
    DataError
        If ``last_closed`` has another length or names a bar that had not closed.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.books import trailing_volatility
    >>> close = pd.DataFrame({'A': [100.0, 110.0, 99.0, 99.0]})
    >>> trailing_volatility(close, bars=2)['A'].round(4).tolist()
    [nan, nan, nan, 0.1414]
    """
    newest = _last_closed(len(close), last_closed, "trailing_volatility")
    deviation = close.pct_change(fill_method=None).rolling(bars, min_periods=2).std().to_numpy(dtype=float)
    taken = np.where((newest >= 0)[:, None], deviation[np.maximum(newest, 0)], np.nan)
    return pd.DataFrame(taken, index=close.index, columns=close.columns)


def dead_bars(prices: Prices) -> pd.DataFrame:
    """Mark the bars on which nothing traded: a volume of zero, and one price from open to close.

    Vendors write such bars for halts and holidays, at the last close. Only symbols with a volume recorded by then are
    judged: where it is missing or has been zero so far it is unknown, and not the sign of a dead bar.

    Parameters
    ----------
    prices : Prices

    Returns
    -------
    DataFrame of bool, shape (bars, symbols)
        As `simulate` takes them. Known when a bar is over: a reason why its orders failed, never one to send none.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.books import dead_bars
    >>> from embargo.data_loaders.schemas import Prices
    >>> at = pd.date_range('2024-01-01', periods=3, freq='D', tz='UTC')
    >>> level = pd.DataFrame({'A': [10.0, 11.0, 11.0]}, index=at)
    >>> volume = pd.DataFrame({'A': [900.0, 700.0, 0.0]}, index=at)
    >>> prices = Prices(level, level + 0.001 * volume, level, level, volume, at, at + pd.Timedelta(days=1), '24/7')
    >>> dead_bars(prices)['A'].tolist()
    [False, False, True]
    """
    volume, low = prices.volume.to_numpy(dtype=float), prices.low.to_numpy(dtype=float)
    known = np.maximum.accumulate(volume > 0.0, axis=0)
    flat = np.logical_and.reduce(
        [getattr(prices, name).to_numpy(dtype=float) == low for name in ("open", "high", "close")]
    )
    return pd.DataFrame(known & flat & (volume == 0.0), index=prices.open.index, columns=prices.open.columns)


def dead_rows(prices: Prices, rows: slice) -> pd.DataFrame | None:
    """Return the dead bars of some rows, shape (rows, symbols); None where there are none."""
    dead = dead_bars(prices).iloc[rows]
    return dead if dead.to_numpy().any() else None


def fill_conditions(
    prices: Prices, rows: slice, last_closed: np.ndarray, *, costs: Costs, execution: Execution
) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """Return the trailing volume and volatility that fills of some rows meet; None where costs and limits need none.

    Parameters
    ----------
    prices : Prices
        All bars there are: the first rows take their history from before.
    rows : slice
        Positions of the bars that trade.
    last_closed : int array, shape (bars,)
        Newest bar closed when each bar is decided, -1 for none.
    costs : Costs
        Impact needs both.
    execution : Execution
        Participation needs the volume.

    Returns
    -------
    (volume, volatility)
        Each DataFrame of shape (rows, symbols) or None, as `simulate` takes them.

    Raises
    ------
    DataError
        If the volume is needed and there is none: not one order would be filled, or moved.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.books import Costs, Execution, fill_conditions
    >>> from embargo.data_loaders.schemas import Prices
    >>> at = pd.date_range('2024-01-01', periods=3, freq='D', tz='UTC')
    >>> closes = pd.DataFrame({'BTC': [102.0, 101.0, 104.0]}, index=at)
    >>> prices = Prices(closes, closes, closes, closes, 10.0 * closes, at, at + pd.Timedelta(days=1), '24/7')
    >>> volume, volatility = fill_conditions(
    ...     prices, slice(1, 3), np.arange(3) - 1, costs=Costs(), execution=Execution(participation=0.05)
    ... )
    >>> volume['BTC'].tolist(), volatility is None
    ([1020.0, 1015.0], True)
    """
    volume = volatility = None
    if costs.impact > 0.0 or execution.participation is not None:
        volume = trailing_volume(prices.volume, last_closed, bars=execution.volume_bars).iloc[rows]
        if not (volume.to_numpy() > 0.0).any():
            raise DataError(
                "prices: no bar of the test rows has a volume, which execution.participation and costs.impact need. "
                "Leave both out, or use prices with volumes."
            )
    if costs.impact > 0.0:
        volatility = trailing_volatility(prices.close, last_closed).iloc[rows]
    return volume, volatility
