import multiprocessing
import signal
import sqlite3
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.cache_writers import rows, write_for_ever, write_some

from embargo.data_loaders.errors import DataError
from embargo.models.scorers.cache import LOOKUP_CHUNK, ScoreCache


def test_returns_exactly_what_was_stored(tmp_path):
    stored = rows(0, 2 * LOOKUP_CHUNK + 3)
    with ScoreCache(tmp_path / "scores.sqlite") as cache:
        cache.put_many("a", stored)
    with ScoreCache(tmp_path / "scores.sqlite") as cache:
        found = cache.get_many("a", [*stored, "absent"])
        assert cache.get_many("b", list(stored)) == {}
    assert found.keys() == stored.keys()
    assert all(np.array_equal(found[name], stored[name]) for name in stored)


@settings(max_examples=30)
@given(st.dictionaries(st.text(max_size=5), st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 3)))
def test_any_finite_logits_survive_bit_for_bit(tmp_path_factory, scores):
    with ScoreCache(tmp_path_factory.mktemp("cache") / "scores.sqlite") as cache:
        cache.put_many("a", {name: np.array(values) for name, values in scores.items()})
        found = cache.get_many("a", list(scores))
    assert {name: values.tobytes() for name, values in found.items()} == {
        name: np.array(values).tobytes() for name, values in scores.items()
    }


def test_a_bad_row_stores_nothing(tmp_path):
    with ScoreCache(tmp_path / "scores.sqlite") as cache:
        with pytest.raises(DataError, match="three finite"):
            cache.put_many("a", {"good": np.zeros(3), "bad": np.array([0.0, np.nan, 0.0])})
        assert cache.get_many("a", ["good"]) == {}


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_corrupt_file_is_named(tmp_path, content):
    path = tmp_path / "scores.sqlite"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"scores\.sqlite"):
        ScoreCache(path).get_many("a", ["t"])


def test_a_damaged_value_is_named(tmp_path):
    path = tmp_path / "scores.sqlite"
    ScoreCache(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO scores VALUES ('a', 't', x'00')")
    with ScoreCache(path) as cache, pytest.raises(DataError, match="1 bytes"):
        cache.get_many("a", ["t"])


@pytest.mark.parametrize("seed", range(20))
def test_a_byte_flipped_inside_kept_scores_is_refused_by_name(tmp_path, seed):
    path, stored = tmp_path / "scores.sqlite", rows(0, 40)
    with ScoreCache(path) as cache:
        cache.put_many("a", stored)
    rng = np.random.default_rng(seed)
    name, values = list(stored.items())[int(rng.integers(40))]
    content = bytearray(path.read_bytes())
    place = content.index(np.asarray(values, dtype="<f8").tobytes()) + int(rng.integers(28))
    content[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)
    with ScoreCache(path) as cache:
        with pytest.raises(DataError, match=rf"scores\.sqlite.*text {name} do.*checksum.*Delete the file"):
            cache.get_many("a", list(stored))
        others = [other for other in stored if other != name]
        assert cache.get_many("a", others).keys() == set(others)


@pytest.mark.parametrize("column", ["identity", "text_hash"])
def test_scores_moved_to_another_question_are_refused(tmp_path, column):
    path = tmp_path / "scores.sqlite"
    with ScoreCache(path) as cache:
        cache.put_many("a", {"t": np.arange(3.0)})
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE scores SET {column} = 'other'")
    identity, name = ("other", "t") if column == "identity" else ("a", "other")
    with ScoreCache(path) as cache, pytest.raises(DataError, match="checksum"):
        cache.get_many(identity, [name])


def test_rows_of_a_file_without_checksums_are_computed_anew_and_then_kept(tmp_path):
    path = tmp_path / "scores.sqlite"
    ScoreCache(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=0")
        connection.execute("INSERT INTO scores VALUES ('a', 't', ?)", [np.zeros(3).tobytes()])
    with ScoreCache(path) as cache:
        assert cache.get_many("a", ["t"]) == {}
        cache.put_many("a", {"t": np.ones(3)})
        cache.put_many("a", {"t": np.full(3, 2.0)})
        assert cache.get_many("a", ["t"])["t"].tolist() == [1.0, 1.0, 1.0]


def test_a_file_of_a_later_release_is_refused(tmp_path):
    path = tmp_path / "scores.sqlite"
    ScoreCache(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=3")
    with pytest.raises(DataError, match=r"format 3.*another folder"):
        ScoreCache(path)


def test_a_cache_that_is_busy_is_not_to_be_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr("embargo.models.scorers.cache.BUSY_TIMEOUT_S", 0.05)
    with ScoreCache(tmp_path / "scores.sqlite") as cache, ScoreCache(tmp_path / "scores.sqlite") as other:
        other._connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(DataError, match=r"locked.*keep the file"):
            cache.put_many("a", rows(0, 3))
        other._connection.execute("ROLLBACK")
        cache.put_many("a", rows(0, 3))


def test_a_kill_leaves_whole_blocks(tmp_path):
    path = tmp_path / "scores.sqlite"
    ScoreCache(path).close()
    process = multiprocessing.get_context("spawn").Process(target=write_for_ever, args=(path, 0))
    process.start()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with sqlite3.connect(path) as connection:
            if connection.execute("SELECT count(*) FROM scores").fetchone()[0] > 500:
                break
        time.sleep(0.02)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        count = connection.execute("SELECT count(*) FROM scores").fetchone()[0]
    assert count > 500
    assert count % 50 == 0
    with ScoreCache(path) as cache:
        assert len(cache.get_many("a", [f"0-{number}" for number in range(50)])) == 50


def test_two_processes_write_at_once(tmp_path):
    path = tmp_path / "scores.sqlite"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_some, args=(path, start)) for start in (0, 10)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    with ScoreCache(path) as cache:
        assert len(cache.get_many("a", list(rows(0, 300)))) == 300
