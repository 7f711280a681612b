"""Tune models for their own sake: one per fold of an experiment, or one on a labelled file, each in its own folder.

Nothing is traded. A folder is named by what made its model, so that tuning twice costs once, and a tuning that was
killed goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import model_validator
from safetensors.numpy import save_file

from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.fields import CLASSES
from embargo.models.bases.registry import BaseKind
from embargo.models.bases.resolve import BUILT_IN, BUILT_IN_DECODERS, Base
from embargo.models.bases.vintages import Vintages, series_of
from embargo.models.bundles.bundle import (
    Bundle,
    open_bundle,
    write_bundle,
)
from embargo.models.calibration.fitting import check_calibration
from embargo.models.content import json_hash, sample_fingerprint, text_hash
from embargo.models.evaluation.bias import measure_bias
from embargo.models.fitting import FittedModel, fit_scorer
from embargo.models.loading import processes
from embargo.models.loading.shared import SharedBase
from embargo.models.methods.cards import check_method
from embargo.models.methods.defaults import explain_settings
from embargo.models.methods.settings import TuneSettings
from embargo.models.samples import check_labels
from embargo.models.scorers.cache import ScoreCache, SpareCache
from embargo.models.scorers.score import cached_logits
from embargo.models.tuning.adapters import open_adapter
from embargo.models.tuning.tiny import TinySettings
from embargo.models.tuning.tiny_lm import TinyLmSettings
from embargo.research.config.experiment import Config, LabelsSection, load_config, override
from embargo.research.config.model import WITHOUT_PAST, ModelSection
from embargo.research.config.settings import Name, Section, Seed, checked, place_of, read_toml
from embargo.research.engine.choice import Auto
from embargo.research.engine.keepers import Engine, Serial
from embargo.research.modelling.judging import days_of, report_of
from embargo.research.progress import Quiet, Stages
from embargo.research.records.provenance import git_commit, versions
from embargo.research.run.bases import given_base
from embargo.research.run.plan import Plan, base_of
from embargo.research.run.reading import lent, model_settings, with_base
from embargo.research.run.samples import Part, split_labelled_file

# What is said where an engine was named that has nothing to do.
ONE_TASK = "One model is to be tuned, which is one task: it is tuned here."
# What a whole experiment has and a file for one model has not.
_OF_EXPERIMENTS = frozenset({"news", "prices", "split"})
# Counts of samples that are not about what was left out.
_NO_LOSS = frozenset({"rows", "samples", "train", "validation", "test", "outside", "test_texts_seen_in_train"})


class TuneConfig(Section):
    """One model to be tuned on one labelled file."""

    name: Name
    """Name of the model, which its folder carries."""
    seed: Seed = 0
    """Seed of all that is drawn."""
    labels: LabelsSection
    """The labelled file."""
    model: ModelSection = ModelSection()
    """The base and its tuning."""

    @model_validator(mode="after")
    def _stands_alone(self) -> TuneConfig:
        if self.labels.source != "file":
            raise ValueError(
                f"labels.source = {self.labels.source!r} needs the sections news, prices and split; without them it "
                "must be 'file'"
            )
        if self.model.kind != "transformer":
            # Refused with what to do instead by whoever loads it; its base has no part in that.
            return self
        if self.model.base in BUILT_IN:
            raise ValueError(
                f"model.base = {self.model.base!r} learns its words from an experiment's news; name another base"
            )
        if series_of(self.model.base) is not None:
            raise ValueError("model.base is a series, of which folds take their vintage, and there are none; name one")
        if self.model.max_train is not None:
            raise ValueError("model.max_train keeps the newest articles, and a labelled file is undated; leave it out")
        return self


@dataclass(frozen=True)
class TuneSamples:
    """What one model is tuned on.

    Attributes
    ----------
    train, validation, test : DataFrame
        ``text, label, known_at``; the test part only measures and may be empty.
    trained_until : Timestamp
        Latest instant that anything in train or validation could know, UTC.
    fold : dict or None
        ``index, of, test_start, test_end`` (ISO); None where one model serves all.
    dated : bool
        Whether ``known_at`` is the time of each text, rather than one cutoff for all.
    source : str
        Where the labels come from, in words.
    left_out : dict of str to int
        Rows that were read and are in no part, by reason.
    base : Base or None
        What it is tuned from; None where that is the built-in one, which is yet to be made.
    """

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    trained_until: pd.Timestamp
    fold: dict[str, Any] | None
    dated: bool
    source: str
    left_out: dict[str, int]
    base: Base | None


@dataclass(frozen=True)
class TunePlan:
    """Everything that a tuning needs before anything is trained.

    Attributes
    ----------
    config : Config or TuneConfig
    samples : list of TuneSamples
        One for each model.
    experiment : Plan or None
        Of which the built-in base is made.
    """

    config: Config | TuneConfig
    samples: list[TuneSamples]
    experiment: Plan | None


@dataclass(frozen=True)
class Tuned:
    """A model folder, and whether it was there already."""

    bundle: Bundle
    was_there: bool


@dataclass(frozen=True)
class Explained:
    """A setting as it will be used, the usual value, why that is usual, and who chose otherwise.

    Attributes
    ----------
    setting : str
    value, usual
    why : str
        Reason of the usual value.
    chosen_by : str
        ``"config"``, ``"default of configs"``, or empty where the usual value is used.
    """

    setting: str
    value: Any
    usual: Any
    why: str
    chosen_by: str


def load_tuning(
    path: Path, overrides: list[str] | None = None, *, env: Collection[str] = (), allow: Collection[str] = ()
) -> Config | TuneConfig:
    """Read a whole experiment, or a file of ``name, seed, [labels], [model]`` alone.

    `env` names the environment variables that paths in it may take in, `allow` the loaders that it may run.

    Raises
    ------
    ConfigError
        As `embargo.research.config.experiment.load_config`; also if the model is of a kind that is not tuned.
    """
    document = read_toml(path, remedy="'embargo tune --help' shows one.")
    for text in overrides or []:
        override(document, text)
    config: Config | TuneConfig
    if _OF_EXPERIMENTS & set(document):
        config = load_config(path, overrides, env=env, allow=allow)
    else:
        labels = document.get("labels")
        if isinstance(labels, dict) and isinstance(labels.get("path"), str):
            labels["path"] = place_of(labels["path"], path, "labels.path", env)
        config = checked(TuneConfig, document, where=str(path))
    if config.model.kind != "transformer":
        raise ConfigError(f"{path}: model.kind = {config.model.kind!r} {_instead_of_tuning(config.model.kind)}")
    if config.model.scorer != "torch":
        raise ConfigError(
            f"{path}: model.scorer = {config.model.scorer!r} is how a run scores; a model folder is calibrated on "
            "torch's logits. Add --set model.scorer=torch; 'embargo export --onnx' then writes the model for ONNX."
        )
    return config


def _instead_of_tuning(kind: str) -> str:
    """Say why a kind of reader is not tuned, and what to do."""
    words = {
        "scores": "takes scores made elsewhere, so that nothing is tuned; 'embargo run' reads and calibrates them.",
        "prompted": "asks its base as it is, so that nothing is tuned; 'embargo run' reads with it.",
        "endpoint": "asks a model that is not here to be tuned; 'embargo run' reads with it.",
        "distilled": "learns from a teacher; use 'embargo distill'.",
        "lexicon": "counts the words of a fixed list, so that nothing is tuned; 'embargo run' reads with it.",
        **dict.fromkeys(WITHOUT_PAST, "is fitted in a moment by 'embargo run' and needs no tuning."),
    }
    own = "is a reader of your own, which 'embargo run' fits by its own code."
    return f"{words.get(kind, own)} To tune a base, set it to 'transformer'."


def plan_tuning(config: Config | TuneConfig, stages: Stages) -> TunePlan:
    """Find the base, load and split the samples, and refuse what cannot be tuned; trains nothing.

    Raises
    ------
    EmbargoError
        Whatever is wrong with the config, the base or the data is raised here.
    """
    # Beside the samples it brings what a run trades and draws with, which no other command here needs.
    from embargo.research.run.preparation import prepare

    base = given_base(config.model)
    if base is None and config.model.base in BUILT_IN:
        with _outline(None, config.model) as outline:
            check_method(config.model.method, outline, config.model.target)
    if isinstance(config, TuneConfig):
        stages.stage("Read the labels")
        return _checked(TunePlan(config, [_of_file(config, base)], None))
    plan = prepare(config, stages)
    # One labelled file trains one model for all folds.
    parts, folds = (plan.parts[:1], None) if config.labels.source == "file" else (plan.parts, len(plan.parts))
    return _checked(TunePlan(config, [samples_of(config, part, folds, base_of(plan, part)) for part in parts], plan))


def _checked(plan: TunePlan) -> TunePlan:
    """Refuse parts that the last fold would otherwise be refused for after all others were tuned."""
    for samples in plan.samples:
        of = "" if samples.fold is None else f" of fold {samples.fold['index'] + 1}"
        for name, part, distinct in (("training", samples.train, 2), ("validation", samples.validation, 1)):
            what = f"{name} samples{of}"
            labels = check_labels(part["text"].tolist(), part["label"].tolist(), what=what, distinct=distinct)
        check_calibration(plan.config.model.calibration, labels)
    return plan


def _of_file(config: TuneConfig, base: Base | None) -> TuneSamples:
    parts = split_labelled_file(config.labels, config.seed)
    return TuneSamples(
        parts.train,
        parts.validation,
        parts.test,
        parts.known_until,
        None,
        False,
        _source(config.labels),
        _left_out(parts.counts),
        base,
    )


def samples_of(config: Config, part: Part, folds: int | None, base: Base | None) -> TuneSamples:
    """Return what the model of a fold is tuned on; ``folds`` is None where one model serves all."""
    fold = None
    if folds is not None:
        test_start, test_end = part.fold.test_start.isoformat(), part.fold.test_end.isoformat()
        fold = {"index": part.fold.index, "of": folds, "test_start": test_start, "test_end": test_end}
    dated = config.labels.source != "file"
    source, left_out = _source(config.labels), _left_out(part.counts)
    return TuneSamples(part.train, part.validation, part.test, part.trained_until, fold, dated, source, left_out, base)


def _left_out(counts: dict[str, int]) -> dict[str, int]:
    return {name: n for name, n in counts.items() if n and name not in _NO_LOSS}


def _source(labels: LabelsSection) -> str:
    if labels.source == "file":
        return f"the labelled file {Path(str(labels.path)).name}, labels known by {labels.knowledge_cutoff:%Y-%m-%d}"
    if labels.source == "news":
        return f"the column {labels.column!r} of the news"
    return f"the returns of the {labels.horizon_bars} bars after each article"


def explained(plan: TunePlan, samples: TuneSamples) -> list[Explained]:
    """Say with which settings a model would be tuned, and why; trains nothing."""
    model = plan.config.model
    with _outline(samples.base, model) as base:
        rows = explain_settings(model.method, len(samples.train), base)
        used = asdict(_settings(plan.config, base, len(samples.train)))
    found = []
    for row in rows:
        value = used[row.setting]
        chosen = ""
        if value != row.value:
            chosen = "config" if row.setting in model.model_fields_set else "default of configs"
            chosen = "config" if row.setting == "seed" else chosen
        found.append(Explained(row.setting, value, row.value, row.why, chosen))
    return found


def tune_models(
    plan: TunePlan, *, out: Path, cache: Path, stages: Stages, engine: Engine | None = None
) -> Iterator[Tuned]:
    """Tune the models of a plan, and yield each folder, in their order.

    Parameters
    ----------
    plan : TunePlan
    out : Path
        Folder of model folders; each lands in ``out/<name>-<hash>``, with the fold in its name where there are several.
    cache : Path
        Where bases, adapters, checkpoints and scores are kept.
    stages : Stages
        Shows progress.
    engine : Engine, optional
        Where the models of several folds are tuned; by default here, one after the other, each yielded as soon as it is
        written. One model is one task, which is carried out here.

    Raises
    ------
    DataError
        If a model folder that is there already is damaged, or a training diverges in its first pass.
    """
    built_in: Base | Vintages | None = None
    if plan.samples[0].base is None:
        experiment = plan.experiment
        assert experiment is not None
        built_in = with_base(experiment, experiment.parts[0].fold.train_end, cache, stages).base
    jobs = [_job_of(plan.config, samples, built_in, out) for samples in plan.samples]
    with ExitStack() as stack:
        store = stack.enter_context(ScoreCache(cache / "scores"))
        # Those that train one model together do nothing else.
        if engine is not None and not isinstance(engine, Serial) and processes.count() == 1:
            if len(missing := [job for job in jobs if not job.folder.exists()]) > 1:
                yield from _tune_elsewhere(jobs, missing, plan.config, cache, store, stages, engine)
                return
            if missing and not isinstance(engine, Auto):
                stages.say(ONE_TASK)
        shared: SharedBase | None = None
        for job in jobs:
            shared = lent(shared, job.base, stack)
            (there,) = processes.told_by_main([job.folder.exists()])
            if there:
                yield Tuned(open_bundle(job.folder), was_there=True)
            elif (tuned := _tune(job, plan.config, cache, store, shared, stages)) is not None:
                yield tuned


@dataclass(frozen=True)
class _Job:
    """One model to be tuned: on what, from what, and where it goes."""

    samples: TuneSamples
    base: Base
    folder: Path

    @property
    def of(self) -> str:
        fold = self.samples.fold
        return "" if fold is None else f", fold {fold['index'] + 1} of {fold['of']}"


def _job_of(config: Config | TuneConfig, samples: TuneSamples, built_in: Base | Vintages | None, out: Path) -> _Job:
    base = built_in if samples.base is None else samples.base
    assert isinstance(base, Base)
    return _Job(samples, base, out / _name(config, base, samples))


def _tune(
    job: _Job, config: Config | TuneConfig, cache: Path, store: ScoreCache, shared: SharedBase | None, stages: Stages
) -> Tuned | None:
    """Tune one model and write its folder; None for a process that trains with others and does not write."""
    samples, folder = job.samples, job.folder
    fitted = fit_scorer(
        "transformer",
        train=samples.train,
        validation=samples.validation,
        trained_until=samples.trained_until,
        base=job.base,
        settings=_settings(config, job.base, len(samples.train)),
        calibration=config.model.calibration,
        cache_dir=cache,
        cache=store,
        progress=stages.stage(f"Tune {config.name}{job.of}"),
        shared=shared,
    )
    # Of several processes that train together one writes.
    if not processes.is_main():
        return None
    stages.stage(f"Measure {config.name}{job.of}")
    try:
        return Tuned(write_model(folder, config, job.base, samples, fitted, cache, store), was_there=False)
    except ConfigError:
        # Another process may have tuned the same meanwhile; theirs stays, and is checked as it is opened.
        if not folder.exists():
            raise
        return Tuned(open_bundle(folder), was_there=True)


def _tune_elsewhere(
    jobs: Sequence[_Job],
    missing: Sequence[_Job],
    config: Config | TuneConfig,
    cache: Path,
    store: ScoreCache,
    stages: Stages,
    engine: Engine,
) -> Iterator[Tuned]:
    """Tune every model that is missing as a task of its own; what was scored of it is kept here."""

    def keep(_number: int, anew: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        for identity, logits in anew.items():
            store.put_many(identity, logits)

    progress = stages.stage(f"Tune {config.name}, {len(missing)} folds")
    engine.map(_tune_there, missing, (config, cache), done=keep, progress=progress)
    made = {job.folder for job in missing}
    for job in jobs:
        yield Tuned(open_bundle(job.folder), was_there=job.folder not in made)


def _tune_there(shared: tuple[Config | TuneConfig, Path], job: _Job) -> Mapping[str, Mapping[str, np.ndarray]]:
    """Tune one model, and write nothing but its folder and its adapter's, which are named by their content."""
    config, cache = shared
    with ExitStack() as stack:
        store = stack.enter_context(SpareCache(cache / "scores"))
        _tune(job, config, cache, store, lent(None, job.base, stack), Quiet())
        return store.anew


