import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.calibration.fitting import Calibration
from embargo.models.evaluation.classification import accuracy_report, classification_report
from embargo.models.evaluation.resampling import bootstrap_weights, percentile_interval


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.floats(0.1, 5))
def test_agrees_with_scikit_learn(n, seed, spread):
    rng = np.random.default_rng(seed)
    probabilities = Calibration().apply(rng.normal(size=(n, 3)) * spread)
    labels = rng.integers(0, 3, n)
    predicted = probabilities.argmax(axis=1)
    report = classification_report(probabilities, labels, resamples=20)
    assert report["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert report["macro_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    assert report["weighted_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="weighted"))
    assert report["log_loss"] == pytest.approx(metrics.log_loss(labels, probabilities, labels=[0, 1, 2]))
    assert report["confusion"] == metrics.confusion_matrix(labels, predicted, labels=[0, 1, 2]).tolist()
    matthews = metrics.matthews_corrcoef(labels, predicted)
    assert (report["mcc"] or 0.0) == pytest.approx(matthews, abs=1e-12)
    for index, name in enumerate(CLASSES):
        own = labels == index
        area = metrics.roc_auc_score(own, probabilities[:, index]) if own.any() and not own.all() else None
        assert report["auc"][name] == (area if area is None else pytest.approx(area))
        assert (report["roc"][name] is None) == (area is None)
    defined = [area for area in report["auc"].values() if area is not None]
    assert report["auc"]["macro"] == (pytest.approx(np.mean(defined)) if defined else None)
    for index, name in enumerate(CLASSES):
        row = report["classes"][name]
        assert row["support"] == (labels == index).sum()
        assert (row["precision"] is None) == (index not in predicted)
        if row["precision"] is not None:
            assert row["precision"] == pytest.approx(np.mean(labels[predicted == index] == index))


def test_is_json_and_reproducible_and_names_the_majority():
    labels = np.array([1, 1, 1, 0])
    probabilities = np.array([[0.1, 0.8, 0.1]] * 4)
    report = classification_report(probabilities, labels, seed=3)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report == classification_report(probabilities, labels, seed=3)
    assert report["majority"]["accuracy"] == 0.75
    assert report["classes"]["bullish"] == {"precision": None, "recall": None, "f1": None, "support": 0}


def test_bootstrap_interval_has_the_width_of_the_binomial():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 2000)
    guess = np.where(rng.random(2000) < 0.8, labels, (labels + 1) % 3)
    report = classification_report(np.eye(3)[guess] * 0.97 + 0.01, labels, resamples=2000)
    low, high = report["accuracy_interval"]
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.16 / 2000), rel=0.08)
    assert low < report["accuracy"] < high


def test_refuses_rows_that_are_no_probabilities():
    with pytest.raises(DataError, match="no probabilities"):
        classification_report(np.array([[0.5, 0.5, 0.5]]), np.array([0]))


