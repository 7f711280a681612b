"""A reader of the user's own, named by a setting: held to what every scorer promises, and kept apart by its code.

Its identity takes in the source that it was imported from, its settings and what it was fitted from, so that no score
of another version of it is ever taken for one of this. What it answers is checked each time, and the files that its
code opens by itself are written down, since nobody else knows what they hold.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.own_code import READERS, OwnCode, open_own
from embargo.data_loaders.own_files import listening, remember, remembered
from embargo.models.content import json_hash, sample_fingerprint, texts_fingerprint
from embargo.models.prompt import Prompt
from embargo.models.scorer import Progress, Scorer
from embargo.models.scorers.kind import Fit, FitRequest, ScorerKind


def own_kind(reference: str, *, allow: Collection[str] = (), settings: Mapping[str, Any] | None = None) -> ScorerKind:
    """Find a reader of the user's own.

    Parameters
    ----------
    reference : str
        ``"package.module:name"`` of a `ScorerKind` or of a function that takes a `FitRequest` and returns a `Fit`; or
        the name that an installed package registered under ``embargo.readers``.
    allow : collection of str
        As in `embargo.data_loaders.own_code.open_own`.
    settings : mapping, optional
        What a config tells it, held against the settings that it takes before anything is read.

    Returns
    -------
    ScorerKind
        Whose settings are a mapping, as a config has them: of a `ScorerKind` with settings of its own they are made
        from it. What its fit returns is checked.

    Raises
    ------
    ConfigError
        If it was not allowed, or is neither; or the settings are none that it takes.
    MissingPartError
        If its module is not there, or cannot be imported.
    """
    what = f"model.kind = {reference!r}"
    opened = open_own(reference, what="model.kind", group=READERS, allow=allow)
    found = opened.value
    if isinstance(found, ScorerKind):
        kind = found
    elif callable(found) and not isinstance(found, type):
        kind = ScorerKind(fit=found)
    else:
        raise ConfigError(
            f"{what}: is {type(found).__name__ if not isinstance(found, type) else 'a class'}, no reader. Name a "
            "ScorerKind, or a function that takes a FitRequest and returns a Fit."
        )
    if kind.needs_base:
        raise ConfigError(
            f"{what}: needs_base is for readers of the product. Open the base in its fit (resolve_base), and let its "
            "name be one of model.settings."
        )
    _refuse_other_arguments(kind.fit, (None,), f"{what}: fit", "one FitRequest")

    if settings is not None:
        _settings(kind, dict(settings), what)

    def fit(request: FitRequest) -> Fit:
        given = dict(request.settings) if isinstance(request.settings, Mapping) else {}
        with listening([request.cache_dir]) as read:
            told = replace(request, settings=_settings(kind, given, what))
            fitted = kind.fit(told)
        remember(opened.code.sha256, read)
        return _checked(fitted, told, given, opened.code, reads_background=kind.reads_background)

    return ScorerKind(fit=fit, settings=Mapping, reads_background=kind.reads_background)


def files_told(scorer: Scorer) -> dict[str, list[str]]:
    """Return ``files_read``, what a reader's own code opened by itself so far, for a manifest; empty where nothing."""
    files = scorer.files_read if isinstance(scorer, OwnScorer) else []
    return {"files_read": files} if files else {}


def _settings(kind: ScorerKind, given: dict[str, Any], what: str) -> object:
    if kind.settings is None:
        return given
    try:
        return kind.settings(**given)
    except (TypeError, ValueError) as failure:
        raise ConfigError(f"{what}: model.settings do not fit {kind.settings.__name__}: {failure}.") from failure


def _refuse_other_arguments(function: Callable[..., Any], arguments: tuple[Any, ...], what: str, wanted: str) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # of what is no Python nobody can tell
    try:
        signature.bind(*arguments)
    except TypeError as failure:
        raise ConfigError(f"{what}{signature} must take {wanted} ({failure}).") from failure


def _checked(
    fitted: object, request: FitRequest, given: Mapping[str, Any], code: OwnCode, *, reads_background: bool
) -> Fit:
    """Hold what a fit returned to its promises, and give its scorer an identity that nothing else has."""
    what = f"model.kind = {code.reference!r}"
    if not isinstance(fitted, Fit):
        raise ConfigError(f"{what}: its fit returned {type(fitted).__name__}. Return embargo.models.scorers.Fit.")
    scorer = fitted.scorer
    if not callable(getattr(scorer, "logits", None)):
        raise ConfigError(f"{what}: its scorer, {type(scorer).__name__}, has no method logits(texts).")
    said = getattr(scorer, "identity", None)
    if not isinstance(said, str) or not said.strip():
        raise ConfigError(
            f"{what}: the identity of its scorer is {said!r}. It must be a text that changes whenever a logit could."
        )
    cutoffs = {
        "knowledge_cutoff of its scorer": getattr(scorer, "knowledge_cutoff", None),
        "base_knowledge_cutoff": fitted.base_knowledge_cutoff,
    }
    own, base = (_instant(value, f"{what}: {name}") for name, value in cutoffs.items())
    learnt = bool(fitted.trained_on) or bool(fitted.read) or reads_background
    identity = json_hash(
        {
            "kind": "own",
            "code": code.sha256,
            "reference": code.reference,
            "settings": json.dumps(dict(given), sort_keys=True, default=repr),
            "said": said,
            "fitted_from": _material(request) if learnt else None,
        }
    )
    prompting = callable(getattr(scorer, "prompts", None))
    files = OwnFiles(code.sha256, request.cache_dir, identity)
    wrapped = (OwnPrompting if prompting else OwnScorer)(scorer, identity, own, what, files)
    settings = {**given, **fitted.settings}
    return replace(
        fitted, scorer=wrapped, base_knowledge_cutoff=base, settings=_jsonable(settings), code=code.to_dict()
    )


