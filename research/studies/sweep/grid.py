"""The grid of a sweep: which settings may be swept, what combinations they make, and which of those may be chosen."""

from __future__ import annotations

import copy
import itertools
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError
from embargo.research.config.experiment import Config, parse_config
from embargo.research.run.rules import rules_of

SWEPT = ("signal", "portfolio", "costs", "execution")
MOST_CELLS = 20_000

_DATA = "it changes the data, so the cells would not share a test window"
_MODEL = "it changes what the model learns, and a sweep tunes and scores only once"
_MEASURE = "it changes how a result is measured or shown, not what is traded"
_REFUSED = {
    "news": _DATA,
    "prices": _DATA,
    "as_of": _DATA,
    "split": "it moves the windows, so the cells would not share one",
    "labels": _MODEL,
    "model": _MODEL,
    "fusion": _MODEL,
    "seed": "it changes the model, and a seed is no setting to choose",
    "regimes": "it also decides how results are reported by regime, so the cells' reports would not compare",
    "execution.engine": "both engines keep the same books",
    "execution.funding": _DATA,
    **dict.fromkeys(("name", "statistics", "leakage", "report"), _MEASURE),
}
_ASSUMED = ("costs.", "execution.", "portfolio.initial_cash")
_RANGE = re.compile(r"\s*:\s*".join([r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"] * 3))


@dataclass(frozen=True)
class Axis:
    """One swept setting: its key, such as ``signal.half_life``, and the values it takes.

    Examples
    --------
    >>> from embargo.research.studies.sweep import Axis
    >>> Axis("signal.half_life", (1, 2, 5)).values
    (1, 2, 5)
    """

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Cell:
    """One combination of the swept settings, and the experiment it makes."""

    choice: dict[str, Any]
    config: Config

    @property
    def label(self) -> str:
        """The combination in words: ``signal.threshold=0.6, signal.half_life=2``."""
        return ", ".join(f"{key}={_written(value)}" for key, value in self.choice.items())


@dataclass(frozen=True)
class Sweep:
    """A finished sweep.

    Attributes
    ----------
    folder : Path
        Holds ``config.toml, sweep.json, cells.parquet`` and ``report.html``, complete.
    axes : list of Axis
    table : DataFrame
        One row per cell in the order of the grid: a column per axis, ``validation_sharpe`` and ``test_sharpe`` (annual;
        NaN where nothing was traded), ``competes`` (see `competing`), ``returns`` (hash of the test returns) and
        ``settings`` (as in the ledger).
    chosen, best : int
        Rows of the table: of the cells that compete, the best on the validation rows, and the best on the test rows,
        which nobody could have known.
    figures : dict
        JSON-able; becomes ``sweep.json``.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from embargo.research.studies.sweep import Axis, Sweep
    >>> table = pd.DataFrame({"signal.half_life": [1, 3], "validation_sharpe": [0.2, 0.5], "test_sharpe": [0.4, 0.1]})
    >>> found = Sweep(Path("runs/mine-sweep-1a2b3c4d"), [Axis("signal.half_life", (1, 3))], table, 1, 0, {})
    >>> found.table.loc[found.chosen, "signal.half_life"]
    np.int64(3)
    """

    folder: Path
    axes: list[Axis]
    table: pd.DataFrame
    chosen: int
    best: int
    figures: dict[str, Any]


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_axis(text: str) -> Axis:
    """Read an axis of a grid.

    Parameters
    ----------
    text : str
        ``section.key=1,2,5`` or ``section.key=first:last:step``, both ends included.

    Returns
    -------
    Axis

    Raises
    ------
    ConfigError
        If it is not of that form, a value repeats, or the setting cannot be swept; the message says why.

    Examples
    --------
    >>> from embargo.research.studies.sweep import read_axis
    >>> read_axis("signal.threshold=0.5:0.7:0.1")
    Axis(key='signal.threshold', values=(0.5, 0.6, 0.7))
    """
    key, separator, written = (part.strip() for part in text.partition("="))
    section, _, rest = key.partition(".")
    refusal = _REFUSED.get(key) or _REFUSED.get(section)
    if refusal:
        raise ConfigError(f"--grid {key}: {refusal}. Use 'embargo run --set {key}=...', one run for each.")
    if not separator or not rest or not written:
        raise ConfigError(f"--grid {text!r}: write section.key=1,2,5 or section.key=0.5:0.9:0.1.")
    if section not in SWEPT:
        raise ConfigError(f"--grid {key}: there is no section {section!r} to sweep. Those are {', '.join(SWEPT)}.")
    bounds = _RANGE.fullmatch(written)
    values = _range(key, *bounds.groups()) if bounds else tuple(_value(key, part) for part in written.split(","))
    if len(set(map(str, values))) < len(values):
        raise ConfigError(f"--grid {key}: a value is given twice in {written!r}.")
    return Axis(key, values)


def _range(key: str, first: str, last: str, step: str) -> tuple[float | int, ...]:
    """Count in decimals: adding 0.1 in binary never meets 0.9."""
    start, stop, by = Decimal(first), Decimal(last), Decimal(step)
    if by <= 0 or stop < start:
        raise ConfigError(f"--grid {key}: {first}:{last}:{step} must rise from first to last by a step above 0.")
    number = int((stop - start) / by) + 1
    if number > MOST_CELLS:
        raise ConfigError(f"--grid {key}: {first}:{last}:{step} makes {number:,} values; at most {MOST_CELLS:,}.")
    whole = not any(sign in part for part in (first, step) for sign in ".eE")
    return tuple(int(start + i * by) if whole else float(start + i * by) for i in range(number))


def _value(key: str, written: str) -> Any:
    word = written.strip()
    if not word:
        raise ConfigError(f"--grid {key}: a value is missing between two commas.")
    try:
        value = tomllib.loads(f"value = {word}")["value"]
    except tomllib.TOMLDecodeError:
        return word
    if isinstance(value, list | dict):
        raise ConfigError(f"--grid {key}: {word!r} is no single value.")
    return value


def cells_of(config: Config, axes: Sequence[Axis]) -> list[Cell]:
    """Make every combination of the swept settings, the last axis changing fastest.

    Raises
    ------
    ConfigError
        If there is no axis, one is named twice, there are too many cells, a cell's settings are out of range or exclude
        each other, two cells are the same experiment, none could be chosen, or the experiment fits a fusion.
    """
    keys = [axis.key for axis in axes]
    if not keys:
        raise ConfigError("sweep: no --grid. Name a setting and its values, such as --grid signal.half_life=1,2,5.")
    if len(set(keys)) < len(keys):
        raise ConfigError(f"sweep: a setting is named in two --grid options: {', '.join(keys)}. Join their values.")
    if config.fusion.method != "none":
        raise ConfigError(
            f"sweep: fusion.method = {config.fusion.method!r} learns from the first test window, and the choice is "
            "made before it. Sweep without a fusion."
        )
    if config.execution.funding and "execution.fill" in keys:
        raise ConfigError(
            "sweep: execution.fill says which settlements of funding a row pays, and those are laid out once. Sweep it "
            "without execution.funding, or use 'embargo run --set execution.fill=...', one run for each."
        )
    number = prod(len(axis.values) for axis in axes)
    if number > MOST_CELLS:
        raise ConfigError(f"sweep: the grid has {number:,} cells; at most {MOST_CELLS:,}. Take wider steps.")
    document = config.to_dict()
    cells, seen = [], dict[str, str]()
    for values in itertools.product(*(axis.values for axis in axes)):
        choice = dict(zip(keys, values, strict=True))
        cell = Cell(choice, config)
        cell = replace(
            cell, config=parse_config(_with(document, choice), where=f"--grid {cell.label}", allow=config.allow)
        )
        rules_of(cell.config)
        settings = cell.config.fingerprint()
        if settings in seen:
            raise ConfigError(f"--grid: {cell.label} and {seen[settings]} are the same experiment. Drop one.")
        seen[settings] = cell.label
        cells.append(cell)
    if not competing(config, cells).any():
        assumed = ", ".join(key for key in keys if key.startswith(_ASSUMED))
        raise ConfigError(
            f"--grid: {assumed} are assumptions, not choices. Cells compete under those of the experiment, which are "
            "not in the grid: add the experiment's own values to --grid, or change them with --set."
        )
    return cells


def competing(config: Config, cells: Sequence[Cell]) -> np.ndarray:
    """Tell which cells may be chosen, bool of shape (cells,): those that trade under the experiment's own assumptions.

    Costs, execution and the initial cash are what a trader meets, not what he chooses; the cheapest would always win.
    """
    return np.array([_assumptions(cell.config) == _assumptions(config) for cell in cells])


def _assumptions(config: Config) -> dict[str, Any]:
    settings = config.to_dict()
    own = {name: settings[name] for name in ("costs", "execution") if name in settings}
    return own | {"initial_cash": settings["portfolio"]["initial_cash"]}


def _with(document: dict[str, Any], choice: dict[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    for key, value in choice.items():
        *sections, last = key.split(".")
        target = changed
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise ConfigError(f"--grid {key}: {section!r} is a value, not a section.")
        target[last] = value
    return changed
