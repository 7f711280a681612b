"""Returns made anywhere, judged: their Sharpe ratio with its interval, what chance and the search explain, and regimes.

Everything is computed by the functions that judge a run; nothing here has a definition of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest import display
from embargo.backtest.arguments import (
    check_at_least,
    check_level,
    check_mean_block,
    check_n_boot,
    check_periods_per_year,
    check_seed,
    check_type,
)
from embargo.backtest.chance import after_attempts, beyond_luck, held_against, reach
from embargo.backtest.display import Figure, counted, decimal, interval, percent, probability
from embargo.backtest.metrics import deepest_drawdowns, performance
from embargo.backtest.regimes import RegimePreset, regime_table, trend_regime, volatility_regime
from embargo.backtest.significance import (
    SharpeEstimate,
    StepwiseSharpe,
    effective_trials,
    expected_maximum_sharpe,
    sharpe_estimate,
    stepwise_sharpe,
    variance_inflation,
)
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import check_numbers

# No honest series of ten rows or more never loses and earns so much in the middle of them.
_ENOUGH_LEVELS, _HALF_A_LEVEL = 10, 0.2


@dataclass(frozen=True, eq=False, repr=False)
class Judgement:
    """What a return series is worth, with the uncertainty of each figure.

    Attributes
    ----------
    returns : Series, shape (bars,)
        Net simple returns, fraction per row; index UTC.
    benchmarks : DataFrame, shape (bars, benchmarks)
        Returns it was held against; no column where there was none.
    periods_per_year : float
    performance : dict
        All figures of `embargo.backtest.metrics.performance`.
    sharpe : SharpeEstimate
        Annual, with its interval and the one-sided p-value for "not positive".
    chance : dict
        ``n_trials`` (None if nobody said), ``adjusted_p_value`` (of the Sharpe ratio, one-sided, after all attempts),
        ``significance_left`` (level left to one attempt), ``effective_trials`` (independent attempts they are worth),
        ``luckiest_sharpe`` (annual: what the luckiest of as many worthless ones would show), ``probabilistic_sharpe``
        and ``deflated_sharpe`` (one less the one-sided p of a true Sharpe ratio that is not positive, and of one that
        is not above that luckiest one). None where a figure does not exist.
    superior : StepwiseSharpe or None
        All attempts against cash, together; None unless their returns were given.
    reach : dict
        ``mean`` (annual, with its t-test), ``sharpe_errors``, ``sharpe_aggregated``, ``detectable_sharpe`` (annual) and
        ``required_bars`` (rows), both after all attempts, and ``sample`` (why p-values may not hold their level on such
        returns); see `embargo.backtest.significance`.
    drawdowns : DataFrame
        The five deepest: ``depth`` (fraction < 0), ``start_bar``, ``trough_bar``, ``recovery_bar`` (positions of rows),
        ``length_bars``, and ``start``, ``trough``, ``recovery`` (UTC; missing if wealth never came back).
    labels : DataFrame of str, shape (bars, 2)
        Regime of each row by ``trend`` and by ``volatility``, from what was known before it.
    regimes : DataFrame
        One row per ``definition`` and ``regime``; columns as in `embargo.backtest.regimes.regime_table`.
    regimes_of : str
        Whose regimes these are.
    relative : dict of str to dict
        By benchmark, all figures of `embargo.backtest.chance.held_against`.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest import judge
    >>> days = pd.date_range('2022-01-03', periods=200, freq='B', tz='UTC')
    >>> earned = pd.Series(np.random.default_rng(3).normal(0.0008, 0.01, 200), index=days)
    >>> judge(earned, periods_per_year=252, n_boot=200).figures()[0]
    Figure(label='Return a year', value='36.3 %', note='in all 27.9 %')
    """

    returns: pd.Series
    benchmarks: pd.DataFrame
    periods_per_year: float
    performance: dict[str, Any]
    sharpe: SharpeEstimate
    chance: dict[str, Any]
    superior: StepwiseSharpe | None
    reach: dict[str, Any]
    drawdowns: pd.DataFrame
    labels: pd.DataFrame
    regimes: pd.DataFrame
    regimes_of: str
    relative: dict[str, dict[str, Any]]

    @property
    def title(self) -> str:
        """What was judged, in one line."""
        return f"Judgement of {span(self.returns)}"

    def figures(self) -> list[Figure]:
        """Return the lines that it shows."""
        return [
            *display.performance_figures(self.performance),
            Figure(
                "Sharpe ratio a year",
                decimal(self.sharpe.sharpe),
                interval(self.sharpe.low, self.sharpe.high, self.sharpe.level, self.sharpe.p_value, "one-sided"),
            ),
            *self._attempts(),
            *(Figure("Size not known to hold", "", doubt) for doubt in self.reach["sample"]["doubts"]),
            *(
                Figure(
                    f"Beyond {name} a year",
                    percent(held["excess_return_annual"]),
                    f"information ratio {decimal(held['information_ratio'])}, beta {decimal(held['beta'])}, "
                    f"alpha {percent(held['alpha_annual'])} (two-sided p {probability(held['alpha_p_value'])}"
                    f"{self._corrected(held)})",
                )
                for name, held in self.relative.items()
            ),
            *self._by_regime(),
        ]

    def _corrected(self, held: Mapping[str, Any]) -> str:
        """Say what is left of an alpha's p-value after all benchmarks; nothing where there is one."""
        number = len(self.relative)
        return f", {probability(held['alpha_p_value_holm'])} for {number} benchmarks" if number > 1 else ""

    def _attempts(self) -> list[Figure]:
        tried, seen = self.chance, self.reach["detectable_sharpe"]
        lines = [Figure("Sharpe ratio it could see", decimal(seen), "would be found in 80 % of such samples")]
        if tried["n_trials"] is None:
            untold = "nobody said how many attempts it was picked from; tell it with trials="
            return [Figure("p after attempts, one-sided", "none", untold), *lines]
        worth = f", worth {tried['effective_trials']:.1f} independent ones" if self.superior is not None else ""
        told = f"of the Sharpe ratio, after {counted(tried['n_trials'], 'attempt')}{worth}"
        lines.insert(0, Figure("p after attempts, one-sided", probability(tried["adjusted_p_value"]), told))
        if self.superior is not None:
            best = f"one-sided p that none of {int(self.superior.judged.sum())} attempts is better than cash"
            smallest = float(self.superior.p_values.min())
            lines.insert(1, Figure("Best of the attempts", probability(smallest), best))
        return lines

    def _by_regime(self) -> list[Figure]:
        judged, others = [], []
        for row in self.regimes.to_dict("records"):
            if row["note"]:
                others.append(f"{row['definition']} {row['regime']} ({row['n_bars']:,} rows)")
                continue
            told = interval(row["low"], row["high"], self.sharpe.level, row["p_value"], "one-sided")
            judged.append(
                Figure(
                    f"Sharpe, {row['definition']} {row['regime']}",
                    decimal(row["sharpe"]),
                    f"{row['n_bars']:,} rows, {told}",
                )
            )
        rest = [Figure("Regimes not judged", str(len(others)), ", ".join(others))] if others else []
        return [*judged, *rest]

    def __repr__(self) -> str:
        return display.as_text(self.title, self.figures()) + f"\n  Regimes are those of {self.regimes_of}."

    def _repr_html_(self) -> str:
        title = f"{self.title}; regimes are those of {self.regimes_of}"
        return display.as_html(title, self.figures(), self.returns.to_numpy(dtype=float))


