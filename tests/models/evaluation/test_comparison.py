import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from embargo.backtest.significance import holm as holm_of_runs
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.calibration.fitting import Calibration
from embargo.models.evaluation.comparison import (
    cohens_d,
    compare_classifiers,
    holm,
    losses,
    mcnemar,
    paired_t,
    sign_flip,
    wilcoxon,
)

# Darwin's maize: height of crossed less self-fertilised plants in eighths of an inch (Fisher 1935, table 3).
MAIZE = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]) / 8


def disagreement(only_a, only_b, both=5, neither=5):
    """Outcomes of two classifiers with these counts."""
    a = np.repeat([True, False, True, False], [only_a, only_b, both, neither])
    return a, np.repeat([False, True, True, False], [only_a, only_b, both, neither])


def classifiers(rng, n, noise=(0.0, 0.7)):
    """Labels and the forecasts of classifiers that see the truth through noise; equal noise, equal skill."""
    logits = rng.normal(size=(n, 3)) * 1.5
    labels = (rng.random((n, 1)) > Calibration().apply(logits).cumsum(axis=1)).sum(axis=1)
    seen = {f"c{k}": Calibration().apply(logits + rng.normal(size=(n, 3)) * s) for k, s in enumerate(noise)}
    return seen, labels


def test_mcnemar_of_published_tables():
    # Fagerland, Lydersen & Laake 2013, airway hyper-responsiveness before and after transplantation: 1 against 7.
    found = mcnemar(*disagreement(1, 7))
    assert (found.p_exact, found.p_mid) == (pytest.approx(0.0703, abs=5e-5), pytest.approx(0.0391, abs=5e-5))
    # Agresti 1990, section 10.1, approval of a prime minister: 150 against 86, z = -4.17.
    found = mcnemar(*disagreement(150, 86, 794, 570))
    assert (found.only_a, found.only_b) == (150, 86)
    assert stats.norm.isf(found.p_mid / 2) == pytest.approx(4.17, abs=0.03)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_agrees_with_statsmodels_and_is_symmetric(only_a, only_b):
    from statsmodels.stats.contingency_tables import mcnemar as theirs

    found, mirrored = mcnemar(*disagreement(only_a, only_b)), mcnemar(*disagreement(only_b, only_a))
    assert found.p_exact == pytest.approx(theirs([[5, only_a], [only_b, 5]], exact=True).pvalue)
    assert (found.p_exact, found.p_mid) == (mirrored.p_exact, mirrored.p_mid)
    assert 0 < found.p_mid <= found.p_exact <= 1


def test_tests_of_darwins_maize():
    mean, (low, high), p_value = paired_t(MAIZE)
    assert mean * 8 == pytest.approx(20.93, abs=0.005)
    assert p_value == pytest.approx(0.0497, abs=5e-5)
    assert low < 0.004 < mean < high
    # Fisher 1935, section 21: 863 of the 32,768 sign patterns give a sum as large, on one side.
    assert sign_flip(MAIZE) == 2 * 863 / 2**15
    assert wilcoxon(MAIZE) == pytest.approx(stats.wilcoxon(MAIZE).pvalue)
    d, (least, most) = cohens_d(MAIZE)
    assert d == pytest.approx(2.148 / np.sqrt(15), abs=2e-4)
    # The ends are the effects under which t = 2.148 is just surprising.
    for effect, tail in ((least, 0.975), (most, 0.025)):
        assert stats.nct.cdf(d * np.sqrt(15), 14, effect * np.sqrt(15)) == pytest.approx(tail, abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 60), st.integers(0, 2**32 - 1), st.floats(-3, 3))
def test_paired_tests_agree_with_scipy(n, seed, mean):
    values = np.random.default_rng(seed).normal(mean, 1, n)
    _, (low, high), p_value = paired_t(values, level=0.9)
    theirs = stats.ttest_1samp(values, 0.0)
    assert p_value == pytest.approx(theirs.pvalue)
    assert (low, high) == pytest.approx(tuple(theirs.confidence_interval(0.9)))
    assert wilcoxon(values) == pytest.approx(stats.wilcoxon(values).pvalue)
    assert wilcoxon(np.append(values, 0.0)) == wilcoxon(values)
    d, (least, most) = cohens_d(values, level=0.9)
    assert least < d < most
    # The interval of the effect excludes 0 just where the t-test of the same level rejects.
    if abs(p_value - 0.1) > 1e-3:
        assert (least > 0 or most < 0) == (p_value < 0.1)
    flipped = cohens_d(-values, level=0.9)
    assert flipped[1] == (pytest.approx(-most, abs=1e-3), pytest.approx(-least, abs=1e-3))


