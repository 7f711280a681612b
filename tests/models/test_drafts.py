"""Folders in the making, within folders in the making."""

from __future__ import annotations

from pathlib import Path

from embargo.models.drafts import draft_for, put_in_place


def test_a_draft_may_hold_drafts_of_its_own(tmp_path: Path) -> None:
    """Its maker holds its lock, and must not wait for himself."""
    with draft_for(tmp_path / "outer") as outer:
        with draft_for(outer / "inner") as inner:
            (inner / "file").write_text("whole")
            put_in_place(inner, outer / "inner")
        put_in_place(outer, tmp_path / "outer")
    assert (tmp_path / "outer" / "inner" / "file").read_text() == "whole"
    assert [path.name for path in tmp_path.rglob("*")] == ["outer", "inner", "file"]
