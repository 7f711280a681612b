"""vectorbt as the bookkeeper of orders that are already sized, and the reconciliation of its books with the kernel's.

vectorbt knows no margin and no carry, so the account lends it enough credit that it never clips an order; credit and
carry are taken off its value again. Books that differ by more than rounding are an error, never an average.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from embargo.backtest.books.kernel import Record
from embargo.data_loaders.errors import DataError

TOLERANCE = 1e-9
# Of starting cash and credit: what sums of them lose to rounding, and vectorbt's refusal of orders below 1e-8 shares.
# Both are seen only where almost nothing is left of the account.
ROUNDING = 1e-10
# vectorbt's own numbers: sizes in shares, orders that may go long and short, and its smallest order, in shares.
AMOUNT, BOTH, SMALLEST = 0, 2, 1e-8
_DIRECTIONS = np.array(["long", "short"])


def book(
    kept: Record, value: np.ndarray, weights: pd.DataFrame, initial_cash: float
) -> tuple[np.ndarray, pd.DataFrame]:
    """Book the kernel's orders in vectorbt.

    Parameters
    ----------
    kept : Record
    value : float array, shape (bars + 1, symbols)
        From `marks`: what a share is worth at each fill, and after the last close.
    weights : DataFrame, shape (bars, symbols)
        For its labels.
    initial_cash : float

    Returns
    -------
    equity : float array, shape (bars,)
        vectorbt's value at the end of each row, less credit and carry; 0 from the row of ruin on.
    trades : DataFrame
        As in ``Books.trades``.

    Raises
    ------
    DataError
        If the two books differ by more than 1e-9 of the larger of equity and gross exposure, beyond rounding.
    """
    carry = kept.carry.sum(axis=1)
    ordered = kept.sizes != 0.0
    # vectorbt refuses a sale that does not cover its own fee: what is beyond the proceeds is taken off with the carry.
    proceeds = np.where(kept.sizes < 0.0, -kept.sizes * kept.prices, np.inf)
    fees = np.minimum(kept.fees, proceeds)
    beyond = np.cumsum(carry + (kept.fees - fees).sum(axis=1))
    credit = _credit(kept, fees, initial_cash)
    # A symbol that has no price yet cannot be held; the placeholder keeps NaN out of vectorbt's sums.
    solid = np.where(np.isnan(value), 1.0, value)
    account = _booked(
        close=solid[1:],
        size=np.where(ordered, kept.sizes, np.nan),
        price=np.where(ordered, np.maximum(kept.prices, np.finfo(float).tiny), np.nan),
        fees=fees,
        cash=initial_cash + credit,
    )
    equity = account.value - credit - beyond
    lost = equity <= 0.0
    if lost.any():
        equity[int(np.argmax(lost)) :] = 0.0
    slack = ROUNDING * (initial_cash + credit)
    _reconcile(kept, equity, account.orders, solid, weights, slack)
    return equity, _trade_frame(account.trades, weights.columns)


class _Account(NamedTuple):
    """What vectorbt keeps of an account: its value at each close, and its own records of orders and trades."""

    value: np.ndarray
    orders: np.ndarray
    trades: np.ndarray


def _booked(close: np.ndarray, size: np.ndarray, price: np.ndarray, fees: np.ndarray, cash: float) -> _Account:
    """Book orders into one account that all symbols share.

    This calls vectorbt's compiled engine as ``Portfolio.from_orders`` does and gives its results to the bit, without
    loading the rest of vectorbt (charts, indicators, downloads), which takes longer than a whole run's books.
    """
    from vectorbt_rust.portfolio import (
        asset_flow_rs,
        asset_value_grouped_rs,
        asset_value_rs,
        assets_rs,
        cash_flow_grouped_rs,
        cash_flow_rs,
        cash_grouped_rs,
        get_exit_trades_rs,
        simulate_from_orders_rs,
        value_rs,
    )
    from vectorbt_rust.records import col_map_rs

    shape, together = close.shape, np.array([close.shape[1]])
    total, none, no = np.array([cash]), np.array(0.0), np.array(False)
    orders, _ = simulate_from_orders_rs(
        shape,
        together,
        total,
        np.tile(np.arange(shape[1]), (shape[0], 1)),
        size,
        price,
        np.array(AMOUNT),
        np.array(BOTH),
        none,
        fees,
        slippage=none,
        min_size=np.array(SMALLEST),
        max_size=np.array(np.inf),
        size_granularity=np.array(np.nan),
        reject_prob=none,
        lock_cash=no,
        allow_partial=np.array(True),
        raise_reject=no,
        log=no,
        val_price=np.array(np.inf),
        close=close,
        max_orders=close.size,
        max_logs=1,
    )
    of_symbol = col_map_rs(np.ascontiguousarray(orders["col"]), shape[1])
    flow = cash_flow_grouped_rs(cash_flow_rs(orders, *of_symbol, shape, False), together)
    held = assets_rs(asset_flow_rs(orders, *of_symbol, shape, BOTH))
    worth = asset_value_grouped_rs(asset_value_rs(np.where(held == 0.0, 0.0, close), held), together)
    value = value_rs(cash_grouped_rs(shape, flow, together, total), worth)
    return _Account(np.asarray(value)[:, 0], orders, get_exit_trades_rs(orders, close, *of_symbol))


def _credit(kept: Record, fees: np.ndarray, initial_cash: float) -> float:
    """Cash to lend so that every buy of a row could come before its sales."""
    cost = kept.sizes * kept.prices + fees
    cash = initial_cash - np.concatenate([[0.0], np.cumsum(cost.sum(axis=1))[:-1]])
    return float(1.01 * np.maximum(np.maximum(cost, 0.0).sum(axis=1) - cash, 0.0).max(initial=0.0))


def _reconcile(
    kept: Record, equity: np.ndarray, records: np.ndarray, solid: np.ndarray, weights: pd.DataFrame, slack: float
) -> None:
    traded = np.zeros(kept.sizes.shape)
    signed = np.where(records["side"] == 0, records["size"], -records["size"])
    np.add.at(traded, (records["idx"], records["col"]), signed)
    gross = (np.abs(np.cumsum(kept.sizes, axis=0)) * solid[:-1]).sum(axis=1)
    scale = np.maximum(kept.account.equity, gross)
    apart = np.abs(equity - kept.account.equity) > TOLERANCE * scale + slack
    strange = np.abs(traded - kept.sizes) * solid[:-1] > TOLERANCE * scale[:, None] + slack
    wrong = apart | strange.any(axis=1)
    if not wrong.any():
        return
    row = int(np.argmax(wrong))
    column = int(np.argmax(np.abs(np.cumsum(traded - kept.sizes, axis=0)[row]) * solid[row]))
    raise DataError(
        f"simulate: vectorbt's books and the kernel's differ at bar {weights.index[row]} by "
        f"{equity[row] - kept.account.equity[row]:.6g}, most in {weights.columns[column]} (vectorbt traded "
        f"{traded[row, column]:.9g} shares, the kernel {kept.sizes[row, column]:.9g}). Report this with the inputs."
    )


def _trade_frame(records: np.ndarray, columns: pd.Index) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "symbol": columns.to_numpy()[records["col"]],
            "entry_bar": records["entry_idx"].astype(np.int64),
            "exit_bar": records["exit_idx"].astype(np.int64),
            "size": records["size"],
            "pnl": records["pnl"],
            "return": records["return"],
            "direction": _DIRECTIONS[records["direction"]],
        }
    )
