"""A built-in decoder small enough to be pretrained in a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from embargo.models.bases.resolve import Base
from embargo.models.tuning.tiny_lm import TinyLmSettings, pretrain_tiny_lm
from samples.model_samples import CUTOFF

SMALL_LM = TinyLmSettings(
    layers=2, hidden=64, intermediate=128, vocabulary=600, max_length=128, epochs=6, batch_size=4, learning_rate=5e-3
)


def small_lm(texts: Sequence[str], cache_dir: Path, settings: TinyLmSettings = SMALL_LM, seed: int = 0) -> Base:
    """Pretrain the built-in decoder on texts that were all known by `CUTOFF`."""
    known_at = [CUTOFF] * len(texts)
    return pretrain_tiny_lm(
        texts, known_at=known_at, knowledge_cutoff=CUTOFF, settings=settings, seed=seed, cache_dir=cache_dir
    )
