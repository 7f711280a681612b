"""A run folder exists whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from embargo.data_loaders.errors import MissingPartError
from embargo.research.records.folders import list_runs, write_json, writing


def test_a_finished_block_leaves_the_folder_and_nothing_else(tmp_path: Path) -> None:
    with writing(tmp_path / "runs" / "demo-1") as draft:
        (draft / "metrics.json").write_text("{}")
        assert not (tmp_path / "runs" / "demo-1").exists()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["demo-1"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_broken_block_leaves_what_was_there_before(tmp_path: Path, failure: type[BaseException]) -> None:
    folder = tmp_path / "demo-1"
    with writing(folder) as draft:
        (draft / "metrics.json").write_text("first")

    def broken() -> None:
        with writing(folder) as draft:
            (draft / "metrics.json").write_text("second")
            raise failure

    with pytest.raises(failure):
        broken()
    assert (folder / "metrics.json").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_same_run_again_replaces_the_folder_whole(tmp_path: Path) -> None:
    folder = tmp_path / "demo-1"
    for name in ("old.json", "new.json"):
        with writing(folder) as draft:
            (draft / name).write_text("{}")
    assert [path.name for path in folder.iterdir()] == ["new.json"]
    assert len(list(tmp_path.iterdir())) == 1


def test_json_has_no_nan_and_a_stable_order(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"b": float("nan"), "a": [1.0, float("inf")]})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [1.0, None], "b": None}
    assert (tmp_path / "x.json").read_text().index('"a"') < (tmp_path / "x.json").read_text().index('"b"')


@pytest.mark.parametrize(
    ("figures", "word"),
    [
        ({}, None),
        ({"data_verdict": "look", "data_faults": {"clock": {"verdict": "look"}}}, "look"),
        ({"data_verdict": "bad", "data_faults": {"splits": {"verdict": "bad"}}}, "bad"),
        ({"data_verdict": "bad", "data_faults": {"splits": {"verdict": "bad", "accepted": "known"}}}, "accepted"),
        (
            {
                "data_verdict": "bad",
                "data_faults": {"a": {"verdict": "bad", "accepted": "known"}, "b": {"verdict": "bad"}},
            },
            "bad",
        ),
        ({"data_verdict": 7, "data_faults": []}, None),
    ],
)
def test_a_run_of_any_version_says_what_its_data_are_worth(
    tmp_path: Path, figures: dict[str, object], word: str | None
) -> None:
    (tmp_path / "a-1").mkdir()
    (tmp_path / "a-1" / "manifest.json").write_text("{}")
    (tmp_path / "a-1" / "metrics.json").write_text(json.dumps({"sharpe": 1.5, "status": "valid"} | figures))
    assert [row["data"] for row in list_runs(tmp_path)] == [word]


def test_listing_skips_drafts_and_names_broken_runs(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match="no such folder"):
        list_runs(tmp_path / "absent")
    for name in ("b-2", "a-1", ".c-3-draft"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text('{"sharpe": 1.5, "status": "valid"}')
        (tmp_path / name / "manifest.json").write_text("{}")
    assert [(row["run"], row["sharpe"]) for row in list_runs(tmp_path)] == [("a-1", 1.5), ("b-2", 1.5)]
    (tmp_path / "b-2" / "metrics.json").write_text("{")
    assert [(row["run"], row["damage"] is None) for row in list_runs(tmp_path)] == [("a-1", True), ("b-2", False)]
