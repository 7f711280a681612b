"""What must hold of every account, whatever the settings: money is conserved, labels and units mean nothing."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from samples.account_worlds import CASH, COSTS, EXECUTIONS, FREE, World, books_of, build, cases

from embargo.backtest.books.costs import Costs
from embargo.backtest.books.execution import Execution
from embargo.backtest.books.simulation import marks

PROPORTIONAL = st.builds(
    Costs,
    fee=st.sampled_from([0.0, 0.001]),
    slippage=st.sampled_from([0.0, 0.002]),
    borrow_annual=st.sampled_from([0.0, 0.05]),
    impact=st.sampled_from([0.0, 0.5]),
    interest_annual=st.sampled_from([0.0, 0.06]),
)
FRACTIONAL = EXECUTIONS.map(lambda execution: replace(execution, lot=0.0))


def panels(world: World, **factors) -> World:
    """Multiply panels by a factor per symbol."""
    return world.but(**{name: getattr(world, name) * factor for name, factor in factors.items()})


def last_marks(world: World, execution: Execution) -> np.ndarray:
    opening = world.close if execution.fill == "close" else world.open
    return np.nan_to_num(marks(opening, world.close)[-1])


def assert_same(first, second, **tolerance):
    np.testing.assert_allclose(first.returns, second.returns, **(tolerance or {"atol": 1e-9}))


def conserved(case, engine):
    world, costs, execution = case
    books = books_of(world, costs, execution, engine)
    assume(books.counts["rows_after_ruin"] == 0 and books.equity.iloc[-1] > 0.0)
    orders = books.orders
    signed = np.where(orders["side"] == "buy", 1.0, -1.0) * orders["size"]
    carry = books.borrow_paid + books.interest_paid + books.funding_paid
    cash = CASH - (signed * orders["price"]).sum() - orders["fees"].sum() - carry
    shares = signed.groupby(orders["symbol"]).sum().reindex(world.weights.columns, fill_value=0.0).to_numpy()
    assert cash + shares @ last_marks(world, execution) == pytest.approx(books.equity.iloc[-1], rel=1e-9, abs=1e-5)
    assert books.commission == pytest.approx(orders["fees"].sum(), rel=1e-9, abs=1e-9)


@settings(max_examples=12)
@given(cases())
def test_cash_and_positions_are_the_equity(case):
    conserved(case, "kernel")


@pytest.mark.slow
@settings(max_examples=100)
@given(cases(), st.sampled_from(["kernel", "vectorbt"]))
def test_cash_and_positions_are_the_equity_of_both_engines(case, engine):
    conserved(case, engine)


@settings(max_examples=15)
@given(cases())
def test_the_costs_explain_the_whole_gap_to_the_costless_books(case):
    """The shares held, valued at marks alone, gain what the account gained plus everything it says it paid."""
    world, costs, execution = case
    books = books_of(world, costs, execution)
    assume(books.counts["rows_after_ruin"] == 0 and books.equity.iloc[-1] > 0.0)
    held = np.zeros(world.weights.shape)
    rows, columns = books.orders["bar"].to_numpy(), world.weights.columns.get_indexer(books.orders["symbol"])
    signed = np.where(books.orders["side"] == "buy", 1.0, -1.0) * books.orders["size"].to_numpy()
    np.add.at(held, (rows, columns), signed)
    held = np.cumsum(held, axis=0)
    value = marks(world.close if execution.fill == "close" else world.open, world.close)
    costless = (held * np.nan_to_num(np.diff(value, axis=0))).sum()
    paid = [books.commission, books.spread_paid, books.impact_paid, books.haircut_paid, books.borrow_paid]
    paid += [books.interest_paid, books.funding_paid]
    assert CASH + costless - sum(paid) == pytest.approx(books.equity.iloc[-1], rel=1e-9, abs=1e-5)
    assert min(paid[:-1]) >= -1e-9


@settings(max_examples=12)
@given(cases(costs=PROPORTIONAL, executions=FRACTIONAL), st.sampled_from([7.0, 1 / 7, 1000.0]))
def test_the_price_level_of_a_symbol_means_nothing(case, factor):
    world, costs, execution = case
    scale = np.array([factor] + [1.0] * (world.weights.shape[1] - 1))
    scaled = panels(world, open=scale, close=scale, volume=1.0 / scale)
    assert_same(books_of(scaled, costs, execution), books_of(world, costs, execution))


@settings(max_examples=12)
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_the_symbols_means_nothing(case, shuffler):
    world, costs, execution = case
    names = list(world.weights.columns)
    shuffler.shuffle(names)
    plain, moved = (books_of(w, costs, execution) for w in (world, world.ordered(names)))
    assert_same(moved, plain)
    np.testing.assert_allclose(
        moved.realised_weights[world.weights.columns], plain.realised_weights, atol=1e-8, rtol=1e-8
    )


def cut_changes_nothing(case, bars, engine):
    world, costs, execution = case
    whole, cut = (books_of(w, costs, execution, engine) for w in (world, world.upto(bars)))
    np.testing.assert_allclose(cut.returns[: bars - 1], whole.returns[: bars - 1], atol=1e-10)
    np.testing.assert_allclose(cut.realised_weights, whole.realised_weights[:bars], atol=1e-9)
    before = whole.orders[whole.orders["bar"] < bars]
    assert len(cut.orders) == len(before)
    np.testing.assert_allclose(cut.orders["size"], before["size"], rtol=1e-9)
    np.testing.assert_allclose(cut.orders["price"], before["price"], rtol=1e-9)


@settings(max_examples=12)
@given(cases(), st.integers(5, 23))
def test_cutting_off_the_future_changes_no_past_row(case, bars):
    cut_changes_nothing(case, bars, "kernel")


@pytest.mark.slow
@settings(max_examples=100)
@given(cases(), st.integers(5, 23), st.sampled_from(["kernel", "vectorbt"]))
def test_cutting_off_the_future_changes_no_past_row_of_either_engine(case, bars, engine):
    cut_changes_nothing(case, bars, engine)


@settings(max_examples=12)
@given(
    cases(
        costs=COSTS.map(lambda costs: replace(costs, fee_minimum=0.0, impact=0.0)),
        executions=FRACTIONAL.map(lambda execution: replace(execution, participation=None)),
    )
)
def test_twice_the_cash_is_twice_the_account(case):
    world, costs, execution = case
    plain, double = (books_of(world, costs, execution, cash=cash) for cash in (CASH, 2.0 * CASH))
    np.testing.assert_allclose(double.equity, 2.0 * plain.equity, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(double.orders["size"], 2.0 * plain.orders["size"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("costs", "rules"), [({"fee_minimum": 50.0}, {}), ({"impact": 0.5}, {}), ({}, {"participation": 0.02})]
)
def test_what_depends_on_size_does_not_scale(costs, rules):
    """The property above can fail: each of the settings it leaves out breaks it."""
    world = build(1)
    found = [books_of(world, replace(FREE, **costs), Execution(**rules), cash=c).equity for c in (CASH, 2 * CASH)]
    assert not np.allclose(found[1], 2.0 * found[0], rtol=1e-6)


@settings(max_examples=12)
@given(cases(costs=PROPORTIONAL, executions=FRACTIONAL), st.sampled_from([0.01, 100.0]))
def test_the_currency_means_nothing(case, rate):
    world, costs, execution = case
    scaled = panels(world, open=rate, close=rate)
    books = books_of(scaled, costs, execution, cash=CASH * rate)
    assert_same(books, books_of(world, costs, execution))


@settings(max_examples=12)
@given(cases(costs=st.just(FREE), executions=st.just(Execution(participation=0.3))))
def test_an_account_without_costs_says_it_paid_nothing(case):
    world, free, execution = case
    books = books_of(world.but(funding=world.funding * 0.0), free, execution)
    named = ["commission", "spread_paid", "impact_paid", "haircut_paid", "borrow_paid", "interest_paid", "funding_paid"]
    assert [getattr(books, name) for name in named] == [0.0] * 7
