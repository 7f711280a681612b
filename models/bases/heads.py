"""The three-class head that a base may bring along, and which of its rows means what.

A base tuned by its publisher names its classes in ``id2label``, in an order of its own. Where the three words are known
its rows are put into the order bearish, neutral, bullish; where they are not, nobody can say what a row means, and the
head is drawn anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from embargo.data_loaders.fields import CLASSES
from embargo.models.bases.folders import folder_shapes, read_object
from embargo.models.bases.resolve import Base

# What publishers call the classes, in lower case. Words of other languages and numbers are not guessed at.
WORDS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("bearish", "negative", "neg"), "bearish"),
        **dict.fromkeys(("neutral", "neu"), "neutral"),
        **dict.fromkeys(("bullish", "positive", "pos"), "bullish"),
    }
)
# The last layer of every architecture's classifier.
_OUTPUT = re.compile(r"(.*\.)?(classifier|score)(\.out_proj)?\.weight")

Start = Literal["own", "permuted", "fresh"]


@dataclass(frozen=True)
class OwnHead:
    """A head of three classes in a base's checkpoint.

    Attributes
    ----------
    labels : tuple of str
        What its rows are called, in their order; empty where that is not said.
    order : tuple of int or None
        Its rows of bearish, neutral and bullish; None where the words are not known.
    """

    labels: tuple[str, ...]
    order: tuple[int, ...] | None

    @property
    def start(self) -> Start:
        """What tuning starts from: the head as it is, its rows in another order, or a fresh one."""
        if self.order is None:
            return "fresh"
        return "own" if self.order == tuple(range(len(CLASSES))) else "permuted"

    def described(self) -> dict[str, Any]:
        """Return what a manifest says of it."""
        return {"labels": list(self.labels), "start": self.start}


def own_head(base: Base) -> OwnHead | None:
    """Return the three-class head that a base's checkpoint holds; None where it holds none.

    Raises
    ------
    DataError
        If its ``config.json`` or weights are damaged.
    """
    folder = Path(base.path_or_id)
    rows = [shape[0] for name, shape in folder_shapes(folder).items() if len(shape) == 2 and _OUTPUT.fullmatch(name)]
    if len(CLASSES) not in rows:
        return None
    config = read_object(folder / "config.json")
    labels = _labels(config)
    return OwnHead(labels, _order(labels, config.get("label2id")))


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    named = config.get("id2label")
    if not isinstance(named, dict) or set(map(str, named)) != {str(row) for row in range(len(CLASSES))}:
        return ()
    by_row = {str(row): str(label) for row, label in named.items()}
    return tuple(by_row[str(row)] for row in range(len(CLASSES)))


def _order(labels: tuple[str, ...], label2id: Any) -> tuple[int, ...] | None:
    meant = [_class(label) for label in labels]
    if sorted(filter(None, meant)) != sorted(CLASSES):
        return None
    order = tuple(meant.index(name) for name in CLASSES)
    told = {} if not isinstance(label2id, dict) else {_class(label): row for label, row in label2id.items()}
    contradicted = any(told.get(name, row) != row for name, row in zip(CLASSES, order, strict=True))
    return None if contradicted else order


def _class(label: Any) -> str | None:
    return WORDS.get(str(label).strip().lower())
