"""Worlds, samples, workers and browsers that more than one test file needs."""

from __future__ import annotations

import os
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def elsewhere(**more: str) -> dict[str, str]:
    """Return an environment in which another process finds these packages too."""
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **more}
