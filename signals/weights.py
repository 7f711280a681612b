"""From a signal panel to target weights: fractions of equity that the account can really hold.

The promises: ``sum(|w|) <= gross``, ``|sum(w)| <= net`` and ``|w| <= cap`` in every row, exactly 0 (never missing)
where a symbol is not tradable or has no signal, and row t depends on what is known at row t only. Gross exposure above
1 must be asked for as ``leverage``, because an account without margin would fill less than asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.signals.recursion import faded_sum

SizingMethod = Literal["proportional", "sign", "top_bottom"]

# What a book earned longer ago than this weighs less than a thousandth in its volatility.
_MEMORY_HALF_LIVES = 10.0


@dataclass(frozen=True)
class WeightSettings:
    """How a signal becomes positions.

    Attributes
    ----------
    method : {"proportional", "sign", "top_bottom"}
        ``proportional``: in proportion to the signal; the full gross exposure is used once the absolute signals of a
        row sum to 1 or more, so a lone fading article holds a fading position. ``sign``: equal positions in every
        symbol with a signal. ``top_bottom``: equal positions, long the k highest positive and short the k lowest
        negative signals.
    gross : float
        Largest sum of absolute weights, as a fraction of equity, in (0, leverage].
    cap : float
        Largest absolute weight of one symbol, as a fraction of equity, in (0, leverage].
    neutral : bool
        Dollar-neutral: signals are demeaned over the tradable symbols with a signal, and after capping the larger side
        is scaled down to the smaller one. A row with a one-sided book then holds nothing.
    long_only : bool
        Negative signals count as no signal.
    band : float
        No-trade band: a target that moved by less than this since the weight last set keeps that weight. Exits to
        zero are always made. With ``neutral`` the band may leave a net exposure of up to ``band`` per symbol.
    k : int
        Positions per side for ``top_bottom``.
    min_signal : float
        Signals weaker than this in absolute value count as no signal.
    leverage : float
        Gross exposure that the account allows, at least 1; 1 is an account without margin.
    net : float or None
        Largest absolute sum of the weights, as a fraction of equity; the larger side is scaled down to it. None: no
        limit of its own.
    inverse_volatility : bool
        Positions are divided by the symbol's trailing volatility, so that equal signals carry equal risk.
    target_volatility : float or None
        The whole book is scaled until its ex-ante volatility is this fraction per year (0.1 = 10 % a year), or until
        ``gross``, ``cap`` or ``net`` stops it. None: no target.

    Examples
    --------
    >>> from embargo.signals import WeightSettings
    >>> WeightSettings(target_volatility=0.1).needs_risk
    True
    """

    method: SizingMethod = "proportional"
    gross: float = 1.0
    cap: float = 0.10
    neutral: bool = False
    long_only: bool = False
    band: float = 0.0
    k: int = 5
    min_signal: float = 0.02
    leverage: float = 1.0
    net: float | None = None
    inverse_volatility: bool = False
    target_volatility: float | None = None

    def __post_init__(self) -> None:
        if self.method not in ("proportional", "sign", "top_bottom"):
            raise ConfigError(f"method must be 'proportional', 'sign' or 'top_bottom', got {self.method!r}.")
        self._check_exposure()
        if self.neutral and self.long_only:
            raise ConfigError("neutral and long_only exclude each other: a neutral book needs shorts. Choose one.")
        if not 0.0 <= self.band < 1.0:
            raise ConfigError(f"band must lie in [0, 1), got {self.band}. It is a fraction of equity.")
        if self.k < 1:
            raise ConfigError(f"k must be at least 1, got {self.k}.")
        if not 0.0 <= self.min_signal < 1.0:
            raise ConfigError(f"min_signal must lie in [0, 1), got {self.min_signal}.")

    def _check_exposure(self) -> None:
        if not 1.0 <= self.leverage < np.inf:
            raise ConfigError(f"leverage must be at least 1 and finite, got {self.leverage}. It allows, gross uses.")
        if not 0.0 < self.gross <= self.leverage:
            raise ConfigError(
                f"gross must lie in (0, leverage = {self.leverage:g}], got {self.gross}. An account without margin "
                "holds no more than its equity: raise 'leverage' if yours has margin."
            )
        if not 0.0 < self.cap <= self.leverage:
            raise ConfigError(
                f"cap must lie in (0, leverage = {self.leverage:g}], got {self.cap}. It limits one symbol's weight."
            )
        if self.net is not None and not 0.0 <= self.net < np.inf:
            raise ConfigError(f"net must be at least 0, got {self.net}. It limits the absolute sum of the weights.")
        if self.target_volatility is not None and not 0.0 < self.target_volatility < np.inf:
            raise ConfigError(f"target_volatility must be positive, got {self.target_volatility}. 0.1 is 10 % a year.")

    @property
    def needs_risk(self) -> bool:
        """Whether weights can only be made with trailing risk at hand."""
        return self.inverse_volatility or self.target_volatility is not None


@dataclass(frozen=True)
class Risk:
    """What was known of the symbols' risk when each row was decided.

    Attributes
    ----------
    returns : float array, shape (all bars, symbols)
        Close-to-close returns, 0 where a symbol did not trade.
    scale : float array, shape (rows, symbols)
        What a symbol's returns are multiplied by so that the bars before it was listed do not look calm; at least 1.
    volatility : float array, shape (rows, symbols)
        Trailing, per year; NaN where too little was known.
    last_closed : int array, shape (rows,)
        Newest bar of ``returns`` that each row may look at, -1 for none.
    half_life : float
        Bars.
    periods_per_year : float

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.signals import trailing_risk
    >>> close = pd.DataFrame({'A': 100.0 * 1.01 ** np.arange(30)})
    >>> risk = trailing_risk(close, np.arange(30) - 1, periods_per_year=252)
    >>> risk.volatility.shape, risk.rows(slice(25, 30)).volatility.round(3)[0].tolist()
    ((30, 1), [0.159])
    """

    returns: np.ndarray
    scale: np.ndarray
    volatility: np.ndarray
    last_closed: np.ndarray
    half_life: float
    periods_per_year: float

    def rows(self, rows: slice) -> Risk:
        """Return the risk known at some of the rows."""
        return replace(
            self, scale=self.scale[rows], volatility=self.volatility[rows], last_closed=self.last_closed[rows]
        )


def trailing_risk(
    close: pd.DataFrame,
    last_closed: np.ndarray,
    *,
    half_life: float = 21.0,
    warm_up: int = 21,
    periods_per_year: float,
) -> Risk:
    """Estimate risk from the bars that had closed when each row was decided, exponentially weighted.

    Volatility is the root of the weighted mean of squared returns, around 0 as in RiskMetrics: over short windows the
    mean return is noise. Through a gap the last price stands, and the return after it covers the gap.

    Parameters
    ----------
    close : DataFrame, shape (bars, symbols)
        NaN where a symbol did not trade.
    last_closed : int array, shape (bars,)
        From ``calendars.last_closed_bar``; -1 where no bar had closed yet.
    half_life : float
        Bars after which a return weighs half.
    warm_up : int
        Returns that a symbol needs before its volatility counts as known.
    periods_per_year : float

    Returns
    -------
    Risk

    Raises
    ------
    ConfigError
        If a setting is out of range.
    DataError
        If the lengths differ, or a row claims a bar that closes after it opens.

    References
    ----------
    J.P. Morgan and Reuters (1996), "RiskMetrics Technical Document", 4th edition, section 5.2.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.signals import trailing_risk
    >>> moves = np.random.default_rng(1).normal(0.0, [0.01, 0.03], (250, 2))
    >>> close = pd.DataFrame(100.0 * np.exp(moves.cumsum(axis=0)), columns=['A', 'B'])
    >>> trailing_risk(close, np.arange(250) - 1, periods_per_year=252).volatility[-1].round(3).tolist()
    [0.148, 0.424]
    """
    if not (np.isfinite(half_life) and half_life > 0.0) or warm_up < 1:
        raise ConfigError(f"risk: half_life must be positive and warm_up at least 1, got {half_life} and {warm_up}.")
    last_closed = np.asarray(last_closed, dtype=np.int64)
    if len(last_closed) != len(close):
        raise DataError(f"risk: {len(close)} bars but {len(last_closed)} positions. Use the same bars.")
    late = last_closed >= np.arange(len(close))
    if late.any():
        row = int(np.argmax(late))
        raise DataError(f"risk: row {row} claims that bar {last_closed[row]} had closed before it was decided.")
    price = close.ffill().to_numpy(dtype=float)
    returns = np.full(price.shape, np.nan)
    returns[1:] = price[1:] / price[:-1] - 1.0
    seen = np.isfinite(returns)
    returns = np.where(seen, returns, 0.0)
    keep = 0.5 ** (1.0 / half_life)
    squares = faded_sum(returns**2, keep)
    weight = faded_sum(seen.astype(float), keep)
    every = faded_sum(np.r_[0.0, np.ones(max(len(price) - 1, 0))][: len(price)], keep)[:, None]
    number = np.cumsum(np.where(close.notna().to_numpy(), seen, False), axis=0)
    known = (number >= warm_up) & (squares > 0.0)
    variance = np.divide(squares, weight, out=np.full(price.shape, np.nan), where=known)
    scale = np.sqrt(np.divide(every, weight, out=np.ones(price.shape), where=known))
    at = np.maximum(last_closed, 0)
    volatility = np.where((last_closed >= 0)[:, None], np.sqrt(variance * periods_per_year)[at], np.nan)
    return Risk(returns, scale[at], volatility, last_closed, float(half_life), float(periods_per_year))


def book_volatility(weights: np.ndarray, risk: Risk) -> np.ndarray:
    """Ex-ante volatility of each row's book, fraction per year: the root of ``w' C w``.

    ``C`` is the exponentially weighted covariance of the symbols' returns up to the newest bar closed at the decision;
    what the book of today would have earned on those bars gives the same figure without forming it.

    Parameters
    ----------
    weights : float array, shape (rows, symbols)
    risk : Risk
        Of the same rows.

    Returns
    -------
    float array, shape (rows,); 0 for an empty book or where no bar had closed.
    """
    reach = int(np.ceil(_MEMORY_HALF_LIVES * risk.half_life)) + 1
    fading = 0.5 ** (np.arange(reach) / risk.half_life)[::-1]
    exposed = weights * risk.scale
    variance = np.zeros(len(weights))
    for row in np.flatnonzero((weights != 0.0).any(axis=1) & (risk.last_closed >= 1)):
        stop = risk.last_closed[row] + 1
        # The first bar has no return.
        window = risk.returns[max(1, stop - reach) : stop]
        earned = window @ exposed[row]
        fade = fading[-len(earned) :]
        variance[row] = (fade @ earned**2) / fade.sum()
    return np.asarray(np.sqrt(variance * risk.periods_per_year))


def regime_gate(labels: pd.Series, multipliers: Mapping[str, float]) -> pd.Series:
    """Turn regimes known at each decision into the share of the book that is held.

    Parameters
    ----------
    labels : Series of str, shape (bars,)
        Regime of each row, from bars closed before it was decided (``embargo.backtest.regimes``).
    multipliers : mapping of label to float
        In [0, 1]; a label that is not named keeps the whole book.

    Returns
    -------
    Series of float, shape (bars,)

    Raises
    ------
    ConfigError
        If a multiplier is out of range.
    DataError
        If a row has no label.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.signals import regime_gate
    >>> regime_gate(pd.Series(['bull', 'bear', 'unlabelled']), {'bear': 0.25}).tolist()
    [1.0, 0.25, 1.0]
    """
    for label, multiplier in multipliers.items():
        if not 0.0 <= multiplier <= 1.0:
            raise ConfigError(f"regime gate: {label!r} must lie in [0, 1], got {multiplier}. A gate only takes away.")
    if labels.isna().any():
        raise DataError(f"regime gate: no label at {labels.index[labels.isna()][0]}. Label the warm-up too.")
    return labels.map(lambda label: float(multipliers.get(str(label), 1.0))).astype(float).rename("gate")


def tradable_mask(close: pd.DataFrame, last_closed: np.ndarray) -> pd.DataFrame:
    """Symbols that are known to trade when each row is decided.

    Whether a symbol will have an opening price is not known before the open, so the mask asks instead whether it had a
    closing price in the newest bar that was already closed.

    Parameters
    ----------
    close : DataFrame, shape (bars, symbols)
    last_closed : int array, shape (bars,)
        From ``calendars.last_closed_bar``; -1 where no bar had closed yet.

    Returns
    -------
    DataFrame of bool, shape (bars, symbols)
        Rows without a closed bar are all False.

    Raises
    ------
    DataError
        If the lengths differ.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.signals import tradable_mask
    >>> close = pd.DataFrame({'A': [10.0, 10.1, 10.2], 'B': [5.0, np.nan, 5.1]})
    >>> tradable_mask(close, np.arange(3) - 1).to_numpy().tolist()
    [[False, False], [True, True], [True, False]]
    """
    last_closed = np.asarray(last_closed, dtype=np.int64)
    if len(last_closed) != len(close):
        raise DataError(f"tradable_mask: {len(close)} bars but {len(last_closed)} positions. Use the same bars.")
    present = close.notna().to_numpy()[np.maximum(last_closed, 0)] & (last_closed >= 0)[:, None]
    return pd.DataFrame(present, index=close.index, columns=close.columns)


def _extremes(signal: np.ndarray, eligible: np.ndarray, k: int) -> np.ndarray:
    """Mark the k strongest eligible entries of each row; equal signals go to the earlier column."""
    order = np.argsort(np.where(eligible, -signal, np.inf), axis=1, kind="stable")[:, :k]
    chosen = np.zeros(signal.shape, dtype=bool)
    np.put_along_axis(chosen, order, True, axis=1)
    return np.asarray(chosen & eligible)


def _balanced(weights: np.ndarray) -> np.ndarray:
    """Scale down the larger side of each row so that longs and shorts are worth the same."""
    longs = np.maximum(weights, 0.0).sum(axis=1, keepdims=True)
    shorts = -np.minimum(weights, 0.0).sum(axis=1, keepdims=True)
    side = np.minimum(longs, shorts)
    up = np.divide(side, longs, out=np.zeros_like(side), where=longs > 0.0)
    down = np.divide(side, shorts, out=np.zeros_like(side), where=shorts > 0.0)
    return np.asarray(np.where(weights > 0.0, weights * up, weights * down))


def _within_net(weights: np.ndarray, net: float) -> np.ndarray:
    """Scale down the larger side of each row until longs less shorts are at most ``net``."""
    longs = np.maximum(weights, 0.0).sum(axis=-1, keepdims=True)
    shorts = -np.minimum(weights, 0.0).sum(axis=-1, keepdims=True)
    up = np.divide(shorts + net, longs, out=np.ones_like(longs), where=longs > shorts + net)
    down = np.divide(longs + net, shorts, out=np.ones_like(shorts), where=shorts > longs + net)
    return np.asarray(np.where(weights > 0.0, weights * up, weights * down))


def _even_risk(raw: np.ndarray, volatility: np.ndarray) -> np.ndarray:
    """Divide by volatility, relative to the harmonic mean of the row, so that a lone position keeps its size."""
    held = raw != 0.0
    inverse = np.divide(1.0, volatility, out=np.zeros_like(raw), where=held)
    usual = inverse.sum(axis=1, keepdims=True) / np.maximum(held.sum(axis=1, keepdims=True), 1)
    return np.asarray(raw * np.divide(inverse, usual, out=np.zeros_like(raw), where=usual > 0.0))


def _at_target(weights: np.ndarray, settings: WeightSettings, risk: Risk) -> np.ndarray:
    """Scale each row to the target volatility, or as far towards it as gross, cap and net allow."""
    expected = book_volatility(weights, risk)
    limits = [
        (settings.target_volatility, expected),
        (settings.gross, np.abs(weights).sum(axis=1)),
        (settings.cap, np.abs(weights).max(axis=1, initial=0.0)),
        (settings.net, np.abs(weights.sum(axis=1))),
    ]
    factor = np.full(len(weights), np.inf)
    for limit, used in limits:
        if limit is not None:
            np.minimum(factor, np.divide(limit, used, out=np.full(len(used), np.inf), where=used > 1e-12), out=factor)
    return np.asarray(weights * np.where(np.isfinite(factor) & (expected > 0.0), factor, 0.0)[:, None])


def _with_band(target: np.ndarray, settings: WeightSettings) -> np.ndarray:
    held = np.zeros_like(target)
    previous = np.zeros(target.shape[1])
    for row in range(len(target)):
        wanted = target[row]
        keep = (np.abs(wanted - previous) < settings.band) & (wanted != 0.0) & (previous != 0.0)
        previous = np.where(keep, previous, wanted)
        total = np.abs(previous).sum()
        if total > settings.gross:
            previous = previous * (settings.gross / total)
        if settings.net is not None:
            previous = _within_net(previous, settings.net)
        held[row] = previous
    return held


def _checked_shapes(
    signal: np.ndarray,
    tradable: np.ndarray | None,
    settings: WeightSettings,
    risk: Risk | None,
    gate: np.ndarray | None,
) -> None:
    if not np.isfinite(signal).all():
        row, column = np.argwhere(~np.isfinite(signal))[0]
        raise DataError(
            f"weights: the signal at row {row}, column {column} is {signal[row, column]}. Write 0 for none."
        )
    if tradable is not None and np.shape(tradable) != signal.shape:
        raise DataError(f"weights: signal has shape {signal.shape}, tradable {np.shape(tradable)}. They must agree.")
    if settings.needs_risk and risk is None:
        raise ConfigError(
            "weights: inverse_volatility and target_volatility need the symbols' trailing risk. Pass 'trailing_risk'."
        )
    if settings.needs_risk and risk is not None and risk.volatility.shape != signal.shape:
        raise DataError(f"weights: signal has shape {signal.shape}, risk {risk.volatility.shape}. They must agree.")
    if gate is not None:
        if np.shape(gate) != signal.shape[:1]:
            raise DataError(f"weights: {len(signal)} rows but a gate of shape {np.shape(gate)}. They must agree.")
        if not ((gate >= 0.0) & (gate <= 1.0)).all():
            raise DataError("weights: the gate must lie in [0, 1] in every row. Make it with 'regime_gate'.")


def weights_array(
    signal: np.ndarray,
    tradable: np.ndarray | None,
    settings: WeightSettings,
    *,
    risk: Risk | None = None,
    gate: np.ndarray | None = None,
) -> np.ndarray:
    """Turn a signal array into target weights.

    In this order: method, inverse volatility, gross, cap, neutral, net, target volatility, gate, band.

    Parameters
    ----------
    signal : float array, shape (bars, symbols)
        In [-1, 1], already dated: row t is known before bar t opens.
    tradable : bool array, shape (bars, symbols), or None
        False where nothing may be held; None means everywhere tradable.
    settings : WeightSettings
    risk : Risk, optional
        Of the same rows; needed for ``inverse_volatility`` and ``target_volatility``. A symbol of unknown risk is then
        not held.
    gate : float array, shape (bars,), optional
        Share of the book to hold, in [0, 1], from ``regime_gate``.

    Returns
    -------
    float array, shape (bars, symbols)
        Fractions of equity; negative is short.

    Raises
    ------
    DataError
        If the shapes differ, the signal is missing somewhere or the gate is out of range.
    ConfigError
        If the settings need risk and there is none.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.signals import WeightSettings, weights_array
    >>> signal = np.array([[0.8, -0.6, 0.0], [0.1, 0.3, -0.9]])
    >>> weights_array(signal, None, WeightSettings(cap=0.5)).round(3).tolist()
    [[0.5, -0.429, 0.0], [0.077, 0.231, -0.5]]
    """
    signal = np.asarray(signal, dtype=float)
    _checked_shapes(signal, tradable, settings, risk, gate)
    active = np.abs(signal) >= max(settings.min_signal, np.finfo(float).tiny)
    if tradable is not None:
        active &= tradable
    if settings.needs_risk and risk is not None:
        active &= np.isfinite(risk.volatility)
    raw = _positions(signal, active, settings)
    if settings.inverse_volatility and risk is not None:
        raw = _even_risk(raw, risk.volatility)
    total = np.abs(raw).sum(axis=1, keepdims=True)
    weights = raw * (settings.gross / np.maximum(total, 1.0))
    np.clip(weights, -settings.cap, settings.cap, out=weights)
    if settings.neutral:
        weights = _balanced(weights)
    if settings.net is not None:
        weights = _within_net(weights, settings.net)
    if settings.target_volatility is not None and risk is not None:
        weights = _at_target(weights, settings, risk)
    if gate is not None:
        weights = weights * np.asarray(gate, dtype=float)[:, None]
    if settings.band > 0.0:
        weights = _with_band(weights, settings)
    return np.asarray(weights + 0.0)


def _positions(signal: np.ndarray, active: np.ndarray, settings: WeightSettings) -> np.ndarray:
    """Relative positions before they are sized, shape (bars, symbols)."""
    raw = np.where(active, signal, 0.0)
    if settings.neutral:
        number = np.maximum(active.sum(axis=1, keepdims=True), 1)
        raw = np.where(active, raw - raw.sum(axis=1, keepdims=True) / number, 0.0)
    if settings.long_only:
        raw = np.maximum(raw, 0.0)
    if settings.method == "proportional":
        return raw
    # Demeaning leaves rounding residues whose sign means nothing.
    raw = np.where(np.abs(raw) > 1e-12, raw, 0.0)
    if settings.method == "sign":
        return np.asarray(np.sign(raw))
    # Ranked before demeaning, which keeps the order but can round two signals to one.
    longs, shorts = _extremes(signal, raw > 0.0, settings.k), _extremes(-signal, raw < 0.0, settings.k)
    return np.asarray(longs.astype(float) - shorts)


def to_weights(
    signal: pd.DataFrame,
    tradable: pd.DataFrame | None,
    settings: WeightSettings,
    *,
    risk: Risk | None = None,
    gate: pd.Series | None = None,
) -> pd.DataFrame:
    """Return ``weights_array`` for labelled panels: same index and columns as ``signal``.

    Parameters
    ----------
    signal : DataFrame, shape (bars, symbols)
        In [-1, 1], already dated: row t is known before bar t opens. 0, never missing, is none.
    tradable : DataFrame of bool, shape (bars, symbols), or None
        From `tradable_mask`; None means everywhere tradable.
    settings : WeightSettings
    risk : Risk, optional
        From `trailing_risk`; needed for ``inverse_volatility`` and ``target_volatility``.
    gate : Series, shape (bars,), optional
        Share of the book to hold, in [0, 1], from `regime_gate`.

    Returns
    -------
    DataFrame, shape (bars, symbols)
        Fractions of equity; negative is short.

    Raises
    ------
    DataError
        If ``tradable`` or ``gate`` is labelled differently, or as ``weights_array`` does.
    ConfigError
        As ``weights_array`` does.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.signals import WeightSettings, to_weights
    >>> signal = pd.DataFrame({'A': [0.8, 0.1], 'B': [-0.6, 0.3], 'C': [0.0, -0.9]})
    >>> to_weights(signal, None, WeightSettings(method='top_bottom', k=1, cap=0.5, neutral=True))
         A    B    C
    0  0.5 -0.5  0.0
    1  0.0  0.5 -0.5
    """
    if tradable is not None and not (tradable.index.equals(signal.index) and tradable.columns.equals(signal.columns)):
        raise DataError("weights: signal and tradable carry different bars or symbols. Reindex one to the other.")
    if gate is not None and not gate.index.equals(signal.index):
        raise DataError("weights: signal and gate carry different bars. Reindex one to the other.")
    mask = None if tradable is None else tradable.to_numpy(dtype=bool)
    held = None if gate is None else gate.to_numpy(dtype=float)
    values = weights_array(signal.to_numpy(dtype=float), mask, settings, risk=risk, gate=held)
    return pd.DataFrame(values, index=signal.index, columns=signal.columns)
