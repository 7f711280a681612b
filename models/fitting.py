"""Fit one scorer of any kind on a training part, calibrate it on the validation part, and say what it knows.

This is the one door through which the pipeline makes models: whatever the kind, the result is a scorer, a calibration
and a manifest with the latest instant that any of it could know.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError, LeakError
from embargo.data_loaders.own_code import READERS, is_reference, registered_under
from embargo.data_loaders.schemas import as_utc
from embargo.data_loaders.threads import one_thread
from embargo.models.bases.resolve import Base
from embargo.models.calibration.fitting import Calibration, check_calibration, fit_calibration
from embargo.models.calibration.measures import expected_calibration_error, reliability_table
from embargo.models.content import text_hash, texts_fingerprint
from embargo.models.evaluation.classification import classification_report
from embargo.models.export.choice import RuntimeChoice, choose_runtime
from embargo.models.export.onnx import check_runtime, runtime_scorer
from embargo.models.loading import processes
from embargo.models.loading.shared import SharedBase
from embargo.models.methods.settings import TuneSettings
from embargo.models.record import dated_record, samples_read
from embargo.models.samples import check_labels
from embargo.models.scorer import ByArticle, CalibrationMethod, Progress, Runtime, Scorer, later_cutoff
from embargo.models.scorers.cache import ScoreCache
from embargo.models.scorers.distilled import DISTILLED
from embargo.models.scorers.endpoint import ENDPOINT
from embargo.models.scorers.given import SCORES
from embargo.models.scorers.kind import Fit, FitRequest, ScorerKind
from embargo.models.scorers.lexicon import LEXICON
from embargo.models.scorers.linear_kept import LINEAR
from embargo.models.scorers.majority import MAJORITY
from embargo.models.scorers.own import files_told, own_kind
from embargo.models.scorers.prompted import PROMPTED
from embargo.models.scorers.score import cached_logits, model_id
from embargo.models.scorers.transformer import TRANSFORMER

KINDS: Mapping[str, ScorerKind] = MappingProxyType(
    {
        "distilled": DISTILLED,
        "endpoint": ENDPOINT,
        "lexicon": LEXICON,
        "linear": LINEAR,
        "majority": MAJORITY,
        "prompted": PROMPTED,
        "scores": SCORES,
        "transformer": TRANSFORMER,
    }
)


@dataclass(frozen=True)
class FittedModel:
    """A scorer ready to use, with what is known about it.

    Attributes
    ----------
    scorer : Scorer
    calibration : Calibration
        Fitted on the validation part.
    manifest : dict, JSON-able
        See `fit_scorer`.
    train_text_hashes : tuple of str
        sha256 of each distinct training text, sorted; empty for the lexicon, which is not trained.
    fitted_on : DataFrame or None
        Every sample that reached an optimiser, a stopping rule or the calibration, with the instants of those that were
        handed over: ``use, text_hash, label, known_at, ends_at``. None where the fit kept no record.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from embargo.models import fit_scorer
    >>> held_out = pd.DataFrame({"text": ["Losses.", "Strong profit."], "label": [0, 2]})
    >>> model = fit_scorer(
    ...     "lexicon", train=held_out, validation=held_out, trained_until=None, cache_dir=Path("cache")
    ... )
    >>> model.manifest["n_train"], model.train_text_hashes
    (0, ())
    """

    scorer: Scorer
    calibration: Calibration
    manifest: dict[str, Any]
    train_text_hashes: tuple[str, ...]
    fitted_on: pd.DataFrame | None = None


def scorer_kind(name: str, *, allow: Collection[str] = ()) -> ScorerKind:
    """Find a kind of scorer by its name, or one of the user's own; see `embargo.models.scorers.own.own_kind`.

    Raises
    ------
    ConfigError
        If there is none of that name, or code of one's own was not allowed.
    MissingPartError
        If its module is not there, or cannot be imported.

    Examples
    --------
    >>> from embargo.models.fitting import scorer_kind
    >>> scorer_kind("lexicon").needs_base
    False
    """
    if name in KINDS:
        return KINDS[name]
    if not is_reference(name) and name not in (registered := registered_under(READERS)):
        raise ConfigError(f"model kind {name!r} is unknown. Choose one of {sorted([*KINDS, *registered])}.")
    return own_kind(name, allow=allow)


@one_thread()
def fit_scorer(
    kind: str,
    *,
    train: pd.DataFrame,
    validation: pd.DataFrame,
    trained_until: pd.Timestamp | None,
    base: Base | None = None,
    settings: object | None = None,
    calibration: CalibrationMethod = "temperature",
    cache_dir: Path,
    cache: ScoreCache | None = None,
    progress: Progress | None = None,
    shared: SharedBase | None = None,
    runtime: Runtime = "torch",
    background: pd.DataFrame | None = None,
    seed: int = 0,
    allow: Collection[str] = (),
    teacher: FittedModel | None = None,
) -> FittedModel:
    """Fit and calibrate a scorer.

    Parameters
    ----------
    kind : str
        A key of `KINDS`, or ``"package.module:name"`` of the user's own.
    train, validation : DataFrame
        Samples with ``text`` and ``label`` (0 bearish, 1 neutral, 2 bullish), and ``article_id`` where scores go by it;
        where ``known_at`` or ``ends_at`` are there, none may lie after ``trained_until``. The lexicon ignores
        ``train``, which may then be empty.
    trained_until : Timestamp or None
        Latest instant at which any of these samples was known or its label complete, UTC; None for undated samples,
        which makes the knowledge cutoff unknown.
    base : Base, optional
        Needed for ``transformer`` and ``prompted``, refused for the others.
    settings : object, optional
        Of the kind's own type; none for the lexicon, and a mapping for a reader of the user's own.
    calibration : {"temperature", "vector", "isotonic"}
        Fitted on the validation part; see `calibration.fit_calibration`.
    cache_dir : Path
        For adapters.
    cache : ScoreCache, optional
        For the logits of the validation part.
    progress : callable, optional
        Called with (tuning steps done, steps in all).
    shared : SharedBase, optional
        Holds the base in memory for several fits; by default its weights are read once for this one.
    runtime : {"torch", "onnx", "onnx-int8", "auto"}
        What a tuned transformer is scored with; see `export.runtime_scorer`. ``auto`` is torch or ONNX in fp32, by the
        base and the number of samples; see `export.choice.choose_runtime`.
    background : DataFrame, optional
        What was known by ``trained_until`` beyond the samples, for kinds that read it: ``article_id, symbol, text,
        known_at``.
    seed : int
        Of kinds that draw and have no seed among their settings.
    allow : collection of str
        Readers of the user's own that may be imported.
    teacher : FittedModel, optional
        Needed for ``distilled``, refused for the others: fitted on the same parts.

    Returns
    -------
    FittedModel whose manifest has ``kind, base, base_weights_hash, base_knowledge_cutoff, cutoff_source, exposures,
    trained_until, knowledge_cutoff`` (ISO, the latest of base and samples; None if unknown), ``n_train, n_validation,
    train_text_hashes_fingerprint, settings, epochs`` (losses of each pass), ``best_epoch, calibration`` (method and
    parameters), ``temperature`` (None with another method), ``ece_before, ece_after, reliability_before,
    reliability_after`` (the bins of `calibration.reliability_table` that hold samples; after is in-sample, the
    calibration was fitted on them), ``validation_accuracy, validation_macro_f1, adapter, scorer_identity, model_id,
    fitted_state`` (sha256 over what was learnt) and, where the base brings a head of three classes, ``head``: its
    ``labels`` and what tuning made its ``start``. Of ``auto``, ``runtime`` holds the ``name`` of what scores and
    ``why``. Of a reader of the user's own ``files_read`` names files that its code opened by itself, if any.

    Raises
    ------
    ConfigError
        If base, settings or runtime do not fit the kind.
    MissingPartError
        If the runtime needs a package that is not installed.
    DataError
        If a part is empty or has unusable labels, or the validation part is too small for the calibration.
    LeakError
        If a sample lies after ``trained_until``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from embargo.models import fit_scorer
    >>> train = pd.DataFrame({"text": ["profit rose", "profit fell", "annual report"] * 4, "label": [2, 0, 1] * 4})
    >>> held_out = pd.DataFrame({"text": ["sales rose", "sales fell"], "label": [2, 0]})
    >>> until = pd.Timestamp("2016-01-01", tz="UTC")
    >>> with tempfile.TemporaryDirectory() as cache:
    ...     model = fit_scorer(
    ...         "linear", train=train, validation=held_out, trained_until=until, cache_dir=Path(cache)
    ...     )
    >>> model.manifest["validation_accuracy"], model.manifest["knowledge_cutoff"]
    (1.0, '2016-01-01T00:00:00+00:00')
    """
    wanted = scorer_kind(kind, allow=allow)
    _check_arguments(kind, wanted, base, settings, runtime)
    _check_teacher(kind, wanted, teacher)
    for name, part in (("training", train), ("validation", validation)):
        _check_part(part, trained_until, what=f"{name} samples")
    if background is not None:
        _refuse_late(background, trained_until, ("known_at",), what="background")
    validation_texts = validation["text"].tolist()
    labels = check_labels(validation_texts, validation["label"].tolist(), what="validation samples")
    check_calibration(calibration, labels)
    if base is not None:
        check_runtime(runtime, base, settings.method if isinstance(settings, TuneSettings) else TuneSettings().method)
    request = FitRequest(
        train_texts=train["text"].tolist(),
        train_labels=train["label"].tolist(),
        validation_texts=validation_texts,
        validation_labels=labels.tolist(),
        trained_until=trained_until,
        settings=settings,
        cache_dir=cache_dir,
        base=base,
        shared=shared,
        progress=progress,
        train=train,
        validation=validation,
        background=background,
        cache=cache,
        seed=seed,
        teacher=teacher,
    )
    fitted = wanted.fit(request)
    choice = _choice(fitted, request) if runtime == "auto" else None
    scorer = _scorer(fitted, request, runtime if choice is None else choice.name)
    articles = validation["article_id"].astype(str).tolist() if "article_id" in validation else None
    # Of several processes one writes to the cache.
    kept = cache if processes.is_main() else None
    logits = cached_logits(scorer, validation_texts, articles=articles, cache=kept).logits
    n_unscored = 0
    if isinstance(scorer, ByArticle):
        logits, labels, validation_texts = _scored(logits, labels, validation_texts, calibration)
        n_unscored = len(validation) - len(labels)
    calibrated = fit_calibration(calibration, logits, labels)
    calibrated_on = samples_read("calibration", validation_texts, labels)
    record = (
        None if fitted.read is None else dated_record([*fitted.read, *calibrated_on], train, validation, background)
    )
    before, after = Calibration().apply(logits), calibrated.apply(logits)
    judged = classification_report(after, labels, resamples=1)
    manifest: dict[str, Any] = {
        "kind": kind,
        "base": fitted.pretrained if base is None else base.name,
        "base_weights_hash": None if base is None else base.weights_hash,
        "base_knowledge_cutoff": _iso(fitted.base_knowledge_cutoff),
        "exposures": [] if base is None else list(base.exposures),
        "trained_until": _iso(trained_until),
        # The calibration is fitted on the validation part, so even the lexicon knows what that part knew.
        "knowledge_cutoff": _iso(later_cutoff(scorer.knowledge_cutoff, trained_until)),
        "n_train": len(fitted.trained_on),
        "n_validation": len(validation_texts),
        "train_text_hashes_fingerprint": texts_fingerprint(fitted.trained_on),
        "calibration": calibrated.to_dict(),
        "temperature": calibrated.temperature if calibration == "temperature" else None,
        "ece_before": expected_calibration_error(before, labels),
        "ece_after": judged["ece"],
        "reliability_before": _reliability(before, labels),
        "reliability_after": _reliability(after, labels),
        "validation_accuracy": judged["accuracy"],
        "validation_macro_f1": judged["macro_f1"],
        "scorer_identity": scorer.identity,
        "fitted_state": fitted.state or scorer.identity,
        "model_id": model_id(scorer, calibrated),
        "settings": dict(fitted.settings),
        "epochs": list(fitted.epochs),
        "best_epoch": fitted.best_epoch,
        "adapter": None if fitted.adapter is None else fitted.adapter.path.name,
        "cutoff_source": fitted.cutoff_source,
    }
    if n_unscored:
        manifest["n_validation_unscored"] = n_unscored
    if fitted.code is not None:
        manifest["code"] = dict(fitted.code)
    manifest |= files_told(scorer)
    if choice is not None:
        manifest["runtime"] = choice.to_dict()
    if fitted.head is not None:
        manifest["head"] = dict(fitted.head)
    hashes = tuple(sorted({text_hash(text) for text in fitted.trained_on}))
    return FittedModel(
        scorer=scorer, calibration=calibrated, manifest=manifest, train_text_hashes=hashes, fitted_on=record
    )


def _scored(
    logits: np.ndarray, labels: np.ndarray, texts: Sequence[str], calibration: CalibrationMethod
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Leave out the samples that have no score: they calibrate nothing."""
    there = ~np.isnan(logits).any(axis=1)
    if not there.any():
        raise DataError(
            f"none of {len(labels)} validation samples has a score, so nothing can be calibrated. Score these "
            "articles too, or choose a validation part that is scored."
        )
    check_calibration(calibration, labels[there])
    return logits[there], labels[there], [text for text, known in zip(texts, there, strict=True) if known]


