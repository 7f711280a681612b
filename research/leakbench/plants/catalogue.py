"""All plants by name, and the leaks of which there is none, each with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from embargo.research.leakbench.plants import data, execution, models, prompts, selection, splits, texts, timing
from embargo.research.leakbench.plants.plant import Plant

FAMILIES = (timing, execution, data, texts, splits, models, prompts, selection)
PLANTS: Mapping[str, Plant] = MappingProxyType({plant.name: plant for family in FAMILIES for plant in family.PLANTS})

# What nothing inside a run can tell, of codes that have plants of another kind.
BEYOND_A_RUN: Mapping[str, str] = MappingProxyType(
    {
        "T8": "funding stamped early on a market whose rates follow no move: nothing else tells when it settled",
        "D6": "a list of winners that nobody dates grows as a lucky one does: prices.symbols_chosen_at must date it",
        "P1": "settings tried with other tools leave no trace: a run asks how many there were, and is inconclusive",
        "P2": "attempts made with other tools leave no trace: a run asks how many there were, and is inconclusive",
    }
)

WITHOUT_PLANT: Mapping[str, str] = MappingProxyType(
    {
        "D3": "runs read no macro or company figures",
        "S3": "training ends before the test in every fold, so labels that were purged are known by then: without an "
        "embargo nothing looks ahead",
        "M10": "readers give probabilities, no reasons",
        "M14": "runs apply no remedy against memory",
        "P3": "intervals and tests of every run allow for serial correlation; a user has nowhere to leave that out",
        "P6": "every run shuffles its news against the market; a user has nowhere to leave that out",
    }
)
