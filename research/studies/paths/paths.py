"""Combinatorial paths: how much a Sharpe ratio owes to which part of history taught and which part tested.

The test period is cut into groups; every choice of some of them is tested by a model that learnt from the others, and
the results join into several whole paths instead of one. Models here may learn from after what they are tested on, with
label intervals purged, so a path is a diagnostic of luck and not a record of earnings: no trial enters the ledger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.books import kernel
from embargo.backtest.metrics import sharpe
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.splits import (
    CombinatorialSplit,
    Window,
    backtest_paths,
    combinatorial,
    groups_by_count,
    path_series,
)
from embargo.research.config.experiment import Config
from embargo.research.progress import Stages
from embargo.research.records.folders import write_json, writing
from embargo.research.run.bases import given_base, vintages_before
from embargo.research.run.data_verdict import judge_data
from embargo.research.run.pipeline import material_of
from embargo.research.run.plan import Plan
from embargo.research.run.reading import read, with_base
from embargo.research.run.rules import rules_of
from embargo.research.run.samples import Samples, plan_samples
from embargo.research.run.trading import decide, market_of, rehearse
from embargo.research.run.world import World, load_world

LEAST_BARS = 20
_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Paths:
    """Finished combinatorial paths.

    Attributes
    ----------
    folder : Path
        Holds ``config.toml, paths.json`` and ``returns.parquet``, complete.
    splits : list of CombinatorialSplit
    returns : DataFrame, shape (bars, paths)
        Net returns, index ``open_at``.
    sharpe : float array, shape (paths,)
        Annual; NaN where a path never traded.
    by_group : DataFrame, shape (groups, models that tested each)
        Annual Sharpe ratio of each tested stretch, in the order of the paths.
    figures : dict
        JSON-able; becomes ``paths.json``.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.research.studies.paths import Paths
    >>> returns = pd.DataFrame({"path 1": [0.01, -0.01], "path 2": [0.02, 0.01]})
    >>> ratios = np.array([0.3, 0.8])
    >>> paths = Paths(Path("runs/mine-paths-1a2b3c4d"), [], returns, ratios, pd.DataFrame(), {"paths": 2})
    >>> paths.returns.shape, paths.figures["paths"]
    ((2, 2), 2)
    """

    folder: Path
    splits: list[CombinatorialSplit]
    returns: pd.DataFrame
    sharpe: np.ndarray
    by_group: pd.DataFrame
    figures: dict[str, Any]


def trade_paths(config: Config, *, groups: int, tested: int, out: Path, cache: Path, stages: Stages) -> Paths:
    """Train a model for every choice of tested groups, trade what it tested, and join the results into paths.

    Parameters
    ----------
    config : Config
        Of its split, ``first_test``, ``end`` and ``embargo`` are used.
    groups, tested : int
        Groups the test period is cut into, equal in bars, and how many of them each split tests: C(groups, tested)
        models are trained and make ``tested / groups`` of that number of paths.
    out : Path
        Folder of runs; the paths land in ``out/<name>-paths-<hash>`` whole or not at all.
    cache : Path
        Where base models, adapters and scores are kept by content.
    stages : Stages
        Shows progress.

    Returns
    -------
    Paths

    Raises
    ------
    EmbargoError
        Whatever is wrong with the config, the groups or the data is raised before anything is trained.

    References
    ----------
    Lopez de Prado (2018), "Advances in Financial Machine Learning", chapter 12.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from embargo.research import Quiet, load_config, trade_paths
    >>> config = load_config(files("embargo.research.examples") / "small.toml")
    >>> with TemporaryDirectory() as folder:
    ...     places = {"out": Path(folder) / "runs", "cache": Path(folder) / "cache"}
    ...     found = trade_paths(config, groups=4, tested=2, stages=Quiet(), **places)
    >>> len(found.splits), found.sharpe.round(2).tolist()
    (6, [0.59, 0.5, 0.64])
    """
    if config.fusion.method != "none":
        raise ConfigError(
            f"paths: fusion.method = {config.fusion.method!r} learns from one test window for the next, and groups are "
            "tested in every order. Leave the fusion out."
        )
    if config.labels.source == "file":
        raise ConfigError(
            "paths: labels.source = 'file' trains one model for all of time, so every path would be the same. Use "
            "labels of the news or of returns."
        )
    base = given_base(config.model)
    world = load_world(config, stages)
    splits = cut(config, world, groups, tested)
    # Any group may be tested, so one vintage serves all splits: it must not know the first of them.
    first = splits[0].groups[0].start
    if base is None and (vintages := vintages_before(config.model, {"what lies before the groups": first})):
        base = vintages.before(first)
    stages.stage("Label and split")
    samples = plan_samples(config, world, splits)
    stretches = [stretch_of(world, group) for group in splits[0].groups]
    rows = slice(stretches[0].start, stretches[-1].stop)
    stages.stage("Judge the data")
    plan = Plan(config, world, (), rows, rules_of(config), base, judge_data(config, world, samples, rows))
    rehearse(plan)
    plan = with_base(plan, first, cache, stages)
    scored = read(plan, samples, cache, stages).scored
    progress = stages.stage(f"Trade {len(splits)} splits")
    tested_returns = {}
    for split in splits:
        read_by = scored.loc[scored["fold"] == split.index]
        pieces = [_traded(plan, read_by, split.groups[group]) for group in split.test_groups]
        tested_returns[split.index] = pd.concat(pieces)
        progress(split.index + 1, len(splits))
    series = path_series(splits, tested_returns)
    bars = pd.DatetimeIndex(world.prices.open_at[rows])
    returns = pd.DataFrame({f"path {number + 1}": path.to_numpy() for number, path in enumerate(series)}, index=bars)
    result = _summed_up(plan, splits, samples, stretches, returns, out)
    with writing(result.folder) as draft:
        (draft / "config.toml").write_text(config.to_toml(), encoding="utf-8")
        returns.to_parquet(draft / "returns.parquet")
        write_json(draft / "paths.json", result.figures)
    return result


def cut(config: Config, world: World, groups: int, tested: int) -> list[CombinatorialSplit]:
    """Cut the test period into groups of equal numbers of bars, and make every split of them.

    Raises
    ------
    ConfigError
        If the groups are too short to trade in, or do not fit the number that is tested.
    """
    start, end = config.split.first_test, config.split.end or world.prices.close_at[-1].ceil("D")
    decided = world.decided_at[(world.decided_at >= start) & (world.decided_at < end)]
    if len(decided) < groups * LEAST_BARS:
        raise ConfigError(
            f"paths: {len(decided)} bars from {start} to {end} in {groups} groups leave fewer than {LEAST_BARS} bars "
            "each. Ask for fewer groups, or move split.first_test."
        )
    return combinatorial(groups_by_count(start, end, instants=decided, n_groups=groups), n_test=tested)


def stretch_of(world: World, window: Window) -> slice:
    """Return the bars decided in a window, as positions."""
    first, last = (int(position) for position in world.decided_at.searchsorted([window.start, window.end]))
    return slice(first, last)


def _traded(plan: Plan, scored: pd.DataFrame, group: Window) -> pd.Series:
    """Trade one group through the kernel, from cash to cash, on the news of that group alone."""
    plan = replace(plan, rows=stretch_of(plan.world, group))
    news = scored.loc[group.holds(scored["known_at"])].reset_index(drop=True)
    account = kernel.run(
        decide(plan, news).weights.to_numpy(),
        market_of(plan),
        plan.rules.costs,
        plan.rules.execution,
        initial_cash=plan.config.portfolio.initial_cash,
    )
    return pd.Series(account.returns, index=plan.decided_at)


def _summed_up(
    plan: Plan,
    splits: list[CombinatorialSplit],
    samples: Sequence[Samples],
    stretches: Sequence[slice],
    returns: pd.DataFrame,
    out: Path,
) -> Paths:
    config, years = plan.config, plan.world.periods_per_year
    ratios = np.array([_ratio(returns[name], years) for name in returns.columns])
    first = plan.rows.start
    by_group = pd.DataFrame(
        [
            [_ratio(returns[name].iloc[rows.start - first : rows.stop - first], years) for name in returns.columns]
            for rows in stretches
        ],
        columns=returns.columns,
    )
    finite = ratios[np.isfinite(ratios)]
    if not len(finite):
        raise DataError("paths: no path ever traded. Choose signal.threshold on the validation part (embargo sweep).")
    counts = pd.DataFrame([found.counts for found in samples]).fillna(0).astype(int)
    figures = {
        "name": config.name,
        "data": plan.data.to_dict(),
        "groups": [[str(window.start), str(window.end)] for window in splits[0].groups],
        "tested_groups": len(splits[0].test_groups),
        "splits": len(splits),
        "paths": len(ratios),
        "bars": len(returns),
        "bars_per_year": years,
        "paths_that_traded": len(finite),
        "sharpe": [float(value) for value in ratios],
        "sharpe_mean": float(finite.mean()),
        "sharpe_sd": float(finite.std(ddof=1)) if len(finite) > 1 else None,
        "sharpe_quantiles": {str(share): float(np.quantile(finite, share)) for share in _SHARES},
        "share_positive": float((finite > 0.0).mean()),
        "mean_correlation": _mean_correlation(returns),
        "sharpe_by_group": by_group.to_numpy().tolist(),
        "models_by_group": backtest_paths(splits).T.tolist(),
        "purged": int(counts.filter(like="purged_").to_numpy().sum()),
        "embargoed": int(counts.filter(like="embargoed_").to_numpy().sum()),
    }
    identity = hashlib.sha256(
        "".join([config.fingerprint(), str(figures["groups"]), *material_of(plan, samples).values()]).encode()
    ).hexdigest()[:8]
    return Paths(out / f"{config.name}-paths-{identity}", splits, returns, ratios, by_group, figures)


def _ratio(returns: pd.Series, periods_per_year: float) -> float:
    value = sharpe(returns.to_numpy(), periods_per_year=periods_per_year)
    return float("nan") if value is None else value


def _mean_correlation(returns: pd.DataFrame) -> float | None:
    """Mean correlation between two paths: the closer to 1, the less does their spread say about chance."""
    varies = returns.loc[:, returns.std() > 0.0]
    if varies.shape[1] < 2:
        return None
    together = varies.corr().to_numpy()
    return float(together[np.triu_indices(len(together), 1)].mean())
