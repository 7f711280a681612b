"""Readers asked what they remember, with a run and without: stubs that know outcomes, and a model fitted on them."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from embargo.data_loaders.errors import DataError
from embargo.models import LinearSettings, fit_linear
from embargo.research import Quiet, load_config, prepare
from embargo.research.benchmarks.memory_worlds import (
    NAMES,
    Reader,
    Recaller,
    articles_of,
    honest,
    make_world,
    memorised,
    tuned,
)
from embargo.research.run.probing import _placed, draw_articles, probe_run, probe_scorer

CODES = ["M1", "M2", "M3", "M3", "M3", "M4", "M5", "M5", "M6", "M7", "M8", "M13", "R5"]


@pytest.fixture(scope="module")
def world():
    return make_world(12)


@pytest.fixture(scope="module")
def plan():
    return prepare(load_config(str(files("embargo.research.examples") / "small.toml")), Quiet())


def doubted(found):
    return [each.code for each in found if each.verdict in ("leak", "suspicious")]


def test_a_reader_that_recalls_is_caught_and_one_that_reads_is_not(world):
    found = probe_scorer(Recaller(world, 0.3, 0), articles_of(world), world.cutoff, names=NAMES)
    assert [each.code for each in found] == CODES
    assert [each.verdict for each in found if each.code == "M3"] == ["leak", "leak", "suspicious"]
    assert {"M5", "M7", "M8"} <= set(doubted(found))
    assert doubted(probe_scorer(honest(77), articles_of(world), world.cutoff, names=NAMES)) == []


def test_a_model_fitted_on_headline_and_outcome_is_caught(world):
    found = probe_scorer(memorised(world), articles_of(world), world.cutoff, names=NAMES)
    assert found[3].verdict == "leak"
    assert {"M1", "M5", "M7", "M8"} <= set(doubted(found))


@pytest.mark.slow
def test_a_base_tuned_on_headline_and_outcome_is_caught(world, tmp_path):
    found = probe_scorer(tuned(5, tmp_path, world).scorer, articles_of(world), world.cutoff, names=NAMES)
    # A bare date brings nothing up, since no text that it was fitted on looked like one.
    assert found[3].verdict == "leak"
    assert {"M1", "M5", "M7", "M8"} <= set(doubted(found))


class Moody(Reader):
    """Reads, and answers a little otherwise each time."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def logits(self, texts, progress=None):
        read = super().logits(texts, progress)
        return read + self.rng.normal(0.0, 0.05, read.shape)


class Fond(Reader):
    """Likes three companies and dislikes the others, whatever it reads."""

    def logits(self, texts, progress=None):
        liked = [any(name in text for name in ("Altera", "Borcor", "Centek")) for text in texts]
        named = [any(name in text for own in NAMES.values() for name in own[1:]) for text in texts]
        lean = np.where(named, np.where(liked, 4.0, -4.0), 0.0)
        return super().logits(texts, progress) + lean[:, None] * np.array([-1.0, 0.0, 1.0])


def test_a_reader_is_asked_twice_and_the_same_news_is_told_of_several(world):
    asked = {"names": NAMES, "at_most": 150}
    assert doubted(probe_scorer(Moody(), articles_of(world), None, **asked)) == ["M13"]
    found = probe_scorer(Fond(), articles_of(world), None, **asked)
    assert doubted(found) == ["M5"]
    assert found[7].verdict == "suspicious"


def test_texts_that_a_causal_model_finds_familiar_until_its_cutoff_are_doubted(world):
    articles, rng = articles_of(world), np.random.default_rng(0)
    seen = set(articles.loc[world.before, "text"])
    asked = {"names": NAMES, "at_most": 400}
    for step, verdict in ((1.5, "suspicious"), (0.0, "pass")):
        found = probe_scorer(
            Reader(),
            articles,
            world.cutoff,
            familiarity=lambda texts, step=step: (
                rng.normal(size=len(texts)) + step * np.array([t in seen for t in texts])
            ),
            **asked,
        )
        assert found[CODES.index("M4")].verdict == verdict


def test_without_names_masking_proves_nothing(world):
    found = dict(zip(CODES, probe_scorer(Reader(), articles_of(world), None, at_most=200), strict=True))
    assert found["M5"].verdict == found["M6"].verdict == "inconclusive"
    assert "leakage.names" in found["M5"].detail
    assert found["M2"].verdict == found["M4"].verdict == "not-applicable"


def test_articles_are_drawn_from_both_sides_and_what_one_lacks_goes_to_the_other(world):
    articles = articles_of(world)
    late = articles["at"].iloc[-30]
    for cutoff, before, after in ((world.cutoff, 100, 100), (late, 200 - (articles["at"] >= late).sum(), None)):
        drawn = draw_articles(articles, cutoff, at_most=200, seed=1)
        assert (drawn["at"] < cutoff).sum() == before
        assert after is None or (drawn["at"] >= cutoff).sum() == after
        assert drawn["at"].is_monotonic_increasing
        assert drawn["article_id"].is_unique
    with pytest.raises(DataError, match="none has a return"):
        draw_articles(articles.assign(earned=np.nan), None)


def test_the_readers_of_a_run_are_asked_about_its_own_test_news(plan, tmp_path):
    placed = _placed(plan)
    assert set(placed["fold"]) == {0, 1}
    assert (placed["at"] > placed["known_at"]).all()
    first, prices = placed.iloc[0], plan.world.prices
    opens, bar = prices.open[first["symbol"]], prices.open_at.get_loc(first["at"])
    assert first["earned"] == pytest.approx(opens.iloc[bar + 1] / opens.iloc[bar] - 1.0)
    # Fitted on what the test was to earn, out of texts that hold no date: what happened is turned round, and it stays.
    labels = np.where(placed["earned"] > 0.0, 2, 0).tolist()
    by_heart, until = LinearSettings(strength=100.0), placed["at"].min()
    taught = fit_linear(placed["text"].tolist(), labels, by_heart, trained_until=until)
    found = probe_run(plan, tmp_path, Quiet(), scorer=taught)
    assert doubted(found) == ["M8"]
    assert found[CODES.index("M8")].evidence[0]["article_id"] in set(placed["article_id"])
    assert doubted(probe_run(plan, tmp_path, Quiet())) == []
