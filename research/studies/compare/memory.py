"""What a comparison of dated vintages with a base of today says of memory, and what it leaves open.

The difference holds what a base that has read the test period may remember of it, and everything else that sets the
two bases apart. It is said as both, never as memory alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from embargo.models.bases.registry import registered_series
from embargo.research.pages import formats
from embargo.research.records.finished import FinishedRun
from embargo.research.studies.compare.comparison import Comparison
from embargo.research.studies.compare.judgement import EVERYTHING
from embargo.research.studies.compare.rows import differences

# Settings that say which base, and those that change no figure.
_OF_THE_BASE = ("model.base", "model.revision", "model.knowledge_cutoff", "name", "report.")


def memory_sentences(found: Comparison) -> list[str]:
    """Say of each pair of which one took dated vintages what the other's base may have known of the test."""
    runs = {run.name: run for run in found.runs}
    told = []
    for row in differences(found):
        run = runs[row.run]
        if row.definition != EVERYTHING[0] or row.difference is None or _dated(run) == _dated(found.base):
            continue
        modern, dated, sign = (run, found.base, 1.0) if _dated(found.base) else (found.base, run, -1.0)
        base = _one_base(modern)
        if base is None:
            continue
        name, cutoff = base
        if cutoff is not None and cutoff < found.returns.index[0]:
            told.append(
                f"{dated.name} takes dated vintages, and {name}, the base of {modern.name}, ends {cutoff:%Y-%m-%d}, "
                "before the test: if that date is true, memory of the test has no part in their difference."
            )
            continue
        known = "nobody says until when it has read" if cutoff is None else f"it has read until {cutoff:%Y-%m-%d}"
        said = (
            f"{dated.name} starts each fold from a vintage that ends before its training does; {modern.name} starts "
            f"from {name}, and {known}. The Sharpe ratio of {modern.name} less that of {dated.name}, "
            f"{formats.ratio(sign * row.difference)} a year"
        )
        if row.low is not None and row.high is not None and row.p_value is not None:
            said += f" ({formats.interval((row.low, row.high) if sign > 0 else (-row.high, -row.low))})"
        said += (
            ", holds what memory of the test may have been worth and whatever else sets the bases apart (size, corpus, "
            "age). It does not measure memory alone."
        )
        level = float(found.figures["significance"])
        if row.p_value_holm is None or row.p_value_holm >= level:
            said += " It is not shown to differ from 0."
        if apart := _apart(found, modern, dated):
            said += f" The runs also differ in {', '.join(apart)}, which is in it too."
        told.append(said)
    return told


def _model(run: FinishedRun) -> Mapping[str, Any]:
    model = run.settings.get("model", {})
    return model if isinstance(model, Mapping) and model.get("kind", "transformer") == "transformer" else {}


def _dated(run: FinishedRun) -> bool:
    base = _model(run).get("base")
    return isinstance(base, Mapping) or (isinstance(base, str) and registered_series(base) is not None)


def _one_base(run: FinishedRun) -> tuple[str, pd.Timestamp | None] | None:
    """Return the name and the cutoff of the one base of a run; None where it has none, or kept no record of it."""
    models = run.manifest.get("models") or []
    if not _model(run) or not models or not models[0].get("base"):
        return None
    cutoff = models[0].get("base_knowledge_cutoff")
    return str(models[0]["base"]), None if cutoff is None else pd.Timestamp(cutoff)


def _apart(found: Comparison, one: FinishedRun, other: FinishedRun) -> list[str]:
    table = found.settings
    differs = [str(key) for key, row in table.iterrows() if row[one.name] != row[other.name]]
    return [key for key in differs if not key.startswith(_OF_THE_BASE)]
