"""Tune a decoder on instructions, measure what it writes, and keep it in a folder with its card.

A folder is named by what made its model, so that tuning twice costs once, and a tuning that was killed goes on from its
last checkpoint. The folder keeps how its corpus was read, so that another file of the same form can be judged on.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.archive.news import read_news
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.bases.resolve import BUILT_IN, TINY, TINY_INSTRUCT, TINY_LM, Base, resolve_base
from embargo.models.content import json_hash, text_hash
from embargo.models.evaluation.generation import compare_generations, generation_table
from embargo.models.evaluation.matching import encoder_of, matching_measures
from embargo.models.evaluation.overlap import Measure, mean_of, overlap_measures
from embargo.models.evaluation.refusals import RefusalChange, compare_refusals, measure_refusals
from embargo.models.instruct.bundle import AnswerBundle, answer_models, open_answer_bundle, write_answer_bundle
from embargo.models.instruct.corpus import CorpusParts, CorpusSplit, known_until, split_corpus
from embargo.models.instruct.exchanges import Exchange, exchanges
from embargo.models.instruct.templates import TASKS, Templates, load_templates
from embargo.models.instruct.tiny_instruct import pretrain_tiny_instruct
from embargo.models.instruct.training import check_instructable, tune_answers
from embargo.models.instruct.writing import AnswerModel
from embargo.models.loading import processes
from embargo.models.methods.settings import TuneSettings
from embargo.models.tuning.tiny_lm import pretrain_tiny_lm
from embargo.research.config.archives import asked_of_archive, dialect_of
from embargo.research.config.experiment import override
from embargo.research.config.instruct import ANSWERS, CorpusSection, InstructConfig
from embargo.research.config.settings import checked, place_of, read_toml
from embargo.research.progress import Stages
from embargo.research.records.provenance import git_commit, versions
from embargo.research.run.tune_settings import tune_settings

NO_ENCODER = "none"


@dataclass(frozen=True)
class InstructPlan:
    """Everything that a tuning on instructions needs before anything is trained.

    Attributes
    ----------
    config : InstructConfig
    templates : Templates
    parts : CorpusParts
    train, validation, test : list of Exchange
    counts : dict of str to dict of str to int
        Exchanges by part and what was asked.
    left_out : dict of str to int
        Rows and answers that are in no part, by reason.
    trained_until : Timestamp
    base : Base or None
        None for the built-in one, which is yet to be made.
    """

    config: InstructConfig
    templates: Templates
    parts: CorpusParts
    train: list[Exchange]
    validation: list[Exchange]
    test: list[Exchange]
    counts: dict[str, dict[str, int]]
    left_out: dict[str, int]
    trained_until: pd.Timestamp
    base: Base | None


@dataclass(frozen=True)
class AnswersJudged:
    """How a model that was tuned to answer does on articles that it did not learn from.

    Attributes
    ----------
    name : str
    report : dict
        ``n, articles, level, encoder, known_before, table, compared, by_task``.
    refusals : RefusalChange
        From the base to the tuned model.
    left_out : dict of str to int
        Articles that were not judged on, by reason.
    """

    name: str
    report: dict[str, Any]
    refusals: RefusalChange
    left_out: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return every figure, JSON-able."""
        return {
            "name": self.name,
            **self.report,
            "refusals": self.refusals.to_dict(),
            "left_out": self.left_out,
        }


def is_instruct_config(path: Path) -> bool:
    """Tell whether a settings file asks for a tuning on instructions; errors as `read_toml`."""
    return read_toml(path, remedy="'embargo tune --help' shows one.").get("task") == "instruct"