def _settings(config: Config | TuneConfig, base: Base, n_train: int) -> TuneSettings:
    settings = model_settings(config.model, base, n_train, seed=config.seed)
    assert isinstance(settings, TuneSettings)
    return settings


def _name(config: Config | TuneConfig, base: Base, samples: TuneSamples) -> str:
    key = json_hash(
        {
            "base": [base.weights_hash, str(base.knowledge_cutoff), base.source],
            "settings": asdict(_settings(config, base, len(samples.train))),
            "calibration": config.model.calibration,
            "parts": [_fingerprint(part) for part in (samples.train, samples.validation, samples.test)],
            "trained_until": samples.trained_until.isoformat(),
            "versions": {name: versions()[name] for name in ("torch", "transformers", "peft", "bitsandbytes")},
        }
    )
    fold = "" if samples.fold is None else f"-fold{samples.fold['index'] + 1}"
    return f"{config.name}{fold}-{key[:8]}"


def write_model(
    folder: Path,
    config: Config | TuneConfig,
    base: Base,
    samples: TuneSamples,
    fitted: FittedModel,
    cache: Path,
    store: ScoreCache,
) -> Bundle:
    """Write the folder of a tuned model, with its card; see `embargo.models.bundles.bundle.write_bundle`."""
    adapter = open_adapter(cache / "adapters" / fitted.manifest["adapter"])
    known = set(adapter.train_text_hashes) | {text_hash(text) for text in samples.validation["text"]}
    parts = {"train": samples.train, "validation": samples.validation, "test": samples.test}
    facts = {
        "name": folder.name,
        "seed": config.seed,
        "fold": samples.fold,
        "model": {**fitted.manifest, "events": adapter.manifest["events"]},
        "data": {
            "source": samples.source,
            "left_out": samples.left_out,
            **{name: _described(part, samples.dated) for name, part in parts.items() if len(part)},
        },
        "metrics": {
            "validation": _measured(samples.validation, fitted, config.seed, set(), store, dated=samples.dated),
            "test": _measured(samples.test, fitted, config.seed, known, store, dated=samples.dated),
        },
        "bias": measure_bias(fitted.scorer, calibration=fitted.calibration, cache=store).to_dict(),
        "versions": versions() | {"commit": git_commit() or "unknown"},
    }
    return write_bundle(
        folder,
        base=base,
        adapter=adapter,
        calibration=fitted.calibration,
        facts=facts,
        validation_texts=samples.validation["text"],
    )


