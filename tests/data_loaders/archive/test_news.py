"""Files come in as they are or not at all: nothing is guessed, and everything set aside is counted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.data_loaders.archive import read_news, read_prices, stream_bars, stream_news, streams, tables
from embargo.data_loaders.archive.times import instants_of
from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError

STORIES = [
    {"id": "1", "when": "2020-03-05T09:00:00-05:00", "ticker": "NA", "body": "Alpha, up 3%", "likes": 5, "spam": False},
    {"id": "2", "when": "2020-03-05T15:00:00Z", "ticker": "BBB", "body": 'He said "no"', "likes": 2, "spam": False},
    {
        "id": "007",
        "when": "2020-03-06T01:30:00.250+01:00",
        "ticker": "BBB",
        "body": "Two\nlines",
        "likes": 9,
        "spam": True,
    },
]
FIRST, LAST = (datetime.fromisoformat(f"{year}-01-02") for year in (1700, 2200))
MAP = {"article_id": "id", "published_at": "when", "symbol": "ticker", "text": "body"}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    frame = pd.DataFrame(rows)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture(params=["parquet", "csv", "jsonl"])
def put(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[list[dict[str, Any]]], Path]:
    return lambda rows: write(tmp_path / f"data.{request.param}", rows)


def test_every_format_reads_the_same_and_keeps_awkward_ids_and_tickers(put: Callable[..., Path]) -> None:
    loaded = read_news(put(STORIES), columns=MAP)
    assert loaded.frame["article_id"].tolist() == ["1", "2", "007"]
    assert loaded.frame["symbol"].tolist() == ["NA", "BBB", "BBB"]
    assert loaded.frame["text"].tolist() == ["Alpha, up 3%", 'He said "no"', "Two\nlines"]
    assert loaded.frame["known_at"].tolist() == [
        pd.Timestamp("2020-03-05 14:00", tz="UTC"),
        pd.Timestamp("2020-03-05 15:00", tz="UTC"),
        pd.Timestamp("2020-03-06 00:30:00.25", tz="UTC"),
    ]
    assert loaded.counts["rows"] == loaded.counts["kept"] == 3


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({"spam": False}, ["1", "2"]),
        ({"ticker": "BBB", "likes": {"min": 3}}, ["007"]),
        ({"likes": {"min": 2, "max": 5}}, ["1", "2"]),
        ({"likes": 9}, ["007"]),
        ({"ticker": ["NA", "CCC"]}, ["1"]),
        ({"likes": [2, 5]}, ["1", "2"]),
    ],
)
def test_filters_mean_the_same_in_every_format(
    put: Callable[..., Path], filters: dict[str, Any], kept: list[str]
) -> None:
    loaded = read_news(put(STORIES), columns=MAP, filters=filters)
    assert sorted(loaded.frame["article_id"]) == sorted(kept)
    removed = sum(count for name, count in loaded.counts.items() if name.startswith("filtered:"))
    assert removed == 3 - len(kept)


@pytest.mark.parametrize("bound", ["2020-03-05 23:00 GMT+8", "2020-03-05 23:00 UTC+08:00", "now"])
def test_a_bound_of_a_filter_says_one_instant(tmp_path: Path, bound: str) -> None:
    at = pd.to_datetime(["2020-03-05 14:59Z", "2020-03-05 15:00Z", "2020-03-06 07:00Z"])
    frame = pd.DataFrame({**dict.fromkeys(("symbol", "text", "source"), "x"), "published_at": at, "indexed": at})
    frame.to_parquet(tmp_path / "n.parquet")
    late = read_news(tmp_path / "n.parquet", filters={"indexed": {"min": "2020-03-05 23:00+08:00"}})
    assert late.frame["published_at"].tolist() == at[1:].tolist()
    with pytest.raises(ConfigError, match=f"min = {re.escape(repr(bound))} does not compare"):
        read_news(tmp_path / "n.parquet", filters={"indexed": {"min": bound}})


def test_a_folder_is_read_whole_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "PIECE_ROWS", 2)
    (tmp_path / "2021").mkdir()
    write(tmp_path / "a.parquet", STORIES)
    write(tmp_path / "2021" / "b.parquet", [{**row, "id": f"b{row['id']}"} for row in STORIES])
    seen: list[tuple[int, int]] = []
    loaded = read_news(tmp_path, columns=MAP, progress=lambda done, total: seen.append((done, total)))
    assert loaded.counts["kept"] == 6
    assert seen == [(1, 2), (2, 2)]
    write(tmp_path / "c.csv", STORIES)
    with pytest.raises(DataError, match="mixes"):
        read_news(tmp_path, columns=MAP)


def test_pieces_do_not_change_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{**STORIES[0], "id": str(number), "likes": number} for number in range(23)]
    for kind in ("parquet", "jsonl", "csv"):
        path = write(tmp_path / f"many.{kind}", rows)
        whole = read_news(path, columns=MAP, filters={"likes": {"max": 17}})
        monkeypatch.setattr(tables, "PIECE_ROWS", 4)
        cut = read_news(path, columns=MAP, filters={"likes": {"max": 17}})
        monkeypatch.undo()
        pd.testing.assert_frame_equal(whole.frame, cut.frame)
        assert whole.counts == cut.counts


def test_naive_times_are_refused_until_their_zone_is_named(put: Callable[..., Path]) -> None:
    rows = [STORIES[0], {**STORIES[1], "when": "2020-07-01 09:30:00"}]
    path = put(rows)
    with pytest.raises(DataError, match=r"row 2: the time '2020-07-01 09:30:00' has no time zone"):
        read_news(path, columns=MAP)
    loaded = read_news(path, columns=MAP, timezone="America/New_York")
    assert loaded.frame["published_at"].tolist() == [
        pd.Timestamp("2020-03-05 14:00", tz="UTC"),
        pd.Timestamp("2020-07-01 13:30", tz="UTC"),
    ]


def test_naive_parquet_timestamps_are_refused_too(tmp_path: Path) -> None:
    path = write(tmp_path / "n.parquet", [{**STORIES[0], "when": pd.Timestamp("2020-01-01 10:00")}])
    with pytest.raises(DataError, match=r"row 1: the time .* has no time zone"):
        read_news(path, columns=MAP)
    loaded = read_news(path, columns=MAP, timezone="Asia/Tokyo")
    assert loaded.frame["published_at"].iloc[0] == pd.Timestamp("2020-01-01 01:00", tz="UTC")


def test_at_clock_changes_the_later_instant_is_taken_and_counted(put: Callable[..., Path]) -> None:
    rows = [
        {**STORIES[0], "id": "twice", "when": "2020-11-01 01:30:00"},
        {**STORIES[0], "id": "never", "when": "2020-03-08 02:30:00"},
        {**STORIES[0], "id": "plain", "when": "2020-03-09 02:30:00"},
    ]
    loaded = read_news(put(rows), columns=MAP, timezone="America/New_York")
    stamps = loaded.frame.set_index("article_id")["published_at"]
    assert stamps["twice"] == pd.Timestamp("2020-11-01 06:30", tz="UTC")
    assert stamps["never"] == pd.Timestamp("2020-03-08 07:00", tz="UTC")
    assert stamps["plain"] == pd.Timestamp("2020-03-09 06:30", tz="UTC")
    assert loaded.counts["uncertain_local_times"] == 2


@pytest.mark.parametrize(
    ("when", "complaint"),
    [
        ("2020-01-01", "a date without a time of day"),
        ("2019-12-01", "a date without a time of day"),
        ("yesterday T10:00Z", "no ISO 8601 time"),
        ("Wed Jan 01 03:59:03 +0000 2014", "no time zone|no ISO"),
    ],
)
def test_unreadable_times_are_named(put: Callable[..., Path], when: str, complaint: str) -> None:
    with pytest.raises(DataError, match=f"row 2.*({complaint})"):
        read_news(put([STORIES[0], {**STORIES[1], "when": when}]), columns=MAP)


def test_numbers_are_no_times(tmp_path: Path) -> None:
    path = write(tmp_path / "n.jsonl", [{**STORIES[0], "when": 1_583_416_800}])
    with pytest.raises(DataError, match="nobody can tell its unit"):
        read_news(path, columns=MAP)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.datetimes(FIRST, LAST),
            st.integers(-14 * 60, 14 * 60),
            st.sampled_from("T "),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_iso_texts_with_offsets_keep_their_instant(moments: list[tuple[datetime, int, str]]) -> None:
    stamps = [moment.replace(tzinfo=timezone(timedelta(minutes=minutes))) for moment, minutes, _ in moments]
    texts = [stamp.isoformat(sep=sep) for stamp, (_, _, sep) in zip(stamps, moments, strict=True)]
    result = instants_of(pd.Series(texts, dtype="str"), None, {}, where="x")
    assert list(result) == [pd.Timestamp(stamp) for stamp in stamps]


def test_undated_blank_and_foreign_rows_are_set_aside_and_counted(put: Callable[..., Path]) -> None:
    rows = [
        STORIES[0],
        {**STORIES[1], "id": "u", "when": None},
        {**STORIES[1], "id": "b", "body": "   "},
        {**STORIES[1], "id": "s", "ticker": None},
        {**STORIES[1], "id": "o", "ticker": "OTHER"},
        {**STORIES[1], "id": "l", "when": "2021-01-01T00:00:00Z"},
        {**STORIES[1], "id": "e", "when": "2019-12-31T23:59:59Z"},
    ]
    loaded = read_news(put(rows), columns=MAP, symbols=["NA", "BBB"], start="2020-01-01", end="2021-01-01")
    assert loaded.frame["article_id"].tolist() == ["1"]
    expected = {"undated": 1, "blank_text": 1, "without_symbol": 1, "other_symbols": 1, "out_of_range": 2, "kept": 1}
    assert {name: loaded.counts[name] for name in expected} == expected
    assert loaded.counts["rows"] == sum(expected.values())


def test_title_and_body_are_joined_and_cut(put: Callable[..., Path]) -> None:
    rows = [{**STORIES[0], "title": "Head"}, {**STORIES[1], "title": None}]
    loaded = read_news(put(rows), columns=MAP, text_from=("title", "body"), max_characters=10)
    assert loaded.frame["text"].tolist() == ["Head\nAlpha", 'He said "n']
    assert loaded.counts["truncated"] == 2


def test_flags_make_one_row_per_symbol(put: Callable[..., Path]) -> None:
    rows = [
        {**STORIES[0], "btc": True, "eth": True},
        {**STORIES[1], "btc": False, "eth": True},
        {**STORIES[2], "btc": False, "eth": False},
    ]
    loaded = read_news(put(rows), columns=MAP, symbol_flags={"btc": "BTC", "eth": "ETH"})
    assert list(zip(loaded.frame["article_id"], loaded.frame["symbol"], strict=True)) == [
        ("1", "BTC"),
        ("1", "ETH"),
        ("2", "ETH"),
    ]
    assert loaded.counts["without_symbol"] == 1
    assert loaded.counts["rows_added_by_flags"] == 1


def test_a_constant_symbol_and_made_ids(put: Callable[..., Path]) -> None:
    names = {name: source for name, source in MAP.items() if name not in ("article_id", "symbol")}
    loaded = read_news(put([STORIES[0], STORIES[1], STORIES[1]]), columns=names, symbol="SPX")
    assert set(loaded.frame["symbol"]) == {"SPX"}
    assert loaded.frame["article_id"].is_unique
    assert loaded.counts["identical_rows_collapsed"] == 1
    again = read_news(put([STORIES[1], STORIES[0]]), columns=names, symbol="SPX")
    assert again.frame["article_id"].tolist() == loaded.frame["article_id"].tolist()


@pytest.mark.parametrize(("rule", "delayed"), [("vague", ["1"]), ("midnight", ["2"]), ("all", ["1", "2", "3"])])
def test_articles_with_a_date_only_are_known_when_their_day_ends(
    put: Callable[..., Path], rule: str, delayed: list[str]
) -> None:
    rows = [
        {**STORIES[0], "id": "1", "when": "2020-03-05T14:00:00-05:00", "vague": True},
        {**STORIES[0], "id": "2", "when": "2020-03-05T00:00:00-05:00", "vague": False},
        {**STORIES[0], "id": "3", "when": "2020-03-05T12:00:00-05:00", "vague": False},
    ]
    loaded = read_news(put(rows), columns=MAP, date_only=rule, timezone="America/New_York")
    end_of_day = pd.Timestamp("2020-03-06 05:00", tz="UTC")
    late = loaded.frame.loc[loaded.frame["known_at"] == end_of_day, "article_id"]
    assert sorted(late) == delayed
    rest = loaded.frame[~loaded.frame["article_id"].isin(delayed)]
    assert (rest["known_at"] == rest["published_at"]).all()
    assert loaded.counts["date_only"] == len(delayed)


def test_bare_dates_wait_for_the_local_midnight_across_the_clock_change(put: Callable[..., Path]) -> None:
    rows = [{**STORIES[0], "when": "2020-03-08"}]
    loaded = read_news(put(rows), columns=MAP, date_only="all", timezone="America/New_York")
    assert loaded.frame["published_at"].iloc[0] == pd.Timestamp("2020-03-08 05:00", tz="UTC")
    assert loaded.frame["known_at"].iloc[0] == pd.Timestamp("2020-03-09 04:00", tz="UTC")
    with pytest.raises(DataError, match="no time zone"):
        read_news(put(rows), columns=MAP, date_only="all")


def test_a_seen_at_column_counts_and_gaps_in_it_fall_back(put: Callable[..., Path]) -> None:
    rows = [{**STORIES[0], "got": "2020-03-07T00:00:00Z"}, {**STORIES[1], "got": None}]
    loaded = read_news(put(rows), columns=MAP | {"seen_at": "got"}).frame.set_index("article_id")
    assert loaded.loc["1", "known_at"] == pd.Timestamp("2020-03-07", tz="UTC")
    assert loaded.loc["2", "known_at"] == loaded.loc["2", "published_at"]


def test_one_key_with_two_contents_is_refused(put: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=r"article '1' of 'NA' stands there 2 times with different \['text'\]"):
        read_news(put([STORIES[0], {**STORIES[0], "body": "changed"}]), columns=MAP)
    with pytest.raises(DataError, match="different texts or times under different symbols, first '1'"):
        read_news(put([STORIES[0], {**STORIES[0], "ticker": "X", "body": "changed"}]), columns=MAP)


@pytest.mark.parametrize(
    ("request_changes", "error", "complaint"),
    [
        ({"columns": {}}, DataError, "no column for published_at"),
        ({"columns": {"published_at": "when"}}, DataError, "no column for text"),
        ({"columns": {"published_at": "when", "text": "body"}}, DataError, "no symbols"),
        ({"columns": MAP | {"text": "nope"}}, DataError, r"missing columns \['nope'\]"),
        ({"filters": {"nope": 1}}, DataError, r"missing columns \['nope'\]"),
        ({"filters": {"likes": {"least": 1}}}, ConfigError, "knows 'min' and 'max'"),
        ({"filters": {"ticker": "ZZZ"}}, DataError, "no article is left"),
        ({"symbol": "A", "symbol_flags": {"spam": "B"}}, ConfigError, "Use one"),
        ({"start": "2020-02-01", "end": "2020-01-01"}, ConfigError, "not after start"),
        ({"start": "someday"}, ConfigError, "no date"),
        ({"start": "now"}, ConfigError, "no date"),
        ({"end": "2024-07-15 08:30 GMT+8"}, ConfigError, r"GMT\+8' is no date"),
        ({"max_characters": 0}, ConfigError, "max_characters"),
    ],
)
def test_requests_that_cannot_work_say_why(
    tmp_path: Path, request_changes: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    path = write(tmp_path / "n.parquet", STORIES)
    with pytest.raises(error, match=complaint):
        read_news(path, **({"columns": MAP} | request_changes))


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match=r"nowhere\.parquet"):
        read_news(tmp_path / "nowhere.parquet", columns=MAP)
    with pytest.raises(MissingPartError, match="holds no"):
        read_news(tmp_path, columns=MAP)
    (tmp_path / "x.docx").write_text("x")
    with pytest.raises(DataError, match=r"'.docx' is unknown"):
        read_news(tmp_path / "x.docx", columns=MAP)
    broken = tmp_path / "b.jsonl"
    broken.write_text(json.dumps(STORIES[0]) + "\n{broken\n")
    with pytest.raises(DataError, match="line 2: not JSON"):
        read_news(broken, columns=MAP)


def bar_rows(**changes: Any) -> list[dict[str, Any]]:
    rows = []
    for symbol, level in (("AAA", 10.0), ("BBB", 20.0)):
        for number, day in enumerate(["2014-07-02", "2014-07-03", "2014-07-07"]):
            price = level + number
            rows.append(
                {"symbol": symbol, "date": day, "open": price, "high": price + 1, "low": price - 1, "close": price}
                | {"volume": 100, "adj_close": price / 2}
            )
    return [row | changes if index == 4 else row for index, row in enumerate(rows)]


def test_daily_bars_get_the_session_s_open_and_close(put: Callable[..., Path]) -> None:
    loaded = read_prices(put(bar_rows()), calendar="XNYS")
    prices = loaded.prices
    assert prices.symbols == ["AAA", "BBB"]
    assert prices.close_at[1] == pd.Timestamp("2014-07-03 17:00", tz="UTC")
    assert prices.open.loc[prices.open_at[2]].tolist() == [12.0, 22.0]
    assert prices.adjustment == "none"
    assert loaded.counts["rows"] == 6
    assert loaded.counts["missing_bars"] == loaded.counts["absent_bars"] == 0


def test_total_return_scales_the_four_prices_and_not_the_volume(put: Callable[..., Path]) -> None:
    prices = read_prices(put(bar_rows()), calendar="XNYS", adjust="total_return").prices
    assert prices.high.iloc[0].tolist() == [5.5, 10.5]
    assert prices.volume.iloc[0].tolist() == [100, 100]
    assert prices.adjustment == "splits+dividends"


def test_labels_stamped_midnight_in_new_york_are_days_whatever_their_offset(put: Callable[..., Path]) -> None:
    rows = [{**row, "date": f"{row['date']} 00:00:00-04:00"} for row in bar_rows()]
    assert read_prices(put(rows), calendar="XNYS").prices.open_at[0] == pd.Timestamp("2014-07-02 13:30", tz="UTC")


def test_stamps_stored_in_utc_need_their_zone(tmp_path: Path) -> None:
    rows = [{**row, "date": pd.Timestamp(row["date"], tz="America/New_York").tz_convert("UTC")} for row in bar_rows()]
    path = write(tmp_path / "p.parquet", rows)
    with pytest.raises(DataError, match="carries a time of day"):
        read_prices(path, calendar="XNYS")
    prices = read_prices(path, calendar="XNYS", timezone="America/New_York").prices
    assert prices.open_at[0] == pd.Timestamp("2014-07-02 13:30", tz="UTC")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"open": 0.0}, r"row 5: open of BBB on 2014-07-03 is 0 \(1 such value\)"),
        ({"low": -1.0}, "row 5: low of BBB on 2014-07-03 is -1"),
        ({"volume": -5}, "row 5: volume of BBB"),
        ({"close": "dear"}, "row 5: 'dear' is no number"),
        ({"date": "2014-07-04"}, "no session of XNYS, first 2014-07-04"),
        ({"date": "2014-07-03T10:00:00"}, "row 5: .* carries a time of day"),
        ({"date": None}, "row 5: the date is missing"),
        ({"date": "2014-07-02"}, "BBB has several different bars at 2014-07-02"),
        ({"low": 99.0, "high": 98.0}, "low exceeds high for BBB"),
    ],
)
def test_bad_bars_name_row_symbol_and_day(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read_prices(write(tmp_path / "p.csv", bar_rows(**changes)), calendar="XNYS")


def test_a_filter_or_the_range_can_exclude_a_bad_price(put: Callable[..., Path]) -> None:
    path = put(bar_rows(open=0.0))
    loaded = read_prices(path, calendar="XNYS", filters={"open": {"min": 1e-9}})
    assert loaded.counts["filtered:open"] == 1
    assert np.isnan(loaded.prices.open["BBB"].iloc[1])
    assert loaded.counts["missing_bars"] == 1
    assert read_prices(path, calendar="XNYS", symbols=["AAA"]).prices.symbols == ["AAA"]
    late = read_prices(path, calendar="XNYS", start="2014-07-04")
    assert len(late.prices.open_at) == 1
    assert late.counts["out_of_range"] == 4


def test_empty_rows_gaps_and_late_starters_are_counted(put: Callable[..., Path]) -> None:
    rows = [row for row in bar_rows() if not (row["symbol"] == "AAA" and row["date"] == "2014-07-02")]
    rows[3] |= {"open": None, "high": None, "low": None, "close": None, "volume": 0}
    loaded = read_prices(put(rows), calendar="XNYS", symbols=["BBB", "AAA"])
    assert loaded.prices.symbols == ["BBB", "AAA"]
    assert loaded.counts["empty_rows"] == loaded.counts["missing_bars"] == loaded.counts["zero_volume_rows"] == 1
    assert loaded.prices.open["AAA"].isna().tolist() == [True, False, False]


def test_identical_rows_collapse_and_absent_sessions_are_counted(put: Callable[..., Path]) -> None:
    rows = [row for row in bar_rows() if row["date"] != "2014-07-03"]
    loaded = read_prices(put(rows + rows[:1]), calendar="XNYS")
    assert loaded.counts["identical_rows_collapsed"] == 1
    assert loaded.counts["absent_bars"] == 1


def test_symbols_without_prices_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", bar_rows())
    with pytest.raises(DataError, match=r"no prices for \['ZZZ'\]"):
        read_prices(path, calendar="XNYS", symbols=["AAA", "ZZZ"])
    undated = [{name: value for name, value in row.items() if name != "date"} for row in bar_rows()]
    with pytest.raises(DataError, match=r"no columns for \['date'\]"):
        read_prices(write(path, undated), calendar="XNYS")


@pytest.mark.parametrize(("bar", "adjust"), [("soon", "none"), ("2d", "none"), ("-1h", "none"), ("1d", "splits")])
def test_unknown_bars_and_adjustments_are_refused(tmp_path: Path, bar: str, adjust: Any) -> None:
    with pytest.raises(ConfigError):
        read_prices(write(tmp_path / "p.csv", bar_rows()), calendar="XNYS", bar=bar, adjust=adjust)


def test_intraday_bars_close_one_length_after_they_open(put: Callable[..., Path]) -> None:
    hours = [f"2022-01-01T0{hour}:00:00+00:00" for hour in (0, 1, 3)]
    rows = [
        {"open_time": hour, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 1.0, "venue": venue}
        for hour in hours
        for venue in ("spot", "perp")
    ]
    rows[1]["close"] = 1.6
    path = put(rows)
    request: dict[str, Any] = {"calendar": "24/7", "bar": "1h", "columns": {"open_at": "open_time"}, "symbol": "BTC"}
    loaded = read_prices(path, **request, filters={"venue": "spot"})
    assert (loaded.prices.close_at - loaded.prices.open_at == pd.Timedelta(hours=1)).all()
    assert loaded.counts["absent_bars"] == 1
    with pytest.raises(DataError, match="perhaps from several venues"):
        read_prices(path, **request)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 4 rows, batches of 8."""
    monkeypatch.setattr(tables, "PIECE_ROWS", 4)
    monkeypatch.setattr(streams, "PIECE_ROWS", 4)
    monkeypatch.setattr(streams, "BATCH_ROWS", 8)


