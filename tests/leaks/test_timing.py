from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from samples import leak_worlds as worlds

from embargo.backtest.leakage import check_time_zones, check_tradable_instants
from embargo.data_loaders.checks.clock_evidence import judge_clock
from embargo.data_loaders.errors import DataError


@pytest.fixture(scope="module")
def world() -> worlds.World:
    return worlds.make_world(5, n_bars=400, per_bar=1.0)


def _instants(world, articles, **options):
    prices = world.prices
    return check_tradable_instants(
        articles, world.decided_at, prices.open_at, prices.close_at, zone=worlds.NEW_YORK, **options
    )


def _clock(world, hours=0, *, prices=True):
    news = world.news.assign(published_at=world.news["published_at"] + hours * worlds.HOUR)
    return check_time_zones(news, "XNYS", prices=world.prices if prices else None)


@pytest.mark.parametrize("prices", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_right_clock_passes(seed, prices):
    assert _clock(worlds.make_world(seed), prices=prices).verdict == "pass"


@pytest.mark.parametrize("hours", [-5, -4, 5, 9])
@pytest.mark.parametrize("seed", range(3))
def test_wrong_clock_is_suspicious(hours, seed):
    finding = _clock(worlds.make_world(seed), hours)
    assert finding.verdict == "suspicious"
    assert ("early" in finding.detail) == (hours < 0)
    assert ("no look-ahead" in finding.remedy) == (hours > 0)
    assert "Only if they name another zone" in finding.remedy
    assert np.sign(finding.effect) == -np.sign(hours)


def test_a_judgement_made_before_is_not_made_again_but_stamps_without_a_zone_are_a_leak_all_the_same(world):
    late = world.news.assign(published_at=world.news["published_at"] + 9 * worlds.HOUR)
    judged = judge_clock(late, calendar="XNYS", prices=world.prices)
    assert check_time_zones(world.news, "XNYS", judgement=judged) == _clock(world, 9)
    naive = world.news.assign(published_at=world.news["published_at"].dt.tz_localize(None))
    assert check_time_zones(naive, "XNYS", judgement=judged).verdict == "leak"


@pytest.mark.parametrize("hours", [-5, -4, -3, 3, 4])
def test_hours_alone_neither_pass_nor_doubt_a_night_some_hours_off(world, hours):
    assert _clock(world, hours, prices=False).verdict in {"inconclusive"} | ({"pass"} if abs(hours) == 3 else set())


def test_local_time_passed_off_as_utc_is_suspicious(world):
    local = world.news["published_at"].dt.tz_convert(worlds.NEW_YORK).dt.tz_localize(None).dt.tz_localize("UTC")
    assert check_time_zones(world.news.assign(published_at=local), "XNYS", prices=world.prices).verdict == "suspicious"


@pytest.mark.parametrize("calendar", ["XNYS", "24/7"])
@pytest.mark.parametrize("kind", ["dtype", "half the rows", "text", "dates"])
def test_stamps_without_a_zone_are_a_leak(world, kind, calendar):
    aware = world.news["published_at"]
    naive = aware.dt.tz_localize(None)
    stamps = {
        "dtype": naive,
        "half the rows": pd.Series(
            [a if i % 2 else n for i, (a, n) in enumerate(zip(aware, naive, strict=True))], dtype=object
        ),
        "text": naive.astype(str),
        "dates": aware.dt.strftime("%Y-%m-%d"),
    }[kind]
    finding = check_time_zones(stamps.to_frame(name="published_at"), calendar)
    assert finding.verdict == "leak"
    assert finding.effect == pytest.approx(0.5 if kind == "half the rows" else 1.0, abs=0.01)
    assert finding.evidence


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S%z"])
def test_text_with_an_offset_is_read(world, form):
    written = world.news.assign(published_at=world.news["published_at"].dt.strftime(form))
    assert check_time_zones(written, "XNYS").verdict == "pass"


@pytest.mark.parametrize("zone", [" GMT+8", " GMT+08:00", "UTC+0800", " utc-5", " GMT + 8"])
def test_a_zone_that_is_read_both_ways_is_none(world, zone):
    written = world.news["published_at"].dt.strftime("%Y-%m-%d %H:%M") + zone
    finding = check_time_zones(world.news.assign(published_at=written), "XNYS")
    assert (finding.verdict, finding.effect) == ("leak", 1.0)
    assert "read both ways, such as GMT+8" in finding.detail


def test_a_day_and_a_month_that_may_be_either_are_not_chosen(world):
    slashes = world.news.assign(published_at=world.news["published_at"].dt.strftime("%d/%m/%Y %H:%M+00:00"))
    with pytest.raises(DataError, match=r"published_at, row .* is no ISO 8601 time"):
        check_time_zones(slashes, "XNYS")


def test_flat_or_thin_rhythm_is_inconclusive(world):
    rng = np.random.default_rng(0)
    flat = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 10**7, 5000), unit="s")
    finding = check_time_zones(pd.DataFrame({"published_at": flat}), "XNYS")
    assert finding.verdict == "inconclusive"
    assert "too evenly" in finding.detail
    few = world.news.iloc[:50]
    assert check_time_zones(few, "XNYS").verdict == "inconclusive"
    assert check_time_zones(few.iloc[:0], "XNYS").verdict == "not-applicable"
    with pytest.raises(DataError, match="published_at"):
        check_time_zones(few.drop(columns="published_at"), "XNYS")


