"""Tuning to answer: the loss of answers alone, weights of tasks, the same bits again, and a true effect."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from samples.instruct_samples import SETTINGS, START, articles, short_templates, tones, tuned

from embargo.data_loaders.errors import ConfigError, DataError, LeakError
from embargo.models.evaluation import sign_flip
from embargo.models.instruct import (
    AnswerModel,
    exchanges,
    load_templates,
    row_weights,
    tune_answers,
)
from embargo.models.instruct.encoding import IGNORED, EncodedAnswers, answer_labels, encode_exchanges, room_of
from embargo.models.instruct.training import AnswerLoop, adapted_decoder, answer_losses
from embargo.models.loading.load import deterministic, load_tokenizer, pad


def mixed(n=24):
    made, _ = exchanges(articles(n, seed=2), load_templates())
    return made


# --- the loss ---------------------------------------------------------------------------------------------------------


def test_only_the_answers_tokens_have_labels():
    encoded = EncodedAnswers([[5, 6, 7, 8, 9], [4, 3, 2]], np.array([3, 1]), np.ones(2))
    labels = answer_labels(encoded, [0, 1], 8)
    # The last token of a prompt predicts the first one of the answer; the last one of an answer predicts nothing.
    assert labels.tolist() == [
        [IGNORED, IGNORED, 8, 9, IGNORED, IGNORED, IGNORED, IGNORED],
        [3, 2, IGNORED, IGNORED, IGNORED, IGNORED, IGNORED, IGNORED],
    ]


def test_the_loss_of_an_answer_is_the_mean_over_its_tokens_written_out():
    rng = np.random.default_rng(0)
    logits = torch.tensor(rng.normal(size=(2, 4, 5)), dtype=torch.float32)
    labels = torch.tensor([[IGNORED, 1, 4, IGNORED], [2, IGNORED, IGNORED, IGNORED]])
    expected = []
    for row in range(2):
        taken = [
            math.log(sum(math.exp(float(x)) for x in logits[row, at])) - float(logits[row, at, int(labels[row, at])])
            for at in range(4)
            if int(labels[row, at]) != IGNORED
        ]
        expected.append(sum(taken) / len(taken))
    np.testing.assert_allclose(answer_losses(logits, labels).numpy(), expected, rtol=1e-6)


def test_what_is_predicted_inside_a_prompt_has_no_gradient(decoder):
    tokenizer = load_tokenizer(decoder)
    made = mixed(6)
    encoded, _, _ = encode_exchanges(tokenizer, made, load_weights(made), room_of(tokenizer, 128, 16))
    length = max(map(len, encoded.tokens))
    model = adapted_decoder(decoder, SETTINGS, "fp32")
    ids, mask = pad(encoded.tokens, tokenizer.pad_token_id, length)
    logits = model(input_ids=ids, attention_mask=mask).logits
    logits.retain_grad()
    labels = torch.from_numpy(answer_labels(encoded, range(len(encoded)), length))
    answer_losses(logits, labels).sum().backward()
    for row, (tokens, start) in enumerate(zip(encoded.tokens, encoded.starts, strict=True)):
        moved = logits.grad[row].abs().amax(dim=1)
        assert (moved[: start - 1] == 0).all(), "a prompt's token is predicted"
        assert (moved[len(tokens) - 1 :] == 0).all(), "padding is predicted"
        assert (moved[start - 1 : len(tokens) - 1] > 0).all(), "an answer's token is not"


def load_weights(made):
    tasks = sorted({one.task for one in made})
    return dict.fromkeys(tasks, 1 / len(tasks))


def test_a_pass_weighs_each_task_as_it_was_told(decoder):
    """The mean of step losses over a pass is the weighted sum of the tasks' mean losses, however many there are."""
    made = mixed(12)
    weights = {"understanding": 0.1, "completion": 0.6, "summary": 0.1, "questions": 0.2}
    tokenizer = load_tokenizer(decoder)
    encoded, rows, _ = encode_exchanges(tokenizer, made, weights, room_of(tokenizer, 128, 16))
    with deterministic(0):
        model = adapted_decoder(decoder, SETTINGS, "fp32").eval()
        loop = AnswerLoop(model, (encoded, encoded), replace(SETTINGS, batch_size=7), tokenizer.pad_token_id, "fp32")
        single = []
        for tokens, start in zip(encoded.tokens, encoded.starts, strict=True):
            ids = torch.tensor([tokens])
            labels = ids.clone()
            labels[0, :start] = IGNORED
            with torch.no_grad():  # transformers' own loss, which shifts labels by itself
                single.append(float(model(input_ids=ids, labels=labels).loss))
        single = np.array(single)
        of = np.array([made[row].task for row in rows])
        expected = sum(share * single[of == task].mean() for task, share in weights.items())
        losses, counted = [], 0
        for start in range(0, len(encoded), 7):
            group = np.arange(start, min(start + 7, len(encoded)))
            losses.append(float(loop._gradients(group, group, first=True)) * len(group))
            counted += len(group)
    assert counted == len(encoded)
    assert sum(losses) / counted == pytest.approx(expected, rel=1e-5)
    assert loop._validate() == pytest.approx(expected, rel=1e-5)
    assert {task: int((of == task).sum()) for task in weights}["understanding"] != int((of == "summary").sum())


