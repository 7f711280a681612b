"""The built-in decoder: a small causal language model pretrained on the spot from an experiment's own early texts.

Vocabulary and weights come from the given texts alone, all of them known by the stated cutoff, so that whatever it
remembers is known by construction. The same texts, settings and seed give the same weights. It is a Llama, so that
everything that reads a large decoder reads this one too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.bases.resolve import TINY_LM, Base
from embargo.models.content import text_hash
from embargo.models.loading.libraries import untyped
from embargo.models.loading.load import deterministic, device, encode, pad, quiet
from embargo.models.scorer import Progress
from embargo.models.tuning.corpus import made_of, read_corpus
from embargo.models.tuning.loop import cosine_rate
from embargo.models.tuning.tiny import BLOCK, UNSCORED

PADDING, BEGINNING, END = "<pad>", "<s>", "</s>"
SPECIAL = (PADDING, BEGINNING, END)
BYTES = 256


@dataclass(frozen=True)
class TinyLmSettings:
    """Shape and pretraining of the built-in decoder.

    The windows hold a prompt with several examples. On 6,507 texts of the demo world, one run each, the defaults take
    101 s of one core and leave 0.415 bits per byte of 340 texts held out; windows of 256 tokens, four at once, take
    91 s and leave 0.409.

    Attributes
    ----------
    layers, hidden, heads, intermediate
        Transformer blocks, width, attention heads, width of the feed-forward part. Widths are multiples of 64, the
        block size of 4-bit storage.
    vocabulary : int
        At most this many tokens: three special ones, the 256 bytes, and pairs merged in the order of their number.
    max_length : int
        Tokens that it reads at once, in pretraining and for ever after.
    epochs, batch_size, learning_rate, weight_decay
        Of next-token prediction; ``batch_size`` counts windows of ``max_length`` tokens.
    held_out : float
        Share of the texts, drawn by their hash, on which its perplexity is measured and from which it does not learn.

    Examples
    --------
    >>> from embargo.models import TinyLmSettings
    >>> TinyLmSettings().layers
    4
    >>> TinyLmSettings(hidden=100)
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: tiny-lm: hidden 100 and intermediate 256 must be multiples of 64, and \
heads (4) divide hidden into an even number each.
    """

    layers: int = 4
    hidden: int = 128
    heads: int = 4
    intermediate: int = 256
    vocabulary: int = 2048
    max_length: int = 512
    epochs: int = 4
    batch_size: int = 2
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    held_out: float = 0.05

    def __post_init__(self) -> None:
        # Rotary positions turn the dimensions of a head in pairs.
        uneven = self.heads < 1 or self.hidden % (2 * self.heads)
        if self.hidden % BLOCK or self.intermediate % BLOCK or min(self.hidden, self.intermediate) < BLOCK or uneven:
            raise ConfigError(
                f"tiny-lm: hidden {self.hidden} and intermediate {self.intermediate} must be multiples of {BLOCK}, "
                f"and heads ({self.heads}) divide hidden into an even number each."
            )
        if self.max_length % 8 or self.max_length < 8:
            raise ConfigError(f"tiny-lm: max_length must be a multiple of 8, got {self.max_length}.")
        if min(self.layers, self.epochs, self.batch_size) < 1 or self.vocabulary < BYTES + len(SPECIAL):
            raise ConfigError(
                f"tiny-lm: too small to be a model: {self}. Keep layers, epochs >= 1, vocabulary >= "
                f"{BYTES + len(SPECIAL)}."
            )
        if not 0 <= self.held_out < 1 or not self.learning_rate > 0 or not self.weight_decay >= 0:
            raise ConfigError(
                f"tiny-lm: held_out must lie in [0, 1), learning_rate be positive and weight_decay not be negative, "
                f"got {self}."
            )


def pretrain_tiny_lm(
    texts: Sequence[str],
    *,
    known_at: pd.Series | Sequence[pd.Timestamp],
    knowledge_cutoff: pd.Timestamp,
    settings: TinyLmSettings | None = None,
    seed: int = 0,
    cache_dir: Path,
    progress: Progress | None = None,
) -> Base:
    """Pretrain the built-in decoder, or load it where the same one was pretrained before.

    Parameters
    ----------
    texts : sequence of str, length n
        The corpus. Repeated texts are read once; their order does not matter.
    known_at : sequence of UTC instants, length n
        When each text was known. One after the cutoff is an error, not a row to leave out.
    knowledge_cutoff : Timestamp
        Becomes the base's cutoff.
    settings : TinyLmSettings, optional
    seed : int
        Of the weights and the order.
    cache_dir : Path
        Bases are kept in ``cache_dir / "bases"``.
    progress : callable, optional
        Called with (steps done, steps in all).

    Returns
    -------
    Base named ``"tiny-lm"``, of kind ``"decoder"``, with its language-modelling head. Its manifest tells, of the texts
    held out, ``n_texts``, ``perplexity`` (of a token after the first) and ``bits_per_byte``.

    Raises
    ------
    LeakError
        If a text was known only after the cutoff.
    DataError
        If there are no texts, lengths differ, or training diverges.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from embargo.models import TinyLmSettings, pretrain_tiny_lm
    >>> texts = ["Profit rose.", "Sales grew.", "Profit fell.", "Sales shrank."]
    >>> until = pd.Timestamp("2016-01-01", tz="UTC")
    >>> small = TinyLmSettings(layers=1, hidden=64, intermediate=64, vocabulary=280, epochs=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     base = pretrain_tiny_lm(
    ...         texts, known_at=[until] * 4, knowledge_cutoff=until, settings=small, cache_dir=Path(folder)
    ...     )
    >>> base.name, base.kind
    ('tiny-lm', 'decoder')
    """
    settings = TinyLmSettings() if settings is None else settings
    corpus = read_corpus(texts, known_at, knowledge_cutoff, name=TINY_LM)
    held_out = [text for text in corpus if drawn(text) < settings.held_out]
    learnt = [text for text in corpus if drawn(text) >= settings.held_out]
    if not learnt:
        raise DataError(f"base 'tiny-lm': all {len(corpus)} texts are held out. Give more, or lower held_out.")

    def build(folder: Path) -> dict[str, Any]:
        tokenizer = _train_tokenizer(learnt, settings, folder)
        model, losses = _pretrain(learnt, tokenizer, settings, seed, progress)
        told = {
            "losses": losses,
            "vocabulary_size": len(tokenizer),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "held_out": _measured(model, tokenizer, held_out, settings),
        }
        with quiet():
            model.save_pretrained(str(folder), safe_serialization=True)
        return told

    return made_of(
        corpus, asdict(settings), seed, build, name=TINY_LM, knowledge_cutoff=knowledge_cutoff, cache_dir=cache_dir
    )


def drawn(text: str) -> float:
    """Return the number in [0, 1) that a text draws by its hash; the least are held out."""
    return int(text_hash(text)[:8], 16) / 16**8


def _train_tokenizer(corpus: Sequence[str], settings: TinyLmSettings, folder: Path) -> Any:
    """Merge the commonest pairs of bytes (Sennrich et al. 2016, arXiv 1508.07909) and write the tokenizer.

    Words are parted as GPT-2 parts them, which other programs that read the tokenizer know by that name.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=settings.vocabulary,
            min_frequency=2,
            special_tokens=list(SPECIAL),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGINNING} $A",
        pair=f"{BEGINNING} $A {BEGINNING} $B",
        special_tokens=[(BEGINNING, tokenizer.token_to_id(BEGINNING))],
    )
    fast = untyped(PreTrainedTokenizerFast)(
        tokenizer_object=tokenizer,
        model_max_length=settings.max_length,
        bos_token=BEGINNING,
        eos_token=END,
        pad_token=PADDING,
    )
    fast.save_pretrained(str(folder))
    return fast


