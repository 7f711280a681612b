import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.data_loaders.errors import DataError
from embargo.models.content import cached_folder, read_manifest, sample_fingerprint, texts_fingerprint


def build(folder):
    (folder / "weights.bin").write_bytes(b"\x01\x02")
    return {"answer": 42}


def test_builds_once_and_returns_the_same_folder(tmp_path):
    calls = []

    def counted(folder):
        calls.append(folder)
        return build(folder)

    first = cached_folder(tmp_path, "thing", {"a": 1}, counted)
    assert cached_folder(tmp_path, "thing", {"a": 1}, counted) == first
    assert len(calls) == 1
    assert cached_folder(tmp_path, "thing", {"a": 2}, counted)[0] != first[0]


def test_a_failure_leaves_nothing_behind(tmp_path):
    def fail(folder):
        build(folder)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        cached_folder(tmp_path, "thing", {}, fail)
    assert list(tmp_path.iterdir()) == []


def test_the_one_who_comes_second_takes_what_is_there(tmp_path):
    def overtaken(folder):
        cached_folder(tmp_path, "thing", {}, build)
        return build(folder)

    folder, manifest = cached_folder(tmp_path, "thing", {}, overtaken)
    assert manifest["answer"] == 42
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("damage", ["flip", "add", "lose", "manifest"])
def test_damage_is_refused_and_named(tmp_path, damage):
    folder, _ = cached_folder(tmp_path, "thing", {}, build)
    if damage == "flip":
        (folder / "weights.bin").write_bytes(b"\x01\x03")
    elif damage == "add":
        (folder / "more.bin").write_bytes(b"")
    elif damage == "lose":
        (folder / "weights.bin").unlink()
    else:
        (folder / "manifest.json").write_text(json.dumps({"files": None}))
    with pytest.raises(DataError, match=r"bin|manifest"):
        read_manifest(folder)


@given(st.lists(st.tuples(st.text(), st.integers(0, 2)), min_size=1), st.randoms())
def test_fingerprints_ignore_order_and_see_content(sample, random):
    texts, labels = zip(*sample, strict=True)
    shuffled = random.sample(sample, len(sample))
    assert sample_fingerprint(texts, labels) == sample_fingerprint(*zip(*shuffled, strict=True))
    changed = [(labels[0] + 1) % 3, *labels[1:]]
    assert sample_fingerprint(texts, labels) != sample_fingerprint(texts, changed)
    assert texts_fingerprint(texts) == texts_fingerprint([*texts, texts[0]])
    assert texts_fingerprint(texts) != texts_fingerprint([*texts, "".join(texts) + "x"])