def load_instruct(path: Path, overrides: list[str] | None = None, *, env: Collection[str] = ()) -> InstructConfig:
    """Read the config of a tuning on instructions.

    Raises
    ------
    ConfigError
        If a key is unknown, missing or out of range, or answers are undated.
    """
    document = read_toml(path, remedy="'embargo tune --help' shows one.")
    for text in overrides or []:
        override(document, text)
    news = document.get("news")
    if isinstance(news, dict) and isinstance(news.get("path"), str):
        news["path"] = place_of(news["path"], path, "news.path", env)
    if str(document.get("templates", "")).endswith(".toml"):
        document["templates"] = place_of(str(document["templates"]), path, "templates", env)
    return checked(InstructConfig, document, where=str(path))


def plan_instruct(config: InstructConfig, stages: Stages) -> InstructPlan:
    """Read and cut the corpus, make the exchanges, find the base, and refuse what cannot be tuned; trains nothing.

    Raises
    ------
    EmbargoError
        Whatever is wrong with the config, the base or the data is raised here.
    """
    model, split = config.model, config.split
    base = None
    if model.base == TINY:
        raise ConfigError(f"model.base = {TINY!r} is an encoder, which writes no text. Name {TINY_LM!r} or a decoder.")
    if model.base not in BUILT_IN:
        base = resolve_base(model.base, revision=model.revision, knowledge_cutoff=model.knowledge_cutoff)
        check_instructable(base, tune_settings(model, base, n_train=1, seed=config.seed))
    if config.measure.encoder != NO_ENCODER:
        resolve_base(config.measure.encoder)
    templates = load_templates(config.templates)
    articles, read = _articles(config.news, config, stages, path=None, start=split.start, end=split.end)
    stages.stage("Cut the corpus")
    cut = CorpusSplit(split.train_until, split.validation_until, pd.Timedelta(split.embargo))
    parts = split_corpus(articles, cut)
    weights = config.weights.model_dump()
    made, counts = {}, {}
    for name, part, held_out, most in (
        ("train", parts.train, False, model.max_exchanges),
        ("validation", parts.validation, False, model.max_exchanges),
        ("test", parts.test, True, config.measure.max_exchanges),
    ):
        made[name], counts[name] = exchanges(part, templates, weights, held_out=held_out, most=most)
    for task, weight in weights.items():
        if weight > 0 and not any(ask.startswith(f"{task}/") for ask in counts["train"]):
            raise ConfigError(
                f"weights.{task} = {weight:g}, and no article gives an example of it. Name the columns that its "
                f"answers stand in (news.columns: headline, {', '.join(ANSWERS)}), or set it to 0."
            )
    if model.base == TINY_INSTRUCT:
        _labelled(parts.train)
    left_out = {name: n for name, n in (*read.items(), *parts.counts.items()) if n and name not in ("rows", "kept")}
    return InstructPlan(
        config,
        templates,
        parts,
        made["train"],
        made["validation"],
        made["test"],
        counts,
        left_out,
        known_until((parts.train, parts.validation)),
        base,
    )


def _articles(
    news: CorpusSection,
    config: InstructConfig,
    stages: Stages,
    *,
    path: Path | None,
    start: pd.Timestamp | None,
    end: pd.Timestamp | None,
) -> tuple[pd.DataFrame, dict[str, int]]:
    if news.loader == "simulated" and path is None:
        from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market

        stages.stage("Simulate the market")
        market = news.simulated
        simulation = simulate_market(
            SimulatedMarket(
                seed=config.seed,
                n_symbols=market.symbols,
                start=f"{market.start:%Y-%m-%d}",
                end=f"{market.end:%Y-%m-%d}",
                articles_per_symbol_day=market.articles_per_symbol_day,
            )
        )
        frame, counts = simulation.news, {}
        frame = frame.loc[(start is None) | (frame["known_at"] >= start)] if start is not None else frame
        frame = frame.loc[frame["known_at"] < end] if end is not None else frame
    else:
        loaded = read_news(
            path if path is not None else Path(str(news.path)),
            **asked_of_archive(news),
            start=start,
            end=end,
            dialect=dialect_of(news),
            progress=stages.stage("Read the articles"),
        )
        frame, counts = loaded.frame, dict(loaded.counts)
    if "label" in frame and config.answers.labels:
        frame = frame.assign(label=frame["label"].map(lambda one: config.answers.labels.get(str(one), one)))
    return frame, counts


