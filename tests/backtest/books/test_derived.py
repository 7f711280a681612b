"""The kernel's books without their orders: the same to the last bit, derived late from what was given."""

from __future__ import annotations

import copy
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.account_worlds import CASH, World, build

from embargo.backtest.books import Books, Costs, Execution, kernel, simulate, simulation
from embargo.backtest.books.kernel.market import panel_by_symbol
from embargo.data_loaders.errors import EmbargoError

RATES = st.builds(
    Costs,
    fee=st.sampled_from([0.0, 0.0005, 0.01]),
    slippage=st.sampled_from([0.0, 0.002]),
    borrow_annual=st.sampled_from([0.0, 0.05, 1.0]),
    interest_annual=st.sampled_from([0.0, 0.06]),
)
WORLDS = st.builds(
    build,
    st.integers(0, 10_000),
    bars=st.integers(1, 90),
    symbols=st.integers(1, 8),
    gaps=st.sampled_from([0.0, 0.1, 0.4]),
    swing=st.sampled_from([0.02, 0.3]),
)


def kept(world: World, costs: Costs, execution: Execution) -> Books:
    """The kernel's books of plain rates."""
    return simulate(
        world.weights,
        world.open,
        world.close,
        open_at=world.open_at,
        costs=costs,
        execution=execution,
        initial_cash=CASH,
        engine="kernel",
    )


def with_orders(world: World, costs: Costs, execution: Execution) -> Books:
    """The same books, kept order by order from the start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "equity_of", lambda *_, **__: None)
        return kept(world, costs, execution)


def assert_same(found: Books, wanted: Books) -> None:
    for name in (each.name for each in fields(Books)):
        one, other = getattr(found, name), getattr(wanted, name)
        if isinstance(one, pd.Series):
            pd.testing.assert_series_equal(one, other, check_exact=True)
        elif isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(one, other, check_exact=True)
        else:
            assert one == other, name


@settings(max_examples=40)
@given(WORLDS, RATES, st.integers(1, 6), st.booleans(), st.booleans())
def test_books_without_orders_are_the_same_to_the_last_bit(
    world: World, costs: Costs, stale_after: int, long_only: bool, by_row: bool
) -> None:
    if long_only:
        world = world.but(weights=world.weights.abs())
    if by_row:
        laid = {name: pd.DataFrame(np.ascontiguousarray(panel), copy=False) for name, panel in world.panels().items()}
        given_labels = {"index": world.open_at, "columns": world.open.columns}
        world = World(
            **{
                name: panel.set_axis(given_labels["index"]).set_axis(given_labels["columns"], axis=1)
                for name, panel in laid.items()
            }
        )
    execution = Execution(stale_after=stale_after)
    assert_same(kept(world, costs, execution), with_orders(world, costs, execution))


@pytest.mark.parametrize("symbols", [3, 700])
def test_panels_of_many_blocks_are_read_whole(symbols: int) -> None:
    world = build(7_300_000, bars=200, symbols=3, gaps=0.1)
    if symbols > 3:
        wide = {name: pd.concat([panel] * 234, axis=1).iloc[:, :symbols] for name, panel in world.panels().items()}
        names = [f"S{place}" for place in range(symbols)]
        world = World(**{name: panel.set_axis(names, axis=1) for name, panel in wide.items()})
        world = world.but(weights=world.weights / 234.0)
    assert_same(kept(world, Costs(), Execution()), with_orders(world, Costs(), Execution()))


def test_a_ruined_account_and_one_short_of_cash_are_the_same_too() -> None:
    reached = set()
    for seed in range(7_300_000, 7_300_040):
        world = build(seed, swing=0.5, gaps=0.3 * (seed % 4 == 1))
        world = world.but(weights=world.weights.abs() if seed % 2 else world.weights)
        found = kept(world, Costs(fee=0.09), Execution())
        assert_same(found, with_orders(world, Costs(fee=0.09), Execution()))
        reached |= {name for name in ("rows_after_ruin", "clipped_orders", "rejected_orders") if found.counts[name]}
    assert reached == {"rows_after_ruin", "clipped_orders", "rejected_orders"}


@settings(max_examples=40)
@given(
    st.sampled_from(["weights", "open", "close"]),
    st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -3.0, 0.9, 1e300]),
    st.integers(0, 23),
    st.integers(0, 3),
)
def test_what_is_refused_is_refused_in_the_same_words(panel: str, value: float, row: int, column: int) -> None:
    world = build(7_300_001)
    spoilt = getattr(world, panel).copy()
    spoilt.iloc[row, column] = value
    world = world.but(**{panel: spoilt})

    def told(of: object) -> str:
        try:
            of(world, Costs(), Execution())  # type: ignore[operator]
        except EmbargoError as failure:
            return f"{type(failure).__name__}: {failure}"
        return "fine"

    assert told(kept) == told(with_orders)


def test_what_the_caller_writes_later_does_not_reach_the_books() -> None:
    world = build(7_300_002)
    wanted = with_orders(world, Costs(), Execution())
    found = kept(world, Costs(), Execution())
    for panel in (world.weights, world.open, world.close):
        panel.iloc[:, :] = 50.0
    assert_same(found, wanted)


def test_books_can_be_copied_and_changed() -> None:
    world = build(7_300_003)
    wanted = with_orders(world, Costs(), Execution())
    assert_same(copy.deepcopy(kept(world, Costs(), Execution())), wanted)
    changed = replace(kept(world, Costs(), Execution()), orders=wanted.orders.iloc[:1])
    assert_same(changed, replace(wanted, orders=wanted.orders.iloc[:1]))
    with pytest.raises(AttributeError, match="order_book"):
        _ = kept(world, Costs(), Execution()).order_book  # type: ignore[attr-defined]


def test_orders_are_made_when_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(simulation, "record", lambda *given, **rest: made.append(1) or kernel.record(*given, **rest))
    books = kept(build(7_300_004), Costs(), Execution())
    assert not made
    assert len(books.orders) > 0
    assert books.commission > 0.0
    assert books.counts["margin_calls"] == 0
    assert len(made) == 1


def test_panels_are_read_in_the_layout_they_have() -> None:
    by_row = np.arange(6.0).reshape(3, 2)
    for panel, by_symbol in ((by_row, False), (np.asfortranarray(by_row), True)):
        rows, turned = panel_by_symbol(panel)
        assert turned == by_symbol
        assert np.shares_memory(rows, panel)
        assert not rows.flags.writeable
