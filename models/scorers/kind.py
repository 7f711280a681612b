"""What a kind of scorer is to `embargo.models.fit_scorer`: what it is fitted from, and what its fit gives back.

A new kind is a file of its own with a `ScorerKind` at its end, and one line in `embargo.models.fitting.KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from embargo.models.bases.resolve import Base
from embargo.models.loading.shared import SharedBase
from embargo.models.record import SampleRead
from embargo.models.scorer import Progress, Scorer
from embargo.models.scorers.cache import ScoreCache
from embargo.models.tuning.adapters import Adapter


@dataclass(frozen=True)
class FitRequest:
    """What a kind is asked to fit, checked already; the attributes are the parameters of `fit_scorer`.

    Attributes
    ----------
    train_texts, train_labels, validation_texts, validation_labels : sequences
        Labels 0 bearish, 1 neutral, 2 bullish.
    trained_until : Timestamp or None
    settings : object or None
        Of the kind's own type; None for its defaults.
    cache_dir : Path
    base : Base or None
        There where the kind needs one.
    shared : SharedBase or None
    progress : callable or None
    train, validation : DataFrame or None
        The samples with all that is known of them: ``article_id``, ``known_at`` and ``ends_at`` where they are dated.
    background : DataFrame or None
        What was known before the training ended, labelled or not: ``article_id, symbol, text, known_at``, one row per
        article and symbol; there where the kind reads it.
    cache : ScoreCache or None
        Of scores, for a kind that asks another scorer.
    seed : int

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models.scorers import FitRequest
    >>> request = FitRequest(["Profit rose."], [2], ["Profit fell."], [0], None, {"strength": 2.0}, Path("cache"))
    >>> request.settings, request.seed
    ({'strength': 2.0}, 0)
    """

    train_texts: Sequence[str]
    train_labels: Sequence[int]
    validation_texts: Sequence[str]
    validation_labels: Sequence[int]
    trained_until: pd.Timestamp | None
    settings: object | None
    cache_dir: Path
    base: Base | None = None
    shared: SharedBase | None = None
    progress: Progress | None = None
    train: pd.DataFrame | None = None
    validation: pd.DataFrame | None = None
    background: pd.DataFrame | None = None
    cache: ScoreCache | None = None
    seed: int = 0


@dataclass(frozen=True)
class Fit:
    """A fitted scorer and what its manifest says of it.

    Attributes
    ----------
    scorer : Scorer
    trained_on : sequence of str
        Training texts that it saw.
    read : sequence of SampleRead or None
        Every sample that its fit read, written by what read it; None where nobody wrote it down.
    cutoff_source : str
        Where its knowledge cutoff comes from.
    base_knowledge_cutoff : Timestamp or None
        Of what was there before the fit.
    settings : mapping, JSON-able
        As used.
    epochs : sequence of dict
        Losses of each pass; empty where there are none.
    best_epoch : int or None
    adapter : Adapter or None
        Where a base was tuned.
    state : str or None
        sha256 (hex) over all that was learnt, where the scorer's identity names only what it was learnt from.
    head : mapping or None
        ``labels`` and ``start`` of the head that a base brought along; see `embargo.models.bases.heads.OwnHead`.
    code : mapping or None
        Where it comes from, of a reader of the user's own; see `embargo.data_loaders.own_code.OwnCode`.

    Examples
    --------
    >>> from embargo.models import LexiconScorer
    >>> from embargo.models.scorers import Fit
    >>> Fit(LexiconScorer(), trained_on=(), read=(), cutoff_source="the years of its word lists").epochs
    ()
    """

    scorer: Scorer
    trained_on: Sequence[str]
    cutoff_source: str
    base_knowledge_cutoff: pd.Timestamp | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    epochs: Sequence[Mapping[str, Any]] = ()
    best_epoch: int | None = None
    adapter: Adapter | None = None
    head: Mapping[str, Any] | None = None
    read: Sequence[SampleRead] | None = None
    state: str | None = None
    code: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ScorerKind:
    """A kind of scorer.

    Attributes
    ----------
    fit : callable
        Fits one.
    settings : type or None
        Of its settings; None where it has none.
    needs_base : bool
        Whether it starts from a base; a kind that does not takes none.
    reads_background : bool
        Whether it reads what was known before the training ended beyond the samples.

    Examples
    --------
    >>> from embargo.models import LexiconScorer
    >>> from embargo.models.scorers import Fit, ScorerKind
    >>> kind = ScorerKind(fit=lambda request: Fit(LexiconScorer(), trained_on=(), cutoff_source="its word lists"))
    >>> kind.needs_base
    False
    """

    fit: Callable[[FitRequest], Fit]
    settings: type | None = None
    needs_base: bool = False
    reads_background: bool = False
