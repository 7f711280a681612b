"""Books that are looked up are those that vectorbt keeps, to the bit, and of the very same orders alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.books import Books, Costs, simulate
from embargo.backtest.books import vectorbt as bookkeeper
from embargo.research.run.kept_books import KeptBooks

BARS, SYMBOLS = 40, 3


class Asked(Exception):  # noqa: N818 - no error: vectorbt is asked
    """vectorbt is asked."""


def case(seed: int = 7_300_000) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    at = pd.date_range("2024-01-01", periods=BARS, freq="D", tz="UTC")
    opens = pd.DataFrame(50.0 * np.exp(rng.normal(0.0, 0.02, (BARS, SYMBOLS)).cumsum(axis=0)), at, list("ABC"))
    weights = pd.DataFrame(rng.uniform(-0.3, 0.3, (BARS, SYMBOLS)), at, list("ABC"))
    return {
        "weights": weights,
        "open": opens,
        "close": opens * np.exp(rng.normal(0.0, 0.01, (BARS, SYMBOLS))),
        "open_at": at,
        "costs": Costs(),
    }


def same(one: Books, other: Books) -> None:
    pd.testing.assert_series_equal(one.equity, other.equity, check_exact=True)
    pd.testing.assert_series_equal(one.returns, other.returns, check_exact=True)
    assert one.trades is not None
    assert other.trades is not None
    pd.testing.assert_frame_equal(one.trades, other.trades, check_exact=True)


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def ask() -> Any:
        raise Asked

    return lambda: monkeypatch.setattr(bookkeeper, "_imported", ask)


def test_books_are_looked_up_to_the_bit(tmp_path: Path, away: Callable[[], None]) -> None:
    shelf, plain = KeptBooks(tmp_path / "books"), simulate(**case())
    first = simulate(**case(), shelf=shelf)
    away()
    second = simulate(**case(), shelf=shelf)
    assert len(first.trades) > 20
    same(plain, first)
    same(plain, second)
    # Labels are of whoever asks.
    renamed = case()
    renamed |= {name: renamed[name].set_axis(list("XYZ"), axis=1) for name in ("weights", "open", "close")}
    assert set(simulate(**renamed, shelf=shelf).trades["symbol"]) == set("XYZ")


def nudged(panel: pd.DataFrame, row: int) -> pd.DataFrame:
    changed = panel.copy()
    changed.iloc[row, 1] = np.nextafter(changed.iloc[row, 1], np.inf)
    return changed


CHANGES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "a weight": lambda case: {"weights": nudged(case["weights"], 7)},
    "an open": lambda case: {"open": nudged(case["open"], 7)},
    "the last close": lambda case: {"close": nudged(case["close"], -1)},
    "the fee": lambda case: {"costs": Costs(fee=np.nextafter(Costs().fee, 1.0))},
    "what shorts pay": lambda case: {"costs": Costs(borrow_annual=0.02)},
    "the cash": lambda case: {"initial_cash": np.nextafter(1_000_000.0, np.inf)},
    "the last bar": lambda case: (
        {"weights": case["weights"].iloc[:-1], "open_at": case["open_at"][:-1]}
        | {name: case[name].iloc[:-1] for name in ("open", "close")}
    ),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_what_differs_in_a_bit_is_booked_anew(changed: str, tmp_path: Path, away: Callable[[], None]) -> None:
    shelf = KeptBooks(tmp_path / "books")
    simulate(**case(), shelf=shelf)
    away()
    with pytest.raises(Asked):
        simulate(**case() | CHANGES[changed](case()), shelf=shelf)


def test_other_versions_and_other_code_are_asked_anew(
    tmp_path: Path, away: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from embargo.backtest.books import shelf as naming

    shelf = KeptBooks(tmp_path / "books")
    simulate(**case(), shelf=shelf)
    away()
    with monkeypatch.context() as patched:
        patched.setattr(naming, "version", lambda name: "0.0.1" if name == "vectorbt" else "1")
        with pytest.raises(Asked):
            simulate(**case(), shelf=shelf)
    code = tmp_path / "vectorbt.py"
    code.write_text(Path(bookkeeper.__file__).read_text(encoding="utf-8") + "\n", encoding="utf-8")
    monkeypatch.setattr(bookkeeper, "__file__", str(code))
    with pytest.raises(Asked):
        simulate(**case(), shelf=shelf)


def test_a_damaged_file_is_booked_anew(tmp_path: Path) -> None:
    shelf, plain = KeptBooks(tmp_path / "books"), simulate(**case())
    for spoil in (lambda whole: whole[: len(whole) // 2], lambda whole: whole[:200] + b"\xff" + whole[201:]):
        simulate(**case(), shelf=shelf)
        (file,) = (tmp_path / "books").iterdir()
        file.write_bytes(spoil(file.read_bytes()))
        same(plain, simulate(**case(), shelf=shelf))


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "books").write_text("a file")
    same(simulate(**case()), simulate(**case(), shelf=KeptBooks(tmp_path / "books")))
