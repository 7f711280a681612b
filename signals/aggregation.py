"""From scored articles to one number per symbol and bar: a shrunk mean, a vote or a saturating sum of decayed evidence.

Everything after ``collect`` is a causal linear filter over the bar axis, so row t depends on rows up to t only, and a
permutation of the evidence can be turned into a signal again in a few milliseconds per thousand bars.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import utc_microseconds
from embargo.signals.recursion import faded_sum

Mode = Literal["mean", "vote", "sum"]
# Half-lives that one block of the hourly filter may span: its scale factors reach 2 ** 500, far from overflow.
_BLOCK = 500.0
_MICROSECONDS_PER_HOUR = 3.6e9


@dataclass(frozen=True)
class AggregationSettings:
    """How articles become a signal.

    Attributes
    ----------
    threshold : float
        Articles with a confidence below this abstain: they count neither for nor against.
    half_life_bars : float
        Bars after which an article weighs half; 0 means that only the row it lands on sees it. Infinity, for constant
        weight until the holding period ends, needs ``holding_bars``.
    shrinkage : float
        Prior weight of "no opinion", in units of one fully confident article; in a vote, as many standing votes to
        hold. The larger, the more articles it takes to reach a strong signal; with 0 a single article keeps full
        strength for ever. A sum has no prior.
    min_articles : int
        A (bar, symbol) cell with fewer articles than this is set aside. Articles of other bars do not help it.
    mode : {"mean", "vote", "sum"}
        ``mean``: weighted mean of net sentiment. ``vote``: each article votes buy, hold or sell, and the signal is the
        share of buy less the share of sell. ``sum``: weighted sum of net sentiment through ``tanh(sum / scale)``.
    hold : float
        In a vote, a net sentiment of this or less in absolute value is a hold, in [0, 1).
    scale : float
        In a sum, the sum at which the signal reaches ``tanh(1) = 0.76``, in fully confident, fully bullish articles.
    half_life_hours : float, optional
        Hours of real time after which an article weighs half, from when it was known to when a row is decided; weekends
        and holidays count. It takes the place of ``half_life_bars``.
    holding_bars : int, optional
        An article is seen by this many rows, the one it lands on included; then it is forgotten.

    Examples
    --------
    >>> from embargo.signals import AggregationSettings
    >>> AggregationSettings(mode='vote', hold=0.1).half_life_bars
    2.0
    """

    threshold: float = 0.0
    half_life_bars: float = 2.0
    shrinkage: float = 0.5
    min_articles: int = 1
    mode: Mode = "mean"
    hold: float = 0.0
    scale: float = 1.0
    half_life_hours: float | None = None
    holding_bars: int | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold <= 1.0:
            raise ConfigError(f"threshold must lie in [0, 1], got {self.threshold}. It is compared with confidences.")
        endless = self.half_life_bars == np.inf and self.holding_bars is not None
        if not (self.half_life_bars >= 0.0 and (np.isfinite(self.half_life_bars) or endless)):
            raise ConfigError(
                f"half_life_bars must be finite and not negative, got {self.half_life_bars}. Infinity needs "
                "holding_bars, or old articles would count for ever."
            )
        if not (np.isfinite(self.shrinkage) and self.shrinkage >= 0.0):
            raise ConfigError(f"shrinkage must be finite and not negative, got {self.shrinkage}.")
        if self.min_articles < 1:
            raise ConfigError(f"min_articles must be at least 1, got {self.min_articles}.")
        if self.mode not in ("mean", "vote", "sum"):
            raise ConfigError(f"mode must be 'mean', 'vote' or 'sum', got {self.mode!r}.")
        if not 0.0 <= self.hold < 1.0:
            raise ConfigError(f"hold must lie in [0, 1), got {self.hold}. It is compared with net sentiment.")
        if not (np.isfinite(self.scale) and self.scale > 0.0):
            raise ConfigError(f"scale must be finite and positive, got {self.scale}.")
        hours = self.half_life_hours
        if hours is not None and not (np.isfinite(hours) and hours > 0.0):
            raise ConfigError(f"half_life_hours must be finite and positive, got {hours}.")
        if self.holding_bars is not None and self.holding_bars < 1:
            raise ConfigError(f"holding_bars must be at least 1, got {self.holding_bars}.")


@dataclass(frozen=True)
class Evidence:
    """Undecayed evidence per bar and symbol.

    Attributes
    ----------
    numerator : float array, shape (bars, symbols)
        Sum of weight times net sentiment, in a vote of weight times +1, 0 or -1, of the articles that land on the bar.
        The weight is confidence times the article's own weight, with an hourly half-life already faded from when the
        article was known to when the bar was decided.
    denominator : float array, shape (bars, symbols)
        Sum of those weights; never smaller than ``abs(numerator)``.
    count : int array, shape (bars, symbols)
        Articles behind the two sums.
    counts : dict
        ``used``, ``abstained`` (below the confidence threshold), ``weightless`` (own weight 0) and ``thin`` (in cells
        below ``min_articles``); they sum to the aligned articles.
    hours : float array, shape (bars,), or None
        Hours from the decision before to this row's, 0 for the first; only with an hourly half-life.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.signals import Evidence
    >>> said = Evidence(np.array([[0.8, 0.0]]), np.array([[1.0, 0.0]]), np.array([[1, 0]]), counts={'used': 1})
    >>> said.rearranged(np.array([0]), np.array([1, 0])).numerator.tolist()
    [[0.0, 0.8]]
    """

    numerator: np.ndarray
    denominator: np.ndarray
    count: np.ndarray
    counts: dict[str, int]
    hours: np.ndarray | None = None

    def rearranged(self, rows: np.ndarray, columns: np.ndarray, signs: np.ndarray | None = None) -> Evidence:
        """Return what was said with bars and symbols exchanged, as a permutation test needs.

        Cell (t, s) takes what stood at (``rows[t]``, ``columns[s]``), turned into its opposite where ``signs[t, s]`` is
        -1. ``hours`` is the clock of the bars themselves and stays.
        """
        cells = np.ix_(rows, columns)
        numerator = self.numerator[cells]
        if signs is not None:
            numerator = numerator * signs
        return replace(self, numerator=numerator, denominator=self.denominator[cells], count=self.count[cells])


def collect(
    row: np.ndarray,
    column: np.ndarray,
    net: np.ndarray,
    confidence: np.ndarray,
    *,
    shape: tuple[int, int],
    settings: AggregationSettings,
    weight: np.ndarray | None = None,
    known_at: pd.Series | pd.DatetimeIndex | None = None,
    decided_at: pd.DatetimeIndex | None = None,
) -> Evidence:
    """Sum the articles of each bar and symbol.

    Parameters
    ----------
    row, column : int arrays, shape (n,)
        Cell of each article; -1 where alignment left it out (counted there, skipped here).
    net : float array, shape (n,)
        Probability bullish minus probability bearish, in [-1, 1].
    confidence : float array, shape (n,)
        In [0, 1].
    shape : (bars, symbols)
    settings : AggregationSettings
    weight : float array, shape (n,), optional
        What else each article counts for, finite and not negative, such as `embargo.signals.articles` gives; 1 without
        it.
    known_at : Series or DatetimeIndex, shape (n,), optional
        UTC; needed by ``half_life_hours`` only.
    decided_at : DatetimeIndex, shape (bars,), optional
        UTC, the one that placed the articles; needed by ``half_life_hours`` only.

    Returns
    -------
    Evidence

    Raises
    ------
    DataError
        If lengths differ, a cell lies outside the panel, a score or weight of an aligned article is missing or out of
        range, instants are needed and missing, or an article is known after the decision of its row.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.signals import AggregationSettings, collect
    >>> settings = AggregationSettings(half_life_bars=1.0)
    >>> row, column = np.array([0, 0, 2]), np.array([0, 1, 0])
    >>> evidence = collect(row, column, np.array([0.8, -0.4, 0.2]), np.ones(3), shape=(4, 2), settings=settings)
    >>> evidence.count.tolist(), evidence.counts['used']
    ([[1, 1], [0, 0], [1, 0], [0, 0]], 3)
    """
    row, column = np.asarray(row, dtype=np.int64), np.asarray(column, dtype=np.int64)
    net, confidence = np.asarray(net, dtype=float), np.asarray(confidence, dtype=float)
    weight = np.ones(len(row)) if weight is None else np.asarray(weight, dtype=float)
    if not len(row) == len(column) == len(net) == len(confidence) == len(weight):
        raise DataError(
            f"collect: {len(row)} rows, {len(column)} columns, {len(net)} scores, {len(confidence)} confidences and "
            f"{len(weight)} weights. Pass one of each per article."
        )
    inside = row >= 0
    age, hours = _ages(row, inside, known_at, decided_at, shape[0], settings)
    row, column, net, confidence, weight = (values[inside] for values in (row, column, net, confidence, weight))
    _check(row, column, net, confidence, weight, shape)
    bars, symbols = shape
    sure, heard = confidence >= settings.threshold, weight > 0.0
    voting = sure & heard
    opinion = np.where(np.abs(net) > settings.hold, np.sign(net), 0.0) if settings.mode == "vote" else net
    worth = confidence * weight
    if settings.half_life_hours is not None:
        worth *= 0.5 ** (age / settings.half_life_hours)
    cell = (row * symbols + column)[voting]
    size = bars * symbols
    count = np.bincount(cell, minlength=size)
    numerator = np.bincount(cell, weights=(worth * opinion)[voting], minlength=size)
    denominator = np.bincount(cell, weights=worth[voting], minlength=size)
    thin = (count > 0) & (count < settings.min_articles)
    dropped = int(count[thin].sum())
    for sums in (count, numerator, denominator):
        sums[thin] = 0
    counts = {
        "used": int(count.sum()),
        "abstained": int((~sure).sum()),
        "weightless": int((sure & ~heard).sum()),
        "thin": dropped,
    }
    return Evidence(numerator.reshape(shape), denominator.reshape(shape), count.reshape(shape), counts, hours)


def _check(
    row: np.ndarray,
    column: np.ndarray,
    net: np.ndarray,
    confidence: np.ndarray,
    weight: np.ndarray,
    shape: tuple[int, int],
) -> None:
    bars, symbols = shape
    if len(row) and (row.max() >= bars or column.max() >= symbols or column.min() < 0):
        raise DataError(f"collect: an article points outside the panel of shape {shape}. Align against the same bars.")
    sane = (np.abs(net) <= 1.0 + 1e-9) & (confidence >= 0.0) & (confidence <= 1.0 + 1e-9)
    if not sane.all():
        first = int(np.argmin(sane))
        raise DataError(
            f"collect: aligned article {first} has net {net[first]} and confidence {confidence[first]}; they must lie "
            "in [-1, 1] and [0, 1]. Score every article that is aligned."
        )
    sane = np.isfinite(weight) & (weight >= 0.0)
    if not sane.all():
        first = int(np.argmin(sane))
        raise DataError(
            f"collect: aligned article {first} has the weight {weight[first]}; it must be finite and not negative."
        )


def _ages(
    row: np.ndarray,
    inside: np.ndarray,
    known_at: pd.Series | pd.DatetimeIndex | None,
    decided_at: pd.DatetimeIndex | None,
    bars: int,
    settings: AggregationSettings,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Hours from each aligned article to its row's decision, and from each decision to the next; None in bar time."""
    if settings.half_life_hours is None:
        return np.empty(0), None
    if known_at is None or decided_at is None or len(known_at) != len(row) or len(decided_at) != bars:
        raise DataError(
            "collect: half_life_hours needs known_at of every article and decided_at of every row. Pass both."
        )
    decided = utc_microseconds(decided_at).astype(np.int64)
    age = decided[row[inside]] - utc_microseconds(known_at).astype(np.int64)[inside]
    if len(age) and age.min() < 0:
        first = int(np.argmin(age))
        raise DataError(
            f"collect: aligned article {first} was known {-age[first] / _MICROSECONDS_PER_HOUR:.3g} hours after the "
            "decision of its row. Pass the decided_at that the articles were aligned with."
        )
    return age / _MICROSECONDS_PER_HOUR, np.diff(decided, prepend=decided[:1]) / _MICROSECONDS_PER_HOUR


