"""From a signal panel to target weights: fractions of equity that the account can really hold.

The promises: ``sum(|w|) <= gross <= 1`` and ``|w| <= cap`` in every row, exactly 0 (never missing) where a symbol is
not tradable or has no signal, and row t depends on rows up to t only. Gross exposure above 1 is refused because the
simulated account has no margin and would silently fill less than asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from data_loaders.errors import ConfigError, DataError

Method = Literal["proportional", "sign", "top_bottom"]


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
        Largest sum of absolute weights, as a fraction of equity, in (0, 1].
    cap : float
        Largest absolute weight of one symbol, as a fraction of equity.
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
    """

    method: Method = "proportional"
    gross: float = 1.0
    cap: float = 0.10
    neutral: bool = False
    long_only: bool = False
    band: float = 0.0
    k: int = 5
    min_signal: float = 0.02

    def __post_init__(self) -> None:
        if self.method not in ("proportional", "sign", "top_bottom"):
            raise ConfigError(f"method must be 'proportional', 'sign' or 'top_bottom', got {self.method!r}.")
        if not 0.0 < self.gross <= 1.0:
            raise ConfigError(
                f"gross must lie in (0, 1], got {self.gross}. The simulated account has no margin: scale the returns "
                "afterwards if you want leverage."
            )
        if not 0.0 < self.cap <= 1.0:
            raise ConfigError(f"cap must lie in (0, 1], got {self.cap}. It limits the weight of one symbol.")
        if self.neutral and self.long_only:
            raise ConfigError("neutral and long_only exclude each other: a neutral book needs shorts. Choose one.")
        if not 0.0 <= self.band < 1.0:
            raise ConfigError(f"band must lie in [0, 1), got {self.band}. It is a fraction of equity.")
        if self.k < 1:
            raise ConfigError(f"k must be at least 1, got {self.k}.")
        if not 0.0 <= self.min_signal < 1.0:
            raise ConfigError(f"min_signal must lie in [0, 1), got {self.min_signal}.")


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
    DataFrame of bool, shape (bars, symbols); rows without a closed bar are all False.
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


def _with_band(target: np.ndarray, band: float, gross: float) -> np.ndarray:
    held = np.zeros_like(target)
    previous = np.zeros(target.shape[1])
    for row in range(len(target)):
        wanted = target[row]
        keep = (np.abs(wanted - previous) < band) & (wanted != 0.0) & (previous != 0.0)
        previous = np.where(keep, previous, wanted)
        total = np.abs(previous).sum()
        if total > gross:
            previous = previous * (gross / total)
        held[row] = previous
    return held


def weights_array(signal: np.ndarray, tradable: np.ndarray | None, settings: WeightSettings) -> np.ndarray:
    """Turn a signal array into target weights.

    Parameters
    ----------
    signal : float array, shape (bars, symbols)
        In [-1, 1], already dated: row t is known before bar t opens.
    tradable : bool array, shape (bars, symbols), or None
        False where nothing may be held; None means everywhere tradable.
    settings : WeightSettings

    Returns
    -------
    float array, shape (bars, symbols)
        Fractions of equity; negative is short.

    Raises
    ------
    DataError
        If the shapes differ or the signal is missing somewhere.
    """
    signal = np.asarray(signal, dtype=float)
    if not np.isfinite(signal).all():
        row, column = np.argwhere(~np.isfinite(signal))[0]
        raise DataError(
            f"weights: the signal at row {row}, column {column} is {signal[row, column]}. Write 0 for none."
        )
    active = np.abs(signal) >= max(settings.min_signal, np.finfo(float).tiny)
    if tradable is not None:
        if np.shape(tradable) != signal.shape:
            raise DataError(
                f"weights: signal has shape {signal.shape}, tradable {np.shape(tradable)}. They must agree."
            )
        active &= tradable
    raw = np.where(active, signal, 0.0)
    if settings.neutral:
        number = np.maximum(active.sum(axis=1, keepdims=True), 1)
        raw = np.where(active, raw - raw.sum(axis=1, keepdims=True) / number, 0.0)
    if settings.long_only:
        raw = np.maximum(raw, 0.0)
    if settings.method != "proportional":
        # Demeaning leaves rounding residues whose sign means nothing.
        raw = np.where(np.abs(raw) > 1e-12, raw, 0.0)
        if settings.method == "sign":
            raw = np.sign(raw)
        else:
            # Ranked before demeaning, which keeps the order but can round two signals to one.
            longs, shorts = _extremes(signal, raw > 0.0, settings.k), _extremes(-signal, raw < 0.0, settings.k)
            raw = longs.astype(float) - shorts
    total = np.abs(raw).sum(axis=1, keepdims=True)
    weights = raw * (settings.gross / np.maximum(total, 1.0))
    np.clip(weights, -settings.cap, settings.cap, out=weights)
    if settings.neutral:
        weights = _balanced(weights)
    if settings.band > 0.0:
        weights = _with_band(weights, settings.band, settings.gross)
    return np.asarray(weights + 0.0)


def to_weights(signal: pd.DataFrame, tradable: pd.DataFrame | None, settings: WeightSettings) -> pd.DataFrame:
    """Return ``weights_array`` for labelled panels: same index and columns as ``signal``.

    Raises
    ------
    DataError
        If ``tradable`` is labelled differently, or as ``weights_array`` does.
    """
    if tradable is not None and not (tradable.index.equals(signal.index) and tradable.columns.equals(signal.columns)):
        raise DataError("weights: signal and tradable carry different bars or symbols. Reindex one to the other.")
    mask = None if tradable is None else tradable.to_numpy(dtype=bool)
    values = weights_array(signal.to_numpy(dtype=float), mask, settings)
    return pd.DataFrame(values, index=signal.index, columns=signal.columns)
