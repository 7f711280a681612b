"""Where a reader of the study is fitted, and what that took: on the folds of a run, or on an undated file.

What is fitted and scored lies where runs keep it, so that a study takes what a run has fitted, and a run what a study
has. What it took to make lies beside it and counts here too, whoever made it. What a study measured itself is kept in a
folder for each fit, and until that is written the texts that a fit scores are scored afresh: no cost is taken from half
of the work, and none is paid twice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from embargo.models.bases.resolve import TINY_INSTRUCT, Base
from embargo.models.fitting import FittedModel, fit_scorer, scorer_kind
from embargo.models.loading.shared import SharedBase
from embargo.models.scorers.cache import ScoreCache
from embargo.research.config.adapt import AdaptConfig
from embargo.research.config.model import ModelSection, ReaderSection
from embargo.research.progress import Advance, Stages
from embargo.research.records.folders import write_json
from embargo.research.run.bases import given_base
from embargo.research.run.built_in import make_base
from embargo.research.run.plan import Plan, background_of, base_of, teacher_base_of
from embargo.research.run.reading import fit_fold, model_settings, with_base
from embargo.research.run.samples import Samples, early_samples
from embargo.research.run.world import content_of
from embargo.research.studies.adapt.costs import Effort, has_gpu, measured, spent_from

# In the cache: a folder for each fit.
ROOM = "adapt"
COSTS = "costs.json"
# What these answer is bought or was given: they are not asked again for the sake of a measurement.
BOUGHT = frozenset({"endpoint", "scores"})
# Kinds that never compute on a device.
_ON_CPU = frozenset({"majority", "lexicon", "linear"}) | BOUGHT


@dataclass(frozen=True)
class Fitting:
    """What the fits of one reader start from.

    Attributes
    ----------
    study : AdaptConfig
    section : ModelSection
    plan : Plan or None
        With the bases that are made here; None without prices.
    base, teacher : Base or None
        Of a reader and its teacher without a plan.
    spent : Effort
        What the bases took that are made here.
    """

    study: AdaptConfig
    section: ModelSection
    plan: Plan | None
    base: Base | None
    teacher: Base | None
    spent: Effort

    @property
    def on_gpu(self) -> bool:
        """Whether fitting or scoring holds a device."""
        return on_gpu(self.section)

    def bases(self, part: Samples) -> tuple[Base | None, Base | None]:
        """Return the base of a part's reader, and that of its teacher."""
        if self.plan is None:
            return self.base, self.teacher
        return base_of(self.plan, part), teacher_base_of(self.plan, part)

    def fit(
        self, part: Samples, shared: SharedBase | None, cache: Path, store: ScoreCache, advance: Advance
    ) -> FittedModel:
        """Fit and calibrate the reader on a part."""
        if self.plan is not None:
            return fit_fold(self.plan, part, shared, cache, store, advance)
        own: dict[str, Any] = {"cache_dir": cache, "cache": store, "progress": advance}
        taught_by = self.section.teacher
        if taught_by is None:
            return fit_scorer(**self._told(part, self.section, self.base), **own, base=self.base, shared=shared)
        lender = self.teacher
        same = shared is not None and lender == self.base
        with nullcontext(shared) if same or lender is None else SharedBase(lender) as theirs:
            told = self._told(part, taught_by, lender)
            teacher = fit_scorer(**told, **own, base=lender, shared=None if lender is None else theirs)
            told = self._told(part, self.section, self.base)
            return fit_scorer(**told, **own, base=self.base, shared=shared, teacher=teacher)

    def _told(self, part: Samples, reader: ReaderSection, base: Base | None) -> dict[str, Any]:
        """Return what `fit_scorer` is told of a reader of undated texts: no other text was known before the test."""
        seed, allow = self.study.experiment.seed, self.study.allow
        told: dict[str, Any] = {
            "kind": reader.kind,
            "train": part.train,
            "validation": part.validation,
            "trained_until": part.trained_until,
            "settings": model_settings(reader, base, len(part.train), seed=seed),
            "calibration": reader.calibration,
            "runtime": reader.scorer,
        }
        if reader.is_own:
            told |= {"allow": allow, "seed": seed}
        if scorer_kind(reader.kind, allow=allow).reads_background:
            known = part.train.assign(symbol="")[["article_id", "symbol", "text", "known_at"]]
            told |= {"background": known, "seed": seed}
        return told

    def content(self, part: Samples) -> str:
        """Hash everything that the fit on a part is made from."""
        base, teacher = self.bases(part)
        given: dict[str, Any] = {
            "model": json.dumps(self.section.model_dump(mode="json"), sort_keys=True),
            "train": part.train[["text", "label"]],
            "validation": part.validation[["text", "label"]],
            "until": part.trained_until,
            "bases": [None if each is None else each.weights_hash for each in (base, teacher)],
            "seed": self.study.experiment.seed,
        }
        if self.plan is not None:
            given["background"] = background_of(self.plan, part)
        return content_of(**given)


