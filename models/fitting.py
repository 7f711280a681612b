"""Fit one scorer of any kind on a training part, calibrate it on the validation part, and say what it knows.

This is the one door through which the pipeline makes models: whatever the kind, the result is a scorer, a calibration
and a manifest with the latest instant that any of it could know.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError, LeakError
from embargo.data_loaders.schemas import as_utc
from embargo.models.bases.resolve import Base
from embargo.models.calibration import (
    Calibration,
    Method,
    check_calibration,
    expected_calibration_error,
    fit_calibration,
    reliability_table,
)
from embargo.models.content import text_hash, texts_fingerprint
from embargo.models.evaluation.classification import classification_report
from embargo.models.export.onnx import check_runtime, runtime_scorer
from embargo.models.loading import processes
from embargo.models.loading.shared import SharedBase
from embargo.models.scorers.cache import ScoreCache
from embargo.models.scorers.lexicon import LexiconScorer
from embargo.models.scorers.linear import LinearSettings, fit_linear
from embargo.models.scorers.score import Runtime, Scorer, cached_logits, model_id
from embargo.models.scorers.transformer import TransformerScorer, later_cutoff
from embargo.models.tuning.loop import Progress
from embargo.models.tuning.tune import TuneSettings, check_labels, tune

ModelKind = Literal["lexicon", "linear", "transformer"]


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
    """

    scorer: Scorer
    calibration: Calibration
    manifest: dict[str, Any]
    train_text_hashes: tuple[str, ...]


def fit_scorer(
    kind: ModelKind,
    *,
    train: pd.DataFrame,
    validation: pd.DataFrame,
    trained_until: pd.Timestamp | None,
    base: Base | None = None,
    settings: TuneSettings | LinearSettings | None = None,
    calibration: Method = "temperature",
    cache_dir: Path,
    cache: ScoreCache | None = None,
    progress: Progress | None = None,
    shared: SharedBase | None = None,
    runtime: Runtime = "torch",
) -> FittedModel:
    """Fit and calibrate a scorer.

    Parameters
    ----------
    kind : {"lexicon", "linear", "transformer"}
    train, validation : DataFrame
        Samples with ``text`` and ``label`` (0 bearish, 1 neutral, 2 bullish); where ``known_at`` or ``ends_at`` are
        there, none may lie after ``trained_until``. The lexicon ignores ``train``, which may then be empty.
    trained_until : Timestamp or None
        Latest instant at which any of these samples was known or its label complete, UTC; None for undated samples,
        which makes the knowledge cutoff unknown.
    base : Base, optional
        Needed for ``transformer``, refused for the others.
    settings : TuneSettings or LinearSettings, optional
        Of the kind's own type; none for the lexicon.
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
    runtime : {"torch", "onnx", "onnx-int8"}
        What a tuned transformer is scored with; see `export.runtime_scorer`.

    Returns
    -------
    FittedModel whose manifest has ``kind, base, base_weights_hash, base_knowledge_cutoff, cutoff_source, exposures,
    trained_until, knowledge_cutoff`` (ISO, the latest of base and samples; None if unknown), ``n_train, n_validation,
    train_text_hashes_fingerprint, settings, epochs`` (losses of each pass), ``best_epoch, calibration`` (method and
    parameters), ``temperature`` (None with another method), ``ece_before, ece_after, reliability_before,
    reliability_after`` (the bins of `calibration.reliability_table` that hold samples; after is in-sample, the
    calibration was fitted on them), ``validation_accuracy, validation_macro_f1, adapter, scorer_identity, model_id``.

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
    """
    _check_arguments(kind, base, settings, runtime)
    for name, part in (("training", train), ("validation", validation)):
        _check_part(part, trained_until, what=f"{name} samples")
    texts = train["text"].tolist()
    validation_texts = validation["text"].tolist()
    labels = check_labels(validation_texts, validation["label"].tolist(), what="validation samples")
    check_calibration(calibration, labels)
    details: dict[str, Any] = {"settings": {}, "epochs": [], "best_epoch": None, "adapter": None}
    scorer: Scorer
    if kind == "lexicon":
        lexicon = LexiconScorer()
        scorer, texts = lexicon, []
        details |= {"base_knowledge_cutoff": _iso(lexicon.knowledge_cutoff), "cutoff_source": lexicon.source}
    elif kind == "linear":
        chosen = settings if isinstance(settings, LinearSettings) else LinearSettings()
        scorer = fit_linear(texts, train["label"].tolist(), chosen, trained_until=trained_until)
        details |= {"settings": asdict(chosen), "cutoff_source": "fitted on the training samples alone"}
    else:
        assert base is not None
        tuned_by = settings if isinstance(settings, TuneSettings) else TuneSettings()
        check_runtime(runtime, base, tuned_by.method)
        shared = SharedBase(base) if shared is None else shared
        adapter = tune(
            base,
            train_texts=texts,
            train_labels=train["label"].tolist(),
            validation_texts=validation_texts,
            validation_labels=labels.tolist(),
            settings=tuned_by,
            trained_until=trained_until,
            cache_dir=cache_dir,
            progress=progress,
            shared=shared,
        )
        if runtime == "torch":
            scorer = TransformerScorer(base, adapter, shared=shared)
        else:
            scorer = runtime_scorer(runtime, base, adapter, training_texts=texts, cache_dir=cache_dir)
        details |= {name: adapter.manifest[name] for name in ("settings", "epochs", "best_epoch")}
        details |= {"adapter": adapter.path.name, "base_knowledge_cutoff": _iso(base.knowledge_cutoff)}
        details |= {"cutoff_source": base.source}
    # Of several processes one writes to the cache.
    logits = cached_logits(scorer, validation_texts, cache=cache if processes.is_main() else None).logits
    calibrated = fit_calibration(calibration, logits, labels)
    before, after = Calibration().apply(logits), calibrated.apply(logits)
    judged = classification_report(after, labels, resamples=1)
    manifest: dict[str, Any] = {
        "kind": kind,
        "base": None if base is None else base.name,
        "base_weights_hash": None if base is None else base.weights_hash,
        "base_knowledge_cutoff": None,
        "exposures": [] if base is None else list(base.exposures),
        "trained_until": _iso(trained_until),
        # The calibration is fitted on the validation part, so even the lexicon knows what that part knew.
        "knowledge_cutoff": _iso(later_cutoff(scorer.knowledge_cutoff, trained_until)),
        "n_train": len(texts),
        "n_validation": len(validation_texts),
        "train_text_hashes_fingerprint": texts_fingerprint(texts),
        "calibration": calibrated.to_dict(),
        "temperature": calibrated.temperature if calibration == "temperature" else None,
        "ece_before": expected_calibration_error(before, labels),
        "ece_after": judged["ece"],
        "reliability_before": _reliability(before, labels),
        "reliability_after": _reliability(after, labels),
        "validation_accuracy": judged["accuracy"],
        "validation_macro_f1": judged["macro_f1"],
        "scorer_identity": scorer.identity,
        "model_id": model_id(scorer, calibrated),
        **details,
    }
    hashes = tuple(sorted({text_hash(text) for text in texts}))
    return FittedModel(scorer=scorer, calibration=calibrated, manifest=manifest, train_text_hashes=hashes)


