"""Code that a config names runs only where it was allowed, and is known by its source down to its own modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from embargo.data_loaders.errors import ConfigError, MissingPartError
from embargo.data_loaders.own_code import LOADERS, READERS, check_reference, open_own

WHAT = {"what": "model.kind", "group": READERS}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which modules are imported, and which is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [each for each in sys.modules if each.startswith("own")]:
        del sys.modules[name]


def test_nothing_is_imported_that_was_not_allowed(folder: Path) -> None:
    (folder / "own_unasked.py").write_text(f"open({str(folder / 'ran')!r}, 'w').close()\nread = len\n")
    for allow in ([], ["own_unasked"], ["own_unasked:other"], ["own_unasked:read2"]):
        with pytest.raises(ConfigError, match=r"--allow own_unasked:read \(in Python: allow=\['own_unasked:read'\]\)"):
            open_own("own_unasked:read", allow=allow, **WHAT)
    assert not (folder / "ran").exists()
    assert open_own("own_unasked:read", allow=["own_unasked:read"], **WHAT).value is len
    assert (folder / "ran").exists()


def opened(reference: str) -> dict[str, str]:
    return dict(open_own(reference, allow=[reference], **WHAT).code.sources)


def test_what_a_module_imports_of_its_own_counts(folder: Path) -> None:
    package = folder / "ownpkg"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep" / "__init__.py").write_text("")
    (package / "main.py").write_text(
        "import json\nfrom . import one\nfrom .deep import words as w\ndef read():\n    import ownpkg.late\n"
    )
    (package / "one.py").write_text("from ownpkg.two import value\n")
    (package / "two.py").write_text("value = 1\n")
    (package / "late.py").write_text("")
    (package / "deep" / "words.py").write_text("")
    (package / "unused.py").write_text("")
    assert opened("ownpkg.main:read").keys() == {
        *("ownpkg", "ownpkg.main", "ownpkg.one", "ownpkg.two", "ownpkg.late", "ownpkg.deep", "ownpkg.deep.words")
    }


def test_a_script_counts_with_what_lies_beside_it(folder: Path) -> None:
    (folder / "own_script.py").write_text("import numpy\nimport own_beside\nread = own_beside.read\n")
    (folder / "own_beside.py").write_text("def read(): ...\n")
    assert opened("own_script:read").keys() == {"own_script", "own_beside"}


def test_another_source_is_another_code(folder: Path) -> None:
    for name, value in (("own_v1", 1), ("own_v2", 2), ("own_v3", 1)):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("from .values import read\n")
        (folder / name / "values.py").write_text(f"def read(): return {value}\n")
    codes = {name: list(opened(f"{name}:read").values()) for name in ("own_v1", "own_v2", "own_v3")}
    assert codes["own_v1"] == codes["own_v3"] != codes["own_v2"]


def test_what_lies_among_installed_packages_has_a_version() -> None:
    code = open_own("markupsafe:escape", allow=["markupsafe:escape"], **WHAT).code
    assert code.distribution == f"MarkupSafe {version('markupsafe')}"
    assert "markupsafe._native" in code.sources
    assert {name.partition(".")[0] for name in code.sources} == {"markupsafe"}


def test_code_that_was_changed_since_it_was_imported_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (folder / "own_edited.py").write_text("read = 1\n")
    opened("own_edited:read")
    (folder / "own_edited.py").write_text("read = 2\n")
    with pytest.raises(ConfigError, match="changed since it was imported"):
        opened("own_edited:read")
    del sys.modules["own_edited"]
    assert open_own("own_edited:read", allow=["own_edited:read"], **WHAT).value == 2


@pytest.mark.parametrize(
    ("reference", "kind", "complaint"),
    [
        ("own_absent_module:read", MissingPartError, "No module named 'own_absent_module'.*folder that holds"),
        ("own_broken:read", MissingPartError, "cannot be imported: ZeroDivisionError"),
        ("own_needy:read", MissingPartError, "No module named 'own_not_installed'"),
        ("own_sound:reed", ConfigError, "own_sound has no reed. Check its spelling"),
    ],
)
def test_what_cannot_be_imported_is_told(folder: Path, reference: str, kind: type[Exception], complaint: str) -> None:
    (folder / "own_broken.py").write_text("1 / 0\n")
    (folder / "own_needy.py").write_text("import own_not_installed\n")
    (folder / "own_sound.py").write_text("read = 1\n")
    with pytest.raises(kind, match=complaint):
        open_own(reference, allow=[reference], **WHAT)


def test_an_installed_package_is_known_by_the_name_it_registered(folder: Path) -> None:
    (folder / "own_plugin.py").write_text("def read(): return 'read'\n")
    info = folder / "own_plugin-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-plugin\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[{READERS}]\nplugged = own_plugin:read\n")
    (info / "RECORD").write_text("own_plugin.py,,\n")
    check_reference("plugged", what="model.kind", built_in=("linear",), group=READERS)
    found = open_own("plugged", **WHAT)
    assert found.value() == "read"
    assert found.code.to_dict()["distribution"] == "own-plugin 1.2"
    with pytest.raises(ValueError, match="'plugged' is unknown"):
        check_reference("plugged", what="news.loader", built_in=("archive",), group=LOADERS)
    with pytest.raises(ValueError, match="one of linear, plugged"):
        check_reference("pluged", what="model.kind", built_in=("linear",), group=READERS)


@pytest.mark.parametrize("name", ["a:", ":b", "a b:c", "a:b:c", "a..b:c", "../a:b", "a:b-c"])
def test_what_is_no_reference_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"write 'package\.module:name'"):
        check_reference(name, what="model.kind", built_in=("linear",), group=READERS)
