"""The reading half of a run: fit one model per fold, calibrate it and score the articles of its test window.

Everything trained or scored is kept under a cache folder by content, so that the same work is never done twice and a
run that was killed goes on where it stopped.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.splits.folds import Fold
from embargo.models.bases.resolve import BUILT_IN, TINY_LM, Base, resolve_base
from embargo.models.bases.vintages import Vintages, open_vintages, series_of
from embargo.models.calibration.fitting import Calibration
from embargo.models.content import text_hash
from embargo.models.export.onnx import check_runtime
from embargo.models.fitting import FittedModel, fit_scorer, scorer_kind
from embargo.models.loading.shared import SharedBase
from embargo.models.methods.cards import check_method
from embargo.models.methods.defaults import default_settings
from embargo.models.methods.settings import TuneSettings
from embargo.models.prompting.context import check_prompts
from embargo.models.prompting.settings import PromptSettings
from embargo.models.record import RECORD_COLUMNS
from embargo.models.scorer import Paid, Progress
from embargo.models.scorers.cache import ScoreCache, SpareCache
from embargo.models.scorers.linear import LinearSettings
from embargo.models.scorers.prompted import require_decoder
from embargo.models.scorers.score import score_articles
from embargo.models.tuning.tiny import pretrain_tiny
from embargo.models.tuning.tiny_lm import pretrain_tiny_lm
from embargo.research.config.experiment import Config
from embargo.research.config.model import ModelSection, PromptSection
from embargo.research.progress import Advance, Stages
from embargo.research.run.asking import endpoint_settings
from embargo.research.run.plan import Plan, base_of
from embargo.research.run.samples import Part, Samples
from embargo.research.run.world import content_of

if TYPE_CHECKING:
    from embargo.signals.fusion.model import FusionModel

SCORES = "scores.sqlite"
# Texts of a fold of which its reader is asked once more: readers of words cost nothing, and models take their time.
# Those that are paid for by the answer are asked of as few as show another model.
ASKED_AGAIN, ASKED_OF_MODELS, ASKED_OF_PAID = 2000, 32, 8
ANSWER_COLUMNS = (
    "article_id", "fold", *(f"kept_{name}" for name in (*CLASSES, "confidence")),
    *(f"again_{name}" for name in CLASSES), "apart_before",
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
    """

    models: dict[str, FittedModel] = field(default_factory=dict)
    fusions: dict[str, FusionModel] = field(default_factory=dict)
    scores: Path | None = None
    answers: Mapping[str, np.ndarray] = field(default_factory=dict)
    anew: list[FittedModel] = field(default_factory=list)

    def beside(self, scores: Path, answers: Mapping[str, np.ndarray]) -> Memory:
        """Return what another world may take from this run; what it adds stays its own."""
        return Memory(dict(self.models), dict(self.fusions), scores, answers)

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
        self.models[key] = replace(model, scorer=Recalled(model.scorer.identity, model.scorer.knowledge_cutoff))
        if self.scores is not None:
            self.anew.append(model)
        return model


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
    judged : DataFrame
        One row per labelled sample kept for measuring: ``article_id, label, fold``, calibrated ``bearish, neutral,
        bullish`` and the same before calibration as ``raw_bearish, raw_neutral, raw_bullish``.
    manifests : list of dict
        One per fold.
    fitted_on : DataFrame
        What each fold's model was really fitted on, as `embargo.models.FittedModel` says, and ``fold``; a fold whose
        model kept no record has no rows.
    answers : DataFrame
        What the readers answered, one row per test article: ``article_id, fold``, the calibrated probabilities and
        confidence as ``kept_*``, what they answer when asked again without a cache as ``again_*``, NaN where they were
        not asked, and as ``apart_before`` the largest difference of their logits, which no calibration bends, in
        standard deviations of the fold's. Empty of a reading that is not audited.
    """

    scored: pd.DataFrame
    judged: pd.DataFrame
    manifests: list[dict[str, Any]]
    fitted_on: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=[*RECORD_COLUMNS, "fold"]))
    answers: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=ANSWER_COLUMNS))


def given_base(model: ModelSection) -> Base | None:
    """Find the base model; None where none is needed, the built-in one is made from the news, or it is a series.

    Raises
    ------
    MissingPartError, ConfigError, LeakError
        If the base is not there, or its declared knowledge cutoff contradicts its documentation.
    """
    check_runtime(model.scorer)
    if model.prompt is not None:
        check_prompts(prompt_settings(model.prompt))
    if not model.on_base or model.base in BUILT_IN or _series(model) is not None:
        return None
    base = resolve_base(str(model.base), revision=model.revision, knowledge_cutoff=model.knowledge_cutoff)
    _check_use(model, base)
    return base


def _check_use(model: ModelSection, base: Base) -> None:
    """Refuse a base that the configured reader cannot start from."""
    if model.kind == "prompted":
        require_decoder(base)
    else:
        check_method(model.method, base, model.target)


def given_vintages(config: Config, folds: Sequence[Fold]) -> Vintages | None:
    """Find the vintages that the folds of a run need; None where its base is no series.

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
        config.model, {f"the training of fold {fold.index + 1} of {len(folds)}": fold.train_end for fold in trained}
    )


