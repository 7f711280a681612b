"""Every check of news and prices at once, worst answers first.

The checks themselves are in `embargo.data_loaders.checks`; here they are only gathered and ordered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from embargo.data_loaders.checks import Check, Grade, check_news, check_prices
from embargo.data_loaders.checks.check import facts_of
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.schemas import Prices
from embargo.research.run.data_verdict import clock_of

SEVERITY: tuple[Grade, ...] = ("bad", "look", "clean")


def check_world(
    news: pd.DataFrame | None,
    prices: Prices | None,
    *,
    calendar: str,
    actions: pd.DataFrame | None = None,
    counts: Mapping[str, int] | None = None,
    adjusted_close: pd.DataFrame | None = None,
    as_of: pd.Timestamp | None = None,
    adjusted_later: bool = False,
) -> list[Check]:
    """Ask everything that can be asked of news and prices, worst answers first.

    Parameters
    ----------
    news : DataFrame, optional
        As ``embargo.data_loaders.checks.check_news`` takes them.
    prices : Prices, optional
        As ``embargo.data_loaders.checks.check_prices`` takes them.
    calendar : str
        exchange_calendars code or ``"24/7"``: whose session the hours of the news are held against.
    actions : DataFrame, optional
        As ``embargo.data_loaders.checks.check_prices`` takes them.
    counts : mapping of str to int, optional
        Rows of news by reason, as the loader counted them.
    adjusted_close : DataFrame, optional
        As ``embargo.data_loaders.checks.check_prices`` takes them.
    as_of : Timestamp, optional
        As ``embargo.data_loaders.checks.check_prices`` takes it, UTC.
    adjusted_later : bool
        As ``embargo.data_loaders.checks.check_prices`` takes it.

    Returns
    -------
    list of Check

    Raises
    ------
    ConfigError
        If there are neither news nor prices.
    DataError
        If a column is missing or a time is naive.

    Examples
    --------
    >>> from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
    >>> from embargo.research.gathering.checks import check_world
    >>> market = simulate_market(SimulatedMarket(n_symbols=2, end="2015-03-31"))
    >>> checks = check_world(market.news, market.prices, calendar="XNYS")
    >>> checks[0].name, checks[0].verdict
    ('first sighting', 'clean')
    """
    if news is None and prices is None:
        raise ConfigError("data check: neither news nor prices were given. Name at least one.")
    checks = [] if news is None else judge_news(news, prices, calendar=calendar, counts=counts)
    if prices is not None:
        checks += check_prices(
            prices, actions, adjusted_close=adjusted_close, as_of=as_of, adjusted_later=adjusted_later
        )
    return worst_first(checks)


def judge_news(
    news: pd.DataFrame, prices: Prices | None, *, calendar: str, counts: Mapping[str, int] | None = None
) -> list[Check]:
    """Ask everything that can be asked of news; beside prices their clock is judged as a run judges it, by texts too.

    Parameters
    ----------
    news : DataFrame
        As ``embargo.data_loaders.checks.check_news`` takes them.
    prices : Prices, optional
    calendar : str
        exchange_calendars code or ``"24/7"``.
    counts : mapping of str to int, optional
        Rows of news by reason, as the loader counted them.

    Returns
    -------
    list of Check

    Raises
    ------
    DataError
        If a column is missing, a time is naive, or there is no row.

    Examples
    --------
    >>> from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
    >>> from embargo.research.gathering.checks.check import judge_news
    >>> market = simulate_market(SimulatedMarket(n_symbols=2, end="2015-03-31"))
    >>> {check.verdict for check in judge_news(market.news, market.prices, calendar="XNYS")}
    {'clean'}
    """
    facts = facts_of(news)
    judged = None if prices is None else clock_of(facts.rows, prices, calendar=calendar)
    return check_news(facts, prices, calendar=calendar, counts=counts, judgement=judged)


def worst_first(checks: Sequence[Check]) -> list[Check]:
    """Return checks in the order of their verdicts, ``"bad"`` first; of equals, in their own.

    Parameters
    ----------
    checks : sequence of Check

    Returns
    -------
    list of Check

    Examples
    --------
    >>> from embargo.data_loaders.checks import Check
    >>> from embargo.research.gathering.checks import worst_first
    >>> [check.name for check in worst_first([Check("clock", "clean", ""), Check("gaps", "bad", "")])]
    ['gaps', 'clock']
    """
    return sorted(checks, key=lambda check: SEVERITY.index(check.verdict))


def worst(checks: Sequence[Check]) -> Grade:
    """Return the worst verdict among checks.

    Parameters
    ----------
    checks : sequence of Check

    Returns
    -------
    {'bad', 'look', 'clean'}
        ``"clean"`` of none.

    Examples
    --------
    >>> from embargo.data_loaders.checks import Check
    >>> from embargo.research.gathering.checks import worst
    >>> worst([Check("clock", "clean", ""), Check("gaps", "look", "")])
    'look'
    """
    return min((check.verdict for check in checks), key=SEVERITY.index, default="clean")
