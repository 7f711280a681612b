"""What a run made and read in each regime, typed; a part of `embargo.research.records.metrics.Metrics`.

Every figure carries its label, unit and definition; what was not judged is None.
"""

from __future__ import annotations

from collections.abc import Mapping

from embargo.research.records.figures import Interval, figure, record


@record
class RegimeFigures:
    """What was made in one regime, as if its bars followed each other; figures are null where it was not judged."""

    n_bars: int = figure("Bars", "bars", "Bars in this regime.")
    share: float = figure("Share of time", "fraction", "Share of all bars.")
    sharpe: float | None = figure("Sharpe", "Sharpe ratio a year", "Sharpe ratio of this regime's bars.")
    low: float | None = figure("Lower end", "Sharpe ratio a year", "Lower end of its two-sided interval.")
    high: float | None = figure("Upper end", "Sharpe ratio a year", "Upper end of its two-sided interval.")
    p_value: float | None = figure("p, one-sided", "p-value", "For a true Sharpe ratio that is not positive.")
    p_value_holm: float | None = figure(
        "p (Holm), one-sided", "p-value", "The same, corrected for the number of regimes judged."
    )
    annual_return: float | None = figure("Return a year", "fraction a year", "Geometric mean return per year.")
    annual_volatility: float | None = figure("Volatility a year", "fraction a year", "Deviation of returns, per year.")
    max_drawdown: float | None = figure("Max drawdown", "fraction", "Worst fall from an earlier peak.")
    hit_rate: float | None = figure("Hit rate", "fraction", "Share of bars that gained, among bars with a return.")
    note: str = figure("Note", "text", "Why the regime was not judged or not tested; else empty.")
    n_spells: int = figure("Spells", "count", "Uninterrupted stretches of this regime.")
    mean_spell_bars: float = figure("Mean length", "bars", "Mean bars of such a stretch.")
    n_trades: int | None = figure("Trades", "count", "Trades opened in this regime.")
    trade_hit_rate: float | None = figure("Trades that gained", "fraction", "Share of those that gained.")
    total_return: float | None = figure("Total return", "fraction", "Growth over this regime's bars.")
    sortino: float | None = figure("Sortino ratio", "ratio", "Mean return over downside deviation, per year.")
    worst_bar: float | None = figure("Worst bar", "fraction", "Smallest return of a bar.")
    turnover_annual: float | None = figure("Turnover", "times a year", "Times the account is turned over, one way.")
    annual_return_low: float | None = figure("Return, lower end", "fraction a year", "Lower end of its interval.")
    annual_return_high: float | None = figure("Return, upper end", "fraction a year", "Upper end of its interval.")
    annual_volatility_low: float | None = figure("Volatility, lower end", "fraction a year", "Of its interval.")
    annual_volatility_high: float | None = figure("Volatility, upper end", "fraction a year", "Of its interval.")
    hit_rate_low: float | None = figure("Hit rate, lower end", "fraction", "Lower end of its interval.")
    hit_rate_high: float | None = figure("Hit rate, upper end", "fraction", "Upper end of its interval.")


@record
class RegimePair:
    """The difference between the Sharpe ratios of two regimes."""

    first: str = figure("First", "text", "The regime that is compared.")
    second: str = figure("Second", "text", "The regime that it is compared with.")
    difference: float = figure("Difference", "Sharpe ratio a year", "Sharpe ratio of the first less the second.")
    low: float = figure("Lower end", "Sharpe ratio a year", "Lower end of the two-sided interval.")
    high: float = figure("Upper end", "Sharpe ratio a year", "Upper end of the two-sided interval.")
    p_value: float = figure("p, two-sided", "p-value", "For equal Sharpe ratios.")
    p_value_holm: float = figure("p (Holm), two-sided", "p-value", "The same, corrected for the number of pairs.")


@record
class RegimeEquality:
    """Whether the Sharpe ratio is the same in all regimes of a definition."""

    statistic: float | None = figure("Wald statistic", "ratio", "Of all differences together.")
    p_value: float | None = figure(
        "p, two-sided", "p-value", "How often it is as large, whichever way they differ, where all are equal."
    )
    regimes: tuple[str, ...] = figure("Regimes", "text", "Those with enough bars to be judged.")
    left_out: tuple[str, ...] = figure("Left out", "text", "Those without.")
    pairs: tuple[RegimePair, ...] = figure("Pairs", "record", "The regimes two by two.")
    block_length: float | None = figure("Block length", "bars", "Mean block length of the stationary bootstrap.")
    note: str = figure("Note", "text", "Why there is no test; else empty.")


@record
class RegimeMove:
    """How often one regime follows another from bar to bar."""

    source: str = figure("From", "text", "Regime of a bar.")
    target: str = figure("To", "text", "Regime of the bar after.")
    count: int = figure("Moves", "count", "Bars of the source that the target follows.")
    probability: float | None = figure("Probability", "probability", "Their share of the source's bars.")


@record
class RegimeReading:
    """How well the articles were read that first reached a bar of one regime."""

    n: int = figure("Articles", "count", "Labelled articles.")
    accuracy: float | None = figure("Accuracy", "fraction", "Share read rightly.")
    accuracy_interval: Interval | None = figure("Interval", "fraction", "Interval of the accuracy.")
    macro_f1: float | None = figure("Macro F1", "ratio", "Mean of the classes' F1.")
    macro_f1_interval: Interval | None = figure("Interval", "ratio", "Interval of the macro F1.")


@record
class Stress:
    """What the strategy made in a stretch of stress that was named with hindsight."""

    window: str = figure("Stress", "text", "Name of the stretch.")
    market: str = figure("Market", "text", "Whose stress it was: shares or crypto.")
    first: str = figure("First day", "UTC day", "First day of the stretch.")
    last: str = figure("Last day", "UTC day", "Last day of the stretch.")
    fact: str = figure("What happened", "text", "One fact about it.")
    n_bars: int = figure("Bars", "bars", "Test bars in it.")
    covered: float = figure("Covered", "fraction", "Share of its days between the first and the last test bar.")
    total_return: float | None = figure("Strategy", "fraction", "Growth of the account over those bars.")
    max_drawdown: float | None = figure("Max drawdown", "fraction", "Worst fall from an earlier peak in it.")
    worst_bar: float | None = figure("Worst bar", "fraction", "Smallest return of a bar.")
    market_return: float | None = figure("Market", "fraction", "Growth of the equal-weighted universe of this run.")


@record
class ByRegime:
    """What was made in each regime, and whether that differs."""

    regimes: Mapping[str, Mapping[str, RegimeFigures]] = figure(
        "Regimes", "record", "What was made, by definition and regime.", default_factory=dict
    )
    regime_equality: Mapping[str, RegimeEquality] = figure(
        "Sharpe ratio across regimes", "record", "Whether it is equal, by definition.", default_factory=dict
    )
    regime_transitions: Mapping[str, tuple[RegimeMove, ...]] = figure(
        "How regimes follow each other", "record", "Moves from bar to bar, by definition.", default_factory=dict
    )
    stress: tuple[Stress, ...] = figure(
        "Times of stress", "record", "Stretches that the test bars cover, in order of time.", default=()
    )
    regime_classification: Mapping[str, Mapping[str, RegimeReading]] = figure(
        "Reading by regime", "record", "How the articles were read, by definition and regime.", default_factory=dict
    )
