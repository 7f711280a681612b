"""What a fit really read: which texts, with which labels, reached an optimiser, a calibration or a prompt.

The lines are written by the code that reads the samples, beside the reading, never from the plan of what it was to
read. Whoever handed the samples over adds when each of them was known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from embargo.models.content import text_hash

# "base" is what the base was made from, before the fit began.
Use = Literal["optimiser", "stopping", "calibration", "threshold", "example", "retrieved", "taught", "base"]

RECORD = "samples_read.csv"
RECORD_COLUMNS = ("use", "text_hash", "label", "known_at", "ends_at")
# Which of (training, validation) a sample is looked for in first.
_TAUGHT = ("optimiser", "threshold", "example", "base")
# Read without a label: an earlier article in a prompt, and a text of which a student learnt what its teacher answered.
_UNLABELLED = ("retrieved", "taught")


class SampleRead(NamedTuple):
    """One sample that a fit read: what for, the sha256 of its text, and its class (-1 where it had none yet)."""

    use: Use
    text_hash: str
    label: int


def samples_read(use: Use, texts: Sequence[str], labels: Iterable[int]) -> tuple[SampleRead, ...]:
    """Write down samples in an order of their own, equal ones as often as they were read."""
    return tuple(
        sorted(SampleRead(use, text_hash(text), int(label)) for text, label in zip(texts, labels, strict=True))
    )


def write_record(folder: Path, read: Iterable[SampleRead]) -> None:
    """Write `RECORD` into a folder; the same samples give the same bytes."""
    lines = [",".join(map(str, sample)) for sample in (SampleRead._fields, *sorted(read))]
    (folder / RECORD).write_text("\n".join(lines) + "\n", encoding="ascii")


def read_record(folder: Path) -> tuple[SampleRead, ...] | None:
    """Read what `write_record` wrote; None where a folder has no record."""
    if not (folder / RECORD).is_file():
        return None
    frame = pd.read_csv(folder / RECORD, dtype={"use": str, "text_hash": str, "label": int})
    return tuple(SampleRead(*row) for row in frame[list(SampleRead._fields)].itertuples(index=False, name=None))


def dated_record(
    read: Sequence[SampleRead],
    train: pd.DataFrame,
    validation: pd.DataFrame,
    background: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Add to what was read when each sample was known and its label complete.

    Parameters
    ----------
    read : sequence of SampleRead
    train, validation : DataFrame
        What was handed over: ``text``, ``label`` and, where samples are dated, ``known_at`` and ``ends_at`` (UTC).
    background : DataFrame, optional
        ``text`` and ``known_at`` of what was handed over beside them, of which a text that came several times is known
        from the first time on; by default the training part, whatever its labels.

    Returns
    -------
    DataFrame
        `RECORD_COLUMNS`, one row per sample and use; NaT for one that was read and not handed over.
    """
    frame = pd.DataFrame(list(read), columns=list(SampleRead._fields))
    looked_up, taught = frame["use"].isin(_UNLABELLED), frame["use"].isin(_TAUGHT)
    dated = [
        _matched(frame.loc[taught], train, validation),
        _matched(frame.loc[~taught & ~looked_up], validation, train),
    ]
    if looked_up.any():
        known = _unlabelled(train if background is None else background)
        dated.append(frame.loc[looked_up].merge(known, on=["text_hash", "label"], how="left"))
    return pd.concat(dated, ignore_index=True)[list(RECORD_COLUMNS)]


def _matched(read: pd.DataFrame, first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Look samples up among those of one part, then of the other, the second copy after the first one."""
    read = _with_copies(read, ["use"])
    # Copies are numbered from the first part on, so that the other changes nothing where that one has them all, and
    # its texts, which may be most of a run's, need not be hashed.
    parts = [_handed(first if len(read) else first.iloc[:0])]
    for more in (second, None):
        handed = _with_copies(pd.concat(parts, ignore_index=True))
        found = read.merge(handed, on=["text_hash", "label", "copy"], how="left", indicator=True)
        if more is None or not len(read) or (found["_merge"] == "both").all():
            break
        parts.append(_handed(more))
    return found.drop(columns="_merge")


def read_whole(use: Use, handed: pd.DataFrame) -> pd.DataFrame:
    """Write down that all of a part was read, without its labels: what `dated_record` says of it, in a fraction of it.

    Parameters
    ----------
    use : {'threshold'}
        For what.
    handed : DataFrame
        ``text`` and, where samples are dated, ``known_at`` and ``ends_at`` (UTC).

    Returns
    -------
    DataFrame
        `RECORD_COLUMNS`, one row per sample, in the order of `samples_read`.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.models.record import read_whole
    >>> read_whole("threshold", pd.DataFrame({"text": ["up", "down"]}))[["use", "label"]].values.tolist()
    [['threshold', -1], ['threshold', -1]]
    """
    read = _handed(handed.assign(label=-1)).assign(use=use)[list(RECORD_COLUMNS)]
    # Stable, so that of equal texts the first one handed over is the first one read.
    read = read.sort_values("text_hash", kind="stable", ignore_index=True)
    return read.astype({"use": "str"})


def _handed(part: pd.DataFrame) -> pd.DataFrame:
    columns = ["text", "label", "known_at", "ends_at"]
    handed = part.reindex(columns=columns) if len(part) else pd.DataFrame(columns=columns)
    for name in ("known_at", "ends_at"):
        handed[name] = pd.to_datetime(handed[name], utc=True).astype("datetime64[us, UTC]")
    hashes = pd.Series([text_hash(text) for text in handed["text"].tolist()], index=handed.index, dtype=object)
    return handed.assign(text_hash=hashes, label=handed["label"].astype("int64")).drop(columns="text")


def _unlabelled(known: pd.DataFrame) -> pd.DataFrame:
    """List texts that were read without a label, each once, with the first instant at which it was known."""
    bare = known.reindex(columns=["text", "known_at", "ends_at"]).assign(label=-1)
    bare["ends_at"] = pd.Series(pd.NaT, index=bare.index)
    return _handed(bare).sort_values("known_at", kind="stable").drop_duplicates("text_hash")


def _with_copies(frame: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Give equal samples numbers, so that the second copy read is the second one handed over."""
    key = np.zeros(len(frame), dtype=np.int64)
    for name in (*by, "text_hash", "label"):
        codes, distinct = pd.factorize(frame[name])
        key = key * len(distinct) + codes
    return frame.assign(copy=frame.groupby(key).cumcount())
