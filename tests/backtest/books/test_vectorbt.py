"""vectorbt's compiled engine, called alone, keeps the books that ``vectorbt.Portfolio`` keeps, to the bit."""

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.books.vectorbt import _booked


@pytest.mark.parametrize("seed", range(7_300_000, 7_300_006))
def test_books_are_those_of_a_portfolio(seed):
    import vectorbt

    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 150)), int(rng.integers(1, 10)))
    close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, shape), axis=0))
    size = np.where(rng.random(shape) < 0.5, rng.normal(0.0, 100.0, shape), np.nan)
    size[rng.random(shape) < 0.05] = 5e-9  # below vectorbt's smallest order
    price = np.where(np.isnan(size), np.nan, close * np.exp(rng.normal(0.0, 0.01, shape)))
    fees = np.where(np.isnan(size), 0.0, rng.random(shape))
    cash = float(10.0 ** rng.uniform(2.0, 7.0))  # at times too little for all of it
    portfolio = vectorbt.Portfolio.from_orders(
        close=pd.DataFrame(close),
        size=size,
        size_type="amount",
        price=price,
        fees=0.0,
        fixed_fees=fees,
        slippage=0.0,
        init_cash=cash,
        group_by=True,
        cash_sharing=True,
        freq="1D",
    )
    booked = _booked(close, size, price, fees, cash)
    np.testing.assert_array_equal(booked.value, portfolio.value().to_numpy(dtype=float))
    for ours, theirs in (
        (booked.orders, portfolio.orders.records_arr),
        (booked.trades, portfolio.trades.records_arr),
    ):
        assert ours.dtype == theirs.dtype
        assert ours.tobytes() == theirs.tobytes()
