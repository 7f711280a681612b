"""A changed source takes the place of the real one wherever that is held; what survives is told."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from embargo.research.benchmarks.mutation import Tally, mutants_of, put_in

SOURCE = """
BOUND = 3


def above(value, least=BOUND):
    return value > least and value > BOUND


class Asked:
    def answer(self):
        return above(4)
"""


def test_whoever_holds_a_function_or_a_method_runs_the_changed_one(tmp_path: Path) -> None:
    path = tmp_path / "changed_module.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("changed_module", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    above, asked = module.above, module.Asked()
    assert (above(4), asked.answer()) == (True, True)
    put_in(module, SOURCE.replace("BOUND = 3", "BOUND = 4"))
    assert (above(4), above(5), asked.answer()) == (False, True, False)
    assert isinstance(asked, module.Asked)
    assert module.above is above


def test_intervals_leave_out_what_changes_nothing() -> None:
    tally = Tally("a.py", 100, 22, 20, ())
    assert tally.interval(equivalent=2) == (pytest.approx(0.8316, abs=5e-5), 1.0)
    assert tally.interval()[1] < 1.0


@pytest.mark.skipif(importlib.util.find_spec("mutmut") is None, reason="mutmut is not installed")
def test_changes_are_of_sense_and_not_of_words(tmp_path: Path) -> None:
    path = tmp_path / "told.py"
    path.write_text(
        'def f(x):\n    if x > 3:\n        raise ValueError("too much")\n    return {"key": x, "note": "two words"}\n'
    )
    drawn, possible = mutants_of(path, draws=None, seed=0)
    assert len(drawn) == possible
    changed = {mutant.after for mutant in drawn}
    assert {"if x >= 3:", "if x > 4:"} <= changed
    assert not any("too much" in line.lower() for line in changed)
    assert not any("XXtwo" in line for line in changed)
