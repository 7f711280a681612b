"""Sweeps: many settings of signal, portfolio and costs traded on one reading of the news, and one of them chosen.

Models are tuned and news is scored once. The choice is made by the bars before the first test window, before any cell
is traded on the test rows; every cell is a trial in the ledger, and what is reported is deflated by their number.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.books import kernel
from embargo.backtest.metrics import performance, sharpe
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.research.config.experiment import Config, parse_config
from embargo.research.pages.page import write_page
from embargo.research.progress import Advance, Stages
from embargo.research.records import folders as runs
from embargo.research.records import ledger
from embargo.research.records.attempts import Attempts, best_of, discounted, overfitting, undistinguished
from embargo.research.run.measurement import estimate
from embargo.research.run.pipeline import attempt_of, material_of, prepare, window_of
from embargo.research.run.reading import built_in_base, read
from embargo.research.run.trading import decide, market_of, rehearse, rules_of
from embargo.research.run.world import Part, World
from embargo.research.studies.sweep.page import render_page
from embargo.signals.articles import Opinions, read_articles

SWEPT = ("signal", "portfolio", "costs", "execution")
MOST_CELLS = 20_000
LEAST_BARS = 10

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
    """One swept setting: its key, such as ``signal.half_life``, and the values it takes."""

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
class Stretch:
    """Bars to trade and the scored news that may be traded on in them."""

    rows: slice
    scored: pd.DataFrame


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
    """Read ``section.key=1,2,5`` or ``section.key=first:last:step`` (both ends included).

    Raises
    ------
    ConfigError
        If it is not of that form, a value repeats, or the setting cannot be swept; the message says why.
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
        cell = replace(cell, config=parse_config(_with(document, choice), where=f"--grid {cell.label}"))
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


def validation_rows(world: World, parts: Sequence[Part]) -> slice:
    """Return the bars that a choice may rest on: decided in the first validation window and closed before any test.

    The validation windows of later folds lie inside the test windows of earlier ones. A choice that looked at them
    would have seen what it is then tested on.

    Raises
    ------
    DataError
        If there are too few.
    """
    fold = parts[0].fold
    start, stop = (int(at) for at in world.decided_at.searchsorted([fold.validation_start, fold.validation_end]))
    closed = int(world.prices.close_at.searchsorted(fold.test_start, side="right"))
    rows = slice(start, min(stop, closed))
    if rows.stop - rows.start < LEAST_BARS:
        raise DataError(
            f"sweep: {max(rows.stop - rows.start, 0)} bars lie in the validation window from {fold.validation_start} "
            f"to {fold.validation_end}; a choice needs {LEAST_BARS}. Widen split.validation_span."
        )
    return rows


def with_validation_news(world: World, parts: Sequence[Part]) -> list[Part]:
    """Return the parts with the first validation window's news beside the first test window's, to be scored as one."""
    first = parts[0]
    known_at = world.news["known_at"]
    inside = (known_at >= first.fold.validation_start) & (known_at < first.fold.validation_end)
    return [replace(first, test_news=pd.concat([world.news.loc[inside], first.test_news])), *parts[1:]]


def trade_cells(
    cells: Sequence[Cell],
    world: World,
    stretch: Stretch,
    *,
    done: Callable[[int, np.ndarray], None] = lambda position, returns: None,
    progress: Advance = lambda done, total: None,
) -> np.ndarray:
    """Trade every cell on the same bars and news through the compiled kernel.

    Cells share what they have in common: weights, if they differ in costs alone, articles as read, and the market.

    Parameters
    ----------
    cells : sequence of Cell
    world : World
    stretch : Stretch
    done : callable
        Called with a cell's position and its net returns, shape (bars,), as soon as they are there.
    progress : callable
        Called with (cells done, cells in all).

    Returns
    -------
    float array, shape (cells,)
        Annual Sharpe ratios; NaN where a cell never traded.
    """
    rows = stretch.rows
    groups: dict[str, list[int]] = {}
    for position, cell in enumerate(cells):
        groups.setdefault(_decided_by(cell.config), []).append(position)
    ratios = np.full(len(cells), np.nan)
    finished = 0
    opinions, markets = dict[str, Opinions](), dict[tuple[Any, ...], kernel.Market]()
    for members in groups.values():
        rules = rules_of(cells[members[0]].config)
        reading = repr(rules.articles)
        if reading not in opinions:
            opinions[reading] = read_articles(stretch.scored, rules.articles)
        decision = decide(world, rows, rules, stretch.scored, world.prices, opinions=opinions[reading])
        weights = decision.weights.to_numpy()
        for position in members:
            config = cells[position].config
            rules = rules_of(config)
            met = (rules.execution, rules.costs.impact > 0.0)
            if met not in markets:
                markets[met] = market_of(world, rows, rules)
            cash = config.portfolio.initial_cash
            returns = kernel.run(weights, markets[met], rules.costs, rules.execution, initial_cash=cash).returns
            ratio = sharpe(returns, periods_per_year=world.periods_per_year)
            ratios[position] = np.nan if ratio is None else ratio
            done(position, returns)
        finished += len(members)
        progress(finished, len(cells))
    return ratios


