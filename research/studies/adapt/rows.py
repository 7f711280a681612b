"""The rows of a study of readers as typed values: what is said of each, and of each two of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Ends = tuple[float, float]
# What each reader could have known of the window that it is tested on.
Trust = Literal["before", "declared", "inside", "unknown", "doubted"]
# What is compared: a cutoff that somebody declared and nobody can check is taken at its word, and the word is told.
TRUSTED: frozenset[Trust | None] = frozenset({"before", "declared"})
MEASURES = {"macro_f1": "macro-F1", "accuracy": "accuracy"}


@dataclass(frozen=True)
class Row:
    """What the study says of one reader.

    Attributes
    ----------
    name, kind : str
    failed : str
        Why it could not be carried out; everything below is then None. Empty where it was.
    n : int or None
        Labelled test samples.
    accuracy, macro_f1, ece : float or None
        Fractions in [0, 1].
    log_loss : float or None
        Mean, in nats.
    accuracy_interval, macro_f1_interval : pair of float or None
    probed : dict or None
        See `embargo.research.studies.adapt.carry.ReadBy`.
    unprobed : str
        Why there is none.
    sharpe, sharpe_low, sharpe_high, sharpe_p_value : float or None
        Annual, net of costs; the p-value one-sided, of a true ratio that is not positive. None where it never traded.
    traded : bool or None
        Whether it ever traded; None where there are no prices.
    fit_cpu, fit_wall, fit_cost : float or None
        Once: seconds, and currency.
    article_cpu, article_wall, article_cost : float or None
        Of 1,000 articles: seconds, and currency.
    costs_note : str
        Why there is no cost; empty where there is.
    cutoff : str or None
        Latest instant that anything in it could know, ISO; None if nobody knows.
    trust : {'before', 'declared', 'inside', 'unknown', 'doubted'} or None
        Whether its knowledge ended before the test began: by what it was made from, or as somebody declared. What
        reaches inside, or nobody can tell of, may be memory; what the audit doubts knows the labels of the test.
    trust_note : str
        In words.

    Examples
    --------
    >>> from embargo.research.studies.adapt import Row
    >>> Row("asked", "endpoint", failed="the budget is spent").ran
    False
    """

    name: str
    kind: str
    failed: str = ""
    n: int | None = None
    accuracy: float | None = None
    accuracy_interval: Ends | None = None
    macro_f1: float | None = None
    macro_f1_interval: Ends | None = None
    ece: float | None = None
    log_loss: float | None = None
    probed: dict[str, Any] | None = None
    unprobed: str = ""
    sharpe: float | None = None
    sharpe_low: float | None = None
    sharpe_high: float | None = None
    sharpe_p_value: float | None = None
    traded: bool | None = None
    fit_cpu: float | None = None
    fit_wall: float | None = None
    fit_cost: float | None = None
    article_cpu: float | None = None
    article_wall: float | None = None
    article_cost: float | None = None
    costs_note: str = ""
    cutoff: str | None = None
    trust: Trust | None = None
    trust_note: str = ""

    @property
    def ran(self) -> bool:
        """Whether it was carried out."""
        return not self.failed

    def quality(self, measure: str) -> tuple[float, Ends | None]:
        """Return the figure that the study judges by, with its interval."""
        value = getattr(self, measure)
        assert value is not None
        return float(value), getattr(self, f"{measure}_interval")

    def cost(self, articles: float) -> float:
        """Return the cost of the fit and of so many articles, in currency; infinite where nobody knows it."""
        if self.fit_cost is None or self.article_cost is None:
            return math.inf
        return self.fit_cost + articles * self.article_cost / 1000.0


@dataclass(frozen=True)
class Apart:
    """How far one figure of two readers is apart on the same test.

    Attributes
    ----------
    difference : float or None
        The first's less the second's.
    low, high : float or None
    p_value, p_value_holm : float or None
        Two-sided, of no difference; the second after Holm's correction over all pairs. None where there is nothing to
        test, and ``note`` says why.
    note : str

    Examples
    --------
    >>> from embargo.research.studies.adapt import Apart
    >>> Apart(0.02, -0.01, 0.05, 0.2, 0.6).stands(0.05)
    False
    """

    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_value_holm: float | None = None
    note: str = ""

    def stands(self, significance: float) -> bool:
        """Whether the difference stays significant after Holm's correction."""
        return self.p_value_holm is not None and self.p_value_holm < significance

    def turned(self) -> Apart:
        """Return the second's less the first's."""
        minus = [None if value is None else -value for value in (self.difference, self.high, self.low)]
        return Apart(minus[0], minus[1], minus[2], self.p_value, self.p_value_holm, self.note)


@dataclass(frozen=True)
class Pair:
    """Two readers on the same test.

    Attributes
    ----------
    a, b : str
    macro_f1, accuracy, sharpe : Apart
    log_loss : Apart
        Mean, in nats: the lower the better.

    Examples
    --------
    >>> from embargo.research.studies.adapt import Apart, Pair
    >>> Pair("words", "line", macro_f1=Apart(-0.1, -0.2, -0.05, 0.001, 0.002)).of("line", "macro_f1").difference
    0.1
    """

    a: str
    b: str
    macro_f1: Apart = field(default_factory=Apart)
    accuracy: Apart = field(default_factory=Apart)
    sharpe: Apart = field(default_factory=Apart)
    log_loss: Apart = field(default_factory=Apart)

    def of(self, reader: str, measure: str) -> Apart:
        """Return how far a figure of one of the two is above that of the other."""
        found: Apart = getattr(self, measure)
        return found if reader == self.a else found.turned()


def between(pairs: Sequence[Pair], reader: str, other: str, measure: str) -> Apart:
    """Return how far a figure of a reader is above that of another."""
    return next((pair.of(reader, measure) for pair in pairs if {pair.a, pair.b} == {reader, other}), Apart())
