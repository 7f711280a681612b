"""Pairs of series that are equally good, in the shapes that fool naive tests."""

from __future__ import annotations

import math

import numpy as np


def pairs(kind: str, n: int, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two series with correlation 0.5 and equal Sharpe ratios, the second with more risk; shape (draws, n) each."""
    rng, burn = np.random.default_rng(seed), 100
    noise = rng.standard_normal((draws, n + burn, 2)) @ np.array([[1.0, 0.5], [0.0, math.sqrt(0.75)]])
    if kind == "t4":
        noise *= np.sqrt(2.0 / rng.chisquare(4, (draws, n + burn, 1)))
    values, variance = noise.copy(), np.ones((draws, 2))
    for row in range(n + burn):
        if kind == "ar" and row:
            values[:, row] += 0.2 * values[:, row - 1]
        if kind == "garch":
            values[:, row] = np.sqrt(variance) * noise[:, row]
            variance = 0.05 + 0.1 * values[:, row] ** 2 + 0.85 * variance
    values = 0.01 * values[:, burn:] + 0.0005
    return values[..., 0], 1.5 * values[..., 1]
