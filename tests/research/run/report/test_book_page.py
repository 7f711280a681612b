"""The part of the report on where the result came from: drawn in a real browser, foldable, and deaf to hostile text."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from samples.books_shown import book_shown
from samples.browsing import MARKS, Visit, assert_fits, unfold
from samples.report_samples import sample

from embargo.research.pages import formats
from embargo.research.pages.compact import Columns
from embargo.research.pages.page import write_page
from embargo.research.run.report import ReportData, render_page
from embargo.research.run.report.book import AIDS, book_part, sides_table, symbols_table
from embargo.research.run.report.book_charts import waterfall

ATTACK = '</script><script>window.injected = 1</script><img src=x onerror="window.injected = 1">'
CHARTS = {"rolling", "exposure", "costs", "contributions", "horizons", "decay", "trades"}
PRICES = """chart => chart.plot.traces.find((trace) => trace.name === "price at the fills").y.slice(0, 5)"""


def shown(names: tuple[str, ...] = (), text: str = "Profit up.") -> ReportData:
    book, sources = book_shown(names=names, text=text) if names else book_shown(text=text)
    return sample("valid", book=book, book_sources=sources)


@MARKS[0]
@MARKS[1]
def test_it_is_drawn_and_fits_the_screen(visit: Visit, tmp_path: Path) -> None:
    names = (ATTACK, "long" * 60, "CORM", "DELE")
    data = shown(names, f"{ATTACK} {'unbroken' * 30}")
    assert data.book is not None
    with visit(write_page(render_page(data), tmp_path / "report.html"), 1280) as page:
        drawn = {chart.get_attribute("data-chart") for chart in page.locator("figure[data-chart]").all()}
        assert drawn >= CHARTS
        choice = page.locator("select[data-choice]")
        options = choice.locator("option").evaluate_all("all => all.map((option) => option.value)")
        assert set(options) == set(names)
        for name in options[:2]:
            choice.select_option(name)
            prices = data.book.values[name].to_numpy()
            assert page.eval_on_selector("#chart-trades", PRICES) == [
                pytest.approx(price, rel=1e-4) for price in prices[:5]
            ]
        legend = page.locator('figure[data-chart="trades"] .legend button:visible').all_inner_texts()
        assert {"price at the fills", "weight held", "goes long", "article, positive"} <= set(legend)
        unfold(page)
        cells = page.locator("#days td:last-child")
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert_fits(page)
            # What was read is what the table is for: on a telephone it stands below, not beyond the edge.
            assert max(cells.evaluate_all("all => all.map((cell) => cell.getBoundingClientRect().right)")) <= width


def test_every_figure_says_how_to_read_it_and_what_would_make_it_worthless() -> None:
    page = unescape(render_page(shown()))
    for aid in AIDS.values():
        assert page.count(aid.read) == page.count(aid.worthless) == 1
    assert page.count("How to read it:") == page.count("Worthless where:") == len(AIDS)


def test_hostile_text_stays_text() -> None:
    page = render_page(shown((ATTACK, "BEXM"), ATTACK))
    assert ATTACK not in page
    assert page.count("window.injected") > 20
    for block in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL):
        assert not set("<>&") & set(block)


def test_parts_add_up_to_the_return_as_printed() -> None:
    book, _ = book_shown(names=tuple(f"S{place:02d}" for place in range(60)))
    total = float(book.contributions["total"].sum() + book.over_time["carry"].sum())
    assert waterfall(book.contributions, book.over_time)["step"].sum() == pytest.approx(total, abs=1e-14)
    assert len(waterfall(book.contributions, book.over_time)) == 22

    def number(text: str) -> float:
        return float(text.rstrip("%").replace("−", "-").replace(",", ""))

    rows = symbols_table(book).rows
    assert rows[-1][1] == formats.fine_percent(total)
    assert sum(number(row[1]) for row in rows[:-1]) == pytest.approx(100 * total, abs=0.006 * len(rows))
    assert len(rows) == 20 + 3
    sides = {row[0]: number(row[1]) for row in sides_table(book).rows}
    parts = sides["Long positions"] + sides["Short positions"] + sides["Borrow, interest and funding"]
    assert parts == pytest.approx(sides["Total return"], abs=0.016)


def test_a_long_run_of_many_symbols_stays_light() -> None:
    book, sources = book_shown(bars=6_000, names=tuple(f"S{place:03d}" for place in range(120)))
    page = render_page(sample("valid", bars=6_000, freq="h", book=book, book_sources=sources))
    assert len(page.encode()) < 1_000_000
    assert "of 6,000 bars: the highest and the lowest of every stretch is kept" in page


def test_without_a_book_there_is_no_part() -> None:
    assert book_part(None, Columns(), level=0.95, sources=None) is None
    assert "over-time" not in render_page(sample("valid"))
