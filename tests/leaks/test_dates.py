"""Texts that tell the past of a later day are named; announcements, past days and slips of a year are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.backtest.leakage import check_dates_in_texts
from embargo.data_loaders.errors import DataError

AT = pd.date_range("2014-03-03 15:00", periods=400, freq="5h", tz="UTC")


def news(tail, share: float = 1.0, days: int = 4) -> pd.DataFrame:
    """Texts of their own, a share of which end on a later day, as ``tail`` writes it."""
    later = AT + pd.Timedelta(days=days)
    texts = [
        f"Acme note {number}" + (tail(day) if number < share * len(AT) else "") for number, day in enumerate(later)
    ]
    return pd.DataFrame({"article_id": [f"a{n}" for n in range(len(AT))], "published_at": AT, "text": texts})


FORMS = {
    "iso": lambda day: f"{day:%Y-%m-%d}",
    "month first": lambda day: f"{day:%B} {day.day}, {day.year}",
    "short": lambda day: f"{day:%b}. {day.day}",
    "day first": lambda day: f"{day.day}th {day:%B} {day.year}",
    "no year": lambda day: f"{day:%B} {day.day}",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share", [0.2, 0.05])
def test_the_past_of_a_later_day_is_proof(form, share):
    found = check_dates_in_texts(news(lambda day: f": shares fell sharply on {FORMS[form](day)}", share))
    assert found.verdict == "leak"
    assert found.effect == pytest.approx(share)
    row = found.evidence[0]
    assert (row["article_id"], row["told_as"], row["days_later"]) == ("a0", "past", 4)
    assert row["date_in_text"] in row["text"]


@pytest.mark.parametrize(
    "told",
    ["; On {}, Acme unveiled a phone", ". On Friday, {} shares fell", "; sales reported on {}", "; closed up 3% on {}"],
)
def test_what_happened_on_a_later_day_is_proof_in_other_words_too(told):
    assert check_dates_in_texts(news(lambda day: told.format(FORMS["month first"](day)), 0.05)).verdict == "leak"


@pytest.mark.parametrize(
    "stamp", [" (updated {})", " Last edited on {}", " Corrected: {}", " - modified on Friday, {}"]
)
def test_the_stamp_of_an_edit_is_proof(stamp):
    assert check_dates_in_texts(news(lambda day: stamp.format(FORMS["iso"](day)), 0.05)).verdict == "leak"


@pytest.mark.parametrize(
    "tail",
    [
        "; results are due on {}",
        "; Acme said it will report on {}",
        "; reported a dividend payable on {}",
        "; announced results for release on {}",
        "; shares rose before the meeting of {}",
        "; will be updated on {}",
        "; an updated {} deadline",
        "; to be announced on {}",
        "; fell on fears of a revised {} deadline",
        "; an edited version is to be updated on {}",
        "; the iPhone is expected to be announced on {}",
    ],
)
@pytest.mark.parametrize("form", ["iso", "month first", "no year"])
def test_what_is_announced_passes(tail, form):
    found = check_dates_in_texts(news(lambda day: tail.format(FORMS[form](day))))
    assert found.verdict == "pass"
    assert found.effect == 0.0
    assert f"{len(AT)} of {len(AT)} distinct texts name a day; {len(AT)} name one after" in found.detail


@pytest.mark.parametrize(
    "tail", ["; Acme announced an investor day on {}", "; the board said a vote on {}", "; issues updated {} guidance"]
)
def test_announcements_that_no_word_gives_away_are_no_proof(tail):
    found = check_dates_in_texts(news(lambda day: tail.format(FORMS["month first"](day))))
    assert (found.verdict, found.effect) == ("suspicious", 0.0)


@pytest.mark.parametrize("days", [-4, 0, 1, 365])
def test_days_before_or_beside_the_publication_and_slips_of_a_year_pass(days):
    assert (
        check_dates_in_texts(news(lambda day: f"; shares fell on {day:%B} {day.day}, {day.year}", days=days)).verdict
        == "pass"
    )


def test_a_slip_of_the_pen_is_no_finding_and_a_few_are_a_doubt():
    one, five = (
        check_dates_in_texts(news(lambda day: f"; shares fell on {day:%Y-%m-%d}", count / len(AT))) for count in (1, 5)
    )
    assert (one.verdict, five.verdict) == ("pass", "suspicious")


def test_later_days_that_no_word_announces_are_a_doubt():
    assert check_dates_in_texts(news(lambda day: f" ({day:%Y-%m-%d})", 0.1)).verdict == "suspicious"
    assert check_dates_in_texts(news(lambda day: f" ({day:%Y-%m-%d})", 0.1, days=-4)).verdict == "pass"


def test_a_date_that_may_be_two_is_not_read():
    at = pd.Timestamp("2014-03-03", tz="UTC")
    texts = [f"note {n}: shares fell on {date}" for n, date in enumerate(["3/5/2014", "5/3/2014"] * 10)]
    frame = pd.DataFrame({"published_at": [at] * 20, "text": texts})
    assert check_dates_in_texts(frame).verdict == "pass"
    assert check_dates_in_texts(frame.assign(text=frame["text"].str.replace("3/5", "3/15"))).verdict == "leak"


def test_copies_count_once():
    at = pd.Timestamp("2014-03-03", tz="UTC")
    text = "Acme shares fell on March 12, 2014"
    frame = pd.DataFrame({"published_at": [at] * 50, "text": [text] * 50})
    assert check_dates_in_texts(frame).verdict == "pass"


@given(st.text(max_size=60), st.integers(0, 3000))
def test_no_text_breaks_it(text, days):
    at = pd.Timestamp("2014-03-03", tz="UTC") + pd.Timedelta(days=days)
    frame = pd.DataFrame({"published_at": [at], "text": [f"{text} 30 February 2015 2014-13-45 May 5 {text}"]})
    assert check_dates_in_texts(frame).verdict == "pass"


def test_naive_stamps_are_refused_and_no_texts_are_no_question():
    with pytest.raises(DataError):
        check_dates_in_texts(news(str).assign(published_at=np.datetime64("2014-01-01")))
    assert check_dates_in_texts(news(str).head(0)).verdict == "not-applicable"


def test_what_is_to_come_is_heard_in_capitals_too():
    tail = "; shares rose Ahead of the vote on {}"
    found = check_dates_in_texts(news(lambda day: tail.format(FORMS["month first"](day))))
    assert (found.verdict, found.effect) == ("pass", 0.0)


@pytest.mark.parametrize(("days", "verdict"), [(10, "suspicious"), (11, "pass")])
def test_a_day_is_near_up_to_ten_days(days, verdict):
    assert check_dates_in_texts(news(lambda day: f" ({day:%Y-%m-%d})", 0.1, days=days)).verdict == verdict