def test_midnight_pile_round_the_clock(world):
    stamps = world.news["published_at"]
    plain = stamps.to_frame()
    assert check_time_zones(plain, "24/7").verdict == "inconclusive"
    piled = stamps.where(np.arange(len(stamps)) % 20 != 0, stamps.dt.floor("D")).to_frame()
    finding = check_time_zones(piled, "24/7")
    assert finding.verdict == "suspicious"
    assert finding.effect == pytest.approx(0.05, abs=0.005)
    at = piled["published_at"]
    held_back = piled.assign(known_at=at.where(at != stamps.dt.floor("D"), at + pd.Timedelta(days=1)))
    assert check_time_zones(held_back, "24/7").verdict == "inconclusive"


def test_stamps_on_every_full_hour_are_no_midnight_pile(world):
    on_the_hour = world.news["published_at"].dt.floor("h").to_frame()
    assert "midnight" not in check_time_zones(on_the_hour, "24/7").detail


def test_honest_alignment_passes_and_counts_what_waits(world):
    articles = worlds.as_articles(world)
    never = int((articles["row"] >= len(world.decided_at)).sum())
    articles.loc[articles.index[:3], "row"] += 2
    finding = _instants(world, articles)
    assert finding.verdict == "pass"
    assert "3 wait longer" in finding.detail
    assert f"{never} never reach" in finding.detail


def test_merge_by_date_is_a_leak_with_example_rows(world):
    articles = worlds.as_articles(world, worlds.rows_by_date(world.news, world.prices))
    finding = _instants(world, articles)
    assert finding.verdict == "leak"
    assert finding.effect > 0.5
    row = finding.evidence[0]
    assert row["first_allowed_row"] > row["row"]
    assert row["hours_too_early"] > 0
    told = re.search(r"^(\d+) of .*: (\d+) came after .* close, (\d+) while .* trading, (\d+) between", finding.detail)
    count, *parts = map(int, told.groups())
    assert (sum(parts), parts[0] > 0) == (count, True)
    early = pd.Timestamp(row["known_at"]) - pd.Timestamp(row["decided_at"])
    assert row["hours_too_early"] == pytest.approx(early / pd.Timedelta(hours=1), abs=0.01)


def test_one_article_a_microsecond_too_late_is_a_leak_and_on_the_dot_is_not(world):
    articles = worlds.as_articles(world)
    place = articles.index[articles["row"] == 50][0]
    articles.loc[place, ["published_at", "known_at"]] = world.decided_at[50]
    assert _instants(world, articles).verdict == "pass"
    articles.loc[place, "known_at"] = world.decided_at[50] + pd.Timedelta(microseconds=1)
    finding = _instants(world, articles)
    assert (finding.verdict, len(finding.evidence)) == ("leak", 1)
    assert finding.evidence[0]["first_allowed_row"] == 51


