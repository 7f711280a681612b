"""Files as newcomers bring them: the config that is proposed is held against the truth, settled, and validated."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from samples.loopback_commands import embargo

from embargo.data_loaders.simulated import SimulatedMarket, simulate_market
from embargo.research.proposing import still_open

NEW_YORK = "America/New_York"
QUOTES = ("open", "high", "low", "close")
FIRST_OF_EXCEL = pd.Timestamp("1899-12-30")


@pytest.fixture(scope="module")
def market() -> tuple[pd.DataFrame, pd.DataFrame]:
    """News and daily bars of three years, in one row per bar; instants in UTC."""
    made = simulate_market(SimulatedMarket(n_symbols=6, start="2016-01-01", end="2018-12-31", seed=7_300_001))
    fields = ("open", "high", "low", "close", "volume")
    panels = [
        getattr(made.prices, name).melt(ignore_index=False, var_name="symbol", value_name=name) for name in fields
    ]
    bars = pd.concat([panels[0], *(panel[name] for panel, name in zip(panels, fields, strict=True))], axis=1)
    bars = bars.loc[:, ~bars.columns.duplicated()].reset_index(names="open_at")
    return made.news, bars


def wall(instants: pd.Series, zone: str = NEW_YORK) -> pd.Series:
    return instants.dt.tz_convert(zone).dt.tz_localize(None)


def serials(stamps: pd.Series) -> pd.Series:
    return (stamps - FIRST_OF_EXCEL) / pd.Timedelta(days=1)


def settled(text: str, **lines: str) -> str:
    """Take the mark off what was left open, as its owner does who knows it."""
    for key, value in lines.items():
        found = f"# {key} = {value}"
        assert found in text.splitlines(), (found, text)
        text = text.replace(f"\n{found}\n", f"\n{key} = {value}\n")
    return text


def proposed(folder: Path, *arguments: str) -> tuple[str, dict[str, Any], str]:
    """Run ``embargo init`` with ``--write`` and return the config, what TOML makes of it, and what was said."""
    target = folder / "mine.toml"
    target.unlink(missing_ok=True)
    answer = embargo("init", *(str(folder / one) if "." in one else one for one in arguments), "--write", str(target))
    assert answer.exit_code == 0, answer.stderr
    text = target.read_text()
    return text, tomllib.loads(text), answer.stderr


def is_validated(folder: Path, text: str) -> None:
    (folder / "mine.toml").write_text(text)
    answer = embargo("validate", str(folder / "mine.toml"))
    assert answer.exit_code == 0, answer.output + answer.stderr


def test_semicolons_new_york_time_and_serials_of_a_spreadsheet(
    tmp_path: Path, market: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    news, bars = market
    table = pd.DataFrame({"Date": serials(wall(news["published_at"])), "Ticker": news["symbol"], "Titel": news["text"]})
    table.rename(columns={"Titel": "Schlagzeile für Anleger"}).to_csv(
        tmp_path / "news.csv", sep=";", index=False, encoding="cp1252"
    )
    names = {"open": "Open", "high": "High", "low": "Low", "close": "Last", "volume": "Vol", "symbol": "Ticker"}
    days = serials(wall(bars["open_at"]).dt.normalize()).astype(int)
    bars.rename(columns=names).assign(Day=days).drop(columns="open_at").to_csv(
        tmp_path / "prices.csv", sep=";", index=False
    )
    text, config, said = proposed(tmp_path, "news.csv", "prices.csv")
    assert "left open: news.timezone" in said
    assert config["news"] == {
        "path": "news.csv",
        "columns": {"published_at": "Date", "text": "Schlagzeile für Anleger", "symbol": "Ticker"},
        "encoding": "cp1252",
        "delimiter": ";",
        "time_format": "excel",
    }
    assert config["prices"]["columns"]["close"] == "Last"
    assert (config["prices"]["time_format"], config["prices"]["calendar"]) == ("excel", "XNYS")
    assert "fall on weekends" in text, "weekdays tell which year a spreadsheet counts from"
    # The check of the clock is for the true zone, and against each that would show news early.
    flat = " ".join(text.replace("\n#", "").split())
    assert f"{NEW_YORK} fits: prices moved at the stamps" in flat
    assert re.search(r"UTC is doubted: the stamps look early", flat)
    assert '# timezone = "UTC"' not in text
    refused = embargo("validate", str(tmp_path / "mine.toml"))
    assert (refused.exit_code, "has no time zone" in refused.stderr) == (1, True)
    assert re.search(r"mine\.toml still leaves 1 line OPEN: news\.timezone \(line \d+\)\.", refused.stderr)
    is_validated(tmp_path, settled(text, timezone=f'"{NEW_YORK}"'))


def test_dates_with_the_day_first_are_known_as_their_day_ends(
    tmp_path: Path, market: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    news, bars = market
    day = wall(news["published_at"]).dt.strftime("%d/%m/%Y")
    pd.DataFrame({"date": day, "stock": news["symbol"], "headline": news["text"]}).to_csv(
        tmp_path / "news.csv", index=False
    )
    bars.assign(date=wall(bars["open_at"]).dt.strftime("%d/%m/%Y")).drop(columns="open_at").to_csv(
        tmp_path / "prices.csv", index=False
    )
    text, config, said = proposed(tmp_path, "news.csv", "prices.csv")
    assert "left open" not in said
    assert config["news"]["time_format"] == config["prices"]["time_format"] == "%d/%m/%Y"
    assert re.search(r"row \d+, '\d\d/\d\d/\d{4}', is no '%m/%d/%Y'", text)
    # Whoever knows no zone takes the day that ends last: nothing is known before it is over anywhere.
    assert (config["news"]["date_only"], config["news"]["timezone"]) == ("all", "Etc/GMT+12")
    answer = embargo("validate", str(tmp_path / "mine.toml"))
    assert answer.exit_code in (0, 4), answer.stderr


def test_a_check_names_what_is_still_open_and_a_workbook_beside_the_tables(
    tmp_path: Path, market: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    news, bars = market
    (tmp_path / "news.d").mkdir()
    news[["article_id", "published_at", "symbol", "text"]].to_csv(tmp_path / "news.d" / "2016.csv", index=False)
    (tmp_path / "news.d" / "2017.xlsx").write_bytes(b"PK")
    bars.assign(date=wall(bars["open_at"]).dt.strftime("%Y-%m-%d"), adj_close=bars["close"]).drop(
        columns="open_at"
    ).to_csv(tmp_path / "prices.csv", index=False)
    text, _, said = proposed(tmp_path, "news.d", "prices.csv")
    assert "1 left open: prices.adjust." in said
    assert "# 1 workbook beside the tables is not read: 2017.xlsx." in text
    (line,) = (number for number, each in enumerate(text.splitlines(), start=1) if each.startswith("# OPEN"))
    answer = embargo("validate", str(tmp_path / "mine.toml"))
    assert answer.exit_code == 0, answer.stderr
    assert "news.path: 1 workbook beside the tables is not read: 2017.xlsx." in answer.output
    *_, told, last = answer.output.strip().splitlines()
    assert f"mine.toml still leaves 1 line OPEN: prices.adjust (line {line})." in told
    assert last.startswith("✓ config")
    settling = ["prices.adjust=total_return"]
    assert still_open(text, settling) == still_open(settled(text, adjust='"total_return"')) == []
    assert "OPEN" not in embargo("validate", str(tmp_path / "mine.toml"), "--set", *settling).output
    # Where it is to stay out, the comment that asks goes.
    assert still_open(re.sub(r"(?m)^# OPEN.*\n(#   .*\n)*# adjust.*\n", "", text)) == []


def test_marks_without_a_line_to_take_out_are_named_by_their_place() -> None:
    text = 'name = "a"\n\n[prices]\n# OPEN: two columns hold dates.\n#   Say which.\n\n[news]\n# OPEN: whose clock?\n'
    assert still_open(text) == ["prices (line 4)", "news (line 8)"]
    assert still_open("no toml at all [") == []


def test_parquet_in_utc_needs_nothing_to_be_settled(tmp_path: Path, market: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    news, bars = market
    news[["article_id", "published_at", "symbol", "text", "source"]].to_parquet(tmp_path / "news.parquet", index=False)
    bars.assign(date=wall(bars["open_at"]).dt.normalize()).drop(columns="open_at").to_parquet(
        tmp_path / "prices.parquet", index=False
    )
    text, config, said = proposed(tmp_path, "news.parquet", "prices.parquet")
    assert "left open" not in said
    assert config["news"] == {"path": "news.parquet"}
    assert config["prices"] == {"path": "prices.parquet", "calendar": "XNYS"}
    is_validated(tmp_path, text)


def german(value: float) -> str:
    return f"{value:,.2f}".translate(str.maketrans({",": ".", ".": ","}))


def test_german_names_decimal_commas_and_times_in_two_columns(
    tmp_path: Path, market: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    news, bars = market
    local = wall(news["published_at"])
    pd.DataFrame(
        {
            "Datum": local.dt.strftime("%d.%m.%Y"),
            "Uhrzeit": local.dt.strftime("%H:%M"),
            "Kürzel": news["symbol"],
            "Schlagzeile": news["text"],
        }
    ).to_csv(tmp_path / "news.csv", sep=";", index=False, encoding="cp1252")
    quotes = {"open": "Eröffnung", "high": "Hoch", "low": "Tief", "close": "Schluss"}
    table = bars[["symbol"]].assign(Datum=wall(bars["open_at"]).dt.strftime("%d.%m.%Y"))
    table = table.assign(**{name: bars[name].map(german) for name in quotes})
    table["Volumen"] = bars["volume"].round().map(lambda count: f"{count:,.0f}".replace(",", "."))
    table.rename(columns=quotes | {"symbol": "Kürzel"}).to_csv(
        tmp_path / "prices.csv", sep=";", index=False, encoding="cp1252"
    )
    text, config, said = proposed(tmp_path, "news.csv", "prices.csv")
    assert "1 left open: news.timezone" in said
    assert config["news"]["columns"] == {"text": "Schlagzeile", "symbol": "Kürzel"}
    assert config["news"]["time_from"] == ["Datum", "Uhrzeit"]
    assert config["news"]["time_format"] == "%d.%m.%Y %H:%M"
    assert config["prices"]["columns"] == quotes | {"symbol": "Kürzel", "date": "Datum", "volume": "Volumen"}
    assert [config["prices"][key] for key in ("decimal", "thousands", "calendar")] == [",", ".", "XNYS"]
    # The clock is judged by the joined times: the true zone fits, and one that shows news early does not.
    flat = " ".join(text.replace("\n#", "").split())
    assert f"{NEW_YORK} fits: prices moved at the stamps" in flat
    refused = embargo("validate", str(tmp_path / "mine.toml"))
    assert (refused.exit_code, "columns 'Datum' and 'Uhrzeit', row 1" in refused.stderr) == (1, True)
    is_validated(tmp_path, settled(text, timezone=f'"{NEW_YORK}"'))


def test_signs_that_no_cell_tells_apart_are_left_open_and_refused_until_then(
    tmp_path: Path, market: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    news, bars = market
    news[["published_at", "symbol", "text"]].to_parquet(tmp_path / "news.parquet", index=False)
    either = {name: bars[name].clip(1.0, 999.0).map("{:.3f}".format).str.replace(".", ",") for name in QUOTES}
    days = wall(bars["open_at"]).dt.strftime("%Y-%m-%d")
    bars.assign(date=days, volume=100, **either).drop(columns="open_at").to_csv(
        tmp_path / "prices.csv", sep=";", index=False
    )
    text, config, said = proposed(tmp_path, "news.parquet", "prices.csv")
    assert "left open: prices.decimal, prices.thousands" in said
    assert not {"decimal", "thousands"} & set(config["prices"])
    refused = embargo("validate", str(tmp_path / "mine.toml"))
    assert (refused.exit_code, "set decimal = ','; if it parts thousands" in refused.stderr) == (1, True)
    answer = embargo("validate", str(tmp_path / "mine.toml"), "--set", "prices.decimal=','")
    assert answer.exit_code in (0, 4), answer.stderr
    assert '# decimal = ","' in text
    assert '# thousands = ","' in text


def test_a_column_of_symbols_without_a_telling_name_is_found(
    tmp_path: Path, market: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    news, bars = market
    news[["published_at", "text"]].assign(firma=news["symbol"]).to_csv(tmp_path / "news.csv", index=False)
    bars.assign(date=wall(bars["open_at"]).dt.strftime("%Y-%m-%d")).drop(columns="open_at").rename(
        columns={"symbol": "firma"}
    ).to_csv(tmp_path / "prices.csv", index=False)
    text, config, said = proposed(tmp_path, "news.csv", "prices.csv")
    assert "left open" not in said
    assert config["news"]["columns"]["symbol"] == config["prices"]["columns"]["symbol"] == "firma"
    assert "'firma' names 6 things, such as" in " ".join(text.replace("\n#", "").split())


def test_hourly_bars_with_date_and_time_apart(tmp_path: Path) -> None:
    news, bars = hourly()
    news[["published_at", "symbol", "text"]].to_parquet(tmp_path / "news.parquet", index=False)
    apart = bars.assign(date=bars["open_time"].dt.strftime("%d.%m.%Y"), time=bars["open_time"].dt.strftime("%H:%M"))
    apart.drop(columns="open_time").to_csv(tmp_path / "prices.csv", index=False)
    _, config, said = proposed(tmp_path, "news.parquet", "prices.csv")
    assert "left open: prices.timezone" in said
    assert config["prices"]["time_from"] == ["date", "time"]
    assert [config["prices"][key] for key in ("time_format", "bar")] == ["%d.%m.%Y %H:%M", "1h"]
    answer = embargo("validate", str(tmp_path / "mine.toml"), "--set", "prices.timezone='UTC'")
    assert answer.exit_code in (0, 4), answer.stderr
    # A time beside every day of daily bars says nothing more.
    daily = apart.loc[apart["time"] == "16:00"].drop(columns="open_time")
    daily.to_csv(tmp_path / "prices.csv", index=False)
    _, config, _ = proposed(tmp_path, "news.parquet", "prices.csv")
    assert "time_from" not in config["prices"]
    assert config["prices"]["time_format"] == "%d.%m.%Y"


def hourly() -> tuple[pd.DataFrame, pd.DataFrame]:
    made = simulate_market(SimulatedMarket(n_symbols=4, start="2019-01-01", end="2019-06-30", seed=7_300_002))
    coins = dict(zip(made.prices.symbols, ("BTC/USDT", "ETH/USDT", "XRP/USDT", "LTC/USDT"), strict=True))
    hours = pd.date_range("2019-01-01", "2019-07-01", freq="h", tz="UTC", inclusive="left")
    bars = []
    for place, coin in enumerate(coins.values()):
        drift = pd.Series(range(len(hours))).mul(7 + place).mod(101).sub(50).div(20_000.0)
        close = 100.0 * (1.0 + drift).cumprod().to_numpy()
        opened = close / (1.0 + drift.to_numpy())
        frame = pd.DataFrame(
            {"open_time": hours, "pair": coin, "open": opened, "close": close, "volume": 1_000.0 + place}
        )
        frame["high"], frame["low"] = frame[["open", "close"]].max(axis=1), frame[["open", "close"]].min(axis=1)
        bars.append(frame)
    return made.news.assign(symbol=made.news["symbol"].map(coins)), pd.concat(bars, ignore_index=True)


def test_hourly_coins_with_times_in_milliseconds(tmp_path: Path) -> None:
    news, bars = hourly()
    epoch = (news["published_at"] - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(milliseconds=1)
    rows = pd.DataFrame({"created_utc": epoch, "tickers": news["symbol"].map(lambda one: [one]), "title": news["text"]})
    rows.to_json(tmp_path / "news.jsonl", orient="records", lines=True)
    seconds = (bars["open_time"] - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(seconds=1)
    bars.assign(open_time=seconds).to_csv(tmp_path / "prices.csv", index=False)
    _, config, said = proposed(tmp_path, "news.jsonl", "prices.csv")
    assert "left open" not in said
    assert config["news"]["columns"] == {"published_at": "created_utc", "text": "title", "symbol": "tickers[]"}
    assert config["news"]["timezone"] == "unix:ms"
    assert config["prices"]["columns"]["open_at"] == "open_time"
    assert [config["prices"][key] for key in ("timezone", "calendar", "bar")] == ["unix:s", "24/7", "1h"]
    answer = embargo("validate", str(tmp_path / "mine.toml"))
    assert answer.exit_code in (0, 4), answer.stderr


def test_bars_of_coins_without_a_zone_stay_open(tmp_path: Path) -> None:
    news, bars = hourly()
    news[["published_at", "symbol", "text"]].to_parquet(tmp_path / "news.parquet", index=False)
    bars.assign(open_time=bars["open_time"].dt.tz_localize(None)).to_csv(tmp_path / "prices.csv", index=False)
    text, config, said = proposed(tmp_path, "news.parquet", "prices.csv")
    assert "left open: prices.timezone" in said
    assert "timezone" not in config["prices"]
    refused = embargo("validate", str(tmp_path / "mine.toml"))
    assert (refused.exit_code, "has no time zone" in refused.stderr) == (1, True)
    answer = embargo("validate", str(tmp_path / "mine.toml"), "--set", "prices.timezone='UTC'")
    assert answer.exit_code in (0, 4), answer.stderr
    assert '# timezone = "UTC"' in text


@pytest.mark.parametrize("zone", ["Europe/London", NEW_YORK])
def test_hours_of_an_exchange_tell_the_clock_of_its_bars(
    tmp_path: Path, market: tuple[pd.DataFrame, pd.DataFrame], zone: str
) -> None:
    from embargo.data_loaders.calendars import sessions

    code = {"Europe/London": "XLON", NEW_YORK: "XNYS"}[zone]
    table = sessions(code, pd.Timestamp("2017-01-01"), pd.Timestamp("2018-03-31"))
    opens = pd.concat([table["open_at"] + pd.Timedelta(hours=hour) for hour in range(6)])
    opens = opens[opens < table["close_at"].reindex(opens.index)].sort_values()
    rows = pd.DataFrame({"time": wall(opens, zone).dt.strftime("%Y-%m-%d %H:%M"), "ticker": "ALDR"})
    rows.assign(open=10.0, high=11.0, low=9.0, close=10.5, volume=100).to_csv(tmp_path / "prices.csv", index=False)
    news, _ = market
    news[["published_at", "symbol", "text"]].to_parquet(tmp_path / "news.parquet", index=False)
    _, config, _ = proposed(tmp_path, "news.parquet", "prices.csv")
    assert [config["prices"][key] for key in ("calendar", "bar", "timezone")] == [code, "1h", zone]


def test_prices_of_a_venue_are_not_asked_for(tmp_path: Path, market: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    market[0][["published_at", "symbol", "text"]].to_parquet(tmp_path / "news.parquet", index=False)
    _, shares, said = proposed(tmp_path, "news.parquet", "--yahoo", "ALDR", "--yahoo", "BEXM")
    assert shares["prices"] == {
        "loader": "store",
        "path": "store",
        "venue": "yahoo",
        "symbols": ["ALDR", "BEXM"],
        "calendar": "XNYS",
    }
    assert "news.unpriced" in said, "four symbols of the news have no prices"
    text, coins, _ = proposed(tmp_path, "news.parquet", "--bybit", "BTC/USDT:USDT")
    assert [coins["prices"][key] for key in ("venue", "calendar", "bar")] == ["bybit", "24/7", "1h"]
    assert "embargo fetch bybit BTC/USDT:USDT --market linear --bar 1h" in text
    assert not (tmp_path / "store").exists()


def test_a_config_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("mine")
    answer = embargo("init", "news.csv", "prices.csv", "--write", str(tmp_path / "mine.toml"))
    assert (answer.exit_code, "is there already" in answer.stderr) == (2, True)
    assert (tmp_path / "mine.toml").read_text() == "mine"


@pytest.mark.parametrize("arguments", [("news.csv",), ("news.csv", "prices.csv", "--yahoo", "AAPL")])
def test_prices_are_named_once(arguments: tuple[str, ...]) -> None:
    answer = embargo("init", *arguments)
    assert (answer.exit_code, "name the prices once" in answer.stderr) == (2, True)


def spoilt(news: pd.DataFrame, bars: pd.DataFrame, how: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = pd.DataFrame({"time": news["published_at"], "symbol": news["symbol"], "text": news["text"]})
    days = bars.assign(date=wall(bars["open_at"]).dt.strftime("%Y-%m-%d")).drop(columns="open_at")
    change: dict[str, Callable[[], tuple[pd.DataFrame, pd.DataFrame]]] = {
        "one comma": lambda: (rows, days.assign(close=days["close"].map(lambda x: f"{x:.2f}".replace(".", ",")))),
        "two clocks": lambda: (
            rows.assign(Date=wall(rows.pop("time")).dt.strftime("%Y-%m-%d"), Time="09:30", Heard="10:30"),
            days,
        ),
        "gaps in the clock": lambda: (
            rows.assign(
                Date=wall(rows["time"]).dt.strftime("%Y-%m-%d"),
                Time=pd.Series("09:30", rows.index).where(rows.index > 1),
            ).drop(columns="time"),
            days,
        ),
        "no volume": lambda: (rows, days.drop(columns="volume")),
        "closing stamps": lambda: (rows, days.assign(date=days["date"] + " 16:00")),
        "several": lambda: (rows.assign(symbol=rows["symbol"] + ", " + rows["symbol"].iloc[0]), days),
        "small letters": lambda: (rows.assign(symbol=rows["symbol"].str.lower()), days),
        "midnights": lambda: (
            rows.assign(time=rows["time"].where(rows.index % 20 != 0, rows["time"].dt.normalize())),
            days,
        ),
        "two times": lambda: (rows.assign(updated_at=rows["time"] + pd.Timedelta(hours=1)), days),
        "clock apart": lambda: (rows.assign(Date=wall(rows.pop("time")).dt.strftime("%Y-%m-%d"), Time="09:30"), days),
        "words": lambda: (rows.assign(time="last week"), days),
    }
    return change[how]()


@pytest.mark.parametrize(
    ("how", "said", "config"),
    [
        ("one comma", "has a decimal comma, and", {}),
        ("two clocks", "nobody can tell which of them goes with the date: only the date is read", {"date_only": "all"}),
        ("gaps in the clock", "2 dates have none beside them", {"date_only": "all"}),
        ("no volume", "a file without volume cannot be traded from", {}),
        ("closing stamps", "A daily bar is named by its trading day alone", {}),
        ("several", "name several symbols between ','", {"symbol_separator": ","}),
        ("small letters", "the news write 'aldr', and the prices 'ALDR'", {"symbol_case": "upper"}),
        ("midnights", "exactly midnight, which chance makes one in 1,440", {"date_only": "midnight"}),
        ("two times", "nothing is known before it", {}),
        ("clock apart", "'Date' holds dates and 'Time' the time of day", {"time_from": ["Date", "Time"]}),
        ("words", "is like no known form of times", {}),
    ],
)
def test_what_is_odd_is_told_where_it_is_set(
    tmp_path: Path, market: tuple[pd.DataFrame, pd.DataFrame], how: str, said: str, config: dict[str, str]
) -> None:
    rows, days = spoilt(*market, how)
    rows.to_csv(tmp_path / "news.csv", index=False)
    days.to_csv(tmp_path / "prices.csv", index=False)
    text, found, _ = proposed(tmp_path, "news.csv", "prices.csv")
    assert said in " ".join(text.replace("\n#", "").split())
    assert config.items() <= found["news"].items()


def test_nothing_from_the_files_gets_out_of_a_comment(
    tmp_path: Path, market: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    news, bars = market
    odd = 'head\nline = "x"\x1b[31m\x9b\u202e'
    rows = pd.DataFrame({"time": news["published_at"], "symbol": "a'b\"\\", odd: news["text"]})
    rows.to_parquet(tmp_path / "news.parquet", index=False)
    bars.assign(date=wall(bars["open_at"]).dt.normalize()).to_parquet(tmp_path / "prices.parquet", index=False)
    text, config, _ = proposed(tmp_path, "news.parquet", "prices.parquet")
    assert config["news"]["columns"]["text"] == odd
    assert not {"\x1b", "\x9b", "\u202e"} & set(text)
    assert set(config) == {"name", "news", "prices", "labels", "split", "model"}
