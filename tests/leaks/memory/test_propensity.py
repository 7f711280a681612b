"""Bare dates and lookahead propensity: memory before the cutoff shows, the placebo after it does not."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from embargo.backtest.leakage.memory import (
    check_date_recall,
    check_lent_news,
    check_lookahead_propensity,
    check_recall_after_cutoff,
    regress_by_cluster,
)
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.probes import recall
from embargo.models.scorer import Scorer
from embargo.research.benchmarks.memory_worlds import (
    NAMES,
    MemoryWorld,
    Reader,
    Recaller,
    articles_of,
    forecasts,
    honest,
    learnt_elsewhere,
    make_world,
    memorised,
)
from embargo.research.run.probing import change_texts, put_questions


@pytest.fixture(scope="module")
def world() -> MemoryWorld:
    return make_world(4)


def asked(world: MemoryWorld, scorer: Scorer) -> pd.DataFrame:
    found = recall(scorer, world.articles["symbol"], world.articles["at"], templates=["{symbol} {date:%Y%m%d}"])
    return forecasts(world, scorer).assign(recalled=found["recalled"], propensity=found["propensity"])


@pytest.mark.parametrize("recalled", [1.0, 0.3])
def test_a_bare_date_proves_that_a_reader_recalls(world, recalled):
    found = check_date_recall(asked(world, Recaller(world, recalled, 0)), cutoff=world.cutoff)
    assert found.verdict == "leak"
    assert found.interval[0] > 0.1
    assert np.isnan(found.figures["recall_after"])
    assert all(np.sign(row["recalled"]) == np.sign(row["earned"]) for row in found.evidence)


def test_a_bare_date_proves_that_a_model_learnt_headlines_by_heart(world):
    found = check_date_recall(asked(world, memorised(world)), cutoff=world.cutoff)
    assert found.verdict == "leak"
    assert found.figures["recall_after_low"] < 0 < found.figures["recall_after_high"]


@pytest.mark.parametrize("scorer", [Reader(), honest(101)], ids=["words", "linear"])
def test_readers_that_read_recall_nothing(world, scorer):
    frame = asked(world, scorer)
    assert check_date_recall(frame, cutoff=world.cutoff).verdict == "pass"
    assert check_lookahead_propensity(frame, cutoff=world.cutoff).verdict in {"pass", "inconclusive"}


def told_of_each(world: MemoryWorld, scorer: Scorer) -> pd.DataFrame:
    return put_questions(scorer, change_texts(articles_of(world), NAMES), names=NAMES)


class Headlines(Recaller):
    """Recalls nothing unless a text is as long as a headline, as a reader that was fitted on headlines."""

    def tilt(self, text: str) -> float:
        return super().tilt(text) if len(text.split()) > 4 else 0.0


def test_news_lent_prove_what_a_bare_date_does_not_bring_up(world):
    read = told_of_each(world, Headlines(world, 0.3, 0))
    assert check_date_recall(read, cutoff=world.cutoff).verdict == "pass"
    found = check_lent_news(read.assign(recalled=read["lent"]), cutoff=world.cutoff)
    assert found.verdict == "leak"
    assert {"article_id", "symbol", "at", "recalled", "earned"} == set(found.evidence[0])


@pytest.mark.parametrize("scorer", [Reader(), honest(101), learnt_elsewhere(101)], ids=["words", "linear", "elsewhere"])
def test_news_lent_say_nothing_to_readers_that_read(world, scorer):
    read = told_of_each(world, scorer)
    assert check_lent_news(read.assign(recalled=read["lent"]), cutoff=world.cutoff).verdict == "pass"


def test_news_lent_by_the_day_itself_do_not_count(world):
    changed = change_texts(articles_of(world), NAMES)
    own = np.arange(len(changed))
    read = put_questions(Reader(), changed.assign(lender_0=own, lender_1=own), names=NAMES)
    assert read["lent"].isna().all()


def test_a_cutoff_that_is_stated_too_early_is_told(world):
    read = told_of_each(world, Recaller(world, 0.5, 0))
    early = world.articles["at"].iloc[0]
    assert check_recall_after_cutoff(read, early).verdict == "leak"
    assert check_recall_after_cutoff(read, world.cutoff).verdict == "pass"
    assert check_recall_after_cutoff(read, None).verdict == "not-applicable"
    end = world.articles["at"].iloc[-1]
    assert check_recall_after_cutoff(read, end + pd.Timedelta(days=1)).verdict == "not-applicable"
    noisy = read.assign(recalled=np.random.default_rng(0).normal(size=len(read)))
    assert check_recall_after_cutoff(noisy, end - pd.Timedelta(days=30)).verdict == "inconclusive"


def test_forecasts_are_better_where_days_are_recalled(world):
    found = check_lookahead_propensity(asked(world, Recaller(world, 0.3, 0)), cutoff=world.cutoff)
    assert found.verdict == "suspicious"
    assert found.figures["mean_propensity"] > 0.1
    assert found.figures["mean_propensity_after"] == 0


def test_what_is_thought_of_a_symbol_on_all_days_is_no_recall():
    rng = np.random.default_rng(0)
    at = pd.date_range("2020-01-01", periods=300, tz="UTC").repeat(2)
    symbol = np.array(["A", "B"] * 300)
    # One symbol rose all along, and the reader always liked it.
    liked = np.where(symbol == "A", 0.4, -0.4)
    frame = pd.DataFrame(
        {"at": at, "symbol": symbol, "recalled": liked, "earned": rng.normal(size=600) + np.where(liked > 0, 1, -1)}
    )
    found = check_date_recall(frame)
    assert (found.verdict, found.effect) == ("pass", 0.0)
    wavering = check_date_recall(frame.assign(recalled=liked + 0.1 * rng.normal(size=600)))
    assert wavering.verdict == "pass"
    assert abs(wavering.effect) < 0.15


def interacting(seed: int, after: float) -> tuple[pd.DataFrame, pd.Timestamp]:
    """Forecasts whose weight grows with propensity by 0.3 before the middle and by ``after`` after it."""
    rng = np.random.default_rng(seed)
    at = pd.date_range("2020-01-01", periods=600, tz="UTC").repeat(4)
    cutoff = at[1200]
    score, propensity = rng.normal(size=2400), rng.random(2400)
    weight = np.where(at < cutoff, 0.3, after) * (propensity - 0.5) / propensity.std()
    earned = weight * score + rng.normal(size=2400) + rng.normal(size=600).repeat(4)
    return pd.DataFrame({"at": at, "score": score, "propensity": propensity, "earned": earned}), cutoff


def test_an_interaction_on_both_sides_of_the_cutoff_is_no_memory():
    for after, verdict in ((0.0, "suspicious"), (0.3, "pass")):
        frame, cutoff = interacting(1, after)
        found = check_lookahead_propensity(frame, cutoff=cutoff)
        assert found.verdict == verdict
    assert "as large" in found.detail
    assert check_lookahead_propensity(frame).verdict == "suspicious"


def test_coefficients_and_errors_are_those_of_statsmodels():
    frame, _ = interacting(2, 0.0)
    found = check_lookahead_propensity(frame)
    score, propensity = (
        (frame[name] - frame[name].mean()) / frame[name].std(ddof=0) for name in ("score", "propensity")
    )
    rank = frame["earned"].rank()
    x = sm.add_constant(np.column_stack([score, propensity, score * propensity]))
    fitted = sm.OLS((rank - rank.mean()) / rank.std(ddof=0), x).fit(
        cov_type="cluster", cov_kwds={"groups": frame["at"].dt.day_of_year + 1000 * frame["at"].dt.year}
    )
    assert found.effect == pytest.approx(fitted.params.iloc[3])
    assert found.figures["interaction_z"] == pytest.approx(fitted.tvalues.iloc[3])
    assert found.interval == pytest.approx(tuple(fitted.conf_int().iloc[3]))


def test_dependence_within_days_widens_the_errors():
    rng = np.random.default_rng(3)
    day = np.arange(100).repeat(20)
    x = np.column_stack([np.ones(2000), rng.normal(size=100).repeat(20)])
    y = rng.normal(size=100).repeat(20) + 0.1 * rng.normal(size=2000)
    by_day, alone = regress_by_cluster(y, x, day), regress_by_cluster(y, x, np.arange(2000))
    assert by_day.errors[1] > 4 * alone.errors[1]
    assert by_day.errors[1] == pytest.approx(0.1, rel=0.3)


def test_says_when_nothing_is_proven(world):
    frame = asked(world, Recaller(world, 0.3, 0))
    for check in (check_date_recall, check_lookahead_propensity):
        assert check(frame, cutoff=frame["at"].min()).verdict == "not-applicable"
        assert check(frame.head(100)).verdict == "inconclusive"
        with pytest.raises(ConfigError):
            check(frame, level=0.1)
        with pytest.raises(DataError):
            check(frame.drop(columns=["recalled", "propensity"]))
    assert check_lookahead_propensity(frame.assign(propensity=0.5)).verdict == "inconclusive"
    with pytest.raises(DataError):
        regress_by_cluster(np.ones(4), np.ones((4, 2)), np.arange(4))


def test_forty_days_are_enough_and_what_is_lacking_is_said():
    frame, _ = interacting(4, 0.0)
    enough, few = (check_lookahead_propensity(frame.head(4 * days)) for days in (40, 39))
    assert enough.verdict != "inconclusive"
    assert (few.verdict, few.figures["days"]) == ("inconclusive", 39.0)
    assert few.detail.startswith("Nothing is proven by 156 forecasts of 39 days with a mean propensity of 0.")


def test_a_recollection_that_is_doubted_says_by_how_many_errors():
    frame, _ = interacting(5, 0.0)
    frame = frame.head(400).assign(symbol="A", recalled=lambda rows: rows["earned"])
    found = check_date_recall(frame, n_boot=200)
    assert found.verdict == "leak"
    assert re.search(r" That is \d+\.\d standard errors, from ", found.detail)


def test_what_is_not_doubted_is_told_with_its_interval():
    frame, cutoff = interacting(6, 0.0)
    recalled = np.random.default_rng(0).normal(size=len(frame))
    found = check_date_recall(frame.assign(symbol="A", recalled=recalled), cutoff=cutoff, n_boot=200)
    assert found.verdict == "pass"
    assert found.interval[0] < found.effect < found.interval[1]
    assert f" correlate {found.effect:.3f} with that day's return, " in found.detail
    assert f", {found.figures['recall_after']:.3f} after the cutoff." in found.detail
