"""Fixtures and settings that every test shares."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from samples.browsing import Visit

    from embargo.research.run.pipeline import Outcome

# Shared machines stall: a slow example is no failure, and the same examples come up in every run.
settings.register_profile(
    "embargo", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("embargo")

# In the background of a script Ctrl-C is ignored, and so it would be by the commands that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test leaves anything in the user's cache.
_CACHE = tempfile.TemporaryDirectory(prefix="embargo-cache-")
os.environ.setdefault("EMBARGO_CACHE", _CACHE.name)


# Few tests but many seconds: whole runs, most of them. Begun last, one of them would keep one process busy alone.
_LONG = (
    "research/run/test_pipeline.py",
    "research/pages/test_words.py",
    "research/test_examples.py",
    "research/run/test_fitted_on.py",
    "research/run/test_vintages.py",
    "research/cli/test_attempts_command.py",
    "research/studies/test_sweep.py",
    "research/run/test_books_audited.py",
    "docs/test_blocks.py",
    "docs/test_notebooks.py",
    "leaks/test_repeated_run.py",
    "leaks/test_perturbation.py",
    "test_distribution.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Hand files to processes in the order below, not by their numbers of tests, which say nothing of their time."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    here = Path(__file__).parent
    long = {here / name: place for place, name in enumerate(_LONG)}
    items.sort(key=lambda item: long.get(item.path, len(long)))


def pytest_collection_finish() -> None:
    """Spare the collector what stays: by now half a million objects of libraries, which it would look at every time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _own_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test counts the attempts of another that shares its cache."""
    monkeypatch.setenv("EMBARGO_LEDGER", str(Path(_CACHE.name) / "ledgers" / uuid4().hex))


# No test may reach a model hub.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Carry out the small example once for all that only read it; its folder of runs holds nothing else."""
    from embargo.research.config.experiment import load_config
    from embargo.research.examples.shipped import example
    from embargo.research.progress import Quiet
    from embargo.research.run import execute

    folder = tmp_path_factory.mktemp("small-run")
    with example("small") as path:
        return execute(load_config(path), out=folder / "runs", cache=folder / "cache", stages=Quiet())


@pytest.fixture(scope="session")
def visit() -> Iterator[Visit]:
    """Open pages in a headless Chromium, one for all tests of a process; see samples/browsing.py."""
    from samples.browsing import browsing

    with browsing() as visit:
        yield visit


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the shared real data sets."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("EMBARGO_REAL_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set EMBARGO_REAL_DATA")
    return folder


@pytest.fixture(scope="session")
def cases() -> Path:
    """Folder of the shared inputs that went wrong once, with their right answers."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "cases"
    folder = Path(os.environ.get("EMBARGO_CASES") or beside)
    if not folder.is_dir():
        pytest.skip(f"cases not found at {folder}; set EMBARGO_CASES")
    return folder
