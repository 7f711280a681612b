"""The built-in decoder that is asked: it answers what its labels taught it, and no label from after its cutoff does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from samples.asked import articles
from samples.model_samples import CUTOFF

from embargo.data_loaders.errors import ConfigError, DataError, LeakError
from embargo.models import TinyInstructSettings, TinyLmSettings, pretrain_tiny_instruct
from embargo.models.bases.resolve import Base, resolve_base
from embargo.models.instruct.encoding import IGNORED, answer_labels
from embargo.models.instruct.tiny_instruct import _Asking
from embargo.models.loading.load import load_tokenizer
from embargo.models.prompting import Context, PromptSettings
from embargo.models.prompting.answers import token_ids
from embargo.models.scorers.kind import FitRequest
from embargo.models.scorers.prompted import PromptedScorer

LM = TinyLmSettings(
    layers=2, hidden=64, intermediate=64, vocabulary=400, max_length=512, epochs=6, batch_size=2, learning_rate=5e-3
)
SMALL = TinyInstructSettings(
    LM, templates=("brief",), retrieved=1, questions=3000, batch_size=4, learning_rate=1.5e-3, held_out=0.15
)
# Enough to be made, and to answer nothing.
BRIEF = replace(SMALL, pretraining=replace(LM, layers=1, epochs=1, vocabulary=300), questions=1)
EVERY = articles(360)
SAMPLES = EVERY.iloc[:240].assign(known_at=CUTOFF, ends_at=CUTOFF)
ASKED = EVERY.iloc[240:]
LATER = CUTOFF + pd.Timedelta("1us")


def made(folder: Path, labelled: pd.DataFrame = SAMPLES, settings: TinyInstructSettings = BRIEF, **given: Any) -> Base:
    texts = SAMPLES["text"].tolist()
    known: dict[str, Any] = {"known_at": [CUTOFF] * len(texts), "knowledge_cutoff": CUTOFF, "cache_dir": folder}
    return pretrain_tiny_instruct(texts, labelled=labelled, settings=settings, **known | given)


def right(base: Base, **prompt: Any) -> np.ndarray:
    """Tell of each text whether the answer to a prompt about it is right."""
    texts, labels = SAMPLES["text"].tolist(), SAMPLES["label"].tolist()
    request = FitRequest(texts, labels, [], [], None, None, Path(), train=SAMPLES, background=SAMPLES)
    context = Context.build(PromptSettings(template="brief", **prompt), request, load_tokenizer(base))
    answers = PromptedScorer(base, context).logits(ASKED["text"].tolist()).argmax(axis=1)
    return np.asarray(answers == ASKED["label"])


@pytest.fixture(scope="module")
def base(cache_dir: Path) -> Base:
    return made(cache_dir)


def test_is_a_decoder_that_says_what_it_was_made_of(base: Base) -> None:
    assert (base.name, base.kind, base.architecture, base.knowledge_cutoff) == (
        "tiny-instruct", "decoder", "llama", CUTOFF
    )  # fmt: skip
    texts, labels = SAMPLES["text"].nunique(), len(SAMPLES[["text", "label"]].drop_duplicates())
    said = f"pretrained here on {texts} texts and tuned to answer on {labels} labels, all known by"
    assert base.source == f"{said} {CUTOFF.isoformat()}"
    told = json.loads((Path(base.path_or_id) / "manifest.json").read_text())
    assert told["n_labelled"] + told["n_validation"] == labels
    assert len(told["epochs"]) == told["best_epoch"] == 1


@pytest.mark.slow
def test_it_answers_texts_that_it_has_not_seen_and_labels_without_sense_teach_it_nothing(tmp_path: Path) -> None:
    shuffled = SAMPLES.assign(label=np.random.default_rng(3).permutation(SAMPLES["label"]))
    lm = replace(LM, hidden=128, intermediate=128, learning_rate=3e-3)
    wide = replace(SMALL, pretraining=lm, learning_rate=1e-3, batch_size=8, questions=8000)
    # Where a training ends hangs on its seed and on how a processor rounds: one in five tells two classes apart only.
    taught = [made(tmp_path, SAMPLES, wide, seed=seed) for seed in range(3)]
    untaught = made(tmp_path, shuffled, wide)
    for prompt in ({}, {"examples": 3}, {"retrieve": "bm25", "retrieved": 1}):
        # Of 120 texts, chance leaves 0.33 with a standard error of 0.04.
        assert np.mean([right(base, **prompt).mean() for base in taught]) > 0.5, prompt
        assert right(untaught, **prompt).mean() < 0.5, prompt


@pytest.mark.parametrize("column", ["known_at", "ends_at"])
def test_a_label_from_after_the_cutoff_is_refused(tmp_path: Path, column: str) -> None:
    late = SAMPLES.copy()
    late.loc[7, column] = LATER
    with pytest.raises(LeakError, match="base 'tiny-instruct': 1 labels of texts were known after the knowledge cut"):
        made(tmp_path, late)
    with pytest.raises(LeakError, match="base 'tiny-instruct': 240 texts were known after"):
        made(tmp_path, known_at=[LATER] * len(SAMPLES))
    assert not list(tmp_path.rglob("*"))


def test_the_same_labels_give_the_same_weights_in_any_order_and_others_do_not(base: Base, tmp_path: Path) -> None:
    assert made(tmp_path / "again", SAMPLES[::-1]).weights_hash == base.weights_hash
    flipped = SAMPLES.assign(label=2 - SAMPLES["label"])
    hashes = [
        made(tmp_path, labelled, seed=seed).weights_hash
        for labelled, seed in ((SAMPLES, 0), (flipped, 0), (SAMPLES, 1))
    ]
    assert len(set(hashes)) == 3


def test_its_prompts_are_those_that_readers_are_asked(base: Base) -> None:
    tokenizer = load_tokenizer(base)
    pairs = list(zip(SAMPLES["text"], SAMPLES["label"], strict=True))[:40]
    nothing = FitRequest([], [], [], [], None, None, Path())
    for name in ("brief", "investor-view", "news-sentiment"):
        context = Context.build(PromptSettings(template=name), nothing, tokenizer)
        asking = _Asking(tokenizer, replace(SMALL, templates=(name,)), SAMPLES["text"].tolist())
        plain = {context.rendered(text) + context.labels[label] + "</s>" for text, label in pairs}
        alone = asking.prompts(pairs, np.random.default_rng(0), alone=True)
        assert {tokenizer.decode(ids[1:]) for ids in alone.tokens} == plain
        told = asking.prompts(pairs, np.random.default_rng(0), alone=False)
        assert sum(len(told.answers(row)) for row in range(len(told))) == len(pairs), "each is asked once"
        assert max(len(told.answers(row)) for row in range(len(told))) == 1 + SMALL.examples
        earlier = context.template.earlier("\n").split("\n")[0]
        front = [tokenizer.decode(ids) for ids in told.tokens]
        assert any(earlier in words for words in front)
        for row in range(len(told)):
            words = tokenizer.decode(told.tokens[row][1:-1])
            assert told.tokens[row][:-1] == token_ids([words], tokenizer)[0], "as one text is tokenized"
            for start, end in told.answers(row)[:-1]:
                assert tokenizer.decode(told.tokens[row][start:end]) in context.labels


def test_the_loss_stands_on_every_answer_and_on_nothing_else(base: Base) -> None:
    tokenizer = load_tokenizer(base)
    pairs = list(zip(SAMPLES["text"], SAMPLES["label"], strict=True))[:30]
    told = _Asking(tokenizer, SMALL, SAMPLES["text"].tolist()).prompts(pairs, np.random.default_rng(0), alone=False)
    for row, ids in enumerate(told.tokens):
        asked = answer_labels(told, [row], len(ids))[0]
        kept = tokenizer.decode([token for token in asked.tolist() if token != IGNORED])
        said = [tokenizer.decode(ids[start:end]) for start, end in told.answers(row)]
        assert kept == "".join(said)
        assert said[-1].endswith("</s>")
        assert len(said) == 1 + len(told.before[row] if told.before is not None else ())


def test_it_needs_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no samples"):
        made(tmp_path, SAMPLES.iloc[:0])
    with pytest.raises(DataError, match="a classifier needs two classes"):
        made(tmp_path, SAMPLES.assign(label=1))
    with pytest.raises(DataError, match="lack \\['known_at'\\]"):
        made(tmp_path, SAMPLES.drop(columns="known_at"))
    with pytest.raises(DataError, match="Give more labels, or change held_out"):
        made(tmp_path, settings=replace(BRIEF, held_out=1e-9))


@pytest.mark.parametrize(
    "change",
    [{"retrieved": -1}, {"alone": 2.0}, {"questions": 0}, {"templates": ()}, {"held_out": 0.0}, {"learning_rate": 0.0}],
)
def test_refuses_impossible_settings(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="tiny-instruct"):
        replace(SMALL, **change)


def test_is_made_not_found() -> None:
    with pytest.raises(ConfigError, match=r"embargo\.models\.pretrain_tiny_instruct"):
        resolve_base("tiny-instruct")
