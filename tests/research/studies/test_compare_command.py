"""``embargo compare``: what it prints and draws, that text from outside stays text, and a comparison of real runs."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from samples.browsing import MARKS, Visit, assert_fits
from samples.finished_runs import articles, bars, made, noise, regimes_on
from samples.small_runs import SWEPT, settings
from samples.small_runs import embargo as command
from typer.testing import Result

from embargo.research.pages.page import write_page
from embargo.research.studies.compare import print_comparison, render_page
from embargo.research.studies.compare.charts import difference_chart, growth_of, sharpe_chart
from embargo.research.studies.compare.comparison import Comparison, compare
from embargo.research.studies.compare.tables import bayes_text, headline, sentences

ATTACK = '</script><script>window.injected = 1</script><img src=x onerror="window.injected = 1">[bold]'
NAME = 'x [red]<img src=y onerror="window.injected = 1">'


def embargo(*arguments: str | Path) -> Result:
    return command("compare", *arguments)


def told(result: Result) -> str:
    return " ".join(result.output.split())


def printed(found: Comparison, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_comparison(console, found)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("three")
    base, like, good = noise(1, others=2)
    return [
        made(folder / "base", base, judged=articles(1, 1.0)),
        made(folder / "like", like, judged=articles(2, 1.0)),
        made(folder / "good", good + 0.004, costs=0.0),
    ]


@pytest.fixture(scope="module")
def found(three: list[Path]) -> Comparison:
    return compare(three, by="regime")


def test_the_terminal_says_what_the_page_and_the_figures_say(three: list[Path], tmp_path: Path) -> None:
    page, figures = tmp_path / "page.html", tmp_path / "figures.json"
    result = embargo(*three, "--by", "regime", "--html", page, "--json", figures)
    assert result.exit_code == 0, result.output
    words, text = told(result), page.read_text(encoding="utf-8")
    assert "good has a higher Sharpe ratio than base." in words
    assert "good has a higher Sharpe ratio than base." in text
    document = json.loads(figures.read_text())
    row = next(row for row in document["differences"] if row["run"] == "like")
    assert f"{row['difference']:.2f}".replace("-", "−") in words
    assert "for 2 comparisons" in words
    assert "good assumes other trading than base (costs.slippage)" in words
    assert "Settings that differ setting ┃ base ┃ like ┃ good" in words
    assert "costs.slippage │ 0.0005 │ 0.0005 │ 0" in words
    assert "Unsealed, so that changes after the run cannot be noticed: base, like, good." in words
    assert f"Page: {page}" in result.output.replace("\n", "")
    for regime in ("bull", "bear", "sideways", "calm", "turbulent"):
        assert regime in words, regime


def test_without_regimes_there_are_none(three: list[Path], tmp_path: Path) -> None:
    result = embargo(*three[:2], "--html", tmp_path / "page.html")
    assert "A difference to base over all bars is not shown" in told(result)
    assert "turbulent" not in result.output
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert 'id="regimes"' not in page
    assert 'id="differences"' in page


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["base"], 2, "two runs or more"),
        (["base", "nowhere"], 1, "no such run"),
        (["base", "base"], 2, "named twice"),
        (["base", "like", "--by", "weather"], 2, "one of trend, volatility"),
        (["base", "like", "--against", "ghost"], 2, "not one of the runs compared"),
        (["base", "like", "--html", "nowhere/page.html"], 1, "does not exist"),
    ],
)
def test_misuse_is_told(three: list[Path], arguments: list[str], status: int, words: str, tmp_path: Path) -> None:
    folder = three[0].parent
    result = embargo(*(folder / word if (folder / word).exists() or word == "nowhere" else word for word in arguments))
    assert result.exit_code == status, result.output
    assert words in told(result)


def test_an_invalid_run_is_stamped_everywhere(tmp_path: Path) -> None:
    base, other = noise(2)
    runs = [made(tmp_path / "base", base), made(tmp_path / "leaked", other + 0.01, status="invalid")]
    result = embargo(*runs, "--html", tmp_path / "page.html", "--json", tmp_path / "figures.json")
    assert result.exit_code == 0
    assert "Invalid: leaked saw the future." in told(result)
    assert "higher Sharpe ratio than" not in told(result)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert '<div class="stamp invalid"' in page
    assert "INVALID: the audit of leaked found a leak" in page
    assert "found a leak" in json.loads((tmp_path / "figures.json").read_text())["cautions"][0]
    clean = made(tmp_path / "clean", other)
    assert '<div class="stamp' not in render_page(compare([runs[0], clean]))


def test_text_from_outside_stays_text(tmp_path: Path) -> None:
    base, other = noise(3)
    labels = regimes_on(bars(400)).replace("calm", ATTACK).rename(columns={"trend": ATTACK})
    runs = [
        made(tmp_path / NAME, base, labels=labels, name=ATTACK),
        made(tmp_path / "other", other, labels=labels, name="other"),
    ]
    hostile = compare(runs, by="regime")
    page = render_page(hostile)
    assert ATTACK not in page
    assert "<img src=" not in page
    assert "[bold]" in printed(hostile, 300)
    assert "[red]" in printed(hostile, 300)


def test_the_same_comparison_gives_the_same_page(found: Comparison, three: list[Path], tmp_path: Path) -> None:
    again = compare(three, by="regime")
    write_page(render_page(again), tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == render_page(found)


def test_growth_starts_at_one_and_compounds(found: Comparison) -> None:
    growth = growth_of(found)
    assert (growth.iloc[0] == 1.0).all()
    assert growth.iloc[-1].to_numpy() == pytest.approx((1.0 + found.returns).prod().to_numpy())
    assert len(growth) == len(found.returns) + 1


def test_many_small_cells_are_counted_in_words(found: Comparison) -> None:
    (trend,) = [line for line in sentences(found) if line.startswith("By trend")]
    assert trend.endswith("Not judged: bear (fewer than 60 rows); unlabelled (the regime could not be told).")
    assert "of 4 differences" in trend


def test_a_regime_without_figures_says_why(found: Comparison, tmp_path: Path) -> None:
    base, other = noise(13)
    labels = regimes_on(bars(400)).assign(trend="unlabelled", volatility="calm")
    runs = [made(tmp_path / name, values, labels=labels) for name, values in (("one", base), ("two", other))]
    whole = compare(runs, by="regime")
    trend, volatility = sentences(whole)[-2:]
    assert trend == "By trend, no difference is judged: unlabelled (the regime could not be told)."
    assert volatility == "By volatility, every bar is calm: the figures are those of all bars."
    for chart in (sharpe_chart(whole), difference_chart(whole)):
        (texts,) = [trace.text for trace in chart.figure.data if trace.mode == "text"]
        assert [text.strip() for text in texts] == ["the regime could not be told"]
    (texts,) = [trace.text for trace in sharpe_chart(found).figure.data if trace.mode == "text"]
    assert "fewer than 60 rows: not judged" in texts[0]


def test_a_headline_over_all_bars_does_not_speak_for_every_regime(tmp_path: Path) -> None:
    base, other = noise(14)
    calm = (regimes_on(bars(400))["volatility"] == "calm").to_numpy()
    shifted = other + np.where(calm, 0.006, -0.006)
    runs = [made(tmp_path / name, values) for name, values in (("base", base), ("split", shifted))]
    split = compare(runs, by="volatility")
    assert headline(split) == "A difference to base over all bars is not shown: chance could have made what there is."
    assert "2 are significant" in sentences(split)[-1]


def test_a_tie_is_no_win(tmp_path: Path) -> None:
    base, _ = noise(4)
    same = compare([made(tmp_path / "base", base), made(tmp_path / "twin", base)], by="regime")
    assert headline(same) == "No run can be tested against base."
    assert "the same returns" in sentences(same)[0]
    assert "Nothing to ask" in render_page(same)
    assert bayes_text(None) == "–"
    assert (bayes_text(12345.0), bayes_text(0.001), bayes_text(2.5)) == ("> 1,000", "< 0.01", "2.50")


def test_what_does_not_survive_correction_is_no_finding(found: Comparison) -> None:
    lucky = found.differences.assign(p_value=0.03, p_value_holm=0.06)
    assert headline(replace(found, differences=lucky)).startswith("A difference to base over all bars is not shown")
    assert "none is significant after Holm's correction" in sentences(replace(found, differences=lucky))[-1]
    lenient = replace(found, differences=lucky, figures=found.figures | {"significance": 0.1})
    assert not headline(lenient).startswith("A difference to base over all bars is not shown")
    sure = found.differences.assign(p_value=0.01, p_value_holm=0.03, difference=-1.0)
    assert headline(replace(found, differences=sure)) == "like and good have a lower Sharpe ratio than base."


@pytest.mark.parametrize("width", [60, 100, 200])
def test_every_figure_survives_a_narrow_terminal(found: Comparison, width: int) -> None:
    lines = printed(found, width).splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in printed(found, width)


@MARKS[0]
@MARKS[1]
def test_charts_are_drawn_and_nothing_from_outside_runs(visit: Visit, tmp_path: Path) -> None:
    base, other = noise(3)
    labels = regimes_on(bars(400)).replace("calm", ATTACK)
    runs = [made(tmp_path / NAME, base, labels=labels, name=ATTACK), made(tmp_path / "other", other, labels=labels)]
    page = write_page(render_page(compare(runs, by="regime")), tmp_path / "page.html")
    with visit(page, 1280) as shown:
        drawn = {chart.get_attribute("data-chart") for chart in shown.locator("figure[data-chart]").all()}
        assert drawn == {"growth", "sharpes", "apart"}
        legend = shown.locator('figure[data-chart="growth"] .legend button:visible').all_inner_texts()
        assert legend[:2] == [NAME, "other"]
        # On leaving, the page is held to what every page promises: here on a telephone too.
        assert_fits(shown)
        shown.set_viewport_size({"width": 390, "height": 900})


@pytest.mark.slow
def test_runs_of_the_pipeline_can_be_compared(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SWEPT.replace("strength = 0.0", "strength = 1.0"))
    for name, half_life in (("fast", 1), ("slow", 10)):
        result = command(
            "run", tmp_path / "small.toml", "--out", tmp_path / "runs", "--cache", tmp_path / "cache",
            *settings(f"name={name}", f"signal.half_life={half_life}"),
        )  # fmt: skip
        assert result.exit_code == 0, result.output
    folders = sorted(path.parent for path in (tmp_path / "runs").glob("*/metrics.json"))
    result = embargo(*folders, "--by", "regime", "--html", tmp_path / "page.html", "--json", tmp_path / "figures.json")
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in folders]
    cells = pd.DataFrame(figures["cells"]).set_index(["definition", "regime", "run"]).sort_index()
    overall = [row for row in figures["cells"] if row["definition"] == "all bars"]
    for row, known in zip(overall, metrics, strict=True):
        # The run's own report and a comparison on all of its bars must not contradict each other.
        assert row["sharpe"] == pytest.approx(known["sharpe"])
        assert (row["low"], row["high"]) == pytest.approx((known["sharpe_low"], known["sharpe_high"]))
        for definition, regime in (("trend", "bull"), ("volatility", "turbulent")):
            cell = cells.loc[(definition, regime, row["run"])]
            assert cell["sharpe"] == pytest.approx(known["regimes"][definition][regime]["sharpe"])
    assert figures["settings"].keys() == {"name", "signal.half_life"}
    assert len(pd.DataFrame(figures["differences"])) >= 3
