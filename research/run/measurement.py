"""What a run made, with its uncertainty: metrics, significance, regimes, classification, and benchmarks beside.

`measure` fills `Metrics`. Every figure depends on nothing but the run's inputs and the trials already in the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.chance import held_against, reach
from embargo.backtest.metrics import deepest_drawdowns, performance
from embargo.backtest.paid import frictions
from embargo.backtest.rivals import RandomTiming, benchmark_returns, random_timing
from embargo.backtest.significance import PermutationResult, SharpeEstimate, Way, sharpe_estimate
from embargo.models.calibration.measures import reliability_table
from embargo.models.calibration.significance import CalibrationTest, confidence_test
from embargo.models.evaluation.classification import classification_report
from embargo.research.config.experiment import Config
from embargo.research.records.attempts import Attempts, best_of, discounted, growing_window
from embargo.research.records.classifier import Classification
from embargo.research.records.figures import figures_of, from_json, values_of
from embargo.research.records.frictions import Frictions
from embargo.research.records.metrics import (
    Drawdown,
    Metrics,
    Performance,
    RandomTimes,
    Reach,
    Relative,
    ShuffledNews,
    TradeFigures,
)
from embargo.research.run.by_regime import by_regime, regime_classification, regime_report
from embargo.research.run.kept import Kept
from embargo.research.run.plan import Plan
from embargo.research.run.reading import Reading, probabilities
from embargo.research.run.regimes import regime_labels
from embargo.research.run.trading import Trade


@dataclass(frozen=True)
class Measured:
    """Figures of a run with the series behind them.

    Attributes
    ----------
    metrics : Metrics
    equity : DataFrame, shape (test rows + 1, strategies)
        Growth of 1, ``strategy`` first; row t is the value when bar t opens.
    regimes : DataFrame of str, shape (test rows, definitions)
        Columns that end in ``_ex_post`` look back; the others were known when each row was decided.
    regime_table : DataFrame
        One row per definition and regime.
    """

    metrics: Metrics
    equity: pd.DataFrame
    regimes: pd.DataFrame
    regime_table: pd.DataFrame


def estimate(plan: Plan, returns: pd.Series) -> SharpeEstimate:
    """Estimate a Sharpe ratio with its interval under the run's statistical settings."""
    config = plan.config
    return sharpe_estimate(
        returns,
        periods_per_year=plan.world.periods_per_year,
        n_boot=config.statistics.bootstrap,
        level=config.statistics.level,
        block=config.statistics.block,
        seed=config.seed,
    )


def judged_against_chance(
    plan: Plan, result: Trade, permutations: Mapping[Way, PermutationResult], attempts: Attempts
) -> Metrics:
    """Return the figures that a verdict rests on: what was earned, and how often chance does as well.

    Parameters
    ----------
    permutations : mapping of way to PermutationResult
        From `chance.shuffle_news`, ``"dates"`` among them.
    attempts : Attempts
        Everything tried on these bars, this run the one in question.

    Returns
    -------
    Metrics
        All that `verdict.conclude` reads, and the performance that it rests on; the rest is not measured.
    """
    config, world = plan.config, plan.world
    returns, years = result.books.returns, world.periods_per_year
    values = returns.to_numpy(dtype=float)
    strategy = performance(
        returns,
        periods_per_year=years,
        turnover=result.books.turnover,
        weights=result.books.realised_weights,
        trades=result.books.trades,
    )
    sharpe = estimate(plan, returns)
    alone = {name: strategy[name] for name in figures_of(Performance)}
    weighed = discounted(
        attempts,
        strategy,
        sharpe.p_value,
        periods_per_year=years,
        significance=config.statistics.significance,
        n_boot=config.statistics.bootstrap,
        block=config.statistics.block,
        seed=config.seed,
    )
    seen = reach(
        strategy,
        values,
        periods_per_year=years,
        level=config.statistics.level,
        significance=weighed.significance_left,
    )
    return Metrics(
        **values_of(from_json(Performance, alone, "performance")) | {"sharpe": sharpe.sharpe},
        **values_of(weighed),
        **values_of(from_json(Reach, seen, "reach")),
        n_articles=int(result.placed["article_id"].nunique()),
        n_trades=len(result.books.orders),
        n_symbols=len(world.prices.symbols),
        bars_per_year=years,
        level=config.statistics.level,
        turnover=strategy["turnover_annual"],
        exposure_gross=strategy["exposure_gross"],
        exposure_net=strategy["exposure_net"],
        time_in_market=strategy["time_in_market"],
        trades=None if "trades" not in strategy else from_json(TradeFigures, strategy["trades"], "trade_figures"),
        sharpe_low=sharpe.low,
        sharpe_high=sharpe.high,
        sharpe_low_percentile=sharpe.low_percentile,
        sharpe_high_percentile=sharpe.high_percentile,
        sharpe_p_value=sharpe.p_value,
        sharpe_standard_error=sharpe.standard_error,
        bootstrap_block=sharpe.block_length,
        permutation_p_value=permutations["dates"].p_value,
        permutations={way: from_json(ShuffledNews, found.as_dict(), way) for way, found in permutations.items()},
    )


