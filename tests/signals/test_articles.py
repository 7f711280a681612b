import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import aggregation as reference

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.signals.articles import (
    ArticleSettings,
    confidence_of,
    net_sentiment,
    read_articles,
    reports_move,
    similarity_to_earlier,
)

START = pd.Timestamp("2021-03-01", tz="UTC").as_unit("us")
HOUR = pd.Timedelta(hours=1)
WORDS = st.lists(st.sampled_from(["shares", "profit", "rises", "oil"]), min_size=1, max_size=5)
# Article id decides between articles of one instant; two symbols of one article are no repeats.
NEWS = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from("AB"), WORDS, st.integers(0, 8)),
    max_size=14,
    unique_by=lambda article: (article[0], article[1]),
)


def frame_of(articles):
    known = {article: hours for article, _, _, hours in reversed(articles)}
    words = {article: " ".join(text) for article, _, text, _ in reversed(articles)}
    return pd.DataFrame(
        {
            "article_id": [str(article) for article, *_ in articles],
            "symbol": [symbol for _, symbol, *_ in articles],
            "text": [words[article] for article, *_ in articles],
            "known_at": START + HOUR * pd.Series([known[article] for article, *_ in articles], dtype=int),
            "source": "wire",
            "bearish": 0.2,
            "neutral": 0.3,
            "bullish": 0.5,
            "confidence": 0.5,
        }
    )


@settings(max_examples=35)
@given(NEWS, st.integers(1, 9), st.sampled_from(["symbol", "market"]))
def test_similarity_agrees_with_the_reference(articles, hours, scope):
    news = frame_of(articles)
    ours = similarity_to_earlier(news, window=hours * HOUR, scope=scope)
    plain = [(row.article_id, row.symbol, row.text.split(), (row.known_at - START) / HOUR) for row in news.itertuples()]
    np.testing.assert_allclose(ours, reference.similarity(plain, window=hours, scope=scope))


@settings(max_examples=25)
@given(NEWS, st.integers(0, 8), st.sampled_from(["symbol", "market"]))
def test_later_articles_change_no_weight(articles, hours, scope):
    news = frame_of(articles)
    chosen = ArticleSettings(novelty_floor=0.1, novelty_scope=scope, echo_weight=0.0, source_weights={"blog": 0.5})
    weight = read_articles(news, chosen).weight
    early = (news["known_at"] <= START + hours * HOUR).to_numpy()
    np.testing.assert_array_equal(read_articles(news[early], chosen).weight, weight[early])
    assert ((weight >= 0.1) & (weight <= 1.0)).all()
    later = read_articles(news[early], chosen, history=news)
    np.testing.assert_array_equal(later.weight, weight[early])


def test_the_first_article_carries_the_news():
    texts = [
        "Acme wins a large order from Japan",
        "Acme wins large order from Japan",
        "RT @desk: Acme wins a large order from Japan!",
        "Acme closes its plant in Ohio",
    ]
    news = frame_of([(i, "A", [text], i) for i, text in enumerate(texts)])
    opinions = read_articles(news, ArticleSettings(novelty_floor=0.2))
    assert opinions.weight[0] == 1.0
    assert opinions.weight[1] == pytest.approx(0.2 + 0.8 * (1 - 4 / 7))
    assert opinions.weight[2] == pytest.approx(0.2)
    assert opinions.weight[3] == 1.0
    assert opinions.counts == {"repeated": 2}
    # Beyond the window the same words are news again.
    assert read_articles(news, ArticleSettings(novelty_floor=0.2, novelty_window="1h")).weight[2] > 0.5


