"""Compare finished runs on the bars they share: every figure with its interval, every difference with its p-value.

Nothing is run again: a comparison reads the folders that runs have left. One run is the base, and each of the others is
set against it, over all bars and within each market regime. What makes a comparison unfair (other news, other prices,
other costs, a leak) is said as a caution, never passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest import display
from embargo.backtest.metrics import annual_turnover, cost_breakdown, total_return
from embargo.backtest.significance import MINIMUM_ROWS
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.research.config.experiment import StatisticsSection
from embargo.research.config.settings import checked
from embargo.research.pages import formats
from embargo.research.records.finished import FinishedRun, read_run
from embargo.research.records.folders import CONFIG
from embargo.research.studies.compare.cautions import cautions_of
from embargo.research.studies.compare.judgement import (
    EVERYTHING,
    PRIOR_SHARPE,
    ROPE,
    best_of_all,
    cells_of,
    differences_of,
    questions_of,
    unbeaten,
)

# A config that does not say how figures are made was written before these settings; they are the defaults of today.
_DEFAULTS = {"level": 0.95, "significance": 0.05, "bootstrap": 2000, "block": None, "minimum_bars": 60}


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Runs side by side on the bars they share.

    Attributes
    ----------
    runs : list of FinishedRun
        The base first.
    returns : DataFrame, shape (common bars, runs)
        Net returns.
    labels : DataFrame of str, shape (common bars, definitions)
        Regimes of the base; no column if regimes were not asked for.
    cells : DataFrame
        One row per definition, regime and run: ``definition, regime, run, n_bars, share, sharpe, low, high, p_value,
        p_value_holm, annual_return, annual_volatility, max_drawdown, hit_rate, note``; all bars first. p-values are
        one-sided, for a true Sharpe ratio that is not positive; regimes dated after the fact carry neither them nor
        intervals, and ``note`` says so.
    differences : DataFrame
        One row per definition, regime and run but the base: ``definition, regime, run, n_bars, sharpe, base_sharpe,
        difference, low, high, p_value, p_value_holm, p_value_hac, detectable, stretches, stretch_bars, probability,
        equal, bayes_factor, note``; Sharpe ratios a year, the run's minus the base's. p-values are two-sided, for equal
        Sharpe ratios; ``probability`` and ``equal`` are posterior.
    questions : DataFrame
        Other ways to ask, over all bars: ``run, question, test, estimate, low, high, p_value, n, unit``; p-values are
        two-sided.
    settings : DataFrame, shape (settings that differ, runs)
        Printed values by dotted key.
    cautions : list of str
    figures : dict
        Bars, instants, level, families and the test of the best of all.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from embargo.research.records import FinishedRun
    >>> from embargo.research.studies.compare import Comparison
    >>> series, frame = pd.Series([0.01, -0.02]), pd.DataFrame()
    >>> runs = [
    ...     FinishedRun(name, Path(name), status, series, frame, frame, series, (), {}, {}, {})
    ...     for name, status in (("one", "valid"), ("two", "invalid"))
    ... ]
    >>> found = Comparison(runs, frame, frame, frame, frame, frame, frame, [], {})
    >>> found.base.name, found.invalid
    ('one', ['two'])
    """

    runs: list[FinishedRun]
    returns: pd.DataFrame
    labels: pd.DataFrame
    cells: pd.DataFrame
    differences: pd.DataFrame
    questions: pd.DataFrame
    settings: pd.DataFrame
    cautions: list[str]
    figures: dict[str, Any]

    def __repr__(self) -> str:
        lines = [
            display.Figure(
                f"Sharpe ratio of {row['run']} less that of {self.base.name}",
                display.decimal(row["difference"]),
                display.interval(row["low"], row["high"], self.figures["level"], row["p_value"], "two-sided"),
            )
            for row in self.differences.to_dict("records")
            if (row["definition"], row["regime"]) == EVERYTHING
        ]
        return "\n".join(
            [display.as_text(f"{len(self.runs)} runs on {len(self.returns):,} common bars", lines), *self.cautions]
        )

    @property
    def base(self) -> FinishedRun:
        """The run that the others are set against."""
        return self.runs[0]

    @property
    def invalid(self) -> list[str]:
        """Names of runs whose audit found a leak."""
        return [run.name for run in self.runs if run.status == "invalid"]