def days_around_the_clock_change() -> list[dict[str, Any]]:
    days = pd.date_range("2020-03-01", "2020-03-20").strftime("%Y-%m-%d")
    rows = [{**STORIES[0], "id": f"{day}-{number}", "when": day} for day in days for number in range(2)]
    rows[7] |= {"when": None}
    rows[9] |= {"body": ""}
    return rows


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv"])
def test_a_stream_says_what_reading_at_once_says(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"n.{kind}", days_around_the_clock_change())
    rules: dict[str, Any] = {"columns": MAP, "date_only": "all", "timezone": "America/New_York", "end": "2020-03-18"}
    whole = read_news(path, **rules)
    stream = stream_news(path, **rules)
    frames = list(stream)
    assert len(frames) > 1 or kind == "csv"
    order = ["known_at", "article_id", "symbol"]
    pd.testing.assert_frame_equal(pd.concat(frames).sort_values(order, ignore_index=True), whole.frame)
    assert stream.counts == whole.counts
    assert (stream.counts["undated"], stream.counts["blank_text"]) == (1, 1)
    ends = whole.frame.set_index(whole.frame["article_id"].str.slice(0, 10))["known_at"]
    assert set(ends["2020-03-07"]) == {pd.Timestamp("2020-03-08 05:00", tz="UTC")}
    assert set(ends["2020-03-08"]) == {pd.Timestamp("2020-03-09 04:00", tz="UTC")}
    assert len(list(stream)) == len(frames)
    assert stream.counts == whole.counts


