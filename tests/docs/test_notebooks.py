"""Notebooks do what their pages show."""

from __future__ import annotations

from pathlib import Path

import pytest

from embargo.data_loaders.errors import ConfigError
from embargo.research.benchmarks.notebooks import cells, page, scripts
from embargo.research.benchmarks.structure import ROOT

NOTEBOOKS = list(scripts(ROOT / "docs" / "notebooks"))


@pytest.mark.parametrize("script", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_prints_what_its_page_shows(script: Path) -> None:
    assert page(script) == script.with_suffix(".md").read_text(encoding="utf-8"), (
        "renew the pages with python -m embargo.research.benchmarks.notebooks --write docs/notebooks"
    )


def test_there_are_notebooks() -> None:
    assert len(NOTEBOOKS) >= 3


def test_a_value_and_what_is_printed_are_shown(tmp_path: Path) -> None:
    script = tmp_path / "sums.py"
    script.write_text("# %% [markdown]\n# # Sums\n# %%\nx = 2\n# %%\nprint('so')\nx + 1\n# %%\nNone\n")
    made = page(script).split("-->\n\n")[1]
    shown = ["# Sums", "```python\nx = 2\n```", "```python\nprint('so')\nx + 1\n```", "```text\nso\n3\n```"]
    assert made == "\n\n".join([*shown, "```python\nNone\n```"]) + "\n"


def test_what_stands_outside_of_cells_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"line 1: .* stands before the first cell"):
        cells("x = 1\n# %%\n")
    with pytest.raises(ConfigError, match=r"line 2: .* is no comment"):
        cells("# %% [markdown]\nwords\n")
