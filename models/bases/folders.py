"""What is looked at in a model's folder before anything in it is loaded: links, pickles, and headers of safetensors.

No link may lead out of the folder, no file may be of a kind that can run code when it is read, no configuration may
name code or weights of its own, and whatever a library says of a damaged file becomes one error that names the place.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embargo.data_loaders.errors import ConfigError, DataError, EmbargoError

PICKLES = re.compile(r"(?i).*\.(bin|pt|pth|ckpt|pkl|pickle|joblib)")
# What of them needs no code from elsewhere; transformers takes any other word for the address of a kernel.
_ATTENTION = (None, "eager", "sdpa")
# Words of peft's configuration are matched as regular expressions, which may never come to an end.
_PLAIN_WORD = re.compile(r"[\w.\- /]*")
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


@contextmanager
def understood(place: Path | str, what: str = "model") -> Iterator[None]:
    """Turn whatever goes wrong while something of a model's folder is read into a DataError that names the folder.

    The libraries that read it have no common error: a damaged file makes them raise anything. Errors of Embargo and of
    the file system, and a lack of memory, pass as they are.
    """
    try:
        yield
    except (EmbargoError, OSError, MemoryError):
        raise
    except BaseException as failure:
        # Told apart by name, for neither library is loaded here: torch's lack of memory, and what tokenizers, which is
        # written in Rust, raises where it has no error for what it met.
        kind = type(failure).__name__
        if kind == "OutOfMemoryError" or not (isinstance(failure, Exception) or kind == "PanicException"):
            raise
        said = " ".join(str(failure).split())[:300]
        raise DataError(
            f"{place}: cannot be read as a {what} ({kind}: {said}). A file in it is damaged, or was "
            "made by another version: fetch or make it anew."
        ) from failure


def refuse_detours(config: Mapping[str, Any], where: str) -> None:
    """Refuse a model's configuration that names code, or other weights than are hashed.

    Raises
    ------
    ConfigError
        Naming the entry.
    """
    for key, value in _entries(config):
        if key.endswith("attn_implementation"):
            named = list(value.values()) if isinstance(value, dict) else [value]
            if any(one not in _ATTENTION for one in named):
                raise ConfigError(
                    f"{where}: {key} = {value!r} can name code from the hub, which is never run here. Delete the entry."
                )
        if key in ("transformers_weights", "fast_tokenizer_files"):
            raise ConfigError(f"{where}: {key} names other files than are read and hashed here. Delete the entry.")


def refuse_patterns(config: Mapping[str, Any], where: str) -> None:
    """Refuse an adapter's configuration that names layers by more than their names.

    Raises
    ------
    DataError
        Naming the entry.
    """
    for key, value in _entries(config):
        words = [key, *([value] if isinstance(value, str) else value if isinstance(value, list) else [])]
        if key != "base_model_name_or_path" and not all(_PLAIN_WORD.fullmatch(str(word)) for word in words):
            raise DataError(f"{where}: {key} is no name ({str(value)[:60]!r}). Delete the folder and tune anew.")


def _entries(config: Any) -> Iterator[tuple[str, Any]]:
    waiting = [config]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            yield from ((str(key), value) for key, value in one.items())
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _everything(folder: Path) -> list[Path]:
    return [Path(place) / name for place, folders, files in os.walk(folder) for name in sorted(folders + files)]