def test_a_stream_reads_no_further_than_it_is_asked(tmp_path: Path, small_batches: None) -> None:
    rows = [{**STORIES[0], "id": str(number)} for number in range(40)]
    rows[30] |= {"when": "2020-01-01T00:00:00"}
    stream = iter(stream_news(write(tmp_path / "n.jsonl", rows), columns=MAP))
    assert len(next(stream)) == 8
    with pytest.raises(DataError, match=r"row 31: .* has no time zone"):
        list(stream)


@pytest.mark.parametrize(("unit", "factor"), [("unix:s", 1), ("unix:ms", 1_000), ("unix:ns", 10**9)])
def test_epoch_times_are_read_once_their_unit_is_named(put: Callable[..., Path], unit: str, factor: int) -> None:
    rows = [{**STORIES[0], "when": 1_583_416_800 * factor}]
    path = put(rows)
    assert read_news(path, columns=MAP, timezone=unit).frame["published_at"].tolist() == [
        pd.Timestamp("2020-03-05 14:00", tz="UTC")
    ]
    days = read_news(path, columns=MAP, timezone=unit, date_only="all").frame
    assert days["known_at"].tolist() == [pd.Timestamp("2020-03-06", tz="UTC")]
    with pytest.raises(ConfigError, match="timezone = 'Mars' is unknown"):
        read_news(path, columns=MAP, timezone="Mars")


