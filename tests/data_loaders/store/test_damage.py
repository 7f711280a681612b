"""Killed writers, writers at once, and bytes that are not what was written: found, named, and nothing else lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from samples import elsewhere
from samples.store_writers import NOON, ROWS, append_batches, rates

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.store import Store

LATER = pd.Timestamp("2030-01-01T00:00:00Z")

# A server that has imported the store forks a clean child in milliseconds, which a test process with threads cannot.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["samples.store_writers", "pytest"])


@pytest.fixture(scope="module", autouse=True)
def _server() -> None:
    """Start the server where it finds what it is to import; what it does not find it passes over in silence."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", elsewhere()["PYTHONPATH"])
        forkserver.ensure_running()


def start(root: Path, writer: int, count: int) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    ours, theirs = FORKS.Pipe(duplex=False)
    child = FORKS.Process(target=append_batches, args=(str(root), writer, count, theirs))
    child.start()
    theirs.close()
    return child, ours


def whole_batches(store: Store) -> int:
    """Check that what is visible consists of whole batches, and count them."""
    frame = store.as_of(LATER).funding(venue="test")
    sizes = frame.groupby("symbol").size()
    assert (sizes == ROWS).all()
    batches = store.batches()
    assert len(sizes) == len(batches)
    assert all(batch.rows == ROWS and len(batch.files) == 2 for batch in batches)
    return len(batches)


def test_a_writer_killed_at_any_moment_leaves_whole_batches_only(tmp_path: Path) -> None:
    moments = np.random.default_rng(7).uniform(0.0, 0.03, size=50)
    interrupted = 0
    for writer, moment in enumerate(moments):
        root = tmp_path / f"store {writer}"
        Store.create(root)
        child, ours = start(root, writer, 10_000)
        assert ours.poll(60)
        assert ours.recv() == "started"
        time.sleep(moment)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        ours.close()
        assert child.exitcode == -signal.SIGKILL
        store = Store.open(root)
        assert store.check().sound
        interrupted += bool(store.check().orphans)
        count = len(store.batches())
        store.append("funding", rates(99, 1), source="after", committed_at=NOON)
        assert whole_batches(store) == count + 1
    assert interrupted, "no kill came in the middle of an append: the test proves nothing"


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    root = tmp_path / "store"
    children = [start(root, writer, 30) for writer in (1, 2) if Store.create(root)]
    for child, ours in children:
        child.join(60)
        assert child.exitcode == 0
        ours.close()
    store = Store.open(root)
    assert whole_batches(store) == 60
    assert store.sources() == {f"writer {writer}, {number}" for writer in (1, 2) for number in range(30)}
    assert store.check().sound
    store.compact(committed_at=NOON + pd.Timedelta(hours=1))
    assert len(store.as_of(LATER).funding(venue="test")) == 60 * ROWS
    assert len(store.batches()) == 1


def flip(path: Path, where: int) -> None:
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.create(tmp_path / "store")
    store.append("funding", rates(1, 1), source="the exchange", committed_at=NOON)
    store.append("funding", rates(1, 2), source="another", committed_at=NOON)
    return store


@pytest.mark.parametrize("where", [0, 100, -1])
def test_a_flipped_byte_in_a_data_file_is_named(store: Store, where: int) -> None:
    entry = store.batches()[0].files[1]
    flip(Path(store.root) / entry.path, where)
    batch, source = store.batches()[0].id, store.batches()[0].source
    for read in (
        lambda: store.as_of(LATER).funding(venue="test"),
        lambda: store.sql("SELECT count(*) FROM funding"),
        lambda: list(store.as_of(LATER).record_batches("funding")),
        lambda: store.compact(committed_at=NOON),
    ):
        with pytest.raises(DataError, match="not what was written") as failure:
            read()
        assert all(part in str(failure.value) for part in (entry.path, batch, source, "Restore", "fetch or import"))
    (damage,) = store.check().damaged
    assert (damage.path, damage.batch, damage.source) == (entry.path, batch, source)
    # A question that needs other files only is answered.
    assert len(store.as_of(LATER).funding(venue="test", end=pd.Timestamp("2024-01-01", tz="UTC"))) > 0


def test_damage_after_the_first_read_is_found(store: Store) -> None:
    store.as_of(LATER).funding(venue="test")
    path = Path(store.root) / store.batches()[0].files[0].path
    flip(path, 200)
    with pytest.raises(DataError, match="not what was written"):
        store.as_of(LATER).funding(venue="test")


