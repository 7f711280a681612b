"""Numbers, instants and settings are printed by one rule each, and settings read back."""

from __future__ import annotations

import tomllib
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.research.pages import formats

MINUS = "−"


@pytest.mark.parametrize(
    ("printer", "value", "expected"),
    [
        (formats.ratio, 1.005, "1.00"),
        (
            formats.instants_in,
            "at 2016-06-30T13:25:00+00:00, 2016-06-30 00:00:00+00:00.",
            "at 2016-06-30 13:25 UTC, 2016-06-30.",
        ),
        (formats.instants_in, "2016-06-30T13:25:07.250000Z", "2016-06-30 13:25:07 UTC"),
        (formats.instants_in, "2016-06-30 13:25:00+02:00, 2016-06-30", "2016-06-30 13:25:00+02:00, 2016-06-30"),
        (formats.ratio, -0.001, "0.00"),
        (formats.ratio, -1234.5, f"{MINUS}1,234.50"),
        (formats.ratio, float("-inf"), f"{MINUS}∞"),
        (formats.ratio, None, "–"),
        (formats.ratio, float("nan"), "–"),
        (formats.coefficient, -0.0344, f"{MINUS}0.034"),
        (formats.coefficient, -0.0001, "0.000"),
        (formats.coefficient, float("nan"), "–"),
        (formats.basis_points, 0.123456, "1,234.6"),
        (formats.basis_points, -0.00001, f"{MINUS}0.1"),
        (formats.basis_points, None, "–"),
        (formats.plain, "macro_f1", "Macro F1"),
        (formats.plain, "utc offset", "UTC offset"),
        (formats.percent, 0.12345, "12.3%"),
        (formats.percent, -0.0004, "0.0%"),
        (formats.probability, 0.034, "0.034"),
        (formats.probability, 0.0009, "< 0.001"),
        (formats.probability, 0.0, "< 0.001"),
        (formats.probability, 0.001, "0.001"),
        (formats.probability, 1.0, "1.000"),
        (formats.count, 12_481, "12,481"),
        (formats.number, 21.4, "21.4"),
        (formats.number, 0.00012345, "0.0001234"),
        (formats.number, -3, f"{MINUS}3"),
        (formats.text, True, "yes"),
        (formats.text, pd.NaT, "–"),
        (formats.text, ["a", 2], "a, 2"),
        (formats.instant, pd.Timestamp("2024-03-01", tz="UTC"), "2024-03-01"),
        (formats.instant, pd.Timestamp("2024-03-01 09:30", tz="America/New_York"), "2024-03-01 14:30 UTC"),
        (formats.instant, pd.Timestamp("2024-03-01 14:30:05", tz="UTC"), "2024-03-01 14:30:05 UTC"),
        (formats.interval, (-0.5, 1.25), f"{MINUS}0.50 to 1.25"),
        (formats.interval, (None, float("nan")), "–"),
    ],
)
def test_formats(printer: Any, value: Any, expected: str) -> None:
    assert printer(value) == expected


SETTINGS = st.recursive(
    st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.lists(st.integers()),
    lambda inner: st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=8), SETTINGS, max_size=5))
def test_configuration_reads_back_as_toml(config: dict[str, Any]) -> None:
    assert tomllib.loads(formats.toml(config)) == config


def test_unset_settings_are_said_to_be_unset() -> None:
    assert formats.toml({"seed": None, "data": {"path": None}}) == "# seed is not set\n\n[data]\n# path is not set\n"


def test_a_figure_is_printed_with_its_interval_where_it_has_one() -> None:
    assert formats.around(0.5, (0.1, 0.9)) == "0.50 (0.10 to 0.90)"
    assert formats.around(0.5, None, "percent") == "50.0%"
    assert formats.around(None, (None, None), "coefficient") == "– (–)"
