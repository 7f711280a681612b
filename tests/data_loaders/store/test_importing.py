"""Archives come into the store whole, once, in bounded memory, and no edit is ever dated back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embargo.data_loaders.archive import streams, tables
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.store import Store
from embargo.data_loaders.store.importing import ImportReport, import_bars, import_news

DAY = pd.Timestamp("2024-05-01", tz="UTC")
YEARS_LATER = pd.Timestamp("2026-05-01", tz="UTC")
FOREVER = pd.Timestamp("2100-01-01", tz="UTC")


def at(instant: pd.Timestamp) -> Callable[[], pd.Timestamp]:
    return lambda: instant


def stories(count: int = 40, **changes: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "article_id": [f"a{number}" for number in range(count)],
            "published_at": [f"2020-01-{1 + number % 28:02d}T10:00:00Z" for number in range(count)],
            "symbol": [f"S{number % 3}" for number in range(count)],
            "text": [f"Story {number}" for number in range(count)],
        }
        | changes
    )


def put(path: Path, frame: pd.DataFrame) -> Path:
    frame.to_csv(path, index=False)
    return path


def bring(path: Path, store: Any, now: pd.Timestamp = DAY, **rules: Any) -> ImportReport:
    return import_news(path, store, source_name="wire", clock=at(now), **rules)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 4 rows, batches of 8."""
    monkeypatch.setattr(tables, "PIECE_ROWS", 4)
    monkeypatch.setattr(streams, "PIECE_ROWS", 4)
    monkeypatch.setattr(streams, "BATCH_ROWS", 8)


def everything(store: Store, **request: Any) -> pd.DataFrame:
    return store.as_of(FOREVER).news(**request)


def test_an_archive_comes_in_once_and_counts_from_its_publication(tmp_path: Path, store: Store) -> None:
    path = put(tmp_path / "n.csv", stories())
    report = bring(path, store)
    assert report.counts["rows"] == report.counts["kept"] == report.counts["imported"] == 40
    assert len(report.batches) == 1
    news = everything(store)
    assert len(news) == 40
    assert (news["known_at"] == news["published_at"]).all()
    assert set(news["source"]) == {"wire"}
    again = bring(path, store, YEARS_LATER)
    assert again == ImportReport({}, (), 1)
    path.rename(tmp_path / "moved.csv")
    assert bring(tmp_path / "moved.csv", store, YEARS_LATER).batches == ()
    assert len(store.batches()) == 1


class _Dies:
    """A store whose process dies before it commits the batch with a given number."""

    def __init__(self, store: Store, after: int) -> None:
        self.store, self.left = store, after

    def sources(self) -> frozenset[str]:
        return self.store.sources()

    def append(self, *args: Any, **keywords: Any) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        self.store.append(*args, **keywords)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("after", range(6))
@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_an_interrupted_import_keeps_whole_batches_and_the_next_one_completes_it(
    tmp_path: Path, store: Store, after: int, suffix: str
) -> None:
    path = tmp_path / f"n.{suffix}"
    stories().to_parquet(path) if suffix == "parquet" else path.write_text(
        stories().to_json(orient="records", lines=True)
    )
    try:
        bring(path, _Dies(store, after))
    except KeyboardInterrupt:
        assert len(store.batches()) == after < 5
    report = bring(path, store, YEARS_LATER)
    assert len(store.batches()) == 5
    if after < 5:
        assert (len(report.batches), report.skipped_batches) == (5 - after, after)
        assert report.counts["kept"] == 40
        assert report.counts["imported"] == 40 - 8 * after
    news = everything(store, versions="all")
    assert sorted(news["article_id"]) == sorted(stories()["article_id"])
    assert (news["known_at"] == news["published_at"]).all()


def test_an_edited_archive_adds_revisions_seen_when_they_were_imported(tmp_path: Path, store: Store) -> None:
    bring(put(tmp_path / "n.csv", stories()), store)
    edited = stories().assign(text=lambda frame: frame["text"].mask(frame.index == 5, "It knew better"))
    bring(put(tmp_path / "n.csv", edited), store, YEARS_LATER)
    every = everything(store, versions="all")
    assert len(every) == 41
    revised = every.loc[every["article_id"] == "a5"]
    assert revised["text"].tolist() == ["Story 5", "It knew better"]
    assert revised["known_at"].tolist()[1] == YEARS_LATER
    before = store.as_of(YEARS_LATER - pd.Timedelta(microseconds=1)).news()
    assert before.set_index("article_id").loc["a5", "text"] == "Story 5"


