"""Masked and redated texts: a reader that recalls by name and day is caught, one that reads is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage.memory import check_masked_forecasts, check_redated_forecasts, check_reidentification
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.probes import mask, reidentify, tilts
from embargo.models.scorer import Scorer
from embargo.research.benchmarks.memory_worlds import (
    ENTITIES,
    MemoryWorld,
    Reader,
    Recaller,
    forecasts,
    make_world,
    memorised,
)


@pytest.fixture(scope="module")
def world() -> MemoryWorld:
    return make_world(2)


def masked(world: MemoryWorld, scorer: Scorer) -> pd.DataFrame:
    texts = mask(world.articles["text"].tolist(), ENTITIES)
    return forecasts(world, scorer).assign(altered=tilts(scorer, texts))


@pytest.mark.parametrize("recalled", [1.0, 0.3])
@pytest.mark.parametrize("declared", [True, False])
def test_a_reader_that_recalls_by_name_is_caught(world, recalled, declared):
    found = check_masked_forecasts(
        masked(world, Recaller(world, recalled, 0)), cutoff=world.cutoff if declared else None
    )
    assert found.verdict == "suspicious"
    assert found.interval[0] > 0
    row = found.evidence[0]
    assert np.sign(row["score"]) == np.sign(row["earned"]) != np.sign(row["altered"])


def test_a_model_that_learnt_headlines_by_heart_is_caught(world):
    found = check_masked_forecasts(masked(world, memorised(world)), cutoff=world.cutoff)
    assert found.verdict == "suspicious"
    assert found.figures["accuracy"] > found.figures["accuracy_altered"] + 0.1


def test_a_reader_that_reads_passes(world):
    found = check_masked_forecasts(masked(world, Reader()))
    assert (found.verdict, found.effect, found.figures["agreement"]) == ("pass", 0.0, 1.0)


def noisy(seed: int, days: int = 300) -> tuple[pd.DataFrame, np.random.Generator]:
    rng = np.random.default_rng(seed)
    at = pd.date_range("2020-01-01", periods=days, tz="UTC").repeat(5)
    earned = rng.normal(size=len(at))
    signal = 0.1 * earned + rng.normal(size=len(at))
    return pd.DataFrame({"at": at, "score": signal, "altered": signal, "earned": earned}), rng


def test_a_loss_of_news_on_both_sides_of_the_cutoff_is_no_memory():
    frame, rng = noisy(0)
    frame = frame.assign(score=frame["earned"] + rng.normal(size=len(frame)))
    cutoff = frame["at"].iloc[len(frame) // 2]
    assert check_masked_forecasts(frame).verdict == "suspicious"
    found = check_masked_forecasts(frame, cutoff=cutoff)
    assert found.verdict == "pass"
    assert "both sides" in found.detail
    assert found.figures["ic_difference_after"] > 0.3
    ended = frame.assign(score=frame["score"].where(frame["at"] < cutoff, frame["altered"]))
    assert check_masked_forecasts(ended, cutoff=cutoff).verdict == "suspicious"


def test_names_that_distract_are_no_memory():
    frame, rng = noisy(1)
    found = check_masked_forecasts(frame.assign(altered=frame["earned"] + rng.normal(size=len(frame))))
    assert found.verdict == "pass"
    assert "distracts" in found.detail
    assert found.interval[1] < 0


def test_figures_are_those_of_the_rows():
    frame, rng = noisy(2)
    frame = frame.assign(altered=frame["score"] + rng.normal(size=len(frame)))
    found = check_masked_forecasts(frame).figures
    rank = frame["earned"].rank()
    for name, column in (("ic", "score"), ("ic_altered", "altered")):
        assert found[name] == pytest.approx(np.corrcoef(frame[column], rank)[0, 1])
    right = [(np.sign(frame[column]) == np.sign(frame["earned"])).mean() for column in ("score", "altered")]
    assert (found["accuracy"], found["accuracy_altered"]) == pytest.approx(tuple(right))
    assert found["agreement"] == pytest.approx((np.sign(frame["score"]) == np.sign(frame["altered"])).mean())
    later = frame["at"] >= frame["at"].iloc[750]
    after = check_masked_forecasts(frame, cutoff=frame["at"].iloc[750]).figures["ic_difference_after"]
    own = [np.corrcoef(frame[column][later], rank[later])[0, 1] for column in ("score", "altered")]
    assert after == pytest.approx(own[0] - own[1])


def test_says_when_nothing_is_proven(world):
    frame, _ = noisy(3, days=30)
    assert check_masked_forecasts(frame.assign(altered=-frame["score"])).verdict == "inconclusive"
    assert check_masked_forecasts(frame, cutoff=frame["at"].min()).verdict == "not-applicable"
    for wrong in (frame.drop(columns="altered"), frame.assign(at=frame["at"].dt.tz_localize(None))):
        with pytest.raises(DataError):
            check_masked_forecasts(wrong)
    with pytest.raises(ConfigError):
        check_redated_forecasts(frame, n_boot=3)


def test_recognised_texts(world):
    articles = world.articles
    for texts, verdict in ((articles["text"].tolist(), "suspicious"),
                           (mask(articles["text"].tolist(), ENTITIES), "pass")):  # fmt: skip
        found = check_reidentification(reidentify(texts, articles["symbol"], articles["at"]).rows)
        assert found.verdict == verdict
        assert found.figures["recognised"] - found.figures["guessed"] == pytest.approx(found.effect)
        assert found.evidence[0]["recognised"] >= found.evidence[-1]["recognised"]


def test_recognition_needs_days_a_lead_and_ones_and_zeros():
    at = pd.date_range("2020-01-01", periods=200, tz="UTC")
    rng = np.random.default_rng(4)
    rows = pd.DataFrame({"at": at, "recognised": (rng.random(200) < 0.25).astype(int), "guessed": 0})
    assert check_reidentification(rows).verdict == "suspicious"
    assert check_reidentification(rows.assign(guessed=rows["recognised"].to_numpy()[::-1])).verdict == "pass"
    assert check_reidentification(rows.head(30)).verdict == "inconclusive"
    small = rows.assign(recognised=(np.arange(200) % 12 == 0).astype(int))
    assert check_reidentification(small).verdict == "pass"
    with pytest.raises(DataError):
        check_reidentification(rows.assign(recognised=0.5))
