"""The picture of a report is taken of a run that is there, by a browser that is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from samples.browsing import MARKS

from embargo.data_loaders.errors import ConfigError, MissingPartError
from embargo.research.benchmarks.picture import HEIGHT, MOST_BYTES, WIDTH, browser, picture


def test_a_folder_without_a_report_and_a_missing_browser_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"there is no report\.html"):
        picture(tmp_path, tmp_path / "report.png")
    monkeypatch.setenv("EMBARGO_CHROMIUM", str(tmp_path / "nothing"))
    with pytest.raises(MissingPartError, match="no Chromium"):
        browser()


class TestBrowser:
    """With a browser."""

    pytestmark = MARKS

    def test_the_head_of_a_report_is_taken(self, tmp_path: Path) -> None:
        (tmp_path / "report.html").write_text("<h1>A report</h1>" + "<p>of some length</p>" * 100, encoding="utf-8")
        target = tmp_path / "report.png"
        picture(tmp_path, target)
        taken = target.read_bytes()
        assert taken[:8] == b"\x89PNG\r\n\x1a\n"
        assert (int.from_bytes(taken[16:20]), int.from_bytes(taken[20:24])) == (WIDTH, HEIGHT)
        assert 1_000 < len(taken) < MOST_BYTES