def test_micro_batches_give_the_step_of_the_whole(decoder):
    made = mixed(8)
    tokenizer = load_tokenizer(decoder)
    encoded, _, _ = encode_exchanges(tokenizer, made, load_weights(made), room_of(tokenizer, 128, 16))
    found = []
    for at_once in (12, 5):
        with deterministic(0):
            model = adapted_decoder(decoder, replace(SETTINGS, dropout=0.0), "fp32").eval()
            settings = replace(SETTINGS, batch_size=12, micro_batch=at_once)
            loop = AnswerLoop(model, (encoded, encoded), settings, tokenizer.pad_token_id, "fp32")
            loss = float(loop._gradients(np.arange(12), np.arange(12), first=True))
            found.append((loss, torch.cat([value.grad.flatten() for value in loop.trained.values()])))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-4, atol=1e-6)


# --- a true effect ----------------------------------------------------------------------------------------------------


def test_tuning_makes_held_out_answers_likelier_and_shuffled_answers_teach_nothing(reader, short, tmp_path):
    train, validation, test = tones(short)
    settings = replace(SETTINGS, epochs=4, dropout=0.0)
    true = tuned(reader, train, validation, tmp_path, settings)
    rng = np.random.default_rng(0)
    twins = []
    for part in (train, validation):
        answers = [one.answer for one in part]
        rng.shuffle(answers)
        twins.append([replace(one, answer=answer) for one, answer in zip(part, answers, strict=True)])
    twin = tuned(reader, *twins, tmp_path, settings)
    other = {"orders": "margins", "margins": "orders"}
    wrong = [replace(one, answer=other[one.answer]) for one in test]
    base = AnswerModel(reader, true, tuned=False).losses(test)
    told, misled = AnswerModel(reader, true), AnswerModel(reader, twin)
    gained = base - told.losses(test)
    assert gained.mean() > 0.1
    assert sign_flip(gained) < 0.001
    # Which of the two answers it is: the tuned model knows on wordings it never read, its twin does not.
    knows, guesses = (model.losses(wrong) - model.losses(test) for model in (told, misled))
    assert knows.mean() > 0.5
    assert abs(guesses.mean()) < 0.25 * knows.mean()
    assert told.losses(test).mean() < misled.losses(test).mean()


# --- the same again ---------------------------------------------------------------------------------------------------


def test_the_order_of_exchanges_does_not_matter_and_twice_costs_once(decoder, short, tmp_path):
    train, validation, _ = tones(short, n=40)
    first = tuned(decoder, train, validation, tmp_path / "a", replace(SETTINGS, epochs=1))
    again = tuned(decoder, train[::-1], validation[::-1], tmp_path / "b", replace(SETTINGS, epochs=1))
    assert again.identity == first.identity
    assert again.manifest == first.manifest
    steps = []
    kept = tuned(
        decoder, train, validation, tmp_path / "a", replace(SETTINGS, epochs=1), progress=lambda *a: steps.append(a)
    )
    assert kept.path == first.path
    assert not steps


