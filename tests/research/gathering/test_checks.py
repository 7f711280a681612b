"""The data check as a table and as a page: worst first, narrow enough, self-contained, and deaf to hostile text."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from rich.console import Console

from embargo.backtest.leakage import CHECKS
from embargo.data_loaders.checks import Check, check_news
from embargo.data_loaders.errors import ConfigError, MissingPartError
from embargo.data_loaders.simulated.market import SimulatedMarket, Simulation, simulate_market
from embargo.research.gathering.checks import check_world, print_checks, render_page, worst
from embargo.research.gathering.checks.charts import CHARTS, coverage_chart, lag_chart, months_chart, time_of_day_chart
from embargo.research.pages.page import write_page
from embargo.research.run.data_verdict import clock_of
from embargo.research.studies.strategy.questions import QUESTIONS

ATTACK = '</script><script>window.injected = 1</script><img src=x onerror="window.injected = 1">[bold]'


@pytest.fixture(scope="module")
def market() -> Simulation:
    return simulate_market(SimulatedMarket(seed=3, end="2016-12-31"))


@pytest.fixture(scope="module")
def checks(market: Simulation) -> list[Check]:
    june = market.news["published_at"].dt.strftime("%Y-%m") == "2015-06"
    news = market.news[~june | (market.news.index % 12 == 0)]
    before = market.prices.select(bars=slice(0, 400))
    return check_world(news, before, calendar="XNYS", counts={"rows": 4_000, "undated": 1_000})


def printed(checks: list[Check], width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_checks(console, checks)
    return console.file.getvalue()


def test_worst_first(checks: list[Check]) -> None:
    order = [check.verdict for check in checks]
    assert order == sorted(order, key=("bad", "look", "clean").index)
    assert set(order) == {"bad", "look", "clean"}
    assert worst(checks) == "bad"
    assert worst([]) == "clean"
    assert checks[0].name == "set aside by the loader"


def test_news_or_prices_alone(market: Simulation) -> None:
    names = {check.name for check in check_world(None, market.prices, calendar="XNYS")}
    assert "splits" in names
    assert "clock" not in names
    assert "clock" in {check.name for check in check_world(market.news.head(50), None, calendar="XNYS")}
    with pytest.raises(ConfigError, match="neither"):
        check_world(None, None, calendar="XNYS")


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_table_fits(checks: list[Check], width: int) -> None:
    text = printed(checks, width)
    assert max(map(len, text.splitlines())) <= min(width, 100)
    for check in checks:
        assert check.name in text
    assert text.index("set aside") < text.index("articles per month") < text.index("near copies")
    assert f"{len(checks)} checks: " in text


def test_the_table_reads_no_markup() -> None:
    assert "[bold]" in printed([Check("[bold]x", "look", "see [red]this[/red].")]).replace("\n", "")


def test_the_page_holds_everything(checks: list[Check]) -> None:
    page = render_page({"news": checks}, "Archive of 2015")
    assert page == render_page({"news": list(checks)}, "Archive of 2015")
    for check in checks:
        assert check.name.capitalize()[:9] in page
    assert len(re.findall(r"<figure data-chart=", page)) == len(CHARTS)
    assert "1 bad, " in page
    for address in re.findall(r'(?:src|href)="([^"]*)"', page.split("<script>")[0]):
        assert address.startswith(("#", "data:"))
    assert "root.dataset.charts" in page, "the script that draws the charts"


def test_each_part_has_its_own_verdicts_and_charts(checks: list[Check]) -> None:
    page = render_page({"first world": checks, "second world": checks}, "Two")
    assert len(re.findall(r"<figure data-chart=", page)) == 2 * len(CHARTS)
    ids = re.findall(r'\bid="([^"]+)"', page.split("<script>")[0])
    assert len(ids) == len(set(ids))
    assert f"{2 * len(checks)} checks: 2 bad, " in page
    assert page.count(">second world</") == 1 + len(CHARTS)


def test_hostile_text_stays_text() -> None:
    hostile = Check(
        ATTACK, "look", ATTACK, {ATTACK: ATTACK}, pd.DataFrame({ATTACK: [ATTACK], "lag_days": [pd.NaT]}), pd.DataFrame()
    )
    rows = pd.DataFrame(
        {"symbol": [ATTACK], "month": [pd.Timestamp("2020-01-01", tz="UTC").as_unit("us")], "articles": [3]}
    )
    coverage = Check("symbol coverage", "clean", ATTACK, {"symbols_with_articles": 1}, profile=rows)
    page = render_page({ATTACK: [hostile, coverage]}, ATTACK, subtitle=ATTACK)
    assert "<script>window.injected" not in page
    assert "<img src=x" not in page


def test_charts_say_what_they_show(checks: list[Check]) -> None:
    by_name = {check.name: check for check in checks}
    hours = time_of_day_chart(by_name["time of day"])
    assert "America/New_York" in hours.summary
    bars = [trace for trace in hours.figure.data if trace.type == "bar"]
    assert sum(sum(trace.y) for trace in bars) == by_name["time of day"].figures["articles"]
    months = months_chart(by_name["articles per month"])
    assert [trace.name for trace in months.figure.data] == ["articles", "less than a quarter of usual", "usual: 209"]
    assert (
        sum(sum(trace.y) for trace in lag_chart(by_name["back-fill"]).figure.data)
        == by_name["back-fill"].figures["stated"]
    )
    strip = coverage_chart(by_name["symbol coverage"])
    assert strip.figure.data[0].z.shape == (24, 24)


def test_written_whole_or_not_at_all(checks: list[Check], tmp_path: Path) -> None:
    parts = {"news": checks}
    text = render_page(parts, "Archive", subtitle="2015")
    assert write_page(text, tmp_path / "check.html").read_text(encoding="utf-8") == text
    assert [path.name for path in tmp_path.iterdir()] == ["check.html"]
    with pytest.raises(MissingPartError, match="does not exist"):
        write_page(text, tmp_path / "no" / "check.html")


def test_no_checks_make_a_page_too() -> None:
    assert "0 checks" in render_page({}, "Nothing")


def test_one_clock_has_one_verdict_whoever_asks() -> None:
    market = simulate_market(SimulatedMarket(n_symbols=4, start="2016-01-01", end="2016-12-31"))
    at = market.news["published_at"] - pd.Timedelta(hours=3)
    early = market.news.assign(published_at=at, seen_at=at, known_at=at)
    judged = clock_of(early, market.prices)
    (alone,) = (check for check in check_news(early, market.prices, calendar="XNYS") if check.code == "clock")
    (checked,) = (check for check in check_world(early, market.prices, calendar="XNYS") if check.code == "clock")
    # Only with what the texts say is it told from so few articles.
    assert (alone.verdict, checked.verdict, checked.summary) == ("look", "bad", f"{judged.summary}.")
    (asked,) = (each for each in QUESTIONS if each.title == CHECKS["check_time_zones"].title)
    told = asked.ask(SimpleNamespace(news=early, prices=market.prices))
    assert told.verdict == judged.verdict == "suspicious"
    assert told.detail.endswith(f"{judged.summary[1:]}.")