def judge(
    returns: pd.Series,
    *,
    periods_per_year: float,
    benchmark: pd.Series | None = None,
    trials: int | pd.DataFrame | None = None,
    preset: RegimePreset = RegimePreset(),  # noqa: B008 - frozen
    level: float = 0.95,
    n_boot: int = 2000,
    block: float | None = None,
    seed: int = 0,
) -> Judgement:
    """Judge returns that were made elsewhere as the returns of a run are judged.

    Parameters
    ----------
    returns : Series, shape (bars,)
        Net simple returns, fraction per row, none missing; the index holds instants with a time zone, increasing. Row t
        is what was earned from instant t on.
    periods_per_year : float
        Rows in a year: 252 for sessions of an exchange, 365 for days of coins, 8,760 for their hours.
    benchmark : Series, shape (bars,), optional
        Returns of what could have been held instead, on the same instants.
    trials : int or DataFrame, optional
        Attempts the returns were picked from: their number, these included, or the returns of all the others, shape
        (bars, others); a column that is these returns themselves counts once. A number counts every attempt as
        independent of the rest. Left out, the Sharpe ratio is not deflated, and the judgement says so.
    preset : RegimePreset
        Look-backs of the regimes; `embargo.backtest.regimes.PRESETS` has those that suit coins.
    level : float
        Confidence of the intervals, in [0.5, 1).
    n_boot : int
        Bootstrap resamples, at least 100.
    block : float, optional
        Length of their blocks in rows; by default the automatic choice of Politis and White, but for Sharpe ratios no
        less than the root of the rows.
    seed : int
        Of all resampling.

    Returns
    -------
    Judgement
        Regimes are those of the benchmark, or of the returns themselves without one; row t is labelled by the rows
        before it, so no label looks ahead.

    Raises
    ------
    DataError
        If an index has no time zone or does not increase, series are on different instants, a return is missing, or
        these are no returns but prices, wealth or percent.
    ConfigError
        If a setting is out of range.
    TypeError
        If the preset is none.

    References
    ----------
    Ledoit and Wolf (2008), Journal of Empirical Finance 15(5), for the interval; Bailey and López de Prado (2014),
    "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5); Romano and Wolf (2005), Econometrica 73(4), for
    the attempts together.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest import judge
    >>> days = pd.date_range("2022-01-03", periods=300, freq="B", tz="UTC")
    >>> earned = pd.Series(np.random.default_rng(11).normal(0.0008, 0.01, 300), index=days)
    >>> told = judge(earned, periods_per_year=252, trials=20, n_boot=200)
    >>> round(told.sharpe.sharpe, 2), round(told.sharpe.low, 2), round(told.sharpe.high, 2)
    (1.76, -0.04, 3.75)
    >>> round(told.chance["probabilistic_sharpe"], 2), round(told.chance["deflated_sharpe"], 2)
    (0.97, 0.5)
    """
    check_judging(periods_per_year, preset=preset, n_boot=n_boot, level=level, block=block, seed=seed)
    earned = on_instants(returns, "returns")
    check_returns(earned.to_frame("returns"), "returns")
    earned = earned.astype(float)
    rivals = pd.DataFrame(index=earned.index)
    if benchmark is not None:
        rivals["benchmark"] = _on_the_same(benchmark, earned.index, "benchmark")
        check_returns(rivals, "benchmark")
        rivals = rivals.astype(float)
    market = earned if benchmark is None else rivals["benchmark"]
    labels = causal_labels(market, np.arange(len(earned)) - 1, preset)
    return judged(
        earned,
        benchmarks=rivals,
        labels=labels,
        regimes_of="the returns themselves" if benchmark is None else "the benchmark",
        periods_per_year=periods_per_year,
        trials=trials,
        minimum_bars=preset.minimum_bars,
        level=level,
        n_boot=n_boot,
        block=block,
        seed=seed,
    )


