import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import norm

from embargo.backtest.significance.deflation import (
    deflated_sharpe,
    expected_maximum_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
)
from embargo.backtest.significance.power import detectable_sharpe
from embargo.data_loaders.errors import ConfigError, DataError


def test_the_worked_example_of_the_deflated_sharpe_ratio():
    """Bailey and López de Prado (2014): Sharpe 2.5 a year, 250 days, five years, skew -3, raw kurtosis 10."""
    assert expected_maximum_sharpe(100, 0.5 / 250) == pytest.approx(0.113172, abs=5e-7)
    for trials, probability in ((100, 0.900397), (46, 0.950502)):
        value = deflated_sharpe(2.5 / math.sqrt(250), 1250, -3.0, 10.0, n_trials=trials, variance=0.5 / 250)
        assert value == pytest.approx(probability, abs=5e-7)


def test_one_trial_needs_no_deflation():
    assert expected_maximum_sharpe(1, 0.3) == 0.0
    plain = probabilistic_sharpe(0.1, 500, 0.0, 3.0)
    assert deflated_sharpe(0.1, 500, 0.0, 3.0, n_trials=1, variance=0.3) == plain


@pytest.mark.parametrize("trials", [10, 50, 400])
def test_the_expected_maximum_is_what_simulation_finds(trials):
    draws = np.random.default_rng(1).normal(0, 0.2, (10_000, trials)).max(axis=1).mean()
    assert expected_maximum_sharpe(trials, 0.04) == pytest.approx(draws, rel=0.025)


@given(st.floats(-0.2, 0.2), st.integers(10, 3000), st.floats(1.0, 500.0), st.floats(0.0, 50.0))
def test_more_trials_never_make_a_result_more_credible(ratio, n, trials, more_trials):
    fewer, more = (
        deflated_sharpe(ratio, n, -0.5, 5.0, n_trials=k, variance=0.001) for k in (trials, trials + more_trials)
    )
    assert 0.0 <= more <= fewer <= 1.0


@given(st.floats(1.0, 1.0e6), st.floats(0.0, 10.0))
def test_the_expected_maximum_is_never_negative_and_grows_with_the_deviation(trials, variance):
    value = expected_maximum_sharpe(trials, variance)
    assert value >= 0.0
    assert expected_maximum_sharpe(trials, 4.0 * variance) == pytest.approx(2.0 * value)


def test_impossible_moments_and_counts_are_refused():
    with pytest.raises(DataError, match="raw, not excess"):
        probabilistic_sharpe(0.5, 100, 3.0, 0.0)
    with pytest.raises(DataError, match=r"minimum_track_record.*raw, not excess"):
        minimum_track_record(0.5, 3.0, 0.0)
    with pytest.raises(ConfigError, match="at least 2"):
        probabilistic_sharpe(0.5, 1, 0.0, 3.0)
    with pytest.raises(ConfigError, match="n_trials"):
        expected_maximum_sharpe(0.99, 0.1)
    with pytest.raises(ConfigError, match="n_trials"):
        expected_maximum_sharpe(math.nan, 0.1)
    with pytest.raises(ConfigError, match="variance"):
        expected_maximum_sharpe(2, -0.1)
    for refused in (
        lambda: probabilistic_sharpe(0.1, 100, 0.0, 3.0, inflation=0.0),
        lambda: minimum_track_record(0.1, 0.0, 3.0, inflation=-1.0),
    ):
        with pytest.raises(ConfigError, match="inflation"):
            refused()
    with pytest.raises(ConfigError, match="level"):
        minimum_track_record(0.1, 0.0, 3.0, level=0.5)


