"""What a fetch asks for, for every way in which a source can answer."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.data_loaders.errors import ServiceError
from embargo.data_loaders.retries import Patience
from embargo.data_loaders.store import Cover, Store
from embargo.data_loaders.store.additions import Added, sift
from embargo.data_loaders.store.bar_calendars import calendar_of_bars
from embargo.research.gathering.fetching import (
    Answer,
    Series,
    Tally,
    Writer,
    fill,
    finished_until,
    interruptibly,
    spans_to_ask,
)

HOUR = pd.Timedelta(hours=1)
ORIGIN = pd.Timestamp("2024-01-01", tz="UTC").as_unit("us")
NOW = ORIGIN + 400 * HOUR
SERIES = Series("bars", "test", "A", "1h", HOUR)


def at(hours: int) -> pd.Timestamp:
    return ORIGIN + hours * HOUR


def bars(symbol: str, first: int, last: int, *, close: float = 1.0) -> pd.DataFrame:
    opens = pd.DatetimeIndex([at(hour) for hour in range(first, last)], dtype="datetime64[us, UTC]")
    level = dict.fromkeys(("open", "high", "low"), 1.0) | {"close": close, "volume": 5.0}
    names = {"venue": "test", "symbol": symbol, "bar": "1h"}
    return pd.DataFrame({"open_at": opens, "close_at": opens + HOUR}).assign(**names, **level)


@pytest.mark.parametrize(
    ("calendar", "bar", "now", "finished"),
    [
        ("XNYS", "1D", "2024-07-02 15:00Z", "2024-07-01 20:00Z"),
        ("XNYS", "1D", "2024-07-02 20:00Z", "2024-07-02 20:00Z"),
        ("XNYS", "1D", "2024-07-02 19:59Z", "2024-07-01 20:00Z"),
        ("XNYS", "1D", "2024-07-03 17:00Z", "2024-07-03 17:00Z"),
        ("XNYS", "1D", "2024-07-07 12:00Z", "2024-07-05 20:00Z"),
        ("XNYS", "1h", "2024-07-02 15:29Z", "2024-07-02 14:30Z"),
        ("XNYS", "1h", "2024-07-02 13:31Z", "2024-07-02 13:30Z"),
        ("24/7", "1h", "2024-07-02 15:29Z", "2024-07-02 15:00Z"),
        ("24/7", "1D", "2024-07-02 15:29Z", "2024-07-02 00:00Z"),
    ],
)
def test_nothing_after_the_newest_finished_bar_is_asked_for(calendar: str, bar: str, now: str, finished: str) -> None:
    assert finished_until(calendar, pd.Timedelta(bar), pd.Timestamp(now)) == pd.Timestamp(finished)


@given(
    spans=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 30)), max_size=4),
    start=st.integers(0, 60),
    length=st.integers(1, 80),
    chunk=st.one_of(st.none(), st.integers(1, 40)),
)
def test_questions_are_what_is_missing_and_a_tail_of_what_is_there(
    spans: list[tuple[int, int]], start: int, length: int, chunk: int | None
) -> None:
    covered = {hour for first, size in spans for hour in range(first, first + size)}
    edges = sorted(hour for hour in covered if hour - 1 not in covered)
    merged = []
    for edge in edges:
        end = edge
        while end in covered:
            end += 1
        merged.append((edge, end))

    class Known:
        def covered(self, *names: str) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
            return [(at(first), at(last)) for first, last in merged]

        def missing(self, *request: object) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
            gaps = [hour for hour in range(start, start + length) if hour not in covered]
            firsts = [hour for hour in gaps if hour - 1 not in gaps]
            lasts = [hour + 1 for hour in gaps if hour + 1 not in gaps]
            return [(at(first), at(last)) for first, last in zip(firsts, lasts, strict=True)]

    step = None if chunk is None else chunk * HOUR
    asked = spans_to_ask(Known(), SERIES, at(start), at(start + length), chunk=step)  # type: ignore[arg-type]
    new = [hour for span in asked for hour in range((span.new_from - ORIGIN) // HOUR, (span.end - ORIGIN) // HOUR)]
    assert sorted(new) == [hour for hour in range(start, start + length) if hour not in covered]
    for span in asked:
        assert span.start <= span.new_from < span.end
        assert chunk is None or span.end - span.new_from <= chunk * HOUR
        tail = range((span.start - ORIGIN) // HOUR, (span.new_from - ORIGIN) // HOUR)
        assert len(tail) <= 7
        assert set(tail) <= covered


def filled(store: Store, symbols: str, answers: object, *, end: int = 50, tally: Tally | None = None) -> Tally:
    tally = tally or Tally()
    writer = Writer(store, "test", lambda: NOW, tally)
    try:
        fill(
            [Series("bars", "test", symbol, "1h", HOUR) for symbol in symbols],
            answers,  # type: ignore[arg-type]
            start=at(0),
            end=lambda series: at(end),
            chunk=20 * HOUR,
            together=1,
            store=store,
            writer=writer,
            tally=tally,
            patience=Patience(),
            advance=lambda done, total: None,
        )
    finally:
        writer.flush()
    return tally


def good(group: list[str], first: pd.Timestamp, last: pd.Timestamp) -> Answer:
    hours = (first - ORIGIN) // HOUR, (last - ORIGIN) // HOUR
    return Answer({"bars": bars(group[0], *hours)}, {group[0]: last})


def test_a_source_that_fails_for_one_symbol_keeps_the_others(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")

    def ask(group: list[str], first: pd.Timestamp, last: pd.Timestamp) -> Answer:
        return Answer({}, {}, {"B": "B is unknown"}) if group == ["B"] else good(group, first, last)

    tally = filled(store, "ABC", ask)
    assert tally.failure_lines() == ["B is unknown"]
    assert tally.added["bars"] == Added(new=100)
    assert store.missing("bars", "test", "B", at(0), at(50), "1h") == [(at(0), at(50))]


def test_one_question_without_an_answer_is_a_failure_and_two_in_a_row_are_the_end(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    silent = {"B"}
    asked = []

    def ask(group: list[str], first: pd.Timestamp, last: pd.Timestamp) -> Answer:
        asked.append(group[0])
        if group[0] in silent:
            raise ServiceError(f"{group[0]}: no answer")
        return good(group, first, last)

    tally = filled(store, "ABCD", ask)
    assert tally.failure_lines() == ["B: no answer"]
    silent |= {"C"}
    asked.clear()
    other = Store.create(tmp_path / "other")
    with pytest.raises(ServiceError, match="9 more questions were not asked"):
        filled(other, "ABCD", ask)
    assert asked == ["A", "B", "C"]
    assert other.covered("bars", "test", "A", "1h") == [(at(0), at(20))]


def test_a_source_that_never_answers_is_an_error(tmp_path: Path) -> None:
    def ask(group: list[str], first: pd.Timestamp, last: pd.Timestamp) -> Answer:
        raise ServiceError("no network")

    with pytest.raises(ServiceError, match="no network"):
        filled(Store.create(tmp_path / "store"), "A", ask)


def test_what_was_answered_before_an_interruption_is_kept(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")

    def ask(group: list[str], first: pd.Timestamp, last: pd.Timestamp) -> Answer:
        if group == ["B"]:
            raise KeyboardInterrupt
        return good(group, first, last)

    with pytest.raises(KeyboardInterrupt):
        filled(store, "AB", ask)
    assert store.covered("bars", "test", "A", "1h")[0] == (at(0), at(20))
    assert store.check().sound


def test_an_answer_that_stops_early_is_continued_where_it_stopped(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    asked = []

    def ask(group: list[str], first: pd.Timestamp, last: pd.Timestamp) -> Answer:
        asked.append((first, last))
        return Answer({"bars": bars("A", (first - ORIGIN) // HOUR, 48)}, {"A": min(at(48), last)})

    filled(store, "A", ask)
    assert store.missing("bars", "test", "A", at(0), at(50), "1h") == [(at(48), at(50))]
    asked.clear()
    tally = filled(store, "A", ask)
    assert asked == [(at(41), at(50))]
    assert tally.added["bars"] == Added(unchanged=7)


def test_only_what_is_new_or_different_is_appended(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    cover = Cover("bars", "test", "A", "1h", at(0), at(10))
    store.append("bars", bars("A", 0, 10), source="test", committed_at=NOW, covers=[cover])
    answer = pd.concat([bars("A", 5, 9), bars("A", 9, 10, close=2.0), bars("A", 10, 12)], ignore_index=True)
    rows, added = sift(store, "bars", answer, at=NOW)
    assert added == Added(new=2, revised=1, unchanged=4)
    assert list(rows["open_at"]) == [at(9), at(10), at(11)]
    assert sift(store, "bars", bars("B", 0, 3), at=NOW)[1] == Added(new=3)
    assert sift(store, "bars", answer.iloc[:0], at=NOW)[1] == Added()


def test_missing_values_are_equal_to_missing_values(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    frame = bars("A", 0, 3).assign(volume=[1.0, None, 3.0])
    store.append("bars", frame, source="test", committed_at=NOW)
    assert sift(store, "bars", frame, at=NOW)[1] == Added(unchanged=3)


def test_errors_and_results_pass_out_of_the_thread() -> None:
    assert interruptibly(lambda: 5) == 5
    with pytest.raises(ServiceError):
        interruptibly(_refuse)


def _refuse() -> None:
    raise ServiceError("no")


def test_bars_tell_their_calendar(monkeypatch: pytest.MonkeyPatch) -> None:
    from embargo.data_loaders.calendars import sessions

    candidates = ("XNYS", "24/7", "XLON", "XTKS")
    monkeypatch.setattr("embargo.data_loaders.store.bar_calendars.CANDIDATES", candidates)
    for code in candidates:
        table = sessions(code, pd.Timestamp("2023-01-01"), pd.Timestamp("2023-12-31")).reset_index(drop=True)
        assert calendar_of_bars(table, daily=True) == code
    shifted = table.assign(open_at=table["open_at"] + HOUR / 3, close_at=table["close_at"] + HOUR / 3)
    assert calendar_of_bars(shifted, daily=True) is None
    hours = bars("A", 0, 300)
    assert calendar_of_bars(hours, daily=False) == "24/7"
