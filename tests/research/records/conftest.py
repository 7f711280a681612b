"""One valid run of the pipeline, made once, and copies of it that a test may damage."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from embargo.research.run.pipeline import Outcome


@pytest.fixture(scope="session")
def whole(small_run: Outcome) -> Path:
    """Folder of runs with one valid run and its seal."""
    return small_run.folder.parent


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copy the run beside others of its kind, with or without the list that knows its seal."""

    def copy(name: str = "runs", *, seals: bool = True) -> Path:
        shutil.copytree(whole, tmp_path / name, copy_function=_linked)
        if not seals:
            (tmp_path / name / "seals.jsonl").unlink()
        (run,) = [path for path in (tmp_path / name).iterdir() if path.is_dir()]
        return run

    return copy


def _linked(source: str, target: str) -> None:
    """Share the bytes: a test replaces files and never writes into one."""
    os.link(source, target)
