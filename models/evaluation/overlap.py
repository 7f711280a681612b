"""How a text that was written agrees with the one that was expected: words and phrases in common, terms, numbers.

Each measure is kept as figures per text that add up, so that the figure of any resample is made of sums: a mean is a
sum and a count, and corpus BLEU the counts that its formula takes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from embargo.data_loaders.errors import DataError, MissingPartError
from embargo.models.evaluation.numbers import number_accuracy
from embargo.models.scorers.word_lists import PAPER_YEAR, signs_of

_WORDS = re.compile("[a-z]+")
# Words of finance that stand in no list of tone.
TERMS = frozenset(
    _WORDS.findall("""
    acquisition backlog bankruptcy bond bonds bookings buyback cash covenant coupon credit currency debt default
    deliveries depreciation dividend dividends earnings ebit ebitda equity exports forecast goodwill guidance headcount
    hedge impairment imports inflation interest inventory inventories investment ipo issuance leverage liabilities
    liquidity loan loans margin margins merger mortgage net operating orders outlook output payout pretax price prices
    profit profits quarter quarterly rate rates rating recession refinancing restructuring revenue revenues royalty
    sales securities shares shipments spinoff stake stock subsidiary tariff tax turnover volume volumes warrant yield
    yields
    """)
)
ORDERS = 4


@dataclass(frozen=True)
class Measure:
    """A measure of texts, as figures that add up.

    Attributes
    ----------
    name : str
    better : {"higher", "lower"}
    sums : ndarray, shape (n, k)
        Per text. A mean has two columns, value and whether there is one; BLEU has those of its formula.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models.evaluation import Measure
    >>> Measure("exact", "higher", np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])).of_all()
    0.5
    """

    name: str
    better: Literal["higher", "lower"]
    sums: np.ndarray

    def of(self, totals: np.ndarray) -> np.ndarray:
        """Return the figure of each row of totals, shape (rows,); NaN where no text has one."""
        if self.name == "BLEU":
            return corpus_bleu(totals)
        means = np.divide(totals[:, 0], totals[:, 1], out=np.full(len(totals), np.nan), where=totals[:, 1] > 0)
        return np.asarray(means)

    def of_all(self) -> float:
        """Return the figure of all texts; NaN if none has one."""
        return float(self.of(self.sums.sum(axis=0, keepdims=True))[0])

    def n(self) -> int:
        """Return how many texts have a figure."""
        return len(self.sums) if self.name == "BLEU" else int(self.sums[:, 1].sum())


def mean_of(name: str, better: Literal["higher", "lower"], values: Sequence[float | None] | np.ndarray) -> Measure:
    """Return the measure whose figure is a mean; None and NaN are texts that have none.

    Parameters
    ----------
    name : str
    better : {"higher", "lower"}
    values : sequence of float or None, length n

    Returns
    -------
    Measure

    Examples
    --------
    >>> from embargo.models.evaluation import mean_of
    >>> mean_of("exact", "higher", [1.0, None, 0.0]).of_all()
    0.5
    """
    given = np.array([np.nan if value is None else value for value in values], dtype=float)
    there = ~np.isnan(given)
    return Measure(name, better, np.column_stack([np.where(there, given, 0.0), there.astype(float)]))


def overlap_measures(outputs: Sequence[str], references: Sequence[str], sources: Sequence[str]) -> dict[str, Measure]:
    """Measure texts against what was expected and what they were made from.

    Parameters
    ----------
    outputs, references, sources : sequences of str, length n
        What was written, the answer that was expected, and the text that the prompt was about.

    Returns
    -------
    dict of str to Measure
        ``exact`` (equal but for case, white space and a last stop). ``ROUGE-1``, ``ROUGE-2``, ``ROUGE-L`` (F1, stemmed;
        rouge-score's tokens are runs of a-z and 0-9, so that it tells neither ``-5.2`` from ``5.2 %`` nor ``1,234.5``
        from ``1.234,5``, and gives 0 to text in another script). ``BLEU`` (of the corpus, 0 to 100, sacrebleu's tokens
        and smoothing, of as many orders as the outputs have words for). ``terms`` (share of the reference's terms of
        finance that the output has: words of Loughran and McDonald's lists of tone, and `TERMS`). ``numbers right``,
        ``numbers kept``, ``numbers invented`` (see `number_accuracy`).

    Raises
    ------
    DataError
        If they are not as many, or none.
    MissingPartError
        If rouge-score or sacrebleu is not installed.

    References
    ----------
    Lin 2004, "ROUGE: a package for automatic evaluation of summaries". Papineni et al. 2002, "BLEU". Post 2018, "A call
    for clarity in reporting BLEU scores", arXiv 1804.08771. Loughran & McDonald 2011, Journal of Finance 66.

    Examples
    --------
    >>> from embargo.models.evaluation import overlap_measures
    >>> found = overlap_measures(["police kill the gunman"], ["police killed the gunman"], ["Police killed a gunman."])
    >>> round(found["ROUGE-L"].of_all(), 2), found["exact"].of_all()
    (1.0, 0.0)
    """
    if not len(outputs) == len(references) == len(sources) or not len(outputs):
        raise DataError(
            f"overlap: {len(outputs)} outputs, {len(references)} references, {len(sources)} sources; give as many of "
            "each, one or more."
        )
    rouge, bleu = _rouge(outputs, references), _bleu(outputs, references)
    accuracies = [
        number_accuracy(output, source, reference)
        for output, source, reference in zip(outputs, sources, references, strict=True)
    ]
    pairs = list(zip(outputs, references, strict=True))
    measures = [
        mean_of("exact", "higher", [float(_plain(output) == _plain(reference)) for output, reference in pairs]),
        *(mean_of(name, "higher", values) for name, values in rouge.items()),
        Measure("BLEU", "higher", bleu),
        mean_of("terms", "higher", [term_recall(output, reference) for output, reference in pairs]),
        mean_of("numbers right", "higher", [one.recalled for one in accuracies]),
        mean_of("numbers kept", "higher", [one.kept for one in accuracies]),
        mean_of("numbers invented", "lower", [one.invented for one in accuracies]),
    ]
    return {measure.name: measure for measure in measures}


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(" .")


def term_recall(output: str, reference: str) -> float | None:
    """Return the share of the reference's distinct terms of finance that the output has; None if it has none.

    Parameters
    ----------
    output, reference : str

    Returns
    -------
    float or None

    Examples
    --------
    >>> from embargo.models.evaluation import term_recall
    >>> term_recall("Net sales fell.", "Net sales and earnings rose despite the lawsuit.")
    0.5
    """
    known = TERMS | signs_of(PAPER_YEAR).keys()
    wanted, told = (set(_WORDS.findall(text.lower())) & known for text in (reference, output))
    return len(wanted & told) / len(wanted) if wanted else None


def _rouge(outputs: Sequence[str], references: Sequence[str]) -> dict[str, list[float]]:
    scorer = _library("rouge_score.rouge_scorer").RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    scores = [
        scorer.score(target=reference, prediction=output) for output, reference in zip(outputs, references, strict=True)
    ]
    names = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L"}
    return {name: [float(score[key].fmeasure) for score in scores] for key, name in names.items()}


def _bleu(outputs: Sequence[str], references: Sequence[str]) -> np.ndarray:
    scorer = _library("sacrebleu.metrics.bleu").BLEU(effective_order=True)
    rows = []
    # One pair at a time: whole lists, given in the wrong nesting, would be cut short without a word.
    for output, reference in zip(outputs, references, strict=True):
        score = scorer.sentence_score(output, [reference])
        rows.append([score.sys_len, score.ref_len, *score.counts, *score.totals])
    return np.array(rows, dtype=float)


def corpus_bleu(totals: np.ndarray) -> np.ndarray:
    """Return BLEU, 0 to 100, of each row of summed counts: output and reference length, matches and n-grams per order.

    Orders of which the outputs have no n-gram do not count, and one without a match counts as a half, a quarter ... of
    one (sacrebleu's ``exp`` smoothing with ``effective_order``).

    Parameters
    ----------
    totals : ndarray, shape (m, 10)

    Returns
    -------
    ndarray, shape (m,)
    """
    lengths, matches, grams = totals[:, :2], totals[:, 2 : 2 + ORDERS], totals[:, 2 + ORDERS :]
    there = np.logical_and.accumulate(grams > 0, axis=1)
    missed = there & (matches == 0)
    halved = 0.5 ** np.cumsum(missed, axis=1)
    found = np.where(missed, halved, matches)
    precision = np.divide(found, grams, out=np.ones_like(found), where=there)
    orders = there.sum(axis=1)
    logs = np.log(precision).sum(axis=1)
    mean = np.divide(logs, orders, out=np.zeros(len(totals)), where=orders > 0)
    short = (lengths[:, 0] < lengths[:, 1]) & (lengths[:, 0] > 0)
    penalty = np.zeros(len(totals))
    penalty[short] = 1 - lengths[short, 1] / lengths[short, 0]
    any_match = matches.any(axis=1)
    return np.asarray(np.where(any_match, 100 * np.exp(mean + penalty), 0.0))


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as failure:
        raise MissingPartError(
            f"{name.split('.')[0]} is not installed. Run: pip install 'embargo-backtest[generation]'."
        ) from failure
