import multiprocessing
import os
import signal
import sqlite3
import time
import zlib
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.cache_writers import rows, write_for_ever, write_some

from embargo.data_loaders.errors import DataError
from embargo.models.content import text_hash
from embargo.models.scorers import cache as module
from embargo.models.scorers.cache import ScoreCache, SpareCache
from embargo.models.scorers.shards import Rows, Shard, digest_of, keys_of


@pytest.fixture(params=["disk", "address"])
def place(request, tmp_path):
    if request.param == "disk":
        yield tmp_path / "scores"
        return
    address = f"memory://{tmp_path.name}"
    yield address
    fsspec.filesystem("memory").rm(f"/{tmp_path.name}", recursive=True)


def shards(path, identity="a"):
    return sorted((path / digest_of(identity).hex()).glob("*.scores"))


def test_returns_exactly_what_was_stored(place):
    stored = rows(0, 1003)
    with ScoreCache(place) as cache:
        cache.put_many("a", stored)
    with ScoreCache(place) as cache:
        found = cache.get_many("a", [*stored, "absent", "t0"])
        assert cache.get_many("b", list(stored)) == {}
    assert list(found) == list(stored)
    assert all(np.array_equal(found[name], stored[name]) for name in stored)


@settings(max_examples=30)
@given(st.dictionaries(st.text(max_size=5), st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 3)))
def test_any_finite_logits_survive_bit_for_bit(tmp_path_factory, scores):
    with ScoreCache(tmp_path_factory.mktemp("cache") / "scores") as cache:
        cache.put_many("a", {name: np.array(values) for name, values in scores.items()})
        found = cache.get_many("a", list(scores))
    assert {name: values.tobytes() for name, values in found.items()} == {
        name: np.array(values).tobytes() for name, values in scores.items()
    }


@settings(max_examples=40)
@given(
    blocks=st.lists(st.lists(st.integers(0, 60), max_size=12), max_size=30),
    asked=st.lists(st.integers(0, 60), max_size=20),
)
def test_it_answers_as_a_dictionary_would_however_it_was_filled(tmp_path_factory, monkeypatch_module, blocks, asked):
    known = {}
    path = tmp_path_factory.mktemp("cache") / "scores"
    with ScoreCache(path) as cache, ScoreCache(path) as reader:
        for number, block in enumerate(blocks):
            cache.put_many("a", {text_hash(str(key)): np.array([key, number, 0.0]) for key in block})
            for key in block:
                known.setdefault(key, number)
        for one in (cache, reader):
            found = one.get_many("a", [text_hash(str(key)) for key in asked])
            assert {name: values.tolist() for name, values in found.items()} == {
                text_hash(str(key)): [key, known[key], 0.0] for key in asked if key in known
            }
    assert len(shards(path)) < 3 * 2 + 1


