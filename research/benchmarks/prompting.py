"""Time a prompted reader whose shared prompt is computed once against a plain loop over whole prompts.

``python -m embargo.research.benchmarks.prompting --write docs/prompting.md`` renews the table. The model has random
weights and the widths of a Llama of one billion parameters, with fewer layers, so that a machine without a GPU is done
in minutes and 4 GB. Both ways read the same prompts in one process, by turns, and are compared by the CPU time of that
process: what else runs on the machine slows both alike.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy.special import softmax

from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
from embargo.models.bases.resolve import Base
from embargo.models.loading.load import load_tokenizer
from embargo.models.loading.shared import SharedBase
from embargo.models.methods.settings import Arithmetic
from embargo.models.prompting.answers import Answers, token_ids
from embargo.models.prompting.context import Context
from embargo.models.prompting.settings import PromptSettings
from embargo.models.scorers.kind import FitRequest
from embargo.models.scorers.prompted import PromptedScorer

WIDTH, INNER, HEADS, KEY_HEADS, VOCABULARY, REACH = 2048, 8192, 32, 8, 128_256, 4096
LAYERS, SHARED, TEXTS, BATCH = 4, 400, 32, 8
TRAIN = 400
SPECIAL, WORDS = ("<s>", "</s>"), ("negative", "neutral", "positive")


@dataclass(frozen=True)
class Timed:
    """What one way took, in seconds of CPU, and the probabilities that it gave."""

    seconds: float
    probabilities: np.ndarray


class Held:
    """Lends one model that is in memory already."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def language(self, compute: Arithmetic) -> Any:
        """Return it, whatever the arithmetic."""
        return self._model


def news_of(seed: int) -> tuple[pd.DataFrame, list[str]]:
    news = simulate_market(SimulatedMarket(n_symbols=8, end="2017-12-31")).news.drop_duplicates("text")
    news = news.sample(frac=1.0, random_state=seed)
    news = news.assign(label=[CLASSES.index(label) for label in news["label"]])
    return news.iloc[:TRAIN], news["text"].iloc[TRAIN:].tolist()


