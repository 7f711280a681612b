"""vectorbt as the bookkeeper of orders that are already sized, and the reconciliation of its books with the kernel's.

vectorbt knows no margin and no carry, so the account lends it enough credit that it never clips an order; credit and
carry are taken off its value again. Books that differ by more than rounding are an error, never an average.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.books.kernel import Record
from embargo.backtest.books.shelf import Shelf, name_of
from embargo.data_loaders.errors import DataError

TOLERANCE = 1e-9
# Of starting cash and credit: what sums of them lose to rounding, and vectorbt's refusal of orders below 1e-8 shares.
# Both are seen only where almost nothing is left of the account.
ROUNDING = 1e-10
_DIRECTIONS = np.array(["long", "short"])


def book(
    kept: Record, value: np.ndarray, weights: pd.DataFrame, initial_cash: float, shelf: Shelf | None = None
) -> tuple[np.ndarray, pd.DataFrame]:
    """Book the kernel's orders in vectorbt, or look up what it said of the very same ones.

    Parameters
    ----------
    kept : Record
    value : float array, shape (bars + 1, symbols)
        From `marks`: what a share is worth at each fill, and after the last close.
    weights : DataFrame, shape (bars, symbols)
        For its labels.
    initial_cash : float
    shelf : Shelf, optional
        Where books that agreed are kept and looked up; by default nowhere.

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
    if shelf is None:
        booked = _booked(kept, value, weights, initial_cash)
    else:
        given = {
            "value": value,
            "cash": np.array(initial_cash),
            "equity": kept.account.equity,
            **{name: getattr(kept, name) for name in ("sizes", "prices", "fees", "carry")},
        }
        name = name_of(given, Path(__file__))
        booked = shelf.get(name) or {}
        if set(booked) != {"equity", "trades"}:
            booked = _booked(kept, value, weights, initial_cash)
            shelf.put(name, booked)
    return booked["equity"], _trade_frame(booked["trades"], weights.columns)


def _booked(kept: Record, value: np.ndarray, weights: pd.DataFrame, initial_cash: float) -> Mapping[str, np.ndarray]:
    """Return ``equity`` and vectorbt's own records of ``trades``, once they agree with the kernel's books."""
    vectorbt = _imported()
    carry = kept.carry.sum(axis=1)
    ordered = kept.sizes != 0.0
    # vectorbt refuses a sale that does not cover its own fee: what is beyond the proceeds is taken off with the carry.
    proceeds = np.where(kept.sizes < 0.0, -kept.sizes * kept.prices, np.inf)
    fees = np.minimum(kept.fees, proceeds)
    beyond = np.cumsum(carry + (kept.fees - fees).sum(axis=1))
    credit = _credit(kept, fees, initial_cash)
    # A symbol that has no price yet cannot be held; the placeholder keeps NaN out of vectorbt's sums.
    solid = np.where(np.isnan(value), 1.0, value)
    portfolio = vectorbt.Portfolio.from_orders(
        close=pd.DataFrame(solid[1:]),
        size=np.where(ordered, kept.sizes, np.nan),
        size_type="amount",
        price=np.where(ordered, np.maximum(kept.prices, np.finfo(float).tiny), np.nan),
        fees=0.0,
        fixed_fees=fees,
        slippage=0.0,
        init_cash=initial_cash + credit,
        group_by=True,
        cash_sharing=True,
        freq="1D",
    )
    equity = np.array(portfolio.value(), dtype=float) - credit - beyond
    lost = equity <= 0.0
    if lost.any():
        equity[int(np.argmax(lost)) :] = 0.0
    slack = ROUNDING * (initial_cash + credit)
    _reconcile(kept, equity, np.asarray(portfolio.orders.records_arr), solid, weights, slack)
    return {"equity": equity, "trades": np.asarray(portfolio.trades.records_arr)}


def _imported() -> Any:
    """Import vectorbt without ccxt, which it would load for the type of one argument and which takes a second alone."""
    aside = "ccxt" not in sys.modules
    if aside:
        sys.modules["ccxt"] = None  # type: ignore[assignment]
    try:
        import vectorbt
    finally:
        if aside:
            sys.modules.pop("ccxt", None)
    return vectorbt


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
