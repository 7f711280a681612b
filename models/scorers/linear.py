"""The baseline that every language model has to beat: logistic regression on weighted word and character n-grams.

Vocabulary, inverse document frequencies and weights come from the training texts alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.content import json_hash, sample_fingerprint, text_hash
from embargo.models.record import SampleRead, samples_read
from embargo.models.samples import check_labels, in_content_order
from embargo.models.scorer import Progress

# Log-odds given to a class that the training part does not contain.
ABSENT = -20.0
BLOCK = 8192


@dataclass(frozen=True)
class LinearSettings:
    """How to fit.

    Attributes
    ----------
    strength : float
        Inverse of the L2 penalty.
    max_features : int
        Most frequent n-grams kept, of words and of characters each.
    class_weights : bool
        Weigh each class by the inverse of its share.
    max_iterations : int
        Of the solver.

    Examples
    --------
    >>> from embargo.models import LinearSettings
    >>> LinearSettings().strength
    10.0
    """

    strength: float = 10.0
    max_features: int = 100_000
    class_weights: bool = True
    max_iterations: int = 1000

    def __post_init__(self) -> None:
        if not self.strength > 0 or self.max_features < 1 or self.max_iterations < 1:
            raise ConfigError(f"linear: strength, max_features and max_iterations must be positive, got {self}.")


class LinearScorer:
    """A fitted baseline; made by `fit_linear`.

    Examples
    --------
    >>> from embargo.models import fit_linear
    >>> scorer = fit_linear(["rose", "fell"] * 5, [2, 0] * 5, trained_until=None)
    >>> scorer.logits(["it rose"]).round(1).tolist(), scorer.knowledge_cutoff
    ([[-3.4, -20.0, -0.0]], None)
    """

    def __init__(
        self,
        pipeline: Any,
        identity: str,
        knowledge_cutoff: pd.Timestamp | None,
        read: Sequence[SampleRead],
        temperature: float = 1.0,
    ) -> None:
        self._pipeline = pipeline
        self._temperature = temperature
        self.read = tuple(read)
        self.identity = identity
        self.knowledge_cutoff = knowledge_cutoff

    def logits(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return the logits of bearish, neutral and bullish, float64 of shape (len(texts), 3).

        They are log-probabilities of the multinomial model, times the temperature that it was fitted at; a class absent
        from training gets -20.
        """
        result = np.full((len(texts), len(CLASSES)), ABSENT)
        for start in range(0, len(texts), BLOCK):
            rows = slice(start, min(start + BLOCK, len(texts)))
            probabilities = self._pipeline.predict_proba([_prepared(text) for text in texts[rows]])
            found = self._pipeline.classes_
            logs = self._temperature * np.log(np.maximum(probabilities, 1e-300))
            result[rows, found] = np.maximum(logs, ABSENT)
            if progress is not None:
                progress(rows.stop, len(texts))
        return result

    @property
    def terms(self) -> dict[str, np.ndarray]:
        """Vocabulary of words and of characters, in the order of their columns."""
        return {name: part.get_feature_names_out() for name, part in self._pipeline[0].transformer_list}

    @property
    def state(self) -> str:
        """sha256 (hex) over all that was learnt: vocabularies, inverse document frequencies and weights."""
        digest = hashlib.sha256()
        learnt, terms = self.learnt, self.terms
        for name in terms:
            digest.update("\n".join([name, *terms[name]]).encode("utf-8", "surrogatepass"))
            digest.update(np.ascontiguousarray(learnt[name]).tobytes())
        for name in ("coef", "intercept", "classes"):
            digest.update(np.ascontiguousarray(learnt[name]).tobytes())
        return digest.hexdigest()

    @property
    def learnt(self) -> dict[str, np.ndarray]:
        """Inverse document frequencies by the names of `terms`, then ``coef``, ``intercept`` and ``classes``."""
        model = self._pipeline[-1]
        frequencies = {name: part.idf_ for name, part in self._pipeline[0].transformer_list}
        return {**frequencies, "coef": model.coef_, "intercept": model.intercept_, "classes": model.classes_}


def _prepared(text: str) -> str:
    return " ".join(text.split())


