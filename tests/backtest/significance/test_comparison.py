"""The comparison of two strategies: against an independent recomputation, its contracts, and its size and power."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import sharpe_difference as reference
from samples.paired_samples import pairs

from embargo.backtest.metrics import sharpe
from embargo.backtest.significance import MINIMUM_ROWS
from embargo.backtest.significance.comparison import (
    PairedDifference,
    differing_rows,
    mean_difference,
    sharpe_difference,
    stretch_differences,
)
from embargo.backtest.significance.compiled import resampled_differences, resampled_means
from embargo.backtest.significance.long_run import prewhitened_covariance
from embargo.backtest.significance.resampling import stationary_blocks
from embargo.data_loaders.errors import ConfigError, DataError

YEAR = 252.0


def test_the_long_run_covariance_is_that_of_the_paper() -> None:
    rng = np.random.default_rng(4)
    values = rng.standard_normal((150, 3))
    for row in range(1, 150):
        values[row] += 0.5 * values[row - 1] + 0.2 * values[row - 1, ::-1]
    values -= values.mean(axis=0)
    assert prewhitened_covariance(values) == pytest.approx(reference.long_run(values), rel=1e-10)


def test_the_long_run_variance_of_an_autoregression_is_known() -> None:
    rng = np.random.default_rng(5)
    values = np.zeros(20_000)
    for row in range(1, len(values)):
        values[row] = 0.4 * values[row - 1] + rng.standard_normal()
    assert prewhitened_covariance(values[:, None])[0, 0] == pytest.approx(1.0 / 0.6**2, rel=0.05)


@pytest.mark.parametrize("kind", ["iid", "ar", "garch", "t4"])
def test_difference_and_error_equal_a_recomputation_by_loops(kind: str) -> None:
    (a,), (b,) = pairs(kind, 180, 1, seed=1)
    found = sharpe_difference(a, b, periods_per_year=YEAR, n_boot=100, seed=0)
    unit = math.sqrt(YEAR * 179 / 180)
    assert found.difference == pytest.approx(unit * reference.difference(a, b), rel=1e-12)
    assert found.standard_error == pytest.approx(unit * reference.standard_error(a, b), rel=1e-6)
    assert found.a == pytest.approx(sharpe(a, periods_per_year=YEAR), rel=1e-12)
    assert found.difference == pytest.approx(found.a - found.b, rel=1e-9)
    assert found.detectable == pytest.approx(2.8016 * found.standard_error, rel=1e-4)
    reached = abs(found.difference) / found.standard_error
    assert found.p_value_hac == pytest.approx(math.erfc(reached / math.sqrt(2.0)), rel=1e-9)


def test_resamples_equal_rows_joined_one_by_one() -> None:
    (a,), (b,) = pairs("t4", 90, 1, seed=2)
    rng = np.random.default_rng(3)
    starts, lengths = stationary_blocks(90, 4.0, 25, rng)
    x, y = a / a.std(), b / b.std()
    rows = np.column_stack([np.ones(90), x, y, x * x, y * y])
    totals = np.concatenate([np.zeros((1, 5)), np.cumsum(np.concatenate([rows, rows]), axis=0)])
    values, errors = np.empty(25), np.empty(25)
    resampled_differences(totals, starts, lengths, 10, values, errors)
    slow = np.array([reference.resample_pivot(x, y, *draw) for draw in zip(starts, lengths, strict=True)])
    assert values == pytest.approx(slow[:, 0], rel=1e-9)
    assert errors == pytest.approx(slow[:, 1], rel=1e-9)
    means, spreads = np.empty(25), np.empty(25)
    resampled_means(totals[:, :2].copy(), starts, lengths, 10, means, spreads)
    for draw in range(25):
        blocks = [[x[(s + i) % 90] for i in range(m)] for s, m in zip(starts[draw], lengths[draw], strict=True)]
        every = np.concatenate(blocks)
        assert means[draw] == pytest.approx(every.mean())
        moved = sum((sum(block) - len(block) * every.mean()) ** 2 for block in blocks)
        assert spreads[draw] == pytest.approx(math.sqrt(moved) / 90)


def test_p_value_and_interval_follow_from_the_resamples() -> None:
    (a,), (b,) = pairs("iid", 200, 1, seed=6)
    found = sharpe_difference(a + 0.0006, b, periods_per_year=YEAR, n_boot=400, block=3.0, seed=9)
    rng = np.random.default_rng(9)
    x, y = (a + 0.0006) / a.std(), b / b.std()
    pivots = []
    blocks = [stationary_blocks(200, 3.0, 400, rng)]
    for starts, lengths in blocks:
        for draw in zip(starts, lengths, strict=True):
            value, error = reference.resample_pivot(x, y, *draw)
            pivots.append(abs(value - reference.difference(x, y)) / error)
    error = reference.standard_error(x, y)
    reached = abs(reference.difference(x, y)) / error
    assert found.p_value == pytest.approx((1 + sum(pivot >= reached for pivot in pivots)) / 401)
    half = np.quantile(pivots, 0.95) * error * math.sqrt(YEAR * 199 / 200)
    assert found.high - found.difference == pytest.approx(half, rel=1e-6)
    assert found.difference - found.low == pytest.approx(half, rel=1e-6)


@pytest.mark.parametrize("compare", [sharpe_difference, mean_difference])
@given(seed=st.integers(0, 10_000), swap=st.booleans())
@settings(max_examples=15)
def test_contracts(compare: object, seed: int, swap: bool) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(MINIMUM_ROWS, 300))
    a, b = rng.standard_t(4, n) * 0.01, rng.standard_normal(n) * 0.02
    member = rng.random(n) < 0.7 if swap else None
    options = {"member": member, "periods_per_year": YEAR, "n_boot": 200}
    found: PairedDifference = compare(a, b, **options, seed=seed)  # type: ignore[operator]
    if found.n < MINIMUM_ROWS:
        assert found.p_value is None
        return
    again = compare(b, a, **options, seed=seed)  # type: ignore[operator]
    assert again.difference == pytest.approx(-found.difference)
    assert again.p_value == found.p_value
    assert again.low == pytest.approx(-found.high)
    assert found == compare(a, b, **options, seed=np.random.default_rng(seed))  # type: ignore[operator]
    assert found.low <= found.difference <= found.high
    assert 0.0 < found.p_value <= 1.0
    # One minus the level and the p-value may part by one resample.
    if abs(found.p_value - 0.05) > 0.02:
        assert (found.low <= 0.0 <= found.high) == (found.p_value > 0.05)
    rich = compare(a, b, **{**options, "periods_per_year": 4 * YEAR}, seed=seed)  # type: ignore[operator]
    assert rich.p_value == found.p_value


def test_a_sharpe_ratio_has_no_unit_but_a_mean_has() -> None:
    (a,), (b,) = pairs("garch", 250, 1, seed=3)
    one = sharpe_difference(a, b, periods_per_year=YEAR, n_boot=300, seed=1)
    scaled = sharpe_difference(100.0 * a, 3.0 * b, periods_per_year=YEAR, n_boot=300, seed=1)
    assert scaled.difference == pytest.approx(one.difference)
    assert scaled.p_value == one.p_value
    mean = mean_difference(a, b, periods_per_year=YEAR, n_boot=300, seed=1)
    assert mean.difference == pytest.approx((a.mean() - b.mean()) * YEAR)
    assert mean_difference(2.0 * a, b, periods_per_year=YEAR, n_boot=300, seed=1).difference != pytest.approx(
        mean.difference
    )


def test_all_rows_as_members_are_no_members_at_all() -> None:
    (a,), (b,) = pairs("ar", 250, 1, seed=8)
    everything = np.ones(250, dtype=bool)
    for compare in (sharpe_difference, mean_difference):
        plain = compare(a, b, periods_per_year=YEAR, n_boot=200, seed=2)
        assert compare(a, b, member=everything, periods_per_year=YEAR, n_boot=200, seed=2) == plain


def test_members_are_what_is_compared() -> None:
    (a,), (b,) = pairs("iid", 400, 1, seed=8)
    member = np.arange(400) % 100 < 50
    found = sharpe_difference(a, b, member=member, periods_per_year=YEAR, n_boot=200, seed=2)
    assert found.n == 200
    assert found.a == pytest.approx(sharpe(a[member], periods_per_year=YEAR))
    alone = sharpe_difference(a[member], b[member], periods_per_year=YEAR, n_boot=200, seed=2)
    assert found.standard_error == pytest.approx(alone.standard_error, rel=0.15)
    better = sharpe_difference(a + 0.003 * member, b, member=member, periods_per_year=YEAR, n_boot=500, seed=2)
    worse = sharpe_difference(a + 0.003 * member, b, member=~member, periods_per_year=YEAR, n_boot=500, seed=2)
    assert better.p_value < 0.01 < worse.p_value


def test_rows_that_differ_are_counted_but_for_rounding_and_what_fades() -> None:
    (a,), (b,) = pairs("t4", 100, 1, seed=8)
    assert differing_rows(a, b) >= 99
    assert differing_rows(a, a * (1.0 + 1e-15)) == 0
    assert differing_rows(a, a + 0.001) == 100
    fading = a + 0.01 * 0.3 ** np.arange(100)
    assert differing_rows(a, fading) < 10
    assert differing_rows(a[:0], b[:0]) == 0


def test_what_cannot_be_judged_is_not() -> None:
    (a,), (b,) = pairs("iid", 100, 1, seed=8)
    for compare in (sharpe_difference, mean_difference):
        same = compare(a, a, periods_per_year=YEAR, seed=0)
        assert same.difference == 0.0
        assert same.p_value is None
        late = np.where(np.arange(100) < 12, b, a)
        nearly = compare(late, a, periods_per_year=YEAR, seed=0)
        assert nearly.difference == pytest.approx(nearly.a - nearly.b)
        assert (nearly.low, nearly.p_value) == (None, None)
        short = compare(a[:20], b[:20], periods_per_year=YEAR, seed=0)
        assert short.difference is not None
        assert short.low is None
        nobody = compare(a, b, member=np.zeros(100, dtype=bool), periods_per_year=YEAR, seed=0)
        assert (nobody.n, nobody.difference) == (0, None)
    double = sharpe_difference(2.0 * a, a, periods_per_year=YEAR, seed=0)
    assert (double.difference, double.p_value) == (pytest.approx(0.0, abs=1e-12), None)
    flat = sharpe_difference(np.zeros(100), b, periods_per_year=YEAR, seed=0)
    assert (flat.a, flat.difference, flat.p_value) == (None, None, None)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"b": np.zeros(7)}, DataError, "same rows"),
        ({"b": np.full(100, np.nan)}, DataError, "missing"),
        ({"member": np.ones(3, dtype=bool)}, DataError, "membership"),
        ({"a": pd.Series(np.zeros(100), index=np.arange(1, 101)), "b": pd.Series(np.zeros(100))}, DataError, "Reindex"),
        ({"n_boot": 10}, ConfigError, "n_boot"),
        ({"level": 1.0}, ConfigError, "level"),
        ({"block": 0.5}, ConfigError, "block"),
        ({"periods_per_year": 0.0}, ConfigError, "periods_per_year"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], error: type[Exception], words: str) -> None:
    rng = np.random.default_rng(0)
    given_ = {"a": rng.standard_normal(100), "b": rng.standard_normal(100), "periods_per_year": YEAR, "seed": 0}
    for compare in (sharpe_difference, mean_difference):
        with pytest.raises(error, match=words):
            compare(**(given_ | change))  # type: ignore[arg-type]


def rejections(kind: str, n: int, draws: int, *, regime: bool = False, gain: float = 0.0) -> tuple[float, float, float]:
    """Shares rejected at 5 %: Sharpe by bootstrap, Sharpe by HAC alone, mean return by bootstrap."""
    first, second = pairs(kind, n, draws, seed=n)
    rng = np.random.default_rng(7)
    hits = np.zeros((draws, 3))
    for draw in range(draws):
        member = np.cumsum(rng.random(n) < 1 / 40) % 3 == 0 if regime else None
        options = {"member": member, "periods_per_year": YEAR, "n_boot": 500, "seed": draw}
        ratio = sharpe_difference(first[draw] + gain, second[draw], **options)  # type: ignore[arg-type]
        mean = mean_difference(1.5 * (first[draw] + gain), second[draw], **options)  # type: ignore[arg-type]
        ps = (ratio.p_value, ratio.p_value_hac, mean.p_value)
        hits[draw] = [np.nan if p is None else p <= 0.05 for p in ps]
    return tuple(np.nanmean(hits, axis=0))  # type: ignore[return-value]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("n", "draws"), [(504, 1000), (2520, 500)])
@pytest.mark.parametrize("kind", ["iid", "ar", "garch", "t4"])
def test_equal_strategies_are_told_apart_as_often_as_the_level_says(kind: str, n: int, draws: int) -> None:
    # 1,000 draws have a standard error of 0.7 points, 500 of one; the committed table has more.
    shares = rejections(kind, n, draws)
    assert all(0.03 <= share <= 0.075 for share in shares) or draws < 1000, shares
    assert all(0.02 <= share <= 0.085 for share in shares), shares


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["iid", "ar", "garch", "t4"])
def test_within_a_regime_equal_strategies_are_told_apart_as_seldom(kind: str) -> None:
    shares = rejections(kind, 504, 1000, regime=True)
    assert all(0.025 <= share <= 0.08 for share in shares), shares


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_what_is_called_detectable_is_detected_four_times_in_five() -> None:
    first, second = pairs("iid", 504, 200, seed=1)
    found = [
        sharpe_difference(a, b, periods_per_year=YEAR, n_boot=200, seed=0).detectable
        for a, b in zip(first, second, strict=True)
    ]
    gain = float(np.mean(found)) / math.sqrt(YEAR) * 0.01
    share, _, _ = rejections("iid", 504, 600, gain=gain)
    assert share == pytest.approx(0.8, abs=0.06)


@given(st.integers(0, 10_000), st.integers(1, 40), st.booleans())
def test_stretches_average_to_the_difference(seed: int, stretch: int, regime: bool) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.standard_t(4, 200) * 0.01, rng.standard_normal(200) * 0.02
    member = rng.random(200) < 0.7 if regime else None
    parts = stretch_differences(a, b, stretch=stretch, member=member, periods_per_year=YEAR)
    whole = sharpe_difference(a, b, member=member, periods_per_year=YEAR, n_boot=100, seed=0)
    assert len(parts) == whole.n // stretch
    assert parts.mean() == pytest.approx(whole.difference, rel=1e-9, abs=1e-12)


def test_stretches_spread_as_the_difference_does() -> None:
    (a,), (b,) = pairs("t4", 5000, 1, seed=8)
    parts = stretch_differences(a, b, stretch=25, periods_per_year=YEAR)
    found = sharpe_difference(a, b, periods_per_year=YEAR, n_boot=100, seed=0)
    assert parts.std(ddof=1) / math.sqrt(len(parts)) == pytest.approx(found.standard_error, rel=0.1)
    assert len(stretch_differences(a, np.zeros(5000), stretch=25, periods_per_year=YEAR)) == 0
    assert len(stretch_differences(a[:10], b[:10], stretch=25, periods_per_year=YEAR)) == 0
    with pytest.raises(ConfigError, match="stretch"):
        stretch_differences(a, b, stretch=0, periods_per_year=YEAR)
