"""Code that a setting names, ``"package.module:name"``: allowed, imported, and fingerprinted down to its own modules.

A config may be somebody else's, and to import what it names is to run it: nothing is imported that whoever starts the
run has not allowed by name. What was imported is written down as the hash of its source, so that changed code is
another experiment.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
import site
import sys
import sysconfig
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any

from embargo.data_loaders.errors import ConfigError, MissingPartError
from embargo.data_loaders.own_files import listening, remember

# Entry point groups under which an installed package offers readers and loaders by a plain name.
READERS, LOADERS = "embargo.readers", "embargo.loaders"
_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")

# Modules that were read here, and the source that they were made of: Python imports a module once.
_read: dict[str, tuple[ModuleType, str]] = {}


@dataclass(frozen=True)
class OwnCode:
    """Where code of the user's own comes from.

    Attributes
    ----------
    reference : str
        As the setting names it.
    module : str
        The module it stands in.
    sources : mapping of str to str
        sha256 (hex) of that module's source and of each module of its own package, or beside it, that it imports.
    distribution : str or None
        Name and version of the installed distribution that it is part of.

    Examples
    --------
    >>> from embargo.data_loaders.own_code import OwnCode
    >>> OwnCode("mine:read", "mine", {"mine": "ab12"}, None).to_dict()["module"]
    'mine'
    """

    reference: str
    module: str
    sources: Mapping[str, str]
    distribution: str | None

    @property
    def sha256(self) -> str:
        """Hash over all of it; 64 hex digits."""
        told = [*sorted(self.sources.items()), ("", self.distribution or "")]
        return hashlib.sha256(repr(told).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a manifest."""
        return {
            "reference": self.reference,
            "module": self.module,
            "sha256": self.sha256,
            "sources": dict(self.sources),
            "distribution": self.distribution,
        }


@dataclass(frozen=True)
class Imported:
    """What a reference names, and where it comes from."""

    value: Any
    code: OwnCode


def is_reference(name: str) -> bool:
    """Tell whether a setting names code of the user's own."""
    return ":" in name


def check_reference(name: str, *, what: str, built_in: Collection[str], group: str) -> None:
    """Refuse a name that is neither built in, nor registered by an installed package, nor written as a reference.

    Raises
    ------
    ValueError
        Saying what there is.
    """
    if name in built_in:
        return
    if is_reference(name):
        if _REFERENCE.fullmatch(name) is None:
            raise ValueError(f"{what} = {name!r} is no reference; write 'package.module:name'")
        return
    registered = sorted(registered_under(group))
    if name not in registered:
        more = f", {', '.join(registered)} (installed)" if registered else ""
        raise ValueError(
            f"{what} = {name!r} is unknown. Choose one of {', '.join(built_in)}{more}, or name one of your own as "
            "'package.module:name'"
        )


def open_own(reference: str, *, what: str, group: str, allow: Collection[str] = ()) -> Imported:
    """Import what a setting names, if that was allowed.

    Parameters
    ----------
    reference : str
        ``"package.module:name"``, which must be among ``allow``; or a name that an installed package registered for
        this purpose under ``group``, which needs no leave of its own.
    what : str
        The setting, named in errors, such as ``"model.kind"``.
    group : str
        Entry point group.
    allow : collection of str
        References that whoever starts the run has allowed.

    Returns
    -------
    Imported

    Raises
    ------
    ConfigError
        If it was not allowed, is no reference, has no such name, or its source was changed since it was imported.
    MissingPartError
        If the module is not there or cannot be imported.

    Examples
    --------
    >>> from embargo.data_loaders.own_code import READERS, open_own
    >>> opened = open_own("json:loads", what="model.kind", group=READERS, allow=["json:loads"])
    >>> opened.value("[1]"), opened.code.module
    ([1], 'json')
    """
    if is_reference(reference):
        if reference not in allow:
            raise ConfigError(
                f"{what} = {reference!r} runs code that the config names, which may be somebody else's: it is not "
                f"imported unasked. Read it, and add --allow {reference} (in Python: allow=[{reference!r}]) if you "
                "want it."
            )
        with listening() as read:
            value, place = named(reference, what=what), reference
        installed = _distribution(place.partition(":")[0])
    else:
        point = registered_under(group).get(reference)
        if point is None:
            raise MissingPartError(
                f"{what} = {reference!r}: no installed package registers this name under {group!r}. Install it."
            )
        with listening() as read:
            value, place = named(point.value, what=f"{what} = {reference!r}"), point.value
        installed = None if point.dist is None else f"{point.dist.name} {point.dist.version}"
    module = place.partition(":")[0]
    sources = _sources(module)
    _refuse_changed(sources, f"{what} = {reference!r}")
    code = OwnCode(reference, module, sources, installed)
    # A module may read at its import, which happens once.
    remember(code.sha256, read)
    return Imported(value, code)