@pytest.mark.usefixtures("small_batches")
def test_bars_stream_as_facts_with_the_instants_of_their_sessions(put: Callable[..., Path]) -> None:
    rows = [{**row, "symbol": f"{row['symbol']}{number}"} for number in range(4) for row in bar_rows()]
    rows[3] |= {"open": None, "high": None, "low": None, "close": None}
    path = put(rows)
    stream = stream_bars(path, venue="vendor", calendar="XNYS", end="2014-07-04")
    bars = pd.concat(list(stream), ignore_index=True)
    assert list(bars.columns) == [
        *("venue", "symbol", "bar", "open_at", "close_at", "open", "high", "low", "close", "volume")
    ]
    assert set(bars["close_at"]) == {
        pd.Timestamp("2014-07-02 20:00", tz="UTC"),
        pd.Timestamp("2014-07-03 17:00", tz="UTC"),
    }
    panel = read_prices(path, calendar="XNYS", end="2014-07-04").prices
    wide = bars.pivot(index="open_at", columns="symbol", values="close").reindex(columns=panel.symbols)  # noqa: PD010
    np.testing.assert_allclose(wide.to_numpy(), panel.close.to_numpy())
    assert {name: stream.counts[name] for name in ("rows", "empty_rows", "out_of_range", "kept")} == {
        "rows": 24,
        "empty_rows": 1,
        "out_of_range": 8,
        "kept": 15,
    }


