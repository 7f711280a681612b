"""Clusters of near-duplicates found the slow way: one article after the other, each compared to all that is held."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd

from embargo.data_loaders.checks.repeats import normalise_text


def word_pairs(text: str) -> frozenset[tuple[str, ...]]:
    words = normalise_text(text).split()
    return frozenset([tuple(words)] if len(words) == 1 else pairwise(words))


def clusters(news: pd.DataFrame, window: pd.Timedelta, threshold: float) -> pd.Series:
    """Cluster of every row; ``news`` with ``article_id, symbol, text, known_at``."""
    about = news.groupby("article_id")["symbol"].agg(set)
    articles = news.sort_values(["known_at", "article_id"]).drop_duplicates("article_id")
    held: dict[str, dict] = {}
    found: dict[str, str] = {}
    for number, row in enumerate(articles.itertuples()):
        name = normalise_text(row.text) or f"\0{row.text}"
        held = {key: old for key, old in held.items() if row.known_at - old["last"] <= window}
        text = held.get(name)
        if text is None:
            pairs = word_pairs(row.text)
            alike = [
                old
                for old in held.values()
                if old["symbols"] & about[row.article_id]
                and pairs
                and len(pairs & old["pairs"]) >= threshold * len(pairs | old["pairs"])
            ]
            oldest = min(alike, key=lambda old: old["order"], default={"order": number, "cluster": row.article_id})
            text = {"pairs": pairs, "symbols": set(), "order": oldest["order"], "cluster": oldest["cluster"]}
            held[name] = text
        text["symbols"] |= about[row.article_id]
        text["last"] = row.known_at
        found[row.article_id] = text["cluster"]
    return news["article_id"].map(found)
