"""Combinatorially symmetric cross-validation as the paper tells it: every split cut from the returns row by row.

Slow on purpose and written without numpy, so that it can contradict `embargo.backtest.significance.overfitting`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import fmean, stdev


def sharpe(values: Sequence[float]) -> float:
    spread = stdev(values)
    return fmean(values) / spread if spread > 1e-15 else 0.0


def splits(columns: Sequence[Sequence[float]], blocks: int) -> list[tuple[int, float, float, float]]:
    """Chosen column, its Sharpe ratios on the rows it was chosen on and on the others, and the logit of its rank."""
    n = len(columns[0])
    # The first n mod blocks blocks have one row more.
    sizes = [n // blocks + (place < n % blocks) for place in range(blocks)]
    edges = [sum(sizes[:place]) for place in range(blocks + 1)]
    found = []
    for picked in combinations(range(blocks), blocks // 2):
        inside = [row for place in picked for row in range(edges[place], edges[place + 1])]
        outside = [row for row in range(n) if row not in set(inside)]
        first = [sharpe([column[row] for row in inside]) for column in columns]
        second = [sharpe([column[row] for row in outside]) for column in columns]
        best = max(range(len(columns)), key=lambda place: first[place])
        rank = 1 + sum(other < second[best] for other in second)
        share = rank / (len(columns) + 1)
        found.append((best, first[best], second[best], math.log(share / (1.0 - share))))
    return found
