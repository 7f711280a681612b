"""What a comparison says of memory, where one reader may have read of the test and the other cannot.

The difference holds what the one may remember of the test, and everything else that sets the two readers apart. It is
said as both, never as memory alone. A reader may remember the test where anything in it that was there before its fit,
a base, a model behind an endpoint, a teacher or whoever made given scores, knows of a fold's test or says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from embargo.models.bases.registry import registered_series
from embargo.research.config.model import ON_BASE, WITHOUT_PAST, ReaderSection
from embargo.research.pages import formats
from embargo.research.records.finished import FinishedRun
from embargo.research.studies.compare.comparison import Comparison
from embargo.research.studies.compare.judgement import EVERYTHING
from embargo.research.studies.compare.rows import Difference, differences

# Settings that say which base, and those that change no figure.
_OF_THE_BASE = ("model.base", "model.revision", "model.knowledge_cutoff", "name", "report.")


@dataclass(frozen=True)
class _Memory:
    """What a run's readers were before they were fitted.

    Attributes
    ----------
    run : FinishedRun
    kind, name : str
        Of the reader, and of what it brings along.
    cutoff : Timestamp or None
        Until when the fold that knows most has read; None where nobody says, or where it brings nothing along.
    brings : bool
        Whether anything was there before the fit.
    dated : bool
        Whether all of that comes as dated vintages.
    may_know : bool
        Whether it may have read of a test.
    """

    run: FinishedRun
    kind: str
    name: str = ""
    cutoff: pd.Timestamp | None = None
    brings: bool = True
    dated: bool = False
    may_know: bool = False

    @property
    def source(self) -> str:
        """Say what it brings along."""
        if self.kind in ON_BASE:
            return f"starts from {self.name}"
        words = {
            "endpoint": f"asks {self.name}",
            "scores": "takes scores made elsewhere",
            "distilled": f"is distilled ({self.name})",
        }
        return words.get(self.kind, f"reads with {self.name}")


def memory_sentences(found: Comparison) -> list[str]:
    """Say of each pair whether memory of the test may be in its difference, and on which side."""
    start = found.returns.index[0]
    runs = {run.name: _memory(run, start) for run in found.runs}
    base, told = runs[found.base.name], []
    for row in differences(found):
        run = runs[row.run]
        if row.definition != EVERYTHING[0] or row.difference is None or base is None or run is None:
            continue
        if run.may_know and base.may_know:
            # Of one base both remember the same.
            if (run.name, run.cutoff) != (base.name, base.cutoff):
                told.append(_both(run, base))
        elif run.may_know or base.may_know:
            told.append(_one(found, row, run, base))
        elif run.dated != base.dated and run.brings and base.brings:
            told.append(_neither(*((run, base) if base.dated else (base, run))))
    return told


def _neither(other: _Memory, dated: _Memory) -> str:
    ends = "" if other.cutoff is None else f" ends {other.cutoff:%Y-%m-%d},"
    return (
        f"{dated.run.name} takes dated vintages, and what {other.run.name} brings along ({other.name}){ends} before "
        "the test: if that date is true, memory of the test has no part in their difference."
    )


def _both(run: _Memory, base: _Memory) -> str:
    return (
        f"{run.run.name} {run.source}, {_reach(run)}; {base.run.name} {base.source}, {_reach(base)}. Either may "
        "remember the test, so that neither shows what the other's memory is worth."
    )


def _one(found: Comparison, row: Difference, run: _Memory, base: _Memory) -> str:
    knows, other, sign = (run, base, 1.0) if run.may_know else (base, run, -1.0)
    assert row.difference is not None
    if other.dated:
        own = "starts each fold from a vintage that ends before its training does"
    elif other.brings:
        own = f"{other.source}, {_reach(other)}, before the test"
    else:
        own = "knows only what each fold was fitted on"
    one, two = knows.run, other.run
    said = (
        f"{two.name} {own}; {one.name} {knows.source}, {_reach(knows)}. The Sharpe ratio of {one.name} less that of "
        f"{two.name}, {formats.ratio(sign * row.difference)} a year"
    )
    if row.low is not None and row.high is not None and row.p_value is not None:
        said += f" ({formats.interval((row.low, row.high) if sign > 0 else (-row.high, -row.low))})"
    apart = "bases apart (size, corpus, age)" if knows.kind == other.kind else "readers apart (kind, size, corpus, age)"
    said += (
        f", holds what memory of the test may have been worth and whatever else sets the {apart}. It does not measure "
        "memory alone."
    )
    level = float(found.figures["significance"])
    if row.p_value_holm is None or row.p_value_holm >= level:
        said += " It is not shown to differ from 0."
    if differs := _apart(found, knows, other):
        said += f" The runs also differ in {', '.join(differs)}, which is in it too."
    return said


def _reach(memory: _Memory) -> str:
    who = "whoever made them" if memory.kind == "scores" else "it"
    if memory.cutoff is None:
        return f"and nobody says until when {who} has read"
    return f"and {who} has read until {memory.cutoff:%Y-%m-%d}"


def _memory(run: FinishedRun, start: pd.Timestamp) -> _Memory | None:
    """Return what a run's readers bring along; None where it kept no record of that."""
    model = run.settings.get("model", {})
    models = run.manifest.get("models") or []
    if not isinstance(model, Mapping):
        return None
    kind = str(model.get("kind", ReaderSection().kind))
    parts = _pretrained_parts(model, kind)
    if not parts:
        return _Memory(run, kind, brings=False)
    dated = all(map(_is_dated, parts))
    if not models or (not dated and any("base_knowledge_cutoff" not in each for each in models)):
        return _Memory(run, kind, dated=True) if dated else None
    reached = {_instant(each.get("base_knowledge_cutoff")) for each in models if not _is_before(each, start)}
    may_know = not dated and bool(reached)
    # What reaches no test is dated by the fold that knows most.
    cutoffs = reached or {_instant(each.get("base_knowledge_cutoff")) for each in models}
    known = [each for each in cutoffs if each is not None]
    cutoff = max(known) if len(known) == len(cutoffs) else None
    name = str(models[0].get("base") or kind)
    if kind == "distilled" and "transformer" in (model.get("distill") or {}).get("student", ""):
        teacher = parts[-1]
        name += f", taught by a reader of kind {teacher.get('kind', ReaderSection().kind)}" if len(parts) > 1 else ""
    return _Memory(run, kind, name, cutoff, dated=dated, may_know=may_know)


