"""From target weights and prices to the account's books, through vectorbt, and a fast first-order path beside them.

Row t is traded at open[t] and its return runs to open[t+1] (the last row to its close), costs included. Nothing is
shifted here: the weights' row t must already be known before bar t opens. Every wish that the account could not
fulfil (no price, no cash) is counted, never hidden.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from backtest.costs import Costs
from data_loaders.errors import ConfigError, DataError

STALE_AFTER = 5
WEIGHT_TOLERANCE = 0.001
_YEAR = pd.Timedelta(days=365.25)


@dataclass(frozen=True)
class Books:
    """What the account did and earned.

    Attributes
    ----------
    returns : Series, shape (bars,)
        Net return of each row, fraction of the equity at its open: open[t] to open[t+1], last row to its close.
    equity : Series, shape (bars,)
        Account value at the end of each row, in currency.
    orders : DataFrame
        One row per fill: ``symbol, bar, fill_at, size, price, fees, side``; ``bar`` is the position of the row, size is
        positive, the price includes slippage. Sizes and fees are those before borrow costs are charged.
    realised_weights : DataFrame, shape (bars, symbols)
        Value of each position right after the fills over the equity right before them.
    turnover : Series, shape (bars,)
        One-way: half of buys plus sells at mid prices over the equity before them.
    fees_paid, borrow_paid : float
        In currency; slippage is in the prices.
    max_weight_gap : float
        Largest distance between a target and a realised weight.
    counts : dict
        ``bars_without_price`` (cells without an opening price), ``stale_exits`` (positions written out at their last
        price), ``clipped_orders`` (filled in part for lack of cash), ``rejected_orders`` (not filled at all for lack of
        cash), ``blocked_orders`` (no price to fill at), ``beyond_tolerance`` (cells whose weight gap exceeds 0.001) and
        ``rows_after_ruin`` (rows after the equity was lost; their returns are 0).
    """

    returns: pd.Series
    equity: pd.Series
    orders: pd.DataFrame
    realised_weights: pd.DataFrame
    turnover: pd.Series
    fees_paid: float
    borrow_paid: float
    max_weight_gap: float
    counts: dict[str, int]


def marks(open: pd.DataFrame, close: pd.DataFrame) -> np.ndarray:  # noqa: A002 - the field's own name
    """Value of each symbol at every open, carrying the newest known price where there is no opening price.

    Parameters
    ----------
    open, close : DataFrame, shape (bars, symbols)
        NaN where a symbol did not trade.

    Returns
    -------
    float array, shape (bars + 1, symbols)
        Row t is the value at open[t]: that price, else the newest close or open before it. The last row is the value
        after the last close. NaN before a symbol's first price.
    """
    _same_labels(open, close, "open", "close")
    bars, symbols = open.shape
    stream = np.empty((2 * bars + 1, symbols))
    stream[0:-1:2] = open.to_numpy(dtype=float)
    stream[1::2] = close.to_numpy(dtype=float)
    stream[-1] = np.nan
    seen = np.where(np.isnan(stream), 0, np.arange(len(stream))[:, None])
    newest = np.maximum.accumulate(seen, axis=0)
    return np.asarray(np.take_along_axis(stream, newest, axis=0)[::2])


def _missing_run(missing: np.ndarray) -> np.ndarray:
    """Length of the run of missing opens that ends at each cell; 0 where there is a price."""
    position = np.arange(len(missing))[:, None]
    last_present = np.maximum.accumulate(np.where(missing, -1, position), axis=0)
    return np.where(missing, position - last_present, 0)


def _same_labels(first: pd.DataFrame, second: pd.DataFrame, first_name: str, second_name: str) -> None:
    if not (first.index.equals(second.index) and first.columns.equals(second.columns)):
        raise DataError(
            f"simulate: {first_name} {first.shape} and {second_name} {second.shape} carry different bars or symbols. "
            "Reindex one to the other."
        )


def holding_returns(
    open: pd.DataFrame,  # noqa: A002
    close: pd.DataFrame,
    *,
    stale_after: int = STALE_AFTER,
) -> pd.DataFrame:
    """Return of holding each symbol over each row: open[t] to open[t+1], the last row open to close.

    Parameters
    ----------
    open, close : DataFrame, shape (bars, symbols)
    stale_after : int
        As in ``simulate``.

    Returns
    -------
    DataFrame, shape (bars, symbols)
        Fractions. Through a short gap a position is worth its last price and catches up when trading resumes. NaN
        before a symbol's first opening price and from the ``stale_after``-th missing opening price in a row on, until
        it trades again.
    """
    value = marks(open, close)
    missing = open.isna().to_numpy()
    gone = np.isnan(value[:-1]) | (_missing_run(missing) >= stale_after)
    gone |= ~np.maximum.accumulate(~missing, axis=0)
    result = value[1:] / value[:-1] - 1.0
    result[gone] = np.nan
    return pd.DataFrame(result, index=open.index, columns=open.columns)


def bar_years(open_at: pd.DatetimeIndex) -> np.ndarray:
    """Calendar length of each row's holding interval in years of 365.25 days, shape (bars,).

    The interval of the last row, whose end is not on the calendar, is taken as the median of the others.
    """
    steps = np.diff(open_at.to_numpy()) / _YEAR.to_timedelta64()
    last = np.median(steps) if len(steps) else 0.0
    return np.append(steps, last).astype(float)


def net_returns(
    weights: np.ndarray,
    asset_returns: np.ndarray,
    costs: Costs,
    *,
    tradable: np.ndarray | None = None,
    years: np.ndarray | float = 0.0,
) -> np.ndarray:
    """First-order net returns of target weights, without vectorbt: for permutation tests and benchmarks.

    Held weights drift with prices between rebalances and the cost is charged on the distance to the next target. It
    leaves out fees on slippage and orders clipped for lack of cash; the second is small unless a fully invested
    long-only book is stuck in symbols that do not trade.

    Parameters
    ----------
    weights : float array, shape (bars, symbols)
        Targets as fractions of equity; row t is held from open[t].
    asset_returns : float array, shape (bars, symbols)
        From ``holding_returns``. Where it is NaN nothing is held.
    costs : Costs
    tradable : bool array, shape (bars, symbols), optional
        Cells with an opening price. Elsewhere the position is carried on untraded.
    years : float or array of shape (bars,)
        Length of each row for the borrow cost, from ``bar_years``; 0 charges none.

    Returns
    -------
    float array, shape (bars,)
        After a loss of all equity the returns are 0.
    """
    absent = np.isnan(asset_returns)
    growth = np.where(absent, 0.0, asset_returns)
    held = np.where(absent, 0.0, weights)
    if tradable is not None:
        stuck = ~np.asarray(tradable) & ~absent
        for row in np.flatnonzero(stuck.any(axis=1)):
            carried = np.zeros(held.shape[1])
            if row:
                before = held[row - 1]
                carried = before * (1.0 + growth[row - 1]) / (1.0 + before @ growth[row - 1])
            held[row] = np.where(stuck[row], carried, held[row])
    gross = np.einsum("ts,ts->t", held, growth)
    drifted = np.zeros_like(held)
    np.multiply(held[:-1], 1.0 + growth[:-1], out=drifted[1:])
    with np.errstate(divide="ignore", invalid="ignore"):
        drifted[1:] /= (1.0 + gross[:-1])[:, None]
    net = gross - costs.rate * np.abs(held - drifted).sum(axis=1)
    if costs.borrow_annual:
        net -= costs.borrow_annual * np.asarray(years) * -np.minimum(held, 0.0).sum(axis=1)
    ruined = ~(net > -1.0)
    if ruined.any():
        first = int(np.argmax(ruined))
        net[first] = -1.0
        net[first + 1 :] = 0.0
    return np.asarray(net)


def _check_inputs(
    weights: pd.DataFrame,
    open: pd.DataFrame,  # noqa: A002
    open_at: pd.DatetimeIndex,
    initial_cash: float,
    stale_after: int,
) -> None:
    _same_labels(weights, open, "weights", "open")
    if len(open_at) != len(weights):
        raise DataError(f"simulate: {len(weights)} rows of weights but {len(open_at)} opening instants.")
    if isinstance(weights.index, pd.DatetimeIndex) and not weights.index.equals(open_at):
        raise DataError("simulate: the weights are indexed by other instants than open_at. Use the same bars.")
    if not initial_cash > 0.0:
        raise ConfigError(f"initial_cash must be positive, got {initial_cash}.")
    if stale_after < 1:
        raise ConfigError(f"stale_after must be at least 1 bar, got {stale_after}.")
    values = weights.to_numpy(dtype=float)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(
            f"simulate: the weight of {weights.columns[column]} at {weights.index[row]} is {values[row, column]}. "
            "Write 0 to hold nothing."
        )
    gross = np.abs(values).sum(axis=1)
    if (gross > 1.0 + 1e-9).any():
        row = int(np.argmax(gross))
        raise ConfigError(
            f"simulate: gross exposure {gross[row]:.6f} at {weights.index[row]} exceeds 1 and the account has no "
            "margin. Lower 'gross'."
        )


def _vectorbt_orders(
    target: np.ndarray, fill_price: np.ndarray, value: np.ndarray, costs: Costs, initial_cash: float
) -> tuple[np.ndarray, np.ndarray]:
    """Run the account; return the value at the end of each row and the order records."""
    import vectorbt

    # A symbol that has no price yet cannot be held; the placeholder keeps NaN out of vectorbt's order sorting.
    solid = np.where(np.isnan(value), 1.0, value)
    portfolio = vectorbt.Portfolio.from_orders(
        close=pd.DataFrame(solid[1:]),
        size=target,
        size_type="targetpercent",
        price=fill_price,
        val_price=solid[:-1],
        fees=costs.fee,
        slippage=costs.slippage,
        init_cash=initial_cash,
        group_by=True,
        cash_sharing=True,
        call_seq="auto",
        freq="1D",
    )
    return np.array(portfolio.value(), dtype=float), np.asarray(portfolio.orders.records_arr)


def _until_ruin(values: np.ndarray) -> int:
    """Count the rows up to and including the one that loses all equity."""
    lost = values <= 0.0
    return int(np.argmax(lost)) + 1 if lost.any() else len(values)


def _order_frame(records: np.ndarray, columns: pd.Index, open_at: pd.DatetimeIndex) -> pd.DataFrame:
    bar = records["idx"].astype(np.int64)
    return pd.DataFrame(
        {
            "symbol": columns.to_numpy()[records["col"]],
            "bar": bar,
            "fill_at": open_at[bar],
            "size": records["size"],
            "price": records["price"],
            "fees": records["fees"],
            "side": np.where(records["side"] == 0, "buy", "sell"),
        }
    )


def simulate(
    weights: pd.DataFrame,
    open: pd.DataFrame,  # noqa: A002
    close: pd.DataFrame,
    *,
    open_at: pd.DatetimeIndex,
    costs: Costs,
    initial_cash: float = 1_000_000.0,
    stale_after: int = STALE_AFTER,
) -> Books:
    """Keep the books of an account that rebalances to target weights at every open.

    Sells are filled before buys, buys in order of size until the cash is spent; at a gross exposure of 1, fees
    therefore clip the largest buy a little. A symbol without an opening price is neither bought nor sold: its position
    is held and valued at its newest price. When ``stale_after`` opening prices in a row are missing, the position is
    written out at that newest price, fees included, as if delisted; the rule looks back only, so that cutting the
    data short never changes an earlier row. The true proceeds of a delisting may be lower.

    Borrow is charged on each row's return: the short weight after the fills, times the annual rate, times the calendar
    length of the row.

    Parameters
    ----------
    weights : DataFrame, shape (bars, symbols)
        Targets as fractions of equity, negative is short, never missing, gross at most 1.
    open, close : DataFrame, shape (bars, symbols)
        NaN where a symbol did not trade.
    open_at : DatetimeIndex, shape (bars,)
        UTC.
    costs : Costs
    initial_cash : float
        In the currency of the prices.
    stale_after : int
        Missing opening prices in a row after which a position is written out.

    Returns
    -------
    Books

    Raises
    ------
    DataError
        If panels are labelled differently or a weight is missing.
    ConfigError
        If gross exposure exceeds 1 or a setting is out of range.
    """
    _check_inputs(weights, open, open_at, initial_cash, stale_after)
    value = marks(open, close)
    quoted = open.to_numpy(dtype=float)
    missing = np.isnan(quoted)
    exits = (_missing_run(missing) == stale_after) & np.isfinite(value[:-1])
    fill_price = np.where(exits, value[:-1], quoted)
    target = np.where(exits, 0.0, weights.to_numpy(dtype=float))

    account, records = _vectorbt_orders(target, fill_price, value, costs, initial_cash)
    alive = _until_ruin(account)
    account[alive - 1 :] = np.maximum(account[alive - 1], 0.0)
    records = records[records["idx"] < alive]
    before = np.concatenate([[initial_cash], account[:-1]])

    shape = target.shape
    traded = np.zeros(shape)
    signed = np.where(records["side"] == 0, records["size"], -records["size"])
    np.add.at(traded, (records["idx"], records["col"]), signed)
    shares = np.cumsum(traded, axis=0)
    shares[np.abs(shares) < 1e-12] = 0.0
    mid = np.where(np.isnan(value[:-1]), 0.0, value[:-1])
    worth = np.where(before > 0.0, before, np.inf)[:, None]
    realised = shares * mid / worth
    realised[alive:] = 0.0
    turnover = 0.5 * (np.abs(traded) * mid / worth).sum(axis=1)

    shorts = -np.minimum(realised, 0.0).sum(axis=1)
    borrow = costs.borrow_annual * bar_years(open_at) * shorts
    trading = account / np.where(before > 0.0, before, 1.0) - 1.0
    trading[alive:] = 0.0
    returns = np.maximum(trading - borrow, -1.0)
    equity = initial_cash * np.cumprod(1.0 + returns)
    owed = float((borrow * np.concatenate([[initial_cash], equity[:-1]])).sum())

    counts, gap = _shortfalls(target, realised, traded * mid / worth, missing, exits, alive)
    return Books(
        returns=pd.Series(returns, index=weights.index, name="returns"),
        equity=pd.Series(equity, index=weights.index, name="equity"),
        orders=_order_frame(records, weights.columns, open_at),
        realised_weights=pd.DataFrame(realised, index=weights.index, columns=weights.columns),
        turnover=pd.Series(turnover, index=weights.index, name="turnover"),
        fees_paid=float(records["fees"].sum()),
        borrow_paid=owed,
        max_weight_gap=gap,
        counts=counts,
    )


def _shortfalls(
    target: np.ndarray, realised: np.ndarray, traded: np.ndarray, missing: np.ndarray, exits: np.ndarray, alive: int
) -> tuple[dict[str, int], float]:
    """Count what was wanted and not done; all arrays are fractions of equity of shape (bars, symbols)."""
    gap = np.abs(target - realised)[:alive]
    filled = traded[:alive] != 0.0
    quoted = (~missing | exits)[:alive]
    short = gap > 1e-9
    counts: dict[str, Any] = {
        "bars_without_price": int(missing.sum()),
        "stale_exits": int((exits & (traded != 0.0))[:alive].sum()),
        "clipped_orders": int((short & filled).sum()),
        "rejected_orders": int((short & ~filled & quoted).sum()),
        "blocked_orders": int((short & ~quoted).sum()),
        "beyond_tolerance": int((gap > WEIGHT_TOLERANCE).sum()),
        "rows_after_ruin": len(target) - alive,
    }
    return counts, float(gap.max(initial=0.0))