@pytest.mark.parametrize(
    ("per_year", "skew", "kurtosis_raw", "years"),
    [(250, 0.0, 3.0, 2.73), (52, 0.0, 3.0, 2.83), (12, 0.0, 3.0, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_the_minimum_track_records_of_the_paper(per_year, skew, kurtosis_raw, years):
    """Bailey and López de Prado (2012): an annual Sharpe ratio of 2 against a benchmark of 1 at 95 %."""
    ratio, benchmark = 2.0 / math.sqrt(per_year), 1.0 / math.sqrt(per_year)
    rows = minimum_track_record(ratio, skew, kurtosis_raw, benchmark)
    assert rows / per_year == pytest.approx(years, abs=0.0051)


@given(st.floats(0.01, 0.3), st.floats(-1.0, 1.0), st.floats(3.0, 12.0), st.floats(0.6, 0.99), st.floats(0.3, 4.0))
def test_the_minimum_track_record_just_reaches_its_level(ratio, skew, kurtosis_raw, level, inflation):
    rows = minimum_track_record(ratio, skew, kurtosis_raw, level=level, inflation=inflation)
    assume(rows > 3)
    above, below = (
        probabilistic_sharpe(ratio, n, skew, kurtosis_raw, inflation=inflation)
        for n in (math.ceil(rows), math.floor(rows))
    )
    assert below <= level + 1e-9
    assert above >= level - 1e-9


def test_what_does_not_beat_its_benchmark_never_will():
    assert minimum_track_record(0.1, 0.0, 3.0, 0.1) is None
    assert minimum_track_record(-0.1, 0.0, 3.0) is None


@given(st.floats(-0.2, 0.2), st.integers(10, 3000), st.floats(1.0, 5.0))
def test_dependence_counts_as_fewer_rows(ratio, n, inflation):
    inflated = probabilistic_sharpe(ratio, n, 0.0, 3.0, inflation=inflation)
    spread = math.sqrt(1.0 + 0.5 * ratio**2)
    assert inflated == pytest.approx(norm.cdf(ratio * math.sqrt((n - 1) / inflation) / spread))
    plain = probabilistic_sharpe(ratio, n, 0.0, 3.0)
    assert abs(inflated - 0.5) <= abs(plain - 0.5) + 1e-12


@given(
    st.integers(30, 5000),
    st.floats(0.01, 0.2),
    st.floats(0.5, 0.95),
    st.floats(-1.0, 1.0),
    st.floats(3.0, 9.0),
    st.floats(0.5, 3.0),
)
def test_the_detectable_sharpe_has_its_power(n, significance, power, skew, kurtosis_raw, inflation):
    found = detectable_sharpe(
        n,
        periods_per_year=252.0,
        significance=significance,
        power=power,
        skew=skew,
        kurtosis_raw=kurtosis_raw,
        inflation=inflation,
    )
    assume(found is not None)
    ratio = found / math.sqrt(252.0)
    factor = 1.0 - skew * ratio + 0.25 * (kurtosis_raw - 1.0) * ratio**2
    assume(factor > 0)
    error = math.sqrt(inflation * factor / (n - 1))
    assert norm.sf(norm.ppf(1.0 - significance) - ratio / error) == pytest.approx(power, abs=1e-6)


def test_skewness_may_make_up_for_fat_tails():
    """A short sample with a few large gains; the answer does not jump where the coefficient of the square vanishes."""
    found = [
        detectable_sharpe(60, periods_per_year=252.0, skew=6.0, kurtosis_raw=kurtosis) for kurtosis in range(37, 60)
    ]
    assert all(value is not None for value in found)
    assert 0 < np.diff(found).min() < np.diff(found).max() < 0.05
    assert detectable_sharpe(60, periods_per_year=252.0, skew=-6.0, kurtosis_raw=45.0) is None


def test_two_years_show_only_what_is_large():
    assert detectable_sharpe(504, periods_per_year=252.0) == pytest.approx(1.77, abs=0.01)
    assert detectable_sharpe(2520, periods_per_year=252.0) == pytest.approx(0.79, abs=0.01)
    assert detectable_sharpe(3, periods_per_year=252.0) is None


@pytest.mark.parametrize(
    "change",
    [{"n": 1}, {"significance": 0.5}, {"power": 0.01}, {"power": 1.0}, {"periods_per_year": 0}, {"inflation": 0}],
)
def test_settings_without_meaning_are_refused(change):
    asked = {"n": 500, "periods_per_year": 252.0} | change
    with pytest.raises(ConfigError, match=f"^{next(iter(change))} must"):
        detectable_sharpe(**asked)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "inflation", "phi"), [(504, 1.0, 0.0), (2520, 1.5, 0.2)])
def test_the_detectable_sharpe_is_found_four_times_out_of_five(n, inflation, phi):
    from scipy.signal import lfilter

    from embargo.backtest.significance import sharpe_estimate

    rng = np.random.default_rng(17)
    edge = detectable_sharpe(n, periods_per_year=252.0, inflation=inflation) / math.sqrt(252.0)
    noise = lfilter([math.sqrt(1.0 - phi**2)], [1.0, -phi], rng.normal(size=(1000, n + 50)), axis=1)[:, 50:]
    found = [sharpe_estimate(row, periods_per_year=252.0, n_boot=499, seed=rng).p_value <= 0.05 for row in noise + edge]
    print("power:", np.mean(found))
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)