def _reliability(probs: np.ndarray, labels: np.ndarray) -> list[dict[str, float]]:
    table = reliability_table(probs, labels)
    return [{str(name): value for name, value in row.items()} for row in table[table["count"] > 0].to_dict("records")]


def _choice(fitted: Fit, request: FitRequest) -> RuntimeChoice:
    if fitted.adapter is None or request.base is None:
        return RuntimeChoice("torch", "nothing was tuned")
    settings = fitted.adapter.manifest["settings"]
    n_texts = len(request.train_texts) + len(request.validation_texts)
    return choose_runtime(request.base, settings["method"], settings["compute"], n_texts)


def _scorer(fitted: Fit, request: FitRequest, runtime: Runtime) -> Scorer:
    if runtime == "torch" or fitted.adapter is None or request.base is None:
        return fitted.scorer
    return runtime_scorer(
        runtime, request.base, fitted.adapter, training_texts=fitted.trained_on, cache_dir=request.cache_dir
    )


def _check_teacher(kind: str, wanted: ScorerKind, teacher: FittedModel | None) -> None:
    if wanted.needs_teacher != (teacher is not None):
        raise ConfigError(
            f"model kind {kind!r} {'needs a teacher' if teacher is None else 'takes no teacher'}. Give 'teacher' with "
            "'distilled' and only there."
        )


