"""Turning points found the slow way, written from the papers without looking at the package.

The stopping times of Lunde and Timmermann (2004), and a check of the rules of Pagan and Sossounov (2003, appendix B).
"""

from __future__ import annotations

from itertools import pairwise

Found = tuple[int, str, int]


def _first(levels: list[float], fall: float, rise: float) -> Found | None:
    """Whichever threshold is crossed first: extreme, kind, and the bar that crossed it."""
    for end, level in enumerate(levels):
        so_far = levels[: end + 1]
        top = max(bar for bar in range(end + 1) if levels[bar] == max(so_far))
        bottom = max(bar for bar in range(end + 1) if levels[bar] == min(so_far))
        if level <= (1 - fall) * levels[top]:
            return top, "peak", end
        if level >= (1 + rise) * levels[bottom]:
            return bottom, "trough", end
    return None


def _ended(levels: list[float], extreme: int, move: float) -> int | None:
    """The bar by which the level has moved that far from an extreme without reaching it again."""
    for bar in range(extreme + 1, len(levels)):
        back = levels[bar] <= levels[extreme] if move > 0 else levels[bar] >= levels[extreme]
        if back:
            return None
        moved = levels[bar] >= (1 + move) * levels[extreme] if move > 0 else levels[bar] <= (1 + move) * levels[extreme]
        if moved:
            return bar
    return None


def lunde_timmermann(levels: list[float], fall: float, rise: float) -> list[tuple[int, str]]:
    """Turns as (bar, kind)."""
    found = _first(levels, fall, rise)
    turns: list[tuple[int, str]] = []
    while found is not None:
        start, kind, known = found
        turns.append((start, kind))
        found = None
        # The next extreme lies no earlier than the bar that confirmed this one.
        for candidate in range(known, len(levels)):
            stretch = levels[start + 1 : candidate + 1]
            if levels[candidate] != (min(stretch) if kind == "peak" else max(stretch)):
                continue
            end = _ended(levels, candidate, rise if kind == "peak" else -fall)
            if end is not None:
                found = (candidate, "trough" if kind == "peak" else "peak", end)
                break
    return turns


def turns_are_admissible(
    levels: list[float],
    turns: list[tuple[int, str]],
    *,
    window: int,
    phase: int,
    cycle: int,
    ends: int,
    override: float,
) -> list[str]:
    """Rules of Pagan and Sossounov that a dating breaks, in words; none if it is admissible."""
    broken = []
    for bar, kind in turns:
        around = levels[max(0, bar - window) : bar + window + 1]
        if levels[bar] != (max(around) if kind == "peak" else min(around)):
            broken.append(f"{kind} at {bar} is no extreme of its window")
        if bar < ends or bar >= len(levels) - ends:
            broken.append(f"{kind} at {bar} lies too close to an end")
    for (bar, kind), (later, other) in pairwise(turns):
        if kind == other:
            broken.append(f"two {kind}s follow each other at {bar} and {later}")
        if (levels[later] < levels[bar]) != (kind == "peak"):
            broken.append(f"the level moves the wrong way from the {kind} at {bar}")
        if later - bar < phase and abs(levels[later] / levels[bar] - 1) <= override:
            broken.append(f"the phase from {bar} to {later} is short and small")
    for (bar, _), (later, _) in zip(turns, turns[2:], strict=False):
        if later - bar < cycle:
            broken.append(f"the cycle from {bar} to {later} is short")
    for (bar, kind), beyond in (
        ((turns[0], levels[: turns[0][0]]), (turns[-1], levels[turns[-1][0] + 1 :])) if turns else ()
    ):
        if beyond and (max(beyond) > levels[bar] if kind == "peak" else min(beyond) < levels[bar]):
            broken.append(f"the turn at {bar} is surpassed nearer the end")
    return broken
