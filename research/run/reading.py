"""The reading half of a run: fit one model per fold, calibrate it and score the articles of its test window.

Everything trained or scored is kept under a cache folder by content, so that the same work is never done twice and a
run that was killed goes on where it stopped.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.bases.resolve import TINY_INSTRUCT, Base
from embargo.models.calibration.fitting import Calibration
from embargo.models.fitting import FittedModel, fit_scorer, scorer_kind
from embargo.models.loading.shared import SharedBase
from embargo.models.prompt import Prompting
from embargo.models.record import RECORD_COLUMNS, dated_record, read_record
from embargo.models.scorer import Paid
from embargo.models.scorers.cache import SCORES, ScoreCache, SpareCache
from embargo.models.scorers.distilled import DistilledSettings
from embargo.models.scorers.given import GivenSettings
from embargo.models.scorers.linear import LinearSettings
from embargo.models.scorers.own import files_told
from embargo.models.scorers.score import Spread, score_articles
from embargo.research.config.experiment import Config
from embargo.research.config.model import ModelSection, ReaderSection
from embargo.research.engine.blocks import spread_over
from embargo.research.engine.keepers import Engine, Serial
from embargo.research.progress import Advance, Quiet, Stages
from embargo.research.run.asking import PaidAccount, endpoint_settings, texts_of_teacher
from embargo.research.run.bases import prompt_settings
from embargo.research.run.built_in import make_base
from embargo.research.run.given_scores import given_scores
from embargo.research.run.memory import Memory
from embargo.research.run.plan import Instructed, Plan, background_of, base_of, teacher_base_of
from embargo.research.run.prompts_shown import (
    ORDER_COLUMNS,
    PROMPT_COLUMNS,
    ask_orders,
)
from embargo.research.run.rereading import ANSWER_COLUMNS, asked_again
from embargo.research.run.samples import Samples, early_samples
from embargo.research.run.tune_settings import tune_settings
from embargo.research.run.world import Inputs

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Reading:
    """What the models made of the news.

    Attributes
    ----------
    scored : DataFrame
        One row per test article and symbol: news columns, ``bearish, neutral, bullish, confidence, model_id, fold``.
        Probabilities are NaN where a reader that answers by article has none.
    judged : DataFrame
        One row per labelled sample kept for measuring that has a score: ``article_id, label, fold``, calibrated
        ``bearish, neutral, bullish`` and the same before calibration as ``raw_bearish, raw_neutral, raw_bullish``.
    manifests : list of dict
        One per fold.
    fitted_on : DataFrame
        What each fold's model was really fitted on, as `embargo.models.FittedModel` says, and ``fold``; a fold whose
        model kept no record has no rows.
    answers : DataFrame
        What the readers answered, one row per test article: ``article_id, fold``, the calibrated probabilities and
        confidence as ``kept_*``, what they answer when asked again without a cache as ``again_*``, NaN where they were
        not asked, what they answer of texts that are asked alone as ``alone_*`` and ``repeated_*``, and as
        ``apart_before`` the largest difference of their logits, which no calibration bends, in standard deviations of
        the fold's. Of a reader whose answers vary, ``answers_apart`` and ``stated_error`` as
        `embargo.backtest.leakage.check_rereading` reads them. Empty of a reading that is not audited.
    prompts : DataFrame
        What prompts of the test news show, as `embargo.research.run.prompts_shown.shown_prompts` writes it.
    orders : DataFrame
        What a reader made of orders inside texts, as `embargo.research.run.prompts_shown.ask_orders` says. Empty of a
        reading that is not audited, and of a reader that is not asked in words.
    """

    scored: pd.DataFrame
    judged: pd.DataFrame
    manifests: list[dict[str, Any]]
    fitted_on: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=[*RECORD_COLUMNS, "fold"]))
    answers: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=ANSWER_COLUMNS))
    prompts: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=PROMPT_COLUMNS))
    orders: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=ORDER_COLUMNS))


def with_base(plan: Plan, until: pd.Timestamp, cache: Path, stages: Stages) -> Plan:
    """Pretrain the built-in bases, if the plan asks for any, on text known before ``until``.

    For folds that is the end of the first one's training window: older than every validation and test part. The one
    that is asked learns from labels known by then, too.

    Returns
    -------
    Plan
        With the bases that its models and their teachers start from.

    Raises
    ------
    DataError
        If there is no such text.
    """
    model, taught_by = plan.config.model, plan.config.model.teacher
    if plan.base is None and model.made_here:
        base, learnt = _made(plan, model, until, cache, stages)
        plan = replace(plan, base=base, instructed=learnt)
    if plan.teacher is None and taught_by is not None and taught_by.made_here:
        base, learnt = _made(plan, taught_by, until, cache, stages)
        plan = replace(plan, teacher=base, instructed=plan.instructed or learnt)
    return plan


def _made(
    plan: Plan, reader: ReaderSection, until: pd.Timestamp, cache: Path, stages: Stages
) -> tuple[Base, tuple[Instructed, ...]]:
    news = plan.world.news
    corpus = news.loc[news["known_at"] < until].drop_duplicates("text")
    if corpus.empty:
        raise DataError(
            f"model.base = {reader.base!r}: no text before the first split to pretrain on. Move split.first_test later."
        )
    name = str(reader.base)
    labelled = early_samples(plan.config, plan.world, until) if name == TINY_INSTRUCT else pd.DataFrame()
    base = make_base(name, corpus, labelled, seed=plan.config.seed, cache=cache, stages=stages)
    record = read_record(Path(base.path_or_id))
    if record is None:
        return base, ()
    return base, (Instructed(labelled[["text", "label"]], dated_record(record, labelled, labelled.iloc[:0])),)


def read(
    plan: Plan,
    parts: Sequence[Samples],
    cache: Path,
    stages: Stages,
    memory: Memory | None = None,
    engine: Engine | None = None,
) -> Reading:
    """Fit, calibrate and score, part by part, with one base in memory at a time.

    Parameters
    ----------
    plan : Plan
        Says which model and brings its base; see `with_base`.
    parts : sequence of Samples
        The plan's own, or others in their place.
    cache : Path
    stages : Stages
    memory : Memory, optional
        Learns what is fitted, and gives what was fitted from the same content. With it, the reading is that of a run,
        which is audited, and readers are asked of some texts again.
    engine : Engine, optional
        Where folds are read that know nothing of each other; by default here, one after the other.
    """
    engine = Serial() if engine is None else engine
    config = plan.config
    audited = memory is not None and memory.scores is None
    memory = Memory() if memory is None else memory
    with ExitStack() as stack:
        store = stack.enter_context(memory.open(cache))
        if _apart(config, parts, memory, engine):
            found = _read_elsewhere(plan, parts, cache, store, memory, engine, stages, audited=audited)
        else:
            found = _read_here(plan, parts, cache, store, memory, stages, engine, audited=audited)
    return _together(config, found)


def _apart(config: Config, parts: Sequence[Samples], memory: Memory, engine: Engine) -> bool:
    """Tell whether folds know nothing of each other, so that each may be read wherever there is room.

    Not where one model reads all, where a reader is paid or of one's own, and where folds share what was scored.
    """
    model = config.model
    fitted = model.kind == "linear" or (model.kind == "transformer" and model.method != "none")
    several = len(parts) > 1 and config.labels.source != "file"
    return several and fitted and model.teacher is None and memory.scores is None and not isinstance(engine, Serial)


def _read_here(
    plan: Plan,
    parts: Sequence[Samples],
    cache: Path,
    store: ScoreCache,
    memory: Memory,
    stages: Stages,
    engine: Engine,
    *,
    audited: bool,
) -> list[_Read]:
    found: list[_Read] = []
    shared: SharedBase | None = None
    model: FittedModel | None = None
    lends = 0
    counted: set[tuple[str, str]] = set()
    with ExitStack() as stack:
        for part in parts:
            fold = f"fold {part.index + 1} of {len(parts)}"
            # One labelled file trains one model for all folds.
            if model is None or plan.config.labels.source != "file":
                model = None  # its memory goes before the next one is made
                shared = lent(shared, base_of(plan, part), stack)
                lends = 0 if shared is None else shared.lends
                model = fit_fold(plan, part, shared, cache, store, stages.stage(f"Tune the model, {fold}"), memory)
            # To load a base for this alone would cost a run whose scores are all kept more than the rest of it.
            asks = _Asks(
                audited,
                # Folds share template and base, so that one of them tells of all.
                orders=audited and all(each.orders is None for each in found),
                shared=shared,
                lends=lends,
                spread=spread_over(engine),
            )
            progress = stages.stage(f"Score the news, {fold}")
            found.append(_read_part(plan, part, model, cache, store, memory, asks, counted, progress))
    return found


def _read_elsewhere(
    plan: Plan,
    parts: Sequence[Samples],
    cache: Path,
    store: ScoreCache,
    memory: Memory,
    engine: Engine,
    stages: Stages,
    *,
    audited: bool,
) -> list[_Read]:
    """Read every fold as a task of its own; what was scored and what is remembered of it is kept here."""

    def keep(_number: int, told: tuple[_Read, Memory, Mapping[str, Mapping[str, np.ndarray]]]) -> None:
        _, learnt, anew = told
        memory.models.update(learnt.models)
        memory.prompts.update(learnt.prompts)
        for identity, logits in anew.items():
            store.put_many(identity, logits)

    progress = stages.stage(f"Tune and score {len(parts)} folds")
    found = engine.map(_fold_elsewhere, parts, (plan, cache, audited), done=keep, progress=progress)
    return [read for read, _, _ in found]


def _fold_elsewhere(
    shared: tuple[Plan, Path, bool], part: Samples
) -> tuple[_Read, Memory, Mapping[str, Mapping[str, np.ndarray]]]:
    """Read one fold, and write nothing but the folder of its adapter, which is named by its content."""
    plan, cache, audited = shared
    memory = Memory()
    with SpareCache(cache / SCORES) as store:
        [read] = _read_here(plan, [part], cache, store, memory, Quiet(), Serial(), audited=audited)
        return read, memory, store.anew


@dataclass(frozen=True)
class _Asks:
    """What a reading asks of a fold's model, how often the base had been lent before it, and who scores blocks."""

    audited: bool
    orders: bool
    shared: SharedBase | None
    lends: int
    spread: Spread | None

    @property
    def loaded(self) -> bool:
        """Whether the fold's model is in memory."""
        return self.shared is None or self.shared.lends > self.lends