def _check_arguments(
    kind: str, wanted: ScorerKind, base: Base | None, settings: object | None, runtime: Runtime
) -> None:
    if wanted.needs_base is not None and wanted.needs_base != (base is not None):
        on_bases = " and ".join(repr(name) for name, known in KINDS.items() if known.needs_base)
        raise ConfigError(
            f"model kind {kind!r} {'needs a base model' if base is None else 'takes no base model'}. "
            f"Give 'base' with {on_bases} and only there."
        )
    if settings is not None and (wanted.settings is None or not isinstance(settings, wanted.settings)):
        raise ConfigError(f"model kind {kind!r} does not take {type(settings).__name__}.")
    if not wanted.needs_base and runtime != "torch":
        raise ConfigError(f"model kind {kind!r} is not scored with {runtime!r}, for transformers. Leave it out.")


def _check_part(part: pd.DataFrame, trained_until: pd.Timestamp | None, *, what: str) -> None:
    missing = [name for name in ("text", "label") if name not in part.columns]
    if missing:
        raise DataError(f"{what}: columns {missing} are missing; there are {list(part.columns)}.")
    _refuse_late(part, trained_until, ("known_at", "ends_at"), what=what)


def _refuse_late(part: pd.DataFrame, trained_until: pd.Timestamp | None, columns: Sequence[str], *, what: str) -> None:
    for name in columns:
        if name not in part.columns:
            continue
        # Where nobody says when training ended there may be samples without an instant, but none in a zone unsaid.
        stamps = part[name] if trained_until is not None else part[name].dropna()
        if stamps.empty:
            continue
        instants = as_utc(stamps, what=f"{what}, column {name}")
        if trained_until is not None and (instants > trained_until).any():
            raise LeakError(
                f"{what}: {int((instants > trained_until).sum())} rows have {name} after trained_until {trained_until} "
                f"(latest {instants.max()}). Purge them, or state the true end of what the model saw."
            )


def _iso(instant: pd.Timestamp | None) -> str | None:
    return None if instant is None else instant.isoformat()
