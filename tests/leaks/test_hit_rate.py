"""Forecasts and labels that are right too often are doubted; honest ones, lucky markets and crowded days are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import check_hit_rate, check_label_readings
from embargo.data_loaders.errors import DataError

SYMBOLS, DAYS = 8, 60


def moves(seed: int, *, market: float = 0.01, drift: float = 0.0) -> pd.DataFrame:
    """Return a symbol's moves by day with a common part, beside random scores from eight sources."""
    rng = np.random.default_rng(seed)
    common = rng.normal(drift, market, DAYS).repeat(SYMBOLS)
    own = rng.normal(0.0, 0.015, DAYS * SYMBOLS)
    at = pd.date_range("2020-01-01 14:30", periods=DAYS, tz="UTC").repeat(SYMBOLS)
    frame = pd.DataFrame({"at": at, "symbol": np.tile(list("ABCDEFGH"), DAYS), "earned": common + own, "net": own})
    return frame.assign(score=rng.normal(size=len(frame)), source=rng.choice([f"S{k}" for k in range(8)], len(frame)))


def right_in(frame: pd.DataFrame, share: float, seed: int = 0) -> pd.DataFrame:
    """Give scores the side of what was earned in a share of the rows, and the other one in the rest."""
    side = np.where(np.random.default_rng(seed).random(len(frame)) < share, 1.0, -1.0)
    return frame.assign(score=frame["score"].abs() * side * np.sign(frame["earned"]))


def test_forecasts_that_are_right_too_often_are_doubted():
    found = check_hit_rate(right_in(moves(0), 0.8))
    assert (found.code, found.verdict) == ("S7", "suspicious")
    assert found.effect == pytest.approx(0.3, abs=0.06)
    assert check_hit_rate(right_in(moves(0), 0.57)).verdict == "pass"


def test_one_source_that_knows_is_named():
    frame = moves(1)
    knowing = frame["source"] == "S3"
    found = check_hit_rate(frame.assign(score=np.where(knowing, np.sign(frame["earned"]), frame["score"])))
    assert found.verdict == "suspicious"
    assert {row["of"] for row in found.evidence} == {"source S3"}


def test_a_market_that_rose_makes_no_bull_right():
    rising = moves(2, market=0.002, drift=0.03)
    assert (rising["earned"] > 0).mean() > 0.95
    found = check_hit_rate(rising.assign(score=1.0))
    assert (found.verdict, found.figures["right"] > 0.95, round(found.effect, 2)) == ("pass", True, 0.0)


def test_articles_of_one_move_count_once_and_days_that_go_together_count_little():
    few = right_in(moves(3), 1.0).iloc[: 3 * SYMBOLS]
    assert check_hit_rate(pd.concat([few] * 20)).verdict == "inconclusive"
    # All symbols move as one: sixty days are right or wrong, not 480 moves.
    as_one = moves(4, market=0.05)
    as_one["earned"] = as_one.groupby("at")["earned"].transform("first")
    lucky = np.where(np.arange(DAYS) < 40, 1.0, -1.0).repeat(SYMBOLS) * np.sign(as_one["earned"])
    assert check_hit_rate(as_one.assign(score=lucky)).verdict == "pass"


def test_news_that_is_right_in_55_percent_is_seldom_doubted():
    verdicts = [check_hit_rate(right_in(moves(seed), 0.55, seed)).verdict for seed in range(100, 120)]
    assert verdicts == ["pass"] * 20


def test_labels_made_from_prices_show_where_the_text_says_otherwise():
    frame = moves(5).assign(reading=lambda part: np.sign(part["score"]))
    assert check_label_readings(frame).verdict == "pass"
    made = np.random.default_rng(0).random(len(frame)) < 0.35
    mixed = frame.assign(score=np.where(made, np.sign(frame["earned"]), frame["score"]))
    found = check_label_readings(mixed)
    assert (found.verdict, found.evidence[0]["of"]) == ("suspicious", "beyond the text")
    with pytest.raises(DataError, match="reading"):
        check_label_readings(frame.drop(columns="reading"))
