"""The audit misses articles that were read and are traded nowhere, symbol by symbol, and no others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from embargo.models.calibration.fitting import Calibration
from embargo.research.run import fit_records
from embargo.research.run.audit import unheard
from embargo.research.run.rereading import apart_before


@pytest.fixture
def plan() -> SimpleNamespace:
    """Two folds of news; one article is of two symbols."""
    news = pd.DataFrame({"article_id": ["a", "b", "b"], "symbol": ["X", "X", "Y"], "text": "Profit rose."})
    first, second = (news.assign(article_id=news["article_id"] + str(fold)) for fold in (0, 1))
    parts = [
        SimpleNamespace(fold=SimpleNamespace(index=fold), test_news=own) for fold, own in enumerate((first, second))
    ]
    return SimpleNamespace(config=SimpleNamespace(fusion=SimpleNamespace(method="none")), parts=parts)


def scored(plan: Any) -> pd.DataFrame:
    news: list[pd.DataFrame] = [part.test_news.assign(fold=part.fold.index) for part in plan.parts]
    return pd.concat(news, ignore_index=True)


def test_an_article_taken_out_after_it_was_read_is_missed(plan: Any) -> None:
    told = scored(plan)
    assert unheard(plan, told).empty
    assert unheard(plan, told.iloc[::-1]).empty
    found = unheard(plan, told.drop(index=4))
    assert found[["article_id", "symbol", "fold"]].to_numpy().tolist() == [["b1", "X", 1]]


def test_the_fold_that_a_fusion_learns_from_is_not_missed(plan: Any) -> None:
    plan.config.fusion.method = "linear"
    told = scored(plan)
    assert unheard(plan, told.loc[told["fold"] == 1]).empty
    assert len(unheard(plan, told.loc[told["symbol"] == "X"])) == 1


def test_how_far_answers_lie_apart_is_measured_in_their_own_spread() -> None:
    logits = np.random.default_rng(0).normal(0.0, 3.0, (200, 3))
    near = logits + np.array([0.02, 0.01, 0.01])
    kept, *again = (Calibration().apply(values) for values in (logits, near, logits[::-1]))
    assert 0.001 < apart_before(kept, again[0]).max() < 0.01
    assert np.median(apart_before(kept, again[1])) > 0.5


@pytest.mark.parametrize("fitted", [[], ["stranger"]], ids=["what is labelled was read", "others were read"])
def test_texts_of_one_hash_are_listed_with_it(fitted, monkeypatch):
    """Whoever hashes the first words alone gives one hash to two texts, and the audit has to come to its cache."""
    monkeypatch.setattr(fit_records, "text_hash", lambda text: text.split()[0])
    said = ["Acme rises", "Acme falls", "Other news"]
    news = pd.DataFrame({"article_id": ["a", "b", "c"], "text": said, "known_at": pd.Timestamp("2020-01-01", tz="UTC")})
    labelled = pd.DataFrame({"text": said[:2]})
    part = SimpleNamespace(train=labelled, validation=labelled[:0], test=labelled[:0], thresholds_on=None)
    plan: Any = SimpleNamespace(world=SimpleNamespace(news=news), parts=[part])
    fitted_on = pd.DataFrame({"text_hash": fitted}, dtype="str")
    found = fit_records.hashed_news(plan, fitted_on)["text_hash"].astype(str).tolist()
    assert found[0] == found[1] == "Acme" != found[2]
