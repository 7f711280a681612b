"""What the site needs beside the pages that stand here: the API by its doors, templates, changelog and guide.

Read by mkdocs (`hooks` in mkdocs.yml). Nothing of the product is imported: doors are read from their stubs, and
docstrings are collected from the sources by griffe, so that a site is built where torch and pandas are not installed.
"""

from __future__ import annotations

import ast
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, InclusionLevel

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("data_loaders", "models", "signals", "backtest", "research")
# The doors whose names are public, as docs/versions.md says.
DOORS = (
    "",
    *PACKAGES,
    *(f"backtest/{room}" for room in ("metrics", "significance", "regimes", "leakage", "books")),
)
# Documents of the repository that are pages too.
WHOLE = ("CHANGELOG.md", "CONTRIBUTING.md")
TEMPLATES = ("loader", "reader", "tuning_method", "metric", "leak_check", "study")
# What a fence says beside its language, for whoever runs it.
_NOT_RUN = re.compile(r"^(```\w+) no-run:[^\n]*$", re.MULTILINE)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def door(folder: str) -> list[str]:
    """Names in the door of a package, in the order of its list."""
    for node in ast.parse((ROOT / folder / "__init__.pyi").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    raise ValueError(f"{folder}/__init__.pyi lists no names; write __all__")


def dotted(folder: str) -> str:
    """Name under which a folder is imported."""
    return ".".join(["embargo", *filter(None, folder.split("/"))])


def api_page(folder: str) -> str:
    """Page of one door: what its package is for, the rooms in it, then every name with its docstring."""
    names = [name for name in door(folder) if not name.startswith("__")]
    rooms = [name for name in names if (place := _module(folder, name)) is not None and _is_module(folder, name)]
    lines = [f"# {dotted(folder)}", "", _docstring(ROOT / folder / "__init__.py"), ""]
    for room in rooms:
        place = _module(folder, room)
        inner = f"{folder}/{room}".strip("/")
        shown = f"[`{room}`]({dotted(inner)}.md)" if inner in DOORS else f"`{room}`"
        lines.append(f"- {shown}: {_docstring(place).splitlines()[0]}")
    lines += ["", *(f"::: {dotted(folder)}.{name}\n" for name in names if name not in rooms)]
    return "\n".join(lines) + "\n"


def _module(folder: str, name: str) -> Path | None:
    places = (ROOT / folder / name / "__init__.py", ROOT / folder / f"{name}.py")
    return next((place for place in places if place.is_file()), None)


def _is_module(folder: str, name: str) -> bool:
    """Tell a room from a function that has its name, which the stub takes from inside it."""
    for node in ast.parse((ROOT / folder / "__init__.pyi").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and any(name == (alias.asname or alias.name) for alias in node.names):
            return node.module is None
    return False


def _docstring(module: Path) -> str:
    return ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""


def template_page(name: str) -> str:
    """Page of one worked example: its file, and its test."""
    folder = ROOT / "docs" / "templates"
    parts = [f"# {name}.py", ""]
    shown = [folder / f"{name}.py", folder / f"test_{name}.py", *sorted(folder.glob(f"{name}.html.j2"))]
    for file in shown:
        language = "python" if file.suffix == ".py" else "html+jinja"
        parts += [
            f"`docs/templates/{file.name}`",
            "",
            f"```{language}",
            file.read_text(encoding="utf-8").rstrip(),
            "```",
            "",
        ]
    return "\n".join(parts)


def inside(markdown: str, page: str) -> str:
    """Leave links that stay in the site, and show those that leave it for the repository as the paths that they are."""
    here = (ROOT / "docs" / page).parent if page not in WHOLE else ROOT

    def shown(found: re.Match[str]) -> str:
        image, text, target = found.groups()
        path, _, anchor = target.partition("#")
        if not path or "://" in target or target.startswith("mailto:"):
            return found[0]
        place = (here / path).resolve()
        if place.parent == ROOT / "docs" / "templates" and place.suffix == ".py":
            name = place.stem.removeprefix("test_")
            return f"[{text}]({_up(page)}templates/{name}.md)"
        if place.name in WHOLE and place.parent == ROOT:
            return f"[{text}]({_up(page)}{place.name}{'#' + anchor if anchor else ''})"
        if place == ROOT / "README.md":
            return f"[{text}]({_up(page)}index.md)"
        if place.is_relative_to(ROOT / "docs") and (image or place.suffix in (".md", ".svg", ".png", ".txt", ".json")):
            return f"{image}[{text}]({_up(page)}{place.relative_to(ROOT / 'docs')}{'#' + anchor if anchor else ''})"
        if not place.exists():
            return found[0]  # mkdocs says so
        plain = f"`{place.relative_to(ROOT)}`"
        return plain if text.strip("`") in (str(place.relative_to(ROOT)), place.name) else f"{text} ({plain})"

    return _LINK.sub(shown, markdown)


def _up(page: str) -> str:
    return "../" * page.count("/")


# Before the plugin that reads the sources asks where they are.
@event_priority(100)
def on_config(config: Any) -> Any:
    """Lay the sources out under the name by which they are imported, for griffe to read."""
    names = Path(tempfile.mkdtemp(prefix="embargo-site-"))
    for package in PACKAGES:
        shutil.copytree(ROOT / package, names / "embargo" / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("__init__.py", "__init__.pyi"):
        shutil.copy(ROOT / file, names / "embargo" / file)
    config.plugins["mkdocstrings"].config["handlers"]["python"]["paths"] = [str(names)]
    config["names_of_sources"] = names
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made of other files."""
    pages = {f"api/{dotted(folder)}.md": api_page(folder) for folder in DOORS}
    pages |= {f"templates/{name}.md": template_page(name) for name in TEMPLATES}
    pages |= {name: (ROOT / name).read_text(encoding="utf-8") for name in WHOLE}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text, inclusion=InclusionLevel.INCLUDED))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Keep every link inside the site."""
    return inside(_NOT_RUN.sub(r"\1", markdown), page.file.src_uri)


def on_post_build(config: Any) -> None:
    """Take the laid-out sources away."""
    shutil.rmtree(config["names_of_sources"], ignore_errors=True)
