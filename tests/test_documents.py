"""What the documents say is so: paths exist, code runs, configs load, templates do what their examples show."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest
from samples.small_runs import embargo

from embargo.data_loaders.errors import ConfigError
from embargo.research.benchmarks.structure import ROOT
from embargo.research.config.experiment import Config, load_config

DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(ROOT.glob("docs/*.md"))
TEMPLATES = sorted(
    path.stem for path in (ROOT / "docs" / "templates").glob("*.py") if not path.stem.startswith("test_")
)
_LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


CODE = [
    pytest.param(code, id=f"{document.stem}-{place}")
    for document in DOCUMENTS
    for place, code in enumerate(blocks(document, "python"))
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
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


@pytest.mark.parametrize("code", CODE)
def test_code_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "document", "exec"), {})
    assert list(tmp_path.iterdir()) == []


def test_there_is_code_to_run() -> None:
    assert any("embargo.backtest(" in str(case.values[0]) for case in CODE)


def test_the_configs_of_the_readme_load(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"

    def load(*lines: str) -> Config:
        file.write_text("\n".join(lines))
        return load_config(file)

    example, written, money, sorting = blocks(ROOT / "README.md", "toml")
    assert load(example).news.path == str(tmp_path / "news.csv")
    assert len(example.strip().splitlines()) <= 10
    told = load(*[line for line in example.splitlines() if not line.startswith("news")], written).news
    assert (told.columns["symbol"], told.delimiter, told.header) == ("tickers[]", ";", False)
    kept = [line for line in example.splitlines() if not line.startswith(("signal", "costs"))]
    traded = load(*kept, money)
    assert traded.execution.participation == 0.02
    assert traded.fusion.method == "boosting"
    steered = load(*kept, "portfolio = { gate = { panic = 0.5 } }", sorting)
    assert steered.regimes.gate_by == ("threshold",)
    assert steered.regimes.threshold is not None
    assert steered.regimes.threshold.path == str(tmp_path / "vix.csv")
    with pytest.raises(ConfigError, match=r"portfolio\.gate names turbulent"):
        load(*kept, "portfolio = { gate = { turbulent = 0.5 } }", sorting)


def test_commands_of_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = set(re.findall(r"\.venv/bin/embargo ([a-z]+)", text))
    assert commands > {"validate", "run", "compare"}
    listed = embargo("--help").output
    assert [command for command in sorted(commands) if f" {command} " not in listed] == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_examples_of_a_template_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
