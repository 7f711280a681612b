"""The witnesses of a clock: where prices moved, where the night and the week lie, and months with another clock."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.data_loaders.calendars import sessions, zone_of
from embargo.data_loaders.checks.clock_evidence import judge_clock
from embargo.data_loaders.checks.day_profile import night_of, week_of
from embargo.data_loaders.checks.reaction import legs_of, reaction_by_shift
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