def compare(folders: Sequence[Path], *, against: str | None = None, by: str | None = None) -> Comparison:
    """Compare finished runs on the bars they share.

    Parameters
    ----------
    folders : sequence of Path
        At least two different run folders.
    against : str, optional
        Name or folder of the run to be the base; by default the first.
    by : str, optional
        ``"regime"`` for every definition of regimes that the base has, or the name of one. By default none.

    Returns
    -------
    Comparison
        How intervals are made (level, resamples, blocks, seed, smallest cell) is as the base's config says.

    Raises
    ------
    MissingPartError, DataError
        If a folder is no whole run, runs have bars of different length, or share fewer than 30 bars.
    ConfigError
        If there are fewer than two runs, one is named twice, or ``against`` or ``by`` names nothing that is there.

    Examples
    --------
    >>> import json
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.research import compare
    >>> bars = pd.date_range("2020-01-01", periods=300, tz="UTC")
    >>> with TemporaryDirectory() as temporary:
    ...     folders = [Path(temporary) / name for name in ("one", "two")]
    ...     for seed, folder in enumerate(folders):
    ...         folder.mkdir()
    ...         returns = np.random.default_rng(seed).normal(0.0, 0.01, 300)
    ...         pd.DataFrame({"net_return": returns}, index=bars).to_parquet(folder / "account.parquet")
    ...         pd.DataFrame({"trend": ["bull"] * 300}, index=bars).to_parquet(folder / "regimes.parquet")
    ...         _ = (folder / "metrics.json").write_text(json.dumps({"bars_per_year": 252, "status": "valid"}))
    ...         _ = (folder / "manifest.json").write_text("{}")
    ...         _ = (folder / "config.toml").write_text("statistics = { bootstrap = 200 }")
    ...     found = compare(folders)
    >>> difference = found.differences.iloc[0]
    >>> difference["run"], round(float(difference["difference"]), 2), round(float(difference["p_value"]), 2)
    ('two', -1.21, 0.39)
    """
    given = [read_run(folder) for folder in _different(folders)]
    runs = _ordered(_named_apart(given), against)
    base = runs[0]
    others = sorted({run.bars_per_year for run in runs})
    if len(others) > 1:
        raise DataError(
            "the runs trade bars of different length: "
            + "; ".join(f"{run.name} has {formats.number(run.bars_per_year)} a year" for run in runs)
            + ". Compare runs on bars of one length."
        )
    bars = _common(runs)
    returns = pd.DataFrame({run.name: run.returns.loc[bars].to_numpy() for run in runs}, index=bars)
    labels = _labels(base, by).loc[bars]
    how = _how(base)
    cells = cells_of(returns, labels, base.bars_per_year, how)
    differences = differences_of(returns, labels, base.bars_per_year, how)
    return Comparison(
        runs=runs,
        returns=returns,
        labels=labels,
        cells=cells,
        differences=differences,
        questions=questions_of(runs, returns, how),
        settings=_settings(runs),
        cautions=cautions_of(runs, returns, labels),
        figures=_figures(runs, returns, how, differences, by) | _trading(runs, cells, bars),
    )


def _different(folders: Sequence[Path]) -> Sequence[Path]:
    places = [folder.resolve() for folder in folders]
    if len(places) < 2:
        raise ConfigError(
            f"a comparison needs two runs or more, got {len(places)}. Name their folders one after another."
        )
    twice = [str(folder) for at, folder in enumerate(folders) if places[at] in places[:at]]
    if twice:
        raise ConfigError(f"{twice[0]}: named twice. A run cannot be compared with itself.")
    return folders


