"""Hashes of facts that are the same in every process, on every machine and for every type that says the same.

The integer 5 and the number 5.0 hash alike, as do a missing value and a missing column, so that a source which changes
its types or adds an empty column does not seem to have edited anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def _mix(bits: np.ndarray) -> np.ndarray:
    """Scramble 64 bits so that every input bit reaches every output bit (the finaliser of SplitMix64)."""
    mixed = bits + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _digests(texts: Sequence[str | None]) -> np.ndarray:
    joined = b"".join([blake2b((text or "").encode(), digest_size=8).digest() for text in texts])
    return np.frombuffer(joined, dtype="<u8").astype(np.uint64)


def _bits(values: pa.Array) -> np.ndarray:
    """64 bits for each value; missing ones get any."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        encoded = values.dictionary_encode()
        distinct = _digests(encoded.dictionary.to_pylist())
        codes = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
        return distinct[codes] if len(distinct) else np.zeros(len(values), np.uint64)
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


def row_hashes(table: pa.Table, columns: Sequence[str]) -> np.ndarray:
    """Hash some columns of each row to 64 bits.

    Parameters
    ----------
    table : Table, shape (n, columns)
        Columns of text, numbers, truth values or instants in microseconds.
    columns : sequence of str
        Which to hash; their order and the case of their names do not matter.

    Returns
    -------
    ndarray of uint64, shape (n,)
    """
    total = np.zeros(table.num_rows, np.uint64)
    for name in columns:
        values = table[name].combine_chunks()
        salt = _digests([name.lower()])[0]
        there = pc.is_valid(values).to_numpy(zero_copy_only=False)
        total += np.where(there, _mix(_bits(values) ^ salt), np.uint64(0))
    return _mix(total)
