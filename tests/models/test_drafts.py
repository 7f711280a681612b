"""Folders and files in the making, within folders in the making."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

import pytest

from embargo.models.drafts import draft_for, put_in_place, whole_file


def test_a_draft_may_hold_drafts_of_its_own(tmp_path: Path) -> None:
    """Its maker holds its lock, and must not wait for himself."""
    with draft_for(tmp_path / "outer") as outer:
        with draft_for(outer / "inner") as inner:
            (inner / "file").write_text("whole")
            put_in_place(inner, outer / "inner")
        put_in_place(outer, tmp_path / "outer")
    assert (tmp_path / "outer" / "inner" / "file").read_text() == "whole"
    assert [path.name for path in tmp_path.rglob("*")] == ["outer", "inner", "file"]


def test_a_file_is_there_whole_or_as_it_was(tmp_path: Path) -> None:
    place = tmp_path / "page.html"
    for text in ("first", "second"):
        with whole_file(place) as file:
            file.write_text(text)
            assert not place.exists() or place.read_text() == "first"
    with suppress(OSError), whole_file(place) as file:
        file.write_text("thi")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert place.read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_links_stay_and_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "page.html")
    with whole_file(tmp_path / "link") as file:
        file.write_text("whole")
    assert ((tmp_path / "link").is_symlink(), (tmp_path / "page.html").read_text()) == (True, "whole")
    with whole_file(Path("/dev/null")) as file:
        file.write_text("gone")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    "failure",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        # As pyarrow tells it.
        OSError("Error writing bytes to file. Detail: [errno 28] No space left on device"),
    ],
    ids=["of the system", "of a library"],
)
def test_a_full_disk_is_told_with_its_place(failure: OSError, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as told, draft_for(tmp_path / "runs" / "mine"):
        raise failure
    assert told.value.filename == str(tmp_path / "runs" / "mine")
    assert "No space left" in told.value.strerror


def test_an_error_that_says_where_or_is_of_no_file_is_left_as_it_is(tmp_path: Path) -> None:
    for failure in (OSError(errno.ENOSPC, "full", "elsewhere"), ConnectionResetError("by the other side")):
        before = failure.filename
        with pytest.raises(OSError, match=r"full|other side") as told, draft_for(tmp_path / "mine"):
            raise failure
        assert told.value.filename == before