def told(rng, n, spread=1.5):
    logits = rng.normal(size=(n, 3)) * spread
    probabilities = Calibration().apply(logits)
    return probabilities, (rng.random((n, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)


def slow_bootstrap(probabilities, labels, figure, draws, rng):
    """Resample rows and call scikit-learn on each sample."""
    places = (rng.integers(0, len(labels), len(labels)) for _ in range(draws))
    return np.percentile([figure(labels[place], probabilities[place]) for place in places], [2.5, 97.5])


def test_intervals_equal_those_of_resampling_scikit_learn():
    rng = np.random.default_rng(4)
    probabilities, labels = told(rng, 150)
    report = classification_report(probabilities, labels, resamples=4000)
    figures = {
        "mcc": (report["mcc_interval"], lambda y, p: metrics.matthews_corrcoef(y, p.argmax(axis=1))),
        "weighted": (
            report["weighted_f1_interval"],
            lambda y, p: metrics.f1_score(y, p.argmax(axis=1), average="weighted"),
        ),
        "macro auc": (report["auc_interval"]["macro"], lambda y, p: metrics.roc_auc_score(y, p, multi_class="ovr")),
        "neutral auc": (report["auc_interval"]["neutral"], lambda y, p: metrics.roc_auc_score(y == 1, p[:, 1])),
        "bullish recall": (
            report["class_intervals"]["bullish"]["recall"],
            lambda y, p: metrics.recall_score(y == 2, p.argmax(axis=1) == 2),
        ),
    }
    for name, (interval, figure) in figures.items():
        assert interval == pytest.approx(slow_bootstrap(probabilities, labels, figure, 150, rng), abs=0.04), name


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_area_counts_the_pairs_in_the_right_order(n, seed):
    rng = np.random.default_rng(seed)
    # Rounded, so that scores are tied; doubling an article is drawing it twice.
    probabilities = Calibration().apply(np.round(rng.normal(size=(n, 3))))
    labels = rng.integers(0, 3, n)
    once, twice = (
        classification_report(np.repeat(probabilities, times, axis=0), np.repeat(labels, times), resamples=1)
        for times in (1, 2)
    )
    for k, name in enumerate(CLASSES):
        above = [(x > y) + (x == y) / 2 for x in probabilities[labels == k, k] for y in probabilities[labels != k, k]]
        expected = pytest.approx(np.mean(above)) if above else None
        assert once["auc"][name] == expected
        assert twice["auc"][name] == expected


def test_roc_curve_passes_through_its_corners_and_bounds_its_area():
    rng = np.random.default_rng(5)
    probabilities, labels = told(rng, 3000)
    report = classification_report(probabilities, labels, resamples=1)
    for k, name in enumerate(CLASSES):
        x, y = (np.array(report["roc"][name][f"{side}_positive_rate"]) for side in ("false", "true"))
        assert (x[0], x[-1], y[-1]) == (0, 1, 1)
        assert (np.diff(y) >= 0).all()
        assert np.trapezoid(y, x) == pytest.approx(report["auc"][name], abs=0.002)
        false, true, _ = metrics.roc_curve(labels == k, probabilities[:, k])
        # At a corner the curve stands upright; elsewhere it is scikit-learn's.
        off = ~np.isin(x, false)
        assert np.abs(y - np.interp(x, false, true))[off].max() < 1e-12


def test_groups_widen_intervals_as_copies_should():
    rng = np.random.default_rng(6)
    probabilities, labels = told(rng, 200)
    alone = classification_report(probabilities, labels, resamples=2000)
    copies, truth, names = np.repeat(probabilities, 5, axis=0), np.repeat(labels, 5), np.repeat(np.arange(200), 5)
    grouped = classification_report(copies, truth, groups=[f"day {name}" for name in names], resamples=2000)
    naive = classification_report(copies, truth, resamples=2000)

    def width(report, name):
        return report[name][1] - report[name][0]

    for name in ("accuracy_interval", "macro_f1_interval", "mcc_interval"):
        assert width(grouped, name) == pytest.approx(width(alone, name), rel=0.1)
        assert width(naive, name) < 0.6 * width(grouped, name)
    assert (grouped["n"], grouped["n_groups"], alone["n_groups"]) == (1000, 200, None)
    same = classification_report(probabilities, labels, groups=np.arange(200), resamples=2000)
    assert {**same, "n_groups": None} == alone


def test_old_figures_keep_their_values():
    # Recorded before intervals of other figures were drawn from the same samples.
    rng = np.random.default_rng(0)
    probabilities = Calibration().apply(rng.normal(size=(500, 3)) * 3)
    report = classification_report(probabilities, rng.integers(0, 3, 500))
    assert report["accuracy_interval"] == pytest.approx([0.312, 0.394], rel=1e-12)
    assert report["macro_f1_interval"] == pytest.approx([0.3098750447814857, 0.3908850181619091], rel=1e-12)


def test_refuses_groups_that_do_not_fit():
    probabilities, labels = told(np.random.default_rng(0), 4)
    with pytest.raises(DataError, match="one group only"):
        classification_report(probabilities, labels, groups=["a"] * 4)
    with pytest.raises(DataError, match="3 groups"):
        classification_report(probabilities, labels, groups=["a", "b", "c"])
    with pytest.raises(DataError, match="1 of them missing"):
        classification_report(probabilities, labels, groups=["a", "b", None, "c"])
    with pytest.raises(ConfigError):
        classification_report(probabilities, labels, resamples=0)


@pytest.mark.slow
def test_intervals_cover_with_and_without_groups():
    rng = np.random.default_rng(8)
    whole, truth = told(rng, 200_000)
    true = classification_report(whole, truth, resamples=1)
    covered = []
    for _ in range(400):
        members = rng.integers(0, len(truth), 150)
        rows = np.repeat(members, rng.integers(1, 5, 150))
        report = classification_report(
            whole[rows], truth[rows], groups=rows, resamples=400, seed=int(rng.integers(1e6))
        )
        figures = {name: (true[name], report[f"{name}_interval"]) for name in ("accuracy", "macro_f1", "mcc")}
        figures["auc"] = true["auc"]["macro"], report["auc_interval"]["macro"]
        covered.append([low <= figure <= high for figure, (low, high) in figures.values()])
    rates = np.mean(covered, axis=0)
    print("95 % intervals of accuracy, macro-F1, Matthews and macro area cover", rates)
    assert (rates > 0.91).all()
    assert (rates < 0.985).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 25), st.integers(0, 2**32 - 1), st.booleans(), st.integers(1, 5))