def measure(
    plan: Plan,
    reading: Reading,
    result: Trade,
    permutations: Mapping[Way, PermutationResult],
    attempts: Attempts,
    rivals: Mapping[str, pd.DataFrame],
    kept: Kept | None = None,
) -> Measured:
    """Turn the books of a run into its figures.

    Parameters
    ----------
    permutations : mapping of way to PermutationResult
        From `chance.shuffle_news`.
    rivals : mapping of str to DataFrame
        Weights of other strategies on the test rows, to be benchmarks beside those that need no news.
    attempts : Attempts
        Everything tried on these bars, this run the one in question.
    kept : Kept, optional
        Where random times of the same weights are looked up; by default nowhere.
    """
    config, world, rows, rules = plan.config, plan.world, plan.rows, plan.rules
    returns, years = result.books.returns, world.periods_per_year
    labels = regime_labels(plan)
    table = regime_report(plan, returns, labels, turnover=result.books.turnover, trades=result.books.trades)
    opens, closes = world.prices.open.iloc[rows], world.prices.close.iloc[rows]
    # What is held from close to close is judged against the same.
    fills = closes if rules.execution.fill == "close" else opens
    benchmarks = benchmark_returns(
        fills, closes, costs=rules.costs, stale_after=rules.execution.stale_after, panels=rivals
    )
    panels = (result.decision.weights, fills, closes)
    settings: dict[str, Any] = {
        "costs": rules.costs,
        "periods_per_year": years,
        "block": permutations["dates"].block,
        "n_draws": config.statistics.permutations,
        "seed": config.seed,
        "stale_after": rules.execution.stale_after,
    }
    draw = partial(random_timing, *panels, **settings)
    chance = draw() if kept is None else kept.of("random_timing", [*panels, settings], draw, RandomTiming)
    paid = frictions(
        result.books,
        world.prices,
        rows,
        world.last_closed,
        costs=rules.costs,
        execution=rules.execution,
        initial_cash=config.portfolio.initial_cash,
        periods_per_year=years,
    )
    classified = regime_classification(config, labels, result.placed, reading.judged, _days_known(reading))
    metrics = replace(
        judged_against_chance(plan, result, permutations, attempts),
        **values_of(from_json(Frictions, paid, "frictions")),
        **values_of(
            by_regime(plan, returns, labels, table, benchmarks.get("equal_weight"), classified),
        ),
        best_of_attempts=best_of(
            attempts,
            significance=config.statistics.significance,
            block=config.statistics.block,
            n_boot=config.statistics.bootstrap,
            seed=config.seed,
        ),
        growing_window=growing_window(
            attempts,
            significance=config.statistics.significance,
            periods_per_year=years,
            n_boot=config.statistics.bootstrap,
            block=config.statistics.block,
            seed=config.seed,
        ),
        drawdowns=_dated(deepest_drawdowns(returns), world.prices.open_at[rows]),
        random_timing=from_json(RandomTimes, chance.as_dict(), "random_timing"),
        relative={
            name: from_json(Relative, found, f"relative to {name}")
            for name, found in held_against(returns, benchmarks, periods_per_year=years).items()
        },
        max_weight_gap=result.books.max_weight_gap,
        benchmarks={
            str(name): from_json(Performance, performance(benchmarks[name], periods_per_year=years), str(name))
            for name in benchmarks.columns
        },
        classification=classification(config, reading),
    )
    return Measured(metrics, growth(plan, returns, benchmarks), labels, table)


