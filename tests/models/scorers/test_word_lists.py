"""Words counted many texts at once are the words counted text by text."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.models.scorers import word_lists
from embargo.models.scorers.word_lists import count_all_words, count_words, signs_of

SIGNS = {"loss": -1, "kill": -1, "gain": 1, "i": 1}
WRITTEN = st.lists(
    st.one_of(
        st.sampled_from(
            ["loss", "LOSS", "gain", "losses", "1loss2gain", "\u212aill", "\u0130", "I", "", " ", "_", "é"]
        ),
        st.text(max_size=5),
    ),
    max_size=6,
).map("".join)


@settings(max_examples=200)
@given(st.lists(WRITTEN, max_size=8), st.integers(1, 4))
def test_words_are_counted_alike_alone_and_together(texts: list[str], piece: int) -> None:
    wanted = [count_words(text, SIGNS) for text in texts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_lists, "_PIECE", piece)
        for given_texts in (texts, pd.Series(texts, dtype="str"), pd.Series(texts, dtype="str")[::-1][::-1]):
            np.testing.assert_array_equal(count_all_words(given_texts, SIGNS), np.reshape(wanted, (-1, 2)))


def test_the_lists_of_the_paper_are_counted() -> None:
    texts = ["Strong profit, but a weak outlook and losses.", "Nothing of note.", "Losses, losses, losses"]
    assert count_all_words(texts, signs_of()).tolist() == [[1, 2], [0, 0], [0, 3]]
