"""Where a store's bytes lie: a folder on a disk, or any address that fsspec knows.

A file is written whole or not at all, and never twice. On a disk that takes a temporary name in the same folder, a
rename, and a flush of file and folder to the medium; object stores put whole objects by nature.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
import pandas as pd
from fsspec.implementations.local import LocalFileSystem

from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError

UNFINISHED = ".part"


def unique_name() -> str:
    """Sixteen hexadecimal digits that no other process will draw: a name, never a number in a computation."""
    return uuid.uuid4().hex[:16]


# Extras that bring what speaks a scheme.
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}


@dataclass(frozen=True)
class Folder:
    """The folder of a store; all names are relative to it, with forward slashes.

    Attributes
    ----------
    address : str
        As the user wrote it; named in errors.
    """

    address: str
    _system: Any
    _path: str
    _copies: tempfile.TemporaryDirectory[str] | None = field(default=None)

    @classmethod
    def at(cls, root: str | Path) -> Folder:
        """Connect to an address.

        Raises
        ------
        ConfigError
            If the scheme of the address is unknown.
        MissingPartError
            If the package that speaks it is not installed.
        """
        address = str(root)
        try:
            system, path = fsspec.core.url_to_fs(str(Path(root).expanduser()) if isinstance(root, Path) else address)
        except ImportError as failure:
            extra = _EXTRAS.get(address.partition("://")[0])
            how = f"Run: pip install 'embargo-backtest[{extra}]'." if extra else "Install the package that it names."
            raise MissingPartError(f"store {address}: {failure}. {how}") from failure
        except ValueError as failure:
            raise ConfigError(f"store {address}: {failure}. Give a folder, or an address such as s3://...") from failure
        local = isinstance(system, LocalFileSystem)
        copies = None if local else tempfile.TemporaryDirectory(prefix="embargo-store-")
        return cls(address.rstrip("/"), system, str(path).rstrip("/"), copies)

    @property
    def local(self) -> bool:
        """Whether the files lie on a disk of this machine."""
        return self._copies is None

    def path(self, name: str) -> str:
        """Path of a file as the file system knows it."""
        return f"{self._path}/{name}"

    def shown(self, name: str) -> str:
        """Address of a file as a person would look for it."""
        return f"{self.address}/{name}"

    def copy_path(self, name: str) -> Path:
        """Place on this machine for a copy of a remote file."""
        assert self._copies is not None
        return Path(self._copies.name) / name

    def read(self, name: str) -> bytes:
        """Content of a file; FileNotFoundError where there is none."""
        content: bytes = self._system.cat_file(self.path(name))
        return content

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        if not self.local:
            self._system.invalidate_cache()
        there: bool = self._system.exists(self.path(name))
        return there

    def open(self, name: str) -> Any:
        """Open a file for streaming; FileNotFoundError where there is none."""
        return self._system.open(self.path(name), "rb")

    def names(self, folder: str) -> list[str]:
        """Names of the files directly in a sub-folder, sorted; none where it does not exist."""
        if self.local:
            try:
                return sorted(entry.name for entry in os.scandir(self.path(folder)) if entry.is_file())
            except FileNotFoundError:
                return []
        self._system.invalidate_cache()
        try:
            found = self._system.ls(self.path(folder), detail=True)
        except FileNotFoundError:
            return []
        return sorted(PurePosixPath(entry["name"]).name for entry in found if entry["type"] == "file")

    def all_names(self) -> list[str]:
        """Every file of the store and below, relative, sorted."""
        self._system.invalidate_cache()
        base = self._system._strip_protocol(self._path)
        return sorted(str(name)[len(base) :].lstrip("/") for name in self._system.find(self._path))

    def modified(self, name: str) -> pd.Timestamp | None:
        """When a file was last written, None where the file system does not say."""
        try:
            stamp = pd.Timestamp(self._system.modified(self.path(name)))
        except (NotImplementedError, FileNotFoundError):
            return None
        return stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")

    def delete(self, name: str) -> bool:
        """Remove a file; False where another process was faster."""
        try:
            self._system.rm_file(self.path(name))
        except FileNotFoundError:
            return False
        return True

    def write(self, name: str, content: Any) -> None:
        """Write a file whole or not at all, and have it on the medium when this returns.

        Raises
        ------
        DataError
            If the medium is full, may not be written to, or a file stands where a folder should.
        """
        if not self.local:
            self._system.pipe_file(self.path(name), bytes(content))
            return
        try:
            _write(Path(self.path(name)), content)
        except OSError as failure:
            raise DataError(
                f"{self.shown(name)}: cannot be written ({failure.strerror}). Nothing that was there has changed. Make "
                "room, get the right to write there, or choose another folder."
            ) from failure


def _write(target: Path, content: Any) -> None:
    _make_folder(target.parent)
    unfinished = target.with_name(f".{target.name}.{unique_name()}{UNFINISHED}")
    try:
        with unfinished.open("wb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _flush_folder(target.parent)


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
