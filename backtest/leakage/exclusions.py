"""Days and regimes that a run leaves out: named, and doubted where the market moved most while nobody looked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import EVIDENCE_ROWS, AuditVerdict, Finding, plain
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices

FEWEST_MOVES = 60
EXTREME = 0.99


def check_exclusions(prices: Prices, sessions: pd.DatetimeIndex, *, gate: Mapping[str, float]) -> Finding:
    """Name the sessions without a single price and the regimes in which nothing is held (P4).

    A session of the exchange on which no symbol has a price was taken out by a setting, by hand, or by the source. It
    is suspicious where the symbols' mean move from the last close before it to the first open after it is larger than
    99 % of their moves from a close over one session: such days are left out for a reason.

    Silent on: days on which some symbols have prices, gates and days that were chosen beforehand (only named).

    Parameters
    ----------
    prices : Prices
        Raw bars of the rows that trade.
    sessions : DatetimeIndex
        Opening instants (UTC) that the exchange's own calendar has for that time.
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
    moves = [_move(prices, day) for day in out]
    usual = _usual(prices, out)
    found = [(day, move) for day, move in zip(out, moves, strict=True) if usual is not None and abs(move) > usual]
    named = sorted(zip(out, moves, strict=True), key=lambda pair: -abs(pair[1]))[:EVIDENCE_ROWS]
    evidence = [{"session": plain(day), "mean_move_across": plain(move)} for day, move in named]
    days = ", ".join(f"{day:%Y-%m-%d}" for day, _ in named)
    more = " ..." if len(out) > len(named) else ""
    detail = f"{len(out):,} of {len(sessions):,} sessions have no price at all: {days}{more}."
    if found:
        detail += f" Across {len(found):,} of them the symbols moved by more than on 99 % of the others ({usual:.1%})."
    verdict: AuditVerdict = "suspicious" if found else "pass"
    remedy = check.remedy if found else ""
    return Finding("P4", verdict, check.title, detail + said, evidence, len(out) / len(sessions), unit, remedy)


def _move(prices: Prices, day: pd.Timestamp) -> float:
    """Mean log move from the last close before a session to the first open after it; 0 at either end."""
    after = int(prices.open_at.searchsorted(day, side="right"))
    closes = prices.close.iloc[:after].ffill()
    opens = prices.open.iloc[after:].bfill()
    if not len(closes) or not len(opens):
        return 0.0
    steps = np.log(opens.iloc[0].to_numpy(dtype=float)) - np.log(closes.iloc[-1].to_numpy(dtype=float))
    return float(np.nanmean(steps)) if np.isfinite(steps).any() else 0.0


def _usual(prices: Prices, out: pd.DatetimeIndex) -> float | None:
    """Return the size of mean moves from a close over a whole session that 99 % do not exceed; None where too few."""
    opens, closes = (np.log(panel.to_numpy(dtype=float)) for panel in (prices.open, prices.close))
    steps = opens[2:] - closes[:-2]
    # What spans a session left out is what they are held against.
    spans = out.searchsorted(prices.open_at[2:]) > out.searchsorted(prices.open_at[:-2], side="right")
    there = np.isfinite(steps).any(axis=1) & ~spans
    if there.sum() < FEWEST_MOVES:
        return None
    return float(np.quantile(np.abs(np.nanmean(steps[there], axis=1)), EXTREME))
