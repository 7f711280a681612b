"""The simulated market as clean twin of every plant; false alarms and power over many seeds are marked slow."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from samples import leak_worlds as worlds

from embargo.backtest import leakage
from embargo.data_loaders.archive import read_prices
from embargo.data_loaders.calendars import decision_times, zone_of
from embargo.data_loaders.simulated.market import SimulatedMarket, Simulation, simulate_market

HOUR, DAY = pd.Timedelta(hours=1), pd.Timedelta(days=1)
ZONE = zone_of("XNYS")
DATA = Path(os.environ.get("EMBARGO_REAL_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def _market(seed: int, **settings) -> Simulation:
    return simulate_market(SimulatedMarket(seed=seed, **{"start": "2016-01-01", "end": "2019-12-31"} | settings))


def _instants(market: Simulation, *, by_date: bool = False, shift: pd.Timedelta = 0 * HOUR, zone=ZONE):
    prices = market.prices
    decided = decision_times(prices.open_at, worlds.LATENCY)
    news = market.news.assign(
        published_at=market.news["published_at"] + shift, known_at=market.news["known_at"] + shift
    )
    row = worlds.rows_by_date(news, prices) if by_date else worlds.first_rows(news["known_at"], decided)
    opens = prices.open.to_numpy()
    earned = np.vstack([opens[1:] / opens[:-1] - 1, np.full(opens.shape[1], np.nan)])
    inside = (row >= 0) & (row < len(decided))
    column = prices.open.columns.get_indexer(news["symbol"])
    scores = market.truth.perfect_scores.set_index("article_id").loc[news["article_id"]]
    effects = pd.DataFrame(
        {
            "score": (scores["bullish"] - scores["bearish"]).to_numpy(),
            "earned": np.where(inside, earned[np.where(inside, row, 0), column], np.nan),
        },
        index=news.index,
    )
    return leakage.check_tradable_instants(
        news.assign(row=row), decided, prices.open_at, prices.close_at, zone=zone, effects=effects
    )


def _causal(market: Simulation, decide, seed: int, bars: int = 300):
    prices = market.prices.select(bars=slice(0, bars))
    news = market.news.merge(market.truth.perfect_scores.drop(columns="model_id"), on="article_id")
    news = news[news["known_at"] < prices.close_at[-1]].reset_index(drop=True)
    decided = decision_times(prices.open_at, worlds.LATENCY)
    return leakage.check_decisions_are_causal(decide, news, prices, decided, n_rows=8, seed=seed)


def _copies(market: Simulation, seed: int, dose: float):
    news, cut = market.news, pd.Timestamp("2019-01-01", tz="UTC")
    train, test = news[news["known_at"] < cut], news[news["known_at"] >= cut]
    texts = test["text"].to_numpy(dtype=object, copy=True)
    rng = np.random.default_rng(seed)
    place = rng.permutation(len(test))[: int(dose * len(test))]
    texts[place] = [
        text.replace(",", ";").upper() + " !!" for text in rng.choice(train["text"].to_numpy(dtype=object), len(place))
    ]
    return leakage.check_duplicates(train["text"], train["known_at"], texts, test["known_at"])


def _clock(market: Simulation, hours: int):
    news = market.news.assign(published_at=market.news["published_at"] + hours * HOUR)
    return leakage.check_time_zones(news, "XNYS", prices=market.prices)


CLEAN = {
    "T1": lambda market, seed: _causal(market, worlds.honest, seed),
    "T4": lambda market, _seed: _clock(market, 0),
    "T5": lambda market, _seed: _instants(market),
    "D5": lambda market, seed: _copies(market, seed, 0.0),
}
PLANTED = {
    "T1 same-bar close": lambda market, seed: _causal(market, worlds.same_bar_close, seed),
    "T1 merge by date": lambda market, seed: _causal(market, worlds.merged_by_date, seed),
    "T1 scaled over all dates": lambda market, seed: _causal(market, worlds.scaled_over_all_dates, seed),
    "T4 clock 5 h early": lambda market, _seed: _clock(market, -5),
    "T5 clock 5 h early": lambda market, _seed: _instants(market, shift=-5 * HOUR),
    "T5 merge by date": lambda market, _seed: _instants(market, by_date=True),
    "D5 10 % of training copied": lambda market, seed: _copies(market, seed, 0.10),
}


@pytest.fixture(scope="module", params=[11, 12])
def market(request) -> tuple[Simulation, int]:
    return _market(request.param, strength=1.5), request.param


@pytest.mark.parametrize("check", CLEAN)
def test_clean_market_raises_no_alarm(check, market):
    assert CLEAN[check](*market).verdict == "pass"


@pytest.mark.parametrize("plant", PLANTED)
def test_plant_is_caught(plant, market):
    assert PLANTED[plant](*market).verdict in {"leak", "suspicious"}


def test_stamps_stripped_of_their_zone(market):
    naive = market[0].news["published_at"].dt.tz_localize(None).to_frame()
    assert leakage.check_time_zones(naive, "XNYS").verdict == "leak"


def test_round_the_clock_market_raises_no_alarm():
    market = _market(21, calendar="24/7", end="2017-06-30")
    utc = zone_of("24/7")
    assert leakage.check_time_zones(market.news, "24/7", prices=market.prices).verdict in {"pass", "inconclusive"}
    assert _instants(market, zone=utc).verdict == "pass"
    assert _causal(market, worlds.honest, 0).verdict == "pass"


@pytest.mark.slow
def test_false_alarms_and_power_over_twenty_seeds():
    alarms, caught = Counter(), Counter()
    for seed in range(20):
        market = _market(seed, strength=(1.0, 1.5, 2.0)[seed % 3])
        alarms.update(name for name, check in CLEAN.items() if check(market, seed).verdict != "pass")
        caught.update(name for name, check in PLANTED.items() if check(market, seed).verdict in {"leak", "suspicious"})
    assert alarms == Counter()
    assert {name: caught[name] for name in PLANTED if caught[name] < 18} == {}


@pytest.mark.real_data
@pytest.mark.skipif(not (DATA / "stocknet_news.parquet").exists(), reason="the shared real data sets are absent")
def test_real_tweets_raise_no_alarm_and_their_plants_do():
    columns = ["id", "symbol", "published_at", "text"]
    news = pd.read_parquet(DATA / "stocknet_news.parquet", columns=columns).rename(columns={"id": "article_id"})
    news = news.sort_values("published_at")
    prices = read_prices(DATA / "stocknet_prices.parquet", calendar="XNYS").prices
    for year in (2014, 2015, 2016, None):
        part = news if year is None else news[news["published_at"].dt.year == year]
        assert leakage.check_time_zones(part, "XNYS", prices=prices).verdict == "pass"
        assert leakage.check_time_zones(part, "XNYS").verdict == "pass"
        early = part.assign(published_at=part["published_at"] - 5 * HOUR)
        assert leakage.check_time_zones(early, "XNYS", prices=prices).verdict == "inconclusive"
        late = part.assign(published_at=part["published_at"] + 5 * HOUR)
        finding = leakage.check_time_zones(late, "XNYS", prices=prices)
        assert (finding.verdict, finding.effect < 0) == ("suspicious", True)
    train, test = news.iloc[:40_000], news.iloc[40_000:43_000]
    assert (
        leakage.check_duplicates(train["text"], train["published_at"], test["text"], test["published_at"]).verdict
        == "pass"
    )
    rng = np.random.default_rng(0)
    texts = test["text"].to_numpy(dtype=object, copy=True)
    texts[rng.permutation(len(texts))[:300]] = rng.choice(train["text"].to_numpy(dtype=object), 300)
    assert leakage.check_duplicates(train["text"], train["published_at"], texts, test["published_at"]).verdict == "leak"
