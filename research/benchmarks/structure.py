"""Measure the house itself: rooms, arrows between them, circles, sizes and doors, from the code's own imports.

Run by ``python -m embargo.research.benchmarks.structure``: a table of counts, of another checkout with ``--root``;
``--write docs/architecture.md`` draws the flow anew. Imports inside functions count like any other; those that only a
type checker reads do not. A name taken from a door counts as taken from the file that defines it.
"""

from __future__ import annotations

import argparse
import ast
import doctest
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("data_loaders", "models", "signals", "backtest", "research")
NAME = "embargo"
ROOT = Path(__file__).resolve().parents[2]
JOBS = {
    "data_loaders": "Yahoo, Bybit, files and the simulated market become validated, point-in-time news and prices",
    "models": "texts become calibrated probabilities",
    "signals": "scored articles become one number per symbol and bar, then weights",
    "backtest": "weights become books, metrics, significance, regimes; leakage checks",
    "research": "experiments: config, pipeline, studies, reports, command line",
}


@dataclass(frozen=True)
class Source:
    """One file of the product: its dotted name below the root, its text and its tree."""

    module: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def is_door(self) -> bool:
        """Whether this is the ``__init__`` of a folder."""
        return self.path.name == "__init__.py"


Arrows = dict[str, set[str]]

INTRODUCTION = """Drawn from the code's own imports by
`python -m embargo.research.benchmarks.structure --write docs/architecture.md`; a test holds it against them. An arrow
points from a room to what is built on it; arrows that a chain of others already implies are left out."""


def read_sources(root: Path = ROOT) -> dict[str, Source]:
    """Parse every file of the five packages, by dotted name without the name of the distribution."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            text = path.read_text(encoding="utf-8")
            found[module] = Source(module, path, text, ast.parse(text))
    return found


def doors(sources: Mapping[str, Source]) -> dict[str, dict[str, str]]:
    """Public names of each folder with the module that defines them, as its door says."""
    found: dict[str, dict[str, str]] = {}
    for module, source in sources.items():
        stub = source.path.with_suffix(".pyi")
        tree = ast.parse(stub.read_text(encoding="utf-8")) if stub.is_file() else source.tree
        if source.is_door:
            names = {
                alias.asname or alias.name: _behind(module, node)
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) and node.module != "__future__"
                for alias in node.names
            }
            listed = _listed(tree)
            found[module] = {name: where for name, where in names.items() if name in listed}
    return found


def _behind(door: str, node: ast.ImportFrom) -> str:
    return f"{door}.{node.module}" if node.level else (node.module or "").removeprefix(f"{NAME}.")


def _listed(tree: ast.Module) -> set[str]:
    lists = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.List)
        and ast.unparse(node.targets[0]) == "__all__"
    ]
    return {str(item.value) for found in lists for item in found.elts if isinstance(item, ast.Constant)}


def arrows(sources: Mapping[str, Source]) -> Arrows:
    """Modules that each module imports, doors opened."""
    public = doors(sources)
    return {
        name: {target for target in _imported(source, sources, public) if not _asked_late(name, target)} - {name}
        for name, source in sources.items()
    }


def _asked_late(module: str, target: str) -> bool:
    """Whether this is the one arrow that runs back up: ``Prices.read`` asks the archive when it is called."""
    return module == "data_loaders.schemas" and target.startswith("data_loaders.archive")


def _imported(source: Source, sources: Mapping[str, Source], public: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for node in _nodes(source.tree):
        if isinstance(node, ast.Import):
            yield from (name for alias in node.names if (name := alias.name.removeprefix(f"{NAME}.")) in sources)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            module = node.module.removeprefix(f"{NAME}.")
            for alias in node.names if module in sources else []:
                below = f"{module}.{alias.name}"
                behind = public.get(module, {}).get(alias.name, module)
                yield below if below in sources and alias.name not in public.get(module, {}) else behind


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but what stands under ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child
        yield from _nodes(child)


def room_of(module: str) -> str:
    """Folder or file right below the package: what a visitor calls a room."""
    return ".".join(module.split(".")[:2])


def between_rooms(found: Arrows) -> Arrows:
    """Arrows between rooms, those inside a room and to a package's own door left out."""
    rooms: Arrows = {}
    for module, targets in found.items():
        place = rooms.setdefault(room_of(module), set())
        place |= {room_of(target) for target in targets} - {room_of(module)}
    return {room: {target for target in targets if "." in target} for room, targets in rooms.items() if "." in room}


def _inside(rooms: Arrows, package: str) -> Arrows:
    """Keep the rooms of one package and the arrows between them."""
    return {
        room: {target for target in targets if target.startswith(f"{package}.")}
        for room, targets in rooms.items()
        if room.startswith(f"{package}.")
    }


def circles(found: Arrows) -> list[list[str]]:
    """Return the sets of nodes that reach each other; none where imports flow one way."""
    import numpy as np
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    nodes = sorted(found.keys() | set().union(*found.values()))
    place = {node: i for i, node in enumerate(nodes)}
    pairs = [(place[node], place[target]) for node, targets in found.items() for target in targets]
    rows, columns = zip(*pairs, strict=True) if pairs else ((), ())
    graph = csr_array((np.ones(len(pairs)), (rows, columns)), shape=(len(nodes), len(nodes)))
    _, group = connected_components(graph, directed=True, connection="strong")
    together: dict[int, list[str]] = {}
    for node, number in zip(nodes, group.tolist(), strict=True):
        together.setdefault(number, []).append(node)
    return [part for part in together.values() if len(part) > 1]