def check_judging(
    periods_per_year: float | None,
    *,
    preset: RegimePreset,
    n_boot: int,
    level: float,
    block: float | None,
    seed: int,
) -> None:
    """Refuse settings of `judge` out of range, before anything is computed.

    Raises
    ------
    ConfigError
        Naming the setting, its value and the remedy.
    TypeError
        If the preset is none.
    """
    if periods_per_year is not None:
        check_periods_per_year(periods_per_year)
    check_type("preset", preset, RegimePreset, "Take one of embargo.backtest.regimes.PRESETS.")
    check_n_boot(n_boot)
    check_level(level)
    check_mean_block(block)
    check_seed(seed)


def check_returns(panel: pd.DataFrame, what: str) -> None:
    """Refuse columns that cannot be returns: texts, gaps, losses of more than all, prices and levels of wealth.

    Raises
    ------
    DataError
        Naming the first row and what to do.
    """
    check_numbers(panel, where=what)
    values = panel.to_numpy(dtype=float, na_value=np.nan)
    missing = ~np.isfinite(values)
    if missing.any():
        row, column = np.argwhere(missing)[0]
        raise DataError(
            f"{what}: the return at {panel.index[row]} is {values[row, column]} ({int(missing.sum())} such). Write 0 "
            "where nothing was held, and leave out rows that nobody knows, from every series alike."
        )
    # An account that owed more than it had is worth nothing from then on, and earns nothing.
    beyond = (values < -1.0) & (np.abs(values).cumsum(axis=0)[-1] > np.abs(values).cumsum(axis=0))
    if beyond.any():
        row, column = np.argwhere(beyond)[0]
        raise DataError(
            f"{what}: the return at {panel.index[row]} is {values[row, column]:g}, a loss of more than all, and others "
            "follow. Returns are fractions: 0.01 is 1 %. Divide percent by 100."
        )
    levels = (len(values) >= _ENOUGH_LEVELS) & (values.min(axis=0) > 0.0) & (np.median(values, axis=0) > _HALF_A_LEVEL)
    if levels.any():
        raise DataError(
            f"{what}: no row loses and the median one earns {100.0 * np.median(values, axis=0)[levels][0]:,.0f} %, so "
            "these are prices, wealth or percent. Give simple returns per row as fractions, such as "
            "wealth.pct_change().shift(-1).iloc[:-1], where each is dated by the instant from which it was earned."
        )


