"""Every run repeats a fold with another future: planted leaks are found in it by their stage, clean twins pass."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files

import pandas as pd
import pytest

from embargo.backtest.leakage import CHECKS, check_settled
from embargo.backtest.leakage.causality import CANARY
from embargo.data_loaders.store.files import Folder
from embargo.models.content import text_hash
from embargo.models.scorers.shards import keys_of, open_shard
from embargo.research import Quiet, execute, load_config
from embargo.research.run import preparation, reading, samples
from embargo.research.run.perturbation import Carried, perturb_once
from embargo.research.run.plan import traded_news
from embargo.research.run.trading import fuse, trade

SMALL = files("embargo.research.examples") / "small.toml"
TITLE = CHECKS["check_settled"].title
AT = pd.Timestamp("2024-03-01", tz="UTC")


def repeated(folder, *overrides):
    """Ask the check alone, of what a run carries to its orders."""
    config, cache = load_config(SMALL, list(overrides)), folder / "cache"
    plan, memory = preparation.prepare(config, Quiet()), reading.Memory()
    plan = reading.with_base(plan, plan.parts[0].fold.train_end, cache, Quiet())
    read = reading.read(plan, plan.parts, cache, Quiet(), memory)
    fused = fuse(plan, read.scored, memory.fusions)
    run = Carried(plan, read, trade(plan, traded_news(plan, read.scored), fused), fused)
    return perturb_once(run, memory, cache, seed=config.seed)


def audited(folder, *overrides):
    """Carry out a whole run, and take the finding from its audit."""
    config = load_config(SMALL, list(overrides))
    outcome = execute(config, out=folder / "runs", cache=folder / "cache", stages=Quiet())
    [finding] = [finding for finding in outcome.findings if finding.title == TITLE]
    return finding


def redated(part):
    """Test samples under dates that no guard doubts."""
    old = part.train.iloc[-1][["known_at", "starts_at", "ends_at"]]
    return part.test[part.train.columns].assign(**old)


def fitted_on(given):
    """Hand other samples to the fit than the run speaks of."""

    def plant(monkeypatch):
        honest = reading.fit_fold
        monkeypatch.setattr(reading, "fit_fold", lambda config, part, *rest: honest(config, given(part), *rest))

    return plant


def with_words_of(texts):
    """Leave only words of some texts in what is fitted on, as a vocabulary learnt there would."""

    def given(part):
        words = set(" ".join(texts(part)).split())
        kept = part.train["text"].map(lambda text: " ".join(word for word in text.split() if word in words) or "none")
        return replace(part, train=part.train.assign(text=kept))

    return fitted_on(given)


def thresholds_from(rows):
    """Learn the thresholds between classes from the returns of some rows of all that is labelled."""

    def plant(monkeypatch):
        seen, honest, learn = {}, samples.labels.forward_returns, samples._learn_thresholds

        def remembered(*given, **named):
            seen["all"] = honest(*given, **named)
            return seen["all"]

        monkeypatch.setattr(samples.labels, "forward_returns", remembered)
        monkeypatch.setattr(
            samples, "_learn_thresholds", lambda train, share: learn(rows(seen["all"].frame, train), share)
        )

    return plant


def scored_beside(level):
    """Divide each confidence by a level of the articles that are scored together."""

    def plant(monkeypatch):
        honest = reading.score_articles

        def scored(*given, **named):
            result = honest(*given, **named)
            confident = result.scores["confidence"] * 0.5 / level(result.scores["confidence"])
            return replace(result, scores=result.scores.assign(confidence=confident.clip(0.0, 1.0)))

        monkeypatch.setattr(reading, "score_articles", scored)

    return plant


def sorted_out_by(length):
    """Keep articles of at least a length that is learnt from some of the news."""

    def plant(monkeypatch):
        from embargo.research.run import perturbation

        honest = preparation.world_of

        def shorter(config, inputs):
            lengths = inputs.news["text"].str.len()
            kept = inputs.news.loc[lengths >= length(lengths)].reset_index(drop=True)
            return replace(honest(config, replace(inputs, news=kept)), inputs=inputs)

        monkeypatch.setattr(preparation, "world_of", shorter)
        monkeypatch.setattr(perturbation, "world_of", shorter)

    return plant


LINEAR = ("model.kind=linear", "signal.threshold=0.35")
RETURNS = (*LINEAR, "labels.source=returns")
PLANTS = {
    "news": ("D8", (), sorted_out_by(lambda x: x.mean()), sorted_out_by(lambda x: x.expanding().mean())),
    "thresholds": ("S5", RETURNS, thresholds_from(lambda all_, _: all_), thresholds_from(lambda _, train: train)),
    "fit": (
        "S4",
        LINEAR,
        fitted_on(lambda part: replace(part, train=pd.concat([part.train, redated(part)]))),
        fitted_on(lambda part: replace(part, train=part.train.iloc[5:])),
    ),
    "vocabulary": (
        "S4",
        LINEAR,
        with_words_of(lambda part: part.test_news["text"]),
        with_words_of(lambda part: part.validation["text"]),
    ),
    "calibration": (
        "M12",
        (),
        fitted_on(lambda part: replace(part, validation=redated(part))),
        fitted_on(lambda part: replace(part, validation=part.validation.iloc[5:])),
    ),
    "scores": ("R3", (), scored_beside(lambda x: x.mean()), scored_beside(lambda _: 0.7)),
}


# What was fitted on is held by "fit"; a vocabulary is the same stage, found by its texts alone.
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "vocabulary" else []) for name in PLANTS]
)
def test_a_planted_leak_is_found_by_the_run_itself_and_its_clean_twin_passes(name, tmp_path, monkeypatch):
    code, overrides, leaky, clean = PLANTS[name]
    with monkeypatch.context() as planted:
        leaky(planted)
        found = repeated(tmp_path / "leaky", *overrides)
    assert (found.code, found.verdict) == (code, "leak")
    assert found.evidence[0]["value"] != found.evidence[0]["value_perturbed"]
    if name == "fit":
        assert "what was fitted on, what was read by optimiser" in found.detail
        assert "vocabulary" in found.detail
    clean(monkeypatch)
    assert repeated(tmp_path / "clean", *overrides).verdict == "pass"


def test_a_leaky_run_leaves_nothing_of_the_other_world_in_its_cache(tmp_path, monkeypatch):
    fitted_on(lambda part: replace(part, train=pd.concat([part.train, redated(part)])))(monkeypatch)
    assert audited(tmp_path, *LINEAR).verdict == "leak"
    kept = tmp_path / "cache" / "scores"
    news = preparation.prepare(load_config(SMALL, list(LINEAR)), Quiet()).world.inputs.news
    canaries = keys_of([text_hash(f"{CANARY} {name}") for name in news["article_id"]])
    for shard in kept.rglob("*.scores"):
        found = open_shard(Folder.at(kept), f"{shard.parent.name}/{shard.name}", bytes.fromhex(shard.parent.name))
        assert not found.find(canaries)[0].any()
    # Two folds, and the word list that every model is held against; none of a model fitted in another world.
    assert len(list(kept.iterdir())) == 3


def test_an_honest_run_fits_nothing_anew(tmp_path, monkeypatch):
    fits, honest = [], reading.fit_scorer

    def counted(kind, **given):
        fits.append(kind)
        return honest(kind, **given)

    monkeypatch.setattr(reading, "fit_scorer", counted)
    assert audited(tmp_path, *LINEAR).verdict == "pass"
    assert sorted(fits) == ["lexicon", "lexicon", "linear", "linear"]


HOLDOUT = "split={method='holdout',first_test=2015-07-01,end=2016-01-01,validation_span='2MS'}"


@pytest.mark.parametrize(
    "overrides",
    [(HOLDOUT, "execution.engine=kernel"), (*RETURNS, "portfolio.inverse_volatility=true", "signal.novelty_floor=0.3")],
    ids=["one fold", "returns"],
)
def test_runs_of_every_kind_are_repeated(overrides, tmp_path):
    found = repeated(tmp_path, *overrides)
    assert (found.code, found.verdict) == ("T1", "pass")
    assert "of orders" in found.detail


def weights(last, shift=0.0):
    prices = pd.Series([10.0, 11.0, last])
    return {"weights": (prices / (prices.mean() if shift else 1.0)).head(2).to_frame("BTC")}


def test_what_does_not_repeat_itself_proves_nothing():
    drawn = iter([2.0, 3.0])
    found = check_settled(weights(1.0, 1.0), lambda _: weights(next(drawn), 1.0), at=AT)
    assert found.verdict == "inconclusive"
    assert "non-deterministic" in found.detail


def test_a_text_from_later_is_named_where_it_stands():
    held = {"vocabulary": pd.DataFrame({"term": ["profit", CANARY.split()[0]]})}
    found = check_settled(weights(1.0), lambda changed: weights(2.0) | (held if changed else {}), at=AT)
    assert (found.code, found.verdict) == ("S4", "leak")
    assert "vocabulary" in found.detail


def test_nothing_settled_proves_nothing():
    assert check_settled({"weights": pd.DataFrame()}, lambda _: {}, at=AT).verdict == "inconclusive"
