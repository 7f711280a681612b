"""What an answer adds to a store: rows that are new, rows that say something else than before, and the rest.

Sources repeat themselves: the newest articles come back in every answer, and the last bars are asked for again. Only
what differs from the version known so far is appended, so a store grows with the news and not with the asking.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from embargo.data_loaders.records import Dataset, facts_of
from embargo.data_loaders.store.store import Store

_DERIVED = frozenset({"seen_at", "known_at", "revision"})


@dataclass(frozen=True)
class Added:
    """Rows of an answer by what they mean to the store.

    Examples
    --------
    >>> from embargo.data_loaders.store import Added
    >>> Added(new=2, unchanged=5) + Added(new=1)
    Added(new=3, revised=0, unchanged=5)
    """

    new: int = 0
    revised: int = 0
    unchanged: int = 0

    def __add__(self, other: Added) -> Added:
        return Added(self.new + other.new, self.revised + other.revised, self.unchanged + other.unchanged)


def sift(store: Store, dataset: Dataset, frame: pd.DataFrame, *, at: pd.Timestamp) -> tuple[pd.DataFrame, Added]:
    """Keep the rows that the store does not know in this form.

    Parameters
    ----------
    store : Store
    dataset : str
    frame : DataFrame
        Facts of one venue and bar, as a loader returns them.
    at : Timestamp
        The world to compare with; facts known later are not looked at.

    Returns
    -------
    (frame, added)
        The rows to append, and how many rows were new, revised and unchanged.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from embargo.data_loaders.store import Store, sift
    >>> at = pd.Timestamp("2020-01-02 15:00", tz="UTC")
    >>> news = pd.DataFrame([{"article_id": "1", "published_at": at, "symbol": "AAPL", "text": "Apple beats"}])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store.create(folder)
    ...     batch = store.append("news", news, source="wire", committed_at=at + pd.Timedelta(minutes=1))
    ...     fresh, added = sift(store, "news", news, at=at + pd.Timedelta(days=1))
    >>> len(fresh), added.unchanged
    (0, 1)
    """
    known = _known(store, dataset, frame, at)
    key = list(facts_of(dataset).key)
    if known.empty:
        return frame, Added(new=len(frame))
    values = [name for name in frame.columns if name not in key and name not in _DERIVED]
    before = known.reindex(columns=[*key, *values]).assign(_there=True)
    beside = frame[key].merge(before, on=key, how="left", validate="many_to_one")
    there = beside["_there"].notna().to_numpy()
    same = there.copy()
    for name in values:
        same &= _equal(frame[name], beside[name])
    counts = Added(new=int((~there).sum()), revised=int((there & ~same).sum()), unchanged=int(same.sum()))
    return frame.loc[~same], counts


def _equal(left: pd.Series, right: pd.Series) -> np.ndarray:
    """Position by position, with missing equal to missing."""
    first, second = left.reset_index(drop=True), right.reset_index(drop=True)
    equal: np.ndarray = ((first == second) | (first.isna() & second.isna())).to_numpy(dtype=bool)
    return equal


def _known(store: Store, dataset: Dataset, frame: pd.DataFrame, at: pd.Timestamp) -> pd.DataFrame:
    if frame.empty:
        return frame.iloc[:0]
    event = facts_of(dataset).event
    edges = (None, None)
    if dataset != "instruments":
        edges = (frame[event].min(), frame[event].max() + pd.Timedelta(microseconds=1))
    if dataset == "news":
        return store.as_of(at).news(start=edges[0], end=edges[1])
    pieces = store.as_of(at).record_batches(
        dataset,
        venue=str(frame["venue"].iloc[0]),
        bar=str(frame["bar"].iloc[0]) if dataset == "bars" else None,
        symbols=sorted(set(frame["symbol"])),
        start=edges[0],
        end=edges[1],
    )
    frames = [piece.to_pandas() for piece in pieces]
    return pd.concat(frames, ignore_index=True) if frames else frame.iloc[:0]
