"""A short template, and a built-in decoder that has learnt to answer it, so that an endpoint has something to say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from embargo.models.bases.resolve import Base
from embargo.models.prompting import load_template
from embargo.models.tuning.tiny_lm import TinyLmSettings
from samples.model_samples import NAMES, VERBS
from samples.small_lm import small_lm

TEMPLATE = """
name = "short"
version = "1"
instruction = "Judge the tone."
article = "News: <<<{text}>>> Tone:"
answer = " {label}"
retrieved = "Earlier: <<<{text}>>>"
separator = "\\n"

[labels]
bearish = "negative"
neutral = "neutral"
bullish = "positive"
"""
ANSWERS = TinyLmSettings(
    layers=1, hidden=64, intermediate=64, vocabulary=400, max_length=64, epochs=6, batch_size=8, learning_rate=1e-2
)


def short_template(folder: Path) -> str:
    """Write the template into a folder and return its path."""
    path = folder / "short.toml"
    path.write_text(TEMPLATE, encoding="utf-8")
    return str(path)


def articles(n: int, seed: int = 7_300_001) -> pd.DataFrame:
    """Return n different short articles (text, label) whose verb decides the class."""
    every = [
        (f"{name} {verb} {tail}", label)
        for label, verbs in enumerate(VERBS)
        for verb in verbs
        for name in NAMES
        for tail in ("today", "again", "at last", "in May")
    ]
    drawn = np.random.default_rng(seed).permutation(len(every))[:n]
    return pd.DataFrame([every[place] for place in drawn], columns=["text", "label"])


def answering_lm(folder: Path, n: int = 60) -> Base:
    """Pretrain a decoder on articles with their answers, as prompts of both apis hold them."""
    template = load_template(short_template(folder))
    texts = []
    for text, label in articles(n).itertuples(index=False, name=None):
        question, answer = template.question(text), template.answered(label)
        texts.append(f"{template.instruction}\n{question}{answer}")
        texts.append(f"system: {template.instruction}\nuser: {question}\nassistant:{answer}")
    return small_lm(texts, folder, settings=ANSWERS)
