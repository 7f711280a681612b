"""The report in a real browser, offline: the charts are drawn, nothing errs, and nothing is wider than the screen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from samples.browsing import MARKS, browse, probed
from samples.report_samples import sample

from embargo.research.pages.page import write_page
from embargo.research.run.report import ReportData, render_page

pytestmark = MARKS

LOOK = """
  const press = async (button) => { button.click(); await pause(200); };
  const plot = inner.getElementById("chart-equity").plot;
  const outside = () => escaping(".scroll, svg, .unseen, pre");
  const shaded = () => plot.traces.filter((trace) => trace.fill === "toself").map((trace) => trace.name);
  const curves = () => plot.traces.filter((trace) => trace.yaxis === "y2").length;
  const ink = () => view.getComputedStyle(plot.svg.querySelector(".line")).stroke;
  Object.assign(seen, {
    theme: root.dataset.theme, escaping: outside(), scripts: inner.scripts.length,
    charts: charts((figure) => ({
      drawn: figure.dataset.drawn, svgs: figure.querySelectorAll("svg.plot").length,
      marks: figure.querySelectorAll(".trace path, .trace rect").length,
      legend: figure.querySelectorAll(".legend button").length,
      width: figure.querySelector("svg.plot")?.getBoundingClientRect().width,
      room: figure.getBoundingClientRect().width,
    })),
    scale: [plot.axes.yaxis2.kind], shaded: [shaded()], ink: [ink()], curves: [],
  });
  await press(inner.querySelector('button[data-value="log"]'));
  seen.scale.push(plot.axes.yaxis2.kind);
  for (const button of all('button[data-set="regime"]').slice(1)) { await press(button); seen.shaded.push(shaded()); }
  await press(inner.querySelector(".theme"));
  seen.ink.push(ink());
  seen.curves.push(curves());
  await press(inner.querySelector("#equity .legend button"));
  seen.curves.push(curves());
  view.scrollTo({top: root.scrollHeight / 2, behavior: "instant"});
  await pause(200);
  const stamp = inner.querySelector(".stamp");
  seen.scrolled = view.scrollY;
  seen.stamp = stamp && stamp.getBoundingClientRect().top;
  seen.watermark = stamp && inner.querySelector(".watermark").getBoundingClientRect().top;
  for (const part of all("details")) part.open = true;
  await pause(200);
  seen.neededOpen = root.scrollWidth;
  seen.escapingOpen = outside();
