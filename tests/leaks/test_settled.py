"""What was settled before an instant, compared in two worlds: the first bit that moved is named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import CHECKS, check_settled
from embargo.backtest.leakage.causality import CANARY
from embargo.backtest.leakage.settled import (
    CODES,
    REMEDIES,
    Moved,
    evidence_of,
    first_moved,
    holding_canary,
    leak_at,
    unrepeatable,
)
from embargo.data_loaders.errors import DataError

AT = pd.Timestamp("2024-03-01", tz="UTC")
WORD = CANARY.split()[0]


def settled(**changes: object) -> dict[str, pd.DataFrame]:
    """Two stages of three rows; a change is put into the last row of the column of that name."""
    scores = pd.DataFrame({"article_id": ["a", "b", "c"], "fold": [0, 0, 1], "bullish": [0.1, 0.2, np.nan]})
    weights = pd.DataFrame({"BTC": [0.5, -0.5, 0.0], "ETH": [1.0, 0.0, 1.0]}, index=pd.date_range(AT, periods=3))
    for name, value in changes.items():
        table = scores if name in scores else weights
        table[name] = [*table[name].iloc[:2], value]
    return {"scores": scores, "weights": weights}


def carried(**changes: object):
    return lambda other: settled(**changes) if other else settled()


def test_what_stays_passes_and_its_rows_are_counted():
    found = check_settled(settled(), carried(), at=AT)
    assert (found.code, found.verdict, found.effect, found.title) == (
        "T1", "pass", 0.0, CHECKS["check_settled"].title,
    )  # fmt: skip
    assert "rows compared: 3 of scores, 3 of weights" in found.detail
    assert found.detail.startswith("Everything later changed after 2024-03-01")
    assert check_settled(settled(), carried(), at=AT, changed="news were cut").detail.startswith("News were cut")


def test_the_first_stage_that_moves_gives_its_code():
    for changes, code, effect in (({"ETH": 1.25}, "T1", 0.25), ({"bullish": 0.5, "ETH": 9.0}, "R3", None)):
        found = check_settled(settled(), carried(**changes), at=AT)
        assert (found.code, found.verdict, found.effect) == (code, "leak", effect)
    assert found.remedy == REMEDIES["scores"]
    assert found.evidence == [
        {
            "stage": "scores",
            "column": "bullish",
            "where": "article c of fold 1",
            "value": None,
            "value_perturbed": 0.5,
            "changed": "everything later changed",
            "perturbed_after": AT.isoformat(),
            "largest_change": None,
        }
    ]
    assert "bullish of article c of fold 1 was None and became 0.5" in found.detail


@pytest.mark.parametrize(
    ("stage", "code"),
    [
        ("news", "D8"), ("samples", "S5"), ("models", "S4"), ("calibration", "M12"), ("scores", "R3"), ("fusion", "S4"),
        ("signal", "T1"), ("weights", "T1"), ("orders", "T7"),
    ],
)  # fmt: skip
def test_every_stage_has_a_code_and_a_remedy(stage, code):
    def moves(other: bool) -> dict[str, pd.DataFrame]:
        return {stage: pd.DataFrame({"x": [1.0 + other]})}

    found = check_settled(moves(False), moves, at=AT)
    assert (found.code, found.verdict) == (code, "leak")
    assert found.remedy.endswith(".")
    assert set(CODES) == set(REMEDIES)


def test_the_row_that_moved_is_named_by_what_it_is():
    moved = first_moved(settled(), settled(BTC=0.125))
    assert moved == Moved("weights", "BTC", str(AT + pd.Timedelta(days=2)), 0.0, 0.125, 0.125)
    for column, named in (("use", "what was read by optimiser"), ("other", "row 1")):
        left = {"models": pd.DataFrame({column: ["x", "optimiser"], "value": [1.0, 2.0]})}
        right = {"models": left["models"].assign(value=[1.0, 2.5])}
        found = first_moved(left, right)
        assert (found.where, found.size) == (named, 0.5)
    folded = {"models": pd.DataFrame({"fold": [3, 4], "value": ["p", "q"]})}
    found = first_moved(folded, {"models": folded["models"].assign(value=["p", "r"])})
    assert (found.where, found.before, found.after, found.size) == ("row 1 of fold 4", "q", "r", float("inf"))


def test_rows_and_columns_that_come_or_go_have_moved_all_together():
    for changed in (settled()["scores"].iloc[:2], settled()["scores"].drop(columns="fold")):
        found = first_moved(settled(), settled() | {"scores": changed})
        assert found == Moved("scores", "rows", "all together", 3, len(changed), float("inf"))


def test_gaps_on_both_sides_and_other_labels_of_rows_have_not_moved():
    same = {stage: table.set_axis(range(7, 10), axis=0) for stage, table in settled().items()}
    assert first_moved(settled(), same) is None
    # Integers and floats of one value are one value.
    assert first_moved({"orders": pd.DataFrame({"n": [1, 2]})}, {"orders": pd.DataFrame({"n": [1.0, 2.0]})}) is None
    assert first_moved(settled(bullish=0.5), settled()).size == float("inf")


def test_the_largest_change_is_that_of_the_whole_column():
    left = {"weights": pd.DataFrame({"BTC": [0.0, 1.0, 2.0]})}
    assert first_moved(left, {"weights": pd.DataFrame({"BTC": [0.0, 1.5, -1.0]})}).size == 3.0


def test_texts_from_later_are_found_in_texts_and_terms_alone():
    later = f"{WORD} and more"
    held = {
        "news": pd.DataFrame({"article_id": ["a", "b", "c"], "text": ["x", later, later]}),
        "vocabulary": pd.DataFrame({"term": ["profit", WORD]}),
        "notes": pd.DataFrame({"note": [WORD]}),
    }
    assert holding_canary(held) == [
        {"stage": "news", "column": "text", "where": "article b", "value": later},
        {"stage": "vocabulary", "column": "term", "where": "row 1", "value": WORD},
    ]
    traced = check_settled(settled(), lambda other: settled() | (held if other else {}), at=AT)
    assert (traced.code, traced.verdict, traced.effect) == ("D8", "leak", None)
    assert traced.detail == (
        "What was settled holds texts that were known only after 2024-03-01T00:00:00+00:00. The word that was put into "
        "later texts alone stands in: news, article b; vocabulary, row 1."
    )
    assert [row["where"] for row in traced.evidence] == ["article b", "row 1"]
    assert traced.evidence[0]["changed"] == "everything later changed"
    assert traced.evidence[0]["perturbed_after"] == AT.isoformat()


def test_what_moves_and_what_holds_a_later_text_are_told_together():
    held = {"vocabulary": pd.DataFrame({"term": [WORD]})}
    found = check_settled(settled(), lambda other: settled(BTC=1.0) | held if other else settled(), at=AT)
    assert (found.code, found.effect) == ("T1", 1.0)
    assert "BTC" in found.detail
    assert "stands in: vocabulary, row 0." in found.detail
    assert len(found.evidence) == 2


def test_a_run_that_does_not_repeat_itself_proves_nothing():
    turns = iter([0.25, 0.75])
    found = check_settled(settled(), lambda _: settled(BTC=next(turns)), at=AT)
    assert (found.code, found.verdict, found.effect) == ("T1", "inconclusive", None)
    assert found.detail.startswith(
        "inconclusive: non-deterministic. The same files gave other weights in two runs (BTC,"
    )
    assert "0.0 and 0.75" in found.detail
    assert "Seed every random step" in found.remedy
    assert found == unrepeatable(first_moved(settled(), settled(BTC=0.75)))


def test_a_world_that_cannot_be_carried_through_proves_nothing():
    def broken(_: bool) -> dict[str, pd.DataFrame]:
        raise DataError("no news is left")

    found = check_settled(settled(), broken, at=AT)
    assert (found.code, found.verdict) == ("T1", "inconclusive")
    assert "no news is left" in found.detail
    assert "--deep" in found.remedy
    assert check_settled({"weights": pd.DataFrame()}, broken, at=AT).detail.startswith("Nothing had been settled")


def test_faults_of_several_worlds_are_told_by_the_earliest_with_the_largest_change():
    moved = [Moved("orders", "price", f"row {size}", 1.0, 1.0 + size, float(size)) for size in range(1, 8)]
    days = [AT + pd.Timedelta(days=day) for day in (6, 5, 4, 3, 2, 1, 0)]
    faults = [evidence_of(each, at, ["news", "bars"]) for each, at in zip(moved, days, strict=True)]
    found = leak_at("orders", faults, 9)
    assert (found.code, found.verdict, found.effect, found.remedy) == ("T7", "leak", 7.0, REMEDIES["orders"])
    assert found.detail == (
        "In 7 of 9 worlds that differ only in the future, what moved first were the orders: price of row 7 was 1.0 and "
        "became 8.0 when news, bars after 2024-03-01T00:00:00+00:00."
    )
    assert [row["where"] for row in found.evidence] == ["row 7", "row 6", "row 5", "row 4", "row 3"]


@pytest.mark.parametrize("stage", ["notes", "vocabulary"])
def test_a_later_text_outside_the_stages_is_one_of_the_fit(stage):
    held = {stage: pd.DataFrame({"term": [WORD]})}
    found = check_settled(settled(), lambda other: settled() | (held if other else {}), at=AT)
    assert (found.code, found.remedy) == ("S4", REMEDIES["models"])