def test_drawn_flips_approach_all_flips():
    values = np.random.default_rng(1).normal(0.1, 1, 17)
    exact = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=2**17).pvalue
    assert 0.1 < exact < 0.9
    assert sign_flip(values, flips=20_000, seed=3) == pytest.approx(exact, abs=0.015)
    assert sign_flip(values, seed=3) == sign_flip(values, seed=3)
    assert sign_flip(np.full(40, 0.1), flips=99) == 1 / 100
    assert sign_flip(np.array([0.1, 0.2, -0.3])) == 1.0


def test_effects_of_any_size_have_an_interval():
    d, (low, high) = cohens_d(np.append(np.ones(200), 1.001))
    assert low < d < high
    assert cohens_d(np.ones(5)) == (None, None)
    assert paired_t(np.zeros(5)) == (0.0, (0.0, 0.0), None)
    assert wilcoxon(np.zeros(5)) is None
    assert sign_flip(np.zeros(5)) == 1.0


def test_holm_by_hand():
    # 0.01 * 4; 0.02 * 3; 0.03 * 2 and 0.04 * 1, which may not fall below what came before.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([None, 0.6, 0.5]) == [None, 1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_agrees_with_that_of_the_backtest(p_values):
    assert holm(p_values) == pytest.approx(holm_of_runs(p_values))


def test_holm_agrees_with_statsmodels():
    from statsmodels.stats.multitest import multipletests

    p_values = np.random.default_rng(0).random(40) ** 4
    assert holm(p_values.tolist()) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_losses_by_hand():
    probabilities, labels = np.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]]), np.array([1, 2])
    assert losses(probabilities, labels) == pytest.approx([-np.log(0.3), -np.log(1e-15)])
    assert losses(probabilities, labels, loss="brier") == pytest.approx([0.25 + 0.49 + 0.04, 2.0])


def test_every_question_is_answered_and_the_better_classifier_found():
    seen, labels = classifiers(np.random.default_rng(2), 600, (0.0, 0.0, 1.5))
    # Not quite the same twice.
    seen["c1"] = 0.9 * seen["c1"] + 0.1 / 3
    table = compare_classifiers(seen, labels, resamples=400)
    assert list(table.columns) == [
        "a", "b", "question", "test", "estimate", "low", "high", "p_value", "p_value_holm", "n",
    ]  # fmt: skip
    assert list(table.groupby(["a", "b"], sort=False).size()) == [8, 8, 8]
    by = table.set_index(["a", "b", "test"])
    better = by.loc[("c0", "c2")]
    assert (better["p_value"].dropna() < 0.01).all()
    assert better.loc["McNemar mid-p", "estimate"] > 0 > better.loc["paired t", "estimate"]
    assert better.loc["Cohen's d", "high"] < 0
    assert by.loc[("c0", "c1", "McNemar exact"), "p_value"] == 1.0
    for _, same in table.groupby(["question", "test"]):
        assert same["p_value_holm"].dropna().tolist() == pytest.approx(holm(same["p_value"].dropna().tolist()))
    pd.testing.assert_frame_equal(table, compare_classifiers(seen, labels, resamples=400))


def test_bootstrap_intervals_equal_those_of_resampling_scikit_learn():
    from sklearn import metrics

    rng = np.random.default_rng(3)
    seen, labels = classifiers(rng, 120)
    table = compare_classifiers(seen, labels, resamples=4000).set_index("question")
    a, b = (values.argmax(axis=1) for values in seen.values())
    drawn = []
    for _ in range(150):
        rows = rng.integers(0, 120, 120)
        drawn.append(
            [
                metrics.accuracy_score(labels[rows], a[rows]) - metrics.accuracy_score(labels[rows], b[rows]),
                metrics.f1_score(labels[rows], a[rows], average="macro")
                - metrics.f1_score(labels[rows], b[rows], average="macro"),
            ]
        )
    for column, question in enumerate(("accuracy", "macro-F1")):
        row = table[table.index.str.contains(question) & (table["test"] == "paired bootstrap")].iloc[0]
        assert [row["low"], row["high"]] == pytest.approx(
            np.percentile(np.array(drawn)[:, column], [2.5, 97.5]), abs=0.03
        )


