"""What a run made in each regime: the table, tests of equality, moves between regimes, and stretches of stress."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from embargo.backtest import regimes
from embargo.data_loaders.calendars import ROUND_THE_CLOCK
from embargo.data_loaders.schemas import is_among
from embargo.research.config.experiment import Config
from embargo.research.records.by_regime import (
    ByRegime,
    RegimeEquality,
    RegimeFigures,
    RegimeMove,
    RegimeReading,
    Stress,
)
from embargo.research.records.figures import from_json
from embargo.research.run.plan import Plan
from embargo.research.run.regimes import is_ex_post
from embargo.research.run.world import World

_READING = ("accuracy", "accuracy_interval", "macro_f1", "macro_f1_interval")
# The cells of a definition share its articles, so all definitions together cost about one report each.
_RESAMPLES = 500


def regime_report(
    plan: Plan,
    returns: pd.Series,
    labels: pd.DataFrame,
    *,
    turnover: pd.Series | None = None,
    trades: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Measure the strategy in every regime of every definition; see `embargo.backtest.regimes.regime_table`."""
    config, world, tables = plan.config, plan.world, []
    for definition in labels.columns:
        table = regimes.regime_table(
            returns,
            labels[definition],
            periods_per_year=world.periods_per_year,
            n_boot=config.statistics.bootstrap,
            level=config.statistics.level,
            seed=config.seed,
            minimum_bars=config.regimes.minimum_bars,
            block=config.statistics.block,
            turnover=turnover,
            trades=trades,
        )
        if is_ex_post(str(definition)):
            table = regimes.untested(table)
        table.insert(0, "definition", str(definition))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def by_definition(table: pd.DataFrame) -> dict[str, dict[str, RegimeFigures]]:
    """Nest the rows of `regime_report` by definition and regime."""
    grouped: dict[str, dict[str, RegimeFigures]] = {}
    for row in table.to_dict("records"):
        named = {str(name): value for name, value in row.items()}
        definition, regime = str(named.pop("definition")), str(named.pop("regime"))
        grouped.setdefault(definition, {})[regime] = from_json(RegimeFigures, named, f"{definition}, {regime}")
    return grouped


def by_regime(
    plan: Plan,
    returns: pd.Series,
    labels: pd.DataFrame,
    table: pd.DataFrame,
    market: pd.Series | None,
    classified: Mapping[str, Mapping[str, RegimeReading]],
) -> ByRegime:
    """Say what was made in each regime, whether that differs, how regimes follow each other, and times of stress.

    Parameters
    ----------
    labels : DataFrame of str, shape (test rows, definitions)
    table : DataFrame
        From `regime_report`.
    market : Series, optional
        Returns of the market on the same rows.
    classified : mapping of definition to mapping of regime
        From `regime_classification`.
    """
    config, world = plan.config, plan.world
    tests = {
        str(definition): _looks_back(labels[definition])
        if is_ex_post(str(definition))
        else regimes.sharpe_equality(
            returns,
            labels[definition],
            periods_per_year=world.periods_per_year,
            n_boot=config.statistics.bootstrap,
            level=config.statistics.level,
            block=config.statistics.block,
            seed=config.seed,
            minimum_bars=config.regimes.minimum_bars,
        )
        for definition in labels.columns
    }
    moves = {
        str(definition): regimes.transition_table(labels[definition]).to_dict("records")
        for definition in labels.columns
    }
    stress = regimes.stress_table(returns, market=market, windows=_windows(world)).to_dict("records")
    return ByRegime(
        regimes=by_definition(table),
        regime_equality={
            name: from_json(RegimeEquality, found.as_dict(), f"equality by {name}") for name, found in tests.items()
        },
        regime_transitions={
            name: tuple(from_json(RegimeMove, row, f"moves of {name}") for row in rows) for name, rows in moves.items()
        },
        stress=tuple(from_json(Stress, row, "stress") for row in stress),
        regime_classification=classified,
    )


def _looks_back(labels: pd.Series) -> regimes.EqualityTest:
    present = tuple(name for name in regimes.regime_order(set(labels.astype(str))) if name != regimes.UNLABELLED)
    return regimes.EqualityTest(
        None, None, (), present, (), None, "dated after the fact, from the same bars: not tested"
    )


def regime_classification(
    config: Config, labels: pd.DataFrame, placed: pd.DataFrame, judged: pd.DataFrame, days: Mapping[str, str]
) -> dict[str, dict[str, RegimeReading]]:
    """Judge the scores apart by the regime of the bar that each article first reached.

    Parameters
    ----------
    labels : DataFrame of str, shape (test rows, definitions)
    placed : DataFrame
        ``article_id`` and ``row`` (position among the test rows, -1 for none).
    judged : DataFrame
        ``article_id``, probabilities and ``label``.
    days : mapping of article to day
        Articles of one day tell of the same events, so days are what intervals count.

    Returns
    -------
    dict of definition to dict of regime to RegimeReading
        Only the number with fewer articles than ``regimes.minimum_bars`` or all of one day. Empty where no article was
        judged.
    """
    reached = placed.loc[placed["row"] >= 0].groupby("article_id")["row"].min()
    known = judged.loc[is_among(judged["article_id"], reached.index)]
    rows = reached.loc[known["article_id"]].to_numpy()
    groups = known["article_id"].map(lambda article: days.get(article, f"article {article}")).to_numpy(dtype=object)
    found: dict[str, dict[str, RegimeReading]] = {}
    for definition in labels.columns if len(known) else ():
        regime = labels[definition].to_numpy()[rows]
        cells = found.setdefault(str(definition), {})
        for name in regimes.regime_order(set(regime)):
            cells[str(name)] = _judged(config, known.loc[regime == name], groups[regime == name])
    return found


def _judged(config: Config, articles: pd.DataFrame, groups: np.ndarray) -> RegimeReading:
    cell = {"n": len(articles), **dict.fromkeys(_READING)}
    if len(articles) < config.regimes.minimum_bars or len(set(groups)) < 2:
        return from_json(RegimeReading, cell, "reading by regime")
    # Loaded here because the labels above are made before anything is trained, and models take long to load.
    from embargo.models.evaluation.classification import accuracy_report
    from embargo.research.run.reading import probabilities

    report = accuracy_report(
        probabilities(articles),
        articles["label"].to_numpy(),
        groups=groups,
        seed=config.seed,
        resamples=_RESAMPLES,
        level=config.statistics.level,
    )
    return from_json(RegimeReading, cell | {name: report[name] for name in _READING}, "reading by regime")


def _windows(world: World) -> list[regimes.StressWindow]:
    """Stretches of stress that can have touched these prices: none in a simulated market, of coins in coins only."""
    if world.truth is not None:
        return []
    coins = world.prices.calendar == ROUND_THE_CLOCK
    return [window for window in regimes.WINDOWS if coins or window.market == "shares"]
