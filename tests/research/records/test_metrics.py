"""Figures of a run: what they mean is told once, and what is written can be read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.metric_samples import metrics_with, record_with

from embargo.data_loaders.errors import DataError
from embargo.research.records.classifier import Classification
from embargo.research.records.figures import FigureUnit, as_json, figures_of, from_json, kinds_of, reference
from embargo.research.records.folders import write_json
from embargo.research.records.frictions import CostPaid
from embargo.research.records.metrics import Metrics, Performance, metrics_reference

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = {int: st.integers(), float: NUMBERS, str: st.text(max_size=5), bool: st.booleans()}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Draw what a figure of this type may hold."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return st.one_of(st.none(), st.text(max_size=3), st.lists(st.integers(), max_size=2))
    if kind in SCALARS:
        return SCALARS[kind]
    if origin in (Union, UnionType):
        (inner,) = (each for each in arguments if each is not type(None))
        return st.none() | values(inner)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is Mapping:
        return st.dictionaries(st.text(max_size=3), values(arguments[1]), max_size=2)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*(values(each) for each in arguments))
    return records(kind)


def records(kind: type) -> st.SearchStrategy[Any]:
    return st.builds(partial(kind), **{name: values(inner) for name, inner in get_type_hints(kind).items()})


def test_every_figure_has_a_label_a_unit_and_a_definition() -> None:
    kinds = kinds_of(Metrics)
    assert len(kinds) > 20
    for kind in kinds:
        for name, meaning in figures_of(kind).items():
            assert meaning.label.strip(), f"{kind.__name__}.{name}"
            assert meaning.unit in get_args(FigureUnit)
            assert meaning.definition.endswith("."), f"{kind.__name__}.{name}"
            assert "|" not in meaning.label + meaning.definition
            grouped = any(is_dataclass(inner) for inner in _inside(get_type_hints(kind)[name]))
            assert (meaning.unit == "record") == grouped, f"{kind.__name__}.{name}"


def _inside(kind: Any) -> list[Any]:
    return [kind, *(inner for argument in get_args(kind) for inner in _inside(argument))]


@pytest.mark.parametrize("kind", kinds_of(Metrics), ids=lambda kind: kind.__name__)
def test_what_is_written_is_read_back(kind: type) -> None:
    @settings(max_examples=10, deadline=None, database=None)
    @given(records(kind))
    def holds(found: Any) -> None:
        written = json.dumps(as_json(found))
        assert from_json(kind, json.loads(written), "test") == found

    holds()


def test_figures_keep_their_bytes_through_a_file(tmp_path: Path) -> None:
    found = replace(metrics_with(sharpe=1.25, n_trials=3), status="valid", edge=False, verdict="Nothing.")
    write_json(tmp_path / "metrics.json", found.to_dict())
    again = Metrics.from_dict(json.loads((tmp_path / "metrics.json").read_text()))
    assert again == found
    write_json(tmp_path / "again.json", again.to_dict())
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "metrics.json").read_bytes()


def test_only_what_a_run_need_not_have_is_left_out() -> None:
    written = metrics_with().to_dict()
    later = {
        "truth",
        "either_side",
        "fusion",
        "status",
        "edge",
        "verdict",
        "data_verdict",
        "data_faults",
        "without_bad_bars",
    }
    assert {each.name for each in fields(Metrics)} - set(written) == later
    # So a file from before runs judged their data is still read.
    assert Metrics.from_dict(written).data_verdict is None
    assert written["classification"] is written["best_of_attempts"] is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sharp": 1.0}, "metrics.json: sharp is not known. Repeat"),
        ({"sharpe": None, "n_bars": None}, r"metrics.json, n_bars: None is not what belongs there"),
        ({"n_bars": True}, "n_bars: True is not"),
        ({"n_bars": 2.5}, "n_bars: 2.5 is not"),
        ({"sharpe": "high"}, "sharpe: 'high' is not"),
        ({"status": "fine"}, "status: 'fine' is not"),
        ({"data_verdict": "good"}, "data_verdict: 'good' is not"),
        ({"data_faults": {"splits": {"verdict": "bad"}}}, "data_faults, splits: summary is missing"),
        ({"tails": None}, "metrics.json, tails: there are no figures but None"),
        ({"costs_paid": []}, r"costs_paid: \[\] is not"),
        ({"costs_paid": {"spread": {"currency": 1.0}}}, "costs_paid, spread: per_year, per_turnover are missing"),
        ({"drawdowns": [{}]}, "drawdowns: depth, length_bars"),
    ],
)
def test_what_is_not_a_figure_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        Metrics.from_dict(metrics_with().to_dict() | change)


def test_what_is_missing_is_named() -> None:
    found = metrics_with().to_dict()
    del found["sharpe"], found["n_bars"]
    with pytest.raises(DataError, match="n_bars, sharpe are missing"):
        Metrics.from_dict(found)


def test_an_interval_has_two_ends() -> None:
    found = as_json(record_with(Classification, accuracy_interval=(0.25, 0.5)))
    assert from_json(Classification, found, "test").accuracy_interval == (0.25, 0.5)
    with pytest.raises(DataError, match="accuracy_interval"):
        from_json(Classification, found | {"accuracy_interval": [0.25, 0.5, 0.75]}, "test")


def test_the_page_of_figures_is_made_from_them() -> None:
    assert PAGE.read_text(encoding="utf-8") == metrics_reference(), PAGE.read_text(encoding="utf-8").splitlines()[0]


def test_the_page_tells_every_group_once() -> None:
    page = reference(Metrics, "# Figures")
    heads = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")]
    assert sorted(heads) == sorted(
        {*(kind.__name__ for kind in kinds_of(Metrics)), "Discounted", "Reach", "Frictions", "ByRegime"}
    )
    assert "| `benchmarks` | Benchmarks | [Performance](#performance), by name |" in page
    assert "| `drawdowns` | Deepest drawdowns | [Drawdown](#drawdown), a list |" in page
    assert figures_of(Metrics)["sharpe"] == figures_of(Performance)["sharpe"]


def test_a_whole_number_may_stand_for_a_fraction() -> None:
    assert from_json(CostPaid, {"currency": 5, "per_year": None, "per_turnover": 0}, "test").currency == 5
