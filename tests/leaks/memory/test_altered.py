"""Masked and redated texts: a reader that recalls by name and day is caught, one that reads is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage.memory import (
    check_leading_names,
    check_masked_forecasts,
    check_redated_forecasts,
    check_reidentification,
)
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


def told_of_others(seed: int, lean: float, texts: int = 200) -> pd.DataFrame:
    rng, symbol = np.random.default_rng(seed), np.tile(list("ABCDE"), texts // 5)
    fond = lean * pd.Series(symbol).map(dict(zip("ABCDE", (1.0, -1.0, 1.0, -1.0, 0.0), strict=True)))
    return pd.DataFrame(
        {"symbol": symbol, "moved": fond + rng.normal(0.0, 0.1, texts), "altered": rng.normal(0.0, 0.3, texts)}
    )


@pytest.mark.parametrize(
    ("lean", "verdict"), [(0.5, "suspicious"), (0.25, "suspicious"), (0.15, "pass"), (0.0, "pass")]
)
def test_names_lead_where_they_make_a_quarter_of_what_varies(lean, verdict):
    frame = told_of_others(0, lean)
    found = check_leading_names(frame)
    assert found.verdict == verdict
    names = 0.8 * lean**2
    assert found.effect == pytest.approx(names / (names + 0.09), abs=0.06)
    assert found.interval[0] <= found.effect <= found.interval[1]
    assert found.figures["deviation_names"] == pytest.approx(np.sqrt(names), abs=0.04)
    liked = [row["moved"] for row in found.evidence]
    assert liked == sorted(liked, reverse=True)
    assert bool(liked) == (verdict == "suspicious")


def test_the_variance_between_companies_is_that_of_the_textbook():
    frame = told_of_others(1, 0.3).iloc[:-7]
    found = check_leading_names(frame)
    groups = frame.groupby("symbol")["moved"]
    within = groups.apply(lambda own: ((own - own.mean()) ** 2).sum()).sum() / (len(frame) - 5)
    between = (groups.size() * (groups.mean() - frame["moved"].mean()) ** 2).sum()
    own = (between - 4 * within) / len(frame)
    assert found.figures["deviation_names"] ** 2 == pytest.approx(own)
    assert found.effect == pytest.approx(own / (own + frame["altered"].var(ddof=0)))
    assert found.figures["deviation_news"] == pytest.approx(frame["altered"].std(ddof=0))
    assert found.figures["p"] == pytest.approx(1 / 2000)


def test_names_that_are_not_felt_or_are_chance_do_not_lead():
    # A quarter of nearly nothing is nothing.
    faint = told_of_others(2, 0.5)
    assert (
        check_leading_names(faint.assign(moved=0.1 * faint["moved"], altered=0.1 * faint["altered"])).verdict == "pass"
    )
    # Answers that differ much from text to text, but not by whom they are told of.
    loud = told_of_others(3, 0.0, 60).assign(moved=lambda own: 15.0 * own["moved"])
    found = check_leading_names(loud)
    assert found.verdict == "pass"
    assert found.figures["p"] > 0.001
    ps = [check_leading_names(told_of_others(seed, 0.0, 60), n_boot=100).figures["p"] for seed in range(30)]
    assert 0.3 < np.mean(ps) < 0.7
    assert min(ps) > 0.001


def test_leading_names_say_when_nothing_is_proven():
    frame = told_of_others(4, 0.5)
    assert check_leading_names(frame[frame["symbol"] == "A"]).verdict == "not-applicable"
    assert check_leading_names(frame.head(39)).verdict == "inconclusive"
    assert check_leading_names(frame.head(40)).verdict == "suspicious"
    assert check_leading_names(frame.assign(moved=frame["moved"].where(frame.index < 39))).figures["n"] == 39.0
    still = check_leading_names(frame.assign(moved=0.3))
    assert (still.verdict, still.effect) == ("pass", 0.0)
    with pytest.raises(DataError):
        check_leading_names(frame.drop(columns="moved"))
    with pytest.raises(ConfigError):
        check_leading_names(frame, permutations=999)


def test_texts_that_were_dated_otherwise_are_called_so_and_drawn_by_their_seed():
    frame, rng = noisy(5, days=60)
    frame = frame.assign(altered=frame["score"] + rng.normal(size=len(frame)))
    one, two, other = (check_redated_forecasts(frame, n_boot=200, seed=seed) for seed in (1, 1, 2))
    assert "of texts dated otherwise, on 300 forecasts of 60 days" in one.detail
    assert (one.code, one.interval) == ("M7", two.interval)
    assert one.interval != other.interval
