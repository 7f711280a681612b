"""Whether the symbols are those of the time or those that are left: a list of survivors alone has too few endings."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import EVIDENCE_ROWS, Finding, plain
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices

YEAR = pd.Timedelta(days=365.25)
# A symbol whose last price is older than this before the last bar has ended; shorter halts have not.
ENDED = pd.Timedelta(days=30)
ENDINGS_A_YEAR = 0.02
LEVEL = 0.003
FEWEST_SYMBOLS = 20


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
    must be said. A list that was chosen after the first decision is suspicious, whatever became of its symbols.

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
        When the first row that trades was decided (UTC); by default the first bar opens then.

    Returns
    -------
    Finding
        Code ``D6``; ``effect`` is the share of symbols that ended, or the days by which the list is late. Inconclusive
        where even no ending would not have been rare and nobody says when the list was made, or there are fewer than 20
        symbols.

    Raises
    ------
    DataError
        If there are no prices.

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
    began_at = prices.open_at[0] if first_decided_at is None else first_decided_at
    if chosen_at is not None and chosen_at > began_at:
        late = (chosen_at - began_at) / pd.Timedelta(days=1)
        return Finding(
            "D6",
            "suspicious",
            check.title,
            f"The list of symbols was made on {chosen_at:%Y-%m-%d}, {late:,.0f} days after the first decision on "
            f"{began_at:%Y-%m-%d}: whoever made it knew which symbols had risen by then, and which were left.",
            [{"chosen_at": plain(chosen_at), "first_decided_at": plain(began_at)}],
            float(late),
            "days",
            check.remedy,
        )
    if rate is None:
        return Finding("D6", "not-applicable", check.title, "Symbols of this market are not expected to end.")
    listed = np.flatnonzero(traded.any(axis=0))
    first, last = traded[:, listed].argmax(axis=0), len(traded) - 1 - traded[::-1, listed].argmax(axis=0)
    began, until = prices.open_at[first], prices.open_at[last]
    ended = (prices.open_at[-1] - until) > ENDED
    years = float((until - began).total_seconds().to_numpy().sum() / YEAR.total_seconds())
    expected = rate * years
    chance = float(stats.poisson.cdf(int(ended.sum()), expected))
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
    if chosen_at is not None:
        detail += f" The list was made on {chosen_at:%Y-%m-%d}, before the first decision."
        return Finding("D6", "pass", check.title, detail, evidence, share, unit)
    if ended.any():
        return Finding("D6", "pass", check.title, detail, evidence, share, unit)
    detail += " Too few symbols or years to tell a list of survivors from another one."
    return Finding("D6", "inconclusive", check.title, detail, evidence, share, unit, check.remedy)
