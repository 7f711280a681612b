"""Many tests at once: p-values adjusted for the size of their family."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values for the number of tests (family-wise error); None stays None and does not count as a test.

    References
    ----------
    Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6(2).
    """
    given = [(p, place) for place, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    worst = 0.0
    for rank, (p, place) in enumerate(sorted(given)):
        worst = max(worst, min(1.0, p * (len(given) - rank)))
        adjusted[place] = worst
    return adjusted
