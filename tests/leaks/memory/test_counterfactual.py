"""Texts turned round: what a reader will not give up is no more often right than the rest, unless it recalls."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage.memory import check_counterfactual_readings, check_redated_forecasts
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.probes import flip_outcomes, log_odds, shift_dates, tilts
from embargo.models.scorer import Scorer
from embargo.research.benchmarks.memory_worlds import (
    MemoryWorld,
    Reader,
    Recaller,
    forecasts,
    honest,
    make_world,
    memorised,
)


@pytest.fixture(scope="module")
def world() -> MemoryWorld:
    return make_world(3)


def readings(world: MemoryWorld, scorer: Scorer) -> pd.DataFrame:
    texts = world.articles["text"].tolist()
    turned = flip_outcomes(texts)
    return world.articles.assign(
        log_odds=log_odds(scorer, texts), flipped=log_odds(scorer, turned.texts), direction=turned.direction
    )


@pytest.mark.parametrize("recalled", [0.5, 0.2])
def test_a_reader_that_recalls_is_caught(world, recalled):
    found = check_counterfactual_readings(readings(world, Recaller(world, recalled, 0)), cutoff=world.cutoff)
    assert found.verdict == "suspicious"
    assert found.figures["right_stayed"] == 1.0
    assert found.figures["followed"] == pytest.approx(1 - recalled, abs=0.06)
    assert all(row["flipped"] == row["log_odds"] for row in found.evidence)


def test_a_reader_that_recalls_everything_is_caught(world):
    found = check_counterfactual_readings(readings(world, Recaller(world, 1.0, 0)), cutoff=world.cutoff)
    assert found.verdict == "suspicious"
    assert found.figures["followed"] < 0.05


def test_a_model_that_learnt_headlines_by_heart_is_caught(world):
    found = check_counterfactual_readings(readings(world, memorised(world)), cutoff=world.cutoff)
    assert found.verdict == "suspicious"
    assert found.figures["right_stayed"] > 0.9


@pytest.mark.parametrize("scorer", [Reader(), honest(100)], ids=["words", "linear"])
def test_readers_that_read_pass(world, scorer):
    found = check_counterfactual_readings(readings(world, scorer))
    assert found.verdict == "pass"
    assert found.figures["followed_agreeing"] > 0.8


def test_figures_are_those_of_the_rows(world):
    frame = readings(world, Recaller(world, 0.3, 1))
    found = check_counterfactual_readings(frame).figures
    frame = frame[frame["direction"] != 0]
    moved = np.sign(frame["direction"]) * (frame["flipped"] - frame["log_odds"])
    follows = moved >= 0.5 * moved[moved > 0].median()
    right = np.sign(frame["log_odds"]) == np.sign(frame["earned"])
    assert found["n"] == len(frame)
    assert found["followed"] == pytest.approx(follows.mean())
    assert found["right_stayed"] == pytest.approx(right[~follows & (frame["log_odds"] != 0)].mean())
    assert found["right_followed"] == pytest.approx(right[follows & (frame["log_odds"] != 0)].mean())
    assert found["mean_move"] == pytest.approx(moved.mean())
    assert found["followed_low"] < found["followed"] < found["followed_high"]


def test_hard_words_that_stay_are_no_memory():
    rng = np.random.default_rng(0)
    at = pd.date_range("2020-01-01", periods=300, tz="UTC").repeat(4)
    earned = rng.normal(size=len(at))
    says = 2.0 * np.sign(0.2 * earned + rng.normal(size=len(at)))
    deaf = rng.random(len(at)) < 0.3
    frame = pd.DataFrame({"at": at, "log_odds": says, "flipped": np.where(deaf, says, -says),
                          "direction": -np.sign(says), "earned": earned})  # fmt: skip
    found = check_counterfactual_readings(frame)
    assert found.verdict == "pass"
    assert found.figures["followed"] == pytest.approx(0.7, abs=0.05)


def test_a_reader_that_always_follows_leaves_none_to_be_right():
    at = pd.date_range("2020-01-01", periods=60, tz="UTC")
    says = np.where(np.arange(60) % 2 == 0, 2.0, -2.0)
    frame = pd.DataFrame({"at": at, "log_odds": says, "flipped": -says, "direction": -np.sign(says),
                          "earned": np.sin(np.arange(60.0) + 0.5)})  # fmt: skip
    found = check_counterfactual_readings(frame)
    assert (found.verdict, found.effect, found.interval) == ("pass", None, None)
    assert found.detail == (
        "100.0% of 60 readings follow a text turned round (0 left out); too few stay to tell whether those are right."
    )
    recites = check_counterfactual_readings(frame.assign(flipped=says))
    assert recites.verdict == "inconclusive"
    assert recites.figures["n"] == 60.0
    assert recites.figures["followed_agreeing"] == 0.0
    assert "pairs that are turned round" in recites.remedy


def test_says_when_nothing_is_proven(world):
    frame = readings(world, Reader())
    assert check_counterfactual_readings(frame.assign(direction=0)).verdict == "not-applicable"
    assert check_counterfactual_readings(frame.head(100)).verdict == "inconclusive"
    assert check_counterfactual_readings(frame.assign(flipped=frame["log_odds"])).verdict == "inconclusive"
    with pytest.raises(DataError):
        check_counterfactual_readings(frame.drop(columns="direction"))
    with pytest.raises(ConfigError):
        check_counterfactual_readings(frame, level=0.2)


@pytest.mark.parametrize(("recalled", "verdict"), [(0.3, "suspicious"), (0.0, "pass")])
def test_false_dates(world, recalled, verdict):
    scorer = Recaller(world, recalled, 0)
    altered = tilts(scorer, shift_dates(world.articles["text"].tolist(), 7))
    found = check_redated_forecasts(forecasts(world, scorer).assign(altered=altered), cutoff=world.cutoff)
    assert (found.code, found.verdict) == ("M7", verdict)


def test_days_whose_texts_hold_no_word_to_turn_do_not_count():
    at = pd.date_range("2020-01-01", periods=60, tz="UTC")
    says = np.where(np.arange(60) % 2, 1.0, -1.0)
    frame = pd.DataFrame({"at": at, "log_odds": says, "flipped": -says, "direction": -says, "earned": says})
    found = check_counterfactual_readings(frame.assign(direction=np.where(np.arange(60) < 39, -says, 0.0)), n_boot=200)
    assert (found.verdict, found.figures["days"]) == ("inconclusive", 39.0)
    assert found.detail.endswith("39 days prove nothing, 40 are needed.")
