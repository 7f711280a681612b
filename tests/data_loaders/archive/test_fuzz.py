"""Files as they arrive after accidents: each is read, or refused by name. Never a traceback, never a hang."""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from embargo.data_loaders.archive import Dialect, read_label_set, read_news, read_prices
from embargo.data_loaders.errors import EmbargoError

FEW, MANY = 60, 1_000
NASTY = [
    "", " ", "\0", '"', '""', "'", ",", ";", "\n", "\r", "\r\n", "\t", "[", "]", "{", "}", "[]", "{}", "null", "true",
    "NaN", "inf", "-inf", "1e999", "-1", "0", "99999999999999999999999", "1e-400", "2024-13-45T99:99:99Z", "9999-12-31",
    "0001-01-01T00:00:00Z", "2024-01-02T10:00+99:99", "1/5/2015 9:50", "now", "\ufeff", "\ud7ff", "é", "😀", "\\ud800",
    "a" * 300, "=1+1", "['A', 'B']", '[{"a": 1}]', "A,B", "1_000", "٣", "0x10", "1,5", "١٢",
]  # fmt: skip
JSON_NASTY: list[Any] = [
    *NASTY, None, True, False, 0, -1, 1 << 63, 1 << 64, -(1 << 70), 1e308, float("nan"), float("inf"), [], {}, [[]],
    ["A", None, 3], [{"symbol": "A"}, "B"], {"a": {"b": []}}, [["A"], ["B"]], {"": ""}, 1.5, 1583416800, 1583416800000,
]  # fmt: skip


def news_rows(rng: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "article_id": f"a{number}",
            "published_at": f"2020-01-{1 + number:02d}T{rng.randrange(24):02d}:00:00+00:00",
            "symbol": rng.choice(["AA", "BB"]),
            "text": f"profit rose {number}",
            "source": "wire",
        }
        for number in range(12)
    ]


def price_rows(rng: random.Random) -> list[dict[str, Any]]:
    days = pd.bdate_range("2020-02-03", periods=6)
    return [
        {
            "symbol": symbol,
            "date": f"{day:%Y-%m-%d}",
            "open": 10.0,
            "high": 11.0,
            "low": 9.0,
            "close": 10.0,
            "volume": 5,
        }
        for symbol in ("AA", "BB")
        for day in days
    ]


def label_rows(rng: random.Random) -> list[dict[str, Any]]:
    return [{"text": f"profit rose {number}", "label": rng.choice(["positive", "negative"])} for number in range(12)]


def with_odd_cells(rows: list[dict[str, Any]], rng: random.Random, nasty: list[Any]) -> list[dict[str, Any]]:
    """Put odd values, names and gaps into some rows."""
    rows = [dict(row) for row in rows]
    for _ in range(rng.randrange(4)):
        row = rng.choice(rows)
        name = rng.choice(list(row) or ["x"])
        match rng.randrange(4):
            case 0 | 1:
                row[name] = rng.choice(nasty)
            case 2:
                row.pop(name, None)
            case _:
                row[str(rng.choice(nasty))] = row.pop(name, None)
    if rng.random() < 0.15:
        name, value = rng.choice(list(rows[0]) or ["x"]), rng.choice(nasty)
        rows = [row | {name: value} for row in rows]
    return rows


def with_odd_bytes(content: bytes, rng: random.Random) -> bytes:
    """Change, insert, drop or cut bytes."""
    changed = bytearray(content)
    for _ in range(rng.choice([0, 1, 1, 2, 5, 30])):
        at = rng.randrange(len(changed) or 1)
        match rng.randrange(5):
            case 0 if changed:
                changed[at] = rng.randrange(256)
            case 1:
                changed[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 6)))
            case 2:
                del changed[at : at + rng.randrange(1, 40)]
            case 3:
                changed[at:at] = rng.choice(NASTY).encode("utf-8", "surrogatepass")
            case _ if rng.random() < 0.3:
                del changed[at:]
    return bytes(changed)


def written(rows: list[dict[str, Any]], form: str) -> bytes:
    match form:
        case "parquet":
            buffer = io.BytesIO()
            pd.DataFrame(rows).astype("str").to_parquet(buffer)
            return buffer.getvalue()
        case "jsonl":
            return "".join(json.dumps(row) + "\n" for row in rows).encode()
        case "json":
            return json.dumps(rows).encode()
        case _:
            return pd.DataFrame(rows).to_csv(index=False).encode("utf-8", "surrogatepass")


