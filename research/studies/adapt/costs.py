"""What a reader costs: to fit once, for every article after that, and where the cheaper of two changes places.

Seconds are measured in this process and its children while the work is done, never taken from a clock that other work
shares. What was made before, by a run or a study, counts as what it took then; money follows from them by the prices of
the study, or from the tokens that an endpoint charged for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from embargo.models.effort import clocked
from embargo.research.config.adapt import AdaptSection

VOLUMES = (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
HOUR = 3600.0

# How many times the other a cost must be to differ.
APART = 1.25


@dataclass
class Effort:
    """What some work took.

    Attributes
    ----------
    cpu : float
        Seconds of all cores, in this process and its children.
    wall : float
        Seconds that passed.
    gpu : float
        Seconds that a device was held: those that passed, where there is one and the reader computes on it.
    charged : float
        Currency that an endpoint charged.

    Seconds are NaN where some of the work was done before, and nobody wrote down what it took.

    Examples
    --------
    >>> from embargo.research.studies.adapt import Effort
    >>> 2.0 * Effort(cpu=1.0) + Effort(cpu=0.5)
    Effort(cpu=2.5, wall=0.0, gpu=0.0, charged=0.0)
    """

    cpu: float = 0.0
    wall: float = 0.0
    gpu: float = 0.0
    charged: float = 0.0

    def __add__(self, other: Effort) -> Effort:
        return Effort(*(getattr(self, name) + getattr(other, name) for name in vars(self)))

    def __rmul__(self, times: float) -> Effort:
        return Effort(*(times * value for value in vars(self).values()))

    @property
    def known(self) -> bool:
        """Whether all of it was measured."""
        return math.isfinite(self.cpu)

    def money(self, prices: AdaptSection) -> float:
        """Return what it costs in the study's currency."""
        return self.cpu / HOUR * prices.cpu_hour + self.gpu / HOUR * prices.gpu_hour + self.charged


@dataclass(frozen=True)
class ReaderCosts:
    """What a reader costs.

    Attributes
    ----------
    fit : Effort
        Once: fitting and calibrating, the mean of the folds, with the pretraining of a built-in base.
    article : Effort
        Each article, scored afresh.

    Examples
    --------
    >>> from embargo.research.config.adapt import AdaptSection
    >>> from embargo.research.studies.adapt import ReaderCosts, Effort
    >>> costs = ReaderCosts(fit=Effort(cpu=3600.0), article=Effort(cpu=0.036))
    >>> round(costs.at(100_000, AdaptSection(cpu_hour=0.05)), 3)
    0.1
    """

    fit: Effort = field(default_factory=Effort)
    article: Effort = field(default_factory=Effort)

    def at(self, articles: float, prices: AdaptSection) -> float:
        """Return what so many articles cost, the fit among it, in the study's currency."""
        return self.fit.money(prices) + articles * self.article.money(prices)


@contextmanager
def measured(*, on_gpu: bool = False) -> Iterator[Effort]:
    """Measure a block: what is yielded is filled in when the block ends."""
    spent = Effort()
    with clocked() as clock:
        yield spent
    spent.cpu, spent.wall = clock.taken
    spent.gpu = spent.wall if on_gpu else 0.0


def has_gpu() -> bool:
    """Whether models compute on a device."""
    import torch  # loaded here because readers of words do without

    return bool(torch.cuda.is_available())


@dataclass(frozen=True)
class BreakEven:
    """Where two readers cost the same: below ``articles`` the first is cheaper, above it the second.

    Examples
    --------
    >>> from embargo.research.studies.adapt import BreakEven
    >>> BreakEven(few="words", many="line", articles=5e4, cost=0.2).many
    'line'
    """

    few: str
    many: str
    articles: float
    cost: float


def break_evens(lines: Mapping[str, tuple[float, float]]) -> list[BreakEven]:
    """Find where the cost lines of readers cross, over any number of articles above 0.

    Costs that lie within a quarter of each other are alike: they are timings, and those of one fit cross by chance.

    Parameters
    ----------
    lines : mapping of str to (float, float)
        Cost of the fit and of each article, by reader.

    Returns
    -------
    list of BreakEven
        By number of articles. Two readers of which one is dearer in both, or alike in one, have none.

    Examples
    --------
    >>> from embargo.research.studies.adapt import break_evens
    >>> break_evens({"asked": (0.0, 0.002), "tuned": (10.0, 0.001), "dear": (20.0, 0.003)})
    [BreakEven(few='asked', many='tuned', articles=10000.0, cost=20.0)]
    """
    found = []
    for one, other in combinations(lines, 2):
        few, many = sorted((one, other), key=lambda name: lines[name])
        (fixed, each), (higher, less) = lines[few], lines[many]
        if higher > fixed * APART and each > less * APART:
            articles = (higher - fixed) / (each - less)
            # Lines that all but run together cross where no number reaches.
            if math.isfinite(articles):
                found.append(BreakEven(few, many, articles, fixed + articles * each))
    return sorted(found, key=lambda crossing: crossing.articles)


def spent_from(document: Mapping[str, Any]) -> Effort:
    """Read what was written with ``vars``; ValueError where a figure is none."""
    values = {name: float(document[name]) for name in vars(Effort())}
    if not all(math.isfinite(value) and value >= 0.0 for value in values.values()):
        raise ValueError(f"{document} is no cost")
    return Effort(**values)


def mean_of(spent: list[Effort]) -> Effort:
    """Return the mean of some costs."""
    return Effort(*(float(np.mean([getattr(one, name) for one in spent])) for name in vars(Effort())))
