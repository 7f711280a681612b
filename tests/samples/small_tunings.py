"""Settings and texts that tune a small base in seconds."""

from embargo.models.methods.settings import TuneSettings
from embargo.models.tuning.adapters import tune
from samples.model_samples import CUTOFF, sentences

SETTINGS = TuneSettings(method="lora", rank=4, dropout=0.0, epochs=4, batch_size=16, learning_rate=1e-2, compute="fp32")
TEXTS = sentences(56, seed=5)
HELD_OUT = sentences(24, seed=6)


def tuned_on(base, samples, cache_dir, *, rows=None, **settings):
    """Tune on the first rows of the samples, all of them by default."""
    train, validation = (samples[part].head(rows or len(samples[part])) for part in ("train", "validation"))
    return tune(
        base,
        train_texts=train["text"].tolist(),
        train_labels=train["label"].tolist(),
        validation_texts=validation["text"].tolist(),
        validation_labels=validation["label"].tolist(),
        settings=TuneSettings(**settings),
        trained_until=CUTOFF,
        cache_dir=cache_dir,
    )
