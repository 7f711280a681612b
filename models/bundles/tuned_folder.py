"""What the folders of all tuned models share: adapter, built-in base, the hashes of texts, and how they are checked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from embargo.data_loaders.errors import DataError, MissingPartError
from embargo.models.bases.folders import refuse_links, refuse_pickles
from embargo.models.bases.registry import known_base
from embargo.models.bases.resolve import BUILT_IN, Base
from embargo.models.content import MANIFEST, file_hash, json_hash, read_manifest
from embargo.models.effort import NOTE
from embargo.models.tuning.adapters import Adapter, open_adapter

BUNDLE = "model"
# A decoder that was tuned to answer; `embargo.models.instruct` writes and opens it.
INSTRUCT = "instruct"
ADAPTER = "adapter"
BASE = "base"
CARD = "README.md"
VALIDATION_TEXTS = "validation_text_hashes.txt"


def kind_of(folder: Path) -> str | None:
    """Return what a folder's manifest says it holds: ``"model"``, ``"onnx"``, ``"merged"`` ...; None if nothing."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        kind = manifest.get("kind")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return kind if isinstance(kind, str) else None


def put_adapter(draft: Path, base: Base, adapter: Adapter) -> dict[str, Any]:
    """Copy an adapter, and its base where nobody else can give it, and return what the manifest says of both.

    Raises
    ------
    DataError
        If the adapter's files are not as they were written.
    """
    # What making them took is of this machine, and of no use elsewhere.
    untold = shutil.ignore_patterns(NOTE)
    shutil.copytree(adapter.path, draft / ADAPTER, ignore=untold)
    if open_adapter(draft / ADAPTER).identity != adapter.identity:
        raise DataError(f"{adapter.path}: changed while it was copied. Tune again.")
    if base.name in BUILT_IN:
        shutil.copytree(base.path_or_id, draft / BASE, ignore=untold)
    return {
        "base": _described(base),
        "adapter_identity": adapter.identity,
        "adapter_manifest": file_hash(draft / ADAPTER / MANIFEST),
    }


def _described(base: Base) -> dict[str, Any]:
    known = known_base(base.name)
    evidence = "none" if base.knowledge_cutoff is None else "declared"
    if base.name in BUILT_IN:
        evidence = "made from dated texts"
    elif known is not None and known.source == base.source:
        evidence = known.evidence
    return {
        "name": base.name,
        "kind": base.kind,
        "revision": base.revision,
        "weights_hash": base.weights_hash,
        "knowledge_cutoff": None if base.knowledge_cutoff is None else base.knowledge_cutoff.isoformat(),
        "source": base.source,
        "evidence": evidence,
        "exposures": list(base.exposures),
    }


def check_kind(folder: Path, kind: str, otherwise: str) -> None:
    """Refuse a folder that is not there, leads elsewhere, holds a pickle, or is of another kind.

    Parameters
    ----------
    folder : Path
    kind : str
        What its manifest has to say.
    otherwise : str
        What is said, behind its name, of a folder of another kind.

    Raises
    ------
    MissingPartError, DataError
    """
    if not folder.is_dir():
        raise MissingPartError(f"{folder}: no such model folder. Make one with 'embargo tune'.")
    refuse_links(folder)
    refuse_pickles(folder)
    if kind_of(folder) != kind:
        raise DataError(f"{folder}: {otherwise}")


def check_adapter(folder: Path, identity: str, manifest_hash: str | None) -> None:
    """Raise DataError if the adapter in a model folder is another than was written; folders of old have no hash."""
    if not (folder / ADAPTER).is_dir():
        raise DataError(f"{folder / ADAPTER}: is missing. Delete the folder and tune anew.")
    changed = manifest_hash is not None and file_hash(folder / ADAPTER / MANIFEST) != manifest_hash
    if json_hash(read_manifest(folder / ADAPTER)["files"]) != identity or changed:
        raise DataError(f"{folder / ADAPTER}: is not the adapter that was written. Delete the folder and tune anew.")


def write_hashes(path: Path, hashes: Iterable[str]) -> None:
    """Write the hashes of texts, each on a line of its own."""
    path.write_text("\n".join(hashes) + "\n", encoding="ascii")


def read_hashes(path: Path) -> frozenset[str]:
    """Return the hashes of texts in a file of `write_hashes`."""
    return frozenset(path.read_text(encoding="ascii").split())
