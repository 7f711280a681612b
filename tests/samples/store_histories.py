"""Histories of commits to a store: edits back and forth, repeats, stated and assumed, and what a store says of them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import pandas as pd
from hypothesis import strategies as st
from reference.revisions import Revision, Row

from embargo.data_loaders.store import Store

ZERO = pd.Timestamp("2023-12-31T23:30:00Z").as_unit("us")
MICROSECOND = pd.Timedelta(microseconds=1)
LATE = 10_000


def minute(count: int) -> pd.Timestamp:
    return ZERO + pd.Timedelta(minutes=count)


def fresh() -> Store:
    return Store.create(f"memory://{uuid.uuid4().hex}")


@st.composite
def commits(draw: st.DrawFn) -> list[list[Row]]:
    """Batches with unique commit instants in any order: edits back and forth, repeats, stated and assumed."""
    instants = draw(st.lists(st.integers(0, 60), min_size=1, max_size=6, unique=True))
    batches = []
    for committed in instants:
        keys = draw(st.lists(st.sampled_from(["a X", "a Y", "a Z", "b X"]), min_size=1, max_size=3, unique=True))
        batches.append(
            [
                Row(
                    key=key,
                    whole=key.partition(" ")[0],
                    told=(told := draw(st.sampled_from("ABC"))),
                    # The publication instant is content too: sources restate it, even into the next year.
                    content=(told, natural := draw(st.sampled_from([0, 0, 0, 10, 45]))),
                    natural=natural,
                    stated=draw(st.none() | st.integers(0, 60)),
                    committed=committed,
                )
                for key in keys
            ]
        )
    return batches


def fill(store: Store, batches: list[list[Row]], further: Mapping[str, object] | None = None) -> None:
    for rows in batches:
        frame = pd.DataFrame(
            {
                "article_id": [str(row.key).split()[0] for row in rows],
                "symbol": [str(row.key).split()[1] for row in rows],
                "text": [row.content[0] for row in rows],
                "published_at": [minute(row.natural) for row in rows],
                "seen_at": pd.Series([None if row.stated is None else minute(row.stated) for row in rows]).astype(
                    "datetime64[us, UTC]"
                ),
            }
        )
        frame = frame.assign(**(further or {}))
        store.append("news", frame, source="test", committed_at=minute(rows[0].committed))


def revisions(frame: pd.DataFrame) -> list[Revision]:
    def count(values: pd.Series) -> list[int]:
        return [int(value) for value in (values - ZERO) / pd.Timedelta(minutes=1)]

    columns = zip(
        frame["article_id"] + " " + frame["symbol"],
        frame["text"],
        count(frame["published_at"]),
        count(frame["seen_at"]),
        count(frame["known_at"]),
        frame["revision"],
        strict=True,
    )
    found = [Revision(key, (text, natural), natural, seen, known, n) for key, text, natural, seen, known, n in columns]
    return sorted(found, key=lambda revision: (revision.key, revision.number))
