"""Model folders damaged in many ways from a seed, and what the product makes of each, tried in a process of its own."""

from __future__ import annotations

import copy
import json
import os
import resource
import select
import shutil
import signal
import struct
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from embargo.data_loaders.errors import EmbargoError
from embargo.models.content import MANIFEST, file_hash, json_hash, write_manifest

VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 3, 2**31, 2**63, 10**30, -1.5, 1e308, float("nan"), float("inf"), "", "x", "../x"),
    *("/", [], {}, [None], [[]], {"a": 1}, "0", "é\ud83d", [1] * 50, {"": ""}),
)
TEXTS = ("profit rose", "sales fell the bank", "up down flat held in a and of", "é", "x" * 300)
GIB = 2**30


def damage(folder: Path, rng: np.random.Generator) -> str:
    """Damage one file of a folder and say which and how."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    # What is sealed later is not worth damaging, and cards and hash lists are read as text alone.
    dull = [path for path in files if path.suffix in (".md", ".txt")]
    chosen = [path for path in files if path not in dull] if rng.random() < 0.9 else dull or files
    path = chosen[int(rng.integers(len(chosen)))]
    before = path.read_bytes()
    kinds = [_bytes]
    if path.suffix == ".json":
        kinds = [_json, _json, _json, _bytes]
    if path.suffix == ".safetensors":
        kinds = [_header, _header, _bytes]
    kind = kinds[int(rng.integers(len(kinds)))]
    after = before
    while after == before:
        after = kind(before, rng)
    path.write_bytes(after)
    return f"{path.relative_to(folder)} {kind.__name__}"


def seal(folder: Path) -> None:
    """Write the manifests of a model folder anew, as whoever damaged it on purpose would."""
    for part in sorted(folder.rglob(MANIFEST), reverse=True):
        try:
            manifest = json.loads(part.read_text())
            if part.parent == folder and (folder / "adapter" / MANIFEST).is_file():
                inner = json.loads((folder / "adapter" / MANIFEST).read_text())
                manifest["adapter_identity"] = json_hash(inner["files"])
                manifest["adapter_manifest"] = file_hash(folder / "adapter" / MANIFEST)
            sealed = "seal" in manifest or part.parent == folder
            write_manifest(
                part.parent, {k: v for k, v in manifest.items() if k not in ("seal", "files")}, sealed=sealed
            )
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            continue


def outcome(attempt: Callable[[], object], *, seconds: float = 60.0) -> str:
    """Run something in a fork of this process: "answer", "refused ...", "traceback ...", "hang" or "crash"."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        said = "answer"
        try:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (used + 8 * GIB, used + 8 * GIB))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1), os.dup2(quiet, 2)
            attempt()
        except EmbargoError as failure:
            said = f"refused {type(failure).__name__}: {failure}"
        except BaseException:
            said = f"traceback {traceback.format_exc()[-1800:]}"
        os.write(writing, said.encode(errors="replace")[:3000])
        os._exit(0)
    os.close(writing)
    ready, _, _ = select.select([reading], [], [], seconds)
    if not ready:
        os.kill(child, signal.SIGKILL)
    said = os.read(reading, 4096).decode(errors="replace") if ready else "hang"
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if ready and (not said or status):
        return f"crash {status} {said}"
    return said


def copied(source: Path, target: Path) -> Path:
    """Copy a folder anew."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def _bytes(content: bytes, rng: np.random.Generator) -> bytes:
    data = bytearray(content)
    at = int(rng.integers(max(len(data), 1)))
    how = int(rng.integers(6))
    if how == 0:
        for place in rng.integers(0, max(len(data), 1), size=int(rng.integers(1, 6))):
            if data:
                data[int(place)] ^= 1 << int(rng.integers(8))
    elif how == 1:
        del data[at:]
    elif how == 2:
        data[at:at] = rng.bytes(int(rng.integers(1, 64)))
    elif how == 3:
        del data[at : at + int(rng.integers(1, 64))]
    elif how == 4:
        data[at : at + 32] = bytes(len(data[at : at + 32]))
    else:
        data += data[at:]
    return bytes(data)


def _json(content: bytes, rng: np.random.Generator) -> bytes:
    try:
        document = json.loads(content)
    except ValueError:
        return _bytes(content, rng)
    return json.dumps(_changed(document, rng)).encode("utf-8", "surrogatepass")


def _header(content: bytes, rng: np.random.Generator) -> bytes:
    size = struct.unpack("<Q", content[:8])[0]
    if rng.random() < 0.2:
        return struct.pack("<Q", int(rng.choice([0, 1, size - 1, size + 1, 2**40, 2**63]))) + content[8:]
    header = json.dumps(_changed(json.loads(content[8 : 8 + size]), rng)).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(header)) + header + content[8 + size :]


def _changed(document: Any, rng: np.random.Generator) -> Any:
    document = copy.deepcopy(document)
    if rng.random() < 0.03:
        return VALUES[int(rng.integers(len(VALUES)))]
    places = _places(document)
    if not places:
        return document
    # Each depth is as likely as the others: a vocabulary would be all there is.
    depths = sorted({depth for depth, _, _ in places})
    depth = depths[int(rng.integers(len(depths)))]
    at_depth = [place for place in places if place[0] == depth]
    _, owner, key = at_depth[int(rng.integers(len(at_depth)))]
    how = int(rng.integers(5))
    if how == 0:
        del owner[key]
    elif how == 1 and isinstance(owner, dict):
        owner[str(VALUES[int(rng.integers(len(VALUES)))])] = owner.pop(key)
    elif how == 2 and isinstance(owner[key], int | float) and not isinstance(owner[key], bool):
        owner[key] = owner[key] * int(rng.choice([-1, 2, 3, 1000, 10**6])) + int(rng.integers(2))
    else:
        owner[key] = VALUES[int(rng.integers(len(VALUES)))]
    return document


def _places(document: Any, depth: int = 0) -> list[tuple[int, Any, Any]]:
    if isinstance(document, dict):
        keys: list[Any] = list(document)
    elif isinstance(document, list):
        keys = list(range(len(document)))
    else:
        return []
    found = [(depth, document, key) for key in keys]
    for key in keys:
        found += _places(document[key], depth + 1)
    return found
