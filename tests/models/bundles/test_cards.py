"""The model card: everything that a reader must know stands in it, and what is not known is said to be so."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.models.bundles.card import model_card
from embargo.models.evaluation.classification import classification_report


def report(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(3), 60)
    found = classification_report(probs, rng.integers(0, 3, 60), resamples=50)
    spans = {f"{name}_interval": [0.011, 0.099] for name in ("ece", "adaptive_ece", "brier")}
    before = {"ece": 0.321, "adaptive_ece": 0.322, "brier": 0.777, **spans}
    return found | spans | {"level": 0.9, "before": before, "left_out": 3}


PART = {"n": 1234, "fingerprint": "f" * 64, "classes": {"bearish": 400, "neutral": 500, "bullish": 334}}
MANIFEST: dict[str, Any] = {
    "name": "card-test",
    "seed": 7,
    "fold": {"index": 1, "of": 3, "test_start": "2019-01-01T00:00:00+00:00", "test_end": "2020-01-01T00:00:00+00:00"},
    "base": {
        "name": "owner/base",
        "kind": "encoder",
        "revision": "abc123",
        "weights_hash": "b" * 64,
        "knowledge_cutoff": "2018-10-31T23:59:59.999999+00:00",
        "source": "a paper",
        "evidence": "release",
        "exposures": ["financial_phrasebank"],
    },
    "model": {
        "settings": {"method": "qlora", "rank": 8, "max_length": 64, "class_weights": True, "micro_batch": None},
        "trained_until": "2018-12-31T00:00:00+00:00",
        "knowledge_cutoff": "2018-12-31T00:00:00+00:00",
        "model_id": "m0del",
        "epochs": [
            {"epoch": 1, "train_loss": 1.1, "validation_loss": 1.0},
            {"epoch": 2, "train_loss": 0.9, "validation_loss": 1.2},
        ],
        "best_epoch": 1,
        "events": [{"epoch": 2, "what": "diverged"}],
    },
    "adapter_identity": "a" * 64,
    "calibration": {"method": "temperature", "temperature": 1.25},
    "data": {
        "source": "the labelled file x.csv",
        "train": PART | {"first": "2015-01-02T00:00:00+00:00", "last": "2018-06-30T00:00:00+00:00"},
        "validation": PART,
        "test": PART,
    },
    "metrics": {"validation": report(1), "test": report(2)},
    "bias": {
        "level": 0.95,
        "unit": 0.4,
        "n_texts": 48,
        "found": ["country"],
        "untold": False,
        "groups": [
            {
                "attribute": "country",
                "group": "Dutch",
                "reference": "Danish",
                "n": 24,
                "difference": -0.123,
                "low": -0.2,
                "high": -0.05,
                "effect": None,
                "class_changed": 0.25,
                "p_value": 0.004,
                "p_value_holm": 0.008,
            }
        ],
    },
    "versions": {"torch": "2.13.0", "commit": "c0ffee"},
}


def without(**changes: Any) -> dict[str, Any]:
    manifest = copy.deepcopy(MANIFEST)
    for path, value in changes.items():
        *sections, last = path.split("__")
        target = manifest
        for name in sections:
            target = target[name]
        target[last] = value
    return manifest


def test_the_card_names_what_made_the_model() -> None:
    card = model_card(MANIFEST)
    for word in (
        *("owner/base", "abc123", "b" * 64, "a" * 64, "arXiv 2305.14314", "2 of 3", "1,234", "400 / 500 / 334"),
        *("2015-01-02", "undated", "m0del", "1 (kept)", "diverged", "temperature 1.25", "2.13.0", "c0ffee", "Seed 7"),
        *("its date of publication, an upper bound", "90 % interval", "0.321 (0.011 to 0.099)"),
    ):
        assert word in card, word


def test_every_headline_figure_of_both_parts_is_there_with_its_interval() -> None:
    card = model_card(MANIFEST)
    for part in ("test", "validation"):
        found = MANIFEST["metrics"][part]
        for name in ("accuracy", "macro_f1", "weighted_f1"):
            low, high = found[f"{name}_interval"]
            assert f"| {found[name]:.3f} | {low:.3f} to {high:.3f} |" in card
        for row, name in zip(found["confusion"], ("bearish", "neutral", "bullish"), strict=True):
            assert f"| **{name}** | {' | '.join(map(str, row))} |" in card


def test_a_known_cutoff_forbids_what_lies_before_it_and_an_unknown_one_everything() -> None:
    assert "No backtest on texts known by 2018-12-31" in model_card(MANIFEST)
    card = model_card(without(model__knowledge_cutoff=None, base__knowledge_cutoff=None, base__evidence="none"))
    assert "any period may be contaminated" in card
    assert "**Knowledge cutoff** | **unknown**" in card


def test_the_test_part_says_what_the_base_may_have_read() -> None:
    assert "These texts are undated" in model_card(MANIFEST)
    for first, told in (("2018-12-31T00:00:00+00:00", True), ("2018-12-31T00:00:01+00:00", False)):
        card = model_card(without(data__test=PART | {"first": first, "last": first}))
        assert ("begin before the knowledge cutoff" in card) is told
        assert "undated: whether" not in card
    assert "What the weights know is unknown" in model_card(without(model__knowledge_cutoff=None))


def test_what_was_left_out_is_told() -> None:
    assert "Left out: conflicting texts 1,200." in model_card(without(data__left_out={"conflicting_texts": 1200}))
    assert "Left out" not in model_card(MANIFEST)


def test_sets_that_the_base_was_tuned_on_are_forbidden() -> None:
    assert "No evaluation on financial_phrasebank" in model_card(MANIFEST)
    assert "No evaluation on" not in model_card(without(base__exposures=[]))


def test_without_a_test_part_the_card_says_that_quality_is_unknown() -> None:
    card = model_card(without(metrics__test=None))
    assert "how good the model is on new texts is unknown" in card
    assert "ECE, test" not in card


@pytest.mark.parametrize("method", ["vector", "isotonic"])
def test_other_calibrations_are_named(method: str) -> None:
    assert f"By {method}" in model_card(without(calibration={"method": method}))


@given(st.text(min_size=1))
def test_no_text_breaks_a_table(name: str) -> None:
    card = model_card(without(base__name=name, base__source=name))
    tables = [block.split("\n") for block in card.split("\n\n") if block.startswith("| ")]
    for lines in tables:
        bars = {line.replace("\\|", "").count("|") for line in lines if line}
        assert len(bars) == 1, lines


def test_bias_stands_in_the_card_and_its_absence_is_no_claim():
    card = model_card(MANIFEST)
    assert "Scores move with country" in card
    assert "| country: Dutch against Danish | -0.123 | -0.200 to -0.050 | unknown | 25 % | 0.008 |" in card
    quiet = copy.deepcopy(MANIFEST)
    quiet["bias"]["found"] = []
    assert "no proof that none is" in model_card(quiet)
    quiet["bias"]["untold"] = True
    untold = model_card(quiet)
    assert "Not told: this reader tells none of the" in untold
    assert "p, adjusted" not in untold
    # A folder from before it was measured.
    assert "## Bias" not in model_card({name: value for name, value in MANIFEST.items() if name != "bias"})
