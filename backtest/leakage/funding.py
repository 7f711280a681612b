"""Funding held against the decisions that may not know it and against the moves that make it.

What a position pays is charged when it settles and known no sooner. Two things tell of funding that is early: weights
that move when rates change that had not settled, and rates that go with the moves after them, where true ones go with
the moves before, whose premium they pass on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import EVIDENCE_ROWS, Finding, moment, plain
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices

# Standard errors: of the moves after a settlement alone, and beyond those before it.
AFTER, BEYOND, BORNE_OUT = 4.0, 4.0, 3.0
FEWEST_SETTLEMENTS = 60
LARGEST = 4.0

Weigh = Callable[[pd.DataFrame], pd.DataFrame]


def check_funding(
    funding: pd.DataFrame | None,
    prices: Prices,
    decided_at: pd.DatetimeIndex,
    *,
    decide: Weigh | None = None,
    fill: Literal["open", "close"] = "open",
    n_rows: int = 12,
    seed: int = 0,
) -> Finding:
    """Ask whether funding is known, or charged, before it settles (T8).

    Decisions are made again under other rates, first everywhere, then only where a rate had not settled at a decision;
    a weight that moves then is a leak. Rates are held against the moves of the symbol in the interval that ends with
    their settlement and in the one that begins with it: the premium that funding passes on follows from moves, so that
    changes of the rate go with the moves before. Each symbol is held against its own settlements, however far apart;
    all within the longest interval count as one. Suspicious: they go with the moves after by 4 standard errors
    (clustered by settlement), and by 4 more than with those before. Where rates follow no move either way, this comes
    about in 3 of 100,000 archives.

    Silent on: stamps that are early by less than a bar or by several settlements, rates that follow no move of the same
    symbol or are held at one level most of the time (capped ones), and symbols with fewer than 60 settlements.

    Parameters
    ----------
    funding : DataFrame or None, shape (bars, symbols)
        Rates that settle while each row is held, as fractions, 0 or NaN where none settles; None where none is charged.
    prices : Prices
        The same bars.
    decided_at : DatetimeIndex, shape (bars,)
        Instant (UTC) at which each row is decided.
    decide : callable, optional
        Takes rates of the shape of ``funding`` and returns the weights of the first rows, however many are traded.
    fill : {"open", "close"}
        When a row is traded: it is held from there to the same edge of the next one.
    n_rows : int
        Rows of which rates that settle later are changed.
    seed : int

    Returns
    -------
    Finding
        Code ``T8``; ``effect`` is the largest change of a weight, or the standard errors by which changes of the rate
        go with the moves before rather than after.

    Raises
    ------
    DataError
        If funding and prices have different bars or symbols.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_funding
    >>> from embargo.data_loaders.schemas import Prices
    >>> at = pd.date_range("2024-01-01", periods=400, freq="8h", tz="UTC")
    >>> moves = np.random.default_rng(1).normal(0.0, 0.02, (400, 2))
    >>> close = pd.DataFrame(100.0 * np.exp(moves.cumsum(axis=0)), index=at, columns=["BTC", "ETH"])
    >>> opens = close.shift(1).fillna(100.0)
    >>> prices = Prices(opens, close, close, close, close, at, at + pd.Timedelta(hours=8), calendar="24/7")
    >>> rates = pd.DataFrame(1e-4 + 0.002 * moves, index=at, columns=["BTC", "ETH"])
    >>> decided_at = at - pd.Timedelta(minutes=5)
    >>> check_funding(rates, prices, decided_at).verdict
    'pass'
    >>> check_funding(rates.shift(-1).fillna(0.0), prices, decided_at).verdict
    'suspicious'
    """
    check = CHECKS["check_funding"]
    if funding is None:
        return Finding("T8", "not-applicable", check.title, "No funding is charged.")
    if not (funding.index.equals(prices.open.index) and funding.columns.equals(prices.open.columns)):
        raise DataError("funding: rates and prices have different bars or symbols. Lay the rates out on the bars.")
    if decide is not None and (known := _known(decide, funding, prices, decided_at, fill, n_rows, seed)) is not None:
        return known
    stamps = _stamps(funding, prices, fill)
    if decide is None or stamps.verdict == "suspicious":
        return stamps
    detail = f"No decision moved with rates that had not settled. {stamps.detail}"
    return replace(stamps, verdict="pass", detail=detail, remedy="")


def _known(
    decide: Weigh,
    funding: pd.DataFrame,
    prices: Prices,
    decided_at: pd.DatetimeIndex,
    fill: str,
    n_rows: int,
    seed: int,
) -> Finding | None:
    """Return what is wrong with decisions that read rates; None where they read none, or settled ones alone."""
    check, unit = CHECKS["check_funding"], "largest change of a weight already decided"
    rates, rng = np.nan_to_num(funding.to_numpy(dtype=float)), np.random.default_rng(seed)
    base = decide(funding)
    # Turned round and made large, so that whoever reads them by sign or by size moves.
    other = (
        np.where(rates > 0.0, -3.0, 3.0) * np.maximum(np.abs(rates), 1e-3) * (1.0 + rng.uniform(0.0, 1.0, rates.shape))
    )
    if base.equals(decide(pd.DataFrame(other, index=funding.index, columns=funding.columns))):
        return None
    again = decide(funding)
    if not base.equals(again):
        detail = "inconclusive: non-deterministic. The same rates gave different weights in two calls."
        remedy = "Seed every random step and fix the order of ties, then run the audit again."
        return Finding("T8", "inconclusive", check.title, detail, remedy=remedy)
    over = prices.close_at if fill == "close" else prices.open_at
    held_until = np.append(over[1:].asi8, prices.close_at[-1:].asi8)
    due = np.flatnonzero((rates[: len(base)] != 0.0).any(axis=1))
    # What settles as a row opens belongs to the row before it, and is not known either when that row is decided.
    rows = np.sort(rng.permutation(np.union1d(due, due[due + 1 < len(base)] + 1))[:n_rows])
    faults = []
    for row in rows:
        ahead = held_until > decided_at[row : row + 1].as_unit(over.unit).asi8[0]
        changed = np.where(ahead[:, None] & (rates != 0.0), other, rates)
        weights = decide(pd.DataFrame(changed, index=funding.index, columns=funding.columns))
        before, after = (panel.to_numpy(dtype=float) for panel in (base, weights))
        gap = np.abs(np.nan_to_num(after - before))[: row + 1]
        if gap.any():
            bar, column = (int(place) for place in np.argwhere(gap > 0.0)[0])
            faults.append(
                {
                    "symbol": str(base.columns[column]),
                    "bar": plain(base.index[bar]),
                    "decided_at": plain(decided_at[bar]),
                    "value": plain(before[bar, column]),
                    "value_perturbed": plain(after[bar, column]),
                    "largest_change": plain(float(gap.max())),
                }
            )
    if not faults:
        return None
    first, size = faults[0], max(fault["largest_change"] for fault in faults)
    detail = (
        f"Weights moved with funding that had not settled when they were decided, in {len(faults)} of {len(rows)} rows "
        f"tried, by up to {size:.4g}; first {first['symbol']} at {first['bar']}: {first['value']} became "
        f"{first['value_perturbed']}."
    )
    return Finding("T8", "leak", check.title, detail, faults[:EVIDENCE_ROWS], size, unit, check.remedy)


def _stamps(funding: pd.DataFrame, prices: Prices, fill: str) -> Finding:
    """Hold changes of the rate against the moves before and after their settlement."""
    check, unit = CHECKS["check_funding"], "standard errors by which rates go with the moves before them"
    rates = np.nan_to_num(funding.to_numpy(dtype=float))
    own = [np.flatnonzero(column) for column in (rates != 0.0).T]
    if max(len(rows) for rows in own) < FEWEST_SETTLEMENTS:
        detail = (
            f"No symbol has {FEWEST_SETTLEMENTS} settlements, which it takes to hold them against moves; the most are "
            f"{max(len(rows) for rows in own)}."
        )
        return Finding("T8", "inconclusive", check.title, detail, remedy="Ask of more bars.")
    heard = {column: rows for column, rows in enumerate(own) if len(rows) >= FEWEST_SETTLEMENTS}
    due = np.unique(np.concatenate(list(heard.values())))
    # Symbols settle at intervals of their own. Moves of a long one are made of those of short ones: all that settles
    # within the longest is one observation.
    longest = max(float(np.median(np.diff(rows))) for rows in heard.values())
    level = (prices.close if fill == "close" else prices.open).ffill().to_numpy(dtype=float)
    behind, ahead = np.zeros((2, int(len(level) // longest) + 1))
    for column, rows in heard.items():
        # A settlement of row t falls due by the edge at which row t + 1 is traded.
        edge = np.minimum(rows + 1, len(level) - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            moves = np.diff(np.log(level[edge, column]))
        change, places = np.diff(rates[rows, column])[:-1], (rows[1:-1] // longest).astype(int)
        np.add.at(behind, places, _together(change, moves[:-1]))
        np.add.at(ahead, places, _together(change, moves[1:]))
    after, beyond = _score(ahead), _score(ahead - behind)
    before = _score(behind)
    told = (
        f"changes of the rate at {len(due):,} settlements go with the moves before them by {before:+.1f} standard "
        f"errors and with those after by {after:+.1f}"
    )
    evidence = [{"moves": "before", "z": plain(before)}, {"moves": "after", "z": plain(after)}]
    if after >= AFTER and beyond >= BEYOND:
        detail = (
            f"Funding seems to be stamped before it settles, from {moment(funding.index[due[0]])} on: {told}. A "
            "position then pays, or escapes, what was made by moves still to come."
        )
        return Finding("T8", "suspicious", check.title, detail, evidence, -beyond, unit, check.remedy)
    said = f"{told[0].upper()}{told[1:]}."
    if -beyond >= BORNE_OUT:
        return Finding("T8", "pass", check.title, said, evidence, -beyond, unit)
    detail = f"{said} That is too little to tell whether the stamps are those of the settlements."
    return Finding("T8", "inconclusive", check.title, detail, evidence, -beyond, unit, check.remedy)


def _together(change: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Change times move, each in units of its own spread, of each settlement of a symbol; 0 where one is unknown."""
    with np.errstate(divide="ignore", invalid="ignore"):
        one, two = ((each - np.nanmean(each)) / np.nanstd(each) for each in (change, moves))
    products = np.clip(one, -LARGEST, LARGEST) * np.clip(two, -LARGEST, LARGEST)
    return np.asarray(np.nan_to_num(products))


def _score(gains: np.ndarray) -> float:
    spread = float(np.sqrt((gains**2).sum()))
    return float(gains.sum()) / spread if spread > 0.0 else 0.0
