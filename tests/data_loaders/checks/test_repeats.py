"""Copies are recognised whatever their dress, and looking back is all that is ever done."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.data_loaders.checks import repeats
from embargo.data_loaders.checks.coverage import held_against_prices
from embargo.data_loaders.checks.repeats import (
    first_seen,
    normalise_text,
    normalised,
    stories,
    text_keys,
    text_numbers,
    time_order,
)
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices, validate_news


def news_of(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["article_id", "published_at", "symbol", "text"])
    return validate_news(frame.assign(published_at=pd.to_datetime(frame["published_at"], utc=True)))


@pytest.mark.parametrize(
    "copy",
    [
        "Alpha beats estimates, raises outlook",
        "ALPHA BEATS ESTIMATES - RAISES OUTLOOK!!",
        "RT @wire: Alpha beats estimates; raises outlook...",
        "rt @a: RT @b: Alpha beats estimates raises outlook https://t.example/x?y=1",
        "  Alpha\nbeats\testimates,  raises outlook @desk",
        "Alpha beats estimates, raises outlook www.news.example/1",
        "Ａlpha beats estimates, raises outlook",
    ],
)
def test_copies_have_one_key(copy: str) -> None:
    assert normalise_text(copy) == "alpha beats estimates raises outlook"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alpha gains 3%", "Alpha gains 4%"),
        ("Alpha to buy Beta", "Beta to buy Alpha"),
        ("rtx wins order", "x wins order"),
        ("https://a.example", "https://b.example"),
    ],
)
def test_different_stories_have_different_keys(one: str, other: str) -> None:
    keys = text_keys(pd.Series([one, other]))
    assert keys.iloc[0] != keys.iloc[1]


@given(st.text(max_size=60))
def test_a_normalised_text_is_words_with_single_spaces_and_a_key_is_sixteen_hex_digits(text: str) -> None:
    assert all(word.isalnum() or not word.isascii() for word in normalise_text(text).split(" ") if word)
    assert "  " not in normalise_text(text)
    key = text_keys(pd.Series([text], index=[7]))
    assert key.index.tolist() == [7]
    assert len(key.iloc[0]) == 16
    assert int(key.iloc[0], 16) >= 0


ODD = st.lists(
    st.sampled_from(
        [
            "rt",
            "RT ",
            "@a",
            "@",
            ":",
            " ",
            "http",
            "https://x.y/z",
            "www.",
            "_",
            "9",
            "é",
            "ﬁ",
            "Ｗ",
            "\x1f",
            "\n",
            "a",
            "!",
        ]
    )
).map("".join)


@settings(max_examples=300)
@given(st.lists(ODD, max_size=8), st.integers(1, 4))
def test_many_texts_are_normalised_as_single_ones_are(texts: list[str], piece: int) -> None:
    series = pd.Series(texts, dtype="str")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(repeats, "_PIECE", piece)
        plain = normalised(series)
    assert plain.to_pylist() == [normalise_text(text) for text in texts]
    names = [normalise_text(text) or "\0" + text for text in texts]
    assert stories(series, plain).tolist() == pd.factorize(pd.Series(names, dtype=object))[0].tolist()


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc"), st.sampled_from("xy"))))
def test_rows_are_ordered_as_pandas_orders_them(rows: list[tuple[int, str, str]]) -> None:
    frame = pd.DataFrame(rows, columns=["known_at", "article_id", "symbol"])
    frame["known_at"] = pd.to_datetime(frame["known_at"], unit="h", utc=True).astype("datetime64[us, UTC]")
    expected = frame.sort_values(["known_at", "article_id", "symbol"], kind="stable").index
    assert time_order(frame, ("article_id", "symbol")).tolist() == expected.tolist()


@given(st.lists(st.from_regex(r"[b-z][a-z0-9]{0,7}", fullmatch=True), min_size=1), st.data())
def test_dress_does_not_change_the_key(words: list[str], data: st.DataObject) -> None:
    joints = data.draw(
        st.lists(st.sampled_from([", ", " - ", "; ", "\n", ": "]), min_size=len(words), max_size=len(words))
    )
    dressed = "RT @desk: " + "".join(word.upper() + joint for word, joint in zip(words, joints, strict=True)) + "!!"
    keys = text_keys(pd.Series(["x " + " ".join(words), dressed.replace("desk: ", "desk: x ")]))
    assert keys.iloc[0] == keys.iloc[1]


def test_missing_text_is_refused() -> None:
    with pytest.raises(DataError, match="row 1 is missing"):
        text_keys(pd.Series(["a", None]))


def test_the_first_article_carries_the_story_and_symbols_do_not_compete() -> None:
    news = news_of(
        ("one", "2020-01-01 10:00", "AAA", "Alpha wins"),
        ("one", "2020-01-01 10:00", "BBB", "Alpha wins"),
        ("two", "2020-01-01 11:00", "AAA", "ALPHA WINS!"),
        ("three", "2020-01-01 12:00", "AAA", "Alpha loses"),
    )
    new = first_seen(news).set_axis(news["article_id"])
    assert new["one"].all()
    assert not new["two"]
    assert new["three"]


def test_what_was_known_first_counts_not_what_was_published_first() -> None:
    frame = news_of(("early", "2020-01-01 10:00", "AAA", "x y"), ("late", "2020-01-01 11:00", "AAA", "x y"))
    frame["known_at"] = pd.to_datetime(["2020-01-01 12:00", "2020-01-01 11:00"], utc=True)
    assert first_seen(frame).tolist() == [False, True]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.integers(0, 3), st.sampled_from(["a b", "A-B", "c", "C!", "d"])), min_size=1
    ),
    st.integers(0, 9),
)
def test_first_seen_agrees_with_a_slow_search_and_never_looks_ahead(rows: list[tuple[int, int, str]], cut: int) -> None:
    frame = pd.DataFrame(rows, columns=["hour", "article_id", "text"])
    frame["article_id"] = frame["article_id"].astype(str)
    frame = frame.drop_duplicates(["article_id", "text"], ignore_index=True)
    frame["known_at"] = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(frame["hour"], unit="h")
    result = first_seen(frame)
    for row in frame.itertuples():
        rivals = [
            other
            for other in frame.itertuples()
            if normalise_text(other.text) == normalise_text(row.text)
            and other.article_id != row.article_id
            and (other.known_at, other.article_id) < (row.known_at, row.article_id)
        ]
        own = [
            other
            for other in frame.itertuples()
            if normalise_text(other.text) == normalise_text(row.text) and other.article_id == row.article_id
        ]
        beaten_always = all(any((r.known_at, r.article_id) < (o.known_at, o.article_id) for r in rivals) for o in own)
        assert result.loc[row.Index] == (not rivals or not beaten_always)
    past = frame["hour"] < cut
    pd.testing.assert_series_equal(first_seen(frame[past]), result[past])


def test_news_and_prices_that_do_not_meet_are_counted() -> None:
    open_at = pd.date_range("2020-01-02 14:30", periods=3, freq="D", tz="UTC", unit="us")
    panel = pd.DataFrame({"AAA": [1.0, 1.0, 1.0], "BBB": [np.nan, 1.0, 1.0], "CCC": 1.0}, index=open_at)
    prices = Prices(panel, panel, panel, panel, panel, open_at, open_at + pd.Timedelta(hours=6), "XNYS")
    report = held_against_prices(
        news_of(
            ("1", "2020-01-01 10:00", "AAA", "before any bar"),
            ("2", "2020-01-02 14:30", "BBB", "not listed yet"),
            ("3", "2020-01-02 15:00", "AAA", "clean"),
            ("4", "2020-01-03 15:00", "ZZZ", "no prices"),
            ("5", "2020-01-09 15:00", "AAA", "Fine!"),
        ),
        prices,
    )
    assert report == {
        "symbols_without_prices": {"ZZZ": 1},
        "articles_without_prices": 1,
        "symbols_without_articles": ["CCC"],
        "articles_before_prices": 1,
        "articles_after_prices": 1,
        "articles_while_unlisted": 1,
    }


STORIES = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 200), st.sampled_from("AB"), st.sampled_from("xyz")),
    min_size=1,
    max_size=14,
    unique_by=lambda story: (story[0], story[2]),
)


@settings(max_examples=150)
@given(STORIES, st.sampled_from(["symbol", "all"]), st.one_of(st.none(), st.integers(0, 100)))
def test_a_window_and_a_scope_say_what_counts_as_new(stories, scope, hours) -> None:
    # One article has one text and one instant, under whatever symbols.
    facts = {number: (hour, text) for number, hour, _, text in reversed(stories)}
    rows = [(number, *facts[number], symbol) for number, _, symbol, _ in stories]
    zero = pd.Timestamp("2020-01-01", tz="UTC")
    news = pd.DataFrame(
        {
            "article_id": [f"{number:02d}" for number, *_ in rows],
            "known_at": pd.DatetimeIndex([zero + pd.Timedelta(hours=hour) for _, hour, *_ in rows]).as_unit("us"),
            "text": [f"words {text}" for _, _, text, _ in rows],
            "symbol": [symbol for *_, symbol in rows],
        }
    )
    window = None if hours is None else pd.Timedelta(hours=hours)
    kept: list[tuple[int, int, str, str]] = []
    expected = {}
    for number, hour, text, symbol in sorted(rows, key=lambda row: (row[1], row[0])):
        rivals = [
            earlier
            for earlier in kept
            if earlier[2] == text and (scope == "all" or earlier[3] == symbol) and earlier[0] != number
        ]
        repeat = any(hours is None or hour - earlier[1] <= hours for earlier in rivals)
        expected[number, symbol] = not repeat
        if not repeat:
            kept.append((number, hour, text, symbol))
    found = first_seen(news, scope=scope, window=window)
    assert found.tolist() == [expected[number, symbol] for number, _, _, symbol in rows]


def test_numbers_of_texts_put_together_what_keys_do() -> None:
    texts = pd.Series(["Apple beats", "APPLE beats!", "http://a.b/c", "http://a.b/d", "Apple misses", "http://a.b/c"])
    one, other = (pd.factorize(told)[0] for told in (text_numbers(texts), text_keys(texts)))
    assert one.tolist() == other.tolist() == [0, 0, 1, 2, 3, 1]
    with pytest.raises(DataError, match="text_numbers: the text at row 1 is missing"):
        text_numbers(pd.Series(["a", None]))


def test_texts_are_normalised_alike_whatever_was_kept_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "_MOST_KEPT", 2_000)
    monkeypatch.setattr(repeats, "_known", repeats._Known())
    rng = np.random.default_rng(0)
    for _ in range(40):
        count = int(rng.integers(1, 60))
        drawn = [f"RT @wire: Apple BEATS {number}! https://t.example/{number}" for number in rng.integers(0, 90, count)]
        assert normalised(pd.Series(drawn)).to_pylist() == [normalise_text(text) for text in drawn]
        assert repeats._known._kept[0].nbytes <= 2_000
    assert len(repeats._known._kept[0])


def test_a_few_texts_are_not_looked_up_among_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking up hashes all that is kept: 30 ms for a text once a process has seen a set of tweets."""
    monkeypatch.setattr(repeats, "_known", repeats._Known())
    many = pd.Series([f"Story {number}!" for number in range(1_000)], dtype="str")
    normalised(many)
    kept = repeats._known._kept
    few = pd.Series(["Story 7!", "NEW one", "Story 7!"], dtype="str")
    assert normalised(few).to_pylist() == ["story 7", "new one", "story 7"]
    assert repeats._known._kept is kept
    half = pd.Series([f"Story {number}?" for number in range(500)], dtype="str")
    assert normalised(half).to_pylist() == [f"story {number}" for number in range(500)]
    assert len(repeats._known._kept[0]) == 1_500
