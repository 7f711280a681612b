"""What a wheel brings into a researcher's environment: one package, whole, that the files around it do not disturb."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from samples.small_runs import SWEPT

from embargo.research.benchmarks.structure import PACKAGES, ROOT

TAKEN_ALONG = ("*.py", "*.pyi", "*.j2", "*.css", "*.js", "*.toml", "py.typed")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel from a copy of the sources, without an index."""
    copy = tmp_path_factory.mktemp("sources")
    for name in ("pyproject.toml", "README.md", "LICENSE", "__init__.py", "__init__.pyi", "py.typed"):
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, copy / name)
    for package in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    built = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        built,
        copy,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install it into an environment of its own, which finds this one's dependencies but not this checkout."""
    environment = tmp_path_factory.mktemp("bare") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=120)
    python = environment / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    (site,) = environment.glob("lib/python*/site-packages")
    # A path line finds packages; it does not start what an editable install left there.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin"


def started(installed: Path, program: str, *arguments: str, folder: Path, **more: str) -> None:
    """Run a program of the bare environment in a folder; only what the caller says is on its path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"EMBARGO_CACHE": str(folder / "cache"), **more}
    command = [installed / program, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_wheel_holds_the_package_and_nothing_beside_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"embargo", "embargo_backtest"}
    here = {
        f"embargo/{path.relative_to(ROOT)}"
        for package in PACKAGES
        for pattern in TAKEN_ALONG
        for path in (ROOT / package).rglob(pattern)
    }
    packed = {name for name in names if name.startswith("embargo/") and name.count("/") > 1}
    assert packed == here
    assert {"embargo/__init__.py", "embargo/py.typed"} <= set(names)


def test_it_runs_in_a_folder_of_the_users_own_modules(installed: Path, tmp_path: Path) -> None:
    for name in ("signals.py", "backtest.py", "research.py", "data_loaders.py"):
        (tmp_path / name).write_text("raise RuntimeError('the user’s own file was imported')\n")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("raise RuntimeError('the user’s own folder was imported')\n")
    (tmp_path / "small.toml").write_text(SWEPT)
    # As a module it has the folder first on its path: all that a run imports is looked for there before anywhere else.
    for command in (["embargo", "validate"], ["python", "-m", "embargo.research.cli", "run", "--out", "runs"]):
        started(installed, *command, "small.toml", folder=tmp_path, PYTHONPATH=str(tmp_path))
    (report,) = tmp_path.glob("runs/*/report.html")
    assert "class Plot" in report.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_demo_runs_from_a_wheel(installed: Path, tmp_path: Path) -> None:
    started(installed, "embargo", "demo", folder=tmp_path)
    assert list(tmp_path.glob("runs/demo-*/report.html"))
