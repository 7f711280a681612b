"""What a range of publication holds, by the long way: the whole world is resolved first, then cut."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from embargo.data_loaders.store import Snapshot


def cut(
    snapshot: Snapshot,
    start: pd.Timestamp | None,
    end: pd.Timestamp | None,
    *,
    versions: str,
    symbols: Sequence[str] | None,
) -> pd.DataFrame:
    """Articles of a snapshot with ``start <= published_at < end``, in the snapshot's order."""
    everything = snapshot.news(versions=versions, symbols=symbols)  # type: ignore[arg-type]
    keep = pd.Series(True, index=everything.index)
    if start is not None:
        keep &= everything["published_at"] >= start
    if end is not None:
        keep &= everything["published_at"] < end
    return everything.loc[keep].reset_index(drop=True)
