"""Every check of news catches what is planted and says fine of the simulated market it was planted in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.data_loaders.checks import Check, check_news
from embargo.data_loaders.checks.arrival import back_fill, first_sighting
from embargo.data_loaders.checks.clock import clock, time_of_day
from embargo.data_loaders.checks.copies import exact_copies, later_dates, near_copies, revisions
from embargo.data_loaders.checks.coverage import collection_gaps, monthly_articles, set_aside, symbol_coverage
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.simulated.market import SimulatedMarket, Simulation, simulate_market

HOUR, DAY = pd.Timedelta(hours=1), pd.Timedelta(days=1)


@pytest.fixture(scope="module")
def market() -> Simulation:
    return simulate_market(SimulatedMarket(seed=11, start="2015-06-01", end="2016-06-30", articles_per_symbol_day=1.0))


def later_by(news: pd.DataFrame, rows: pd.Series, shift: pd.Timedelta) -> pd.DataFrame:
    moved = news.copy()
    for name in ("published_at", "seen_at", "known_at"):
        moved[name] = moved[name].where(~rows, moved[name] + shift)
    return moved


def some(news: pd.DataFrame, share: float, seed: int = 0) -> pd.Series:
    return pd.Series(np.random.default_rng(seed).random(len(news)) < share, index=news.index)


def assert_well_formed(check: Check) -> None:
    assert check.verdict in ("clean", "look", "bad")
    assert check.summary.endswith((".", "?"))
    assert check.summary[0].islower() or not check.summary[0].isalpha()
    assert len(check.rows) <= 20
    assert check.marked is None
    if check.name not in {"clock", "time of day"}:
        assert bool(check.remedy) == (check.verdict != "clean")
    assert all(
        isinstance(value, int | float | str) and not isinstance(value, np.generic) for value in check.figures.values()
    )


@pytest.mark.parametrize(("seed", "calendar"), [(0, "XNYS"), (1, "XNYS"), (2, "24/7"), (3, "XLON")])
def test_a_clean_market_is_fine(seed: int, calendar: str) -> None:
    clean = simulate_market(SimulatedMarket(seed=seed, end="2017-06-30", calendar=calendar))
    checks = check_news(clean.news, clean.prices, calendar=calendar, counts={"rows": len(clean.news), "undated": 0})
    assert {check.name: check.verdict for check in checks if check.verdict != "clean"} == {}
    for check in checks:
        assert_well_formed(check)
    assert len({check.name for check in checks}) == len(checks) == 12


def test_the_plants_are_laid_in_a_clean_market(market: Simulation) -> None:
    checks = check_news(market.news, market.prices, calendar="XNYS")
    assert {check.verdict for check in checks} == {"clean"}


def test_unstated_first_sighting(market: Simulation) -> None:
    check = first_sighting(market.news.drop(columns="seen_at"))
    assert (check.verdict, check.figures["share_assumed"]) == ("clean", 1.0)
    assert check.summary.startswith("not judged")
    few = market.news.assign(seen_at=market.news["seen_at"].where(some(market.news, 0.2)))
    assert first_sighting(few).verdict == "look"
    some_stated = market.news.assign(seen_at=market.news["seen_at"].where(some(market.news, 0.8)))
    assert first_sighting(some_stated).figures["share_assumed"] == pytest.approx(0.2, abs=0.02)
    assert back_fill(market.news.drop(columns="seen_at")).figures["stated"] == 0


def test_bulk_loaded_history(market: Simulation) -> None:
    loaded = pd.Timestamp("2016-09-01 03:00", tz="UTC").as_unit("us")
    old = market.news["published_at"] < pd.Timestamp("2015-08-01", tz="UTC")
    check = back_fill(market.news.assign(seen_at=market.news["seen_at"].where(~old, loaded)))
    assert check.verdict == "bad"
    assert check.figures["load_days"] == 1
    assert "on 2016-09-01 alone" in check.summary
    assert check.rows["lag_days"].min() > 300
    assert int(check.profile["articles"].sum()) == check.figures["stated"]
    assert check.profile.set_index("lag")["articles"]["> 1 y"] > 0
    few = old & some(market.news, 0.05)
    assert back_fill(market.news.assign(seen_at=market.news["seen_at"].where(~few, loaded))).verdict == "look"


def test_a_slow_month_and_hindsight(market: Simulation) -> None:
    june = market.news["published_at"].dt.strftime("%Y-%m") == "2015-06"
    slow = back_fill(market.news.assign(seen_at=market.news["seen_at"].where(~june, market.news["seen_at"] + 5 * HOUR)))
    assert (slow.verdict, slow.figures["slow_months"]) == ("look", 1)
    early = market.news["seen_at"].where(~some(market.news, 0.03), market.news["published_at"] - HOUR)
    check = back_fill(market.news.assign(seen_at=early))
    assert check.verdict == "look"
    assert check.figures["share_seen_before_published"] == pytest.approx(0.03, abs=0.01)


def test_revisions(market: Simulation) -> None:
    first = market.news.assign(revision=0)
    assert revisions(first).verdict == "clean"
    edited = first[some(first, 0.05)].assign(revision=1, text=lambda part: part["text"] + " More follows.")
    both = pd.concat([first, edited], ignore_index=True)
    check = revisions(both)
    assert check.verdict == "look"
    assert check.figures["revised"] == len(edited)
    assert revisions(first.assign(revision=some(first, 0.05).astype(int))).verdict == "look"
    moved = edited.assign(published_at=edited["published_at"] - DAY)
    check = revisions(pd.concat([first, moved], ignore_index=True))
    assert (check.verdict, check.figures["published_at_moved"]) == ("bad", len(edited))
    assert revisions(market.news.assign(updated_at=market.news["published_at"] + DAY)).verdict == "look"
    # All other checks read the first revision only.
    assert exact_copies(both).figures == exact_copies(first).figures


@pytest.mark.parametrize("date", ["2019-05-03", "May 3, 2019", "3 May 2019", "Sept. 3rd, 2019", "3rd December, 2019"])
def test_later_dates_in_the_text(market: Simulation, date: str) -> None:
    rows = some(market.news, 0.02)
    planted = market.news.assign(text=market.news["text"].where(~rows, market.news["text"] + f" Payable {date}."))
    check = later_dates(planted)
    assert check.verdict == "look"
    assert check.figures["naming_later_dates"] == rows.sum()
    stamped = market.news.assign(text=market.news["text"].where(~rows, f"(Updated on {date}) " + market.news["text"]))
    assert later_dates(stamped).verdict == "bad"
    assert later_dates(stamped).figures["edit_stamps"] == rows.sum()


@pytest.mark.parametrize("date", ["2011-05-03", "May 3, 2011", "2019-13-45", "31 February 2019", "order 12019-05-034"])
def test_earlier_and_impossible_dates_pass(market: Simulation, date: str) -> None:
    check = later_dates(market.news.assign(text=market.news["text"] + f" Updated {date}."))
    assert (check.verdict, check.figures["naming_later_dates"]) == ("clean", 0)


def copied(news: pd.DataFrame, share: float, rewrite: str) -> pd.DataFrame:
    copies = news[some(news, share)].copy()
    copies["article_id"] = "copy-" + copies["article_id"]
    if rewrite == "swap":
        words = copies["text"].str.split()
        copies["text"] = [" ".join([*part[:3], "reportedly", *part[4:]]) for part in words]
    else:
        copies["text"] = copies["text"].str.upper().str.replace(" ", "  ") + " !"
    return pd.concat([news, later_by(copies, pd.Series(True, index=copies.index), 3 * HOUR)], ignore_index=True)


def test_copies(market: Simulation) -> None:
    loud = copied(market.news, 0.1, "case")
    assert exact_copies(loud).verdict == near_copies(loud).verdict == "look"
    swapped = copied(market.news, 0.1, "swap")
    assert exact_copies(swapped).verdict == "clean"
    check = near_copies(swapped)
    assert check.verdict == "look"
    planted = len(swapped) - len(market.news)
    gained = int(check.figures["copies"]) - int(near_copies(market.news).figures["copies"])
    assert gained >= 0.9 * planted
    assert "reportedly" in " ".join(check.rows["text"])
    assert {"cluster", "original"} <= set(check.rows.columns)
    most = market.news.assign(text="the very same words", symbol="ONE")
    assert exact_copies(most).verdict == near_copies(most).verdict == "bad"


@pytest.mark.parametrize(("share", "verdict"), [(0.02, "look"), (1.0, "bad")])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_midnight_stamps(market: Simulation, share: float, verdict: str, zone: str) -> None:
    local = market.news["published_at"].dt.tz_convert(zone).dt.normalize().dt.tz_convert("UTC")
    news = market.news.assign(published_at=market.news["published_at"].where(~some(market.news, share), local))
    check = time_of_day(news, calendar="XNYS")
    assert check.verdict == verdict
    assert "midnight" in check.summary


def test_batch_loads(market: Simulation) -> None:
    at_seven = market.news["published_at"].dt.normalize() + 11 * HOUR
    news = market.news.assign(published_at=market.news["published_at"].where(~some(market.news, 0.1), at_seven))
    check = time_of_day(news, calendar="24/7")
    assert check.verdict == "look"
    assert "batch load" in check.summary
    assert check.rows["local_time"].iloc[0] == "11:00"
    assert int(check.profile[["weekdays", "weekends"]].to_numpy().sum()) == market.news["article_id"].nunique()


def test_the_parts_of_the_day_add_up_and_know_half_days(market: Simulation) -> None:
    figures = time_of_day(market.news, calendar="XNYS").figures
    parts = ("before_session", "in_session", "after_session", "days_without_session")
    assert sum(float(figures[part]) for part in parts) == pytest.approx(1.0)
    assert (figures["opens_minute"], figures["closes_minute"]) == (570.0, 960.0)
    eve = market.news.head(1).assign(
        published_at=pd.Timestamp("2015-11-27 18:30", tz="UTC").as_unit("us"), seen_at=pd.NaT
    )
    assert time_of_day(eve, calendar="XNYS").figures["after_session"] == 1.0


@pytest.mark.parametrize(("hours", "verdict"), [(-7, "bad"), (-5, "bad"), (5, "bad"), (7, "bad"), (12, "bad")])
def test_a_clock_wrong_throughout(market: Simulation, hours: int, verdict: str) -> None:
    moved = later_by(market.news, pd.Series(True, index=market.news.index), hours * HOUR)
    check = clock(moved, market.prices, calendar="XNYS")
    assert check.verdict == verdict
    assert ("early" if hours < 0 else "late") in check.summary
    assert "documentation" in check.remedy


def test_hours_alone_that_are_not_those_of_the_exchange_are_looked_at(market: Simulation) -> None:
    everywhere = pd.Series(True, index=market.news.index)
    assert clock(later_by(market.news, everywhere, 8 * HOUR), calendar="XNYS").verdict == "look"
    check = clock(later_by(market.news, everywhere, -5 * HOUR), calendar="XNYS")
    assert (check.verdict, check.summary.split(":")[0]) == ("look", "not judged")
    assert "look-ahead" in check.remedy
    few = clock(later_by(market.news.head(300), everywhere.head(300), -5 * HOUR), calendar="XNYS")
    assert (few.verdict, few.remedy) == ("clean", "")


def test_one_source_with_a_wrong_clock(market: Simulation) -> None:
    name = market.news["source"].value_counts().index[0]
    check = clock(later_by(market.news, market.news["source"] == name, 8 * HOUR), market.prices, calendar="XNYS")
    assert check.verdict in {"look", "bad"}
    assert check.rows["source"].tolist() == [name]


def test_a_clock_that_ignores_summer_time(market: Simulation) -> None:
    local = market.news["published_at"].dt.tz_convert("America/New_York")
    summer = local.dt.strftime("%z") == "-0400"
    check = clock(later_by(market.news, summer, HOUR), calendar="XNYS")
    assert check.verdict == "bad"
    assert check.figures["stable_in"] == "UTC"
    assert check.figures["summer_shift_hours"] == 1
    assert clock(later_by(market.news, summer, -HOUR), calendar="XNYS").figures["stable_in"] == "neither"


@pytest.mark.parametrize("hours", [-5, -2, 2, 5])
def test_a_month_with_another_clock(market: Simulation, hours: int) -> None:
    february = market.news["published_at"].dt.strftime("%Y-%m") == "2016-02"
    check = clock(later_by(market.news, february, hours * HOUR), calendar="XNYS")
    assert check.verdict == "bad"
    assert f"2016-02 runs {hours:+d} h" in check.rows["finding"].tolist()


def test_collection_gaps_and_thin_months(market: Simulation) -> None:
    at = market.news["published_at"]
    lost = (at >= pd.Timestamp("2015-09-08", tz="UTC")) & (at < pd.Timestamp("2015-09-13", tz="UTC"))
    check = collection_gaps(market.news[~lost], calendar="XNYS")
    assert check.verdict == "look"
    assert check.figures["longest_gap_days"] in (4, 5)
    assert check.rows["first_day"].iloc[0] == pd.Timestamp("2015-09-08", tz="UTC")
    september = (at.dt.strftime("%Y-%m") == "2015-09") & some(market.news, 0.9)
    thin = monthly_articles(market.news[~september])
    assert thin.verdict == "look"
    assert thin.rows["month"].tolist() == [pd.Timestamp("2015-09-01", tz="UTC")]
    assert thin.profile["articles"].sum() == market.news.loc[~september, "article_id"].nunique()


def test_symbols_that_do_not_meet(market: Simulation) -> None:
    symbols = market.prices.symbols
    check = symbol_coverage(market.news, market.prices.select(symbols=symbols[1:]))
    assert check.verdict == "look"
    assert check.figures["symbols_without_prices"] == 1
    check = symbol_coverage(market.news[market.news["symbol"] != symbols[2]], market.prices)
    assert (check.verdict, check.figures["symbols_without_articles"]) == ("look", 1)
    assert symbols[2] in check.summary
    rare = (market.news["symbol"] != symbols[3]) | some(market.news, 0.02)
    assert symbol_coverage(market.news[rare], None).figures["symbols_with_few_articles"] == 1
    assert check.profile["articles"].sum() == (market.news["symbol"] != symbols[2]).sum()


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ({"rows": 1_000, "undated": 2}, "clean"),
        ({"rows": 1_000, "undated": 50, "out_of_range": 3}, "look"),
        ({"rows": 1_000, "undated": 300}, "bad"),
        ({"rows": 1_000, "uncertain_local_times": 1}, "look"),
        ({"rows": 1_000, "date_only": 17}, "look"),
        ({}, "clean"),
    ],
)
def test_what_the_loader_set_aside(counts: dict[str, int], verdict: str) -> None:
    check = set_aside(counts)
    assert_well_formed(check)
    assert check.verdict == verdict
    for number in (value for key, value in counts.items() if key != "rows" and value > 2):
        assert str(number) in check.summary


def test_news_that_cannot_be_checked(market: Simulation) -> None:
    with pytest.raises(DataError, match="no rows"):
        check_news(market.news.head(0), calendar="XNYS")
    with pytest.raises(DataError, match="text"):
        check_news(market.news.drop(columns="text"), calendar="XNYS")
    with pytest.raises(DataError, match="time zone"):
        check_news(market.news.assign(published_at=market.news["published_at"].dt.tz_localize(None)), calendar="XNYS")


@pytest.mark.parametrize("rows", [1, 2, 30])
@pytest.mark.parametrize("calendar", ["XNYS", "24/7"])
def test_a_handful_of_articles_is_no_reason_to_fail(market: Simulation, rows: int, calendar: str) -> None:
    for check in check_news(
        market.news.head(rows)[["article_id", "published_at", "symbol", "text"]], calendar=calendar
    ):
        assert_well_formed(check)