def test_groups_count_instead_of_samples():
    seen, labels = classifiers(np.random.default_rng(4), 60)
    copied = {name: np.repeat(values, 4, axis=0) for name, values in seen.items()}
    names = [f"story {n}" for n in np.repeat(np.arange(60), 4)]
    alone = compare_classifiers(seen, labels, resamples=500).set_index("test")
    grouped = compare_classifiers(copied, np.repeat(labels, 4), groups=names, resamples=500).set_index("test")
    assert set(grouped["n"]) == {60}
    assert "McNemar exact" not in grouped.index
    for test in ("paired bootstrap", "paired t", "sign flip", "Wilcoxon signed rank", "Cohen's d"):
        kept = alone.loc[[test], ["estimate", "low", "high", "p_value"]].to_numpy()
        found = grouped.loc[[test], ["estimate", "low", "high", "p_value"]].to_numpy()
        assert np.allclose(found, kept, rtol=1e-6, atol=0.005, equal_nan=True), test


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.sampled_from(["log", "brier"]))
def test_changing_places_changes_signs_only(seed, n, loss):
    (one, labels) = classifiers(np.random.default_rng(seed), n)
    there = compare_classifiers(one, labels, loss=loss, resamples=50)
    back = compare_classifiers(dict(reversed(one.items())), labels, loss=loss, resamples=50)
    assert np.allclose(there["estimate"], -back["estimate"], equal_nan=True)
    assert np.allclose(there["low"], -back["high"], atol=1e-3, equal_nan=True)
    assert np.allclose(there["p_value"], back["p_value"], equal_nan=True)
    assert (there["p_value_holm"].isna() == there["p_value"].isna()).all()


def test_refuses_what_cannot_be_compared():
    seen, labels = classifiers(np.random.default_rng(5), 10)
    for changes in ({"probs": {"c0": seen["c0"]}}, {"level": 1.0}, {"resamples": 0}, {"loss": "hinge"}):
        with pytest.raises(ConfigError):
            compare_classifiers(**({"probs": seen, "labels": labels} | changes))
    for changes in (
        {"labels": labels[:-1]},
        {"groups": ["a"] * 10},
        {"groups": ["a", None] * 5},
        {"groups": ["a", "b"]},
        {"probs": {"c0": seen["c0"], "c1": seen["c1"] * 2}},
        {"probs": {name: values[:1] for name, values in seen.items()}, "labels": labels[:1]},
    ):
        with pytest.raises(DataError):
            compare_classifiers(**({"probs": seen, "labels": labels} | changes))
    with pytest.raises(DataError):
        mcnemar(np.ones(3, dtype=bool), np.ones(2, dtype=bool))
    for test in (paired_t, wilcoxon, sign_flip, cohens_d):
        with pytest.raises(DataError, match=test.__name__):
            test(np.array([1.0]))
        with pytest.raises(DataError):
            test(np.array([1.0, np.nan]))


@pytest.mark.slow
@pytest.mark.parametrize("n", [40, 200])
def test_size_and_power_of_every_test(n):
    rng = np.random.default_rng(n)
    rates = {}
    for name, noise in (("size", (0.7, 0.7)), ("power", (0.2, 1.2))):
        rejected = [
            compare_classifiers(*classifiers(rng, n, noise), resamples=199, seed=int(rng.integers(1e6)))
            .set_index(["question", "test"])["p_value"]
            .dropna()
            <= 0.05
            for _ in range(400)
        ]
        rates[name] = pd.concat(rejected, axis=1).mean(axis=1)
    table = pd.DataFrame(rates)
    print(f"\nn={n}\n{table.to_string()}")
    # A bootstrap of 40 articles is a little too sure.
    assert (table["size"] < (0.11 if n == 40 else 0.08)).all()
    assert (table["size"].drop("McNemar exact", level="test") > 0.015).all()
    if n == 200:
        assert (table["power"] > 0.3).all()


@pytest.mark.slow
def test_ignoring_groups_rejects_too_often_and_counting_them_does_not():
    rng = np.random.default_rng(9)
    rejected = []
    for _ in range(400):
        seen, labels = classifiers(rng, 60, (0.7, 0.7))
        copied, names = {k: np.repeat(v, 5, axis=0) for k, v in seen.items()}, np.repeat(np.arange(60), 5)
        rejected.append(
            [
                (
                    compare_classifiers(copied, np.repeat(labels, 5), groups=g, resamples=199)["p_value"].dropna()
                    <= 0.05
                ).mean()
                for g in (None, names)
            ]
        )
    ignored, counted = np.mean(rejected, axis=0)
    print("tests reject without groups", ignored, "with groups", counted)
    assert counted < 0.07
    assert ignored > 0.25


@pytest.mark.slow
@pytest.mark.parametrize("effect", [0.0, 0.5, 2.0])
def test_interval_of_the_effect_covers(effect):
    rng = np.random.default_rng(11)
    inside = []
    for _ in range(1500):
        _, (low, high) = cohens_d(rng.normal(effect, 1.0, 12))
        inside.append(low <= effect <= high)
    print("interval of Cohen's d covers", np.mean(inside))
    assert 0.935 < np.mean(inside) < 0.965
