"""``embargo signal``: what it shows and writes, and that it refuses a run whose data are no longer the same."""

from __future__ import annotations

import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from samples.browsing import MARKS, Visit
from samples.small_runs import SMALL, embargo, only_run

from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
from embargo.research.config.experiment import Config, load_config
from embargo.research.pages import formats
from embargo.research.pages.page import write_page
from embargo.research.progress import Quiet
from embargo.research.records import folders as runs
from embargo.research.run.world import World, load_world
from embargo.research.studies.signal import diagnose_run, print_diagnosis, render_page
from embargo.research.studies.signal.recalled import recall
from embargo.research.studies.signal.tables import sheets
from embargo.signals.aggregation import AggregationSettings, collect, decay
from embargo.signals.alignment import align
from embargo.signals.diagnostics.diagnosis import Diagnosis

ATTACK = '</script><script>window.injected = 1</script><img src=x onerror="window.injected = 1">[bold]'
ARCHIVE = """
name = "archive"
[news]
path = "{folder}/news.parquet"
[prices]
path = "{folder}/prices.parquet"
[split]
first_test = 2015-07-01
end = 2016-07-01
[model]
kind = "linear"
"""


def write_run(folder: Path, config: Config, loaded: World, status: str = "valid") -> Path:
    """Write what a run keeps, its articles scored by their labels."""
    start = int(loaded.decided_at.searchsorted(config.split.first_test))
    rows = slice(start, len(loaded.decided_at))
    decided_at = loaded.decided_at[rows]
    inside = (loaded.news["known_at"] > config.split.first_test) & (loaded.news["known_at"] <= decided_at[-1])
    scored = loaded.news.loc[inside].reset_index(drop=True)
    for name in ("bearish", "neutral", "bullish"):
        scored[name] = np.where(scored["label"] == name, 0.8, 0.1)
    placed = align(scored["known_at"], scored["symbol"], decided_at, loaded.prices.symbols)
    rules = AggregationSettings()
    evidence = collect(
        placed.row,
        placed.column,
        (scored["bullish"] - scored["bearish"]).to_numpy(),
        np.full(len(scored), 0.8),
        shape=(len(decided_at), len(loaded.prices.symbols)),
        settings=rules,
    )
    bars = loaded.prices.open_at[rows]
    signal = pd.DataFrame(decay(evidence, rules), index=bars, columns=loaded.prices.open.columns)
    articles = scored.assign(row=placed.row, column=placed.column, confidence=0.8, used=True).drop(columns="text")
    with runs.writing(folder) as draft:
        for name, table in {"signal": signal, "weights": signal * 0.1, "articles": articles}.items():
            table.to_parquet(draft / f"{name}.parquet")
        (draft / "config.toml").write_text(config.to_toml(), encoding="utf-8")
        runs.write_json(draft / "manifest.json", {"fingerprints": loaded.fingerprints()})
        runs.write_json(draft / "metrics.json", {"status": status})
    return folder


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a market to files and a run on it; the folder holds ``run`` and its data."""
    folder = tmp_path_factory.mktemp("archive")
    market = simulate_market(SimulatedMarket(n_symbols=10, start="2015-01-01", end="2016-06-30"))
    market.news.drop(columns="known_at").to_parquet(folder / "news.parquet")
    bars = market.prices
    columns = {
        name: getattr(bars, name).set_axis(bars.open_at.tz_convert("America/New_York").date).unstack()  # noqa: PD010
        for name in ("open", "high", "low", "close", "volume")
    }
    long = pd.DataFrame(columns).rename_axis(["symbol", "date"]).reset_index().dropna()
    long["date"] = pd.to_datetime(long["date"]).dt.tz_localize("UTC")
    long.to_parquet(folder / "prices.parquet")
    (folder / "archive.toml").write_text(ARCHIVE.format(folder=folder))
    config = load_config(folder / "archive.toml")
    write_run(folder / "run", config, load_world(config, Quiet()))
    return folder


@pytest.fixture(scope="module")
def found(archive: Path) -> Diagnosis:
    return diagnose_run(recall(archive / "run", Quiet()), (1, 20))


def printed(found: Diagnosis, width: int) -> str:
    written = io.StringIO()
    print_diagnosis(Console(file=written, width=width, color_system=None), found)
    return written.getvalue()


def test_tables_page_and_document(archive: Path, tmp_path: Path) -> None:
    page, document = tmp_path / "signal.html", tmp_path / "signal.json"
    result = embargo("signal", archive / "run", "--horizons", "5,1", "--html", page, "--json", document)
    assert result.exit_code == 0, result.output
    for title in ("Information coefficient by horizon", "Decay and turnover", "Event study", "By source", "left out"):
        assert title in result.output
    figures = json.loads(document.read_text())
    assert [row["horizon"] for row in figures["horizons"]] == [1, 5]
    assert figures["run"] == "run"
    assert len(figures["ic"]) == figures["counts"]["cells"]["bars_times_symbols"] / 10
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert not re.search(r"(?:src|href)=\"https?:", text)
    assert formats.count(figures["counts"]["articles"]["articles"]) in text
    assert f"{figures['horizons'][0]['ic']:.3f}".replace("-", "−") in text


@pytest.mark.parametrize("width", [80, 140])
def test_tables_fit(found: Diagnosis, width: int) -> None:
    lines = printed(found, width).splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)


def test_overlap_leaves_no_more_bars_than_there_are(found: Diagnosis) -> None:
    table = found.horizons.assign(effective_bars=[2.0 * found.horizons["bars"].iloc[0], 9.0])
    rows = sheets(replace(found, horizons=table))["horizons"].rows
    assert [(row[-2], row[-1]) for row in rows] == [(rows[0][-2], rows[0][-2]), (rows[1][-2], "9")]


def test_an_event_study_without_events_says_why(archive: Path, found: Diagnosis) -> None:
    run = recall(archive / "run", Quiet())
    # A weak reader: every article is read with less confidence than an event takes.
    weak = replace(run, articles=run.articles.assign(confidence=np.linspace(0.34, 0.52, len(run.articles))))
    empty = diagnose_run(weak, (1, 20))
    said = empty.remarks[-1]
    placed = int((weak.articles["row"] >= 0).sum())
    assert said.startswith(f"The event study is empty. Of {len(weak.articles):,} articles: ")
    assert f"{placed:,} were read with a confidence below 0.6 (the surest has 0.52)" in said
    assert said.endswith("A lower confidence looks at less sure ones.")
    assert said in printed(empty, 400)
    assert "events" not in sheets(empty)
    assert "The event study is empty" in render_page(empty, "weak")
    assert not any("event study" in remark for remark in found.remarks)
    assert "events" in sheets(found)
    lower = diagnose_run(weak, (1, 20), confidence=0.4)
    assert lower.counts["events"]["events_used"] > 0
    assert not any("event study" in remark for remark in lower.remarks)
    result = embargo("signal", archive / "run", "--horizons", "1", "--confidence", "0.9")
    assert result.exit_code == 0, result.output
    assert "confidence below 0.9 (the surest has 0.80)" in " ".join(result.output.split())


def test_a_signal_without_opinions_leaves_no_empty_charts(archive: Path) -> None:
    run = recall(archive / "run", Quiet())
    silent = diagnose_run(replace(run, signal=run.signal * 0.0, weights=run.weights * 0.0), (1, 20))
    page = render_page(silent, "run")
    assert re.findall(r'data-chart="(\w+)"', page) == ["events"]
    assert "no opinion on any bar" in page
    assert "quantiles" not in sheets(silent)


def test_the_headline_goes_by_the_level_of_the_run(found: Diagnosis) -> None:
    sure = replace(found, horizons=found.horizons.assign(p_holm=0.03))
    nothing = "Information is not shown at any horizon: chance could have made these coefficients."
    assert nothing not in render_page(sure, "run", significance=0.05)
    assert nothing in render_page(sure, "run", significance=0.01)


def copied(archive: Path, tmp_path: Path) -> Path:
    """Copy run and data, so that a test may break them."""
    folder = tmp_path / "copy"
    shutil.copytree(archive, folder)
    config = folder / "run" / "config.toml"
    config.write_text(config.read_text().replace(str(archive), str(folder)))
    return folder


@pytest.mark.parametrize("what", ["news", "prices"])
def test_data_that_moved_or_changed_are_named(archive: Path, tmp_path: Path, what: str) -> None:
    folder = copied(archive, tmp_path)
    path = folder / f"{what}.parquet"
    frame = pd.read_parquet(path)
    if what == "news":
        frame.iloc[:-1].to_parquet(path)
    else:
        frame.assign(volume=frame["volume"] + 1.0).to_parquet(path)
    changed = embargo("signal", folder / "run")
    assert changed.exit_code == 1
    said = changed.output.replace("\n", "")
    assert str(path) in said
    assert f"the {what} have changed since the run" in said
    path.unlink()
    moved = embargo("signal", folder / "run")
    assert moved.exit_code == 1
    assert str(path) in moved.output.replace("\n", "")


def test_what_is_no_run_is_refused(archive: Path, tmp_path: Path) -> None:
    assert "no such run" in embargo("signal", tmp_path / "nowhere").output
    folder = copied(archive, tmp_path)
    (folder / "run" / "weights.parquet").write_bytes(b"PAR1 and no more")
    assert "weights.parquet: cannot be read" in embargo("signal", folder / "run").output.replace("\n", "")
    (folder / "run" / "weights.parquet").unlink()
    result = embargo("signal", folder / "run")
    assert result.exit_code == 1
    assert "weights.parquet is missing" in result.output.replace("\n", "")


@pytest.mark.parametrize("horizons", ["", "0", "1,x", "1,4000"])
def test_horizons_that_make_no_sense_are_bad_usage(archive: Path, horizons: str) -> None:
    result = embargo("signal", archive / "run", "--horizons", horizons)
    assert result.exit_code == 2
    assert "horizons" in result.output


def test_a_page_cannot_be_written_to_nowhere_and_nothing_is_computed_first(archive: Path, tmp_path: Path) -> None:
    result = embargo("signal", archive / "run", "--html", tmp_path / "no" / "page.html")
    assert result.exit_code == 1
    assert "Information" not in result.output


def test_an_invalid_run_says_so_above_all(archive: Path, tmp_path: Path) -> None:
    folder = copied(archive, tmp_path)
    runs.write_json(folder / "run" / "metrics.json", {"status": "invalid"})
    result = embargo("signal", folder / "run", "--html", tmp_path / "page.html", "--horizons", "1")
    assert result.exit_code == 0
    assert "found a leak" in result.output
    assert "INVALID" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_text_from_outside_stays_text(found: Diagnosis) -> None:
    groups = found.groups.assign(group=found.groups["group"].replace("all articles", ATTACK))
    hostile = replace(found, groups=groups)
    page = render_page(hostile, ATTACK)
    assert ATTACK not in page
    assert "&lt;script&gt;window.injected" in page
    assert "[bold]" in printed(hostile, 200)


@MARKS[0]
@MARKS[1]
def test_charts_are_drawn_and_fit_a_narrow_screen(visit: Visit, found: Diagnosis, tmp_path: Path) -> None:
    with visit(write_page(render_page(found, "run"), tmp_path / "signal.html"), 390) as shown:
        drawn = {chart.get_attribute("data-chart") for chart in shown.locator("figure[data-chart]").all()}
        assert drawn == {"horizons", "lags", "cumulative", "fading", "quantiles", "events"}


@pytest.mark.slow
def test_a_run_of_the_pipeline_can_be_researched(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL)
    made = embargo("run", tmp_path / "small.toml", "--out", tmp_path / "runs", "--cache", tmp_path / "cache")
    assert made.exit_code == 0, made.output
    run = only_run(tmp_path / "runs")
    result = embargo("signal", run, "--horizons", "1,5", "--json", tmp_path / "signal.json")
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "signal.json").read_text())
    metrics = json.loads((run / "metrics.json").read_text())
    assert figures["counts"]["articles"]["articles"] == metrics["n_articles"]
    assert len(figures["ic"]) == metrics["n_bars"]