def test_known_before_published_is_a_leak(world):
    articles = worlds.as_articles(world)
    articles.loc[7, "known_at"] = articles.loc[7, "published_at"] - worlds.HOUR
    assert _instants(world, articles).verdict == "leak"


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
@pytest.mark.parametrize(("dose", "verdict"), [(1.0, "leak"), (0.2, "leak"), (0.02, "suspicious")])
def test_dates_without_a_time_traded_before_their_day_ends(world, zone, dose, verdict):
    dated = np.random.default_rng(0).random(len(world.news)) < dose
    midnight = world.news["published_at"].dt.tz_convert(zone).dt.normalize().dt.tz_convert("UTC")
    articles = worlds.as_articles(world)
    for name in ("published_at", "known_at"):
        articles[name] = articles[name].where(~dated, midnight)
    articles["row"] = worlds.first_rows(articles["known_at"], world.decided_at)
    assert _instants(world, articles).verdict == verdict
    articles["known_at"] = articles["known_at"].where(~dated, articles["published_at"] + pd.Timedelta(days=1))
    articles["row"] = worlds.first_rows(articles["known_at"], world.decided_at)
    assert _instants(world, articles).verdict == "pass"


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("drift", [0.0, 0.002])
def test_event_study_is_silent_on_honest_stamps(seed, drift):
    world = worlds.make_world(seed, n_bars=400, per_bar=1.0, drift=drift)
    articles = worlds.as_articles(world)
    finding = _instants(world, articles, effects=worlds.as_effects(world, articles["row"].to_numpy()))
    assert finding.verdict == "pass"


@pytest.mark.parametrize("seed", range(3))
def test_late_items_stamped_before_the_open_stand_out(seed):
    world = worlds.make_world(seed, n_bars=400, per_bar=1.0)
    local = world.news["published_at"].dt.tz_convert(worlds.NEW_YORK)
    late = (local.dt.hour >= 16) & (local.dt.hour < 20)
    early = (local.dt.normalize() + 9 * worlds.HOUR).dt.tz_convert("UTC")
    articles = worlds.as_articles(world)
    for name in ("published_at", "known_at"):
        articles[name] = articles[name].where(~late, early)
    articles["row"] = worlds.first_rows(articles["known_at"], world.decided_at)
    finding = _instants(world, articles, effects=worlds.as_effects(world, articles["row"].to_numpy()))
    assert finding.verdict == "suspicious"
    assert finding.evidence[0]["published"] in {"09:00-10:00", "07:00-10:00", "08:00-11:00", "09:00-12:00"}
    assert finding.interval[0] < finding.effect < finding.interval[1]


def test_event_study_without_power_says_so(world):
    articles = worlds.as_articles(world).iloc[:60]
    effects = worlds.as_effects(world, worlds.as_articles(world)["row"].to_numpy()).iloc[:60]
    finding = _instants(world, articles, effects=effects)
    assert finding.verdict == "pass"
    assert "too few" in finding.detail


def test_malformed_input_is_refused(world):
    articles = worlds.as_articles(world)
    with pytest.raises(DataError, match="missing columns"):
        _instants(world, articles.drop(columns="row"))
    with pytest.raises(DataError, match="no time zone"):
        _instants(world, articles.assign(known_at=articles["known_at"].dt.tz_localize(None)))
    with pytest.raises(DataError, match="index differs"):
        _instants(world, articles, effects=pd.DataFrame({"score": [1.0], "earned": [0.0]}))
    with pytest.raises(DataError, match="Sort"):
        check_tradable_instants(articles, world.decided_at[::-1], world.prices.open_at, world.prices.close_at)
    assert _instants(world, articles.assign(row=-1)).verdict == "not-applicable"


def test_a_correlation_of_the_event_study_stays_a_correlation(world):
    # One hour holds nearly all that is surely read, and moves far: a product of scores over all hours would exceed 1.
    articles = worlds.as_articles(world)
    hour = articles["published_at"].dt.tz_convert(worlds.NEW_YORK).dt.hour
    side = np.where(np.arange(len(articles)) % 2 == 0, 1.0, -1.0)
    noise = np.random.default_rng(0).normal(0.0, 0.01, len(articles))
    loud = (hour >= 9) & (hour < 12)
    effects = pd.DataFrame(
        {"score": side * np.where(loud, 1.0, 0.01), "earned": np.where(loud, 0.5 * side, noise)}, index=articles.index
    )
    finding = _instants(world, articles, effects=effects)
    shown = [row[name] for row in finding.evidence for name in ("correlation", "correlation_of_rest")]
    assert max(map(abs, shown)) <= 1.0
    assert max(shown) > 0.9


def test_stamps_that_are_all_missing_are_counted():
    finding = check_time_zones(pd.DataFrame({"published_at": [None, None, None]}), "XNYS")
    assert (finding.verdict, "(3 missing)" in finding.detail) == ("not-applicable", True)
