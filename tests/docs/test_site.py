"""The site holds every page once, its links stay inside it, and its API is what the doors hold."""

from __future__ import annotations

import importlib.util
import re
import sys
import types
from typing import Any

import pytest
import yaml

from embargo.research.benchmarks.public_names import public
from embargo.research.benchmarks.structure import ROOT

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def hooks() -> Any:
    """What mkdocs reads beside the pages; it has two names of mkdocs, which tests have not."""
    stand_ins = {
        "mkdocs": types.ModuleType("mkdocs"),
        "mkdocs.plugins": types.ModuleType("mkdocs.plugins"),
        "mkdocs.structure": types.ModuleType("mkdocs.structure"),
        "mkdocs.structure.files": types.ModuleType("mkdocs.structure.files"),
    }
    stand_ins["mkdocs.plugins"].event_priority = lambda _: lambda hook: hook  # type: ignore[attr-defined]
    stand_ins["mkdocs.structure.files"].File = None  # type: ignore[attr-defined]
    stand_ins["mkdocs.structure.files"].InclusionLevel = None  # type: ignore[attr-defined]
    found = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    with pytest.MonkeyPatch.context() as patch:
        for name, stand_in in stand_ins.items():
            patch.setitem(sys.modules, name, stand_in)
        found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def settings() -> Any:
    # Of the settings only plain values are asked.
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def _named(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [page for part in (nav.values() if isinstance(nav, dict) else nav) for page in _named(part)]


def test_every_page_has_its_place_and_every_place_its_page(hooks: Any, settings: Any) -> None:
    named = _named(settings["nav"])
    made = [f"api/{hooks.dotted(folder)}.md" for folder in hooks.DOORS]
    made += [f"templates/{name}.md" for name in hooks.TEMPLATES] + list(hooks.WHOLE)
    here = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")]
    assert sorted(named) == sorted(here + made)
    examples = {path.stem for path in (DOCS / "templates").glob("*.py") if not path.stem.startswith("test_")}
    assert examples == set(hooks.TEMPLATES)


def test_the_site_asks_no_other_machine(settings: Any) -> None:
    assert settings["theme"]["font"] is False
    assert settings["strict"] is True
    # The plugin of this name brings the address of a script elsewhere into every page.
    assert "offline" not in [name if isinstance(name, str) else next(iter(name)) for name in settings["plugins"]]
    assert not {"extra_javascript", "repo_url"} & set(settings)
    for sheet in settings.get("extra_css", []):
        assert not re.search(r"@import|url\(", (DOCS / sheet).read_text(encoding="utf-8"))


@pytest.mark.parametrize("folder", ["", "data_loaders", "backtest", "backtest/leakage"])
def test_the_api_is_what_the_doors_hold(hooks: Any, folder: str) -> None:
    door = hooks.dotted(folder)
    page = hooks.api_page(folder)
    shown = re.findall(rf"^::: {re.escape(door)}\.(\w+)$", page, re.MULTILINE)
    held = {name: thing for name, thing in public(door).items() if not name.startswith("__")}
    modules = {name for name, thing in held.items() if isinstance(thing, types.ModuleType)}
    # A package that can be called is a function too, and is shown as that.
    assert set(shown) | modules == set(held)
    assert {name for name in modules - set(shown) if f"`{name}`" not in page} == set()


def test_links_stay_inside(hooks: Any) -> None:
    def inside(markdown: str, page: str) -> str:
        return str(hooks.inside(markdown, page))

    assert inside("[x](../misleading_stamps.md#a)", "howto/files.md") == "[x](../misleading_stamps.md#a)"
    assert inside("[x](../templates/test_reader.py)", "howto/readers.md") == "[x](../templates/reader.md)"
    assert inside("[x](docs/leaks.md)", "CONTRIBUTING.md") == "[x](leaks.md)"
    assert inside("[x](docs/templates/study.html.j2)", "CONTRIBUTING.md") == "x (`docs/templates/study.html.j2`)"
    assert inside("[models/scorer.py](models/scorer.py)", "CONTRIBUTING.md") == "`models/scorer.py`"
    assert inside("[x](../CHANGELOG.md)", "versions.md") == "[x](CHANGELOG.md)"
    assert inside("![x](power.svg)", "simulated_market.md") == "![x](power.svg)"
    kept = "[x](https://a.b/c), [y](#z), [w](nowhere.md)"
    assert inside(kept, "faq.md") == kept


def test_fences_are_shown_without_what_is_said_to_tests(hooks: Any) -> None:
    page = types.SimpleNamespace(file=types.SimpleNamespace(src_uri="faq.md"))
    shown = hooks.on_page_markdown("```bash no-run: asks Yahoo\nembargo fetch\n```\n", page)
    assert shown == "```bash\nembargo fetch\n```\n"


def test_no_page_is_large() -> None:
    large = [path for path in DOCS.rglob("*") if path.is_file() and path.stat().st_size > 200_000]
    assert large == []


def test_concepts_name_their_sources() -> None:
    pages = sorted((DOCS / "concepts").glob("*.md"))
    assert len(pages) == 7
    bare = [page.name for page in pages if "**Source" not in page.read_text(encoding="utf-8")]
    assert bare == ["data.md"], "every formula has its paper; the data verdict has none"


def test_the_readme_is_short_and_shows_the_report() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 230
    assert "![The report of the demo](docs/report.png)" in text
    assert ".venv/bin/embargo" not in text
    assert "embargo.research.benchmarks.picture" in (DOCS / "index.md").read_text(encoding="utf-8")
