"""The page of the data check in a real browser, offline: charts drawn, nothing errs, nothing wider than the screen."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from samples.browsing import MARKS, Visit, assert_fits, style, unfold

from embargo.data_loaders.checks import Check
from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
from embargo.research.gathering.checks import check_world, render_page
from embargo.research.gathering.checks.charts import CHARTS
from embargo.research.pages.page import write_page

pytestmark = MARKS


def test_charts_are_drawn_and_fit_the_screen(visit: Visit, tmp_path: Path) -> None:
    attack = '</script><script>window.injected = 1</script><img src=x onerror="window.injected = 1">'
    market = simulate_market(SimulatedMarket(seed=1, end="2016-03-31"))
    news = market.news.assign(symbol=market.news["symbol"].replace(market.prices.symbols[0], attack))
    long_word = "unbroken" * 40
    hostile = Check(long_word, "bad", attack + long_word, {long_word: long_word}, pd.DataFrame({long_word: [attack]}))
    checks = [hostile, *check_world(news, market.prices, calendar="XNYS")]
    page = write_page(render_page({attack: checks}, attack + long_word), tmp_path / "check.html")
    with visit(page, 1280) as shown:
        light = style(shown, "#chart-hours-0 rect.bar", "fill")
        shown.locator(".theme").click()
        assert style(shown, "#chart-hours-0 rect.bar", "fill") != light
        unfold(shown)
        assert_fits(shown)
        shown.set_viewport_size({"width": 390, "height": 900})
        assert_fits(shown)
        charts = shown.locator("figure[data-chart]")
        drawn = [str(chart.get_attribute("data-chart")) for chart in charts.all()]
        assert set(drawn) == {f"{key}-0" for key, _, _ in CHARTS.values()}
        assert all(chart.locator("rect.bar, .cell").count() >= 1 for chart in charts.all())
        assert shown.locator('[data-chart="coverage-0"] .cell').count() >= 1
