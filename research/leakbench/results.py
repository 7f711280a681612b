"""What LeakBench found, as it is written to JSON: every case, and what follows from them by code, plant and kind.

``python -m embargo.research.leakbench.results > docs/leakbench.schema.json`` writes the schema of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict
from scipy.stats import beta

LEVEL = 0.95
FORMAT: Final = 1

CaseOutcome = Literal["caught", "wrong code", "missed", "clean", "doubted", "accused", "refused", "failed"]
HalfDose = Literal["between", "below all", "above all", "not asked"]
Where = Literal["data", "run", "deep", "probes", "door"]


class Described(BaseModel):
    """Base of all parts: no key that is not described."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Alarm(Described):
    """One thing that was said against a world: a finding that is a leak or suspicious, bad data, or a refusal."""

    code: str
    verdict: Literal["leak", "suspicious", "bad", "refused"]
    check: str
    where: Where
    said: str = ""


class BenchCase(Described):
    """One world carried through the audit; ``plant`` is empty for a clean one.

    ``traded`` names weights and returns: equal names, equal books. It is empty where nothing was traded.
    """

    plant: str
    kind: str
    seed: int
    dose: float
    outcome: CaseOutcome
    by: str
    alarms: tuple[Alarm, ...]
    seconds: float
    traded: str = ""
    message: str = ""

    @property
    def key(self) -> tuple[str, str, int, float]:
        """What fixes the case."""
        return self.plant, self.kind, self.seed, self.dose


class Rate(Described):
    """A share of worlds with its exact 95 % interval (Clopper & Pearson 1934)."""

    count: int
    of: int
    low: float
    high: float


class DoseResult(Described):
    """How a plant fared at one dose; ``idle`` counts worlds that trade as they do without it."""

    dose: float
    caught: Rate
    wrong_code: int
    failed: int
    idle: int
    by: dict[str, int]


class PlantResult(Described):
    """How a plant fared; ``half_dose`` is where half are caught, None where there is no such dose among those tried."""

    name: str
    code: str
    what: str
    world: str
    also: dict[str, str]
    data: tuple[str, ...]
    doses: tuple[DoseResult, ...]
    half_dose: float | None
    half_dose_is: HalfDose
    seconds: float


class CodeResult(Described):
    """How all plants of a code fared, at the full dose and at the lowest that is not the full one."""

    code: str
    leak: str
    plants: int
    full: Rate
    low: Rate | None
    by: dict[str, int]
    seconds: float


class KindResult(Described):
    """How clean worlds of one kind fared: worlds with at least one alarm of each sort."""

    kind: str
    what: str
    worlds: int
    accused: int
    doubted: int
    bad_data: int
    refused: int
    failed: int
    by: dict[str, int]
    seconds: float


class NotTested(Described):
    """A leak of which LeakBench has no plant, and why."""

    code: str
    leak: str
    why: str


class LeakBench(Described):
    """The whole result.

    Attributes
    ----------
    complete : bool
        False for a part of the plants and worlds, such as ``--quick`` takes.
    rows : int
        Rows whose future the deep audit changed; users' default is more.
    """

    format: Literal[1]
    version: str
    complete: bool
    rows: int
    seconds: float
    clean: Rate
    accused: Rate
    doubted: Rate
    bad_data: Rate
    alarms: dict[str, int]
    full: Rate
    low: Rate
    kinds: tuple[KindResult, ...]
    codes: tuple[CodeResult, ...]
    plants: tuple[PlantResult, ...]
    not_tested: tuple[NotTested, ...]
    cases: tuple[BenchCase, ...]


def rate(count: int, of: int) -> Rate:
    """Return a share with its exact interval; nothing of nothing may be anything."""
    tail = (1.0 - LEVEL) / 2.0
    low = float(beta.ppf(tail, count, of - count + 1)) if count else 0.0
    high = float(beta.ppf(1.0 - tail, count + 1, of - count)) if count < of else 1.0
    return Rate(count=count, of=of, low=low, high=high)


def half_dose(shares: Sequence[tuple[float, float]]) -> tuple[float | None, HalfDose]:
    """Find the dose at which half are caught, on a line between the two doses around it.

    Doses are measured by their logarithms.

    Parameters
    ----------
    shares : sequence of (dose, share caught)
        At least three doses, or nothing is asked.
    """
    if len(shares) < 3:
        return None, "not asked"
    rising = sorted(shares)
    if rising[0][1] >= 0.5:
        return None, "below all"
    for (lower, few), (higher, many) in pairwise(rising):
        if few < 0.5 <= many:
            part = (0.5 - few) / (many - few)
            return math.exp(math.log(lower) + part * (math.log(higher) - math.log(lower))), "between"
    return None, "above all"


def tally(names: Iterable[str]) -> dict[str, int]:
    """Count names, the most frequent first."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def schema() -> str:
    """Return the JSON schema of a result, as it is committed."""
    return json.dumps(LeakBench.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    print(schema(), end="")