def _measured(
    part: pd.DataFrame, fitted: FittedModel, seed: int, known: set[str], store: ScoreCache, *, dated: bool
) -> dict[str, Any] | None:
    """Measure on a part without the texts that are known; None where nothing is left."""
    seen = part["text"].map(lambda text: text_hash(text) in known).to_numpy(dtype=bool)
    fresh = part.loc[~seen]
    if fresh.empty:
        return None
    logits = cached_logits(fitted.scorer, fresh["text"].tolist(), cache=store).logits
    labels = fresh["label"].to_numpy(dtype=np.int64)
    report = report_of(logits, labels, fitted.calibration, days=days_of(fresh, dated), seed=seed)
    # Curves are drawn anew by 'embargo evaluate'; a card shows figures.
    del report["roc"]
    return report | {"left_out": int(seen.sum())}


def _described(part: pd.DataFrame, dated: bool) -> dict[str, Any]:
    counts = np.bincount(part["label"].to_numpy(dtype=np.int64), minlength=len(CLASSES))
    described: dict[str, Any] = {
        "n": len(part),
        "fingerprint": _fingerprint(part),
        "classes": dict(zip(CLASSES, counts.tolist(), strict=True)),
    }
    if dated:
        described |= {"first": part["known_at"].min().isoformat(), "last": part["known_at"].max().isoformat()}
    return described


def _fingerprint(part: pd.DataFrame) -> str:
    return sample_fingerprint(part["text"].tolist(), part["label"].tolist())


@contextmanager
def _outline(base: Base | None, model: ModelSection) -> Iterator[Base]:
    """Yield the base, or in place of the built-in one, which is yet to be made, its architecture and width."""
    if base is not None:
        yield base
        return
    kind: BaseKind
    if model.base in BUILT_IN_DECODERS:
        kind, architecture, width, layer = (
            "decoder",
            "llama",
            TinyLmSettings().hidden,
            "model.layers.0.self_attn.q_proj",
        )
    else:
        kind, architecture, width, layer = "encoder", "modernbert", TinySettings().hidden, "layers.0.attn.Wqkv"
    with tempfile.TemporaryDirectory(prefix="outline-") as folder:
        config = {"model_type": architecture, "hidden_size": width}
        (Path(folder) / "config.json").write_text(json.dumps(config), encoding="utf-8")
        save_file({f"{layer}.weight": np.zeros((1, 1))}, Path(folder) / "model.safetensors")
        yield Base(str(model.base), folder, kind, None, "not made yet", "")
