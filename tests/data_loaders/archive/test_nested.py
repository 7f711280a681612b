"""Several symbols in a row: lists, records and cells, one row per article and symbol, and nothing lost unsaid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from embargo.data_loaders.archive import read_news, stream_news
from embargo.data_loaders.archive.paths import ColumnPath, path_of
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.store import Store, import_news

POLYGON = {"article_id": "id", "published_at": "published_utc", "text": "title"}
ROWS = [
    {
        "id": "a1",
        "published_utc": "2024-01-02T10:00:00Z",
        "title": "Chip maker lifts outlook",
        "tickers": ["NVDA", "AMD"],
    },
    {"id": "a2", "published_utc": "2024-01-03T10:00:00Z", "title": "Phone maker recalls model", "tickers": ["AAPL"]},
    {"id": "a3", "published_utc": "2024-01-04T10:00:00Z", "title": "Market wrap", "tickers": []},
    {"id": "a4", "published_utc": "2024-01-05T10:00:00Z", "title": "Twice the same", "tickers": ["AMD", " AMD ", ""]},
]
PAIRS = [("a1", "AMD"), ("a1", "NVDA"), ("a2", "AAPL"), ("a4", "AMD")]


def put(path: Path, rows: list[dict[str, Any]]) -> Path:
    match path.suffix:
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case ".json":
            path.write_text(json.dumps(rows, indent=1))
        case ".parquet":
            pd.DataFrame(rows).to_parquet(path)
        case _:
            pd.DataFrame(rows).to_csv(path, index=False)
    return path


def pairs(frame: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(frame["article_id"], frame["symbol"], strict=True))


@pytest.mark.parametrize("name", ["n.jsonl", "n.json", "n.parquet", "n.csv"])
def test_a_list_of_symbols_is_one_row_for_each(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / name, ROWS)
    loaded = read_news(path, columns=POLYGON | {"symbol": "tickers[]"})
    assert pairs(loaded.frame) == PAIRS
    assert loaded.frame.loc[0, ["text", "published_at"]].equals(loaded.frame.loc[1, ["text", "published_at"]])
    told = {
        name: loaded.counts[name] for name in ("rows", "without_symbol", "repeated_symbols", "rows_added_by_symbols")
    }
    assert told == {"rows": 4, "without_symbol": 1, "repeated_symbols": 1, "rows_added_by_symbols": 1}
    assert loaded.counts["kept"] == 4
    [streamed] = stream_news(path, columns=POLYGON | {"symbol": "tickers[]"})
    pd.testing.assert_frame_equal(streamed, loaded.frame)


@pytest.mark.parametrize("name", ["n.jsonl", "n.parquet"])
def test_a_list_without_the_path_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / name, ROWS)
    with pytest.raises(
        DataError, match=r"column 'tickers', row 1: \['NVDA', 'AMD'\] is a list.*symbol = 'tickers\[\]'"
    ):
        read_news(path, columns=POLYGON | {"symbol": "tickers"})


def test_several_symbols_in_a_cell_need_their_separator(tmp_path: Path) -> None:
    rows = [row | {"tickers": ",".join(row["tickers"])} for row in ROWS]
    path, columns = put(tmp_path / "n.csv", rows), POLYGON | {"symbol": "tickers"}
    with pytest.raises(DataError, match=r"row 1: 'NVDA,AMD' names several symbols \(2 .*Set symbol_separator = ','"):
        read_news(path, columns=columns)
    with pytest.raises(DataError, match=r"'NVDA,AMD' names several symbols"):
        read_news(path, columns=columns, symbol_separator="|")
    loaded = read_news(path, columns=columns, symbol_separator=",")
    assert pairs(loaded.frame) == PAIRS
    assert loaded.counts["without_symbol"] == 1
    one = put(tmp_path / "one.csv", [row | {"tickers": "BRK B"} for row in ROWS])
    assert set(read_news(one, columns=columns).frame["symbol"]) == {"BRK B"}


@pytest.mark.parametrize(
    ("cell", "path", "symbols"),
    [
        ("['NVDA', 'AMD']", "tickers[]", ["AMD", "NVDA"]),
        ('["NVDA", "AMD"]', "tickers[]", ["AMD", "NVDA"]),
        ("['NVDA' 'AMD']", "tickers[]", ["AMD", "NVDA"]),
        ("('NVDA', 'AMD')", "tickers[]", ["AMD", "NVDA"]),
        ("[{'ticker': 'NVDA', 'score': 0.1}, {'ticker': 'AMD', 'score': None}]", "tickers[].ticker", ["AMD", "NVDA"]),
        ('{"all": {"NVDA": 1}, "of": [["NVDA"], ["AMD", "NVDA"]]}', "tickers.of[]", None),
    ],
)
def test_a_list_written_as_a_text_is_read(tmp_path: Path, cell: str, path: str, symbols: list[str] | None) -> None:
    file = put(tmp_path / "n.csv", [ROWS[0] | {"tickers": cell}])
    if symbols is None:
        with pytest.raises(DataError, match=r"row 1: \['NVDA'\] is a list"):
            read_news(file, columns=POLYGON | {"symbol": path})
        return
    assert read_news(file, columns=POLYGON | {"symbol": path}).frame["symbol"].tolist() == symbols
    with pytest.raises(DataError, match=r"names several symbols.*symbol = 'tickers\[\]"):
        read_news(file, columns=POLYGON | {"symbol": "tickers"})


def test_records_are_reached_by_name(tmp_path: Path) -> None:
    row = {"id": 1, "at": "2024-01-02T10:00:00Z", "body": "$AAPL up", "symbols": [{"symbol": "AAPL"}]}
    rows = [row | {"entities": {"sentiment": {"basic": "Bullish"}}}, row | {"id": 2, "entities": {"sentiment": None}}]
    path = put(tmp_path / "n.jsonl", rows)
    columns = {"article_id": "id", "published_at": "at", "text": "body", "symbol": "symbols[].symbol"}
    loaded = read_news(path, columns=columns | {"label": "entities.sentiment.basic"})
    assert loaded.frame["label"].fillna("none").tolist() == ["Bullish", "none"]
    assert loaded.frame["symbol"].tolist() == ["AAPL", "AAPL"]
    kept = read_news(path, columns=columns, filters={"entities.sentiment.basic": "Bullish"})
    assert kept.counts["filtered:entities.sentiment.basic"] == 1
    assert kept.frame["article_id"].tolist() == ["1"]


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"symbol": "symbols[].ticker"}, r"nothing inside is called 'ticker'; there are \['symbol'\]"),
        ({"symbol": "symbols.symbol"}, r"is a list: write '\[\]' before '.symbol'"),
        ({"symbol": "body[]"}, r"row 1: '\$AAPL up' is a plain text"),
        ({"symbol": "symbols[]"}, r"'symbols\[\]', row 1: .* is a record.*'symbols\[\]\.symbol'"),
        ({"symbol": "entities"}, r"is a record\. Put a path in place of the column, such as 'entities.sentiment'"),
    ],
)
def test_paths_that_lead_nowhere_are_named(tmp_path: Path, columns: dict[str, str], complaint: str) -> None:
    row = {"id": 1, "at": "2024-01-02T10:00:00Z", "body": "$AAPL up", "symbols": [{"symbol": "AAPL"}]}
    path = put(tmp_path / "n.jsonl", [row | {"entities": {"sentiment": {"basic": "Bullish"}}}])
    with pytest.raises(DataError, match=complaint):
        read_news(path, columns={"article_id": "id", "published_at": "at", "text": "body"} | columns)


def test_only_symbols_may_be_several(tmp_path: Path) -> None:
    path = put(tmp_path / "n.jsonl", ROWS)
    with pytest.raises(ConfigError, match=r"'tickers\[\]' leads to several values a row"):
        read_news(path, columns=POLYGON | {"text": "tickers[]"}, symbol="ALL")
    with pytest.raises(ConfigError, match=r"is a list already\. Leave symbol_separator out"):
        read_news(path, columns=POLYGON | {"symbol": "tickers[]"}, symbol_separator=",")
    with pytest.raises(ConfigError, match="splits the cells of a symbol column"):
        read_news(path, columns=POLYGON, symbol="ALL", symbol_separator=",")


def test_a_column_that_is_called_like_a_path_comes_first(tmp_path: Path) -> None:
    row = {"id": "1", "news.at": "2024-01-02T10:00:00Z", "text": "x", "tickers[]": "AAPL"}
    path = put(tmp_path / "n.csv", [row])
    loaded = read_news(path, columns={"article_id": "id", "published_at": "news.at", "symbol": "tickers[]"})
    assert pairs(loaded.frame) == [("1", "AAPL")]
    assert path_of("a[].b", ["a[].b"]) == ColumnPath("a[].b")
    assert path_of("a[].b", ["a"]) == ColumnPath("a", ("[]", "b"))
    assert path_of("What (who)?..", []) == ColumnPath("What (who)?..")


def test_keys_need_not_stand_in_the_first_line(tmp_path: Path) -> None:
    bare = {name: value for name, value in ROWS[0].items() if name != "tickers"}
    path = put(tmp_path / "n.jsonl", [bare, *ROWS])
    loaded = read_news(path, columns=POLYGON | {"symbol": "tickers[]"})
    assert loaded.counts["without_symbol"] == 2
    assert pairs(loaded.frame) == PAIRS


def test_capitals_are_changed_only_if_asked(tmp_path: Path) -> None:
    path = put(tmp_path / "n.jsonl", [row | {"tickers": [name.lower() for name in row["tickers"]]} for row in ROWS])
    columns = POLYGON | {"symbol": "tickers[]"}
    assert set(read_news(path, columns=columns).frame["symbol"]) == {"nvda", "amd", "aapl"}
    assert pairs(read_news(path, columns=columns, symbol_case="upper", symbols=["AMD"]).frame) == [
        ("a1", "AMD"),
        ("a4", "AMD"),
    ]


def test_an_import_expands_lists_too(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    now = pd.Timestamp("2024-02-01", tz="UTC")
    rules: dict[str, Any] = {"source_name": "wire", "columns": POLYGON | {"symbol": "tickers[]"}}
    path = put(tmp_path / "n.jsonl", ROWS)
    assert import_news(path, store, clock=lambda: now, **rules).counts["imported"] == 4
    assert sorted(pairs(store.as_of(now).news())) == PAIRS
    assert import_news(path, store, clock=lambda: now, **rules).batches == ()


@pytest.mark.parametrize("cell", ["[" * 5_000, "[" + "(" * 60 + ")" * 60 + "]", "['a', " + "-" * 90_000 + "1]", "[1+"])
def test_cells_that_no_one_could_read_are_named(tmp_path: Path, cell: str) -> None:
    path = put(tmp_path / "n.csv", [ROWS[0] | {"tickers": cell}])
    with pytest.raises(DataError, match="column 'tickers', row 1"):
        read_news(path, columns=POLYGON | {"symbol": "tickers[]"})


def test_the_shared_cases(cases: Path) -> None:
    small = cases / "small"
    for name, rule in (
        ("list_tickers.jsonl", {"columns": POLYGON | {"symbol": "tickers[]"}}),
        ("pylist_tickers.csv", {"columns": POLYGON | {"symbol": "tickers[]"}}),
        ("cell_tickers.csv", {"columns": POLYGON | {"symbol": "tickers"}, "symbol_separator": ","}),
    ):
        assert pairs(read_news(small / name, **rule).frame) == PAIRS[:3], name  # type: ignore[arg-type]
    many = read_news(
        cases / "list_tickers" / "news.jsonl",
        columns={"article_id": "id", "published_at": "time", "symbol": "tickers[]"},
    )
    rows = [json.loads(line) for line in (cases / "list_tickers" / "news.jsonl").read_text().splitlines()]
    assert many.counts["kept"] == sum(len(set(row["tickers"])) for row in rows)
