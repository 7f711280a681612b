"""Contributions add up to what the books earned, to the cent, and equal a ledger that is kept by hand."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.attribution import attribute
from embargo.backtest.books import Books, Costs, Execution, simulate
from embargo.backtest.books.simulation import marks
from embargo.data_loaders.errors import DataError

CASH = 250_000.0


def traded(
    seed: int, *, engine: Literal["vectorbt", "kernel"] = "kernel", gaps: bool = False, **rules: Any
) -> tuple[Books, pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    at = pd.date_range("2024-01-01 14:30", periods=90, freq="D", tz="UTC")
    names = list("ABCDE")
    closes = pd.DataFrame(50.0 * np.exp(rng.normal(0.0, 0.02, (90, 5)).cumsum(axis=0)), at, names)
    opens = closes.shift(1, fill_value=50.0) * np.exp(rng.normal(0.0, 0.004, (90, 5)))
    if gaps:
        opens.iloc[:7, 0] = closes.iloc[:7, 0] = np.nan
        opens.iloc[60:, 1] = closes.iloc[60:, 1] = np.nan
        opens.iloc[30:33, 2] = closes.iloc[30:33, 2] = np.nan
    weights = pd.DataFrame(rng.uniform(-0.25, 0.25, (90, 5)), at, names).where(rng.random((90, 5)) > 0.3, 0.0)
    execution = Execution(**{key: rules.pop(key) for key in ("fill", "leverage", "haircut") if key in rules})
    books = simulate(
        weights, opens, closes, open_at=at, costs=Costs(**rules), execution=execution, initial_cash=CASH, engine=engine
    )
    return books, opens if execution.fill == "open" else closes, closes


def by_hand(books: Books, values: np.ndarray) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Walk the orders bar by bar with plain numbers: gains by symbol and side, and what was paid."""
    gains: dict[str, dict[str, float]] = defaultdict(lambda: {"long": 0.0, "short": 0.0})
    paid = {"fees": 0.0, "slippage": 0.0}
    names = list(books.realised_weights.columns)
    held = dict.fromkeys(names, 0.0)
    orders = dict(iter(books.orders.groupby(["bar", "symbol"])))
    for bar in range(len(books.equity)):
        for column, name in enumerate(names):
            before, cost = held[name], 0.0
            for row in orders[(bar, name)].itertuples() if (bar, name) in orders else ():
                sign = 1.0 if row.side == "buy" else -1.0
                held[name] += sign * row.size
                away = sign * row.size * (row.price - values[bar, column])
                cost += away + row.fees
                paid["fees"] -= row.fees
                paid["slippage"] -= away
            if abs(held[name]) < 1e-6:
                held[name] = 0.0
            gain = -cost
            if held[name]:
                gain += held[name] * (values[bar + 1, column] - values[bar, column])
            side = held[name] or before
            if side or gain:
                gains[name]["long" if side > 0 else "short"] += gain
    return gains, paid


@pytest.mark.parametrize(
    "rules",
    [
        {"fee": 0.001, "slippage": 0.002},
        {"fee": 0.001, "slippage": 0.001, "gaps": True, "haircut": 0.3},
        {"fee_per_share": 0.01, "fee_minimum": 1.0, "slippage": 0.0005, "fill": "close"},
        {"fee": 0.0005, "slippage": 0.001, "borrow_annual": 0.2, "engine": "vectorbt"},
    ],
    ids=["rates", "gaps and a delisting", "fills at the close", "borrow, booked by vectorbt"],
)
def test_contributions_add_up_and_equal_a_ledger_kept_by_hand(rules: dict[str, Any]) -> None:
    books, fills, closes = traded(7_300_001, **rules)
    values = marks(fills, closes)
    found = attribute(books.orders, pd.DataFrame(values, columns=fills.columns), books.equity, initial=CASH)
    gains, paid = by_hand(books, values)
    for name, row in found.symbols.iterrows():
        assert row["long"] * CASH == pytest.approx(gains[str(name)]["long"], abs=1e-6)
        assert row["short"] * CASH == pytest.approx(gains[str(name)]["short"], abs=1e-6)
    for kind in ("fees", "slippage"):
        assert found.bars[kind].sum() * CASH == pytest.approx(paid[kind], abs=1e-6)
    assert -found.bars["fees"].sum() * CASH == pytest.approx(books.commission)
    earned = books.equity.iloc[-1] / CASH - 1.0
    assert found.symbols["total"].sum() + found.bars["carry"].sum() == pytest.approx(earned, abs=1e-12)
    held = books.borrow_paid + books.interest_paid + books.funding_paid
    assert found.bars["carry"].sum() * CASH == pytest.approx(-held, abs=1e-4)
    np.testing.assert_allclose(found.by_symbol.sum(axis=1) + found.bars["carry"], _changes(books) / CASH, atol=1e-12)
    np.testing.assert_allclose(found.by_symbol.sum(), found.symbols["total"], atol=1e-12)
    shares = books.realised_weights
    np.testing.assert_array_equal(found.symbols["bars_long"], (shares > 1e-9).sum())
    np.testing.assert_array_equal(found.symbols["bars_short"], (shares < -1e-9).sum())


def _changes(books: Books) -> np.ndarray:
    return np.diff(np.concatenate([[CASH], books.equity.to_numpy()]))


def test_blocks_of_symbols_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    books, fills, closes = traded(7_300_002, fee=0.001)
    values = pd.DataFrame(marks(fills, closes), columns=fills.columns)
    whole = attribute(books.orders, values, books.equity, initial=CASH)
    monkeypatch.setattr("embargo.backtest.attribution._CELLS", 90 * 2)
    parts = attribute(books.orders, values, books.equity, initial=CASH)
    pd.testing.assert_frame_equal(whole.symbols, parts.symbols)
    np.testing.assert_allclose(whole.bars, parts.bars, atol=1e-15)
    pd.testing.assert_frame_equal(whole.by_symbol, parts.by_symbol)


def test_an_account_that_never_traded_has_nothing_to_tell() -> None:
    at = pd.date_range("2024-01-01", periods=3, freq="D", tz="UTC")
    orders = pd.DataFrame(columns=["symbol", "bar", "size", "price", "fees", "side"])
    found = attribute(orders, pd.DataFrame({"A": [1.0] * 4}), pd.Series([CASH] * 3, at), initial=CASH)
    assert not found.symbols[["long", "short", "total", "costs"]].to_numpy().any()
    assert not found.bars.to_numpy().any()


def test_values_that_do_not_fit_are_refused() -> None:
    orders = pd.DataFrame({"symbol": ["B"], "bar": [0], "size": [1.0], "price": [1.0], "fees": [0.0], "side": ["buy"]})
    with pytest.raises(DataError, match="one row more"):
        attribute(orders, pd.DataFrame({"A": [1.0, 1.0]}), pd.Series([1.0, 1.0]), initial=1.0)
    with pytest.raises(DataError, match="names a symbol"):
        attribute(orders, pd.DataFrame({"A": [1.0, 1.0]}), pd.Series([1.0]), initial=1.0)
