"""Batches cover an archive's rows once and in order, however its pieces fall."""

from __future__ import annotations

import itertools
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.data_loaders.archive import streams
from embargo.data_loaders.archive.streams import Counts, batches, bundles, put_through
from embargo.data_loaders.archive.tables import Piece
from embargo.data_loaders.errors import DataError


def pieces_of(sizes: list[int], kinds: list[bool]) -> list[Piece]:
    """Pieces of consecutive numbers; some hold them as floats."""
    number, made = 0, []
    for size, floats in zip(sizes, itertools.cycle(kinds), strict=False):
        values = np.arange(number, number + size)
        frame = pd.DataFrame({"n": values.astype(float) if floats else values}, index=pd.RangeIndex(1, size + 1))
        made.append(Piece(f"file {len(made)}", frame, number + size))
        number += size
    return made


@given(
    st.lists(st.integers(0, 9), max_size=12),
    st.lists(st.booleans(), min_size=1, max_size=4),
    st.integers(1, 5),
    st.integers(1, 20),
    st.integers(1, 12),
)
def test_batches_cover_every_row_once_in_order(
    sizes: list[int], kinds: list[bool], keep_every: int, piece_rows: int, batch_rows: int
) -> None:
    def work(piece: Piece, counts: Counts) -> pd.DataFrame:
        return piece.frame.loc[piece.frame["n"] % keep_every == 0]

    counts: Counts = {}
    with mock.patch.object(streams, "PIECE_ROWS", piece_rows), mock.patch.object(streams, "BATCH_ROWS", batch_rows):
        made = list(batches(pieces_of(sizes, kinds), work, counts))
    total = sum(sizes)
    assert [batch.final for batch in made] == [False] * (len(made) - 1) + [True]
    assert [batch.first for batch in made] == [1, *(batch.last + 1 for batch in made[:-1])]
    assert made[-1].last == total == counts.get("rows", 0)
    kept = [int(number) for batch in made for number in batch.frame.get("n", [])]
    assert kept == list(range(0, total, keep_every))
    for batch in made:
        assert (
            batch.frame.empty or batch.first <= batch.frame["n"].min() + 1 <= batch.frame["n"].max() + 1 <= batch.last
        )
        assert len(batch.frame) < batch_rows + max([*sizes, piece_rows])


def test_only_pieces_of_like_types_are_put_together() -> None:
    grouped = list(bundles(pieces_of([1, 2, 3, 1], [True, True, False])))
    assert [len(bundle) for bundle in grouped] == [2, 1, 1]


def test_pieces_of_long_texts_are_not_put_together() -> None:
    pieces = pieces_of([10] * 6, [False])
    with mock.patch.object(streams, "PIECE_BYTES", 200):
        assert [len(bundle) for bundle in bundles(pieces)] == [2, 2, 2]


def test_a_fault_in_a_bundle_is_found_again_in_its_piece_and_counts_nothing_twice() -> None:
    def work(piece: Piece, counts: Counts) -> pd.DataFrame:
        streams.add_count(counts, "seen", len(piece.frame))
        if (piece.frame["n"] == 4).any():
            raise DataError(f"{piece.place}, row {(piece.frame['n'] == 4).idxmax()}")
        return piece.frame

    bundle = pieces_of([3, 3, 3], [False])
    counts: Counts = {}
    with pytest.raises(DataError, match="file 1, row 2"):
        put_through(bundle, work, counts)
    assert counts == {}
    assert len(put_through([bundle[0], bundle[2]], work, counts)) == 6
    assert counts == {"seen": 6}
