"""The rows of a comparison's frames as typed values: what its tables, charts and sentences read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from embargo.research.pages.tables import rows_of

if TYPE_CHECKING:
    from embargo.research.studies.compare.comparison import Comparison


class Fared(NamedTuple):
    """How one run fared in one regime: a row of ``Comparison.cells``; rates are fractions, Sharpe ratios a year."""

    definition: str
    regime: str
    run: str
    n_bars: int
    share: float
    sharpe: float | None
    low: float | None
    high: float | None
    p_value: float | None
    annual_return: float | None
    annual_volatility: float | None
    max_drawdown: float | None
    note: str


class Difference(NamedTuple):
    """How far one run is from the base in one regime: a row of ``Comparison.differences``."""

    definition: str
    regime: str
    run: str
    n_bars: int
    sharpe: float | None
    base_sharpe: float | None
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    p_value_holm: float | None
    detectable: float | None
    probability: float | None
    equal: float | None
    bayes_factor: float | None
    note: str


class PairQuestion(NamedTuple):
    """The answer of one other test: a row of ``Comparison.questions``."""

    run: str
    question: str
    test: str
    estimate: float
    low: float | None
    high: float | None
    p_value: float | None
    n: str
    unit: str


def fared(found: Comparison) -> list[Fared]:
    """Rows of all runs in all regimes, all bars first."""
    return rows_of(found.cells, Fared)


def differences(found: Comparison) -> list[Difference]:
    """Rows of all runs but the base, all bars first."""
    return rows_of(found.differences, Difference)


def questions(found: Comparison) -> list[PairQuestion]:
    """Rows of all other tests, run by run."""
    return rows_of(found.questions, PairQuestion)