def _pretrained_parts(model: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    """Return the sections of what was there before a reader was fitted: its own, and its teacher's."""
    if kind != "distilled":
        return [] if kind in WITHOUT_PAST else [model]
    distill = model.get("distill") or {}
    teacher = distill.get("teacher") or {}
    taught = [] if teacher.get("kind") in WITHOUT_PAST else [teacher]
    return [{**model, "kind": "transformer"}, *taught] if distill.get("student") == "transformer" else taught


def _is_dated(reader: Mapping[str, Any]) -> bool:
    base = reader.get("base")
    if reader.get("kind", ReaderSection().kind) not in ON_BASE:
        return False
    return isinstance(base, Mapping) or (isinstance(base, str) and registered_series(base) is not None)


def _is_before(model: Mapping[str, Any], start: pd.Timestamp) -> bool:
    """Tell whether what a fold brings along ends before all tests, or before its own fit did."""
    cutoff, fitted = _instant(model.get("base_knowledge_cutoff")), _instant(model.get("trained_until"))
    return cutoff is not None and (cutoff < start or (fitted is not None and cutoff <= fitted))


def _instant(iso: str | None) -> pd.Timestamp | None:
    return None if iso is None else pd.Timestamp(iso)


def _apart(found: Comparison, one: _Memory, other: _Memory) -> list[str]:
    table = found.settings
    # Readers of two kinds have few settings in common, and that they differ is said already.
    of_reader = _OF_THE_BASE if one.kind == other.kind else ("model.", *_OF_THE_BASE)
    differs = [str(key) for key, row in table.iterrows() if row[one.run.name] != row[other.run.name]]
    return [key for key in differs if not key.startswith(of_reader)]
