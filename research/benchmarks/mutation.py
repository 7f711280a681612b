"""Break the leak checks on purpose, one small change at a time, and count how many of the changes no test notices.

Run by ``python -m embargo.research.benchmarks.mutation FILE --tests TESTS --draws 60 --seed 2`` from the folder of the
repository, with ``pip install mutmut==3.6.0`` beside the tests; docs/mutation.md has every command. The changes are
mutmut's own (operators, comparisons, numbers, arguments, keywords, assignments). The tests are collected once, and each
change is tried in a forked child, so that it costs no more than the tests up to the first that notices. Changes of
wording alone (text with a blank in it, errors that are raised, names of frames in messages) are left out. The exit
status is 1 if a change survives.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta

SHORTEST, SLOWER = 10.0, 4.0
EXAMPLES = 25


@dataclass(frozen=True)
class Mutant:
    """One change: the lines before and after, and the whole source with it."""

    line: int
    before: str
    after: str
    source: str


@dataclass(frozen=True)
class Tally:
    """What became of the changes of one file."""

    file: str
    possible: int
    drawn: int
    killed: int
    survivors: tuple[tuple[int, str, str], ...]

    def interval(self, equivalent: int = 0) -> tuple[float, float]:
        """Exact 95 % interval of the share killed (Clopper and Pearson 1934)."""
        n, k = self.drawn - equivalent, self.killed
        low = float(beta.ppf(0.025, k, n - k + 1)) if k else 0.0
        return low, float(beta.ppf(0.975, k + 1, n - k)) if k < n else 1.0


def mutants_of(path: Path, *, draws: int | None, seed: int) -> tuple[list[Mutant], int]:
    """Draw changes of a file, of those that mutmut knows less those of wording; and say how many there are."""
    cst: Any = importlib.import_module("libcst")
    mutation: Any = importlib.import_module("mutmut.mutation.file_mutation")
    source = path.read_text(encoding="utf-8")
    nothing: Any = importlib.import_module("mutmut.mutation.pragma_handling").IgnoredCode(set(), set(), set())
    visitor = mutation.MutationVisitor(mutation.mutation_operators, nothing)
    module = importlib.import_module("libcst.metadata").MetadataWrapper(cst.parse_module(source)).visit(visitor)
    wording = _wording(cst, module)
    changes = [
        change
        for change in visitor.mutations
        if id(change.original_node) not in wording and not _only_text(cst, change)
    ]
    order = np.random.default_rng(seed).permutation(len(changes))
    drawn: dict[str, Mutant] = {}
    for place in order:
        if draws is not None and len(drawn) == draws:
            break
        change = changes[place]
        mutant = _rendered(source, mutation.deep_replace(module, change.original_node, change.mutated_node).code)
        if mutant is not None:
            drawn[mutant.source] = mutant
    return sorted(drawn.values(), key=lambda mutant: (mutant.line, mutant.source)), len(changes)


def _rendered(source: str, mutated: str) -> Mutant | None:
    """Name the line that changed; None where nothing did, nothing would run, or only a script would."""
    before, after = source.splitlines(), mutated.splitlines()
    line = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), None)
    if line is None or before[line].startswith("if __name__"):
        return None
    try:
        compile(mutated, "mutant", "exec")
    except SyntaxError:
        return None
    return Mutant(line + 1, before[line].strip(), after[line].strip(), mutated)


def _only_text(cst: Any, change: Any) -> bool:
    """Tell whether a change touches the words of a message, or the case of letters, and nothing else."""
    if not isinstance(change.original_node, cst.SimpleString):
        return False
    return " " in change.original_node.value or not change.mutated_node.value.strip("rbfu\"'").startswith("XX")


def _wording(cst: Any, module: Any) -> set[int]:
    """Nodes inside errors that are raised, and inside the names that messages give to frames."""
    found: set[int] = set()

    def take(node: Any) -> None:
        found.add(id(node))
        for child in node.children:
            take(child)

    def walk(node: Any) -> None:
        named = isinstance(node, cst.Arg) and node.keyword is not None and node.keyword.value in ("what", "where")
        if named or isinstance(node, cst.Raise):
            take(node)
            return
        if isinstance(node, cst.Call) and any(
            arg.keyword is not None and arg.keyword.value in ("what", "where") for arg in node.args
        ):
            found.add(id(node))
        for child in node.children:
            walk(child)

    walk(module)
    return found


def put_in(module: ModuleType, source: str) -> None:
    """Give a module another source in place: whoever holds its functions or constants holds the new ones."""
    before = dict(vars(module))
    exec(compile(source, str(module.__file__), "exec"), vars(module))  # noqa: S102
    for name, old in before.items():
        new = vars(module)[name]
        if isinstance(old, FunctionType) and isinstance(new, FunctionType) and old.__module__ == module.__name__:
            _become(old, new)
            setattr(module, name, old)
        elif isinstance(old, type) and isinstance(new, type) and old.__module__ == module.__name__:
            for key, value in vars(new).items():
                if isinstance(value, FunctionType) and isinstance(vars(old).get(key), FunctionType):
                    _become(vars(old)[key], value)
            setattr(module, name, old)
        elif new is not old and not name.startswith("__"):
            for other in list(sys.modules.values()):
                if getattr(other, "__name__", "").startswith("embargo") and vars(other).get(name) is old:
                    setattr(other, name, new)


def _become(old: FunctionType, new: FunctionType) -> None:
    old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__


class _Trial:
    """Take over pytest's loop: all tests once as they are, then the changes, each in a child."""

    def __init__(self, path: Path, mutants: Sequence[Mutant]) -> None:
        self.path, self.mutants = path, mutants
        self.seconds: dict[str, float] = {}
        self.survivors: list[Mutant] = []
        self.killed = 0

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        hypothesis: Any = importlib.import_module("hypothesis")
        for item in items:
            test = getattr(item, "obj", None)
            given = getattr(test, "_hypothesis_internal_use_settings", None)
            if test is not None and given is not None:
                phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
                fewer = min(given.max_examples, EXAMPLES)
                test._hypothesis_internal_use_settings = hypothesis.settings(
                    given, phases=phases, max_examples=fewer, database=None
                )

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = list(session.items)
        if _first_failure(items, self.seconds) is not None:
            raise SystemExit("a test fails before anything was changed")
        items.sort(key=lambda item: self.seconds[item.nodeid])
        limit = int(max(SHORTEST, SLOWER * sum(self.seconds.values())))
        module = next(
            each for each in list(sys.modules.values()) if str(getattr(each, "__file__", "")) == str(self.path)
        )
        sys.stderr.write(f"{len(items)} tests take {sum(self.seconds.values()):.1f} s\n")
        for mutant in self.mutants:
            if _survives(module, mutant, items, limit):
                self.survivors.append(mutant)
                sys.stderr.write(f"{self.path.name}:{mutant.line}: {mutant.before}  ->  {mutant.after}\n")
            else:
                self.killed += 1
        return True


