"""The built-in decoder that is asked, in a run: it learns from labels known before the first split and no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from samples.asked import articles

from embargo.backtest.leakage.provenance import check_training_record
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models import TinyInstructSettings, TinyLmSettings
from embargo.models.content import text_hash
from embargo.models.instruct import tiny_instruct
from embargo.research.config.adapt import parse_adapt
from embargo.research.config.experiment import load_config
from embargo.research.examples.shipped import example
from embargo.research.modelling.instructing import _labelled
from embargo.research.progress import Quiet
from embargo.research.run.fit_records import hashed_news, planned_for
from embargo.research.run.plan import Plan
from embargo.research.run.preparation import prepare
from embargo.research.run.reading import read, with_base
from embargo.research.run.samples import Samples, early_samples
from embargo.research.studies.adapt.fits import begin

ASKED = ('model.kind="prompted"', 'model.base="tiny-instruct"')
BRIEF = TinyInstructSettings(
    TinyLmSettings(layers=1, hidden=64, intermediate=64, vocabulary=300, epochs=1),
    templates=("brief",),
    examples=0,
    retrieved=0,
    questions=1,
)


def plan_of(*overrides: str) -> Plan:
    with example("small") as path:
        return prepare(load_config(path, [*ASKED, *overrides]), Quiet())


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_instruct, "TinyInstructSettings", lambda: BRIEF)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep the base of all that only look at it: the same labels make it once."""
    return tmp_path_factory.mktemp("cache")


def weights_of(plan: Plan, folder: Path) -> str:
    base = with_base(plan, plan.parts[0].fold.train_end, folder, Quiet()).base
    assert base is not None
    assert not isinstance(base, tuple)
    return str(getattr(base, "weights_hash", ""))


def flipped(plan: Plan, *, after: bool) -> Plan:
    """Turn round the labels that were known after the first training ended, or those known before."""
    until = plan.parts[0].fold.train_end
    news = plan.world.news
    turned = (news["known_at"] >= until) == after
    other = news["label"].map({"bearish": "bullish", "neutral": "neutral", "bullish": "bearish"})
    return replace(plan, world=replace(plan.world, news=news.assign(label=news["label"].mask(turned, other))))


def test_no_label_from_after_its_cutoff_moves_a_weight(cache: Path) -> None:
    plan = plan_of()
    own = weights_of(plan, cache)
    assert weights_of(flipped(plan, after=True), cache) == own
    assert weights_of(flipped(plan, after=False), cache) != own


def test_no_price_from_after_its_cutoff_moves_a_label_of_returns() -> None:
    plan = plan_of('labels.source="returns"')
    until = plan.parts[0].fold.train_end
    own = early_samples(plan.config, plan.world, until)
    assert set(own["label"]) == {0, 1, 2}
    assert own["ends_at"].max() < until - pd.Timedelta(plan.config.split.embargo)

    def labels(*, after: bool) -> list[int]:
        prices = plan.world.prices
        rng = np.random.default_rng(3)
        moved = (prices.open_at >= until) == after
        wild = np.where(moved[:, None], rng.uniform(0.5, 2.0, prices.open.shape), 1.0)
        world = replace(plan.world, prices=replace(prices, open=prices.open * wild))
        return early_samples(plan.config, world, until)["label"].tolist()

    assert labels(after=True) == own["label"].tolist()
    assert labels(after=False) != own["label"].tolist()


def test_a_label_that_was_complete_later_is_not_learnt_and_contradicts_none() -> None:
    plan = plan_of('labels.ends_at="known_at"')
    until = plan.parts[0].fold.train_end
    news = plan.world.news.reset_index(drop=True)
    early = news.index[news["known_at"] < until - pd.Timedelta("30D")][:2]
    news["done"] = news["known_at"]
    news.loc[early[1], ["text", "label"]] = [news.loc[early[0], "text"], "bearish"]
    news.loc[early[0], "label"] = "bullish"
    labels = plan.config.labels.model_copy(update={"ends_at": "done"})
    config = plan.config.model_copy(update={"labels": labels})

    def learnt(done: pd.Timestamp) -> list[int]:
        told = news.assign(done=news["done"].mask(news.index == early[1], done))
        samples = early_samples(config, replace(plan.world, news=told), until)
        return [int(label) for label in samples.loc[samples["text"] == news.loc[early[0], "text"], "label"]]

    assert learnt(until) == [2]
    assert learnt(news.loc[early[1], "known_at"]) == [], "known in time, it contradicts the other"