def vintages_before(model: ModelSection, endings: Mapping[str, pd.Timestamp]) -> Vintages | None:
    """Find the vintages that trainings need, by what they are called and when they end; None for no series."""
    named = _series(model) if model.on_base else None
    if named is None:
        return None
    vintages = open_vintages(named, endings)
    for base in vintages.bases:
        _check_use(model, base)
    return vintages


def _series(model: ModelSection) -> Mapping[str, str] | None:
    return series_of(model.base, revision=model.revision, knowledge_cutoff=model.knowledge_cutoff)


def with_base(plan: Plan, until: pd.Timestamp, cache: Path, stages: Stages) -> Plan:
    """Pretrain the built-in base, if the plan asks for it, on text known before ``until``.

    For folds that is the end of the first one's training window: older than every validation and test part.

    Returns
    -------
    Plan
        With the base that its models start from.

    Raises
    ------
    DataError
        If there is no such text.
    """
    config, news = plan.config, plan.world.news
    if plan.base is not None or not config.model.on_base:
        return plan
    corpus = news.loc[news["known_at"] < until].drop_duplicates("text")
    if corpus.empty:
        raise DataError(
            f"model.base = {config.model.base!r}: no text before the first split to pretrain on. Move split.first_test "
            "later."
        )
    pretrain = pretrain_tiny_lm if config.model.base == TINY_LM else pretrain_tiny
    base = pretrain(
        corpus["text"].tolist(),
        known_at=corpus["known_at"],
        knowledge_cutoff=corpus["known_at"].max(),
        seed=config.seed,
        cache_dir=cache,
        progress=stages.stage("Pretrain the built-in base"),
    )
    return replace(plan, base=base)


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
    scored, judged, manifests, fitted_on, answers = [], [], [], [], []
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
            scores = result.scores.set_index("article_id")
            scored.append(
                part.test_news.join(scores[[*CLASSES, "confidence", "model_id"]], on="article_id").assign(
                    fold=part.index
                )
            )
            before = raw.scores.set_index("article_id")[list(CLASSES)].add_prefix("raw_")
            judged.append(
                part.test[["article_id", "label"]]
                .join(scores[list(CLASSES)], on="article_id")
                .join(before, on="article_id")
                .assign(fold=part.index)
            )
            if model.fitted_on is not None:
                fitted_on.append(model.fitted_on.assign(fold=part.index))
            told: dict[str, Any] = {"fold": part.index, "n_cached": result.n_cached, "n_scored": result.n_scored}
            if isinstance(model.scorer, Paid):
                told["asked"] = paid_for(model.scorer, [*part.validation["text"], *tested["text"]], counted)
            manifests.append(model.manifest | told)
    reading = Reading(pd.concat(scored, ignore_index=True), _once(config, judged), manifests)
    if fitted_on:
        reading = replace(reading, fitted_on=pd.concat(fitted_on, ignore_index=True))
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
    if isinstance(model.scorer, Paid):
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
    return answers.join(told)[list(ANSWER_COLUMNS)]


