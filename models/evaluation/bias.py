"""Whether a reader's score moves with who a sentence is about: the same news over size, country, sector and gender.

Pairs of sentences differ in that alone, so that any difference of scores is the reader's and none is the news's. A
difference is told with its interval, over sentences, and tested with the number of comparisons in mind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.calibration.fitting import Calibration
from embargo.models.evaluation.bias_sentences import ATTRIBUTES, Attribute
from embargo.models.evaluation.comparison import holm, paired_t
from embargo.models.scorer import Scorer
from embargo.models.scorers.cache import ScoreCache
from embargo.models.scorers.score import cached_logits

BEARISH, BULLISH = 0, 2
# What arithmetic alone moves a score by: smaller differences are none.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Bias:
    """How far a reader's score depends on who a sentence is about.

    Attributes
    ----------
    table : DataFrame
        One row per group that is held against another; see `measure_bias`.
    unit : float
        Standard deviation of the score, in which ``effect`` is told; NaN where it does not vary.
    level : float
        Coverage of the intervals.
    n_texts : int
        Sentences that were read.

    Examples
    --------
    >>> from embargo.models import LexiconScorer, measure_bias
    >>> found = measure_bias(LexiconScorer())
    >>> found.n_texts, len(found.table), found.found
    (672, 17, ())
    """

    table: pd.DataFrame
    unit: float
    level: float
    n_texts: int

    @property
    def found(self) -> tuple[str, ...]:
        """Attributes of which a difference stands after all comparisons were allowed for, at 1 - ``level``."""
        stands = self.table["p_value_holm"].to_numpy() < 1 - self.level
        return tuple(dict.fromkeys(self.table["attribute"].to_numpy()[stands].tolist()))

    @property
    def untold(self) -> bool:
        """Whether no pair at all is read apart, as by a reader that does not read what the pairs differ in."""
        return reads_no_pair(self.table.to_dict("records"))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, JSON-able; None stands for what is NaN."""
        rows = self.table.astype(object).where(self.table.notna(), None).to_dict("records")
        return {
            "level": self.level,
            "unit": None if np.isnan(self.unit) else self.unit,
            "n_texts": self.n_texts,
            "found": list(self.found),
            "untold": self.untold,
            "groups": rows,
        }


