"""Compiled loops give the same bits right after compiling as from numba's cache."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from embargo.research.benchmarks.structure import ROOT

PROBE = """
import hashlib
import numpy as np
from embargo.backtest.books import Costs, Execution
from embargo.backtest.books.kernel import Decisions, Market, run, sweep, sweep_weights
rng = np.random.default_rng(7_300_031)
fill = 50.0 * np.exp(rng.normal(0.0, 0.02, (200, 480)).cumsum(axis=0))
market = Market(fill=fill, close=fill * 1.001, years=np.full(200, 1 / 252))
score = rng.normal(size=fill.shape)
decisions = Decisions(score, np.abs(score), None, np.array([0]), half_life=np.array([1.0]), cap=1.0)
weights = score / np.abs(score).sum(axis=1, keepdims=True)
found = [sweep(decisions, market, Costs(), Execution()).returns[0]]
found += [run(weights, market, Costs(), Execution()).returns]
found += [sweep_weights(weights[None], market, Costs(), Execution()).returns[0]]
print(*[hashlib.sha256(each.tobytes()).hexdigest() for each in found])
"""


def compiled(source: str) -> dict[str, tuple[set[str], set[str]]]:
    """Return of each compiled function of a module what it is compiled with, and the names that it calls."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef):
            continue
        for told in node.decorator_list:
            if isinstance(told, ast.Call) and ast.unparse(told.func).split(".")[-1] in ("njit", "jit"):
                options = {f"{each.arg}={ast.unparse(each.value)}" for each in told.keywords}
                calls = {ast.unparse(each.func) for each in ast.walk(node) if isinstance(each, ast.Call)}
                found[node.name] = options, calls
    return found


def called_in_two_orders(source: str) -> set[str]:
    """Return the compiled functions that sum in an order of their own and stand in the libraries of others too."""
    functions = compiled(source)
    called = {name for _, calls in functions.values() for name in calls}
    return {
        name
        for name, (options, _) in functions.items()
        if name in called and "inline='always'" not in options and any(each.startswith("fastmath") for each in options)
    }


def test_what_sums_in_any_order_is_called_by_nothing_compiled() -> None:
    files = [file for room in ("backtest", "signals", "models", "research") for file in (ROOT / room).rglob("*.py")]
    sources = {file: text for file in files if "njit" in (text := file.read_text(encoding="utf-8"))}
    assert any("fastmath=" in text for text in sources.values())
    assert {file.name: called_in_two_orders(text) for file, text in sources.items() if called_in_two_orders(text)} == {}
    planted = (
        "@nb.njit(fastmath=True)\ndef total(x): ...\n@nb.njit(inline='always', fastmath=True)\ndef last(x): ...\n"
        "@nb.njit(cache=True)\ndef rows(x):\n    return total(x) + last(x)\n"
    )
    assert called_in_two_orders(planted) == {"total"}


@pytest.mark.slow
def test_the_process_that_compiles_and_the_next_one_say_the_same(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    said = [
        subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert list(tmp_path.rglob("*.nbc"))
    assert said[0].stdout.split() == said[1].stdout.split()