def test_a_silent_edit_of_a_date_only_article_is_not_dated_back_to_its_day(tmp_path: Path, store: Store) -> None:
    rules = {"date_only": "all", "timezone": "America/New_York"}
    dated = stories(1, published_at=["2020-03-08"])
    bring(put(tmp_path / "n.csv", dated), store, **rules)
    evening = pd.Timestamp("2020-03-09 04:00", tz="UTC")
    news = everything(store)
    assert news["known_at"].tolist() == news["published_at"].tolist() == [evening]
    assert news["stated_at"].tolist() == [pd.Timestamp("2020-03-08 05:00", tz="UTC")]
    assert store.as_of(evening - pd.Timedelta(microseconds=1)).news().empty
    bring(put(tmp_path / "n.csv", dated.assign(text="It knew better")), store, YEARS_LATER, **rules)
    assert store.as_of(YEARS_LATER - pd.Timedelta(days=1)).news()["text"].tolist() == ["Story 0"]
    assert everything(store)["known_at"].tolist() == [YEARS_LATER]


def test_stated_sightings_are_kept_and_gaps_left_to_the_store(tmp_path: Path, store: Store) -> None:
    frame = stories(3).assign(got=["2020-02-01T00:00:00Z", None, "2020-02-03T00:00:00Z"])
    versions = pd.concat([frame, frame.iloc[[2]].assign(text="Mended", got="2020-04-01T00:00:00Z")])
    report = bring(put(tmp_path / "n.csv", versions), store, columns={"seen_at": "got"})
    assert len(report.batches) == 2
    every = everything(store, versions="all").set_index(["article_id", "revision"])["known_at"]
    assert every["a0", 0] == pd.Timestamp("2020-02-01", tz="UTC")
    assert every["a1", 0] == pd.Timestamp("2020-01-02 10:00", tz="UTC")
    assert every["a2", 1] == pd.Timestamp("2020-04-01", tz="UTC")
    assert bring(tmp_path / "n.csv", store, columns={"seen_at": "got"}).batches == ()


def test_contradictions_without_a_stated_sighting_are_refused(tmp_path: Path, store: Store) -> None:
    twice = pd.concat([stories(3), stories(3), stories(1, text=["Other"])])
    with pytest.raises(DataError, match=r"'a0' of 'S0' stands there 2 times with different \['text'\]"):
        bring(put(tmp_path / "n.csv", twice), store)
    assert store.batches() == []
    report = bring(put(tmp_path / "n.csv", pd.concat([stories(3), stories(3)])), store)
    assert (report.counts["identical_rows_collapsed"], report.counts["imported"]) == (3, 3)


def test_other_rules_are_another_import(tmp_path: Path, store: Store) -> None:
    path = put(tmp_path / "n.csv", stories())
    first = bring(path, store, symbols=["S0", "S1"])
    assert bring(path, store, symbols=["S1", "S0"]).batches == ()
    second = bring(path, store)
    assert first.counts["other_symbols"] == 13
    assert second.counts["imported"] == 40
    assert len(everything(store)) == 40
    with pytest.raises(DataError, match=r"no row is left \(40 rows, 40 other symbols\)"):
        bring(path, store, symbols=["S9"])


