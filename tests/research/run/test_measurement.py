import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from embargo.data_loaders.fields import CLASSES
from embargo.models.calibration.fitting import Calibration
from embargo.research.config.experiment import parse_config
from embargo.research.records.classifier import Classification
from embargo.research.records.figures import as_json, from_json
from embargo.research.run.measurement import article_days, classification
from embargo.research.run.reading import Reading
from embargo.research.run.report.assemble import _classification, _reliability
from embargo.research.run.report.charts import reliability_chart


@pytest.fixture
def config():
    document = {
        "name": "judged",
        "news": {"loader": "simulated"},
        "prices": {"loader": "simulated"},
        "split": {"first_test": "2018-01-01T00:00:00Z"},
        "statistics": {"level": 0.9},
    }
    return parse_config(document, where="test")


def reading(n=240, copies=1, days=60, seed=0):
    """n articles, each told under ``copies`` names on one day, with forecasts that are true."""
    rng = np.random.default_rng(seed)
    probabilities = Calibration().apply(rng.normal(size=(n, 3)) * 2)
    labels = (rng.random((n, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    known_at = pd.Timestamp("2020-01-01T14:30", tz="UTC") + pd.to_timedelta(np.arange(n) % days, unit="D")
    judged = pd.DataFrame(probabilities, columns=list(CLASSES)).assign(
        article_id=[f"a{k}" for k in range(n)], label=labels, fold=0
    )
    judged[[f"raw_{name}" for name in CLASSES]] = Calibration(0.5).apply(np.log(probabilities))
    scored = judged.assign(known_at=known_at)
    parts = [part.assign(article_id=part["article_id"] + f"-{copy}") for copy in range(copies) for part in (scored,)]
    together = pd.concat(parts, ignore_index=True)
    return Reading(together.drop(columns="label"), together.drop(columns="known_at"), [])


def table_of(bins):
    return pd.DataFrame([as_json(each) for each in bins])


def test_scores_are_judged_with_their_uncertainty(config):
    found = classification(config, reading())
    assert from_json(Classification, json.loads(json.dumps(as_json(found), allow_nan=False)), "test") == found
    assert (found.n, found.n_groups, found.level) == (240, 60, 0.9)
    for name in ("accuracy", "macro_f1", "weighted_f1", "mcc"):
        low, high = getattr(found, f"{name}_interval")
        assert low < getattr(found, name) < high
    assert found.confidence_test.p_value > 0.01
    after = table_of(found.reliability["after"])
    assert (after["accuracy_low"] <= after["accuracy"]).all()
    assert after["count"].sum() == sum(each.count for each in found.reliability["before"]) == 240


def test_what_is_told_often_in_a_day_is_not_more_certain(config):
    once, often = (classification(config, reading(copies=copies, days=240)) for copies in (1, 5))
    assert often.accuracy == once.accuracy
    assert often.n_groups == once.n_groups == 240
    assert np.diff(often.accuracy_interval) == pytest.approx(np.diff(once.accuracy_interval), rel=0.1)
    assert often.confidence_test.z == pytest.approx(once.confidence_test.z)
    ends = ["accuracy_low", "accuracy_high"]
    np.testing.assert_allclose(table_of(often.reliability["after"])[ends], table_of(once.reliability["after"])[ends])


def test_articles_without_a_date_are_groups_of_their_own():
    dated = reading(n=10, days=2)
    some = Reading(dated.scored.iloc[:6], dated.judged, [])
    assert article_days(some).tolist() == [
        *["2020-01-01", "2020-01-02"] * 3,
        *[f"article a{k}-0" for k in range(6, 10)],
    ]
    assert article_days(reading(n=5, days=1)) is None


def test_one_day_only_and_no_labels_are_said(config):
    assert classification(config, reading(n=20, days=1)).n_groups is None
    empty = reading()
    assert classification(config, SimpleNamespace(scored=empty.scored, judged=empty.judged.iloc[:0])) is None


def test_the_report_draws_what_was_measured(config):
    found = classification(config, reading())
    shown = _classification(found)
    assert shown["accuracy"] == (found.accuracy, *found.accuracy_interval)
    assert shown["bearish"]["support"] == found.classes["bearish"].support
    chart = reliability_chart(_reliability(found)).figure
    after = next(trace for trace in chart.data if trace.name == "after calibration")
    rows = table_of(found.reliability["after"])
    np.testing.assert_allclose(np.add(after.y, after.error_y.array), rows["accuracy_high"])
    np.testing.assert_allclose(np.subtract(after.y, after.error_y.arrayminus), rows["accuracy_low"])
    assert [trace.error_y.visible for trace in chart.data if trace.name == "before calibration"] == [False]
