"""Days and regimes that a run leaves out: named, and doubted where the market moved most while nobody looked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.special import gammaincc

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import EVIDENCE_ROWS, AuditVerdict, Finding, plain
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices

FEWEST_MOVES = 60
# Chance below which gaps are doubted; docs/check_power.md has the rates of false alarms.
ALARM = 0.003
# Moves beyond all others thin out no more slowly than this power of their size: their variance is finite.
TAIL = 2.0


def check_exclusions(prices: Prices, sessions: pd.DatetimeIndex, *, gate: Mapping[str, float]) -> Finding:
    """Name the sessions without a single price and the regimes in which nothing is held (P4).

    A session of the exchange on which no symbol has a price was taken out by a setting, by hand, or by the source. It
    is suspicious where the symbols' mean move from the last close before it to the first open after it ranks so high
    among their moves over as many sessions (those next to each other are one gap) that gaps chosen blindly would rank
    as high in 0.3 % of runs: such days are left out for a reason. A move beyond all others counts by how far.

    Silent on: days on which some symbols have prices, gates and days that were chosen beforehand (only named), and gaps
    that fewer than 60 moves can be held against.

    Parameters
    ----------
    prices : Prices
        Raw bars of the rows that trade.
    sessions : DatetimeIndex
        Opening instants (UTC) that the exchange's own calendar has for that time; of shorter bars round the clock,
        those of every bar.
    gate : mapping of str to float
        Factor of the weights by regime; those below 1 are named.

    Returns
    -------
    Finding
        Code ``P4``; ``effect`` is the share of sessions without a price.

    Raises
    ------
    DataError
        If there are no sessions.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_exclusions
    >>> from embargo.data_loaders.schemas import Prices
    >>> at = pd.date_range('2024-01-01', periods=300, freq='D', tz='UTC')
    >>> close = pd.DataFrame({'BTC': 1.01 ** (np.arange(300) % 7)}, index=at)
    >>> close.iloc[150:] *= 0.5
    >>> prices = Prices(close, close, close, close, close, at, at + pd.Timedelta(hours=9), calendar='24/7')
    >>> check_exclusions(prices, at, gate={}).verdict
    'pass'
    >>> check_exclusions(prices.select(bars=np.delete(np.arange(300), 150)), at, gate={}).verdict
    'suspicious'
    """
    check, unit = CHECKS["check_exclusions"], "share of sessions"
    if len(sessions) == 0:
        raise DataError("exclusions: there are no sessions. Give those of the time that is traded.")
    quoted = prices.open_at[prices.close.notna().any(axis=1).to_numpy()]
    out = sessions.difference(quoted)
    shut = [f"{regime} ({factor:g})" for regime, factor in gate.items() if factor < 1.0]
    said = f" Weights are cut in regimes that the config names: {', '.join(shut)}." if shut else ""
    if out.empty:
        detail = f"All {len(sessions):,} sessions of the exchange have prices.{said}"
        return Finding("P4", "pass", check.title, detail, effect=0.0, unit=unit)
    moves, ranks = _gaps(prices, sessions, out)
    named = sorted(zip(out, moves, strict=True), key=lambda pair: -abs(pair[1]))[:EVIDENCE_ROWS]
    evidence = [{"session": plain(day), "mean_move_across": plain(move)} for day, move in named]
    form = "%Y-%m-%d" if sessions.normalize().is_unique else "%Y-%m-%d %H:%M"
    days = ", ".join(f"{day:{form}}" for day, _ in named)
    more = " ..." if len(out) > len(named) else ""
    detail = f"{len(out):,} of {len(sessions):,} sessions have no price at all: {days}{more}."
    # Each rank is even between 0 and 1 at most, so that their logarithms add up to a gamma variable (Fisher 1932).
    chance = float(gammaincc(len(ranks), -np.log(ranks).sum())) if len(ranks) else 1.0
    found = chance < ALARM
    if found:
        detail += (
            f" Across them the symbols moved by {abs(named[0][1]):.1%} at most, and by so much "
            f"altogether that gaps chosen blindly would in {chance:.2g} of runs."
        )
    verdict: AuditVerdict = "suspicious" if found else "pass"
    remedy = check.remedy if found else ""
    return Finding("P4", verdict, check.title, detail + said, evidence, len(out) / len(sessions), unit, remedy)


def _gaps(prices: Prices, sessions: pd.DatetimeIndex, out: pd.DatetimeIndex) -> tuple[list[float], list[float]]:
    """Return the move across every session that is out, and the rank of every gap that others can be held against."""
    place = sessions.get_indexer(out)
    first = np.flatnonzero(np.diff(place, prepend=-2) != 1).tolist()
    closes, opens = (np.log(panel.to_numpy(dtype=float)) for panel in (prices.close.ffill(), prices.open.bfill()))
    moves, ranks = [], []
    usual: dict[int, np.ndarray] = {}
    for start, stop in zip(first, [*first[1:], len(out)], strict=True):
        before = prices.open_at.searchsorted(out[start]) - 1
        after = prices.open_at.searchsorted(out[stop - 1], side="right")
        # The mean move from the last close before the gap to the first open after it; None at either end.
        steps = opens[after] - closes[before] if before >= 0 and after < len(opens) else np.array([])
        move = float(np.nanmean(steps)) if np.isfinite(steps).any() else None
        length = stop - start
        moves += [move or 0.0] * length
        if length not in usual:
            usual[length] = _usual(prices, out, length)
        others = usual[length]
        if move is not None and len(others) >= FEWEST_MOVES:
            beyond = min(1.0, (others.max() / abs(move)) ** TAIL) if move else 1.0
            ranks.append((1.0 if beyond < 1.0 else 1.0 + (others >= abs(move)).sum()) * beyond / (len(others) + 1))
    return moves, ranks


def _usual(prices: Prices, out: pd.DatetimeIndex, length: int) -> np.ndarray:
    """Sizes of the mean moves from a close over ``length`` whole sessions to an open, those across gaps left out."""
    opens, closes = (np.log(panel.to_numpy(dtype=float)) for panel in (prices.open, prices.close))
    steps = opens[length + 1 :] - closes[: -length - 1]
    spans = out.searchsorted(prices.open_at[length + 1 :]) > out.searchsorted(prices.open_at[: -length - 1])
    there = np.isfinite(steps).any(axis=1) & ~spans
    return np.abs(np.nanmean(steps[there], axis=1)) if there.any() else np.array([])
