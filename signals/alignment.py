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

from data_loaders.errors import DataError
from data_loaders.schemas import as_utc

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
    """

    row: np.ndarray
    column: np.ndarray
    counts: dict[str, int]

    @property
    def used(self) -> np.ndarray:
        """Boolean mask of the articles that landed on the panel, shape (n,)."""
        return np.asarray(self.row >= 0)


def _utc_values(values: Any, what: str) -> np.ndarray:
    series = values if isinstance(values, pd.Series) else pd.Series(values)
    return np.asarray(as_utc(series, what=what).dt.tz_convert(None).to_numpy())


def align(
    known_at: pd.Series | pd.DatetimeIndex,
    symbol: pd.Series | Sequence[str] | np.ndarray,
    decided_at: pd.DatetimeIndex,
    columns: Sequence[str] | pd.Index,
    *,
    not_before: pd.Timestamp | None = None,
) -> Alignment:
    """Place articles on the rows of a shared calendar.

    Parameters
    ----------
    known_at : Series or DatetimeIndex, shape (n,)
        Instants at which the articles were knowable, UTC, in any order.
    symbol : sequence of str, shape (n,)
        Symbol of each article.
    decided_at : DatetimeIndex, shape (bars,)
        Decision instants of the rows, UTC, strictly increasing.
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
    """
    known = _utc_values(known_at, "align: known_at")
    decided = _utc_values(decided_at, "align: decided_at")
    names = pd.Index([str(name) for name in columns])
    symbols = pd.Index(symbol)
    if len(symbols) != len(known):
        raise DataError(f"align: {len(known)} instants but {len(symbols)} symbols. Pass one of each per article.")
    if not names.is_unique:
        raise DataError(f"align: symbol {names[names.duplicated()][0]!r} names two columns. Make the columns unique.")
    if len(decided) > 1 and not (decided[1:] > decided[:-1]).all():
        first = int(np.argmin(decided[1:] > decided[:-1])) + 1
        raise DataError(f"align: decided_at is not increasing at row {first} ({decided[first]}). Sort the bars first.")
    if not_before is not None and pd.Timestamp(not_before).tzinfo is None:
        raise DataError(f"align: not_before {not_before} has no time zone. Pass a UTC timestamp.")

    row = np.asarray(np.searchsorted(decided, known, side="left"), dtype=np.int64)
    # Symbols recur: each distinct one is looked up once. The code of a missing symbol, -1, finds the last entry.
    codes, distinct = symbols.factorize()
    column = np.append(names.get_indexer(distinct), UNUSED).astype(np.int64)[codes]
    unknown = column < 0
    early = np.zeros(len(known), dtype=bool)
    if not_before is not None:
        early = known < pd.Timestamp(not_before).tz_convert("UTC").tz_localize(None).to_datetime64()
    early &= ~unknown
    late = (row >= len(decided)) & ~unknown & ~early
    unused = unknown | early | late
    row[unused] = UNUSED
    column[unused] = UNUSED
    counts = {
        "aligned": int((~unused).sum()),
        "after_last_bar": int(late.sum()),
        "before_first_bar": int(early.sum()),
        "unknown_symbol": int(unknown.sum()),
    }
    return Alignment(row=row, column=column, counts=counts)
