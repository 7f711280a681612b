"""A reader that knows the labels of the test is doubted; one that reads well, or had luck, is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import check_label_agreement


def answers(right: float, n: int, seed: int = 0, fold: int = 0) -> pd.DataFrame:
    """Draw labels of three classes, and answers of which exactly so many are right."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, n)
    wrong = rng.permutation(n) >= round(right * n)
    return pd.DataFrame({"fold": fold, "label": label, "told": np.where(wrong, (label + 1) % 3, label)})


def before(accuracy: float, n: int = 80, fold: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"fold": [fold], "accuracy": [accuracy], "n": [n]})


@pytest.mark.parametrize(
    ("right", "n", "verdict"),
    [(1.0, 189, "suspicious"), (1.0, 188, "pass"), (0.97, 2000, "pass"), (0.995, 2000, "suspicious"),
     (1.0, 99, "inconclusive"), (0.6, 20, "inconclusive")],
)  # fmt: skip
def test_a_record_without_mistakes_is_doubted_from_enough_samples_on(right: float, n: int, verdict: str) -> None:
    assert check_label_agreement(answers(right, n)).verdict == verdict


def test_a_test_read_far_better_than_the_validation_part_is_doubted() -> None:
    told = pd.concat([answers(0.6, 150), answers(0.95, 150, fold=1)])
    validation = pd.concat([before(0.6), before(0.58, fold=1)])
    found = check_label_agreement(told, validation)
    assert (found.code, found.verdict) == ("S7", "suspicious")
    assert found.effect == pytest.approx(0.95 - 0.58, abs=0.01)
    assert found.detail.startswith("In fold 1 ")
    assert check_label_agreement(told, pd.concat([before(0.6), before(0.93, fold=1)])).verdict == "pass"
    # Labels made from returns are held against nothing but perfection.
    assert check_label_agreement(told).verdict == "pass"


def test_a_small_gain_is_no_doubt_however_sure_it_is() -> None:
    assert check_label_agreement(answers(0.75, 40_000), before(0.7, 20_000)).verdict == "pass"


def test_samples_of_one_day_count_as_one() -> None:
    told = answers(0.95, 240)
    validation = before(0.6)
    assert check_label_agreement(told, validation).verdict == "suspicious"
    wrong = (told["label"] != told["told"]).to_numpy()
    together = told.assign(day=np.where(wrong, 9, np.arange(240) // 60))
    assert check_label_agreement(together, validation).verdict == "pass"


@pytest.mark.slow
@pytest.mark.parametrize("accuracy", [0.5, 0.8, 0.95])
def test_readers_that_are_as_good_in_both_are_never_doubted(accuracy: float) -> None:
    """None of 200 studies of 20 folds is doubted: the bound is far above what chance does."""
    rng, doubted = np.random.default_rng(0), 0
    for _ in range(200):
        folds = [drawn(rng, accuracy, fold) for fold in range(20)]
        told, validation = (pd.concat(parts) for parts in zip(*folds, strict=True))
        doubted += check_label_agreement(told, validation).verdict == "suspicious"
    assert doubted == 0


def drawn(rng: np.random.Generator, accuracy: float, fold: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    right = rng.random(60) < accuracy
    told = pd.DataFrame({"fold": fold, "label": 1, "told": np.where(right, 1, 0)})
    return told, before(float((rng.random(40) < accuracy).mean()), 40, fold)
