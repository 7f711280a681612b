"""What is asked of articles and what is answered: facts, templates, time, prompts and their tokens."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.instruct_samples import START, TRAIN_UNTIL, VALIDATION_UNTIL, articles

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.instruct import (
    CorpusSplit,
    check_weights,
    exchanges,
    facts,
    load_templates,
    row_weights,
    split_corpus,
)
from embargo.models.instruct.corpus import known_until
from embargo.models.instruct.encoding import answer_tokens, encode_exchanges, prompt_tokens, room_of
from embargo.models.instruct.exchanges import WEIGHTS
from embargo.models.instruct.templates import ASKS
from embargo.models.loading.load import load_tokenizer

TEXT = (
    "Alder Robotics (ALDR) raised sales by 5.2 % to EUR 14 million in the third quarter, said CFO Ann Lee. "
    "The company sees more demand ahead, and no change of its plans for the year."
)
SPLIT = CorpusSplit(TRAIN_UNTIL, VALIDATION_UNTIL)


# --- facts ------------------------------------------------------------------------------------------------------------


def test_what_a_text_states_is_found():
    assert {ask: fact.answer for ask, fact in facts(TEXT).items()} == {
        "company": "Alder Robotics",
        "figures": "5.2 %; EUR 14 million",
        "who": "Ann Lee",
        "how-much": "EUR 14 million",
        "by-how-much": "5.2 %",
        "when": "third quarter",
    }


@pytest.mark.parametrize(
    ("text", "ask"),
    [
        ("Sales rose 5 % and costs 7 %.", "by-how-much"),
        ("It paid EUR 3 million, then EUR 5 million.", "how-much"),
        ("Up in May 2014, down in June 2014.", "when"),
        ("CEO Ann Lee met CFO Bo Kane.", "who"),
        ("Sales rose and profit fell.", "direction"),
        ("Nothing is told here.", "figures"),
    ],
)
def test_two_answers_are_none(text, ask):
    assert ask not in facts(text)


def test_a_fact_said_twice_is_one_answer():
    assert facts("Sales rose 5 % . By 5 % , it said.")["by-how-much"].answer == "5 %"


@pytest.mark.parametrize(("text", "answer"), [("Sales rose.", "up"), ("Orders SLUMPED", "down")])
def test_a_direction_is_told(text, answer):
    assert facts(text)["direction"].answer == answer


@given(st.text(max_size=200))
def test_an_answer_but_for_the_direction_is_a_span_that_ends_where_it_says(text):
    for ask, fact in facts(text).items():
        if ask not in ("direction", "figures"):
            assert fact.answer in text[: fact.end]


# --- templates --------------------------------------------------------------------------------------------------------


def changed(tmp_path, old, new):
    text = (files("embargo.models.instruct") / "research-desk.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def test_the_hash_changes_with_any_word_and_not_with_the_place(tmp_path):
    own = load_templates()
    assert load_templates(changed(tmp_path, "version = 1", "version = 1")).hash == own.hash
    assert load_templates(changed(tmp_path, "version = 1", "version = 2")).hash != own.hash
    assert load_templates(changed(tmp_path, "Headline:", "Title:")).hash != own.hash


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("version = 1", "", "version"),
        ('bullish = "positive"', 'bullish = "negative"', "one word each, all different"),
        ('[ask.when]\ntask = "questions"', '[ask.when]\ntask = "summary"', r"ask.when.task must be 'questions'"),
        ("[ask.who]", "[ask.whom]", r"lacks \['who'\]"),
        ("{text}\\n\\nWhich time", "Which time", "must hold {text} once"),
        ("Question: When?\\nAnswer:", "Question: When?\\nAnswer: ", "must not end in white space"),
        ("{text}\\n\\n{question}\\nAnswer:", "{text}\\nAnswer:", "must hold {question} once"),
        ("Go on with this news item.\\n\\n{text}", "{text} Go on.", "must end with {text}"),
        (
            "{text}\\n\\nThe date or period above:",
            "Text: {text}\\n\\nQuestion: When?\\nAnswer:",
            "is among the wordings",
        ),
    ],
)
def test_templates_that_make_no_sense_are_refused(tmp_path, old, new, told):
    with pytest.raises(ConfigError, match=told):
        load_templates(changed(tmp_path, old, new))


def test_every_ask_has_words_of_its_own():
    document = tomllib.loads((files("embargo.models.instruct") / "research-desk.toml").read_text(encoding="utf-8"))
    assert set(document["ask"]) == set(ASKS)
    every = [wording for ask in document["ask"].values() for wording in (*ask["wordings"], ask["held_out"])]
    assert len(set(every)) == len(every)


# --- time -------------------------------------------------------------------------------------------------------------


def corpus(rows):
    return pd.DataFrame(
        [
            {"article_id": f"a{number}", "known_at": pd.Timestamp(day, tz="UTC"), "text": text}
            for number, (day, text) in enumerate(rows)
        ]
    )


def test_a_text_stays_with_its_first_appearance():
    parts = split_corpus(
        corpus(
            [
                ("2015-01-01", "Sales rose."),
                ("2015-02-01", "SALES ROSE"),
                ("2015-09-20", "Sales rose!"),
                ("2015-09-21", "Orders fell."),
                ("2015-11-01", "Orders fell"),
                ("2015-11-02", "Margins held."),
                ("2015-09-01 12:00", "In the embargo."),
                ("2015-11-03", "In the embargo"),
            ]
        ),
        SPLIT,
    )
    assert [list(part["article_id"]) for part in (parts.train, parts.validation, parts.test)] == [
        ["a0"],
        ["a3"],
        ["a5"],
    ]
    assert parts.counts == {
        "rows": 8,
        "further_rows_of_an_article": 0,
        "in_the_embargo": 1,
        "text_known_from_an_earlier_part": 3,
        "repeats_in_a_part": 1,
        "answers_written_after_their_part": 0,
    }


DAYS = st.integers(0, 400).map(lambda day: START + pd.Timedelta(days=day))


@given(st.lists(st.tuples(DAYS, st.sampled_from(["a b", "c d", "e f", "g h", "i j", "k l"])), min_size=1, max_size=30))
@settings(max_examples=80, deadline=None)
def test_nothing_later_and_no_text_passes_between_parts(drawn):
    rows = [(START, "first"), (TRAIN_UNTIL + pd.Timedelta(days=5), "second"), *drawn]
    frame = pd.DataFrame(
        {
            "article_id": [f"a{n}" for n in range(len(rows))],
            "known_at": [d for d, _ in rows],
            "text": [t for _, t in rows],
        }
    )
    parts = split_corpus(frame, SPLIT)
    assert (parts.train["known_at"] <= TRAIN_UNTIL).all()
    assert (parts.validation["known_at"] > TRAIN_UNTIL + SPLIT.embargo).all()
    assert (parts.validation["known_at"] <= VALIDATION_UNTIL).all()
    assert (parts.test["known_at"] > VALIDATION_UNTIL + SPLIT.embargo).all()
    texts = [set(part["text"]) for part in (parts.train, parts.validation, parts.test)]
    assert sum(map(len, texts)) == len(set.union(*texts))
    left_out = sum(n for name, n in parts.counts.items() if name not in ("rows", "answers_written_after_their_part"))
    assert left_out + sum(len(part) for part in (parts.train, parts.validation, parts.test)) == len(rows)


def test_an_answer_written_after_its_part_is_not_asked_for():
    frame = corpus([("2015-01-01", "Sales rose a lot."), ("2015-02-01", "Orders fell a bit."), ("2015-09-20", "Up.")])
    late = pd.to_datetime(["2015-01-02", "2020-01-01", "2015-09-20"], utc=True)
    parts = split_corpus(frame.assign(label="bullish", written_at=late), SPLIT)
    assert parts.counts["answers_written_after_their_part"] == 1
    made, _ = exchanges(parts.train, load_templates())
    assert [one.article_id for one in made if one.ask == "tone"] == ["a0"]
    assert known_until((parts.train, parts.validation)) == pd.Timestamp("2015-09-20", tz="UTC")
    # An answer in time is known when it was written, not when the article was.
    (tone,) = [one for one in made if one.ask == "tone"]
    assert tone.known_at == late[0]


def test_a_part_without_articles_is_refused():
    with pytest.raises(DataError, match="no articles for validation"):
        split_corpus(corpus([("2015-01-01", "Sales rose.")]), SPLIT)


# --- exchanges --------------------------------------------------------------------------------------------------------


def test_the_answer_of_a_summary_does_not_stand_in_its_prompt():
    made, _ = exchanges(articles(12, seed=1), load_templates())
    for one in made:
        if one.ask == "headline":
            assert one.answer not in one.prompt
        if one.ask == "rest":
            assert one.answer not in one.prompt
            assert one.text + " " + one.answer in " ".join(one.source.split("\n")) or one.source.endswith(one.answer)


def test_a_given_question_may_hold_braces_and_its_answer_need_not_stand_in_the_text():
    row = {
        "article_id": "a",
        "known_at": START,
        "text": "Sales rose.",
        "question": "What is {text}?",
        "answer": "a rise",
    }
    made, counts = exchanges(pd.DataFrame([row]), load_templates())
    (one,) = [each for each in made if each.ask == "given"]
    assert "What is {text}?" in one.after
    assert (one.answer, one.needs) == ("a rise", 0)
    assert counts["questions/given"] == 1


def test_wordings_are_held_out_for_measuring():
    templates = load_templates()
    trained, _ = exchanges(articles(30, seed=1), templates)
    measured, _ = exchanges(articles(30, seed=1), templates, held_out=True)
    seen = {(one.before, one.after) for one in trained}
    assert len(seen) > len({one.ask for one in trained}), "only one wording of each is ever used"
    assert not seen & {(one.before, one.after) for one in measured}


def test_the_same_articles_give_the_same_exchanges_in_any_order():
    frame = articles(20, seed=1)
    first, _ = exchanges(frame, load_templates(), most=7)
    again, counts = exchanges(frame.sample(frac=1, random_state=1), load_templates(), most=7)
    assert first == again
    assert counts["over the limit"] > 0
    assert max(sum(one.task == task for one in first) for task in WEIGHTS) == 7


def test_a_strange_label_is_an_error_that_names_the_article():
    row = {"article_id": "a7", "known_at": START, "text": "Sales rose.", "label": "good"}
    with pytest.raises(DataError, match="article 'a7': label 'good'"):
        exchanges(pd.DataFrame([row]), load_templates())


@given(st.dictionaries(st.sampled_from(list(WEIGHTS)), st.integers(1, 9), min_size=1))
def test_a_tasks_share_of_the_loss_is_its_weight(drawn):
    weights = {task: value / sum(drawn.values()) for task, value in drawn.items()}
    made, _ = exchanges(articles(6, seed=3), load_templates(), weights)
    counted = row_weights(made, weights)
    assert sum(counted) == pytest.approx(len(made))
    for task, weight in weights.items():
        share = sum(value for value, one in zip(counted, made, strict=True) if one.task == task)
        assert share / len(made) == pytest.approx(weight)


@pytest.mark.parametrize("weights", [{"summary": 0.5}, {"summary": 1.5, "questions": -0.5}, {"poetry": 1.0}])
def test_weights_that_are_no_shares_are_refused(weights):
    with pytest.raises(ConfigError, match="weights"):
        check_weights(weights)


# --- tokens -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer(decoder):
    return load_tokenizer(decoder)


def asked(ask, text=TEXT, **more):
    made, _ = exchanges(pd.DataFrame([{"article_id": "a", "known_at": START, "text": text, **more}]), load_templates())
    (one,) = [each for each in made if each.ask == ask]
    return one


def test_prompt_and_answer_are_tokenized_apart_and_the_answer_ends(tokenizer):
    one = asked("by-how-much")
    room = room_of(tokenizer, 256, 16)
    encoded, rows, counts = encode_exchanges(tokenizer, [one], {"questions": 1.0}, room)
    assert (rows, counts) == ([0], {})
    start = int(encoded.starts[0])
    assert tokenizer.decode(encoded.tokens[0][:start], skip_special_tokens=True) == one.prompt
    assert tokenizer.decode(encoded.tokens[0][start:-1]).strip() == one.answer
    assert encoded.tokens[0][-1] == tokenizer.eos_token_id
    assert encoded.tokens[0][:start] == prompt_tokens(tokenizer, one, room)


def test_an_answer_that_is_cut_has_no_end(tokenizer):
    room = room_of(tokenizer, 256, 4)
    ids = answer_tokens(tokenizer, "sales " * 20, room)
    assert len(ids) == 4
    assert tokenizer.eos_token_id not in ids


def test_a_long_text_is_cut_and_what_is_asked_is_not(tokenizer):
    one = asked("by-how-much", TEXT + " And so on." * 80)
    room = room_of(tokenizer, 120, 8)
    ids = prompt_tokens(tokenizer, one, room)
    assert len(ids) <= room.prompt
    shown = tokenizer.decode(ids, skip_special_tokens=True)
    assert shown.startswith(one.before)
    assert shown.endswith(one.after)
    assert one.answer in shown
    assert len(ids) > room.prompt - 12, "more was cut than had to be"


def test_an_answer_beyond_the_cut_is_not_asked_for(tokenizer):
    one = asked("by-how-much", "Nothing is told here yet. " * 30 + "Sales rose 5 %.")
    assert prompt_tokens(tokenizer, one, room_of(tokenizer, 128, 8)) is None


def test_a_completion_keeps_the_end_of_what_it_goes_on_with(tokenizer):
    one = asked("rest", "First it began and began. " * 20 + "Then came the middle. " + "And so it went on. " * 21)
    ids = prompt_tokens(tokenizer, one, room_of(tokenizer, 96, 16))
    assert tokenizer.decode(ids, skip_special_tokens=True).endswith(one.text[-30:])


def test_how_much_is_shown_does_not_depend_on_the_answer(tokenizer):
    one = asked("tone", TEXT * 5, label="bullish")
    room = room_of(tokenizer, 128, 16)
    assert prompt_tokens(tokenizer, one, room) == prompt_tokens(tokenizer, replace(one, answer="x " * 50), room)


def test_a_text_cannot_smuggle_in_a_special_token(tokenizer):
    one = asked("tone", f"Sales rose {tokenizer.eos_token} and fell.", label="bullish")
    ids = prompt_tokens(tokenizer, one, room_of(tokenizer, 256, 16))
    assert tokenizer.eos_token_id not in ids
    assert ids.count(tokenizer.bos_token_id) <= 1


def test_no_room_for_a_prompt_is_refused(tokenizer):
    with pytest.raises(ConfigError, match="leave no room for a prompt"):
        room_of(tokenizer, 32, 30)


def test_counts_are_whole_numbers():
    _, counts = exchanges(articles(5, seed=1), load_templates())
    assert all(isinstance(n, int | np.integer) for n in counts.values())
