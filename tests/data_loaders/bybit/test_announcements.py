"""Announcements as news: dated by their publication, seen now, under the symbols they name."""

from __future__ import annotations

import pandas as pd
import pytest
from servers.bybit_service import NOW, BybitService, redirect

from embargo.data_loaders.bybit.announcements import VENUE_WIDE, named_symbols
from embargo.data_loaders.bybit.connection import connect
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.retries import Patience
from embargo.data_loaders.schemas import validate_news

SEEN = pd.Timestamp(NOW, unit="ms", tz="UTC").as_unit("us")
QUICK = Patience(attempts=2, first_wait=0.0, timeout=2.0, deadline=5.0)


@pytest.fixture
def service():
    with BybitService() as running, redirect(running.url):
        yield running


def fetch(**more):
    return connect(patience=QUICK).fetch_announcements(now=SEEN, **more)


def test_every_page_is_read_and_becomes_valid_news(service):
    result = fetch()
    validate_news(result.news)
    assert result.counts == {
        "received": 55,
        "articles": 54,
        "repeated": 0,
        "undated": 1,
        "blank": 0,
        "dated_by_author": 1,
        "before_since": 0,
        "venue_wide": 2,
    }
    assert (result.news["seen_at"] == SEEN).all()
    assert result.news["source"].unique().tolist() == ["bybit"]
    assert result.news["published_at"].is_monotonic_increasing
    assert [int(request.query["page"]) for request in service.asked("/v5/announcements/index")] == [1, 2, 3, 4]
    assert {request.query["locale"] for request in service.asked("/v5/announcements/index")} == {"en-US"}


def test_publication_is_when_bybit_put_it_out_not_what_the_author_typed(service):
    news = fetch().news.set_index("article_id")
    listing = news.loc["bybit/en-US/blt0000000000000001"]
    assert listing["published_at"] == pd.Timestamp("2024-02-29 12:00", tz="UTC")
    assert listing["dated_by"] == "publishTime"
    assert listing["symbol"] == "LATEUSDT"
    assert listing["type"] == "new_crypto"
    assert listing["tags"] == "Spot|Spot Listings"
    assert listing["url"].startswith("https://announcements.bybit.com/")
    title, description = listing["text"].split("\n")
    assert title.startswith("New listing: LATEUSDT")
    assert description == "What you need to know about it, number 1."
    unpublished = news.loc["bybit/en-US/blt0000000000000003"]
    assert (unpublished["dated_by"], unpublished["symbol"]) == ("dateTimestamp", VENUE_WIDE)
    assert unpublished["published_at"] == pd.Timestamp("2024-02-27 07:00", tz="UTC")


def test_an_undated_announcement_is_set_aside(service):
    result = fetch()
    assert result.undated["article_id"].tolist() == ["bybit/en-US/blt0000000000000004"]
    assert result.undated["text"].iloc[0].startswith("An announcement without any date")
    assert "bybit/en-US/blt0000000000000004" not in set(result.news["article_id"])


def test_an_announcement_with_two_symbols_has_two_rows(service):
    news = fetch().news
    rows = news[news["article_id"] == "bybit/en-US/blt0000000000000002"]
    assert sorted(rows["symbol"]) == ["BTCUSDT", "GONEUSDT"]
    assert len(set(rows["text"])) == 1


def test_pages_end_where_the_wanted_time_begins(service):
    since = pd.Timestamp("2024-02-20 21:00", tz="UTC")
    result = fetch(since=since)
    assert result.news["published_at"].min() == since
    assert len(service.asked("/v5/announcements/index")) == 2
    everything = fetch().news
    expected = everything[everything["published_at"] >= since].reset_index(drop=True)
    pd.testing.assert_frame_equal(result.news, expected)


def test_an_edited_title_keeps_its_identity_and_a_translation_gets_its_own(service):
    before = set(fetch().news["article_id"])
    for post in service.announcements:
        post["title"] += " (updated)"
        post["url"] = post["url"].replace("some-title", "another-title")
    assert set(fetch().news["article_id"]) == before
    assert set(fetch(locale="zh-TW").news["article_id"]).isdisjoint(before)


def test_a_post_that_comes_in_between_two_pages_is_met_twice_and_kept_once(service):
    original = service._posts
    asked = []

    def shifting(query):
        asked.append(query["page"])
        if len(asked) == 2:
            service.announcements.insert(0, dict(service.announcements[0], url="https://x/blt00000000000000ff"))
        return original(query)

    service._posts = shifting
    result = fetch()
    assert result.counts["repeated"] == 1
    assert result.counts["articles"] == 54


def test_a_page_that_never_advances_ends(service):
    original = service._posts
    service._posts = lambda query: original({**query, "page": "1"})
    result = fetch()
    assert result.counts["articles"] == 19
    assert len(service.asked("/v5/announcements/index")) == 2


def test_broken_rows_are_counted_not_raised(service):
    service.announcements[:] = [
        {"title": None, "description": "", "publishTime": NOW, "url": "a"},
        {"title": "Dated nonsense", "publishTime": "soon", "dateTimestamp": None, "url": "b"},
        {"title": "Far away", "publishTime": 10**30, "url": "c"},
        {"title": "Only a title", "publishTime": str(NOW), "type": "text", "tags": None},
        "no row at all",
    ]
    result = fetch()
    assert result.counts["blank"] == 1
    assert result.counts["undated"] == 2
    assert result.news["text"].tolist() == ["Only a title"]
    assert result.news[["url", "type", "tags"]].iloc[0].tolist() == ["", "text", ""]


def test_no_announcement_at_all_is_an_empty_frame(service):
    service.announcements.clear()
    result = fetch()
    assert result.news.empty
    assert result.news["published_at"].dtype == "datetime64[us, UTC]"


@pytest.mark.parametrize(
    ("title", "symbols"),
    [
        ("New listing: ABCUSDT perpetual", ["ABCUSDT"]),
        ("ABC/USDT and ABCUSDT are one", ["ABCUSDT"]),
        ("Listing of ABC/USDT, XYZUSDT", ["ABCUSDT", "XYZUSDT"]),
        ("(ABCUSDT): delisting", ["ABCUSDT"]),
        ("ABC goes up", [VENUE_WIDE]),
        ("NABCUSDT is another thing", [VENUE_WIDE]),
        ("Win 1,000 USDT!", [VENUE_WIDE]),
        ("", [VENUE_WIDE]),
    ],
)
def test_symbols_named_in_a_title(title, symbols):
    assert named_symbols(title, {"ABCUSDT", "XYZUSDT"}) == symbols


def test_a_locale_is_written_as_bybit_writes_it():
    with pytest.raises(ConfigError, match="locale 'english'"):
        fetch(locale="english")
