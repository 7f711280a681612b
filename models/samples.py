"""Labelled texts as models take them: labels checked, rows in an order of their own, groups numbered.

The order of samples follows from their content, so that the same samples fit the same model in whatever order they
come.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.content import text_hash


def check_labels(texts: Sequence[str], labels: Sequence[int], *, what: str, distinct: int = 1) -> np.ndarray:
    """Return labels as int64, shape (n,), after checking that they fit their texts.

    Raises
    ------
    DataError
        If there are none, their number differs from the texts', one is not 0, 1 or 2, or fewer than ``distinct``
        classes occur.
    """
    array = np.asarray(labels)
    if len(texts) == 0:
        raise DataError(f"{what}: no samples. Widen its dates, or check that articles have labels.")
    if array.shape != (len(texts),):
        raise DataError(f"{what}: {len(texts)} texts but labels of shape {array.shape}. Give one label per text.")
    strange = ~np.isin(array, range(len(CLASSES)))
    if strange.any():
        row = int(np.argmax(strange))
        raise DataError(f"{what}: label {array[row]!r} at row {row} is not 0 (bearish), 1 (neutral) or 2 (bullish).")
    found = np.unique(array)
    if len(found) < distinct:
        raise DataError(
            f"{what}: all {len(array)} samples are {CLASSES[int(found[0])]!r}; a classifier needs two classes or more. "
            "Widen its dates or change the label thresholds."
        )
    return array.astype(np.int64)


def in_content_order(texts: Sequence[str], labels: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return texts and labels sorted by the texts' hashes, then by label."""
    order = sorted(range(len(texts)), key=lambda row: (text_hash(texts[row]), labels[row]))
    return [texts[row] for row in order], labels[order]


def group_members(groups: Sequence[Any] | np.ndarray, n: int, *, what: str) -> np.ndarray:
    """Return the number of each sample's group, int64 of shape (n,), from 0 in the order of first appearance.

    Raises
    ------
    DataError
        If their number is not ``n``, or one is missing.
    """
    members = np.asarray(pd.factorize(np.asarray(groups))[0])
    if len(members) != n or (members < 0).any():
        raise DataError(
            f"{what}: {len(members)} groups, {int((members < 0).sum())} of them missing, for {n} samples. Name the "
            "group of every sample."
        )
    return members
