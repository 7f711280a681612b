"""Is the collection of news complete: what the loader set aside, missing days and months, symbols without news.

Nobody publishes nothing for days: an empty stretch is a fault of the collection, not a quiet market.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import sessions
from embargo.data_loaders.checks.check import (
    Check,
    Grade,
    NewsFacts,
    examples,
    facts_of,
    graded,
    month_of,
    plural,
)
from embargo.data_loaders.schemas import Prices, utc_microseconds

# Undated rows cannot be placed in time; one in a hundred is a blemish, one in five is another data set.
UNDATED_LOOK, UNDATED_BAD = 0.01, 0.20
# A day that expects seven articles stays empty by chance once in 1,100 (Poisson), which in years of days is to be
# expected; a stretch that expects fourteen, once in a million.
EXPECTED_AT_LEAST, EXPECTED_OF_STRETCH = 7.0, 14.0
# Days usual for the same weekday: a quarter of a year, so that growth of the feed does not look like a gap.
USUAL_WEEKS = 13
GAP_DAYS_BAD = 0.20
# A full month below a quarter of the median month cannot be compared with the others; where twenty are usual, chance
# leaves fewer than five once in 60,000 months (Poisson).
THIN_MONTH, USUAL_AT_LEAST = 0.25, 20.0
# Fewer articles than this cannot show anything about one symbol. That is the archive's size where the median symbol has
# as few in the same time, and a fault of the collection where it has ten times as many.
FEW_ARTICLES, FEW_BESIDE_MEDIAN = 30, 0.1
# News about symbols that could not be traded at the next bar: listings and delistings alone stay below this.
UNTRADED_LOOK = 0.02
MAX_SYMBOLS_DRAWN = 60
_REASONS = {
    "undated": "undated",
    "outside": "out_of_range",
    "uncertain_local_times": "uncertain_local_times",
    "date_only": "date_only",
    "blank": "blank_text",
    "without_symbol": "without_symbol",
}


def set_aside(counts: Mapping[str, int]) -> Check:
    """Show what the loader did not keep, or kept with an uncertain time.

    Silent on rows that the source itself never delivered.
    """
    rows = int(counts.get("rows", sum(counts.values()))) or 1
    undated = int(counts.get("undated", 0))
    vague = int(counts.get("date_only", 0))
    uncertain = int(counts.get("uncertain_local_times", 0)) + int(counts.get("naive", 0))
    figures: dict[str, int | float | str] = {str(name): int(number) for name, number in counts.items()}
    verdict: Grade = graded(undated / rows, look=UNDATED_LOOK, bad=UNDATED_BAD)
    if verdict == "clean" and (uncertain or vague / rows >= UNDATED_LOOK):
        verdict = "look"
    remedies = []
    if undated / rows >= UNDATED_LOOK:
        remedies.append("Map the column that holds the time of publication to published_at (news.columns).")
    if uncertain:
        remedies.append("Name the zone of the times (news.timezone), or take the times from a source that states it.")
    if vague / rows >= UNDATED_LOOK:
        remedies.append(
            "Dates without a time are read from the end of their day on, as news.date_only says: leave that so."
        )
    left = [f"{int(counts[key]):,} {name.replace('_', ' ')}" for name, key in _REASONS.items() if counts.get(key)]
    table = pd.DataFrame({"reason": list(counts), "rows": [int(number) for number in counts.values()]})
    return Check(
        "set aside by the loader",
        verdict,
        f"of {rows:,} rows: {', '.join(left) or 'none set aside'}.",
        figures | {"share_undated": undated / rows},
        examples(table[table["rows"] > 0]),
        remedy=" ".join(remedies) if verdict != "clean" else "",
    )


def collection_gaps(news: pd.DataFrame | NewsFacts, *, calendar: str) -> Check:
    """Find UTC days without any article on which several are usual.

    Usual is the median of 13 such weekdays around, holidays counting as Sundays; a day is a gap when that is at least
    seven, and the days of one stretch together fourteen. Silent on days that lost only part of their articles, and on
    feeds too thin for an empty day to mean anything.
    """
    articles = facts_of(news).articles
    day = pd.DatetimeIndex(articles["published_at"].to_numpy(dtype="datetime64[us]")).normalize()
    counts = day.value_counts().sort_index()
    counts = counts.reindex(pd.date_range(counts.index[0], counts.index[-1], freq="D", unit="us"), fill_value=0)
    holiday = ~counts.index.isin(sessions(calendar, counts.index[0], counts.index[-1]).index)
    weekday = pd.DatetimeIndex(counts.index).day_of_week
    usual = counts.groupby(np.where(holiday & (weekday < 5), 6, weekday)).transform(
        lambda same: same.rolling(USUAL_WEEKS, center=True, min_periods=1).median()
    )
    empty = counts == 0
    gap = empty & (usual >= EXPECTED_AT_LEAST)
    runs = (gap != gap.shift()).cumsum()[gap]
    stretches = pd.DataFrame(
        [
            {
                "first_day": part.index[0].tz_localize("UTC"),
                "days": len(part),
                "usual_articles": float(usual[part.index].sum()),
            }
            for _, part in runs.groupby(runs)
        ],
        columns=["first_day", "days", "usual_articles"],
    )
    stretches = stretches[stretches["usual_articles"] >= EXPECTED_OF_STRETCH]
    longest = int(stretches["days"].max()) if len(stretches) else 0
    number = int(stretches["days"].sum())
    return Check(
        "collection gaps",
        graded(number / len(counts), look=1 / len(counts), bad=GAP_DAYS_BAD),
        f"{plural(number, 'day')} without any article where several are usual: collection gaps, not quiet markets; "
        f"longest {plural(longest, 'day')}."
        if number
        else "no day is empty that usually has several articles.",
        {
            "days": len(counts),
            "days_without_articles": int(empty.sum()),
            "gap_days": number,
            "longest_gap_days": longest,
        },
        examples(stretches.sort_values("usual_articles", ascending=False, kind="stable")),
        remedy="Get the missing days from the source. Where it has none, learn and test on stretches without such gaps "
        "(split.start, split.first_test, split.end): silence there says nothing."
        if number
        else "",
    )


def monthly_articles(news: pd.DataFrame | NewsFacts) -> Check:
    """Compare the articles of each whole month with the median month.

    The first and the last month are not judged, being partial. Silent on slow growth, which is the life of any feed.
    """
    articles = facts_of(news).articles
    months = month_of(articles["published_at"])
    counts = months.value_counts().sort_index()
    every = pd.date_range(counts.index[0], counts.index[-1], freq="MS").as_unit("us")
    counts = counts.reindex(every, fill_value=0)
    inner = counts.iloc[1:-1]
    usual = float(inner.median()) if len(inner) else float(counts.median())
    thin = inner[(inner < THIN_MONTH * usual) & (usual >= USUAL_AT_LEAST)]
    return Check(
        "articles per month",
        graded(len(thin), look=1),
        f"{plural(len(thin), 'month')} with less than a quarter of the usual {usual:,.0f} articles, first "
        f"{thin.index[0]:%Y-%m}: start after them."
        if len(thin)
        else f"every whole month has at least a quarter of the usual {usual:,.0f} articles.",
        {"months": len(counts), "median_articles": usual, "thin_months": len(thin)},
        examples(pd.DataFrame({"month": thin.index, "articles": thin.to_numpy()})),
        pd.DataFrame({"month": counts.index, "articles": counts.to_numpy()}),
        remedy="Get the missing articles from the source, or learn and test on months that were collected alike "
        "(split.start, split.first_test, split.end)."
        if len(thin)
        else "",
    )


def held_against_prices(news: pd.DataFrame, prices: Prices) -> dict[str, Any]:
    """Count where news and prices do not meet.

    Returns
    -------
    dict
        ``symbols_without_prices`` (symbol to rows of news) and ``articles_without_prices``;
        ``symbols_without_articles``; ``articles_before_prices`` and ``articles_after_prices`` (known before the first
        bar opens, or after the last one does, so no bar of the panel can answer); ``articles_while_unlisted`` (the next
        bar of the symbol has no opening price).
    """
    code, names = pd.factorize(news["symbol"])
    column = prices.open.columns.get_indexer(pd.Index(names))[code]
    strangers = pd.Series(np.bincount(code, minlength=len(names)), index=pd.Index(names))
    strangers = strangers[~strangers.index.isin(prices.open.columns)].sort_index()
    opens, known_at = utc_microseconds(prices.open_at), utc_microseconds(news["known_at"])
    row = np.searchsorted(opens, known_at, side="left")
    inside = (column >= 0) & (row < len(opens)) & (known_at >= opens[0])
    unlisted = np.isnan(prices.open.to_numpy()[row[inside], column[inside]])
    return {
        "symbols_without_prices": {str(name): int(count) for name, count in strangers.items()},
        "articles_without_prices": int((column < 0).sum()),
        "symbols_without_articles": sorted(set(prices.symbols) - set(names)),
        "articles_before_prices": int((known_at < opens[0]).sum()),
        "articles_after_prices": int((known_at > opens[-1]).sum()),
        "articles_while_unlisted": int(unlisted.sum()),
    }


def symbol_coverage(news: pd.DataFrame | NewsFacts, prices: Prices | None) -> Check:
    """Count articles by symbol and month, symbols without articles or prices, and articles that no bar can answer.

    Silent on articles filed under the wrong symbol.
    """
    facts = facts_of(news).rows
    per_symbol = facts["symbol"].value_counts()
    profile = _by_symbol_and_month(facts, per_symbol.index[:MAX_SYMBOLS_DRAWN])
    few = int((per_symbol < FEW_ARTICLES).sum())
    figures: dict[str, int | float | str] = {
        "symbols_with_articles": len(per_symbol),
        "median_articles": float(per_symbol.median()),
        "symbols_with_few_articles": few,
        "share_of_busiest_symbol": float(per_symbol.iloc[0] / len(facts)),
    }
    life = pd.Series(1.0, index=per_symbol.index) if prices is None else prices.close.notna().mean()
    expected = float(per_symbol.median()) * life
    usual = expected.reindex(per_symbol.index, fill_value=0.0)
    scarce = (usual >= FEW_ARTICLES) & (per_symbol < FEW_BESIDE_MEDIAN * usual)
    poor = per_symbol[(per_symbol < FEW_ARTICLES) & scarce]
    complaints = (
        [f"{plural(len(poor), 'symbol')} with fewer than {FEW_ARTICLES} articles, and a tenth of the usual"]
        if len(poor)
        else []
    )
    listed = pd.DataFrame({"symbol": poor.index, "articles": poor.to_numpy(), "trouble": "few articles"})
    listed = listed.sort_values("articles", kind="stable")
    verdict: Grade = "look" if complaints else "clean"
    if prices is not None:
        met = held_against_prices(facts, prices)
        strangers, silent = met["symbols_without_prices"], met["symbols_without_articles"]
        missed = [name for name in silent if expected[name] >= FEW_ARTICLES]
        lost = met["articles_without_prices"] / len(facts)
        untraded = met["articles_while_unlisted"] / len(facts)
        figures |= {
            "symbols_without_prices": len(strangers),
            "symbols_without_articles": len(silent),
            "share_of_rows_without_prices": lost,
            "share_of_rows_while_not_traded": untraded,
            "rows_before_prices": met["articles_before_prices"],
            "rows_after_prices": met["articles_after_prices"],
        }
        if strangers:
            complaints.append(f"{plural(len(strangers), 'symbol')} without prices ({lost:.1%} of the rows)")
        if missed:
            complaints.append(f"{plural(len(missed), 'symbol')} without articles ({', '.join(missed[:3])})")
        if untraded >= UNTRADED_LOOK:
            complaints.append(f"{untraded:.1%} of the rows while their symbol was not traded")
        verdict = "look" if complaints else "clean"
        listed = pd.concat(
            [
                pd.DataFrame(
                    [{"symbol": name, "articles": n, "trouble": "no prices"} for name, n in strangers.items()]
                ),
                pd.DataFrame([{"symbol": name, "articles": 0, "trouble": "no articles"} for name in silent]),
                listed,
            ],
            ignore_index=True,
        )
    return Check(
        "symbol coverage",
        verdict,
        "; ".join(complaints) + "."
        if complaints
        else f"{plural(len(per_symbol), 'symbol')}, each with at least {plural(int(per_symbol.min()), 'article')}"
        + (" and with prices." if prices is not None else "."),
        figures,
        examples(listed),
        profile,
        remedy="See how the source spells these symbols, and get their news and prices. News without prices are left "
        "out by news.unpriced = 'drop'; symbols without news stay in the universe, which is not chosen by silence."
        if complaints
        else "",
    )


def _by_symbol_and_month(facts: pd.DataFrame, symbols: pd.Index) -> pd.DataFrame:
    """Count the rows of each of these symbols in each UTC month that has any: symbol, month, articles."""
    symbols = symbols.sort_values()
    month, months = pd.factorize(month_of(facts["published_at"]), sort=True)
    code, names = pd.factorize(facts["symbol"])
    column = symbols.get_indexer(pd.Index(names))[code]
    drawn = column >= 0
    cells = np.bincount(column[drawn] * len(months) + month[drawn], minlength=len(symbols) * len(months))
    held = np.flatnonzero(cells)
    return pd.DataFrame(
        {"symbol": symbols[held // len(months)], "month": months[held % len(months)], "articles": cells[held]}
    )
