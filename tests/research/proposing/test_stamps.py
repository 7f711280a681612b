"""Forms of times: each is told by what decides it, and left open where nothing does."""

from __future__ import annotations

import pandas as pd
import pytest

from embargo.data_loaders.errors import DataError
from embargo.research.proposing.columns import bar_columns, named, news_columns, squeezed
from embargo.research.proposing.exchange import length_of_bars, suggested_calendars
from embargo.research.proposing.stamps import stamp_form

NOW = pd.Timestamp("2025-01-01", tz="UTC")
DAYS = pd.bdate_range("2018-01-01", periods=300)
EARLY = DAYS[DAYS.day <= 12]


def rows(values: object) -> pd.Series:
    return pd.Series(list(values))  # type: ignore[call-overload, no-any-return]


def serial(days: pd.DatetimeIndex, first: str = "1899-12-30") -> pd.Series:
    return rows((days - pd.Timestamp(first)) / pd.Timedelta(days=1))


@pytest.mark.parametrize(
    ("values", "kind", "form", "unit"),
    [
        (rows(DAYS.strftime("%d/%m/%Y")), "dates", "%d/%m/%Y", None),
        (rows(DAYS.strftime("%m/%d/%Y %H:%M")), "dates", "%m/%d/%Y %H:%M", None),
        (rows(DAYS.strftime("%d.%m.%Y")), "dates", "%d.%m.%Y", None),
        (rows(DAYS.strftime("%Y%m%d")), "dates", "%Y%m%d", None),
        (rows(DAYS.strftime("%Y-%m-%d")), "dates", None, None),
        (rows(DAYS.strftime("%Y-%m-%d 09:30")), "local", None, None),
        (rows(DAYS.strftime("%Y-%m-%dT09:30:00Z")), "aware", None, None),
        (rows(DAYS.strftime("%Y-%m-%d 09:30:00 EST")), "local", "%Y-%m-%d %H:%M:%S EST", None),
        (rows(DAYS.strftime("%a, %d %b %Y 09:30:00 +0000")), "aware", "%a, %d %b %Y %H:%M:%S %z", None),
        (rows(int(day.timestamp()) for day in DAYS), "epoch", None, "unix:s"),
        (rows(int(day.timestamp() * 1e3) for day in DAYS), "epoch", None, "unix:ms"),
        (rows(int(day.timestamp() * 1e6) for day in DAYS), "epoch", None, "unix:us"),
        (rows(DAYS), "dates", None, None),
        (rows(DAYS.tz_localize("America/New_York")), "aware", None, None),
        (rows(["last week"] * 30), "unknown", None, None),
        (rows([*DAYS.strftime("%d.%m.%Y"), "1.2.03"]), "unknown", None, None),
        (rows([3, 4, 5] * 10), "unknown", None, None),
    ],
)
def test_forms_that_one_thing_decides(values: pd.Series, kind: str, form: str | None, unit: str | None) -> None:
    found = stamp_form(values, now=NOW)
    assert (found.kind, found.time_format, found.unit, found.rivals) == (kind, form, unit, ())
    assert found.evidence


def test_the_row_that_decides_is_named() -> None:
    found = stamp_form(rows(["03/04/2024", "04/04/2024", "25/04/2024"]), now=NOW)
    assert "row 2, '25/04/2024', is no '%m/%d/%Y' (1 of 3 rows are none)." in found.evidence


def test_order_decides_between_days_and_months_and_disorder_does_not() -> None:
    inside = stamp_form(rows(EARLY.strftime("%d/%m/%Y")), now=NOW)
    assert inside.time_format == "%d/%m/%Y"
    assert any("go back in time" in said for said in inside.evidence)
    shuffled = rows(EARLY.strftime("%d/%m/%Y")).sample(frac=1.0, random_state=1)
    assert stamp_form(shuffled, now=NOW).rivals == ("%m/%d/%Y", "%d/%m/%Y")
    # Newest first is an order too; and of each symbol by itself, whatever stands between.
    assert stamp_form(rows(EARLY[::-1].strftime("%d/%m/%Y")), now=NOW).time_format == "%d/%m/%Y"
    both = rows([*EARLY.strftime("%m/%d/%Y"), *EARLY.strftime("%m/%d/%Y")])
    symbols = rows(["A"] * len(EARLY) + ["B"] * len(EARLY))
    assert stamp_form(both, now=NOW, groups=symbols).time_format == "%m/%d/%Y"


