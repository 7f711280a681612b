"""A tiny base, pretrained once for all tests, and samples to tune it on."""

from __future__ import annotations

import pytest
from samples.model_samples import CUTOFF, sentences


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def tiny_base(cache_dir):
    from embargo.models.tuning.tiny import TinySettings, pretrain_tiny

    texts = sentences(800, seed=1)["text"].tolist()
    settings = TinySettings(hidden=64, intermediate=64, vocabulary=600, max_length=64, epochs=5, batch_size=16)
    return pretrain_tiny(
        texts, known_at=[CUTOFF] * len(texts), knowledge_cutoff=CUTOFF, settings=settings, cache_dir=cache_dir
    )


@pytest.fixture(scope="session")
def samples():
    return {"train": sentences(600, seed=2), "validation": sentences(120, seed=3), "test": sentences(200, seed=4)}
