import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.data_loaders.errors import ConfigError
from embargo.models.scorers.lexicon import LexiconScorer
from embargo.models.scorers.word_lists import word_lists


def test_lists_have_the_size_the_paper_reports():
    positive, negative = word_lists(2011)
    # Loughran & McDonald's lists of 2011: 354 positive and 2,329 negative words, less those taken off since.
    assert len(positive) == 353
    assert len(negative) == 2328
    assert not positive & negative


def test_words_listed_later_are_not_known():
    assert word_lists(2018)[1] > word_lists(2011)[1]
    assert LexiconScorer(2018).identity != LexiconScorer().identity
    assert LexiconScorer().knowledge_cutoff == pd.Timestamp("2011-12-31T23:59:59.999999Z")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Profit gains were excellent", 2),
        ("LOSSES and litigation; bankruptcy!", 0),
        ("The company will open a plant", 1),
        ("", 1),
    ],
)
def test_classes_of_plain_sentences(text, expected):
    assert LexiconScorer().logits([text])[0].argmax() == expected


@given(st.lists(st.text(max_size=60), max_size=8))
def test_a_text_is_scored_alone(texts):
    scorer = LexiconScorer()
    together = scorer.logits(texts)
    assert together.shape == (len(texts), 3)
    for row, text in enumerate(texts):
        assert np.array_equal(together[row], scorer.logits([text])[0])


@given(st.lists(st.sampled_from(["loss", "gain", "will", "the", "adverse", "strong", "Ltd."]), max_size=12))
def test_counts_equal_a_scan_over_the_lists(words):
    positive, negative = word_lists(2011)
    text = " ".join(words)
    found = re.findall("[a-z]+", text.lower())
    assert LexiconScorer().counts(text) == (sum(w in positive for w in found), sum(w in negative for w in found))


def test_refuses_years_without_a_list():
    with pytest.raises(ConfigError):
        LexiconScorer(2008)
