"""Splits and dividends taken into price levels, as they were known at one instant.

Prices are stored as they were traded; levels comparable across an ex date are made here, when they are read. Only
actions that took effect by the instant asked for are used, so that a later split never moves an earlier answer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import Prices, as_utc, utc_microseconds

_LABELS = {"splits": "splits", "total_return": "splits+dividends"}
_COLUMNS = ("symbol", "kind", "ex_at", "value")


def _used(prices: Prices, actions: pd.DataFrame, as_of: pd.Timestamp, how: str) -> pd.DataFrame:
    missing = [name for name in _COLUMNS if name not in actions.columns]
    if missing:
        raise DataError(f"actions: missing columns {missing}; they have {list(actions.columns)}.")
    if actions.empty:
        return actions.loc[:, list(_COLUMNS)]
    known = actions.loc[:, list(_COLUMNS)].assign(ex_at=as_utc(actions["ex_at"], what="actions.ex_at"))
    known = known.loc[(known["ex_at"] <= as_of) & known["symbol"].isin(prices.symbols)]
    strange = ~known["kind"].isin(["split", "dividend"])
    wrong = strange | ~(known["value"].astype(float) > 0) | np.isinf(known["value"].astype(float))
    if wrong.any():
        row = known.loc[wrong].iloc[0]
        raise DataError(
            f"actions: {row['kind']} of {row['symbol']} on {row['ex_at']} has the value {row['value']}. Only splits "
            "(new shares per old) and dividends (cash per share) are known, and both must be positive."
        )
    repeated = known.duplicated(["symbol", "kind", "ex_at"])
    if repeated.any():
        row = known.loc[repeated].iloc[0]
        raise DataError(
            f"actions: {row['symbol']} has more than one {row['kind']} on {row['ex_at']}. Keep one row per symbol, "
            "kind and ex date: add up dividends of one day, multiply splits."
        )
    return known.loc[known["kind"] == "split"] if how == "splits" else known


def _factors(
    symbol: str, actions: pd.DataFrame, opens: np.ndarray, closes: np.ndarray, close: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Factors of price and of volume for one symbol, each of shape (bars,)."""
    price, volume = np.ones(len(opens)), np.ones(len(opens))
    traded = np.isfinite(close)
    at, value = utc_microseconds(actions["ex_at"]), actions["value"].to_numpy(dtype=float)
    splits = (actions["kind"] == "split").to_numpy(dtype=bool)
    for instant in np.unique(at):
        ex_at = pd.Timestamp(instant).tz_localize("UTC")
        before = int(np.searchsorted(opens, instant, side="left"))
        if before and closes[before - 1] > instant and traded[before - 1]:
            raise DataError(
                f"actions: {symbol} has an action on {ex_at}, inside the bar opened at {opens[before - 1]}Z. An action "
                "takes effect when a session opens: check ex_at and the calendar."
            )
        split = float(value[splits & (at == instant)].prod())
        cash = float(value[~splits & (at == instant)].sum())
        earlier = np.flatnonzero(traded[:before])
        if not len(earlier):
            continue
        volume[:before] *= split
        # Splits between that close and the ex date would have to be undone in it as well.
        pending = splits & (at <= instant) & (at > opens[earlier[-1]])
        reference = close[earlier[-1]] / float(value[pending].prod())
        if cash >= reference:
            raise DataError(
                f"actions: the dividend of {symbol} on {ex_at} is {cash:g}, and its close before was {reference:g}. "
                "Check the currency and unit (pence or pounds) of both."
            )
        price[:before] *= (1.0 - cash / reference) / split
    return price, volume


def adjust(
    prices: Prices, actions: pd.DataFrame, *, as_of: pd.Timestamp, how: Literal["splits", "total_return"]
) -> Prices:
    """Scale the levels before each action so that returns across it are comparable.

    Parameters
    ----------
    prices : Prices
        As traded (``adjustment="none"``), shape (bars, symbols).
    actions : DataFrame
        ``symbol, kind ("split" | "dividend"), ex_at (UTC), value``: new shares per old, or cash per share in the
        currency and share units of its day. Symbols without prices are passed over.
    as_of : Timestamp
        Only actions with ``ex_at <= as_of`` are used. Bars after it are kept as they are.
    how : {"splits", "total_return"}
        Splits alone, or splits and dividends.

    Returns
    -------
    Prices of the same shape. A split of ``s`` new shares per old divides the levels of all earlier bars by ``s`` and
    multiplies their volume by ``s``. A dividend ``D`` multiplies earlier levels by ``1 - D / P``, with ``P`` the last
    close before in the share units of the ex date (the convention of Yahoo's adjusted close), so that the return over
    the ex date is ``close / (P - D) - 1``. The newest bars, from the last action on, keep their levels.

    Raises
    ------
    ConfigError
        If the prices are adjusted already, ``as_of`` has no time zone, or ``how`` is unknown.
    DataError
        If an action is malformed, lies inside a bar, or a dividend is not smaller than the close before it.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import Prices, adjust
    >>> days = pd.to_datetime(["2014-06-06", "2014-06-09"])
    >>> close = pd.DataFrame({"AAPL": [645.6, 93.7]}, index=days)
    >>> prices = Prices.from_frames(open=close, high=close, low=close, close=close, calendar="XNYS")
    >>> split = {"symbol": "AAPL", "kind": "split", "ex_at": prices.open_at[1], "value": 7.0}
    >>> adjusted = adjust(prices, pd.DataFrame([split]), as_of=prices.close_at[1], how="splits")
    >>> adjusted.close["AAPL"].round(2).tolist()
    [92.23, 93.7]
    """
    if how not in _LABELS:
        raise ConfigError(f"adjust: how must be 'splits' or 'total_return', got {how!r}.")
    if prices.adjustment != "none":
        raise ConfigError(f"adjust: the prices are adjusted already ({prices.adjustment}). Start from those as traded.")
    if getattr(as_of, "tzinfo", None) is None:
        raise ConfigError(f"adjust: as_of {as_of} has no time zone. Give a UTC instant.")
    used = _used(prices, actions, as_of, how)
    levels, volumes = np.ones(prices.open.shape), np.ones(prices.open.shape)
    opens, closes = utc_microseconds(prices.open_at), utc_microseconds(prices.close_at)
    columns = {name: number for number, name in enumerate(prices.symbols)}
    for symbol, own in used.groupby("symbol"):
        column = columns[str(symbol)]
        close = prices.close.iloc[:, column].to_numpy(dtype=float)
        levels[:, column], volumes[:, column] = _factors(str(symbol), own, opens, closes, close)
    panels = {name: getattr(prices, name) * levels for name in ("open", "high", "low", "close")}
    return replace(prices, **panels, volume=prices.volume * volumes, adjustment=_LABELS[how])
