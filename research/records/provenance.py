"""Where a run comes from: program versions, git commit, machine and processor, seeds and fingerprints."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
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


def processor() -> dict[str, Any]:
    """Features of this processor and the kernels chosen for them, which decide the last digits of sums.

    Returns
    -------
    dict
        ``architecture``; ``features``, what numpy found; ``kernels``, by library, of every BLAS that is loaded; and
        ``torch``, the instructions that torch computes with, where it is loaded.

    Examples
    --------
    >>> from embargo.research.records.provenance import processor
    >>> sorted(processor())[:3]
    ['architecture', 'features', 'kernels']
    """
    # Loaded here because who only reads runs computes nothing.
    import numpy as np
    from threadpoolctl import threadpool_info

    found = np.show_config(mode="dicts")["SIMD Extensions"]
    kernels = {
        f"{each['internal_api']} {each['version']}": str(each.get("architecture", "unknown"))
        for each in threadpool_info()
        if each["user_api"] == "blas"
    }
    told: dict[str, Any] = {
        "architecture": platform.machine(),
        "features": " ".join([*found["baseline"], *found.get("found", [])]),
        "kernels": dict(sorted(kernels.items())),
    }
    if "torch" in sys.modules:
        import torch

        told["torch"] = torch.backends.cpu.get_cpu_capability()
    return told


def computed_apart(one: object, other: object) -> list[str]:
    """Say in what two processors of `processor` differ; what one of them does not tell counts for nothing.

    A run loads what it needs, so that of its kernels those of the same library and version are compared.

    Examples
    --------
    >>> from embargo.research.records.provenance import computed_apart
    >>> computed_apart({"torch": "AVX2", "kernels": {}}, {"torch": "AVX512", "features": "X86_V4"})
    ['torch AVX2 against AVX512']
    """
    here, there = _named(one), _named(other)
    return [f"{name} {here[name]} against {there[name]}" for name in here if there.get(name, here[name]) != here[name]]


def _named(told: object) -> dict[str, str]:
    """Return what a manifest tells of a processor, kernels beside the rest; nothing where it is not of that form."""
    if not isinstance(told, dict):
        return {}
    kernels = told.get("kernels")
    named = {**told, **(kernels if isinstance(kernels, dict) else {})}
    return {str(name): value for name, value in named.items() if isinstance(value, str)}


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
        "processor": processor(),
        "versions": versions(),
        "seed": seed,
        "fingerprints": {"settings": settings, "test_window": window, **data},
        "models": models,
        "attempts": attempts,
    }
