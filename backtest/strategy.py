"""One's own weights or one's own signal, traded through the books of a run and judged as a run is.

Costs are charged unless they are set to 0 by name, and no row is shifted, filled in or left out: what does not fit the
bars of the prices is refused.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal

import numpy as np
import pandas as pd

from embargo.backtest import display
from embargo.backtest.arguments import check_type
from embargo.backtest.books.costs import Costs
from embargo.backtest.books.execution import Execution, dead_rows, fill_conditions
from embargo.backtest.books.simulation import Books, holding_returns, simulate
from embargo.backtest.display import Figure, counted, decimal, money, percent
from embargo.backtest.judgement import Judgement, causal_labels, check_judging, judged, span, utc_instants
from embargo.backtest.leakage.accounts import check_books, check_fills
from embargo.backtest.leakage.causality import LATENCY
from embargo.backtest.leakage.declarations import check_costs, check_latency
from embargo.backtest.leakage.exclusions import check_exclusions
from embargo.backtest.leakage.execution import check_lag_decay
from embargo.backtest.leakage.exposure import check_exposure
from embargo.backtest.leakage.findings import Finding
from embargo.backtest.leakage.selection import check_attempts
from embargo.backtest.metrics import break_even_interval
from embargo.backtest.paid import frictions
from embargo.backtest.regimes import RegimePreset, market_returns
from embargo.backtest.rivals import benchmark_returns
from embargo.backtest.significance import SharpeEstimate
from embargo.data_loaders.calendars import (
    ROUND_THE_CLOCK,
    bars_per_year,
    decision_times,
    last_closed_bar,
    sessions,
    zone_of,
)
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import Prices, check_numbers, utc_microseconds, validate_prices
from embargo.signals.weights import WeightSettings, to_weights, tradable_mask, trailing_risk

# Whoever dates rows anew must not move what was made from a close to the open before it.
_WHERE_ROWS_BELONG = (
    "Row t is what is held from the open of bar t: what was made from the close of a bar belongs to a later one, the "
    "first that is decided after it, and is dated by the open_at of that. Hold what makes it to assert_causal."
)
# Orders that were not filled, or not in full, by what they met.
_UNFILLED = {
    "blocked": "blocked",
    "dead_bar": "on bars without trade",
    "rejected": "rejected",
    "clipped": "clipped",
    "capped": "capped",
}
_LONGEST_SESSION_STEP = pd.Timedelta(days=4)
_ONE_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True, eq=False, repr=False)
class Backtest:
    """What a strategy did, paid and earned, and what that is worth.

    Attributes
    ----------
    weights : DataFrame, shape (bars, symbols)
        Targets that were traded, fractions of equity; index ``open_at`` (UTC).
    books : Books
        Of the account: returns, equity, orders, trades, turnover, realised weights and what could not be filled.
    asset_returns : DataFrame, shape (bars, symbols)
        What each symbol earned from one fill to the next, fraction.
    frictions : dict
        ``costs_paid``, ``break_even_cost`` and ``capacity``; see `embargo.backtest.metrics`.
    findings : tuple of Finding
        What weights, prices, books, costs and latency tell of leaks. They cannot tell where weights came from:
        `assert_causal`, and `embargo.audit` of the function that makes them, do.
    judgement : Judgement
        Of the net returns, held against buy and hold, equal weight and cash at the same costs.
    costs : Costs
    execution : Execution

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest import backtest
    >>> from embargo.data_loaders.schemas import Prices
    >>> at = pd.date_range('2024-01-01', periods=60, freq='D', tz='UTC')
    >>> close = pd.DataFrame({'BTC': [100.0 + day % 7 for day in range(60)]}, index=at)
    >>> prices = Prices(close, close, close, close, close, at, at + pd.Timedelta(days=1), calendar='24/7')
    >>> result = backtest(close * 0.0 + 0.5, prices, engine='kernel', n_boot=200)
    >>> len(result.books.orders), result.findings[2].verdict, list(result.benchmarks)
    (60, 'pass', ['buy_and_hold', 'equal_weight', 'cash'])
    """

    weights: pd.DataFrame
    books: Books
    asset_returns: pd.DataFrame
    frictions: dict[str, Any]
    findings: tuple[Finding, ...]
    judgement: Judgement
    costs: Costs
    execution: Execution

    @property
    def returns(self) -> pd.Series:
        """Net return of each row, fraction."""
        return self.books.returns

    @property
    def turnover(self) -> pd.Series:
        """One-way turnover of each row, fraction of equity."""
        return self.books.turnover

    @property
    def benchmarks(self) -> pd.DataFrame:
        """Net returns of buy and hold, equal weight and cash on the same rows, fraction."""
        return self.judgement.benchmarks

    @property
    def performance(self) -> dict[str, Any]:
        """Figures of the net returns, as in `embargo.backtest.metrics.performance`."""
        return self.judgement.performance

    @property
    def sharpe(self) -> SharpeEstimate:
        """Annual Sharpe ratio with its interval and p-value."""
        return self.judgement.sharpe

    @property
    def regimes(self) -> pd.DataFrame:
        """How it fared by trend and volatility of the market, as known when each row was decided."""
        return self.judgement.regimes

    @property
    def title(self) -> str:
        """What was traded, in one line."""
        return f"Backtest of {counted(self.weights.shape[1], 'symbol')} on {span(self.returns)}"

    def figures(self) -> list[Figure]:
        """Return the lines that it shows."""
        return [*self.judgement.figures(), *self._traded(), *(_told(finding) for finding in self.findings)]

    def _traded(self) -> list[Figure]:
        held, paid, bearable = (
            self.performance,
            self.frictions["costs_paid"]["total"],
            self.frictions["break_even_cost"],
        )
        counts = {name: self.books.counts[f"{name}_orders"] for name in _UNFILLED}
        unfilled = "".join(f", {count:,} {_UNFILLED[name]}" for name, count in counts.items() if count)
        bears = "" if bearable is None else f"; it would bear {10_000.0 * bearable:.0f}{self._spare(bearable)}"
        if bearable is not None and bearable <= 0.0:
            bears = "; it earned nothing before them either"
        return [
            Figure(
                "Turnover a year",
                decimal(held["turnover_annual"], 1),
                f"gross exposure {percent(held['exposure_gross'])}, {len(self.books.orders):,} orders{unfilled}",
            ),
            Figure(
                "Costs a year",
                percent(paid["per_year"], 2),
                f"{10_000.0 * self.costs.rate:g} basis points of what is traded{bears}",
            ),
            Figure(
                "Capacity",
                money(self.frictions["capacity"]["equity_break_even"]),
                "equity at which impact eats the edge, by order of magnitude",
            ),
        ]

    def _spare(self, bearable: float) -> str:
        """Write the interval of a break-even cost in basis points, by that of the mean return."""
        mean, turnover = self.judgement.reach["mean"], self.performance["turnover_annual"]
        if mean["mean"] is None or mean["low"] is None or turnover is None:
            return ""
        ends = break_even_interval(bearable, turnover, mean=mean["mean"], low=mean["low"], high=mean["high"])
        if ends is None:
            return ""
        return f" ({100.0 * mean['level']:g} % interval {10_000.0 * ends[0]:.0f} to {10_000.0 * ends[1]:.0f})"

    def __repr__(self) -> str:
        return display.as_text(self.title, self.figures())

    def _repr_html_(self) -> str:
        return display.as_html(self.title, self.figures(), self.returns.to_numpy(dtype=float))


def backtest(
    weights: pd.DataFrame,
    prices: Prices,
    *,
    weighting: WeightSettings | None = None,
    costs: Costs = Costs(),  # noqa: B008 - frozen
    execution: Execution = Execution(),  # noqa: B008 - frozen
    funding: pd.DataFrame | None = None,
    trials: int | pd.DataFrame | None = None,
    latency: pd.Timedelta = LATENCY,
    periods_per_year: float | None = None,
    preset: RegimePreset = RegimePreset(),  # noqa: B008 - frozen
    initial_cash: float = 1_000_000.0,
    engine: Literal["vectorbt", "kernel"] = "vectorbt",
    level: float = 0.95,
    n_boot: int = 2000,
    block: float | None = None,
    seed: int = 0,
) -> Backtest:
    """Trade one's own weights, or one's own signal, and judge what came of it.

    Row t is what is held from the open of bar t. It is already shifted, and nobody shifts it again: it may use what was
    known ``latency`` before that open, such as the close of bar t - 1 (of bar t - 2 round the clock, where a bar closes
    when the next one opens). Weights made from bar t's own close are a leak, and no backtest can see where weights came
    from: hold the function that makes them to `embargo.backtest.leakage.assert_causal`.

    Parameters
    ----------
    weights : DataFrame, shape (bars, symbols)
        Targets as fractions of equity, negative is short, none missing, gross at most ``execution.leverage``; with
        ``weighting``, a signal in [-1, 1]. The index holds opening instants of bars of ``prices`` that follow one
        another without a gap, the columns its symbols.
    prices : Prices
        Bars of the same symbols. Those before the weights are history for volumes and regimes.
    weighting : WeightSettings, optional
        Says that ``weights`` is a signal, and how it becomes weights (`embargo.signals.weights`). Symbols that had no
        price in the newest closed bar are not held.
    costs : Costs
        By default those of a run: 5 basis points of commission and 5 of half spread each way, 0.5 % a year on shorts.
    execution : Execution
        By default at the open, without leverage.
    funding : DataFrame, shape (bars, symbols), optional
        Funding rates of perpetuals on the rows of the weights; as in `simulate`.
    trials : int or DataFrame, optional
        Attempts these weights were picked from; as in `judge`.
    latency : Timedelta
        Between decision and open; five minutes by default. It says which bars had closed.
    periods_per_year : float, optional
        Bars in a year; by default from the calendar and the usual step between bars.
    preset : RegimePreset
        Look-backs of the regimes.
    initial_cash : float
        In the currency of the prices.
    engine : {"vectorbt", "kernel"}
        Who keeps the books of record. The compiled kernel's are the same and sooner there, without single trades.
    level : float
        Confidence of the intervals, in [0.5, 1).
    n_boot : int
        Bootstrap resamples, at least 100.
    block : float, optional
        Mean length of their blocks in rows; by default the automatic choice of Politis and White.
    seed : int
        Of all resampling.

    Returns
    -------
    Backtest

    Warns
    -----
    UserWarning
        If the Sharpe ratio is one that no honest strategy has, and gone after one bar of delay.

    Raises
    ------
    DataError
        If weights are missing or dated by other instants than the bars open at, symbols differ, or prices are unsound.
    ConfigError
        If gross exposure exceeds the leverage or a setting is out of range.
    TypeError
        If costs, execution or the like are something else.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest import backtest
    >>> from embargo.data_loaders.schemas import Prices
    >>> at = pd.date_range("2024-01-01", periods=120, freq="D", tz="UTC")
    >>> steps = np.random.default_rng(5).normal(0.0, 0.02, (120, 2))
    >>> close = pd.DataFrame(100.0 * np.exp(steps.cumsum(axis=0)), index=at, columns=["BTC", "ETH"])
    >>> opens = close.shift(1).fillna(100.0)
    >>> prices = Prices(opens, close, close, close, close, at, at + pd.Timedelta(days=1), calendar="24/7")
    >>> follow = np.sign(close.pct_change(5)).shift(2).fillna(0.0) / 2
    >>> result = backtest(follow, prices, engine="kernel", n_boot=200)
    >>> round(result.performance["total_return"], 4), round(result.sharpe.sharpe, 2)
    (0.1891, 2.22)
    >>> print(str(result).splitlines()[0])
    Backtest of 2 symbols on 120 rows, 2024-01-01 to 2024-04-29 (UTC)
    """
    prices = validate_prices(prices)
    check_type("costs", costs, Costs, "Write Costs(fee=0.0005, slippage=0.0005) of embargo.backtest, fractions.")
    check_type("execution", execution, Execution, "Write Execution(fill='close') of embargo.backtest or the like.")
    if weighting is not None:
        check_type("weighting", weighting, WeightSettings, "Write WeightSettings(method='sign') or the like.")
    check_type("latency", latency, timedelta, "Write pd.Timedelta(minutes=5) or the like.")
    check_judging(periods_per_year, preset=preset, n_boot=n_boot, level=level, block=block, seed=seed)
    if funding is not None:
        check_type("funding", funding, pd.DataFrame, "Give a column for each symbol of the prices.")
        check_numbers(funding, where="funding")
        if np.isinf(funding.to_numpy(dtype=float)).any():
            raise DataError("funding: a rate is infinite. Give rates as fractions, NaN where none was settled.")
    rows, panel = _placed(weights, prices, "signal" if weighting is not None else "weights")
    decided_at = decision_times(prices.open_at, latency)
    last_closed = last_closed_bar(prices.close_at, decided_at)
    bar = _usual_step(prices)
    years = _periods_per_year(prices, bar) if periods_per_year is None else periods_per_year
    if weighting is not None:
        panel = _weighted(panel, prices, rows, last_closed, weighting, years)
    opens, closes = prices.open.iloc[rows], prices.close.iloc[rows]
    volume, volatility = fill_conditions(prices, rows, last_closed, costs=costs, execution=execution)
    books = simulate(
        panel,
        opens,
        closes,
        open_at=prices.open_at[rows],
        costs=costs,
        execution=execution,
        volume=volume,
        volatility=volatility,
        funding=funding,
        dead=dead_rows(prices, rows),
        initial_cash=initial_cash,
        engine=engine,
    )
    fills = closes if execution.fill == "close" else opens
    asset_returns = holding_returns(fills, closes, stale_after=execution.stale_after)
    findings = (
        check_lag_decay(panel, asset_returns, periods_per_year=years),
        check_latency(latency, bar),
        check_costs(asdict(costs)),
        check_books(
            panel,
            books.returns,
            books.orders,
            fills,
            closes,
            initial_cash=initial_cash,
            half_spread=costs.slippage,
            funding=funding,
            apart=books.counts["beyond_tolerance"],
        ),
        check_fills(
            books.orders,
            prices.select(bars=np.arange(rows.start, rows.stop)),
            fill=execution.fill,
            half_spread=costs.slippage,
        ),
        check_exclusions(prices.select(bars=np.arange(rows.start, rows.stop)), _sessions(prices, rows, bar), gate={}),
        check_exposure(panel, asset_returns, periods_per_year=years),
    )
    if findings[0].verdict == "suspicious":
        warnings.warn(
            f"backtest: {findings[0].detail} {findings[0].remedy} assert_causal tests the function that makes them.",
            stacklevel=2,
        )
    judgement = judged(
        books.returns,
        benchmarks=benchmark_returns(fills, closes, costs=costs, stale_after=execution.stale_after),
        labels=causal_labels(market_returns(prices.close), last_closed, preset).iloc[rows],
        regimes_of="the market, all symbols equally weighted",
        periods_per_year=years,
        trials=trials,
        minimum_bars=preset.minimum_bars,
        level=level,
        n_boot=n_boot,
        block=block,
        seed=seed,
        turnover=books.turnover,
        weights=books.realised_weights,
        trades=books.trades,
    )
    return Backtest(
        weights=panel,
        books=books,
        asset_returns=asset_returns,
        frictions=frictions(
            books,
            prices,
            rows,
            last_closed,
            costs=costs,
            execution=execution,
            initial_cash=initial_cash,
            periods_per_year=years,
        ),
        findings=(*findings, _counted(judgement)),
        judgement=judgement,
        costs=costs,
        execution=execution,
    )


def _counted(judgement: Judgement) -> Finding:
    """Ask whether anybody says how many attempts the weights were picked from; of none of them a ledger knows here."""
    stated, p_value = judgement.chance["n_trials"], judgement.sharpe.p_value
    adjusted = judgement.chance["adjusted_p_value"] if stated is not None else p_value
    own = pd.DataFrame({"attempt": ["these weights"], "sharpe": judgement.sharpe.sharpe, "tuning": "", "own": True})
    return check_attempts(
        own,
        elsewhere=None if stated is None else stated - 1,
        p_value=p_value,
        adjusted_p_value=adjusted,
        significance=1.0 - judgement.sharpe.level,
    )


def _placed(weights: pd.DataFrame, prices: Prices, what: str) -> tuple[slice, pd.DataFrame]:
    """Find the bars that the rows stand for; return them with the panel on the labels of the prices."""
    if not isinstance(weights, pd.DataFrame):
        raise DataError(f"{what}: expected a DataFrame of shape (bars, symbols), got {type(weights).__name__}.")
    if isinstance(weights.index, pd.DatetimeIndex) and weights.index.tz is None:
        raise DataError(
            f"{what}: rows have no time zone, so nobody can tell which bars they are for. {_WHERE_ROWS_BELONG}"
        )
    instants = utc_instants(weights.index, what)
    places = prices.open_at.get_indexer(instants)
    if (places < 0).any():
        raise DataError(_astray(instants[places < 0], len(instants), prices, what))
    gaps = np.flatnonzero(np.diff(places) != 1)
    if len(gaps):
        after = int(places[gaps[0]])
        raise DataError(
            f"{what}: there is no row for the bar that opens at {prices.open_at[after + 1]}, between others that have "
            "one. Write a row for every bar; 0 holds nothing."
        )
    if isinstance(weights.columns, pd.MultiIndex):
        raise DataError(f"{what}: columns have {weights.columns.nlevels} levels. Keep the level of the symbols alone.")
    if weights.columns.has_duplicates:
        raise DataError(f"{what}: column {weights.columns[weights.columns.duplicated()][0]!r} stands twice. Keep one.")
    apart = sorted(map(str, weights.columns.symmetric_difference(prices.open.columns)))
    if apart:
        raise DataError(
            f"{what}: {counted(len(apart), 'symbol')} in the {what} or the prices only, first {apart[0]!r}. Take "
            "prices.select(symbols=...), or give symbols that are not held a column of 0."
        )
    check_numbers(weights, where=what)
    rows = slice(int(places[0]), int(places[-1]) + 1)
    return rows, weights[prices.open.columns].set_axis(prices.open_at[rows]).astype(float)


def _astray(instants: pd.DatetimeIndex, n: int, prices: Prices, what: str) -> str:
    where = f"{what}: {len(instants)} of {n} rows are dated by instants at which no bar of the prices opens"
    # Bars that never pause close when the next one opens, so that one row too many is no sign of closes.
    if 2 * len(instants) > n and instants.isin(prices.close_at).all():
        return f"{where}; {instants[0]} is when a bar closes. {_WHERE_ROWS_BELONG}"
    inside = prices.open_at[[0, -1]]
    outside = instants[(instants < inside[0]) | (instants > inside[1])]
    cut = " Cut what lies outside yourself, or give more prices." if len(outside) == len(instants) else ""
    return f"{where}, first {instants[0]}; they open from {inside[0]} to {inside[1]}.{cut} {_WHERE_ROWS_BELONG}"


def _usual_step(prices: Prices) -> pd.Timedelta:
    if len(prices.open_at) < 2:
        raise DataError("prices: one bar alone has no length. Give the bars before it too.")
    return pd.Timedelta(int(np.median(np.diff(utc_microseconds(prices.open_at)).astype(np.int64))), "us")


def _sessions(prices: Prices, rows: slice, bar: pd.Timedelta) -> pd.DatetimeIndex:
    """Return the openings that the exchange's calendar has for daily rows; other bars are taken to be all there."""
    held = prices.open_at[rows]
    if bar != _ONE_DAY:
        return held
    first, last = (instant.tz_convert(None).normalize() for instant in held[[0, -1]])
    try:
        opens = pd.DatetimeIndex(sessions(prices.calendar, first, last)["open_at"])
    except DataError:  # years of which the calendar records nothing
        return held
    return opens[(opens >= held[0]) & (opens <= held[-1])]


