"""Likelihoods of answers are those of a plain forward of each prompt alone, over every family of decoders."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from embargo.data_loaders.errors import ConfigError
from embargo.models.bases.resolve import DECODERS
from embargo.models.prompting.answers import Answers, Reader, common_start, token_ids

VOCABULARY = 97
# Tokens that see no further back than the shared beginning is long, where an architecture has it.
WINDOW = 16
SHARED = 40
ANSWERS = Answers(((5,), (6, 7), (5, 9, 11, 13)))


@cache
def model_of(architecture: str, **settings: object):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = {
        "vocab_size": VOCABULARY, "hidden_size": 32, "n_embd": 32, "num_hidden_layers": 4, "n_layer": 4, "n_inner": 64,
        "num_layers": 4, "num_attention_heads": 4, "n_head": 4, "num_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
        "intermediate_size": 64, "ffn_dim": 64, "max_position_embeddings": 128, "n_positions": 128, "rotary_dim": 4,
        "word_embed_proj_dim": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "num_kv_heads": 2,
        "window_size": WINDOW, "ffn_hidden_size": 64,
    }  # fmt: skip
    config = AutoConfig.for_model(architecture)
    text = config.get_text_config()
    for name, value in (shape | settings).items():
        if hasattr(text, name) and not (architecture == "falcon" and name == "head_dim"):
            setattr(text, name, value)
    if architecture == "gpt_neo":
        text.attention_types, text.attention_layers = [[["global", "local"], 2]], ["global", "local"] * 2
    if getattr(text, "sliding_window", None):
        text.sliding_window = WINDOW
    if getattr(text, "layer_types", None):
        text.layer_types = (text.layer_types * 4)[:4]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).eval().float()
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.3)
    return model


def drawn(lengths, seed: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(3, VOCABULARY, length).tolist() for length in lengths]


def plainly(model, rows: list[list[int]], answers: Answers = ANSWERS) -> np.ndarray:
    """Put every prompt with every answer through the model by itself."""
    import torch

    found = np.empty((len(rows), len(answers.tokens)))
    for at, row in enumerate(rows):
        for answer, tokens in enumerate(answers.tokens):
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([[*row, *tokens]])).logits[0].double().log_softmax(-1)
            found[at, answer] = sum(float(logits[len(row) - 1 + place, token]) for place, token in enumerate(tokens))
    return found


def shares(likelihoods: np.ndarray) -> np.ndarray:
    return np.asarray(softmax(likelihoods / ANSWERS.lengths, axis=1))


# Gemma 3 with its vision part takes seconds to build, and has the text part of gemma3_text.
@pytest.mark.parametrize("architecture", sorted(DECODERS - {"gemma3"}))
def test_sharing_and_batches_change_no_probability(architecture):
    model = model_of(architecture)
    (start,) = drawn([SHARED], seed=1)
    rows = drawn([1, 2, 7, 8, 9, 9, 15, 23, 24, 3], seed=2)
    expected = shares(plainly(model, [[*start, *row] for row in rows]))
    assert expected.std(axis=0).min() > 0.005, "the texts tell"
    shared = Reader(model, ANSWERS, start).log_likelihoods(rows)
    assert np.abs(shares(shared) - expected).max() < 1e-5
    whole = Reader(model, ANSWERS).log_likelihoods([[*start, *row] for row in rows])
    assert np.abs(shares(whole) - expected).max() < 1e-5


def test_falcon_with_biases_for_positions():
    model = model_of("falcon", alibi=True)
    (start,) = drawn([SHARED], seed=1)
    rows = drawn([3, 9, 14], seed=2)
    expected = shares(plainly(model, [[*start, *row] for row in rows]))
    assert np.abs(shares(Reader(model, ANSWERS, start).log_likelihoods(rows)) - expected).max() < 1e-5


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    budget=st.sampled_from([16, 64, 200]),
    architecture=st.sampled_from(["llama", "gpt2", "mistral"]),
    seed=st.integers(0, 5),
)
@settings(max_examples=25)
def test_a_likelihood_depends_on_its_prompt_alone(lengths, budget, architecture, seed):
    (start,) = drawn([SHARED], seed=1)
    rows = drawn(lengths, seed=seed)
    reader = Reader(model_of(architecture), ANSWERS, start, token_budget=budget)
    together = reader.log_likelihoods(rows)
    assert np.array_equal(together[::-1], reader.log_likelihoods(rows[::-1]))
    assert np.array_equal(together[0], reader.log_likelihoods(rows[:1])[0])


def test_what_is_lent_stays_as_it_was():
    model = model_of("mistral")
    (start,) = drawn([SHARED], seed=1)
    reader = Reader(model, ANSWERS, start)
    before = [copy.deepcopy((layer.keys, layer.values)) for layer in reader._lent.layers]
    reader.log_likelihoods(drawn([5, 30], seed=4))
    for layer, (keys, values) in zip(reader._lent.layers, before, strict=True):
        assert layer.keys.equal(keys)
        assert layer.values.equal(values)


def test_one_pass_over_a_text_gives_all_answers_of_one_token(monkeypatch):
    model = model_of("llama")
    passes, forward = [], model.forward
    (start,) = drawn([SHARED], seed=1)
    reader = Reader(model, Answers(((5,), (6,), (7,))), start)
    monkeypatch.setattr(model, "forward", lambda **given: passes.append(given["input_ids"].shape) or forward(**given))
    reader.log_likelihoods(drawn([8], seed=4))
    assert [shape[1] for shape in passes] == [8]
    passes.clear()
    reader = Reader(model, ANSWERS, start)
    passes.clear()
    reader.log_likelihoods(drawn([8], seed=4))
    assert [shape[1] for shape in passes] == [8, 1, 3], "what longer answers have beyond their first token"


def test_batches_are_small_enough_for_what_they_are_lent(monkeypatch):
    import embargo.models.prompting.answers as module

    (start,) = drawn([SHARED], seed=1)
    model = model_of("llama")
    one = sum(layer.keys.nbytes + layer.values.nbytes for layer in Reader(model, ANSWERS, start)._lent.layers)
    monkeypatch.setattr(module, "LENT", {"cpu": 3 * one, "cuda": 3 * one})
    reader = Reader(model, ANSWERS, start)
    rows, forward = [], reader._forward
    monkeypatch.setattr(reader, "_forward", lambda filled, length: rows.append(len(filled)) or forward(filled, length))
    reader.log_likelihoods(drawn([4] * 7, seed=4))
    assert rows == [3, 3, 3]


@given(st.lists(st.lists(st.integers(0, 2), max_size=5), min_size=1, max_size=4))
def test_the_common_start_is_the_longest(rows):
    start = common_start(rows)
    assert all(row[: len(start)] == start for row in rows)
    assert any(len(row) == len(start) for row in rows) or len({row[len(start)] for row in rows}) > 1


class Letters:
    """A tokenizer of single letters that knows some pairs, and puts signs around every text."""

    def __init__(self, pairs: tuple[str, ...] = (), ends: bool = True, known: str = "") -> None:
        self._pairs, self._ends, self._known, self.unk_token_id = pairs, ends, known, 1

    def _one(self, text: str) -> list[int]:
        ids: list[int] = []
        while text:
            piece = next((pair for pair in self._pairs if text.startswith(pair)), text[0])
            ids.append(1 if self._known and piece not in self._known else 100 + sum(map(ord, piece)) * len(piece))
            text = text[len(piece) :]
        return ids

    def __call__(self, texts, *, add_special_tokens=True, **_):
        ids = [self._one(text) for text in ([texts] if isinstance(texts, str) else texts)]
        if add_special_tokens and self._ends:
            ids = [[2, *each, 3] for each in ids]
        return {"input_ids": ids[0] if isinstance(texts, str) else ids}


def test_signs_at_the_start_are_kept_and_those_at_the_end_are_not():
    assert token_ids(["a", ""], Letters()) == [[2, 197], [2]]
    assert token_ids(["a"], Letters(ends=False)) == [[197]]


def test_a_tokenizer_that_joins_prompt_and_answer_is_healed():
    answers = Answers.behind(["x:", "y:"], [" up", " no"], Letters(pairs=(": ",)))
    assert answers.healed == 1, "the colon goes with the blank"
    assert [len(tokens) for tokens in answers.tokens] == [3, 3]
    assert Answers.behind(["x:", "y:"], [" up", " no"], Letters()).healed == 0


def test_answers_that_cannot_be_told_apart_are_refused():
    with pytest.raises(ConfigError, match="joins the answer with the article"):
        Answers.behind(["x", "y"], ["up", "no"], Letters(pairs=("xup",)))
    with pytest.raises(ConfigError, match="no tokens for the answer 'no'"):
        Answers.behind(["x:"], ["up", "no"], Letters(known="x:up"))
    with pytest.raises(ConfigError, match="the same tokens"):
        Answers.behind(["x:"], ["up", "pu", "up"], Letters())
