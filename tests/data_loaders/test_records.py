"""Facts are refused at the door with the first offending row, or come through with one set of types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import UTC_DTYPE
from embargo.data_loaders.records import DATASETS, facts_of, instant_of, validate_facts


def utc(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


GOOD: dict[str, dict[str, Any]] = {
    "news": {"article_id": "1", "symbol": "AAA", "text": "Alpha wins", "published_at": utc("2020-03-05 14:00")},
    "bars": {
        "venue": "yahoo", "symbol": "AAA", "bar": "1d", "open_at": utc("2024-01-02 14:30"),
        "close_at": utc("2024-01-02 21:00"), "open": 10, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 5,
    },
    "actions": {"venue": "v", "symbol": "A", "kind": "split", "ex_at": utc("2024-01-02 14:30"), "value": 4},
    "funding": {"venue": "v", "symbol": "A", "settles_at": utc("2024-01-01 08:00"), "rate": -0.0001},
    "instruments": {
        "venue": "v", "symbol": "A", "kind": "spot", "base": "A", "quote": None, "status": "Trading",
        "listed_at": pd.NaT, "delisted_at": utc("2024-01-05"), "seen_at": utc("2024-01-05"),
    },
}  # fmt: skip


def frame_of(dataset: str, **changes: Any) -> pd.DataFrame:
    rows = [GOOD[dataset], GOOD[dataset] | changes]
    frame = pd.DataFrame(rows, index=["first", "second"])
    return frame.drop(columns=[name for name, value in changes.items() if value is ...])


@pytest.mark.parametrize("dataset", DATASETS)
def test_good_facts_get_one_set_of_types(dataset: str) -> None:
    facts = facts_of(dataset)
    tidy = validate_facts(dataset, frame_of(dataset), where="here")  # type: ignore[arg-type]
    assert list(tidy.columns) == list(facts.columns)
    assert list(tidy.index) == ["first", "second"]
    for name in facts.columns:
        if name in facts.texts:
            assert isinstance(tidy[name].dtype, pd.StringDtype), name
        else:
            assert tidy[name].dtype == (np.float64 if name in facts.numbers else UTC_DTYPE), name
    again = validate_facts(dataset, tidy, where="here")  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(again, tidy)


@pytest.mark.parametrize(
    ("dataset", "changes", "message"),
    [
        ("news", {"text": " "}, "column 'text' is blank at row 'second' .*article_id 1, symbol AAA; 1 such row"),
        ("news", {"article_id": None}, "column 'article_id' is empty at row 'second'"),
        ("news", {"article_id": 7}, "holds 7, which is no text"),
        ("news", {"symbol": ...}, r"missing columns \['symbol'\]"),
        ("news", {"published_at": pd.Timestamp("2020-03-05")}, "column published_at: 1 timestamps have no time zone"),
        ("news", {"published_at": pd.NaT}, "column published_at: 1 rows have no timestamp"),
        ("news", {"revision": 3}, "'source_revision'"),
        ("news", {"key": "x"}, "derives columns"),
        ("news", {"Text": "x"}, r"\['text'\] are there twice"),
        ("news", {"tags": [1, 2]}, "extra column 'tags' .*row 'second'"),
        ("bars", {"low": 13.0}, "low exceeds high at row 'second' .*symbol AAA"),
        ("bars", {"close": 0.0}, "a price is not positive at row 'second'"),
        ("bars", {"volume": -1.0}, "the volume is negative"),
        ("bars", {"high": np.inf}, "high is not a finite number"),
        ("bars", {"close_at": utc("2024-01-02 14:30")}, "closes before it opens"),
        ("bars", dict.fromkeys(("open", "high", "low", "close"), None), "no price at all"),
        ("bars", {"open": "ten"}, "column 'open' holds something that is no number"),
        ("bars", {"mood": 1.0}, r"unknown columns \['mood'\]"),
        ("actions", {"kind": "merger"}, r"kind must be one of \['dividend', 'split'\] at row 'second'"),
        ("actions", {"value": 0.0}, "the value is not positive at row 'second'"),
        ("funding", {"rate": None}, "rate is not a finite number at row 'second'"),
        ("instruments", {"kind": "future"}, "kind must be one of"),
        ("instruments", {"seen_at": pd.NaT}, "column seen_at: 1 rows have no timestamp"),
        ("instruments", {"seen_at": ...}, r"missing columns \['seen_at'\]"),
    ],
)
def test_bad_facts_are_named(dataset: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"^here.*{message}"):
        validate_facts(dataset, frame_of(dataset, **changes), where="here")  # type: ignore[arg-type]


def test_an_unknown_bar_length_is_refused() -> None:
    with pytest.raises(ConfigError, match="no length of time"):
        validate_facts("bars", frame_of("bars", bar="daily"), where="here")


def test_extra_columns_of_news_are_kept() -> None:
    extras = {
        "likes": 5,
        "mood": 0.5,
        "ad": True,
        "url": None,
        "stated_at": utc("2020-01-01"),
        "known_at": utc("2020-01-01"),
    }
    tidy = validate_facts("news", pd.DataFrame([GOOD["news"] | extras]), where="here")
    assert list(tidy.columns[-5:]) == ["likes", "mood", "ad", "url", "stated_at"]
    assert tidy["url"].isna().all()
    assert tidy["source"].tolist() == ["unknown"]
    kinds = tidy.astype({"symbol": "category", "likes": "Int64"})
    assert validate_facts("news", kinds, where="here")["symbol"].tolist() == ["AAA"]


def test_a_sighting_may_be_stated_for_some_rows_only() -> None:
    frame = frame_of("news", seen_at=utc("2020-04-01"))
    assert validate_facts("news", frame, where="here")["seen_at"].isna().tolist() == [True, False]


@pytest.mark.parametrize("value", [pd.NaT, pd.Timestamp("2020-01-01"), "2020-01-01", None, 5])
def test_an_instant_is_aware_or_refused(value: Any) -> None:
    with pytest.raises(DataError, match=r"^the edge"):
        instant_of(value, "the edge")


def test_repeated_labels_do_not_move_an_instant_to_another_row() -> None:
    frame = frame_of("news").assign(seen_at=[utc("2020-03-06"), pd.NaT])
    frame.index = pd.Index([0, 0])
    tidy = validate_facts("news", frame, where="here")
    assert tidy["seen_at"].isna().tolist() == [False, True]
    assert list(tidy.index) == [0, 0]


def test_columns_named_by_numbers_are_named_by_texts() -> None:
    tidy = validate_facts("news", frame_of("news").assign(x=1).rename(columns={"x": 0}), where="here")
    assert tidy["0"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": "cut \ud83d"}, "column 'text' holds .*half of a character"),
        ({"note": "cut \ud83d"}, "column 'note' holds .*half of a character"),
        ({"#next": "x"}, r"derives columns named \['#next'\]"),
    ],
)
def test_what_cannot_be_kept_is_refused(changes: dict[str, Any], message: str) -> None:
    values = pd.Series(list(changes.values()) * 2, dtype="object", index=["first", "second"])
    with pytest.raises(DataError, match=message):
        validate_facts("news", frame_of("news").assign(**{next(iter(changes)): values}), where="here")


def test_an_instant_far_from_any_calendar_is_refused() -> None:
    when = pd.Series(np.array([400_000_000_000] * 2, dtype="datetime64[s]"), index=["first", "second"])
    with pytest.raises(DataError, match="published_at: an instant lies outside the years 1 to 9999"):
        validate_facts("news", frame_of("news").assign(published_at=when.dt.tz_localize("UTC")), where="here")