def _decided_by(config: Config) -> str:
    """Return the settings that weights depend on, as text: all but the costs."""
    settings = {name: section for name, section in config.to_dict().items() if name != "costs"}
    return json.dumps(settings, sort_keys=True)


def choose(validation_sharpe: np.ndarray, competes: np.ndarray) -> int:
    """Return the position of the best Sharpe ratio on the validation rows; of equals, the earliest cell.

    Raises
    ------
    DataError
        If no competing cell traded there.
    """
    best = _highest(validation_sharpe, competes)
    if best is None:
        raise DataError("sweep: no cell traded in the validation rows, so none can be chosen. Lower the thresholds.")
    return best


def _highest(ratios: np.ndarray, competes: np.ndarray) -> int | None:
    judged = np.where(competes & np.isfinite(ratios), ratios, -np.inf)
    return int(np.argmax(judged)) if np.isfinite(judged).any() else None


def sweep(config: Config, axes: Sequence[Axis], *, out: Path, cache: Path, stages: Stages) -> Sweep:
    """Trade every combination of settings, choose one by validation and report it on test.

    The model of the first fold was calibrated, and may have stopped training, on the validation texts it scores here.
    That flatters every cell's validation figures alike; they serve to choose and are no estimate of anything.

    Parameters
    ----------
    config : Config
        What is not swept.
    axes : sequence of Axis
    out : Path
        Folder of runs; the sweep lands in ``out/<name>-sweep-<hash>`` whole or not at all, its cells in the ledger.
    cache : Path
        Where base models, adapters and scores are kept by content.
    stages : Stages

    Raises
    ------
    EmbargoError
        Whatever is wrong with the grid, the config or its data is raised before anything is trained.
    """
    cells = cells_of(config, axes)
    competes = competing(config, cells)
    plan = prepare(config, stages)
    world, parts = plan.world, plan.parts
    for rules in {cell.config.signal.model_dump_json(): rules_of(cell.config) for cell in cells}.values():
        rehearse(world, plan.rows, rules)
    validated, window = validation_rows(world, parts), window_of(world, plan.rows)
    material = material_of(world, parts)
    trials_made = [attempt_of(cell.config, material) for cell in cells]
    identity = hashlib.sha256("".join([window, *sorted(trials_made)]).encode()).hexdigest()[:8]
    earlier = ledger.trials_on(out, window)
    kept = set(ledger.returns_of(out, earlier.values()))
    base = plan.base or built_in_base(config, world, parts[0].fold.train_end, cache, stages)
    scored = read(config, with_validation_news(world, parts), base, cache, stages).scored
    before = scored["known_at"] < parts[0].fold.test_start

    early = scored.loc[before].reset_index(drop=True)
    progress = stages.stage(f"Trade {len(cells):,} cells on the validation rows")
    validation = trade_cells(cells, world, Stretch(validated, early), progress=progress)
    # Nothing has been traded on a test row yet: the choice cannot have seen one.
    chosen = choose(validation, competes)

    tested = Stretch(plan.rows, scored.loc[~before].reset_index(drop=True))
    hashes = [""] * len(cells)
    name = f"{config.name}-sweep-{identity}"

    def note(position: int, returns: np.ndarray) -> None:
        hashes[position] = hashlib.sha256(returns.tobytes()).hexdigest()[:16]
        # A cell that never traded is an attempt all the same.
        per_bar = sharpe(returns, periods_per_year=1.0) or 0.0
        trial = ledger.Trial(window, trials_made[position], config.name, per_bar, len(returns), sweep=name)
        known = earlier.get(trial.settings)
        # Summed in another order on another machine, the same returns differ in the last digits.
        same = known is not None and known.bars == trial.bars and np.isclose(known.sharpe_per_bar, per_bar, rtol=1e-9)
        if not same or trial.settings not in kept:
            ledger.record(out, trial, returns)

    progress = stages.stage(f"Trade {len(cells):,} cells on the test rows")
    test = trade_cells(cells, world, tested, done=note, progress=progress)
    highest = _highest(test, competes)
    best = chosen if highest is None else highest
    table = pd.DataFrame([cell.choice for cell in cells]).assign(
        validation_sharpe=validation, test_sharpe=test, competes=competes, returns=hashes, settings=trials_made
    )

    stages.stage("Measure the chosen cell")
    trials = ledger.trials_on(out, window)
    attempts = Attempts(trials, ledger.returns_of(out, trials.values()))
    rivals = [name for name, may in zip(trials_made, competes, strict=True) if may]
    judged = {position: _judged(cells[position], world, tested, attempts) for position in {chosen, best}}
    later = sum(_overlap(world, part) for part in parts[1:])
    figures: dict[str, Any] = {
        "name": config.name,
        "sweep": identity,
        "window": window,
        "grid": {axis.key: list(axis.values) for axis in axes},
        "cells": len(cells),
        "competing": int(competes.sum()),
        "distinct_returns": len(set(hashes)),
        "n_trials": len(trials),
        "overfitting": overfitting(attempts, rivals),
        "confidence_set": undistinguished(attempts, rivals, n_boot=config.statistics.bootstrap, seed=config.seed),
        "best_of_attempts": best_of(
            attempts,
            significance=config.statistics.significance,
            block=config.statistics.block,
            n_boot=config.statistics.bootstrap,
            seed=config.seed,
        ),
        "bars_per_year": world.periods_per_year,
        "validation": _extent(world, validated) | {"articles": int(before.sum()), "left_out_bars": later},
        "test": _extent(world, plan.rows) | {"articles": int((~before).sum())},
        "rank_correlation": _rank_correlation(validation[competes], test[competes]),
        "chosen": _placed(cells, table, chosen) | judged[chosen],
        "best_on_test": _placed(cells, table, best) | judged[best],
    }
    result = Sweep(out / name, list(axes), table, chosen, best, figures)
    stages.stage("Write the report")
    _save(result, config)
    return result


