"""The page of readers on a telephone: names do not lie on each other, and how well a reader reads is seen first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from samples.browsing import MARKS, probed
from samples.page_samples import readers

from embargo.research.pages.page import write_page
from embargo.research.studies.adapt import render_page

pytestmark = MARKS
LOOK = """
  const boxes = all("#chart-quality .note").map((note) => note.getBoundingClientRect());
  seen.names = all("#chart-quality .note").map((note) => note.textContent);
  seen.over = boxes.flatMap((a, place) => boxes.slice(place + 1).filter((b) =>
    a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 2 && b.top < a.bottom - 2)).length;
  const table = inner.querySelector("#readers .scroll"), heads = [...table.querySelectorAll("thead th")];
  seen.heads = heads.filter((head) => head.getBoundingClientRect().right <= table.getBoundingClientRect().right)
    .map((head) => head.textContent);
  seen.hints = all(".scroll").filter((part) => part.scrollWidth > part.clientWidth + 1)
    .map((part) => view.getComputedStyle(part, "::before").content);
"""


@pytest.mark.parametrize("width", [390, 1280])
def test_ten_readers_that_are_alike_can_be_told_apart(tmp_path: Path, width: int) -> None:
    found = readers()
    like = [replace(found.rows[1], name=f"reader {place}", macro_f1=0.7 + 0.001 * place) for place in range(8)]
    page = render_page(replace(found, rows=[*found.rows[:4], *like]))
    seen = probed(write_page(page, tmp_path / "readers.html"), width, look=LOOK)
    assert seen["needed"] <= seen["width"] == width
    assert len(seen["names"]) == 12
    assert seen["over"] == 0
    assert seen["heads"][:2] == ["Reader, advice, knowledge", "Accuracy (95%)"]
    assert all("goes on" in hint for hint in seen["hints"])
    assert (len(seen["hints"]) > 2) == (width < 400)
    assert seen["console"] == []
