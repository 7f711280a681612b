"""Writers that other processes run, to be killed while they append to a store."""

from __future__ import annotations

from multiprocessing.connection import Connection

import pandas as pd

from embargo.data_loaders.store import Store

NOON = pd.Timestamp("2024-06-03T12:00:00Z").as_unit("us")
ROWS = 40


def rates(writer: int, number: int) -> pd.DataFrame:
    """One batch whose rows fall in two years, and so in two files."""
    days = pd.timedelta_range("0h", periods=ROWS, freq="8h")
    return pd.DataFrame(
        {
            "venue": "test",
            "symbol": f"W{writer}N{number}",
            "settles_at": pd.Timestamp("2023-12-26", tz="UTC") + days,
            "rate": number / 1e4,
        }
    )


def append_batches(root: str, writer: int, count: int, ready: Connection) -> None:
    store = Store.open(root)
    for number in range(count):
        batch = store.append(
            "funding",
            rates(writer, number),
            source=f"writer {writer}, {number}",
            committed_at=NOON + pd.Timedelta(seconds=number),
        )
        assert len(batch.files) == 2
        if number == 0:
            ready.send("started")
    ready.send("done")
