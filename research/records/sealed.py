"""The one door to the files of a run: sealed when the run is written, held against the seal when one is read.

The manifest holds the hash of every other file and one of itself, which a list beside the runs keeps too. Only a
plain file of a sane size is opened; its bytes are compared before anything reads a figure out of them. Runs of versions
that sealed nothing stay readable, and are called unsealed. What else a user puts into a run's folder is no damage.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from embargo.data_loaders.errors import DataError, EmbargoError, MissingPartError
from embargo.models.content import MANIFEST, seal_of
from embargo.research.records.seals import SEALS_NAME, seals_in

_MEBIBYTE = 1 << 20
# Far above what a run writes, and small enough to be held in memory.
_MOST_BYTES = {".parquet": 4096 * _MEBIBYTE}
_MOST_TEXT = 64 * _MEBIBYTE
# What is longer overflows as soon as it meets a fraction.
_MOST_DIGITS = 300
_HASH = re.compile("[0-9a-f]{64}")
_REPAIR = "Put it back as it was, or repeat the run."
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def is_sealed(manifest: Mapping[str, Any]) -> bool:
    """Tell whether a manifest, as `read_manifest` returns it, holds hashes to verify files by."""
    return "seal" in manifest


def read_manifest(folder: Path, seals: Mapping[str, frozenset[str]] | None = None) -> dict[str, Any]:
    """Read a run's manifest and hold it against its own seal and those in the list beside the run.

    Parameters
    ----------
    folder : Path
    seals : mapping of str to set of str, optional
        From `embargo.research.records.seals.seals_in`, where many runs are read; by default the list is asked.

    Raises
    ------
    MissingPartError
        If there is none.
    DataError
        If it cannot be read, or is not what was written.
    """
    place = folder / MANIFEST
    manifest = _mapping(place, _parsed(place, _content(place)))
    whole = folder.resolve()
    known = (seals_in(whole.parent) if seals is None else seals).get(whole.name, frozenset())
    if not isinstance(manifest.get("fingerprints", {}), dict):
        raise DataError(f"{place}: fingerprints are no figures by name. {_REPAIR}")
    if "seal" not in manifest and "files" not in manifest and not known:
        return manifest
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(_names_a_file(name, value) for name, value in files.items()):
        raise DataError(f"{place}: was changed after the run: it no longer says which files there are. {_REPAIR}")
    if manifest.get("seal") != seal_of(manifest):
        raise DataError(f"{place}: was changed after the run. {_REPAIR}")
    if known and manifest["seal"] not in known:
        raise DataError(
            f"{place}: was changed after the run: {SEALS_NAME} beside it knows another seal. {_REPAIR} A run that "
            "comes from elsewhere belongs into a folder of its own."
        )
    return manifest


def _names_a_file(name: str, value: object) -> bool:
    plain = bool(name) and "\0" not in name and Path(name).name == name
    return plain and isinstance(value, str) and _HASH.fullmatch(value) is not None


def holds(folder: Path, name: str, manifest: Mapping[str, Any]) -> bool:
    """Tell whether a run has a file: by its manifest, or, where that is not sealed, by its folder."""
    return name in manifest["files"] if is_sealed(manifest) else os.path.lexists(folder / name)


def read_text(folder: Path, name: str, manifest: Mapping[str, Any]) -> str:
    """Read a text of a run, verified.

    Parameters
    ----------
    folder : Path
    name : str
        Of a file in it.
    manifest : mapping
        From `read_manifest`.

    Raises
    ------
    MissingPartError
        If there is no such file.
    DataError
        If it is no plain file, is too large, was changed after the run, or cannot be read.
    """
    try:
        return _verified(folder, name, manifest).decode("utf-8")
    except UnicodeDecodeError as failure:
        _unreadable(folder / name, failure)


def read_json(folder: Path, name: str, manifest: Mapping[str, Any]) -> Any:
    """Read a JSON file of a run, verified; parameters and errors as `read_text`, also if it is not JSON."""
    return _parsed(folder / name, _verified(folder, name, manifest))


def read_figures(folder: Path, name: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Read a JSON file of figures by name, verified; parameters and errors as `read_json`."""
    return _mapping(folder / name, read_json(folder, name, manifest))


def read_table(folder: Path, name: str, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """Read a table of a run, verified; parameters and errors as `read_text`, also if it is not parquet."""
    content = _verified(folder, name, manifest)
    try:
        return pd.read_parquet(io.BytesIO(content))
    except Exception as failure:
        # Damaged bytes raise whatever the readers below stumble on: no list of errors would be whole.
        _unreadable(folder / name, failure)


def damages(folder: Path) -> list[str]:
    """Verify every file of a run, and return what does not fit, one text each; none for a run that is not sealed."""
    try:
        manifest = read_manifest(folder)
    except EmbargoError as failure:
        return [str(failure)]
    found = []
    for name in manifest.get("files", ()):
        try:
            _verified(folder, name, manifest)
        except EmbargoError as failure:
            found.append(str(failure))
    return found


def _verified(folder: Path, name: str, manifest: Mapping[str, Any]) -> bytes:
    """Return the bytes of a file, held against the manifest if that is sealed."""
    place = folder / name
    content = _content(place)
    if not is_sealed(manifest):
        return content
    expected = manifest["files"].get(name)
    if expected is None:
        raise DataError(f"{place}: was added after the run. Take it away, or repeat the run.")
    if hashlib.sha256(content).hexdigest() != expected:
        raise DataError(f"{place}: was changed after the run. {_REPAIR}")
    return content


def _content(place: Path) -> bytes:
    """Return the bytes of a plain file, or say what is there instead: opening a device or a pipe may never end."""
    most = _MOST_BYTES.get(place.suffix, _MOST_TEXT)
    try:
        _refuse_unusual(place, place.lstat().st_mode)
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            found = os.fstat(descriptor)
            _refuse_unusual(place, found.st_mode)
            if found.st_size > most:
                raise DataError(f"{place}: holds {found.st_size:,} bytes, more than a run writes. {_REPAIR}")
            return stream.read(most)
    except FileNotFoundError as failure:
        raise MissingPartError(f"{place}: is missing, so this is no whole run. {_REPAIR}") from failure
    except OSError as failure:
        _unreadable(place, failure)


def _refuse_unusual(place: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for is_one, name in _KINDS if is_one(mode)), "a device")
        raise DataError(f"{place}: is {kind}, no file that a run wrote. {_REPAIR}")


def _parsed(place: Path, content: bytes) -> Any:
    try:
        document = json.loads(
            content.decode("utf-8"), parse_constant=_no_number, parse_float=_number, parse_int=_whole_number
        )
        if b"\\u" in content:
            # Half of a character that takes two has no bytes: it could be neither printed nor written.
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as failure:
        _unreadable(place, failure)
    return document


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _number(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


def _whole_number(text: str) -> int:
    return int(text) if len(text) <= _MOST_DIGITS else _no_number(f"{text[:8]}... of {len(text):,} digits")


def _mapping(place: Path, document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise DataError(f"{place}: holds {type(document).__name__}, no figures by name. {_REPAIR}")
    return document


def _unreadable(place: Path, failure: Exception) -> NoReturn:
    reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure).split("\n")[0]
    raise DataError(f"{place}: cannot be read ({reason or type(failure).__name__}). {_REPAIR}") from failure