def _reliability(probs: np.ndarray, labels: np.ndarray) -> list[dict[str, float]]:
    table = reliability_table(probs, labels)
    rows: list[dict[str, float]] = table[table["count"] > 0].to_dict("records")
    return rows


def _check_arguments(
    kind: str, base: Base | None, settings: TuneSettings | LinearSettings | None, runtime: Runtime
) -> None:
    wanted = {"lexicon": type(None), "linear": LinearSettings, "transformer": TuneSettings}
    if kind not in wanted:
        raise ConfigError(f"model kind {kind!r} is unknown. Choose one of {sorted(wanted)}.")
    if (kind == "transformer") != (base is not None):
        raise ConfigError(
            f"model kind {kind!r} {'needs a base model' if base is None else 'takes no base model'}. "
            "Give 'base' with 'transformer' and only there."
        )
    if settings is not None and not isinstance(settings, wanted[kind]):
        raise ConfigError(f"model kind {kind!r} does not take {type(settings).__name__}.")
    if kind != "transformer" and runtime != "torch":
        raise ConfigError(f"model kind {kind!r} is not scored with {runtime!r}, for transformers. Leave it out.")


def _check_part(part: pd.DataFrame, trained_until: pd.Timestamp | None, *, what: str) -> None:
    missing = [name for name in ("text", "label") if name not in part.columns]
    if missing:
        raise DataError(f"{what}: columns {missing} are missing; there are {list(part.columns)}.")
    for name in ("known_at", "ends_at"):
        if name not in part.columns or part.empty or trained_until is None:
            continue
        instants = as_utc(part[name], what=f"{what}, column {name}")
        if (instants > trained_until).any():
            raise LeakError(
                f"{what}: {int((instants > trained_until).sum())} rows have {name} after trained_until {trained_until} "
                f"(latest {instants.max()}). Purge them, or state the true end of what the model saw."
            )


def _iso(instant: pd.Timestamp | None) -> str | None:
    return None if instant is None else instant.isoformat()
