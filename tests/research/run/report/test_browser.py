"""The report in a real browser, offline, with mouse and keyboard: the charts are drawn, answer, and fit the screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from samples.browsing import MARKS, Visit, assert_fits, style, unfold
from samples.report_samples import sample

from embargo.research.pages import formats
from embargo.research.pages.page import write_page
from embargo.research.run.report import ReportData, render_page

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = MARKS
ATTACK = '</script><script>window.injected = 1</script><img src=x onerror="window.injected = 1">'
CHARTS = {"equity", "regimes", "permutation", "reliability", "folds"}
MARKS_OF = """all => Object.fromEntries(all.map((figure) => [figure.dataset.chart, {
  marks: figure.querySelectorAll(".trace path, .trace rect").length,
  legend: figure.querySelectorAll(".legend button").length,
  width: figure.querySelector("svg.plot").getBoundingClientRect().width,
  room: figure.getBoundingClientRect().width,
}]))"""
SHADED = """chart => chart.plot.traces.filter((trace) => trace.fill === "toself").map((trace) => trace.name)"""
CURVES = """chart => chart.plot.traces.filter((trace) => trace.yaxis === "y2").length"""
SCALE = "chart => chart.plot.axes.yaxis2.kind"
ENDS = "chart => [chart.plot.axes.xaxis.ends, chart.plot.axes.yaxis2.ends]"
# Where on the screen a place on the axes is.
PIXEL = """(chart, at) => {
  const box = chart.getBoundingClientRect(), axes = chart.plot.axes;
  return [box.left + axes[at.across].at(at.x), box.top + axes[at.up].at(at.y)];
}"""
EQUITY = "#chart-equity"


def written(folder: Path, data: ReportData) -> Path:
    return write_page(render_page(data), folder / "report.html")


@pytest.fixture(scope="module")
def data() -> ReportData:
    return sample("valid")


@pytest.fixture(scope="module")
def valid(data: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a valid report once for all that only look at it: each opens it anew, in a profile of its own."""
    return written(tmp_path_factory.mktemp("valid"), data)


def assert_drawn(page: Page) -> None:
    """Every chart holds marks and a legend, and fills the room that it has."""
    found = page.eval_on_selector_all("figure[data-chart]", MARKS_OF)
    assert set(found) == CHARTS
    for name, chart in found.items():
        assert chart["marks"] >= 3, name
        assert chart["legend"] >= 2, name
        assert 0.9 * chart["room"] < chart["width"] <= chart["room"] + 1, name


def point_at(page: Page, chart: str, x: float, y: float, across: str = "xaxis", up: str = "yaxis") -> None:
    """Move the mouse to a place on a chart's axes."""
    page.locator(chart).scroll_into_view_if_needed()
    at: dict[str, Any] = {"x": x, "y": y, "across": across, "up": up}
    page.mouse.move(*page.eval_on_selector(chart, PIXEL, at))


@pytest.mark.parametrize(("width", "status"), [(1280, "valid"), (400, "invalid")])
def test_charts_are_drawn_and_fit_the_screen(
    visit: Visit, valid: Path, tmp_path: Path, width: int, status: str
) -> None:
    with visit(valid if status == "valid" else written(tmp_path, sample(status)), width) as page:
        assert_drawn(page)
        unfold(page)
        assert_fits(page)
        page.evaluate("scrollTo({top: document.documentElement.scrollHeight / 2, behavior: 'instant'})")
        assert page.evaluate("scrollY") > 500
        tops = page.eval_on_selector_all(
            ".stamps, .watermark", "all => all.map((one) => one.getBoundingClientRect().y)"
        )
        assert tops == ([0, 0] if status == "invalid" else [])


def test_controls_and_legend_change_what_is_drawn(visit: Visit, valid: Path) -> None:
    with visit(valid, 1280) as page:
        chart = page.locator(EQUITY)
        assert chart.evaluate(SCALE) == "linear"
        page.get_by_role("button", name="Log", exact=True).click()
        assert chart.evaluate(SCALE) == "log"
        shaded = [chart.evaluate(SHADED)]
        for button in page.locator("#equity button[data-set=regime]").all()[1:]:
            button.click()
            shaded.append(chart.evaluate(SHADED))
        assert shaded == [
            ["trend: bear", "trend: bull", "trend: flat"],
            ["volatility: calm", "volatility: turbulent"],
            [],
        ]
        # The legend, by mouse and by keyboard.
        first = page.locator("#equity .legend button").first
        curves = [chart.evaluate(CURVES)]
        first.click()
        assert first.get_attribute("aria-pressed") == "false"
        curves.append(chart.evaluate(CURVES))
        first.focus()
        page.keyboard.press("Space")
        assert first.get_attribute("aria-pressed") == "true"
        assert [*curves, chart.evaluate(CURVES)] == [3, 2, 3]


