"""Write a tuned model for use elsewhere, and keep beside it what it was tuned on, so that it can still be judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from embargo.data_loaders.archive import read_label_set
from embargo.data_loaders.archive.files import FORMATS, tables_of
from embargo.data_loaders.archive.label_sets import LabelFormat
from embargo.data_loaders.archive.tables import read_table
from embargo.data_loaders.errors import ConfigError, LeakError
from embargo.models.bases.resolve import Base
from embargo.models.bundles.bundle import ModelReader, write_training
from embargo.models.content import refuse_taken, text_hash
from embargo.models.drafts import draft_for
from embargo.models.export.merged import Merged, merge
from embargo.models.export.onnx import OnnxExport, export_onnx
from embargo.models.tuning.adapters import Adapter

# Scales settle with some hundred texts.
CALIBRATION_TEXTS = 300


@dataclass(frozen=True)
class TrainingTexts:
    """Texts of a file that a model was trained on.

    Attributes
    ----------
    texts : list of str
        At most `CALIBRATION_TEXTS`, in the order of their hashes.
    n_read, n_strangers : int
        Distinct texts of the file, and those among them that the model was not trained on.
    """

    texts: list[str]
    n_read: int
    n_strangers: int


def training_texts(
    reader: ModelReader,
    path: Path,
    *,
    format: LabelFormat = "auto",  # noqa: A002 - the field's word for it
    text: str = "text",
) -> TrainingTexts:
    """Pick from a file the texts that a model was trained on.

    Parameters
    ----------
    reader : ModelReader
    path : Path
        A labelled set, or a table with a column of texts.
    format : str
        As `embargo.data_loaders.archive.read_label_set`.
    text : str
        Column of texts in a table.

    Raises
    ------
    LeakError
        If none of the texts was trained on.
    EmbargoError
        If the file cannot be read.
    """
    _, adapter = _tuned(reader)
    parts = tables_of(path, FORMATS | {".txt": "lines"})
    found: pd.Series
    if format in ("auto", "table") and parts[0].format not in ("lines", "json"):
        found = read_table(parts, [text], {})[0][text].dropna().astype("str")
    else:
        # Only texts are taken; the cutoff of the labels does not matter.
        settled = read_label_set(path, format=format, knowledge_cutoff=pd.Timestamp.max.tz_localize("UTC"))
        found = settled.frame["text"]
    by_hash = {text_hash(one): one for one in found}
    known = sorted(by_hash.keys() & set(adapter.train_text_hashes))
    if not known:
        raise LeakError(
            f"{path}: none of its {len(by_hash)} texts was trained on; the scales of 8-bit numbers may only know what "
            "the model knew. Give the file that it was tuned on."
        )
    chosen = [by_hash[name] for name in known[:CALIBRATION_TEXTS]]
    return TrainingTexts(chosen, len(by_hash), len(by_hash) - len(known))


def export_onnx_model(reader: ModelReader, target: Path, *, texts: list[str] | None) -> OnnxExport:
    """Write an ONNX model, in int8 where calibration texts are given; see `export_onnx` for errors."""
    refuse_taken(target)
    base, adapter = _tuned(reader)
    with draft_for(target) as scratch:
        exported = export_onnx(
            base,
            adapter,
            reader.calibration,
            scratch / target.name,
            precision="fp32" if texts is None else "int8",
            calibration_texts=texts,
        )
        write_training(exported.path, reader)
        exported.path.rename(target)
    return exported


def export_merged(reader: ModelReader, target: Path) -> Merged:
    """Write the merged model; see `embargo.models.merge` for what it proves and raises."""
    base, adapter = _tuned(reader)
    return merge(base, adapter, target, calibration=reader.calibration)


def _tuned(reader: ModelReader) -> tuple[Base, Adapter]:
    if reader.base is None or reader.adapter is None:
        raise ConfigError(f"{reader.name}: is no tuned adapter, so there is nothing to export. Give a model folder.")
    return reader.base, reader.adapter
