"""Dated articles with a headline, figures and names, and a small decoder that was pretrained on such."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from embargo.models.bases.resolve import Base
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
    """Pretrain a decoder of two layers on the articles that were known before any validation."""
    early = articles(400, seed=99)
    early = early.loc[early["known_at"] <= TRAIN_UNTIL]
    return pretrain_tiny_lm(
        early["text"].tolist(),
        known_at=early["known_at"],
        knowledge_cutoff=TRAIN_UNTIL,
        settings=TinyLmSettings(layers=2, hidden=64, intermediate=128, vocabulary=512, epochs=10, batch_size=1, learning_rate=5e-3),
        cache_dir=cache_dir,
    )
