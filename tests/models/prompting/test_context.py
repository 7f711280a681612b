"""A prompt holds what was known when training ended and nothing else, and depends on its text alone."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.model_samples import sentences

from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.models.prompting.context import CONTENT_FREE, Context, check_prompts
from embargo.models.prompting.likeness import best, same_words
from embargo.models.prompting.room import room_doubt
from embargo.models.prompting.settings import PromptSettings
from embargo.models.prompting.templates import load_template
from embargo.models.scorers.kind import FitRequest

START = pd.Timestamp("2015-01-01", tz="UTC")
HOUR = pd.Timedelta(hours=1)
CANARY = "zyxcanary"
WORDS = st.sampled_from(["profit", "loss", "rose", "fell", "plant", "board", "sales", "8%", "CEO", "bank"])
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=5).map(" ".join), min_size=14, max_size=24)
SHOWING = st.builds(
    PromptSettings,
    examples=st.sampled_from([0, 3, 6]),
    choose=st.sampled_from(["fixed", "nearest"]),
    retrieve=st.sampled_from(["none", "bm25"]),
    retrieved=st.integers(1, 4),
)


def world(texts: list[str]) -> pd.DataFrame:
    known_at = [START + at * HOUR for at in range(len(texts))]
    labels = [at % 3 for at in range(len(texts))]
    frame = pd.DataFrame({"text": texts, "label": labels, "known_at": known_at})
    # A label is complete two hours later.
    return frame.assign(ends_at=frame["known_at"] + 2 * HOUR, article_id=[f"a{at}" for at in range(len(texts))])


def as_of(news: pd.DataFrame, until: pd.Timestamp, seed: int = 0) -> FitRequest:
    """Ask for what a fold may know whose training ends at an instant, as the pipeline does."""
    train = news[news["ends_at"] < until]
    return FitRequest(
        train["text"].tolist(),
        train["label"].tolist(),
        [],
        [],
        None,
        None,
        Path("cache"),
        train=train,
        background=news.loc[news["known_at"] < until, ["article_id", "text", "known_at"]],
        seed=seed,
    )


def asked(showing: PromptSettings, request: FitRequest, texts: list[str]) -> list[str] | None:
    try:
        context = Context.build(showing, request)
    except DataError:
        return None  # too few examples of a class
    return [prompt.rendered for prompt in context.prompts(texts)]


def poisoned(news: pd.DataFrame, late: pd.Series) -> pd.DataFrame:
    return news.assign(text=news["text"].where(~late, CANARY + " " + news["text"]), label=news["label"].where(~late, 0))


@given(texts=TEXTS, showing=SHOWING, cut=st.integers(10, 14), question=st.lists(WORDS, max_size=4).map(" ".join))
@settings(max_examples=60)
def test_no_prompt_moves_when_what_comes_later_is_poisoned(texts, showing, cut, question):
    news = world(texts)
    until = START + cut * HOUR
    late = news["known_at"] >= until
    questions = [question, *texts]
    before = asked(showing, as_of(news, until), questions)
    assert before == asked(showing, as_of(poisoned(news, late), until), questions)
    assert not any(CANARY in prompt for prompt in before or [])


@pytest.mark.parametrize("showing", [PromptSettings(examples=3, choose="nearest"), PromptSettings(retrieve="bm25")])
def test_one_later_item_let_in_is_caught(showing):
    news = world(sentences(24, seed=1)["text"].tolist())
    until = START + 14 * HOUR
    late = news["known_at"] >= until
    questions = news["text"].tolist()
    let_in = news.assign(known_at=news["known_at"].where(news.index != 20, START), ends_at=START)
    let_in["ends_at"] = news["ends_at"].where(news.index != 20, START)
    first, second = (asked(showing, as_of(each, until), questions) for each in (let_in, poisoned(let_in, late)))
    assert first != second
    assert any(CANARY in prompt for prompt in second)


@given(texts=TEXTS, showing=SHOWING, order=st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_a_prompt_depends_on_its_text_alone(texts, showing, order):
    news = world(texts)
    request = as_of(news, START + 30 * HOUR)
    shuffled = list(range(len(news)))
    order.shuffle(shuffled)
    other = as_of(news.iloc[shuffled], START + 30 * HOUR)
    whole = asked(showing, request, texts)
    if whole is None:
        return
    context = Context.build(showing, other)
    assert context.identity == Context.build(showing, request).identity
    assert [context.rendered(text) for text in reversed(texts)] == whole[::-1]


@given(texts=TEXTS, showing=SHOWING)
@settings(max_examples=40)
def test_a_text_is_never_among_its_own_examples(texts, showing):
    request = as_of(world(texts), START + 30 * HOUR)
    if asked(showing, request, []) is None:
        return
    context = Context.build(showing, request)
    for text in texts:
        prompt = context.prompts([text.upper() + "!"])[0]
        items = [item for item in prompt.items if item.part in ("example", "retrieved")]
        assert same_words(text) not in {same_words(item.text) for item in items}
        assert len({same_words(item.text) for item in items}) == len(items), "no text stands in a prompt twice"
        examples = [item for item in items if item.part == "example"]
        assert len(examples) == showing.examples
        for label in context.template.labels:
            assert prompt.rendered.count(f"Tone: {label}") == showing.examples // 3
        assert all(item.known_at is not None for item in items)


def context_of(showing: PromptSettings, n: int = 60, **given: object) -> Context:
    return Context.build(showing, as_of(world(sentences(n, seed=3)["text"].tolist()), START + 1000 * HOUR), **given)


def test_fixed_examples_are_shared_and_nearest_ones_are_not():
    fixed, nearest = (context_of(PromptSettings(examples=6, choose=how)) for how in ("fixed", "nearest"))
    text = "Altera fell as Borcor spoke of its sales analysts said"
    assert fixed.shared.count("Tone:") == 6
    assert fixed.shared + fixed.rest(text) == fixed.rendered(text)
    assert fixed.rest(text).count("Tone:") == 1
    assert nearest.shared.count("Tone:") == 0
    assert nearest.rest(text).count("Tone:") == 7
    own = fixed.examples[0][0].text
    assert fixed.rest(own) is None, "a text that is an example has the one in reserve in its place"
    assert fixed.rendered(own).count("Tone:") == 7


def test_the_nearest_are_those_with_the_same_words():
    texts = ["bank profit fell", "bank profit same", "bank profit rose", "a plant", "the board", "one merger"] * 2
    texts = [f"{text} {'again' * (at > 5)}".strip() for at, text in enumerate(texts)]
    context = Context.build(PromptSettings(examples=3, choose="nearest"), as_of(world(texts), START + 99 * HOUR))
    shown = [item.text for item in context.prompts(["bank profit doubled"])[0].items if item.part == "example"]
    assert sorted(shown) == ["bank profit fell", "bank profit rose", "bank profit same"]


def test_instants_are_those_at_which_labels_were_complete():
    context = context_of(PromptSettings(examples=3, retrieve="bm25"))
    news = world(sentences(60, seed=3)["text"].tolist()).set_index("text")
    for item in context.prompts(["Dynvia rallied in early trading"])[0].items:
        if item.part == "example":
            assert item.known_at == news.loc[item.text, "ends_at"]
        if item.part == "retrieved":
            assert item.known_at == news.loc[item.text, "known_at"]
    assert context.knowledge_cutoff == max(news["known_at"].max(), *(each.known_at for each in context.shown))


def test_what_may_be_shown_is_written_down():
    context = context_of(PromptSettings(examples=6, retrieve="bm25"))
    uses = pd.Series([line.use for line in context.read]).value_counts().to_dict()
    assert uses == {"example": 9, "retrieved": 60}, "with one of each class in reserve"
    assert context_of(PromptSettings()).read == ()


def test_zero_shot_knows_no_more_than_its_model():
    context, cutoff = context_of(PromptSettings()), START
    assert not context.grounded
    assert context.later_cutoff(cutoff) == cutoff
    assert context_of(PromptSettings(examples=3)).later_cutoff(None) is None


def test_undated_examples_have_no_known_cutoff():
    frame = sentences(60, seed=3)
    request = FitRequest(frame["text"].tolist(), frame["label"].tolist(), [], [], None, None, Path("cache"))
    assert Context.build(PromptSettings(examples=3), request).later_cutoff(START) is None


def test_identity_changes_with_all_that_is_shown():
    showings = [
        PromptSettings(),
        PromptSettings(template="investor-view"),
        PromptSettings(examples=3),
        PromptSettings(examples=6),
        PromptSettings(examples=6, choose="nearest"),
        PromptSettings(retrieve="bm25"),
        PromptSettings(retrieve="bm25", retrieved=2),
        PromptSettings(max_tokens=500),
    ]
    found = [context_of(showing).identity for showing in showings]
    assert len(set(found)) == len(showings)
    assert context_of(PromptSettings(retrieve="bm25"), n=61).identity not in found
    assert context_of(PromptSettings(examples=3, choose="nearest"), n=61).identity not in found
    news = world(sentences(60, seed=3)["text"].tolist())
    other = as_of(news, START + 1000 * HOUR, seed=1)
    assert Context.build(PromptSettings(examples=3), other).identity not in found


def test_long_articles_are_cut_and_nothing_else_is_left_out():
    context = context_of(PromptSettings(examples=6, retrieve="bm25", max_tokens=600))
    long = "Forera rallied " + "and its merger grew " * 900
    prompt = context.prompts([long])[0]
    assert len(prompt.rendered.encode()) / 3 <= 600
    assert len(prompt.items) == 1 + 6 + 3 + 1
    assert long.startswith(prompt.items[-1].text)
    assert len(prompt.items[-1].text.split()) > 100
    one_word = context.prompts(["x" * 9000])[0]
    assert 900 < one_word.rendered.count("x") <= 1500


def test_items_are_cut_so_that_a_third_is_left_to_the_article():
    texts = [f"{each} " + "more of the same " * 300 for each in sentences(30, seed=3)["text"]]
    request = as_of(world(texts), START + 1000 * HOUR)
    context = Context.build(PromptSettings(examples=6, max_tokens=600), request)
    prompt = context.prompts(["short " * 1000])[0]
    assert len(prompt.rendered.encode()) / 3 <= 600
    assert context.count(prompt.items[-1].text) >= 180


def test_too_much_for_too_little_room_is_refused():
    with pytest.raises(ConfigError, match="ask for fewer"):
        context_of(PromptSettings(examples=30, max_tokens=512), n=90)
    with pytest.raises(ConfigError, match=r"'news-sentiment' alone takes.*max_tokens = 40: raise it"):
        context_of(PromptSettings(max_tokens=40))


def test_a_model_that_reads_less_than_is_asked_for_is_named_as_the_limit():
    template = load_template("news-sentiment")
    for more in ({"max_tokens": 4096}, {}):
        with pytest.raises(ConfigError, match=r"The model itself reads 64 tokens.* changes nothing") as caught:
            room_doubt(PromptSettings(examples=30, **more), template, 64)
        assert "raise it" not in str(caught.value)
    doubt = room_doubt(PromptSettings(examples=18, retrieve="bm25"), template, 512)
    assert doubt is not None
    assert "21 examples and earlier articles leave" in doubt
    assert room_doubt(PromptSettings(examples=3), template, 512) is None


def test_a_base_of_the_run_compares_no_texts():
    with pytest.raises(ConfigError, match=r"prompt\.encoder = 'tiny' is made anew.*'minilm'"):
        check_prompts(PromptSettings(retrieve="embedding", encoder="tiny"))


def test_classes_that_lack_examples_are_named():
    request = as_of(world(["profit rose", "profit fell", "a plant"]), START + 99 * HOUR)
    with pytest.raises(DataError, match="1 bearish examples, and one in reserve"):
        Context.build(PromptSettings(examples=3), request)


def test_without_bm25s_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(MissingPartError, match=r"pip install 'embargo-backtest\[retrieval\]'"):
        context_of(PromptSettings(retrieve="bm25"))


def test_inputs_without_content_are_shown_what_all_are_shown():
    context = context_of(PromptSettings(examples=3, retrieve="bm25"))
    prompts = context.content_free()
    assert len(CONTENT_FREE) == 3
    assert [prompt.removeprefix(context.shared) for prompt in prompts] == [
        f"News: [{text}]\nTone:" for text in ("N/A", "MASK", "")
    ]


def test_a_conversation_says_the_same():
    context = context_of(PromptSettings(examples=3))
    system, user = context.messages("Profit rose.")
    assert (system["role"], user["role"]) == ("system", "user")
    assert system["content"] + "\n\n" + user["content"] == context.rendered("Profit rose.")


def test_embeddings_find_what_means_the_same():
    texts = ["Earnings went up strongly", "It rained in Paris", "The court ruled on a patent"] * 2
    frame = world([f"{text}{'.' if at < 3 else ' today'}" for at, text in enumerate(texts)])
    context = Context.build(PromptSettings(retrieve="embedding", retrieved=2), as_of(frame, START + 99 * HOUR))
    question = "Profits rose a lot"
    prompt = context.prompts([question])[0]
    assert {item.text.split()[0] for item in prompt.items if item.part == "retrieved"} == {"Earnings"}
    assert context.prompts(["Rain", question, "Law"])[1] == prompt
    # MiniLM may know all of 2021.
    assert context.knowledge_cutoff.year == 2021


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(1, 12))
def test_ties_go_to_the_first(scores, number):
    expected = sorted(range(len(scores)), key=lambda at: (-scores[at], at))[:number]
    assert best(np.array(scores, dtype=float), number).tolist() == expected
