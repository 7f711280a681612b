"""Content addresses for models: what a text, a sample or a folder hashes to, and folders named by what made them.

A folder either exists whole or not at all, and its bytes are checked against its manifest each time it is opened, so
that neither a kill in the middle nor a flipped bit can change a score unnoticed. A sealed manifest is checked too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models import effort
from embargo.models.drafts import draft_for

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
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as failure:
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


def write_manifest(folder: Path, manifest: Mapping[str, Any], *, sealed: bool = False) -> dict[str, Any]:
    """Write a manifest that holds the hash of every file beside it, and return it.

    Parameters
    ----------
    folder : Path
        With all its files.
    manifest : mapping, JSON-able
    sealed : bool
        Also hash the manifest itself; see `read_sealed`.
    """
    whole = {**manifest, "files": folder_hashes(folder)}
    if sealed:
        whole["seal"] = seal_of(whole)
    (folder / MANIFEST).write_text(json.dumps(whole, indent=1, sort_keys=True), encoding="utf-8")
    return whole


def read_sealed(folder: Path) -> dict[str, Any]:
    """Open a folder as `read_manifest` does, and check that its manifest is the one that was written.

    Raises
    ------
    DataError
        As `read_manifest`; also if the manifest itself was changed.
    """
    manifest = read_manifest(folder)
    check_seal(folder, manifest)
    return manifest


def check_seal(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Raise DataError if a manifest that was read from a folder is not the one that was sealed there."""
    if manifest.get("seal") != seal_of(manifest):
        raise DataError(f"{folder / MANIFEST}: was changed after it was written. Delete the folder to make it anew.")


def seal_of(manifest: Mapping[str, Any]) -> str:
    """Return the sha256 (hex) over a manifest's entries, its own seal left out."""
    return json_hash({name: value for name, value in manifest.items() if name != "seal"})


class TakenError(ConfigError):
    """Something lies where a file or folder is to be written."""


def refuse_taken(target: Path) -> None:
    """Raise TakenError if something lies where a file or folder is to be written."""
    if target.exists():
        raise TakenError(f"{target} exists already. Name another, or delete this one.")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``target`` when the block ends well and vanishes when it does not.

    Raises
    ------
    TakenError
        If there is something already, or another process has written it meanwhile.
    """
    refuse_taken(target)
    with draft_for(target) as draft:
        yield draft
        draft.chmod(0o755)
        try:
            draft.rename(target)
        except OSError:
            refuse_taken(target)
            raise


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

    def made(scratch: Path) -> None:
        write_manifest(scratch, {**build(scratch), "key": dict(key)})

    target = cache_dir / folder_name(prefix, key)
    made_once(target, made)
    return target, read_manifest(target)


def made_once(target: Path, make: Callable[[Path], object]) -> None:
    """Make a folder that is not there yet, with a note of what that took; where it is there, count what it took then.

    Two processes may make the same folder at once; one of the two (equal) results stays.
    """
    if target.exists():
        effort.found(target)
        return
    # Where another process has made it meanwhile theirs stays.
    with suppress(TakenError), new_folder(target) as scratch:
        with effort.clocked() as clock:
            make(scratch)
        effort.note(scratch, clock)