@pytest.fixture(scope="module")
def monkeypatch_module():
    """Merge three shards at a time, so that a few blocks are merged several times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MERGED", 3)
        patch.setattr(module, "_SMALLEST", 20)
        yield


def test_texts_with_the_same_first_bytes_are_told_apart():
    keys = np.array([[7, 1], [7, 2], [7, 9], [8, 0]], dtype=np.uint64)
    found = Rows.of([Rows(keys[::-1], np.arange(12.0).reshape(4, 3))])
    shard = Shard(found.keys[:, 0], found.keys[:, 1], found.logits)
    there, logits = shard.find(np.array([[7, 9], [7, 3], [7, 2], [9, 9], [6, 1]], dtype=np.uint64))
    assert there.tolist() == [True, False, True, False, False]
    assert logits.tolist() == [[3.0, 4.0, 5.0], [6.0, 7.0, 8.0]]


def test_a_row_takes_forty_bytes(tmp_path):
    with ScoreCache(tmp_path / "scores") as cache:
        cache.put_many("a", rows(0, 4096))
    [shard] = shards(tmp_path / "scores")
    assert shard.stat().st_size == 64 + 40 * 4096


def test_few_shards_are_left_of_many_blocks(tmp_path):
    with ScoreCache(tmp_path / "scores") as cache:
        for start in range(0, 640, 10):
            cache.put_many("a", rows(start, start + 10))
        assert len(cache.get_many("a", list(rows(0, 640)))) == 640
    assert len(shards(tmp_path / "scores")) < 16


def test_a_bad_row_stores_nothing(tmp_path):
    with ScoreCache(tmp_path / "scores") as cache:
        for bad in (np.array([0.0, np.nan, 0.0]), np.zeros(2)):
            with pytest.raises(DataError, match="three finite"):
                cache.put_many("a", {"good": np.zeros(3), "bad": bad})
        assert cache.get_many("a", ["good"]) == {}


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_shard_is_told_once_and_its_scores_are_computed_anew(tmp_path, seed):
    path, first, second = tmp_path / "scores", rows(0, 40), rows(40, 80)
    with ScoreCache(path) as cache:
        cache.put_many("a", first)
        [shard] = shards(path)
        cache.put_many("a", second)
    rng = np.random.default_rng(seed)
    content = bytearray(shard.read_bytes())
    if seed % 3 == 0:
        content = content[: int(rng.integers(len(content)))]
    else:
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    shard.write_bytes(content)
    with ScoreCache(path) as cache:
        with pytest.warns(RuntimeWarning, match=rf"{shard.name}.*computed anew") as told:
            found = [cache.get_many("a", list(first | second)), cache.get_many("a", list(first))]
        assert [each.keys() for each in found] == [second.keys(), set()]
        assert len(told) == 1
        cache.put_many("a", {name: logits + 1.0 for name, logits in first.items()})
        assert len(cache.get_many("a", list(first | second))) == 80
    with ScoreCache(path) as cache:
        assert cache.get_many("a", ["t3"])["t3"].tolist() == (first["t3"] + 1.0).tolist()


def _cut_while_open(path: Path, length: int) -> None:
    """End well if a shard that was cut after it was opened is told and made again; the system ends it otherwise."""
    stored = rows(0, 4096)
    with ScoreCache(path) as writer:
        writer.put_many("a", stored)
    with ScoreCache(path) as cache:
        assert len(cache.get_many("a", list(stored))) == 4096
        [shard] = shards(path)
        os.truncate(shard, length)
        with pytest.warns(RuntimeWarning, match=rf"{shard.name}.*computed anew"):
            assert cache.get_many("a", list(stored)) == {}
        cache.put_many("a", stored)
        assert len(cache.get_many("a", list(stored))) == 4096


@pytest.mark.parametrize("length", [0, 64, 4096, 100_000])
def test_a_shard_that_is_cut_while_it_is_open_ends_no_process(tmp_path, length):
    reader = multiprocessing.get_context("fork").Process(target=_cut_while_open, args=(tmp_path / "scores", length))
    reader.start()
    reader.join(60)
    assert reader.exitcode == 0


def test_merging_leaves_a_shard_that_was_cut_while_it_was_open(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MERGED", 3)
    path = tmp_path / "scores"
    with ScoreCache(path) as cache:
        for start in (0, 10):
            cache.put_many("a", rows(start, start + 10))
        os.truncate(shards(path)[0], 64)
        with pytest.warns(RuntimeWarning, match="computed anew"):
            cache.put_many("a", rows(20, 30))
        assert len(cache.get_many("a", list(rows(0, 30)))) == 20


def test_what_is_computed_anew_of_a_damaged_shard_stays(tmp_path):
    """The same rows have the same name; whoever saw the damage must not delete what has come in its place."""
    path, first = tmp_path / "scores", rows(0, 40)
    with ScoreCache(path) as cache:
        cache.put_many("a", first)
    [shard] = shards(path)
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    with ScoreCache(path) as one, ScoreCache(path) as other:
        for each in (one, other):
            with pytest.warns(RuntimeWarning, match="computed anew"):
                assert not each.get_many("a", list(first))
        one.put_many("a", first)
        assert len(one.get_many("a", list(first))) == 40
        other.put_many("a", rows(40, 41))
        assert len(other.get_many("a", list(rows(0, 41)))) == 41
    with ScoreCache(path) as cache:
        assert len(cache.get_many("a", list(rows(0, 41)))) == 41


def test_no_shard_grows_beyond_its_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LARGEST", 1000)
    with ScoreCache(tmp_path / "scores") as cache:
        for start in range(0, 2700, 300):
            cache.put_many("a", rows(start, start + 300))
        assert len(cache.get_many("a", list(rows(0, 2700)))) == 2700
    assert max((each.stat().st_size - 64) // 40 for each in shards(tmp_path / "scores")) == 900


def test_scores_moved_to_another_scorer_are_not_believed(tmp_path):
    path = tmp_path / "scores"
    with ScoreCache(path) as cache:
        cache.put_many("a", {"t": np.arange(3.0)})
    [shard] = shards(path)
    (path / digest_of("b").hex()).mkdir()
    shard.rename(path / digest_of("b").hex() / shard.name)
    with ScoreCache(path) as cache, pytest.warns(RuntimeWarning, match="computed anew"):
        assert cache.get_many("b", ["t"]) == {}


def test_a_shard_of_a_later_release_is_refused(tmp_path, monkeypatch):
    from embargo.models.scorers import shards as writing

    path = tmp_path / "scores"
    with monkeypatch.context() as later, ScoreCache(path) as cache:
        later.setattr(writing, "_FORMAT", 2)
        cache.put_many("a", rows(0, 3))
    with ScoreCache(path) as cache, pytest.raises(DataError, match=r"format 2.*another folder"):
        cache.get_many("a", ["t1"])


def test_a_file_in_its_place_is_named(tmp_path):
    (tmp_path / "scores").write_bytes(b"SQLite format 3")
    with pytest.raises(DataError, match="is a file"):
        ScoreCache(tmp_path / "scores")


def test_a_reader_finds_what_was_merged_under_its_hands(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MERGED", 2)
    path, more = tmp_path / "scores", [rows(10, 20)]
    with ScoreCache(path) as writer, SpareCache(path) as reader:
        writer.put_many("a", rows(0, 10))
        listed = reader._folder.names

        def late(folder):
            found = listed(folder)
            if more:
                writer.put_many("a", more.pop())
            return found

        reader._folder.__dict__["names"] = late
        assert len(reader.get_many("a", list(rows(0, 20)))) == 20
    assert len(shards(path)) == 1


def test_answers_that_are_given_stand_before_all_others(tmp_path):
    path, kept = tmp_path / "scores", rows(0, 8)
    with ScoreCache(path) as writer:
        writer.put_many("a", kept)
    names = list(kept)
    given, nowhere = [names[6], names[1], text_hash("never scored")], "of no text"
    with SpareCache(path, Shard.saying(np.array([3.0, 2.0, 1.0]), keys_of(given))) as spare:
        spare.put_many("a", {text_hash("scored anew"): np.full(3, 2.0)})
        found = spare.get_many("a", [*names, *given, text_hash("scored anew"), nowhere])
    assert len(found) == len(names) + 2
    assert all(found[name].tolist() == [3.0, 2.0, 1.0] for name in given)
    assert found[text_hash("scored anew")].tolist() == [2.0, 2.0, 2.0]
    assert all((found[name] == kept[name]).all() for name in names if name not in given)


def test_what_a_killed_writer_left_is_swept_up_after_a_day(tmp_path):
    path = tmp_path / "scores"
    with ScoreCache(path) as cache:
        cache.put_many("a", rows(0, 1))
        folder = path / digest_of("a").hex()
        for name, age in (("old", 2 * 86_400), ("new", 60)):
            (folder / f".{name}.part").touch()
            os.utime(folder / f".{name}.part", (time.time() - age,) * 2)
        for start in range(10, 200, 10):
            cache.put_many("a", rows(start, start + 10))
    assert [each.name for each in folder.glob(".*.part")] == [".new.part"]


def test_a_kill_leaves_whole_blocks(tmp_path):
    path = tmp_path / "scores"
    process = multiprocessing.get_context("spawn").Process(target=write_for_ever, args=(path, 0))
    process.start()
    names = [f"{block}-{number}" for block in range(400) for number in range(50)]
    deadline = time.monotonic() + 60
    with SpareCache(path) as reader:
        while time.monotonic() < deadline and len(reader.get_many("a", names)) < 500:
            time.sleep(0.02)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with ScoreCache(path) as cache:
        found = cache.get_many("a", names)
    assert len(found) >= 500
    assert len(found) % 50 == 0
    assert all(values.tolist() == [*map(float, name.split("-")), 0.0] for name, values in found.items())


def test_two_processes_write_at_once(tmp_path):
    path = tmp_path / "scores"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_some, args=(path, start)) for start in (0, 10)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    with ScoreCache(path) as cache:
        assert len(cache.get_many("a", list(rows(0, 300)))) == 300


def former(path: Path, scores):
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE scores (identity TEXT NOT NULL, text_hash TEXT NOT NULL, logits BLOB NOT NULL, "
            "PRIMARY KEY (identity, text_hash)) WITHOUT ROWID"
        )
        for (identity, name), logits in scores.items():
            blob = np.asarray(logits, dtype="<f8").tobytes()
            checksum = zlib.crc32(identity.encode() + name.encode() + blob)
            connection.execute(
                "INSERT INTO scores VALUES (?, ?, ?)", [identity, name, blob + checksum.to_bytes(4, "little")]
            )


def test_scores_of_an_earlier_release_are_moved_once(tmp_path):
    scores = {(identity, text_hash(str(n))): [n, 0.5, -n] for identity in ("a", "b") for n in range(5)}
    former(tmp_path / "scores.sqlite", scores)
    with sqlite3.connect(tmp_path / "scores.sqlite") as connection:
        connection.execute("UPDATE scores SET logits = x'00' WHERE text_hash = ?", [text_hash("4")])
    with SpareCache(tmp_path / "scores"):
        assert (tmp_path / "scores.sqlite").exists(), "who only reads moves nothing"
    with ScoreCache(tmp_path / "scores"):
        pass
    assert not (tmp_path / "scores.sqlite").exists()
    with ScoreCache(tmp_path / "scores") as cache:
        for identity in ("a", "b"):
            found = cache.get_many(identity, [text_hash(str(n)) for n in range(5)])
            assert {name: values.tolist() for name, values in found.items()} == {
                text_hash(str(n)): [n, 0.5, -n] for n in range(4)
            }


def test_a_damaged_file_of_an_earlier_release_is_told(tmp_path):
    (tmp_path / "scores.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.warns(RuntimeWarning, match=r"scores\.sqlite.*computed anew"):
        ScoreCache(tmp_path / "scores").close()


def test_keys_are_halves_of_the_hash():
    [[head, tail]] = keys_of([text_hash("some text")])
    assert f"{int(head):016x}{int(tail):016x}" == text_hash("some text")[:32]


def test_many_texts_are_found_and_kept_at_once_as_one_by_one(place):
    names = [text_hash(str(number)) for number in range(40)]
    logits = np.random.default_rng(7_300_000).normal(size=(40, 3))
    with ScoreCache(place) as cache, ScoreCache(place) as one_by_one:
        cache.keep("a", names, logits)
        for name, row in zip(names[:20], logits, strict=False):
            one_by_one.put_many("a", {name: row + 1.0})  # a text already there keeps what it has
        asked = [*names[::2], "absent", names[1]]
        there, found = cache.find("a", asked)
        wanted = one_by_one.get_many("a", asked)
        assert there.tolist() == [name in wanted for name in asked] == [True] * 20 + [False, True]
        assert np.array_equal(found[there], [wanted[name] for name in asked if name in wanted])
        assert np.isnan(found[~there]).all()
        with pytest.raises(DataError, match=f"logits of text {names[3]}"):
            cache.keep("b", names, np.where(np.arange(40)[:, None] == 3, np.nan, logits))
        assert not cache.find("b", names)[0].any()


def test_keys_are_the_same_whoever_else_is_asked_for():
    names = [text_hash(str(number)) for number in range(9)]
    assert np.array_equal(keys_of(names), keys_of([*names, "short"])[:-1])
    odd = [names[0].upper(), names[0][:63] + "\n"]
    assert np.array_equal(keys_of(odd), keys_of([*odd, "short"])[:-1])
    assert keys_of([]).shape == (0, 2)
