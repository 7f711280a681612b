"""The built-in base: a small transformer encoder pretrained on the spot from an experiment's own early texts.

Vocabulary and weights come from the given texts alone, all of them known by the stated cutoff, so that the base is
free of look-ahead by construction. The same texts, settings and seed give the same weights.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.bases.resolve import TINY, Base
from embargo.models.loading.batches import padded_length
from embargo.models.loading.libraries import untyped
from embargo.models.loading.load import deterministic, device, encode, pad, quiet
from embargo.models.scorer import Progress
from embargo.models.tuning.corpus import made_of, read_corpus
from embargo.models.tuning.loop import Encoded, cosine_rate, epoch_batches

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# A 4-bit block holds 64 weights; rows that are no multiple of it cannot be packed evenly.
BLOCK = 64
UNSCORED = -100
MAX_LETTERS = 300


@dataclass(frozen=True)
class TinySettings:
    """Shape and pretraining of the built-in base.

    Attributes
    ----------
    layers, hidden, heads, intermediate
        Transformer blocks, width, attention heads, width of the feed-forward part. Widths are multiples of 64, the
        block size of 4-bit storage.
    vocabulary : int
        At most this many word pieces.
    max_length : int
        Tokens after which a text is cut, in pretraining and for ever after.
    epochs, batch_size, learning_rate, mask_share
        Of masked language modelling (Devlin et al. 2018, arXiv 1810.04805).

    Examples
    --------
    >>> from embargo.models import TinySettings
    >>> TinySettings().layers
    2
    >>> TinySettings(max_length=100)
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: tiny: max_length must be a multiple of 8, got 100.
    """

    layers: int = 2
    hidden: int = 128
    heads: int = 4
    intermediate: int = 256
    vocabulary: int = 4000
    max_length: int = 128
    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 2e-3
    mask_share: float = 0.15

    def __post_init__(self) -> None:
        if self.hidden % BLOCK or self.intermediate % BLOCK or self.hidden % self.heads or self.hidden < BLOCK:
            raise ConfigError(
                f"tiny: hidden {self.hidden} and intermediate {self.intermediate} must be multiples of {BLOCK}, "
                f"and hidden of heads ({self.heads})."
            )
        if self.max_length % 8:
            raise ConfigError(f"tiny: max_length must be a multiple of 8, got {self.max_length}.")
        if min(self.layers, self.epochs, self.batch_size) < 1 or self.vocabulary < 100 or self.max_length < 8:
            raise ConfigError(f"tiny: too small to be a model: {self}. Keep layers, epochs >= 1, vocabulary >= 100.")
        if not 0 < self.mask_share < 1 or not self.learning_rate > 0:
            raise ConfigError(f"tiny: mask_share must lie in (0, 1) and learning_rate be positive, got {self}.")


def pretrain_tiny(
    texts: Sequence[str],
    *,
    known_at: pd.Series | Sequence[pd.Timestamp],
    knowledge_cutoff: pd.Timestamp,
    settings: TinySettings | None = None,
    seed: int = 0,
    cache_dir: Path,
    progress: Progress | None = None,
) -> Base:
    """Pretrain the built-in base, or load it where the same one was pretrained before.

    Parameters
    ----------
    texts : sequence of str, length n
        The corpus. Repeated texts are read once; their order does not matter.
    known_at : sequence of UTC instants, length n
        When each text was known. One after the cutoff is an error, not a row to leave out.
    knowledge_cutoff : Timestamp
        Becomes the base's cutoff.
    settings : TinySettings, optional
    seed : int
        Of the weights, the masks and the order.
    cache_dir : Path
        Bases are kept in ``cache_dir / "bases"``.
    progress : callable, optional
        Called with (steps done, steps in all).

    Returns
    -------
    Base named ``"tiny"``

    Raises
    ------
    LeakError
        If a text was known only after the cutoff.
    DataError
        If there are no texts, or lengths differ.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from embargo.models import TinySettings, pretrain_tiny
    >>> texts = ["Profit rose.", "Sales grew.", "Profit fell.", "Sales shrank."]
    >>> until = pd.Timestamp("2016-01-01", tz="UTC")
    >>> small = TinySettings(layers=1, hidden=64, intermediate=64, epochs=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     base = pretrain_tiny(
    ...         texts, known_at=[until] * 4, knowledge_cutoff=until, settings=small, cache_dir=Path(folder)
    ...     )
    >>> base.name, base.source
    ('tiny', 'pretrained here on 4 texts, all known by 2016-01-01T00:00:00+00:00')
    """
    settings = TinySettings() if settings is None else settings
    corpus = read_corpus(texts, known_at, knowledge_cutoff, name=TINY)

    def build(folder: Path) -> dict[str, Any]:
        tokenizer = _train_tokenizer(corpus, settings, folder)
        losses = _pretrain(corpus, tokenizer, settings, seed, folder, progress)
        return {"losses": losses, "vocabulary_size": len(tokenizer)}

    return made_of(
        corpus, asdict(settings), seed, build, name=TINY, knowledge_cutoff=knowledge_cutoff, cache_dir=cache_dir
    )


def _train_tokenizer(corpus: list[str], settings: TinySettings, folder: Path) -> Any:
    """Choose a lower-case WordPiece vocabulary and write the tokenizer.

    The pieces are single characters, the commonest endings and the commonest words. They are counted here because the
    trainer of ``tokenizers`` numbers its pieces differently in every run.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    normaliser, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words: Counter[str] = Counter()
    for text in corpus:
        words.update(word for word, _ in splitter.pre_tokenize_str(normaliser.normalize_str(text)))
    pieces = _pieces(words, settings.vocabulary)
    tokenizer = Tokenizer(
        models.WordPiece(
            {piece: number for number, piece in enumerate(pieces)},
            unk_token="[UNK]",  # noqa: S106
            max_input_chars_per_word=64,
        )
    )
    tokenizer.normalizer = normaliser
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    identifiers = {name: tokenizer.token_to_id(name) for name in SPECIAL}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, identifiers[name]) for name in ("[CLS]", "[SEP]")],
    )
    fast = untyped(PreTrainedTokenizerFast)(
        tokenizer_object=tokenizer,
        model_max_length=settings.max_length,
        pad_token="[PAD]",  # noqa: S106
        unk_token="[UNK]",  # noqa: S106
        cls_token="[CLS]",  # noqa: S106
        sep_token="[SEP]",  # noqa: S106
        mask_token="[MASK]",  # noqa: S106
    )
    fast.save_pretrained(str(folder))
    return fast


