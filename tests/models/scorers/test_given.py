"""Scores of a file answer for the articles that it lists, and say of no other that it is neutral."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from embargo.data_loaders.archive import LoadedScores
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models import Calibration, LexiconScorer, fit_scorer, score_articles
from embargo.models.fitting import FittedModel
from embargo.models.scorers import GivenScorer, GivenSettings

UNTIL = pd.Timestamp("2019-12-31", tz="UTC")
LATER = pd.Timestamp("2020-06-30", tz="UTC")


def given(scores: dict[str, tuple[float, float, float]], source: str = "file") -> GivenSettings:
    frame = pd.DataFrame.from_dict(scores, orient="index", columns=list(CLASSES))
    return GivenSettings(LoadedScores(frame, {"articles": len(frame)}, source), UNTIL)


def samples(*labelled: tuple[str, str, int]) -> pd.DataFrame:
    return pd.DataFrame(labelled, columns=["article_id", "text", "label"])


HELD_OUT = samples(("a", "Same words", 0), ("b", "Same words", 2), ("c", "Other words", 1), ("d", "Same words", 2))
SURE = given({"a": (0.8, 0.1, 0.1), "b": (0.1, 0.1, 0.8), "c": (0.1, 0.8, 0.1)})


def fitted(settings: object, held_out: pd.DataFrame = HELD_OUT, **more: object) -> FittedModel:
    return fit_scorer(
        "scores",
        train=held_out,
        validation=held_out,
        trained_until=LATER,
        settings=settings,
        cache_dir=Path("cache"),
        **more,
    )


def test_two_articles_of_one_text_have_two_scores_and_a_third_has_none() -> None:
    found = score_articles(GivenScorer(SURE), Calibration(), HELD_OUT[["article_id", "text"]])
    scores = found.scores.set_index("article_id")
    np.testing.assert_allclose(scores.loc["a", list(CLASSES)].astype(float), [0.8, 0.1, 0.1], rtol=1e-12)
    np.testing.assert_allclose(scores.loc["b", list(CLASSES)].astype(float), [0.1, 0.1, 0.8], rtol=1e-12)
    assert scores.loc["d", [*CLASSES, "confidence"]].isna().all()
    assert (found.n_articles, found.n_unscored) == (4, 1)


def test_what_has_no_score_calibrates_nothing_and_is_counted() -> None:
    with_gap, without = fitted(SURE), fitted(SURE, HELD_OUT.iloc[:3])
    assert with_gap.calibration == without.calibration
    assert (with_gap.manifest["n_validation"], with_gap.manifest["n_validation_unscored"]) == (3, 1)
    assert "n_validation_unscored" not in without.manifest
    assert with_gap.fitted_on is not None
    assert with_gap.fitted_on["use"].tolist() == ["calibration"] * 3


def test_it_knows_what_is_stated_and_what_calibrated_it() -> None:
    model = fitted(SURE)
    assert model.manifest["base_knowledge_cutoff"] == UNTIL.isoformat()
    assert model.manifest["knowledge_cutoff"] == LATER.isoformat()
    assert model.manifest["n_train"] == 0


def test_other_scores_or_another_cutoff_are_another_reader() -> None:
    later = GivenSettings(SURE.scores, LATER)
    other = given({"a": (0.8, 0.1, 0.1)}, source="another file")
    assert len({GivenScorer(each).identity for each in (SURE, later, other)}) == 3


def test_a_class_without_any_probability_has_a_logarithm() -> None:
    logits = GivenScorer(given({"a": (1.0, 0.0, 0.0)})).logits_of(["a"])
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(Calibration().apply(logits), [[1.0, 0.0, 0.0]], atol=1e-11)


def test_no_text_is_read() -> None:
    with pytest.raises(ConfigError, match="reads no texts"):
        GivenScorer(SURE).logits(["Same words"])


def test_a_validation_part_without_scores_is_refused() -> None:
    with pytest.raises(DataError, match="none of 4 validation samples has a score"):
        fitted(given({"x": (0.8, 0.1, 0.1)}))
    few = given({"a": (0.8, 0.1, 0.1)})
    with pytest.raises(DataError, match="every class needs"):
        fitted(few, calibration="isotonic")
    with pytest.raises(ConfigError, match="needs scores"):
        fitted(None)


def test_a_reader_of_texts_may_not_be_without_an_answer() -> None:
    class Silent(LexiconScorer):
        def logits(self, texts: object, progress: object = None) -> np.ndarray:
            return np.full((len(list(texts)), 3), np.nan)  # type: ignore[call-overload]

    with pytest.raises(DataError):
        score_articles(Silent(), Calibration(), HELD_OUT[["article_id", "text"]])