def test_intervals_are_those_of_samples_drawn_and_judged_one_by_one(n, seed, grouped, resamples):
    rng = np.random.default_rng([7_300_200, seed])
    # Few values, so that scores are often equal.
    probabilities = rng.integers(1, 4, (n, 3)) * 1.0
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = rng.integers(0, 3, n)
    groups = np.concatenate([[0, 1], rng.integers(0, 5, n - 2)]) if grouped else None
    members = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    order = np.arange(n) if groups is None else np.argsort(np.unique(members, return_index=True)[1])
    made = []
    for weights in bootstrap_weights(members.max() + 1, resamples, seed=5):
        for row in weights:
            times = np.empty(len(row), dtype=int)
            times[order] = row
            drawn = np.repeat(np.arange(n), times[members])
            made.append(classification_report(probabilities[drawn], labels[drawn], resamples=1))
    given = {"groups": groups, "seed": 5, "resamples": resamples}
    report = classification_report(probabilities, labels, **given)
    for name in ("accuracy", "macro_f1", "weighted_f1", "mcc"):
        assert report[f"{name}_interval"] == interval([one[name] for one in made])
    for name, found in report["auc_interval"].items():
        assert found == interval([one["auc"][name] for one in made])
    for index, name in enumerate(CLASSES):
        own = labels == index
        area = metrics.roc_auc_score(own, probabilities[:, index]) if own.any() and not own.all() else None
        assert report["auc"][name] == (area if area is None else pytest.approx(area))
    quick = accuracy_report(probabilities, labels, **given)
    assert quick == {name: report[name] for name in quick}
    assert set(quick) == {"n", "accuracy", "accuracy_interval", "macro_f1", "macro_f1_interval"}


def interval(figures):
    there = np.array([figure for figure in figures if figure is not None])
    return list(percentile_interval(there, 0.95)) if len(there) else None


def test_accuracy_alone_refuses_what_the_report_refuses():
    probabilities = np.full((4, 3), 1 / 3)
    with pytest.raises(ConfigError):
        accuracy_report(probabilities, np.array([0, 1, 2, 0]), level=1.0)
    for probs, labels in ((probabilities[:0], []), (probabilities, [0, 1, 3, 0]), (probabilities * 2, [0, 1, 2, 0])):
        with pytest.raises(DataError):
            accuracy_report(probs, np.array(labels, dtype=int))
    with pytest.raises(DataError, match="one group"):
        accuracy_report(probabilities, np.array([0, 1, 2, 0]), groups=["a"] * 4)