def tune_instruct(plan: InstructPlan, *, out: Path, cache: Path, stages: Stages) -> tuple[AnswerBundle, bool] | None:
    """Tune the decoder of a plan, measure it, and write its folder.

    Parameters
    ----------
    plan : InstructPlan
    out : Path
        Folder of model folders; this one lands in ``out/<name>-<hash>``.
    cache : Path
        Where bases, adapters and checkpoints are kept.
    stages : Stages

    Returns
    -------
    (bundle, was_there), or None in a process that only helps another to train.

    Raises
    ------
    DataError
        If a model folder that is there already is damaged, or the training diverges in its first pass.
    """
    config = plan.config
    base = plan.base if plan.base is not None else _pretrained(plan, cache, stages)
    settings = tune_settings(config.model, base, n_train=len(plan.train), seed=config.seed)
    check_instructable(base, settings)
    folder = out / f"{config.name}-{_key(plan, base, settings)[:8]}"
    (there,) = processes.told_by_main([folder.exists()])
    if there:
        return open_answer_bundle(folder), True
    adapter = tune_answers(
        base,
        train=plan.train,
        validation=plan.validation,
        templates_hash=plan.templates.hash,
        weights=config.weights.model_dump(),
        settings=settings,
        max_answer=config.model.max_answer,
        trained_until=plan.trained_until,
        cache_dir=cache,
        progress=stages.stage(f"Tune {config.name}"),
    )
    if not processes.is_main():
        return None
    known = frozenset(adapter.train_text_hashes) | {text_hash(one.source) for one in plan.validation}
    fresh = [one for one in plan.test if text_hash(one.source) not in known]
    models = AnswerModel(base, adapter), AnswerModel(base, adapter, tuned=False)
    report = _measured(models, fresh, config, stages) if fresh else None
    parts = {"train": plan.parts.train, "validation": plan.parts.validation, "test": plan.parts.test}
    news = config.news.model_dump(mode="json", exclude={"path", "simulated"})
    facts = {
        "name": folder.name,
        "seed": config.seed,
        "templates": {"name": plan.templates.name, "version": plan.templates.version, "hash": plan.templates.hash},
        "config": {
            **config.model_dump(mode="json", exclude={"news", "split", "templates"}),
            "news": {**news, "loader": "archive", "path": "given"},
            "templates": config.templates,
        },
        "data": {
            "source": "the simulated market" if config.news.loader == "simulated" else Path(str(config.news.path)).name,
            "left_out": plan.left_out,
            "split": {
                "train_until": config.split.train_until.isoformat(),
                "validation_until": config.split.validation_until.isoformat(),
                "embargo": config.split.embargo,
            },
            **{name: _described(part, plan.counts[name]) for name, part in parts.items()},
        },
        "metrics": report,
        "refusals": _refusals(models, config.measure.level, stages).to_dict(),
        "versions": versions() | {"commit": git_commit() or "unknown"},
    }
    hashes = {text_hash(one.source) for one in plan.validation}
    return write_answer_bundle(folder, base=base, adapter=adapter, facts=facts, validation_hashes=hashes), False


def _pretrained(plan: InstructPlan, cache: Path, stages: Stages) -> Base:
    """Make the built-in decoder of what is trained on, and of nothing later."""
    train = plan.parts.train
    told: dict[str, Any] = {
        "known_at": train["known_at"],
        "knowledge_cutoff": plan.config.split.train_until,
        "seed": plan.config.seed,
        "cache_dir": cache,
        "progress": stages.stage("Pretrain the built-in decoder"),
    }
    if plan.config.model.base == TINY_INSTRUCT:
        return pretrain_tiny_instruct(train["text"].tolist(), labelled=_labelled(train), **told)
    return pretrain_tiny_lm(train["text"].tolist(), **told)


