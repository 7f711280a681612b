"""Hashes of facts that are the same in every process, on every machine and for every type that says the same.

The integer 5 and the number 5.0 hash alike, as do a missing value and a missing column, so that a source which changes
its types or adds an empty column does not seem to have edited anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Rows whose words are gathered at once: few enough to stay in the processor's cache.
_ROWS = 8_192
# From here on a digest costs less than eight bytes at a time.
_LONG = 512
_STEP = np.uint64(0x9E3779B97F4A7C15)


def _mix(bits: np.ndarray) -> np.ndarray:
    """Scramble 64 bits so that every input bit reaches every output bit (the finaliser of SplitMix64)."""
    mixed = bits + _STEP
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _digests(texts: Sequence[str | None]) -> np.ndarray:
    joined = b"".join([blake2b((text or "").encode(), digest_size=8).digest() for text in texts])
    return np.frombuffer(joined, dtype="<u8").astype(np.uint64)


def _digested(values: pa.Array) -> np.ndarray:
    """Hash texts by a digest of each distinct one, as stores of the first format hold them."""
    encoded = values.dictionary_encode()
    distinct = _digests(encoded.dictionary.to_pylist())
    codes = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    return distinct[codes] if len(distinct) else np.zeros(len(values), np.uint64)


def _by_words(values: pa.Array) -> np.ndarray:
    """Hash texts by the sum of their scrambled words of eight bytes, each salted with its place, and of their length.

    Texts of 512 bytes and more are hashed by a digest. Missing texts get any hash.
    """
    values = values.cast(pa.large_string())
    result = np.zeros(len(values), np.uint64)
    _, where, content = values.buffers()
    if content is None or not len(values):
        return _mix(result)
    places = np.frombuffer(where, "<i8", len(values) + 1, 8 * values.offset)
    for first in range(0, len(values), _ROWS):
        edges = places[first : first + _ROWS + 1]
        result[first : first + _ROWS] = _short_texts(content, edges)
    lengths = np.diff(places)
    if lengths.max() >= _LONG:
        long = np.flatnonzero(lengths >= _LONG)
        result[long] = _digests(values.take(pa.array(long)).to_pylist())
    return result


def _short_texts(content: pa.Buffer, edges: np.ndarray) -> np.ndarray:
    start, size = int(edges[0]), int(edges[-1] - edges[0])
    padded = np.zeros((size // 8 + 2) * 8, np.uint8)
    padded[:size] = np.frombuffer(content, np.uint8, size, start)
    words = padded.view("<u8").astype(np.uint64, copy=False)
    begins, lengths = (edges[:-1] - start).astype(np.int64), np.diff(edges)
    total = _mix(lengths.astype(np.uint64))
    lengths = np.where(lengths < _LONG, lengths, 0)
    row: np.ndarray | None = None
    place = 0
    while True:
        there = lengths > 0
        if not there.all():
            begins, lengths = begins[there], lengths[there]
            row = np.flatnonzero(there) if row is None else row[there]
        if not len(lengths):
            return total
        cell, shift = begins >> 3, ((begins & 7) << 3).astype(np.uint64)
        # A shift by all 64 bits leaves nothing, in numpy.
        word = (words[cell] >> shift) | (words[cell + 1] << (np.uint64(64) - shift))
        ends = lengths < 8
        if ends.any():
            word[ends] &= (np.uint64(1) << (lengths[ends] << 3).astype(np.uint64)) - np.uint64(1)
        place += 1
        word = _mix(word ^ _mix(np.full(1, place, np.uint64)))
        if row is None:
            total += word
        else:
            total[row] += word
        begins, lengths = begins + 8, lengths - 8


def _bits(values: pa.Array, of_texts: Callable[[pa.Array], np.ndarray]) -> np.ndarray:
    """64 bits for each value; missing ones get any."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return of_texts(values)
    if pa.types.is_timestamp(kind):
        instants = values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        return _mix(instants.view(np.uint64) ^ np.uint64(0x7469_6D65))
    if pa.types.is_floating(kind):
        numbers = values.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False) + 0.0
        return _mix(np.ascontiguousarray(numbers).view(np.uint64))
    if pa.types.is_uint64(kind):
        whole = values.fill_null(0).to_numpy(zero_copy_only=False)
    else:
        whole = values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    numbers = whole.astype(np.float64)
    small = np.abs(numbers) <= 2.0**53
    return _mix(np.where(small, (numbers + 0.0).view(np.uint64), whole.astype(np.uint64) ^ np.uint64(0x696E_7400)))


def row_hashes(table: pa.Table, columns: Sequence[str], *, hashing: int = 2) -> np.ndarray:
    """Hash some columns of each row to 64 bits.

    Parameters
    ----------
    table : Table, shape (n, columns)
        Columns of text, numbers, truth values or instants in microseconds.
    columns : sequence of str
        Which to hash; their order and the case of their names do not matter.
    hashing : {1, 2}
        How texts are hashed; hashes of one kind say nothing about those of the other.

    Returns
    -------
    ndarray of uint64, shape (n,)
    """
    of_texts = {1: _digested, 2: _by_words}[hashing]
    total = np.zeros(table.num_rows, np.uint64)
    for name in columns:
        values = table[name].combine_chunks()
        salt = _digests([name.lower()])[0]
        mixed = _mix(_bits(values, of_texts) ^ salt)
        if values.null_count:
            mixed[pc.is_null(values).to_numpy(zero_copy_only=False)] = 0
        total += mixed
    return _mix(total)