def judged(
    returns: pd.Series,
    *,
    benchmarks: pd.DataFrame,
    labels: pd.DataFrame,
    regimes_of: str,
    periods_per_year: float,
    trials: int | pd.DataFrame | None,
    minimum_bars: int,
    level: float,
    n_boot: int,
    block: float | None,
    seed: int,
    turnover: pd.Series | None = None,
    weights: pd.DataFrame | None = None,
    trades: pd.DataFrame | None = None,
) -> Judgement:
    """Judge checked returns, with the regime of each row at hand; parameters as in `judge` and `performance`.

    ``benchmarks`` has one column each; ``cash`` is shown but not regressed on.
    """
    years = float(periods_per_year)
    values = returns.to_numpy(dtype=float)
    figures = performance(values, periods_per_year=years, turnover=turnover, weights=weights, trades=trades)
    estimate = sharpe_estimate(values, periods_per_year=years, n_boot=n_boot, level=level, block=block, seed=seed)
    chance, superior = _search(values, figures, estimate, trials, returns.index, years, n_boot, block, seed)
    tables = []
    for definition in labels.columns:
        table = regime_table(
            returns,
            labels[definition],
            periods_per_year=years,
            n_boot=n_boot,
            level=level,
            seed=seed,
            minimum_bars=minimum_bars,
            block=block,
            turnover=turnover,
            trades=trades,
        )
        table.insert(0, "definition", str(definition))
        tables.append(table)
    return Judgement(
        returns=returns,
        benchmarks=benchmarks,
        periods_per_year=years,
        performance=figures,
        sharpe=estimate,
        chance=chance,
        superior=superior,
        reach=reach(figures, values, periods_per_year=years, level=level, significance=chance["significance_left"]),
        drawdowns=_dated(deepest_drawdowns(values), returns.index),
        labels=labels,
        regimes=pd.concat(tables, ignore_index=True),
        regimes_of=regimes_of,
        relative=held_against(returns, benchmarks, periods_per_year=years),
    )


def causal_labels(market: pd.Series, last_closed: np.ndarray, preset: RegimePreset) -> pd.DataFrame:
    """Label rows by trend and volatility of a market, from what was known when each was decided."""
    # A market that lost everything has no logarithm; the labels pass such a row over like one without trading.
    solvent = market.where(market > -1.0)
    trend = trend_regime(solvent, last_closed, lookback=preset.trend_lookback, k=preset.trend_threshold)
    volatility = volatility_regime(
        solvent, last_closed, lookback=preset.volatility_lookback, warm_up=preset.trend_lookback
    )
    return pd.DataFrame({"trend": np.asarray(trend), "volatility": np.asarray(volatility)}, index=market.index)


def on_instants(series: pd.Series, what: str) -> pd.Series:
    """Return a series whose index holds instants in UTC that increase.

    Raises
    ------
    DataError
        If it is no such thing, or empty.
    """
    if not isinstance(series, pd.Series):
        raise DataError(f"{what}: expected a Series, got {type(series).__name__}. Give one column with its instants.")
    return series.set_axis(utc_instants(series.index, what))


def utc_instants(index: pd.Index, what: str) -> pd.DatetimeIndex:
    """Return an index as instants in UTC that increase; errors as in `on_instants`."""
    if not isinstance(index, pd.DatetimeIndex):
        raise DataError(f"{what}: the index holds {index.dtype}, not instants. Index it by instants with a time zone.")
    if index.tz is None:
        raise DataError(
            f"{what}: the instants have no time zone. Say with tz_localize which one they are in; dates of sessions "
            "are no instants yet, they begin when the exchange opens."
        )
    if not len(index):
        raise DataError(f"{what}: there are no rows. Give at least one.")
    if index.hasnans:
        raise DataError(f"{what}: row {int(np.argmax(index.isna()))} has no instant. Date it or leave it out.")
    if not (index.is_monotonic_increasing and index.is_unique):
        later = int(np.argmax(np.diff(index.asi8) <= 0)) + 1
        raise DataError(f"{what}: instants do not increase at row {later} ({index[later]}). Sort them, each once.")
    return index.tz_convert("UTC").as_unit("us")


