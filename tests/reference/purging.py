"""Purge and embargo by comparing every sample with every window and every label, one pair at a time.

Slow on purpose and written without pandas or numpy, so that it can contradict `embargo.data_loaders.splits.purging`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Sample:
    name: str
    known_at: datetime
    ends_at: datetime
    copy: Hashable = None


def overlap(first: tuple[datetime, datetime], second: tuple[datetime, datetime]) -> bool:
    """Whether two closed intervals share an instant."""
    return first[0] <= second[1] and second[0] <= first[1]


def _clashes(
    sample: Sample, block: Sequence[Sample], windows: Sequence[tuple[datetime, datetime]], gap: timedelta
) -> bool:
    reach = (sample.known_at, sample.ends_at)
    for start, end in windows:
        # Half-open: what is known exactly when a window (and the gap behind it) ends is free again.
        if sample.known_at < end + gap and sample.ends_at >= start - gap:
            return True
        for other in block:
            if start <= other.known_at < end and overlap(reach, (start - gap, other.ends_at + gap)):
                return True
    return False


def keep(
    samples: Sequence[Sample],
    windows: Mapping[str, Sequence[tuple[datetime, datetime]]],
    embargo: timedelta,
    *,
    copies: bool,
) -> dict[str, set[str]]:
    """Names of the samples that may stay in each part."""
    kept: dict[str, list[Sample]] = {}
    for part in ("test", "validation", "train"):
        inside = [sample for sample in samples if any(start <= sample.known_at < end for start, end in windows[part])]
        kept[part] = []
        for sample in inside:
            close = any(
                _clashes(sample, block, windows[other], embargo) for other, block in kept.items() if other != part
            )
            seen = copies and any(
                sample.copy == twin.copy for other, block in kept.items() if other != part for twin in block
            )
            if not close and not seen:
                kept[part].append(sample)
    return {part: {sample.name for sample in block} for part, block in kept.items()}
