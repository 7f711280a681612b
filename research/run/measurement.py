"""What a run made, with its uncertainty: metrics, significance, regimes, classification, and benchmarks beside.

`measure` fills ``metrics.json``. Every figure in it is a plain number or None, and depends on nothing but the run's
inputs and the trials already in the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.chance import reach
from embargo.backtest.metrics import deepest_drawdowns, performance, relative
from embargo.backtest.paid import frictions
from embargo.backtest.rivals import benchmark_returns, random_timing
from embargo.backtest.significance import PermutationResult, SharpeEstimate, Way, sharpe_estimate
from embargo.models.calibration import confidence_test, reliability_table
from embargo.models.evaluation.classification import classification_report
from embargo.research.config.experiment import Config
from embargo.research.records.attempts import Attempts, best_of, discounted
from embargo.research.run.reading import Reading, probabilities
from embargo.research.run.regime_figures import (
    by_definition,
    regime_classification,
    regime_figures,
    regime_labels,
    regime_report,
)
from embargo.research.run.trading import Rules, Trade
from embargo.research.run.world import World


@dataclass(frozen=True)
class Measured:
    """Figures of a run with the series behind them.

    Attributes
    ----------
    metrics : dict
        JSON-able; becomes ``metrics.json``.
    equity : DataFrame, shape (test rows + 1, strategies)
        Growth of 1, ``strategy`` first; row t is the value when bar t opens.
    regimes : DataFrame of str, shape (test rows, definitions)
        Columns that end in ``_ex_post`` look back; the others were known when each row was decided.
    regime_table : DataFrame
        One row per definition and regime.
    """

    metrics: dict[str, Any]
    equity: pd.DataFrame
    regimes: pd.DataFrame
    regime_table: pd.DataFrame

    def having(self, **figures: Any) -> Measured:
        """Return the same with more figures among the metrics."""
        return replace(self, metrics=self.metrics | figures)


def estimate(config: Config, world: World, returns: pd.Series) -> SharpeEstimate:
    """Estimate a Sharpe ratio with its interval under the run's statistical settings."""
    return sharpe_estimate(
        returns,
        periods_per_year=world.periods_per_year,
        n_boot=config.statistics.bootstrap,
        level=config.statistics.level,
        block=config.statistics.block,
        seed=config.seed,
    )


def judged_against_chance(
    config: Config,
    world: World,
    result: Trade,
    permutations: Mapping[Way, PermutationResult],
    attempts: Attempts,
) -> dict[str, Any]:
    """Return the figures that a verdict rests on: what was earned, and how often chance does as well.

    Parameters
    ----------
    permutations : mapping of way to PermutationResult
        From `trading.shuffle_news`, ``"dates"`` among them.
    attempts : Attempts
        Everything tried on this window, this run among it.

    Returns
    -------
    dict
        All that `verdict.conclude` reads, and the performance that it rests on.
    """
    returns, years = result.books.returns, world.periods_per_year
    values = returns.to_numpy(dtype=float)
    strategy = performance(
        returns,
        periods_per_year=years,
        turnover=result.books.turnover,
        weights=result.books.realised_weights,
        trades=result.books.trades,
    )
    sharpe = estimate(config, world, returns)
    return {
        "n_bars": len(returns),
        "n_articles": int(result.placed["article_id"].nunique()),
        "n_trades": len(result.books.orders),
        "n_symbols": len(world.prices.symbols),
        "bars_per_year": years,
        "level": config.statistics.level,
        **{name: strategy[name] for name in strategy if name not in ("n_bars", "sharpe", "turnover_annual")},
        "turnover": strategy["turnover_annual"],
        "sharpe": sharpe.sharpe,
        "sharpe_low": sharpe.low,
        "sharpe_high": sharpe.high,
        "sharpe_low_percentile": sharpe.low_percentile,
        "sharpe_high_percentile": sharpe.high_percentile,
        "sharpe_p_value": sharpe.p_value,
        "sharpe_standard_error": sharpe.standard_error,
        "bootstrap_block": sharpe.block_length,
        "permutation_p_value": permutations["dates"].p_value,
        "permutations": {way: found.as_dict() for way, found in permutations.items()},
        **discounted(attempts, strategy, values, periods_per_year=years, seed=config.seed),
        **reach(
            strategy,
            values,
            periods_per_year=years,
            level=config.statistics.level,
            significance=config.statistics.significance,
        ),
    }


