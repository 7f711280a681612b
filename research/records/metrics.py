"""Every figure of a run, typed: what ``metrics.json`` holds, with the label, unit and definition of each.

`Metrics` grows with the run: what was not measured yet, or does not exist, is None or empty. `docs/metrics.md` is made
from the declarations alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embargo.data_loaders.checks.check import Grade
from embargo.research.pages.status import Status
from embargo.research.records.by_regime import ByRegime
from embargo.research.records.classifier import Classification
from embargo.research.records.cutoff import EitherSide
from embargo.research.records.data_faults import DataFault, WithoutBars
from embargo.research.records.figures import as_json, figure, from_json, record, reference
from embargo.research.records.frictions import Frictions

_OPENING = """\
<!-- Made by: python -m embargo.research.records.metrics > docs/metrics.md -->

# The figures of a run

What `metrics.json` holds. Fractions are not percent; returns are simple and after costs; a figure that does not exist
is null.
"""


@record
class Tails:
    """Losses of single bars, counted positive."""

    level: float = figure("Level", "probability", "Share of bars with a smaller loss than the value at risk.")
    value_at_risk: float | None = figure(
        "Value at risk of a bar", "fraction", "Loss that a bar exceeds in one minus the level of cases."
    )
    expected_shortfall: float | None = figure(
        "Expected shortfall of a bar", "fraction", "Mean loss of the bars beyond the value at risk."
    )
    value_at_risk_cornish_fisher: float | None = figure(
        "Value at risk, Cornish-Fisher", "fraction", "The same from mean, deviation, skewness and kurtosis."
    )
    expected_shortfall_cornish_fisher: float | None = figure(
        "Expected shortfall, Cornish-Fisher", "fraction", "The same from mean, deviation, skewness and kurtosis."
    )
    tail_ratio: float | None = figure("Tail ratio", "ratio", "95 % quantile of returns over the size of the 5 % one.")


@record
class Performance:
    """What one series of returns made, whoever made it."""

    n_bars: int = figure("Bars", "bars", "Bars of the test windows.")
    total_return: float | None = figure(
        "Total return", "fraction", "Growth of the account over the test bars, after costs."
    )
    annual_return: float | None = figure(
        "Annual return", "fraction a year", "Geometric mean return per year, after costs."
    )
    annual_volatility: float | None = figure(
        "Annual volatility", "fraction a year", "Standard deviation of bar returns, per year."
    )
    sharpe: float | None = figure(
        "Sharpe ratio",
        "Sharpe ratio a year",
        "Mean over standard deviation of bar returns, per year; no risk-free rate taken off.",
    )
    sortino: float | None = figure(
        "Sortino ratio", "ratio", "Mean return over downside deviation below zero, per year."
    )
    calmar: float | None = figure("Calmar ratio", "ratio", "Annual return over the depth of the worst drawdown.")
    max_drawdown: float | None = figure(
        "Maximum drawdown", "fraction", "Worst fall of the account from an earlier peak."
    )
    longest_drawdown_bars: int = figure(
        "Longest drawdown", "bars", "Bars from a peak until it was reached again, or the end."
    )
    recovery_bars: int | None = figure(
        "Recovery", "bars", "Bars from the lowest point of the worst drawdown until its peak was reached again."
    )
    ulcer_index: float | None = figure("Ulcer index", "fraction", "Root mean square of the drawdown over all bars.")
    hit_rate: float | None = figure(
        "Hit rate", "fraction", "Share of bars with a return above zero, among bars with a return."
    )
    profit_factor: float | None = figure("Profit factor", "ratio", "Sum of the gains of bars over that of the losses.")
    payoff_ratio: float | None = figure("Payoff ratio", "ratio", "Mean gain of a bar over the mean loss of a bar.")
    losing_streak_bars: int = figure("Losing streak", "bars", "Most bars with a loss in a row.")
    skew: float | None = figure("Skewness", "ratio", "Skewness of bar returns.")
    kurtosis_raw: float | None = figure("Kurtosis", "ratio", "Kurtosis of bar returns; 3 for the normal distribution.")
    best_bar: float | None = figure("Best bar", "fraction", "Largest return of a bar.")
    worst_bar: float | None = figure("Worst bar", "fraction", "Smallest return of a bar.")
    tails: Tails = figure("Tails", "record", "Losses of single bars, and the tail ratio.")


@record
class TradeFigures:
    """What single trades made, from entry to exit; a position still open counts at its last value."""

    n_trades: int = figure("Round trips", "count", "Trades from entry to exit.")
    hit_rate: float | None = figure(
        "Round trips that gained", "fraction", "Share with a profit, among those with a profit or a loss."
    )
    profit_factor: float | None = figure(
        "Gains over losses of round trips", "ratio", "Sum of the profits over that of the losses, in currency."
    )
    payoff_ratio: float | None = figure("Payoff ratio", "ratio", "Mean profit over mean loss, in currency.")
    losing_streak: int = figure("Losing streak", "count", "Most losing trades in a row, in the order of their exits.")
    mean_return: float | None = figure(
        "Mean return of a round trip", "fraction", "Mean of profit over the money put in."
    )
    best_return: float | None = figure("Best trade", "fraction", "Largest profit over the money put in.")
    worst_return: float | None = figure("Worst trade", "fraction", "Smallest profit over the money put in.")
    mean_bars: float | None = figure("Mean length of a round trip, bars", "bars", "Mean bars from entry to exit.")


@record
class Discounted:
    """What a Sharpe ratio is worth beside everything else that was tried on its bars."""

    n_trials: int = figure(
        "Attempts", "count", "Attempts in the ledger on this window or an overlapping one, this run among them."
    )
    n_partial: int = figure(
        "Attempts on other windows that overlap", "count", "Those that share only a part of the bars or symbols."
    )
    trials_elsewhere: int = figure(
        "Attempts made elsewhere",
        "count",
        "Attempts with other tools on the same data, as statistics.trials_elsewhere says; each counts in full.",
    )
    effective_trials: float = figure(
        "Independent attempts they are worth", "count", "Attempts, those that move together counted for less."
    )
    trial_sharpe_variance: float = figure(
        "Variance of the attempts' Sharpe ratios", "Sharpe ratio a bar, squared", "How far the attempts lie apart."
    )
    luckiest_sharpe: float = figure(
        "Sharpe ratio of the luckiest of as many that vary alike, all worthless",
        "Sharpe ratio a year",
        "Expected largest Sharpe ratio of as many attempts that are worth nothing and vary as these do.",
    )
    probabilistic_sharpe: float | None = figure(
        "Probabilistic Sharpe ratio",
        "one less p",
        "One less the one-sided p of a true Sharpe ratio of 0 or less, by the moments of the returns.",
    )
    deflated_sharpe: float | None = figure(
        "Deflated Sharpe ratio",
        "one less p",
        "The same against the Sharpe ratio of the luckiest of as many worthless attempts as were made on these bars.",
    )
    adjusted_p_value: float | None = figure(
        "p of the Sharpe ratio after all attempts, one-sided",
        "p-value",
        "One-sided, for a true Sharpe ratio that is not positive, adjusted for every attempt on these bars.",
    )
    significance_left: float = figure(
        "Level left to one attempt",
        "probability",
        "Level at which a single test is as strict as all attempts together make this one.",
    )


@record
class MeanReturn:
    """The mean return with a t-test that allows for autocorrelation and changing variance."""

    mean: float | None = figure("Mean return a year", "fraction a year", "Arithmetic mean return per year.")
    standard_error: float | None = figure("Standard error", "fraction a year", "Standard error of that mean.")
    low: float | None = figure("Lower end", "fraction a year", "Lower end of the two-sided interval of the mean.")
    high: float | None = figure("Upper end", "fraction a year", "Upper end of the two-sided interval of the mean.")
    t: float | None = figure("t", "standard errors", "Mean over its standard error.")
    degrees_of_freedom: int | None = figure("Degrees of freedom", "count", "Of Student's t, which judges that ratio.")
    p_value: float | None = figure(
        "p of the mean, one-sided, allowing for autocorrelation",
        "p-value",
        "One-sided, for the null hypothesis that the true mean is not positive.",
    )
    n: int = figure("Bars", "bars", "Bars used.")
    level: float = figure("Level", "probability", "Confidence level of the interval.")


@record
class SharpeStandardErrors:
    """Standard errors of the Sharpe ratio under three sets of assumptions."""

    normal: float | None = figure(
        "independent normal returns (Lo)", "Sharpe ratio a year", "For independent, normally distributed returns."
    )
    moments: float | None = figure(
        "independent returns as skewed and fat-tailed as these",
        "Sharpe ratio a year",
        "For independent returns of any distribution.",
    )
    hac: float | None = figure(
        "allowing for autocorrelation and changing volatility too",
        "Sharpe ratio a year",
        "For returns that depend on each other and whose variance changes.",
    )


@record
class Sample:
    """Whether returns are of a kind on which the tests are known to hold their size."""

    skew_term: float | None = figure(
        "Skewness over the root of the bars", "ratio", "Where it is far from 0, a few bars carry the sample."
    )
    largest_share: float | None = figure(
        "Share of the three largest bars", "fraction", "Of the sum of squared deviations from the mean."
    )
    drift: float | None = figure(
        "Drift of the mean",
        "ratio",
        "Variance of swings slower than a quarter of the sample over what faster ones let expect; about 1 without.",
    )
    memory: float | None = figure("Memory", "ratio", "Automatic block length over the root of the number of bars.")
    moving_share: float = figure("Bars that moved", "fraction", "Share of bars on which something was earned or lost.")
    unseen_loss: float | None = figure(
        "Loss that would take the mean away",
        "fraction",
        "Loss of one bar that, had it come once in a third of the sample, would make the mean 0; samples like this one "
        "miss it in 5 % of cases. None without a gain.",
    )
    doubts: tuple[str, ...] = figure(
        "Size not known to hold here", "text", "Why the tests are not known to hold their size; empty where they are."
    )


@record
class Reach:
    """How far a sample of this length can see, and what else its mean and its Sharpe ratio are worth."""

    sample: Sample = figure("The sample itself", "record", "Whether the tests are known to hold their size on it.")
    mean: MeanReturn = figure("Mean return a year", "record", "Arithmetic mean return with its t-test.")
    sharpe_errors: SharpeStandardErrors = figure(
        "Standard error of the Sharpe ratio", "record", "Under three sets of assumptions."
    )
    sharpe_aggregated: float | None = figure(
        "Sharpe ratio a year, allowing for autocorrelation (Lo)",
        "Sharpe ratio a year",
        "Sharpe ratio of yearly returns, from the autocorrelations of bar returns.",
    )
    detectable_sharpe: float | None = figure(
        "Smallest true Sharpe ratio found with 80 % probability",
        "Sharpe ratio a year",
        "True Sharpe ratio that such a sample finds significant, after all attempts, in 80 % of cases.",
    )
    required_bars: float | None = figure(
        "Length at which a true Sharpe ratio like this is found with 80 % probability",
        "bars",
        "Bars at which a true Sharpe ratio like this one is significant, after all attempts, in 80 % of cases; none if "
        "it is not positive.",
    )


@record
class ShuffledNews:
    """The strategy against itself on news that were rearranged in one way."""

    observed: float = figure("Strategy", "Sharpe ratio a year", "Sharpe ratio on the news as they were.")
    p_value: float = figure("p, one-sided", "p-value", "Share of the draws that do as well.")
    null_mean: float = figure("Mean Sharpe of draws", "Sharpe ratio a year", "Mean over the draws.")
    null_sd: float = figure("Deviation of draws", "Sharpe ratio a year", "Standard deviation over the draws.")
    null_quantiles: Mapping[str, float] = figure("Quantiles of draws", "Sharpe ratio a year", "By probability.")
    n_permutations: int = figure("Draws", "count", "Number of draws.")
    block: int = figure("Block", "bars", "Length of the blocks that move together.")


@record
class GrowingWindow:
    """An experiment repeated as its window grew, with an answer that holds at whatever look one stops."""

    looks: int = figure("Looks", "count", "Windows that begin with the same bar, this one the longest.")
    judged: int = figure(
        "Looks judged", "count", "Those by which the window had grown by at least 1 % since the one before."
    )
    rows: int = figure(
        "Bars of the newest look judged", "bars", "Fewer than this run's where that grew by less than 1 %."
    )
    p_value: float = figure(
        "p over all looks",
        "p-value",
        "One-sided; the chance that it falls to a level at any look, past or future, is at most that level.",
    )
    statistic: float = figure("Statistic", "standard errors", "Of the newest look judged, from its own p-value.")
    bound: float = figure("Bound", "standard errors", "What that statistic has to reach at the level of the run.")
    detectable_sharpe: float = figure(
        "True Sharpe ratio found over these looks with 80 % probability",
        "Sharpe ratio a year",
        "What crosses a bound at one of the looks so far in 80 % of cases, for independent normal returns.",
    )


@record
class BestOfAttempts:
    """Whether the best of all attempts on this window earned anything."""

    best: int = figure("Best", "count", "Position of the attempt with the smallest p-value, from 0.")
    p_value: float = figure(
        "p of the best attempt, one-sided",
        "p-value",
        "Adjusted for all attempts, for the null hypothesis that no attempt has a true Sharpe ratio above 0.",
    )
    superior: int = figure(
        "Attempts better than cash, together (Romano and Wolf)", "count", "Those that the stepwise test finds better."
    )
    strategies: int = figure("Attempts", "count", "Attempts compared: those that traded often enough to be judged.")


@record
class RandomTimes:
    """The strategy against its own positions held at random times, at the same costs."""

    sharpe: float = figure("Strategy", "Sharpe ratio a year", "Sharpe ratio, computed as the draws are.")
    total_return: float = figure("Total return", "fraction", "Growth of the account, computed as the draws are.")
    share_beaten: float = figure("Beaten", "fraction", "Share of the draws with a smaller Sharpe ratio.")
    p_value: float = figure("p, one-sided", "p-value", "Share of the draws that do as well.")
    sharpe_quantiles: Mapping[str, float] = figure("Sharpe ratios of draws", "Sharpe ratio a year", "By probability.")
    total_return_quantiles: Mapping[str, float] = figure("Total returns of draws", "fraction", "By probability.")
    gross_kept: float | None = figure(
        "Exposure kept", "fraction", "Gross exposure of the draws over the strategy's; none if it never held anything."
    )
    shuffle: str = figure("Shuffled", "text", "What changes places: time or symbols.")
    block: int = figure("Block", "bars", "Length of the blocks that move together.")
    n_draws: int = figure("Draws", "count", "Number of draws.")


@record
class Drawdown:
    """One fall of the account from a peak."""

    depth: float = figure("Depth", "fraction", "Return from the peak to the lowest point.")
    length_bars: int = figure("Bars below", "bars", "Bars below the peak.")
    start: str | None = figure("From", "UTC instant", "Open of the first bar below the peak.")
    trough: str | None = figure("Lowest", "UTC instant", "Open of the bar with the lowest point.")
    recovery: str | None = figure("Recovered", "UTC instant", "Open of the first bar back at the peak, if any.")


@record
class Relative:
    """The strategy against one benchmark; errors allow for autocorrelation and changing variance."""

    excess_return_annual: float | None = figure("Excess return", "fraction a year", "Mean difference of returns.")
    tracking_error: float | None = figure("Tracking error", "fraction a year", "Deviation of that difference.")
    information_ratio: float | None = figure("Information ratio", "ratio", "Excess return over tracking error.")
    up_capture: float | None = figure("Up capture", "ratio", "Return over the benchmark's, on bars where it gained.")
    down_capture: float | None = figure("Down capture", "ratio", "The same on bars where it lost.")
    alpha_annual: float | None = figure("Alpha a year", "fraction a year", "Return left once beta's part is taken off.")
    alpha_standard_error: float | None = figure("Standard error", "fraction a year", "Of alpha.")
    alpha_t: float | None = figure("t", "standard errors", "Alpha over its standard error.")
    alpha_p_value: float | None = figure("p, two-sided", "p-value", "For an alpha of 0 against this benchmark.")
    alpha_p_value_holm: float | None = figure(
        "p (Holm), two-sided",
        "p-value",
        "The same, corrected for the number of benchmarks.",
        default=None,
        optional=True,
    )
    beta: float | None = figure("Beta", "ratio", "Return of the strategy for one of the benchmark.")
    beta_standard_error: float | None = figure("Standard error of beta", "ratio", "Of beta.")
    r_squared: float | None = figure("R squared", "fraction", "Share of the variance that the benchmark explains.")
    hac_lags: int | None = figure("Lags", "bars", "Lags of Newey and West's errors.")


@record
class TruthFigures:
    """What the simulated market knows of itself."""

    information_coefficient: float = figure(
        "Information coefficient", "ratio", "Correlation of true sentiment with the returns after it."
    )
    perfect_sharpe: float | None = figure(
        "Perfect reader", "Sharpe ratio a year", "Sharpe ratio of true sentiment, traded by the same rules."
    )
    perfect_sharpe_low: float | None = figure("Lower end", "Sharpe ratio a year", "Lower end of its interval.")
    perfect_sharpe_high: float | None = figure("Upper end", "Sharpe ratio a year", "Upper end of its interval.")


@record
class FusionFigures:
    """The models that joined news and market features."""

    models: tuple[Mapping[str, Any], ...] = figure("Models", "text", "Manifest of each, in the order of time.")
    counts: Mapping[str, int] = figure("Samples", "count", "Samples by what became of them.")


@record
class Metrics(Performance, Discounted, Reach, Frictions, ByRegime):
    """All figures of a run.

    Examples
    --------
    >>> from embargo.research.records import Metrics
    >>> from embargo.research.records.figures import figures_of
    >>> figures_of(Metrics)["turnover"].definition
    'Times the account is turned over in a year, one way.'
    """

    n_articles: int = figure("Articles", "count", "Articles read for the test bars.")
    n_trades: int = figure("Fills", "count", "Orders filled in the test bars.")
    n_symbols: int = figure("Symbols", "count", "Symbols that may be traded.")
    bars_per_year: float = figure("Bars a year", "bars a year", "Bars in a year of this calendar.")
    level: float = figure("Level", "probability", "Confidence level of the intervals.")
    turnover: float | None = figure("Turnover", "times a year", "Times the account is turned over in a year, one way.")
    exposure_gross: float | None = figure("Gross exposure", "fraction", "Mean of the absolute weights held.")
    exposure_net: float | None = figure("Net exposure", "fraction", "Mean of the signed weights held.")
    time_in_market: float | None = figure("Time in market", "fraction", "Share of bars with any position.")
    trades: TradeFigures | None = figure(
        "Trades", "record", "What single trades made; none where the books keep no trades, as the kernel's do not."
    )
    sharpe_low: float | None = figure(
        "Sharpe ratio, lower end", "Sharpe ratio a year", "Lower end of the studentised bootstrap interval."
    )
    sharpe_high: float | None = figure(
        "Sharpe ratio, upper end", "Sharpe ratio a year", "Upper end of the studentised bootstrap interval."
    )
    sharpe_low_percentile: float | None = figure(
        "Sharpe ratio, lower percentile", "Sharpe ratio a year", "Lower end of the plain percentile interval."
    )
    sharpe_high_percentile: float | None = figure(
        "Sharpe ratio, upper percentile", "Sharpe ratio a year", "Upper end of the plain percentile interval."
    )
    sharpe_p_value: float | None = figure(
        "p of the Sharpe ratio, one-sided",
        "p-value",
        "How often resamples show a Sharpe ratio this high where the true one is 0, as if nothing else had been tried.",
    )
    sharpe_standard_error: float | None = figure(
        "Sharpe ratio, standard error", "Sharpe ratio a year", "Allows for serial dependence, skew and fat tails."
    )
    bootstrap_block: float | None = figure("Bootstrap block", "bars", "Rows of a block of the bootstrap.")
    permutation_p_value: float = figure(
        "p of the news, one-sided", "p-value", "Share of news shuffled against dates that does as well."
    )
    permutations: Mapping[str, ShuffledNews] = figure(
        "Permutations", "record", "By what was broken: dates, shift, symbols or signs."
    )
    best_of_attempts: BestOfAttempts | None = figure(
        "Best of the attempts", "record", "Whether it earned anything; none for a single attempt.", default=None
    )
    growing_window: GrowingWindow | None = figure(
        "Growing window",
        "record",
        "Where an experiment was repeated as new bars came in; none for a first look.",
        default=None,
    )
    drawdowns: tuple[Drawdown, ...] = figure("Deepest drawdowns", "record", "The deepest first.", default=())
    random_timing: RandomTimes | None = figure(
        "Random timing", "record", "The strategy's positions held at random times.", default=None
    )
    relative: Mapping[str, Relative] = figure(
        "Against the benchmarks", "record", "By benchmark, cash left out.", default_factory=dict
    )
    max_weight_gap: float | None = figure(
        "Weight gap", "fraction", "Largest distance between a weight held and the one wanted.", default=None
    )
    benchmarks: Mapping[str, Performance] = figure(
        "Benchmarks", "record", "What each benchmark made on the same bars.", default_factory=dict
    )
    classification: Classification | None = figure(
        "Classifier", "record", "How the labelled articles were read; none without labels.", default=None
    )
    truth: TruthFigures | None = figure(
        "Truth", "record", "What a simulated market knows of itself.", default=None, optional=True
    )
    either_side: EitherSide | None = figure(
        "Either side of the cutoff",
        "record",
        "Before and after the knowledge cutoff of the base model; none where it does not divide the test.",
        default=None,
        optional=True,
    )
    fusion: FusionFigures | None = figure(
        "Fusion", "record", "The models that joined news and market.", default=None, optional=True
    )
    status: Status | None = figure(
        "Status", "text", "What the audit left of it: valid, caution or invalid.", default=None, optional=True
    )
    edge: bool | None = figure(
        "Edge", "yes or no", "Whether the run claims that the signal earns something.", default=None, optional=True
    )
    verdict: str | None = figure("Verdict", "text", "The answer in one line.", default=None, optional=True)
    data_verdict: Grade | None = figure(
        "Data",
        "text",
        "What the data are worth by the gravest check: clean, look or bad; none from before runs were asked.",
        default=None,
        optional=True,
    )
    data_faults: Mapping[str, DataFault] | None = figure(
        "Checks of the data that are not clean", "record", "By code of the check.", default=None, optional=True
    )
    without_bad_bars: WithoutBars | None = figure(
        "Without bad bars",
        "record",
        "Figures without the bars that bad checks mark; none where they mark none.",
        default=None,
        optional=True,
    )

    def to_dict(self) -> dict[str, Any]:
        """Return what ``metrics.json`` holds."""
        return as_json(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any], where: str = "metrics.json") -> Metrics:
        """Read what `to_dict` made.

        Parameters
        ----------
        found : mapping
        where : str
            Named by an error.

        Returns
        -------
        Metrics

        Raises
        ------
        DataError
            If a figure is unknown, missing or of another type than declared.
        """
        return from_json(cls, found, where)


def metrics_reference() -> str:
    """Write `docs/metrics.md`: label, unit and definition of every figure.

    Examples
    --------
    >>> metrics_reference().splitlines()[2]
    '# The figures of a run'
    """
    return reference(Metrics, _OPENING)


if __name__ == "__main__":
    print(metrics_reference(), end="")
