"""Settings and texts that tune a small base in seconds."""

from embargo.models.methods.settings import TuneSettings
from samples.model_samples import sentences

SETTINGS = TuneSettings(method="lora", rank=4, dropout=0.0, epochs=4, batch_size=16, learning_rate=1e-2, compute="fp32")
TEXTS = sentences(56, seed=5)
HELD_OUT = sentences(24, seed=6)
