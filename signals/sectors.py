"""Sectors of symbols, and what they lend to a symbol that has no news of its own.

Everything works row by row, so row t depends on row t alone; a symbol without a sector falls back on the market.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError

NO_SECTOR = -1


@dataclass(frozen=True)
class GroupSettings:
    """What a symbol without news takes from its sector, or from the market.

    Attributes
    ----------
    weight : float
        Part of the sector's mean signal that it takes, in [0, 1]; 0 leaves it without a signal.
    min_evidence : float
        A symbol counts as without news while its decayed evidence weighs less than this many fully confident articles.

    Examples
    --------
    >>> from embargo.signals import GroupSettings
    >>> GroupSettings(weight=0.5).min_evidence
    0.1
    """

    weight: float = 0.0
    min_evidence: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 <= self.weight <= 1.0:
            raise ConfigError(f"groups.weight must lie in [0, 1], got {self.weight}. It scales a mean of signals.")
        if not (np.isfinite(self.min_evidence) and self.min_evidence >= 0.0):
            raise ConfigError(f"groups.min_evidence must be finite and not negative, got {self.min_evidence}.")


def group_codes(symbols: Sequence[str] | pd.Index, sectors: Mapping[str, str]) -> np.ndarray:
    """Give each symbol the number of its sector, in the order in which sectors first occur.

    Parameters
    ----------
    symbols : sequence of str, shape (symbols,)
    sectors : mapping of symbol to sector

    Returns
    -------
    int64 array, shape (symbols,); -1 where a symbol has no sector.

    Examples
    --------
    >>> from embargo.signals import group_codes
    >>> group_codes(['AAPL', 'XOM', 'MSFT', 'BTC'], {'AAPL': 'tech', 'MSFT': 'tech', 'XOM': 'energy'}).tolist()
    [0, 1, 0, -1]
    """
    names = [sectors.get(str(symbol)) for symbol in symbols]
    number = {name: code for code, name in enumerate(dict.fromkeys(name for name in names if name is not None))}
    return np.asarray([NO_SECTOR if name is None else number[name] for name in names], dtype=np.int64)


def group_means(values: np.ndarray, present: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the present members of each symbol's group, row by row.

    Parameters
    ----------
    values : float array, shape (bars, symbols)
    present : bool array, shape (bars, symbols)
        What counts; values elsewhere are not looked at.
    codes : int array, shape (symbols,)
        Equal for symbols of one group; -1 is a group like any other.

    Returns
    -------
    (means, members) : two arrays of shape (bars, symbols)
        The mean of the group that the column belongs to, 0 without members, and how many were present.
    """
    codes = np.asarray(codes)
    if codes.shape != values.shape[1:]:
        raise DataError(f"sectors: {len(codes)} codes for {values.shape[1]} symbols. Pass one code per symbol.")
    if not codes.size:
        return np.zeros(values.shape), np.zeros(values.shape, dtype=np.int64)
    order = np.argsort(codes, kind="stable")
    _, starts, group = np.unique(codes[order], return_index=True, return_inverse=True)
    belongs = np.empty(len(codes), dtype=np.int64)
    belongs[order] = group
    members = np.add.reduceat(present[:, order].astype(np.int64), starts, axis=1)
    sums = np.add.reduceat(np.where(present, values, 0.0)[:, order], starts, axis=1)
    means = np.divide(sums, members, out=np.zeros_like(sums), where=members > 0)
    return means[:, belongs], members[:, belongs]


def fill_from_groups(
    signal: np.ndarray, own: np.ndarray, codes: np.ndarray | None, weight: float
) -> tuple[np.ndarray, dict[str, int]]:
    """Give symbols without news of their own a part of what their sector, or else the market, says.

    Parameters
    ----------
    signal : float array, shape (bars, symbols)
    own : bool array, shape (bars, symbols)
        Where a symbol has news of its own; only these speak for others, and they keep their signal.
    codes : int array, shape (symbols,), or None
        From `group_codes`; symbols of -1 and sectors without any news take from the market, all without sectors.
    weight : float
        Part of the mean signal that is taken, in [0, 1].

    Returns
    -------
    (signal, counts)
        The filled panel and cells ``from_sector``, ``from_market`` and ``without_news`` (nobody in the row has any).
    """
    everyone, anyone = group_means(signal, own, np.zeros(signal.shape[1], dtype=np.int64))
    if codes is None:
        lent, sector = everyone, np.zeros(signal.shape, dtype=bool)
    else:
        means, members = group_means(signal, own, codes)
        sector = (members > 0) & (np.asarray(codes) != NO_SECTOR)
        lent = np.where(sector, means, everyone)
    counts = {
        "from_sector": int((~own & sector).sum()),
        "from_market": int((~own & ~sector & (anyone > 0)).sum()),
        "without_news": int((~own & ~sector & (anyone == 0)).sum()),
    }
    return np.where(own, signal, weight * lent), counts