def _pretrain(
    corpus: Sequence[str], tokenizer: Any, settings: TinyLmSettings, seed: int, progress: Progress | None
) -> tuple[Any, list[float]]:
    """Return the trained model and the mean loss of each pass, in nats per token."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = untyped(LlamaConfig)(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden,
        intermediate_size=settings.intermediate,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=settings.max_length,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    texts = _closed(tokenizer, corpus, settings.max_length)
    rng = np.random.default_rng(seed)
    passes = [_windows([texts[row] for row in rng.permutation(len(texts))], settings) for _ in range(settings.epochs)]
    steps = sum(math.ceil(len(windows) / settings.batch_size) for windows in passes)
    losses: list[float] = []
    done = 0
    with deterministic(seed):
        model = untyped(LlamaForCausalLM)(config).to(device()).train()
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.95)
        )
        rate = torch.optim.lr_scheduler.LambdaLR(optimiser, partial(cosine_rate, steps=steps, warmup=0.1))
        for windows in passes:
            total, tokens = 0.0, 0
            for rows in _batches(windows, settings.batch_size):
                loss, n = _loss(model, rows, tokenizer.pad_token_id)
                (loss / n).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                rate.step()
                optimiser.zero_grad(set_to_none=True)
                total, tokens, done = total + loss.item(), tokens + n, done + 1
                if progress is not None:
                    progress(done, steps)
            losses.append(total / tokens)
    if not all(map(math.isfinite, losses)):
        raise DataError(f"base 'tiny-lm': pretraining diverged (losses {losses}). Lower its learning_rate.")
    return model.eval(), losses


def _closed(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Return the tokens of each text with an end, cut so that both fit."""
    return [[*ids, int(tokenizer.eos_token_id)] for ids in encode(tokenizer, texts, max_length - 1)]


