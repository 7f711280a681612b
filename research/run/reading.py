"""The reading half of a run: fit one model per fold, calibrate it and score the articles of its test window.

Everything trained or scored is kept under a cache folder by content, so that the same work is never done twice and a
run that was killed goes on where it stopped.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.splits.folds import Fold
from embargo.models.bases.resolve import TINY_INSTRUCT, Base, resolve_base
from embargo.models.bases.vintages import Vintages, open_vintages, series_of
from embargo.models.calibration.fitting import Calibration
from embargo.models.export.onnx import check_runtime
from embargo.models.fitting import FittedModel, fit_scorer, scorer_kind
from embargo.models.loading.load import load_tokenizer
from embargo.models.loading.shared import SharedBase
from embargo.models.methods.cards import check_method
from embargo.models.prompt import Prompting
from embargo.models.prompting.context import check_prompts
from embargo.models.prompting.room import check_room, room_doubt
from embargo.models.prompting.settings import PromptSettings
from embargo.models.prompting.templates import load_template
from embargo.models.record import RECORD_COLUMNS
from embargo.models.scorer import ByArticle, Paid, Progress, Scorer
from embargo.models.scorers.cache import ScoreCache, SpareCache
from embargo.models.scorers.distilled import DistilledSettings
from embargo.models.scorers.given import GivenSettings
from embargo.models.scorers.linear import LinearSettings
from embargo.models.scorers.own import files_told
from embargo.models.scorers.prompted import require_decoder
from embargo.models.scorers.score import cached_logits, score_articles
from embargo.models.tuning.tiny_lm import TinyLmSettings
from embargo.research.config.experiment import Config
from embargo.research.config.model import ModelSection, PromptSection, ReaderSection
from embargo.research.progress import Advance, Stages
from embargo.research.run.asking import COST_NOTHING, PaidAccount, asked_again_of, endpoint_settings, texts_of_teacher
from embargo.research.run.built_in import make_base
from embargo.research.run.given_scores import given_scores
from embargo.research.run.plan import Plan, background_of, base_of, teacher_base_of
from embargo.research.run.prompts_shown import (
    ORDER_COLUMNS,
    PROMPT_COLUMNS,
    ask_alone,
    ask_orders,
    shown_prompts,
)
from embargo.research.run.samples import Samples, early_samples
from embargo.research.run.tune_settings import tune_settings
from embargo.research.run.world import Inputs, content_of

if TYPE_CHECKING:
    from embargo.signals.fusion.model import FusionModel

SCORES = "scores.sqlite"
# Of the texts that a reader is asked of once more, those that are asked alone too.
ALONE, ALONE_OF_MODELS = 32, 8
ANSWER_COLUMNS = (
    "article_id", "fold", *(f"kept_{name}" for name in (*CLASSES, "confidence")),
    *(f"{part}_{name}" for part in ("again", "alone", "repeated") for name in CLASSES), "apart_before",
    "answers_apart", "stated_error",
)  # fmt: skip


@dataclass
class Memory:
    """What a run fitted, by the content of what it was fitted from, for whoever carries it out again in another world.

    Attributes
    ----------
    models : dict of str to FittedModel
        With scorers that fit anew when they meet a text that has not been scored.
    fusions : dict of str to FusionModel
    scores : Path or None
        File of scores that is read and left as it is; None in the run itself.
    answers : mapping of text hash to logits
        What every scorer is taken to say of texts that no answer may depend on.
    anew : list of FittedModel
        What another world made the run fit once more.
    prompts : dict of str to DataFrame
        What prompts of a scorer's identity showed; readers that are known by their name alone render none.
    """

    models: dict[str, FittedModel] = field(default_factory=dict)
    fusions: dict[str, FusionModel] = field(default_factory=dict)
    scores: Path | None = None
    answers: Mapping[str, np.ndarray] = field(default_factory=dict)
    anew: list[FittedModel] = field(default_factory=list)
    prompts: dict[str, pd.DataFrame] = field(default_factory=dict)

    def beside(self, scores: Path, answers: Mapping[str, np.ndarray]) -> Memory:
        """Return what another world may take from this run; what it adds stays its own."""
        return Memory(dict(self.models), dict(self.fusions), scores, answers, prompts=dict(self.prompts))

    def open(self, cache: Path) -> ScoreCache:
        """Open the scores of a cache, or those that are only to be read."""
        return ScoreCache(cache / SCORES) if self.scores is None else SpareCache(self.scores, self.answers)

    def fitted(self, fit: Callable[[], FittedModel], **given: Any) -> FittedModel:
        """Return the model fitted from the same content, or fit one and remember all but its weights."""
        key = content_of(**given)
        if key in self.models:
            known = self.models[key]
            return replace(known, scorer=Recalled(known.scorer.identity, known.scorer.knowledge_cutoff, fit))
        model = fit()
        if isinstance(model.scorer, ByArticle):
            return model  # no text brings its answers back, and they are at hand
        self.models[key] = replace(model, scorer=Recalled(model.scorer.identity, model.scorer.knowledge_cutoff))
        if self.scores is not None:
            self.anew.append(model)
        return model

    def shown(self, scorer: Scorer, part: Samples) -> pd.DataFrame:
        """Write down what prompts of a part's news show, or look up what they showed; see `shown_prompts`."""
        news = part.test_news[["article_id", "text", "known_at"]].drop_duplicates("article_id")
        if not isinstance(scorer, Recalled):
            made = shown_prompts(scorer, news, part.index)
            known = self.prompts.get(scorer.identity)
            self.prompts[scorer.identity] = made if known is None else pd.concat([known, made])
            return made
        known = self.prompts.get(scorer.identity)
        if known is None:
            return shown_prompts(scorer, news, part.index)
        there = known["article_id"].isin(news["article_id"]) & (known["fold"] == part.index)
        return known.loc[there].reset_index(drop=True)


