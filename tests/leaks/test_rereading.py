"""What is traded is what the reader says of each text alone: other answers and changed scores are told apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import check_rereading
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES

N = 300


@pytest.fixture
def articles() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    said = rng.dirichlet([2.0, 2.0, 2.0], N)
    frame = pd.DataFrame({name: said[:, place] for place, name in enumerate(CLASSES)})
    frame["confidence"] = said.max(axis=1)
    frame = frame.join(frame.add_prefix("kept_")).join(frame[list(CLASSES)].add_prefix("again_"))
    at = pd.date_range("2020-01-01", periods=N // 3, tz="UTC").repeat(3)
    ids = [f"a{number}" for number in range(N)]
    return frame.assign(article_id=ids, symbol="A", at=at, earned=rng.normal(0.0, 0.02, N))


def shifted(articles: pd.DataFrame, part: str, by: np.ndarray | float) -> pd.DataFrame:
    """Move probability from bearish to bullish in one of the three parts."""
    return articles.assign(
        **{f"{part}bearish": articles[f"{part}bearish"] - by, f"{part}bullish": articles[f"{part}bullish"] + by}
    )


def test_the_same_answers_pass_in_spite_of_rounding_and_of_texts_not_asked(articles):
    assert check_rereading(articles).verdict == "pass"
    assert check_rereading(shifted(articles, "again_", 0.03)).verdict == "pass"
    few = articles.copy()
    few.loc[20:, [f"again_{name}" for name in CLASSES]] = np.nan
    finding = check_rereading(few)
    assert finding.verdict == "pass"
    assert "of 20 of them" in finding.detail
    none = articles.assign(**{f"again_{name}": np.nan for name in CLASSES})
    assert "no model was loaded" in check_rereading(none).detail
    assert check_rereading(shifted(none, "", 0.1)).verdict == "leak"


def test_one_answer_that_is_anothers_is_a_leak(articles):
    wrong = np.where(np.arange(N) == 7, 0.3, 0.0)
    finding = check_rereading(shifted(articles, "again_", wrong))
    assert (finding.code, finding.verdict, finding.effect) == ("D9", "leak", 1 / N)
    assert [row["article_id"] for row in finding.evidence] == ["a7"]


@pytest.mark.parametrize("column", ["confidence", "bullish"])
def test_scores_that_were_changed_since_are_another_model(articles, column):
    finding = check_rereading(articles.assign(**{column: articles[column] * 0.999}))
    assert (finding.code, finding.verdict, finding.effect) == ("M13", "leak", 1.0)


def test_changes_that_foretell_returns_are_a_feature_of_the_target(articles):
    by = np.where(np.arange(N) % 2, 0.1 * np.sign(articles["earned"]), 0.0)
    finding = check_rereading(shifted(articles, "", by))
    assert (finding.code, finding.verdict, finding.effect) == ("S7", "leak", 0.5)
    other = check_rereading(shifted(articles, "", np.random.default_rng(1).permutation(by)))
    assert (other.code, other.verdict) == ("M13", "leak")


def test_nothing_is_said_where_nobody_wrote_answers_down(articles):
    blank = articles.assign(**{name: np.nan for name in articles if name.startswith(("kept_", "again_"))})
    assert check_rereading(blank).verdict == "inconclusive"
    with pytest.raises(DataError, match="kept_bearish"):
        check_rereading(articles.drop(columns="kept_bearish"))


def test_scores_that_are_missing_or_that_nobody_gave_were_changed(articles):
    """Whoever takes out what the reader answered trades another model, and where it was wrong, one that knows."""
    traded, few = [*CLASSES, "confidence"], np.arange(N) % 30 == 7
    for prefix in ("", "kept_"):
        part = articles.copy()
        part.loc[few, [f"{prefix}{name}" for name in traded]] = np.nan
        finding = check_rereading(part)
        assert (finding.code, finding.verdict, finding.effect) == ("M13", "leak", few.mean())
        assert ("10 of them not at all" in finding.detail) == (prefix == "")
    said = articles["bullish"] - articles["bearish"]
    wrong = articles.copy()
    wrong.loc[said * articles["earned"] < 0.0, traded] = np.nan
    assert check_rereading(wrong).code == "S7"


def test_a_step_of_a_calibration_is_no_other_answer(articles):
    """One text apart after calibration must be apart before it; many need not be."""

    def of(wrong: np.ndarray, before: float):
        return check_rereading(shifted(articles, "again_", np.where(wrong, 0.3, 0.0)).assign(apart_before=before))

    one, many = np.arange(N) == 7, np.arange(N) % 5 == 0
    assert of(one, 0.02).verdict == "pass"
    assert of(one, 0.5).code == of(one, 0.0).code == of(many, 0.02).code == "D9"
