"""What text checks take from samples and news is what frames would give, without copies of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.research.run.text_checks import _of_article, _read_once

DAY = pd.Timestamp("2020-01-01", tz="UTC")
ROW = st.tuples(st.sampled_from("abcdefg"), st.integers(0, 3), st.integers(0, 3))


def samples(rows):
    names, known, late = zip(*rows, strict=True) if rows else ((), (), ())
    known_at = pd.Series(DAY + pd.to_timedelta(list(known), unit="D"), dtype="datetime64[us, UTC]")
    return pd.DataFrame(
        {
            "article_id": pd.Series(names, dtype="str"),
            "text": pd.Series([f"text {number}" for number in range(len(rows))], dtype="str"),
            "label": np.arange(len(rows)),
            "known_at": known_at,
            "ends_at": known_at + pd.to_timedelta(np.maximum(np.array(late, dtype=int) - 1, 0), unit="D"),
        }
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(ROW, max_size=6), min_size=1, max_size=4))
def test_each_article_is_read_once_by_its_first_complete_label(folds):
    frames = [samples(rows) for rows in folds]
    every = pd.concat(frames)
    wanted = every.loc[every["ends_at"] <= every["known_at"]].drop_duplicates("article_id").drop(columns="ends_at")
    pd.testing.assert_frame_equal(_read_once(frames), wanted)


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
