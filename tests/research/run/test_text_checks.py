"""What is taken of articles that stand in several tables is what one table of all would give."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.research.run.samples import each_once
from embargo.research.run.text_checks import _of_article

DAY = pd.Timestamp("2020-01-01", tz="UTC")
ROW = st.tuples(st.sampled_from("abcdefg"), st.integers(0, 3))


def samples(rows):
    names, known = zip(*rows, strict=True) if rows else ((), ())
    return pd.DataFrame(
        {
            "article_id": pd.Series(names, dtype="str"),
            "text": pd.Series([f"text {number}" for number in range(len(rows))], dtype="str"),
            "label": np.arange(len(rows)),
            "known_at": pd.Series(DAY + pd.to_timedelta(list(known), unit="D"), dtype="datetime64[us, UTC]"),
        }
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(ROW, max_size=6), min_size=1, max_size=4))
def test_each_article_is_taken_once_from_the_first_of_several_samples(folds):
    frames = [samples(rows) for rows in folds]
    wanted = pd.concat(frames).drop_duplicates("article_id")[["article_id", "text"]]
    pd.testing.assert_frame_equal(each_once(frames, ["article_id", "text"]), wanted)


@settings(max_examples=50, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=8), st.lists(st.sampled_from("abcdefgh"), max_size=8))
def test_an_article_is_looked_up_in_its_first_row(rows, asked):
    news, articles = samples(rows), pd.Series(asked, dtype="str", index=range(5, 5 + len(asked)))
    first = news.drop_duplicates("article_id").set_index("article_id")
    for column in ("text", "known_at"):
        found = _of_article(news, articles, column)
        wanted = [first[column].get(name) for name in asked]
        assert found.index.equals(articles.index)
        assert found.dtype == news[column].dtype
        assert [None if pd.isna(value) else value for value in found] == wanted
