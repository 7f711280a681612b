"""Yahoo's news in both forms, through the real yfinance package."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers.yahoo_service import YahooService, flat, nested, redirect

from embargo.data_loaders import yahoo
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.retries import Patience
from embargo.data_loaders.yahoo.news import read_items

NOW = pd.Timestamp("2025-03-03 15:00:00.25", tz="UTC")
QUICK = Patience(attempts=2, first_wait=0.01, timeout=10, deadline=20)


@pytest.fixture
def service() -> Iterator[YahooService]:
    with YahooService([], now=NOW) as server, redirect(server.url):
        yield server


def test_the_nested_and_the_flat_form_give_the_same_rows(service):
    instant = pd.Timestamp("2025-03-01 12:30", tz="UTC")
    service.publish("AAPL", nested("u-1", "Apple soars", "2025-03-01T12:30:00Z", "AAPL", "MSFT"))
    first = yahoo.fetch_news(["AAPL"], now=NOW, patience=QUICK).news
    service.publish("MSFT", flat("u-1", "Apple soars", int(instant.timestamp()), "AAPL", "MSFT"))
    second = yahoo.fetch_news(["MSFT"], now=NOW, patience=QUICK).news
    assert first["symbol"].tolist() == ["AAPL", "MSFT"]
    pd.testing.assert_frame_equal(first.drop(columns="displayed_at"), second.drop(columns="displayed_at"))
    row = first.iloc[0]
    assert row["article_id"] == "u-1"
    assert row["published_at"] == instant
    assert row["seen_at"] == NOW
    assert (row["source"], row["publisher"], row["url"]) == (
        "yahoo",
        "Example Wire",
        "https://finance.example.com/u-1.html",
    )
    assert second["displayed_at"].isna().all()


def test_related_symbols_that_are_no_list_are_none(service):
    service.publish("AAPL", flat("u-1", "Apple soars", 1740832200) | {"relatedTickers": 5})
    assert yahoo.fetch_news(["AAPL"], now=NOW, patience=QUICK).news["symbol"].tolist() == ["AAPL"]


def test_text_is_title_and_summary_and_the_instant_shown_is_kept_apart(service):
    service.publish(
        "AAPL",
        nested(
            "u-1",
            "Apple soars",
            "2025-03-01T14:30:00+02:00",
            summary="It rose.",
            displayTime="2025-03-02T08:00:00Z",
        ),
    )
    row = yahoo.fetch_news(["AAPL"], now=NOW, patience=QUICK).news.iloc[0]
    assert row["text"] == "Apple soars\nIt rose."
    assert row["published_at"] == pd.Timestamp("2025-03-01 12:30", tz="UTC")
    assert row["displayed_at"] == pd.Timestamp("2025-03-02 08:00", tz="UTC")
    assert row["symbol"] == "AAPL"


def test_an_article_under_several_symbols_is_one_row_per_symbol(service):
    article = nested("u-1", "Chips", "2025-03-01T12:30:00Z", "NVDA", "amd")
    service.publish("AAPL", article)
    service.publish("MSFT", article, nested("u-2", "Clouds", "2025-03-01T11:00:00Z", "MSFT"))
    found = yahoo.fetch_news(["AAPL", "MSFT"], now=NOW, patience=QUICK)
    assert found.news[["article_id", "symbol"]].to_numpy().tolist() == [
        ["u-1", "AAPL"], ["u-1", "AMD"], ["u-1", "MSFT"], ["u-1", "NVDA"], ["u-2", "MSFT"],
    ]  # fmt: skip
    assert found.counts["repeated"] == 1
    assert found.counts["articles"] == 2


def test_what_cannot_be_used_is_counted_not_guessed(service):
    service.publish(
        "AAPL",
        {"id": "ad", "ad": [{"x": 1}], "content": {"title": "Buy", "pubDate": "2025-03-01T12:30:00Z"}},
        nested("u-1", " ", "2025-03-01T12:30:00Z"),
        nested("u-2", "No date", None),
        nested("u-3", "No zone", "2025-03-01T12:30:00"),
        nested("u-4", "No instant", "yesterday"),
        flat("u-5", "Milliseconds", 1740832200000),
        nested("", "No id", "2025-03-01T12:30:00Z", id=""),
        nested("u-7", "Good", "2025-03-01T12:30:00Z"),
    )
    found = yahoo.fetch_news(["AAPL"], now=NOW, patience=QUICK)
    assert found.news["article_id"].tolist() == ["u-7"]
    assert found.counts == {
        "symbols": 1, "failed": 0, "items": 8, "ads": 1, "untitled": 1, "undated": 4, "without_id": 1,
        "repeated": 0, "articles": 1, "rows": 1,
    }  # fmt: skip


def test_no_news_is_an_empty_frame_of_the_same_form(service):
    service.publish("MSFT", nested("u-1", "Clouds", "2025-03-01T11:00:00Z", "MSFT"))
    found = yahoo.fetch_news(["MSFT"], now=NOW, patience=QUICK).news
    none = yahoo.fetch_news(["QUIET"], now=NOW, patience=QUICK)
    assert none.failures == {}
    assert none.news.empty
    assert none.news.dtypes.to_dict() == found.dtypes.to_dict()


def test_the_number_of_articles_is_asked_for(service):
    service.publish("MSFT", *[nested(f"u-{n}", f"Title {n}", "2025-03-01T11:00:00Z") for n in range(60)])
    assert len(yahoo.fetch_news(["MSFT"], now=NOW, count=55, patience=QUICK).news) == 55


def test_a_second_fetch_in_one_process_sees_what_is_new(service):
    service.publish("MSFT", nested("u-1", "Clouds", "2025-03-01T11:00:00Z"))
    assert len(yahoo.fetch_news(["MSFT"], now=NOW, patience=QUICK).news) == 1
    service.publish("MSFT", nested("u-2", "More clouds", "2025-03-01T12:00:00Z"))
    assert len(yahoo.fetch_news(["MSFT"], now=NOW, patience=QUICK).news) == 2


def test_a_naive_now_and_no_articles_are_refused():
    with pytest.raises(ConfigError, match="no time zone"):
        yahoo.fetch_news(["MSFT"], now=pd.Timestamp("2025-01-01"))
    with pytest.raises(ConfigError, match="count"):
        yahoo.fetch_news(["MSFT"], now=NOW, count=0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = [
    "id",
    "uuid",
    "title",
    "content",
    "pubDate",
    "providerPublishTime",
    "relatedTickers",
    "ad",
    "summary",
    "finance",
]
ITEMS = st.dictionaries(st.sampled_from(NAMES), JSON | st.dictionaries(st.sampled_from(NAMES), JSON), max_size=8)


def test_an_instant_in_a_zone_that_is_read_both_ways_is_undated():
    items = [nested(f"u-{n}", "Apple soars", at, "AAPL") for n, at in enumerate(("2025-03-01 12:30 GMT+8", "now"))]
    _, counts = read_items([("AAPL", item) for item in items], now=NOW)
    assert counts["undated"] == 2


@settings(max_examples=60)
@given(st.lists(ITEMS, max_size=6))
def test_whatever_is_served_every_item_is_accounted_for(items):
    news, counts = read_items([("AAPL", item) for item in items], now=NOW)
    aside = ("ads", "untitled", "undated", "without_id", "repeated")
    assert counts["items"] == len(items) == counts["articles"] + sum(counts[name] for name in aside)
    assert not news.duplicated(["article_id", "symbol"]).any()
