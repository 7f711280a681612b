"""What the documents say is so: paths exist, commands do, templates do what their examples show."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest
from samples.small_runs import embargo

from embargo.research.benchmarks.structure import ROOT

DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    ROOT.glob("docs/**/*.md")
)
TEMPLATES = sorted(
    path.stem for path in (ROOT / "docs" / "templates").glob("*.py") if not path.stem.startswith("test_")
)
_LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_that_is_linked_exists(document: Path) -> None:
    links = _LINK.findall(document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_links_are_found() -> None:
    assert _LINK.findall("[a](b/c.py), [d](e.md#f), [g](https://h.i), [j](#k)") == ["b/c.py", "e.md"]
    guide = _LINK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert {f"docs/templates/{name}.py" for name in TEMPLATES} <= set(guide), "the guide names every template"


def test_paths_in_code_marks_exist() -> None:
    guide = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("CONTRIBUTING.md", "docs/versions.md"))
    packages = "backtest|data_loaders|docs|models|research|signals|tests"
    named = re.findall(rf"`((?:{packages})/[\w./]*)`", guide)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_commands_of_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = set(re.findall(r"^embargo ([a-z]+)", text, re.MULTILINE))
    assert commands > {"validate", "run"}
    listed = embargo("--help").output
    assert [command for command in sorted(commands) if f" {command} " not in listed] == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_examples_of_a_template_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