def _named_apart(runs: list[FinishedRun]) -> list[FinishedRun]:
    """Give runs whose folders share a name the name of the folder above as well."""
    names = [run.name for run in runs]
    if len(set(names)) == len(names):
        return runs
    places = [run.folder.resolve() for run in runs]
    return [
        replace(run, name=f"{place.parent.name}/{run.name}" if names.count(run.name) > 1 else run.name)
        for run, place in zip(runs, places, strict=True)
    ]


def _ordered(runs: list[FinishedRun], against: str | None) -> list[FinishedRun]:
    if against is None:
        return runs
    wanted = Path(against)
    found = [run for run in runs if run.name == against] or [
        run for run in runs if run.folder.resolve() == wanted.resolve()
    ]
    if len(found) != 1:
        raise ConfigError(f"--against {against}: not one of the runs compared: {', '.join(run.name for run in runs)}.")
    return [found[0], *(run for run in runs if run is not found[0])]


def _common(runs: list[FinishedRun]) -> pd.DatetimeIndex:
    indices = [pd.DatetimeIndex(run.returns.index) for run in runs]
    bars = indices[0]
    for index in indices[1:]:
        bars = bars.intersection(index)
    if len(bars) < MINIMUM_ROWS:
        spans = "; ".join(
            f"{run.name} from {index[0]:%Y-%m-%d} to {index[-1]:%Y-%m-%d}"
            for run, index in zip(runs, indices, strict=True)
        )
        shared = f"share only {len(bars)} bars" if len(bars) else "do not overlap"
        if not len(bars) and max(index[0] for index in indices) <= min(index[-1] for index in indices):
            shared = "cover the same days, but their bars never begin at the same instants (calendar or bar differs)"
        raise DataError(
            f"the runs {shared}: {spans}. A comparison needs {MINIMUM_ROWS} common bars; compare runs of one "
            "test window."
        )
    return bars


def _labels(base: FinishedRun, by: str | None) -> pd.DataFrame:
    known = [str(name) for name in base.regimes.columns]
    if by is None:
        return base.regimes[[]]
    if by == "regime":
        return base.regimes
    if by not in known:
        raise ConfigError(f"--by {by}: write 'regime' for all definitions, or one of {', '.join(known)}.")
    return base.regimes[[by]]


def _how(base: FinishedRun) -> dict[str, Any]:
    """How the base's figures are made: levels, resamples, block, smallest cell and seed."""
    statistics, sorting = base.settings.get("statistics", {}), base.settings.get("regimes", {})
    if not isinstance(statistics, dict) or not isinstance(sorting, dict):
        raise DataError(f"{base.folder / CONFIG}: statistics or regimes is no section of settings. Repeat the run.")
    how = {key: statistics.get(key, sorting.get(key, default)) for key, default in _DEFAULTS.items()}
    minimum, seed = how.pop("minimum_bars"), base.settings.get("seed", 0)
    whole = [
        value for value in (minimum, seed) if isinstance(value, int) and not isinstance(value, bool) and value >= 0
    ]
    if len(whole) < 2:
        raise DataError(f"{base.folder / CONFIG}: regimes.minimum_bars or seed is no whole number. Repeat the run.")
    checked(StatisticsSection, how, where=str(base.folder / CONFIG))
    return how | {"minimum_bars": minimum, "seed": seed}


def _settings(runs: list[FinishedRun]) -> pd.DataFrame:
    """Return the settings that are not the same in all runs, printed."""
    printed = {run.name: dict(formats.flat(run.settings)) for run in runs}
    keys = list(dict.fromkeys(key for entries in printed.values() for key in entries))
    apart = [key for key in keys if len({entries.get(key) for entries in printed.values()}) > 1]
    table = {name: [entries.get(key, formats.MISSING) for key in apart] for name, entries in printed.items()}
    return pd.DataFrame(table, index=pd.Index(apart, name="setting"), dtype=object)


