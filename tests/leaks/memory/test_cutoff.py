"""The gate at the declared cutoff: a reader that recalls is caught, one that reads is not, regimes do not fool it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.backtest.leakage.memory import check_alpha_decay, check_cutoff_split, days
from embargo.backtest.leakage.memory.days import correlation, products, read_forecasts, resample, share
from embargo.backtest.significance import stationary_blocks
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.research.benchmarks.memory_worlds import MemoryWorld, Reader, Recaller, forecasts, make_world, memorised


@pytest.fixture(scope="module")
def world() -> MemoryWorld:
    return make_world(1)


@pytest.mark.parametrize("recalled", [1.0, 0.5])
def test_a_reader_that_recalls_is_caught(world, recalled):
    found = check_cutoff_split(forecasts(world, Recaller(world, recalled, 0)), world.cutoff)
    assert found.verdict == "suspicious"
    assert found.figures["accuracy_before"] > 0.5 + recalled / 3
    assert found.interval[0] <= found.effect <= found.interval[1]
    assert found.interval[0] > 0


def test_a_model_that_learnt_headlines_by_heart_is_caught(world):
    found = check_cutoff_split(forecasts(world, memorised(world)), world.cutoff)
    assert found.verdict == "suspicious"
    assert found.figures["accuracy_before"] > 0.9
    assert abs(found.figures["accuracy_after"] - 0.5) < 0.1


def test_its_clean_twin_passes(world):
    found = check_cutoff_split(forecasts(world, Reader()), world.cutoff)
    assert found.verdict == "pass"
    assert found.figures["n_before"] + found.figures["n_after"] == len(world.articles)
    assert found.interval[0] < 0 < found.interval[1]


def test_figures_are_what_numpy_makes_of_each_side(world):
    frame = forecasts(world, Recaller(world, 0.3, 0))
    found = check_cutoff_split(frame, world.cutoff).figures
    rank = frame["earned"].rank()
    for name, side in (("before", world.before), ("after", ~world.before)):
        assert found[f"ic_{name}"] == pytest.approx(np.corrcoef(frame["score"][side], rank[side])[0, 1])
        moved = side & (frame["score"] != 0)
        right = np.sign(frame["score"][moved]) == np.sign(frame["earned"][moved])
        assert found[f"accuracy_{name}"] == pytest.approx(right.mean())
        earned = (np.sign(frame["score"]) * frame["earned"])[moved].mean()
        assert found[f"earned_{name}"] == pytest.approx(earned)


def test_regimes_take_the_markets_part_out():
    # The reader is right in one market only; the other is rare before the cutoff and common after it.
    rng, at = np.random.default_rng(0), pd.date_range("2020-01-01", periods=1200, tz="UTC")
    cutoff = at[600]
    calm = rng.random(1200) < np.where(at < cutoff, 0.85, 0.15)
    earned, score = rng.normal(size=1200), rng.normal(size=1200)
    score = np.where(calm, score + earned, score)
    frame = pd.DataFrame({"at": at, "score": score, "earned": earned, "regime": np.where(calm, "calm", "wild")})
    assert check_cutoff_split(frame.drop(columns="regime"), cutoff).verdict == "suspicious"
    matched = check_cutoff_split(frame, cutoff)
    assert matched.verdict == "pass"
    assert abs(matched.effect) < 0.1
    rare = frame.assign(regime=np.where(np.arange(1200) < 5, "panic", frame["regime"]))
    assert "without panic" in check_cutoff_split(rare, cutoff).detail


def test_a_baseline_takes_out_what_an_honest_reader_lost_too():
    rng, at = np.random.default_rng(1), pd.date_range("2020-01-01", periods=800, tz="UTC")
    cutoff, earned = at[400], rng.normal(size=800)
    signal = np.where(at < cutoff, earned, 0.0) + rng.normal(size=800)
    frame = pd.DataFrame({"at": at, "score": signal + 0.1 * rng.normal(size=800), "earned": earned})
    assert check_cutoff_split(frame, cutoff).verdict == "suspicious"
    assert check_cutoff_split(frame.assign(baseline=signal), cutoff).verdict == "pass"


def test_says_when_there_is_nothing_to_split(world):
    frame = forecasts(world, Reader())
    assert check_cutoff_split(frame, None).verdict == "inconclusive"
    assert check_cutoff_split(frame, frame["at"].min()).verdict == "pass"
    late = check_cutoff_split(frame, frame["at"].max() - pd.Timedelta(days=20))
    assert (late.verdict, late.effect) == ("inconclusive", None)
    assert check_cutoff_split(frame.assign(score=0.0), world.cutoff).verdict == "inconclusive"
    assert check_cutoff_split(frame.iloc[:0], world.cutoff).verdict == "not-applicable"
    # A day on which the cutoff falls may be remembered, so it counts as before.
    noon = check_cutoff_split(frame, world.cutoff + pd.Timedelta(hours=12)).figures
    assert noon["days_before"] == check_cutoff_split(frame, world.cutoff).figures["days_before"] + 1


def test_rows_without_values_are_counted(world):
    frame = forecasts(world, Reader())
    frame.loc[frame.index[:7], "earned"] = np.nan
    assert "7 rows without" in check_cutoff_split(frame, world.cutoff).detail


def test_refuses_what_it_cannot_read(world):
    frame = forecasts(world, Reader())
    for wrong in (frame.drop(columns="score"), frame.assign(at=frame["at"].dt.tz_localize(None)),
                  frame.assign(score="up")):  # fmt: skip
        with pytest.raises(DataError):
            check_cutoff_split(wrong, world.cutoff)
    for settings_ in ({"level": 1.0}, {"n_boot": 10}, {"seed": -1}):
        with pytest.raises(ConfigError):
            check_cutoff_split(frame, world.cutoff, **settings_)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 5))
def test_order_of_rows_does_not_matter(seed, shuffle):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "at": pd.date_range("2020-01-01", periods=120, tz="UTC").repeat(2),
            "score": rng.normal(size=240),
            "earned": rng.normal(size=240),
        }
    )
    cutoff = frame["at"].iloc[120]
    one = check_cutoff_split(frame, cutoff, n_boot=100)
    two = check_cutoff_split(frame.sample(frac=1.0, random_state=shuffle), cutoff, n_boot=100)
    assert one.figures == pytest.approx(two.figures, abs=1e-9)
    mirrored = check_cutoff_split(frame.assign(score=-frame["score"]), cutoff, n_boot=100)
    assert mirrored.figures["ic_difference"] == pytest.approx(-one.figures["ic_difference"])


def test_days_are_the_unit_of_resampling():
    # Fifty copies of each day's forecast carry no more evidence than one.
    rng = np.random.default_rng(2)
    one = pd.DataFrame(
        {
            "at": pd.date_range("2020-01-01", periods=300, tz="UTC"),
            "score": rng.normal(size=300),
            "earned": rng.normal(size=300),
        }
    )
    errors = []
    for frame in (one, one.loc[one.index.repeat(50)]):
        read = read_forecasts(frame, ["earned", "score"], where="test")
        sums = read.sums(*products(read.frame["score"].to_numpy(), read.frame["rank"].to_numpy()))
        errors.append(resample(sums, correlation, n_boot=1000, seed=0).error)
    assert errors[1] == pytest.approx(errors[0], rel=0.02)
    assert errors[0] == pytest.approx(1 / np.sqrt(300), rel=0.15)


def test_resampled_days_are_those_of_the_blocks():
    starts, lengths = stationary_blocks(30, 7.0, 40, np.random.default_rng(0))
    drawn = [
        np.bincount(np.concatenate([np.arange(a, a + m) % 30 for a, m in zip(*pair, strict=True)]), minlength=30)
        for pair in zip(starts, lengths, strict=True)
    ]
    assert days._counts(starts, lengths, 30).tolist() == np.array(drawn).tolist()


def test_statistics_of_sums_are_those_of_the_rows():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=50), rng.normal(size=50)
    sums = np.column_stack(products(x, y)).sum(axis=0)
    assert correlation(sums) == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert np.isnan(correlation(np.column_stack(products(np.full(50, 0.1), y)).sum(axis=0)))
    assert np.isnan(share(np.zeros(2)))


@pytest.mark.parametrize("remembers", [True, False])
def test_alpha_that_ends_at_the_cutoff(remembers):
    rng, at = np.random.default_rng(4), pd.date_range("2020-01-01", periods=700, tz="UTC")
    market = pd.Series(rng.normal(0.0, 0.01, 700), index=at)
    position = rng.choice([-1.0, 1.0], 700)
    if remembers:
        position = np.where((at < at[350]) & (rng.random(700) < 0.5), np.sign(market), position)
    found = check_alpha_decay(market * position, market, at[350], periods_per_year=365)
    assert found.verdict == ("suspicious" if remembers else "pass")
    own, theirs = (1 + market * position)[:350].prod(), (1 + market)[:350].prod()
    assert found.figures["points_before"] == pytest.approx(own - theirs)
    assert found.figures["alpha_after"] == pytest.approx(365 * (market * position - market)[350:].mean())


def test_alpha_is_compared_within_regimes():
    rng, at = np.random.default_rng(5), pd.date_range("2020-01-01", periods=2000, tz="UTC")
    bull = rng.random(2000) < np.where(at < at[1000], 0.9, 0.1)
    market = pd.Series(rng.normal(0.0, 0.01, 2000), index=at)
    returns = market + np.where(bull, 0.003, 0.0)
    plain, matched = (
        check_alpha_decay(returns, market, at[1000], periods_per_year=365, regimes=regimes)
        for regimes in (None, pd.Series(np.where(bull, "bull", "bear"), index=at))
    )
    assert plain.verdict == "suspicious"
    assert matched.effect == pytest.approx(0.0, abs=1e-9)


def test_alpha_needs_series_that_fit():
    at = pd.date_range("2020-01-01", periods=100, tz="UTC")
    series = pd.Series(np.random.default_rng(6).normal(0.0, 0.01, 100), index=at)
    for returns, benchmark in (
        (series, series[:-1]),
        (series.where(at > at[3]), series),
        (series.tz_localize(None), series.tz_localize(None)),
    ):
        with pytest.raises(DataError):
            check_alpha_decay(returns, benchmark, at[50], periods_per_year=365)
    with pytest.raises(ConfigError):
        check_alpha_decay(series, series, at[50], periods_per_year=0)
    assert check_alpha_decay(series, series * 0, at[90], periods_per_year=365).verdict == "inconclusive"


def test_alpha_on_one_side_alone_proves_nothing_and_says_so():
    at = pd.date_range("2020-01-01", periods=100, tz="UTC")
    series = pd.Series(np.random.default_rng(6).normal(0.0, 0.01, 100), index=at)
    for cutoff, before in ((at[0], 0), (at[-1] + pd.Timedelta(days=1), 100)):
        found = check_alpha_decay(series, series * 0, cutoff, periods_per_year=365)
        assert found.verdict == "inconclusive"
        assert f"{before} bars before" in found.detail
        assert "nan" not in found.detail
    found = check_alpha_decay(series[:0], series[:0], at[0], periods_per_year=365)
    assert (found.verdict, found.figures) == ("inconclusive", {"days_before": 0.0, "days_after": 0.0})
    apart = pd.Series(np.where(at < at[50], "bull", "bear"), index=at)
    found = check_alpha_decay(series, series * 0, at[50], periods_per_year=365, regimes=apart)
    assert (found.verdict, "Alpha" in found.detail) == ("inconclusive", False)
    assert "within no regime" in found.detail


def test_forecasts_on_one_side_alone_or_in_other_regimes_prove_nothing_and_say_so():
    rng, at = np.random.default_rng(0), pd.date_range("2020-01-01", periods=300, tz="UTC")
    frame = pd.DataFrame({"at": at, "score": rng.normal(size=300), "earned": rng.normal(size=300)})
    early = check_cutoff_split(frame, at[-1] + pd.Timedelta(days=2))
    assert (early.verdict, early.figures["days_before"], early.figures["days_after"]) == ("inconclusive", 300.0, 0.0)
    assert early.detail.startswith("Nothing is proven: 300 days before")
    apart = check_cutoff_split(frame.assign(regime=np.where(at < at[150], "bull", "bear")), at[150])
    assert (apart.verdict, "coefficient" in apart.detail) == ("inconclusive", False)
    for found in (early, apart):
        assert np.isfinite(list(found.figures.values())).all()


def test_a_loss_says_how_large_it_is_and_what_to_do():
    rng, at = np.random.default_rng(5), pd.date_range("2020-01-01", periods=300, tz="UTC")
    earned = rng.normal(size=300)
    recalls = np.where(np.arange(300) < 150, earned, rng.normal(size=300))
    found = check_cutoff_split(pd.DataFrame({"at": at, "score": recalls, "earned": earned}), at[150])
    assert found.detail.startswith("Information coefficient 0.984 on 150 forecasts")
    assert "The loss at the cutoff is" in found.detail
    market = pd.Series(0.01 * earned, index=at)
    lost = check_alpha_decay(market.abs().where(at < at[150], -market), market, at[150], periods_per_year=365)
    assert lost.verdict == "suspicious"
    assert "Trust the figures after the cutoff alone" in lost.remedy == found.remedy
    few = check_cutoff_split(pd.DataFrame({"at": at, "score": recalls, "earned": earned}), at[270])
    assert few.verdict == "inconclusive"
    assert few.remedy == found.remedy


def test_two_days_are_no_sample_and_the_figure_stands_without_an_error():
    two = resample(np.array([[1.0, 2.0], [1.0, 4.0]]), share, n_boot=5, seed=0)
    assert two.value == 3.0
    assert np.isnan(two.draws).all()
    none = resample(np.zeros((5, 2)), share, n_boot=5, seed=0)
    assert np.isnan(none.value)
    assert np.isnan(none.draws).all()
