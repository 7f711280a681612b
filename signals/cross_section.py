"""How a symbol's signal compares: with its own past, and with the other symbols of the same row.

Rows see themselves, and a symbol's past only through earlier rows, so that cutting the future changes nothing. Only
tradable symbols with a signal are compared; everything else is exactly 0, "none", in and out. `to_signal` is the one
way from evidence to the panel that becomes weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.signals.aggregation import AggregationSettings, Evidence, decay, heard
from embargo.signals.sectors import GroupSettings, fill_from_groups, group_means

# Below this share of its mean square a variance is rounding, not movement; running sums over decades round more.
_ROUNDING, _RUNNING_ROUNDING = 1e-12, 1e-9


@dataclass(frozen=True)
class CrossSectionSettings:
    """How a panel of signals is standardised; by default not at all.

    The steps follow one another in the order of the attributes.

    Attributes
    ----------
    min_signal : float
        A signal weaker than this in absolute value is none: a rank would blow up what is left of last year's article.
        Heeded only if one of the steps below is taken.
    standardise : {"none", "rolling", "expanding"}
        Against the symbol's own earlier signals: their mean and standard deviation over the ``window`` rows before, or
        over all rows before. Divided by ``limit`` and cut off at -1 and 1.
    window : int
        Rows that a rolling history reaches back.
    minimum : int
        Earlier signals of the symbol that it takes; a symbol with fewer has no signal yet.
    winsorise : float
        Share of each row's tail, in [0, 0.5), that is pulled in to the quantile there.
    method : {"none", "zscore", "rank"}
        Within the row: ``zscore`` divided by ``limit`` and cut off at -1 and 1, or ``rank``, lowest -1, highest 1.
    limit : float
        Standard deviations that make a full signal.
    neutral : {"none", "market", "sector"}
        Less the mean of the row, or of the symbol's sector in the row; symbols without a sector form one.

    Examples
    --------
    >>> from embargo.signals import CrossSectionSettings
    >>> CrossSectionSettings().active, CrossSectionSettings(method='rank').active
    (False, True)
    """

    min_signal: float = 0.02
    standardise: Literal["none", "rolling", "expanding"] = "none"
    window: int = 60
    minimum: int = 20
    winsorise: float = 0.0
    method: Literal["none", "zscore", "rank"] = "none"
    limit: float = 3.0
    neutral: Literal["none", "market", "sector"] = "none"

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("standardise", self.standardise, ("none", "rolling", "expanding")),
            ("method", self.method, ("none", "zscore", "rank")),
            ("neutral", self.neutral, ("none", "market", "sector")),
        ):
            if value not in choices:
                raise ConfigError(f"cross_section.{name} must be one of {', '.join(choices)}, got {value!r}.")
        if not 0.0 <= self.min_signal < 1.0:
            raise ConfigError(f"cross_section.min_signal must lie in [0, 1), got {self.min_signal}.")
        if self.minimum < 2:
            raise ConfigError(f"cross_section.minimum must be at least 2, got {self.minimum}: one value has no spread.")
        if self.window < self.minimum and self.standardise == "rolling":
            raise ConfigError(
                f"cross_section.window ({self.window}) must not be shorter than minimum ({self.minimum}): no symbol "
                "would ever have a signal."
            )
        if not 0.0 <= self.winsorise < 0.5:
            raise ConfigError(f"cross_section.winsorise must lie in [0, 0.5), got {self.winsorise}. It is one tail.")
        if not (np.isfinite(self.limit) and self.limit > 0.0):
            raise ConfigError(f"cross_section.limit must be finite and positive, got {self.limit}.")

    @property
    def active(self) -> bool:
        """Whether any step is taken."""
        chosen = (self.standardise, self.method, self.neutral)
        return self.winsorise > 0.0 or any(choice != "none" for choice in chosen)


@dataclass(frozen=True)
class SignalSettings:
    """Everything between evidence and signal.

    Attributes
    ----------
    aggregation : AggregationSettings
        How articles add up and fade.
    groups : GroupSettings
        What symbols without news take from others.
    cross_section : CrossSectionSettings
        How symbols are compared.

    Examples
    --------
    >>> from embargo.signals import CrossSectionSettings, SignalSettings
    >>> SignalSettings(cross_section=CrossSectionSettings(method='rank')).cross_section.limit
    3.0
    """

    aggregation: AggregationSettings = field(default_factory=AggregationSettings)
    groups: GroupSettings = field(default_factory=GroupSettings)
    cross_section: CrossSectionSettings = field(default_factory=CrossSectionSettings)


@dataclass(frozen=True)
class Signal:
    """A signal panel, row t known before bar t opens.

    Attributes
    ----------
    values : float array, shape (bars, symbols)
        In [-1, 1], never missing; exactly 0 is none.
    counts : dict
        Cells that groups filled and that the cross-section left out, under the names of `fill_from_groups` and
        `compare`; empty if neither is asked for.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.signals import Signal
    >>> Signal(values=np.zeros((4, 2)), counts={}).values.shape
    (4, 2)
    """

    values: np.ndarray
    counts: dict[str, int]


def zscore(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Standardise each row over its present symbols, with the population's standard deviation.

    Parameters
    ----------
    values : float array, shape (bars, symbols)
    present : bool array, shape (bars, symbols)

    Returns
    -------
    float array, shape (bars, symbols)
        Standard deviations from the row's mean; 0 where absent, and in rows that are alone or all alike.
    """
    number = np.maximum(present.sum(axis=1, keepdims=True), 1)
    kept = np.where(present, values, 0.0)
    apart = np.where(present, kept - kept.sum(axis=1, keepdims=True) / number, 0.0)
    variance = (apart**2).sum(axis=1, keepdims=True) / number
    square = (kept**2).sum(axis=1, keepdims=True) / number
    moves = variance > _ROUNDING * square
    return np.asarray(np.divide(apart, np.sqrt(variance), out=np.zeros_like(apart), where=moves))


