"""What prompts show is held against the decision: later items, later labels and false dates are told apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.backtest.leakage import check_example_outcomes, check_prompts
from embargo.data_loaders.errors import DataError

ASKED = pd.Timestamp("2024-03-05 14:25", tz="UTC")
DAY = pd.Timedelta("1D")
N = 20


def items(**changes) -> pd.DataFrame:
    """One example and one retrieved article for each of twenty prompts, all known in time."""
    frame = pd.DataFrame(
        {
            "article_id": [f"a{number // 2}" for number in range(2 * N)],
            "asked_at": [ASKED + number // 2 * DAY for number in range(2 * N)],
            "part": ["example", "retrieved"] * N,
            "text": [f"text {number}" for number in range(2 * N)],
            "item_at": ASKED - 5 * DAY,
        }
    )
    return frame.assign(**changes)


def moved(column, row, at, frame=None):
    frame = items() if frame is None else frame
    values = frame[column].copy() if column in frame else pd.Series(pd.NaT, frame.index, dtype="datetime64[us, UTC]")
    values[row] = at
    return frame.assign(**{column: values})


def record(at, complete, until=ASKED) -> pd.DataFrame:
    return pd.DataFrame(
        {"use": ["example"], "text_hash": ["ab"], "at": [at], "complete_at": [complete], "until": [until]}
    )


def test_items_known_in_time_pass_and_are_counted():
    found = check_prompts(items())
    assert (found.verdict, found.effect) == ("pass", 0.0)
    assert "40 items in 20 of 20 prompts" in found.detail
    assert "5 days" in found.detail
    assert check_example_outcomes(items()).verdict == "pass"


def test_an_item_known_at_the_very_decision_passes_and_a_microsecond_later_leaks():
    assert check_prompts(moved("item_at", 3, ASKED + DAY)).verdict == "pass"
    found = check_prompts(moved("item_at", 3, ASKED + DAY + pd.Timedelta(microseconds=1)))
    assert (found.code, found.verdict, found.effect) == ("R1", "leak", 1 / N)
    assert found.evidence[0]["text"] == "text 3"


def test_a_false_date_is_no_help_where_the_news_know_better():
    found = check_prompts(moved("news_at", 5, ASKED + 30 * DAY))
    assert (found.verdict, found.effect) == ("leak", 1 / N)
    assert "bear an earlier date" in found.detail
    assert check_prompts(moved("news_at", 5, ASKED - DAY)).verdict == "pass"


def test_an_outcome_told_too_soon_is_another_leak_than_a_later_article():
    """The date of an example counts its label: where the text was there in time, only the label is late."""
    late = moved("news_at", 0, ASKED - 9 * DAY, moved("item_at", 0, ASKED + DAY))
    assert check_prompts(late).verdict == "pass"
    found = check_example_outcomes(late)
    assert (found.code, found.verdict, found.effect) == ("R2", "leak", 1 / N)
    hidden = moved("complete_at", 4, ASKED + 9 * DAY)
    assert check_prompts(hidden).verdict == "pass"
    assert check_example_outcomes(hidden).verdict == "leak"
    # A retrieved article has no label.
    assert check_example_outcomes(moved("complete_at", 5, ASKED + 9 * DAY)).verdict == "pass"
    # A later text is no memory.
    later = moved("item_at", 0, ASKED + DAY)
    assert (check_prompts(later).verdict, check_example_outcomes(later).verdict) == ("leak", "pass")


def test_what_nobody_dates_proves_nothing_and_is_counted():
    undated = moved("item_at", [0, 1, 2], pd.NaT)
    found = check_prompts(undated)
    assert found.verdict == "inconclusive"
    assert "3 of 40 items in 2 of 20 prompts" in found.detail
    assert check_example_outcomes(undated).verdict == "inconclusive"
    dated = moved("news_at", [0, 1, 2], ASKED - DAY, undated)
    assert check_prompts(dated).verdict == "pass"
    assert check_prompts(moved("item_at", 7, ASKED + 99 * DAY, undated)).verdict == "leak"


def test_a_reader_that_promises_to_show_nothing_after_its_training_is_held_to_it():
    bound = items(trained_until=ASKED - 6 * DAY)
    assert check_prompts(bound).verdict == "suspicious"
    assert check_prompts(bound.assign(trained_until=ASKED - 5 * DAY)).verdict == "pass"


def test_what_is_within_reach_of_prompts_counts_though_it_was_not_shown():
    assert check_prompts(items(), record(ASKED - DAY, ASKED - DAY)).verdict == "pass"
    found = check_prompts(items(), record(ASKED, ASKED))
    assert (found.verdict, found.effect) == ("leak", 0.0)
    assert check_prompts(items(), record(pd.NaT, pd.NaT)).verdict == "inconclusive"
    assert check_example_outcomes(items(), record(ASKED - DAY, ASKED + DAY)).verdict == "leak"
    assert check_prompts(items().iloc[:0], record(ASKED, ASKED)).verdict == "leak"


def test_a_reader_without_prompts_is_not_asked_and_one_without_items_passes():
    assert check_prompts(items().iloc[:0]).verdict == "not-applicable"
    bare = items(part="fixed")
    assert check_prompts(bare).verdict == "pass"
    assert "show no article" in check_prompts(bare).detail
    assert check_example_outcomes(bare).verdict == "not-applicable"


def test_naive_instants_and_missing_columns_are_refused():
    with pytest.raises(DataError, match="item_at"):
        check_prompts(items().drop(columns="item_at"))
    with pytest.raises(DataError, match="time zone"):
        check_prompts(items(item_at=pd.Timestamp("2024-01-01")))


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(-3, 3), st.booleans()), min_size=1, max_size=30),
    st.integers(0, 10_000),
)
def test_the_share_is_that_of_prompts_with_anything_later(told, seed):
    frame = pd.DataFrame(told, columns=["article", "gap", "stated"])
    at = ASKED + pd.to_timedelta(frame["article"], unit="D")
    known = at + pd.to_timedelta(frame["gap"], unit="h")
    made = pd.DataFrame(
        {
            "article_id": frame["article"].astype(str),
            "asked_at": at,
            "part": "retrieved",
            "text": "x",
            "item_at": known.where(frame["stated"], ASKED - 99 * DAY),
            "news_at": known,
        }
    )
    late = {row.article for row in frame.itertuples() if row.gap > 0}
    found = check_prompts(made.sample(frac=1.0, random_state=np.random.default_rng(seed)))
    assert found.verdict == ("leak" if late else "pass")
    assert found.effect == pytest.approx(len(late) / frame["article"].nunique())


def test_dates_that_the_reader_alone_states_prove_nothing():
    found = check_prompts(items(stated=[number == 7 for number in range(2 * N)]))
    assert (found.code, found.verdict, found.effect) == ("R1", "inconclusive", 1 / N)
    assert "1 of 40 items in 1 of 20 prompts" in found.detail
    assert "'text 7'" in found.detail
    assert check_prompts(items(stated=False)).verdict == "pass"
    # What is late by any account stays a leak.
    assert check_prompts(moved("item_at", 3, ASKED + 9 * DAY).assign(stated=True)).verdict == "leak"
