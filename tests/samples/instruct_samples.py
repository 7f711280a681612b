"""Dated articles with a headline, figures and names, and a small decoder that was pretrained on such."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from embargo.models.bases.resolve import Base, open_base
from embargo.models.instruct import CorpusSplit, exchanges, split_corpus, tune_answers
from embargo.models.loading.causal import load_causal
from embargo.models.loading.load import load_tokenizer, pad
from embargo.models.methods.settings import TuneSettings
from embargo.models.tuning.tiny_lm import TinyLmSettings, pretrain_tiny_lm

COMPANIES = ("Alder", "Borcor", "Centek", "Dynvia", "Elysys", "Forera")
OFFICERS = ("Ann Lee", "Bo Kane", "Cy Moss", "Di Voss")
THINGS = ("sales", "orders", "margins", "bookings")
PERIODS = ("the first quarter", "the second quarter", "the third quarter", "the fourth quarter")
TONES = {"fell": "bearish", "rose": "bullish"}
START = pd.Timestamp("2015-01-01", tz="UTC")
TRAIN_UNTIL = pd.Timestamp("2015-09-01", tz="UTC")
VALIDATION_UNTIL = pd.Timestamp("2015-10-15", tz="UTC")


SETTINGS = TuneSettings(
    method="lora",
    rank=8,
    alpha=16,
    target="all-linear",
    learning_rate=4e-3,
    epochs=2,
    batch_size=8,
    dropout=0.1,
    max_length=128,
    compute="fp32",
    patience=5,
)
ONE = {"understanding": 1.0}
SPLIT = CorpusSplit(TRAIN_UNTIL, VALIDATION_UNTIL)


def articles(n: int, seed: int) -> pd.DataFrame:
    """Return n articles, one a day or so, whose figures and names are drawn at random."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        company, officer = rng.choice(COMPANIES), rng.choice(OFFICERS)
        thing, period, verb = rng.choice(THINGS), rng.choice(PERIODS), rng.choice(list(TONES))
        percent, money = int(rng.integers(1, 60)), int(rng.integers(1, 99))
        headline = f"{company} {thing} {verb} {percent} %"
        body = (
            f"{company} said {thing} {verb} by {percent} % in {period} . "
            f"CFO {officer} put them at EUR {money} million ."
        )
        rows.append(
            {
                "article_id": f"a{number:04d}",
                "known_at": START + pd.Timedelta(days=365 * number / n),
                "text": f"{headline}\n{body}",
                "headline": headline,
                "label": TONES[str(verb)],
            }
        )
    return pd.DataFrame(rows).astype({"known_at": "datetime64[us, UTC]"})


def small_decoder(cache_dir: Path) -> Base:
    """Pretrain a decoder of two layers, for an instant, on articles that were known before any validation."""
    early = articles(60, seed=99)
    early = early.loc[early["known_at"] <= TRAIN_UNTIL]
    return pretrain_tiny_lm(
        early["text"].tolist(),
        known_at=early["known_at"],
        knowledge_cutoff=TRAIN_UNTIL,
        settings=TinyLmSettings(layers=2, hidden=64, intermediate=128, vocabulary=512, epochs=4, batch_size=4),
        cache_dir=cache_dir,
    )


def moves(n: int, seed: int) -> pd.DataFrame:
    """Return n dated one-liners whose last word, a verb, is their tone."""
    rng = np.random.default_rng(seed)
    verbs = rng.choice(list(TONES), n)
    texts = [
        f"{rng.choice(COMPANIES)} {rng.choice(THINGS)} {number} {rng.integers(1, 99)} % {verb}"
        for number, verb in enumerate(verbs)
    ]
    return pd.DataFrame(
        {
            "article_id": [f"m{number:04d}" for number in range(n)],
            "known_at": [START + pd.Timedelta(days=365 * number / n) for number in range(n)],
            "text": texts,
            "label": [TONES[str(verb)] for verb in verbs],
        }
    ).astype({"known_at": "datetime64[us, UTC]"})


def reading_decoder(small: Base, folder: Path, *, steps: int = 90) -> Base:
    """Teach the small decoder to name the verb of a one-liner behind a colon, in all its weights, and keep it."""
    tokenizer = load_tokenizer(small)
    model = load_causal(small, method="lora", compute="fp32").train()
    rng = np.random.default_rng(0)
    lines = moves(800, seed=11)["text"].tolist()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
        for _ in range(steps):
            chosen = [lines[row] for row in rng.choice(len(lines), 16)]
            tokens = [
                [*tokenizer(f"{line} : {line.split()[-1]}")["input_ids"], tokenizer.eos_token_id] for line in chosen
            ]
            ids, mask = pad(tokens, tokenizer.pad_token_id, max(map(len, tokens)))
            logits = model(input_ids=ids, attention_mask=mask).logits
            # The verb is one token, and behind it the text ends.
            ends = torch.tensor([len(one) for one in tokens])
            rows = torch.arange(len(tokens)).repeat(2)
            places = torch.cat([ends - 3, ends - 2])
            torch.nn.functional.cross_entropy(logits[rows, places], ids[rows, places + 1]).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return open_base(folder, name="reader", knowledge_cutoff=TRAIN_UNTIL)


def short_templates(folder: Path) -> Path:
    """Write templates whose tones have other names, and whose wordings are words that the small decoder knows."""
    text = (files("embargo.models.instruct") / "research-desk.toml").read_text(encoding="utf-8")
    text = (
        text.replace('"negative"', '"orders"', 1)
        .replace('"neutral"', '"held"', 1)
        .replace('"positive"', '"margins"', 1)
    )
    tone = (
        '[ask.tone]\ntask = "understanding"\nwordings = ["{text} in the quarter, said", "{text} by sales, put them"]\n'
        'held_out = "{text} in sales, said"\n\n'
    )
    text = re.sub(r"\[ask\.tone\].*?(?=\[ask\.company\])", lambda _: tone, text, flags=re.DOTALL)
    path = folder / "short.toml"
    path.write_text(text, encoding="utf-8")
    return path


def tones(short, *, n=220, seed=3):
    """Return the exchanges about the tone of one-liners: to train on, to validate on, and to measure in other words."""
    parts = split_corpus(moves(n, seed), SPLIT)
    train, _ = exchanges(parts.train, short, ONE)
    validation, _ = exchanges(parts.validation, short, ONE)
    test, _ = exchanges(parts.test, short, ONE, held_out=True)
    return tuple([one for one in part if one.ask == "tone"] for part in (train, validation, test))


def tuned(base, train, validation, folder, settings=SETTINGS, **more):
    """Tune a small decoder to answer, on the tone alone unless told otherwise."""
    return tune_answers(
        base,
        train=train,
        validation=validation,
        templates_hash="ab12",
        settings=settings,
        cache_dir=folder,
        **{"weights": ONE, "max_answer": 8, "trained_until": VALIDATION_UNTIL, **more},
    )
