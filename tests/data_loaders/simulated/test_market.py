"""The simulated market keeps its word: what it says about itself can be measured from outside."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from embargo.data_loaders.calendars import decision_times, sessions
from embargo.data_loaders.checks.repeats import first_seen, normalise_text
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.fields import CLASSES, PRICE_FIELDS
from embargo.data_loaders.schemas import validate_news, validate_prices, validate_scores
from embargo.data_loaders.simulated import grammar
from embargo.data_loaders.simulated.market import NEUTRAL_BELOW, SimulatedMarket, Simulation, simulate_market

SHORT = SimulatedMarket(seed=3, end="2015-12-31", n_symbols=12)


@cache
def market(seed: int = 0, strength: float = 1.0) -> Simulation:
    return simulate_market(SimulatedMarket(seed=seed, strength=strength))


def originals_of(simulation: Simulation) -> pd.DataFrame:
    news = simulation.news
    original = simulation.truth.originals.reindex(news["article_id"]).to_numpy() == news["article_id"].to_numpy()
    part = news[original]
    return part.assign(sentiment=simulation.truth.sentiment.reindex(part["article_id"]).to_numpy())


def answers(simulation: Simulation, latency: str = "5min") -> pd.DataFrame:
    """Recompute, article by article, the bar that follows and what it earned before and after."""
    prices, news = simulation.prices, originals_of(simulation)
    decided = decision_times(prices.open_at, pd.Timedelta(latency))
    row = decided.searchsorted(pd.DatetimeIndex(news["known_at"]), side="left")
    opens, closes = prices.open.to_numpy(), prices.close.to_numpy()
    following = opens[1:] / opens[:-1] - 1
    following = following - np.nanmean(following, axis=1, keepdims=True)
    column = prices.open.columns.get_indexer(news["symbol"])
    news = news.assign(row=row, column=column)[(row >= 2) & (row < len(following) - 5)]
    row, column = news["row"].to_numpy(), news["column"].to_numpy()
    return news.assign(
        **{f"after_{step}": following[row + step, column] for step in range(5)},
        before=following[row - 2, column],
        intraday=closes[row, column] / opens[row, column] - 1,
        overnight=opens[row + 1, column] / closes[row, column] - 1,
    )


def correlation(frame: pd.DataFrame, column: str) -> float:
    usable = frame[column].notna()
    return float(np.corrcoef(frame.loc[usable, "sentiment"], frame.loc[usable, column])[0, 1])


def test_same_settings_same_market_and_another_seed_another() -> None:
    one, two, three = simulate_market(SHORT), simulate_market(SHORT), simulate_market(replace(SHORT, seed=4))
    pd.testing.assert_frame_equal(one.news, two.news)
    pd.testing.assert_frame_equal(one.prices.close, two.prices.close)
    pd.testing.assert_frame_equal(one.truth.perfect_scores, two.truth.perfect_scores)
    assert not np.allclose(one.prices.close, three.prices.close, equal_nan=True)
    assert set(one.news["text"]).isdisjoint(three.news["text"])


def test_everything_passes_the_doors() -> None:
    simulation = simulate_market(SHORT)
    validate_prices(simulation.prices)
    pd.testing.assert_frame_equal(validate_news(simulation.news), simulation.news)
    validate_scores(simulation.truth.perfect_scores)
    ids = set(simulation.news["article_id"])
    assert ids == set(simulation.truth.sentiment.index) == set(simulation.truth.perfect_scores["article_id"])
    assert simulation.truth.regimes.index.equals(simulation.prices.open_at)
    for field in PRICE_FIELDS:
        assert getattr(simulation.prices, field).isna().equals(simulation.prices.open.isna())


def test_at_strength_zero_prices_do_not_depend_on_articles_and_texts_never_depend_on_strength() -> None:
    silent = simulate_market(replace(SHORT, strength=0.0))
    chatty = simulate_market(
        replace(SHORT, strength=0.0, articles_per_symbol_day=1.5, duplicate_share=0.3, persistence=0.2)
    )
    for field in PRICE_FIELDS:
        pd.testing.assert_frame_equal(getattr(silent.prices, field), getattr(chatty.prices, field), check_exact=True)
    assert len(chatty.news) > 4 * len(silent.news)
    loud = simulate_market(replace(SHORT, strength=2.0))
    pd.testing.assert_frame_equal(loud.news, silent.news)
    assert not np.allclose(loud.prices.close, silent.prices.close, equal_nan=True)


def test_bars_are_real_sessions_with_half_days() -> None:
    prices = simulate_market(SHORT).prices
    table = sessions("XNYS", pd.Timestamp("2015-01-01"), pd.Timestamp("2015-12-31"))
    assert list(prices.open_at) == list(table["open_at"])
    hours = (prices.close_at - prices.open_at) / pd.Timedelta(hours=1)
    assert sorted(set(hours)) == [3.5, 6.5]


def test_high_and_low_embrace_open_and_close() -> None:
    prices = market().prices
    top = np.fmax(prices.open.to_numpy(), prices.close.to_numpy())
    bottom = np.fmin(prices.open.to_numpy(), prices.close.to_numpy())
    listed = prices.open.notna().to_numpy()
    assert (prices.high.to_numpy()[listed] >= top[listed] * (1 - 1e-12)).all()
    assert (prices.low.to_numpy()[listed] <= bottom[listed] * (1 + 1e-12)).all()


def test_prices_look_like_shares() -> None:
    prices = market().prices
    daily = prices.close.pct_change()
    assert daily.std().between(0.012, 0.030).all()
    gap = prices.open / prices.close.shift() - 1
    assert 0.2 < float((gap.var() / daily.var()).mean()) < 0.45
    pairs = daily.corr().to_numpy()[np.triu_indices(24, k=1)]
    assert 0.15 < float(np.nanmean(pairs)) < 0.7


def test_some_symbols_list_late_and_some_are_delisted() -> None:
    prices = market().prices
    listed = prices.open.notna()
    assert (~listed.iloc[0]).sum() == 2
    assert (~listed.iloc[-1]).sum() == 2
    assert (listed.astype(int).diff().abs().sum() <= 1).all()
    for symbol, articles in market().news.groupby("symbol"):
        days = prices.close_at[listed[symbol].to_numpy()]
        assert articles["published_at"].min() >= days[0] - pd.Timedelta(days=1)
        assert articles["published_at"].max() <= days[-1] + pd.Timedelta(days=1)


def test_regimes_last_and_show_in_returns() -> None:
    regimes = market().truth.regimes
    assert set(regimes["volatility"]) == {"calm", "turbulent"}
    changes = (regimes != regimes.shift()).sum()
    assert changes["trend"] < 30
    assert changes["volatility"] < 40
    index_return = market().prices.open.pct_change().mean(axis=1)
    spread = index_return.groupby(regimes["volatility"]).std()
    assert spread["turbulent"] > 1.5 * spread["calm"]


def test_articles_keep_new_york_hours() -> None:
    published = market().news["published_at"].dt.tz_convert("America/New_York")
    by_hour = published.dt.hour.value_counts(normalize=True).reindex(range(24), fill_value=0.0)
    assert by_hour.loc[7:17].sum() > 0.75
    assert by_hour.loc[[0, 1, 2, 3, 4]].sum() > 0.01
    assert 0.02 < (published.dt.day_of_week >= 5).mean() < 0.12
    assert (published.dt.microsecond != 0).mean() > 0.99


def test_articles_are_seen_soon_after_publication() -> None:
    delay = market().news["seen_at"] - market().news["published_at"]
    assert delay.min() >= pd.Timedelta(seconds=1)
    assert delay.max() <= pd.Timedelta(minutes=5)


def test_texts_rarely_collide_and_have_a_headline_s_length() -> None:
    originals = originals_of(market())
    assert originals["text"].duplicated().mean() < 0.005
    words = originals["text"].str.split().str.len()
    assert words.between(5, 36).all()
    assert 12 < words.mean() < 22


def test_copies_come_later_from_elsewhere_and_most_are_recognised() -> None:
    news, truth = market().news, market().truth
    by_id = news.set_index("article_id")
    copied = truth.originals[truth.originals != truth.originals.index]
    assert 0.06 < len(copied) / len(news) < 0.10
    copies, sources = by_id.loc[copied.index], by_id.loc[copied.to_numpy()]
    lag = copies["known_at"].to_numpy(dtype="datetime64[us]") - sources["known_at"].to_numpy(dtype="datetime64[us]")
    assert (lag > np.timedelta64(0)).all()
    assert (lag < np.timedelta64(13, "h")).all()
    assert (copies["source"].to_numpy() != sources["source"].to_numpy()).all()
    assert (copies["text"].to_numpy() != sources["text"].to_numpy()).all()
    same = copies["text"].map(normalise_text).to_numpy() == sources["text"].map(normalise_text).to_numpy()
    assert 0.7 < same.mean() < 0.9
    caught = ~first_seen(news).set_axis(news["article_id"])
    assert 0.7 < caught[copied.index].mean() < 0.9
    assert caught[truth.originals.index.difference(copied.index)].mean() < 0.005
    np.testing.assert_array_equal(truth.sentiment[copied.index], truth.sentiment[copied.to_numpy()])


def test_perfect_scores_are_the_sentiment() -> None:
    scores = market().truth.perfect_scores.set_index("article_id")
    np.testing.assert_allclose(scores["bullish"] - scores["bearish"], market().truth.sentiment.reindex(scores.index))


def test_annotator_reads_the_sentiment_with_few_errors() -> None:
    originals = originals_of(market())
    hidden = np.where(
        originals["sentiment"] > NEUTRAL_BELOW,
        "bullish",
        np.where(originals["sentiment"] < -NEUTRAL_BELOW, "bearish", "neutral"),
    )
    assert 0.03 < (originals["label"] != hidden).mean() < 0.07
    assert originals["label"].value_counts(normalize=True).reindex(list(CLASSES)).between(0.28, 0.40).all()


def test_information_coefficient_is_what_an_outsider_measures() -> None:
    for strength in (0.0, 1.0):
        simulation = market(0, strength)
        measured = correlation(answers(simulation), "after_0")
        assert measured == pytest.approx(simulation.truth.information_coefficient, abs=0.005)


def test_drift_starts_at_the_decided_bar_fades_and_spans_day_and_night() -> None:
    pooled = pd.concat([answers(market(seed)) for seed in range(4)])
    strengths = [correlation(pooled, f"after_{step}") for step in range(5)]
    assert strengths[0] > 0.03
    assert strengths[0] > strengths[2] > strengths[4] > 0.0
    assert abs(correlation(pooled, "before")) < 0.025
    slope_day = np.polyfit(pooled["sentiment"], pooled["intraday"].fillna(0.0), 1)[0]
    slope_night = np.polyfit(pooled["sentiment"], pooled["overnight"].fillna(0.0), 1)[0]
    assert slope_day > slope_night > 0.0


def test_the_jump_falls_in_the_leg_of_publication() -> None:
    simulation = market()
    prices, news = simulation.prices, originals_of(simulation)
    local = news["published_at"].dt.tz_convert("America/New_York")
    noon = news[(local.dt.hour >= 11) & (local.dt.hour < 15)]
    place = prices.open_at.searchsorted(pd.DatetimeIndex(noon["published_at"]), side="right") - 1
    during = pd.DatetimeIndex(noon["published_at"]) < prices.close_at[place]
    noon, place = noon[during], place[during]
    column = prices.open.columns.get_indexer(noon["symbol"])
    day = (prices.close / prices.open - 1).to_numpy()[place, column]
    slope = np.polyfit(noon["sentiment"], day, 1)[0]
    assert 0.006 < slope < 0.012
    night = (prices.open / prices.close.shift() - 1).to_numpy()[place, column]
    fine = np.isfinite(night)
    assert abs(np.polyfit(noon["sentiment"][fine], night[fine], 1)[0]) < 0.002


@pytest.mark.parametrize("seed", range(4))
def test_a_perfect_trader_earns_after_costs_and_loses_where_news_mean_nothing(seed: int) -> None:
    assert 1.4 < market(seed).truth.perfect_sharpe < 4.0
    assert 0.02 < market(seed).truth.information_coefficient < 0.08
    assert market(seed, 0.0).truth.perfect_sharpe < 0.0
    assert abs(market(seed, 0.0).truth.information_coefficient) < 0.035


def test_perfect_sharpe_matches_a_trader_written_without_its_code() -> None:
    simulation = market()
    prices, news = simulation.prices, originals_of(simulation)
    decided = decision_times(prices.open_at, pd.Timedelta("5min"))
    signal = pd.DataFrame(0.0, index=prices.open_at, columns=prices.open.columns)
    for article in news.itertuples():
        row = int(decided.searchsorted(article.known_at))
        if row < len(signal):
            signal.iloc[row, signal.columns.get_loc(article.symbol)] += article.sentiment
    belief = signal.copy()
    for row in range(1, len(belief)):
        belief.iloc[row] += 0.88 * belief.iloc[row - 1]
    earned = prices.open.shift(-1) / prices.open - 1
    belief = belief.where(earned.notna())
    weights = belief.sub(belief.mean(axis=1), axis=0)
    weights = weights.div(weights.abs().sum(axis=1), axis=0).fillna(0.0)
    gain = (weights * earned.fillna(0.0)).sum(axis=1)
    carried = (weights * (1 + earned.fillna(0.0))).div(1 + gain, axis=0).shift().fillna(0.0)
    net = (gain - 0.001 * (weights - carried).abs().sum(axis=1)).iloc[:-1]
    assert simulation.truth.perfect_sharpe == pytest.approx(net.mean() / net.std() * np.sqrt(252), rel=1e-6)


def test_vocabulary_drifts_over_the_years() -> None:
    originals = originals_of(market())
    year = originals["published_at"].dt.year
    words = originals["text"].str.casefold().str.findall(r"[a-z-]{4,}")

    def frequent(years: list[int]) -> set[str]:
        counts = words[year.isin(years)].explode().value_counts()
        return set(counts.index[counts >= 15])

    early, late = frequent([2015, 2016]), frequent([2020, 2021])
    assert len(late - early) > 30
    assert len(early - late) > 30


def test_a_model_of_the_early_years_degrades() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    originals = originals_of(market())
    year = originals["published_at"].dt.year
    model = make_pipeline(TfidfVectorizer(min_df=2), LogisticRegression(C=5, max_iter=300))
    model.fit(originals["text"][year <= 2016], originals["label"][year <= 2016])
    near = (model.predict(originals["text"][year == 2017]) == originals["label"][year == 2017]).mean()
    far = (model.predict(originals["text"][year == 2021]) == originals["label"][year == 2021]).mean()
    assert 0.7 < near < 0.95
    assert 0.5 < far < near - 0.06


def test_other_calendars_and_sizes() -> None:
    crypto = simulate_market(SimulatedMarket(seed=1, calendar="24/7", end="2016-06-30", n_symbols=3))
    assert len(crypto.prices.open_at) == 547
    assert crypto.prices.open.notna().all().all()
    np.testing.assert_allclose(crypto.prices.open.to_numpy()[1:], crypto.prices.close.to_numpy()[:-1])
    tokyo = simulate_market(SimulatedMarket(seed=1, calendar="XTKS", end="2015-12-31", n_symbols=8))
    local = tokyo.news["published_at"].dt.tz_convert("Asia/Tokyo").dt.hour
    assert local.between(7, 17).mean() > 0.7


def test_tickers_and_names_are_unique() -> None:
    listed = grammar.companies(grammar.MAX_SYMBOLS)
    assert len({company.symbol for company in listed}) == grammar.MAX_SYMBOLS
    assert len({company.name for company in listed}) == grammar.MAX_SYMBOLS


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"strength": -1.0}, "strength"),
        ({"n_symbols": 1}, "n_symbols"),
        ({"duplicate_share": 0.5}, "duplicate_share"),
        ({"persistence": 1.0}, "persistence"),
        ({"end": "2014-12-31"}, "not after start"),
        ({"end": "2015-01-05"}, "only 2 sessions"),
        ({"calendar": "MOON"}, "unknown"),
        ({"articles_per_symbol_day": 1e-9}, "no article"),
    ],
)
def test_impossible_markets_are_refused(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        simulate_market(replace(SHORT, **changes))