def _by_hours(values: np.ndarray, ages: np.ndarray) -> np.ndarray:
    """Decay columns by the clock: ``ages`` are the rows' decisions in half-lives, shape (rows,), increasing.

    Inside a block every row is scaled up to the block's first, summed, and scaled back.
    """
    summed = np.empty_like(values)
    carried = np.zeros(values.shape[1])
    start = 0
    while start < len(values):
        stop = int(np.searchsorted(ages, ages[start] + _BLOCK, side="right"))
        growth = 2.0 ** (ages[start:stop, None] - ages[start])
        block = np.cumsum(values[start:stop] * growth, axis=0)
        block += carried
        block /= growth
        summed[start:stop] = block
        if stop < len(values):
            carried = block[-1] * 0.5 ** (ages[stop] - ages[stop - 1])
        start = stop
    return summed


def _decayed(values: np.ndarray, settings: AggregationSettings, hours: np.ndarray | None) -> np.ndarray:
    """Decay columns over the rows, and forget what has been held long enough; shape (bars, columns)."""
    if not values.any():
        return values
    if hours is not None and settings.half_life_hours is not None:
        ages = np.cumsum(hours) / settings.half_life_hours
        summed = _by_hours(values, ages)
    elif settings.half_life_bars > 0.0:
        ages = np.arange(len(values)) / settings.half_life_bars
        summed = faded_sum(values, 0.5 ** (1.0 / settings.half_life_bars))
    else:
        return values
    holding = settings.holding_bars
    if holding is not None and holding < len(values):
        # An article that has been held long enough is worth by now what it was worth then, times its decay since.
        faded = 0.5 ** (ages[holding:] - ages[:-holding])
        summed[holding:] -= summed[:-holding] * faded[:, None]
    return np.asarray(summed)