def types_in(source: Source) -> Iterator[str]:
    """Yield the classes and the aliases of types, such as a ``Literal``, that a file gives public names to."""
    for node in source.tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            yield from (name for name in names if name[0].isupper() and not name.isupper())


def _functions(sources: Mapping[str, Source]) -> Iterator[tuple[int, str]]:
    for source in sources.values():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[min(len(node.body) - 1, ast.get_docstring(node) is not None)]
                yield (node.end_lineno or first.lineno) - first.lineno + 1, f"{source.module}.{node.name}"


def _examples(sources: Mapping[str, Source]) -> int:
    parser = doctest.DocTestParser()
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module
    texts = (
        ast.get_docstring(node)
        for source in sources.values()
        for node in ast.walk(source.tree)
        if isinstance(node, kinds)
    )
    return sum(bool(parser.get_examples(text)) for text in texts if text)


def counts(root: Path = ROOT) -> dict[str, str]:
    """Count what there is to count about a checkout, ready to print."""
    sources = read_sources(root)
    found = arrows(sources)
    rooms = between_rooms(found)
    longest_file = max((source.text.count("\n"), name) for name, source in sources.items())
    longest_function = max(_functions(sources))
    settings = (root / "pyproject.toml").read_text(encoding="utf-8")
    ignored = sum(source.text.count("# type: ignore") for source in sources.values())
    public = {f"{door}.{name}" for door, names in doors(sources).items() for name in names}
    return {
        "files": str(len(sources)),
        "lines": f"{sum(source.text.count(chr(10)) for source in sources.values()):,}",
        "longest file": f"{longest_file[0]} {longest_file[1]}",
        "longest function, lines of code": f"{longest_function[0]} {longest_function[1]}",
        **{
            f"rooms in {package}": f"{len(inside)}, {sum(map(len, inside.values()))} arrows between them"
            for package in PACKAGES
            for inside in [_inside(rooms, package)]
        },
        "arrows between rooms": str(sum(map(len, rooms.values()))),
        "arrows between files": str(sum(map(len, found.values()))),
        "circles of files": str(len(circles(found))),
        "circles of rooms": str(len(circles(rooms))),
        "names in doors": str(len(public)),
        "docstrings with examples": str(_examples(sources)),
        "imports a type checker skips": str(settings.count('follow_imports = "skip"') and len(_skipped(settings))),
        "type: ignore": str(ignored),
    }


def _skipped(settings: str) -> list[str]:
    listed = re.search(r"\[\[tool\.mypy\.overrides\]\].*?module = \[(.*?)\]", settings, re.DOTALL)
    return re.findall(r'"([\w.*]+)"', listed[1]) if listed else []


def document(root: Path = ROOT) -> str:
    """Write the picture of the flow: packages, then the rooms of each, as Mermaid draws them."""
    sources = read_sources(root)
    rooms = between_rooms(arrows(sources))
    parts = [
        "# Architecture",
        "",
        INTRODUCTION,
        "",
        "```mermaid",
        "flowchart TD",
        *(f'    {name}["<b>{name}</b><br>{job}"]' for name, job in JOBS.items()),
        *(f"    {a} --> {b}" for a, b in _drawn(_packages(rooms))),
        "```",
    ]
    for package in PACKAGES:
        inside = _inside(rooms, package)
        parts += ["", f"## {package}", "", "| room | what it is for |", "|---|---|"]
        parts += [f"| `{room.split('.')[1]}` | {_purpose(sources[room])} |" for room in sorted(inside)]
        parts += ["", "```mermaid", "flowchart TD"]
        parts += [f'    {room.replace(".", "_")}["{room.split(".")[1]}"]' for room in sorted(inside)]
        parts += [f"    {a.replace('.', '_')} --> {b.replace('.', '_')}" for a, b in _drawn(inside)]
        parts += ["```"]
    return "\n".join(parts) + "\n"


def _packages(rooms: Arrows) -> Arrows:
    found: Arrows = {package: set() for package in PACKAGES}
    for room, targets in rooms.items():
        found[room.split(".")[0]] |= {target.split(".")[0] for target in targets} - {room.split(".")[0]}
    return found


def _drawn(found: Arrows) -> list[tuple[str, str]]:
    """Arrows in the direction of flow, less those that longer ways imply."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(found.get(start, ()))
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                waiting += found.get(node, ())
        return seen

    return sorted(
        (target, node)
        for node, targets in found.items()
        for target in targets
        if not any(target in reached(other) for other in targets - {target})
    )


def _purpose(source: Source) -> str:
    text = " ".join((ast.get_docstring(source.tree) or "").split("\n\n")[0].split())
    return text.replace("|", "\\|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT, help="checkout to measure")
    parser.add_argument("--write", type=Path, metavar="FILE", help="draw the flow into a file")
    given = parser.parse_args()
    if given.write:
        given.write.write_text(document(given.root), encoding="utf-8")
    for what, count in counts(given.root).items():
        print(f"{what:<34}{count}")


if __name__ == "__main__":
    main()