@dataclass(frozen=True)
class _Read:
    """What came of one fold, each as in `Reading`; None where it was not asked for."""

    scored: pd.DataFrame
    judged: pd.DataFrame
    manifest: dict[str, Any]
    prompts: pd.DataFrame
    fitted_on: pd.DataFrame | None
    answers: pd.DataFrame | None
    orders: pd.DataFrame | None


def _read_part(
    plan: Plan,
    part: Samples,
    model: FittedModel,
    cache: Path,
    store: ScoreCache,
    memory: Memory,
    asks: _Asks,
    counted: set[tuple[str, str]],
    progress: Advance,
) -> _Read:
    """Score a fold's news and samples with its model, and ask it what the audit wants to know."""
    config = plan.config
    tested = pd.concat([part.test_news[["article_id", "text"]], part.test[["article_id", "text"]]])
    tested = tested.drop_duplicates("article_id")
    result = score_articles(model.scorer, model.calibration, tested, cache=store, progress=progress, spread=asks.spread)
    raw = score_articles(model.scorer, Calibration(), part.test[["article_id", "text"]], cache=store)
    answers = orders = None
    if asks.audited:
        anew = bool(result.n_scored)
        answers = asked_again(config, model, part, result.scores, store, loaded=asks.loaded or anew, anew=anew)
    prompts = memory.shown(model.scorer, part)
    # Answers that are paid for are not asked.
    if asks.orders and isinstance(model.scorer, Prompting) and not isinstance(model.scorer, Paid):
        news = part.test_news[["article_id", "text"]].drop_duplicates("article_id")
        orders = ask_orders(model.scorer, model.calibration, news, cache=store, seed=config.seed)
    scores = result.scores.set_index("article_id")
    scored = part.test_news.join(scores[[*CLASSES, "confidence", "model_id"]], on="article_id").assign(fold=part.index)
    before = raw.scores.set_index("article_id")[list(CLASSES)].add_prefix("raw_")
    labelled = (
        part.test[["article_id", "label"]]
        .join(scores[list(CLASSES)], on="article_id")
        .join(before, on="article_id")
        .assign(fold=part.index)
    )
    judged = labelled.dropna(subset=list(CLASSES)) if result.n_unscored else labelled
    fitted_on = None
    if model.fitted_on is not None:
        learnt = [model.fitted_on, *(each.read for each in plan.instructed)]
        fitted_on = pd.concat(learnt, ignore_index=True).assign(fold=part.index)
    told: dict[str, Any] = {"fold": part.index, "n_cached": result.n_cached, "n_scored": result.n_scored}
    if isinstance(model.scorer, Paid):
        account = PaidAccount(model.scorer.asked, tuple(model.scorer.overhead), cache)
        told["asked"] = account.of([*part.validation["text"], *tested["text"]], counted)
    elif memory.scores is None and (teacher := PaidAccount.of_teacher(model.manifest, cache)) is not None:
        told["asked"] = teacher.of(texts_of_teacher(plan, part), counted)
    if result.n_unscored:
        told["n_unscored"] = result.n_unscored
    if len(prompts):
        told["templates"] = sorted(prompts["template"].unique())
    manifest = model.manifest | told | files_told(model.scorer)
    return _Read(scored, judged, manifest, prompts, fitted_on, answers, orders)


