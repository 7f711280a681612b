"""Every kind of page in a real browser: on a desk, a tablet and a telephone, light and dark, by mouse and keyboard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from samples.browsing import MARKS, Visit, assert_fits, style, unfold, violations
from samples.finished_runs import made, noise
from samples.page_samples import pages

from embargo.research.pages.page import write_page
from embargo.research.records.folders import list_runs
from embargo.research.studies import compare, listing

pytestmark = MARKS
SEED = 7_300_000
WIDTHS = (1440, 768, 390)
# Of A4 between its margins, in CSS pixels.
PAPER = 702
NAMES = (
    "report-invalid", "report-book", "signal-invalid", "sweep", "comparison-of-two",
    "comparison-of-many", "readers", "check", "listing",
)  # fmt: skip
# Boxes that scroll and that Tab does not reach.
OUT_OF_REACH = """boxes => boxes.filter((box) => box.scrollWidth > box.clientWidth + 1 && box.tabIndex !== 0)
  .map((box) => box.outerHTML.slice(0, 120))"""

# Axes of numbers that show no scale.
ONE_TICK = """charts => charts.flatMap((chart) => Object.values(chart.plot.axes)
  .filter((axis) => axis.kind === "linear" && axis.visible !== false && axis.showticklabels !== false)
  .filter((axis) => !axis.tickvals && axis.ticks.length < 2).map((axis) => `${chart.id} ${axis.name}`))"""

# Short words that are broken in the heads of rows and columns.
BROKEN = """heads => heads.flatMap((head) => {
  const texts = document.createTreeWalker(head, NodeFilter.SHOW_TEXT), found = [];
  for (let text = texts.nextNode(); text !== null; text = texts.nextNode()) {
    for (const word of text.data.matchAll(/[\\w.]{2,12}/g)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size > 1) found.push(word[0]);
    }
  }
  return found;
})"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of all kinds of pages by name."""
    folder = tmp_path_factory.mktemp("pages")
    found = pages(NAMES)
    statuses = ("valid", "caution", "invalid", "valid")
    runs = [
        made(folder / "runs" / f"run-{number}", returns + 0.001 * number, status=status)
        for number, (returns, status) in enumerate(zip(noise(SEED, others=3), statuses, strict=True))
    ]
    found["comparison-of-two"] = compare.render_page(compare.compare(runs[:2]))
    found["comparison-of-many"] = compare.render_page(compare.compare(runs, by="regime"))
    entries = listing.entries_of(list_runs(folder / "runs"), folder / "runs", folder / "no-ledger")
    found["listing"] = listing.render_page(entries, folder / "runs", folder / "listing.html")
    return {name: write_page(page, folder / f"{name}.html") for name, page in found.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_page_fits_every_screen_and_paper_and_can_be_read_by_everybody(
    visit: Visit, written: dict[str, Path], name: str
) -> None:
    with visit(written[name], WIDTHS[0]) as page:
        unfold(page)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert_fits(page)
            assert page.eval_on_selector_all("th", BROKEN) == []
        # On a telephone most tables scroll.
        assert violations(page) == []
        page.emulate_media(color_scheme="dark")
        page.wait_for_selector('html[data-theme="dark"]', state="attached")
        assert violations(page, tags=()) == []
        assert page.eval_on_selector_all(".scroll", OUT_OF_REACH) == []
        assert page.eval_on_selector_all(".chart", ONE_TICK) == []
        page.set_viewport_size({"width": PAPER, "height": 900})
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert_fits(page, apart="svg, .unseen")


def test_the_theme_is_remembered(visit: Visit, written: dict[str, Path]) -> None:
    with visit(written["sweep"], 1440) as page:
        ground = [*style(page, "body", "backgroundColor")]
        page.get_by_role("button", name="Light or dark").click()
        ground += style(page, "body", "backgroundColor")
        page.reload()
        page.wait_for_selector('html[data-charts="ready"]', state="attached")
        ground += style(page, "body", "backgroundColor")
        assert page.locator("html").get_attribute("data-theme") == "dark"
        page.get_by_role("button", name="Light or dark").press("Enter")
        ground += style(page, "body", "backgroundColor")
    light, dark = ground[:2]
    assert ground == [light, dark, dark, light]
    assert light != dark


def test_a_wide_table_scrolls_by_keyboard(visit: Visit, written: dict[str, Path]) -> None:
    with visit(written["comparison-of-many"], 390) as page:
        table = page.locator(".scroll.beyond").first
        table.focus()
        assert table.evaluate("box => box === document.activeElement && box.scrollLeft === 0")
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(300)
        assert table.evaluate("box => box.scrollLeft") > 20
        assert style(page, ".scroll:focus-visible", "outlineStyle") == ["solid"]


def test_what_is_folded_is_not_printed_and_charts_are_whole(visit: Visit, written: dict[str, Path]) -> None:
    with visit(written["report-book"], 1440, theme="dark") as page:
        folded = page.locator("details:not([open])").count()
        pdf = page.pdf(prefer_css_page_size=True, print_background=True)
        assert page.locator("details:not([open])").count() == folded > 3
        assert page.locator("html").get_attribute("data-theme") == "dark"
    assert len(re.findall(rb"/Type /Page\b", pdf)) <= 12