def _first_failure(items: Sequence[pytest.Item], seconds: dict[str, float]) -> str | None:
    runner: Any = importlib.import_module("_pytest.runner")
    for item, following in zip(items, [*items[1:], None], strict=True):
        began = time.process_time()
        reports = runner.runtestprotocol(item, log=False, nextitem=following)
        seconds[item.nodeid] = time.process_time() - began
        if any(report.failed for report in reports):
            return "\n".join(str(report.longrepr) for report in reports if report.failed)
    return None


def _survives(module: ModuleType, mutant: Mutant, items: Sequence[pytest.Item], limit: int) -> bool:
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return status == 0
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        put_in(module, mutant.source)
        failed = _first_failure(items, {}) is not None
    except BaseException:
        failed = True
    os._exit(int(failed))


def judge(path: Path, tests: Sequence[str], *, draws: int | None, seed: int, without: str = "") -> Tally:
    """Try the changes of a file, or ``draws`` of them, on some tests, ``without`` those of some names."""
    chosen, possible = mutants_of(path, draws=draws, seed=seed)
    module = "embargo." + ".".join(path.resolve().relative_to(Path.cwd()).with_suffix("").parts)
    resolved = Path(str(importlib.import_module(module).__file__))
    trial = _Trial(resolved, chosen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        status = pytest.main(
            [*tests, "-p", "no:cacheprovider", *(["-k", f"not ({without})"] if without else [])], plugins=[trial]
        )
    if trial.killed + len(trial.survivors) != len(chosen):
        raise SystemExit(f"pytest ended with {status} before all changes were tried")
    told = tuple((each.line, each.before, each.after) for each in trial.survivors)
    return Tally(str(path), possible, len(chosen), trial.killed, told)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="file of the product to break")
    parser.add_argument("--tests", nargs="+", required=True, help="tests that are to notice")
    parser.add_argument("--without", default="", help="names of tests to leave out, as for pytest -k")
    parser.add_argument("--draws", type=int, help="changes to draw; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help="file to which one line of JSON is added")
    told = parser.parse_args(arguments)
    tally = judge(told.file, told.tests, draws=told.draws, seed=told.seed, without=told.without)
    low, high = tally.interval()
    print(
        f"{tally.file}: {tally.killed} of {tally.drawn} changes noticed ({tally.killed / max(tally.drawn, 1):.1%}, "
        f"{low:.1%} to {high:.1%}), drawn from {tally.possible} with seed {told.seed}"
    )
    for line, before, after in tally.survivors:
        print(f"  {line}: {before}  ->  {after}")
    if told.write:
        with told.write.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(tally) | {"seed": told.seed}) + "\n")
    return int(bool(tally.survivors))


if __name__ == "__main__":
    raise SystemExit(main())
