"""Archives come in whatever wrapping, and a broken wrapping is named rather than read half."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from embargo.data_loaders.archive.files import fingerprint, tables_of
from embargo.data_loaders.archive.news import read_news
from embargo.data_loaders.errors import DataError, MissingPartError

ROWS = pd.DataFrame(
    {
        "article_id": [f"{number:03d}" for number in range(40)],
        "published_at": [f"2020-01-{1 + number % 28:02d}T10:00:00Z" for number in range(40)],
        "symbol": "AAA",
        "text": [f"Story {number}, told\ntwice" for number in range(40)],
    }
)
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
}


def content_of(kind: str, rows: pd.DataFrame = ROWS) -> bytes:
    if kind == "csv":
        return rows.to_csv(index=False).encode()
    if kind == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows.to_dict("records")).encode()
    whole = io.BytesIO()
    rows.to_parquet(whole)
    return whole.getvalue()


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return path


@pytest.mark.parametrize("packing", ["", *PACKINGS, ".zip", ".gz in .zip"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_every_packing_of_every_format_reads_the_same(tmp_path: Path, kind: str, packing: str) -> None:
    content = content_of(kind)
    if packing == ".zip":
        path = zipped(tmp_path / "n.zip", {f"a.{kind}": content})
    elif packing == ".gz in .zip":
        path = zipped(tmp_path / "n.ZIP", {f"a.{kind}.gz": gzip.compress(content)})
    else:
        path = tmp_path / f"n.{kind}{packing}"
        path.write_bytes(PACKINGS[packing](content) if packing else content)
    loaded = read_news(path)
    assert loaded.frame["article_id"].tolist() == sorted(ROWS["article_id"], key=lambda name: (int(name) % 28, name))
    assert set(loaded.frame["text"]) == set(ROWS["text"])
    assert loaded.counts["rows"] == 40


@pytest.mark.parametrize("packing", [*PACKINGS, ".zip"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_packing_cut_short_is_named_and_never_read_as_a_shorter_archive(
    tmp_path: Path, kind: str, packing: str
) -> None:
    content = content_of(kind)
    whole = zipped(tmp_path / "w.zip", {f"a.{kind}": content}).read_bytes() if packing == ".zip" else (
        PACKINGS[packing](content)
    )  # fmt: skip
    path = tmp_path / (f"n.{kind}{packing}" if packing != ".zip" else "n.zip")
    for lost in (1, 9, len(whole) // 2):
        path.write_bytes(whole[:-lost])
        with pytest.raises(DataError, match=r"n\.\w+.*(damaged|unreadable)"):
            read_news(path)


def test_a_flipped_byte_in_a_zip_member_is_named(tmp_path: Path) -> None:
    path = tmp_path / "n.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        packed.writestr("a.csv", content_of("csv"))
    content = bytearray(path.read_bytes())
    content[content.index(b"Story 7")] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"n\.zip/a\.csv: damaged"):
        read_news(path)


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".xz", ".zst"])
def test_streams_packed_one_after_the_other_are_read_to_the_end(tmp_path: Path, packing: str) -> None:
    lines = content_of("jsonl").splitlines(keepends=True)
    pack = PACKINGS[packing]
    (tmp_path / f"n.jsonl{packing}").write_bytes(pack(b"".join(lines[:10])) + pack(b"".join(lines[10:])))
    assert read_news(tmp_path).counts["rows"] == 40


def test_faults_name_archive_member_and_row(tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows.loc[6, "published_at"] = "yesterday T10:00Z"
    path = zipped(tmp_path / "news.zip", {"part0.csv": content_of("csv"), "part1.csv": content_of("csv", rows)})
    with pytest.raises(DataError, match=r"news\.zip/part1\.csv, column 'published_at', row 7: 'yesterday"):
        read_news(path)
    broken = zipped(tmp_path / "b.zip", {"part1.jsonl": content_of("jsonl") + b"{oops\n"})
    with pytest.raises(DataError, match=r"b\.zip/part1\.jsonl, line 41: not JSON"):
        read_news(broken)


def test_members_named_to_escape_are_read_and_never_written(tmp_path: Path) -> None:
    target = tmp_path / "escaped.csv"
    folder = tmp_path / "in"
    folder.mkdir()
    with zipfile.ZipFile(folder / "n.zip", "w") as packed:
        packed.writestr(str(target), content_of("csv"))
        packed.writestr("../up.csv", content_of("csv", ROWS.assign(article_id="x" + ROWS["article_id"])))
    before = sorted(tmp_path.rglob("*"))
    assert read_news(folder).counts["rows"] == 80
    assert sorted(tmp_path.rglob("*")) == before


def test_other_files_are_passed_over_and_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "n.zip", {"README.md": b"x", "__MACOSX/b.csv": b"junk", "b.csv": content_of("csv")})
    assert [str(part) for part in tables_of(path)] == [f"{path}/b.csv"]
    with pytest.raises(MissingPartError, match="the zip holds no"):
        tables_of(zipped(tmp_path / "e.zip", {"README.md": b"x"}))
    with pytest.raises(DataError, match="zip inside a zip"):
        tables_of(zipped(tmp_path / "z.zip", {"a.zip": path.read_bytes(), "b.csv": b"x"}))
    with pytest.raises(DataError, match=r"mixes \['csv', 'jsonl'\]"):
        tables_of(zipped(tmp_path / "m.zip", {"a.csv": b"x", "b.jsonl": b"{}"}))
    (tmp_path / "d.zip").write_bytes(b"PK nonsense")
    with pytest.raises(DataError, match="damaged or no zip"):
        tables_of(tmp_path / "d.zip")
    locked = bytearray(path.read_bytes())
    entry = locked.index(b"PK\x01\x02", locked.index(b"PK\x01\x02") + 4)
    locked[locked.index(b"PK\x01\x02", entry + 4) + 8] |= 1
    (tmp_path / "l.zip").write_bytes(locked)
    with pytest.raises(DataError, match=r"b\.csv: encrypted"):
        tables_of(tmp_path / "l.zip")
    (tmp_path / "n.csv.lz4").write_bytes(b"x")
    with pytest.raises(DataError, match=r"'.lz4' is unknown"):
        tables_of(tmp_path / "n.csv.lz4")


def test_a_folder_of_many_packed_files_names_the_one_at_fault(tmp_path: Path) -> None:
    for number in range(200):
        row = ROWS.iloc[[number % 40]].assign(article_id=str(number))
        (tmp_path / f"{number:04d}.csv.gz").write_bytes(gzip.compress(content_of("csv", row), 1))
    assert read_news(tmp_path).counts["kept"] == 200
    bad = ROWS.iloc[[0, 1]].assign(published_at=["2020-01-01T00:00:00Z", "2020-01-01T00:00:00"])
    (tmp_path / "0100.csv.gz").write_bytes(gzip.compress(content_of("csv", bad)))
    with pytest.raises(DataError, match=r"0100\.csv\.gz, column 'published_at', row 2: .* no time zone"):
        read_news(tmp_path)


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    for name, content in (("a.csv", b"x,y\n1,2\n"), ("b.csv", b"x,y\n3,4\n")):
        (tmp_path / name).write_bytes(content)
    seen: list[tuple[int, int]] = []
    first = fingerprint(tables_of(tmp_path), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (16, 16)
    (tmp_path / "a.csv").rename(tmp_path / "a2.csv")
    assert fingerprint(tables_of(tmp_path)) == first
    (tmp_path / "a2.csv").write_bytes(b"x,y\n1,2\nx,y\n")
    (tmp_path / "b.csv").write_bytes(b"3,4\n")
    assert fingerprint(tables_of(tmp_path)) != first


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as packed:
        packed.writestr("a.csv", "x\n1\n")
        with pytest.warns(UserWarning, match="Duplicate name"):
            packed.writestr("a.csv", "x\n2\n")
    with pytest.raises(DataError, match=r"d\.zip/a\.csv: two members of one name"):
        tables_of(tmp_path / "d.zip")
