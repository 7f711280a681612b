"""One series' Sharpe test and the judgement of its sample written out in plain numpy, resample by resample.

Nothing here imports the product, so that its sizes can be measured a second time.
"""

from __future__ import annotations

import math

import numpy as np


def automatic_length(x: np.ndarray) -> float:
    """Politis and White's mean block length with Patton's correction; sums of squares as in Patton's own code."""
    n = len(x)
    d = x - x.mean()
    run = max(5, int(math.log10(n)))
    most = math.ceil(math.sqrt(n)) + run
    gamma = [float(d[k:] @ d[: n - k]) / n for k in range(most + 1)]
    late = [float(d[k + 1 :] @ d[k + 1 :]) for k in range(most + 1)]
    early = [float(d[: n - 1 - k] @ d[: n - 1 - k]) for k in range(most + 1)]
    rho = [abs(gamma[k]) * n / math.sqrt(late[k] * early[k]) for k in range(most + 1)]
    small = [one < 2.0 * math.sqrt(math.log10(n) / n) for one in rho]
    last = next((k for k in range(most + 1 - run) if all(small[k : k + run])), None)
    width = most if last is None else min(2 * max(last, 1), most)
    taper = [min(1.0, 2.0 * (1.0 - k / width)) for k in range(1, width + 1)]
    spectrum = gamma[0] + 2.0 * sum(w * gamma[k] for k, w in enumerate(taper, 1))
    slope = 2.0 * sum(k * w * gamma[k] for k, w in enumerate(taper, 1))
    return max(1.0, min((slope**2 / spectrum**2 * n) ** (1 / 3), math.ceil(min(3.0 * math.sqrt(n), n / 3.0))))


def block_rows(x: np.ndarray) -> int:
    """Rows of a block where all have one length, at least the root of the rows."""
    return min(len(x), round(max(1.5 ** (1 / 3) * automatic_length(x), math.sqrt(len(x)))))


def sharpe_p_value(x: np.ndarray, resamples: int, rng: np.random.Generator) -> float:
    """One-sided p-value of the Sharpe ratio; each resample is studentised by the sums of its own blocks."""
    n, length = len(x), block_rows(x)
    ratio = x.mean() / x.std()
    z = (x - x.mean()) / x.std()
    influence = z - 0.5 * ratio * (z**2 - 1.0)
    slope = float(influence[1:] @ influence[:-1] / (influence @ influence))
    slope = float(np.clip(slope + (1.0 + 3.0 * slope) / n, -0.9, 0.9))
    rest = np.append(influence[0], influence[1:] - slope * influence[:-1])
    rest = rest - rest.mean()
    stay, variance = 1.0 - 1.0 / length, float(rest @ rest) / n
    for lag in range(1, n):
        weight = (1.0 - lag / n) * stay**lag + lag / n * stay ** (n - lag)
        # Lemma 1 of Politis and Romano (1994): both sides of the circle.
        variance += weight * float(rest @ np.roll(rest, lag)) / n
    error = math.sqrt(max(variance, 1e-300) * (1.0 + length / n)) / (1.0 - slope) / math.sqrt(n)
    beyond = 0
    for _ in range(resamples):
        rows = (rng.integers(0, n, -(-n // length))[:, None] + np.arange(length)) % n
        drawn, block = x[rows.ravel()[:n]], np.arange(n) // length
        own = drawn.mean() / drawn.std()
        u = (drawn - drawn.mean()) / drawn.std()
        sums = np.bincount(block, weights=u - 0.5 * own * (u**2 - 1.0))
        beyond += (own - ratio) / (math.sqrt(float(sums @ sums)) / n) >= ratio / error
    return (1 + beyond) / (1 + resamples)


def doubted(x: np.ndarray) -> bool:
    """Skewness over the root of the rows, the eight slowest cosines, the block length and the stretches in which
    anything happens, against their bounds.
    """
    n = len(x)
    z = (x - x.mean()) / x.std()
    place = (np.arange(n) + 0.5) * math.pi / n
    slow = [math.sqrt(2.0 / n) * float(z @ np.cos(k * place)) for k in range(1, 9)]
    slope = float(z[1:] @ z[:-1] / (z[:-1] @ z[:-1]))
    white = float(np.mean((z[1:] - slope * z[:-1]) ** 2)) / (1.0 - slope) ** 2
    automatic = automatic_length(x)
    drift = sum(one**2 for one in slow) / 8.0 / white
    parts, middle, traded = max(7, round(math.sqrt(n))), float(np.median(z)), 0
    first = 0
    for k in range(parts):
        last = first + n // parts + (k < n % parts)
        traded += any(abs(one - middle) > 0.1 for one in z[first:last])
        first = last
    strange = abs(np.mean(z**3)) > 0.15 * math.sqrt(n) or drift > 2.5
    return bool(strange or automatic > 1.5 * math.sqrt(n) or traded < 7)
