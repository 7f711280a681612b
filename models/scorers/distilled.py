"""A student that learns from a teacher's probabilities: any fitted reader answers once, and a cheap one learns from it.

The teacher is asked about texts that were known before the training ended, labelled or not, and never about one that is
validated on. Texts that the teacher was itself fitted on are asked about too, and counted: its answers to them are
in-sample. What the student knows is what it and its teacher know, and whatever either of them read is written down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.content import text_hash
from embargo.models.loading import processes
from embargo.models.methods.settings import TuneSettings
from embargo.models.record import SampleRead
from embargo.models.samples import check_labels
from embargo.models.scorer import Paid, Scorer, later_cutoff
from embargo.models.scorers.kind import Fit, FitRequest, ScorerKind, Teacher
from embargo.models.scorers.linear import LinearSettings, fit_linear_to
from embargo.models.scorers.own import files_told
from embargo.models.scorers.score import cached_logits
from embargo.models.scorers.transformer import TransformerScorer
from embargo.models.tuning.adapters import tune

Student = Literal["linear", "transformer"]


@dataclass(frozen=True)
class DistilledSettings:
    """How a student learns.

    Attributes
    ----------
    student : {"linear", "transformer"}
    settings : LinearSettings, TuneSettings or None
        The student's own; None for its defaults. Class weights do not apply: the teacher's probabilities are learnt.
    max_texts : int, optional
        Most texts that the teacher is asked about, the newest first; by default all.
    temperature : float
        By which the logarithms of the teacher's probabilities and the student's logits are divided while it learns
        (Hinton, Vinyals and Dean 2015, arXiv 1503.02531): above 1, what the teacher thinks of the classes it does not
        choose counts more.

    Examples
    --------
    >>> from embargo.models.scorers import DistilledSettings
    >>> DistilledSettings().student
    'linear'
    >>> DistilledSettings(temperature=0.0)
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: distill: temperature must be positive and max_texts at least 1, got 0.0 \
and None.
    """

    student: Student = "linear"
    settings: LinearSettings | TuneSettings | None = None
    max_texts: int | None = None
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature > 0 or (self.max_texts is not None and self.max_texts < 1):
            raise ConfigError(
                "distill: temperature must be positive and max_texts at least 1, got "
                f"{self.temperature} and {self.max_texts}."
            )
        own = {"linear": LinearSettings, "transformer": TuneSettings}
        if self.student not in own or not isinstance(self.settings, own[self.student] | None):
            raise ConfigError(
                f"distill: student {self.student!r} does not go with {type(self.settings).__name__}. Choose 'linear' "
                "with LinearSettings or 'transformer' with TuneSettings."
            )
        if isinstance(self.settings, TuneSettings) and self.settings.method == "none":
            raise ConfigError("distill: method 'none' learns nothing from a teacher. Choose another.")


@dataclass(frozen=True)
class Lesson:
    """What a teacher answered.

    Attributes
    ----------
    texts : list of str
        Distinct, in an order that follows from their content.
    probs : ndarray, float64 of shape (texts, 3)
        Calibrated.
    known_at : (Timestamp, Timestamp) or None
        When the first and the last of them was known; None where they are undated.
    n_unanswered : int
        Texts on which the teacher had nothing to say.
    n_withheld : int
        Texts that are validated on, and so were not asked about.
    n_in_sample : int
        Of the texts, those that the teacher was itself fitted on or shown as examples.
    """

    texts: list[str]
    probs: np.ndarray
    known_at: tuple[pd.Timestamp, pd.Timestamp] | None
    n_unanswered: int
    n_withheld: int
    n_in_sample: int

    def softened(self, temperature: float) -> np.ndarray:
        """Return the probabilities with their logarithms divided by a temperature, shape (texts, 3)."""
        raised = np.maximum(self.probs, 1e-12) ** (1.0 / temperature)
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def ask_teacher(
    teacher: Teacher,
    known: pd.DataFrame,
    validation_texts: Sequence[str],
    settings: DistilledSettings,
    *,
    request: FitRequest,
) -> Lesson:
    """Ask a teacher about texts, the newest first; what it answered before is taken from the cache.

    Parameters
    ----------
    teacher : Teacher
    known : DataFrame
        ``text`` and, where there, ``article_id`` and ``known_at``; none of it may be later than the training's end.
    validation_texts : sequence of str
        Of which nothing is asked.
    settings : DistilledSettings
    request : FitRequest
        Of whose cache and progress use is made.

    Raises
    ------
    DataError
        If there are no texts, or the teacher answers none of them.
    """
    asked, n_withheld = texts_asked(known, validation_texts, settings.max_texts)
    if asked.empty:
        raise DataError(
            "distillation: no text was known before the training ended of which a teacher could be asked. Start the "
            "first test later, or give older news."
        )
    articles = asked["article_id"].astype(str).tolist() if "article_id" in asked else None
    logits = cached_logits(
        teacher.scorer,
        asked["text"].tolist(),
        articles=articles,
        cache=request.cache if processes.is_main() else None,
    ).logits
    there = ~np.isnan(logits).any(axis=1)
    if not there.any():
        raise DataError(
            f"distillation: the teacher answers none of {len(asked):,} texts known before the training ended. Give "
            "scores that cover them, or another teacher."
        )
    instants = asked.loc[there, "known_at"] if "known_at" in asked else None
    fitted = set(teacher.train_text_hashes)
    return Lesson(
        texts=asked.loc[there, "text"].tolist(),
        probs=teacher.calibration.apply(logits[there]),
        known_at=None if instants is None else (instants.min(), instants.max()),
        n_unanswered=int((~there).sum()),
        n_withheld=n_withheld,
        n_in_sample=int(asked.loc[there, "hash"].isin(fitted).sum()),
    )


def texts_asked(
    known: pd.DataFrame, validation_texts: Sequence[str], max_texts: int | None
) -> tuple[pd.DataFrame, int]:
    """Choose the texts that a teacher is asked about, each once, and count those withheld since they are validated on.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.models.scorers.distilled import texts_asked
    >>> chosen, withheld = texts_asked(pd.DataFrame({"text": ["a", "b", "b", "c"]}), ["c"], None)
    >>> sorted(chosen["text"]), withheld
    (['a', 'b'], 1)
    """
    asked = known.loc[known["text"].str.strip() != ""]
    asked = asked.assign(hash=asked["text"].map(text_hash))
    order = ["known_at", "hash"] if "known_at" in asked else ["hash"]
    asked = asked.sort_values(order, ascending=[name == "hash" for name in order], kind="stable")
    asked = asked.drop_duplicates("text")
    withheld = asked["text"].isin(set(validation_texts))
    asked = asked.loc[~withheld].head(max_texts if max_texts is not None else len(asked))
    return asked.sort_values("hash", kind="stable"), int(withheld.sum())


def _fit(request: FitRequest) -> Fit:
    settings = request.settings if isinstance(request.settings, DistilledSettings) else DistilledSettings()
    teacher = request.teacher
    assert teacher is not None
    if (settings.student == "transformer") != (request.base is not None):
        raise ConfigError(
            f"distill: student {settings.student!r} "
            f"{'needs a base model' if request.base is None else 'takes no base model'}. Give 'base' with "
            "'transformer' and only there."
        )
    known = request.train if request.background is None else request.background
    assert known is not None
    lesson = ask_teacher(teacher, known, request.validation_texts, settings, request=request)
    stated = teacher.manifest["knowledge_cutoff"]
    # What the teacher could know, the student may have been told.
    until = later_cutoff(request.trained_until, stated)
    taught = (
        _linear(lesson, settings, until) if request.base is None else _transformer(lesson, settings, request, until)
    )
    told = set(teacher.train_text_hashes)
    seen = {*lesson.texts, *(text for text in request.train_texts if text_hash(text) in told)}
    pretrained, source = _pretrained(teacher, request)
    return replace(
        taught,
        trained_on=sorted(seen, key=text_hash),
        read=_read(teacher, taught.read),
        base_knowledge_cutoff=pretrained,
        cutoff_source=source,
        pretrained=f"taught by {teacher.manifest['base'] or teacher.manifest['kind']}",
        settings={
            "student": settings.student,
            "temperature": settings.temperature,
            "max_texts": settings.max_texts,
            **taught.settings,
            "teacher": {
                name: teacher.manifest[name]
                for name in ("kind", "base", "scorer_identity", "model_id", "knowledge_cutoff", "settings")
            }
            | files_told(teacher.scorer),
            "taught": {
                "n_texts": len(lesson.texts),
                "n_unanswered": lesson.n_unanswered,
                "n_withheld": lesson.n_withheld,
                "n_in_sample": lesson.n_in_sample,
                "known_at": None if lesson.known_at is None else [each.isoformat() for each in lesson.known_at],
            }
            | _paid(teacher.scorer),
        },
    )


def _paid(scorer: Scorer) -> dict[str, Any]:
    """Say by what name the journal knows a teacher that is paid for; nothing of any other."""
    if not isinstance(scorer, Paid):
        return {}
    return {"paid": {"asked": scorer.asked, "overhead": list(scorer.overhead)}}


def _linear(lesson: Lesson, settings: DistilledSettings, until: pd.Timestamp | None) -> Fit:
    own = settings.settings if isinstance(settings.settings, LinearSettings) else LinearSettings()
    own = replace(own, class_weights=False)
    scorer = fit_linear_to(
        lesson.texts,
        lesson.softened(settings.temperature),
        own,
        temperature=settings.temperature,
        trained_until=until,
    )
    return Fit(
        scorer,
        trained_on=(),
        read=scorer.read,
        state=scorer.state,
        settings=asdict(own),
        cutoff_source="",
    )


def _transformer(lesson: Lesson, settings: DistilledSettings, request: FitRequest, until: pd.Timestamp | None) -> Fit:
    base = request.base
    assert base is not None
    own = settings.settings if isinstance(settings.settings, TuneSettings) else TuneSettings()
    targets = lesson.softened(settings.temperature)
    labels = check_labels(lesson.texts, targets.argmax(axis=1).tolist(), what="texts that the teacher labelled")
    adapter = tune(
        base,
        train_texts=lesson.texts,
        train_labels=labels.tolist(),
        validation_texts=request.validation_texts,
        validation_labels=request.validation_labels,
        settings=replace(own, class_weights=False, loss="cross_entropy"),
        trained_until=until,
        cache_dir=request.cache_dir,
        progress=request.progress,
        shared=request.shared,
        train_targets=targets,
        temperature=settings.temperature,
    )
    return Fit(
        TransformerScorer(base, adapter, shared=request.shared),
        trained_on=(),
        read=adapter.read,
        settings=adapter.manifest["settings"],
        epochs=adapter.manifest["epochs"],
        best_epoch=adapter.manifest["best_epoch"],
        adapter=adapter,
        cutoff_source="",
    )


def _read(teacher: Teacher, read: Sequence[SampleRead] | None) -> Sequence[SampleRead] | None:
    """Return what teacher and student read, a sample that both read for the same use as often as one of them did."""
    if teacher.fitted_on is None or read is None:
        return None
    lines = teacher.fitted_on[list(SampleRead._fields)].itertuples(index=False, name=None)
    # The student's calibration is written down by whoever calibrates it, on the same samples.
    theirs = Counter(SampleRead(*line) for line in lines if line[0] != "calibration")
    return sorted((theirs | Counter(read)).elements())


def _pretrained(teacher: Teacher, request: FitRequest) -> tuple[pd.Timestamp | None, str]:
    """Return the later cutoff of what either was before it was fitted, and where both come from."""
    told = teacher.manifest
    sources = [f"the teacher ({told['kind']}): {told['cutoff_source']}"]
    cutoffs: list[Any] = []
    if told["kind"] != "linear":
        cutoffs.append(told["base_knowledge_cutoff"])
    if request.base is not None:
        sources.append(f"the student: {request.base.source}")
        cutoffs.append(request.base.knowledge_cutoff)
    known = [None if each is None else pd.Timestamp(each) for each in cutoffs]
    source = "; ".join(sources)
    if not known or any(each is None for each in known):
        return None, source
    return max(each for each in known if each is not None), source


DISTILLED = ScorerKind(fit=_fit, settings=DistilledSettings, needs_base=None, reads_background=True, needs_teacher=True)
