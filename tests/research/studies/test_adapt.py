"""Readers side by side: the same run for each, costs that are measured once, and advice that follows from the tests."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.page_samples import readers as sample_study
from samples.small_runs import embargo
from samples.wording import banned_in, unsided_in_page, unsided_in_terminal, words_of_page

from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.models.effort import NOTE
from embargo.models.scorers.majority import MajorityScorer
from embargo.research.cache import ledger_folder
from embargo.research.config.adapt import AdaptConfig, load_adapt, parse_adapt
from embargo.research.config.experiment import parse_config
from embargo.research.examples.shipped import example
from embargo.research.progress import Quiet
from embargo.research.records.ledger import trials_around
from embargo.research.run.measurement import classification, estimate
from embargo.research.run.pipeline import attempt_of, execute, material_of
from embargo.research.run.preparation import prepare
from embargo.research.run.reading import read
from embargo.research.run.trading import trade
from embargo.research.studies.adapt import (
    Adaptation,
    Row,
    adapt,
    as_document,
    break_evens,
    render_page,
)
from embargo.research.studies.adapt.charts import quality_chart, volume_chart
from embargo.research.studies.adapt.fits import COSTS
from embargo.research.studies.adapt.judgement import enough_resamples, same_items
from embargo.research.studies.adapt.rows import between

MARKET: dict[str, Any] = {
    "name": "small",
    "news": {"loader": "simulated", "simulated": {"symbols": 4, "start": "2015-01-01", "end": "2015-12-31"}},
    "prices": {"loader": "simulated"},
    "split": {
        "first_test": "2015-07-01T00:00:00Z",
        "end": "2016-01-01T00:00:00Z",
        "test_span": "3MS",
        "validation_span": "2MS",
    },
    "signal": {"threshold": 0.3},
    "statistics": {"bootstrap": 200, "permutations": 99},
    "adapt": {"probed": 5, "timed": 20},
}
READERS: dict[str, Any] = {
    "majority": {"kind": "majority"},
    "words": {"kind": "lexicon"},
    "line": {"kind": "linear"},
    "lost": {"kind": "transformer", "base": "no/such-base-anywhere"},
}


TWO = {name: READERS[name] for name in ("majority", "line")}


def study_of(readers: Mapping[str, Any] = READERS, **changed: Any) -> AdaptConfig:
    return parse_adapt(MARKET | {"readers": dict(readers)} | changed, where="test")


def carried(study: AdaptConfig, folder: Path) -> Adaptation:
    return adapt(study, out=folder / "runs", cache=folder / "cache", stages=Quiet())


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("desk")


@pytest.fixture(scope="module")
def found(desk: Path) -> Adaptation:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("EMBARGO_LEDGER", str(desk / "ledger"))
        return carried(study_of(), desk)


def row_of(found: Adaptation, name: str) -> Row:
    return next(row for row in found.rows if row.name == name)


def attempts(folder: Path) -> set[str]:
    return {trial for _, trials in trials_around(ledger_folder(folder), None) for trial in trials}


def test_a_reader_is_read_and_traded_as_in_a_run(found: Adaptation, desk: Path) -> None:
    plan = prepare(study_of().config_of("line"), Quiet())
    reading = read(plan, plan.parts, desk / "other", Quiet())
    returns = trade(plan, reading.scored).books.returns
    mine = pd.read_parquet(found.folder / "returns.parquet")["line"]
    np.testing.assert_array_equal(mine.to_numpy(), returns.to_numpy())
    row, told = row_of(found, "line"), estimate(plan, returns)
    assert (row.sharpe, row.sharpe_low, row.sharpe_high) == (told.sharpe, told.low, told.high)
    judged = classification(plan.config, reading)
    assert judged is not None
    assert (row.accuracy, row.macro_f1, row.ece) == (judged.accuracy, judged.macro_f1, judged.ece)


@pytest.mark.slow
def test_the_run_of_a_reader_is_the_attempt_that_the_study_wrote_down(
    found: Adaptation, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBARGO_LEDGER", str(desk / "ledger"))
    before = attempts(desk)
    assert len(before) == 3
    run = execute(study_of().config_of("line"), out=desk / "single", cache=desk / "other", stages=Quiet())
    assert attempts(desk) == before
    assert run.metrics.sharpe == row_of(found, "line").sharpe


def test_every_reader_is_an_attempt(found: Adaptation, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBARGO_LEDGER", str(desk / "ledger"))
    plan = prepare(study_of().config_of("words"), Quiet())
    assert found.figures["n_trials"] == len(attempts(desk)) == 3
    assert attempt_of(plan.config, material_of(plan, plan.parts)) in attempts(desk)


def test_one_that_fails_is_a_row_that_says_why_and_sinks_nobody(found: Adaptation) -> None:
    lost = row_of(found, "lost")
    assert not lost.ran
    assert "no/such-base-anywhere" in lost.failed
    assert [row.name for row in found.rows if row.ran] == ["majority", "words", "line"]
    assert {frozenset((pair.a, pair.b)) for pair in found.pairs} == {
        frozenset(pair) for pair in (("majority", "words"), ("majority", "line"), ("words", "line"))
    }
    assert any("lost could not be carried out" in line for line in found.advice.lines)
    assert "lost could not be carried out" in words_of_page(render_page(found))


def test_a_study_of_failures_raises_the_first(tmp_path: Path) -> None:
    lost = {name: {"kind": "transformer", "base": f"no/such-{name}"} for name in ("one", "two")}
    with pytest.raises(MissingPartError, match="no/such-one"):
        carried(study_of(lost), tmp_path)
    assert not (tmp_path / "runs").exists()


def test_costs_are_measured_once_and_a_study_goes_on_where_it_was_killed(
    found: Adaptation, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBARGO_LEDGER", str(desk / "ledger"))
    shutil.copytree(desk / "cache", tmp_path / "cache")
    rooms = sorted(path for path in (tmp_path / "cache" / "adapt").iterdir() if path.is_dir())
    assert len(rooms) == 6, "two folds of three readers"
    killed = rooms[0]
    kept = {room: (room / COSTS).read_text() for room in rooms[1:]}
    (killed / COSTS).unlink()
    again = carried(study_of(), tmp_path)
    assert again.folder.name == found.folder.name
    assert [(row.name, row.accuracy, row.sharpe) for row in again.rows] == [
        (row.name, row.accuracy, row.sharpe) for row in found.rows
    ]
    assert {room: (room / COSTS).read_text() for room in rooms[1:]} == kept
    assert (killed / COSTS).is_file()


def test_a_study_and_a_run_take_what_either_has_fitted(
    found: Adaptation, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBARGO_LEDGER", str(desk / "ledger"))
    config = study_of().config_of("line")
    shutil.copytree(desk / "cache", tmp_path / "studied" / "cache")
    after_a_study = fits_of(tmp_path / "studied")
    run = execute(config, out=tmp_path / "studied" / "single", cache=tmp_path / "studied" / "cache", stages=Quiet())
    assert fits_of(tmp_path / "studied") == after_a_study
    assert len(after_a_study) == 2, "a fold was fitted twice, or none at all"
    manifest = json.loads((run.folder / "manifest.json").read_text(encoding="utf-8"))
    assert [model["n_scored"] for model in manifest["models"]] == [0, 0], "news that the study had scored"

    execute(config, out=tmp_path / "single", cache=tmp_path / "cache", stages=Quiet())
    after_a_run = fits_of(tmp_path)
    assert after_a_run.keys() == after_a_study.keys()
    again = carried(study_of(TWO), tmp_path)
    assert fits_of(tmp_path) == after_a_run
    told = row_of(again, "line")
    assert (told.accuracy, told.sharpe) == (row_of(found, "line").accuracy, row_of(found, "line").sharpe)
    took = [
        json.loads((fit / NOTE).read_text(encoding="ascii"))[0] for fit in (tmp_path / "cache" / "linear").iterdir()
    ]
    assert told.fit_cpu is not None
    assert told.fit_cpu > np.mean(took) > 0.0, "what was fitted before costs what it cost then"


def test_what_nobody_wrote_down_is_no_cost(tmp_path: Path) -> None:
    study = study_of(TWO)
    execute(study.config_of("line"), out=tmp_path / "single", cache=tmp_path / "cache", stages=Quiet())
    for fit in (tmp_path / "cache" / "linear").iterdir():
        (fit / NOTE).unlink()
    told = row_of(carried(study, tmp_path), "line")
    assert (told.fit_cpu, told.fit_cost, told.article_cost) == (None, None, None)
    assert "before" in told.costs_note


def fits_of(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "cache" / "linear").iterdir()}


def test_fitting_costs_more_than_counting_words(found: Adaptation) -> None:
    words, line = row_of(found, "words"), row_of(found, "line")
    assert line.article_cpu is not None
    assert words.article_cpu is not None
    assert line.article_cpu > words.article_cpu > 0.0
    assert line.article_cost == pytest.approx(line.article_cpu / 3600.0 * 0.05)
    assert line.cost(2000) == pytest.approx(float(line.fit_cost or 0.0) + 2.0 * line.article_cost)


def test_the_page_says_no_more_than_was_shown(found: Adaptation) -> None:
    page = render_page(found)
    assert banned_in(words_of_page(page)) == []
    assert unsided_in_page(page) == []
    assert page == (found.folder / "report.html").read_text(encoding="utf-8")
    words = words_of_page(page)
    for told in ("macro-F1 over the cost of 1,000,000 articles", "Cost over the number of articles", "Knowledge"):
        assert told in words, told


def test_the_command_prints_writes_and_reads_a_second_file(tmp_path: Path) -> None:
    document = {name: section for name, section in MARKET.items() if name != "adapt"}
    (tmp_path / "small.toml").write_text(parse_config(document, where="test").to_toml(), encoding="utf-8")
    (tmp_path / "readers.toml").write_text(
        "[readers.majority]\nkind = 'majority'\n[readers.words]\nkind = 'lexicon'\n[adapt]\nprobed = 0\ntimed = 5\n",
        encoding="utf-8",
    )
    places = ["--out", tmp_path / "runs", "--cache", tmp_path / "cache", "--readers", tmp_path / "readers.toml"]
    files = ["--json", tmp_path / "a.json", "--html", tmp_path / "a.html", "--write", tmp_path / "a.md"]
    done = embargo("adapt", tmp_path / "small.toml", *places, *files)
    assert done.exit_code == 0, done.output
    assert banned_in(done.output) == []
    assert unsided_in_terminal(done.output) == []
    (folder,) = [path for path in (tmp_path / "runs").iterdir() if path.is_dir()]
    assert {path.name for path in folder.iterdir()} == {
        "adapt.json",
        "judged.parquet",
        "report.html",
        "returns.parquet",
    }
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads((folder / "adapt.json").read_text())
    assert (tmp_path / "a.html").read_text() == (folder / "report.html").read_text()
    assert "| words |" in (tmp_path / "a.md").read_text()
    assert folder.name in done.output.replace("\n", "")


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    rng = np.random.default_rng(7)
    words = {"bullish": "profit rose strongly", "bearish": "losses and a lawsuit", "neutral": "the annual report"}
    rows = [(f"{words[label]} of unit {k}", label) for k, label in enumerate(rng.choice(list(words), 240))]
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(tmp_path / "labelled.csv", index=False)
    (tmp_path / "study.toml").write_text(
        'name = "texts"\n[labels]\nsource = "file"\npath = "labelled.csv"\nknowledge_cutoff = 2014-01-01\n'
        "[statistics]\nbootstrap = 200\n[adapt]\nprobed = 5\ntimed = 10\n"
        + "".join(f'[readers.{kind}]\nkind = "{kind}"\n' for kind in ("majority", "lexicon", "linear"))
    )
    return tmp_path / "study.toml"


def test_a_labelled_file_alone_is_read_and_not_traded(labelled: Path, tmp_path: Path) -> None:
    result = carried(load_adapt(labelled), tmp_path)
    assert [row.traded for row in result.rows] == [None, None, None]
    assert {row.trust for row in result.rows} == {"before"}
    assert row_of(result, "linear").accuracy == 1.0
    assert result.advice.take in ("lexicon", "linear")
    assert not (result.folder / "returns.parquet").exists()
    assert not (tmp_path / "cache" / "ledger").exists()
    assert "Sharpe ratio, a year" not in render_page(result)
    assert unsided_in_page(render_page(result)) == []


def test_an_endpoint_costs_what_it_charged_and_one_without_budget_sinks_nobody(labelled: Path, tmp_path: Path) -> None:
    pytest.importorskip("openai")
    from servers.openai_service import OpenAiService

    with OpenAiService(model="a-model").serve() as server:
        section = f"{{url='{server.url}/v1', model='a-model', prompt_price=2.0, completion_price=8.0, timeout='5s'"
        asked = ["readers.asked.kind=endpoint", f"readers.asked.endpoint={section}}}"]
        poor = ["readers.poor.kind=endpoint", f"readers.poor.endpoint={section}, max_requests=3, samples=4}}"]
        free = f"{{url='{server.url}/v1', model='a-model', timeout='5s', samples=3}}"
        unpriced = ["readers.unpriced.kind=endpoint", f"readers.unpriced.endpoint={free}"]
        study = load_adapt(labelled, [*asked, *poor, *unpriced])
        found = carried(study, tmp_path)
        requests = len(server.requests)
        again = carried(study, tmp_path)
        # The one without budget tries three more each time; what was paid for is not asked again.
        assert len(server.requests) - requests <= 3
    row, poorly, free_row = (row_of(found, name) for name in ("asked", "poor", "unpriced"))
    assert row.article_cost is not None
    # Tokens at two millionths each and one at eight, for every article.
    assert 1000 * 10e-6 < row.article_cost < 1000 * 400e-6
    assert row.trust == "unknown"
    assert row.unprobed.startswith("not asked")
    assert "asked" in found.advice.aside
    assert "max_requests" in poorly.failed
    assert (free_row.article_cost, free_row.costs_note) == (None, "no price is set")
    assert as_document(again)["rows"][3:] == as_document(found)["rows"][3:]


def test_a_study_needs_readers_that_fit(labelled: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two readers or more"):
        study_of({"words": {"kind": "lexicon"}})
    with pytest.raises(ConfigError, match=r"readers\.Line"):
        study_of({"Line": {"kind": "linear"}, "words": {"kind": "lexicon"}})
    with pytest.raises(ConfigError, match=r"readers\.line: 1 setting is wrong"):
        study_of({"line": {"kind": "linear", "rnk": 3}, "words": {"kind": "lexicon"}})
    with pytest.raises(ConfigError, match=r"reads labels\.source = 'file'"):
        parse_adapt({"name": "mine", "labels": {"source": "news"}}, where="test")
    (tmp_path / "second.toml").write_text("[news]\nloader = 'simulated'\n")
    with pytest.raises(ConfigError, match="news: only"):
        load_adapt(labelled, readers=tmp_path / "second.toml")
    (tmp_path / "second.toml").write_text("[readers.a]\nkind = 'linear'\ncolour = 'red'\n")
    with pytest.raises(ConfigError, match=r"second\.toml: readers\.a: 1 setting is wrong"):
        load_adapt(labelled, readers=tmp_path / "second.toml")
    given_scores = ["readers.given.kind=scores", "readers.given.scores={path='s.csv', knowledge_cutoff=2014-01-01}"]
    with pytest.raises(ConfigError, match="go by article"):
        load_adapt(labelled, given_scores)
    document = {name: section for name, section in MARKET.items() if name != "adapt"}
    (tmp_path / "market.toml").write_text(parse_config(document, where="test").to_toml(), encoding="utf-8")
    found = load_adapt(tmp_path / "market.toml", [*given_scores, "readers.line.kind=linear"]).readers["given"].scores
    assert found is not None
    assert found.path == str(tmp_path / "s.csv")


def test_other_items_are_no_pair() -> None:
    frame = pd.DataFrame({"fold": [0, 0], "article_id": ["a", "b"], "label": [0, 1]})
    frame = frame.assign(bearish=0.2, neutral=0.3, bullish=0.5)
    assert len(same_items({"one": frame, "two": frame}).labels) == 2
    with pytest.raises(DataError, match="other items"):
        same_items({"one": frame, "two": frame.iloc[::-1]})
    longer = pd.concat([frame, frame.assign(article_id=["c", "d"])], ignore_index=True)
    found = same_items({"one": longer, "two": longer.assign(bullish=[0.5, np.nan, 0.5, 0.5])})
    assert found.left_out == {"two": 1}
    assert found.articles.tolist() == ["a", "c", "d"]
    assert len(found.probabilities["one"]) == 3
    with pytest.raises(DataError, match="1 of 2 test items"):
        same_items({"one": frame, "two": frame.assign(bullish=[0.5, np.nan])})


def test_guessing_knows_the_classes_alone() -> None:
    scorer = MajorityScorer([2, 5, 2], None)
    logits = scorer.logits(["Profit rose.", "Losses."])
    np.testing.assert_allclose(np.exp(logits), [[3 / 12, 6 / 12, 3 / 12]] * 2)
    assert scorer.identity != MajorityScorer([5, 2, 2], None).identity


@given(st.lists(st.tuples(st.floats(0.0, 1e6), st.floats(0.0, 10.0)), min_size=2, max_size=6))
def test_readers_cost_the_same_where_they_break_even(lines: list[tuple[float, float]]) -> None:
    named = {f"reader {place}": line for place, line in enumerate(lines)}
    for crossing in break_evens(named):
        (fixed, each), (higher, less) = named[crossing.few], named[crossing.many]
        assert fixed < higher
        assert less < each
        for cost in (fixed + crossing.articles * each, higher + crossing.articles * less):
            assert cost == pytest.approx(crossing.cost, rel=1e-6, abs=1e-6)


def test_timings_that_are_alike_do_not_break_even() -> None:
    shared_fit = {"asked": (91.2, 0.003), "taught": (92.5, 0.001)}
    alike_each = {"words": (0.01, 0.0012), "guesses": (0.02, 0.001)}
    assert break_evens(shared_fit) == break_evens(alike_each) == []
    assert len(break_evens(shared_fit | {"cheap": (1.0, 0.01)})) == 2


def test_so_many_resamples_that_a_p_value_can_stand() -> None:
    statistics = study_of().experiment.statistics
    for readers in (2, 5, 12):
        pairs = readers * (readers - 1) // 2
        # The smallest two-sided p-value of a bootstrap, for every pair of the family.
        assert pairs * 2 / (1 + enough_resamples(statistics, readers)) < statistics.significance


def test_a_reader_whose_cost_nobody_knows_is_drawn_over_all_costs() -> None:
    study = sample_study()
    rows = [
        replace(row, fit_cost=None, article_cost=None) if row.name == study.advice.take else row for row in study.rows
    ]
    found = replace(study, rows=rows)
    drawn = {trace.name: trace for trace in quality_chart(found).figure.data}
    assert set(drawn) == {row.name for row in rows if row.ran}
    line = drawn[str(study.advice.take)]
    assert len(set(line.y)) == 1
    assert line.x[0] < line.x[-1]
    assert "nobody knows what: line" in quality_chart(found).note
    assert "Not drawn" in volume_chart(found).note
    assert all(trace.textposition in ("middle left", "middle right") for trace in drawn.values() if trace is not line)


def test_what_is_advised_and_known_stands_first_in_the_table() -> None:
    page = render_page(sample_study())
    heads = re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', page)
    assert heads[0] == "Reader, advice, knowledge"
    assert heads[1].startswith("Accuracy")
    said = '<span class="said">recommended</span><span class="said">ends before the test</span></th>'
    assert f'<th scope="row">line{said}' in page


@pytest.mark.slow
def test_asking_the_instructed_decoder_reads_better_than_guessing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBARGO_LEDGER", str(tmp_path / "ledger"))
    smaller = [
        "news.simulated.symbols=8", "news.simulated.start=2015-01-01", "news.simulated.end=2017-07-31",
        "split.method=holdout", "split.first_test=2016-07-01", "split.end=2017-07-01", "split.train_span=14MS",
        "seed=7300000", "adapt.probed=0", "adapt.timed=20",
    ]  # fmt: skip
    with example("demo") as path:
        usual = load_adapt(path, smaller)
    names = ("majority", "zero-shot", "few-shot", "retrieval")
    found = carried(replace(usual, readers={name: usual.readers[name] for name in names}), tmp_path)
    for name in names[1:]:
        assert row_of(found, name).ran, row_of(found, name).failed
        for measure in ("accuracy", "log_loss"):
            apart = between(found.pairs, name, "majority", measure)
            assert apart.stands(0.05), (name, measure, apart)
            assert apart.difference is not None
            assert (apart.difference > 0) == (measure == "accuracy"), (name, measure, apart)
