"""Every public name of embargo.data_loaders is described in full, and its examples run."""

from __future__ import annotations

from pathlib import Path

import pytest
from samples.examples import failing, undescribed

PACKAGE = "embargo.data_loaders"


def test_public_names_are_described() -> None:
    assert undescribed(PACKAGE) == []


def test_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tried, reports = failing(PACKAGE)
    assert tried
    assert not reports, "\n".join(reports)
    assert list(tmp_path.iterdir()) == [], "an example left files behind"