def _together(config: Config, found: Sequence[_Read]) -> Reading:
    judged = [each.judged for each in found]
    reading = Reading(
        pd.concat([each.scored for each in found], ignore_index=True),
        _once(config, judged),
        [each.manifest for each in found],
        prompts=pd.concat([each.prompts for each in found], ignore_index=True),
    )
    if fitted_on := [each.fitted_on for each in found if each.fitted_on is not None]:
        reading = replace(reading, fitted_on=pd.concat(fitted_on, ignore_index=True))
    if orders := [each.orders for each in found if each.orders is not None]:
        reading = replace(reading, orders=orders[0])
    if answers := [each.answers for each in found if each.answers is not None]:
        reading = replace(reading, answers=pd.concat(answers, ignore_index=True))
    return reading


def lent(held: SharedBase | None, base: Base | None, stack: ExitStack) -> SharedBase | None:
    """Hold the base of the next fold in memory, and let go of another one."""
    if base is None or (held is not None and held.base == base):
        return held
    if held is not None:
        held.close()
    return stack.enter_context(SharedBase(base))


def _once(config: Config, judged: list[pd.DataFrame]) -> pd.DataFrame:
    """One labelled file is held out once for all folds: judging it per fold would count every sample again."""
    return judged[0] if config.labels.source == "file" else pd.concat(judged, ignore_index=True)


