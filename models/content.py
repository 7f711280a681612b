"""Content addresses for models: what a text, a sample or a folder hashes to, and folders named by what made them.

A cached folder either exists whole or not at all, and its bytes are checked against its manifest each time it is
opened, so that neither a kill in the middle nor a flipped bit can change a score unnoticed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from embargo.data_loaders.errors import DataError

MANIFEST = "manifest.json"


def text_hash(text: str) -> str:
    """Return the sha256 (hex) of a text in UTF-8: the name under which its score is cached."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def json_hash(value: Any) -> str:
    """Return the sha256 (hex) of a JSON-able value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def texts_fingerprint(texts: Iterable[str]) -> str:
    """Return the sha256 (hex) of the set of texts, whatever their order and repetitions."""
    return json_hash(sorted({text_hash(text) for text in texts}))


def sample_fingerprint(texts: Sequence[str], labels: Iterable[int]) -> str:
    """Return the sha256 (hex) of labelled texts as a multiset, whatever their order."""
    return json_hash(sorted([text_hash(text), int(label)] for text, label in zip(texts, labels, strict=True)))


def file_hash(path: Path) -> str:
    """Return the sha256 (hex) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_hashes(folder: Path, names: Iterable[str] | None = None) -> dict[str, str]:
    """Return the sha256 of a folder's files by name, without its manifest; hidden files and subfolders are left out."""
    chosen = [folder / name for name in names] if names is not None else folder.iterdir()
    files = sorted(path for path in chosen if path.is_file() and not path.name.startswith("."))
    return {path.name: file_hash(path) for path in files if path.name != MANIFEST}


def read_manifest(folder: Path) -> dict[str, Any]:
    """Open a cached folder: check every file against the manifest and return the manifest.

    Raises
    ------
    DataError
        If the manifest cannot be read, or a file is missing or differs from what was written.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        expected = dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError) as failure:
        raise DataError(
            f"{folder / MANIFEST}: cannot be read ({failure}). Delete the folder to make it anew."
        ) from failure
    found = folder_hashes(folder)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise DataError(
                f"{folder / name}: does not match its manifest (the file was changed, added or lost). "
                "Delete the folder to make it anew."
            )
    return manifest


def folder_name(prefix: str, key: Mapping[str, Any]) -> str:
    """Return the name of the folder made from ``key``."""
    return f"{prefix}-{json_hash(dict(key))[:24]}"


def cached_folder(
    cache_dir: Path, prefix: str, key: Mapping[str, Any], build: Callable[[Path], Mapping[str, Any]]
) -> tuple[Path, dict[str, Any]]:
    """Return the folder made by ``build`` from ``key``, building it only where it is not there yet.

    Parameters
    ----------
    cache_dir : Path
        Folder of all cached folders; created on demand.
    prefix : str
        Beginning of the folder's name; the rest is a hash of ``key``.
    key : mapping, JSON-able
        Everything that determines the content.
    build : callable
        Writes the files into the empty folder it is given and returns the manifest's entries.

    Returns
    -------
    (folder, manifest). Two processes may build the same folder at once; one of the two (equal) results stays.
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    target = cache_dir / folder_name(prefix, key)
    if not target.exists():
        scratch = Path(tempfile.mkdtemp(prefix=f".{prefix}-", dir=cache_dir))
        try:
            manifest = {**build(scratch), "key": dict(key)}
            manifest["files"] = folder_hashes(scratch)
            (scratch / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
            scratch.chmod(0o755)
            try:
                scratch.rename(target)
            except OSError:
                if not target.exists():
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target, read_manifest(target)