@dataclass
class Recalled:
    """A scorer known by name, whose scores lie in a cache; it is fitted when a text has none there."""

    identity: str
    knowledge_cutoff: pd.Timestamp | None
    fit: Callable[[], FittedModel] | None = None

    def logits(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return the logits of texts that no cache holds, from a model fitted once more."""
        assert self.fit is not None
        return self.fit().scorer.logits(texts, progress)


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


def given_base(model: ReaderSection) -> Base | None:
    """Find the base model; None where none is needed, the built-in one is made from the news, or it is a series.

    Raises
    ------
    MissingPartError, ConfigError, LeakError
        If the base is not there, or its declared knowledge cutoff contradicts its documentation.
    """
    check_runtime(model.scorer)
    if model.prompt is not None:
        settings = prompt_settings(model.prompt)
        template = check_prompts(settings)
        if model.kind == "prompted" and model.made_here:
            room_doubt(settings, template, TinyLmSettings().max_length)
    if not model.on_base or model.made_here or _series(model) is not None:
        return None
    base = resolve_base(str(model.base), revision=model.revision, knowledge_cutoff=model.knowledge_cutoff)
    _check_use(model, base)
    return base


def _check_use(model: ReaderSection, base: Base) -> None:
    """Refuse a base that the configured reader cannot start from."""
    if model.kind == "prompted":
        require_decoder(base)
        settings = PromptSettings() if model.prompt is None else prompt_settings(model.prompt)
        check_room(settings, load_template(settings.template), load_tokenizer(base))
    else:
        check_method(model.method, base, model.target)


def given_vintages(config: Config, folds: Sequence[Fold], reader: ReaderSection | None = None) -> Vintages | None:
    """Find the vintages that the folds of a run need, or those of its teacher; None where the base is no series.

    Raises
    ------
    ConfigError
        If no vintage ends before the training of a fold does.
    MissingPartError, LeakError
        As `given_base`.
    """
    # As `base_of` chooses.
    trained = folds[:1] if config.labels.source == "file" else folds
    return vintages_before(
        config.model if reader is None else reader,
        {f"the training of fold {fold.index + 1} of {len(folds)}": fold.train_end for fold in trained},
    )


def vintages_before(model: ReaderSection, endings: Mapping[str, pd.Timestamp]) -> Vintages | None:
    """Find the vintages that trainings need, by what they are called and when they end; None for no series."""
    named = _series(model) if model.on_base else None
    if named is None:
        return None
    vintages = open_vintages(named, endings)
    for base in vintages.bases:
        _check_use(model, base)
    return vintages


def _series(model: ReaderSection) -> Mapping[str, str] | None:
    return series_of(model.base, revision=model.revision, knowledge_cutoff=model.knowledge_cutoff)


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
        plan = replace(plan, base=_made(plan, model, until, cache, stages))
    if plan.teacher is None and taught_by is not None and taught_by.made_here:
        plan = replace(plan, teacher=_made(plan, taught_by, until, cache, stages))
    return plan


def _made(plan: Plan, reader: ReaderSection, until: pd.Timestamp, cache: Path, stages: Stages) -> Base:
    news = plan.world.news
    corpus = news.loc[news["known_at"] < until].drop_duplicates("text")
    if corpus.empty:
        raise DataError(
            f"model.base = {reader.base!r}: no text before the first split to pretrain on. Move split.first_test later."
        )
    name = str(reader.base)
    labelled = early_samples(plan.config, plan.world, until) if name == TINY_INSTRUCT else pd.DataFrame()
    return make_base(name, corpus, labelled, seed=plan.config.seed, cache=cache, stages=stages)


def read(plan: Plan, parts: Sequence[Samples], cache: Path, stages: Stages, memory: Memory | None = None) -> Reading:
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
    """
    config = plan.config
    audited = memory is not None and memory.scores is None
    memory = Memory() if memory is None else memory
    scored, judged, manifests, fitted_on, answers, prompts = [], [], [], [], [], []
    orders: pd.DataFrame | None = None
    counted: set[tuple[str, str]] = set()
    with ExitStack() as stack:
        store = stack.enter_context(memory.open(cache))
        shared: SharedBase | None = None
        model: FittedModel | None = None
        for part in parts:
            fold = f"fold {part.index + 1} of {len(parts)}"
            # One labelled file trains one model for all folds.
            if model is None or config.labels.source != "file":
                model = None  # its memory goes before the next one is made
                shared = lent(shared, base_of(plan, part), stack)
                progress = stages.stage(f"Tune the model, {fold}")
                model = fit_fold(plan, part, shared, cache, store, progress, memory)
            tested = pd.concat([part.test_news[["article_id", "text"]], part.test[["article_id", "text"]]])
            tested = tested.drop_duplicates("article_id")
            progress = stages.stage(f"Score the news, {fold}")
            result = score_articles(model.scorer, model.calibration, tested, cache=store, progress=progress)
            raw = score_articles(model.scorer, Calibration(), part.test[["article_id", "text"]], cache=store)
            if audited:
                # To load a base for this alone would cost a run whose scores are all kept more than the rest of it.
                loaded = shared is None or shared.reads > 0
                answers.append(
                    _asked_again(config, model, part, result.scores, store, loaded=loaded, anew=bool(result.n_scored))
                )
            prompts.append(memory.shown(model.scorer, part))
            # Folds share template and base, so that one of them tells of all. Answers that are paid for are not asked.
            asks = isinstance(model.scorer, Prompting) and not isinstance(model.scorer, Paid)
            if audited and orders is None and asks:
                news = part.test_news[["article_id", "text"]].drop_duplicates("article_id")
                orders = ask_orders(model.scorer, model.calibration, news, cache=store, seed=config.seed)
            scores = result.scores.set_index("article_id")
            scored.append(
                part.test_news.join(scores[[*CLASSES, "confidence", "model_id"]], on="article_id").assign(
                    fold=part.index
                )
            )
            before = raw.scores.set_index("article_id")[list(CLASSES)].add_prefix("raw_")
            labelled = (
                part.test[["article_id", "label"]]
                .join(scores[list(CLASSES)], on="article_id")
                .join(before, on="article_id")
                .assign(fold=part.index)
            )
            judged.append(labelled.dropna(subset=list(CLASSES)) if result.n_unscored else labelled)
            if model.fitted_on is not None:
                fitted_on.append(model.fitted_on.assign(fold=part.index))
            told: dict[str, Any] = {"fold": part.index, "n_cached": result.n_cached, "n_scored": result.n_scored}
            if isinstance(model.scorer, Paid):
                account = PaidAccount(model.scorer.asked, tuple(model.scorer.overhead), cache)
                told["asked"] = account.of([*part.validation["text"], *tested["text"]], counted)
            elif memory.scores is None and (teacher := PaidAccount.of_teacher(model.manifest, cache)) is not None:
                told["asked"] = teacher.of(texts_of_teacher(plan, part), counted)
            if result.n_unscored:
                told["n_unscored"] = result.n_unscored
            if len(prompts[-1]):
                told["templates"] = sorted(prompts[-1]["template"].unique())
            manifests.append(model.manifest | told | files_told(model.scorer))
    reading = Reading(pd.concat(scored, ignore_index=True), _once(config, judged), manifests)
    if fitted_on:
        reading = replace(reading, fitted_on=pd.concat(fitted_on, ignore_index=True))
    reading = replace(reading, prompts=pd.concat(prompts, ignore_index=True))
    if orders is not None:
        reading = replace(reading, orders=orders)
    return replace(reading, answers=pd.concat(answers, ignore_index=True)) if answers else reading


def _asked_again(
    config: Config,
    model: FittedModel,
    part: Samples,
    scores: pd.DataFrame,
    store: ScoreCache,
    *,
    loaded: bool,
    anew: bool,
) -> pd.DataFrame:
    """Write down what a reader answered of a fold's news, and ask it of some of them again, in another order.

    One that is paid for is asked where something was scored ``anew``, and no run that is all in the cache asks it.
    """
    news = part.test_news[["article_id", "text"]].drop_duplicates("article_id")
    kept = scores.set_index("article_id")[[*CLASSES, "confidence"]].add_prefix("kept_")
    answers = news[["article_id"]].join(kept, on="article_id").assign(fold=part.index)
    # A model that was fitted before is known by its name alone, and would be fitted once more.
    if isinstance(model.scorer, Recalled) or not loaded:
        return answers.reindex(columns=list(ANSWER_COLUMNS))
    asked = asked_again_of(config, part, paid=isinstance(model.scorer, Paid))
    if isinstance(model.scorer, ByArticle):
        asked = asked.loc[answers.loc[asked.index, "kept_confidence"].notna()]
        logits = model.scorer.logits_of(asked["article_id"].tolist())
    elif isinstance(model.scorer, Paid):
        logits = model.scorer.asked_again(asked["text"].tolist(), ask=anew)
        asked, logits = asked.loc[np.isfinite(logits).all(axis=1)], logits[np.isfinite(logits).all(axis=1)]
        if asked.empty:
            return answers.reindex(columns=list(ANSWER_COLUMNS))
    else:
        logits = model.scorer.logits(asked["text"].tolist())
    again = model.calibration.apply(logits)
    told = pd.DataFrame(again, columns=[f"again_{name}" for name in CLASSES], index=asked.index)
    before = score_articles(model.scorer, Calibration(), asked, cache=store).scores.set_index("article_id")
    told["apart_before"] = apart_before(
        before.loc[asked["article_id"], list(CLASSES)].to_numpy(), Calibration().apply(logits)
    )
    if isinstance(model.scorer, Paid):
        given = cached_logits(model.scorer, asked["text"].tolist(), cache=store).logits
        told[["answers_apart", "stated_error"]] = model.scorer.stated_errors(asked["text"].tolist(), given)
    # Scores of a file read no text, and whoever is paid for each answer is asked one text at a time anyway.
    if not isinstance(model.scorer, ByArticle | Paid):
        few = asked.iloc[: ALONE if config.model.kind in COST_NOTHING else ALONE_OF_MODELS]
        alone = ask_alone(model.scorer, model.calibration, few["text"].tolist(), again[: len(few)])
        told = told.join(pd.DataFrame(alone, index=few.index))
    return answers.join(told).reindex(columns=list(ANSWER_COLUMNS))


def apart_before(kept: np.ndarray, again: np.ndarray) -> np.ndarray:
    """Return the largest difference of the logits of each text, in standard deviations of what was kept.

    Both are given as shares that no calibration bent, shape (texts, 3).
    """
    one, two = (np.log(np.maximum(shares, 1e-12)) for shares in (kept, again))
    one, two = (logs - logs.mean(axis=1, keepdims=True) for logs in (one, two))
    spread = float(one.std())
    return np.asarray(np.abs(one - two).max(axis=1) / (spread if spread > 0.0 else 1.0))


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


def prompt_settings(prompt: PromptSection) -> PromptSettings:
    """Return the settings of prompts as the models take them."""
    return PromptSettings(**prompt.model_dump())


def probabilities(judged: pd.DataFrame, prefix: str = "") -> np.ndarray:
    """Class probabilities of judged samples, shape (n, 3), calibrated unless ``prefix`` is ``"raw_"``."""
    return np.asarray(judged[[prefix + name for name in CLASSES]], dtype=float)