def _windows(texts: Sequence[list[int]], settings: TinyLmSettings) -> list[list[int]]:
    """Lay whole texts one after the other into windows, each of which so begins where a text does."""
    windows: list[list[int]] = [[]]
    for ids in texts:
        if len(windows[-1]) + len(ids) > settings.max_length:
            windows.append([])
        windows[-1] += ids
    return windows


def _batches(windows: Sequence[list[int]], size: int) -> Iterator[Sequence[list[int]]]:
    for start in range(0, len(windows), size):
        yield windows[start : start + size]


def _loss(model: Any, rows: Sequence[list[int]], pad_id: int) -> tuple[Any, int]:
    """Return the summed cross-entropy of every token after the first, in nats, and their number."""
    import torch

    ids, mask = pad(rows, pad_id, max(map(len, rows)))
    # What a model reads is on the left, so that padding on the right reaches no token that counts.
    logits = model(input_ids=ids[:, :-1].to(device())).logits.float()
    target = torch.where(mask[:, 1:] > 0, ids[:, 1:], UNSCORED).to(device())
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), target.flatten(), ignore_index=UNSCORED, reduction="sum"
    )
    return loss, int((target != UNSCORED).sum())


def _measured(model: Any, tokenizer: Any, texts: Sequence[str], settings: TinyLmSettings) -> dict[str, Any] | None:
    """Measure on texts that were not learnt from, each read alone; None where there are none."""
    import torch

    if not texts:
        return None
    rows = sorted(_closed(tokenizer, texts, settings.max_length), key=len)
    nats, tokens = 0.0, 0
    with torch.inference_mode(), deterministic(0):
        for batch in _batches(rows, 32):
            loss, n = _loss(model, batch, tokenizer.pad_token_id)
            nats, tokens = nats + loss.item(), tokens + n
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return {
        "n_texts": len(texts),
        "tokens": tokens,
        "perplexity": math.exp(nats / tokens),
        "bits_per_byte": nats / math.log(2) / size,
    }
