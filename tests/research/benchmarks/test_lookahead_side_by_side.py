"""Both ways to find look-ahead answer on functions whose fault is known, and the table is whole."""

from __future__ import annotations

from pathlib import Path

from embargo.research.benchmarks.lookahead_side_by_side import CASES, held_side_by_side, report

DOCUMENT = Path(__file__).parents[3] / "docs" / "lookahead_side_by_side.md"


def test_other_futures_see_every_fault_and_no_other_where_cuts_at_trades_do_not():
    found = held_side_by_side(1, 41)
    assert {name: seen.futures for name, seen in found.items()} == {name: int(leaks) for name, leaks, _ in CASES}
    blind = ("a peek that only keeps from trading", "the candle that is decided", "news joined to the bar of its day")
    assert [found[name].cuts for name in blind] == [0, 0, 0]
    assert found["rank in a universe that changes"].cuts == 1
    assert found["z-score over all dates"].cuts == 1
    text = report(found, seed=41)
    assert all(f"| {name} |" in text for name, *_ in CASES)


def test_the_committed_table_holds_every_function():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [name for name, *_ in CASES if f"| {name} |" not in text] == []
