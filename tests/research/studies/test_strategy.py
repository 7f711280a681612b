"""Strategies made elsewhere: what is asked of a function, of weights and of orders, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from samples import leak_worlds as worlds

import embargo
from embargo.backtest.leakage import CHECKS, LEAKS
from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.simulated import SimulatedMarket, simulate_market
from embargo.research.studies.strategy import COLUMNS, NOT_TESTED, audit_strategy
from embargo.research.studies.strategy.handed_in import orders_of, read_weights, without_settings
from embargo.research.studies.strategy.questions import QUESTIONS
from embargo.signals.alignment import align


@pytest.fixture(scope="module")
def world() -> worlds.World:
    return worlds.make_world(3, n_bars=200)


@pytest.fixture(scope="module")
def news(world):
    told = [f"{word} reports quarter {n % 4}" for n, word in enumerate(world.news["symbol"])]
    return world.news.assign(text=told, score=world.news["sentiment"]).drop(columns=["sentiment", "column"])


def verdicts(found: pd.DataFrame) -> dict[str, set[str]]:
    return found.groupby("code")["verdict"].agg(set).to_dict()


def test_of_a_function_every_leak_has_an_answer_or_a_reason(world, news):
    found = embargo.audit(signal=worlds.honest, prices=world.prices, news=news, rows=4)
    assert list(found.columns) == list(COLUMNS)
    assert set(found["code"]) == set(LEAKS)
    assert not {"leak", "suspicious"} & set(found["verdict"])
    told = verdicts(found)
    # A second question of T4, whether one clock stamped all, has no copies or bursts to go by.
    assert told["T4"] == {"pass", "inconclusive"}
    assert set(found.loc[found["title"] == CHECKS["check_time_zones"].title, "verdict"]) == {"pass"}
    for code in ("T5", "D4", "D7", "D8", "S4", "S7", "S8", "T9", "T10", "P4", "P5", "P7"):
        assert told[code] == {"pass"}, code
    assert told["P2"] == {"inconclusive"}
    untested = found[found["verdict"] == NOT_TESTED]
    assert untested["detail"].str.len().min() > 5
    assert "M11" in set(untested["code"])


def test_a_leaky_function_is_caught_and_its_weights_alone_are_doubted(world, news):
    found = embargo.audit(signal=worlds.merged_by_date, prices=world.prices, news=news, rows=4)
    assert found.loc[0, ["code", "verdict"]].tolist() == ["T5", "leak"]
    alone = embargo.audit(weights=worlds.merged_by_date(world.news, world.prices), prices=world.prices, news=news)
    assert "leak" not in set(alone["verdict"])
    assert "suspicious" in verdicts(alone)["T5"]
    (reason,) = alone.loc[alone["title"] == CHECKS["check_decisions_are_causal"].title, "detail"]
    assert reason == "Needs a callable: weights alone cannot be perturbed."


def test_questions_that_a_leak_leaves_open_do_not_ask_for_the_function_that_was_given(world):
    found = audit_strategy(signal=lambda prices: worlds.same_bar_close(None, prices), prices=world.prices, rows=2)
    assert found.loc[0, ["code", "verdict"]].tolist() == ["T1", "leak"]
    open_still = found[found["code"].isin(["T9", "D8", "S4", "S8"])]
    assert len(open_still) == 4
    assert open_still["detail"].str.startswith("A leak was found first").all()


def test_what_the_worlds_did_not_try_is_no_pass(world):
    def trend(prices):
        return np.sign(prices.close.pct_change(5, fill_method=None)).shift(1).fillna(0.0) / 8

    def needs_all_bars(prices):
        if len(prices.close) < 200:
            raise ValueError("too few bars")
        return trend(prices)

    def told(signal, **options):
        return verdicts(audit_strategy(signal=signal, **{"prices": world.prices, "rows": 3} | options))

    assert [told(trend)[code] for code in ("T9", "D8", "S4")] == [{"pass"}] * 3
    assert [told(needs_all_bars)[code] for code in ("T9", "D8", "S4")] == [{"inconclusive"}] * 3
    # The one row that is tried is the middle one; beside the gap lies another.
    assert told(trend, rows=1)["D8"] == {"inconclusive"}
    whole = replace(world.prices, **{name: getattr(world.prices, name).bfill() for name in PRICE_FIELDS})
    assert told(trend, prices=whole)["D8"] == {"not-applicable"}
    (said,) = audit_strategy(signal=trend, prices=whole, rows=3).query("code == 'T1' and verdict == 'pass'")["detail"][
        :1
    ]
    assert "(bars rescaled, data ended)" in said


def test_of_articles_that_are_put_on_rows_here_the_hours_alone_are_judged(world, news):
    weights = worlds.honest(world.news, world.prices)
    for read, verdict in ((news, "pass"), (news.drop(columns=["score", "bullish", "bearish"]), "inconclusive")):
        found = audit_strategy(weights=weights, prices=world.prices, news=read)
        (row,) = found[found["title"].str.contains("hours of publication")].itertuples()
        assert (row.code, row.verdict) == ("T5", verdict)
        assert "influenced" not in row.detail
        assert "nobody told where the strategy put them" in row.detail


def _as_first_seen(news, early):
    seen = news["published_at"] + pd.Timedelta(hours=1)
    return news.drop(columns="text").assign(seen_at=seen, known_at=news["published_at"] if early else seen)


def _told_by_day(news, ahead):
    day = (news["published_at"] + pd.Timedelta(days=40 if ahead else -40)).dt.strftime("%Y-%m-%d")
    return news.assign(text=news["symbol"] + " rose on " + day + " after its results")


def _stamped_in_part(news, apart):
    news = news.drop(columns="text")
    later = {name: news[name].iloc[:60] + pd.Timedelta(hours=5) for name in ("published_at", "known_at")}
    return pd.concat([news, news.iloc[:60].assign(**later)], ignore_index=True) if apart else news


@pytest.mark.parametrize(
    ("title", "change", "verdict"),
    [
        ("check_backfill", _as_first_seen, "leak"),
        ("check_dates_in_texts", _told_by_day, "leak"),
        ("check_mixed_clocks", _stamped_in_part, "leak"),
    ],
)
def test_news_that_know_too_much_are_named(title, change, verdict, world, news):
    weights = worlds.honest(world.news, world.prices)
    for planted in (True, False):
        found = audit_strategy(weights=weights, prices=world.prices, news=change(news, planted))
        (said,) = found.loc[found["title"] == CHECKS[title].title, "verdict"]
        assert (said == verdict) is planted, (title, planted, said)
        assert planted or said != "suspicious"


def test_texts_that_tell_the_move_to_come_are_doubted(world, news):
    weights = worlds.honest(world.news, world.prices)
    made = embargo.backtest(weights, world.prices, engine="kernel", n_boot=100)
    placed = align(news["known_at"], news["symbol"], world.decided_at, list(weights.columns))
    moves = made.asset_returns.to_numpy()[placed.row, placed.column]
    honest = np.random.default_rng(5).permutation(moves)
    for side, planted in ((moves, True), (honest, False)):
        told = news.assign(text=news["symbol"] + np.where(side > 0.0, " shares rose today", " shares fell today"))
        found = audit_strategy(weights=weights, prices=world.prices, news=told)
        (said,) = found.loc[found["title"] == CHECKS["check_price_echo"].title, "verdict"]
        assert (said in ("leak", "suspicious")) is planted, said


def test_scores_that_are_right_more_often_than_news_can_be_are_doubted(world, news):
    weights = worlds.honest(world.news, world.prices)
    made = embargo.backtest(weights, world.prices, engine="kernel", n_boot=100)
    placed = align(news["known_at"], news["symbol"], world.decided_at, list(weights.columns))
    moves = np.where(placed.row >= 0, made.asset_returns.to_numpy()[placed.row, placed.column], 0.0)
    for score, planted in ((moves, True), (np.random.default_rng(5).permutation(moves), False)):
        found = audit_strategy(weights=weights, prices=world.prices, news=news.assign(score=score))
        (said,) = found.loc[found["title"] == CHECKS["check_hit_rate"].title, "verdict"]
        assert said == ("suspicious" if planted else "pass")


def test_a_bar_that_was_not_over_is_told_without_a_setting_of_experiments():
    prices = simulate_market(SimulatedMarket(n_symbols=6, start="2019-01-02", end="2019-06-28")).prices
    part = {name: getattr(prices, name).copy() for name in ("high", "low", "close", "volume")}
    part["volume"].iloc[-1] //= 10
    for name in ("high", "low", "close"):
        part[name].iloc[-1] = prices.open.iloc[-1] * (1.001 if name == "high" else 1.0)
    (asked,) = (each for each in QUESTIONS if each.code == "T3")
    told = asked.ask(SimpleNamespace(prices=replace(prices, **part)))
    assert told.verdict == "suspicious"
    assert told.remedy == "End the prices before the bar that was not over, or fetch it again."


def test_symbols_of_an_exchange_are_expected_to_end_and_crypto_is_not(world):
    weights = worlds.honest(world.news, world.prices)
    told = {}
    for calendar in ("XNYS", "24/7"):
        found = audit_strategy(weights=weights, prices=replace(world.prices, calendar=calendar))
        (told[calendar],) = verdicts(found)["D6"]
    assert told == {"XNYS": "inconclusive", "24/7": "not-applicable"}


def test_whether_levels_are_as_traded_and_when_symbols_were_chosen_can_be_stated(world):
    def cheap(prices):
        return (prices.close < prices.close.iloc[0].median()).shift(1, fill_value=False) / 8

    def asked(**stated):
        found = audit_strategy(signal=cheap, prices=world.prices, rows=1, **stated)
        return {code: verdicts(found)[code] for code in ("D6", "D7")}

    assert asked()["D7"] == {"inconclusive"}
    assert asked(adjusted=True)["D7"] == {"suspicious"}
    assert asked(adjusted=False, symbols_chosen_at="2010-01-01") == {"D6": {"pass"}, "D7": {"pass"}}
    assert asked(symbols_chosen_at=world.prices.open_at[-1])["D6"] == {"suspicious"}
    with pytest.raises(ConfigError, match="symbols_chosen_at"):
        asked(symbols_chosen_at="2016-01-04 10:00")


def test_rows_that_hold_nothing_are_before_the_list_of_symbols_was_needed(world):
    weights = worlds.honest(world.news, world.prices)
    weights.iloc[:30] = 0.0
    first = weights.index[(weights != 0.0).any(axis=1)][0]
    for chosen, verdict in ((first, "pass"), (first + pd.Timedelta(days=2), "suspicious")):
        found = audit_strategy(weights=weights, prices=world.prices, symbols_chosen_at=chosen)
        assert verdicts(found)["D6"] == {verdict}


def test_orders_and_returns_kept_elsewhere_are_held_against_the_bars(world):
    weights = worlds.honest(world.news, world.prices)
    made = embargo.backtest(weights, world.prices, engine="kernel", n_boot=100)
    orders = made.books.orders
    given = {"weights": weights, "prices": world.prices}
    clean = audit_strategy(**given, orders=orders, returns=made.returns)
    assert verdicts(clean)["T7"] == {"pass"}
    assert clean["title"].str.contains("follows its decision").sum() == 1
    best = orders.assign(price=orders["price"] * np.where(orders["side"] == "buy", 0.99, 1.01))
    assert "leak" in verdicts(audit_strategy(**given, orders=best))["T7"]
    kind = audit_strategy(**given, orders=orders, returns=made.returns + 0.001)
    assert "leak" in verdicts(kind)["T7"]
    early = orders.assign(known_at=orders["fill_at"] + pd.Timedelta(hours=1))
    assert "leak" in verdicts(audit_strategy(**given, orders=early))["T1"]


@pytest.fixture(scope="module")
def filled(world):
    """Weights, and the orders that fill them, decided five minutes before and resting on news an hour older."""
    weights = worlds.honest(world.news, world.prices)
    orders = embargo.backtest(weights, world.prices, engine="kernel", n_boot=100).books.orders
    earlier = {"decided_at": pd.Timedelta(minutes=5), "known_at": pd.Timedelta(minutes=65)}
    return weights, orders.assign(**{name: orders["fill_at"] - ago for name, ago in earlier.items()})


INSTANTS = ["fill_at", "decided_at", "known_at"]


@pytest.mark.parametrize(
    "written",
    [
        lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        lambda at: at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        lambda at: at.tz_convert("Asia/Singapore").isoformat(),
        lambda at: at.tz_convert("America/New_York").isoformat(),  # another offset in summer
    ],
)
def test_orders_of_a_file_are_those_of_the_frame(written, world, filled, tmp_path):
    weights, orders = filled
    orders.assign(**{name: orders[name].map(written) for name in INSTANTS}).to_csv(tmp_path / "o.csv", index=False)
    read, kept = (orders_of(each, weights, world.prices) for each in (tmp_path / "o.csv", orders))
    pd.testing.assert_frame_equal(read[INSTANTS], kept[INSTANTS])
    assert read["bar"].equals(kept["bar"])
    assert read[INSTANTS].eq(orders[INSTANTS]).all(axis=None)


def test_a_decision_may_rest_on_nothing_known_but_is_made_some_time(world, filled, tmp_path):
    weights, orders = filled
    orders.assign(known_at="").to_csv(tmp_path / "o.csv", index=False)
    assert orders_of(tmp_path / "o.csv", weights, world.prices)["known_at"].isna().all()
    orders.assign(decided_at="").to_csv(tmp_path / "o.csv", index=False)
    with pytest.raises(DataError, match=r"column decided_at: .* rows have no timestamp, first at row 0"):
        orders_of(tmp_path / "o.csv", weights, world.prices)


@pytest.mark.parametrize("column", INSTANTS)
@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("2016-02-01 14:30", r"the time '2016-02-01 14:30' has no time zone. Write it with an offset, such as \+00:00"),
        ("2016-02-01 14:30 GMT+8", r"GMT\+8 is east of Greenwich for some .* Write the offset alone, as \+00:00, or Z"),
        ("2016-02-01 14:30 UTC+08:00", r"UTC\+08:00 is east of Greenwich for some"),
        ("2016-02-01 14:30GMT-5", "GMT-5 is east of Greenwich for some"),
        ("2016-02-01", "a date without a time of day. Write it as 2020-01-31T09:30:00Z"),
        ("02/01/2016 14:30Z", "no ISO 8601 time .* Write times as 2020-01-31T09:30:00Z"),
        ("now", "no ISO 8601 time"),
        ("1454337000", "is a number. Write times as 2020-01-31T09:30:00Z"),
    ],
)
def test_an_instant_of_an_order_that_is_read_two_ways_is_refused(column, written, told, world, filled, tmp_path):
    weights, orders = filled
    told_by = orders.assign(**{column: orders[column].map(pd.Timestamp.isoformat)}).reset_index(drop=True)
    told_by.loc[3, column] = written
    told_by.to_csv(tmp_path / "o.csv", index=False)
    with pytest.raises(DataError, match=f"orders, column {column}, row 3: .*{told}"), without_settings():
        orders_of(tmp_path / "o.csv", weights, world.prices)


@pytest.mark.parametrize(
    ("written", "told"), [("1,000.5", "'1,000.5' is no number. Write numbers as 1234"), ("", "there is no number")]
)
def test_an_order_without_its_price_is_refused(written, told, world, filled, tmp_path):
    weights, orders = filled
    told_by = orders.assign(price=orders["price"].astype(str)).reset_index(drop=True)
    told_by.loc[3, "price"] = written
    told_by.to_csv(tmp_path / "o.csv", index=False)
    with pytest.raises(DataError, match=f"orders, column price, row 3: {told}"), without_settings():
        orders_of(tmp_path / "o.csv", weights, world.prices)


def test_weights_by_the_clock_of_a_zone_that_changes_it_are_read(world, filled, tmp_path):
    weights, _ = filled
    local = weights.set_axis(weights.index.tz_convert("America/New_York").map(pd.Timestamp.isoformat))
    assert local.index.str[-6:].nunique() == 2
    local.to_csv(tmp_path / "w.csv")
    pd.testing.assert_index_equal(
        read_weights(tmp_path / "w.csv").index, weights.index, check_names=False, exact="equiv"
    )


def test_files_are_read(world, tmp_path):
    weights = worlds.honest(world.news, world.prices)
    weights.to_parquet(tmp_path / "weights.parquet")
    weights.to_csv(tmp_path / "weights.csv")
    frames = [
        audit_strategy(weights=tmp_path / f"weights.{kind}", prices=world.prices).drop(columns="evidence")
        for kind in ("parquet", "csv")
    ]
    pd.testing.assert_frame_equal(*frames, check_exact=False, rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda table: table.set_axis(table.index.strftime("%Y-%m-%d")), "labels rows by day.*when|labels rows by day"),
        (lambda table: table.set_axis(table.index.tz_localize(None)), "no time zone|labels rows by day"),
        (lambda table: table.set_axis(range(len(table))), "no instant"),
        (lambda table: table.set_axis(table.index.strftime("%Y-%m-%d %H:%M GMT+8")), r"row 0: .*GMT\+8 is east of"),
        (lambda table: table.rename(columns={"S00": "ZZZ"}), "ZZZ|S00"),
        (lambda table: table.where(table > 0.0), "Write 0 to hold nothing"),
    ],
)
def test_weights_of_strange_form_are_refused(change, told, world, tmp_path):
    change(worlds.honest(world.news, world.prices)).to_csv(tmp_path / "w.csv")
    with pytest.raises(DataError, match=told):
        audit_strategy(weights=tmp_path / "w.csv", prices=world.prices)


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({}, ConfigError, "either signal="),
        ({"signal": worlds.honest, "weights": "w.csv"}, ConfigError, "either signal="),
        ({"signal": 3}, ConfigError, "expected a function"),
        ({"weights": "nowhere.csv"}, MissingPartError, "does not exist"),
        ({"signal": worlds.honest, "prices": "bars.csv"}, ConfigError, "needs a calendar"),
        ({"signal": lambda prices: prices.close["S00"]}, DataError, "returned Series"),
        ({"signal": lambda prices: prices.close.iloc[1:]}, DataError, "not dated by prices.open_at"),
        ({"signal": lambda prices: prices.nothing}, DataError, "failed with AttributeError"),
        ({"signal": lambda prices: prices.close * np.nan}, DataError, "Write 0 to hold nothing"),
        ({"signal": worlds.honest}, DataError, "takes news and prices.*Hand in news="),
        (
            {"signal": lambda prices: prices.close.notna() * 1.0},
            ConfigError,
            r"its leverage with execution=Execution\(",
        ),
    ],
)
def test_what_is_no_strategy_is_refused(given, error, told, world):
    with pytest.raises(error, match=told):
        audit_strategy(**{"prices": world.prices} | given)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda news: news.drop(columns="symbol"), "expected symbol and known_at"),
        (lambda news: news.assign(symbol="ZZZ"), "none of its symbols has prices"),
        (
            lambda news: news.assign(published_at=news["published_at"] + pd.Timedelta(days=9000)),
            "both of the same time",
        ),
        (lambda news: news.iloc[:0], "there are no articles"),
        (lambda news: news.assign(published_at=news["published_at"].dt.tz_localize(None)), "such as .00:00, or Z"),
        (lambda news: news.assign(score="good"), "score is 'good' at row 0"),
    ],
)
def test_news_that_cannot_have_been_read_are_refused(spoil, told, world, news):
    with pytest.raises(DataError, match=told):
        audit_strategy(signal=worlds.honest, prices=world.prices, news=spoil(news.drop(columns="known_at")))


def test_a_restless_function_is_inconclusive(world, news):
    restless = worlds.Restless()
    halved = {"signal": lambda told, prices: restless(told, prices) / 2, "prices": world.prices, "news": news}
    found = audit_strategy(**halved, rows=2)
    assert found.loc[found["detail"].str.contains("non-deterministic"), "verdict"].tolist() == ["inconclusive"]


def test_a_run_and_a_strategy_are_not_audited_at_once(world):
    with pytest.raises(ConfigError, match="not both"):
        embargo.audit("runs/mine", prices=world.prices)
    with pytest.raises(ConfigError, match="give a finished run"):
        embargo.audit()