def fit_fold(
    plan: Plan,
    part: Samples,
    shared: SharedBase | None,
    cache: Path,
    store: ScoreCache,
    progress: Advance,
    memory: Memory | None = None,
) -> FittedModel:
    """Fit and calibrate the model of one fold, or take it from the cache where the same was fitted before."""
    base = None if shared is None else shared.base
    given = _given(plan, part, plan.config.model, base)
    taught_by, lender = plan.config.model.teacher, teacher_base_of(plan, part)
    taught = None if taught_by is None else _given(plan, part, taught_by, lender)

    @functools.cache
    def fit() -> FittedModel:
        own: dict[str, Any] = {"cache_dir": cache, "cache": store, "progress": progress}
        if taught is None:
            return fit_scorer(**given, **own, base=base, shared=shared)
        same = shared is not None and base == lender
        with nullcontext(shared) if same or lender is None else SharedBase(lender) as theirs:
            teacher = fit_scorer(**taught, **own, base=lender, shared=None if lender is None else theirs)
            return fit_scorer(**given, **own, base=base, shared=shared, teacher=teacher)

    key: dict[str, Any] = {"base": None if base is None else base.weights_hash, **given}
    if taught is not None:
        key |= {f"taught_{name}": value for name, value in taught.items()}
        key |= {"taught_base": None if lender is None else lender.weights_hash}
    return (memory or Memory()).fitted(fit, **key)