def measure(
    config: Config,
    world: World,
    rows: slice,
    rules: Rules,
    reading: Reading,
    result: Trade,
    permutations: Mapping[Way, PermutationResult],
    attempts: Attempts,
    rivals: Mapping[str, pd.DataFrame],
) -> Measured:
    """Turn the books of a run into its figures.

    Parameters
    ----------
    permutations : mapping of way to PermutationResult
        From `trading.shuffle_news`.
    rivals : mapping of str to DataFrame
        Weights of other strategies on the test rows, to be benchmarks beside those that need no news.
    attempts : Attempts
        Everything tried on this window, this run among it.
    """
    returns, years = result.books.returns, world.periods_per_year
    labels = regime_labels(config, world, rows)
    table = regime_report(config, world, returns, labels, turnover=result.books.turnover, trades=result.books.trades)
    opens, closes = world.prices.open.iloc[rows], world.prices.close.iloc[rows]
    # What is held from close to close is judged against the same.
    fills = closes if rules.execution.fill == "close" else opens
    benchmarks = benchmark_returns(
        fills, closes, costs=rules.costs, stale_after=rules.execution.stale_after, panels=rivals
    )
    chance = random_timing(
        result.decision.weights,
        fills,
        closes,
        costs=rules.costs,
        periods_per_year=years,
        block=permutations["dates"].block,
        n_draws=config.statistics.permutations,
        seed=config.seed,
        stale_after=rules.execution.stale_after,
    )
    metrics: dict[str, Any] = {
        **judged_against_chance(config, world, result, permutations, attempts),
        "best_of_attempts": best_of(
            attempts,
            significance=config.statistics.significance,
            block=config.statistics.block,
            n_boot=config.statistics.bootstrap,
            seed=config.seed,
        ),
        **frictions(
            result.books,
            world.prices,
            rows,
            world.last_closed,
            costs=rules.costs,
            execution=rules.execution,
            initial_cash=config.portfolio.initial_cash,
            periods_per_year=years,
        ),
        "drawdowns": _dated(deepest_drawdowns(returns), world.prices.open_at[rows]),
        "random_timing": chance.as_dict(),
        "relative": {
            str(name): relative(returns, benchmarks[name], periods_per_year=years)
            for name in benchmarks.columns
            if name != "cash"
        },
        "max_weight_gap": result.books.max_weight_gap,
        "benchmarks": {str(name): performance(benchmarks[name], periods_per_year=years) for name in benchmarks.columns},
        "regimes": by_definition(table),
        **regime_figures(config, world, returns, labels, benchmarks.get("equal_weight")),
        "regime_classification": regime_classification(
            config, labels, result.placed, reading.judged, _days_known(reading)
        ),
        "classification": classification(config, reading),
    }
    return Measured(metrics, growth(returns, benchmarks, world, rows), labels, table)


def _dated(drawdowns: pd.DataFrame, open_at: pd.DatetimeIndex) -> list[dict[str, Any]]:
    """Drawdowns with the instants of their bars, ISO; None for a recovery that never came."""
    rows: list[dict[str, Any]] = []
    for row in drawdowns.to_dict("records"):
        named = {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for edge in ("start", "trough", "recovery"):
            bar = named.pop(f"{edge}_bar")
            named[edge] = None if bar is None else open_at[int(bar)].isoformat()
        rows.append(named)
    return rows


def classification(config: Config, reading: Reading) -> dict[str, Any] | None:
    """Judge the scores against labels kept for that; None where the test windows hold no labelled article.

    Articles of one day tell of the same events, so days are what intervals and the test of confidence count.
    """
    judged = reading.judged
    if judged.empty:
        return None
    values, truth = probabilities(judged), judged["label"].to_numpy()
    days = article_days(reading)
    report: dict[str, Any] = classification_report(
        values, truth, groups=days, seed=config.seed, level=config.statistics.level
    )
    return report | {
        "level": config.statistics.level,
        "confidence": float(values.max(axis=1).mean()),
        "confidence_test": asdict(confidence_test(values, truth, groups=days)),
        "reliability": {
            stage: filled_bins(
                reliability_table(probabilities(judged, prefix), truth, level=config.statistics.level, groups=days)
            )
            for stage, prefix in (("before", "raw_"), ("after", ""))
        },
    }


def filled_bins(table: pd.DataFrame) -> list[dict[str, float]]:
    """Return the bins of a reliability table that hold articles, JSON-able."""
    rows: list[dict[str, float]] = table[table["count"] > 0].to_dict("records")
    return rows


def article_days(reading: Reading) -> np.ndarray | None:
    """Return the day (UTC) on which each judged article was known, str of shape (n,); None if there is one day only.

    An article that is not dated is a group of its own.
    """
    names = reading.judged["article_id"]
    days = names.map(_days_known(reading))
    groups = days.fillna("article " + names.astype(str)).to_numpy(dtype=object)
    return groups if len(set(groups)) > 1 else None


def _days_known(reading: Reading) -> pd.Series:
    """Day (UTC) on which each scored article was known, by article."""
    known_at = reading.scored.drop_duplicates("article_id").set_index("article_id")["known_at"]
    return known_at.dt.strftime("%Y-%m-%d")


def growth(returns: pd.Series, benchmarks: pd.DataFrame, world: World, rows: slice) -> pd.DataFrame:
    """Growth of 1 from the open of the first test bar to the close of the last, strategy and benchmarks."""
    together = pd.concat([returns.rename("strategy"), benchmarks.drop(columns="cash")], axis=1)
    values = np.vstack([np.ones(together.shape[1]), np.cumprod(1.0 + together.to_numpy(dtype=float), axis=0)])
    index = together.index.append(pd.DatetimeIndex([world.prices.close_at[rows][-1]]))
    names: Sequence[str] = [str(name).replace("_", " ") for name in together.columns]
    return pd.DataFrame(values, index=index, columns=names)
