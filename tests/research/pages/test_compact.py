"""Figures on a page: what is drawn is refused or kept, digits are those an eye can tell, columns stand once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.data_loaders.errors import DataError
from embargo.research.pages.charts import milliseconds, script_json
from embargo.research.pages.compact import DIGITS, Columns, compacted


def read(column: Any) -> list[Any]:
    """A column as the page's script reads it."""
    if isinstance(column, list):
        return column
    at, found = column["from"], []
    for step in column["steps"]:
        at += 0 if step is None else step * column["unit"]
        found.append(None if step is None else at)
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4_000_000_000_000) | st.none(), min_size=1, max_size=60))
def test_instants_come_back_to_the_millisecond(instants: list[int | None]) -> None:
    columns = Columns()
    trace = go.Scatter(x=[None if at is None else float(at) for at in instants], y=[1.0] * len(instants))
    made = compacted(go.Figure(trace, {"xaxis": {"type": "date"}}), "mine", columns)["data"][0]["x"]
    assert (read(columns.kept[made["column"]]) if isinstance(made, dict) else made) == instants


def test_a_column_stands_once_and_daily_instants_are_short() -> None:
    columns, days = Columns(), pd.date_range("2015-01-01", periods=2_000, freq="D", tz="UTC")
    growth = np.linspace(1.0, 2.0, 2_000)
    figure = go.Figure([go.Scatter(x=milliseconds(days), y=growth), go.Scatter(x=milliseconds(days), y=growth)])
    figure.update_layout(xaxis_type="date")
    first, second = (compacted(figure, name, columns)["data"] for name in ("one", "two"))
    assert first == second
    assert len(columns.kept) == 2
    assert len(script_json(columns.kept[0])) < 2.1 * len(days) + 60


def test_floats_keep_the_digits_an_eye_can_tell_and_counts_all_of_theirs() -> None:
    values = [123456.0, 0.000123456789, -1.23456789, np.nan, np.inf]
    shown = compacted(go.Figure(go.Bar(x=list(range(5)), y=np.array(values))), "mine")["data"][0]["y"]
    assert shown == [123456, 0.00012346, -1.2346, None, None]
    assert all(abs(shown[place] / values[place] - 1.0) < 0.5 * 10.0 ** (1 - DIGITS) for place in range(3))


def test_what_rounding_left_is_nought() -> None:
    shown = compacted(go.Figure(go.Scatter(x=[1, 2, 3], y=[0.02, -1.1e-18, 1e-9])), "mine")["data"][0]["y"]
    assert shown == [0.02, 0, 1e-9]
    assert compacted(go.Figure(go.Scatter(x=[1, 2], y=[3e-18, -1.1e-18])), "mine")["data"][0]["y"] == [3e-18, -1.1e-18]


def test_what_is_told_of_one_point_stays_beside_a_large_number() -> None:
    told = [[1_577_836_800_000.0, 0.35], [1_577_923_200_000.0, 0.4]]
    shown = compacted(go.Figure(go.Scatter(x=[1, 2], y=[1.0, 2.0], customdata=told)), "mine")["data"][0]["customdata"]
    assert shown == [[1_577_836_800_000, 0.35], [1_577_923_200_000, 0.4]]


@pytest.mark.parametrize(
    ("trace", "words"),
    [
        (go.Violin(y=[1.0]), "no trace of type violin"),
        (go.Scatter(x=[1], y=[1], fill="tonexty"), "no fill tonexty"),
        (go.Scatter(x=[1], y=[1], mode="markers", marker={"symbol": "hourglass"}), "no mark hourglass"),
        (go.Scatter(y=[1.0, 2.0]), "a trace has no x"),
    ],
)
def test_what_pages_do_not_draw_is_refused_by_name(trace: Any, words: str) -> None:
    with pytest.raises(DataError, match=f"chart 'mine': .*{words}"):
        compacted(go.Figure(trace), "mine")


def test_signs_that_turn_text_round_are_shown_as_what_they_are() -> None:
    trace = go.Bar(x=["\u202egnp.exe", "\x1b[31m"], y=[1, 2], name="\u2002plain")
    made = script_json(compacted(go.Figure(trace), "mine"))
    assert "202e" not in made
    assert "001b" not in made
    assert made.isascii()
