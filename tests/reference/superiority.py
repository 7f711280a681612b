"""Tests of many strategies recomputed one number at a time, from the papers' formulas and lists of resampled rows.

Slow on purpose and written without numpy, so that it can contradict `embargo.backtest.significance.superior` and
`embargo.backtest.significance.confidence_set`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

Series = Sequence[float]
Rows = Sequence[Sequence[int]]


def bootstrap_variance(values: Series, block: float) -> float:
    """Variance of sqrt(n) times the mean of a stationary-bootstrap resample, by its sum over lags."""
    n, mean, stay = len(values), fmean(values), 1.0 - 1.0 / block
    total = 0.0
    for lag in range(n):
        covariance = sum((values[t] - mean) * (values[t + lag] - mean) for t in range(n - lag)) / n
        if lag == 0:
            total += covariance
        else:
            total += 2.0 * ((1.0 - lag / n) * stay**lag + lag / n * stay ** (n - lag)) * covariance
    return total


def prewhitened_variances(columns: Sequence[Series], block: float) -> list[float]:
    n, k = len(columns[0]), len(columns)
    centred = [[value - fmean(column) for value in column] for column in columns]
    slopes = []
    for c in centred:
        slope = sum(c[t] * c[t - 1] for t in range(1, n)) / sum(value * value for value in c)
        slopes.append(slope + (1.0 + 3.0 * slope) / n)
    centre = fmean(slopes)
    scatter = sum((slope - centre) ** 2 for slope in slopes)
    kept = 1.0 if k <= 3 or scatter == 0.0 else max(0.0, 1.0 - (k - 3) / n / scatter)
    found = []
    for c, slope in zip(centred, slopes, strict=True):
        used = min(0.9, max(-0.9, centre + kept * (slope - centre)))
        rest = [c[0]] + [c[t] - used * c[t - 1] for t in range(1, n)]
        found.append(bootstrap_variance(rest, block) / (1.0 - used) ** 2)
    return found


def superior(
    columns: Sequence[Series], resamples: Rows, block: float, *, studentize: bool, prewhiten: bool
) -> dict[str, object]:
    """Hansen's three p-values and Romano and Wolf's adjusted ones, each (1 + count) / (1 + resamples)."""
    n = len(columns[0])
    means = [fmean(column) for column in columns]
    plain = [bootstrap_variance(column, block) for column in columns]
    sound = prewhitened_variances(columns, block) if prewhiten else plain
    unit = [math.sqrt(variance) if studentize else 1.0 for variance in sound]
    observed = [math.sqrt(n) * mean / one for mean, one in zip(means, unit, strict=True)]
    bar = math.sqrt(2.0 * math.log(math.log(n)))
    centres = {
        "lower": [max(mean, 0.0) for mean in means],
        "consistent": [
            mean if math.sqrt(n) * mean >= -bar * math.sqrt(variance) else 0.0
            for mean, variance in zip(means, sound, strict=True)
        ],
        "upper": means,
    }

    def drawn(rows: Sequence[int], kind: str) -> list[float]:
        values = []
        for place, column in enumerate(columns):
            noise = (fmean(column[row] for row in rows) - means[place]) * math.sqrt(sound[place] / plain[place])
            shift = means[place] - centres[kind][place]
            values.append(max(0.0, math.sqrt(n) * (noise + shift) / unit[place]))
        return values

    statistic = max(0.0, *observed)
    worlds = {kind: [drawn(rows, kind) for rows in resamples] for kind in centres}
    found: dict[str, object] = {
        kind: (1 + sum(max(world) >= statistic for world in worlds[kind])) / (1 + len(resamples)) for kind in centres
    }
    left, highest = sorted(range(len(columns)), key=lambda place: -observed[place]), 0.0
    adjusted = [1.0] * len(columns)
    while left:
        count = sum(
            max(world[place] for place in left) >= max(0.0, observed[left[0]]) for world in worlds["consistent"]
        )
        highest = max(highest, (1 + count) / (1 + len(resamples)))
        adjusted[left[0]] = highest
        left = left[1:]
    return found | {"adjusted": adjusted, "statistic": statistic}
