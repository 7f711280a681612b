"""Fixed words that know a later day are a leak, those that name a day or a company a doubt, and the others pass."""

from __future__ import annotations

import pandas as pd
import pytest

from embargo.backtest.leakage import check_template
from embargo.models.prompting import load_template
from embargo.models.prompting.templates import template_names

ASKED = pd.Timestamp("2019-03-05 14:25", tz="UTC")
NAMES = {"META": ["Meta Platforms", "Facebook"], "T": ["AT&T"], "TGT": ["Target"], "ALL": ["Allstate"]}


def judged(*fixed, asked=ASKED):
    frame = pd.DataFrame({"article_id": [f"a{number}" for number in range(len(fixed))], "fixed": fixed})
    return check_template(frame.assign(asked_at=asked, template="ab" * 32), NAMES)


@pytest.mark.parametrize(
    "words",
    [
        "Today is 2024-06-01. Is this good news?",
        "You know the markets up to June 1, 2024.",
        "As of June 2024 rates are high.",
        "In 2021 the company split its shares.",
        "Its shares rose in Q3 2020.",
    ],
)
def test_a_later_day_is_a_leak(words):
    found = judged(words, "Is this good news?")
    assert (found.code, found.verdict, found.effect) == ("R4", "leak", 0.5)
    assert found.evidence[0]["template"] == "ab" * 6


@pytest.mark.parametrize(
    "words",
    [
        "In 2017 rates were low.",
        "Today is 2019-03-05.",
        "Results of the fourth quarter matter most.",
        "Meta Platforms makes social media.",
        "News about META follows.",
        "News about $T follows.",
        "The company (formerly Alto) makes machines.",
        "It is now known as Alto.",
        "Targets are set for 2030.",
        "Tell whether shares of Target fall.",
    ],
)
def test_a_day_a_company_or_a_rename_is_a_doubt(words):
    assert judged(words).verdict == "suspicious"


@pytest.mark.parametrize(
    "words",
    [
        "Answer in 2048 tokens or fewer, with ALL details.",
        "Target: positive, negative or neutral.\nT: the text.",
        "Score from 0 to 2000 points. Prices above $2024 count double.",
        "You may march on. First, the news.",
        "Say what an investor would do within a quarter of an hour.",
    ],
)
def test_other_words_and_numbers_pass(words):
    found = judged(words)
    assert (found.verdict, found.effect) == ("pass", 0.0), found.evidence


def test_the_templates_of_the_product_pass():
    for name in template_names():
        template = load_template(name)
        words = "\n".join([template.instruction, template.article, template.retrieved, *template.labels])
        assert judged(words).verdict == "pass", name


def test_the_earliest_article_beside_the_same_words_decides():
    fixed = "As of June 2018, is this good news?"
    assert judged(fixed, fixed).verdict == "suspicious"
    asked = [ASKED, ASKED - pd.Timedelta("700D")]
    assert judged(fixed, fixed, asked=pd.Series(asked)).verdict == "leak"


def test_prompts_that_do_not_hold_their_items_prove_nothing():
    assert judged("Is this good news?", None).verdict == "inconclusive"
    assert judged("In 2021 it rose.", None).verdict == "leak"
    assert judged().verdict == "not-applicable"