def test_without_early_labels_it_cannot_be_made(tmp_path: Path) -> None:
    plan = plan_of()
    unlabelled = plan.world.news.assign(label=None)
    bare = replace(plan, world=replace(plan.world, news=unlabelled))
    with pytest.raises(DataError, match=r"model\.base = 'tiny-instruct': of 0 labels known by .* name 'tiny-lm'"):
        weights_of(bare, tmp_path)
    with pytest.raises(ConfigError, match="'tiny-instruct' learns its words from this run's news"):
        plan_of('labels={source="file", path="x.csv", knowledge_cutoff=2014-01-01T00:00:00Z}')


def test_it_knows_no_more_than_the_decoder_that_is_not_instructed(cache: Path) -> None:
    plan = plan_of()
    base = with_base(plan, plan.parts[0].fold.train_end, cache, Quiet()).base
    news = plan.world.news
    known = news.loc[news["known_at"] < plan.parts[0].fold.train_end, "known_at"]
    assert getattr(base, "knowledge_cutoff", None) == known.max()


def test_labels_that_it_learnt_from_are_judged_with_those_of_the_fit(cache: Path) -> None:
    plan = plan_of()
    part = plan.parts[0]
    until = part.fold.train_end
    plan = with_base(plan, until, cache, Quiet())
    (learnt,) = plan.instructed
    own = early_samples(plan.config, plan.world, until)
    assert set(learnt.read["use"]) == {"base"}
    assert sorted(zip(learnt.read["text_hash"], learnt.read["label"], strict=True)) == sorted(
        {(text_hash(text), label) for text, label in zip(own["text"], own["label"], strict=True)}
    )
    assert learnt.read["known_at"].max() < until

    def judged(read: pd.DataFrame) -> str:
        news = hashed_news(plan, read.assign(fold=0))
        # As in a later fold, whose own training no longer holds them.
        planned = planned_for(plan, replace(part, train=part.train.iloc[:0]))
        found = check_training_record(read, planned, news, part.fold.test_start, trained_until=part.trained_until)
        assert found.code == "M11"
        return found.verdict

    assert judged(learnt.read) == "pass"
    late = part.test_news.drop_duplicates("text").iloc[0]
    planted = learnt.read.iloc[[0]].assign(text_hash=text_hash(late["text"]), known_at=late["known_at"])
    assert judged(pd.concat([learnt.read, planted], ignore_index=True)) == "leak"


def test_the_record_of_every_fold_holds_what_its_base_learnt(cache: Path) -> None:
    plan = plan_of('model.prompt.template="brief"')
    plan = with_base(plan, plan.parts[0].fold.train_end, cache, Quiet())
    (learnt,) = plan.instructed
    found = read(plan, plan.parts, cache, Quiet()).fitted_on
    for part in plan.parts:
        own = found.loc[(found["fold"] == part.index) & (found["use"] == "base")]
        assert sorted(own["text_hash"]) == sorted(learnt.read["text_hash"])


def test_of_an_undated_file_it_reads_the_labels_of_the_training_part(tmp_path: Path) -> None:
    until = pd.Timestamp("2014-01-01", tz="UTC")
    every = articles(90).assign(known_at=until)
    train, validation, test = every.iloc[:60], every.iloc[60:75], every.iloc[75:]
    model = {"kind": "prompted", "base": "tiny-instruct"}
    labels = {"source": "file", "path": "x.csv", "knowledge_cutoff": until}
    readers = {"asked": model, "words": {"kind": "lexicon"}}
    study = parse_adapt({"name": "undated", "labels": labels, "readers": readers}, where="test")
    part = Samples(0, train, validation, test, test.iloc[:0], until, None, None, {})
    base = begin(study, "asked", None, [part], tmp_path, Quiet()).base
    assert base is not None
    assert base.knowledge_cutoff == until
    assert "on 60 texts and tuned to answer on 60 labels" in base.source


def test_to_be_tuned_on_instructions_it_needs_labels_too() -> None:
    at = pd.Timestamp("2014-01-01", tz="UTC")
    part = pd.DataFrame({"text": ["Profit rose.", "It met."], "known_at": at, "label": ["bullish", None]})
    later = at + pd.Timedelta("1D")
    samples = _labelled(part.assign(written_at=[later, pd.NaT]))
    assert samples[["label", "ends_at"]].to_numpy().tolist() == [[2, later]]
    with pytest.raises(ConfigError, match=r"none has one\. Name their column as news\.columns\.label"):
        _labelled(part.assign(label=None))
