"""The clock is judged alike by the data check and by the audit, on worlds whose clock is known."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import check_time_zones
from embargo.data_loaders.archive import read_news, read_prices
from embargo.data_loaders.checks.clock import clock
from embargo.data_loaders.schemas import Prices
from embargo.research.benchmarks import clock_power
from embargo.research.benchmarks.clock_power import DECLARED, PROFILES, REACTIONS, ZONES, declared, judged, make_world

DOCUMENT = Path(__file__).parents[3] / "docs" / "clock_power.md"
# The audit's words for what the data check says.
SAME = {"pass": {"clean"}, "inconclusive": {"clean", "look"}, "suspicious": {"look", "bad"}}


def both(news: pd.DataFrame, prices: Prices | None, calendar: str = "XNYS") -> str:
    """Verdict of the audit, once the data check is seen to say the same."""
    finding = check_time_zones(news, calendar, prices=prices)
    check = clock(news, prices, calendar=calendar)
    assert check.verdict in SAME[finding.verdict]
    assert (finding.verdict == "inconclusive") == check.summary.startswith("not judged")
    assert check.summary[1:] in finding.detail
    if finding.verdict == "suspicious":
        assert check.remedy == finding.remedy
    # What can be told of many articles and is not told of these is worth a look.
    assert (check.verdict == "clean") == (not check.remedy)
    return finding.verdict


@pytest.mark.parametrize(("zone", "profile"), [*zip(ZONES, PROFILES, strict=True), ("America/New_York", "05-23 even")])
def test_data_check_and_audit_agree_and_never_take_the_wrong_clock_for_the_right_one(zone: str, profile: str) -> None:
    world = make_world(ZONES[zone], profile, "at publication", np.random.default_rng(0))
    assert both(world.news, world.prices, world.calendar) in {"pass", "inconclusive"}
    for wrong in ("5 h early", "5 h late"):
        assert both(declared(world, wrong), world.prices, world.calendar) != "pass"
        assert both(declared(world, wrong), None, world.calendar) != "pass"


@pytest.mark.parametrize("profile", ["clear night", "flat", "05-23 even", "business hours", "after hours"])
def test_prices_that_react_give_early_stamps_away_whatever_the_profile(profile: str) -> None:
    world = make_world("XNYS", profile, "at publication", np.random.default_rng(1))
    finding = check_time_zones(declared(world, "5 h early"), "XNYS", prices=world.prices)
    assert (finding.verdict, finding.effect > 0) == ("suspicious", True)
    assert "look-ahead" in finding.remedy


def test_stamps_that_are_dates_are_not_judged() -> None:
    world = make_world("XNYS", "midnight", "at publication", np.random.default_rng(2))
    assert both(world.news, world.prices) == "inconclusive"


def test_hours_that_change_with_summer_time_never_pass_on_prices_alone() -> None:
    world = make_world("XLON", "05-23 even", "at publication", np.random.default_rng(4))
    assert both(declared(world, "UTC"), world.prices, "XLON") != "pass"


def test_a_right_clock_of_news_that_follows_prices_is_not_doubted() -> None:
    world = make_world("XNYS", "clear night", "news follows prices", np.random.default_rng(3))
    assert both(world.news, world.prices) != "suspicious"


def test_evenly_spread_news_is_never_passed_for_the_wrong_zone(cases: Path) -> None:
    folder = cases / "even_clock"
    prices = read_prices(folder / "prices.csv", calendar="XNYS").prices
    columns = {"article_id": "id", "published_at": "time", "text": "headline", "symbol": "ticker"}

    def verdict(zone: str, bars: Prices | None) -> str:
        return both(read_news(folder / "news.csv", timezone=zone, columns=columns).frame, bars)

    unclear = clock(read_news(folder / "news.csv", timezone="Europe/London", columns=columns).frame, calendar="XNYS")
    assert unclear.verdict == "look"
    assert "early stamps are look-ahead" in unclear.remedy.lower()
    for bars in (prices, None):
        assert verdict("America/New_York", bars) == "inconclusive"
        assert verdict("UTC", bars) == "suspicious"
        assert verdict("Europe/London", bars) == "inconclusive"


def test_small_tables_can_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clock_power, "ZONES", {"UTC": "XICE"})
    monkeypatch.setattr(clock_power, "PROFILES", {"flat": PROFILES["flat"]})
    monkeypatch.setattr(clock_power, "REACTIONS", ("none",))
    clock_power.main(["--draws", "1", "--write", str(tmp_path / "clock.md")])
    text = (tmp_path / "clock.md").read_text(encoding="utf-8")
    assert "| none | flat | 0 / 100 / 0 |" in text


def shares(row: str) -> list[tuple[float, ...]]:
    """Suspicious, inconclusive and passed of each declared clock in one row of the document."""
    return [tuple(map(float, cell)) for cell in re.findall(r"(\d+) / (\d+) / (\d+)", row)]


def test_the_committed_tables_keep_their_promise() -> None:
    rows = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if shares(line)]
    assert len(rows) == len(PROFILES) * len(REACTIONS) + len(ZONES)
    for row in rows:
        by_clock = dict(zip(DECLARED, shares(row), strict=False))
        assert by_clock["right"][0] <= 5.0
        # Where prices do not lie before the news, five hours are never passed.
        if "follows" not in row:
            assert by_clock["5 h early"][2] == by_clock["5 h late"][2] == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("reaction", REACTIONS)
def test_false_alarms_and_power_over_zones_and_profiles(reaction: str) -> None:
    found = {
        (zone, profile, reaction): judged(zone, profile, reaction, draws=4, seed=1)
        for zone, profile in product(ZONES, PROFILES)
    }
    right = clock_power.pooled(found, "right")
    assert right.count("suspicious") <= 0.05 * len(right)
    for profile in PROFILES:
        early = clock_power.pooled(found, "5 h early", profile=profile)
        if reaction == "at publication" and profile != "midnight":
            assert early.count("suspicious") >= 0.9 * len(early)
        assert early.count("pass") <= (0.1 if reaction == "news follows prices" else 0.0) * len(early)