def _sums(evidence: Evidence, settings: AggregationSettings) -> tuple[np.ndarray, np.ndarray]:
    """Decayed numerator and denominator; both exactly 0 where nothing that is still held has been said."""
    if settings.half_life_hours is not None and evidence.hours is None:
        raise DataError("decay: this evidence was collected without half_life_hours. Collect it under these settings.")
    # Of no articles at all numpy's bincount makes integers.
    both = np.concatenate([evidence.numerator, evidence.denominator], axis=1, dtype=float)
    numerator, denominator = np.split(_decayed(both, settings, evidence.hours), 2, axis=1)
    if settings.holding_bars is not None:
        # Subtracting leaves rounding residues where nothing is left; article counts are exact.
        said = np.cumsum(evidence.count, axis=0)
        said[settings.holding_bars :] -= said[: -settings.holding_bars].copy()
        silent = (said == 0) | (denominator <= 0.0)
        numerator, denominator = np.where(silent, 0.0, numerator), np.where(silent, 0.0, denominator)
    return numerator, denominator


def decay(evidence: Evidence, settings: AggregationSettings) -> np.ndarray:
    """Turn evidence into a signal: exponentially decayed sums, shrunk towards zero or saturating.

    With ``d = 0.5 ** (1 / half_life_bars)``, or 0.5 to the power of the half-lives that passed between two decisions,
    ``N[t] = d N[t-1] + n[t]`` and ``D[t] = d D[t-1] + c[t]``. The signal is ``N[t] / (D[t] + shrinkage)`` for a mean or
    a vote and ``tanh(N[t] / scale)`` for a sum.

    Parameters
    ----------
    evidence : Evidence, panels of shape (bars, symbols)
    settings : AggregationSettings
        Those of `collect`.

    Returns
    -------
    float array, shape (bars, symbols), in [-1, 1]; exactly 0 where there has been no evidence.

    Raises
    ------
    DataError
        If the half-life is in hours and the evidence has no clock.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.signals import AggregationSettings, Evidence, decay
    >>> one, zero = np.array([[1.0], [0.0], [0.0]]), np.array([[1], [0], [0]])
    >>> decay(Evidence(one, one, zero, counts={}), AggregationSettings(half_life_bars=1.0)).round(3).tolist()
    [[0.667], [0.5], [0.333]]
    """
    numerator, denominator = _sums(evidence, settings)
    if settings.mode == "sum":
        return np.asarray(np.tanh(numerator / settings.scale))
    weight = denominator + settings.shrinkage
    signal = np.divide(numerator, weight, out=np.zeros_like(weight), where=denominator > 0.0)
    return np.asarray(np.clip(signal, -1.0, 1.0, out=signal))


