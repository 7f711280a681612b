"""Sharpe ratios of many attempts, resampled block by block and held against each other step by step.

Slow on purpose and written without numpy, so that it can contradict `embargo.backtest.significance.attempts`. A row on
which an attempt was not made holds None. A resample in which an attempt does not vary, or lies in one block, counts
against that attempt, and not against the others.
"""

import math


def p_values(columns, statistics, starts, length):
    """Step-down max-t p-values; ``starts`` holds the first rows of the blocks of each resample."""
    losers = [
        statistic if statistic < _bound(column) else 0.0 for column, statistic in zip(columns, statistics, strict=True)
    ]
    pivots = [[_pivot(column, firsts, length) for column in columns] for firsts in starts]
    order = sorted(range(len(columns)), key=lambda k: -statistics[k])
    found, worst = {}, 0.0
    for place, k in enumerate(order):
        rivals = order[place + 1 :]
        beaten = 0
        for drawn in pivots:
            others = [drawn[rival] + losers[rival] for rival in rivals if drawn[rival] is not None]
            beaten += drawn[k] is None or max([drawn[k], *others]) >= statistics[k]
        worst = max(worst, (1 + beaten) / (1 + len(pivots)))
        found[k] = worst
    return [found[k] for k in range(len(columns))]


def own_p_values(columns, statistics, starts, length):
    """Of each attempt as if it were the only one."""
    pivots = [[_pivot(column, firsts, length) for column in columns] for firsts in starts]
    return [
        (1 + sum(drawn[k] is None or drawn[k] >= statistics[k] for drawn in pivots)) / (1 + len(pivots))
        for k in range(len(columns))
    ]


def _made(column):
    return [value for value in column if value is not None]


def _bound(column):
    return -math.sqrt(2.0 * math.log(math.log(len(_made(column)))))


def _ratio(values):
    mean = sum(values) / len(values)
    return mean / math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))


def _pivot(column, firsts, length):
    n = len(column)
    blocks = [_made(column[(first + step) % n] for step in range(length)) for first in firsts]
    rows = [value for block in blocks for value in block]
    if not rows:
        return None
    mean = sum(rows) / len(rows)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in rows) / len(rows))
    if deviation < 1e-12:
        return None
    ratio, moved = mean / deviation, 0.0
    for block in blocks:
        each = [(value - mean) / deviation for value in block]
        moved += sum(u - 0.5 * ratio * (u * u - 1.0) for u in each) ** 2
    if moved < 1e-9 * len(rows):
        return None
    return (ratio - _ratio(_made(column))) / (math.sqrt(moved) / len(rows))