def packed(content: bytes, packing: str, name: str) -> bytes:
    if packing == ".gz":
        return gzip.compress(content, mtime=0)
    if packing == ".zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(zipfile.ZipInfo(name), content)
        return buffer.getvalue()
    return content


def mutant(folder: Path, rows: list[dict[str, Any]], rng: random.Random) -> Path:
    """Write a file that something has happened to: to its rows, its bytes, or the bytes of its packing."""
    form = rng.choice(["csv", "csv", "jsonl", "json", "parquet", "tsv"])
    odd = with_odd_cells(rows, rng, NASTY if form in ("csv", "tsv", "parquet") else JSON_NASTY)
    try:
        content = written(odd, form)
    except (ValueError, UnicodeError):
        content = written(rows, form)
    packing = rng.choice(["", "", ".gz", ".zip"])
    if rng.random() < 0.6:
        content = with_odd_bytes(content, rng)
    content = packed(content, packing, f"f.{form}")
    if packing and rng.random() < 0.3:
        content = with_odd_bytes(content, rng)
    path = folder / ("f.zip" if packing == ".zip" else f"f.{form}{packing}")
    path.write_bytes(content)
    return path


def rules(rng: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if rng.random() < 0.6:
        return found
    if rng.random() < 0.3:
        found["timezone"] = rng.choice(["UTC", "America/New_York", "unix:s", "unix:ns", "Nowhere"])
    if rng.random() < 0.2:
        found["time_format"] = rng.choice(["%Y-%m-%d", "%m/%d/%Y %H:%M", "%Y%m%d%H%M%S", "%d"])
    if rng.random() < 0.3:
        found["dialect"] = rng.choice(
            [Dialect(delimiter=";"), Dialect(encoding="utf-16"), Dialect(encoding="cp1252"), Dialect(header=False)]
        )
    return found


def try_news(path: Path, rng: random.Random) -> object:
    asked = rules(rng)
    if rng.random() < 0.2:
        asked["columns"] = {"symbol": rng.choice(["symbol[]", "symbol[].a", "source.x", "text", "nowhere"])}
    if rng.random() < 0.2:
        asked["filters"] = {"source": rng.choice(["wire", 1, True, ["wire", 2], {"min": 0}, {"max": "x"}])}
    if rng.random() < 0.2:
        asked["date_only"] = rng.choice(["all", "midnight", "source"])
    if rng.random() < 0.2:
        asked["symbol_separator"] = rng.choice([",", "A", " "])
    return read_news(path, **asked)


def try_prices(path: Path, rng: random.Random) -> object:
    return read_prices(path, calendar="XNYS", adjust="none", **rules(rng))


def try_labels(path: Path, rng: random.Random) -> object:
    asked = {name: value for name, value in rules(rng).items() if name == "dialect"}
    return read_label_set(path, knowledge_cutoff=pd.Timestamp("2020-01-01", tz="UTC"), **asked)


KINDS: dict[str, tuple[Callable[[random.Random], list[dict[str, Any]]], Callable[[Path, random.Random], object]]] = {
    "news": (news_rows, try_news),
    "prices": (price_rows, try_prices),
    "labels": (label_rows, try_labels),
}


def answered(folder: Path, kind: str, seed: int) -> bool:
    """Whether a mutant was read; False where it was refused by name."""
    rng = random.Random(seed)
    make, read = KINDS[kind]
    path = mutant(folder, make(rng), rng)
    try:
        read(path, rng)
    except EmbargoError:
        return False
    finally:
        path.unlink()
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_a_mutant_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    read = [answered(tmp_path, kind, seed) for seed in range(FEW)]
    assert 0 < sum(read) < FEW, "mutants that are all read, or none, try nothing"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutants_are_read_or_refused(tmp_path: Path, kind: str) -> None:
    for seed in range(MANY):
        try:
            answered(tmp_path, kind, seed)
        except Exception as failure:
            raise AssertionError(f"{kind}, seed {seed}: {type(failure).__name__}: {failure}") from failure