def test_a_truncated_and_a_missing_file_are_named(store: Store) -> None:
    first, second = (Path(store.root) / entry.path for entry in store.batches()[0].files)
    first.write_bytes(first.read_bytes()[:-20])
    with pytest.raises(DataError, match=rf"{first.name}: it has \d+ bytes, not the \d+"):
        store.as_of(LATER).funding(venue="test")
    first.unlink()
    with pytest.raises(DataError, match=f"{first.name}: the file is missing"):
        store.as_of(LATER).funding(venue="test")
    second.unlink()
    assert [damage.reason for damage in store.check().damaged] == ["the file is missing"] * 2


def test_a_damaged_entry_is_named_and_hides_nothing(store: Store) -> None:
    batch = store.batches()[0]
    entry = Path(store.root) / "manifest" / f"{batch.id}.json"
    whole = entry.read_bytes()
    for where in range(0, len(whole), 41):
        entry.write_bytes(whole[:where] + bytes([whole[where] ^ 1]) + whole[where + 1 :])
        with pytest.raises(DataError, match=entry.name):
            Store.open(store.root).as_of(LATER)
    entry.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=f"{entry.name} is damaged.*move it out"):
        Store.open(store.root).batches()
    health = Store.open(store.root).check()
    assert [damage.batch for damage in health.damaged] == [batch.id]
    assert sorted(health.orphans) == sorted(file.path for file in batch.files)
    entry.unlink()
    assert Store.open(store.root).sources() == {"the exchange", "another"} - {batch.source}


def test_an_entry_under_another_name_is_refused(store: Store) -> None:
    folder = Path(store.root) / "manifest"
    (folder / "20240101T000000000000Z-0000000000000000.json").write_bytes(next(folder.iterdir()).read_bytes())
    with pytest.raises(DataError, match="is that of batch"):
        Store.open(store.root).batches()


def test_a_damaged_identity_is_named(store: Store) -> None:
    flip(Path(store.root) / "store.json", 90)
    with pytest.raises(DataError, match=r"store\.json is damaged"):
        Store.open(store.root)


def test_remote_damage_is_named() -> None:
    store = Store.create("memory://damage")
    entry = store.append("funding", rates(1, 1), source="x", committed_at=NOON).files[0]
    system, path = store._folder._system, store._folder.path(entry.path)
    content = bytearray(system.cat_file(path))
    content[50] ^= 1
    system.pipe_file(path, bytes(content))
    with pytest.raises(DataError, match=f"memory://damage/{entry.path}: its content is not what was written"):
        store.as_of(LATER).funding(venue="test")
    system.pipe_file(path, bytes(content[:-3]))
    with pytest.raises(DataError, match="bytes, not the"):
        store.as_of(LATER).funding(venue="test")


def test_an_unfinished_append_is_invisible_and_young_leftovers_stay(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr("embargo.data_loaders.store.appending.encode", die)
    with pytest.raises(KeyboardInterrupt):
        store.append("funding", rates(3, 3), source="killed", committed_at=NOON)
    monkeypatch.undo()
    assert "killed" not in store.sources()
    health = store.check()
    assert (health.sound, len(health.orphans)) == (True, 2)
    written = pd.Timestamp((Path(store.root) / health.orphans[0]).stat().st_mtime, unit="s", tz="UTC")
    assert store.compact(committed_at=written + pd.Timedelta(hours=23))["swept_orphans"] == 0
    assert store.compact(committed_at=written + pd.Timedelta(hours=25))["swept_orphans"] == 2


def test_a_reader_finds_what_a_compaction_has_moved(store: Store) -> None:
    snapshot = store.as_of(LATER)
    before = snapshot.funding(venue="test")
    other = Store.open(store.root)
    other.compact(committed_at=NOON)
    other.append("funding", rates(7, 7), source="new", committed_at=NOON)
    assert other.compact(committed_at=NOON + pd.Timedelta(days=1))["removed_files"] == 4
    pd.testing.assert_frame_equal(snapshot.funding(venue="test"), before)
    # Only when the exact successor is swept as well does a snapshot see what was appended since.
    other.compact(committed_at=NOON + pd.Timedelta(days=2))
    assert len(snapshot.funding(venue="test")) == len(before) + ROWS


def test_nothing_is_removed_for_a_damaged_compaction(store: Store) -> None:
    store.compact(committed_at=NOON)
    flip(Path(store.root) / store.batches()[0].files[0].path, 60)
    with pytest.raises(DataError, match="not what was written"):
        store.compact(committed_at=NOON + pd.Timedelta(days=3))
    assert len(list((Path(store.root) / "manifest").glob("*.json"))) == 3


def test_files_of_others_are_neither_listed_nor_swept(store: Store) -> None:
    root = Path(store.root)
    foreign = [root / name for name in ("archives/news.csv", "notes.txt", "funding/mine.parquet", "manifest/README")]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_text("precious")
    assert store.check().orphans == ()
    assert store.compact(committed_at=pd.Timestamp("2100-01-01", tz="UTC"))["swept_orphans"] == 0
    assert all(path.exists() for path in foreign)
