"""Copies that make the worth of forecasts are named, and sources that stamp days; honest copies are only counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import CHECKS, check_concentration, check_repeated_texts
from embargo.backtest.leakage.groups import _error, _leads, _spread
from embargo.backtest.leakage.memory.days import correlation, read_forecasts


def forecasts(seed: int, days: int = 300, skill: float = 0.1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = days * 5
    score = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "at": pd.date_range("2020-01-01", periods=days, tz="UTC").repeat(5),
            "article_id": [f"a{number}" for number in range(n)],
            "symbol": np.tile(list("ABCDE"), days),
            "text": [f"a text of its own {number}" for number in range(n)],
            "score": score,
            "earned": skill * score + rng.normal(size=n),
            "source": rng.choice(["wire", "blog", "desk"], n),
        }
    )
    return frame.assign(published_at=frame["at"] - pd.to_timedelta(rng.integers(1, 86_000, n), unit="s"))


def copied(frame: pd.DataFrame, rows: np.ndarray, shift: int = 1, times: int = 1) -> pd.DataFrame:
    """Copies of some rows, so many days later, beside what their symbol earned then."""
    copies = frame.iloc[np.repeat(rows, times)].copy()
    copies["at"] += pd.Timedelta(days=shift)
    earned = frame.set_index(["at", "symbol"])["earned"]
    copies["earned"] = earned.reindex(pd.MultiIndex.from_frame(copies[["at", "symbol"]])).to_numpy()
    copies["article_id"] = [f"copy {number}" for number in range(len(copies))]
    return pd.concat([frame, copies.dropna()], ignore_index=True)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shift", [0, 1, 3])
def test_honest_copies_are_only_counted(seed, shift):
    frame = forecasts(seed)
    rows = np.flatnonzero(np.random.default_rng(seed).random(len(frame)) < 0.3)
    found = check_repeated_texts(copied(frame, rows, shift))
    assert found.verdict == "pass"
    assert found.figures["repeats"] == pytest.approx(0.3 / 1.3, abs=0.03)


@pytest.mark.parametrize("share", [0.2, 0.1])
def test_copies_of_those_that_were_right_are_named(share):
    frame = forecasts(1)
    right = np.flatnonzero((frame["score"] * frame["earned"] > 0) & (np.arange(len(frame)) % 10 < 10 * share))
    found = check_repeated_texts(copied(frame, right, shift=0, times=4))
    assert found.verdict == "suspicious"
    assert found.figures["ic"] - found.figures["ic_once"] == pytest.approx(found.effect)
    assert "drop_repeats" in found.remedy
    assert all(row["score"] * row["earned"] > 0 for row in found.evidence)


def test_texts_dated_back_are_named():
    # News follows the move of the day before; a copy that lies before that move knows it.
    frame = forecasts(2, days=600, skill=0.0)
    before = frame.groupby("symbol")["earned"].shift(1)
    frame["score"] = before.fillna(0.0) + np.random.default_rng(0).normal(size=len(frame))
    rows = np.flatnonzero(np.random.default_rng(1).random(len(frame)) < 0.2)
    assert check_repeated_texts(copied(frame, rows, shift=1)).verdict == "pass"
    found = check_repeated_texts(copied(frame, rows, shift=-1))
    assert found.verdict == "suspicious"
    assert "stamps" in found.remedy
    assert found.figures["lead_of_those"] > 0.3


def test_copies_are_the_same_but_for_signs_links_and_handles():
    frame = forecasts(3, days=50)
    frame.loc[1, "text"] = "RT @bob: A text, of its OWN 0! https://t.co/xyz"
    frame.loc[2, "text"] = "own its of text a 0"
    found = check_repeated_texts(frame)
    assert found.figures["repeats"] == pytest.approx(1 / 250)
    assert check_repeated_texts(frame.drop(index=1)).verdict == "not-applicable"


def test_one_text_under_many_symbols_is_counted():
    frame = forecasts(4, days=50)
    frame["article_id"] = frame["text"] = "the same words for all on day " + frame["at"].dt.strftime("%Y-%m-%d")
    found = check_repeated_texts(frame)
    assert found.figures["several_symbols"] == 1.0
    assert found.figures["repeats"] == 0.0


def test_errors_are_what_leaving_days_out_says():
    frame = forecasts(5, days=60)
    read = read_forecasts(frame, ["earned", "score"], where="here")
    codes, names = pd.factorize(read.frame["source"], sort=True)
    found = _leads(read, codes, len(names))
    x, y, day = (read.frame[name].to_numpy() for name in ("score", "rank", "day"))
    inside = codes == 1

    def lead(kept):
        return np.subtract(*(np.corrcoef(x[kept & part], y[kept & part])[0, 1] for part in (inside, ~inside)))

    assert found.inside[1] - found.outside[1] == pytest.approx(lead(np.ones(len(x), dtype=bool)))
    for width in (1, 4):
        without = np.array([lead((day // width) != block) for block in range(int(np.ceil(60 / width)))])
        assert found.error[1] >= _spread(without) - 1e-12


def test_a_source_that_stamps_days_is_held_to_less():
    frame = forecasts(6, days=1500, skill=0.0)
    rng = np.random.default_rng(0)
    own = (frame["source"] == "blog").to_numpy()
    knows = own & (rng.random(len(frame)) < 0.18)
    frame["score"] = np.where(knows, np.sign(frame["earned"]) * np.abs(frame["score"]), frame["score"])
    assert check_concentration(frame, ("source",)).verdict == "pass"
    nine = frame["published_at"].dt.normalize() + pd.Timedelta(hours=9)
    found = check_concentration(frame.assign(published_at=frame["published_at"].where(~own, nine)), ("source",))
    assert found.verdict == "suspicious"
    assert (found.evidence[0]["group"], found.evidence[0]["stamps"]) == ("blog", "days")


def test_the_best_group_is_named_where_nothing_is_doubted():
    frame = forecasts(7)
    found = check_concentration(frame, ("source",))
    assert found.verdict == "pass"
    first = found.evidence[0]
    assert found.effect == pytest.approx(first["ic"] - first["ic_without"])
    assert str(first["group"]) in found.detail
    assert correlation(np.zeros((1, 6))).shape == (1,)
    assert np.isfinite(_error(np.ones((4, 2, 6)), np.arange(4))).sum() == 0


def test_copies_of_a_symbol_are_not_those_of_several_and_the_interval_lies_around_the_effect():
    frame = forecasts(8, days=60)
    found = check_repeated_texts(copied(frame, np.arange(0, 300, 3)))
    assert found.figures["repeats"] > 0.2
    assert found.figures["several_symbols"] == 0.0
    low, high = found.interval
    assert found.effect - low == pytest.approx(high - found.effect)
    assert 0.0 < high - low < 0.5


def test_what_cannot_be_asked_keeps_title_and_unit():
    frame = forecasts(9, days=20)
    few, single = check_concentration(frame, ("source",)), check_repeated_texts(frame)
    assert (few.verdict, single.verdict) == ("not-applicable", "not-applicable")
    assert (few.code, single.code) == ("D1", "D5")
    assert few.title == CHECKS["check_concentration"].title
    assert few.figures["groups"] == 0.0
    assert single.title == CHECKS["check_repeated_texts"].title
    assert few.unit != single.unit == "information coefficient less that of texts counted once"


def test_an_error_is_never_below_that_of_as_many_rows_without_a_relation():
    """Days left out around a correlation of one move nothing."""
    frame = forecasts(10, days=60)
    frame["earned"] = frame["score"].rank()
    codes, names = pd.factorize(frame["source"], sort=True)
    read = read_forecasts(frame.assign(score=frame["earned"]), ["earned", "score"], where="here")
    found = _leads(read, pd.factorize(read.frame["source"], sort=True)[0], len(names))
    rows = np.bincount(codes)
    assert found.error == pytest.approx(np.sqrt(1.0 / rows + 1.0 / (rows.sum() - rows)))
