"""News of another day told of a company and a date: whatever a reader then knows of that day, it did not read.

A tuned reader may say nothing to a bare date, because no text that it was fitted on looked like one. A text that looks
like all others, but whose news are borrowed, brings up what it remembers of whom and when.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

import pandas as pd

from embargo.data_loaders.errors import DataError
from embargo.models.probes.masking import DATE, Entities, Named, check_texts, finder, short_name

# Ways to write a date, tried in turn on the one that is to be replaced.
_FORMS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%B %d, %Y", "%b %d, %Y", "%B %d %Y", "%d %B %Y", "%d %b %Y"),
    *("%B %Y", "%b %Y", "%B %d", "%b %d", "%d %B", "%Y"),
)


def lend_news(
    texts: Sequence[str],
    lenders: Sequence[int],
    symbols: Sequence[str],
    at: pd.Series | pd.DatetimeIndex,
    entities: Entities,
) -> list[str]:
    """Tell the news of one text of the company and the date of another.

    Parameters
    ----------
    texts : sequence of str, length n
    lenders : sequence of int, length m
        Row of ``texts`` whose news each result tells.
    symbols : sequence of str, length m
        Company that it is told of.
    at : Series or DatetimeIndex, length m
        Date that it is told of.
    entities : Entities

    Returns
    -------
    list of str, length m
        The lender's text, with every company in it replaced by this one and every date by this one, written as the
        lender writes them; before a text without a company, or without a date, they are put. Dates of which no such
        form is known (quarters, days without a month) stay.

    Raises
    ------
    DataError
        If lengths differ, or a row is no text.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.models.probes import Entities, lend_news
    >>> who = Entities({"AAPL": ["Apple Inc."], "NOK": ["Nokia"]})
    >>> at = pd.to_datetime(["2019-05-07", "2019-05-08"], utc=True)
    >>> lend_news(["Nokia (NYSE: NOK) fell on March 4, 2021", "Profit rose"], [0, 1], ["AAPL", "AAPL"], at, who)
    ['Apple (NYSE: AAPL) fell on May 07, 2019', 'AAPL 2019-05-08 Profit rose']
    """
    check_texts(texts, "borrowed news")
    instants = pd.DatetimeIndex(at)
    if not len(lenders) == len(symbols) == len(instants):
        raise DataError(
            f"borrowed news: {len(lenders)} lenders, {len(symbols)} symbols and {len(instants)} instants. Give one of "
            "each per text."
        )
    pattern, named = finder(entities)
    return [
        _told(texts[lender], pattern, named, symbol, entities, instant)
        for lender, symbol, instant in zip(lenders, symbols, instants, strict=True)
    ]


def _told(
    text: str,
    pattern: re.Pattern[str],
    named: Callable[[re.Match[str]], Named],
    symbol: str,
    entities: Entities,
    at: pd.Timestamp,
) -> str:
    own = entities.names.get(symbol) or [symbol]
    put = {"company": False, "date": False}

    def of_company(found: re.Match[str]) -> str:
        kind, _, form = named(found)
        if kind == "Product":
            return found.group(0)
        put["company"] = True
        if form == "listed":
            return found.group(0)[: found.start("code") - found.start()] + symbol
        if form == "cashtag":
            return "$" + symbol
        return short_name(own[0]) if form == "name" else symbol

    def of_day(found: re.Match[str]) -> str:
        written = _written(found.group(0), at)
        put["date"] = put["date"] or written is not None
        return found.group(0) if written is None else written

    # A digit of a name must not be read as a date, so dates go first.
    told = pattern.sub(of_company, DATE.sub(of_day, text))
    return " ".join([*([] if put["company"] else [symbol]), *([] if put["date"] else [f"{at:%Y-%m-%d}"]), told])


def _written(date: str, at: pd.Timestamp) -> str | None:
    """Write an instant's date in the form of another; None where its form is not known."""
    for form in _FORMS:
        # A day without a year cannot be read alone, since not every year has it; 2000 has every day.
        year = "" if "%Y" in form else " 2000"
        with suppress(ValueError):
            datetime.strptime(date.rstrip(".") + year, form + (year and " %Y"))  # noqa: DTZ007
            return f"{at:{form}}"
    return None
