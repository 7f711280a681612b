"""Are there copies among the news, and do later edits show: exact and near duplicates, revisions, dates in the text."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from embargo.data_loaders.checks.check import (
    Check,
    Grade,
    NewsFacts,
    examples,
    facts_of,
    graded,
    percent,
    plural,
)
from embargo.data_loaders.checks.near_duplicates import DEFAULT_THRESHOLD, DEFAULT_WINDOW, clusters_of

# Newswires syndicate several per cent of their stories; beyond a tenth, copies outvote originals in a daily mean.
COPIES_LOOK = 0.10
# With more copies than originals a symbol's sentiment is that of its most copied story.
COPIES_BAD = 0.50
# Corrections touch under one in a hundred stories of a wire; more means that pages are rewritten as a habit.
REVISED_LOOK = 0.01
# Announced events are dated ahead too, so only a rate above that of diary items is worth reading.
LATER_DATES_LOOK = 0.005
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october")
_MONTH_NUMBER = {name[:3]: number for number, name in enumerate((*_MONTHS, "november", "december"), start=1)}
_MONTH = (
    r"(?P<month{0}>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DATE = re.compile(
    r"\b(?P<iso>(?:19|20)\d\d-\d\d-\d\d)(?!\d)|"
    rf"\b{_MONTH.format(1)}\.?\s+(?P<day1>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year1>(?:19|20)\d\d)\b|"
    rf"\b(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?\s+{_MONTH.format(2)}\.?,?\s+(?P<year2>(?:19|20)\d\d)\b",
    re.IGNORECASE,
)
_EDITED = re.compile(r"\b(?:updated?|edited|revised|corrected|modified)\b[^.]{0,24}$", re.IGNORECASE)


def exact_copies(news: pd.DataFrame | NewsFacts) -> Check:
    """Count texts that stood there before: verbatim by row, and by article after ``normalise_text``.

    Silent on rewordings and bylines (``near_copies``) and on one article filed under several symbols.
    """
    facts = facts_of(news)
    articles = facts.articles
    copied = ~facts.original
    share = float(copied.mean())
    repeated_rows = float(facts.rows["text"].duplicated().mean())
    return Check(
        "exact copies",
        graded(share, look=COPIES_LOOK, bad=COPIES_BAD),
        f"{share:.1%} of the articles repeat an earlier one word for word; let the first one carry the signal."
        if share
        else "no article repeats an earlier one word for word.",
        {
            "articles": len(articles),
            "copies": int(copied.sum()),
            "share_of_articles": share,
            "share_of_rows_verbatim": repeated_rows,
        },
        examples(articles[copied], ["article_id", "known_at", "symbol", "source", "text"]),
        remedy="news.drop_repeats keeps the first of each text; news.repeat_scope = 'all' compares across symbols, and "
        "news.repeat_window says for how long."
        if share >= COPIES_LOOK
        else "",
    )


def near_copies(
    news: pd.DataFrame | NewsFacts, *, window: pd.Timedelta = DEFAULT_WINDOW, threshold: float = DEFAULT_THRESHOLD
) -> Check:
    """Count articles that are near-duplicates of an earlier one: ``near_duplicates.near_duplicate_clusters``.

    Silent on copies later than ``window``, on paraphrases, and on templates filled with other companies' names.
    """
    facts = facts_of(news)
    clusters = clusters_of(facts.rows, facts.plain, facts.story, window=window, threshold=threshold)
    articles = facts.articles.assign(cluster=clusters[~facts.rows["article_id"].duplicated()].to_numpy())
    copied = articles["cluster"] != articles["article_id"]
    share = float(copied.mean())
    sizes = articles["cluster"].value_counts()
    shown = examples(articles[copied], ["article_id", "cluster", "symbol", "text"])
    named = articles[articles["article_id"].isin(shown["cluster"])]
    originals = named.set_index("article_id")["text"].str.slice(0, 140)
    days = window / pd.Timedelta(days=1)
    return Check(
        "near copies",
        graded(share, look=COPIES_LOOK, bad=COPIES_BAD),
        f"{share:.1%} of the articles are near-duplicates of one known up to {days:g} days before; largest cluster "
        f"{int(sizes.max()):,}.",
        {
            "articles": len(articles),
            "copies": int(copied.sum()),
            "share_of_articles": share,
            "clusters_of_several": int((sizes > 1).sum()),
            "largest_cluster": int(sizes.max()),
            "window_days": float(days),
            "jaccard": threshold,
        },
        shown.assign(original=originals.reindex(shown["cluster"]).to_numpy()) if len(shown) else shown,
        remedy="Let a repeat count less than what it repeats: signal.novelty_floor below 1, with signal.novelty_window "
        "and signal.novelty_scope."
        if share >= COPIES_LOOK
        else "",
    )


def revisions(news: pd.DataFrame | NewsFacts) -> Check:
    """Count articles with more than one version, and those whose date of publication moved between versions.

    Silent on edits that the source made before it was first read, and on every edit where no revisions are kept.
    """
    news = facts_of(news).given
    if "revision" not in news.columns and "updated_at" not in news.columns:
        return Check(
            "revisions", "clean", "one version of each article; where the source edits silently, this cannot show it."
        )
    versions = news.drop_duplicates(["article_id", "revision"]) if "revision" in news.columns else news
    groups = versions.groupby("article_id")
    edited = pd.Series(False, index=list(groups.groups))
    if "revision" in news.columns:
        edited |= (groups.size() > 1) | (groups["revision"].max() > 0)
    moved = groups["published_at"].max() > groups["published_at"].min()
    if "updated_at" in news.columns:
        edited |= (news["updated_at"] > news["published_at"]).groupby(news["article_id"]).any()
    share, number = float(edited.mean()), int(moved.sum())
    chosen = versions[versions["article_id"].isin(edited.index[edited])].sort_values("article_id", kind="stable")
    verdict: Grade = "bad" if number else graded(share, look=REVISED_LOOK)
    redated = f"; {plural(number, 'article')} changed the date of publication" if number else ""
    return Check(
        "revisions",
        verdict,
        f"{percent(share)} of the articles have later versions: a backtest must read the first{redated}."
        if share
        else "no article has a later version.",
        {"articles": len(edited), "revised": int(edited.sum()), "share_revised": share, "published_at_moved": number},
        examples(
            chosen, [name for name in ("article_id", "revision", "published_at", "seen_at", "text") if name in chosen]
        ),
        remedy="Keep the first version of each article, with the instant at which that version was seen; a text edited "
        "later may read only from the instant of the edit."
        if verdict != "clean"
        else "",
    )


def _date_in(match: re.Match[str]) -> np.datetime64 | None:
    """Read the day that a match names; None where the calendar has no such day."""
    if match["iso"]:
        parts = match["iso"].split("-")
    else:
        which = "1" if match["month1"] else "2"
        month = _MONTH_NUMBER[match[f"month{which}"][:3].lower()]
        parts = [match[f"year{which}"], f"{month:02d}", f"{int(match[f'day{which}']):02d}"]
    try:
        return np.datetime64("-".join(parts), "D")
    except ValueError:
        return None


def later_dates(news: pd.DataFrame | NewsFacts) -> Check:
    """Find whole dates in a text that lie after its publication: ``2016-05-03``, ``May 3, 2016``, ``3 May 2016``.

    An edit stamp (``updated``, ``corrected`` ... before such a date) proves a later version under an early date.
    Dates within a day of publication pass, since a local date may run ahead of UTC. Silent on relative dates, on dates
    without a year, and on ``03/05/2016``, whose order depends on the country.
    """
    articles = facts_of(news).articles
    suspects = articles[articles["text"].str.contains(r"(?:19|20)\d\d", regex=True)]
    day = suspects["published_at"].to_numpy(dtype="datetime64[us]").astype("datetime64[D]")
    found = []
    for place, (text, published) in enumerate(zip(suspects["text"].astype(object), day, strict=True)):
        for match in _DATE.finditer(text):
            date = _date_in(match)
            if date is not None and date > published + np.timedelta64(1, "D"):
                before = text[max(0, match.start() - 40) : match.start()]
                found.append((place, match[0], bool(_EDITED.search(before))))
                break
    later = pd.DataFrame(found, columns=["place", "date_in_text", "edit_stamp"])
    listed = suspects.iloc[later["place"].to_numpy(dtype=np.int64)].reset_index(drop=True)
    listed = listed.assign(date_in_text=later["date_in_text"], edit_stamp=later["edit_stamp"])
    share, stamped = len(later) / len(articles), int(later["edit_stamp"].sum())
    verdict: Grade = "bad" if stamped else graded(share, look=LATER_DATES_LOOK)
    return Check(
        "later dates in the text",
        verdict,
        f"{plural(len(later), 'article')} ({percent(share)}) naming a day after publication, {stamped:,} of them as "
        "the date of an edit."
        if len(later)
        else "no article names a day after its publication.",
        {"articles": len(articles), "naming_later_dates": len(later), "share": share, "edit_stamps": stamped},
        examples(
            listed.sort_values("edit_stamp", ascending=False, kind="stable"),
            ["article_id", "published_at", "date_in_text", "edit_stamp", "text"],
        ),
        remedy="Take first versions from a source that keeps them, or map the instant of the edit to seen_at, so that "
        "the edited text is read no sooner."
        if stamped
        else "Read the examples: announced events are dated ahead and may stay; a text that knows what came later is a "
        "later version, and is to be read from its own instant on."
        if verdict != "clean"
        else "",
    )
