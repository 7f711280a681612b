"""Texts as numbered words, made once and read by every check of texts.

Small letters and digits make words; links, handles and all other signs of ASCII part them. Letters beyond ASCII stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from embargo.data_loaders.memory import release_unused

# More words than this are not read: texts are then drawn at random, in the order of a seed.
MOST_WORDS = 1_500_000
# Distinct texts that are parted together, and words that are worked on together: of millions of texts, all at once
# would take gigabytes.
_PIECE = 50_000
_AT_ONCE = 1_000_000

_NO_TEXT = "https?://[^ ]+|www\\.[^ ]+|@[0-9a-z_]+"
_KEPT = {*b"0123456789abcdefghijklmnopqrstuvwxyz", *range(128, 256)}
_TO_SPACES = bytes(byte if byte in _KEPT else ord(" ") for byte in range(256))


def _read(given: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Part texts into words: their names, the words of each distinct text, how many each has, and which each text is.

    A piece of the texts at a time; words have the numbers that they would have if all were read at once.
    """
    given = given.combine_chunks() if isinstance(given, pa.ChunkedArray) else given
    coded = given.dictionary_encode()
    distinct, which = coded.dictionary, coded.indices.to_numpy()
    starts = range(0, max(len(distinct), 1), _PIECE)
    parted = [_parted(distinct[start : start + _PIECE]) for start in starts]
    alike = pa.chunked_array([words for words, _ in parted]).unify_dictionaries().chunks
    names = alike[0].dictionary.to_numpy(zero_copy_only=False).astype(object)
    ids = np.concatenate([words.indices.to_numpy() for words in alike])
    lengths = np.concatenate([own for _, own in parted])
    return names, ids, lengths, which


def _parted(texts: pa.LargeStringArray) -> tuple[pa.DictionaryArray, np.ndarray]:
    """Give the words of some texts, and how many each text has."""
    plain = pc.replace_substring_regex(pc.utf8_lower(texts), _NO_TEXT, " ")
    _, ends, letters = plain.buffers()
    spaced = pa.LargeStringArray.from_buffers(
        len(plain), ends, pa.py_buffer(bytes(letters or b"").translate(_TO_SPACES)), offset=plain.offset
    )
    split = pc.ascii_split_whitespace(spaced)
    flat, lengths = split.flatten(), np.diff(split.offsets.to_numpy())
    whole = pc.not_equal(flat, "")
    owner = np.repeat(np.arange(len(lengths)), lengths)[whole.to_numpy(zero_copy_only=False)]
    return flat.dictionary_encode().filter(whole), np.bincount(owner, minlength=len(lengths))


@dataclass(frozen=True)
class Words:
    """Words of texts, in the order in which they stand.

    Attributes
    ----------
    names : ndarray of str, shape (words,)
        Each distinct word once.
    ids : ndarray of int32, shape (n,)
        Positions in ``names``, text after text.
    text : ndarray of int32, shape (n,)
        Which text each of them stands in.
    texts : int
        How many texts there are.
    """

    names: np.ndarray
    ids: np.ndarray
    text: np.ndarray
    texts: int

    @classmethod
    def of(cls, texts: pd.Series | Sequence[str]) -> Words:
        """Read texts, shape (n,), without missing values."""
        names, ids, lengths, which = _read(pa.array(texts, pa.large_string()))
        release_unused()
        starts = np.cumsum(lengths) - lengths
        own = lengths[which]
        every = np.empty(own.sum(), dtype=np.int32)
        for texts_, words in _blocks(own):
            few = own[texts_]
            place = np.arange(words.stop - words.start)
            place += np.repeat(starts[which[texts_]] - (np.cumsum(few) - few), few)
            every[words] = ids[place]
        return cls(names, every, np.repeat(np.arange(len(which), dtype=np.int32), own), len(which))

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """Cut the texts into blocks of about a million words: which texts and which words each block holds."""
        return _blocks(np.bincount(self.text, minlength=self.texts))

    def rows(self, chosen: np.ndarray) -> Words:
        """Return some texts, by position; each at most once, numbered in that order."""
        number = np.full(self.texts, -1, dtype=np.int32)
        number[chosen] = np.arange(len(chosen), dtype=np.int32)
        text = number[self.text]
        kept = np.flatnonzero(text >= 0)
        kept = kept[np.argsort(text[kept], kind="stable")]
        return Words(self.names, self.ids[kept], text[kept], len(chosen))

    def drawn(self, chosen: np.ndarray, seed: int) -> np.ndarray:
        """Return which of some texts are read, in order: all of them, or a fair sample of `MOST_WORDS` words."""
        length = np.bincount(self.text, minlength=self.texts)[chosen]
        if length.sum() <= MOST_WORDS:
            return np.arange(len(chosen))
        order = np.random.default_rng(seed).permutation(len(chosen))
        return np.sort(order[np.cumsum(length[order]) <= MOST_WORDS])

    def frequent(self, fewest: int) -> tuple[np.ndarray, sparse.csr_matrix]:
        """Words and pairs of neighbours that stand in ``fewest`` texts or more.

        Returns
        -------
        terms : ndarray of int64, shape (2, terms)
            Positions in ``names`` of the first and the second word; -1 for the second of a single one.
        holds : csr_matrix of bool as float32, shape (texts, terms)
        """
        counts = np.bincount(self.ids, minlength=len(self.names))
        common = counts[self.ids] >= fewest
        pair = np.flatnonzero(common[:-1] & common[1:] & (self.text[:-1] == self.text[1:]))
        codes, keys = pd.factorize(self.ids[pair].astype(np.int64) * len(self.names) + self.ids[pair + 1])
        often = np.bincount(codes, minlength=len(keys)) >= fewest
        number = np.cumsum(often) - 1
        kept = often[codes]
        single = np.flatnonzero(counts >= fewest)
        place = np.full(len(self.names), -1, dtype=np.int64)
        place[single] = np.arange(len(single))
        columns = np.concatenate([place[self.ids[common]], len(single) + number[codes[kept]]])
        rows = np.concatenate([self.text[common], self.text[pair[kept]]])
        first = np.append(single, keys[often] // len(self.names))
        second = np.append(np.full(len(single), -1), keys[often] % len(self.names))
        holds = sparse.coo_matrix(
            (np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=(self.texts, len(first))
        ).tocsr()
        holds.data[:] = 1.0
        return np.stack([first, second]), holds

    @cached_property
    def _places(self) -> dict[str, int]:
        return dict(zip(self.names.tolist(), range(len(self.names)), strict=True))

    def among(self, names: Iterable[str]) -> np.ndarray:
        """Tell which of the distinct words are among these, bool of shape (words,)."""
        told = np.zeros(len(self.names), dtype=bool)
        told[[self._places[name] for name in names if name in self._places]] = True
        return told

    def name(self, term: np.ndarray) -> str:
        """Write a word or a pair."""
        return " ".join(self.names[part] for part in term if part >= 0)


def _blocks(lengths: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Cut texts of so many words into blocks of about `_AT_ONCE` words, no text in two of them."""
    ends = np.cumsum(lengths)
    start = 0
    while start < len(lengths):
        before = int(ends[start] - lengths[start])
        stop = max(int(np.searchsorted(ends, before + _AT_ONCE, side="right")), start + 1)
        yield slice(start, stop), slice(before, int(ends[stop - 1]))
        start = stop
