"""What was tried on the bars of a run, of an experiment, or on any at all, and what each attempt cost a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from embargo.backtest.significance import MINIMUM_ROWS, stepwise_sharpe
from embargo.data_loaders.errors import DataError
from embargo.research.config.experiment import Config, StatisticsSection
from embargo.research.records.attempts import Attempts, adjusted_p_value, lost_returns, remarks, tried_around
from embargo.research.records.ledger import Trial, earlier_attempts, returns_of, trials_around
from embargo.research.records.run import Run
from embargo.research.records.windows import TradedWindow, windows_in
from embargo.research.run.pipeline import window_of
from embargo.research.run.plan import Plan

_YEAR = 365.25 * 24 * 3600 * 1e6
_WHOLE = "full_settings"
ELSEWHERE = "made elsewhere"
COLUMNS = (
    "attempt",
    "settings",
    "first_bar",
    "last_bar",
    "bars",
    "symbols",
    "shared_bars",
    "shared_symbols",
    "sharpe",
    "own_p",
    "adjusted_p",
    "verdict_p_without",
    "cost",
)
_COUNTS = ("bars", "symbols", "shared_bars", "shared_symbols")


@dataclass(frozen=True)
class Tried:
    """Attempts with what they are worth.

    Attributes
    ----------
    table : DataFrame
        One row per attempt, in the order of their windows, with the columns ``attempt`` (the folder of its run, or the
        sweep it was a cell of), ``settings`` (fingerprint, 8 digits), ``first_bar``, ``last_bar`` (UTC), ``bars``,
        ``symbols`` (how many), ``shared_bars`` and ``shared_symbols`` (with the run or experiment asked for),
        ``sharpe`` (a year), ``own_p``, ``adjusted_p`` (one-sided, alone and among all attempts that overlap with it; of
        the run asked for those of its verdict, of the others those of the stepwise test of all together),
        ``verdict_p_without`` and ``cost`` (the adjusted p of the run asked for, had this attempt, with all cells of its
        sweep, not been made, and what it adds). What is not known, or not asked for, is NaN.
    run : str or None
        Name of the run asked for.
    verdict_p : float or None
        Its adjusted p as of now.
    verdict_p_then : float or None
        The same when it was made.
    elsewhere : int
        Attempts made with other tools, as its config says.
    remarks : sequence of str
        What is not known of some attempts, or not counted.
    """

    table: pd.DataFrame
    run: str | None = None
    verdict_p: float | None = None
    verdict_p_then: float | None = None
    elsewhere: int = 0
    remarks: Sequence[str] = ()


def tried_at_all(ledger: Path) -> Tried:
    """List every attempt of a ledger, each judged among those that overlap with it.

    Parameters
    ----------
    ledger : Path
        From `embargo.research.cache.ledger_folder`.

    Raises
    ------
    DataError
        If the ledger cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.research.studies.attempts import tried_at_all
    >>> len(tried_at_all(Path("no/such/folder")).table)
    0
    """
    windows = sorted(windows_in(ledger), key=lambda window: (window.span, window.identity))
    parts = [_rows(ledger, window, StatisticsSection(), 0, only=True) for window in windows]
    found = [trials for _, trials in trials_around(ledger, None)]
    lost = sum(len(trials) - len(returns_of(ledger, trials.values())) for trials in found)
    said = [lost_returns(lost, sum(map(len, found)))] if lost else []
    return Tried(_told(pd.concat(parts, ignore_index=True) if parts else _frame(())), remarks=said)


def tried_by(plan: Plan, ledger: Path) -> Tried:
    """List the attempts that a run of an experiment would be judged among.

    Parameters
    ----------
    plan : Plan
        From `embargo.research.prepare`.
    ledger : Path

    Raises
    ------
    DataError
        If the ledger cannot be read.
    """
    config, window = plan.config, window_of(plan)
    attempts = tried_around(ledger, window, elsewhere=config.statistics.trials_elsewhere)
    table = _rows(ledger, window, config.statistics, config.seed)
    return Tried(_told(table), elsewhere=attempts.elsewhere, remarks=remarks(attempts))


def tried_beside(run: Run, ledger: Path) -> Tried:
    """List the attempts that overlap with a run, and what each costs its verdict.

    An adjusted p is found anew for every attempt, or sweep, that is left out.

    Parameters
    ----------
    run : Run
    ledger : Path

    Raises
    ------
    DataError
        If the ledger does not know the run, or cannot be read.
    """
    config, window = run.config, _window(run, ledger)
    attempts = tried_around(ledger, window, elsewhere=config.statistics.trials_elsewhere)
    own = [name for name, trial in attempts.trials.items() if trial.run == run.name and trial.window == window.identity]
    if not own:
        raise DataError(_unknown(run, ledger))
    attempts = replace(attempts, own=own[0])
    table = _rows(ledger, window, config.statistics, config.seed)
    alone = run.metrics.get("sharpe_p_value")
    now = _verdict_p(attempts, alone, config)
    table.loc[table[_WHOLE] == attempts.own, ["own_p", "adjusted_p"]] = [_number(alone), _number(now)]
    if now is not None:
        costs: dict[str, float | None] = {}
        for group in _groups(attempts):
            costs |= dict.fromkeys(group, _verdict_p(attempts.without(group), alone, config))
        without = table[_WHOLE].map(costs).astype(float)
        table = table.assign(verdict_p_without=without, cost=now - without)
        if attempts.elsewhere:
            saved = _verdict_p(replace(attempts, elsewhere=0), alone, config)
            row: dict[str, object] = {
                "attempt": ELSEWHERE,
                "verdict_p_without": saved,
                "cost": now - float(saved or 0.0),
            }
            table = pd.concat([table, _frame([row])], ignore_index=True)
    return Tried(
        _told(table),
        run=run.name,
        verdict_p=now,
        verdict_p_then=run.metrics.get("adjusted_p_value"),
        elsewhere=attempts.elsewhere,
        remarks=[*remarks(attempts), *earlier_attempts(run.folder.parent, declared=attempts.elsewhere)],
    )


def _window(run: Run, ledger: Path) -> TradedWindow:
    found = next((each for each in windows_in(ledger) if each.identity == run.finished.window), None)
    if found is None:
        raise DataError(_unknown(run, ledger))
    return found


def _unknown(run: Run, ledger: Path) -> str:
    return (
        f"{ledger}: this ledger does not know {run.name}. Name the cache that the run was made with (--cache), or the "
        "ledger ($EMBARGO_LEDGER); where it is lost, repeat the run."
        + "".join(f" {said}" for said in earlier_attempts(run.folder.parent))
    )


def _groups(attempts: Attempts) -> list[list[str]]:
    """Return what stands and falls together: the cells of one sweep, and each other attempt by itself."""
    groups: dict[str, list[str]] = {}
    for name, trial in attempts.trials.items():
        if name != attempts.own:
            groups.setdefault(trial.sweep or name, []).append(name)
    return list(groups.values())


def _verdict_p(attempts: Attempts, alone: float | None, config: Config) -> float | None:
    statistics = config.statistics
    adjusted, _ = adjusted_p_value(
        attempts,
        alone,
        significance=statistics.significance,
        n_boot=statistics.bootstrap,
        block=statistics.block,
        seed=config.seed,
    )
    return adjusted


def _rows(
    ledger: Path, window: TradedWindow, statistics: StatisticsSection, seed: int, *, only: bool = False
) -> pd.DataFrame:
    """Judge the attempts that overlap with a window, and return them all, or only those on this very window."""
    attempts = tried_around(ledger, window)
    worth: dict[str, tuple[float, float]] = {}
    if attempts.trials:
        known, panel, member = replace(attempts, own=next(iter(attempts.trials))).together()
        if known and len(panel) >= MINIMUM_ROWS:
            found = stepwise_sharpe(
                panel,
                member=member,
                level=statistics.significance,
                n_boot=statistics.bootstrap,
                block=None if statistics.block is None else float(statistics.block),
                seed=seed,
            )
            judged = zip(found.own_p_values.tolist(), found.p_values.tolist(), strict=True)
            worth = {name: each for name, each, told in zip(known, judged, found.judged.tolist(), strict=True) if told}
    windows = {each.identity: each for each in windows_in(ledger, window)}
    rows = (
        _row(trial, windows[trial.window], window, *worth.get(trial.settings, (np.nan, np.nan)))
        for trial in sorted(attempts.trials.values(), key=lambda each: (windows[each.window].span, each.run))
        if not only or trial.window == window.identity
    )
    return _frame(rows)


def _row(trial: Trial, at: TradedWindow, asked: TradedWindow, own_p: float, adjusted_p: float) -> dict[str, object]:
    first, last = at.span
    years = float(at.open_at[-1] - at.open_at[0]) / _YEAR
    per_year = (trial.bars - 1) / years if years > 0.0 else np.nan
    return {
        "attempt": trial.sweep or trial.run,
        "settings": trial.settings[:8],
        "first_bar": pd.Timestamp(first, tz="UTC"),
        "last_bar": pd.Timestamp(last, tz="UTC"),
        "bars": trial.bars,
        "symbols": len(at.symbols),
        "shared_bars": len(np.intersect1d(at.open_at, asked.open_at, assume_unique=True)),
        "shared_symbols": len(set(at.symbols) & set(asked.symbols)),
        "sharpe": trial.sharpe_per_bar * np.sqrt(per_year),
        "own_p": own_p,
        "adjusted_p": adjusted_p,
        "verdict_p_without": np.nan,
        "cost": np.nan,
        _WHOLE: trial.settings,
    }


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _told(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=_WHOLE)


def _frame(rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    # Counts that may be missing, as of attempts made elsewhere, stay counts.
    return pd.DataFrame(list(rows), columns=[*COLUMNS, _WHOLE]).astype(dict.fromkeys(_COUNTS, "Int64"))
