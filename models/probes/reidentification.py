"""Whether masked texts still tell whom they are about: a simple classifier tries, on texts of other dates.

It names the words that gave a company away, so that they can be added to what is masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError

WORDS_SHOWN = 3


@dataclass(frozen=True)
class Reidentification:
    """Who was recognised.

    Attributes
    ----------
    rows : DataFrame
        One row per text: ``at, symbol, named`` (by the classifier), ``recognised`` and ``guessed``, 1 where the
        classifier, or naming the most frequent company of the other dates, is right, else 0.
    giveaways : DataFrame
        ``symbol, word, log_ratio``: the words that speak most for each company that is recognised more often than
        guesses are right.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.models.probes import reidentify
    >>> at = pd.date_range("2024-01-01", periods=40, tz="UTC")
    >>> found = reidentify(["the phone sells", "the bank lends"] * 20, ["AAPL", "JPM"] * 20, at)
    >>> float(found.rows["recognised"].mean()), sorted(found.giveaways.groupby("symbol")["word"].first())
    (1.0, ['bank', 'phone'])
    """

    rows: pd.DataFrame
    giveaways: pd.DataFrame


def reidentify(
    texts: Sequence[str],
    symbols: Sequence[str],
    at: pd.Series | pd.DatetimeIndex,
    *,
    folds: int = 5,
) -> Reidentification:
    """Name the company of each masked text with a classifier that learnt from masked texts of other dates.

    Parameters
    ----------
    texts : sequence of str, length n
        Masked.
    symbols : sequence of str, length n
        Whom they are about; two or more.
    at : Series or DatetimeIndex, length n
        When they were known.
    folds : int
        Blocks of days, at least 2; each is named by a classifier fitted on all others.

    Returns
    -------
    Reidentification

    Notes
    -----
    Multinomial naive Bayes on weighted words and pairs of words, all companies taken as equally frequent. A language
    model knows more: what this classifier does not recognise, it may.

    Raises
    ------
    DataError
        If lengths differ, there is one company only, or fewer days than folds.
    ConfigError
        If there are fewer than 2 folds.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.models.probes import reidentify
    >>> at = pd.date_range("2024-01-01", periods=40, tz="UTC")
    >>> int(reidentify(["it rose", "it fell"] * 20, list("AABB") * 10, at).rows["recognised"].sum())
    20
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.naive_bayes import MultinomialNB

    if folds < 2:
        raise ConfigError(f"re-identification: folds must be 2 or more, got {folds}.")
    instants = pd.DatetimeIndex(at)
    if not len(texts) == len(symbols) == len(instants):
        raise DataError(
            f"re-identification: {len(texts)} texts, {len(symbols)} symbols and {len(instants)} instants. Give one of "
            "each per text."
        )
    owner = np.asarray(symbols, dtype=object)
    days, day = np.unique(instants.floor("D"), return_inverse=True)
    if len(set(symbols)) < 2 or len(days) < folds:
        raise DataError(
            f"re-identification: {len(set(symbols))} companies on {len(days)} days cannot be told apart in {folds} "
            "blocks of days. Give more of them."
        )
    fold = day * folds // len(days)
    named, usual = np.empty(len(texts), dtype=object), np.empty(len(texts), dtype=object)
    for number in np.unique(fold):
        inside = fold == number
        read = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        try:
            learnt = read.fit_transform([text for text, other in zip(texts, ~inside, strict=True) if other])
        except ValueError as failure:
            raise DataError(
                f"re-identification: the texts have no words in common ({failure}). Give more."
            ) from failure
        model = MultinomialNB(alpha=0.1, fit_prior=False).fit(learnt, owner[~inside])
        named[inside] = model.predict(read.transform([text for text, own in zip(texts, inside, strict=True) if own]))
        names, counts = np.unique(owner[~inside], return_counts=True)
        usual[inside] = names[counts.argmax()]
    rows = pd.DataFrame(
        {
            "at": instants,
            "symbol": owner,
            "named": named,
            "recognised": (named == owner).astype(float),
            "guessed": (usual == owner).astype(float),
        }
    )
    often = rows.groupby("symbol")["recognised"].mean()
    known = often.index[often > rows["guessed"].mean()]
    return Reidentification(rows, _giveaways(model, read.get_feature_names_out(), known))


def _giveaways(model: Any, words: np.ndarray, symbols: pd.Index) -> pd.DataFrame:
    """Find the words that one company's texts prefer most over those of any other, by the last block's model."""
    table, classes = np.asarray(model.feature_log_prob_), list(model.classes_)
    found = []
    for symbol in symbols.intersection(pd.Index(classes)):
        own = table[classes.index(symbol)]
        ratio = own - np.delete(table, classes.index(symbol), axis=0).max(axis=0)
        found += [
            {"symbol": symbol, "word": str(words[place]), "log_ratio": float(ratio[place])}
            for place in np.lexsort((np.arange(len(words)), -ratio))[:WORDS_SHOWN]
        ]
    return pd.DataFrame(found, columns=["symbol", "word", "log_ratio"])