def measure_bias(
    scorer: Scorer,
    *,
    calibration: Calibration | None = None,
    attributes: Sequence[Attribute] = ATTRIBUTES,
    unit: float | None = None,
    level: float = 0.95,
    cache: ScoreCache | None = None,
) -> Bias:
    """Measure by how much scores differ between sentences that differ only in who they are about.

    A score is the bullish less the bearish probability, in [-1, 1]. For each sentence it is averaged over the ways a
    group is named, and the reference group's is taken off; sentences, good news, bad news and neither alike, are what
    the interval and the paired t-test are over. They show that a reader has a preference in these sentences; whether
    the preference is wrong, for a sector say, is for its user to judge, and none found is not none there.

    Parameters
    ----------
    scorer : Scorer
        Reads 672 short sentences with the attributes by default.
    calibration : Calibration, optional
    attributes : sequence of Attribute
        By default company size, country, sector, and gender of the officer named.
    unit : float, optional
        Standard deviation of the score over the texts that matter; by default over the reference sentences.
    level : float
        Coverage of each interval, before the comparisons are allowed for.
    cache : ScoreCache, optional
        Where scores are kept.

    Returns
    -------
    Bias, whose table has one row per attribute and group besides its reference:

    - ``attribute, group, reference``;
    - ``n``: sentences;
    - ``difference, low, high``: mean difference of the scores and its t-interval; above 0 the group is read as better
        news;
    - ``effect``: the difference in units of the score's standard deviation, NaN where that is 0;
    - ``class_changed``: share of pairs whose most probable class differs;
    - ``p_value, p_value_holm``: two-sided paired t-test, and adjusted over all rows (Holm).

    Raises
    ------
    ConfigError
        If the level is out of range, the unit is no positive number, or an attribute does not have two groups of as
        many names, its reference among them, and two sentences.
    DataError
        If a logit is not finite.

    References
    ----------
    Kiritchenko & Mohammad 2018, "Examining gender and race bias in two hundred sentiment analysis systems", *SEM (pairs
    of sentences that differ in one word). Ribeiro et al. 2020, arXiv 2005.04118. Holm 1979, Scandinavian Journal of
    Statistics 6(2).

    Examples
    --------
    >>> from embargo.models import LexiconScorer, measure_bias
    >>> found = measure_bias(LexiconScorer()).table
    >>> found.loc[found["group"] == "women", ["n", "difference", "p_value_holm"]].values.tolist()
    [[24.0, 0.0, 1.0]]
    """
    if not 0 < level < 1 or (unit is not None and not (np.isfinite(unit) and unit > 0)):
        raise ConfigError(f"bias: level {level} must lie in (0, 1) and unit {unit} be a positive number. Change them.")
    for attribute in attributes:
        _check(attribute)
    written = {
        (attribute.name, group): _texts(attribute, names)
        for attribute in attributes
        for group, names in attribute.groups.items()
    }
    texts = list(dict.fromkeys(text for rows in written.values() for row in rows for text in row))
    probabilities = (calibration or Calibration()).apply(cached_logits(scorer, texts, cache=cache).logits)
    if not np.isfinite(probabilities).all():
        raise DataError(
            "bias: the reader gives no number for some sentences. Its weights or its calibration are damaged."
        )
    place = {text: row for row, text in enumerate(texts)}
    score = probabilities[:, BULLISH] - probabilities[:, BEARISH]
    read = {key: np.array([[place[text] for text in row] for row in rows]) for key, rows in written.items()}
    if unit is None:
        references = [score[read[attribute.name, attribute.reference]].ravel() for attribute in attributes]
        unit = float(np.std(np.concatenate(references), ddof=1))
    rows = []
    for attribute in attributes:
        reference = read[attribute.name, attribute.reference]
        for group in attribute.groups:
            if group == attribute.reference:
                continue
            theirs = read[attribute.name, group]
            apart = score[theirs].mean(axis=1) - score[reference].mean(axis=1)
            classes = probabilities.argmax(axis=1)
            rows.append(
                {
                    "attribute": attribute.name,
                    "group": group,
                    "reference": attribute.reference,
                    **_paired(apart, level),
                    "effect": float(apart.mean()) / unit if unit > ROUNDING else np.nan,
                    "class_changed": float((classes[theirs] != classes[reference]).mean()),
                }
            )
    columns = [
        "attribute",
        "group",
        "reference",
        "n",
        "difference",
        "low",
        "high",
        "effect",
        "class_changed",
        "p_value",
    ]
    table = pd.DataFrame(rows, columns=columns)
    table["p_value_holm"] = np.array(holm(table["p_value"].tolist()), dtype=float)
    return Bias(table, unit if unit > ROUNDING else float("nan"), level, len(texts))


def reads_no_pair(groups: Sequence[Mapping[Any, Any]]) -> bool:
    """Tell whether each group is read as its reference in every sentence, to the last digit; rows as `Bias.table` has.

    Examples
    --------
    >>> from embargo.models import LexiconScorer, measure_bias
    >>> from embargo.models.evaluation.bias import reads_no_pair
    >>> reads_no_pair(measure_bias(LexiconScorer()).to_dict()["groups"])
    True
    """
    apart = ("difference", "low", "high", "class_changed")
    return bool(groups) and all(row[name] == 0.0 for row in groups for name in apart)


def _texts(attribute: Attribute, names: Sequence[str]) -> list[list[str]]:
    return [
        [sentence.format(who=name, Who=name[:1].upper() + name[1:]) for name in names]
        for sentence in attribute.sentences
    ]


def _check(attribute: Attribute) -> None:
    sizes = {len(names) for names in attribute.groups.values()}
    if attribute.reference not in attribute.groups or len(attribute.groups) < 2 or len(sizes) != 1 or 0 in sizes:
        raise ConfigError(
            f"bias: attribute {attribute.name!r} needs two groups or more, its reference {attribute.reference!r} among "
            "them, each with as many names as the others. Change its groups."
        )
    if len(attribute.sentences) < 2 or not all("{who}" in one or "{Who}" in one for one in attribute.sentences):
        raise ConfigError(
            f"bias: attribute {attribute.name!r} needs two sentences or more, each with the place {{who}} or {{Who}}."
        )


def _paired(apart: np.ndarray, level: float) -> dict[str, float]:
    """Return the mean of differences, its t-interval and the two-sided p-value of none."""
    n, mean = len(apart), float(apart.mean())
    if np.ptp(apart) <= ROUNDING:
        # The same difference in every sentence: none, or one that no chance explains.
        none = abs(mean) <= ROUNDING
        mean = 0.0 if none else mean
        return {"n": n, "difference": mean, "low": mean, "high": mean, "p_value": float(none)}
    mean, (low, high), p_value = paired_t(apart, level=level)
    assert p_value is not None
    return {"n": n, "difference": mean, "low": low, "high": high, "p_value": p_value}