def _dated(drawdowns: pd.DataFrame, open_at: pd.DatetimeIndex) -> tuple[Drawdown, ...]:
    """Drawdowns with the instants of their bars, ISO; None for a recovery that never came."""

    def opened(bar: Any) -> str | None:
        return None if pd.isna(bar) else open_at[int(bar)].isoformat()

    return tuple(
        Drawdown(
            depth=row["depth"],
            length_bars=row["length_bars"],
            start=opened(row["start_bar"]),
            trough=opened(row["trough_bar"]),
            recovery=opened(row["recovery_bar"]),
        )
        for row in drawdowns.to_dict("records")
    )


def classification(config: Config, reading: Reading) -> Classification | None:
    """Judge the scores against labels kept for that; None where the test windows hold no labelled article.

    Articles of one day tell of the same events, so days are what intervals and the test of confidence count.
    """
    judged = reading.judged
    if judged.empty:
        return None
    values, truth = probabilities(judged), judged["label"].to_numpy()
    days = article_days(reading)
    report = classification_report(values, truth, groups=days, seed=config.seed, level=config.statistics.level)
    together = report | {
        "level": config.statistics.level,
        "confidence": float(values.max(axis=1).mean()),
        "confidence_test": asdict(
            CalibrationTest(None, None) if days is None else confidence_test(values, truth, groups=days)
        ),
        "reliability": {
            stage: _filled(
                reliability_table(probabilities(judged, prefix), truth, level=config.statistics.level, groups=days)
            )
            for stage, prefix in (("before", "raw_"), ("after", ""))
        },
    }
    return from_json(Classification, together, "classification")


def _filled(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the bins of a reliability table that hold articles."""
    return [{str(name): value for name, value in row.items()} for row in table[table["count"] > 0].to_dict("records")]


def article_days(reading: Reading) -> np.ndarray | None:
    """Return the day (UTC) on which each judged article was known, str of shape (n,); None if there is one day only.

    An article that is not dated is a group of its own.
    """
    names = reading.judged["article_id"]
    days = names.map(_days_known(reading))
    groups = days.fillna("article " + names.astype(str)).to_numpy(dtype=object)
    return groups if len(set(groups)) > 1 else None


def _days_known(reading: Reading) -> dict[str, str]:
    """Day (UTC) on which each scored article was known, by article."""
    known = reading.scored[["article_id", "known_at"]].drop_duplicates("article_id").dropna(subset="known_at")
    days, names = pd.factorize(known["known_at"].dt.normalize())
    written = [f"{day:%Y-%m-%d}" for day in names]
    return {str(name): written[day] for name, day in zip(known["article_id"].tolist(), days.tolist(), strict=True)}


def growth(plan: Plan, returns: pd.Series, benchmarks: pd.DataFrame) -> pd.DataFrame:
    """Growth of 1 from the open of the first test bar to the close of the last, strategy and benchmarks."""
    together = pd.concat([returns.rename("strategy"), benchmarks.drop(columns="cash")], axis=1)
    values = np.vstack([np.ones(together.shape[1]), np.cumprod(1.0 + together.to_numpy(dtype=float), axis=0)])
    end = pd.DatetimeIndex([plan.world.prices.close_at[plan.rows][-1]])
    names = [str(name).replace("_", " ") for name in together.columns]
    return pd.DataFrame(values, index=pd.DatetimeIndex(together.index).append(end), columns=names)
