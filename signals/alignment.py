"""Which bar an article may first influence: the first row whose decision instant is at or after ``known_at``.

This is the only join between news and bars. It promises that no article reaches a row decided before it was known,
and that every article is either placed or counted under the reason why it was not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import as_utc

UNUSED = -1


@dataclass(frozen=True)
class Alignment:
    """Where each article lands on a signal panel.

    Attributes
    ----------
    row : int64 array, shape (n,)
        Bar position, -1 where the article is not used.
    column : int64 array, shape (n,)
        Symbol position, -1 where the article is not used.
    counts : dict
        ``aligned``, ``after_last_bar``, ``before_first_bar`` and ``unknown_symbol``; they sum to n.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.signals import Alignment
    >>> found = Alignment(row=np.array([0, -1]), column=np.array([1, -1]), counts={'aligned': 1, 'unknown_symbol': 1})
    >>> found.used.tolist()
    [True, False]
    """

    row: np.ndarray
    column: np.ndarray
    counts: dict[str, int]

    @property
    def used(self) -> np.ndarray:
        """Boolean mask of the articles that landed on the panel, shape (n,)."""
        return np.asarray(self.row >= 0)


def _ticks(values: Any, what: str, *, up: bool) -> np.ndarray:
    """Count microseconds since 1970 as int64; finer units are rounded up or down, so that nothing is known early."""
    dtype = getattr(values, "dtype", None)
    if isinstance(dtype, pd.DatetimeTZDtype) and dtype.unit in ("us", "ns"):
        # A view: ``as_utc`` would copy ten million instants, and ``to_numpy`` would make objects of them.
        ticks = getattr(values, "array", values).asi8
        if not len(ticks) or ticks.min() != pd.NaT.value:
            if dtype.unit == "ns":
                ticks = -(-ticks // 1000) if up else ticks // 1000
            return np.asarray(ticks)
    return np.asarray(pd.DatetimeIndex(as_utc(values, what=what)).asi8)


def _rows(known: np.ndarray, decided: np.ndarray) -> np.ndarray:
    """Find the first decision at or after each instant; ``len(decided)`` where there is none."""
    if (known[1:] >= known[:-1]).all():
        # News usually come sorted: then the few bars are looked up among the many articles.
        placed = np.searchsorted(known, decided, side="right")
        return np.repeat(np.arange(len(decided) + 1), np.diff(placed, prepend=0, append=len(known)))
    return np.asarray(np.searchsorted(decided, known, side="left"), dtype=np.int64)


def _columns(symbols: pd.Index | pa.Array | pa.ChunkedArray, names: pd.Index) -> np.ndarray:
    """Look up symbols without decoding them, each distinct one once where they are encoded; -1 where unknown."""
    arrow = symbols if isinstance(symbols, (pa.Array, pa.ChunkedArray)) else _arrow_of(symbols)
    codes: np.ndarray
    distinct: pd.Index
    if isinstance(symbols, pd.CategoricalIndex):
        codes, distinct = np.asarray(symbols.codes), symbols.categories
    elif arrow is None:
        codes, distinct = pd.Index(symbols).factorize()
    elif pa.types.is_dictionary(arrow.type):
        whole = arrow.unify_dictionaries().combine_chunks() if isinstance(arrow, pa.ChunkedArray) else arrow
        codes, distinct = whole.indices.fill_null(UNUSED).to_numpy(), pd.Index(whole.dictionary.to_pandas())
    else:
        found = pc.index_in(arrow, value_set=pa.array(list(names), arrow.type))
        return np.asarray(found.fill_null(UNUSED).to_numpy(), dtype=np.int64)
    # The code of a missing symbol, -1, finds the last entry.
    return np.asarray(np.append(names.get_indexer(distinct), UNUSED).astype(np.int64)[codes])


def _arrow_of(symbols: pd.Index) -> pa.Array | pa.ChunkedArray | None:
    dtype = symbols.dtype
    text = isinstance(dtype, pd.StringDtype) and dtype.storage == "pyarrow"
    return pa.array(symbols.array) if text or isinstance(dtype, pd.ArrowDtype) else None


def align(
    known_at: pd.Series | pd.DatetimeIndex,
    symbol: pd.Series | pd.Index | pd.Categorical | pa.Array | pa.ChunkedArray | Sequence[str] | np.ndarray,
    decided_at: pd.DatetimeIndex,
    columns: Sequence[str] | pd.Index,
    *,
    not_before: pd.Timestamp | None = None,
) -> Alignment:
    """Place articles on the rows of a shared calendar.

    Parameters
    ----------
    known_at : Series or DatetimeIndex, shape (n,)
        Instants at which the articles were knowable, UTC, in any order; fastest when increasing.
    symbol : sequence of str, shape (n,)
        Symbol of each article: strings, or a pandas categorical or Arrow dictionary, which is not decoded.
    decided_at : DatetimeIndex, shape (bars,)
        Decision instants of the rows, UTC, strictly increasing. An article known exactly then still counts for the row,
        one known a microsecond later does not.
    columns : sequence of str, shape (symbols,)
        Symbols of the panel, unique.
    not_before : Timestamp, optional
        Articles known before this instant are refused as stale and counted. Without it everything older than the first
        decision lands on row 0.

    Returns
    -------
    Alignment
        An article that misses for several reasons is counted under the first of unknown symbol, before, after.

    Raises
    ------
    DataError
        If instants are naive or missing, lengths differ, decisions are not increasing, or columns repeat.

    Examples
    --------
    Of two articles, one is known when the second bar is decided, the other only after it:

    >>> import pandas as pd
    >>> from embargo.signals import align
    >>> days = pd.date_range('2024-01-01 14:30', periods=4, tz='UTC')
    >>> known_at = pd.DatetimeIndex(['2024-01-02 14:25', '2024-01-02 14:26'], tz='UTC')
    >>> found = align(known_at, ['A', 'B'], days - pd.Timedelta('5min'), ['A', 'B'])
    >>> found.row.tolist(), found.column.tolist(), found.counts['aligned']
    ([1, 2], [0, 1], 2)
    """
    known = _ticks(known_at, "align: known_at", up=True)
    decided = _ticks(decided_at, "align: decided_at", up=False)
    names = pd.Index([str(name) for name in columns], dtype="str")
    symbols = symbol if isinstance(symbol, (pa.Array, pa.ChunkedArray)) else pd.Index(symbol)
    if len(symbols) != len(known):
        raise DataError(f"align: {len(known)} instants but {len(symbols)} symbols. Pass one of each per article.")
    if not names.is_unique:
        raise DataError(f"align: symbol {names[names.duplicated()][0]!r} names two columns. Make the columns unique.")
    if len(decided) > 1 and not (decided[1:] > decided[:-1]).all():
        first = int(np.argmin(decided[1:] > decided[:-1])) + 1
        instant = pd.Timestamp(decided[first], unit="us", tz="UTC")
        raise DataError(f"align: decided_at is not increasing at row {first} ({instant}). Sort the bars first.")
    if not_before is not None and getattr(not_before, "tzinfo", None) is None:
        raise DataError(f"align: not_before {not_before} has no time zone. Pass a UTC timestamp.")

    row = _rows(known, decided)
    column = _columns(symbols, names)
    unknown = column < 0
    early = np.zeros(len(known), dtype=bool)
    if not_before is not None:
        early = known < _ticks(pd.DatetimeIndex([not_before]), "align: not_before", up=True)[0]
    early &= ~unknown
    late = (row >= len(decided)) & ~unknown & ~early
    unused = unknown | early | late
    if unused.any():
        row[unused] = UNUSED
        column[unused] = UNUSED
    counts = {
        "aligned": int((~unused).sum()),
        "after_last_bar": int(late.sum()),
        "before_first_bar": int(early.sum()),
        "unknown_symbol": int(unknown.sum()),
    }
    return Alignment(row=row, column=column, counts=counts)