def model_of(layers: int) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = LlamaConfig(
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        head_dim=WIDTH // HEADS,
        vocab_size=VOCABULARY,
        max_position_embeddings=REACH,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    return cast("Any", LlamaForCausalLM(shape)).eval()


def base_of(texts: Sequence[str], folder: Path) -> Base:
    """Write a tokenizer whose tokens are about as long as those of a large vocabulary are on such news."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import LlamaConfig, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=4000, special_tokens=list(SPECIAL), show_progress=False)
    tokenizer.train_from_iterator([*texts, *(f"Tone: {word}" for word in WORDS * 50)], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{SPECIAL[0]} $A", special_tokens=[(SPECIAL[0], 0)]
    )
    cast("Any", PreTrainedTokenizerFast)(
        tokenizer_object=tokenizer, bos_token=SPECIAL[0], eos_token=SPECIAL[1], model_max_length=REACH
    ).save_pretrained(str(folder))
    cast("Any", LlamaConfig(hidden_size=WIDTH, max_position_embeddings=REACH)).save_pretrained(str(folder))
    return Base("one billion", str(folder), "decoder", None, "random weights", weights_hash="00")


def context_of(train: pd.DataFrame, tokenizer: Any, shared: int) -> tuple[Context, int]:
    """Show so many examples that the shared prompt has about so many tokens."""
    request = FitRequest(train["text"].tolist(), train["label"].tolist(), [], [], None, None, Path(), train=train)
    best: tuple[Context, int] | None = None
    for examples in range(0, 64, 3):
        context = Context.build(PromptSettings(examples=examples, calibrate=False, max_tokens=4000), request, tokenizer)
        (ids,) = token_ids([context.shared], tokenizer)
        if best is None or abs(len(ids) - shared) < abs(best[1] - shared):
            best = context, len(ids)
    assert best is not None
    return best


def plain_loop(model: Any, tokenizer: Any, context: Context, texts: Sequence[str]) -> np.ndarray:
    """Read whole prompts in batches of like length; logits are asked for at the last token alone."""
    import torch

    answers = Answers.behind([context.rendered(text) for text in texts[:4]], context.labels, tokenizer)
    assert answers.lengths.max() == 1
    rows = token_ids([context.rendered(text) for text in texts], tokenizer)
    order = sorted(range(len(rows)), key=lambda at: len(rows[at]))
    found = np.empty((len(rows), len(CLASSES)))
    with torch.inference_mode():
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            lengths = torch.tensor([len(rows[at]) for at in chosen])
            ids = torch.zeros((len(chosen), int(lengths.max())), dtype=torch.long)
            for line, at in enumerate(chosen):
                ids[line, : len(rows[at])] = torch.tensor(rows[at])
            mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
            logits = model(
                input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=lengths[:, None] - 1
            ).logits[:, 0]
            log_probs = torch.log_softmax(logits.double(), dim=-1)
            found[chosen] = log_probs[:, [tokens[0] for tokens in answers.tokens]].numpy()
    return np.asarray(softmax(found, axis=1))


def timed(read: Callable[..., np.ndarray], *given: Any) -> Timed:
    start = time.process_time()
    probabilities = read(*given)
    return Timed(time.process_time() - start, probabilities)


def prompted(scorer: PromptedScorer, texts: Sequence[str]) -> np.ndarray:
    return np.asarray(softmax(scorer.logits(texts), axis=1))


def measure(
    layers: int, texts: int, draws: int, shared: int, seed: int
) -> tuple[dict[str, list[Timed]], dict[str, Any]]:
    """Time both ways by turns; each turn of the product's starts anew, with the shared prompt to compute."""
    train, others = news_of(seed)
    model = model_of(layers)
    found: dict[str, list[Timed]] = {"plain": [], "anew": [], "again": []}
    with tempfile.TemporaryDirectory() as name:
        base = base_of(train["text"].tolist(), Path(name))
        tokenizer = load_tokenizer(base)
        context, length = context_of(train, tokenizer, shared)
        lengths = []
        for draw in range(draws):
            asked = others[draw * texts : (draw + 1) * texts]
            lengths += [len(ids) - length for ids in token_ids([context.rendered(text) for text in asked], tokenizer)]
            held = cast("SharedBase", Held(model))
            scorer = PromptedScorer(base, context, compute="fp32", shared=held)
            found["anew"].append(timed(prompted, scorer, asked))
            found["plain"].append(timed(plain_loop, model, tokenizer, context, asked))
            found["again"].append(timed(prompted, scorer, asked))
    spread = np.concatenate([one.probabilities for one in found["plain"]]).std(axis=0)
    facts = {
        "spread": float(spread.max()),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "beginning": length,
        "examples": context.settings.examples,
        "own": float(np.mean(lengths)),
    }
    return found, facts


PAGE = """# What sharing a prompt is worth

Made by `python -m embargo.research.benchmarks.prompting --layers {layers} --texts {texts} --draws {draws} --seed {seed}
--write docs/prompting.md`. A Llama of the widths of one with a billion parameters (hidden {width:,}, inner {inner:,},
{heads} heads, {key_heads} of keys, vocabulary {vocabulary:,}), {layers} of its 16 layers, random weights, fp32,
{parameters:,} parameters. The shared prompt, an instruction and {examples} labelled examples, has {beginning} tokens;
what is a headline's own has {own:.0f} on average. {draws} draws of {texts} headlines, both ways by turns in one
process; CPU seconds are the process's own, so that what else runs on the machine counts for neither.

The plain loop sorts whole prompts by length, reads them in batches of {batch} and asks for logits at the last token
alone. The product's reader (`model.kind = "prompted"`) computes the keys and values of the shared prompt once and lends
them to every batch; *anew* includes computing them, and holding a prompt read that way against the same one read whole.

| way | headlines per CPU second | times the plain loop | largest difference in a probability |
| --- | --- | --- | --- |
{rows}

Ratios are medians over draws of the ratio within a draw, lowest and highest in brackets. A longer run spreads what
*anew* pays once over more headlines and comes to *again*. Over headlines, the probability that moves most has a
standard deviation of {spread:.2g}.
"""
NAMES = {"plain": "plain loop", "anew": "prompted, anew", "again": "prompted, again"}


def page(found: dict[str, list[Timed]], facts: dict[str, Any], options: argparse.Namespace) -> str:
    rows = []
    for way, name in NAMES.items():
        seconds = np.array([one.seconds for one in found[way]])
        ratios = np.array([plain.seconds for plain in found["plain"]]) / seconds
        apart = max(
            float(np.abs(one.probabilities - plain.probabilities).max())
            for one, plain in zip(found[way], found["plain"], strict=True)
        )
        rate = options.texts / np.median(seconds)
        spread = f"{np.median(ratios):.1f} ({ratios.min():.1f} to {ratios.max():.1f})"
        told = ("1", "0") if way == "plain" else (spread, f"{apart:.0e}")
        rows.append(f"| {name} | {rate:.2f} | {told[0]} | {told[1]} |")
    widths = {"width": WIDTH, "inner": INNER, "heads": HEADS, "key_heads": KEY_HEADS, "vocabulary": VOCABULARY}
    return PAGE.format(**facts, **vars(options), **widths, batch=BATCH, rows="\n".join(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--texts", type=int, default=TEXTS)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--shared", type=int, default=SHARED)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    text = page(*measure(options.layers, options.texts, options.draws, options.shared, options.seed), options)
    if options.write is None:
        print(text)
    else:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