def test_symbols_are_kept_apart_unless_the_market_is_asked_for():
    news = frame_of([(1, "A", ["one two three"], 0), (1, "B", ["one two three"], 0), (2, "B", ["one two three"], 1)])
    other = news.assign(symbol=["A", "A2", "B"])
    assert similarity_to_earlier(news, window=HOUR, scope="symbol").tolist() == [0.0, 0.0, 1.0]
    assert similarity_to_earlier(other, window=HOUR, scope="symbol").tolist() == [0.0, 0.0, 0.0]
    assert similarity_to_earlier(other, window=HOUR, scope="market").tolist() == [0.0, 0.0, 1.0]


def test_history_makes_the_first_scored_article_old():
    news = frame_of([(1, "A", ["one two three"], 0), (2, "A", ["one two three"], 5)])
    chosen = ArticleSettings(novelty_floor=0.0)
    scored = news.iloc[[1]]
    assert read_articles(scored, chosen).weight.tolist() == [1.0]
    assert read_articles(scored, chosen, history=news).weight.tolist() == [0.0]


def test_texts_without_words_repeat_only_themselves():
    news = frame_of([(i, "A", [text], i) for i, text in enumerate(["🚀 🚀", "🐻", "🚀 🚀", "https://t.co/x"])])
    assert similarity_to_earlier(news, window=9 * HOUR, scope="symbol").tolist() == [0.0, 0.0, 1.0, 0.0]


def test_large_windows_are_compared_in_pieces():
    rng = np.random.default_rng(0)
    draws = [(i, "A", rng.choice(list("abcdefgh"), 6).tolist(), i // 4) for i in range(700)]
    news = frame_of([(i, s, w, h) for i, s, w, h in draws]).assign(article_id=[f"{i:04d}" for i in range(700)])
    ours = similarity_to_earlier(news, window=40 * HOUR, scope="symbol")
    plain = [(f"{i:04d}", s, w, h) for i, s, w, h in draws]
    np.testing.assert_allclose(ours[250:320], reference.similarity(plain[:320], window=40, scope="symbol")[250:])


@pytest.mark.parametrize(
    "text",
    [
        "Acme shares jump 8 %",
        "Acme stock fell 3.2% on Tuesday",
        "$ACME down more than 5 percent in early trading",
        "ACME closes up 120 points",
        "$ACME +3.4%",
        "Acme drops by as much as 7% after hours",
        "A 5% gain for Acme today",
    ],
)
def test_a_mere_price_report_is_marked(text):
    assert reports_move(pd.Series([text])).tolist() == [True]


@pytest.mark.parametrize(
    "text",
    [
        "Acme shares jump 8 % after FDA approval",
        "Acme falls 3% as phones pile up in shops",
        "Acme beats estimates, shares rise 4%",
        "Acme revenue rose 8 % to 3 billion",
        "Acme slides 5% on weak demand",
        "Acme cuts 12% of its staff",
        "Acme shares soar",
        "Acme raises prices to $30",
        "Acme downgraded, stock -6%",
        "Acme owns 20% of Bolt",
        "Acme shares up 2% " + "and much more is told of it " * 6,
    ],
)
def test_a_text_that_tells_more_than_the_move_is_not(text):
    assert reports_move(pd.Series([text])).tolist() == [False]


def test_weights_multiply_and_are_counted():
    news = frame_of([(1, "A", ["Acme up 3%"], 0), (2, "A", ["Acme up 3%"], 1), (3, "A", ["Bolt is bought"], 2)])
    news["source"] = ["blog", "wire", "post"]
    chosen = ArticleSettings(source_weights={"blog": 0.5, "wire": 2.0}, novelty_floor=0.4, echo_weight=0.1)
    opinions = read_articles(news, chosen)
    np.testing.assert_allclose(opinions.weight, [0.05, 0.08, 1.0])
    assert opinions.counts == {"unlisted_source": 1, "repeated": 1, "price_echo": 2}


def test_by_default_an_article_is_taken_as_scored():
    news = frame_of([(1, "A", ["Acme up 3%"], 0), (2, "A", ["Acme up 3%"], 0)])
    bare = news[["bearish", "neutral", "bullish", "confidence"]]
    opinions = read_articles(bare, ArticleSettings())
    np.testing.assert_allclose(opinions.net, [0.3, 0.3])
    assert opinions.confidence.tolist() == [0.5, 0.5]
    assert opinions.weight.tolist() == [1.0, 1.0]
    assert opinions.counts == {}


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3).filter(lambda p: sum(p) > 1e-3), min_size=1, max_size=8))
def test_confidence_lies_in_range_and_does_not_care_about_the_order_of_classes(draws):
    values = np.asarray(draws) / np.sum(draws, axis=1, keepdims=True)
    scored, turned = (pd.DataFrame(array, columns=list(CLASSES)) for array in (values, values[:, ::-1]))
    np.testing.assert_allclose(net_sentiment(turned), -net_sentiment(scored))
    for measure in ("maximum", "margin", "entropy"):
        sure = confidence_of(scored, measure)
        assert ((sure >= 0) & (sure <= 1 + 1e-12)).all()
        np.testing.assert_allclose(confidence_of(turned, measure), sure, atol=1e-12)