def _pieces(words: Counter[str], size: int) -> list[str]:
    endings: Counter[str] = Counter()
    letters: Counter[str] = Counter()
    for word, count in words.items():
        letters.update(dict.fromkeys(word, count))
        for length in range(2, min(5, len(word))):
            endings["##" + word[-length:]] += count

    def commonest(counter: Counter[str], number: int) -> list[str]:
        ordered = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
        return [name for name, _ in ordered[: max(0, number)]]

    # Single characters are always pieces: a word of later years is spelt out rather than lost.
    alphabet = sorted({chr(code) for code in range(33, 127) if chr(code).lower() == chr(code)})
    rare = [letter for letter in commonest(letters, MAX_LETTERS) if letter not in alphabet]
    pieces = [*SPECIAL, *alphabet, *rare, *("##" + letter for letter in [*alphabet, *rare])]
    pieces += commonest(endings, (size - len(pieces)) // 10)
    known = set(pieces)
    return pieces + [word for word in commonest(words, size) if word not in known][: max(0, size - len(pieces))]


def _pretrain(
    corpus: list[str], tokenizer: Any, settings: TinySettings, seed: int, folder: Path, progress: Progress | None
) -> list[float]:
    import torch
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    config = untyped(ModernBertConfig)(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=settings.intermediate,
        max_position_embeddings=settings.max_length,
        # Headlines are short: every layer sees all of one.
        global_attn_every_n_layers=1,
        mlp_dropout=0.1,
        # A mean over tokens carries every word to the classifier; a lone [CLS] would have to learn to gather them,
        # for which a few thousand labels are too few.
        classifier_pooling="mean",
        pad_token_id=tokenizer.pad_token_id,
        cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
    )
    part = Encoded(encode(tokenizer, corpus, settings.max_length), np.zeros(len(corpus), dtype=np.int64))
    steps = settings.epochs * math.ceil(len(corpus) / settings.batch_size)
    rng = np.random.default_rng(seed)
    losses: list[float] = []
    done = 0
    with deterministic(seed):
        model = untyped(ModernBertForMaskedLM)(config).to(device()).train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.01)
        rate = torch.optim.lr_scheduler.LambdaLR(optimiser, partial(cosine_rate, steps=steps, warmup=0.1))
        for _ in range(settings.epochs):
            total = []
            for rows in epoch_batches(part, settings.batch_size, rng):
                ids, mask, target = _masked([part.tokens[row] for row in rows], tokenizer, settings.mask_share, rng)
                loss = _masked_loss(model, ids.to(device()), mask.to(device()), target.to(device()))
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                rate.step()
                optimiser.zero_grad(set_to_none=True)
                total.append(loss.item())
                done += 1
                if progress is not None:
                    progress(done, steps)
            losses.append(float(np.mean(total)))
    if not all(map(math.isfinite, losses)):
        raise DataError(f"base 'tiny': pretraining diverged (losses {losses}). Lower its learning_rate.")
    # The language-modelling head has done its work; a classifier brings its own.
    with quiet():
        model.model.save_pretrained(str(folder), safe_serialization=True)
    return losses


def _masked(rows: list[list[int]], tokenizer: Any, share: float, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    import torch

    ids, mask = pad(rows, tokenizer.pad_token_id, padded_length(max(map(len, rows))))
    words = ids.numpy()
    special = np.isin(words, tokenizer.all_special_ids)
    hidden = (rng.random(words.shape) < share) & ~special
    # A batch without any mask has no loss: hide the first word of its first text that has one.
    if not hidden.any() and (~special).any():
        hidden[tuple(np.argwhere(~special)[0])] = True
    target = np.where(hidden, words, UNSCORED)
    # Of the hidden words 80 % are masked, 10 % replaced and 10 % kept, so that later input looks familiar.
    fate = rng.random(words.shape)
    replaced = rng.integers(len(SPECIAL), len(tokenizer), size=words.shape)
    masked = np.where(hidden & (fate < 0.8), tokenizer.mask_token_id, words)
    masked = np.where(hidden & (fate >= 0.9), replaced, masked)
    return torch.from_numpy(masked), mask, torch.from_numpy(target)


def _masked_loss(model: Any, ids: Any, mask: Any, target: Any) -> Any:
    import torch

    states = model.model(input_ids=ids, attention_mask=mask).last_hidden_state
    # Only hidden positions go through the vocabulary-wide head: six times less work than all of them.
    chosen = target != UNSCORED
    scores = model.decoder(model.head(states[chosen]))
    return torch.nn.functional.cross_entropy(scores, target[chosen], reduction="sum") / max(1, int(chosen.sum()))
