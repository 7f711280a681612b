"""The witnesses of a clock: where prices moved, where the night and the week lie, and months with another clock."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from embargo.data_loaders.calendars import sessions, zone_of
from embargo.data_loaders.checks.clock_evidence import judge_clock
from embargo.data_loaders.checks.day_profile import displacement, night_of, week_of
from embargo.data_loaders.checks.reaction import _as_normal, legs_of, reaction_by_shift, reaction_by_zone, together
from embargo.data_loaders.schemas import Prices

NEW_YORK = zone_of("XNYS")
SESSION = (570.0, 960.0)


def bars(opened: np.ndarray, closed: np.ndarray, open_at: pd.Series, close_at: pd.Series, calendar: str) -> Prices:
    index = pd.DatetimeIndex(open_at)
    names = [f"S{place}" for place in range(opened.shape[1])]
    panels = [
        pd.DataFrame(values, index=index, columns=names)
        for values in (opened, np.maximum(opened, closed), np.minimum(opened, closed), closed, np.ones(opened.shape))
    ]
    return Prices(*panels, open_at=index, close_at=pd.DatetimeIndex(close_at), calendar=calendar)


def daily(seed: int = 0, symbols: int = 3, end: str = "2016-12-30") -> Prices:
    table = sessions("XNYS", pd.Timestamp("2016-01-04"), pd.Timestamp(end))
    rng = np.random.default_rng(seed)
    pause, session = (scale * rng.standard_normal((len(table), symbols)) for scale in (0.006, 0.012))
    close = 4.0 + np.cumsum(pause + session, axis=0)
    return bars(np.exp(close - session), np.exp(close), table["open_at"], table["close_at"], "XNYS")


def test_legs_are_sessions_and_the_pauses_between_them_with_half_days() -> None:
    prices = daily()
    legs = legs_of(prices, prices.open_at[0], prices.close_at[-1])
    assert legs is not None
    assert len(legs.starts) == 2 * len(prices.open_at) - 1
    assert legs.moves.shape == (len(legs.starts), 3)
    assert (np.diff(legs.starts) > np.timedelta64(0)).all()
    # The day after Thanksgiving closes at 13:00 New York time, 18:00 UTC.
    assert np.datetime64("2016-11-25T18:00", "us") in legs.starts
    assert np.nanmean(legs.moves) == pytest.approx(0.0, abs=1e-9)
    assert legs_of(prices, prices.open_at[0] + pd.Timedelta(days=4000), prices.open_at[0]) is None


def test_round_the_clock_bars_leave_no_pause() -> None:
    open_at = pd.Series(pd.date_range("2020-01-01", periods=200, freq="h", tz="UTC", unit="us"))
    flat = np.ones((200, 1))
    legs = legs_of(
        bars(flat, flat, open_at, open_at + pd.Timedelta(hours=1), "24/7"), open_at.iloc[0], open_at.iloc[-1]
    )
    assert legs is not None
    assert len(legs.starts) == 200


def test_reaction_agrees_with_a_count_by_hand() -> None:
    prices, rng = daily(1), np.random.default_rng(2)
    at = pd.Series(
        prices.open_at[rng.integers(5, 240, 3000)] + pd.to_timedelta(rng.integers(0, 86_400, 3000), unit="s")
    )
    symbol = pd.Series(np.asarray(prices.symbols)[rng.integers(0, 3, 3000)])
    legs = legs_of(prices, at.min(), at.max())
    assert legs is not None
    table = reaction_by_shift(at, symbol, legs)
    for hours in (-7, 1, 6):
        pairs: set[tuple[int, int, int]] = set()
        for stamp, name in zip(at.dt.tz_localize(None).to_numpy("datetime64[us]"), symbol, strict=True):
            places = [int((legs.starts <= stamp + np.timedelta64(move, "h")).sum()) - 1 for move in (0, hours)]
            if places[0] != places[1]:
                pairs.add((places[0], places[1], prices.symbols.index(name)))
        gain: dict[object, list[float]] = {}
        for own, other, column in sorted(pairs):
            move = legs.moves[own, column] - legs.moves[other, column]
            gain.setdefault(legs.starts[own].astype("datetime64[D]"), []).append(move)
        every = np.concatenate(list(gain.values()))
        error = np.sqrt(sum((np.asarray(day) - every.mean()).sum() ** 2 for day in gain.values())) / len(every)
        row = table.loc[hours]
        assert (row["articles"], row["z"]) == (len(every), pytest.approx(every.mean() / error))
        assert row["declared"] - row["shifted"] == pytest.approx(every.mean())


def test_few_articles_and_unknown_symbols_give_no_score() -> None:
    prices = daily()
    at = pd.Series(prices.open_at[:50])
    legs = legs_of(prices, at.min(), at.max())
    assert legs is not None
    assert reaction_by_shift(at, pd.Series(["S0"] * 50), legs)["z"].isna().all()
    assert (reaction_by_shift(at, pd.Series(["other"] * 50), legs)["articles"] == 0).all()


def answered(seed: int, count: int, size: float = 0.012) -> tuple[pd.DataFrame, Prices, pd.Series]:
    """News all round the clock whose symbol moves as its text says, up or down, and no more than it does anyway."""
    table = sessions("XNYS", pd.Timestamp("2016-01-04"), pd.Timestamp("2016-12-30"))
    rng, names = np.random.default_rng(seed), np.asarray(["S0", "S1", "S2"])
    legs = 0.012 * rng.standard_normal((2 * len(table), 3))
    opens, closes = (pd.DatetimeIndex(table[name]) for name in ("open_at", "close_at"))
    at = opens[0] + pd.to_timedelta(rng.integers(20 * 24, 340 * 24, count), unit="h") + pd.Timedelta(minutes=7)
    column, said = rng.integers(0, 3, count), rng.choice([-1.0, 1.0], count)
    row = closes.searchsorted(at, side="right")
    np.add.at(legs, (2 * row + (at >= opens[row]), column), size * said)
    close = 4.0 + np.cumsum(legs, axis=0)
    prices = bars(np.exp(close[::2]), np.exp(close[1::2]), table["open_at"], table["close_at"], "XNYS")
    news = pd.DataFrame({"published_at": at.as_unit("us"), "symbol": names[column], "source": "wire"})
    order = np.argsort(at, kind="stable")
    return news.iloc[order].reset_index(drop=True), prices, pd.Series(said[order])


def test_the_side_of_moves_agrees_with_a_count_by_hand() -> None:
    news, prices, tone = answered(3, 900)
    legs = legs_of(prices, news["published_at"].min(), news["published_at"].max())
    assert legs is not None
    table = reaction_by_shift(news["published_at"], news["symbol"], legs, tone, shifts=(4,))
    pairs: dict[tuple[int, int, int], float] = {}
    for stamp, name, side in zip(
        news["published_at"].dt.tz_localize(None).to_numpy("datetime64[us]"), news["symbol"], tone, strict=True
    ):
        own, other = (int((legs.starts <= stamp + np.timedelta64(move, "h")).sum()) - 1 for move in (0, 4))
        if own != other:
            key = own, other, prices.symbols.index(name)
            pairs[key] = pairs.get(key, 0.0) + side
    days: dict[object, list[float]] = {}
    for (own, other, column), balance in pairs.items():
        gain = np.clip(balance, -1, 1) * (legs.steps[own, column] - legs.steps[other, column])
        days.setdefault(legs.starts[own].astype("datetime64[D]"), []).append(gain)
    every = np.concatenate(list(days.values()))
    error = np.sqrt(sum((np.asarray(day) - every.mean()).sum() ** 2 for day in days.values())) / len(every)
    row = table.loc[4]
    assert row["toned"] == len(every)
    assert row["with_declared"] - row["with_shifted"] == pytest.approx(every.mean())
    # Student's tails are wider than the normal ones.
    assert row["z_tone"] == pytest.approx(norm.isf(student.sf(every.mean() / error, len(days) - 1)), abs=0.01)
    assert row["score"] == pytest.approx((row["z"] + 2 * row["z_tone"]) / np.sqrt(5))


def test_either_witness_stands_for_both_where_the_other_is_silent() -> None:
    nothing = np.nan
    found = together(np.array([1.0, nothing, nothing]), np.array([nothing, 2.0, nothing]))
    assert found.tolist()[:2] == [1.0, 2.0]
    assert np.isnan(found[2])


@pytest.mark.parametrize("seed", range(3))
def test_what_texts_say_tells_a_wrong_clock_from_few_articles(seed: int) -> None:
    news, prices, tone = answered(seed, 500, size=0.008)
    early = news.assign(published_at=news["published_at"] - pd.Timedelta(hours=5))
    assert judge_clock(news, calendar="XNYS", prices=prices, tone=tone).verdict != "suspicious"
    judgement = judge_clock(early, calendar="XNYS", prices=prices, tone=tone)
    assert (judgement.verdict, judgement.complaints[0].early) == ("suspicious", True)
    assert "say good or bad" in judgement.summary
    # Prices that move as little as ever do not tell it by the size of their moves.
    assert judge_clock(early, calendar="XNYS", prices=prices).verdict != "suspicious"
    # Nor does a list that reads the texts the wrong way round take a right clock for a wrong one.
    assert judge_clock(news, calendar="XNYS", prices=prices, tone=-tone).verdict != "suspicious"


def test_a_zone_is_named_with_its_summer_time() -> None:
    news, prices, tone = answered(1, 1500)
    wall = news["published_at"].dt.tz_convert("America/New_York").dt.tz_localize(None).dt.tz_localize("UTC")
    legs = legs_of(prices, wall.min(), wall.max())
    assert legs is not None
    scores = reaction_by_zone(wall, news["symbol"], legs, tone)["score"]
    assert scores["America/New_York"] < -5.0
    assert scores["America/New_York"] < scores["Asia/Tokyo"] - 5.0
    judgement = judge_clock(news.assign(published_at=wall), calendar="XNYS", prices=prices, tone=tone)
    assert f"that of {scores.idxmin()} read as UTC" in judgement.complaints[0].finding


def test_an_hour_within_short_bars_is_no_clock() -> None:
    rng, rows = np.random.default_rng(3), 24 * 200
    open_at = pd.Series(pd.date_range("2020-01-01", periods=rows, freq="h", tz="UTC", unit="us"))
    moves = 0.005 * rng.standard_normal((rows, 2))
    row, column, said = rng.integers(20, rows - 20, 1500), rng.integers(0, 2, 1500), rng.choice([-1.0, 1.0], 1500)
    # Slow prices: the move comes an hour after the news.
    np.add.at(moves, (row + 1, column), 0.01 * said)
    close = np.exp(np.cumsum(moves, axis=0))
    prices = bars(close / np.exp(moves), close, open_at, open_at + pd.Timedelta(hours=1), "24/7")
    at = open_at.iloc[row].reset_index(drop=True) + pd.Timedelta(minutes=50)
    legs = legs_of(prices, at.min(), at.max())
    assert legs is not None
    table = reaction_by_shift(at, pd.Series(np.asarray(prices.symbols)[column]), legs, pd.Series(said), shifts=(1, 2))
    assert np.isnan(table.loc[1, "z_tone"])
    assert np.isfinite(table.loc[2, "z_tone"])


@pytest.mark.parametrize(("hours", "verdict"), [(0, "pass"), (-3, "suspicious"), (3, "inconclusive")])
def test_hourly_bars_tell_where_no_market_closes(hours: int, verdict: str) -> None:
    rng, rows = np.random.default_rng(3), 24 * 300
    open_at = pd.Series(pd.date_range("2020-01-01", periods=rows, freq="h", tz="UTC", unit="us"))
    moves = 0.005 * rng.standard_normal((rows, 2))
    row, column = rng.integers(20, rows - 20, 3000), rng.integers(0, 2, 3000)
    np.add.at(moves, (row, column), 0.01 * rng.standard_normal(3000))
    close = np.exp(np.cumsum(moves, axis=0))
    prices = bars(close / np.exp(moves), close, open_at, open_at + pd.Timedelta(hours=1), "24/7")
    at = open_at.iloc[row].reset_index(drop=True) + pd.to_timedelta(
        rng.integers(1, 3600, 3000) + hours * 3600, unit="s"
    )
    news = pd.DataFrame({"published_at": at, "symbol": np.asarray(prices.symbols)[column]})
    judgement = judge_clock(news, calendar="24/7", prices=prices)
    assert judgement.verdict == verdict
    if hours:
        assert judgement.figures["market"] == ("early" if hours < 0 else "late")


def minutes(*spans: tuple[float, float, int]) -> np.ndarray:
    """Minutes of the day: from, to an hour, and how many."""
    rng = np.random.default_rng(0)
    return np.concatenate([60 * rng.uniform(first, last, count) % 1440 for first, last, count in spans])


@pytest.mark.parametrize(
    ("kind", "spans"),
    [
        ("home", [(0, 24, 300), (7, 20, 1500), (9, 17, 700)]),
        ("apart", [(-5, 19, 300), (2, 15, 1500), (4, 12, 700)]),
        ("session", [(0, 24, 300), (16, 29, 1500), (18, 26, 700)]),
        ("flat", [(0, 24, 2000)]),
        ("flat", [(5, 23, 2000)]),
        ("brief", [(9, 17, 2000)]),
        ("few", [(9, 17, 100)]),
    ],
)
def test_kinds_of_night(kind: str, spans: list[tuple[float, float, int]]) -> None:
    assert night_of(minutes(*spans), SESSION).kind == kind


def business_news(seed: int = 0) -> pd.Series:
    days = sessions("XNYS", pd.Timestamp("2016-01-04"), pd.Timestamp("2016-12-30")).index
    rng = np.random.default_rng(seed)
    local = days[rng.integers(0, len(days), 3000)] + pd.to_timedelta(rng.integers(7200, 86_400, 3000), unit="s")
    return pd.Series(local.tz_localize(NEW_YORK, nonexistent="shift_forward", ambiguous=np.ones(3000, dtype=bool)))


def daytime(seed: int, count: int) -> tuple[pd.DataFrame, Prices, pd.Series]:
    """As `answered`, by people who work from seven to nineteen and mostly at nine and sixteen."""
    news, prices, tone = answered(seed, count)
    local = news["published_at"].dt.tz_convert(NEW_YORK)
    often = local.dt.hour.isin([8, 9, 15, 16]) | (np.arange(len(news)) % 3 == 0)
    kept = (local.dt.hour.between(7, 18) & often).to_numpy()
    return news[kept].reset_index(drop=True), prices, tone[kept].reset_index(drop=True)


def test_hours_and_prices_together_tell_a_summer_that_is_an_hour_early() -> None:
    news, prices, tone = daytime(0, 4000)
    summer = news["published_at"].dt.tz_convert(NEW_YORK).map(lambda at: bool(at.dst()))
    early = news["published_at"].where(~summer, news["published_at"] - pd.Timedelta(hours=1))
    judgement = judge_clock(news.assign(published_at=early), calendar="XNYS", prices=prices, tone=tone)
    assert judgement.verdict == "suspicious"
    assert any(told.finding.startswith("in summer the stamps look an hour early") for told in judgement.complaints)
    assert judge_clock(news, calendar="XNYS", prices=prices, tone=tone).verdict != "suspicious"
    # Only what prices alone leave no doubt of is called proven, and the data bad for it.
    few = early.index[1::2]
    for rows, proven in ((early.index, True), (few, False)):
        doubted = judge_clock(
            news.loc[rows].assign(published_at=early[rows]), calendar="XNYS", prices=prices, tone=tone[rows]
        )
        assert {told.proven for told in doubted.complaints if "in summer" in told.finding} == {proven}
    # A season that is an hour early by its hours alone is left to prices, which here say nothing.
    other = judge_clock(news.assign(published_at=early), calendar="XNYS", prices=daily(5), tone=tone)
    assert not any("in summer" in told.finding for told in other.complaints)


def test_a_source_that_runs_early_is_doubted_only_where_prices_follow_it() -> None:
    news, prices, tone = daytime(2, 4000)
    news["source"] = np.where(np.arange(len(news)) % 4 == 0, "east", "wire")
    east = news["source"] == "east"
    early = news.assign(
        published_at=news["published_at"].where(~east, news["published_at"] - pd.Timedelta(hours=5))
    ).sort_values("published_at")
    judgement = judge_clock(early, calendar="XNYS", prices=prices, tone=tone)
    assert judgement.verdict == "suspicious"
    assert any(
        told.source == "east" and "5 h before that of the other" in told.finding for told in judgement.complaints
    )
    # The same hours of people who live there, whose news moves prices when it comes out.
    lives = answered(2, 4000)[0]
    local = lives["published_at"].dt.tz_convert(NEW_YORK).dt.hour
    by_rights = lives[local.between(2, 13)].iloc[::4].assign(source="east")
    both = pd.concat([news[~east], by_rights]).reset_index(drop=True)
    said = pd.concat([tone[~east], answered(2, 4000)[2][by_rights.index]]).reset_index(drop=True)
    assert judge_clock(both, calendar="XNYS", prices=prices, tone=said).verdict != "suspicious"
    # Without prices nobody knows, and nothing passes.
    assert judge_clock(early, calendar="XNYS").verdict == "inconclusive"


@pytest.mark.parametrize(("lives", "verdict"), [("Asia/Tokyo", "inconclusive"), ("Pacific/Auckland", "suspicious")])
def test_a_newsroom_of_asia_beside_others_may_rest_in_the_session(lives: str, verdict: str) -> None:
    rng = np.random.default_rng(0)
    days = pd.date_range("2016-01-05", "2016-12-20", freq="B")[rng.integers(0, 250, 900)]
    local = (days + pd.to_timedelta(rng.triangular(6, 11, 22, 900) * 60 // 1, unit="min")).tz_localize(lives)
    wire = pd.DataFrame({"published_at": business_news().dt.tz_convert("UTC").dt.as_unit("us"), "source": "wire"})
    east = pd.DataFrame({"published_at": local.tz_convert("UTC").as_unit("us"), "source": "east"})
    judgement = judge_clock(pd.concat([wire, east], ignore_index=True), calendar="XNYS")
    assert judgement.verdict == verdict
    assert "while the exchange is awake" in judgement.summary or "the day of east runs" in judgement.summary
    # Alone, nothing speaks for it.
    assert judge_clock(east, calendar="XNYS").verdict == "suspicious"


def test_the_hours_of_few_articles_say_nothing() -> None:
    local = business_news().dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    chosen = np.arange(len(local)) < 50
    assert displacement(local, chosen).hours == 0
    half = np.arange(len(local)) % 2 == 0
    late = np.where(half, local + np.timedelta64(3, "h"), local)
    assert displacement(late, half).hours == 3


@pytest.mark.parametrize("hours", [-5, 0, 5])
def test_the_week_of_the_exchange(hours: int) -> None:
    found = week_of(business_news() + pd.Timedelta(hours=hours), "XNYS")
    # No news between midnight and two leaves an hour or two open.
    assert found == 0 if hours == 0 else np.sign(found) == -np.sign(hours) and abs(found + hours) <= 2


def test_a_burst_on_one_day_is_no_month_with_another_clock() -> None:
    at = business_news()
    local = at.dt.tz_convert(NEW_YORK)
    at = at[local.dt.hour >= 7]
    burst = pd.Series(pd.date_range("2016-05-10 06:00", periods=1500, freq="12s", tz="UTC"))
    judgement = judge_clock(pd.concat([at.dt.tz_convert("UTC"), burst]).to_frame(name="published_at"), calendar="XNYS")
    assert judgement.figures["shifted_months"] == 0


def test_scores_of_few_days_are_those_of_the_same_tail_of_a_normal_law() -> None:
    scores, freedom = np.linspace(-9.0, 9.0, 37), [24, 40, 400]
    found = [[_as_normal(float(score), each) for score in scores] for each in freedom]
    np.testing.assert_allclose(
        found, [-np.sign(scores) * norm.ppf(student.sf(np.abs(scores), each)) for each in freedom], atol=0.01
    )
