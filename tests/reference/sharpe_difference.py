"""The comparison of two Sharpe ratios once more, row by row and resample by resample, from the papers alone."""

from __future__ import annotations

import math

import numpy as np


def long_run(values: np.ndarray) -> np.ndarray:
    """Andrews and Monahan (1992) with the Parzen kernel, in loops."""
    rows, k = values.shape
    now, before = values[1:], values[:-1]
    coefficients = np.zeros((k, k))
    for i in range(k):
        coefficients[i] = np.linalg.solve(before.T @ before, before.T @ now[:, i])
    u, d, vt = np.linalg.svd(coefficients)
    filtered = u @ np.diag([min(x, 0.97) for x in d]) @ vt
    rest = np.array([now[t] - filtered @ before[t] for t in range(rows - 1)])
    n = len(rest)
    top = bottom = 0.0
    for i in range(k):
        x = [value - sum(rest[:, i]) / n for value in rest[:, i]]
        rho = sum(x[t] * x[t - 1] for t in range(1, n)) / sum(x[t - 1] ** 2 for t in range(1, n))
        sigma = math.sqrt(sum((x[t] - rho * x[t - 1]) ** 2 for t in range(1, n)) / (n - 1))
        top += 4 * rho**2 * sigma**4 / (1 - rho) ** 8
        bottom += sigma**4 / (1 - rho) ** 4
    width = 2.6614 * (top / bottom * n) ** 0.2
    total = sum(np.outer(rest[t], rest[t]) for t in range(n)) / n
    lag = 1
    while lag < width:
        x = lag / width
        weight = 1 - 6 * x**2 + 6 * x**3 if x <= 0.5 else 2 * (1 - x) ** 3
        gamma = sum(np.outer(rest[t], rest[t - lag]) for t in range(lag, n)) / n
        total = total + weight * (gamma + gamma.T)
        lag += 1
    undo = np.linalg.inv(np.eye(k) - filtered)
    return undo @ (total * n / (n - k)) @ undo.T


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(a.mean() / a.std() - b.mean() / b.std())


def standard_error(a: np.ndarray, b: np.ndarray) -> float:
    """Ledoit and Wolf (2008), section 3.1, with the gradient taken by small steps; series with unit variance."""
    a, b = a / a.std(), b / b.std()
    rows = np.column_stack([a, b, a * a, b * b])
    v = rows.mean(axis=0)

    def f(m: np.ndarray) -> float:
        return float(m[0] / math.sqrt(m[2] - m[0] ** 2) - m[1] / math.sqrt(m[3] - m[1] ** 2))

    step = 1e-6
    gradient = np.array([(f(v + step * e) - f(v - step * e)) / (2 * step) for e in np.eye(4)])
    return math.sqrt(gradient @ long_run(rows - v) @ gradient / len(a))


def resample_pivot(a: np.ndarray, b: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> tuple[float, float]:
    """Difference of one resample and its block-based standard error; rows joined one by one."""
    n = len(a)
    picked = [[(s + i) % n for i in range(m)] for s, m in zip(starts, lengths, strict=True) if m > 0]
    rows = [row for block in picked for row in block]
    x, y = a[rows], b[rows]
    v = np.array([x.mean(), y.mean(), (x * x).mean(), (y * y).mean()])
    cube_x, cube_y = x.std() ** 3, y.std() ** 3
    gradient = np.array([v[2] / cube_x, -v[3] / cube_y, -0.5 * v[0] / cube_x, 0.5 * v[1] / cube_y])
    psi = np.zeros((4, 4))
    for block in picked:
        z = sum(np.array([a[r], b[r], a[r] ** 2, b[r] ** 2]) - v for r in block)
        psi += np.outer(z, z)
    return difference(x, y), math.sqrt(gradient @ psi @ gradient) / n
