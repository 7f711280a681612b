"""What a report says of where its result came from is what the run's files say, recomputed by other means."""

from __future__ import annotations

import json
import math
import re
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, spearmanr

from embargo.research.notebook import run
from embargo.research.records.run import Run
from embargo.research.records.sealed import damages

SETTINGS = {
    "name": "small",
    "seed": 7_300_005,
    "news": {"loader": "simulated", "simulated": {"symbols": 12, "start": "2015-01-01", "end": "2016-06-30"}},
    "prices": {"loader": "simulated"},
    "split": {"first_test": "2015-07-01"},
    "model": {"kind": "lexicon"},
    "costs": {"fee": 0.0005, "slippage": 0.001, "borrow_annual": 0.05},
    "statistics": {"bootstrap": 200, "permutations": 99},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    desk = tmp_path_factory.mktemp("desk")
    return run(SETTINGS, out=desk, cache=desk, progress=False)


@pytest.fixture(scope="module")
def files(made: Run) -> dict[str, pd.DataFrame]:
    return {path.stem: pd.read_parquet(path) for path in made.folder.glob("*.parquet")}


@pytest.fixture(scope="module")
def page(made: Run) -> str:
    return made.report.read_text(encoding="utf-8")


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html))).strip()


def section(page: str, name: str) -> str:
    return page.split(f'id="{name}"', 1)[1].split("</section>", 1)[0]


def percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:,.{digits}f}%".replace("-", "−")


def shares_held(files: dict[str, pd.DataFrame]) -> np.ndarray:
    """Shares after the fills of each bar, from the orders alone."""
    orders, columns = files["orders"], files["values"].columns
    signed = orders["size"] * orders["side"].map({"buy": 1.0, "sell": -1.0})
    moved = signed.groupby([orders["bar"], orders["symbol"]]).sum().reset_index(name="size")
    moved = moved.pivot_table(index="bar", columns="symbol", values="size", fill_value=0.0)
    return moved.reindex(index=range(len(files["account"])), columns=columns, fill_value=0.0).cumsum().to_numpy()


def test_files_are_sealed_with_the_rest(made: Run) -> None:
    assert {
        "values.parquet",
        "over_time.parquet",
        "contributions.parquet",
        "days.parquet",
        "information.parquet",
    } <= set(made.manifest["files"])
    assert damages(made.folder) == []


def test_exposure_and_turnover_are_those_of_the_positions(files: dict[str, pd.DataFrame]) -> None:
    over, held, account = files["over_time"], shares_held(files), files["account"]
    before = np.concatenate([[1e6], account["equity"].to_numpy()[:-1]])
    weights = held * files["values"].to_numpy()[:-1] / before[:, None]
    np.testing.assert_allclose(over["gross"], np.nansum(np.abs(weights), axis=1), atol=1e-9)
    np.testing.assert_allclose(over["net"], np.nansum(weights, axis=1), atol=1e-9)
    np.testing.assert_array_equal(over["names"], (np.abs(weights) > 1e-9).sum(axis=1))
    pd.testing.assert_series_equal(over["turnover"], account["turnover"])


