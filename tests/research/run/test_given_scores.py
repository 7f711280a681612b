"""A run reads scores that were made elsewhere: its own give its own result, and what has none carries no signal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from samples.small_runs import embargo

from embargo.data_loaders.archive.score_files import LOGITS
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.bundles.bundle import ModelReader
from embargo.models.scorers.cache import ScoreCache
from embargo.research import Quiet, execute, prepare
from embargo.research.config import load_config, parse_config
from embargo.research.config.experiment import Config
from embargo.research.modelling.scoring import score_news
from embargo.research.run import Outcome
from embargo.research.run.given_scores import coverage, scores_cautions, scores_told
from embargo.research.run.perturbation import _rewritten as rewritten
from embargo.research.run.perturbation import perturb_run
from embargo.research.run.plan import Plan
from embargo.research.run.probing import probe_run
from embargo.research.run.reading import fit_fold, read
from embargo.research.run.trading import trade
from embargo.research.run.world import load_inputs, load_world

SIMULATED = """
name = "small"
[news]
loader = "simulated"
simulated = { symbols = 4, start = 2015-01-01, end = 2015-12-31, strength = 3.0 }
[prices]
loader = "simulated"
[split]
method = "holdout"
first_test = 2015-07-01
validation_span = "2MS"
[signal]
threshold = 0.0
[statistics]
bootstrap = 200
permutations = 99
"""
TABLES = ("articles", "classification", "signal", "weights", "realised_weights", "orders", "account")
NAMES_READERS = ["model_id"]


def config_of(folder: Path, model: str, *overrides: str) -> Config:
    path = folder / "small.toml"
    path.write_text(f"{SIMULATED}[model]\n{model}\n")
    return load_config(path, list(overrides))


def scores_section(path: Path, cutoff: str = "2015-06-30", more: str = "") -> str:
    return f'kind = "scores"\nscores = {{ path = "{path}", knowledge_cutoff = {cutoff}{more} }}'


def written_by_reader(plan: Plan, folder: Path) -> tuple[Path, str]:
    """Score all news with the reader of a run's one fold, as `embargo score` does; return the file and its cutoff."""
    with ScoreCache(folder / "scores") as store:
        model = fit_fold(plan, plan.parts[0], None, folder, store, lambda done, total: None)
        knows = model.manifest["knowledge_cutoff"]
        reader = ModelReader(
            "own", model.scorer, model.calibration, pd.Timestamp(knows), frozenset(), None, (), None, None
        )
        score_news(reader, [plan.world.news], folder / "scores.parquet", cache=store)
    return folder / "scores.parquet", knows


