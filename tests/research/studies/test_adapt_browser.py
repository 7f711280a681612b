"""The page of readers on a telephone: names do not lie on each other, and how well a reader reads is seen first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from samples.browsing import MARKS, Visit, style
from samples.page_samples import readers

from embargo.research.pages.page import write_page
from embargo.research.studies.adapt import render_page

pytestmark = MARKS
OVER = """notes => {
  const boxes = notes.map((note) => note.getBoundingClientRect());
  return boxes.flatMap((a, place) => boxes.slice(place + 1).filter((b) =>
    a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 2 && b.top < a.bottom - 2)).length;
}"""
# Heads that can be read before anything is scrolled.
HEADS = """scroll => [...scroll.querySelectorAll("thead th")]
  .filter((head) => head.getBoundingClientRect().right <= scroll.getBoundingClientRect().right)
  .map((head) => head.textContent)"""


@pytest.mark.parametrize("width", [390, 1280])
def test_ten_readers_that_are_alike_can_be_told_apart(visit: Visit, tmp_path: Path, width: int) -> None:
    found = readers()
    like = [replace(found.rows[1], name=f"reader {place}", macro_f1=0.7 + 0.001 * place) for place in range(8)]
    page = render_page(replace(found, rows=[*found.rows[:4], *like]))
    with visit(write_page(page, tmp_path / "readers.html"), width) as shown:
        assert shown.locator("#chart-quality .note").count() == 12
        assert shown.eval_on_selector_all("#chart-quality .note", OVER) == 0
        heads = shown.eval_on_selector("#readers .scroll", HEADS)
        assert heads[:2] == ["Reader, advice, knowledge", "Accuracy (95%)"]
        hints = style(shown, ".scroll.beyond", "content", "::before")
        assert all("goes on" in hint for hint in hints)
        assert (len(hints) > 2) == (width < 400)
