"""Dated articles with a headline, figures and names, and a small decoder that was pretrained on such."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from embargo.models.bases.resolve import Base, open_base
from embargo.models.loading.causal import load_causal
from embargo.models.loading.load import load_tokenizer, pad
from embargo.models.tuning.tiny_lm import TinyLmSettings, pretrain_tiny_lm

COMPANIES = ("Alder", "Borcor", "Centek", "Dynvia", "Elysys", "Forera")
OFFICERS = ("Ann Lee", "Bo Kane", "Cy Moss", "Di Voss")
THINGS = ("sales", "orders", "margins", "bookings")
PERIODS = ("the first quarter", "the second quarter", "the third quarter", "the fourth quarter")
TONES = {"fell": "bearish", "rose": "bullish"}
START = pd.Timestamp("2015-01-01", tz="UTC")
TRAIN_UNTIL = pd.Timestamp("2015-09-01", tz="UTC")
VALIDATION_UNTIL = pd.Timestamp("2015-10-15", tz="UTC")


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
            tokens = [tokenizer(f"{line} :")["input_ids"] for line in chosen]
            ids, mask = pad(tokens, tokenizer.pad_token_id, max(map(len, tokens)))
            verbs = [
                tokenizer(f" {line.split()[-1]}", add_special_tokens=False)["input_ids"][0] for line in chosen
            ]
            logits = model(input_ids=ids, attention_mask=mask).logits
            last = logits[torch.arange(len(tokens)), torch.tensor([len(one) - 1 for one in tokens])]
            torch.nn.functional.cross_entropy(last, torch.tensor(verbs)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return open_base(folder, name="reader", knowledge_cutoff=TRAIN_UNTIL)


def short_templates(folder: Path) -> Path:
    """Write templates whose tones are verbs and whose wordings are words that the small decoder knows."""
    text = (files("embargo.models.instruct") / "research-desk.toml").read_text(encoding="utf-8")
    text = text.replace('"negative"', '"fell"', 1).replace('"neutral"', '"held"', 1).replace('"positive"', '"rose"', 1)
    tone = (
        '[ask.tone]\ntask = "understanding"\nwordings = ["{text} in the quarter, said", "{text} by sales, put them"]\n'
        'held_out = "{text} in sales, said"\n\n'
    )
    text = re.sub(r"\[ask\.tone\].*?(?=\[ask\.company\])", lambda _: tone, text, flags=re.DOTALL)
    path = folder / "short.toml"
    path.write_text(text, encoding="utf-8")
    return path