def asked_again_of(config: Config, part: Samples, *, paid: bool) -> pd.DataFrame:
    """Draw the articles of a fold of which its reader is asked again: ``article_id, text``."""
    news = part.test_news[["article_id", "text"]].drop_duplicates("article_id")
    most = ASKED_OF_PAID if paid else ASKED_OF_MODELS if config.model.on_base else ASKED_AGAIN
    drawn = np.random.default_rng([config.seed, part.index]).permutation(len(news))[:most]
    return news.iloc[drawn]


def paid_for(scorer: Paid, texts: Sequence[str], counted: set[tuple[str, str]]) -> dict[str, Any]:
    """Add up what a fold's answers took, each in the first fold alone that needed it; ``counted`` learns which."""
    names = [*scorer.overhead, *(text_hash(text) for text in texts)]
    fresh = [name for name in dict.fromkeys(names) if (scorer.asked, name) not in counted]
    counted.update((scorer.asked, name) for name in fresh)
    return scorer.account(fresh)


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
    config = plan.config
    base = None if shared is None else shared.base
    given: dict[str, Any] = {
        "kind": config.model.kind,
        "train": part.train,
        "validation": part.validation,
        "trained_until": part.trained_until,
        "settings": model_settings(config.model, base, len(part.train), seed=config.seed),
        "calibration": config.model.calibration,
        "runtime": config.model.scorer,
    }
    if scorer_kind(config.model.kind).reads_background:
        given |= {"background": background_of(plan, part), "seed": config.seed}

    @functools.cache
    def fit() -> FittedModel:
        return fit_scorer(**given, base=base, cache_dir=cache, cache=store, progress=progress, shared=shared)

    return (memory or Memory()).fitted(fit, base=None if base is None else base.weights_hash, **given)


def background_of(plan: Plan, part: Samples) -> pd.DataFrame:
    """Return the news that were known when the training of a part ended, labelled or not.

    One labelled file trains one model for all folds, and the first of them is the earliest to be validated.
    """
    first = plan.parts[0] if plan.config.labels.source == "file" else part
    until = first.fold.train_end if isinstance(first, Part) else first.train["known_at"].max()
    news = plan.world.news
    return news.loc[news["known_at"] < until, ["article_id", "symbol", "text", "known_at"]]


def model_settings(model: ModelSection, base: Base | None, n_train: int, *, seed: int) -> object | None:
    """Return the settings of the configured kind of model; None for the lexicon, which has none.

    A learning rate that is not configured is the method's usual one for a base of that width.
    """
    if model.kind == "lexicon":
        return None
    if model.kind == "linear":
        return LinearSettings()
    if model.kind == "endpoint":
        return endpoint_settings(model)
    if model.kind == "prompted":
        assert model.prompt is not None
        return prompt_settings(model.prompt)
    assert base is not None
    rate = model.learning_rate
    return TuneSettings(
        method=model.method,
        target=model.target,
        rank=model.rank,
        alpha=model.alpha if model.alpha is not None else 2.0 * model.rank,
        dropout=model.dropout,
        learning_rate=rate if rate is not None else default_settings(model.method, n_train, base).learning_rate,
        epochs=model.epochs,
        batch_size=model.batch_size,
        patience=model.patience,
        weight_decay=model.weight_decay,
        max_length=model.max_length,
        class_weights=model.class_weights,
        optimizer=model.optimizer,
        seed=seed,
    )


def prompt_settings(prompt: PromptSection) -> PromptSettings:
    """Return the settings of prompts as the models take them."""
    return PromptSettings(**prompt.model_dump())


def probabilities(judged: pd.DataFrame, prefix: str = "") -> np.ndarray:
    """Class probabilities of judged samples, shape (n, 3), calibrated unless ``prefix`` is ``"raw_"``."""
    return np.asarray(judged[[prefix + name for name in CLASSES]], dtype=float)