def test_confidence_by_hand():
    scored = pd.DataFrame([[1 / 3, 1 / 3, 1 / 3], [0, 0, 1], [0.1, 0.3, 0.6], [0.5, 0, 0.5]], columns=list(CLASSES))
    np.testing.assert_allclose(confidence_of(scored, "maximum"), [1 / 3, 1, 0.6, 0.5])
    np.testing.assert_allclose(confidence_of(scored, "margin"), [0, 1, 0.3, 0], atol=1e-12)
    np.testing.assert_allclose(confidence_of(scored, "entropy"), [0, 1, 0.182654, 1 - np.log(2) / np.log(3)], atol=1e-6)


@pytest.mark.parametrize(
    "bad",
    [
        {"confidence": "odds"},
        {"source_weights": {"blog": -1.0}},
        {"novelty_floor": 1.1},
        {"novelty_scope": "sector"},
        {"echo_weight": -0.1},
    ],
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        ArticleSettings(**bad)


def test_a_window_that_is_no_length_is_refused():
    with pytest.raises(ConfigError, match="no length of time"):
        ArticleSettings(novelty_window="soon")


@pytest.mark.parametrize(
    ("setting", "column"),
    [({"source_weights": {"a": 1.0}}, "source"), ({"novelty_floor": 0.5}, "known_at"), ({"echo_weight": 0.5}, "text")],
)
def test_missing_columns_are_named(setting, column):
    news = frame_of([(1, "A", ["one"], 0)])
    with pytest.raises(DataError, match=column):
        read_articles(news.drop(columns=column), ArticleSettings(**setting))


def test_no_articles_have_no_opinions():
    opinions = read_articles(frame_of([]), ArticleSettings(novelty_floor=0.5, echo_weight=0.5), history=frame_of([]))
    assert len(opinions.weight) == 0


@pytest.mark.real_data
def test_real_tweets_repeat_and_echo_at_plausible_rates(real_data):
    news = pd.read_parquet(real_data / "stocknet_news.parquet", columns=["id", "symbol", "text", "published_at"])
    news = news[news["symbol"].isin(["AAPL", "XOM"])].rename(columns={"id": "article_id", "published_at": "known_at"})
    similarity = similarity_to_earlier(news, window=pd.Timedelta(days=7), scope="symbol")
    assert 0.02 < (similarity >= 0.5).mean() < 0.5
    assert 0.005 < reports_move(news["text"]).mean() < 0.1


def test_what_is_scored_counts_as_it_stands_there():
    news = frame_of([(1, "A", ["one two three"], 0), (2, "A", ["one two three"], 5)])
    delayed = news.iloc[[0, 1]].assign(known_at=[START + 9 * HOUR, START + 5 * HOUR])
    chosen = ArticleSettings(novelty_floor=0.0)
    assert read_articles(delayed, chosen, history=news).weight.tolist() == [0.0, 1.0]