def test_the_rolling_ratio_and_its_band(made: Run, files: dict[str, pd.DataFrame]) -> None:
    returns, over = files["account"]["net_return"], files["over_time"]
    rows = min(252, len(returns) // 3)
    for end in (rows, rows + 17, len(returns)):
        part = returns.iloc[end - rows : end]
        years = made.metrics["bars_per_year"]
        ratio = part.mean() / part.std() * math.sqrt(years)
        error = math.sqrt((1.0 + 0.5 * ratio**2 / years) / rows) * math.sqrt(years)
        told = over.iloc[end - 1]
        assert told["rolling_sharpe"] == pytest.approx(ratio)
        reach = norm.ppf(0.975) * error
        assert (told["rolling_low"], told["rolling_high"]) == pytest.approx((ratio - reach, ratio + reach))
    assert over["rolling_sharpe"].iloc[: rows - 1].isna().all()


def test_coefficients_are_rank_correlations_of_signal_and_return(files: dict[str, pd.DataFrame]) -> None:
    signal, values = files["signal"].to_numpy(), files["values"].to_numpy()[:-1]
    told = files["information"].set_index(["kind", "bars"])["value"]
    for kind, bars, ahead, over in (("horizon", 1, 0, 1), ("horizon", 5, 0, 5), ("lag", 3, 3, 1)):
        found = []
        for row in range(len(signal) - ahead - over):
            earned = values[row + ahead + over] / values[row + ahead] - 1.0
            if np.ptp(signal[row]) > 0.0:
                found.append(spearmanr(signal[row], earned).statistic)
        assert told[(kind, float(bars))] == pytest.approx(np.mean(found), abs=1e-9), (kind, bars)


def test_the_days_are_the_extreme_ones_and_name_what_was_known(files: dict[str, pd.DataFrame]) -> None:
    account, days, articles = files["account"], files["days"], files["articles"]
    returns = account["net_return"]
    for kind, order in (("best", returns.sort_values(ascending=False)), ("worst", returns.sort_values())):
        mine = days[days["kind"] == kind].drop_duplicates("rank").sort_values("rank")
        assert list(mine["day"]) == list(order.index[:10].normalize())
        np.testing.assert_allclose(mine["return"], order.iloc[:10])
    # Known before the fill of the bar that it is said to stand behind.
    behind = days.dropna(subset=["known_at"])
    assert len(behind) > 30
    bars = {bar.normalize(): (place, bar) for place, bar in enumerate(account.index)}
    known = articles.set_index(["article_id", "symbol"])
    for row in behind.itertuples():
        place, opened = bars[row.day]
        own = known.loc[(row.article_id, row.symbol)]
        assert row.known_at <= opened
        assert own["used"]
        assert row.bars_before == place - own["row"] >= 0
        assert row.score == pytest.approx(own["bullish"] - own["bearish"])
        later = articles[
            (articles["symbol"] == row.symbol) & articles["used"] & (articles["row"] <= place) & (articles["row"] >= 0)
        ].sort_values(["row", "known_at"])
        assert row.article_id in set(later["article_id"].tail(2))
    held, values = shares_held(files), files["values"].to_numpy()
    for row in days.itertuples():
        place, column = bars[row.day][0], files["values"].columns.get_loc(row.symbol)
        assert row.move == pytest.approx(values[place + 1, column] / values[place, column] - 1.0)
        gained = held[place, column] * (values[place + 1, column] - values[place, column])
        before = 1e6 if place == 0 else account["equity"].iloc[place - 1]
        # The rest is what the fills of that bar cost.
        assert gained / before - 0.002 <= row.contribution <= gained / before + 1e-12


def test_the_page_says_what_the_files_say(made: Run, files: dict[str, pd.DataFrame], page: str) -> None:
    """Ten figures of the page, each recomputed from the artefacts and none of them by the code that printed it."""
    held, values, account, orders = shares_held(files), files["values"], files["account"], files["orders"]
    signed = orders["size"] * orders["side"].map({"buy": 1.0, "sell": -1.0})
    before = np.vstack([np.zeros((1, held.shape[1])), held[:-1]])
    held, before = (np.where(np.abs(shares) < 1e-6, 0.0, shares) for shares in (held, before))
    gain = pd.DataFrame(held * np.diff(values.to_numpy(), axis=0), columns=values.columns)
    at_fill = values.to_numpy()[orders["bar"], values.columns.get_indexer(orders["symbol"])]
    slipped = signed * (orders["price"] - at_fill)
    for bar, symbol, cost in zip(orders["bar"], orders["symbol"], slipped + orders["fees"], strict=True):
        gain.loc[bar, symbol] -= cost
    side = np.sign(np.where(held != 0.0, held, before))
    total = account["equity"].iloc[-1] / 1e6 - 1.0
    long, short = (gain.to_numpy()[side * sign > 0.0].sum() / 1e6 for sign in (1.0, -1.0))
    sources = text_of(section(page, "contributions"))
    for figure in (
        f"Long positions {percent(long)} {int((held > 0).sum()):,}",
        f"Short positions {percent(short)} {int((held < 0).sum()):,}",
        f"Borrow, interest and funding {percent(total - long - short)}",
        f"Total return {percent(total)}",
        f"of it commission {percent(-orders['fees'].sum() / 1e6)}",
        f"of it spread and impact {percent(-slipped.sum() / 1e6)}",
        *(f"{name} {percent(gain[name].sum() / 1e6)}" for name in gain.columns),
    ):
        assert figure in sources, figure
    assert percent(made.metrics["total_return"], 1) in text_of(page)
    assert total == pytest.approx(made.metrics["total_return"])
    assert long + short + files["over_time"]["carry"].sum() == pytest.approx(total, abs=1e-12)
    best = account["net_return"].sort_values().index[-1]
    assert f"1. {best:%Y-%m-%d}: {percent(account['net_return'].max())}" in text_of(section(page, "days"))
    falls = made.metrics["drawdowns"][0]
    regimes = files["regimes"].loc[falls["start"] : falls["trough"], "trend"]
    name, share = regimes.value_counts(normalize=True).index[0], regimes.value_counts(normalize=True).iloc[0]
    assert f"trend: {name} {share:.0%}" in text_of(section(page, "metrics"))


def test_charts_draw_the_files(page: str, files: dict[str, pd.DataFrame]) -> None:
    columns = json.loads(re.findall(r'id="columns">(.*?)</script>', page, re.DOTALL)[0])

    def values(column: object) -> list[float]:
        found = columns[column["column"]] if isinstance(column, dict) else column
        if isinstance(found, dict):
            at = np.cumsum([step * found["unit"] for step in found["steps"]]) + found["from"]
            return [float(one) for one in at]
        return [math.nan if one is None else float(one) for one in found]

    def figure(name: str) -> dict[str, dict[str, object]]:
        block = re.findall(rf'id="figure-{name}">(.*?)</script>', page, re.DOTALL)[0]
        return {trace["name"]: trace for trace in json.loads(block)["data"]}

    over = files["over_time"]
    drawn = figure("exposure")["net exposure"]
    np.testing.assert_allclose(values(drawn["y"]), over["net"], rtol=1e-4, atol=1e-9)
    assert values(drawn["x"]) == [float(at.value // 1_000_000) for at in over.index.as_unit("ns")]
    paid = figure("costs")["spread and impact"]
    np.testing.assert_allclose(values(paid["y"]), -over["slippage"].cumsum(), rtol=1e-4, atol=1e-9)
    steps = [
        (row, base, length)
        for name in ("added", "took away")
        for row, base, length in zip(
            *(values(figure("contributions")[name][key]) for key in ("y", "base", "x")), strict=True
        )
    ]
    end = 0.0
    for _, base, length in sorted(steps):
        assert base == pytest.approx(end, abs=1e-5)
        end = base + length
    assert end == pytest.approx(files["account"]["equity"].iloc[-1] / 1e6 - 1.0, abs=1e-4)
    assert values(figure("contributions")["total"]["x"])[0] == pytest.approx(end, abs=1e-4)
    rolling = figure("rolling")["rolling Sharpe ratio"]
    np.testing.assert_allclose(values(rolling["y"]), over["rolling_sharpe"].dropna(), rtol=1e-4)


def test_a_run_that_reads_nothing_has_a_page_all_the_same(tmp_path: Path) -> None:
    settings = SETTINGS | {"signal": {"threshold": 1.0}, "model": {"kind": "majority"}}
    made = run(settings, out=tmp_path, cache=tmp_path, progress=False)
    page = made.report.read_text(encoding="utf-8")
    assert "Total return 0.00%" in text_of(section(page, "contributions"))
    assert pd.read_parquet(made.folder / "days.parquet").empty
    assert 'id="trades"' not in page
