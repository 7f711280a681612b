"""The books on real shares: late listings, missing days and all."""

import numpy as np
import pandas as pd
import pytest
from reference.ledger import keep_ledger

from embargo.backtest.books.costs import Costs
from embargo.backtest.books.simulation import STALE_AFTER, bar_years, holding_returns, net_returns, simulate
from embargo.data_loaders.calendars import label_sessions


@pytest.mark.real_data
def test_books_ledger_and_fast_path_agree_on_88_shares(real_data):
    table = pd.read_parquet(real_data / "stocknet_prices.parquet")
    table = table[(table["date"] >= "2014-01-01") & (table["date"] < "2016-07-15")]
    opening, close = (
        table.pivot_table(index="date", columns="symbol", values=field, aggfunc="first") for field in ("open", "close")
    )
    open_at, _ = label_sessions(pd.DatetimeIndex(opening.index), "XNYS", where="stocknet")
    opening.index = close.index = open_at
    assert opening.isna().to_numpy().any()
    rng = np.random.default_rng(0)
    raw = np.where(opening.notna(), rng.normal(size=opening.shape), 0.0)
    weights = pd.DataFrame(0.95 * raw / np.abs(raw).sum(axis=1, keepdims=True), index=open_at, columns=opening.columns)
    costs = Costs(0.0005, 0.0005, 0.005)
    books = simulate(weights, opening, close, open_at=open_at, costs=costs)
    ledger = keep_ledger(
        weights.to_numpy().tolist(),
        opening.to_numpy().tolist(),
        close.to_numpy().tolist(),
        fee=costs.fee,
        slippage=costs.slippage,
        borrow=costs.borrow_annual,
        years=bar_years(open_at).tolist(),
        cash=1_000_000.0,
        stale_after=STALE_AFTER,
    )
    np.testing.assert_allclose(books.returns, ledger.returns, atol=1e-11)
    fast = net_returns(
        weights.to_numpy(),
        holding_returns(opening, close).to_numpy(),
        costs,
        tradable=opening.notna().to_numpy(),
        years=bar_years(open_at),
    )
    assert np.abs(fast - books.returns).max() < 1e-4
    assert books.counts["clipped_orders"] == 0
