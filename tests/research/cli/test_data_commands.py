"""``embargo import`` and ``embargo data``: counts, soundness, SQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from samples.loopback_commands import Desk, desk_at, embargo

NEWS = """id,time,ticker,headline,lang
1,2024-02-01 10:00,AAPL,Apple beats,en
2,2024-02-02 11:30,MSFT,Microsoft misses,en
3,,MSFT,no date,en
4,2024-02-03 12:00,AAPL,,en
5,2024-02-04 12:00,AAPL,Pomme,fr
"""
MAPPED = [
    *("--map", "article_id=id", "--map", "published_at=time", "--map", "symbol=ticker", "--map", "text=headline"),
    *("--timezone", "America/New_York", "--filter", "lang=en", "--source", "wire"),
]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with desk_at(tmp_path, monkeypatch) as desk:
        yield desk


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "wire.csv"
    path.write_text(NEWS)
    return path


@pytest.fixture
def filled(desk: Desk, archive: Path) -> Desk:
    assert desk.fetch("yahoo", "AAPL", "MSFT", "VOD.L", "--start", "2023-09-01", "--no-news").exit_code == 0
    assert embargo("import", archive, "--store", desk.store, *MAPPED).exit_code == 0
    return desk


def test_an_import_counts_what_it_sets_aside_and_repeats_nothing(desk: Desk, archive: Path) -> None:
    first = embargo("import", archive, "--store", desk.store, *MAPPED)
    assert first.exit_code == 0, first.output
    for count in ("rows", "undated", "blank text", "left out by the filter on lang", "imported"):
        assert count in first.output
    news = desk.opened().as_of(desk.now).news()
    assert list(news["article_id"]) == ["1", "2"]
    assert news["published_at"].iloc[0] == pd.Timestamp("2024-02-01 15:00Z")
    assert set(news["source"]) == {"wire"}
    again = embargo("import", archive, "--store", desk.store, *MAPPED)
    assert again.exit_code == 0
    assert "Nothing to do" in again.output
    pd.testing.assert_frame_equal(desk.opened().as_of(desk.now).news(), news)


def test_an_archive_is_imported_as_it_is_said_to_be_written(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "wire.csv"
    path.write_text("a1;02.01.2024 10:00;nvda|amd;Café chain\n", encoding="cp1252")
    names = {"article_id": "1", "published_at": "2", "symbol": "3", "text": "4"}
    mapped = [part for name, column in names.items() for part in ("--map", f"{name}={column}")]
    written = ("--delimiter", ";", "--encoding", "cp1252", "--no-header", "--time-format", "%d.%m.%Y %H:%M")
    rules = (*mapped, *written, "--timezone", "UTC", "--symbol-separator", "|", "--symbol-case", "upper")
    result = embargo("import", path, "--store", desk.store, *rules)
    assert result.exit_code == 0, result.output
    news = desk.opened().as_of(desk.now).news()
    assert sorted(news["symbol"]) == ["AMD", "NVDA"]
    assert set(news["text"]) == {"Café chain"}
    assert set(news["published_at"]) == {pd.Timestamp("2024-01-02 10:00Z")}
    bars = embargo("import", path, "--store", desk.store, "--kind", "bars", "--venue", "v", "--symbol-case", "upper")
    assert "--symbol-case: only for --kind news" in bars.output
    assert embargo("import", path, "--store", desk.store, *rules, "--encoding", "klingon").exit_code == 2


def test_bars_are_imported_under_a_venue_of_ones_own(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "us.csv").write_text(
        "symbol,date,open,high,low,close,volume\nAAPL,2024-02-01,1,2,1,2,100\nAAPL,2024-02-02,2,3,2,3,100\n"
    )
    result = embargo("import", tmp_path / "us.csv", "--store", desk.store, "--kind", "bars", "--venue", "mine")
    assert result.exit_code == 0, result.output
    assert list(desk.bars("mine", "1d")["close"]) == [2.0, 3.0]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--kind", "bars"], "--venue is missing"),
        (["--kind", "bars", "--venue", "mine", "--date-only", "all"], "--date-only"),
        (["--venue", "mine"], "only for --kind bars"),
        (["--map", "headline"], "write NAME=COLUMN"),
    ],
)
def test_an_import_refuses_options_that_it_would_not_use(
    desk: Desk, archive: Path, options: list[str], named: str
) -> None:
    result = embargo("import", archive, "--store", desk.store, *options)
    assert result.exit_code == 2
    assert named in result.output
    assert not desk.store.exists()


def test_info_lists_what_is_there(filled: Desk) -> None:
    result = embargo("data", "info", filled.store)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    assert next(line for line in lines if line[0] == "bars")[:4] == ["bars", "yahoo", "1d", "3"]
    assert next(line for line in lines if line[0] == "news")[:5] == ["news", "wire", "2", "2", "0"]
    assert all(len(line) <= 80 for line in result.output.splitlines())


def test_sql_writes_a_table_csv_or_json(filled: Desk) -> None:
    query = "SELECT symbol, count(*) AS n FROM bars GROUP BY 1 ORDER BY 1"
    table = embargo("data", "sql", filled.store, query)
    assert [line.split()[0] for line in table.output.splitlines()] == ["symbol", "AAPL", "MSFT", "VOD.L"]
    rows = embargo("data", "sql", filled.store, query, "--format", "csv").output.splitlines()
    held = filled.bars("yahoo", "1d").groupby("symbol").size()
    assert rows == ["symbol,n", *(f"{symbol},{number}" for symbol, number in held.items())]
    asked = json.loads(embargo("data", "sql", filled.store, query, "--format", "json").output)
    assert [row["symbol"] for row in asked] == ["AAPL", "MSFT", "VOD.L"]


@pytest.mark.parametrize("form", ["table", "csv"])
def test_signs_that_the_terminal_cannot_show_are_written_as_numbers(filled: Desk, form: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "embargo.research.cli",
            "data",
            "sql",
            filled.store,
            "SELECT '\u65e5' AS sign",
            "--format",
            form,
        ],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "\\u65e5" in done.stdout


def test_sql_says_when_rows_are_cut(filled: Desk) -> None:
    result = embargo("data", "sql", filled.store, "SELECT * FROM bars")
    assert "50 of " in result.output
    assert len(embargo("data", "sql", filled.store, "SELECT * FROM bars", "--format", "csv").stdout.splitlines()) > 300
    assert "2 of " in embargo("data", "sql", filled.store, "SELECT * FROM bars", "--limit", "2").output


@pytest.mark.parametrize("query", ["SELEC 1", "SELECT nothing FROM bars", "DROP TABLE bars", "SELECT * FROM elsewhere"])
def test_bad_sql_is_told_plainly(filled: Desk, query: str) -> None:
    result = embargo("data", "sql", filled.store, query)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert "Error" in result.output


def test_a_sound_store_is_checked_by_calendar(filled: Desk, tmp_path: Path) -> None:
    page = tmp_path / "check.html"
    result = embargo("data", "check", filled.store, "--html", page)
    assert result.exit_code == 0, result.output
    assert "every file is whole" in result.output
    assert "yahoo 1d XNYS\n" in result.output
    assert "yahoo 1d XLON" in result.output
    assert "<figure data-chart=" in page.read_text()
    assert embargo("data", "check", filled.store, "--venue", "nowhere").exit_code == 2


def test_a_flipped_byte_is_named_with_status_one(filled: Desk) -> None:
    file = max(filled.store.rglob("*.parquet"), key=lambda path: path.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    result = embargo("data", "check", filled.store)
    assert result.exit_code == 1
    assert file.name in result.output.replace("\n", "")


def test_an_experiment_is_checked_with_what_its_run_would_load(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(
        'name = "small"\n[news]\nloader = "simulated"\n'
        "simulated = { symbols = 4, start = 2015-01-01, end = 2015-12-31 }\n"
        '[prices]\nloader = "simulated"\n[split]\nfirst_test = 2015-06-01\n'
    )
    result = embargo("data", "check", tmp_path / "small.toml")
    assert result.exit_code == 0, result.output
    assert "checks" in result.output
    assert embargo("data", "check", tmp_path / "small.toml", "--bar", "1d").exit_code == 2


def test_compaction_changes_no_answer(filled: Desk) -> None:
    for day in ("2024-03-01 22:00Z", "2024-03-04 22:00Z", "2024-03-05 22:00Z"):
        filled.set_time(day)
        filled.fetch("yahoo", "AAPL", "--start", "2023-09-01", "--no-news")
    before = filled.bars("yahoo", "1d")
    result = embargo("data", "compact", filled.store)
    assert result.exit_code == 0
    assert "merged batches" in result.output
    pd.testing.assert_frame_equal(filled.bars("yahoo", "1d"), before)


@pytest.mark.parametrize("command", ["info", "check", "compact"])
def test_a_store_that_is_not_there_is_said_so(tmp_path: Path, command: str) -> None:
    result = embargo("data", command, tmp_path / "nowhere")
    assert result.exit_code == 1
    assert "no store at" in result.output
