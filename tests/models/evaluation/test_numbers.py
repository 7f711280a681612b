"""Numbers in texts: spellings of one quantity, and quantities that only look alike."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.models.evaluation import number_accuracy, quantities


def stated(text):
    return [one.stated for one in quantities(text)]


@pytest.mark.parametrize(
    "spellings",
    [
        ("1,234.5", "1234.50", "1.234,5", "1'234.5", "1\u202f234.5"),
        ("3.2bn", "3.2 billion", "3,200 million", "3,200mn", "$3.2bn", "$3.2B", "EUR3.2bn", "€3,200,000,000"),
        ("5 %", "5%", "5.0 percent", "5 per cent", "5 pct", "500 bps", "500 basis points", "5 percentage points"),
        ("-5.2", "−5.2", "EUR -5.2", "-$5.2", "$-5.2"),
        ("1,5", "1.5", "1.50"),
        ("12k", "12,000", "12 thousand"),
    ],
    ids=lambda spellings: spellings[0],
)
def test_spellings_of_one_quantity_are_one(spellings):
    found = {tuple(stated(f"It was {one}, they said.")) for one in spellings}
    assert len(found) == 1
    assert len(next(iter(found))) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("5", "5 %"),
        ("3.2", "3.2bn"),
        ("-5", "5"),
        ("1,234", "1.234"),
        ("3 m", "3m"),
        ("5 bps", "5 %"),
        ("12.5", "5.12"),
    ],
)
def test_what_only_looks_alike_is_not_the_same(one, other):
    assert stated(one) != stated(other)


@pytest.mark.parametrize("text", ["Q3 and A320 at 3M", "x2", "v1.2.3", "5.2.2014", "no number at all", ""])
def test_digits_of_a_name_or_a_date_are_no_quantity(text):
    assert stated(text) == []


def test_a_hyphen_between_numbers_is_no_minus():
    assert stated("2014-15, 10-20 % and 5%-7%") == [
        (Decimal(2014), ""),
        (Decimal(15), ""),
        (Decimal(10), ""),
        (Decimal(20), "%"),
        (Decimal(5), "%"),
        (Decimal(7), "%"),
    ]


@given(st.integers(0, 10**12), st.integers(0, 99), st.sampled_from(["", "%", "bn", " million"]))
def test_thousands_may_be_parted_or_not(whole, cents, unit):
    plain, parted = f"{whole}.{cents:02d}{unit}", f"{whole:,}.{cents:02d}{unit}"
    assert stated(f"a {plain} b") == stated(f"a {parted} b")
    (one,) = quantities(f"a {parted} b")
    assert f"a {parted} b"[one.start : one.end] == parted


@given(st.text(max_size=60))
def test_any_text_is_read(text):
    for one in quantities(text):
        assert any(sign.isdigit() for sign in text[one.start : one.end])


def test_numbers_kept_recalled_and_invented_counted_by_hand():
    source = "Sales rose 5 % to EUR 1,200 million from EUR 1,100 million."
    found = number_accuracy("Sales: 5 percent, 1.2bn; 1.2bn; 77 and 78", source, reference="5 % and 9")
    assert found.kept == pytest.approx(2 / 3)
    assert found.recalled == 0.5
    assert found.invented == 0.5
    assert found.n_invented == 2


def test_what_has_no_number_has_no_share():
    found = number_accuracy("Sales rose.", "Sales rose.", "Up.")
    assert (found.kept, found.recalled, found.invented, found.n_invented) == (None, None, None, 0)


@given(st.lists(st.integers(1, 9999), min_size=1, max_size=6))
def test_a_copy_keeps_all_and_invents_nothing(values):
    text = "It had " + " then ".join(map(str, values)) + " of them."
    found = number_accuracy(text, text, text)
    assert (found.kept, found.recalled, found.invented) == (1.0, 1.0, 0.0)
