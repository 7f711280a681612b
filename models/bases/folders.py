"""What is looked at in a model's folder before anything in it is loaded: links, pickles, and headers of safetensors.

No link may lead out of the folder, no file may be of a kind that can run code when it is read, and a safetensors file
that is damaged is named as such whoever was to load it.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from embargo.data_loaders.errors import DataError

PICKLES = re.compile(r"(?i).*\.(bin|pt|pth|ckpt|pkl|pickle|joblib)")
# Where the hub's client keeps the files that the links of a snapshot lead to.
_SNAPSHOTS, _BLOBS = "snapshots", "blobs"


def refuse_links(folder: Path) -> None:
    """Refuse a model's folder with a link that leads out of it, or with anything but files and folders in it.

    The links of a snapshot in the hub's cache lead to the files beside the snapshots and are let pass.

    Raises
    ------
    DataError
        Naming the link and where it leads.
    """
    root = folder.resolve()
    allowed = [root]
    if root.parent.name == _SNAPSHOTS:
        allowed.append(root.parent.parent / _BLOBS)
    for path in _everything(root):
        shown = folder / path.relative_to(root)
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError) as failure:
            raise DataError(f"{shown}: is a link that leads nowhere. Put the file itself in its place.") from failure
        if not any(target.is_relative_to(place) for place in allowed):
            raise DataError(
                f"{shown}: is a link out of the folder, to {target}. Put the file itself in its place if you trust it."
            )
        if not (target.is_file() or target.is_dir()):
            raise DataError(f"{shown}: is no file. Delete it.")


def refuse_pickles(folder: Path) -> None:
    """Refuse a folder that holds a file which can run code when it is read, at any depth.

    Raises
    ------
    DataError
        Naming the file.
    """
    for path in _everything(folder):
        if PICKLES.fullmatch(path.name):
            raise DataError(
                f"{path}: is a pickle, which can run code, and is never read here. Only safetensors are: delete it, or "
                "get the model from whoever made it as safetensors."
            )


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor in a safetensors file, by name, from its header alone.

    Raises
    ------
    DataError
        If it is no whole safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, SafetensorError) as failure:
        raise DataError(f"{path}: is no whole safetensors file ({failure}). Fetch it again.") from failure


def folder_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor in all safetensors files of a folder; errors as `tensor_shapes`."""
    found: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= tensor_shapes(path)
    return found


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises
    ------
    DataError
        If the file cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as failure:
        raise DataError(f"{path}: cannot be read ({failure}). Mend or replace it.") from failure
    if not isinstance(content, dict):
        raise DataError(f"{path}: is no JSON object. Mend or replace it.")
    return content


def _everything(folder: Path) -> list[Path]:
    return [Path(place) / name for place, folders, files in os.walk(folder) for name in sorted(folders + files)]
