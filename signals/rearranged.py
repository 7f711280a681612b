"""Many rearrangements of one panel of evidence, each turned into weights in one compiled pass.

What comes out is, to the last bit, what `embargo.signals.cross_section.to_signal` and
`embargo.signals.weights.weights_array` make of the rearranged evidence. Settings whose steps are not compiled have no
such pass: who asks is told so, and takes that path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from embargo.signals.aggregation import AggregationSettings, Evidence
from embargo.signals.cross_section import SignalSettings
from embargo.signals.weights import WeightSettings

if TYPE_CHECKING:
    from embargo.signals.compiled import WeightRules

# (rows, columns, signs) of a rearrangement to weights, shape (bars, symbols).
Pass = Callable[[np.ndarray, np.ndarray, "np.ndarray | None"], np.ndarray]


def has_pass(signal: SignalSettings, weights: WeightSettings) -> bool:
    """Tell whether there is a compiled pass for these settings.

    There is none for sums through tanh, holding periods, half-lives in hours, groups, comparisons within the row, the
    few strongest signals, and what needs the symbols' risk.

    Examples
    --------
    >>> from embargo.signals.cross_section import SignalSettings
    >>> from embargo.signals.rearranged import has_pass
    >>> from embargo.signals.weights import WeightSettings
    >>> [has_pass(SignalSettings(), WeightSettings(method)) for method in ("proportional", "top_bottom")]
    [True, False]
    """
    heard = signal.aggregation
    by_bars = heard.half_life_hours is None and heard.holding_bars is None and heard.mode != "sum"
    alone = signal.groups.weight == 0.0 and not signal.cross_section.active
    return by_bars and alone and weights.method != "top_bottom" and not weights.needs_risk


def weights_pass(
    evidence: Evidence,
    signal: SignalSettings,
    weights: WeightSettings,
    *,
    tradable: np.ndarray,
    gate: np.ndarray | None = None,
) -> Pass | None:
    """Return what makes weights of rearrangements of ``evidence``; None where `has_pass` says that there is nothing.

    Parameters
    ----------
    evidence : Evidence, panels of shape (bars, symbols)
    signal : SignalSettings
    weights : WeightSettings
    tradable : bool array, shape (bars, symbols)
    gate : float array, shape (bars,), optional
        In [0, 1].

    Returns
    -------
    callable or None
        Takes ``rows, columns, signs`` as `Evidence.rearranged` does; returns fractions of equity, shape (bars,
        symbols).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.signals import Evidence, SignalSettings, WeightSettings
    >>> from embargo.signals.rearranged import weights_pass
    >>> said = Evidence(np.array([[0.5, 0.0], [0.0, 0.0]]), np.array([[0.5, 0.0], [0.0, 0.0]]), np.eye(2), counts={})
    >>> settings = SignalSettings(), WeightSettings(cap=1.0)
    >>> moved = weights_pass(said, *settings, tradable=np.ones((2, 2), dtype=bool))
    >>> moved(np.array([1, 0]), np.array([1, 0]), None).tolist()
    [[0.0, 0.0], [0.0, 0.5]]
    """
    if not has_pass(signal, weights):
        return None
    # Loading numba takes about a second, which only those who rearrange should pay.
    from embargo.signals import compiled

    said = _unwritten(evidence.numerator), _unwritten(evidence.denominator)
    held = _unwritten(tradable, np.bool_), _unwritten(np.empty(0) if gate is None else gate)
    rules, unturned = _rules(signal.aggregation, weights), np.empty((0, 0), dtype=np.int8)

    def moved(rows: np.ndarray, columns: np.ndarray, signs: np.ndarray | None) -> np.ndarray:
        made = np.empty(said[0].shape)
        places = _unwritten(rows, np.int64), _unwritten(columns, np.int64)
        turned = _unwritten(unturned if signs is None else signs, np.int8)
        compiled.weights_of(*said, *places, turned, *held, rules, made)
        return made

    return moved


def _unwritten(panel: np.ndarray, dtype: type = float) -> np.ndarray:
    """Give an array that cannot be written to, row after row: loops are compiled apart for those that can."""
    view: np.ndarray = np.ascontiguousarray(panel, dtype=dtype).view()
    view.flags.writeable = False
    return view


def _rules(heard: AggregationSettings, weights: WeightSettings) -> WeightRules:
    from embargo.signals import compiled

    half_life = heard.half_life_bars
    return compiled.WeightRules(
        0.5 ** (1.0 / half_life) if half_life > 0.0 else 0.0,
        heard.shrinkage,
        max(weights.min_signal, float(np.finfo(float).tiny)),
        weights.neutral,
        weights.long_only,
        weights.method == "sign",
        weights.gross,
        weights.cap,
        -1.0 if weights.net is None else weights.net,
        weights.band,
    )