def _overlap(world: World, part: Part) -> int:
    start, stop = world.decided_at.searchsorted([part.fold.validation_start, part.fold.validation_end])
    return int(stop - start)


def _extent(world: World, rows: slice) -> dict[str, Any]:
    opens, closes = world.prices.open_at[rows], world.prices.close_at[rows]
    return {"start": opens[0].isoformat(), "end": closes[-1].isoformat(), "bars": rows.stop - rows.start}


def _rank_correlation(validation: np.ndarray, test: np.ndarray) -> float | None:
    """Spearman's correlation of the cells' Sharpe ratios; None for fewer than three cells or without variation."""
    both = np.isfinite(validation) & np.isfinite(test)
    ranks = pd.DataFrame({"validation": validation[both], "test": test[both]}).rank()
    if len(ranks) < 3 or (ranks.nunique() < 2).any():
        return None
    return float(ranks.corr().iloc[0, 1])


def _placed(cells: Sequence[Cell], table: pd.DataFrame, position: int) -> dict[str, Any]:
    rivals = table.loc[table["competes"], ["validation_sharpe", "test_sharpe"]]
    ranks = rivals.rank(ascending=False, method="min").loc[position]
    return {
        "settings": dict(cells[position].choice),
        "validation_sharpe": _finite(table.loc[position, "validation_sharpe"]),
        "rank_on_validation": _rank(ranks["validation_sharpe"]),
        "rank_on_test": _rank(ranks["test_sharpe"]),
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _rank(value: float) -> int | None:
    return int(value) if np.isfinite(value) else None


def _judged(cell: Cell, world: World, tested: Stretch, attempts: Attempts) -> dict[str, Any]:
    """Measure one cell on the test rows, before and after allowing for every attempt made on them."""
    kept: list[np.ndarray] = []
    trade_cells([cell], world, tested, done=lambda position, returns: kept.append(returns))
    returns = pd.Series(kept[0], index=world.prices.open_at[tested.rows])
    found = performance(returns, periods_per_year=world.periods_per_year)
    ratio = estimate(cell.config, world, returns)
    return {
        "sharpe": ratio.sharpe,
        "sharpe_low": ratio.low,
        "sharpe_high": ratio.high,
        "sharpe_p_value": ratio.p_value,
        "total_return": found["total_return"],
        "max_drawdown": found["max_drawdown"],
        **discounted(attempts, found, kept[0], periods_per_year=world.periods_per_year, seed=cell.config.seed),
    }


def _save(result: Sweep, config: Config) -> None:
    with runs.writing(result.folder) as draft:
        (draft / "config.toml").write_text(config.to_toml(), encoding="utf-8")
        result.table.to_parquet(draft / "cells.parquet")
        runs.write_json(draft / "sweep.json", result.figures)
        write_page(render_page(result, f"Sweep of {config.name}"), draft / "report.html")
