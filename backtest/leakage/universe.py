"""Whether the symbols are those of the time or those that are left: a list of survivors alone has too few endings."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import pdtr

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import EVIDENCE_ROWS, AuditVerdict, Finding, plain
from embargo.data_loaders.calendars import zone_of
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices

YEAR = pd.Timedelta(days=365.25)
# A symbol whose last price is older than this before the last bar has ended; shorter halts have not.
ENDED = pd.Timedelta(days=30)
ENDINGS_A_YEAR = 0.02
LEVEL = 0.003
FEWEST_SYMBOLS = 20
_LATE = (
    "Test from the day on which the list was made, or take the symbols that were listed at the start, with those that "
    "ended since."
)


def check_universe(
    prices: Prices,
    *,
    rate: float | None = ENDINGS_A_YEAR,
    chosen_at: pd.Timestamp | None = None,
    first_decided_at: pd.Timestamp | None = None,
) -> Finding:
    """Ask whether as many symbols have ended as do in a market (D6).

    Companies are bought, fail and go private. A list of today's symbols, carried back, has none that did: their absence
    is what the trader of that day could not know. The endings are held against a Poisson law of ``rate`` a year and
    symbol; fewer than it gives in 99.7 % of lists are suspicious. The default is an assumption, low on purpose because
    large companies end more seldom: listed companies of the United States fell from 8,025 in 1996 to half of that in
    2012, so that more than 4 % a year ended. A leak is never claimed: a list fixed at the start may have been lucky.

    A list of winners has the growth that a lucky list has too, so that prices alone never tell it: when it was chosen
    must be said. A list that was chosen after the first bar that is traded had opened is suspicious, whatever became of
    its symbols. A date (00:00 UTC) is a day where the exchange is: one of the bar's own day is in time.

    Silent on: lists chosen by what rose where nobody says when, lists of symbols that were added later.

    Parameters
    ----------
    prices : Prices
        All bars that the run loads; NaN where a symbol did not trade.
    rate : float or None
        Endings that a symbol has a year; None where none are to be expected (a simulated market, currencies, crypto).
    chosen_at : Timestamp, optional
        When the list of symbols was made (UTC); None where nobody says.
    first_decided_at : Timestamp, optional
        When the first row that trades was decided (UTC); the first bar that opens then or later is the one that is
        traded. By default it is the first of all.

    Returns
    -------
    Finding
        Code ``D6``; ``effect`` is the share of symbols that ended, or the days by which the list is late. Inconclusive
        where even no ending would not have been rare and nobody says when the list was made, or there are fewer than 20
        symbols. Where none are to be expected, a list made in time passes, and one of no date is not applicable.

    Raises
    ------
    DataError
        If there are no prices, or an instant has no time zone.

    References
    ----------
    Doidge, Karolyi and Stulz (2017), "The U.S. listing gap", Journal of Financial Economics 123(3).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_universe
    >>> from embargo.data_loaders.schemas import Prices
    >>> at = pd.date_range('2010-01-01', periods=600, freq='7D', tz='UTC')
    >>> close = pd.DataFrame(100.0, index=at, columns=[f'S{i}' for i in range(40)])
    >>> prices = Prices(close, close, close, close, close, at, at + pd.Timedelta(hours=9), calendar='24/7')
    >>> finding = check_universe(prices)
    >>> finding.verdict, finding.evidence[0]['expected']
    ('suspicious', 9.2)
    """
    check, unit = CHECKS["check_universe"], "share of symbols"
    traded = prices.close.notna().to_numpy()
    if not traded.any():
        raise DataError("universe: there are no prices. Give the bars that the run loads.")
    chosen_at, first_decided_at = _instant(chosen_at, "chosen_at"), _instant(first_decided_at, "first_decided_at")
    bar = 0 if first_decided_at is None else int(prices.open_at.searchsorted(first_decided_at))
    opened_at = prices.open_at[min(bar, len(prices.open_at) - 1)]
    if chosen_at is not None and _is_late(chosen_at, opened_at, prices.calendar):
        late = (chosen_at - opened_at) / pd.Timedelta(days=1)
        return Finding(
            "D6",
            "suspicious",
            check.title,
            f"The list of symbols was made on {chosen_at:%Y-%m-%d}, {late:,.{1 if late < 10.0 else 0}f} days after the "
            f"first bar that is traded opened on {opened_at:%Y-%m-%d}: whoever made it knew which symbols had risen by "
            "then, and which were left.",
            [{"chosen_at": plain(chosen_at), "first_open_at": plain(opened_at)}],
            float(late),
            "days",
            _LATE,
        )
    dated = "" if chosen_at is None else f" The list was made on {chosen_at:%Y-%m-%d}, before anything was traded."
    if rate is None:
        verdict: AuditVerdict = "pass" if dated else "not-applicable"
        return Finding("D6", verdict, check.title, f"Symbols of this market are not expected to end.{dated}")
    listed = np.flatnonzero(traded.any(axis=0))
    first, last = traded[:, listed].argmax(axis=0), len(traded) - 1 - traded[::-1, listed].argmax(axis=0)
    began, until = prices.open_at[first], prices.open_at[last]
    ended = (prices.open_at[-1] - until) > ENDED
    years = float((until - began).total_seconds().to_numpy().sum() / YEAR.total_seconds())
    expected = rate * years
    chance = float(pdtr(int(ended.sum()), expected))
    share = float(ended.mean())
    named = [prices.symbols[listed[position]] for position in np.flatnonzero(ended)[:EVIDENCE_ROWS]]
    row = {"symbols": len(listed), "symbol_years": round(years, 1), "ended": int(ended.sum())}
    evidence = [row | {"expected": round(expected, 1), "chance": plain(chance), "those": ", ".join(map(str, named))}]
    rare = f"{chance:.1%}" if chance >= 0.001 else "fewer than 0.1%"
    detail = (
        f"{int(ended.sum()):,} of {len(listed):,} symbols end before the data do, in {years:,.0f} years of symbols; at "
        f"{rate:.0%} a year {expected:.1f} were to be expected, and so few come in {rare} of lists."
    )
    if len(listed) >= FEWEST_SYMBOLS and chance < LEVEL:
        detail += (
            " This looks like a list of those that are left: whoever chose it knew who would be bought, fail or stay."
        )
        return Finding("D6", "suspicious", check.title, detail, evidence, share, unit, check.remedy)
    if dated or ended.any():
        return Finding("D6", "pass", check.title, f"{detail}{dated}", evidence, share, unit)
    detail += " Too few symbols or years to tell a list of survivors from another one."
    return Finding("D6", "inconclusive", check.title, detail, evidence, share, unit, check.remedy)


def _instant(given: pd.Timestamp | None, name: str) -> pd.Timestamp | None:
    if given is None:
        return None
    if not isinstance(given, pd.Timestamp) or given.tz is None:
        raise DataError(f"universe: {name} {given} has no time zone. Give a Timestamp with one, such as UTC.")
    return given.tz_convert("UTC")


def _is_late(chosen_at: pd.Timestamp, opened_at: pd.Timestamp, calendar: str) -> bool:
    """Tell whether a list was made after a bar had opened; a date is that of the day where the exchange is."""
    dated = chosen_at == chosen_at.normalize()
    same_day = dated and chosen_at.date() <= opened_at.tz_convert(zone_of(calendar)).date()
    return bool(chosen_at > opened_at and not same_day)
