"""Clusters of near-duplicates: against a slow search, on planted copies, piece by piece, and blind to the future."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import near_duplicates as slow

from embargo.data_loaders.checks import near_duplicates
from embargo.data_loaders.checks.near_duplicates import near_duplicate_clusters, shingles
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.schemas import validate_news
from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market

HEADLINE = "Acme Motors raises its full year outlook after record orders in Asia"


def news_of(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    """Rows of (hours after 2020-01-01, symbol, text), article ids in order."""
    frame = pd.DataFrame(rows, columns=["hours", "symbol", "text"])
    start = pd.Timestamp("2020-01-01", tz="UTC").as_unit("us")
    return validate_news(
        pd.DataFrame(
            {
                "article_id": [f"a{place:04d}" for place in range(len(frame))],
                "published_at": start
                + pd.to_timedelta(frame["hours"].astype(float), unit="h").astype("timedelta64[us]"),
                "symbol": frame["symbol"],
                "text": frame["text"],
            }
        )
    )


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("days", [2, 30])
def test_agrees_with_a_slow_search(seed: int, days: int) -> None:
    market = simulate_market(SimulatedMarket(seed=seed, n_symbols=2, end="2016-06-30", duplicate_share=0.3))
    rng = np.random.default_rng(seed)
    news = market.news.head(500).copy()
    # Random words replaced and cut, so that similarities fall on both sides of the threshold.
    texts = [text.split() for text in news["text"]]
    for words in texts:
        for place in rng.integers(0, len(words), int(rng.integers(0, 4))):
            words[place] = f"word{rng.integers(1000)}"
    news["text"] = [" ".join(words) for words in texts]
    window = pd.Timedelta(days=days)
    found, truth = near_duplicate_clusters(news, window=window), slow.clusters(news, window, 0.5)
    assert (truth != news["article_id"]).mean() > 0.1
    assert found.tolist() == truth.tolist()


def test_finds_the_simulated_copies_and_little_else() -> None:
    market = simulate_market(SimulatedMarket(seed=5, end="2017-12-31", duplicate_share=0.2))
    clusters = near_duplicate_clusters(market.news)
    originals = market.truth.originals.reindex(market.news["article_id"]).to_numpy()
    copied = originals != market.news["article_id"].to_numpy()
    assert copied.sum() > 1_000
    joined = (clusters != market.news["article_id"]).to_numpy()
    assert joined[copied].mean() >= 0.998
    assert joined[~copied].mean() <= 0.003
    assert (clusters.to_numpy() == originals)[copied].mean() >= 0.99


@pytest.mark.parametrize(
    "copy",
    [
        HEADLINE.upper() + "!!",
        "RT @wire: " + HEADLINE + " https://example.com/1",
        HEADLINE.replace("record", "strong"),
        "Correction: " + HEADLINE,
        HEADLINE.replace(" full year", " 2020") + " - report",
    ],
)
def test_planted_copies_join_the_first(copy: str) -> None:
    news = news_of(
        [("0", "ACME", HEADLINE), ("5", "ACME", "Acme Motors names a new chief financial officer"), ("9", "ACME", copy)]
    )
    assert near_duplicate_clusters(news).tolist() == ["a0000", "a0001", "a0000"]


def test_a_template_about_another_company_is_no_copy_but_the_same_words_are() -> None:
    other = HEADLINE.replace("Acme Motors", "Borea Foods")
    news = news_of([("0", "ACME", HEADLINE), ("1", "BORE", other), ("2", "BORE", HEADLINE)])
    assert near_duplicate_clusters(news).tolist() == ["a0000", "a0001", "a0000"]


def test_an_article_that_bridges_two_clusters_joins_the_older() -> None:
    news = news_of(
        [
            ("0", "A", "one two three four five six"),
            ("1", "A", "four five six seven eight nine"),
            ("2", "A", "one two three four five six seven eight nine"),
            ("3", "A", "four five six seven eight nine"),
        ]
    )
    assert near_duplicate_clusters(news).tolist() == ["a0000", "a0001", "a0000", "a0001"]


def test_a_text_is_about_every_symbol_that_it_was_filed_under() -> None:
    swapped = HEADLINE.replace("record", "strong")
    news = news_of([("0", "ACME", HEADLINE), ("1", "BORE", HEADLINE), ("2", "BORE", swapped)])
    assert near_duplicate_clusters(news).tolist() == ["a0000"] * 3


def test_clusters_end_with_the_window_and_chains_keep_them_alive() -> None:
    day = pd.Timedelta(days=1)
    apart = news_of([("0", "ACME", HEADLINE), ("25", "ACME", HEADLINE)])
    assert near_duplicate_clusters(apart, window=day).tolist() == ["a0000", "a0001"]
    at_the_edge = news_of([("0", "ACME", HEADLINE), ("24", "ACME", HEADLINE)])
    assert near_duplicate_clusters(at_the_edge, window=day).tolist() == ["a0000", "a0000"]
    chained = news_of([("0", "ACME", HEADLINE), ("20", "ACME", HEADLINE), ("40", "ACME", HEADLINE)])
    assert near_duplicate_clusters(chained, window=day).tolist() == ["a0000"] * 3


def test_links_and_emoji_are_copies_only_when_verbatim() -> None:
    news = news_of(
        [("0", "A", "https://a.example/1"), ("1", "A", "https://a.example/2"), ("2", "A", "https://a.example/1")]
    )
    assert near_duplicate_clusters(news).tolist() == ["a0000", "a0001", "a0000"]


WORDS = st.sampled_from(["profit", "rises", "falls", "acme", "on", "demand", "weak"])
ROWS = st.lists(
    st.tuples(
        st.integers(0, 400).map(str), st.sampled_from(["A", "B"]), st.lists(WORDS, min_size=1, max_size=7).map(" ".join)
    ),
    min_size=1,
    max_size=25,
)


TOLD = st.lists(
    st.tuples(
        st.integers(0, 900),
        st.sets(st.sampled_from("ABC"), min_size=1),
        st.one_of(st.lists(WORDS, max_size=6).map(" ".join), st.sampled_from(["https://a.example", "!!", "Profit!"])),
    ),
    min_size=1,
    max_size=25,
)


def filed(rows: list[tuple[int, set[str], str]]) -> pd.DataFrame:
    """Articles under several symbols each; texts of no word are a link or an exclamation."""
    start = pd.Timestamp("2020-01-01", tz="UTC").as_unit("us")
    table = [
        (f"a{number:03d}", start + pd.Timedelta(hours=hours), symbol, text or "?")
        for number, (hours, symbols, text) in enumerate(rows)
        for symbol in sorted(symbols)
    ]
    return validate_news(pd.DataFrame(table, columns=["article_id", "published_at", "symbol", "text"]))


@settings(max_examples=150)
@given(TOLD, st.sampled_from([5, 48, 168]), st.sampled_from([0.2, 0.5, 0.75, 1.0]), st.sampled_from([3, 7, 100]))
def test_agrees_with_a_slow_search_whatever_is_told(
    rows: list[tuple[int, set[str], str]], hours: int, threshold: float, piece: int
) -> None:
    news, window = filed(rows), pd.Timedelta(hours=hours)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(near_duplicates, "_PIECE", piece)
        patched.setattr(near_duplicates, "_PAIRS", piece)
        found = near_duplicate_clusters(news, window=window, threshold=threshold)
    assert found.tolist() == slow.clusters(news, window, threshold).tolist()


@settings(max_examples=40)
@given(ROWS, st.integers(1, 24))
def test_later_articles_never_move_earlier_ones(rows: list[tuple[str, str, str]], cut: int) -> None:
    news = news_of(rows)
    whole = near_duplicate_clusters(news)
    early = news.head(min(cut, len(news)))
    assert near_duplicate_clusters(early).equals(whole.head(len(early)))
    first = news.set_index("article_id")["known_at"]
    assert (first.reindex(whole).to_numpy() <= news["known_at"].to_numpy()).all()
    assert (
        whole.loc[news["article_id"].isin(whole)].tolist()
        == news.loc[news["article_id"].isin(whole), "article_id"].tolist()
    )


def test_the_order_of_rows_and_several_symbols_do_not_matter() -> None:
    market = simulate_market(SimulatedMarket(seed=2, n_symbols=4, end="2015-12-31", duplicate_share=0.3))
    news = pd.concat([market.news, market.news.assign(symbol="ZZZZ")], ignore_index=True)
    shuffled = news.sample(frac=1.0, random_state=1)
    clusters = near_duplicate_clusters(news)
    assert near_duplicate_clusters(shuffled).reindex(news.index).equals(clusters)
    assert clusters.groupby(news["article_id"]).nunique().max() == 1


def test_shingles_do_not_depend_on_the_other_texts() -> None:
    alone, _ = shingles(["profit rises on demand"])
    hashes, offsets = shingles(["weak", "", "profit rises on demand"])
    assert offsets.tolist() == [0, 1, 1, 4]
    assert hashes[1:].tolist() == alone.tolist()
    assert shingles([""])[1].tolist() == [0, 0]


def test_refusals() -> None:
    news = news_of([("0", "A", "one two"), ("5", "A", "three four")])
    with pytest.raises(ConfigError, match="window must be positive"):
        near_duplicate_clusters(news, window=pd.Timedelta(0))
    with pytest.raises(ConfigError, match="threshold"):
        near_duplicate_clusters(news, threshold=0.0)
    assert near_duplicate_clusters(news.iloc[:0]).empty
