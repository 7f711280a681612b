"""All checks of news, and all checks of prices, asked at once."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from embargo.data_loaders.checks import arrival, bars, clock, copies, coverage, levels
from embargo.data_loaders.checks.check import Check
from embargo.data_loaders.checks.near_duplicates import DEFAULT_WINDOW
from embargo.data_loaders.schemas import Prices


def check_news(
    news: pd.DataFrame,
    prices: Prices | None = None,
    *,
    calendar: str,
    counts: Mapping[str, int] | None = None,
    window: pd.Timedelta = DEFAULT_WINDOW,
) -> list[Check]:
    """Ask everything that can be asked of news.

    Parameters
    ----------
    news : DataFrame
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
    checks = [] if counts is None else [coverage.set_aside(counts)]
    return [
        *checks,
        arrival.first_sighting(news),
        arrival.back_fill(news),
        copies.revisions(news),
        copies.later_dates(news),
        copies.exact_copies(news),
        copies.near_copies(news, window=window),
        clock.time_of_day(news, calendar=calendar),
        clock.clock(news, prices, calendar=calendar),
        coverage.collection_gaps(news, calendar=calendar),
        coverage.monthly_articles(news),
        coverage.symbol_coverage(news, prices),
    ]


def check_prices(
    prices: Prices,
    actions: pd.DataFrame | None = None,
    *,
    adjusted_close: pd.DataFrame | None = None,
    as_of: pd.Timestamp | None = None,
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
    checks = [
        bars.calendar_gaps(prices),
        bars.holes(prices),
        bars.listings(prices),
        bars.last_bar(prices, as_of=as_of),
        bars.volumes(prices),
        levels.outliers(prices),
        levels.splits(prices, actions),
        levels.opening_prices(prices),
        levels.ranges(prices),
        levels.stale_closes(prices),
    ]
    return checks if adjusted_close is None else [*checks, levels.adjustment(prices, adjusted_close)]
