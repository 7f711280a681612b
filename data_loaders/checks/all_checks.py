"""All checks of news, and all checks of prices, asked at once."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from embargo.data_loaders.checks import arrival, bars, clock, copies, coverage, jumps, levels
from embargo.data_loaders.checks.check import Check, NewsFacts, facts_of
from embargo.data_loaders.checks.clock_evidence import ClockJudgement
from embargo.data_loaders.checks.moves import Tape
from embargo.data_loaders.checks.near_duplicates import DEFAULT_WINDOW
from embargo.data_loaders.schemas import Prices


def check_news(
    news: pd.DataFrame | NewsFacts,
    prices: Prices | None = None,
    *,
    calendar: str,
    counts: Mapping[str, int] | None = None,
    window: pd.Timedelta = DEFAULT_WINDOW,
    judgement: ClockJudgement | None = None,
) -> list[Check]:
    """Ask everything that can be asked of news.

    Parameters
    ----------
    news : DataFrame or NewsFacts
        ``article_id, published_at, symbol, text``, optionally ``seen_at`` (missing where the source does not state
        it), ``source`` and ``updated_at``. With a ``revision`` column the revisions are judged, and all else on the
        first of each article.
    prices : Prices, optional
        What the symbols are held against.
    calendar : str
        exchange_calendars code or ``"24/7"``: whose session and clock the hours are held against.
    counts : mapping, optional
        Rows by reason, as the loader counted them.
    window : Timedelta
        Farthest that a near-duplicate may lie behind its original.
    judgement : ClockJudgement, optional
        What `embargo.data_loaders.checks.clock_evidence.judge_clock` says of these news and prices, where it was asked.

    Returns
    -------
    list of Check

    Raises
    ------
    DataError
        If a column is missing, a time is naive, or there is no row.

    Examples
    --------
    >>> from embargo.data_loaders.checks import check_news
    >>> from embargo.data_loaders.simulated import SimulatedMarket, simulate_market
    >>> market = simulate_market(SimulatedMarket(n_symbols=2, start="2020-01-01", end="2020-03-31"))
    >>> checks = check_news(market.news, market.prices, calendar="XNYS")
    >>> {check.verdict for check in checks}
    {'clean'}
    """
    facts = facts_of(news)
    return [
        *([] if counts is None else [coverage.set_aside(counts)]),
        arrival.first_sighting(facts),
        arrival.back_fill(facts),
        copies.revisions(facts),
        copies.later_dates(facts),
        copies.exact_copies(facts),
        copies.near_copies(facts, window=window),
        clock.time_of_day(facts, calendar=calendar),
        clock.clock(facts, prices, calendar=calendar, judgement=judgement),
        coverage.collection_gaps(facts, calendar=calendar),
        coverage.monthly_articles(facts),
        coverage.symbol_coverage(facts, prices),
    ]


def check_prices(
    prices: Prices,
    actions: pd.DataFrame | None = None,
    *,
    adjusted_close: pd.DataFrame | None = None,
    as_of: pd.Timestamp | None = None,
    adjusted_later: bool = False,
) -> list[Check]:
    """Ask everything that can be asked of prices.

    Parameters
    ----------
    prices : Prices
        Panels of shape (bars, symbols).
    actions : DataFrame, optional
        ``symbol, kind ("dividend" or "split"), ex_at, value``; a split's value is new shares per old.
    adjusted_close : DataFrame, optional
        Like ``prices.close``, adjusted for splits and dividends.
    as_of : Timestamp, optional
        When the prices were fetched: bars that close later were not finished.

    adjusted_later : bool
        The prices are raw on purpose and the splits among ``actions`` are worked in before anything is traded: then a
        recorded split explains its jump.

    Returns
    -------
    list of Check

    Examples
    --------
    >>> from embargo.data_loaders.checks import check_prices
    >>> from embargo.data_loaders.simulated import SimulatedMarket, simulate_market
    >>> market = simulate_market(SimulatedMarket(n_symbols=2, start="2020-01-01", end="2020-03-31"))
    >>> check_prices(market.prices)[0].summary
    'all 62 bars there.'
    """
    tape = Tape.of(prices, actions)
    checks = [
        bars.calendar_gaps(prices),
        bars.holes(prices),
        bars.listings(prices),
        bars.last_bar(prices, as_of=as_of),
        bars.volumes(prices),
        jumps.outliers(tape),
        jumps.level_breaks(tape),
        jumps.splits(tape, adjusted_later=adjusted_later),
        levels.opening_prices(prices),
        levels.ranges(prices),
        levels.stale_closes(prices),
        levels.repeated_bars(prices),
    ]
    return checks if adjusted_close is None else [*checks, levels.adjustment(prices, adjusted_close)]
