"""What a plant is: one known way to see the future, put into a clean world at a dose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from embargo.research.config.experiment import Config
from embargo.research.leakbench.edits import Edit
from embargo.research.leakbench.worlds import Clean
from embargo.research.run.world import Inputs


@dataclass(frozen=True)
class Planted:
    """A world with a leak in it.

    Attributes
    ----------
    config : Config
    inputs : Inputs or None
        None where the config's own files are read.
    edits : sequence of Edit
        Functions of the product that are rewritten while the world is carried through.
    """

    config: Config
    inputs: Inputs | None
    edits: tuple[Edit, ...] = ()


Make = Callable[[Clean, float, np.random.Generator], Planted]


@dataclass(frozen=True)
class Plant:
    """A known leak.

    Attributes
    ----------
    name : str
        Unique.
    code : str
        Of the catalogue.
    what : str
        What somebody did, in words.
    world : str
        WorldKind of the clean world it is put into.
    make : callable
        (clean world, dose, generator) to the planted world.
    doses : tuple of float
        The full dose first; of share unless ``what`` says otherwise.
    also : dict of str to str
        Other codes that name the same cause, each with the reason; settled before anything was measured.
    data : tuple of str
        Data checks that name the same cause when they call the data bad.
    refused : str
        Described of the message of a refusal that names the same cause; empty where nothing need be refused.
    """

    name: str
    code: str
    what: str
    world: str
    make: Make
    doses: tuple[float, ...] = (1.0,)
    also: dict[str, str] = field(default_factory=dict)
    data: tuple[str, ...] = ()
    refused: str = ""

    @property
    def codes(self) -> frozenset[str]:
        """Codes under which it counts as caught."""
        return frozenset({self.code, *self.also})


def code_only(*edits: Edit) -> Make:
    """Make a plant that rewrites the product alone, at one dose."""
    return lambda clean, dose, rng: Planted(clean.config, clean.inputs, edits)


def with_inputs(change: Callable[[Inputs, Clean, float, np.random.Generator], Inputs]) -> Make:
    """Make a plant that changes what was loaded."""

    def make(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
        assert clean.inputs is not None
        return Planted(clean.config, change(clean.inputs, clean, dose, rng))

    return make


def with_settings(config: Config, **changes: Mapping[str, object]) -> Config:
    """Return a config with some settings of its sections changed."""
    sections = {name: getattr(config, name).model_copy(update=change) for name, change in changes.items()}
    return config.model_copy(update=sections)
