"""Frames that are taken without pandera are those that pandera would hand back unchanged, and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from embargo.data_loaders.contracts import NEWS_SCHEMA, SCORES_SCHEMA, kept
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES, UTC_DTYPE
from embargo.data_loaders.schemas import validate_news, validate_scores

AT = pd.Series(pd.to_datetime(["2020-01-02 15:00Z", "2020-01-03 15:00Z", "2020-01-06 15:00Z"])).astype(UTC_DTYPE)


def news() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "article_id": ["1", "2", "3"],
            "published_at": AT,
            "seen_at": AT,
            "symbol": ["AAPL", "MSFT", "AAPL"],
            "text": ["Apple beats", "Microsoft misses", " Apple again "],
            "source": ["wire", "wire", "paper"],
        }
    )


def scores() -> pd.DataFrame:
    shares = {"bearish": [0.2, 0.0, 1.0], "neutral": [0.5, 1.0, 0.0], "bullish": [0.3, 0.0, 0.0]}
    return pd.DataFrame({"article_id": ["1", "2", "3"], **shares, "confidence": [0.5, 1.0, 1.0], "model_id": "m"})


CHANGES: dict[str, Any] = {
    "as they are": lambda column: column,
    "objects": lambda column: column.astype(object),
    "nullable strings": lambda column: column.astype("string"),
    "categories": lambda column: column.astype("category"),
    "one blank": lambda column: [" ", *column.iloc[1:]],
    "one empty": lambda column: ["", *column.iloc[1:]],
    "one missing": lambda column: [None, *column.iloc[1:]],
    "numbers": lambda column: np.arange(len(column)),
    "fractions": lambda column: np.arange(len(column)) / 4.0,
    "too large": lambda column: np.arange(len(column)) + 0.5,
    "single precision": lambda column: np.full(len(column), 0.5, dtype=np.float32),
    "all alike": lambda column: [column.iloc[0]] * len(column),
}


def outcome(work: Callable[[], pd.DataFrame]) -> pd.DataFrame | str:
    try:
        return work()
    except DataError as failure:
        return str(failure)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["article_id", "symbol", "text", "source"])
def test_news_comes_out_as_pandera_leaves_it(name: str, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = news().assign(**{name: CHANGES[change](news()[name])})
    quick = outcome(lambda: validate_news(frame))
    monkeypatch.setattr("embargo.data_loaders.schemas._sound_text", lambda _: False)
    whole = outcome(lambda: validate_news(frame))
    assert_same(quick, whole)
    if change == "as they are":
        assert isinstance(quick, pd.DataFrame)
        pd.testing.assert_frame_equal(quick.drop(columns="known_at"), kept(NEWS_SCHEMA, frame, where="news"))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["article_id", *CLASSES, "confidence", "model_id"])
def test_scores_come_out_as_pandera_leaves_them(name: str, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = scores().assign(**{name: CHANGES[change](scores()[name])})
    quick = outcome(lambda: validate_scores(frame))
    monkeypatch.setattr("embargo.data_loaders.schemas._sound_text", lambda _: False)
    whole = outcome(lambda: validate_scores(frame))
    assert_same(quick, whole)
    if change == "as they are":
        pd.testing.assert_frame_equal(quick, kept(SCORES_SCHEMA, frame, where="scores"))


@pytest.mark.parametrize("name", ["article_id", *CLASSES, "confidence", "model_id"])
def test_a_column_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(DataError, match=name):
        validate_scores(scores().drop(columns=name))


def assert_same(one: pd.DataFrame | str, two: pd.DataFrame | str) -> None:
    assert type(one) is type(two), (one, two)
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, two)
    else:
        assert one == two