def fit_teacher(plan: Plan, part: Samples, cache: Path, store: ScoreCache, progress: Advance) -> FittedModel:
    """Fit and calibrate the reader that the model of one fold learns from."""
    taught_by = plan.config.model.teacher
    assert taught_by is not None
    base = teacher_base_of(plan, part)
    given = _given(plan, part, taught_by, base)
    return fit_scorer(**given, base=base, cache_dir=cache, cache=store, progress=progress)


def _given(plan: Plan, part: Samples, reader: ReaderSection, base: Base | None) -> dict[str, Any]:
    """Return what `fit_scorer` is told of a reader besides its base, its teacher and where to keep what it makes."""
    config = plan.config
    given: dict[str, Any] = {
        "kind": reader.kind,
        "train": part.train,
        "validation": part.validation,
        "trained_until": part.trained_until,
        "settings": model_settings(reader, base, len(part.train), seed=config.seed, inputs=plan.world.inputs),
        "calibration": reader.calibration,
        "runtime": reader.scorer,
    }
    if reader.is_own:
        given |= {"allow": config.allow, "seed": config.seed}
    if scorer_kind(reader.kind, allow=config.allow).reads_background:
        given |= {"background": background_of(plan, part), "seed": config.seed}
    return given


def model_settings(
    model: ReaderSection, base: Base | None, n_train: int, *, seed: int, inputs: Inputs | None = None
) -> object | None:
    """Return the settings of the configured kind of model; None for those that have none.

    A learning rate that is not configured is the method's usual one for a base of that width. Scores of a file are read
    once for the ``inputs`` of a run.
    """
    if model.kind in ("lexicon", "majority"):
        return None
    if model.kind == "linear":
        return LinearSettings()
    if model.kind == "endpoint":
        return endpoint_settings(model)
    if model.kind == "prompted":
        assert model.prompt is not None
        return prompt_settings(model.prompt)
    if model.scores is not None:
        assert inputs is not None
        return GivenSettings(given_scores(model.scores, inputs), model.scores.knowledge_cutoff)
    if model.is_own:
        return dict(model.settings)
    if isinstance(model, ModelSection) and model.distill is not None:
        told = model.distill
        own = LinearSettings() if base is None else tune_settings(model, base, n_train=n_train, seed=seed)
        return DistilledSettings(told.student, own, told.max_texts, told.temperature)
    assert base is not None
    return tune_settings(model, base, n_train=n_train, seed=seed)


def probabilities(judged: pd.DataFrame, prefix: str = "") -> np.ndarray:
    """Class probabilities of judged samples, shape (n, 3), calibrated unless ``prefix`` is ``"raw_"``."""
    return np.asarray(judged[[prefix + name for name in CLASSES]], dtype=float)
