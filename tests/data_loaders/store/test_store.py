"""What a store promises at its door: instants, edits, prices, ad-hoc questions, addresses, and errors that say so."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from embargo.data_loaders.calendars import sessions
from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.data_loaders.schemas import validate_news, validate_prices
from embargo.data_loaders.store import Cover, Snapshot, Store

MICROSECOND = pd.Timedelta(microseconds=1)


def utc(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC").as_unit("us")


NOW = utc("2024-06-03 12:00")
IMPORTED = utc("2024-01-02")


def story(text: str = "Alpha wins", **changes: Any) -> pd.DataFrame:
    row = {"article_id": "1", "symbol": "AAA", "text": text, "published_at": utc("2020-03-05 14:00"), "source": "wire"}
    return pd.DataFrame([row | changes])


def daily_bars(symbols: list[str], start: str = "2024-01-02", end: str = "2024-01-31") -> pd.DataFrame:
    table = sessions("XNYS", pd.Timestamp(start), pd.Timestamp(end))
    frames = []
    for number, symbol in enumerate(symbols, start=1):
        level = 100.0 * number + np.arange(len(table))
        prices = {"open": level, "high": level + 1, "low": level - 1, "close": level, "volume": 1e6}
        frames.append(table.reset_index(drop=True).assign(venue="yahoo", symbol=symbol, bar="1d", **prices))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(params=["folder", "file", "memory", "odd"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    match request.param:
        case "folder":
            return Store.create(tmp_path / "store")
        case "file":
            return Store.create(f"file://{tmp_path}/store")
        case "odd":
            return Store.create(tmp_path / "it's [a] *st?re")
        case _:
            return Store.create(f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def test_a_store_is_found_again_wherever_it_lies(store: Store) -> None:
    cover = Cover("news", "wire", "AAA", "", utc("2020-03-01"), utc("2020-04-01"))
    batch = store.append("news", story(), source="wire", committed_at=NOW, covers=[cover])
    assert Store.create(store.root).batches() == [batch]
    again = Store.open(store.root)
    assert again.batches() == [batch]
    assert again.sources() == {"wire"}
    assert again.covered("news", "wire", "AAA") == [(cover.start, cover.end)]
    assert again.missing("news", "wire", "AAA", utc("2020-02-01"), utc("2020-05-01")) == [
        (utc("2020-02-01"), cover.start),
        (cover.end, utc("2020-05-01")),
    ]
    assert again.missing("news", "wire", "BBB", NOW, NOW) == []
    frame = again.as_of(NOW).news()
    assert frame["text"].tolist() == ["Alpha wins"]
    assert again.sql("SELECT text FROM news")["text"].tolist() == ["Alpha wins"]
    assert again.check().sound
    assert again.check().rows == 1


def test_a_silent_edit_is_not_back_dated(local: Store) -> None:
    """The first content is taken at its word; what replaces it counts from the day it was found (leak D1)."""
    local.append("news", story(), source="archive", committed_at=IMPORTED)
    local.append("news", story("Alpha wins, and gained 30 % on the day after"), source="again", committed_at=NOW)
    published = utc("2020-03-05 14:00")
    assert local.as_of(published).news()["text"].tolist() == ["Alpha wins"]
    assert local.as_of(published - MICROSECOND).news().empty
    assert local.as_of(NOW - MICROSECOND).news()["text"].tolist() == ["Alpha wins"]
    edited = local.as_of(NOW).news()
    assert edited["text"].str.contains("30 %").all()
    assert edited["known_at"].tolist() == edited["seen_at"].tolist() == [NOW]
    assert local.as_of(NOW).news(versions="first")["text"].tolist() == ["Alpha wins"]
    assert local.as_of(NOW).news(versions="all")["revision"].tolist() == [0, 1]
    # Nor may a range of publication hide the first commit and so make the edit the first one.
    moved = story("Alpha lost", published_at=utc("2021-01-05"))
    local.append("news", moved, source="moved", committed_at=NOW + MICROSECOND)
    later = local.as_of(NOW + MICROSECOND).news(start=utc("2021-01-01"))
    assert later["known_at"].tolist() == [NOW + MICROSECOND]
    assert local.as_of(NOW).news(start=utc("2021-01-01")).empty


def test_an_edit_is_dated_by_a_first_commit_that_became_known_later(local: Store) -> None:
    """A file whose rows all became known after t may still hold the commit that came first."""
    late = story("seen late", seen_at=utc("2023-01-01"))
    local.append("news", late, source="collected", committed_at=IMPORTED)
    local.append("news", story("another text"), source="archive", committed_at=NOW)
    assert local.as_of(utc("2022-01-01")).news().empty
    assert local.as_of(utc("2023-06-01")).news()["text"].tolist() == ["seen late"]


def test_of_two_contents_committed_at_one_instant_only_one_is_taken_at_its_word(local: Store) -> None:
    for text in ("one", "other"):
        local.append("news", story(text), source=text, committed_at=NOW)
    versions = local.as_of(NOW).news(versions="all")
    assert versions["known_at"].tolist() == [utc("2020-03-05 14:00"), NOW]
    before = versions["text"].tolist()
    local.compact(committed_at=NOW)
    assert local.as_of(NOW).news(versions="all")["text"].tolist() == before


def test_news_is_known_when_it_was_seen(local: Store) -> None:
    local.append("news", story(seen_at=utc("2020-03-06")), source="collected", committed_at=NOW)
    assert local.as_of(utc("2020-03-06") - MICROSECOND).news().empty
    frame = local.as_of(utc("2020-03-06")).news()
    pd.testing.assert_frame_equal(validate_news(frame), frame)


def test_a_bar_is_known_when_it_closes(local: Store) -> None:
    local.append("bars", daily_bars(["AAA"]), source="yahoo", committed_at=NOW)
    early = local.as_of(utc("2024-01-03 21:00") - MICROSECOND).bars(venue="yahoo", bar="1d")
    assert early["close_at"].tolist() == [utc("2024-01-02 21:00")]
    assert len(local.as_of(utc("2024-01-03 21:00")).bars(venue="yahoo", bar="1d")) == 2


def test_a_corrected_bar_is_a_revision(local: Store) -> None:
    bars = daily_bars(["AAA", "BBB"])
    local.append("bars", bars, source="yahoo", committed_at=IMPORTED + pd.Timedelta(days=40))
    fixed = bars.iloc[[3]].assign(close=bars["close"].iloc[3] + 0.5)
    local.append("bars", fixed, source="yahoo", committed_at=NOW)
    local.append("bars", bars.iloc[:3], source="yahoo", committed_at=NOW)
    loaded = local.as_of(NOW).prices(venue="yahoo", bar="1d", calendar="XNYS")
    assert loaded.counts["revised_rows"] == 1
    assert loaded.prices.close["AAA"].iloc[3] == fixed["close"].iloc[0]
    before = local.as_of(NOW - MICROSECOND).prices(venue="yahoo", bar="1d", calendar="XNYS")
    assert before.prices.close["AAA"].iloc[3] == bars["close"].iloc[3]


def test_prices_are_laid_out_and_holes_are_counted(local: Store) -> None:
    bars = daily_bars(["BBB", "AAA"])
    hole = (bars["symbol"] == "AAA") & (bars["open_at"] == bars["open_at"].iloc[4])
    nowhere = bars["open_at"] == bars["open_at"].iloc[7]
    kept = bars.loc[~hole & ~nowhere].assign(volume=lambda frame: frame["volume"].where(frame.index > 0, 0.0))
    local.append("bars", kept, source="yahoo", committed_at=NOW)
    loaded = local.as_of(NOW).prices(venue="yahoo", bar="1d", calendar="XNYS", symbols=["BBB", "AAA"])
    prices = validate_prices(loaded.prices)
    assert prices.symbols == ["BBB", "AAA"]
    assert (prices.calendar, prices.adjustment) == ("XNYS", "none")
    assert np.isnan(prices.open["AAA"].iloc[4])
    assert loaded.counts == {
        "rows": len(kept),
        "missing_bars": 1,
        "absent_bars": 1,
        "zero_volume_rows": 1,
        "partly_empty_rows": 0,
        "revised_rows": 0,
    }
    some = local.as_of(NOW).prices(
        venue="yahoo", bar="1d", calendar="XNYS", start=utc("2024-01-09"), end=utc("2024-01-11")
    )
    assert list(some.prices.open_at) == [utc("2024-01-09 14:30"), utc("2024-01-10 14:30")]


def test_prices_are_adjusted_by_what_was_known(local: Store) -> None:
    local.append("bars", daily_bars(["AAA"]), source="yahoo", committed_at=NOW)
    split = {"venue": "yahoo", "symbol": "AAA", "kind": "split", "value": 4.0}
    actions = pd.DataFrame([split | {"ex_at": utc("2024-01-16 14:30")}, split | {"ex_at": utc("2024-05-01 13:30")}])
    local.append("actions", actions, source="yahoo", committed_at=NOW)
    before = local.as_of(utc("2024-01-12 22:00")).prices(venue="yahoo", bar="1d", calendar="XNYS", adjust="splits")
    after = local.as_of(utc("2024-01-31 22:00")).prices(venue="yahoo", bar="1d", calendar="XNYS", adjust="splits")
    assert (before.counts["actions"], after.counts["actions"]) == (0, 1)
    assert before.prices.open["AAA"].iloc[0] == 100.0
    assert after.prices.open["AAA"].iloc[0] == 25.0
    assert after.prices.adjustment == "splits"


@pytest.mark.parametrize(
    ("bar", "calendar", "open_at", "close_at", "problem"),
    [
        ("1d", "XNYS", "2024-01-02 00:00", "2024-01-03 00:00", "opens outside its sessions"),
        ("1d", "XNYS", "2024-07-03 13:30", "2024-07-03 20:00", "should close at 2024-07-03 17:00"),
        ("1d", "24/7", "2024-01-02 14:30", "2024-01-02 21:00", "opens outside its sessions"),
        ("1h", "24/7", "2024-01-02 14:30", "2024-01-02 15:30", "opens outside its sessions"),
        ("1h", "XNYS", "2024-01-02 21:00", "2024-01-02 22:00", "opens outside its sessions"),
        ("1h", "XNYS", "2024-01-02 20:30", "2024-01-02 21:30", "should close at 2024-01-02 21:00"),
    ],
)
def test_bars_of_another_calendar_are_named(
    local: Store, bar: str, calendar: str, open_at: str, close_at: str, problem: str
) -> None:
    row = daily_bars(["AAA"]).iloc[[0]].assign(bar=bar, open_at=utc(open_at), close_at=utc(close_at))
    local.append("bars", row, source="x", committed_at=row["close_at"].iloc[0])
    with pytest.raises(DataError, match=f"bar of AAA from {open_at}.*{problem}"):
        local.as_of(utc("2025-01-01")).prices(venue="yahoo", bar=bar, calendar=calendar)


@pytest.mark.parametrize(
    ("bar", "calendar", "open_at", "close_at"),
    [
        ("1h", "XNYS", "2024-01-02 20:30", "2024-01-02 21:00"),
        ("5min", "24/7", "2024-01-02 00:05", "2024-01-02 00:10"),
        ("4h", "24/7", "2024-01-02 20:00", "2024-01-03 00:00"),
        ("1d", "24/7", "2024-01-02 00:00", "2024-01-03 00:00"),
    ],
)
def test_bars_of_the_calendar_pass(local: Store, bar: str, calendar: str, open_at: str, close_at: str) -> None:
    row = daily_bars(["AAA"]).iloc[[0]].assign(bar=bar, open_at=utc(open_at), close_at=utc(close_at))
    local.append("bars", row, source="x", committed_at=row["close_at"].iloc[0])
    loaded = local.as_of(utc("2025-01-01")).prices(venue="yahoo", bar=bar, calendar=calendar)
    assert list(loaded.prices.close_at) == [utc(close_at)]


def test_every_kind_of_fact_comes_back(local: Store) -> None:
    facts = {
        "funding": {"venue": "v", "symbol": "A", "settles_at": utc("2024-01-01 08:00"), "rate": -0.0001},
        "actions": {"venue": "v", "symbol": "A", "kind": "dividend", "ex_at": utc("2024-01-02 14:30"), "value": 0.5},
        "instruments": {
            "venue": "v", "symbol": "A", "kind": "linear", "base": "A", "quote": "USDT", "status": "Trading",
            "listed_at": utc("2020-01-01"), "delisted_at": pd.NaT, "seen_at": utc("2024-01-05"),
        },
    }  # fmt: skip
    for dataset, row in facts.items():
        frame = pd.DataFrame([row])
        if dataset == "instruments":
            frame["delisted_at"] = frame["delisted_at"].dt.tz_localize("UTC")
        local.append(dataset, frame, source="test", committed_at=NOW)  # type: ignore[arg-type]
        answer = getattr(local.as_of(NOW), dataset)(venue="v")
        pd.testing.assert_frame_equal(answer[list(row)], frame, check_dtype=False)
        (batch,) = local.as_of(NOW).record_batches(dataset)  # type: ignore[arg-type]
        assert batch.num_rows == 1
    delisted = pd.DataFrame([facts["instruments"] | {"delisted_at": NOW, "seen_at": NOW}])
    local.append("instruments", delisted, source="test", committed_at=NOW)
    assert local.as_of(NOW).instruments(venue="v")["revision"].tolist() == [1]
    assert local.as_of(NOW - MICROSECOND).instruments(venue="v")["delisted_at"].isna().all()


def test_record_batches_say_the_same_in_the_same_order(local: Store) -> None:
    for day in range(4):
        stories = pd.concat([story(article_id=str(i), published_at=utc("2020-01-01") + pd.Timedelta(i * 37 % 20, "h"))
                             for i in range(day, 20)])  # fmt: skip
        local.append(
            "news", stories.assign(text=f"as on day {day}"), source="x", committed_at=utc(f"2020-01-0{day + 1}")
        )
    snapshot = local.as_of(NOW)
    batches = list(snapshot.record_batches("news", versions="all", rows=7))
    assert max(batch.num_rows for batch in batches) <= 7
    frame = pd.concat([batch.to_pandas() for batch in batches], ignore_index=True)
    expected = snapshot.news(versions="all")
    for name in expected:
        assert frame[name].tolist() == expected[name].tolist()


def test_parts_of_a_long_history_stay_in_order(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embargo.data_loaders.store.revisions.PART_ROWS", 1)
    for day in (3, 1, 5, 2, 2):
        rows = [story(f"{i} of {day}", article_id=f"{i % 3}-{day // 3}", published_at=utc(f"2020-01-0{day}"))
                for i in range(3)]  # fmt: skip
        local.append("news", pd.concat(rows), source="x", committed_at=utc("2021-01-01") + pd.Timedelta(day, "h"))
    frame = local.as_of(NOW).news(versions="all")
    pd.testing.assert_frame_equal(
        frame.sort_values(["known_at", "article_id", "symbol", "revision"], ignore_index=True), frame
    )
    assert frame["known_at"].nunique() > 2
    assert len(frame) == len(local.sql("SELECT * FROM news"))


def test_the_snapshot_does_not_move(local: Store) -> None:
    local.append("news", story(), source="a", committed_at=IMPORTED)
    snapshot = local.as_of(NOW)
    local.append("news", story("edited"), source="b", committed_at=IMPORTED + MICROSECOND)
    assert snapshot.news()["text"].tolist() == ["Alpha wins"]
    assert local.as_of(NOW).news()["text"].tolist() == ["edited"]


def test_one_content_per_key_and_frame(local: Store) -> None:
    with pytest.raises(DataError, match=r"'article_id': '1'.*2 different contents"):
        local.append("news", pd.concat([story(), story("other")]), source="x", committed_at=NOW)
    assert local.batches() == []
    batch = local.append("news", pd.concat([story(), story(), story()]), source="x", committed_at=NOW)
    assert (batch.rows, batch.collapsed) == (1, 2)


ESCAPES = [
    "COPY (SELECT 1) TO '{root}/out.parquet'",
    "COPY (SELECT * FROM news) TO '{file}'",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "FROM glob('/etc/*')",
    "INSTALL httpfs",
    "LOAD httpfs",
    "ATTACH '/tmp/other.db'",
    "SET enable_external_access = true",
    "CREATE TABLE mine AS SELECT 1",
    "DELETE FROM news",
    "DROP VIEW news",
    "PRAGMA database_list",
    "EXPORT DATABASE '{root}/export'",
    "SELECT 1; SELECT 2",
    "SELECT * FROM secret_frame",
    "SELECT * FROM 'https://example.org/x.parquet'",
    "SELECT * FROM read_parquet('https://example.org/x.parquet')",
    "EXPLAIN ANALYZE SELECT * FROM read_text('/etc/passwd')",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{root}/out.parquet'",
    "",
    "SELEC 1",
]


@pytest.mark.parametrize("query", ESCAPES)
def test_sql_reads_the_store_and_nothing_else(local: Store, query: str) -> None:
    secret_frame = pd.DataFrame({"x": [1]})
    assert len(secret_frame) == 1
    entry = local.append("news", story(), source="x", committed_at=NOW).files[0]
    before = sorted(Path(local.root).rglob("*"))
    with pytest.raises(ConfigError, match=r"^sql: "):
        local.sql(query.format(root=local.root, file=f"{local.root}/{entry.path}"))
    assert sorted(Path(local.root).rglob("*")) == before
    assert local.check().sound


def test_sql_sees_every_revision(store: Store) -> None:
    store.append("news", story(), source="a", committed_at=IMPORTED)
    store.append("news", story("edited", likes=3), source="b", committed_at=NOW)
    frame = store.sql("SELECT revision, known_at, likes FROM news ORDER BY revision")
    assert frame["revision"].tolist() == [0, 1]
    assert frame["known_at"].iloc[1] == NOW
    assert frame["likes"].isna().tolist() == [True, False]
    assert store.sql("SELECT * FROM bars JOIN actions USING (symbol)").empty
    assert set(store.sql("SHOW TABLES")["name"]) == {"news", "bars", "actions", "funding", "instruments"}
    assert len(store.sql("EXPLAIN SELECT * FROM news")) > 0


def test_what_cannot_be_asked_is_said(local: Store, tmp_path: Path) -> None:
    local.append("bars", daily_bars(["AAA"]), source="x", committed_at=NOW)
    snapshot = local.as_of(NOW)
    naive = pd.Timestamp("2024-01-01")
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: local.as_of(naive), DataError, "no time zone"),
        (lambda: local.as_of(pd.NaT), DataError, "missing"),
        (lambda: snapshot.news(start=naive), DataError, "start.*no time zone"),
        (lambda: snapshot.bars(venue="nowhere", bar="1d"), DataError, "venue 'nowhere'.*There are: yahoo 1d"),
        (lambda: snapshot.bars(venue="yahoo", bar="1h"), DataError, "bar '1h'.*There are: yahoo 1d"),
        (lambda: snapshot.bars(venue="yahoo", bar="1d", symbols=["AAA", "ZZZ"]), DataError, r"\['ZZZ'\]"),
        (lambda: snapshot.bars(venue="yahoo", bar="1d", symbols="AAA"), ConfigError, "list of names"),
        (lambda: local.as_of(utc("2000-01-01")).prices(venue="yahoo", bar="1d", calendar="XNYS"), DataError, "none"),
        (lambda: snapshot.prices(venue="yahoo", bar="1d", calendar="XNYS", adjust="x"), ConfigError, "adjust"),  # type: ignore[arg-type]
        (lambda: snapshot.news(versions="newest"), ConfigError, "versions"),  # type: ignore[arg-type]
        (lambda: Store.open(tmp_path / "nothing"), MissingPartError, "no store at"),
        (lambda: Store.open("nosuch://x"), ConfigError, "nosuch"),
        (lambda: local.append("news", pd.DataFrame(), source="x", committed_at=NOW), DataError, "nothing to append"),
        (lambda: local.append("news", story(), source="", committed_at=NOW), DataError, "name of its source"),
        (
            lambda: local.append("news", story(), source="x", committed_at=naive),
            DataError,
            "committed_at.*no time zone",
        ),
        (lambda: local.append("tweets", story(), source="x", committed_at=NOW), ConfigError, "unknown"),  # type: ignore[arg-type]
    ]
    for ask, error, message in cases:
        with pytest.raises(error, match=message):
            ask()
    assert snapshot.news().empty
    assert list(snapshot.news().columns)[-2:] == ["known_at", "revision"]


def test_files_that_cannot_matter_are_not_touched(local: Store) -> None:
    old = story(article_id="old", published_at=utc("2010-01-01"), seen_at=utc("2010-01-01"))
    new = story(article_id="new", published_at=utc("2020-01-01"), seen_at=utc("2020-01-01"))
    local.append("news", old, source="x", committed_at=NOW)
    entry = local.append("news", new, source="x", committed_at=NOW).files[0]
    (Path(local.root) / entry.path).write_bytes(b"rubbish")
    assert local.as_of(utc("2015-01-01")).news()["article_id"].tolist() == ["old"]
    with pytest.raises(DataError, match="it has 7 bytes"):
        local.as_of(utc("2021-01-01")).news()


def test_covers_of_another_kind_and_backwards_are_refused(local: Store) -> None:
    wrong = Cover("bars", "v", "A", "1d", utc("2020-01-01"), utc("2021-01-01"))
    backwards = Cover("news", "v", "A", "", utc("2021-01-01"), utc("2020-01-01"))
    for cover, message in ((wrong, "cover of bars"), (backwards, "not after its start")):
        with pytest.raises(DataError, match=message):
            local.append("news", pd.DataFrame(), source="x", committed_at=NOW, covers=[cover])


def test_large_files_are_split_by_year_and_size(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embargo.data_loaders.store.appending.FILE_ROWS", 10)
    bars = daily_bars(["AAA"], "2023-12-01", "2024-01-31")
    batch = local.append("bars", bars, source="x", committed_at=NOW)
    assert [entry.path.split("/")[1] for entry in batch.files] == ["year=2023"] * 2 + ["year=2024"] * 3
    assert max(entry.rows for entry in batch.files) == 10
    assert len(local.as_of(NOW).bars(venue="yahoo", bar="1d")) == len(bars)
    assert isinstance(local.as_of(NOW), Snapshot)


def test_an_unfinished_bar_is_refused(local: Store) -> None:
    bar = daily_bars(["AAA"]).iloc[[0]]
    closes = bar["close_at"].iloc[0]
    with pytest.raises(DataError, match=r"1d bar of AAA closes at 2024-01-02 21:00.*not finished"):
        local.append("bars", bar, source="x", committed_at=closes - MICROSECOND)
    with pytest.raises(DataError, match="seen before it closed"):
        local.append("bars", bar.assign(seen_at=closes - MICROSECOND), source="x", committed_at=NOW)
    local.append("bars", bar.assign(seen_at=closes), source="x", committed_at=closes)
    assert len(local.as_of(closes).bars(venue="yahoo", bar="1d")) == 1


@pytest.mark.parametrize("other", [3, 2.5, True, "late"])
def test_a_column_that_was_an_instant_and_then_something_else_stays_readable(local: Store, other: object) -> None:
    for number, value in enumerate([utc("2020-03-05"), other, utc("2020-03-06")]):
        when = IMPORTED + pd.Timedelta(number, "h")
        local.append("news", story(article_id=str(number % 2), extra=value), source=str(number), committed_at=when)
    expected = ["2020-03-05 00:00:00+00", str(other).lower(), "2020-03-06 00:00:00+00"]

    def extras() -> list[str]:
        frame = local.as_of(NOW).news(versions="all")
        assert list(local.as_of(IMPORTED).news()["article_id"]) == ["0", "1"]
        assert len(local.sql("SELECT extra FROM news")) == 3
        return sorted(frame["extra"])

    assert extras() == sorted(expected)
    local.compact(committed_at=NOW)
    assert extras() == sorted(expected)


def test_what_cannot_be_written_is_said_and_changes_nothing(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    local.append("news", story(), source="a", committed_at=NOW)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("embargo.data_loaders.store.files.os.fsync", full)
    with pytest.raises(DataError, match="cannot be written \\(No space left on device\\)"):
        local.append("news", story("edited"), source="b", committed_at=NOW)
    monkeypatch.undo()
    assert len(local.as_of(NOW).news(versions="all")) == 1
    assert local.check().orphans == ()
    standing = Path(local.root) / "store.json"
    for root in (standing, standing / "below"):
        with pytest.raises(DataError, match="cannot be written"):
            Store.create(root)


def test_a_long_list_of_batches_is_gone_through_once(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        when = utc("2020-03-05 14:00") + pd.Timedelta(number, "h")
        local.append("news", story(article_id=str(number), published_at=when), source="x", committed_at=when)
    asked = []
    monkeypatch.setattr("embargo.data_loaders.store.reading._may_open", lambda *pair: asked.append(pair))
    assert len(local.as_of(utc("2020-03-05 23:00")).news()) == 10
    assert asked == []


@pytest.mark.parametrize(("scheme", "extra"), [("s3", "s3"), ("gs", "gcs")])
def test_what_an_address_needs_is_named_by_its_extra(scheme: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(address: str) -> None:
        raise ImportError("Install what speaks it")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(MissingPartError, match=rf"pip install 'embargo-backtest\[{extra}\]'"):
        Store.open(f"{scheme}://bucket/store")
