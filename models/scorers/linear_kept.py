"""Fitted baselines kept by content: what was fitted from the same samples in the same way is read instead of fitted.

A folder holds vocabularies, weights and the record of what the fit read, in JSON, npz and CSV; its files and its
manifest are checked each time. One that is damaged is fitted anew and replaced.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import DataError
from embargo.models import effort
from embargo.models.content import folder_name, read_sealed, sample_fingerprint, write_manifest
from embargo.models.drafts import draft_for, put_in_place
from embargo.models.loading import processes
from embargo.models.record import read_record, write_record
from embargo.models.samples import check_labels
from embargo.models.scorers.kind import Fit, FitRequest, ScorerKind
from embargo.models.scorers.linear import (
    LinearScorer,
    LinearSettings,
    fit_linear,
    identity_of,
    laid_out,
    steps_of,
    versions,
)

FOLDER = "linear"
_TERMS, _LEARNT = "terms.json", "learnt.npz"
_DAMAGES = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, EOFError, zipfile.BadZipFile)


def fit_linear_once(
    texts: Sequence[str],
    labels: Sequence[int],
    settings: LinearSettings | None = None,
    *,
    trained_until: pd.Timestamp | None,
    cache_dir: Path,
) -> tuple[LinearScorer, str]:
    """Fit the baseline, or read what was fitted from the same samples and settings by the same libraries.

    Parameters
    ----------
    texts, labels, settings, trained_until
        As of `embargo.models.fit_linear`.
    cache_dir : Path
        Fits are kept in ``cache_dir / "linear"``. Where nothing can be written there, nothing is kept.

    Returns
    -------
    (LinearScorer, str)
        The scorer, equal to the last bit whether it was fitted or read, and its ``state``.

    Raises
    ------
    DataError
        As of `embargo.models.fit_linear`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from embargo.models.scorers.linear_kept import fit_linear_once
    >>> texts, labels = ["profit rose", "profit fell"] * 3, [2, 0] * 3
    >>> with TemporaryDirectory() as cache:
    ...     first, _ = fit_linear_once(texts, labels, trained_until=None, cache_dir=Path(cache))
    ...     again, _ = fit_linear_once(texts, labels, trained_until=None, cache_dir=Path(cache))
    >>> first.identity == again.identity, (first.logits(["it rose"]) == again.logits(["it rose"])).all().item()
    (True, True)
    """
    settings = LinearSettings() if settings is None else settings
    classes = check_labels(texts, labels, what="training samples", distinct=2)
    train = sample_fingerprint(texts, classes)
    key = {"train": train, "settings": asdict(settings), "steps": _described(settings), "versions": versions()}
    target = Path(cache_dir) / FOLDER / folder_name(FOLDER, key)
    if target.is_dir():
        with suppress(DataError):
            opened = _opened(target, settings, train, trained_until)
            effort.found(target)
            return opened
    with effort.clocked() as clock:
        scorer = fit_linear(texts, labels, settings, trained_until=trained_until)
        state = scorer.state
    # Of several processes one writes; the fit is at hand, so a folder that takes nothing stops nobody.
    if processes.is_main():
        with suppress(OSError), draft_for(target) as draft:
            _write(draft, scorer, state, key)
            effort.note(draft, clock)
            put_in_place(draft, target)
    return scorer, state


def _described(settings: LinearSettings) -> dict[str, str]:
    """Write down every parameter of what makes numbers of texts and of what is fitted to them."""
    parts = [each for _, each in steps_of(settings)[0].transformer_list] + [steps_of(settings)[1]]
    return {
        f"{type(part).__name__} {number} {name}": repr(value)
        for number, part in enumerate(parts)
        for name, value in part.get_params().items()
    }


def _write(folder: Path, scorer: LinearScorer, state: str, key: dict[str, Any]) -> None:
    terms = {name: words.tolist() for name, words in scorer.terms.items()}
    (folder / _TERMS).write_text(json.dumps(terms), encoding="ascii")
    with (folder / _LEARNT).open("wb") as stream:
        learnt: dict[str, Any] = scorer.learnt
        np.savez(stream, **learnt)
    write_record(folder, scorer.read)
    write_manifest(folder, {"kind": "linear", "state": state, "key": key}, sealed=True)


def _opened(folder: Path, settings: LinearSettings, train: str, trained_until: pd.Timestamp | None) -> tuple[Any, str]:
    """Read a fit.

    Raises
    ------
    DataError
        If it is damaged.
    """
    from sklearn.pipeline import make_pipeline

    manifest = read_sealed(folder)
    try:
        terms = json.loads((folder / _TERMS).read_text(encoding="ascii"))
        with np.load(folder / _LEARNT, allow_pickle=False) as stored:
            learnt = {name: stored[name] for name in stored.files}
        read = read_record(folder)
        features, model = steps_of(settings)
        for name, part in features.transformer_list:
            part.vocabulary_ = {term: column for column, term in enumerate(terms[name])}
            part.idf_ = learnt[name]
        model.coef_, model.intercept_, model.classes_ = (learnt[name] for name in ("coef", "intercept", "classes"))
        laid_out(model)
        model.n_features_in_ = model.coef_.shape[1]
        if read is None:
            raise DataError(f"{folder}: has no record of what was read. Delete the folder to make it anew.")
        state = str(manifest["state"])
    except _DAMAGES as failure:
        raise DataError(f"{folder}: cannot be read ({failure}). Delete the folder to make it anew.") from failure
    return LinearScorer(make_pipeline(features, model), identity_of(settings, train), trained_until, read), state


def _fit(request: FitRequest) -> Fit:
    settings = request.settings if isinstance(request.settings, LinearSettings) else LinearSettings()
    scorer, state = fit_linear_once(
        request.train_texts,
        request.train_labels,
        settings,
        trained_until=request.trained_until,
        cache_dir=request.cache_dir,
    )
    return Fit(
        scorer,
        trained_on=request.train_texts,
        read=scorer.read,
        state=state,
        settings=asdict(settings),
        cutoff_source="fitted on the training samples alone",
    )


LINEAR = ScorerKind(fit=_fit, settings=LinearSettings)