def _figures(
    runs: list[FinishedRun], returns: pd.DataFrame, how: Mapping[str, Any], differences: pd.DataFrame, by: str | None
) -> dict[str, Any]:
    """Collect what is said about the comparison as a whole."""
    judged = differences[differences["p_value"].notna()]
    return {
        "base": runs[0].name,
        "by": by,
        "n_bars": len(returns),
        "start": returns.index[0].isoformat(),
        "end": returns.index[-1].isoformat(),
        "bars_per_year": runs[0].bars_per_year,
        "same_window": len({run.window for run in runs}) == 1,
        "rope": ROPE,
        "prior_sharpe": PRIOR_SHARPE,
        **how,
        "family": {str(name): len(rows) for name, rows in judged.groupby("definition", sort=False)},
        "correlation": {
            str(name): None if not np.isfinite(value) else float(value)
            for name, value in returns.corr().iloc[0].items()
        },
        "best_of_all": best_of_all(returns, how),
        "total_return": {str(name): total_return(returns[name]) for name in returns.columns},
    }


def _trading(runs: list[FinishedRun], cells: pd.DataFrame, bars: pd.DatetimeIndex) -> dict[str, Any]:
    """Turnover and cost of every run on the common bars, a year, and the runs that none beats on Sharpe ratio and one.

    A run of an older version may have left neither.
    """
    turnovers = {
        run.name: annual_turnover(run.turnover.loc[bars], periods_per_year=run.bars_per_year)
        if len(run.turnover)
        else None
        for run in runs
    }
    costs = {run.name: _cost(run, bars) for run in runs}
    overall = cells[cells["definition"] == EVERYTHING[0]].set_index("run")["sharpe"]
    # A Sharpe ratio that saw the future beats nobody.
    sharpes = {
        run.name: None if formats.is_missing(sharpe := overall[run.name]) else float(sharpe)
        for run in runs
        if run.status != "invalid"
    }
    return {
        "turnover": turnovers,
        "unbeaten": unbeaten(sharpes, turnovers),
        "cost": costs,
        "unbeaten_on_cost": unbeaten(sharpes, costs),
    }


def _cost(run: FinishedRun, bars: pd.DatetimeIndex) -> float | None:
    """Return what a run paid on some bars, a share of the mean equity on them, per year, as its metrics count it."""
    if not (len(run.costs) and len(run.turnover)):
        return None
    costs = run.costs.loc[bars]
    paid, turnover = {"all": float(costs["paid"].sum())}, run.turnover.loc[bars]
    return cost_breakdown(paid, costs["equity"], turnover, periods_per_year=run.bars_per_year)["total"]["per_year"]


def as_document(found: Comparison) -> dict[str, Any]:
    """Return every figure of a comparison as a JSON-able dictionary.

    Parameters
    ----------
    found : Comparison
        From `compare`.

    Returns
    -------
    dict
        The comparison's ``figures``, and ``runs, cells, differences, questions, settings`` and ``cautions``.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.research.studies.compare import Comparison, as_document
    >>> nothing = pd.DataFrame()
    >>> found = Comparison([], nothing, nothing, nothing, nothing, nothing, nothing, ["a caution"], {"n_bars": 0})
    >>> as_document(found)["cautions"]
    ['a caution']
    """
    return {
        **found.figures,
        "runs": [
            {
                "run": run.name,
                "status": run.status,
                "n_bars": len(run.returns),
                "n_trials": run.n_trials,
                "deflated_sharpe": run.deflated_sharpe,
                "test_window": run.window,
                "n_articles": run.n_articles,
                "articles_known": None if run.news is None else list(run.news),
                "news": run.fingerprint("news"),
                "prices": run.fingerprint("prices"),
                "sealed": run.sealed,
                "commit": run.manifest.get("commit"),
            }
            for run in found.runs
        ],
        "cells": found.cells.to_dict("records"),
        "differences": found.differences.to_dict("records"),
        "questions": found.questions.to_dict("records"),
        "settings": found.settings.to_dict("index"),
        "cautions": found.cautions,
    }
