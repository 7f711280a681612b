"""Archives that went wrong once are told apart from their clean twin, with symbol and bars."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from embargo.data_loaders.archive import read_news, read_prices
from embargo.data_loaders.checks import Check, check_news, check_prices


def checked(path: Path, **settings: object) -> dict[str, Check]:
    return {check.code: check for check in check_prices(read_prices(path, calendar="XNYS", **settings).prices)}


def notable(checks: dict[str, Check]) -> dict[str, str]:
    return {code: check.verdict for code, check in checks.items() if check.verdict != "clean"}


@pytest.mark.parametrize("adjust", ["none", "total_return"])
def test_the_clean_twin(cases: Path, adjust: str) -> None:
    assert notable(checked(cases / "base" / "prices.csv", adjust=adjust)) == {}


def test_the_news_of_the_clean_twin(cases: Path) -> None:
    prices = read_prices(cases / "base" / "prices.csv", calendar="XNYS").prices
    news = read_news(cases / "base" / "news.parquet", columns={"article_id": "id", "published_at": "time"})
    bad = [check.code for check in check_news(news.frame, prices, calendar="XNYS") if check.verdict == "bad"]
    assert bad == []


def test_a_month_in_pence(cases: Path) -> None:
    checks = checked(cases / "pence_pounds" / "prices.csv")
    assert notable(checks) == {"level-breaks": "bad"}
    found = checks["level-breaks"]
    assert found.rows["symbol"].tolist() == ["XOM"]
    assert found.rows["factor"].iloc[0] == pytest.approx(0.01, rel=0.1)
    right = read_prices(cases / "base" / "prices.csv", calendar="XNYS").prices
    wrong = read_prices(cases / "pence_pounds" / "prices.csv", calendar="XNYS").prices
    assert found.marked is not None
    assert (found.marked == ~(wrong.close / right.close).round(6).eq(1.0).to_numpy()).all()
    assert "divided by 100" in found.remedy


def test_an_adjusted_close_beside_raw_fields(cases: Path) -> None:
    checks = checked(cases / "base" / "prices.csv", columns={"close": "adj_close"})
    assert notable(checks) == {"ranges": "bad"}
    found = checks["ranges"]
    assert found.figures["crossed"] == 2_029
    assert found.marked is not None
    assert found.marked.sum() >= 2_029
    assert "prices.adjust = 'total_return'" in found.remedy
    # As the remedy says: the raw close, adjusted with all other fields.
    assert notable(checked(cases / "base" / "prices.csv", adjust="total_return")) == {}


def test_a_day_without_trade(cases: Path) -> None:
    checks = checked(cases / "flat_zero_volume" / "prices.csv")
    assert notable(checks) == {"volume": "look", "bars-against-the-calendar": "look"}
    marked = checks["volume"].marked
    assert marked is not None
    assert marked.sum() == 8
    assert set(checks["volume"].rows["bar"]) == {pd.Timestamp("2014-10-20 13:30", tz="UTC")}