def _labelled(train: pd.DataFrame) -> pd.DataFrame:
    """Return the labelled articles of a part as samples."""
    there = train.loc[train["label"].notna()] if "label" in train else train.iloc[:0]
    if there.empty:
        raise ConfigError(
            f"model.base = {TINY_INSTRUCT!r} learns to answer from the labels of early articles, and none has one. "
            f"Name their column as news.columns.label, or set model.base = {TINY_LM!r}."
        )
    samples = there[["text", "known_at"]].assign(label=there["label"].map(CLASSES.index))
    return samples.assign(ends_at=there["written_at"].fillna(there["known_at"])) if "written_at" in there else samples


def _key(plan: InstructPlan, base: Base, settings: TuneSettings) -> str:
    config = plan.config
    return json_hash(
        {
            "base": [base.weights_hash, str(base.knowledge_cutoff), base.source],
            "settings": asdict(settings),
            "max_answer": config.model.max_answer,
            "weights": config.weights.model_dump(),
            "templates": plan.templates.hash,
            **{name: [one.content for one in getattr(plan, name)] for name in ("train", "validation", "test")},
            "measure": config.measure.model_dump(),
            "seed": config.seed,
            "trained_until": plan.trained_until.isoformat(),
        }
    )


def _described(part: pd.DataFrame, counts: dict[str, int]) -> dict[str, Any]:
    dates = {}
    if len(part):
        dates = {"first": part["known_at"].min().isoformat(), "last": part["known_at"].max().isoformat()}
    return {"articles": len(part), "exchanges": counts, **dates}


def _measured(
    models: tuple[AnswerModel, AnswerModel], asked: list[Exchange], config: InstructConfig, stages: Stages
) -> dict[str, Any] | None:
    """Let both models answer, and measure; None where no prompt has room for what its answer needs."""
    names = ("tuned model", "base")
    losses = [model.losses(asked) for model in models]
    asked_for = [row for row in range(len(asked)) if not np.isnan(losses[0][row])]
    if not asked_for:
        return None
    asked = [asked[row] for row in asked_for]
    embed = None if config.measure.encoder == NO_ENCODER else encoder_of(resolve_base(config.measure.encoder))
    measures: list[dict[str, Measure]] = []
    for model, loss, name in zip(models, losses, names, strict=True):
        written = [text or "" for text in model.answers(asked, stages.stage(f"Let the {name} answer"))]
        references, sources = [one.answer for one in asked], [one.source for one in asked]
        found = {"answer loss": mean_of("answer loss", "lower", loss[asked_for])}
        found |= overlap_measures(written, references, sources)
        if embed is not None:
            found |= matching_measures(written, references, embed)
        measures.append(found)
    groups = [one.article_id for one in asked]
    resampling: dict[str, Any] = {
        "seed": config.seed,
        "resamples": config.measure.resamples,
        "level": config.measure.level,
    }
    cutoff = models[1].knowledge_cutoff
    by_task = {}
    for task in TASKS:
        rows = [row for row, one in enumerate(asked) if one.task == task]
        if rows:
            by_task[task] = {"n": len(rows)} | {
                name: [_finite(_of(found[name], rows).of_all()) for found in measures] for name in measures[0]
            }
    return {
        "n": len(asked),
        "articles": len(set(groups)),
        "level": config.measure.level,
        "encoder": None if embed is None else config.measure.encoder,
        "known_before": len({one.article_id for one in asked if cutoff is not None and one.known_at <= cutoff}),
        "table": _records(generation_table(measures[0], groups=groups, **resampling)),
        "compared": _records(compare_generations(*measures, groups=groups, **resampling)),
        "by_task": by_task,
    }


