"""Where a run comes from: program versions, git commit, machine, seeds and fingerprints of data and settings."""

from __future__ import annotations

import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import embargo

PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "vectorbt",
    "pandas",
    "numpy",
    "scipy",
    "scikit-learn",
    "exchange_calendars",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a figure."""
    found = {"python": platform.python_version(), "embargo": embargo.__version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def git_commit() -> str | None:
    """Commit of the program's own checkout, with ``+changes`` if it is modified; None where there is none."""
    git = shutil.which("git")
    source = Path(__file__).resolve().parents[2]
    if git is None or not (source / ".git").exists():
        return None

    def ask(*arguments: str) -> str:
        command = [git, "-C", str(source), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()  # noqa: S603

    try:
        return ask("rev-parse", "HEAD") + ("+changes" if ask("status", "--porcelain") else "")
    except (subprocess.SubprocessError, OSError):
        return None


def manifest_of(
    *,
    settings: str,
    window: str,
    data: dict[str, str],
    seed: int,
    models: list[dict[str, Any]],
    attempts: dict[str, int],
) -> dict[str, Any]:
    """Put together ``manifest.json``.

    Parameters
    ----------
    settings, window : str
        Fingerprints of the experiment and of the test window.
    data : dict of str to str
        Fingerprints of news, prices and samples.
    seed : int
    models : list of dict
        One manifest per fold.
    attempts : dict of str to int
        How many there were when the run was made: in the ledger, of those on windows that overlap only in part, and
        elsewhere.
    """
    return {
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git_commit(),
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
        "seed": seed,
        "fingerprints": {"settings": settings, "test_window": window, **data},
        "models": models,
        "attempts": attempts,
    }
