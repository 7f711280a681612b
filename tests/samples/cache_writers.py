"""Writers that other processes run, to fill one score cache together or be killed in the middle."""

import numpy as np

from embargo.models.scorers.cache import ScoreCache


def rows(start: int, stop: int) -> dict[str, np.ndarray]:
    return {f"t{number}": np.array([number, -number, 0.1 * number]) for number in range(start, stop)}


def write_for_ever(path, start):
    with ScoreCache(path) as cache:
        for block in range(start, start + 100_000):
            cache.put_many("a", {f"{block}-{number}": np.array([block, number, 0.0]) for number in range(50)})


def write_some(path, start):
    with ScoreCache(path) as cache:
        for block in range(start, start + 20):
            cache.put_many("a", rows(block * 10, block * 10 + 10))
