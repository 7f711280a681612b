"""Signals by their definitions: one cell, one article and one pair of texts at a time.

Slow on purpose and written without numpy, scipy or pandas, so that it can contradict the filters.
"""

from __future__ import annotations

import itertools
import math
import statistics


def opinion(net: float, *, mode: str, hold: float) -> float:
    if mode != "vote":
        return net
    return 0.0 if abs(net) <= hold else math.copysign(1.0, net)


def sums(articles, *, bars, symbols, threshold, min_articles, mode, hold, fade, holding):
    """Return weighted opinions and weights per cell.

    Articles are ``(row, column, net, confidence, weight)``, ``fade(article, t)`` what is left of one at row t.
    """
    top = [[0.0] * symbols for _ in range(bars)]
    bottom = [[0.0] * symbols for _ in range(bars)]
    for s in range(symbols):
        heard = [a for a in articles if a[1] == s and a[3] >= threshold and a[4] > 0]
        heard = [a for a in heard if sum(b[0] == a[0] for b in heard) >= min_articles]
        for t in range(bars):
            for article in heard:
                if article[0] <= t and (holding is None or t < article[0] + holding):
                    worth = article[3] * article[4] * fade(article, t)
                    top[t][s] += worth * opinion(article[2], mode=mode, hold=hold)
                    bottom[t][s] += worth
    return top, bottom


def aggregate(top, bottom, *, mode, shrinkage, scale):
    def cell(n, d):
        if mode == "sum":
            return math.tanh(n / scale)
        return n / (d + shrinkage) if d > 0 else 0.0

    return [[cell(n, d) for n, d in zip(*rows, strict=True)] for rows in zip(top, bottom, strict=True)]


def fill(row, own, sectors, weight):
    """Fill one row; None names no sector."""

    def mean(members):
        return sum(members) / len(members) if members else None

    everyone = mean([value for value, has in zip(row, own, strict=True) if has])
    filled = []
    for value, has, sector in zip(row, own, sectors, strict=True):
        kin = [v for v, h, other in zip(row, own, sectors, strict=True) if h and sector is not None and other == sector]
        lent = mean(kin) if kin else everyone
        filled.append(value if has else weight * (lent or 0.0))
    return filled


def zscore(row):
    """Standardise one row; None is absent."""
    there = [value for value in row if value is not None]
    spread = statistics.pstdev(there) if there else 0.0
    flat = not there or spread**2 <= 1e-12 * sum(value**2 for value in there) / len(there)
    return [0.0 if value is None or flat else (value - statistics.fmean(there)) / spread for value in row]


def rank(row):
    there = [value for value in row if value is not None]
    if len(there) < 2:
        return [0.0] * len(row)
    return [
        0.0
        if value is None
        else (sum(other < value for other in there) - sum(other > value for other in there)) / (len(there) - 1)
        for value in row
    ]


def quantile(values, share):
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def winsorise(row, share):
    there = [value for value in row if value is not None]
    if not there:
        return [0.0] * len(row)
    low, high = quantile(there, share), quantile(there, 1 - share)
    return [0.0 if value is None else min(max(value, low), high) for value in row]


def neutralise(row, groups):
    result = []
    for value, group in zip(row, groups, strict=True):
        kin = [v for v, g in zip(row, groups, strict=True) if g == group and v is not None]
        result.append(0.0 if value is None or len(kin) < 2 else value - sum(kin) / len(kin))
    return result


def standardise(column, *, window, minimum):
    """Standardise one symbol's series; None is absent, in and out."""
    result = []
    for t, value in enumerate(column):
        past = [v for v in column[0 if window is None else max(0, t - window) : t] if v is not None]
        if value is None or len(past) < minimum:
            result.append(None)
            continue
        mean = statistics.fmean(past)
        variance = statistics.fmean((v - mean) ** 2 for v in past)
        flat = variance <= 1e-9 * statistics.fmean(v**2 for v in past)
        result.append(None if flat else (value - mean) / math.sqrt(variance))
    return result


def similarity(articles, *, window, scope):
    """Compare ``(article_id, symbol, words, known_at)`` with all before them."""

    def pairs(words):
        return set(itertools.pairwise(words)) if len(words) > 1 else set(words)

    result = []
    for article_id, symbol, words, known_at in articles:
        mine = pairs(words)
        rivals = [
            pairs(other_words)
            for other_id, other_symbol, other_words, at in articles
            if (at, other_id) < (known_at, article_id)
            and known_at - at <= window
            and (scope == "market" or other_symbol == symbol)
        ]
        result.append(max((len(mine & rival) / len(mine | rival) for rival in rivals), default=0.0))
    return result