def on_gpu(section: ReaderSection) -> bool:
    """Whether a reader, or its teacher, computes on a device that is there."""
    taught_by = section.teacher if isinstance(section, ModelSection) else None
    kinds = {section.kind} if taught_by is None else {taught_by.kind, *(["transformer"] if section.on_base else [])}
    return bool(kinds - _ON_CPU) and has_gpu()


def begin(
    study: AdaptConfig, reader: str, plan: Plan | None, parts: Sequence[Samples], cache: Path, stages: Stages
) -> Fitting:
    """Make the built-in bases that a reader and its teacher start from, and measure what that takes.

    Parameters
    ----------
    study : AdaptConfig
    reader : str
    plan : Plan or None
        The reader's own; None without prices.
    parts : sequence of Samples
    cache : Path
        Of runs.
    stages : Stages

    Raises
    ------
    EmbargoError
        If a base is not there, or there is no text to make one of.
    """
    section, seed = study.readers[reader], study.experiment.seed
    readers = [section, *([section.teacher] if section.teacher is not None else [])]
    made = sorted({str(each.base) for each in readers if each.made_here})
    known = None if plan is not None else [given_base(each) for each in readers]
    base, teacher = (None, None) if known is None else (known[0], known[1] if len(known) > 1 else None)
    start = Fitting(study, section, plan, base, teacher, Effort())
    if not made:
        return start
    if plan is None:
        corpus = parts[0].train[["text", "known_at"]].drop_duplicates("text")
    else:
        before = plan.world.news["known_at"] < plan.parts[0].fold.train_end
        corpus = plan.world.news.loc[before, ["text", "known_at"]].drop_duplicates("text")
    told: dict[str, Any] = {"bases": made, "corpus": corpus, "seed": seed}
    # The training texts of an undated file are all that may be known, and so are their labels.
    labelled = parts[0].train[["text", "label", "known_at"]]
    if TINY_INSTRUCT in made:
        if plan is not None:
            labelled = early_samples(plan.config, plan.world, plan.parts[0].fold.train_end)
        told["labels"] = labelled[["text", "label"]]
    folder = own_folder(cache, content_of(**told))
    with measured(on_gpu=has_gpu()) as making:
        if plan is not None:
            start = replace(start, plan=with_base(plan, plan.parts[0].fold.train_end, cache, stages))
        else:
            bases = {name: make_base(name, corpus, labelled, seed=seed, cache=cache, stages=stages) for name in made}
            own = [bases[str(each.base)] if each.made_here else None for each in readers]
            start = replace(start, base=own[0] or base, teacher=(own[1] if len(own) > 1 else None) or teacher)
    return replace(start, spent=kept(folder, "fit", making))


def is_bought(section: ReaderSection) -> bool:
    """Whether a reader, or its teacher, answers for money or from a file."""
    taught_by = section.teacher if isinstance(section, ModelSection) else None
    return section.kind in BOUGHT or (taught_by is not None and taught_by.kind in BOUGHT)


def own_folder(cache: Path, content: str) -> Path:
    """Return the folder of what was measured of what is made from this content."""
    folder = cache / ROOM / content[:24]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def kept(folder: Path, name: str, spent: Effort) -> Effort:
    """Return what some work took when it was first done, and write it down if that was now."""
    known = costs_in(folder)
    if name in known or not spent.known:
        return known.get(name, spent)
    write_json(folder / COSTS, {key: vars(each) for key, each in (known | {name: spent}).items()})
    return spent


def costs_in(folder: Path) -> dict[str, Effort]:
    """Read what was written down of a fit; what cannot be read counts as not written."""
    try:
        document = json.loads((folder / COSTS).read_text(encoding="utf-8"))
        return {str(name): spent_from(each) for name, each in document.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
