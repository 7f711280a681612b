"""``embargo fetch`` with the real clients on loopback: only what is missing, and what was answered stays."""

from __future__ import annotations

import itertools
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from samples import elsewhere
from samples.loopback_commands import Desk, desk_at, embargo
from servers import bybit_service, yahoo_service
from servers.loopback import Hang, ServerError
from servers.yahoo_service import nested

YEAR = ("--start", "2023-03-01", "--no-news")
MONTH = ("--start", "2024-02-01")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with desk_at(tmp_path, monkeypatch) as desk:
        yield desk


def test_a_second_fetch_of_the_same_day_asks_yahoo_for_nothing(desk: Desk) -> None:
    first = desk.fetch("yahoo", "AAPL", "VOD.L", "BTC-USD", *YEAR)
    assert first.exit_code == 0, first.output
    before = desk.bars("yahoo", "1d")
    assert before.groupby("symbol").size().to_dict() == {"AAPL": 252, "VOD.L": 253, "BTC-USD": 366}
    asked = len(desk.yahoo.charts())
    again = desk.fetch("yahoo", "AAPL", "VOD.L", "BTC-USD", *YEAR)
    assert again.exit_code == 0
    assert len(desk.yahoo.charts()) == asked
    assert "Already there, not asked for: AAPL 1d, VOD.L 1d, BTC-USD 1d" in again.output
    pd.testing.assert_frame_equal(desk.bars("yahoo", "1d"), before)


def test_a_symbol_of_an_unknown_exchange_is_fetched_once_its_calendar_is_named(desk: Desk) -> None:
    desk.yahoo.stocks["ODD"] = yahoo_service.generated("ODD", "XNYS", "ZZZ")
    unnamed = desk.fetch("yahoo", "ODD", *YEAR)
    assert unnamed.exit_code == 1
    assert "--calendar ODD=XNYS" in unnamed.output
    named = desk.fetch("yahoo", "ODD", *YEAR, "--calendar", "odd=XNYS")
    assert named.exit_code == 0, named.output
    assert len(desk.bars("yahoo", "1d")) == 252
    assert desk.fetch("yahoo", "ODD", *YEAR, "--calendar", "ODD").exit_code == 2


def test_the_next_day_adds_one_bar_and_asks_only_for_the_tail(desk: Desk) -> None:
    desk.set_time("2024-02-27 16:00Z")
    assert desk.fetch("yahoo", "AAPL", *YEAR).exit_code == 0
    desk.set_time("2024-02-27 22:00Z")
    asked = len(desk.yahoo.charts())
    result = desk.fetch("yahoo", "AAPL", *YEAR)
    (request,) = desk.yahoo.charts()[asked:]
    since = pd.Timestamp(int(request.query["period1"]), unit="s", tz="UTC")
    assert since >= pd.Timestamp("2024-02-15", tz="UTC"), "the years before were asked for again"
    assert desk.bars("yahoo", "1d")["open_at"].max() == pd.Timestamp("2024-02-27 14:30Z")
    assert "bars" in result.output
    assert len(desk.bars("yahoo", "1d")) == 250


def test_an_unfinished_bar_is_not_covered_so_that_it_comes_later(desk: Desk) -> None:
    desk.set_time("2024-02-27 16:00Z")
    desk.fetch("yahoo", "AAPL", *YEAR)
    assert desk.bars("yahoo", "1d")["open_at"].max() == pd.Timestamp("2024-02-26 14:30Z")
    (span,) = desk.opened().covered("bars", "yahoo", "AAPL", "1d")
    assert span[1] <= pd.Timestamp("2024-02-27 14:30Z")


@pytest.mark.parametrize("source", ["yahoo", "bybit"])
def test_a_bar_that_the_venue_revises_becomes_a_revision_known_from_now_on(desk: Desk, source: str) -> None:
    if source == "yahoo":
        request, venue, bar, changed = ("yahoo", "AAPL", *YEAR), "yahoo", "1d", "high"
        desk.set_time("2024-02-27 22:00Z")
    else:
        request, venue, bar, changed = ("bybit", "BTCUSDT", *MONTH), "bybit-linear", "1h", "close"
    desk.fetch(*request)
    then, original = desk.now, desk.bars(venue, bar).iloc[-1]
    if source == "yahoo":
        desk.yahoo.revise("AAPL", "2024-02-27", high=original["high"] + 1)
        desk.set_time("2024-02-28 22:00Z")
    else:
        desk.bybit.restate("linear", "BTCUSDT", int(original["open_at"].timestamp() * 1000))
        desk.set_time("2024-03-01 01:30Z")
    result = desk.fetch(*request)
    assert result.exit_code == 0
    (revised,) = (row for _, row in desk.bars(venue, bar).iterrows() if row["revision"] == 1)
    assert revised["open_at"] == original["open_at"]
    assert revised["known_at"] == desk.now
    assert revised[changed] != original[changed]
    as_then = desk.bars(venue, bar, then)
    assert as_then.iloc[-1][changed] == original[changed], "a revision was back-dated"