def span(returns: pd.Series) -> str:
    """Say how many rows there are, and from when to when."""
    return f"{counted(len(returns), 'row')}, {returns.index[0]:%Y-%m-%d} to {returns.index[-1]:%Y-%m-%d} (UTC)"


def _on_the_same(series: pd.Series, index: pd.Index, what: str) -> pd.Series:
    other = on_instants(series, what)
    _same_instants(other.index, index, what)
    return other


def _same_instants(mine: pd.Index, index: pd.Index, what: str) -> None:
    if mine.equals(index):
        return
    apart = mine.symmetric_difference(index)
    if len(apart) == len(mine) + len(index):
        raise DataError(
            f"{what}: not one of its {len(mine)} instants is one of the returns'; it runs from {mine[0]} to "
            f"{mine[-1]}, they from {index[0]} to {index[-1]}. Date both by the instants at which the same bars open."
        )
    raise DataError(
        f"{what}: {len(mine)} rows, returns {len(index)}; {len(apart)} instants are in one only, first {apart[0]}. "
        "Judge both on the rows they share."
    )


def _search(
    values: np.ndarray,
    figures: Mapping[str, Any],
    estimate: SharpeEstimate,
    trials: int | pd.DataFrame | None,
    index: pd.Index,
    years: float,
    n_boot: int,
    block: float | None,
    seed: int,
) -> tuple[dict[str, Any], StepwiseSharpe | None]:
    """Say what the attempts that the returns were picked from leave of their Sharpe ratio."""
    number: int | None = None
    effective = luck = superior = panel = None
    if isinstance(trials, pd.DataFrame):
        _same_instants(utc_instants(trials.index, "trials"), index, "trials")
        check_returns(trials, "trials")
        others = trials.to_numpy(dtype=float, na_value=np.nan)
        # A panel of all attempts holds the judged one as well, which is still one attempt.
        panel = np.column_stack([values, others[:, (others != values[:, None]).any(axis=0)]])
        number, found = panel.shape[1], effective_trials(panel, seed=seed)
        effective, luck = found.number, found.benchmark
        if (panel.std(axis=0) > 0.0).any():
            level = 1.0 - estimate.level
            superior = stepwise_sharpe(panel, level=level, n_boot=n_boot, block=block, seed=seed)
    elif trials is not None:
        if not isinstance(trials, int | np.integer) or isinstance(trials, bool):
            got = repr(trials) if np.ndim(trials) == 0 else type(trials).__name__
            raise ConfigError(f"trials must be a whole number or a DataFrame of returns, got {got}.")
        number = int(trials)
        check_at_least("trials", number, 1)
        # What chance alone gives the Sharpe ratio of one worthless attempt of this length.
        variance = variance_inflation(values) / (len(values) - 1) if figures["sharpe"] is not None else 0.0
        effective, luck = float(number), expected_maximum_sharpe(number, variance)
    left = after_attempts(
        estimate.p_value,
        panel=values[:, None] if panel is None else panel,
        n_trials=number or 1,
        significance=1.0 - estimate.level,
        n_boot=n_boot,
        block=block,
        seed=seed,
    )
    return {
        "n_trials": number,
        "adjusted_p_value": None if number is None else left.adjusted_p_value,
        "significance_left": left.significance_left,
        "effective_trials": effective,
        "luckiest_sharpe": None if luck is None else luck * math.sqrt(years),
        **beyond_luck(figures, values, luck=luck, periods_per_year=years),
    }, superior


def _dated(drawdowns: pd.DataFrame, index: pd.Index) -> pd.DataFrame:
    """Add the instants of the bars."""
    for edge in ("start", "trough", "recovery"):
        bars = drawdowns[f"{edge}_bar"]
        drawdowns[edge] = pd.Series(
            [pd.NaT if pd.isna(bar) else index[int(bar)] for bar in bars], index=bars.index, dtype="datetime64[us, UTC]"
        )
    return drawdowns
