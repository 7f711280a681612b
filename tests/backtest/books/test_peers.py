"""The same orders at the same prices in backtesting.py and in bt: other people's books, other people's code.

Neither is a dependency. Where they are documented to differ, the comparison is made where they agree: backtesting.py
trades whole shares, starts on the third bar, values at the close and charges its spread on entries alone, so there is
none here; bt knows one price per bar, the open, and values a bar after its fills.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from samples.account_worlds import CASH, build, by_hand

from embargo.backtest.books.costs import Costs
from embargo.backtest.books.execution import Execution

BARS = 60


def world_of(symbols, seed=4, gross=0.9):
    world = build(seed, bars=BARS, symbols=symbols, gaps=0.0, swing=0.02, gross=gross)
    return world.but(funding=world.funding * 0.0)


@pytest.mark.parametrize("fee", [0.0, 0.002])
def test_backtesting_py_keeps_the_same_account(fee):
    backtesting = pytest.importorskip("backtesting")
    world = world_of(1)
    ledger = by_hand(world, Costs(fee, 0.0, 0.0), Execution(lot=1.0))
    orders = {bar: round(size) for bar, _, size, _ in ledger.orders}
    assert len(orders) > BARS // 2
    data = pd.DataFrame({"Open": world.open["A"], "Close": world.close["A"]})
    data["High"], data["Low"] = data.max(axis=1), data.min(axis=1)
    data.index = data.index.tz_localize(None)
    # It asks from the second bar on and fills at the next open: two bars before the first give the first order its bar.
    early = data.iloc[[0, 0]].set_axis(data.index[0] - pd.to_timedelta([2, 1], unit="D"))
    data = pd.concat([early, data])

    class Replay(backtesting.Strategy):
        def init(self):
            pass

        def next(self):
            size = orders.get(len(self.data) - 2)
            if size:
                (self.buy if size > 0 else self.sell)(size=abs(size))

    test = backtesting.Backtest(data, Replay, cash=CASH, commission=fee, margin=0.5, finalize_trades=False)
    theirs = test.run()["_equity_curve"]["Equity"].to_numpy()[2:]
    cash, held, ours = CASH, 0.0, []
    flow = {bar: (size, price) for bar, _, size, price in ledger.orders}
    for bar in range(BARS):
        size, price = flow.get(bar, (0.0, 0.0))
        cash, held = cash - size * price - fee * abs(size) * price, held + size
        # Theirs is the equity at the close of the bar, ours at the next open.
        ours.append(cash + held * world.close["A"].iloc[bar])
    np.testing.assert_allclose(theirs, ours, rtol=1e-9)
    assert ours[-1] == pytest.approx(ledger.equity[-1], rel=1e-12)


@pytest.mark.parametrize("fee", [0.0, 0.002])
def test_bt_ends_with_the_same_money(fee):
    bt = pytest.importorskip("bt")
    world = world_of(3)
    ledger = by_hand(world, Costs(fee, 0.0, 0.0), Execution())
    orders = {}
    for bar, column, size, _ in ledger.orders:
        orders.setdefault(bar, {})[world.weights.columns[column]] = size
    prices = world.open.copy()
    prices.index = prices.index.tz_localize(None)

    class Replay(bt.Algo):
        def __call__(self, target):
            bar = prices.index.get_loc(target.now)
            for name, size in orders.get(bar, {}).items():
                target[name].transact(size)
            return True

    strategy = bt.Strategy("replay", [Replay()], children=[bt.Security(name) for name in prices.columns])
    test = bt.Backtest(
        strategy,
        prices,
        initial_capital=CASH,
        commissions=lambda quantity, price: abs(quantity) * price * fee,
        integer_positions=False,
        progress_bar=False,
    )
    test.run()
    theirs = test.strategy.values.loc[prices.index].to_numpy()
    # bt values a bar right after its fills, the ledger right before: so each bar's own fees lie between them.
    paid = np.zeros(BARS)
    for bar, _, size, price in ledger.orders:
        paid[bar] += fee * abs(size) * price
    np.testing.assert_allclose(theirs, np.array(ledger.worth_before) - paid, rtol=1e-9)
