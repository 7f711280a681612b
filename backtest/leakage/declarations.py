"""What a run states about itself: dates of its news, latency and costs.

These checks read what is declared. They prove no leak except for undated news that was used; they point at assumptions
under which a backtest is too kind.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from embargo.backtest.distributions import binomial_sf
from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import Finding, evidence_rows, plain, require_columns, utc_array
from embargo.data_loaders.errors import ConfigError

LATENCY_MATTERS_BELOW = pd.Timedelta(hours=1)
# A convention, not a measurement: a second or so each for the feed, the reader, the decision and the order, and stamps
# of whole seconds may lie a second too early themselves.
LEAST_LATENCY = pd.Timedelta(seconds=5)
# Paid for holding, whatever is traded.
HOLDING = frozenset({"borrow", "borrow_annual", "funding", "interest_annual"})
PILE, PILE_SHARE, PILE_EXCESS, RIVAL_INSTANTS = 20, 0.01, 5.0, 10
# Units apart up to which articles are held against those at one instant, and the level of their excess.
NEIGHBOURS, NEIGHBOURS_LEVEL = 30, 1e-6
_ASIDE = "set articles aside that have no date of their own."


def check_undated(news: pd.DataFrame, *, set_aside: int = 0) -> Finding:
    """Require that every article used has a date, and one of its own (D4).

    An article without an instant is a leak. One instant that many articles share (20 or more, 1 % of all, and five
    times what the next ten busiest instants hold) is what a default for missing dates leaves behind: suspicious.

    Parameters
    ----------
    news : DataFrame
        Articles that are used: ``article_id, published_at`` (UTC, NaT where there is none).
    set_aside : int
        Articles left out for want of a date; counted in the detail.

    Returns
    -------
    Finding
        Code ``D4``; ``effect`` is the share of the articles.

    Raises
    ------
    DataError
        If columns are missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_undated
    >>> at = pd.date_range('2024-03-01', periods=60, freq='h', tz='UTC')
    >>> news = pd.DataFrame({'article_id': range(60), 'published_at': at})
    >>> check_undated(news, set_aside=3).detail
    'All 60 articles have a date of their own; 3 without one were set aside.'
    >>> check_undated(news.assign(published_at=at.where(at.hour > 8, at[0]))).verdict
    'suspicious'
    """
    require_columns(news, ("article_id", "published_at"), where="undated news")
    check, unit = CHECKS["check_undated"], "share of articles"
    aside = f"; {set_aside:,} without one were set aside" if set_aside else ""
    articles = news.drop_duplicates("article_id")
    if articles.empty:
        return Finding("D4", "not-applicable", check.title, f"There are no articles{aside}.")
    undated = articles.loc[articles["published_at"].isna()]
    if len(undated):
        detail = f"{len(undated):,} of {len(articles):,} articles that are used have no date{aside}."
        share = len(undated) / len(articles)
        return Finding(
            "D4", "leak", check.title, detail, evidence_rows(undated), share, unit, "Set undated articles aside."
        )
    busiest = articles["published_at"].value_counts().iloc[: 1 + RIVAL_INSTANTS]
    instant, number = busiest.index[0], int(busiest.iloc[0])
    share, usual = number / len(articles), float(busiest.iloc[1:].mean()) if len(busiest) > 1 else 0.0
    if number >= PILE and share >= PILE_SHARE and number >= PILE_EXCESS * usual:
        return Finding(
            "D4",
            "suspicious",
            check.title,
            f"{number:,} of {len(articles):,} articles ({share:.1%}) carry the one instant {instant.isoformat()}, and "
            f"the next busiest hold {usual:.1f}: this looks like a default for missing dates{aside}.",
            evidence_rows(articles.loc[articles["published_at"] == instant, ["article_id", "published_at"]]),
            share,
            unit,
            f"Look where that instant comes from; {_ASIDE}",
        )
    handed_on = _handed_on(news) if {"symbol", "source", "text"} <= set(news) else news[:0]
    if len(handed_on) >= max(PILE, PILE_SHARE * len(articles)):
        return Finding(
            "D4",
            "suspicious",
            check.title,
            f"{len(handed_on):,} of {len(articles):,} articles carry, to the instant, the stamp of another article of "
            "their symbol by another source, and next to none lie a little apart: this looks like dates that were "
            f"filled in from the row before{aside}.",
            evidence_rows(handed_on),
            len(handed_on) / len(articles),
            unit,
            f"Look at how the archive was joined and filled; {_ASIDE}",
        )
    return Finding(
        "D4",
        "pass",
        check.title,
        f"All {len(articles):,} articles have a date of their own{aside}.",
        effect=0.0,
        unit=unit,
    )


def _handed_on(news: pd.DataFrame) -> pd.DataFrame:
    """Return the articles with the odd stamp of another one of their symbol; none where near stamps are as frequent."""
    rows = news.sort_values(["symbol", "published_at"], kind="stable")
    # Whether stamps have a zone is asked elsewhere (T4), and is nothing to how far apart they are.
    second = utc_array(pd.to_datetime(rows["published_at"], utc=True)).astype("datetime64[s]").astype(np.int64)
    unit, full = (1, 60) if (second % 60 != 0).mean() >= 0.5 else (60, 5)
    place, gap = second // unit, np.diff(second // unit, prepend=second[:1] // unit)
    before = rows[["symbol", "source", "text"]].shift()
    ours = ((rows["symbol"] == before["symbol"]) & (rows["source"] != before["source"])).to_numpy()
    follows = ours & (place % full != 0) & (gap >= 0) & (gap <= NEIGHBOURS)
    pairs = zip(rows["text"][follows], before["text"][follows], strict=True)
    follows[follows] = [_other_words(str(one), str(two)) for one, two in pairs]
    same = follows & (gap == 0)
    beyond = binomial_sf(same.sum() - 1, follows.sum(), 0.5) <= NEIGHBOURS_LEVEL
    found: pd.DataFrame = rows.loc[same & beyond, ["article_id", "symbol", "published_at", "source"]]
    return found


def _other_words(one: str, two: str) -> bool:
    """Tell whether two texts share less than half of their words: two sources that tell one event share more."""
    words = set(one.lower().split()), set(two.lower().split())
    return len(words[0] & words[1]) < 0.5 * len(words[0] | words[1])


def check_latency(latency: pd.Timedelta, bar: pd.Timedelta) -> Finding:
    """Require time between the last news read and the order (T10).

    Parameters
    ----------
    latency : Timedelta
        Time between the decision instant and the open.
    bar : Timedelta
        Length of a bar.

    Returns
    -------
    Finding
        Code ``T10``; no latency is suspicious, most of all on bars shorter than an hour, and so is one below five
        seconds, in which nobody receives, reads and orders without having built for it. ``effect`` is the latency in
        minutes. Silent on a longer latency that is still shorter than the reader takes: nothing in a run measures that.

    Raises
    ------
    ConfigError
        If the latency is negative.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_latency
    >>> check_latency(pd.Timedelta(0), pd.Timedelta(days=1)).verdict
    'suspicious'
    """
    if latency < pd.Timedelta(0):
        raise ConfigError(f"latency must not be negative, got {latency}.")
    title, minutes = CHECKS["check_latency"].title, latency / pd.Timedelta(minutes=1)
    if latency == pd.Timedelta(0):
        short = ", which on bars this short is much of the profit" if bar <= LATENCY_MATTERS_BELOW else ""
        detail = f"Orders are placed at the instant news is published{short}. Reading and scoring take time."
        return Finding("T10", "suspicious", title, detail, [], 0.0, "minutes", "Set latency to what scoring takes.")
    if latency < LEAST_LATENCY:
        return Finding(
            "T10",
            "suspicious",
            title,
            f"Decisions stand {latency / pd.Timedelta(seconds=1):g} s before the open, in which the last article has "
            f"to be received and read and its order sent; less than {LEAST_LATENCY / pd.Timedelta(seconds=1):g} s is "
            "not taken on trust.",
            [],
            minutes,
            "minutes",
            "Measure what receiving, scoring and ordering take when most articles come at once; set latency to that.",
        )
    return Finding(
        "T10", "pass", title, f"Decisions stand {minutes:g} minutes before the open.", [], minutes, "minutes"
    )


def check_costs(costs: Mapping[str, float]) -> Finding:
    """Require that trading costs something (P7).

    Parameters
    ----------
    costs : mapping of str to float
        Every cost that was charged, by name and in any unit, such as ``{"fee": 0.0005, "slippage": 0.0005}``.

    Returns
    -------
    Finding
        Code ``P7``; suspicious if no cost of trading is above zero, since borrowing and interest are paid for holding.
        ``effect`` is the number of costs above zero.

    Raises
    ------
    ConfigError
        If a cost is negative or not a number.

    Examples
    --------
    >>> from embargo.backtest.leakage import check_costs
    >>> check_costs({'fee': 0.0, 'slippage': 0.0}).verdict
    'suspicious'
    """
    for name, value in costs.items():
        if not math.isfinite(value) or value < 0:
            raise ConfigError(f"costs: {name} must be a number of at least 0, got {value}.")
    title, unit = CHECKS["check_costs"].title, "costs above zero"
    charged = {name: value for name, value in costs.items() if value > 0}
    evidence = [{"cost": name, "value": plain(value)} for name, value in costs.items()]
    if not charged:
        detail = "Every cost is zero, so the returns are those of a trader who pays nothing."
        return Finding("P7", "suspicious", title, detail, evidence, 0.0, unit, "Charge fees and slippage.")
    if charged.keys() <= HOLDING:
        detail = f"Orders are free: all that is charged is paid for holding ({', '.join(charged)})."
        return Finding(
            "P7", "suspicious", title, detail, evidence, float(len(charged)), unit, "Charge fees and slippage."
        )
    detail = "Charged: " + ", ".join(f"{name} {value:g}" for name, value in charged.items()) + "."
    return Finding("P7", "pass", title, detail, evidence, float(len(charged)), unit)
