"""Texts that know what came of them are named; honest news that moves prices a little, and late news, are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import (
    check_concentration,
    check_outcome_words,
    check_price_echo,
    check_stated_moves,
    tokens,
)
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.research.benchmarks.memory_worlds import Reader, forecasts, make_world


@pytest.fixture(scope="module")
def articles() -> pd.DataFrame:
    return make_world(5).articles


def told(articles: pd.DataFrame, share: float, seed: int = 0) -> pd.DataFrame:
    """Write what came of it into a share of the texts."""
    chosen = np.random.default_rng(seed).random(len(articles)) < share
    outcome = np.where(articles["earned"] > 0, "; shares finished higher", "; shares finished lower")
    return articles.assign(text=articles["text"] + np.where(chosen, outcome, ""))


@pytest.mark.parametrize("share", [0.4, 0.2])
def test_outcomes_written_into_texts_are_named(articles, share):
    found = check_outcome_words(told(articles, share))
    assert found.verdict == "suspicious"
    assert {"finished higher", "finished lower"} <= {row["words"] for row in found.evidence}
    assert found.effect == 1.0
    assert "finished" in found.evidence[0]["first_text"]


@pytest.mark.parametrize("seed", range(5))
def test_news_with_an_edge_is_no_outcome(seed):
    assert check_outcome_words(make_world(seed, strength=0.15).articles).verdict == "pass"


def test_words_that_are_right_as_often_as_good_news_is_are_not_named():
    rng = np.random.default_rng(1)
    good = rng.random(6000) < 0.5
    frame = pd.DataFrame(
        {
            "at": pd.date_range("2020-01-01", periods=300, tz="UTC").repeat(20),
            "text": np.where(good, "Acme wins", "Acme loses"),
            "earned": np.where(rng.random(6000) < 0.58, 1.0, -1.0) * np.where(good, 1.0, -1.0),
        }
    )
    found = check_outcome_words(frame)
    assert found.verdict == "pass"
    assert found.effect == pytest.approx(0.58, abs=0.02)


def test_errors_are_clustered_by_day():
    rng = np.random.default_rng(2)
    day = np.arange(200).repeat(8)
    says = rng.random(1600) < 0.5
    # On a day all texts that say so are right or wrong together, three times in four.
    right = (rng.random(200) < 0.75)[day]
    frame = pd.DataFrame(
        {
            "at": pd.date_range("2020-01-01", periods=200, tz="UTC")[day],
            "text": np.where(says, "Acme wins", "Acme meets"),
            "earned": np.where(says, np.where(right, 1.0, -1.0), rng.choice([-1.0, 1.0], 1600)),
        }
    )
    side = frame["earned"][says]
    by_day = (side - side.mean()).groupby(day[says]).sum()
    wanted = (side.mean() - frame["earned"].mean()) / (np.sqrt((by_day**2).sum()) / says.sum())
    found = next(row for row in check_outcome_words(frame).evidence if row["words"] == "wins")
    assert found["z"] == pytest.approx(wanted)
    assert found["share_of_one_sign"] == pytest.approx((side > 0).mean())


def test_a_word_of_one_day_of_luck_is_not_named():
    # Every text of a day moves with the market, so twenty days are twenty observations.
    rng = np.random.default_rng(0)
    day = np.arange(26).repeat(30)
    frame = pd.DataFrame(
        {
            "at": pd.date_range("2020-01-01", periods=26, tz="UTC")[day],
            "text": "Acme in the news",
            "earned": np.where(rng.random(26) < 0.65, 1.0, -1.0)[day],
        }
    )
    assert check_outcome_words(frame).verdict == "pass"


def test_a_word_of_a_few_busy_days_is_not_named():
    """As on Twitter: one message about many companies, sent again all day long, and a word now and then."""
    rng = np.random.default_rng(0)
    day = np.concatenate([np.arange(4).repeat(30), np.arange(60).repeat(20)])
    told = np.concatenate([np.full(120, "level broke"), rng.choice(["broke even", *["no news"] * 19], 1200)])
    frame = pd.DataFrame(
        {
            "at": pd.date_range("2020-01-01", periods=60, tz="UTC")[day],
            "text": told,
            "earned": np.where(told == "level broke", 1.0, rng.choice([-1.0, 1.0], len(day))),
        }
    )
    assert check_outcome_words(frame).verdict in ("pass", "inconclusive")


def test_a_rising_market_is_no_merit_of_a_word():
    rng = np.random.default_rng(3)
    up = rng.random(2000) < 0.7
    frame = pd.DataFrame(
        {
            "at": pd.date_range("2020-01-01", periods=400, tz="UTC").repeat(5),
            "text": rng.choice(["Acme wins", "Acme meets", "Acme files"], 2000),
            "earned": np.where(up, 1.0, -1.0),
        }
    )
    assert check_outcome_words(frame).verdict == "pass"


def test_a_few_texts_that_all_know_are_enough(articles):
    found = check_outcome_words(told(articles, 0.05))
    assert found.verdict == "suspicious"
    assert {row["words"].split()[-1] for row in found.evidence} <= {"higher", "lower"}
    assert min(row["texts"] for row in found.evidence) < 40


def test_too_many_texts_are_drawn_and_the_answer_says_so(articles, monkeypatch):
    monkeypatch.setattr(tokens, "MOST_WORDS", 8000)
    found = check_outcome_words(told(articles, 0.4), seed=1)
    assert found.verdict == "suspicious"
    assert "drawn at random" in found.detail
    place = next(row for row in found.evidence if row["words"] == "finished higher")
    assert "finished higher" in place["first_text"]


def telling(seed: int, knows: float, tells: float = 0.5) -> pd.DataFrame:
    """Texts that tell a move: the one that follows in a share of all, that of the bar before in others."""
    rng = np.random.default_rng(seed)
    frames = []
    for symbol in ("A", "B", "C", "D"):
        move = 0.02 * rng.normal(size=301)
        lot = rng.random(300)
        told = np.select([lot < knows, lot < knows + tells], [move[1:], move[:-1]], 0.0)
        text = np.select([told > 0.0, told < 0.0], ["shares rose", "stock closed lower"], "no word of prices")
        at = pd.date_range("2020-01-01", periods=300, tz="UTC")
        frames.append(pd.DataFrame({"at": at, "symbol": symbol, "text": text, "earned": move[1:], "before": move[:-1]}))
    return pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize("seed", range(5))
def test_news_of_the_bar_before_is_no_echo(seed):
    found = check_price_echo(telling(seed, 0.0))
    assert found.verdict == "pass"
    assert found.figures["before"] == 1.0
    assert found.figures["next"] == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    ("knows", "tells", "verdict"), [(0.2, 0.0, "leak"), (0.2, 0.3, "suspicious"), (0.05, 0.3, "suspicious")]
)
def test_the_move_that_follows_told_as_past_is_named(knows, tells, verdict):
    found = check_price_echo(telling(1, knows, tells))
    assert found.verdict == verdict
    assert all(("rose" in row["text"]) == (row["earned"] > 0) for row in found.evidence)


def test_moves_need_words_and_days(articles):
    assert check_price_echo(articles).verdict == "not-applicable"
    assert check_price_echo(telling(1, 0.5).groupby("symbol").head(20)).verdict == "inconclusive"
    both = telling(1, 0.5).assign(text="shares rose and fell")
    assert check_price_echo(both).verdict == "not-applicable"


def stating(seed: int, share: float, digits: int = 1) -> pd.DataFrame:
    """Texts that state a percentage: their own next move in a share of them, that of the bar before in the others."""
    rng = np.random.default_rng(seed)
    at = pd.date_range("2020-01-01", periods=300, tz="UTC")
    frames = []
    for symbol in ("A", "B", "C"):
        earned = 0.02 * rng.normal(size=300)
        knows = rng.random(300) < share
        moves = np.where(knows, earned, np.roll(earned, 1))
        texts = [f"{symbol} moved {abs(move) * 100:.{digits}f}% on volume of 1,200" for move in moves]
        frames.append(pd.DataFrame({"at": at, "symbol": symbol, "text": texts, "earned": earned}))
    return pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize(("share", "verdict"), [(0.2, "leak"), (0.1, "leak"), (0.0, "pass")])
def test_moves_stated_before_they_happen_are_proof(share, verdict):
    found = check_stated_moves(stating(1, share))
    assert found.verdict == verdict
    assert found.figures["met"] - found.figures["met_by_chance"] == pytest.approx(found.effect)
    if share:
        row = found.evidence[0]
        assert f"{abs(row['earned']) * 100:.1f}%" in row["text"]


@pytest.mark.parametrize("seed", range(5))
def test_news_of_the_move_before_is_late_and_no_leak(seed):
    assert check_stated_moves(stating(seed, 0.0)).verdict == "pass"


def test_whole_percents_are_met_by_chance():
    found = check_stated_moves(stating(2, 0.0, digits=0))
    assert found.verdict == "pass"
    assert found.figures["met_by_chance"] > 0.1


def test_numbers_that_are_no_percentages_are_not_read(articles):
    assert check_stated_moves(articles).verdict == "not-applicable"
    few = stating(3, 0.5).groupby("symbol").head(30)
    assert check_stated_moves(few).verdict == "inconclusive"
    with pytest.raises(DataError):
        check_stated_moves(articles.drop(columns="text"))
    with pytest.raises(ConfigError):
        check_stated_moves(articles, n_boot=5)


def grouped(articles: pd.DataFrame, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return articles.assign(
        source=rng.choice(["wire", "blog", "desk", "feed"], len(articles)),
        hour=rng.integers(0, 24, len(articles)),
        weekday=articles["at"].dt.day_name(),
    )


@pytest.mark.parametrize("by", ["source", "weekday"])
def test_the_group_that_carries_the_result_is_named(by):
    frame = grouped(forecasts(make_world(5, days=300), Reader()), 0)
    group = "blog" if by == "source" else "Tuesday"
    frame["score"] = np.where(frame[by] == group, np.sign(frame["earned"]), frame["score"])
    found = check_concentration(frame)
    assert found.verdict == "suspicious"
    assert (found.evidence[0]["by"], found.evidence[0]["group"]) == (by, group)
    assert found.figures["ic_without"] < 0.5 * found.figures["ic"]


@pytest.mark.parametrize("seed", range(5))
def test_results_from_everywhere_pass(seed):
    world = make_world(seed)
    assert check_concentration(grouped(forecasts(world, Reader()), seed)).verdict == "pass"


def test_groups_need_days(articles):
    frame = grouped(forecasts(make_world(5), Reader()), 0)
    assert check_concentration(frame.head(100)).verdict == "not-applicable"
    with pytest.raises(DataError):
        check_concentration(frame, by=("author",))
    assert check_outcome_words(articles.head(30)).verdict == "inconclusive"


def stated_of(days: int) -> pd.DataFrame:
    """Texts of one symbol that state no move there was."""
    at = pd.date_range("2020-01-01", periods=days, tz="UTC")
    return pd.DataFrame({"at": at, "symbol": "A", "text": "Acme moved 77%", "earned": 0.01})


def test_a_stated_move_is_held_against_bars_three_to_twenty_two_away():
    # A symbol's own three bars have none to be held against; of four the outer two have.
    assert check_stated_moves(stated_of(3)).figures["stating"] == 0.0
    assert check_stated_moves(stated_of(3)).verdict == "not-applicable"
    assert check_stated_moves(stated_of(4)).figures["stating"] == 2.0
    far = stated_of(46)
    far.loc[1:22, "text"] = far.loc[24:, "text"] = "Acme moved"
    assert check_stated_moves(far).figures["stating"] == 2.0


def test_forty_days_are_enough_to_judge_stated_moves():
    assert "40 are needed" in check_stated_moves(stated_of(39)).detail
    enough = check_stated_moves(stated_of(40), n_boot=200)
    assert (enough.verdict, enough.figures["days"]) == ("pass", 40.0)


@pytest.mark.parametrize(
    ("told", "side"),
    [("rise", 1), ("rises", 1), ("rose", 1), ("closed higher", 1), ("drop", -1), ("drops", -1), ("fell", -1)],
)
def test_every_tense_tells_the_side_of_a_move(told, side):
    frame = stated_of(50).assign(text=f"Acme {told} today", earned=0.01 * side)
    figures = check_price_echo(frame).figures
    assert (figures["telling"], figures["next"]) == (50.0, 1.0)
    assert check_price_echo(frame.assign(text="Acme meets today")).figures["telling"] == 0.0
