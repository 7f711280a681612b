"""Fetch a base model from the model hub: the files it needs, all of one commit, into the hub's own cache.

Nothing here waits without end: the listing must come within `PATIENCE_S`, and a download that brings no byte for
`STALL_S` is given up, whatever layer of the client it is stuck in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from embargo.data_loaders.errors import EmbargoError, MissingPartError, ServiceError

# Seconds: for one answer, for the listing with every retry and name look-up, and without a new byte.
ANSWER_S = 10.0
PATIENCE_S = 30.0
STALL_S = 60.0
STEP_S = 0.5

T = TypeVar("T")


@dataclass(frozen=True)
class HubListing:
    """What a repository holds at one commit.

    Attributes
    ----------
    commit : str
    files : tuple of str
        Paths within the repository.
    """

    commit: str
    files: tuple[str, ...]


def cached(name: str, revision: str | None, files: Sequence[str]) -> Path | None:
    """Return the folder in which the hub's cache holds a revision, or None; asks nobody."""
    from huggingface_hub import constants, snapshot_download

    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=list(files),
                cache_dir=constants.HF_HUB_CACHE,
                local_files_only=True,
            )
        )
    except (ValueError, OSError):
        return None


def list_files(name: str, revision: str | None) -> HubListing:
    """Ask the hub which files a model has.

    Raises
    ------
    MissingPartError
        If there is no such model or revision, if its owner asks for consent first, or if the hub is switched off.
    ServiceError
        If the hub does not answer within `PATIENCE_S`.
    """
    from huggingface_hub import HfApi

    api = HfApi()

    def ask() -> HubListing:
        found = api.model_info(name, revision=revision, timeout=ANSWER_S)
        return HubListing(str(found.sha), tuple(file.rfilename for file in found.siblings or ()))

    return _in_time(ask, name, still=lambda: 0, patience=PATIENCE_S)


def fetch(name: str, commit: str, files: Sequence[str]) -> Path:
    """Download files of one commit and return the folder that holds them.

    Raises
    ------
    MissingPartError, ServiceError
        As `list_files`; a download that stalls for `STALL_S` is given up. What came is kept and continued next time.
    """
    from huggingface_hub import constants, hf_hub_download

    cache = Path(constants.HF_HUB_CACHE)

    def download() -> Path:
        # One by one in this thread: the workers of a parallel download would be waited for when the program ends.
        paths = [
            hf_hub_download(
                name,
                file,
                revision=commit,
                cache_dir=cache,
                etag_timeout=ANSWER_S,
            )
            for file in files
        ]
        return Path(paths[0]).parent

    folder = cache / f"models--{name.replace('/', '--')}"
    return _in_time(download, name, still=lambda: _size(folder), patience=STALL_S)


def _size(folder: Path) -> int:
    size = 0
    # Folders and files are renamed between the listing and the look; what is gone is passed over.
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += (Path(place) / name).lstat().st_size
    return size


def _in_time(work: Callable[[], T], name: str, *, still: Callable[[], int], patience: float) -> T:
    """Run ``work`` in a thread that may be abandoned, for as long as ``still()`` changes within every ``patience``."""
    outcome: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as failure:  # handed over to the caller's thread
            failed.append(failure)

    worker = Thread(target=run, daemon=True, name=f"hub {name}")
    worker.start()
    waited, before = 0.0, still()
    while worker.is_alive():
        worker.join(STEP_S)
        now = still()
        waited, before = (waited + STEP_S, before) if now == before else (0.0, now)
        if worker.is_alive() and waited >= patience:
            raise ServiceError(
                f"base {name!r}: the model hub has sent nothing for {patience:g} s. Check the network and run again, "
                "or download the model elsewhere and give its folder."
            )
    if failed:
        raise _named(failed[0], name) from failed[0]
    return outcome[0]


def _named(failure: BaseException, name: str) -> EmbargoError:
    from huggingface_hub import errors

    cases: tuple[tuple[Any, type[EmbargoError], str], ...] = (
        (
            errors.OfflineModeIsEnabled,
            MissingPartError,
            "is not in the hub's cache, and the hub is switched off (HF_HUB_OFFLINE). Unset that, or give a folder.",
        ),
        (
            errors.GatedRepoError,
            MissingPartError,
            "is only for those who accepted its licence. Accept it on its page and set HF_TOKEN.",
        ),
        (
            errors.RevisionNotFoundError,
            MissingPartError,
            "has no such revision. Give the commit that its page on the hub shows.",
        ),
        (
            (errors.RepositoryNotFoundError, errors.HFValidationError),
            MissingPartError,
            "is no folder and no model that the hub shows to you. Check the spelling; a private one needs HF_TOKEN.",
        ),
        (
            (errors.EntryNotFoundError, OSError),
            ServiceError,
            "could not be had from the hub. Check the network and run again, or give a folder.",
        ),
    )
    for kinds, error, words in cases:
        # A failed connection hides in the error that the file is not in the cache either.
        if isinstance(failure, kinds) and not (error is MissingPartError and isinstance(failure, TimeoutError)):
            return error(f"base {name!r} {words} ({type(failure).__name__})")
    return ServiceError(f"base {name!r}: the model hub's client failed ({type(failure).__name__}: {failure}).")