def test_weekdays_decide_for_an_exchange_alone() -> None:
    shuffled = rows(EARLY.strftime("%d/%m/%Y")).sample(frac=1.0, random_state=1).reset_index(drop=True)
    order = pd.Series(range(len(shuffled)))
    # Every row its own group: nothing is in order or out of it.
    assert stamp_form(shuffled, now=NOW, groups=order).kind == "open"
    assert stamp_form(shuffled, now=NOW, groups=order, weekdays=True).time_format == "%d/%m/%Y"


def test_few_rows_decide_nothing() -> None:
    assert stamp_form(rows(["03/04/2024", "04/04/2024"]), now=NOW).kind == "open"


@pytest.mark.parametrize(("first", "form"), [("1899-12-30", "excel"), ("1904-01-01", "excel1904")])
def test_weekdays_and_prices_tell_the_year_a_spreadsheet_counts_from(first: str, form: str) -> None:
    values = serial(DAYS, first)
    assert stamp_form(values, now=NOW).rivals == ("excel", "excel1904")
    assert stamp_form(values, now=NOW, weekdays=True).time_format == form
    assert stamp_form(values, now=NOW, around=(DAYS[0], DAYS[-1])).time_format == form


def test_a_spreadsheet_of_late_counts_from_the_year_that_is_not_in_the_future() -> None:
    found = stamp_form(serial(pd.date_range("2024-01-01", periods=200) + pd.Timedelta(hours=9)), now=NOW)
    assert (found.kind, found.time_format) == ("local", "excel")
    assert any("lie in the future" in said for said in found.evidence)


def test_a_form_that_is_said_has_to_fit() -> None:
    values = rows(["03/04/2024 10:05", "05/04/2024 09:00"])
    found = stamp_form(values, now=NOW, said="%d/%m/%Y %H:%M")
    assert (found.kind, found.stamps.iloc[0]) == ("local", pd.Timestamp("2024-04-03 10:05"))
    with pytest.raises(DataError, match="does not fit"):
        stamp_form(values, now=NOW, said="%d.%m.%Y")


def test_names_are_known_whatever_their_signs() -> None:
    assert [squeezed(name) for name in ("Adj Close", "publishedAt", "Date (ET)", "created_utc", "UTC")] == [
        "adjclose",
        "publishedat",
        "date",
        "created",
        "utc",
    ]
    assert named(["Close", "Adj. Close"], {"close": "close", "adj_close": "adjclose"}) == {
        "close": ["Close"],
        "adj_close": ["Adj. Close"],
    }


def test_columns_without_a_telling_name_are_found_by_what_is_in_them() -> None:
    frame = pd.DataFrame(
        {
            "a": ["2024-01-02T10:00:00Z"] * 3,
            "b": ["AAPL", "MSFT", "AAPL"],
            "c": ["Shares rise after the news of the day"] * 3,
        }
    )
    columns, notes = news_columns(frame, ["AAPL", "MSFT", "GOOG"])
    assert columns == {"published_at": "a", "text": "c", "symbol": "b"}
    assert "no column is named like a time; 'a' holds dates." in notes


def test_an_id_that_tells_nothing_apart_is_none() -> None:
    frame = pd.DataFrame({"id": [1] * 10, "time": ["2024-01-02"] * 10, "text": ["x"] * 10})
    columns, notes = news_columns(frame, [])
    assert "article_id" not in columns
    assert "'id' is no id of articles" in notes[0]


def test_quotes_that_cannot_be_are_told() -> None:
    frame = pd.DataFrame({"date": ["2024-01-02"], "open": [1.0], "high": [0.5], "low": [2.0], "close": [1.5]})
    assert "high or low is not the highest or lowest" in bar_columns(frame)[1][0]


def test_symbols_speak_of_their_exchange() -> None:
    assert suggested_calendars(["VOD.L", "BP.L"]) == ["XLON"]
    assert suggested_calendars(["SAP.DE", "VOD.L"]) == ["XETR", "XLON"]
    assert suggested_calendars(["BTC-USD", "ETH/USDT", "BTCUSDT"]) == ["24/7"]
    assert suggested_calendars(["AAPL", "BRK.B"]) == []


def test_bars_are_as_long_as_their_usual_step() -> None:
    at = pd.Series(pd.date_range("2024-01-01", periods=40, freq="15min"))
    assert length_of_bars(at, pd.Series("A", index=at.index)) == "15min"
    days = pd.Series(DAYS)
    assert length_of_bars(days, pd.Series("A", index=days.index)) == "1d"
