"""The house keeps its order: imports flow one way, the drawing is true, and the list of packages is whole."""

from __future__ import annotations

import tomllib

import pytest

from embargo.research.benchmarks import structure
from embargo.research.benchmarks.structure import ROOT, Arrows

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def found() -> Arrows:
    return structure.arrows(structure.read_sources())


def test_no_file_reaches_itself(found: Arrows) -> None:
    assert structure.circles(found) == []


@pytest.mark.parametrize("package", structure.PACKAGES)
def test_no_room_reaches_itself(found: Arrows, package: str) -> None:
    rooms = structure.between_rooms(found)
    assert structure.circles({room: targets for room, targets in rooms.items() if room.startswith(f"{package}.")}) == []


def test_circles_are_found() -> None:
    arrows = {"a.x": {"b.y"}, "b.y": {"c.z"}, "c.z": {"a.x"}, "d.w": {"a.x"}}
    assert structure.circles(arrows) == [["a.x", "b.y", "c.z"]]


def test_a_name_from_a_door_is_an_arrow_to_its_file(found: Arrows) -> None:
    assert "backtest.metrics.ratios" in found["research.run.pipeline"]
    assert "backtest.metrics" not in found["research.run.pipeline"]


def test_packages_flow_one_way(found: Arrows) -> None:
    order = {package: place for place, package in enumerate(structure.PACKAGES)}
    upward = [
        (module, target)
        for module, targets in found.items()
        for target in targets
        if order[target.split(".")[0]] > order[module.split(".")[0]]
    ]
    assert upward == []


def test_the_drawing_is_true() -> None:
    drawn = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert drawn == structure.document(), (
        "the code's imports have changed: python -m embargo.research.benchmarks.structure --write docs/architecture.md"
    )


def test_every_folder_is_in_the_list_of_packages() -> None:
    folders = {
        f"embargo.{'.'.join(path.parent.relative_to(ROOT).parts)}"
        for package in structure.PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
    }
    listed = SETTINGS["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted({"embargo", *folders})


def test_no_room_is_called_by_what_it_is_not() -> None:
    names = {part for module in structure.read_sources() for part in module.split(".")}
    assert not names & {"utils", "helpers", "common", "core", "manager", "misc"}


def test_one_name_means_one_type() -> None:
    places: dict[str, list[str]] = {}
    for module, source in structure.read_sources().items():
        for name in structure.types_in(source) if not module.startswith("research.benchmarks") else ():
            places.setdefault(name, []).append(module)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
