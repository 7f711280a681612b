"""Small labelled texts whose classes are decided by words."""

from __future__ import annotations

import numpy as np
import pandas as pd

CUTOFF = pd.Timestamp("2015-01-01", tz="UTC")
VERBS = (
    ("plunged", "slumped", "sank", "tumbled", "collapsed", "fell"),
    ("announced", "scheduled", "appointed", "published", "reported", "filed"),
    ("surged", "soared", "rallied", "climbed", "rebounded", "gained"),
)
NAMES = ("Altera", "Borcor", "Centek", "Dynvia", "Elysys", "Forera")
THINGS = ("earnings", "guidance", "dividend", "plant", "sales", "merger", "outlook", "audit")
TAILS = ("analysts said", "in early trading", "after the announcement", "for the third quarter")


def sentences(n: int, seed: int) -> pd.DataFrame:
    """Return n samples (text, label) of a grammar in which the verb decides the class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    texts = [
        f"{rng.choice(NAMES)} {rng.choice(VERBS[label])} as {rng.choice(NAMES)} spoke of its {rng.choice(THINGS)} "
        f"{rng.choice(TAILS)}" + f" and its {rng.choice(THINGS)}" * int(rng.integers(0, 4))
        for label in labels
    ]
    return pd.DataFrame({"text": texts, "label": labels})
