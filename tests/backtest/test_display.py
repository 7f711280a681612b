"""Figures written for a reader: numbers to the digits that mean something, absent ones by a word, all of it escaped."""

import numpy as np
import pytest

from embargo.backtest.display import Figure, as_html, as_text, interval, money, percent


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "none"),
        (float("inf"), "none"),
        (0.0, "0"),
        (21_612_345.0, "22,000,000"),
        (-1234.0, "-1,200"),
        (0.01234, "0.012"),
    ],
)
def test_money_is_told_to_two_digits(value, told):
    assert money(value) == told


def test_what_does_not_exist_is_named_not_written_as_nan():
    assert percent(None) == "none"
    assert interval(None, None, 0.95, None, "one-sided") == "no interval: too few rows that move"
    assert interval(-0.123, 1.5, 0.9, 0.0123, "one-sided") == "90 % interval -0.12 to 1.50, one-sided p 0.012"
    assert interval(0.1, 0.2, 0.9, None, "two-sided").endswith("two-sided p none")


def test_columns_of_text_stand_below_each_other():
    text = as_text("Title", [Figure("a", "1.00", "one"), Figure("longer", "10.00")])
    assert text == "Title\n  a        1.00  one\n  longer  10.00"


def test_html_is_escaped_and_its_line_stays_small():
    page = as_html("<i>", [Figure("<b>", "&", '"')], np.full(5000, 1e-4))
    assert "<i>" not in page
    assert '<th style="text-align:left;white-space:nowrap">&lt;b&gt;</th>' in page
    assert page.count(",") < 200
    flat = as_html("flat", [], np.zeros(3))
    assert "nan" not in flat