def test_symbols_that_fail_are_named_and_the_rest_is_kept(desk: Desk) -> None:
    desk.yahoo.fail(*[ServerError()] * 4, symbol="MSFT")
    result = desk.fetch("yahoo", "AAPL", "MSFT", "NOPE", "GE", *YEAR)
    assert result.exit_code == 1
    assert "NOPE: Yahoo knows no such symbol" in result.output
    assert "MSFT" in result.output
    assert "HTTP 503" in result.output
    assert set(desk.bars("yahoo", "1d")["symbol"]) == {"AAPL", "GE"}
    again = desk.fetch("yahoo", "AAPL", "MSFT", "GE", *YEAR)
    assert again.exit_code == 0
    assert set(desk.bars("yahoo", "1d")["symbol"]) == {"AAPL", "GE", "MSFT"}


def test_bybit_fetches_in_chunks_and_asks_for_nothing_twice(desk: Desk) -> None:
    request = ("BTC/USDT", "OUTUSDT", "--start", "2022-06-01", "--funding", "--instruments")
    result = desk.fetch("bybit", *request)
    assert result.exit_code == 0, result.output
    assert "OUTUSDT 1h lacks 4 bars" in result.output
    bars = desk.bars("bybit-linear", "1h")
    truth = desk.bybit.truth("linear", "BTCUSDT", "1h", "2022-06-01", "2024-03-01 00:00")
    mine = bars.loc[bars["symbol"] == "BTCUSDT"].reset_index(drop=True)
    assert len(truth) > 15_000
    pd.testing.assert_frame_equal(mine[truth.columns], truth, check_dtype=False)
    rates = desk.opened().as_of(desk.now).funding(venue="bybit-linear", symbols=["BTCUSDT"])
    assert len(rates) == len(desk.bybit.rates("BTCUSDT", bybit_service.ms("2022-06-01"), desk.bybit.now))
    assert len(desk.opened().as_of(desk.now).instruments(venue="bybit-linear")) == 9
    asked = len(desk.bybit.requests)
    again = desk.fetch("bybit", *request[:-1])
    assert again.exit_code == 0
    assert len(desk.bybit.requests) == asked


def test_spot_and_linear_are_two_venues(desk: Desk) -> None:
    assert desk.fetch("bybit", "BTCUSDT", "--market", "spot", "--bar", "1d", *MONTH).exit_code == 0
    assert len(desk.bars("bybit-spot", "1d")) == 29
    assert desk.fetch("bybit", "BTCUSDT", "--market", "spot", "--funding").exit_code == 2


def test_articles_are_seen_when_they_were_fetched(desk: Desk) -> None:
    desk.yahoo.publish("AAPL", nested("a1", "Apple beats", "2024-02-28T12:00:00Z", "AAPL"))
    assert desk.fetch("yahoo", "AAPL", "--start", "2024-02-01").exit_code == 0
    (row,) = desk.opened().as_of(desk.now).news().itertuples()
    assert row.seen_at == desk.now
    assert len(desk.opened().as_of(desk.now - pd.Timedelta(seconds=1)).news()) == 0


def test_symbols_come_from_a_file_or_the_standard_input(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "symbols.txt").write_text("# shares\nMSFT\nAAPL  # again\n\n")
    desk.fetch("yahoo", "AAPL", "--symbols-file", tmp_path / "symbols.txt", *YEAR)
    assert set(desk.bars("yahoo", "1d")["symbol"]) == {"AAPL", "MSFT"}
    piped = embargo("fetch", "yahoo", "--symbols-file", "-", "--store", desk.store, *YEAR, stdin="GE\n")
    assert piped.exit_code == 0
    assert "GE" in set(desk.bars("yahoo", "1d")["symbol"])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("yahoo",), "no symbols"),
        (("yahoo", "AAPL", "--start", "yesterday"), "--start yesterday"),
        (("yahoo", "AAPL", "--start", "2024-01-01T10:00"), "time zone"),
        (("yahoo", "AAPL", "--start", "2024-01-01", "--end", "2023-01-01"), "not after"),
        (("yahoo", "AAPL", "--bar", "7min"), "7min"),
        (("yahoo", "AAPL", "--bar", "1h", "--start", "2015-01-01"), "730 days"),
        (("bybit", "BTCUSDT", "--bar", "1w"), "1w"),
        (("bybit", "BTCUSDT", "--start", "2024-03-02"), "--start 2024-03-02 lies in the future"),
        (("bybit", "BTCUSDT", "--symbols-file", "/no/such/file"), "/no/such/file"),
    ],
)
def test_misuse_is_named_with_status_two(desk: Desk, arguments: tuple[str, ...], named: str) -> None:
    result = desk.fetch(*arguments)
    assert result.exit_code == 2, result.output
    assert named in result.output


