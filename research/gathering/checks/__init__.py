"""The data check for people: every check of news and prices at once, as a table for the terminal or one HTML page.

The checks themselves are in `embargo.data_loaders.checks`; here they are only gathered, ordered and shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from embargo.data_loaders.checks import Check, Grade, check_news, check_prices
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.schemas import Prices
from embargo.research.gathering.checks.page import render_page, write_page
from embargo.research.gathering.checks.tables import print_checks

__all__ = ["check_world", "print_checks", "render_page", "worst", "write_page"]

_SEVERITY: tuple[Grade, ...] = ("bad", "look", "fine")


def check_world(
    news: pd.DataFrame | None,
    prices: Prices | None,
    *,
    calendar: str,
    actions: pd.DataFrame | None = None,
    counts: Mapping[str, int] | None = None,
    adjusted_close: pd.DataFrame | None = None,
    as_of: pd.Timestamp | None = None,
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
    actions, adjusted_close, as_of
        As ``embargo.data_loaders.checks.check_prices`` takes them.
    counts : mapping, optional
        Rows of news by reason, as the loader counted them.

    Returns
    -------
    list of Check

    Raises
    ------
    ConfigError
        If there are neither news nor prices.
    DataError
        If a column is missing or a time is naive.
    """
    if news is None and prices is None:
        raise ConfigError("data check: neither news nor prices were given. Name at least one.")
    checks = [] if news is None else check_news(news, prices, calendar=calendar, counts=counts)
    if prices is not None:
        checks += check_prices(prices, actions, adjusted_close=adjusted_close, as_of=as_of)
    return sorted(checks, key=lambda check: _SEVERITY.index(check.verdict))


def worst(checks: Sequence[Check]) -> Grade:
    """Return the worst verdict among checks, ``"fine"`` of none."""
    return min((check.verdict for check in checks), key=_SEVERITY.index, default="fine")