def test_streamed_bars_keep_a_stated_sighting_and_refuse_crossed_ones(tmp_path: Path) -> None:
    hours = [
        {"open_at": f"2022-01-01T0{hour}:00Z", "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 1.0}
        for hour in (0, 1)
    ]
    hours[0] |= {"seen_at": "2022-01-05T00:00Z"}
    request: dict[str, Any] = {"venue": "v", "calendar": "24/7", "bar": "1h", "symbol": "BTC"}
    (bars,) = stream_bars(write(tmp_path / "p.csv", hours), **request)
    assert bars["seen_at"].tolist() == [pd.Timestamp("2022-01-05", tz="UTC"), pd.NaT]
    assert (bars["close_at"] - bars["open_at"] == pd.Timedelta(hours=1)).all()
    hours[1] |= {"low": 3.0, "high": 2.5}
    with pytest.raises(DataError, match=r"low 3 exceeds high 2.5 for BTC at 2022-01-01 01:00"):
        list(stream_bars(write(tmp_path / "p.csv", hours), **request))


def test_a_date_that_stands_for_a_time_is_the_end_of_its_day(put: Callable[[list[dict[str, Any]]], Path]) -> None:
    row = {"symbol": "A", "text": "x"}
    path = put(
        [
            row | {"article_id": "1", "published_at": "2024-01-01", "seen_at": "2024-01-01T01:00:00Z", "vague": False},
            row | {"article_id": "2", "published_at": "2024-01-01T10:00", "seen_at": "2024-01-05", "vague": False},
        ]
    )
    frame = read_news(path, timezone="America/New_York", date_only="vague").frame.set_index("article_id")
    assert frame["known_at"]["1"] == pd.Timestamp("2024-01-02 05:00", tz="UTC")
    assert frame["known_at"]["2"] == pd.Timestamp("2024-01-06 05:00", tz="UTC")


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_whole_numbers_beside_missing_ones_keep_all_their_digits(tmp_path: Path, kind: str) -> None:
    ids = [2**60 + 1, 2**60 + 2, None]
    rows = {
        "article_id": ids,
        "symbol": [700, 5, None],
        "published_at": "2024-01-01T10:00:00Z",
        "text": "x",
        "ok": [1, 1, 0],
    }
    frame = pd.DataFrame({name: pd.Series(value, dtype="object") for name, value in rows.items()}, index=range(3))
    path = tmp_path / f"news.{kind}"
    if kind == "parquet":
        frame.astype({"article_id": "Int64", "symbol": "Int64", "ok": "int64", "text": "str"}).ffill().assign(
            article_id=pd.array(ids, dtype="Int64"), symbol=pd.array(rows["symbol"], dtype="Int64")
        ).to_parquet(path)
    else:
        records = [
            {name: value[number] if isinstance(value, list) else value for name, value in rows.items()}
            for number in range(3)
        ]
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    kept = read_news(path, filters={"ok": 1}).frame
    assert list(zip(kept["article_id"], kept["symbol"], strict=True)) == [
        (str(2**60 + 1), "700"),
        (str(2**60 + 2), "5"),
    ]


@pytest.mark.parametrize("odd", ['"x\\ud83d"', "9" * 5000, "[" * 100_000])
def test_odd_json_is_named_by_its_line(tmp_path: Path, odd: str) -> None:
    path = tmp_path / "news.jsonl"
    path.write_text(f'{{"article_id": "1", "published_at": "2024-01-01T10:00:00Z", "symbol": "A", "text": {odd}}}\n')
    with pytest.raises(DataError, match=r"news\.jsonl, line 1"):
        read_news(path)