@pytest.mark.parametrize(
    "change",
    [{"weights": {"understanding": 0.9, "completion": 0.1}}, {"max_answer": 9}, {"templates_hash": "cd34"}],
    ids=lambda change: next(iter(change)),
)
def test_another_tuning_has_another_folder(decoder, tmp_path, change):
    made = [one for one in mixed(8) if one.task in ("understanding", "completion")]
    usual = {"weights": {"understanding": 0.5, "completion": 0.5}, "max_answer": 8, "templates_hash": "ab12"}
    names = set()
    for given in (usual, usual | change):
        adapter = tune_answers(
            decoder,
            train=made,
            validation=made,
            settings=replace(SETTINGS, epochs=1),
            trained_until=None,
            cache_dir=tmp_path,
            **given,
        )
        names.add(adapter.path.name)
    assert len(names) == 2


KILLED = """
import os, signal, sys
sys.path[:0] = {paths!r}
from pathlib import Path
import samples.instruct_samples as t
from embargo.models.bases.resolve import open_base
from embargo.models.instruct import load_templates

base = open_base(Path({base!r}), name="reader")
def progress(done, total):
    if done == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
train, validation, _ = t.tones(load_templates({templates!r}), n=40)
t.tuned(base, train, validation, Path({folder!r}), progress=progress)
"""


def test_a_stopped_training_goes_on_to_the_same_bits(decoder, short, tmp_path):
    train, validation, _ = tones(short, n=24)
    whole = tuned(decoder, train, validation, tmp_path / "whole")
    steps = math.ceil(len(train) / SETTINGS.batch_size)
    seen = []

    def stop(done, _total):
        if done == steps + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned(decoder, train, validation, tmp_path / "stopped", progress=stop)
    resumed = tuned(decoder, train, validation, tmp_path / "stopped", progress=lambda done, _total: seen.append(done))
    assert seen[0] == steps + 1, "it did not go on from the end of the first pass"
    assert resumed.identity == whole.identity


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_bits(decoder, tmp_path):
    templates = str(short_templates(tmp_path))
    train, validation, _ = tones(load_templates(templates), n=40)
    base = replace(decoder, name="reader", knowledge_cutoff=None)
    whole = tuned(base, train, validation, tmp_path / "whole")
    steps = math.ceil(len(train) / SETTINGS.batch_size)
    script = KILLED.format(
        paths=[str(Path(__file__).parents[2])],
        base=base.path_or_id,
        step=steps + 1,
        templates=templates,
        folder=str(tmp_path / "killed"),
    )
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    killed = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, timeout=240)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    adapters = tmp_path / "killed" / "adapters"
    assert list(adapters.glob(".training-*.safetensors"))
    assert not list(adapters.glob("adapter-*"))
    seen = []
    resumed = tuned(base, train, validation, tmp_path / "killed", progress=lambda done, _total: seen.append(done))
    assert seen[0] == steps + 1, "it did not go on from the end of the first pass"
    assert resumed.identity == whole.identity
    assert not list(adapters.glob(".training-*"))


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_what_was_known_later_is_refused(decoder, short, tmp_path):
    train, validation, _ = tones(short, n=40)
    with pytest.raises(LeakError, match="were known after trained_until"):
        tuned(decoder, train, validation, tmp_path, trained_until=START)


def test_a_weight_without_an_example_is_refused_before_anything_is_loaded(decoder, short, tmp_path):
    train, validation, _ = tones(short, n=40)
    weights = {"understanding": 0.5, "summary": 0.5}
    with pytest.raises(ConfigError, match=r"weights\.summary = 0\.5, and no article"):
        tuned(decoder, train, validation, tmp_path, weights=weights)
    assert not (tmp_path / "adapters").exists()


def test_virtual_tokens_cannot_be_merged_and_are_refused(decoder, short, tmp_path):
    train, validation, _ = tones(short, n=40)
    with pytest.raises(ConfigError, match="can be merged"):
        tuned(decoder, train, validation, tmp_path, replace(SETTINGS, method="prefix"))


def test_nothing_to_validate_on_is_refused(decoder, short, tmp_path):
    train, _, _ = tones(short, n=40)
    with pytest.raises(DataError, match="validation: no exchanges"):
        tuned(decoder, train, [], tmp_path)


def test_texts_that_leave_no_room_are_counted_and_weights_follow_what_is_left(decoder):
    made = mixed(8)
    tokenizer = load_tokenizer(decoder)
    weights = load_weights(made)
    encoded, rows, counts = encode_exchanges(tokenizer, made, weights, room_of(tokenizer, 96, 16))
    assert counts["answer_beyond_the_cut"] == len(made) - len(rows) > 0
    assert encoded.weights.tolist() == row_weights([made[row] for row in rows], weights)
