"""What identifies a company or a day is taken out, in whatever way it is written, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.probes import Entities, leftovers, mask
from embargo.research.benchmarks.memory_worlds import ENTITIES, make_world

WHO = Entities(
    {
        "AAPL": ["Apple Inc.", "Apple Computer"],
        "BAC": ["Bank of America Corp", "BofA"],
        "BK": ["Bank"],
        "GOOG": ["Alphabet Inc", "Google"],
        "GOOGL": ["Alphabet Inc"],
        "F": ["Ford Motor Co"],
        "BTC/USDT": ["Bitcoin"],
    },
    {"AAPL": ["iPhone", "Tim Cook"]},
)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Apple's profit", "Company A's profit"),
        ("APPLE INC. rose", "Company A rose"),
        ("Apple, Inc rose", "Company A, Inc rose"),
        ("Pineapple juice", "Pineapple juice"),
        ("$aapl and $ZZZ", "Company A and Company B"),
        ("AAPL (NASDAQ: AAPL), NYSE:F", "Company A (Company A), Company B"),
        ("F grade for the AAPLX fund", "F grade for the AAPLX fund"),
        ("Bank of  America beats Bank", "Company A beats Company B"),
        ("Alphabet: GOOGL or GOOG, Google asks", "Company A: Company A or Company A, Company A asks"),
        ("BTC and Bitcoin and BTC/USDT fall", "Company A and Company A and Company A fall"),
        ("Tim Cook shows an iPhone, the iphone", "Product A shows an Product B, the Product B"),
        ("costs $500 or $3.5 million", "costs $500 or $3.5 million"),
    ],
)
def test_names(text, masked):
    assert mask([text], WHO) == [masked]


@pytest.mark.parametrize(
    "date",
    ["2021-03-04", "20210304", "2021/3/4", "3/4/2021", "04.03.2021", "March 4, 2021", "Mar. 4", "4 March 2021",
     "4th of March", "March 2021", "Q3 2021", "3Q21", "Q4'21", "FY2021", "H1 2021", "2021", "Sept 3rd, 2020"],
)  # fmt: skip
def test_dates(date):
    assert mask([f"Sales in {date}, up; again {date}."], WHO) == ["Sales in Date 1, up; again Date 1."]


@pytest.mark.parametrize(
    "text",
    ["up 20.21% to 2,021", "$2021 a share", "they may 4x", "Q5 report", "on Monday in March", "model 20219999",
     "2021% more", "a 1-2021 code"],
)  # fmt: skip
def test_numbers_that_are_no_dates_stay(text):
    assert mask([text], WHO) == [text]


def test_numbering_begins_anew_in_each_text_and_is_consistent_within():
    assert mask(["Bitcoin, Apple, Bitcoin on 2020-01-01, 2021-01-01, 2020-01-01", "Apple"], WHO) == [
        "Company A, Company B, Company A on Date 1, Date 2, Date 1",
        "Company A",
    ]
    many = Entities({f"T{number:02d}X": [f"Name{number:02d}"] for number in range(30)})
    assert mask([" ".join(f"Name{number:02d}" for number in range(30))], many)[0].endswith("Company AC Company AD")


def test_nothing_is_left_of_a_made_world():
    texts = make_world(0, days=30).articles["text"].tolist()
    masked = mask(texts, ENTITIES)
    assert leftovers(masked, ENTITIES).empty
    assert len(leftovers(texts, ENTITIES)) >= len(texts)
    assert all(text.startswith("Company A Date 1 Company A ") for text in masked)


def test_leftovers_name_what_was_missed():
    found = leftovers(["the iPhones and #applewatch", "bofa", "the bankers", "Company A"], WHO)
    assert found[["row", "symbol", "found"]].to_numpy().tolist() == [
        [0, "AAPL", "apple"],
        [0, "AAPL", "iphone"],
        [1, "BAC", "bofa"],
    ]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["Apple", "$BAC", "iPhone", "2021-03-04", "rose", "and", "Company A"]), max_size=8))
def test_masking_twice_is_masking_once_and_keeps_other_words(words):
    once = mask([" ".join(words)], WHO)
    assert mask(once, WHO) == once
    assert leftovers(once, WHO).empty
    assert once[0].split().count("rose") == words.count("rose")


def test_refuses_nobody_and_blank_names():
    for names, products in (({}, {}), ({"A": [" "]}, {}), ({"A": ["x"]}, {"A": [""]}), ({"A": "Apple"}, {})):
        with pytest.raises(ConfigError):
            Entities(names, products)


def test_no_names_leave_tickers():
    assert mask(["AAPL rose"], Entities({"AAPL": []})) == ["Company A rose"]


@pytest.mark.parametrize("asked", [mask, leftovers])
def test_rows_without_a_text_are_named(asked):
    with pytest.raises(DataError, match="row 1 is None, not a text"):
        asked(["Apple rose.", None], WHO)