def test_an_archive_that_grows_meanwhile_is_refused(tmp_path: Path, store: Store) -> None:
    path = put(tmp_path / "n.csv", stories())

    def grow() -> None:
        with path.open("a") as more:
            more.write("late,2020-01-01T00:00:00Z,S0,More\n")

    with pytest.raises(DataError, match=r"n\.csv: changed while it was imported"):
        bring(path, store, progress=lambda done, total: grow() if done > total // 2 else None)
    assert store.batches() == []


@pytest.mark.usefixtures("small_batches")
def test_progress_counts_bytes_up_to_all_of_them(tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(5):
        put(folder / f"{number}.csv", stories(6, article_id=[f"{number}-{row}" for row in range(6)]))
    seen: list[tuple[int, int]] = []
    bring(folder, store, progress=lambda done, total: seen.append((done, total)))
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert {total for _, total in seen} == {2 * size}
    assert seen == sorted(seen)
    assert seen[-1] == (2 * size, 2 * size)
    assert len(everything(store)) == 30


def test_bars_come_in_with_their_sessions(tmp_path: Path, store: Store) -> None:
    rows = [
        {"symbol": symbol, "date": day, "open": 10.0, "high": 11.0, "low": 9.0, "close": 10.5, "volume": 100}
        for symbol in ("AAA", "BBB")
        for day in ("2014-07-02", "2014-07-03")
    ]
    path = put(tmp_path / "p.csv", pd.DataFrame(rows))
    request: dict[str, Any] = {"venue": "vendor", "calendar": "XNYS"}
    report = import_bars(path, store, **request, clock=at(DAY))
    assert report.counts["imported"] == report.counts["rows"] == 4
    bars = store.as_of(FOREVER).bars(venue="vendor", bar="1d")
    assert bars["close_at"].iloc[-1] == pd.Timestamp("2014-07-03 17:00", tz="UTC")
    assert (bars["known_at"] == bars["close_at"]).all()
    assert import_bars(path, store, **request, clock=at(YEARS_LATER)).batches == ()
    rows[0]["close"] = 10.6
    import_bars(put(path, pd.DataFrame(rows)), store, **request, clock=at(YEARS_LATER))
    for t, close in ((YEARS_LATER - pd.Timedelta(days=1), 10.5), (YEARS_LATER, 10.6)):
        known = store.as_of(t).bars(venue="vendor", bar="1d", symbols=["AAA"]).set_index("open_at")["close"]
        assert known[pd.Timestamp("2014-07-02 13:30", tz="UTC")] == close


SECOND = 1_400_000_000

KILLED = """
import sys
import pandas as pd
from embargo.data_loaders.archive import streams, tables
from embargo.data_loaders.store.importing import import_news
from embargo.data_loaders.store import Store

tables.PIECE_ROWS = streams.PIECE_ROWS = streams.BATCH_ROWS = 2_000
print("ready", flush=True)
import_news(sys.argv[1], Store.open(sys.argv[2]), source_name="x", symbol="S", timezone="unix:s",
            clock=lambda: pd.Timestamp("2024-05-01", tz="UTC"))
"""


@pytest.mark.slow
def test_imports_killed_at_random_moments_are_completed_by_the_next_ones(tmp_path: Path) -> None:
    path, root = write_many(tmp_path / "n.parquet", 200_000), tmp_path / "store"
    store, moments, kills = Store.create(root), np.random.default_rng(7), 0
    while True:
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(path), str(root)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        with child.stdout:
            child.stdout.readline()
            try:
                child.wait(float(moments.uniform(0.02, 0.8)) if kills < 12 else None)
            except subprocess.TimeoutExpired:
                child.kill()
                kills += 1
        if child.wait() == 0:
            break
        assert sum(batch.rows for batch in store.batches()) % 2_000 == 0
    assert kills >= 6
    assert len(store.sources()) == len(store.batches()) == 100
    assert store.check().sound
    news = store.as_of(DAY).news()
    assert len(news) == news["article_id"].nunique() == 200_000


def write_many(path: Path, rows: int) -> Path:
    """Write short news in parquet or CSV without holding them all."""
    text = pa.array([f"Story {number} about nothing in particular" for number in range(50_000)])
    with path.open("wb") as sink:
        writer = None
        for first in range(0, rows, 50_000):
            stamps = pa.array(range(SECOND + first, SECOND + first + 50_000), pa.int64())
            table = pa.table({"article_id": stamps.cast(pa.string()), "published_at": stamps, "text": text})
            writer = writer or pq.ParquetWriter(sink, table.schema)
            writer.write_table(table)
        assert writer is not None
        writer.close()
    return path


PEAK = """
import resource, sys
import pandas as pd
from embargo.data_loaders.store.importing import import_news

class Keeper:
    rows = 0
    def sources(self):
        return frozenset()
    def append(self, dataset, frame, *, source, committed_at):
        self.rows += len(frame)

keeper = Keeper()
import_news(sys.argv[1], keeper, source_name="x", symbol="S", timezone="unix:s",
            clock=lambda: pd.Timestamp("2024-01-01", tz="UTC"))
print(keeper.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak_of(path: Path) -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    rows, megabytes = done.stdout.split()
    return int(rows), int(megabytes)


def test_memory_does_not_grow_with_the_archive(tmp_path: Path) -> None:
    small = peak_of(write_many(tmp_path / "small.parquet", 600_000))
    large = peak_of(write_many(tmp_path / "large.parquet", 3_000_000))
    assert (small[0], large[0]) == (600_000, 3_000_000)
    assert large[1] < small[1] + 150


def test_hourly_bars_of_an_exchange_come_back_as_prices(tmp_path: Path, store: Store) -> None:
    opens = [f"2024-01-02T{hour}:30:00Z" for hour in range(14, 21)]
    bars = pd.DataFrame(
        {"symbol": "A", "open_at": opens, "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1}
    )
    import_bars(put(tmp_path / "h.csv", bars), store, venue="v", calendar="XNYS", bar="1h", clock=at(DAY))
    prices = store.as_of(DAY).prices(venue="v", bar="1h", calendar="XNYS").prices
    assert prices.close_at[-1] == pd.Timestamp("2024-01-02 21:00", tz="UTC")
