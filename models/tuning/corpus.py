"""The dated texts from which a built-in base is made, and the folder in which it is kept.

A base knows what its texts knew and nothing else: one text from after the stated cutoff is refused, not left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import DataError, LeakError
from embargo.data_loaders.schemas import as_utc
from embargo.models.bases.resolve import Base, open_base
from embargo.models.content import cached_folder, text_hash, texts_fingerprint
from embargo.models.loading.devices import device_type


def read_corpus(
    texts: Sequence[str],
    known_at: pd.Series | Sequence[pd.Timestamp],
    knowledge_cutoff: pd.Timestamp,
    *,
    name: str,
) -> list[str]:
    """Return the distinct texts that are not blank, in an order that follows from their content.

    Parameters
    ----------
    texts : sequence of str, length n
    known_at : sequence of UTC instants, length n
        When each text was known.
    knowledge_cutoff : Timestamp
    name : str
        Of the base that is made of them.

    Raises
    ------
    LeakError
        If a text was known only after the cutoff.
    DataError
        If there are no texts, all are blank, or lengths differ.
    """
    if len(texts) == 0:
        raise DataError(
            f"base {name!r}: no texts to learn from. Start the first training part later, or give a corpus."
        )
    if len(texts) != len(known_at):
        raise DataError(f"base {name!r}: {len(texts)} texts but {len(known_at)} instants. Give one instant per text.")
    refuse_late(texts, known_at, knowledge_cutoff, name=name, column="known_at", what="texts")
    corpus = sorted({text for text in texts if text.strip()}, key=text_hash)
    if not corpus:
        raise DataError(f"base {name!r}: all texts are blank. Give a corpus with words.")
    return corpus


def refuse_late(
    texts: Sequence[str],
    instants: pd.Series | Sequence[pd.Timestamp],
    knowledge_cutoff: pd.Timestamp,
    *,
    name: str,
    column: str,
    what: str,
) -> None:
    """Raise LeakError if one of ``what`` a base is made of was known only after its cutoff.

    Parameters
    ----------
    texts : sequence of str, length n
    instants : sequence of UTC instants, length n
    knowledge_cutoff : Timestamp
    name : str
        Of the base.
    column : str
        Where the instants stand.
    what : str
        What was known at them, in the plural.
    """
    known = as_utc(instants, what=f"base {name!r}, {column}")
    late = (known > knowledge_cutoff).to_numpy()
    if late.any():
        row = int(np.argmax(late))
        raise LeakError(
            f"base {name!r}: {int(late.sum())} {what} were known after the knowledge cutoff {knowledge_cutoff}, first "
            f"at {known.iloc[row]}: {texts[row][:60]!r}. Pass only {what} known by then."
        )


def made_of(
    corpus: Sequence[str],
    settings: Mapping[str, Any],
    seed: int,
    build: Callable[[Path], Mapping[str, Any]],
    *,
    name: str,
    knowledge_cutoff: pd.Timestamp,
    cache_dir: Path,
) -> Base:
    """Return the base that ``build`` makes of a corpus, made only where the same one was not made before.

    Parameters
    ----------
    corpus : sequence of str
        As `read_corpus` gives it.
    settings : mapping, JSON-able
    seed : int
    build : callable
        Writes tokenizer, config and weights into the empty folder it is given, and returns what its manifest is to say.
    name : str
    knowledge_cutoff : Timestamp
    cache_dir : Path
        Bases are kept in ``cache_dir / "bases"``.
    """
    key = {
        "corpus": texts_fingerprint(corpus),
        "settings": dict(settings),
        "seed": seed,
        "device": device_type(),
        "versions": {package: version(package) for package in ("torch", "transformers", "tokenizers")},
    }

    def written(folder: Path) -> dict[str, Any]:
        return {"kind": name, "n_texts": len(corpus), **build(folder)}

    folder, manifest = cached_folder(Path(cache_dir) / "bases", name, key, written)
    base = open_base(folder, name=name, knowledge_cutoff=knowledge_cutoff)
    source = f"pretrained here on {manifest['n_texts']} texts, all known by {knowledge_cutoff.isoformat()}"
    return replace(base, source=source)
