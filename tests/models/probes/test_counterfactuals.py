"""Texts are turned round whole, and back; dates move by years and nothing else does."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.probes import flip_outcomes, put_dates, shift_dates
from embargo.models.probes.counterfactuals import OUTCOME_PAIRS
from embargo.research.benchmarks.memory_worlds import Reader, make_world

WORDS = [*OUTCOME_PAIRS, *OUTCOME_PAIRS.values(), "Altera", "UP", "Profit", "on", "update", "well-up", "no-loss"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=10))
def test_turning_twice_gives_the_text_and_the_opposite_direction(words):
    text = " ".join(words)
    once = flip_outcomes([text])
    twice = flip_outcomes(once.texts)
    assert twice.texts == [text]
    assert twice.direction[0] == -once.direction[0]


@pytest.mark.parametrize(
    ("text", "turned", "direction"),
    [
        ("Beats, MISSES and falls", "Misses, BEATS and rises", 1),
        ("Profits up; update setup", "Losses down; update setup", -2),
        ("profit loss", "loss profit", 0),
        ("a break-up of a high-low spread", "a break-up of a high-low spread", 0),
        ("stock's down.", "stock's up.", 1),
    ],
)
def test_words_keep_their_case_and_parts_of_words_stay(text, turned, direction):
    found = flip_outcomes([text])
    assert (found.texts, found.direction.tolist()) == ([turned], [direction])


def test_no_word_stands_in_two_pairs():
    words = [*OUTCOME_PAIRS, *OUTCOME_PAIRS.values()]
    assert len(words) == len(set(words))
    for pairs in ({"up": "down", "high": "down"}, {"up": "down", "down": "up"}, {}):
        with pytest.raises(ConfigError):
            flip_outcomes(["up"], pairs)


def test_a_reader_of_the_made_world_follows():
    articles = make_world(0, days=20).articles
    turned, reader = flip_outcomes(articles["text"].tolist()), Reader()
    for before, after, direction in zip(articles["text"], turned.texts, turned.direction, strict=True):
        assert reader.tilt(after) == -reader.tilt(before) == direction


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("on 2021-03-04 and 20210304", "on 2024-03-04 and 20240304"),
        ("March 4, 2021; 4 Mar 2021; 04.03.2021", "March 4, 2024; 4 Mar 2024; 04.03.2024"),
        ("in Q3 2021 of FY2021", "in Q3 2024 of FY2024"),
        ("March 4, Q4'21, 2,021 and $2021", "March 4, Q4'21, 2,021 and $2021"),
    ],
)
def test_years_of_dates_move(text, moved):
    assert shift_dates([text], 3) == [moved]
    assert shift_dates([moved], -3) == [text]


def test_dates_are_put_before_texts():
    at = pd.to_datetime(["2019-03-04 14:30", "2020-01-02"], utc=True, format="mixed")
    assert put_dates(["a", "b"], at) == ["2019-03-04: a", "2020-01-02: b"]
    with pytest.raises(DataError):
        put_dates(["a"], at)
    with pytest.raises(ConfigError):
        shift_dates(["2021"], 0)


@pytest.mark.parametrize(("row", "nothing"), [(0, None), (1, float("nan")), (1, 3)])
def test_rows_without_a_text_are_named(row, nothing):
    texts = ["Altera rose.", "Borcor fell."]
    texts[row] = nothing
    at = pd.to_datetime(["2019-03-04", "2019-03-05"], utc=True)
    for asked in (flip_outcomes, lambda rows: shift_dates(rows, 1), lambda rows: put_dates(rows, at)):
        with pytest.raises(DataError, match=f"row {row} is"):
            asked(texts)


def test_a_year_that_no_calendar_has_is_refused():
    assert shift_dates(["In 2017"], -2016) == ["In 0001"]
    assert shift_dates(["In 2017"], 7982) == ["In 9999"]
    for years in (-2017, 7983):
        with pytest.raises(DataError, match="row 1: 2017 moved by"):
            shift_dates(["No date", "In 2017"], years)