def _refusals(models: tuple[AnswerModel, AnswerModel], level: float, stages: Stages) -> RefusalChange:
    """Measure how often the tuned model would decline what it should, and its base in the same weights before it."""
    stages.stage("Measure refusals")
    after, before = (measure_refusals(model.likelihoods(), level=level) for model in models)
    return compare_refusals(before, after)


def _of(measure: Measure, rows: list[int]) -> Measure:
    return Measure(measure.name, measure.better, measure.sums[rows])


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(name): _finite(value) if isinstance(value, float) else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def _finite(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def judge_answers(
    path: Path,
    data: Path,
    *,
    cache: Path,
    base: Path | None = None,
    seed: int | None = None,
    level: float | None = None,
    stages: Stages,
) -> AnswersJudged:
    """Judge a model that was tuned to answer on articles of a file, against its base untuned.

    Articles known by the end of what it was tuned on, and those that it was tuned or stopped on, are counted and left
    out; the file is read as the corpus of the tuning was.

    Parameters
    ----------
    path : Path
        Of the model folder.
    data : Path
        Articles in the form of the tuning's corpus.
    cache, base
        As `embargo.models.instruct.answer_models`.
    seed, level : int, float, optional
        Of the intervals; by default as in the tuning.
    stages : Stages

    Raises
    ------
    DataError
        If the file leaves no article to judge on.
    """
    bundle = open_answer_bundle(path)
    config = _config_of(bundle, seed, level)
    templates = load_templates(config.templates)
    if templates.hash != bundle.manifest["templates"]["hash"]:
        raise ConfigError(
            f"{path}: was tuned with templates {bundle.manifest['templates']['hash'][:12]}; {config.templates!r} are "
            f"now {templates.hash[:12]}. Give back the file that it was tuned with."
        )
    articles, counts = _articles(config.news, config, stages, path=data, start=None, end=None)
    until = pd.Timestamp(bundle.manifest["model"]["trained_until"])
    known = articles["known_at"] <= until
    made, _ = exchanges(
        articles.loc[~known].drop_duplicates("article_id"), templates, config.weights.model_dump(), held_out=True
    )
    fresh = [one for one in made if text_hash(one.source) not in bundle.text_hashes]
    left_out = {name: n for name, n in counts.items() if n and name not in ("rows", "kept")}
    left_out |= {
        "known_by_the_end_of_the_tuning": int(known.sum()),
        "tuned_on": len({one.article_id for one in made} - {one.article_id for one in fresh}),
    }
    limited = _limited(fresh, config.measure.max_exchanges)
    left_out["prompts_over_the_limit"] = len(fresh) - len(limited)
    models = answer_models(bundle, cache_dir=cache, given=base)
    report = _measured(models, limited, config, stages) if limited else None
    if report is None:
        raise DataError(
            f"{data}: no article known after {until:%Y-%m-%d %H:%M} UTC that the model was not tuned on and that "
            f"answers anything. Left out: {left_out}. Give later articles."
        )
    refusals = _refusals(models, config.measure.level, stages)
    return AnswersJudged(path.name, report, refusals, {name: n for name, n in left_out.items() if n})


def _limited(made: list[Exchange], most: int) -> list[Exchange]:
    seen = dict.fromkeys(TASKS, 0)
    kept = []
    for one in made:
        seen[one.task] += 1
        if seen[one.task] <= most:
            kept.append(one)
    return kept


def _config_of(bundle: AnswerBundle, seed: int | None, level: float | None) -> InstructConfig:
    kept = dict(bundle.manifest["config"])
    split = bundle.manifest["data"]["split"]
    config = checked(InstructConfig, {**kept, "split": split}, where=f"{bundle.path}: config")
    changes: dict[str, Any] = {} if seed is None else {"seed": seed}
    if level is not None:
        changes["measure"] = config.measure.model_copy(update={"level": level})
    return config.model_copy(update=changes)
