"""History that was filled in is named, what was read before it was seen is proof; outages are neither."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import check_backfill
from embargo.data_loaders.errors import DataError


@pytest.fixture
def feed() -> pd.DataFrame:
    at = pd.Series(pd.date_range("2014-01-01", periods=2000, freq="5h", tz="UTC")).dt.as_unit("us")
    delay = pd.to_timedelta(np.random.default_rng(0).exponential(600.0, 2000), unit="s").floor("us")
    frame = pd.DataFrame({"article_id": [f"a{n}" for n in range(2000)], "published_at": at, "seen_at": at + delay})
    return frame.assign(known_at=frame["seen_at"])


def loaded(feed: pd.DataFrame, rows: slice, on: str) -> pd.DataFrame:
    at = pd.Timestamp(on, tz="UTC")
    seen = feed["seen_at"].copy()
    seen.iloc[rows] = at
    return feed.assign(seen_at=seen, known_at=seen.where(seen > feed["published_at"], feed["published_at"]))


def test_a_feed_passes_also_after_an_outage(feed):
    assert check_backfill(feed).verdict == "pass"
    # Ten days of news came at once, after the feed had been down.
    outage = loaded(feed, slice(500, 548), str(feed["published_at"].iloc[548].date()))
    assert check_backfill(outage).verdict == "pass"


@pytest.mark.parametrize("share", [0.2, 0.05])
def test_a_history_loaded_on_one_day_is_named(feed, share):
    found = check_backfill(loaded(feed, slice(0, int(2000 * share)), "2015-06-01"))
    assert found.verdict == "suspicious"
    assert "2015-06-01" in found.detail
    assert found.evidence[0]["article_id"] == "a0"
    assert found.effect == pytest.approx(share, abs=0.001)


@pytest.mark.parametrize("count", [1, 100])
def test_what_is_read_before_it_was_seen_is_proof(feed, count):
    known = feed["known_at"].where(feed.index >= count, feed["published_at"])
    found = check_backfill(feed.assign(known_at=known))
    assert found.verdict == "leak"
    assert found.effect == pytest.approx(count / 2000)
    assert found.evidence[0]["seen_at"] > found.evidence[0]["known_at"]


def test_later_versions_under_the_first_date_are_named(feed):
    revised = feed.assign(revision=np.arange(2000) % 10 == 0, seen_at=feed["published_at"])
    assert check_backfill(revised.astype({"revision": int})).verdict == "suspicious"
    assert check_backfill(feed.assign(revision=revised["revision"].astype(int))).verdict == "pass"


def test_an_archive_that_does_not_say_is_not_judged(feed):
    silent = feed.assign(seen_at=feed["published_at"], known_at=feed["published_at"])
    assert check_backfill(silent).verdict == "not-applicable"
    with pytest.raises(DataError):
        check_backfill(silent.drop(columns="seen_at"))