def heard(evidence: Evidence, settings: AggregationSettings, least: float) -> np.ndarray:
    """Mark the cells whose decayed evidence weighs at least ``least`` fully confident articles; bool, panel's shape."""
    return np.asarray(_sums(evidence, settings)[1] >= max(least, np.finfo(float).tiny))


def half_life_in_bars(settings: AggregationSettings, decided_at: pd.DatetimeIndex) -> float:
    """Half-life in bars, an hourly one by the median distance of two decisions; how far a signal remembers.

    Parameters
    ----------
    settings : AggregationSettings
    decided_at : DatetimeIndex, shape (bars,)
        At least two decisions, UTC.

    Returns
    -------
    float
        Bars; no longer than the holding period.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.signals import AggregationSettings, half_life_in_bars
    >>> days = pd.date_range('2024-01-01 14:30', periods=4, tz='UTC')
    >>> half_life_in_bars(AggregationSettings(half_life_hours=36.0), days)
    1.5
    """
    half_life = settings.half_life_bars
    if settings.half_life_hours is not None:
        gaps = np.diff(utc_microseconds(decided_at).astype(np.int64)) / _MICROSECONDS_PER_HOUR
        half_life = settings.half_life_hours / float(np.median(gaps))
    return half_life if settings.holding_bars is None else min(half_life, float(settings.holding_bars))
