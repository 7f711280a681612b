"""What is traded is what the reader says of each text alone: other answers and changed scores are told apart."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import check_rereading
from embargo.backtest.leakage.rereading import drawn_chance
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.scorers.endpoint import drawn_apart

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


PARTS, CLASS_AT = ("first", "second"), tuple(enumerate(CLASSES))


def asked_twice(rng: np.random.Generator, draws: int, texts: int, changed: bool) -> pd.DataFrame:
    """Draw answers of one model to some texts, and again, of it or of one that thinks otherwise of them."""
    one = rng.dirichlet([0.5, 0.5, 0.5], texts)
    two = rng.dirichlet([0.5, 0.5, 0.5], texts) if changed else one
    counts = [np.array([rng.multinomial(draws, share) for share in shares]) for shares in (one, two)]
    kept, again = ((each + 1.0) / (draws + 3.0) for each in counts)
    apart, error = zip(*(drawn_apart(*pair) for pair in zip(*counts, strict=True)), strict=True)
    frame = pd.DataFrame({name: kept[:, place] for place, name in enumerate(CLASSES)})
    frame["confidence"] = kept.max(axis=1)
    frame = frame.join(frame.add_prefix("kept_"))
    frame[[f"again_{name}" for name in CLASSES]] = again
    at = pd.date_range("2020-01-01", periods=texts, tz="UTC")
    frame = frame.assign(article_id=[f"a{number}" for number in range(texts)], at=at, earned=0.01)
    drawn = {f"{part}_{name}": each[:, at] for part, each in zip(PARTS, counts, strict=True) for at, name in CLASS_AT}
    return frame.assign(answers_apart=apart, stated_error=error, **drawn)


@pytest.mark.parametrize(("draws", "texts"), [(1, 16), (5, 8), (5, 16), (20, 32)])
def test_honest_draws_are_no_other_answers(draws, texts):
    rng = np.random.default_rng([7_300_031, draws, texts])
    frames = [asked_twice(rng, draws, texts, changed=False) for _ in range(60)]
    assert {check_rereading(frame).verdict for frame in frames} == {"pass"}
    # Without a stated error nearly each of them would be taken for another model's.
    bare = [check_rereading(frame.drop(columns=["answers_apart", "stated_error"])) for frame in frames[:20]]
    assert sum(each.verdict == "leak" for each in bare) > 15
    assert "as far as answers that vary can tell" in check_rereading(frames[0]).detail


@pytest.mark.parametrize(
    ("draws", "texts", "least"), [(3, 32, 0.8), (5, 8, 0.35), (5, 16, 0.8), (5, 40, 1.0), (20, 16, 1.0)]
)
def test_draws_of_another_model_are_told_apart(draws, texts, least):
    rng = np.random.default_rng([7_300_032, draws])
    found = [check_rereading(asked_twice(rng, draws, texts, changed=True)) for _ in range(40)]
    assert np.mean([each.code == "D9" and each.verdict == "leak" for each in found]) >= least
    assert all("more than its answers vary" in each.detail for each in found if each.verdict == "leak")


def test_chance_is_that_of_every_way_to_part_the_draws():
    rng = np.random.default_rng(7_300_034)
    first, second = (np.array([rng.multinomial(n, [0.5, 0.3, 0.2]) for _ in range(3)]) for n in (3, 4))
    sums, statistic = [0.0], 0.0
    for one, two in zip(first, second, strict=True):
        draws = np.repeat(np.arange(3), one + two)
        squares = []
        for chosen in itertools.combinations(range(7), 3):
            mine = np.bincount(draws[list(chosen)], minlength=3)
            squares.append(float(((mine / 3 - (one + two - mine) / 4) ** 2).sum()))
        mean = np.mean(squares)
        if mean > 0.0:
            up = [math.ceil(each / mean / 0.05 - 1e-9) for each in squares]
            statistic += math.ceil(float(((one / 3 - two / 4) ** 2).sum()) / mean / 0.05 - 1e-9)
            sums = [before + each for before in sums for each in up]
    assert drawn_chance(first, second) == pytest.approx(np.mean(np.array(sums) >= statistic), abs=1e-12)


def test_what_cannot_vary_and_does_is_another_answer_and_symbols_do_not_count_twice():
    frame = asked_twice(np.random.default_rng(7_300_033), 5, 16, changed=False)
    wrong = frame.assign(stated_error=np.where(frame.index == 3, 0.0, frame["stated_error"]))
    wrong.loc[3, "answers_apart"] = 0.2
    finding = check_rereading(wrong)
    assert (finding.code, finding.effect) == ("D9", 1 / 16)
    far = frame.assign(answers_apart=0.0).drop(columns=["first_bearish"])
    far.loc[3, "answers_apart"] = 3.5 * far.loc[3, "stated_error"]
    assert far.loc[3, "stated_error"] > 0.0
    assert check_rereading(pd.concat([far, *[far.loc[[3]]] * 20], ignore_index=True)).verdict == "pass"
