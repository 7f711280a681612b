"""Charts lose no extreme when they are thinned, and rows are what their frames hold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from embargo.research.pages.charts import DASHES, SERIES_COLOURS, keep_extremes, series_colour, series_dash, whiskers
from embargo.research.pages.tables import rows_of


class Row(NamedTuple):
    b: str
    a: int


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float64, st.tuples(st.integers(1, 300), st.integers(1, 4)), elements=st.floats(-1e6, 1e6) | st.just(np.nan)
    ),
    st.integers(12, 80),
)
def test_thinning_keeps_ends_and_every_columns_extremes(values: np.ndarray, limit: int) -> None:
    kept = keep_extremes(values, limit)
    assert len(kept) <= max(limit, 0)
    assert (np.diff(kept) > 0).all()
    assert kept[0] == 0
    assert kept[-1] == len(values) - 1
    for column in values.T:
        known = column[~np.isnan(column)]
        if known.size:
            assert np.nanmax(column[kept]) == known.max()
            assert np.nanmin(column[kept]) == known.min()


def test_series_beyond_the_colours_differ_by_dash() -> None:
    drawn = {(series_colour(place), series_dash(place)) for place in range(SERIES_COLOURS * len(DASHES))}
    assert len(drawn) == SERIES_COLOURS * len(DASHES)


def test_whiskers_reach_to_the_ends() -> None:
    middle, low, high = np.array([1.0, 2.0]), np.array([0.5, 1.0]), np.array([1.25, 4.0])
    drawn = whiskers(middle, low, high, colour="var(--ink)")
    np.testing.assert_allclose(middle + drawn["array"], high)
    np.testing.assert_allclose(middle - drawn["arrayminus"], low)


def test_rows_take_their_fields_by_name() -> None:
    frame = pd.DataFrame({"a": [1, 2], "other": 0.0, "b": ["x", "y"]})
    assert rows_of(frame, Row) == [Row("x", 1), Row("y", 2)]
    assert rows_of(frame.head(0), Row) == []
    with pytest.raises(KeyError, match="b"):
        rows_of(frame.drop(columns="b"), Row)
