"""Sweeps: many settings of signal, portfolio and costs traded on one reading of the news, and one of them chosen.

Models are tuned and news is scored once. The choice is made by the bars before the first test window, before any cell
is traded on the test rows; every cell is a trial in the ledger, and what is reported is deflated by their number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.books import kernel
from embargo.backtest.metrics import performance, sharpe
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.threads import one_thread
from embargo.research.cache import ledger_folder
from embargo.research.config.experiment import Config
from embargo.research.engine.keepers import Engine, Serial
from embargo.research.pages.page import write_page
from embargo.research.progress import Advance, Stages
from embargo.research.records import ledger
from embargo.research.records.attempts import (
    Attempts,
    best_of,
    discounted,
    overfitting,
    remarks,
    tried_around,
    undistinguished,
)
from embargo.research.records.figures import as_json
from embargo.research.records.folders import write_json, writing
from embargo.research.records.windows import TradedWindow
from embargo.research.run.measurement import estimate
from embargo.research.run.pipeline import attempt_of, kin_of, material_of, series_of, tuning_of, window_of
from embargo.research.run.plan import Plan
from embargo.research.run.preparation import prepare
from embargo.research.run.reading import read, with_base
from embargo.research.run.samples import Part
from embargo.research.run.trading import decide, market_of, rehearse
from embargo.research.studies.sweep.grid import Axis, Cell, Sweep, cells_of, competing
from embargo.research.studies.sweep.page import render_page
from embargo.signals.articles import Opinions, read_articles

LEAST_BARS = 10


def validation_rows(plan: Plan) -> slice:
    """Return the bars that a choice may rest on: decided in the first validation window and closed before any test.

    The validation windows of later folds lie inside the test windows of earlier ones. A choice that looked at them
    would have seen what it is then tested on.

    Raises
    ------
    DataError
        If there are too few.
    """
    world, fold = plan.world, plan.parts[0].fold
    start, stop = (int(at) for at in world.decided_at.searchsorted([fold.validation_start, fold.validation_end]))
    closed = int(world.prices.close_at.searchsorted(fold.test_start, side="right"))
    rows = slice(start, min(stop, closed))
    if rows.stop - rows.start < LEAST_BARS:
        raise DataError(
            f"sweep: {max(rows.stop - rows.start, 0)} bars lie in the validation window from {fold.validation_start} "
            f"to {fold.validation_end}; a choice needs {LEAST_BARS}. Widen split.validation_span."
        )
    return rows


def with_validation_news(plan: Plan) -> list[Part]:
    """Return the parts with the first validation window's news beside the first test window's, to be scored as one."""
    first, news = plan.parts[0], plan.world.news
    known_at = news["known_at"]
    inside = (known_at >= first.fold.validation_start) & (known_at < first.fold.validation_end)
    return [replace(first, test_news=pd.concat([news.loc[inside], first.test_news])), *plan.parts[1:]]


def trade_cells(
    cells: Sequence[Cell],
    plan: Plan,
    scored: pd.DataFrame,
    *,
    done: Callable[[int, np.ndarray], None] = lambda position, returns: None,
    progress: Advance = lambda done, total: None,
    engine: Engine | None = None,
) -> np.ndarray:
    """Trade every cell on the plan's rows and the same news through the compiled kernel.

    Cells share what they have in common: weights, if they differ in costs alone, articles as read, and the market.

    Parameters
    ----------
    cells : sequence of Cell
    plan : Plan
    scored : DataFrame
        Scored news that may be traded on in those rows.
    done : callable
        Called with a cell's position and its net returns, shape (bars,), in one order wherever they are made: cells
        that share their weights one after the other.
    progress : callable
        Called with (cells done, cells in all).
    engine : Engine, optional
        Where cells are traded; by default here.

    Returns
    -------
    float array, shape (cells,)
        Annual Sharpe ratios; NaN where a cell never traded.
    """
    groups: dict[str, list[int]] = {}
    for position, cell in enumerate(cells):
        groups.setdefault(_decided_by(cell.config), []).append(position)
    ratios = np.full(len(cells), np.nan)
    members = list(groups.values())
    waiting: dict[int, list[np.ndarray]] = {}
    told = [0, 0]  # groups and cells

    def tell(group: int, made: list[np.ndarray]) -> None:
        waiting[group] = made
        while told[0] in waiting:
            for position, returns in zip(members[told[0]], waiting.pop(told[0]), strict=True):
                ratio = sharpe(returns, periods_per_year=plan.world.periods_per_year)
                ratios[position] = np.nan if ratio is None else ratio
                done(position, returns)
            told[1] += len(members[told[0]])
            told[0] += 1
            progress(told[1], len(cells))

    configs = [[cells[position].config for position in group] for group in members]
    (Serial() if engine is None else engine).map(_trade_group, configs, _Bench(plan, scored), done=tell)
    return ratios


@dataclass(frozen=True)
class _Bench:
    """What all cells are traded on, and what those that come later find made."""

    plan: Plan
    scored: pd.DataFrame
    opinions: dict[str, Opinions] = field(default_factory=dict)
    markets: dict[tuple[Any, ...], kernel.Market] = field(default_factory=dict)


def _trade_group(bench: _Bench, configs: Sequence[Config]) -> list[np.ndarray]:
    """Trade cells that share their weights, and return the net returns of each, shape (bars,)."""
    plan = bench.plan.under(configs[0])
    reading = repr(plan.rules.articles)
    if reading not in bench.opinions:
        bench.opinions[reading] = read_articles(bench.scored, plan.rules.articles)
    weights = decide(plan, bench.scored, opinions=bench.opinions[reading]).weights.to_numpy()
    found = []
    for config in configs:
        own = bench.plan.under(config)
        costs, execution = own.rules.costs, own.rules.execution
        met = (execution, costs.impact > 0.0)
        if met not in bench.markets:
            bench.markets[met] = market_of(own)
        cash = config.portfolio.initial_cash
        found.append(kernel.run(weights, bench.markets[met], costs, execution, initial_cash=cash).returns)
    return found


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


@one_thread()
def sweep(
    config: Config, axes: Sequence[Axis], *, out: Path, cache: Path, stages: Stages, engine: Engine | None = None
) -> Sweep:
    """Trade every combination of settings, choose one by validation and report it on test.

    The model of the first fold was calibrated, and may have stopped training, on the validation texts it scores here.
    That flatters every cell's validation figures alike; they serve to choose and are no estimate of anything.

    Parameters
    ----------
    config : Config
        What is not swept.
    axes : sequence of Axis
    out : Path
        Folder of runs; the sweep lands in ``out/<name>-sweep-<hash>`` whole or not at all.
    cache : Path
        Where base models, adapters and scores are kept by content, and, unless ``$EMBARGO_LEDGER`` names another place,
        the ledger, which gets the cells.
    stages : Stages
        Shows progress.
    engine : Engine, optional
        Where folds are tuned, news is scored and cells are traded; by default here. It moves no figure.

    Returns
    -------
    Sweep

    Raises
    ------
    EmbargoError
        Whatever is wrong with the grid, the config or its data is raised before anything is trained.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from embargo.research import Quiet, load_config, read_axis, sweep
    >>> config = load_config(files("embargo.research.examples") / "small.toml")
    >>> with TemporaryDirectory() as folder:
    ...     places = {"out": Path(folder) / "runs", "cache": Path(folder) / "cache"}
    ...     found = sweep(config, [read_axis("signal.half_life=1,3")], stages=Quiet(), **places)
    >>> found.figures["chosen"]["settings"], found.figures["cells"]
    ({'signal.half_life': 3}, 2)
    >>> found.table["test_sharpe"].round(2).tolist()
    [0.1, -0.44]
    """
    cells = cells_of(config, axes)
    competes = competing(config, cells)
    plan = prepare(config, stages)
    for cell in {cell.config.signal.model_dump_json(): cell for cell in cells}.values():
        rehearse(plan.under(cell.config))
    validated, window = replace(plan, rows=validation_rows(plan)), window_of(plan)
    material = material_of(plan, plan.parts)
    trials = [attempt_of(cell.config, material) for cell in cells]
    identity = hashlib.sha256("".join([window.identity, *sorted(trials)]).encode()).hexdigest()[:8]
    folder = out / f"{config.name}-sweep-{identity}"
    hashes = [""] * len(cells)
    place = ledger_folder(cache)
    # A ledger that cannot be read or written is told before hours of work.
    tried_around(place, window)
    ledger.refuse_unwritable(place, window)
    note = _recording(place, folder.name, cells, window, trials, hashes, material)

    plan = with_base(plan, plan.parts[0].fold.train_end, cache, stages)
    scored = read(plan, with_validation_news(plan), cache, stages, None, engine).scored
    before = scored["known_at"] < plan.parts[0].fold.test_start
    early, late = (scored.loc[part].reset_index(drop=True) for part in (before, ~before))

    progress = stages.stage(f"Trade {len(cells):,} cells on the validation rows")
    validation = trade_cells(cells, validated, early, progress=progress, engine=engine)
    # Nothing has been traded on a test row yet: the choice cannot have seen one.
    chosen = choose(validation, competes)

    progress = stages.stage(f"Trade {len(cells):,} cells on the test rows")
    test = trade_cells(cells, plan, late, done=note, progress=progress, engine=engine)
    highest = _highest(test, competes)
    table = pd.DataFrame([cell.choice for cell in cells]).assign(
        validation_sharpe=validation, test_sharpe=test, competes=competes, returns=hashes, settings=trials
    )
    stages.stage("Measure the chosen cell")
    result = Sweep(folder, list(axes), table, chosen, chosen if highest is None else highest, {})
    spans = {
        "validation": _extent(validated, early) | {"left_out_bars": _left_out(plan)},
        "test": _extent(plan, late),
    }
    known = {"name": config.name, "sweep": identity, "window": window.identity, "data": plan.data.to_dict()} | spans
    tried = tried_around(place, window, elsewhere=config.statistics.trials_elsewhere)
    figures = known | _figures(result, plan, cells, late, tried)
    figures["remarks"] += ledger.earlier_attempts(out, declared=tried.elsewhere)
    result = replace(result, figures=figures)
    stages.stage("Write the report")
    _save(result, config)
    return result


def _recording(
    place: Path,
    sweep: str,
    cells: Sequence[Cell],
    window: TradedWindow,
    trials: Sequence[str],
    hashes: list[str],
    material: dict[str, str],
) -> Callable[[int, np.ndarray], None]:
    """Return what makes a cell's test returns a trial in the ledger, and notes their hash.

    A trial that the ledger holds already, with these returns, is not recorded again.
    """
    earlier = ledger.trials_on(place, window.identity)
    kept = set(ledger.returns_of(place, earlier.values()))

    def note(position: int, returns: np.ndarray) -> None:
        hashes[position] = hashlib.sha256(returns.tobytes()).hexdigest()[:16]
        config = cells[position].config
        trial = ledger.Trial(
            window.identity,
            trials[position],
            config.name,
            # A cell that never traded is an attempt all the same.
            sharpe(returns, periods_per_year=1.0) or 0.0,
            len(returns),
            sweep=sweep,
            series=series_of(config),
            kin=kin_of(config, material),
            tuning=tuning_of(config),
        )
        known = earlier.get(trial.settings)
        # Summed in another order on another machine, the same returns differ in the last digits.
        same = (
            known is not None
            and known.bars == trial.bars
            and np.isclose(known.sharpe_per_bar, trial.sharpe_per_bar, rtol=1e-9)
        )
        if not same or trial.settings not in kept:
            ledger.record(place, window, trial, returns)

    return note


def _figures(
    result: Sweep, plan: Plan, cells: Sequence[Cell], scored: pd.DataFrame, attempts: Attempts
) -> dict[str, Any]:
    """Say what the grid made, and what the chosen cell and the best on test are worth beside all attempts."""
    config, table = plan.config, result.table
    attempts = replace(attempts, own=str(table["settings"].iloc[result.chosen]))
    # A cell that never traded is cash. It was an attempt, but no rival: among losers it would be the best.
    rivals = table.loc[table["competes"] & np.isfinite(table["test_sharpe"])]
    names = rivals["settings"].tolist()
    judged = {
        at: _judged(cells[at], plan, scored, replace(attempts, own=str(table["settings"].iloc[at])))
        for at in {result.chosen, result.best}
    }
    statistics = config.statistics
    beaten = best_of(
        attempts,
        significance=statistics.significance,
        block=statistics.block,
        n_boot=statistics.bootstrap,
        seed=config.seed,
    )
    return {
        "grid": {axis.key: list(axis.values) for axis in result.axes},
        "cells": len(cells),
        "competing": int(table["competes"].sum()),
        "ranked": len(rivals),
        "never_traded": {part: int(table[f"{part}_sharpe"].isna().sum()) for part in ("validation", "test")},
        "distinct_returns": table["returns"].nunique(),
        "n_trials": len(attempts.trials),
        "n_partial": len(attempts.partial),
        "trials_elsewhere": attempts.elsewhere,
        "remarks": remarks(attempts),
        "overfitting": overfitting(attempts, names, seed=config.seed),
        "confidence_set": undistinguished(attempts, names, n_boot=statistics.bootstrap, seed=config.seed),
        "best_of_attempts": None if beaten is None else as_json(beaten),
        "bars_per_year": plan.world.periods_per_year,
        "rank_correlation": _rank_correlation(rivals["validation_sharpe"], rivals["test_sharpe"]),
        "chosen": _placed(cells, table, result.chosen) | judged[result.chosen],
        "best_on_test": _placed(cells, table, result.best) | judged[result.best],
    }


def _left_out(plan: Plan) -> int:
    """Bars of later validation windows, which lie inside earlier test windows and may not choose."""
    edges = [(part.fold.validation_start, part.fold.validation_end) for part in plan.parts[1:]]
    spans = [plan.world.decided_at.searchsorted(list(edge)) for edge in edges]
    return sum(int(stop - start) for start, stop in spans)


def _extent(plan: Plan, scored: pd.DataFrame) -> dict[str, Any]:
    opens, closes = plan.world.prices.open_at[plan.rows], plan.world.prices.close_at[plan.rows]
    return {
        "start": opens[0].isoformat(),
        "end": closes[-1].isoformat(),
        "bars": len(opens),
        "articles": len(scored),
    }


def _rank_correlation(validation: pd.Series, test: pd.Series) -> float | None:
    """Spearman's correlation of the cells' Sharpe ratios; None for fewer than three cells or without variation."""
    both = np.isfinite(validation) & np.isfinite(test)
    ranks = pd.DataFrame({"validation": validation[both], "test": test[both]}).rank()
    if len(ranks) < 3 or (ranks.nunique() < 2).any():
        return None
    return float(ranks.corr().to_numpy()[0, 1])


def _placed(cells: Sequence[Cell], table: pd.DataFrame, position: int) -> dict[str, Any]:
    ranks = table.loc[table["competes"], ["validation_sharpe", "test_sharpe"]].rank(ascending=False, method="min")
    return {
        "settings": dict(cells[position].choice),
        "validation_sharpe": _finite(_at(table["validation_sharpe"], position)),
        "rank_on_validation": _rank(_at(ranks["validation_sharpe"], position)),
        "rank_on_test": _rank(_at(ranks["test_sharpe"], position)),
    }


def _at(column: pd.Series, position: int) -> float:
    return float(column.loc[[position]].to_numpy(dtype=float)[0])


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _rank(value: float) -> int | None:
    return int(value) if np.isfinite(value) else None


def _judged(cell: Cell, plan: Plan, scored: pd.DataFrame, attempts: Attempts) -> dict[str, Any]:
    """Measure one cell on the test rows, before and after allowing for every attempt made on them."""
    kept: list[np.ndarray] = []
    trade_cells([cell], plan, scored, done=lambda position, returns: kept.append(returns))
    returns, years = pd.Series(kept[0], index=plan.world.prices.open_at[plan.rows]), plan.world.periods_per_year
    found = performance(returns, periods_per_year=years)
    ratio, statistics = estimate(plan.under(cell.config), returns), cell.config.statistics
    return {
        "sharpe": ratio.sharpe,
        "sharpe_low": ratio.low,
        "sharpe_high": ratio.high,
        "sharpe_p_value": ratio.p_value,
        "total_return": found["total_return"],
        "max_drawdown": found["max_drawdown"],
        **as_json(
            discounted(
                attempts,
                found,
                ratio.p_value,
                periods_per_year=years,
                significance=statistics.significance,
                n_boot=statistics.bootstrap,
                block=statistics.block,
                seed=cell.config.seed,
            )
        ),
    }


def _save(result: Sweep, config: Config) -> None:
    with writing(result.folder) as draft:
        (draft / "config.toml").write_text(config.to_toml(), encoding="utf-8")
        result.table.to_parquet(draft / "cells.parquet")
        write_json(draft / "sweep.json", result.figures)
        write_page(render_page(result, f"Sweep of {config.name}"), draft / "report.html")