def rank(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Rank each row's present symbols, lowest -1 and highest 1, equal values the mean of their places.

    Returns
    -------
    float array, shape (bars, symbols)
        Each row sums to 0; 0 where absent and where a symbol is alone.
    """
    bars, symbols = values.shape
    if not symbols:
        return np.zeros(values.shape)
    order = np.argsort(np.where(present, values, np.inf), axis=1, kind="stable")
    ordered = np.take_along_axis(np.where(present, values, np.inf), order, axis=1)
    places = np.arange(symbols)
    fresh = np.ones((bars, symbols), dtype=bool)
    fresh[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.maximum.accumulate(np.where(fresh, places, 0), axis=1)
    ends = np.ones((bars, symbols), dtype=bool)
    ends[:, :-1] = fresh[:, 1:]
    last = np.minimum.accumulate(np.where(ends, places, symbols)[:, ::-1], axis=1)[:, ::-1]
    number = present.sum(axis=1, keepdims=True)
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last - (number - 1.0)) / np.maximum(number - 1.0, 1.0), axis=1)
    return np.asarray(np.where(present & (number > 1), ranks, 0.0))


def winsorise(values: np.ndarray, present: np.ndarray, share: float) -> np.ndarray:
    """Pull the tails of each row in to its quantiles ``share`` and ``1 - share``, interpolated, over present symbols.

    Returns
    -------
    float array, shape (bars, symbols); 0 where absent.
    """
    number = present.sum(axis=1)
    if not values.shape[1]:
        return np.zeros(values.shape)
    ordered = np.sort(np.where(present, values, np.inf), axis=1)
    place = share * np.maximum(number - 1, 0)
    bounds = []
    for at in (place, np.maximum(number - 1, 0) - place):
        below = np.floor(at).astype(np.int64)
        above = np.minimum(below + 1, np.maximum(number - 1, 0))
        low, high = (np.take_along_axis(ordered, side[:, None], axis=1) for side in (below, above))
        with np.errstate(invalid="ignore"):
            bounds.append(np.where(number[:, None] > 0, low + (high - low) * (at - below)[:, None], 0.0))
    return np.where(present, np.clip(np.where(present, values, 0.0), bounds[0], bounds[1]), 0.0)


def neutralise(values: np.ndarray, present: np.ndarray, codes: np.ndarray | None) -> np.ndarray:
    """Subtract from each present symbol the mean of its row, or with ``codes`` of its group in the row.

    Parameters
    ----------
    codes : int array, shape (symbols,), or None
        Group of each symbol, -1 a group like any other; None takes the row as one.

    Returns
    -------
    float array, shape (bars, symbols)
        Each group of each row sums to 0; 0 where absent and where a symbol is alone in its group.
    """
    together = np.zeros(values.shape[1], dtype=np.int64) if codes is None else codes
    means, members = group_means(values, present, together)
    return np.where(present & (members > 1), values - means, 0.0)


def standardise(values: np.ndarray, present: np.ndarray, *, window: int | None, minimum: int) -> np.ndarray:
    """Standardise each symbol against its own earlier rows: ``(x[t] - mean) / sd`` over present rows before t.

    Parameters
    ----------
    values : float array, shape (bars, symbols)
    present : bool array, shape (bars, symbols)
    window : int or None
        Rows that the history reaches back, from t - window to t - 1; None for all of them.
    minimum : int
        Present rows that the history must hold.

    Returns
    -------
    float array, shape (bars, symbols)
        In the symbol's own standard deviations (population's); NaN where absent, where the history is too short, and
        where it never moved.
    """
    bars = len(values)
    history = np.zeros((3, bars + 1, values.shape[1]))
    kept = np.where(present, values, 0.0)
    for totals, what in zip(history, (present.astype(float), kept, kept**2), strict=True):
        np.cumsum(what, axis=0, out=totals[1:])
    past = history[:, :-1]
    if window is not None and window < bars:
        past = past.copy()
        past[:, window:] -= history[:, : bars - window]
    number, total, squares = past
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, square = total / number, squares / number
        variance = square - mean**2
        usable = present & (number >= minimum) & (variance > _RUNNING_ROUNDING * square)
        return np.where(usable, (values - mean) / np.sqrt(variance), np.nan)


def compare(
    signal: np.ndarray, settings: CrossSectionSettings, *, tradable: np.ndarray | None, sectors: np.ndarray | None
) -> Signal:
    """Take the steps of ``settings``, each over the tradable symbols that still have a signal.

    Parameters
    ----------
    signal : float array, shape (bars, symbols)
        0 or NaN is none.
    settings : CrossSectionSettings
    tradable : bool array, shape (bars, symbols), or None for everywhere
    sectors : int array, shape (symbols,), or None
        From `sectors.group_codes`; needed by ``neutral = "sector"``.

    Returns
    -------
    Signal
        Counts: ``untradable`` and ``faint`` (below ``min_signal``) cells that had a signal, ``short_history`` cells
        that lost theirs to `standardise`, and ``incomparable`` cells alone in their row.

    Raises
    ------
    ConfigError
        If sectors are needed and not given.
    DataError
        If a signal is infinite or the shapes differ.
    """
    if settings.neutral == "sector" and sectors is None:
        raise ConfigError(
            "cross_section.neutral = 'sector' needs the sectors of the symbols. Name them, or use market."
        )
    if np.isinf(signal).any():
        row, column = np.argwhere(np.isinf(signal))[0]
        raise DataError(f"cross-section: the signal at row {row}, column {column} is infinite. Write 0 for none.")
    if tradable is not None and np.shape(tradable) != signal.shape:
        raise DataError(f"cross-section: signal has shape {signal.shape}, tradable {np.shape(tradable)}.")
    values = np.nan_to_num(signal, nan=0.0)
    some = values != 0.0
    allowed = some if tradable is None else some & tradable
    present = allowed & (np.abs(values) >= settings.min_signal)
    counts = {"untradable": int((some & ~allowed).sum()), "faint": int((allowed & ~present).sum())}
    if settings.standardise != "none":
        window = settings.window if settings.standardise == "rolling" else None
        # History is what was said, tradable or not: whether a symbol trades today does not change its past.
        said = some & (np.abs(values) >= settings.min_signal)
        against = standardise(values, said, window=window, minimum=settings.minimum)
        known = present & np.isfinite(against)
        counts["short_history"] = int((present & ~known).sum())
        present, values = known, np.clip(np.where(known, against, 0.0) / settings.limit, -1.0, 1.0)
    values = np.where(present, values, 0.0)
    counts["incomparable"] = 0
    if settings.method != "none" or settings.neutral != "none":
        counts["incomparable"] = int((present & (present.sum(axis=1, keepdims=True) == 1)).sum())
    if settings.winsorise > 0.0:
        values = winsorise(values, present, settings.winsorise)
    if settings.method == "zscore":
        values = np.clip(zscore(values, present) / settings.limit, -1.0, 1.0)
    elif settings.method == "rank":
        values = rank(values, present)
    if settings.neutral != "none":
        values = neutralise(values, present, sectors if settings.neutral == "sector" else None)
        # Demeaning can reach beyond 1; scaling the whole row keeps it neutral.
        values = values / np.maximum(np.abs(values).max(axis=1, keepdims=True, initial=0.0), 1.0)
    return Signal(values, counts)


def to_signal(
    evidence: Evidence,
    settings: SignalSettings,
    *,
    tradable: np.ndarray | None = None,
    sectors: np.ndarray | None = None,
) -> Signal:
    """Go from evidence to the signal: decay, fill from groups, compare.

    Parameters
    ----------
    evidence : Evidence, panels of shape (bars, symbols)
    settings : SignalSettings
    tradable : bool array, shape (bars, symbols), or None for everywhere
        From `embargo.signals.weights.tradable_mask`.
    sectors : int array, shape (symbols,), or None
        From `sectors.group_codes`.

    Returns
    -------
    Signal
        With default groups and cross-section exactly what `decay` returns.

    Raises
    ------
    ConfigError
        If sectors are needed and not given.
    DataError
        If shapes differ, or the evidence lacks the clock that an hourly half-life needs.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.signals import AggregationSettings, SignalSettings, collect, to_signal
    >>> settings = AggregationSettings(half_life_bars=1.0)
    >>> row, column = np.array([0, 0, 2]), np.array([0, 1, 0])
    >>> evidence = collect(row, column, np.array([0.8, -0.4, 0.2]), np.ones(3), shape=(4, 2), settings=settings)
    >>> to_signal(evidence, SignalSettings(settings)).values.round(3).tolist()
    [[0.533, -0.267], [0.4, -0.2], [0.229, -0.133], [0.178, -0.08]]
    """
    values = decay(evidence, settings.aggregation)
    counts: dict[str, int] = {}
    if settings.groups.weight > 0.0:
        own = heard(evidence, settings.aggregation, settings.groups.min_evidence)
        values, filled = fill_from_groups(values, own, sectors, settings.groups.weight)
        counts |= filled
    if settings.cross_section.active:
        compared = compare(values, settings.cross_section, tradable=tradable, sectors=sectors)
        values, counts = compared.values, counts | compared.counts
    return Signal(values, counts)
