"""Compiled loops meet one kind of array, whatever pandas hands over: each further kind costs a compilation."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from embargo.backtest.books import Costs, Execution
from embargo.backtest.books.kernel.market import Market, panels_of


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("writeable", [True, False])
def test_panels_are_of_one_layout(order: Literal["C", "F"], writeable: bool) -> None:
    panel = np.full((3, 2), 5.0, order=order)
    years = np.full(3, 1.0 / 252.0)
    for array in (panel, years):
        array.flags.writeable = writeable
    market = Market(fill=panel, close=panel, years=years, volume=panel, dead=panel > 9.0)
    given = panels_of(market, Costs(), Execution(participation=0.1))
    assert all(array.flags.c_contiguous for array in given)
    assert [array.flags.writeable for array in given if array.size] == [False] * 5
    assert panel.flags.writeable == writeable
