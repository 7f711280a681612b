"""Archives of any size as a stream of few, big batches: pieces of tables put through rules and gathered again.

Memory is bounded by one batch. A batch says which rows of the archive it was made from, so that an import knows after a
crash where it had come to; counts stand for what has been yielded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

from embargo.data_loaders.archive.tables import PIECE_BYTES, PIECE_ROWS, Piece
from embargo.data_loaders.errors import DataError

BATCH_ROWS = 500_000
BATCH_BYTES = 128 << 20

Counts = dict[str, int]
Work = Callable[[Piece, Counts], pd.DataFrame]


@dataclass(frozen=True)
class RowBatch:
    """What is left of consecutive rows of an archive after the rules were applied.

    Attributes
    ----------
    first, last : int
        Rows of the whole archive, counted from 1 through all its tables, both included.
    frame : DataFrame
        The rows kept; empty only in the single batch of an archive of which nothing is left.
    final : bool
        Whether the archive ends here.
    """

    first: int
    last: int
    frame: pd.DataFrame
    final: bool


def add_count(counts: Counts, key: str, number: float) -> None:
    """Raise a count, starting it at zero."""
    counts[key] = counts.get(key, 0) + int(number)


def nothing_left(where: str, what: str, counts: Counts) -> str:
    """Say that no row of an archive is left, and where they went."""
    if not counts.get("rows"):
        return f"{where}: the archive has columns and no rows. Fetch it again."
    gone = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in counts.items() if number)
    return f"{where}: no {what} is left ({gone}). Widen the range, the symbols or the filters."


def _bytes_of(frame: pd.DataFrame) -> int:
    return int(frame.memory_usage(index=False).sum())


def bundles(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Put small pieces with the same types together, so that thousands of small files cost little more than a big one.

    Types that differ from file to file keep pieces apart: joined, they would turn into objects and be read otherwise.
    """
    bundle: list[Piece] = []
    rows = size = 0
    for piece in pieces:
        weight = _bytes_of(piece.frame)
        unlike = bundle and not bundle[0].frame.dtypes.equals(piece.frame.dtypes)
        if bundle and (unlike or rows + len(piece.frame) > PIECE_ROWS or size + weight > PIECE_BYTES):
            yield bundle
            bundle, rows, size = [], 0, 0
        bundle.append(piece)
        rows += len(piece.frame)
        size += weight
    if bundle:
        yield bundle


def put_through(bundle: list[Piece], work: Work, counts: Counts) -> pd.DataFrame:
    """Apply the rules to a bundle at once; where they find fault, piece by piece, so that the error names its place."""
    if len(bundle) == 1:
        return work(bundle[0], counts)
    joined = pd.concat([piece.frame for piece in bundle], ignore_index=True)
    together = dict(counts)
    try:
        frame = work(Piece(bundle[0].place, joined, bundle[-1].used), together)
    except DataError:
        for piece in bundle:
            work(piece, dict(counts))
        raise
    counts.update(together)
    return frame


def _gathered(kept: list[pd.DataFrame]) -> pd.DataFrame:
    """Join frames and let go of them, so that a batch is not held twice while it is worked on."""
    whole = pd.concat(kept, ignore_index=True) if kept else pd.DataFrame()
    kept.clear()
    return whole


def batches(
    pieces: Iterable[Piece], work: Work, counts: Counts, *, tell: Callable[[int], None] | None = None
) -> Iterator[RowBatch]:
    """Put pieces through rules and gather what is left into batches of about 500,000 rows or 128 MiB.

    Parameters
    ----------
    pieces : iterable of Piece
        As ``tables.pieces`` yields them.
    work : callable
        Takes a piece and the counts, adds to the counts, and returns the rows to keep.
    counts : dict
        Added to, ``rows`` included.
    tell : callable, optional
        Called with the bytes of the archive on disk read so far.
    """
    kept: list[pd.DataFrame] = []
    rows = size = read = 0
    first = 1
    for bundle in bundles(pieces):
        before = read
        read += sum(len(piece.frame) for piece in bundle)
        add_count(counts, "rows", read - before)
        part = put_through(bundle, work, counts)
        if len(part) and (rows >= BATCH_ROWS or size >= BATCH_BYTES):
            yield RowBatch(first, before, _gathered(kept), final=False)
            rows, size, first = 0, 0, before + 1
        if len(part):
            kept.append(part)
            rows += len(part)
            size += _bytes_of(part)
        if tell is not None:
            tell(bundle[-1].used)
    yield RowBatch(first, read, _gathered(kept), final=True)