"""


def probe(folder: Path, data: ReportData, width: int, *flags: str) -> dict[str, Any]:
    """Write the report, open it, and return what the probe saw."""
    return probed(write_page(render_page(data), folder / "report.html"), width, *flags, look=LOOK)


def assert_sound(seen: dict[str, Any], width: int) -> None:
    """Everything that must hold of any report at any width and in any theme."""
    assert seen["ready"] == "ready"
    assert seen["console"] == []
    assert seen["requested"] == []
    assert seen["injected"] == "no"
    assert seen["width"] == width
    assert max(seen["needed"], seen["neededOpen"]) <= width
    assert seen["escaping"] == seen["escapingOpen"] == []
    assert set(seen["charts"]) == {"equity", "regimes", "permutation", "reliability", "folds"}
    for name, chart in seen["charts"].items():
        assert chart["drawn"] == "yes", name
        assert chart["svgs"] >= 1, name
        assert chart["marks"] >= 3, name
        assert chart["legend"] >= 2, name
        assert 0.9 * chart["room"] < chart["width"] <= chart["room"] + 1, name


@pytest.mark.parametrize(("width", "status"), [(1280, "valid"), (400, "invalid")])
def test_charts_are_drawn_and_fit_the_screen(tmp_path: Path, width: int, status: str) -> None:
    seen = probe(tmp_path, sample(status), width)
    assert_sound(seen, width)
    assert seen["theme"] == "light"
    assert seen["scale"] == ["linear", "log"]
    assert seen["shaded"] == [
        ["trend: bear", "trend: bull", "trend: flat"],
        ["volatility: calm", "volatility: turbulent"],
        [],
    ]
    assert seen["curves"] == [3, 2]
    assert seen["scrolled"] > 500
    if status == "invalid":
        assert seen["stamp"] == 0
        assert seen["watermark"] == 0


def test_dark_theme_repaints_the_charts(tmp_path: Path) -> None:
    seen = probe(tmp_path, sample("caution"), 1280, "--blink-settings=preferredColorScheme=0")
    assert_sound(seen, 1280)
    assert seen["theme"] == "dark"
    assert len(set(seen["ink"])) == 2


def test_hostile_text_runs_nothing_and_long_words_do_not_widen_the_page(tmp_path: Path) -> None:
    attack = '</script><script>window.injected = 1</script><img src=x onerror="window.injected = 1">'
    long_word = "sentiment" * 40
    clean = sample("invalid")
    assert clean.folds is not None
    assert clean.regime_table is not None
    data = sample(
        "invalid",
        name=f"{attack} {long_word}",
        stamp=f"{attack} {long_word}",
        verdict_headline=f"{long_word} {attack}",
        verdict_text=f"{attack} {long_word}",
        headline=[(f"{attack}{long_word}", f"{long_word}", attack), *clean.headline],
        folds=clean.folds.assign(fold=attack),
        regime_table=clean.regime_table.assign(regime=attack, note=long_word),
        equity=clean.equity.rename(columns={"buy and hold": f"{attack}{long_word}"}),
        findings=[{**clean.findings[0], "verdict": "leak", "title": attack, "detail": long_word, "remedy": long_word}],
        counts={long_word: {attack: 1}},
        config={long_word: attack},
        manifest={long_word: long_word},
    )
    for width in (400, 1280):
        seen = probe(tmp_path, data, width)
        assert seen["injected"] == "no"
        assert seen["requested"] == seen["console"] == []
        assert max(seen["needed"], seen["neededOpen"]) <= width, seen["escaping"]
        assert {chart["drawn"] for chart in seen["charts"].values()} == {"yes"}


def test_the_report_alone_dumps_drawn_charts_and_prints(tmp_path: Path) -> None:
    page = write_page(render_page(sample("invalid")), tmp_path / "report.html")
    done = browse(tmp_path, "--dump-dom", page.as_uri())
    assert done.stdout.count('class="plot"') >= 5
    assert "could not be drawn" not in done.stdout.split("</main>")[0]
    assert "CONSOLE" not in done.stderr
    browse(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'report.pdf'}", page.as_uri())
    pdf = (tmp_path / "report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type /Page\b", pdf)) <= 14


def test_values_are_told_and_dragging_zooms(tmp_path: Path) -> None:
    data = sample("valid")
    look = """
      const plot = inner.getElementById("chart-equity").plot;
      const box = plot.place.getBoundingClientRect();
      const x = (value) => box.left + plot.axes.xaxis.at(value);
      const fire = (kind, x, y) => plot.place.dispatchEvent(
        new view.PointerEvent(kind, {clientX: x, clientY: y, pointerType: "mouse", pointerId: 1, bubbles: true}));
      plot.place.setPointerCapture = () => {};
      const line = plot.traces[0], high = box.top + 120;
      fire("pointermove", x(line.x[100]) + 0.2, high);
      seen.tip = [...plot.tip.children].map((row) => row.textContent);
      fire("pointerdown", x(line.x[50]), high);
      fire("pointermove", x(line.x[200]), high + 3);
      fire("pointerup", x(line.x[200]), high + 3);
      seen.zoomed = plot.axes.xaxis.ends.map((end, place) => Math.abs(end - line.x[place ? 200 : 50]) / 864e5);
      seen.inside = plot.axes.yaxis2.ends;
      plot.place.dispatchEvent(new view.MouseEvent("dblclick"));
      seen.back = [plot.axes.xaxis.ends[0] === line.x[0], plot.axes.yaxis2.ends];
    """
    seen = probed(write_page(render_page(data), tmp_path / "report.html"), 1280, look=look)
    when, row = data.equity.index[100], data.equity.iloc[100]
    assert seen["tip"][0] == f"{when:%Y-%m-%d %H:%M} UTC"
    assert seen["tip"][1] == f"strategy: {row['strategy']:.3f}"
    assert len(seen["tip"]) == 1 + 2 * len(data.equity.columns)
    assert max(seen["zoomed"]) < 3.0
    growth = data.equity.iloc[50:200]
    assert seen["inside"][0] < growth.min().min() < growth.max().max() < seen["inside"][1]
    assert seen["inside"][1] - seen["inside"][0] < seen["back"][1][1] - seen["back"][1][0]
    assert seen["back"][0]
    assert seen["console"] == []
