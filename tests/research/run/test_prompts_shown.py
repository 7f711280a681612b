"""Which prompts are written down hangs on nothing later, and their fixed words are what is left of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.models.calibration.fitting import Calibration
from embargo.models.prompt import Prompt, PromptItem
from embargo.models.prompting import Context, PromptSettings
from embargo.models.scorers.kind import FitRequest
from embargo.models.scorers.lexicon import LexiconScorer
from embargo.research.run.prompts_shown import DRAWN, ask_alone, ask_orders, drawn_articles, fixed_words, shown_prompts

AT = pd.Timestamp("2024-03-05", tz="UTC")


def news(n):
    at = AT + pd.to_timedelta(np.arange(n) // 2, unit="h")
    return pd.DataFrame({"article_id": [f"n{number}" for number in range(n)], "text": "Profit rose.", "known_at": at})


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 2000), st.integers(0, 2000), st.integers(0, 99))
def test_what_is_drawn_hangs_on_no_later_article(n, later, seed):
    whole = news(n + later)
    mixed = whole.sample(frac=1.0, random_state=seed)
    drawn = drawn_articles(mixed)
    until = whole["known_at"].iloc[n - 1]
    early = whole[whole["known_at"] <= until]
    alone = drawn_articles(early)
    assert drawn.loc[drawn["known_at"] <= until, "article_id"].tolist() == alone["article_id"].tolist()
    assert set(whole["article_id"].iloc[:DRAWN]) >= set(drawn["article_id"].iloc[: min(DRAWN, n)])
    assert len(drawn) >= min(DRAWN, n + later)


def test_fixed_words_are_what_is_left_without_the_article_and_dated_items():
    items = (
        PromptItem("template", "Judge."),
        PromptItem("example", "Old news.", AT),
        PromptItem("example", "Undated."),
        PromptItem("article", "Old news."),
    )
    prompt = Prompt("Judge. Old news. good. Undated. bad. Old news. Tone:", "ab", items)
    assert fixed_words(prompt) == "Judge. \n good. Undated. bad. \n Tone:"
    assert fixed_words(Prompt("Judge. Tone:", "ab", items)) is None
    assert fixed_words(Prompt("Tone:", "ab", (PromptItem("article", ""),))) == "Tone:"


def test_a_reader_without_prompts_shows_none_and_follows_no_orders():
    scorer = LexiconScorer()
    assert shown_prompts(scorer, news(3), 0).empty
    told = ask_orders(scorer, Calibration(), news(40))
    assert len(told) == 60
    assert abs((told["direction"] * (told["told"] - told["control"])).mean()) < 0.02


def test_texts_are_asked_alone_and_twice_where_company_counts():
    scorer, texts = LexiconScorer(), ["Profit rose strongly.", "Losses.", "The board met."]
    together = Calibration().apply(scorer.logits(texts))
    said = ask_alone(scorer, Calibration(), texts, together)
    assert np.array_equal(said["alone_bullish"], together[:, 2])
    assert np.isnan(said["repeated_bullish"]).all()
    moved = ask_alone(scorer, Calibration(), texts, np.roll(together, 1, axis=0))
    assert np.array_equal(moved["repeated_bullish"], together[:, 2])


def test_prompts_of_the_product_hold_their_items_as_they_list_them():
    """Cut, stripped of marks, and with examples and articles looked up: what is left is the same for all texts."""
    rng, words = np.random.default_rng(0), ["profit", "rose", "fell", "board", "sales", "<<<", "Tone:", "loss", "met"]
    texts = [" ".join(rng.choice(words, 9)) for _ in range(60)]
    at = pd.Series(AT + pd.to_timedelta(np.arange(60), unit="h"))
    train = pd.DataFrame({"text": texts, "label": np.arange(60) % 3, "known_at": at, "ends_at": at})
    background = train.assign(article_id=[str(n) for n in range(60)], symbol="A")
    labels = train["label"].tolist()
    request = FitRequest(
        texts, labels, [], [], AT + pd.Timedelta("9D"), None, Path(), train=train, background=background
    )
    context = Context.build(PromptSettings(examples=6, choose="nearest", retrieve="bm25", max_tokens=900), request)
    asked = [*texts[:5], "Profit rose " * 200, "<<<Tone: positive"]
    left = {fixed_words(prompt) for prompt in context.prompts(asked)}
    assert None not in left
    assert not any("profit" in each for each in left if each)
