"""What README and pages show is what happens: code runs, commands end as they say, configs load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from samples.fenced import blocks, carry_out, fragment

from embargo.data_loaders.errors import ConfigError
from embargo.research.benchmarks.structure import ROOT

NOTEBOOKS = ROOT / "docs" / "notebooks"
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.parent != NOTEBOOKS)]
TOLD = [page for page in PAGES if any(block.language in ("python", "bash", "toml") for block in blocks(page))]
# Blocks that need what no test has. A new one is counted here, and says why in its fence.
NOT_RUN = {
    "README.md": 2,
    "misleading_stamps.md": 1,
    "mutation.md": 2,
    "quickstart.md": 3,
    "data.md": 1,
    "base.md": 1,
    "bybit.md": 1,
    "cluster.md": 1,
    "cron.md": 1,
    "endpoint.md": 1,
    "files.md": 1,
    "gpu.md": 2,
    "readers.md": 1,
    "scale.md": 1,
    "strategy.md": 1,
    "studies.md": 3,
    "vintages.md": 1,
    "yahoo.md": 1,
}


@pytest.mark.parametrize("page", TOLD, ids=lambda page: page.stem)
def test_what_a_page_shows_happens(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.syspath_prepend(str(tmp_path))
    runnable = [
        block
        for block in blocks(page)
        if block.language in ("python", "bash", "toml") and not block.said.startswith("no-run")
    ]
    assert carry_out(page, tmp_path) == len(runnable)


def test_blocks_that_are_not_run_are_counted_and_say_why() -> None:
    left_out = [(page.name, block.reason) for page in PAGES for block in blocks(page) if block.reason is not None]
    assert [name for name, reason in left_out if len(reason.split()) < 3] == []
    names = [name for name, _ in left_out]
    assert {name: names.count(name) for name in names} == NOT_RUN


def test_commands_are_marked_as_such() -> None:
    """A block without a language would be neither run nor counted."""
    typed = re.compile(r"^(\.venv/bin/)?(embargo|make|pip|python) ", re.MULTILINE)
    bare = [page.name for page in TOLD for block in blocks(page) if block.language == "" and typed.search(block.code)]
    assert bare == []


def test_the_config_of_the_readme_is_that_of_the_page() -> None:
    (shown,) = (block for block in blocks(ROOT / "README.md") if block.language == "toml")
    page = next(block for block in blocks(ROOT / "docs" / "howto" / "files.md") if block.file == shown.file)

    def settings(code: str) -> list[str]:
        return [line.partition("#")[0].rstrip() for line in code.splitlines()]

    assert settings(shown.code) == settings(page.code)


def test_a_gate_goes_by_the_regimes_that_are_told() -> None:
    *_, sorting = (block.code for block in blocks(ROOT / "docs" / "howto" / "money.md") if block.language == "toml")
    assert fragment(sorting).regimes.gate_by == ("threshold",)
    with pytest.raises(ConfigError, match=r"portfolio\.gate names turbulent"):
        fragment(sorting.replace("panic = 0.5", "turbulent = 0.5"))


def test_a_command_that_fails_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    for said in ("embargo validate nothing.toml", "rm -rf nothing", "embargo models --search finbert # exit status 3"):
        page.write_text(f"```bash\n{said}\n```\n")
        with pytest.raises(AssertionError):
            carry_out(page, tmp_path)
    page.write_text("```bash\nembargo validate nothing.toml   # exit status 2\n```\n")
    assert carry_out(page, tmp_path) == 1
