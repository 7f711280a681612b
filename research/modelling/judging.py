"""Judge a model on labelled texts that it has not seen: how often it is right, and whether its confidence is honest.

Texts that a model was tuned, stopped or calibrated on are found by their hashes, counted and left out. Every figure
comes with an interval, and beside it stands what costs nothing: the commonest class and a word list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.significance import PairedBelief, paired_belief
from embargo.data_loaders.errors import ConfigError, DataError, LeakError
from embargo.data_loaders.fields import CLASSES
from embargo.models.bundles.bundle import ModelReader
from embargo.models.calibration.fitting import Calibration
from embargo.models.calibration.measures import adaptive_calibration_error, brier_score, reliability_table
from embargo.models.calibration.significance import CalibrationTest, confidence_test
from embargo.models.content import text_hash
from embargo.models.evaluation.bias import Bias, measure_bias
from embargo.models.evaluation.classification import classification_report
from embargo.models.evaluation.comparison import compare_classifiers, losses
from embargo.models.evaluation.forgetting import Forgetting, measure_forgetting
from embargo.models.evaluation.robustness import Robustness, probe
from embargo.models.scorer import Progress
from embargo.models.scorers.cache import ScoreCache
from embargo.models.scorers.lexicon import LexiconScorer
from embargo.models.scorers.score import cached_logits

PROBED = 200
RESAMPLES = 1000
ECE_BINS = 15
SAME_LOSS = 0.01


@dataclass(frozen=True)
class Unseen:
    """Labelled samples without those that a model knows.

    Attributes
    ----------
    samples : DataFrame
        ``text, label, known_at``.
    counts : dict of str to int
        ``read``; ``training`` and ``validation``: left out as texts of these parts; ``judged``.
    unchecked : tuple of str
        Models whose training or validation texts are not known, so that nothing could be left out for them.
    """

    samples: pd.DataFrame
    counts: dict[str, int]
    unchecked: tuple[str, ...]


def unseen(readers: Sequence[ModelReader], samples: pd.DataFrame) -> Unseen:
    """Leave out the samples whose text is a training or validation text of any of the models.

    Raises
    ------
    LeakError
        If none is left.
    DataError
        If one is left, from which nothing can be said.
    """
    hashes = samples["text"].map(text_hash)
    trained, stopped = np.zeros(len(samples), dtype=bool), np.zeros(len(samples), dtype=bool)
    for reader in readers:
        trained |= hashes.isin(list(reader.train_text_hashes or ())).to_numpy()
        stopped |= hashes.isin(list(reader.validation_text_hashes or ())).to_numpy()
    kept = samples.loc[~(trained | stopped)].reset_index(drop=True)
    counts = {
        "read": len(samples),
        "training": int(trained.sum()),
        "validation": int((stopped & ~trained).sum()),
        "judged": len(kept),
    }
    if kept.empty:
        raise LeakError(
            f"all {len(samples)} labelled texts are texts that the model was tuned on ({counts['training']} training, "
            f"{counts['validation']} validation): nothing can be learnt from them about its quality. Give other texts."
        )
    if len(kept) == 1:
        raise DataError("one labelled text is left to judge the model on; at least two are needed. Give more texts.")
    blind = tuple(
        reader.name for reader in readers if reader.train_text_hashes is None or reader.validation_text_hashes is None
    )
    return Unseen(kept, counts, blind)


def report_of(
    logits: np.ndarray,
    labels: np.ndarray,
    calibration: Calibration,
    *,
    days: np.ndarray | None,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Any]:
    """Measure logits against labels, before and after calibration.

    Parameters
    ----------
    logits : ndarray, shape (n, 3)
    labels : ndarray of int, shape (n,)
    calibration : Calibration
    days : array, shape (n,), or None
        Day on which each text was known: texts of one day tell of the same events. None where nobody knows; then
        nothing can be tested, and intervals take texts for independent.
    seed : int
        Of the bootstrap.
    level : float
        Coverage of the intervals.

    Returns
    -------
    dict as `embargo.models.evaluation.classification.classification_report` of the calibrated probabilities, with
    ``level``, an ``_interval`` for each of ``ece, adaptive_ece, brier``, ``confidence_test`` (``z``, ``p_value``,
    two-sided), ``reliability`` (the bins that hold texts) and ``before``: the same calibration figures without
    calibration.
    """
    before, after = Calibration().apply(logits), calibration.apply(logits)
    table = reliability_table(after, labels, level=level, groups=days)
    return {
        **classification_report(after, labels, seed=seed, level=level, groups=days),
        **_calibration_of(after, labels, days, seed, level),
        "level": level,
        "reliability": table[table["count"] > 0].to_dict("records"),
        "before": _calibration_of(before, labels, days, seed, level),
    }


def _calibration_of(
    probs: np.ndarray, labels: np.ndarray, days: np.ndarray | None, seed: int, level: float
) -> dict[str, Any]:
    found = CalibrationTest(None, None) if days is None else confidence_test(probs, labels, groups=days)
    figures: dict[str, Any] = {"confidence_test": {"z": found.z, "p_value": found.p_value}}
    measures: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        "ece": _calibration_error,
        "adaptive_ece": adaptive_calibration_error,
        "brier": brier_score,
    }
    generator, n = np.random.default_rng(seed), len(labels)
    # One resample at a time, whatever the number of texts.
    drawn: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(RESAMPLES):
        rows = generator.integers(0, n, n)
        for name, measure in measures.items():
            drawn[name].append(measure(probs[rows], labels[rows]))
    predicted, confidence = probs.argmax(axis=1), probs.max(axis=1)
    honest: dict[str, list[float]] = {name: [] for name in measures if name != "brier"}
    for _ in range(RESAMPLES):
        one = np.where(generator.random(n) < confidence, predicted, (predicted + 1) % len(CLASSES))
        for name, found_in in honest.items():
            found_in.append(measures[name](probs, one))
    for name, measure in measures.items():
        value = measure(probs, labels)
        low, high = _pivotal(value, drawn[name], level)
        if name in honest and value <= np.quantile(honest[name], level):
            low = 0.0
        figures |= {name: value, f"{name}_interval": [low, high]}
    return figures


def _calibration_error(probs: np.ndarray, labels: np.ndarray) -> float:
    """Return `models.expected_calibration_error` without a table, as a thousand resamples need it."""
    confidence = probs.max(axis=1)
    place = np.clip(np.ceil(confidence * ECE_BINS).astype(np.int64) - 1, 0, ECE_BINS - 1)
    gaps = np.bincount(place, weights=confidence - (probs.argmax(axis=1) == labels))
    return float(np.abs(gaps).sum() / len(labels))


def _pivotal(value: float, drawn: Sequence[float], level: float) -> tuple[float, float]:
    """Return the pivotal bootstrap interval of a figure that is not negative, widened to hold the figure.

    Resampling adds noise, and noise alone makes a calibration error larger: percentiles never cover the error of a
    calibrated model. The pivotal interval takes the bias off (Davison & Hinkley 1997, "Bootstrap methods and their
    application", section 5.2). At the boundary that is not enough, so the interval of a calibration error begins at 0
    where labels drawn from the model's own confidence give as large a one (Broecker & Smith 2007, "Increasing the
    reliability of reliability diagrams").
    """
    tail = (1 - level) / 2 * 100
    low, high = np.percentile(drawn, [tail, 100 - tail]).tolist()
    return max(0.0, min(value, 2 * value - high)), max(value, 2 * value - low)


@dataclass(frozen=True)
class ModelJudgement:
    """What a model is worth on labelled texts.

    Attributes
    ----------
    name : str
    counts : dict of str to int
        As `Unseen`, and ``known_before``: judged texts known by the model's knowledge cutoff, None where either is not
        known.
    report : dict
        As `report_of`.
    baselines : dict of str to dict
        ``accuracy, macro_f1, weighted_f1`` of ``majority`` and ``lexicon``, with ``accuracy_ahead`` and
        ``macro_f1_ahead``: by how much the model is better, ``estimate, low, high, p_value`` (paired bootstrap).
    against : DataFrame or None
        As `embargo.models.evaluation.comparison.compare_classifiers`, where there is another model.
    belief : PairedBelief or None
        Of the other model's log loss less this one's, in nats a text: positive where this one is better. Differences
        within `SAME_LOSS` count as none.
    robustness : Robustness or None
    forgotten : Forgetting or None
    bias : Bias or None
    notes : tuple of str
        What the reader of the figures must know.
    """

    name: str
    counts: dict[str, int | None]
    report: dict[str, Any]
    baselines: dict[str, dict[str, Any]]
    against: pd.DataFrame | None
    belief: PairedBelief | None
    robustness: Robustness | None
    forgotten: Forgetting | None
    bias: Bias | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        return {
            "model": self.name,
            "counts": self.counts,
            "report": self.report,
            "baselines": self.baselines,
            "against": None if self.against is None else self.against.to_dict("records"),
            "belief": None if self.belief is None else self.belief.as_dict(),
            "robustness": None if self.robustness is None else self.robustness.table.reset_index().to_dict("records"),
            "forgetting": None if self.forgotten is None else self.forgotten.to_dict(),
            "bias": None if self.bias is None else self.bias.to_dict(),
            "notes": list(self.notes),
        }


def judge(
    reader: ModelReader,
    samples: pd.DataFrame,
    *,
    dated: bool,
    other: ModelReader | None = None,
    robustness: bool = False,
    forgotten: bool = False,
    bias: bool = False,
    cache: ScoreCache,
    seed: int = 0,
    level: float = 0.95,
    progress: Progress | None = None,
) -> ModelJudgement:
    """Judge a model, and another beside it, on the samples that neither has seen.

    Parameters
    ----------
    reader : ModelReader
    samples : DataFrame
        ``text, label, known_at``.
    dated : bool
        Whether ``known_at`` is the time of each text; otherwise nobody can tell which the model may have read.
    other : ModelReader, optional
    robustness : bool
        Also change up to `PROBED` of the texts and see what moves.
    forgotten : bool
        Also measure what tuning cost of plain language, on built-in general text.
    bias : bool
        Also read the same sentences about other companies and officers, and see whether scores move with them.
    cache : ScoreCache
    seed : int
        Of bootstraps and changes.
    level : float
        Coverage of the intervals.
    progress : callable, optional
        Called with (texts scored, texts in all).

    Raises
    ------
    LeakError
        If every text is one that a model was tuned on.
    ConfigError
        If forgetting is asked of what has no base to be compared with.
    """
    if forgotten and (reader.base is None or reader.adapter is None):
        raise ConfigError(f"{reader.name}: --forgetting compares a tuned model with its base, and this has none.")
    fresh = unseen([reader] if other is None else [reader, other], samples)
    texts, labels = fresh.samples["text"].tolist(), fresh.samples["label"].to_numpy(dtype=np.int64)
    logits = cached_logits(reader.scorer, texts, cache=cache, progress=progress).logits
    report = report_of(logits, labels, reader.calibration, days=days_of(fresh.samples, dated), seed=seed, level=level)
    probs = reader.calibration.apply(logits)
    against = belief = None
    if other is not None:
        second = other.calibration.apply(cached_logits(other.scorer, texts, cache=cache).logits)
        names = (reader.name, other.name if other.name != reader.name else f"{other.name} (other)")
        against = compare_classifiers(dict(zip(names, (probs, second), strict=True)), labels, seed=seed, level=level)
        belief = paired_belief(losses(second, labels) - losses(probs, labels), rope=SAME_LOSS, level=level)
    probed = None
    if robustness:
        chosen = np.sort(np.random.default_rng(seed).permutation(len(texts))[:PROBED])
        probed = probe(
            reader.scorer, [texts[row] for row in chosen], calibration=reader.calibration, seed=seed, level=level
        )
    forgot = None
    if forgotten and reader.base is not None and reader.adapter is not None:
        forgot = measure_forgetting(reader.base, reader.adapter, seed=seed, level=level)
    swapped = None
    if bias:
        swapped = measure_bias(reader.scorer, calibration=reader.calibration, level=level, cache=cache)
    before = _known_before(reader, fresh.samples, dated)
    return ModelJudgement(
        name=reader.name,
        counts={**fresh.counts, "known_before": before},
        report=report,
        baselines=_baselines(probs, texts, labels, seed, level),
        against=against,
        belief=belief,
        robustness=probed,
        forgotten=forgot,
        bias=swapped,
        notes=tuple(_notes(reader, other, fresh, dated)),
    )


def days_of(samples: pd.DataFrame, dated: bool) -> np.ndarray | None:
    """Return the day (UTC) on which each text was known, shape (n,); None where nobody knows or all are of one day."""
    days = samples["known_at"].dt.strftime("%Y-%m-%d").to_numpy(dtype=object) if dated else np.empty(0)
    return days if len(set(days)) > 1 else None


def _known_before(reader: ModelReader, samples: pd.DataFrame, dated: bool) -> int | None:
    if not dated or reader.knowledge_cutoff is None:
        return None
    return int((samples["known_at"] <= reader.knowledge_cutoff).sum())


def _notes(reader: ModelReader, other: ModelReader | None, fresh: Unseen, dated: bool) -> list[str]:
    counts, notes = fresh.counts, []
    left = counts["training"] + counts["validation"]
    if left:
        notes.append(
            f"Leak: {left:,} of {counts['read']:,} texts were left out, {counts['training']:,} that were trained on "
            f"and {counts['validation']:,} that were validated on."
        )
    if fresh.unchecked:
        notes.append(
            f"Which texts {' and '.join(fresh.unchecked)} was calibrated or trained on is not recorded in full: some "
            "of these may be among them."
        )
    if not dated:
        notes.append(
            "The texts are undated: whether the base has read them cannot be told, nor which are of one day and depend "
            "on each other, so that confidence is not tested (--published-at COLUMN)."
        )
    notes += _of_its_past(reader, "the model", fresh.samples, dated)
    return notes if other is None else notes + _of_its_past(other, other.name, fresh.samples, dated)


def _of_its_past(reader: ModelReader, name: str, samples: pd.DataFrame, dated: bool) -> list[str]:
    notes, before = [], _known_before(reader, samples, dated)
    if dated and reader.knowledge_cutoff is None:
        notes.append(f"The knowledge cutoff of {name} is unknown: it may have read any of these texts.")
    elif before:
        notes.append(
            f"{before:,} of {len(samples):,} texts were known by the knowledge cutoff of {name} "
            f"({reader.knowledge_cutoff:%Y-%m-%d}): it may have read them."
        )
    if reader.exposures:
        sets = ", ".join(reader.exposures)
        notes.append(f"The base of {name} was tuned on {sets} by its publisher: never judge it on these.")
    return notes


def _baselines(
    probs: np.ndarray, texts: Sequence[str], labels: np.ndarray, seed: int, level: float
) -> dict[str, dict[str, Any]]:
    shares = np.bincount(labels, minlength=len(CLASSES)) / len(labels)
    rivals = {
        "majority": np.tile(shares, (len(labels), 1)),
        "lexicon": Calibration().apply(LexiconScorer().logits(texts)),
    }
    table = compare_classifiers({"model": probs, **rivals}, labels, seed=seed, level=level)
    ahead = table[(table["a"] == "model") & (table["test"] == "paired bootstrap")]
    found: dict[str, dict[str, Any]] = {}
    for name, theirs in rivals.items():
        report = classification_report(theirs, labels, resamples=1)
        found[name] = {key: report[key] for key in ("accuracy", "macro_f1", "weighted_f1")}
        rows = ahead[ahead["b"] == name].iterrows()
        for key, (_, row) in zip(("accuracy", "macro_f1"), rows, strict=True):
            found[name][f"{key}_ahead"] = {one: float(row[one]) for one in ("estimate", "low", "high", "p_value")}
    return found