def named(reference: str, *, what: str) -> Any:
    """Import what a reference names, from the current folder among others; this runs its module.

    Raises
    ------
    ConfigError
        If it is no reference, or its module has no such name.
    MissingPartError
        If its module is not there, or cannot be imported.
    """
    module, _, name = reference.partition(":")
    if not module or not name:
        raise ConfigError(f"{what} {reference}: write MODULE:FUNCTION, such as mine:decide for decide in mine.py.")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        with _nothing_compiled():
            found: Any = import_module(module)
    except ModuleNotFoundError as failure:
        raise MissingPartError(
            f"{what} {reference}: {failure}. Call the command from the folder that holds {module}, or install it."
        ) from failure
    except Exception as failure:
        raise MissingPartError(
            f"{what} {reference}: {module} cannot be imported: {type(failure).__name__}: {failure}. Mend it first."
        ) from failure
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"{what} {reference}: {module} has no {name}. Check its spelling.")
        found = getattr(found, part)
    return found


@contextmanager
def _nothing_compiled() -> Iterator[None]:
    """Leave no compiled copy: Python takes it for a file that was edited within its second and has the same length."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def registered_under(group: str) -> dict[str, EntryPoint]:
    """Return what installed packages registered under an entry point group, by name; nothing is imported."""
    return {point.name: point for point in entry_points(group=group)}


def _sources(module: str) -> dict[str, str]:
    """Hash a module and, one after the other, all that it imports of its own package or from beside it."""
    found: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        place = _place(name, module)
        if place is None or name in found:
            continue
        content = place.read_bytes()
        found[name] = hashlib.sha256(content).hexdigest()
        if place.suffix == ".py":
            waiting += [each for each in _imported(content, name, place) if each not in found]
    return dict(sorted(found.items()))


def _place(name: str, module: str) -> Path | None:
    """Find the file of a module that belongs to another one's own code; None where it does not, or has no file."""
    top, own = name.partition(".")[0], module.partition(".")[0]
    if name == module:
        file = getattr(sys.modules.get(name), "__file__", None)
        return None if file is None else Path(file)
    package = sys.modules[own]
    inside = [Path(each) for each in getattr(package, "__path__", ())]
    if top == own:
        places = [each.joinpath(*name.split(".")[1:]) for each in inside]
    else:
        # A script imports what lies beside it by a name of its own.
        beside = None if inside or getattr(package, "__file__", None) is None else Path(str(package.__file__)).parent
        places = [] if beside is None or beside in _shared_folders() else [beside.joinpath(*name.split("."))]
    for place in places:
        files = [place / "__init__.py", place.with_name(f"{place.name}.py")]
        files += [place.with_name(place.name + ending) for ending in EXTENSION_SUFFIXES]
        if (file := next((each for each in files if each.is_file()), None)) is not None:
            return file
    return None


@functools.cache
def _shared_folders() -> frozenset[Path]:
    """Folders in which everybody's packages lie, so that what is beside a module there is not its own."""
    named_folders = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return frozenset(Path(each).resolve() for each in [*named_folders, *site.getsitepackages()])


def _imported(source: bytes, name: str, place: Path) -> Iterator[str]:
    """Name what a source imports, anywhere in it; of ``from a import b`` both, since b may be a module."""
    package = name if place.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            steps = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            start = ".".join([*steps, *([node.module] if node.module else [])])
            for alias in node.names:
                yield from _with_parents(f"{start}.{alias.name}")


def _with_parents(name: str) -> Iterator[str]:
    """Yield a module and the packages that it lies in, which are run before it."""
    steps = name.split(".")
    for number in range(1, len(steps) + 1):
        yield ".".join(steps[:number])


def _refuse_changed(sources: Mapping[str, str], what: str) -> None:
    """Refuse sources that are no longer those of the modules that Python holds."""
    for name, digest in sources.items():
        module = sys.modules.get(name)
        if module is None:
            continue
        known, before = _read.setdefault(name, (module, digest))
        if known is module and before != digest:
            raise ConfigError(
                f"{what}: {name} was changed since it was imported, and Python still runs what it was. Start Python "
                "again, or reload the module."
            )
        _read[name] = (module, digest)


def _distribution(module: str) -> str | None:
    """Name the installed distribution of a module; None for one that lies elsewhere, which its source alone tells."""
    place = getattr(sys.modules[module], "__file__", None)
    if place is None or not _shared_folders() & set(Path(place).resolve().parents):
        return None
    names = _distributions().get(module.partition(".")[0], ())
    try:
        return f"{names[0]} {version(names[0])}" if names else None
    except PackageNotFoundError:
        return None


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()