def _jsonable(settings: Mapping[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(dict(settings), default=str)))


def _instant(value: object, what: str) -> pd.Timestamp | None:
    if value is None or value is pd.NaT:
        return None
    if not isinstance(value, datetime):
        raise ConfigError(f"{what} is {value!r}. Give a timezone-aware Timestamp, or None where nobody knows.")
    if value.tzinfo is None:
        raise ConfigError(f"{what} is {value}, without a time zone. Give it in UTC.")
    return pd.Timestamp(value).tz_convert("UTC").as_unit("us")


def _material(request: FitRequest) -> str:
    """Hash all that a fit was handed."""
    background = request.background
    return json_hash(
        {
            "train": sample_fingerprint(request.train_texts, request.train_labels),
            "validation": sample_fingerprint(request.validation_texts, request.validation_labels),
            "trained_until": None if request.trained_until is None else request.trained_until.isoformat(),
            "background": None if background is None else texts_fingerprint(background["text"]),
            "seed": request.seed,
        }
    )


class OwnFiles:
    """The files that a reader's code opens, kept beside its scores, which may be asked for without it."""

    def __init__(self, code: str, cache_dir: Path, identity: str) -> None:
        self._code, self._cache_dir = code, cache_dir
        self._place = cache_dir / "files_read" / f"{identity}.json"

    @property
    def names(self) -> list[str]:
        """Each file with the folder that it lies in, whenever it was read."""
        before = json.loads(self._place.read_text(encoding="utf-8")) if self._place.is_file() else []
        return sorted({*before, *remembered(self._code)})

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Write down what is read inside."""
        with listening([self._cache_dir]) as read:
            yield
        remember(self._code, read)
        if names := self.names:
            self._place.parent.mkdir(parents=True, exist_ok=True)
            partial = self._place.with_suffix(f".{os.getpid()}.partial")
            partial.write_text(json.dumps(names), encoding="utf-8")
            partial.replace(self._place)


class OwnScorer:
    """A scorer of the user's own, whose answers are checked; one that is made by `own_kind`."""

    def __init__(
        self, scorer: Any, identity: str, knowledge_cutoff: pd.Timestamp | None, what: str, files: OwnFiles
    ) -> None:
        self.identity = identity
        self.knowledge_cutoff = knowledge_cutoff
        self._scorer, self._what, self._files = scorer, what, files
        try:
            inspect.signature(scorer.logits).bind([], None)
            self._tells_progress = True
        except (TypeError, ValueError):
            self._tells_progress = False
            _refuse_other_arguments(scorer.logits, ([],), f"{what}: logits", "a list of texts")

    @property
    def files_read(self) -> list[str]:
        """Files that its code opened by itself so far, each with the folder that it lies in; see `listening`."""
        return self._files.names

    def logits(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return the logits of bearish, neutral and bullish, float64 of shape (len(texts), 3).

        Raises
        ------
        DataError
            If what came back is of another shape, or holds what is no finite number.
        """
        asked = list(texts)
        with self._files.heard():
            answer = self._scorer.logits(asked, progress) if self._tells_progress else self._scorer.logits(asked)
        try:
            found = np.array(answer, dtype=float)
        except (TypeError, ValueError) as failure:
            raise DataError(f"{self._what}: logits returned no numbers ({failure}). Return an array.") from failure
        wanted = (len(asked), len(CLASSES))
        if found.shape != wanted:
            raise DataError(
                f"{self._what}: logits of {len(asked)} texts have the shape {found.shape}, not {wanted}. Return one "
                "row for each text: bearish, neutral, bullish."
            )
        odd = ~np.isfinite(found).all(axis=1)
        if odd.any():
            first = int(np.argmax(odd))
            raise DataError(
                f"{self._what}: {int(odd.sum())} of {len(asked)} texts have logits that are not finite, first "
                f"{found[first].tolist()} for {asked[first][:60]!r}. Give every text three finite numbers."
            )
        if progress is not None:
            progress(len(asked), len(asked))
        return found


class OwnPrompting(OwnScorer):
    """One that asks its model in words, and shows them."""

    def prompts(self, texts: Sequence[str]) -> list[Prompt]:
        """Return the prompt of each text, as `logits` sends it."""
        with self._files.heard():
            return list(self._scorer.prompts(list(texts)))
