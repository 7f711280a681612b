"""What was known when, worked out one row at a time in plain Python, so that it can contradict the store's SQL."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One stored row: instants are whole numbers of any unit; ``stated`` is None where the source did not say.

    ``whole`` names what is edited as one (an article under all its symbols), ``told`` what it says.
    """

    key: Hashable
    whole: Hashable
    told: Hashable
    content: Hashable
    natural: int
    stated: int | None
    committed: int


@dataclass(frozen=True)
class Revision:
    key: Hashable
    content: Hashable
    natural: int
    seen: int
    known: int
    number: int


def history(rows: Iterable[Row], first_told: set[Hashable]) -> list[Revision]:
    """All revisions of one key, the first one first. No two commits of different content share an instant."""
    rows = list(rows)
    opening = min(row.committed for row in rows)
    dated = []
    for row in rows:
        if row.stated is not None:
            seen = row.stated
        elif row.committed == opening and row.told in first_told:
            seen = row.natural
        else:
            seen = row.committed
        dated.append((max(row.natural, seen), seen, row.committed, row))
    dated.sort(key=lambda item: item[:3])
    found: list[Revision] = []
    for known, seen, _, row in dated:
        if found and found[-1].content == row.content:
            continue
        found.append(Revision(row.key, row.content, row.natural, seen, known, len(found)))
    return found


def as_of(rows: Iterable[Row], t: int, versions: str = "latest") -> list[Revision]:
    """Revisions known at t, by key and number: the newest of each key, the first of each, or all."""
    rows = list(rows)
    by_key: dict[Hashable, list[Row]] = {}
    for row in rows:
        by_key.setdefault(row.key, []).append(row)
    answer: list[Revision] = []
    for key in sorted(by_key, key=str):
        whole = [row for row in rows if row.whole == by_key[key][0].whole]
        opened = min(row.committed for row in whole)
        first_told = {row.told for row in whole if row.committed == opened}
        known = [revision for revision in history(by_key[key], first_told) if revision.known <= t]
        if versions == "latest":
            known = known[-1:]
        elif versions == "first":
            known = known[:1]
        answer.extend(known)
    return answer
