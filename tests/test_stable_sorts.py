"""Rows that are alike keep their order on every processor.

numpy sorts by what the processor has (AVX2, AVX-512) and leaves ties in another order on each, and pandas hands single
keys on to it: which of several shares with one score is the best would hang on the machine.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest

from embargo.research.benchmarks.structure import ROOT

ROOMS = ("backtest", "data_loaders", "models", "research", "signals")
TIES = """
import numpy as np
import pandas as pd
at = np.random.default_rng(0).integers(0, 50, 1000)
frame = pd.DataFrame({"at": at, "row": range(len(at))})
print(np.argsort(at, kind="stable").tolist(), frame.sort_values("at", kind="stable")["row"].tolist())
print(frame["at"].value_counts().index.tolist(), frame.groupby("at")["row"].size().nlargest(9).index.tolist())
"""


def unsettled(source: str) -> list[str]:
    """Return the calls of a module that leave ties to the processor: ``argsort``, and ``sort_values`` by one key."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        told = {keyword.arg: keyword.value for keyword in node.keywords}
        by = node.args[0] if node.args else told.get("by")
        # Several keys go through a stable sort; an index that is sorted alone holds nothing beside its values.
        settled = "kind" in told or (isinstance(by, ast.List | ast.Tuple) and len(by.elts) > 1)
        named = node.func.attr == "argsort" or (node.func.attr == "sort_values" and (node.args or told))
        if named and not settled:
            found.append(ast.unparse(node))
    return found


def test_ties_keep_their_order() -> None:
    sources = [file.read_text(encoding="utf-8") for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    assert sum(source.count("sort_values(") for source in sources) > 50
    assert [call for source in sources for call in unsettled(source)] == []


@pytest.mark.parametrize(
    ("source", "calls"),
    [
        ("x.argsort()", 1),
        ("np.argsort(x, kind='stable')", 0),
        ("frame.sort_values('at')", 1),
        ("frame.sort_values(by=['at'], ignore_index=True)", 1),
        ("frame.sort_values(['at', 'symbol'])", 0),
        ("series.sort_values(ascending=False)", 1),
        ("index.sort_values()", 0),
    ],
)
def test_the_rule_hears_what_it_should(source: str, calls: int) -> None:
    assert len(unsettled(source)) == calls


def test_a_stable_order_is_that_of_every_processor() -> None:
    found = [
        subprocess.run([sys.executable, "-c", TIES], env=os.environ | told, capture_output=True, text=True, check=True)
        for told in ({}, {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4"})
    ]
    assert found[0].stdout == found[1].stdout
