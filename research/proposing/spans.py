"""Where time is cut: half of what news and prices share teaches, the rest is tested, in windows that fit its length."""

from __future__ import annotations

import pandas as pd

from embargo.research.proposing.lines import Setting

# Days that are shared, and the spans of a test window and of validation; the first that fits.
_SPANS = ((1_460, "12MS", "3MS"), (540, "6MS", "2MS"), (240, "2MS", "1MS"))
_WINDOWS, _SHARE_TO_TEACH = 4, 0.5


def split_settings(stamps: pd.Series, days: tuple[pd.Timestamp, pd.Timestamp] | None, articles: int) -> list[Setting]:
    """Propose where tests begin and how long their windows are.

    Parameters
    ----------
    stamps : Series of naive datetime64
        Of the news; empty where their form is open.
    days : (Timestamp, Timestamp), optional
        First and last day of the bars, naive; where nobody knows them those of the news count.
    articles : int
        How many were looked at.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.research.proposing.spans import split_settings
    >>> stamps = pd.Series(pd.date_range("2015-01-01", "2019-12-31"))
    >>> [setting.value for setting in split_settings(stamps, None, len(stamps))]
    [datetime.date(2017, 8, 1), '12MS', '3MS', '1D']
    """
    told_by = (pd.Timestamp(stamps.min()), pd.Timestamp(stamps.max())) if len(stamps) else days
    if told_by is None:
        note = "the first test is told from the times of the news, once their form is settled."
        return [Setting("first_test", "?", (note,), "confirm")]
    first, last = told_by
    told = f"{articles:,} articles were looked at, of {first:%Y-%m-%d} to {last:%Y-%m-%d}"
    if days is not None:
        told += f"; prices are of {days[0]:%Y-%m-%d} to {days[1]:%Y-%m-%d}"
        first, last = max(first, days[0]), min(last, days[1])
    shared = (last - first).days
    if shared < 2 * _WINDOWS:
        note = f"{told}: they share too few days to teach and test with. Are their times read rightly?"
        return [Setting("first_test", "?", (note,), "confirm")]
    test, validation = next(
        ((test, validation) for least, test, validation in _SPANS if shared >= least),
        (f"{max(shared // (2 * _WINDOWS), 1)}D", f"{max(shared // (2 * _WINDOWS), 1)}D"),
    )
    begins = (first + _SHARE_TO_TEACH * (last - first)).normalize() + pd.Timedelta(days=1)
    if test.endswith("MS"):
        begins = (begins + pd.offsets.MonthBegin(1)) if begins.day > 1 else begins
    note = f"{told}. Half of what they share comes before the first test; a choice, and better made before any result."
    return [
        Setting("first_test", begins.date(), (note,), "confirm"),
        Setting("test_span", test),
        Setting("validation_span", validation),
        Setting("embargo", "1D"),
    ]
