"""A classifier recognises what masking left, on dates it did not learn from, and nothing where nothing is left."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.probes import mask, reidentify
from embargo.research.benchmarks.memory_worlds import ENTITIES, make_world

HABIT = {"ALTR": "turbines", "BRCR": "vaccines"}


@pytest.fixture(scope="module")
def articles() -> pd.DataFrame:
    return make_world(3, days=120).articles


def test_names_are_recognised_and_stand_ins_are_not(articles):
    plain, masked = (
        reidentify(texts, articles["symbol"], articles["at"]).rows
        for texts in (articles["text"].tolist(), mask(articles["text"].tolist(), ENTITIES))
    )
    assert plain["recognised"].mean() > 0.95
    assert abs(masked["recognised"].mean() - 1 / 6) < 0.06
    assert abs(masked["guessed"].mean() - 1 / 6) < 0.06


def test_the_words_that_give_a_company_away_are_named(articles):
    left = [
        f"{text} {HABIT.get(symbol, '')}"
        for text, symbol in zip(mask(articles["text"].tolist(), ENTITIES), articles["symbol"], strict=True)
    ]
    found = reidentify(left, articles["symbol"], articles["at"])
    by_symbol = found.rows.groupby("symbol")["recognised"].mean()
    assert by_symbol[list(HABIT)].min() > 0.9
    first = found.giveaways.groupby("symbol")["word"].first()
    assert all(word in first[symbol] for symbol, word in HABIT.items())


def test_what_was_learnt_on_the_same_days_does_not_count():
    # The word of the day names a company that day only; on other days it is another's.
    days = pd.date_range("2024-01-01", periods=50, tz="UTC").repeat(2)
    symbols = np.array(["A", "B"] * 50)
    texts = [f"word{day:%j}{symbol}" for day, symbol in zip(days, symbols, strict=True)]
    found = reidentify([f"{text} it {text}" for text in texts], symbols, days)
    assert found.rows["recognised"].mean() == 0.5


def test_refuses_what_cannot_be_told_apart():
    at = pd.date_range("2024-01-01", periods=10, tz="UTC")
    wrong = (
        (["a b"] * 10, ["A"] * 10, at),
        (["a b"] * 9, ["A", "B"] * 5, at),
        (["a b"] * 4, list("ABAB"), at[:4]),
        (["."] * 10, ["A", "B"] * 5, at),
    )
    for texts, symbols, instants in wrong:
        with pytest.raises(DataError):
            reidentify(texts, symbols, instants)
    with pytest.raises(ConfigError):
        reidentify(["a b"] * 10, ["A", "B"] * 5, at, folds=1)