def test_what_has_nothing_is_named_and_asked_for_again(desk: Desk) -> None:
    for _ in range(2):
        asked = len(desk.yahoo.charts("HOLLOW"))
        result = desk.fetch("yahoo", "HOLLOW", "AAPL", *YEAR)
        assert result.exit_code == 0
        assert "Nothing there in this range: HOLLOW 1d" in result.output
        assert len(desk.yahoo.charts("HOLLOW")) > asked
    weekend = desk.fetch("yahoo", "AAPL", "--start", "2024-03-01", "--no-news")
    assert "Nothing there in this range: AAPL 1d" in weekend.output
    assert "Already there" not in weekend.output
    void = desk.fetch("bybit", "VOIDUSDT", *MONTH)
    assert "Nothing there in this range: VOIDUSDT 1h" in void.output


def test_symbols_of_one_span_share_a_question_while_time_goes_by(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr("embargo.research.cli.sources.now", lambda: desk.now + pd.Timedelta(microseconds=next(ticks)))
    assert desk.fetch("yahoo", "AAPL", "MSFT", "GE", *YEAR).exit_code == 0
    assert len([request for request in desk.yahoo.requests if request.path == "/v1/test/getcrumb"]) == 1


@pytest.mark.parametrize("source", ["yahoo", "bybit"])
def test_a_closed_port_ends_the_fetch_in_time_and_says_so(desk: Desk, source: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        redirect = yahoo_service.redirect if source == "yahoo" else bybit_service.redirect
        started = time.monotonic()
        with redirect(url):
            result = desk.fetch(source, "AAPL", "--patience", "3", "--start", "2024-01-01")
    assert result.exit_code == 1
    assert "Check the network" in result.output
    assert "What was answered is kept" in result.output
    assert time.monotonic() - started < 60


def _without_network() -> bool:
    try:
        done = subprocess.run(["unshare", "-rn", "true"], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@pytest.mark.parametrize(
    "arguments", [("fetch", "yahoo", "AAPL", "--store", "store"), ("fetch", "bybit", "BTCUSDT", "--store", "store")]
)
def test_a_machine_without_any_network_is_told_so(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    if not _without_network():
        pytest.skip("this machine does not let a test make a network namespace of its own (unshare -rn)")
    started = time.monotonic()
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-m", "embargo.research.cli", *arguments, "--patience", "3"],
        cwd=tmp_path,
        env=elsewhere(),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "looked up" in done.stderr
    assert "network" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < 120


@pytest.mark.parametrize("source", ["yahoo", "bybit"])
def test_ctrl_c_keeps_what_was_fetched(desk: Desk, source: str) -> None:
    if source == "yahoo":
        desk.yahoo.fail(Hang(), symbol="GE")
        arguments = ["fetch", "yahoo", "AAPL", "GE", *YEAR]
        hanging = "/v8/finance/chart/GE"
    else:
        desk.bybit.fail(Hang(), when=lambda request: request.query.get("symbol") == "ETHUSDT")
        arguments = ["fetch", "bybit", "BTCUSDT", "ETHUSDT", "--start", "2023-01-01", "--end", "2024-03-01"]
        hanging = "ETHUSDT"
    process = subprocess.Popen(
        [sys.executable, "-m", "servers.redirected", desk.yahoo.url, desk.bybit.url, "--", *arguments],
        cwd=desk.store.parent,
        env=elsewhere(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    service = desk.yahoo if source == "yahoo" else desk.bybit
    deadline = time.monotonic() + 60
    while not any(hanging in (r.path, r.query.get("symbol")) for r in list(service.requests)):
        assert time.monotonic() < deadline, process.communicate(timeout=5)
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130, output + errors
    assert "Interrupted. What was fetched is kept; the same command continues there." in errors
    assert "Traceback" not in errors
    if source == "bybit":
        assert set(desk.bars("bybit-linear", "1h")["symbol"]) == {"BTCUSDT"}
    assert desk.opened().check().sound
