"""The page of the data check in a real browser, offline: charts drawn, nothing errs, nothing wider than the screen."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from samples.browsing import MARKS, probed

from embargo.data_loaders.checks import Check
from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
from embargo.research.gathering.checks import check_world, render_page
from embargo.research.gathering.checks.charts import CHARTS
from embargo.research.pages.page import write_page

pytestmark = MARKS
LOOK = """
  for (const part of all("details")) part.open = true;
  await pause(100);
  const ink = () => view.getComputedStyle(inner.querySelector("#chart-hours-0 .bar")).fill;
  const light = ink();
  inner.querySelector(".theme").click();
  await pause(300);
  Object.assign(seen, {
    width: root.clientWidth, needed: root.scrollWidth, repainted: light !== ink(), escaping: escaping(),
    charts: charts((figure) => ({
      drawn: figure.dataset.drawn,
      marks: figure.querySelectorAll(".bar, .cell").length,
      heat: figure.querySelector(".cell") !== null,
    })),
  });
"""


@pytest.mark.parametrize("width", [1280, 400])
def test_charts_are_drawn_and_fit_the_screen(tmp_path: Path, width: int) -> None:
    attack = '</script><script>window.injected = 1</script><img src=x onerror="window.injected = 1">'
    market = simulate_market(SimulatedMarket(seed=1, end="2016-03-31"))
    news = market.news.assign(symbol=market.news["symbol"].replace(market.prices.symbols[0], attack))
    long_word = "unbroken" * 40
    hostile = Check(long_word, "bad", attack + long_word, {long_word: long_word}, pd.DataFrame({long_word: [attack]}))
    checks = [hostile, *check_world(news, market.prices, calendar="XNYS")]
    page = write_page(render_page({attack: checks}, attack + long_word), tmp_path / "check.html")
    seen = probed(page, width, look=LOOK)
    assert seen["console"] == []
    assert (seen["ready"], seen["injected"], seen["requested"]) == ("ready", "no", [])
    assert seen["escaping"] == []
    assert seen["needed"] <= seen["width"] == width
    assert seen["repainted"]
    assert set(seen["charts"]) == {f"{key}-0" for key, _, _ in CHARTS.values()}
    assert all(chart["drawn"] == "yes" and chart["marks"] >= 1 for chart in seen["charts"].values())
    assert seen["charts"]["coverage-0"]["heat"]