def test_dark_theme_repaints_the_charts(visit: Visit, tmp_path: Path) -> None:
    with visit(written(tmp_path, sample("caution")), 1280, theme="dark") as page:
        assert_drawn(page)
        theme, line = page.locator("html"), f"{EQUITY} .line"
        assert theme.get_attribute("data-theme") == "dark"
        dark = style(page, line, "stroke")
        page.locator(".theme").click()
        assert theme.get_attribute("data-theme") == "light"
        assert style(page, line, "stroke") != dark


def test_hostile_text_runs_nothing_and_long_words_do_not_widen_the_page(visit: Visit, tmp_path: Path) -> None:
    long_word = "sentiment" * 40
    clean = sample("invalid")
    assert clean.folds is not None
    assert clean.regime_table is not None
    data = sample(
        "invalid",
        name=f"{ATTACK} {long_word}",
        stamp=f"{ATTACK} {long_word}",
        verdict_headline=f"{long_word} {ATTACK}",
        verdict_text=f"{ATTACK} {long_word}",
        headline=[(f"{ATTACK}{long_word}", f"{long_word}", ATTACK), *clean.headline],
        folds=clean.folds.assign(fold=ATTACK),
        regime_table=clean.regime_table.assign(regime=ATTACK, note=long_word),
        equity=clean.equity.rename(columns={"buy and hold": f"{ATTACK}{long_word}"}),
        findings=[{**clean.findings[0], "verdict": "leak", "title": ATTACK, "detail": long_word, "remedy": long_word}],
        counts={long_word: {ATTACK: 1}},
        config={long_word: ATTACK},
        manifest={long_word: long_word},
    )
    with visit(written(tmp_path, data), 1280) as page:
        unfold(page)
        assert_fits(page)
        page.set_viewport_size({"width": 400, "height": 900})
        assert_fits(page)


def test_values_are_told_and_dragging_zooms(visit: Visit, valid: Path, data: ReportData) -> None:
    when, row = data.equity.index[100], data.equity.iloc[100]
    at = {place: data.equity.index[place].timestamp() * 1e3 for place in (50, 100, 200)}
    middle = float(row["strategy"])
    with visit(valid, 1280) as page:
        tip, chart = page.locator(f"{EQUITY} .tip > div"), page.locator(EQUITY)
        point_at(page, EQUITY, at[100], middle, up="yaxis2")
        told = tip.all_inner_texts()
        assert told[0] == f"{when:%Y-%m-%d %H:%M} UTC"
        assert told[1] == f"strategy: {row['strategy']:.3f}"
        assert len(told) == 1 + 2 * len(data.equity.columns)
        home = chart.evaluate(ENDS)
        point_at(page, EQUITY, at[50], middle, up="yaxis2")
        page.mouse.down()
        point_at(page, EQUITY, at[200], middle, up="yaxis2")
        page.mouse.up()
        across, inside = chart.evaluate(ENDS)
        assert across == pytest.approx([at[50], at[200]], abs=3 * 864e5)
        growth = data.equity.iloc[50:200]
        assert inside[0] < growth.min().min() < growth.max().max() < inside[1]
        assert inside[1] - inside[0] < home[1][1] - home[1][0]
        chart.dblclick(position={"x": 600, "y": 120})
        assert chart.evaluate(ENDS) == home


def test_a_bar_and_a_mark_say_the_figures_that_they_were_drawn_from(
    visit: Visit, valid: Path, data: ReportData
) -> None:
    assert data.regime_table is not None
    assert data.permutation is not None
    counts, edges = data.permutation["counts"], data.permutation["edges"]
    place, regime = int(np.argmax(counts)), data.regime_table.iloc[0]
    with visit(valid, 1280) as page:
        tip = page.locator("#chart-permutation .tip")
        page.locator("#chart-permutation rect.bar").nth(place).hover()
        between = f"{formats.ratio(edges[place])} to {formats.ratio(edges[place + 1])}"
        assert tip.inner_text() == f"{between}: {counts[place]:,.0f}"
        page.mouse.move(1, 1)
        assert tip.is_hidden()
        point_at(page, "#chart-regimes", float(regime["sharpe"]), 0.0)
        assert page.locator("#chart-regimes .tip > div").all_inner_texts() == [
            f"{regime['definition']}: {regime['regime']}",
            f"Sharpe {formats.ratio(regime['sharpe'])}, interval {formats.interval((regime['low'], regime['high']))}",
        ]
