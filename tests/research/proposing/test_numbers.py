"""How numbers are told to be written: one cell may settle it, and what none settles is left open."""

from __future__ import annotations

import pandas as pd
import pytest

from embargo.research.proposing.numbers import number_settings

COMMA, POINTS = ("decimal", ",", "confirm"), ("thousands", ".", "confirm")


@pytest.mark.parametrize(
    ("close", "volume", "told"),
    [
        (["49.90", "1234.5"], ["100", "1445502"], []),
        (["49,90", "51,2"], ["100"], [COMMA]),
        (["49,90", "1.234,50"], ["100"], [COMMA, POINTS]),
        # Where the comma is that of decimals, a point before three figures parts thousands.
        (["49,90"], ["12.345"], [COMMA, POINTS]),
        (["49,90"], ["1.445.502"], [COMMA, POINTS]),
        (["50", "51"], ["1.445.502"], [COMMA, POINTS]),
        (["49.90"], ["12,345"], [("thousands", ",", "confirm")]),
        (["1,234.50"], ["100"], [("thousands", ",", "confirm")]),
        (["49,90"], ["12 345"], [COMMA, ("thousands", " ", "confirm")]),
        (["49.90"], ["12\u2019345"], [("thousands", "'", "confirm")]),
        (["-0,25"], ["1"], [COMMA]),
        # 1,234 is a thousand and more, or has three decimals.
        (["1,234", "5,678"], ["100"], [("decimal", ",", "open"), ("thousands", ",", "open")]),
        (["1,234"], ["1.234"], [("decimal", ",", "open"), ("thousands", ".", "open")]),
        (["110.123"], ["100"], [("decimal", ".", "confirm")]),
        # Nobody writes 123 as 0,123.
        (["0,123", "1,234"], ["100"], [COMMA]),
        (["0.123"], ["12,345"], [("thousands", ",", "confirm")]),
        # Both signs before two figures: no file has two.
        (["49,90"], ["12.34"], [("path", None, "open")]),
        (["1.445.502"], ["12.34"], [("path", None, "open")]),
        (["12 345"], ["12'345"], [("path", None, "open")]),
        ([None, ""], [None, "x"], []),
    ],
)
def test_cells_tell_their_signs(close: list[str], volume: list[str], told: list[tuple[str, str, str]]) -> None:
    frame = pd.DataFrame({"close": pd.Series(close, dtype="str"), "volume": pd.Series(volume, dtype="str")})
    found = number_settings(frame, ["close", "volume"])
    assert [(one.key, one.value, one.standing) for one in found] == told
    # Each says the cell that it rests on.
    shown = [repr(cell) for cell in (*close, *volume)]
    assert all(any(cell.lstrip("'-") in one.notes[0] for cell in shown) or one.standing == "open" for one in found)


def test_stored_numbers_have_no_signs() -> None:
    assert number_settings(pd.DataFrame({"close": [1.234], "volume": [5]}), ["close", "volume"]) == []
