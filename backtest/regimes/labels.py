"""Regimes that are handed in: labels with dates, such as a business-cycle chronology, and thresholds of a series.

Causal forms need to be told when each entry could be known. Labels without that may only report.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from embargo.backtest.regimes.causal import UNLABELLED, as_labels
from embargo.data_loaders.errors import ConfigError, DataError


def _instants(column: pd.Series, what: str) -> pd.DatetimeIndex:
    if not isinstance(column.dtype, pd.DatetimeTZDtype):
        raise DataError(f"{what}: {column.name!r} holds {column.dtype}, not instants with a time zone. Give it UTC.")
    if column.isna().any():
        raise DataError(f"{what}: {column.name!r} has no instant in row {int(column.isna().argmax())}. Fill it in.")
    return pd.DatetimeIndex(column).tz_convert("UTC")


def _columns(frame: pd.DataFrame, names: Sequence[str], what: str) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(f"{what}: columns {', '.join(missing)} are missing; it has {list(frame.columns)}.")


def _latest(known: np.ndarray, rank: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """For each instant asked, the entry of highest rank among those known by then; -1 for none."""
    order = np.argsort(known, kind="stable")
    best = np.maximum.accumulate(rank[order]) if len(order) else np.empty(0, dtype=np.int64)
    entry = np.empty(len(rank), dtype=np.int64)
    entry[rank] = np.arange(len(rank))
    newest = np.searchsorted(known[order], asked, side="right") - 1
    return np.where(newest >= 0, entry[best[np.maximum(newest, 0)]] if len(best) else -1, -1)


def _microseconds(instants: pd.DatetimeIndex) -> np.ndarray:
    return np.asarray(instants.tz_convert("UTC").as_unit("us").asi8)


def _entries(labels: pd.DataFrame, what: str) -> tuple[pd.DatetimeIndex, np.ndarray]:
    _columns(labels, ("start", "regime"), what)
    starts = _instants(labels["start"], what)
    if starts.has_duplicates:
        raise DataError(f"{what}: two entries start at {starts[starts.duplicated()][0]}. Keep one of them.")
    if labels["regime"].isna().any():
        raise DataError(f"{what}: the entry that starts at {starts[labels['regime'].isna()][0]} names no regime.")
    return starts, labels["regime"].astype(str).to_numpy(dtype=object)


def label_regime(labels: pd.DataFrame, decided_at: pd.DatetimeIndex) -> pd.Series:
    """Label each row by the newest entry that had started and was known when the row was decided; causal.

    Parameters
    ----------
    labels : DataFrame
        ``start`` (instant from which a regime holds, until the next one starts), ``regime`` (name) and ``known_at``
        (instant at which that could be known, such as the day a committee announced it).
    decided_at : DatetimeIndex, shape (bars,)

    Returns
    -------
    Series of str, shape (bars,)
        ``"unlabelled"`` before anything was known. Index: ``decided_at``.

    Raises
    ------
    DataError
        If ``known_at`` is absent: such labels may report (`label_ex_post`), not steer; or if entries are malformed.

    Examples
    --------
    The second entry starts on the fourth and is known on the fifth:

    >>> import pandas as pd
    >>> from embargo.backtest.regimes import label_regime
    >>> entries = pd.DataFrame(
    ...     {
    ...         'start': pd.to_datetime(['2024-01-02', '2024-01-04'], utc=True),
    ...         'regime': ['expansion', 'recession'],
    ...         'known_at': pd.to_datetime(['2024-01-02', '2024-01-05'], utc=True),
    ...     }
    ... )
    >>> days = pd.date_range('2024-01-01', periods=5, tz='UTC')
    >>> label_regime(entries, days).tolist()
    ['unlabelled', 'expansion', 'expansion', 'expansion', 'recession']
    """
    what = "regime labels"
    if "known_at" not in labels.columns:
        raise DataError(
            f"{what}: there is no column 'known_at', so nobody can tell when they could be known. Add it, or use them "
            "among ex_post, where they only report."
        )
    starts, names = _entries(labels, what)
    # An entry announced in advance speaks only once it has started.
    known = np.maximum(_microseconds(_instants(labels["known_at"], what)), _microseconds(starts))
    rank = np.argsort(np.argsort(_microseconds(starts), kind="stable"), kind="stable")
    return _taken(names, _latest(known, rank, _microseconds(decided_at)), decided_at)


def label_ex_post(labels: pd.DataFrame, open_at: pd.DatetimeIndex) -> pd.Series:
    """Label each row by the entry that it lies in, whenever that was known, for reports only.

    Parameters
    ----------
    labels : DataFrame
        As in `label_regime`; ``known_at`` is not looked at.
    open_at : DatetimeIndex, shape (bars,)

    Returns
    -------
    Series of str, shape (bars,)
        ``"unlabelled"`` before the first entry. Index: ``open_at``.

    Raises
    ------
    DataError
        If entries are malformed.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.regimes import label_ex_post
    >>> entries = pd.DataFrame(
    ...     {
    ...         'start': pd.to_datetime(['2024-01-02', '2024-01-04'], utc=True),
    ...         'regime': ['expansion', 'recession'],
    ...         'known_at': pd.to_datetime(['2024-01-02', '2024-01-05'], utc=True),
    ...     }
    ... )
    >>> days = pd.date_range('2024-01-01', periods=5, tz='UTC')
    >>> label_ex_post(entries, days).tolist()
    ['unlabelled', 'expansion', 'expansion', 'recession', 'recession']
    """
    starts, names = _entries(labels, "regime labels")
    began = _microseconds(starts)
    rank = np.argsort(np.argsort(began, kind="stable"), kind="stable")
    return _taken(names, _latest(began, rank, _microseconds(open_at)), open_at)


def _taken(names: np.ndarray, entry: np.ndarray, index: pd.DatetimeIndex) -> pd.Series:
    found = np.where(entry >= 0, names[np.maximum(entry, 0)] if len(names) else UNLABELLED, UNLABELLED)
    return as_labels(found, index)


def threshold_regime(
    series: pd.DataFrame,
    decided_at: pd.DatetimeIndex,
    *,
    cuts: Sequence[float],
    names: Sequence[str],
    stale_after: pd.Timedelta | None = None,
) -> pd.Series:
    """Label each row by where the newest known value of a series lies between thresholds; causal.

    Parameters
    ----------
    series : DataFrame
        ``known_at`` (instant) and ``value``, such as the close of a volatility index and when it was published. NaN
        values are passed over.
    decided_at : DatetimeIndex, shape (bars,)
    cuts : sequence of float
        Increasing; a value equal to a cut lies above it.
    names : sequence of str
        One more than cuts, from lowest to highest.
    stale_after : Timedelta, optional
        A value older than this no longer speaks.

    Returns
    -------
    Series of str, shape (bars,)
        ``"unlabelled"`` before the first value and where the newest is stale.

    Raises
    ------
    ConfigError
        If cuts do not increase, or names do not fit them.
    DataError
        If columns are missing, or two values became known at the same instant.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.regimes import threshold_regime
    >>> days = pd.date_range('2024-01-01', periods=4, tz='UTC')
    >>> vix = pd.DataFrame({'known_at': days[:3], 'value': [14.0, 31.0, 22.0]})
    >>> threshold_regime(vix, days, cuts=[20.0, 30.0], names=['low', 'raised', 'high']).tolist()
    ['low', 'high', 'raised', 'raised']
    """
    if not cuts or any(later <= cut for cut, later in pairwise(cuts)) or not np.isfinite(cuts).all():
        raise ConfigError(f"regime threshold: cuts must be finite numbers that increase, got {list(cuts)}.")
    if len(names) != len(cuts) + 1:
        raise ConfigError(
            f"regime threshold: {len(cuts)} cuts make {len(cuts) + 1} regimes, but {len(names)} names are given."
        )
    what = "regime threshold"
    _columns(series, ("known_at", "value"), what)
    series = series.loc[series["value"].notna()]
    instants = _instants(series["known_at"], what)
    if instants.has_duplicates:
        raise DataError(f"{what}: two values are known from {instants[instants.duplicated()][0]}. Keep one of them.")
    known, asked = _microseconds(instants), _microseconds(decided_at)
    order = np.argsort(known, kind="stable")
    known, values = known[order], series["value"].to_numpy(dtype=float)[order]
    newest = np.searchsorted(known, asked, side="right") - 1
    speaks = newest >= 0
    if stale_after is not None and len(known):
        speaks &= asked - known[np.maximum(newest, 0)] <= stale_after // pd.Timedelta(1, "us")
    above = np.searchsorted(np.asarray(cuts, dtype=float), values, side="right")
    entry = np.where(speaks, above[np.maximum(newest, 0)] if len(above) else 0, -1)
    return _taken(np.asarray(names, dtype=object), entry, decided_at)
