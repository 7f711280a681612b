"""Many runs side by side: the heat map tells what the figures tell, nobody beats the unbeaten, noise is named."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.browsing import MARKS, Visit, assert_fits, style
from samples.finished_runs import YEAR, made, noise
from samples.small_runs import embargo

from embargo.data_loaders.errors import DataError
from embargo.research.pages import formats
from embargo.research.pages.page import write_page
from embargo.research.records.finished import read_run
from embargo.research.run.pipeline import Outcome
from embargo.research.studies.compare import as_document, render_page
from embargo.research.studies.compare.charts import regime_name
from embargo.research.studies.compare.comparison import Comparison, _cost, compare
from embargo.research.studies.compare.judgement import unbeaten
from embargo.research.studies.compare.many import heat_of, pareto_chart
from embargo.research.studies.compare.rows import fared
from embargo.research.studies.compare.tables import noise_sentence, sentences

SEED = 7_300_000
HOSTILE = 'x <img src=y onerror="window.injected = 1">'
NAMES = ("base", "slow", "fast", "leaked", HOSTILE)
TURNOVERS = dict(zip(NAMES, (0.1, 0.02, 0.5, 0.001, 0.3), strict=True))
PAID = dict(zip(NAMES, (0.0002, 0.0001, 0.00005, 0.00001, 0.0003), strict=True))
GAINS = dict(zip(NAMES, (0.0, 0.0, 0.006, 0.02, -0.001), strict=True))


def with_turnover(run: Path, turnover: float | str | None) -> Path:
    account = pd.read_parquet(run / "account.parquet")
    (account.drop(columns="turnover") if turnover is None else account.assign(turnover=turnover)).to_parquet(
        run / "account.parquet"
    )
    return run


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("five")
    returns = noise(SEED, others=len(NAMES) - 1)
    return [
        with_turnover(
            made(
                place / name,
                each + GAINS[name],
                status="invalid" if name == "leaked" else "valid",
                paid=PAID[name],
            ),
            TURNOVERS[name],
        )
        for name, each in zip(NAMES, returns, strict=True)
    ]


@pytest.fixture(scope="module")
def found(five: list[Path]) -> Comparison:
    return compare(five, by="regime")


def test_the_heat_map_tells_what_the_figures_tell(found: Comparison) -> None:
    page = render_page(found)
    panel = page[page.index('id="glance"') : page.index('id="runs"')]
    head = re.findall(r'<th scope="col" class="num">(.*?)<span class="interval">([\d,]+) bars', panel)
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', panel)
    places = {(regime_name(row.definition, row.regime), row.run): row for row in fared(found)}
    assert len(rows) == len(NAMES)
    for name, texts in rows:
        run = html.unescape(re.sub(" <span.*", "", name))
        shown = [html.unescape(re.sub("<[^>]+>", "", text)) for text in re.findall(r"<td[^>]*>(.*?)</td>", texts)]
        assert len(shown) == len(head) == 7
        for (column, bars), text in zip(head, shown, strict=True):
            row = places[(column, run)]
            assert bars == str(row.n_bars)
            known = not formats.is_missing(row.sharpe)
            assert text == (formats.ratio(row.sharpe) if known else row.note.removesuffix(": not judged"))
    assert places[("trend: bear", "base")].n_bars == 30
    assert panel.count("fewer than 60 rows") == len(NAMES)


def test_the_best_run_comes_first_and_shades_follow_size(found: Comparison) -> None:
    heat = heat_of(found)
    overall = found.cells[found.cells["definition"] == "all bars"].set_index("run")["sharpe"].astype(float)
    assert [row.run for row in heat.rows] == overall.sort_values(ascending=False).index.tolist()
    shades = [(cell.strength, cell.side) for row in heat.rows for cell in row.cells if cell.numeric]
    assert max(strength for strength, _ in shades) == 1.0
    assert {side for _, side in shades} == {"up", "down"}
    told = [cell for row in heat.rows for cell in row.cells if cell.numeric and cell.text != formats.ratio(0.0)]
    assert all((cell.side == "down") == cell.text.startswith("−") for cell in told)


def test_the_plot_stands_on_turnover_of_the_common_bars(found: Comparison) -> None:
    assert found.figures["turnover"] == pytest.approx({name: YEAR * each for name, each in TURNOVERS.items()})
    chart = pareto_chart(found)
    assert chart is not None
    points = {
        told.split("<br>")[0]: (trace.name, x, y)
        for trace in chart.figure.data
        for told, x, y in zip(trace.customdata, trace.x, trace.y, strict=True)
    }
    overall = found.cells[found.cells["definition"] == "all bars"].set_index("run")["sharpe"]
    assert len(points) == len(NAMES)
    for name in NAMES:
        _, x, y = points[html.escape(name, quote=False)]
        assert (x, y) == pytest.approx((YEAR * TURNOVERS[name], overall[name]))
    kinds = {name: points[html.escape(name, quote=False)][0] for name in NAMES}
    assert kinds["leaked"] == "leak found, beats nobody"
    assert kinds["slow"] == kinds["fast"] == "unbeaten"
    assert kinds[HOSTILE] == "beaten"
    assert [name for name in kinds if kinds[name] == "unbeaten"] == sorted(found.figures["unbeaten"], key=NAMES.index)


def test_cost_is_what_the_common_bars_paid_of_their_mean_equity(five: list[Path], tmp_path: Path) -> None:
    returns = noise(SEED, others=len(NAMES) - 1)[0]
    late = made(tmp_path / "late", returns[100:] + 0.001, start="2019-05-22", paid=0.0004)
    found = compare([*five[:2], late])
    assert found.figures["n_bars"] == 300
    for name, made_of, paid, left_out in (
        ("base", returns + GAINS["base"], PAID["base"], 100), ("late", returns[100:] + 0.001, 0.0004, 0)
    ):  # fmt: skip
        equity = np.concatenate([[1.0], np.cumprod(1.0 + made_of)])[left_out:-1]
        assert found.figures["cost"][name] == pytest.approx(paid * YEAR / equity.mean(), rel=1e-12)


def test_cost_of_a_whole_run_is_that_of_its_metrics(small_run: Outcome) -> None:
    run = read_run(small_run.folder)
    total = small_run.metrics.costs_paid["total"]
    assert run.costs["paid"].sum() == pytest.approx(total.currency, rel=1e-9)
    assert _cost(run, pd.DatetimeIndex(run.returns.index)) == pytest.approx(total.per_year, rel=1e-9)
    assert run.costs["equity"].iloc[1:].tolist() == pytest.approx(
        pd.read_parquet(small_run.folder / "account.parquet")["equity"].iloc[:-1].tolist()
    )


def test_cost_is_the_other_axis(found: Comparison) -> None:
    chart = pareto_chart(found, "cost")
    assert chart is not None
    assert chart.note == ""
    costs = found.figures["cost"]
    points = {
        told.split("<br>")[0]: (trace.name, x, y)
        for trace in chart.figure.data
        for told, x, y in zip(trace.customdata, trace.x, trace.y, strict=True)
    }
    overall = found.cells[found.cells["definition"] == "all bars"].set_index("run")["sharpe"]
    for name in NAMES:
        _, x, y = points[html.escape(name, quote=False)]
        assert (x, y) == pytest.approx((costs[name], overall[name]))
    # The fast run pays least: on cost it alone is unbeaten, on turnover the slow one is too.
    assert found.figures["unbeaten_on_cost"] == ["fast"]
    assert points["slow"][0] == "beaten"
    assert points["leaked"][0] == "leak found, beats nobody"
    page = render_page(found)
    assert 'data-chart="pareto"' in page
    assert 'data-chart="pareto-cost"' in page
    assert "no cost by bar" not in page


def test_runs_without_costs_are_counted_and_named(five: list[Path], tmp_path: Path) -> None:
    old = made(tmp_path / "old", noise(SEED)[1])
    found = compare([*five[:2], old])
    assert found.figures["cost"]["old"] is None
    chart = pareto_chart(found, "cost")
    assert chart is not None
    told = "1 of 3 runs, made by an older version, hold no cost by bar and are not drawn: old."
    assert chart.note == told
    assert told in render_page(found)
    older = made(tmp_path / "older", noise(SEED)[0])
    few = compare([five[0], old, older])
    assert pareto_chart(few, "cost") is None
    page = render_page(few)
    assert 'data-chart="pareto"' in page
    assert 'data-chart="pareto-cost"' not in page
    assert "2 of 3 runs, made by an older version, hold no cost by bar and are not drawn: old, older." in page
    answer = " ".join(embargo("compare", five[0], old, older).output.split())
    assert "2 of 3 runs, made by an older version, hold no cost by bar" in answer


@pytest.mark.parametrize("name", ["fees", "carry"])
def test_costs_that_are_none_are_refused(tmp_path: Path, name: str) -> None:
    run = made(tmp_path / "odd", noise(SEED)[0], paid=0.001)
    over_time = pd.read_parquet(run / "over_time.parquet")
    over_time.assign(**{name: np.nan}).to_parquet(run / "over_time.parquet")
    with pytest.raises(DataError, match=r"over_time\.parquet: a bar has no costs"):
        read_run(run)
    over_time.iloc[1:].to_parquet(run / "over_time.parquet")
    with pytest.raises(DataError, match=r"over_time\.parquet: its rows do not fit"):
        read_run(run)
    over_time.drop(columns=name).to_parquet(run / "over_time.parquet")
    assert read_run(run).costs.empty


NUMBERS = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0, 2.0]))


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.tuples(NUMBERS, NUMBERS)))
def test_nobody_beats_the_unbeaten_and_somebody_beats_the_others(points: dict[str, tuple[float | None, ...]]) -> None:
    sharpes, turnovers = ({name: pair[place] for name, pair in points.items()} for place in (0, 1))
    front = unbeaten(sharpes, turnovers)
    known = {name: pair for name, pair in points.items() if None not in pair}
    beaten = {
        one
        for (one, mine), (_, yours) in product(known.items(), known.items())
        if yours[0] >= mine[0] and yours[1] <= mine[1] and yours != mine  # type: ignore[operator]
    }
    assert sorted(front) == sorted(known.keys() - beaten)
    assert [turnovers[name] for name in front] == sorted(turnovers[name] for name in front)  # type: ignore[type-var]


def test_runs_without_turnover_are_named_and_not_drawn(five: list[Path], tmp_path: Path) -> None:
    old = with_turnover(made(tmp_path / "old", noise(SEED)[1]), None)
    found = compare([*five[:2], old])
    assert found.figures["turnover"]["old"] is None
    chart = pareto_chart(found)
    assert chart is not None
    assert "1 of 3 runs, made by an older version, hold no turnover by bar and are not drawn: old." in chart.note
    older = with_turnover(made(tmp_path / "older", noise(SEED)[0]), None)
    assert pareto_chart(compare([five[0], old, older])) is None
    page = render_page(compare([five[0], old, older]))
    assert 'data-chart="pareto"' not in page
    assert "2 of 3 runs, made by an older version, hold no turnover by bar and are not drawn: old, older." in page


@pytest.mark.parametrize("turnover", [-0.1, np.nan, np.inf, "much"])
def test_turnover_that_is_none_is_refused(tmp_path: Path, turnover: float | str) -> None:
    run = with_turnover(made(tmp_path / "odd", noise(SEED)[0]), turnover)
    with pytest.raises(DataError, match=r"account\.parquet: .*(turnover|no number)"):
        read_run(run)


def test_one_sentence_says_what_is_noise(found: Comparison, five: list[Path], tmp_path: Path) -> None:
    told = noise_sentence(found)
    assert sentences(found)[0] == told
    assert "Of 3 differences to base over all bars, 1 stands after Holm's correction (fast)" in told
    assert f"; slow and {HOSTILE} cannot be told from noise; left out for a leak: leaked." in told
    few = replace(found, figures=found.figures | {"bootstrap": 60})
    assert "with 60 resamples no difference among so many could stand" in noise_sentence(few)
    assert "resamples" not in told
    leaky = compare(five, against="leaked")
    assert noise_sentence(leaky) == "No difference to leaked can be told from its leak."
    assert noise_sentence(compare(five[:2])) not in sentences(compare(five[:2]))
    result = embargo("compare", *five, "--json", tmp_path / "figures.json")
    assert "cannot be told from noise" in " ".join(result.output.split())
    written = json.loads((tmp_path / "figures.json").read_text())
    assert written["unbeaten"] == found.figures["unbeaten"] == as_document(found)["unbeaten"]


@MARKS[0]
@MARKS[1]
def test_the_glance_is_drawn_on_any_screen(visit: Visit, found: Comparison, tmp_path: Path) -> None:
    with visit(write_page(render_page(found), tmp_path / "page.html"), 1280) as shown:
        for chart in ("pareto", "pareto-cost"):
            assert shown.locator(f"#chart-{chart} .mark").count() == len(NAMES)
        legend = shown.locator('figure[data-chart="pareto"] .legend button').all_inner_texts()
        assert legend == ["beaten", "leak found, beats nobody", "unbeaten"]
        assert len(set(style(shown, "#glance td.up, #glance td.down", "backgroundColor"))) > 10
        assert_fits(shown)
        # On leaving, the page is held to what every page promises: here on a telephone too.
        shown.set_viewport_size({"width": 390, "height": 900})
