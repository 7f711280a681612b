"""A tiny reader, pretrained and tuned on the spot: what it says of some texts, to the bit.

Run as a script it does so in a process of its own.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from embargo.models import TuneSettings, fit_scorer
from embargo.models.tuning.tiny import TinySettings, pretrain_tiny
from samples.model_samples import CUTOFF, sentences


def said() -> str:
    """Return the logits of a reader that is made anew, float64, as hexadecimal digits."""
    train, validation = sentences(64, seed=5), sentences(32, seed=6)
    with tempfile.TemporaryDirectory() as folder:
        base = pretrain_tiny(
            train["text"].tolist(),
            known_at=[CUTOFF] * len(train),
            knowledge_cutoff=CUTOFF,
            settings=TinySettings(layers=1, hidden=64, intermediate=64, epochs=1),
            cache_dir=Path(folder),
        )
        model = fit_scorer(
            "transformer",
            train=train,
            validation=validation,
            trained_until=CUTOFF,
            base=base,
            settings=TuneSettings(method="lora", rank=4, epochs=1, batch_size=16),
            cache_dir=Path(folder),
        )
        return model.scorer.logits(validation["text"].tolist()).tobytes().hex()


if __name__ == "__main__":
    sys.stdout.write(said())
