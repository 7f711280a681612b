"""A minority of stamps by another clock: moved rows, articles under two stamps, defaults."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import check_mixed_clocks, clocks
from embargo.data_loaders.errors import DataError
from embargo.research.benchmarks.clock_power import make_world
from embargo.research.benchmarks.stamp_power import MINORITIES, with_copies

HOUR = pd.Timedelta(hours=1)


@pytest.fixture(scope="module")
def feed() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    return with_copies(make_world("XNYS", "clear night", "none", rng).news, rng)


def _planted(feed: pd.DataFrame, name: str, seed: int = 0) -> pd.DataFrame:
    return MINORITIES[name](feed, "XNYS", np.random.default_rng(seed))


def test_one_clock_passes_and_says_what_would_have_shown(feed):
    finding = check_mixed_clocks(feed, "XNYS")
    assert (finding.verdict, finding.effect) == ("pass", 0.0)
    assert "of the rows moved by one distance would have shown" in finding.detail


@pytest.mark.parametrize("share", [0.2, 0.3, 0.5])
@pytest.mark.parametrize("hours", [-5, 2, 8])
def test_a_part_moved_by_some_hours_has_an_echo_there(feed, share, hours):
    moved = np.random.default_rng(1).random(len(feed)) < share
    at = feed["published_at"]
    finding = check_mixed_clocks(feed.assign(published_at=at.where(~moved, at + hours * HOUR)), "XNYS")
    assert finding.verdict == "suspicious"
    assert f"moved by {abs(hours)} h" in finding.detail
    assert finding.effect == pytest.approx(min(share, 1 - share), abs=0.12)
    assert "guess" in finding.remedy
    for row in finding.evidence:
        gap = pd.Timestamp(row["later"]["published_at"]) - pd.Timestamp(row["earlier"]["published_at"])
        assert gap / HOUR == pytest.approx(abs(hours), abs=0.2)
        assert row["earlier"]["article_id"] != row["later"]["article_id"]


def test_half_the_stamps_without_their_zone_have_an_echo_at_four_or_five_hours(feed):
    finding = check_mixed_clocks(_planted(feed, "zone dropped on half"), "XNYS")
    assert finding.verdict == "suspicious"
    assert "moved by 4 h" in finding.detail or "moved by 5 h" in finding.detail


def test_bursts_of_a_symbol_tell_where_there_are_no_texts(feed):
    bursts = feed.drop(columns="text").assign(symbol=feed["text"])
    assert check_mixed_clocks(bursts, "XNYS").verdict == "pass"
    finding = check_mixed_clocks(_planted(bursts, "30 % moved"), "XNYS")
    assert finding.verdict == "suspicious"
    assert "bursts of news of one symbol" in finding.detail


@pytest.mark.parametrize("hours", [3, 8])
def test_a_schedule_is_no_second_clock(feed, hours):
    """The same text goes out again some hours later, every day at the same two times."""
    days = pd.date_range("2016-01-04 12:00", "2017-12-29", freq="D", tz="UTC")
    often = pd.DataFrame(
        {
            "published_at": [*days, *(days + hours * HOUR)],
            "article_id": [f"s{place}" for place in range(2 * len(days))],
            "text": "the desk is open",
            "symbol": "S00",
        }
    )
    assert check_mixed_clocks(pd.concat([feed, often], ignore_index=True), "XNYS").verdict == "pass"


def test_a_flood_of_one_day_is_no_second_clock(feed):
    """Three thousand copies on two evenings, five hours apart."""
    start = pd.Timestamp("2016-05-10 13:00", tz="UTC")
    at = [start + shift + pd.Timedelta(seconds=place) for shift in (0 * HOUR, 5 * HOUR) for place in range(300)]
    flood = pd.DataFrame({"published_at": at, "article_id": [f"f{place}" for place in range(600)], "symbol": "S00"})
    finding = check_mixed_clocks(pd.concat([feed, flood.assign(text="flood")], ignore_index=True), "XNYS")
    assert finding.verdict in {"pass", "inconclusive"}


def test_single_articles_cannot_tell(feed):
    finding = check_mixed_clocks(feed[~feed["article_id"].str.startswith("c")], "XNYS")
    assert finding.verdict == "inconclusive"
    assert "too few copies" in finding.detail
    assert check_mixed_clocks(feed.head(50), "XNYS").verdict == "inconclusive"
    assert check_mixed_clocks(feed.head(0), "XNYS").verdict == "not-applicable"


def test_articles_under_two_stamps_are_a_leak(feed):
    again = feed.head(400).assign(symbol="other")
    whole = pd.concat([feed, again], ignore_index=True)
    assert check_mixed_clocks(whole, "XNYS").verdict == "pass"
    moved = (np.arange(len(whole)) >= len(feed)) & (np.arange(len(whole)) % 4 == 0)
    finding = check_mixed_clocks(
        whole.assign(published_at=whole["published_at"].where(~moved, whole["published_at"] + 5 * HOUR)), "XNYS"
    )
    assert finding.verdict == "leak"
    assert "exactly 5 h apart" in finding.detail
    gap = pd.Timestamp(finding.evidence[0]["and_at"]) - pd.Timestamp(finding.evidence[0]["published_at"])
    assert gap == 5 * HOUR
    # Seen again at no particular distance, as with another feed of the same articles.
    late = pd.to_timedelta(np.random.default_rng(0).integers(1, 20_000, len(whole)), unit="s")
    resent = whole.assign(published_at=whole["published_at"].where(~moved, whole["published_at"] + late))
    assert check_mixed_clocks(resent, "XNYS").verdict != "leak"


@pytest.mark.parametrize("name", ["default minute on 30 %", "default hour on 30 %"])
def test_a_default_time_piles_up(feed, name):
    finding = check_mixed_clocks(_planted(feed, name), "XNYS")
    assert finding.verdict == "suspicious"
    assert finding.effect == pytest.approx(0.33, abs=0.06)
    assert len(finding.evidence) == 5
    assert finding.evidence[0]["article_id"] in finding.detail
    assert finding.interval[0] < finding.effect < finding.interval[1]


def test_a_default_of_one_source_is_named_and_one_that_waits_is_in_order(feed):
    mixed = feed.assign(source=np.where(np.arange(len(feed)) % 8 == 0, "blog", "wire"))
    default = (mixed["source"] == "blog") & (np.random.default_rng(0).random(len(feed)) < 0.5)
    stamp = mixed["published_at"].dt.normalize() + 9 * HOUR
    piled = mixed.assign(published_at=mixed["published_at"].where(~default, stamp))
    finding = check_mixed_clocks(piled, "XNYS")
    assert finding.verdict == "suspicious"
    assert "of blog" in finding.detail
    assert {row["source"] for row in finding.evidence} == {"blog"}
    held = piled["published_at"].where(~default, stamp + 24 * HOUR)
    assert check_mixed_clocks(piled.assign(known_at=held), "XNYS").verdict == "pass"


@pytest.mark.parametrize("form", ["h", "min"])
def test_coarse_stamps_are_no_default(feed, form):
    assert check_mixed_clocks(feed.assign(published_at=feed["published_at"].dt.floor(form)), "XNYS").verdict != "leak"
    coarse = check_mixed_clocks(feed.assign(published_at=feed["published_at"].dt.floor(form)), "XNYS")
    assert "default" not in coarse.detail


def test_naive_stamps_are_refused(feed):
    with pytest.raises(DataError, match="no time zone"):
        check_mixed_clocks(feed.assign(published_at=feed["published_at"].dt.tz_localize(None)), "XNYS")
    with pytest.raises(DataError, match="published_at"):
        check_mixed_clocks(feed.drop(columns="published_at"), "XNYS")


@pytest.mark.real_data
def test_a_true_archive_passes_whole_and_in_quarters(real_data):
    news = pd.read_parquet(real_data / "stocknet_news.parquet").rename(columns={"id": "article_id"})
    news = news[news["cashtag_match"]]
    quarters = news.groupby(news["published_at"].dt.tz_localize(None).dt.to_period("Q"))
    for part in (news, *(part for _, part in quarters if len(part) > 200)):
        assert check_mixed_clocks(part, "XNYS").verdict == "pass"
    once = news.drop_duplicates("article_id")
    moved = np.random.default_rng(0).random(len(once)) < 0.3
    finding = check_mixed_clocks(
        once.assign(published_at=once["published_at"].where(~moved, once["published_at"] - 5 * HOUR)), "XNYS"
    )
    assert finding.verdict == "suspicious"
    assert "moved by 5 h" in finding.detail


def test_dates_alone_are_not_asked():
    at = pd.date_range("2024-03-01", periods=30, freq="D", tz="UTC")
    finding = check_mixed_clocks(pd.DataFrame({"published_at": at}), "24/7")
    assert (finding.verdict, finding.detail) == ("not-applicable", "All stamps are dates, not times.")


@pytest.mark.parametrize("top", [5, 500, 717, 1434])
def test_a_full_minute_stands_alone(top):
    """Beside a second favourite that is a third as full, it is a release, not a default."""
    minutes = np.concatenate([np.arange(1440), np.full(600, top)])
    assert clocks._full_minute(minutes) == (top, top + 1)
    with_one_less = np.concatenate([minutes, np.full(199, (top + 400) % 1440)])
    assert clocks._full_minute(with_one_less) == (top, top + 1)
    with_rival = np.concatenate([minutes, np.full(201, (top + 400) % 1440)])
    assert clocks._full_minute(with_rival) == (0.0, 0.0)


@pytest.mark.parametrize(("shift", "block"), [(0, (840, 900)), (10, (0, 0)), (-10, (0, 0)), (20, (0, 0))])
def test_a_full_hour_has_two_sharp_edges(shift, block):
    """The same flood, of which a sixth or a third lies in the hour beside, is people at work."""
    everywhere, flood = np.tile(np.arange(1440), 2), np.repeat(np.arange(841, 900), 60)
    assert clocks._full_hour(np.concatenate([everywhere, flood + shift])) == block


def test_the_share_that_was_moved_is_none_to_all():
    # Half of the rows give one mixed pair for one that is left; beyond that no share explains an echo.
    assert clocks._moved(0.0) == 0.0
    assert clocks._moved(-1.0e-9) == 0.0
    assert clocks._moved(0.375 / 0.625) == pytest.approx(0.25)
    assert clocks._moved(1.0) == clocks._moved(5.0) == 1.0


def test_a_full_minute_and_a_full_hour_are_told_apart(feed):
    assert "in this one minute" in check_mixed_clocks(_planted(feed, "default minute on 30 %"), "XNYS").detail
    hour = check_mixed_clocks(_planted(feed, "default hour on 30 %"), "XNYS").detail
    assert "in this hour, which begins and ends abruptly" in hour


def test_sources_are_named_where_the_two_clocks_are_theirs(feed):
    moved = np.random.default_rng(1).random(len(feed)) < 0.3
    at = feed["published_at"].where(~moved, feed["published_at"] + 5 * HOUR)
    told = check_mixed_clocks(feed.assign(published_at=at, source=np.where(moved, "blog", "wire")), "XNYS").detail
    assert " The earlier and the later stamps are mostly of wire (" in told
    assert " and blog (" in told
    alone = check_mixed_clocks(feed.assign(published_at=at, source="wire"), "XNYS").detail
    assert "articles. Which of the two is right" in alone
