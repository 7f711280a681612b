"""Undoing splits: the price that was traded comes back exactly, whatever Yahoo made of it since."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.data_loaders.calendars import sessions
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.yahoo.bars import (
    ACTION_COLUMNS,
    YahooListing,
    actions_of,
    bars_of,
    calendar_of,
    events_of,
    listing_of,
    simplest_within,
    unpaid_of,
)
from embargo.data_loaders.yahoo.client import YahooChart

START, NOW = pd.Timestamp("2020-01-02", tz="UTC"), pd.Timestamp("2024-06-28 21:00", tz="UTC")
META = {
    "exchangeTimezoneName": "America/New_York",
    "exchangeName": "NMS",
    "instrumentType": "EQUITY",
    "currency": "USD",
    "firstTradeDate": 345479400,
}


@pytest.fixture(scope="module")
def listing() -> YahooListing:
    return listing_of("AAPL", META, {}, start=START, now=NOW)


def _served(price: float, factor: Fraction) -> float:
    """Scale as Yahoo does: six decimals where it has scaled, then single precision."""
    return float(np.float32(price if factor == 1 else round(price / float(factor), 6)))


def _event(day: str, **values: float) -> dict[str, float]:
    return {"date": int(pd.Timestamp(day, tz="America/New_York").timestamp()) + 34200, **values}


def _chart(rows: dict[str, tuple[float, float]], splits=(), dividends=(), gains=()) -> YahooChart:
    index = pd.DatetimeIndex(list(rows)).tz_localize("America/New_York")
    prices = {name: [price for price, _ in rows.values()] for name in ("Open", "High", "Low", "Close")}
    frame = pd.DataFrame({**prices, "Volume": [volume for _, volume in rows.values()]}, index=index)
    named = {"splits": splits, "dividends": dividends, "capitalGains": gains}
    events = {kind: {str(event["date"]): event for event in found} for kind, found in named.items() if found}
    return YahooChart(frame, META, events, [])


RATIOS = st.lists(
    st.sampled_from(
        [Fraction(2), Fraction(4), Fraction(7), Fraction(3, 2), Fraction(20), Fraction(1, 10), Fraction(1, 8)]
    ),
    max_size=4,
)


@settings(max_examples=100)
@given(cents=st.integers(100, 90_000_00), volume=st.integers(0, 5_000_000_000), ratios=RATIOS)
def test_a_price_in_cents_and_a_volume_come_back_from_any_splits(listing, cents, volume, ratios):
    factor = Fraction(np.prod(ratios) if ratios else 1)
    price = cents / 100
    days = ["2021-03-01", "2021-06-01", "2022-03-01", "2022-06-01"]
    splits = [
        _event(day, numerator=ratio.numerator, denominator=ratio.denominator)
        for day, ratio in zip(days, ratios, strict=False)
    ]
    served = _served(price, factor)
    chart = _chart({"2020-05-04": (served, float(round(volume * factor)))}, splits)
    events = events_of(chart, listing, now=NOW)
    bars, aside = bars_of(chart.rows, listing, events, bar="1d", start=START, end=NOW, now=NOW)
    # The tick of a cent is wider than twice the error of serving as long as prices are not scaled by thousands.
    if factor <= 2000 and price < 60_000:
        assert bars["close"].tolist() == [price]
    else:
        assert bars["close"].iloc[0] == pytest.approx(price, rel=1e-6, abs=1e-6 * float(factor))
    if factor >= 1:
        assert bars["volume"].tolist() == [float(volume)]
    else:
        assert abs(bars["volume"].iloc[0] - volume) <= 0.5 / float(factor) + 1
    assert aside.empty


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=20), st.floats(0, 1e-3))
def test_the_simplest_decimal_never_strays_beyond_the_error(values, relative):
    array = np.array(values)
    found = simplest_within(array, array * relative)
    assert (np.abs(found - array) <= array * relative * (1 + 1e-9) + 1e-12 * array).all()


def test_crypto_in_millionths_is_not_rounded_away(listing):
    shiba = YahooListing(**{**listing.__dict__, "symbol": "SHIB-USD", "calendar": "24/7", "zone": "UTC",
                       "sessions": sessions("24/7", START, NOW)})  # fmt: skip
    chart = _chart({"2024-05-01": (float(np.float32(0.000012345)), 7.0)})
    bars, _ = bars_of(chart.rows, shiba, events_of(chart, shiba, now=NOW), bar="1d", start=START, end=NOW, now=NOW)
    assert bars["close"].iloc[0] == pytest.approx(0.000012345, rel=1e-7)


def test_the_first_apple_close_comes_back_as_the_fraction_it_was(listing):
    # 28.75 dollars on 1980-12-12, since split by 224, is served as 0.1283479928970337.
    splits = [_event("2021-03-01", numerator=224, denominator=1)]
    chart = _chart({"2020-12-14": (0.1283479928970337, 469033600.0)}, splits)
    bars, _ = bars_of(chart.rows, listing, events_of(chart, listing, now=NOW), bar="1d", start=START, end=NOW, now=NOW)
    assert bars[["close", "volume"]].to_numpy().tolist() == [[28.75, 2093900.0]]


def test_events_on_closed_days_take_effect_at_the_next_open(listing):
    # Good Friday 2021; yfinance itself would move it to the bar of Thursday.
    chart = _chart(
        {"2021-04-01": (25.0, 4.0), "2021-04-05": (26.0, 1.0)}, [_event("2021-04-02", numerator=4, denominator=1)]
    )
    events = events_of(chart, listing, now=NOW)
    bars, _ = bars_of(chart.rows, listing, events, bar="1d", start=START, end=NOW, now=NOW)
    assert bars["close"].tolist() == [100.0, 26.0]
    assert bars["volume"].tolist() == [1.0, 1.0]
    actions = actions_of(events, listing, start=START, end=NOW, now=NOW)
    assert actions["ex_at"].tolist() == [pd.Timestamp("2021-04-05 13:30", tz="UTC")]
    assert tuple(actions.columns) == ACTION_COLUMNS


def test_a_dividend_on_the_day_of_a_split_is_in_new_shares_and_one_before_in_old(listing):
    chart = _chart(
        {"2021-03-31": (25.0, 4.0), "2021-04-01": (26.0, 1.0)},
        [_event("2021-04-01", numerator=4, denominator=1)],
        [_event("2021-03-31", amount=0.05), _event("2021-04-01", amount=0.05)],
    )
    actions = actions_of(events_of(chart, listing, now=NOW), listing, start=START, end=NOW, now=NOW)
    assert actions[["kind", "value"]].to_numpy().tolist() == [["dividend", 0.2], ["dividend", 0.05], ["split", 4.0]]


def test_actions_keep_to_the_range_and_to_now(listing):
    chart = _chart(
        {"2021-03-31": (25.0, 4.0)},
        dividends=[_event(day, amount=1.0) for day in ("2021-03-30", "2021-03-31", "2021-04-01", "2021-04-05")],
    )
    day = pd.Timedelta(days=1)
    first = pd.Timestamp("2021-03-31 13:30", tz="UTC")
    events = events_of(chart, listing, now=NOW)
    within = actions_of(events, listing, start=first, end=first + day, now=NOW)
    assert within["ex_at"].tolist() == [first]
    known = actions_of(events, listing, start=first, end=NOW, now=first + day)
    assert known["ex_at"].tolist() == [first, first + day]


def test_a_real_fall_long_ago_is_not_taken_for_a_split_that_is_missing(listing):
    chart = _chart(
        {"2021-03-31": (100.0, 4.0), "2021-04-01": (25.0, 1.0)}, [_event("2021-04-01", numerator=4, denominator=1)]
    )
    assert len(events_of(chart, listing, now=NOW).splits) == 1


@pytest.mark.parametrize(
    "event", [{"numerator": 4}, {"numerator": 4, "denominator": 0}, {"numerator": -4, "denominator": 1}]
)
def test_a_split_without_a_ratio_is_refused(listing, event):
    chart = _chart({"2021-03-31": (100.0, 4.0)}, [_event("2021-04-01", **event)])
    with pytest.raises(DataError, match="AAPL: Yahoo served"):
        events_of(chart, listing, now=NOW)


def test_intraday_rows_that_are_no_bars_are_set_aside_with_their_reason(listing):
    times = ["09:00", "09:30", "10:00", "10:15", "10:17:31", "16:00"]
    chart = _chart({f"2024-06-03 {time}": (10.0, 1.0) for time in times})
    bars, aside = bars_of(
        chart.rows, listing, events_of(chart, listing, now=NOW), bar="30min", start=START, end=NOW, now=NOW
    )
    assert bars["open_at"].dt.tz_convert("America/New_York").dt.strftime("%H:%M").tolist() == ["09:30", "10:00"]
    assert aside["reason"].tolist() == [
        "outside the sessions of XNYS",
        "begins before the bar before it closed",
        "a single trade, not a bar",
        "outside the sessions of XNYS",
    ]


def test_the_exchange_names_its_calendar_unless_the_user_does():
    assert [calendar_of(code, symbol="X") for code in ("NMS", "LSE", "JPX", "GER", "CCC")] == [
        "XNYS",
        "XLON",
        "XTKS",
        "XETR",
        "24/7",
    ]
    with pytest.raises(ConfigError, match=r"exchange 'CCY' has no known calendar.*calendars=\{'EURUSD=X'"):
        calendar_of("CCY", symbol="EURUSD=X")
    assert listing_of("AAPL", META, {"AAPL": "XLON"}, start=START, now=NOW).calendar == "XLON"
    with pytest.raises(DataError, match="no exchange time zone"):
        listing_of("AAPL", {"exchangeName": "NMS"}, {}, start=START, now=NOW)
    with pytest.raises(DataError, match="first trade"):
        listing_of("AAPL", META | {"firstTradeDate": {}}, {}, start=START, now=NOW)


@pytest.mark.slow
def test_every_calendar_in_the_table_exists():
    from embargo.data_loaders.yahoo.bars import _EXCHANGES

    for calendar in sorted(set(_EXCHANGES.values())):
        assert len(sessions(calendar, pd.Timestamp("2024-01-02"), pd.Timestamp("2024-01-12")))


def test_a_range_before_the_calendar_begins_is_refused_by_name():
    with pytest.raises(
        DataError, match=r"AAPL: the calendar XTKS is recorded from 1997-01-01, .* Start at 1997-01-11 or later"
    ):
        listing_of("AAPL", META, {"AAPL": "XTKS"}, start=pd.Timestamp("1990-01-01", tz="UTC"), now=NOW)


@pytest.mark.parametrize(
    ("quoted", "paid", "amount"),
    [
        ("USD", None, 0.25),
        ("GBp", "", 0.25),
        ("GBp", "GBp", 0.25),
        ("GBp", "GBP", 25.0),
        ("GBP", "GBp", 0.0025),
        ("ZAc", "ZAR", 25.0),
        ("ILA", "ILS", 25.0),
        ("KWF", "KWD", 250.0),
        ("USD", "EUR", None),
        ("GBp", "USD", None),
    ],
)
def test_a_dividend_is_in_the_currency_of_the_prices_or_set_aside(listing, quoted, paid, amount):
    stated = {} if paid is None else {"currency": paid}
    chart = _chart({"2021-03-31": (25.0, 4.0)}, dividends=[_event("2021-03-31", amount=0.25, **stated)])
    quoting = replace(listing, currency=quoted)
    events = events_of(chart, quoting, now=NOW)
    actions = actions_of(events, quoting, start=START, end=NOW, now=NOW)
    aside = unpaid_of(events, quoting, start=START, end=NOW, now=NOW)
    assert actions["value"].tolist() == ([] if amount is None else [pytest.approx(amount)])
    expected = [f"a dividend in {paid}, prices in {quoted}"] if amount is None else []
    assert aside["reason"].tolist() == expected
    assert unpaid_of(events, quoting, start=NOW, end=NOW, now=NOW).empty