@pytest.mark.parametrize("kind", ["linear", "lexicon"])
def test_its_own_scores_written_and_read_back_are_the_same_run(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each is judged as if it were the only attempt.
    monkeypatch.delenv("EMBARGO_LEDGER", raising=False)
    config = config_of(tmp_path, f'kind = "{kind}"')
    path, knows = written_by_reader(prepare(config, Quiet()), tmp_path)
    runs = [
        execute(each, out=tmp_path / "runs", cache=tmp_path / f"cache{number}", stages=Quiet())
        for number, each in enumerate((config, config_of(tmp_path, scores_section(path, knows))))
    ]
    for name in TABLES:
        one, other = (pd.read_parquet(run.folder / f"{name}.parquet") for run in runs)
        kept = [column for column in one.columns if column not in NAMES_READERS]
        pd.testing.assert_frame_equal(one[kept], other[kept], check_exact=True)
        assert len(one), name
    own, given = (run.metrics.to_dict() for run in runs)
    # Beside any reader that is no word list stands one, to be beaten.
    rivals = {"relative", "benchmarks"} if kind == "lexicon" else set()
    assert {name for name in own if own[name] != given[name]} == rivals
    for name in rivals:
        assert {key: given[name][key] for key in own[name]} == own[name]


def test_its_calibration_is_not_done_twice(tmp_path: Path) -> None:
    config = config_of(tmp_path, 'kind = "linear"')
    plan = prepare(config, Quiet())
    path, _ = written_by_reader(plan, tmp_path)
    table = pd.read_parquet(path)
    reading = read(plan, plan.parts, tmp_path, Quiet())
    temperature = reading.manifests[0]["temperature"]
    assert temperature != pytest.approx(1.0, abs=0.05)
    shown = table[list(LOGITS)].to_numpy() / temperature
    expected = np.exp(shown) / np.exp(shown).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(table[list(CLASSES)].to_numpy(), expected, rtol=1e-9)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Noisy scores of the simulated market's true sentiment, one row per article."""
    truth = load_world(config_of(tmp_path_factory.mktemp("truth"), 'kind = "lexicon"'), Quiet()).truth
    assert truth is not None
    values = truth.perfect_scores[list(CLASSES)].to_numpy() + np.random.default_rng(7_300_001).uniform(0, 0.5, (1, 3))
    frame = pd.DataFrame(values / values.sum(axis=1, keepdims=True), columns=list(CLASSES))
    return frame.assign(article_id=truth.perfect_scores["article_id"].to_numpy())


def run_on(scores: pd.DataFrame, folder: Path, *overrides: str, cutoff: str = "2015-06-30") -> Outcome:
    scores.to_parquet(folder / "given.parquet")
    config = config_of(folder, scores_section(folder / "given.parquet", cutoff), *overrides)
    return execute(config, out=folder / "runs", cache=folder / "cache", stages=Quiet())


def test_an_article_without_a_score_carries_no_signal(tmp_path: Path, scored: pd.DataFrame) -> None:
    kept = scored.iloc[np.arange(len(scored)) % 3 != 0]
    strangers = pd.DataFrame({"article_id": ["x"], "bearish": [1.0], "neutral": [0.0], "bullish": [0.0]})
    outcome = run_on(pd.concat([kept, kept.iloc[:5], strangers]), tmp_path)
    manifest = json.loads((outcome.folder / "manifest.json").read_text())
    counts = manifest["scores"]
    news = set(prepare(config_of(tmp_path, 'kind = "lexicon"'), Quiet()).world.news["article_id"])
    covered = len(news & set(kept["article_id"]))
    assert counts == {
        "rows": len(kept) + 6,
        "blank": 0,
        "repeated_rows": 5,
        "articles": len(kept) + 1,
        "covered": covered,
        "uncovered": len(news) - covered,
        "strangers": len(kept) + 1 - covered,
    }
    assert manifest["models"][0]["n_unscored"] > 0
    articles = pd.read_parquet(outcome.folder / "articles.parquet")
    without = ~articles["article_id"].isin(kept["article_id"])
    assert articles.loc[without, [*CLASSES, "confidence"]].isna().all(axis=None)
    assert not articles.loc[without, "used"].any()
    assert articles.loc[~without, list(CLASSES)].notna().all(axis=None)
    # The same news without those articles is the same signal: they are absent, not neutral.
    plan = prepare(load_config(outcome.folder / "config.toml"), Quiet())
    reading = read(plan, plan.parts, tmp_path / "cache", Quiet())
    alone = trade(plan, reading.scored.loc[reading.scored["bullish"].notna()].reset_index(drop=True))
    pd.testing.assert_frame_equal(alone.decision.weights, trade(plan, reading.scored).decision.weights)
    assert alone.decision.weights.to_numpy().any()
    findings = {(each.code, each.title): each for each in outcome.findings}
    verdicts = [each.verdict for (code, _), each in findings.items() if code in ("D4", "D9", "M13", "S7")]
    assert set(verdicts) <= {"pass", "inconclusive", "not-applicable"}
    assert [each.verdict for each in outcome.findings if each.code == "D9"] == ["pass"]
    assert [each.verdict for each in outcome.findings if each.code == "M1"] == ["pass", "not-applicable"]
    assert "leak" not in {each.verdict for each in outcome.findings}
    assert "are left out, not taken for neutral" in outcome.verdict.text
    assert "articles have no score" in outcome.verdict.text, "a third is much"
    assert outcome.metrics.classification is not None


def test_full_cover_is_told_and_no_caution(tmp_path: Path, scored: pd.DataFrame) -> None:
    scored.to_parquet(tmp_path / "given.parquet")
    plan = prepare(config_of(tmp_path, scores_section(tmp_path / "given.parquet")), Quiet())
    n = plan.world.news["article_id"].nunique()
    strangers = len(scored) - n
    more = f"; {strangers:,} of its articles are not among the news that the run reads" if strangers else ""
    assert scores_told(plan.world, plan.parts) == [
        f"Scores of a file: {n:,} of {n:,} articles of the news have one{more}."
    ]
    assert scores_cautions(plan.world) == []


def test_scores_that_were_chosen_by_what_followed_are_left_out_of_nothing_silently(
    tmp_path: Path, scored: pd.DataFrame
) -> None:
    scored.iloc[: len(scored) // 2 + 20].to_parquet(tmp_path / "given.parquet")
    plan = prepare(config_of(tmp_path, scores_section(tmp_path / "given.parquet")), Quiet())
    (said,) = scores_cautions(plan.world)
    assert "score all of the news" in said


def test_its_cutoff_is_judged_like_that_of_a_base(tmp_path: Path, scored: pd.DataFrame) -> None:
    inside = run_on(scored, tmp_path, cutoff="2015-10-01")
    found = {each.title: each for each in inside.findings if each.code == "M1"}
    base = next(each for title, each in found.items() if "base" in title.lower())
    assert base.verdict == "suspicious"
    assert "2015-10-01" in base.detail
    assert inside.metrics.either_side is not None


def test_the_file_counts_by_its_content_and_is_found_from_the_config(tmp_path: Path, scored: pd.DataFrame) -> None:
    (tmp_path / "there").mkdir()
    scored.to_parquet(tmp_path / "given.parquet")
    scored.to_parquet(tmp_path / "there" / "other_name.parquet")
    one = config_of(tmp_path, scores_section(Path("given.parquet")))
    assert one.model.scores is not None
    assert one.model.scores.path == str(tmp_path / "given.parquet")
    other = config_of(tmp_path, scores_section(Path("there/other_name.parquet")))
    assert one.fingerprint() == other.fingerprint()
    scored.assign(bearish=scored["bullish"], bullish=scored["bearish"]).to_parquet(
        tmp_path / "there" / "other_name.parquet"
    )
    assert one.fingerprint() != other.fingerprint()


def test_a_file_of_other_news_shows_the_ids_of_both(tmp_path: Path, scored: pd.DataFrame) -> None:
    scored.assign(article_id="news-" + scored["article_id"]).to_parquet(tmp_path / "given.parquet")
    config = config_of(tmp_path, scores_section(tmp_path / "given.parquet"))
    with pytest.raises(DataError, match=r"such as 'news-sim-.*those of the news such as 'sim-"):
        prepare(config, Quiet())


def test_ids_whose_zeros_were_lost_are_told(tmp_path: Path, scored: pd.DataFrame) -> None:
    news = pd.DataFrame({"article_id": ["0001", "0002", "1003"]})
    inputs = load_inputs(config_of(tmp_path, 'kind = "lexicon"'), Quiet())
    there = scored.iloc[:3].assign(article_id=["1", "2", "3"])
    there.to_parquet(tmp_path / "given.parquet")
    section = config_of(tmp_path, scores_section(tmp_path / "given.parquet")).model.scores
    assert section is not None
    with pytest.raises(DataError, match="the same where leading zeros are left out"):
        coverage(section, replace(inputs, scores={}), news)
    there.assign(article_id=["1", "2", "1003"]).to_parquet(tmp_path / "given.parquet")
    assert coverage(section, replace(inputs, scores={}), news)["unpadded"] == 2
    assert "unpadded" not in coverage(section, replace(inputs, scores={}), news.assign(article_id=["1", "2", "9"]))


def test_a_fold_that_cannot_be_calibrated_is_told_before_anything_is_read(tmp_path: Path, scored: pd.DataFrame) -> None:
    plan = prepare(config_of(tmp_path, 'kind = "lexicon"'), Quiet())
    held_out = set(plan.parts[0].validation["article_id"])
    scored.loc[~scored["article_id"].isin(held_out)].to_parquet(tmp_path / "given.parquet")
    with pytest.raises(DataError, match="validation samples of fold 0 has a score"):
        prepare(config_of(tmp_path, scores_section(tmp_path / "given.parquet")), Quiet())


def test_labels_of_a_file_have_no_scores(tmp_path: Path, scored: pd.DataFrame) -> None:
    scored.to_parquet(tmp_path / "given.parquet")
    labelled = pd.DataFrame({"text": [f"text {n}" for n in range(60)], "label": ["bearish", "neutral", "bullish"] * 20})
    labelled.to_csv(tmp_path / "labels.csv", index=False)
    document: dict[str, Any] = config_of(tmp_path, scores_section(tmp_path / "given.parquet")).to_dict()
    document["labels"] = {
        "source": "file",
        "path": str(tmp_path / "labels.csv"),
        "format": "table",
        "knowledge_cutoff": "2014-01-01",
    }
    with pytest.raises(ConfigError, match=r"labels.source = 'file' calibrates on texts of its own"):
        prepare(parse_config(document, where="labels of a file"), Quiet())


def test_a_file_answers_no_question(tmp_path: Path, scored: pd.DataFrame) -> None:
    scored.to_parquet(tmp_path / "given.parquet")
    plan = prepare(config_of(tmp_path, scores_section(tmp_path / "given.parquet")), Quiet())
    found = probe_run(plan, tmp_path / "cache", Quiet())
    assert {each.verdict for each in found} == {"not-applicable"}
    assert {"M2", "M3", "M6", "M8"} <= {each.code for each in found}
    assert all("answers no question" in each.detail for each in found)


def test_other_futures_have_other_scores_of_what_is_later_alone(tmp_path: Path, scored: pd.DataFrame) -> None:
    scored.to_parquet(tmp_path / "given.parquet")
    config = config_of(tmp_path, scores_section(tmp_path / "given.parquet"))
    inputs = load_inputs(config, Quiet())
    prepare(config, Quiet(), inputs)
    at = pd.Timestamp("2015-08-03", tz="UTC")
    changed = rewritten(inputs, at, np.random.default_rng(7_300_002))
    ((key, before),), ((same_key, after),) = inputs.scores.items(), changed.scores.items()
    assert (key, before.source) == (same_key, after.source)
    known_at = inputs.news.drop_duplicates("article_id").set_index("article_id")["known_at"]
    later = before.frame.index.map(known_at) > at
    pd.testing.assert_frame_equal(before.frame[~later], after.frame[~later])
    assert (before.frame[later] != after.frame[later]).any(axis=1).mean() > 0.9


@pytest.mark.slow
def test_other_futures_have_other_scores_and_a_run_that_knows_them_is_caught(
    tmp_path: Path, scored: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored.to_parquet(tmp_path / "given.parquet")
    config = config_of(tmp_path, scores_section(tmp_path / "given.parquet"))
    inputs = load_inputs(config, Quiet())
    plan = prepare(config, Quiet(), inputs)
    (clean,) = perturb_run(plan, inputs, tmp_path / "clean", Quiet(), n_rows=1)
    assert (clean.code, clean.verdict) == ("T1", "pass"), clean.detail

    def peeking(*given: Any, **more: Any) -> Any:
        # Each article is traded on the score of the next one.
        reading = read(*given, **more)
        ahead = reading.scored.groupby("symbol")[[*CLASSES, "confidence"]].shift(-1)
        return replace(reading, scored=reading.scored.assign(**ahead.fillna(1 / 3)))

    monkeypatch.setattr("embargo.research.run.perturbation.read", peeking)
    found = perturb_run(plan, inputs, tmp_path / "leaky", Quiet(), n_rows=1)
    assert {each.verdict for each in found} == {"leak"}


def test_validate_shows_what_is_covered(tmp_path: Path, scored: pd.DataFrame) -> None:
    scored.iloc[10:].to_parquet(tmp_path / "given.parquet")
    config_of(tmp_path, scores_section(tmp_path / "given.parquet"))
    shown = embargo("validate", tmp_path / "small.toml")
    assert shown.exit_code == 0, shown.output
    said = " ".join(shown.output.split())
    assert "articles of the news have one" in said
    assert "10 articles without a score carry no signal" in said


def test_the_command_score_writes_what_a_run_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBARGO_CACHE", str(tmp_path / "cache"))
    config = config_of(tmp_path, 'kind = "lexicon"')
    outcome = execute(config, out=tmp_path / "runs", cache=tmp_path / "cache", stages=Quiet())
    news = prepare(config, Quiet()).world.news[["article_id", "published_at", "symbol", "text"]]
    news.to_parquet(tmp_path / "news.parquet")
    done = embargo("score", outcome.folder, tmp_path / "news.parquet", "--out", tmp_path / "given.parquet")
    assert done.exit_code == 0, done.output
    config_of(tmp_path, scores_section(tmp_path / "given.parquet", "2014-06-30"))
    refused = embargo("validate", tmp_path / "small.toml")
    assert refused.exit_code != 0
    assert "the file says that the model which made it knows until" in " ".join(refused.output.split())
    config_of(tmp_path, scores_section(tmp_path / "given.parquet", "2015-07-01"))
    shown = embargo("validate", tmp_path / "small.toml")
    assert shown.exit_code == 0, shown.output