def _periods_per_year(prices: Prices, bar: pd.Timedelta) -> float:
    zone_of(prices.calendar)  # refuses a calendar that nobody knows, of prices made by hand
    if prices.calendar != ROUND_THE_CLOCK and bar >= _LONGEST_SESSION_STEP:
        raise ConfigError(f"prices: bars of {bar} are no sessions of {prices.calendar}. Pass periods_per_year.")
    return bars_per_year(prices.calendar, bar)


def _weighted(
    signal: pd.DataFrame, prices: Prices, rows: slice, last_closed: np.ndarray, weighting: WeightSettings, years: float
) -> pd.DataFrame:
    """Turn a signal into weights by the rule of a run."""
    beyond = np.argwhere(np.abs(signal.to_numpy()) > 1.0)
    if len(beyond):
        row, column = beyond[0]
        raise DataError(
            f"signal: {signal.columns[column]} at {signal.index[row]} is {signal.iloc[row, column]}. A signal lies in "
            "[-1, 1]; leave weighting out for weights."
        )
    risk = None
    if weighting.needs_risk:
        risk = trailing_risk(prices.close, last_closed, periods_per_year=years).rows(rows)
    return to_weights(signal, tradable_mask(prices.close, last_closed).iloc[rows], weighting, risk=risk)


def _told(finding: Finding) -> Figure:
    told = "" if finding.verdict == "pass" else f"{finding.detail} {finding.remedy}".rstrip()
    return Figure(f"{finding.code}, {finding.title.lower()}", finding.verdict, told)