def fit_linear(
    texts: Sequence[str],
    labels: Sequence[int],
    settings: LinearSettings | None = None,
    *,
    trained_until: pd.Timestamp | None,
) -> LinearScorer:
    """Fit the baseline on labelled texts.

    Parameters
    ----------
    texts, labels : sequences of length n
        Labels 0 bearish, 1 neutral, 2 bullish; at least two classes.
    settings : LinearSettings, optional
    trained_until : Timestamp or None
        Latest instant at which any of them was known, UTC; becomes the scorer's knowledge cutoff.

    Returns
    -------
    LinearScorer

    Raises
    ------
    DataError
        If there are no samples, one class only, or no text has a word.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.models import fit_linear
    >>> texts = ["profit rose", "sales grew", "profit fell", "sales shrank"] * 3
    >>> labels = [2, 2, 0, 0] * 3
    >>> until = pd.Timestamp("2016-01-01", tz="UTC")
    >>> scorer = fit_linear(texts, labels, trained_until=until)
    >>> scorer.logits(["sales rose", "sales fell"]).argmax(axis=1).tolist()
    [2, 0]
    >>> scorer.knowledge_cutoff == until
    True
    """
    from sklearn.pipeline import make_pipeline

    settings = LinearSettings() if settings is None else settings
    classes = check_labels(texts, labels, what="training samples", distinct=2)
    # The order of samples would change the last digits of the solution; their content fixes it.
    ordered, targets = in_content_order(texts, classes)
    pipeline = make_pipeline(*steps_of(settings))
    with _fitting():
        pipeline.fit([_prepared(text) for text in ordered], targets)
    laid_out(pipeline[-1])
    identity = identity_of(settings, sample_fingerprint(texts, classes))
    return LinearScorer(pipeline, identity, trained_until, samples_read("optimiser", ordered, targets))


def identity_of(settings: LinearSettings, train: str) -> str:
    """Return the identity of what is fitted from samples of a `sample_fingerprint`."""
    return json_hash({"kind": "linear", "settings": asdict(settings), "train": train, "versions": versions()})


def fit_linear_to(
    texts: Sequence[str],
    probs: np.ndarray,
    settings: LinearSettings | None = None,
    *,
    temperature: float = 1.0,
    trained_until: pd.Timestamp | None,
) -> LinearScorer:
    """Fit the baseline to the probabilities that another reader gave to texts.

    Each text counts once for every class, weighted by its probability: the loss is the cross-entropy between what is
    given and what is fitted, as of multinomial regression on shares.

    Parameters
    ----------
    texts : sequence of str, length n
        Distinct.
    probs : ndarray, shape (n, 3)
        Rows sum to 1; of at least two classes.
    settings : LinearSettings, optional
        Its class weights do not apply.
    temperature : float
        At which ``probs`` are; the logits are those at temperature 1.
    trained_until : Timestamp or None
        Latest instant at which any of them was known, and that who gave the probabilities could know, UTC.

    Raises
    ------
    DataError
        If there are no texts, one is there twice, shapes differ, or no text has a word.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models.scorers.linear import fit_linear_to
    >>> texts, probs = ["profit rose", "profit fell"], np.array([[0.1, 0.1, 0.8], [0.7, 0.2, 0.1]])
    >>> fit_linear_to(texts, probs, trained_until=None).logits(["it rose", "it fell"]).argmax(axis=1).tolist()
    [2, 0]
    """
    from scipy.sparse import vstack
    from sklearn.pipeline import make_pipeline

    settings = replace(LinearSettings() if settings is None else settings, class_weights=False)
    given = np.asarray(probs, dtype=float)
    if given.shape != (len(texts), len(CLASSES)) or len(texts) == 0 or len(set(texts)) < len(texts):
        raise DataError(f"linear student: {len(texts)} texts, {len(set(texts))} of them distinct, with {given.shape}.")
    order = sorted(range(len(texts)), key=lambda row: text_hash(texts[row]))
    ordered, given = [texts[row] for row in order], given[order]
    features, model = steps_of(settings)
    classes = np.repeat(np.arange(len(CLASSES)), len(ordered))
    weights = given.T.ravel()
    with _fitting():
        table = features.fit_transform([_prepared(text) for text in ordered])
        counted = weights > 0
        model.fit(vstack([table] * len(CLASSES)).tocsr()[counted], classes[counted], sample_weight=weights[counted])
    identity = json_hash(
        {
            "kind": "linear",
            "settings": asdict(settings),
            "taught": [
                [text_hash(text), [float(p).hex() for p in row]] for text, row in zip(ordered, given, strict=True)
            ],
            "temperature": temperature,
            "versions": versions(),
        }
    )
    laid_out(model)
    read = samples_read("taught", ordered, [-1] * len(ordered))
    return LinearScorer(make_pipeline(features, model), identity, trained_until, read, temperature)


def steps_of(settings: LinearSettings) -> tuple[Any, Any]:
    """Return what makes numbers of texts, and what is fitted to them."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_union

    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=settings.max_features),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, max_features=settings.max_features),
    )
    model = LogisticRegression(
        C=settings.strength,
        class_weight="balanced" if settings.class_weights else None,
        max_iter=settings.max_iterations,
    )
    return features, model


def laid_out(model: Any) -> None:
    """Lay the weights out as products read them, so that they are not laid out anew for each."""
    model.coef_ = np.asfortranarray(model.coef_)


@contextmanager
def _fitting() -> Iterator[None]:
    try:
        yield
    except ValueError as failure:
        raise DataError(
            f"linear baseline: cannot be fitted ({failure}). Check that the training texts have words."
        ) from failure


def versions() -> dict[str, str]:
    """Return the versions of the libraries that fit."""
    return {name: version(name) for name in ("scikit-learn", "scipy", "numpy")}
