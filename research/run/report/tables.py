"""The tables of a report beside its metrics: what was paid, what chance would have done, and how regimes differ.

Each is made of a run's `Metrics` alone and holds ready texts; what a figure is called comes from where it is declared.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from embargo.backtest.metrics import break_even_interval
from embargo.backtest.regimes import UNLABELLED
from embargo.backtest.significance import holm
from embargo.backtest.significance.shape import MOST_DRIFT, MOST_MEMORY, MOST_SKEW
from embargo.research.pages import formats
from embargo.research.pages.tables import ReportTable
from embargo.research.records.by_regime import (
    RegimeEquality,
    RegimeFigures,
    RegimeMove,
    RegimePair,
    RegimeReading,
    Stress,
)
from embargo.research.records.cutoff import CutoffSide
from embargo.research.records.data_faults import WithoutBars
from embargo.research.records.figures import labels_of
from embargo.research.records.frictions import CostPaid
from embargo.research.records.metrics import (
    BestOfAttempts,
    Drawdown,
    GrowingWindow,
    MeanReturn,
    Metrics,
    RandomTimes,
    Relative,
    Sample,
    SharpeStandardErrors,
    ShuffledNews,
    Tails,
    TradeFigures,
)

_BROKEN = {
    "dates": "When it was said: blocks of dates shuffled",
    "shift": "When it was said: all dates shifted alike",
    "symbols": "About whom: symbols exchanged",
    "signs": "Which way: good and bad exchanged in random blocks",
}
_HELD = ("borrow", "interest", "funding")
_NAMES = {
    "turning_points": "turning points",
    "lunde_timmermann_ex_post": "Lunde-Timmermann, ex post",
    "pagan_sossounov_ex_post": "Pagan-Sossounov, ex post",
    "markov": "Markov switching",
    "markov_ex_post": "Markov switching, ex post",
    "labels_ex_post": "labels, ex post",
}


def tables_of(metrics: Metrics, regimes: pd.DataFrame | None = None) -> list[ReportTable]:
    """Return the tables that these metrics have something for, in the order in which they are read.

    ``regimes`` are the labels of the run's bars, shape (bars, definitions), that falls are set beside.
    """
    made = (
        _either_side(metrics),
        costs_table(metrics),
        _drawdowns(metrics, regimes),
        _relative(metrics),
        _trades(metrics),
    )
    return [table for table in made if table.rows]


def without_table(metrics: Metrics) -> ReportTable | None:
    """Set the figures of a run beside those without the bars that checks of its data mark; None where none are."""
    kept = {code: fault.without for code, fault in (metrics.data_faults or {}).items() if fault.without is not None}
    if not kept:
        return None
    shown = [(f"without those of {code}", without) for code, without in kept.items()]
    if metrics.without_bad_bars is not None and len(kept) > 1:
        shown.append(("without those of all bad checks", metrics.without_bad_bars))
    whole = (formats.MISSING, formats.MISSING, *_three(metrics))
    rows = [
        (name, formats.count(each.n_left_out), formats.percent(each.share_left_out), *_three(each))
        for name, each in shown
    ]
    note = (
        "The same weights once more, with nothing earned or lost over a bar that begins or ends at a marked price. "
        "What models, lookbacks and regimes had read of these prices is not undone."
    )
    head = (
        "Result",
        *labels_of(WithoutBars, "n_left_out", "share_left_out", "sharpe", "total_return", "max_drawdown"),
    )
    return ReportTable("What hangs on the bars at fault", note, head, (("as reported", *whole), *rows))


def _three(found: Metrics | WithoutBars) -> tuple[str, str, str]:
    return formats.ratio(found.sharpe), formats.percent(found.total_return), formats.percent(found.max_drawdown)


def chance_tables_of(metrics: Metrics) -> list[ReportTable]:
    """Return the tables that say what chance would have done, what was tried, and what the sample could have shown."""
    made = (_permutations(metrics), _chance(metrics), attempts_table(metrics), _sample(metrics))
    return [table for table in made if table.rows]


def regime_tables_of(metrics: Metrics) -> list[ReportTable]:
    """Return the tables that these metrics have something for, in the order in which they are read."""
    made = (_equality(metrics), _pairs(metrics), _reading(metrics), _transitions(metrics), _stress(metrics))
    return [table for table in made if table.rows]


def name_of(definition: str) -> str:
    """Name a definition of regimes in words; the words "ex post" mark those that look back.

    Examples
    --------
    >>> name_of("markov_ex_post")
    'Markov switching, ex post'
    """
    return _NAMES.get(definition, definition.replace("_", " "))


def _either_side(metrics: Metrics) -> ReportTable:
    """Set what was made before the base's knowledge cutoff beside what was made after it."""
    split = metrics.either_side
    if split is None:
        return ReportTable("Before and after the knowledge cutoff", "", (), ())
    note = (
        f"The base model knows text until {split.cutoff[:16].replace('T', ' ')} UTC, as stated: what was made before "
        "may be remembered, so only what was made after counts. The leakage audit compares the two (M1, M9)."
    )
    rows = [
        (
            name,
            formats.count(side.n_bars),
            formats.count(side.n_articles),
            formats.ratio(side.sharpe),
            formats.interval((side.sharpe_low, side.sharpe_high)),
            formats.coefficient(side.information_coefficient),
            formats.interval((side.information_coefficient_low, side.information_coefficient_high), "coefficient"),
        )
        for name, side in (("before", split.before), ("after", split.after))
    ]
    interval = f"{metrics.level:.0%} interval"
    bars, articles, sharpe, coefficient = labels_of(
        CutoffSide, "n_bars", "n_articles", "sharpe", "information_coefficient"
    )
    head = ("Side", bars, articles, sharpe, interval, coefficient, interval)
    return ReportTable("Before and after the knowledge cutoff", note, head, tuple(rows))


def costs_table(metrics: Metrics) -> ReportTable:
    """Return what was paid by kind, and in its note what trading might cost; no rows where nothing was traded."""
    paid = metrics.costs_paid
    shown = [part for part in paid if part != "total" and round(paid[part].currency, 2)]
    note = " ".join(_bearable(metrics))
    if not (shown or note):
        return ReportTable("Costs and capacity", "", (), ())
    per_turnover = {part: paid[part].per_turnover for part in shown if part not in _HELD}
    traded = [fraction for fraction in per_turnover.values() if fraction is not None]
    # What holding cost is no price of trading: the total of that column is the total of what stands in it.
    per_turnover["total"] = sum(traded) if traded else None
    rows = [
        (
            part,
            formats.number(round(paid[part].currency, 0 if abs(paid[part].currency) >= 100 else 2)),
            _fine(paid[part].per_year),
            _basis_points(per_turnover.get(part)),
        )
        for part in [*sorted(shown, key=lambda part: part in _HELD), "total"]
    ]
    head = ("Paid for", *labels_of(CostPaid, "currency", "per_year", "per_turnover"))
    return ReportTable("Costs and capacity", note, head, tuple(rows))


def _bearable(metrics: Metrics) -> list[str]:
    """Say what trading might cost and how much money the strategy might run, taking its return at face value."""
    spare, room = metrics.break_even_cost, metrics.capacity
    sentences: list[str] = []
    if spare is not None and spare <= 0.0:
        sentences.append("It would have lost even if trading had cost nothing.")
    elif spare is not None:
        sentences.append(
            f"Trading could cost {formats.count(1e4 * spare)} bp of what is traded before nothing is left"
            f"{_spare_interval(metrics, spare)}."
        )
    if room is None:
        return sentences
    if room.equity_break_even is not None and room.equity_most_profit is not None:
        sentences.append(
            "Taking the return at face value, its own impact under the square-root law would eat it at an equity of "
            f"about {_rounded(room.equity_break_even)}; most money is made at "
            f"{_rounded(room.equity_most_profit)}."
        )
        if metrics.mean.low is not None and metrics.mean.low <= 0.0:
            sentences.append("The interval of the mean return holds zero: that there is room for any is not shown.")
    if room.equity_at_participation is not None:
        sentences.append(
            f"Up to an equity of {_rounded(room.equity_at_participation)}, 95 % of the orders stay below "
            f"{100 * room.participation:g} % of the volume."
        )
    if room.orders_without_volume:
        left_out, orders = formats.count(room.orders_without_volume), formats.count(room.orders)
        sentences.append(f"{left_out} of {orders} orders had no known volume and are left out of this.")
    return sentences


def _spare_interval(metrics: Metrics, spare: float) -> str:
    """Print what the interval of the mean return leaves of a break-even cost; nothing where that is not known."""
    mean, turnover = metrics.mean, metrics.turnover
    if mean.mean is None or mean.low is None or mean.high is None or turnover is None:
        return ""
    ends = break_even_interval(spare, turnover, mean=mean.mean, low=mean.low, high=mean.high)
    if ends is None:
        return ""
    printed = formats.interval((1e4 * ends[0], 1e4 * ends[1]), "count")
    return f" ({mean.level:.0%} interval {printed}, by that of the mean return)"


def _drawdowns(metrics: Metrics, regimes: pd.DataFrame | None) -> ReportTable:
    rows = tuple(
        (
            formats.percent(row.depth),
            _day(row.start),
            _day(row.trough),
            "not yet" if row.recovery is None else _day(row.recovery),
            formats.count(row.length_bars),
            *(() if regimes is None else (fell_in(regimes, row.start, row.trough),)),
        )
        for row in metrics.drawdowns
    )
    head = labels_of(Drawdown, "depth", "start", "trough", "recovery", "length_bars")
    if regimes is None:
        return ReportTable("Deepest drawdowns", "", head, rows)
    note = (
        "Regimes are those of most bars from start to trough, with their share: a fall within one regime is a way to "
        "lose, falls in all of them are none. Five falls are few: no share here is tested."
    )
    return ReportTable("Deepest drawdowns", note, (*head, "Fell in"), rows)


def fell_in(regimes: pd.DataFrame, start: str | None, trough: str | None) -> str:
    """Name the regime of most bars from a start to a trough, by each definition, with its share.

    Examples
    --------
    >>> import pandas as pd
    >>> bars = pd.date_range("2024-01-01", periods=4, tz="UTC")
    >>> labels = pd.DataFrame({"trend": ["bull", "bear", "bear", "bull"]}, index=bars)
    >>> fell_in(labels, "2024-01-01T00:00:00+00:00", "2024-01-03T00:00:00+00:00")
    'trend: bear 67%'
    """
    if start is None or trough is None:
        return ""
    fall = regimes.loc[pd.Timestamp(start) : pd.Timestamp(trough)]
    told = []
    for definition in fall.columns:
        share = fall[definition].dropna().value_counts(normalize=True, sort=True)
        if len(share):
            told.append(f"{name_of(str(definition))}: {share.index[0]} {share.iloc[0]:.0%}")
    return "; ".join(told)


def _relative(metrics: Metrics) -> ReportTable:
    rows = []
    for name, figures in metrics.relative.items():
        if figures.alpha_annual is None or metrics.sharpe is None:
            continue
        error = figures.alpha_standard_error
        spread = formats.MISSING if error is None else f"± {formats.percent(error)}"
        rows.append(
            (
                name.replace("_", " "),
                formats.percent(figures.alpha_annual),
                spread,
                formats.probability(figures.alpha_p_value),
                formats.probability(figures.alpha_p_value_holm),
                formats.ratio(figures.beta),
                formats.percent(figures.tracking_error),
                formats.ratio(figures.information_ratio),
            )
        )
    note = (
        "Alpha is what is left of the strategy's return once its exposure to the benchmark is taken off; its standard "
        "error allows for autocorrelation and changing volatility (Newey and West). p (Holm) allows for the number of "
        "benchmarks, of which one may be beaten by chance."
    )
    shown = ("alpha_annual", "alpha_standard_error", "alpha_p_value", "alpha_p_value_holm", "beta")
    head = ("Against", *labels_of(Relative, *shown, "tracking_error", "information_ratio"))
    return ReportTable("Against the benchmarks", note, head, tuple(rows))


def _permutations(metrics: Metrics) -> ReportTable:
    found = metrics.permutations
    if metrics.sharpe is None:  # it never held anything, and neither did its draws
        return ReportTable("The news broken on purpose", "", (), ())
    corrected = holm([result.p_value for result in found.values()])
    rows = tuple(
        (
            _BROKEN[way],
            formats.ratio(result.null_mean),
            formats.ratio(result.null_quantiles["0.95"]),
            formats.ratio(result.observed),
            formats.probability(result.p_value),
            formats.probability(p_holm),
        )
        for (way, result), p_holm in zip(found.items(), corrected, strict=True)
    )
    drawn = found["dates"]
    what = f"blocks of {drawn.block} bar{'s' * (drawn.block != 1)}"
    note = (
        f"The market stays as it was. Each way rearranges the news {drawn.n_permutations:,} times, in {what}, "
        "and walks the whole path from signal to books again. The verdict rests on the first row. The last column "
        "allows for the number of rows (Holm)."
    )
    mean, strategy, p_value = labels_of(ShuffledNews, "null_mean", "observed", "p_value")
    head = ("What of the news is broken", mean, "95% of draws below", strategy, p_value, "p (Holm), one-sided")
    return ReportTable("The news broken on purpose", note, head, rows)


def attempts_table(metrics: Metrics) -> ReportTable:
    """Return what the result is worth beside everything tried on its window; no rows for a first attempt."""
    title, best, growing = "Beside everything tried on this window", metrics.best_of_attempts, metrics.growing_window
    if metrics.n_trials + metrics.trials_elsewhere < 2 or metrics.sharpe is None:
        return ReportTable(title, "", (), ())
    names = ("n_trials", "adjusted_p_value", "significance_left", "effective_trials", "luckiest_sharpe")
    tried, adjusted, left, worth, luckiest = labels_of(Metrics, *names)
    probabilistic, deflated = labels_of(Metrics, "probabilistic_sharpe", "deflated_sharpe")
    partial, elsewhere = labels_of(Metrics, "n_partial", "trials_elsewhere")
    rows = [
        (tried, formats.count(metrics.n_trials)),
        (partial, formats.count(metrics.n_partial)),
        (elsewhere, formats.count(metrics.trials_elsewhere)),
        (adjusted, formats.probability(metrics.adjusted_p_value)),
        (left, formats.probability(metrics.significance_left)),
        (worth, formats.ratio(metrics.effective_trials)),
        (luckiest, formats.ratio(metrics.luckiest_sharpe)),
        (f"{probabilistic}: 1 − p, one-sided, against zero", formats.probability(metrics.probabilistic_sharpe)),
        (f"{deflated}: 1 − p, one-sided, against that luckiest one", formats.probability(metrics.deflated_sharpe)),
    ]
    if growing is not None:
        p_value, found = labels_of(GrowingWindow, "p_value", "detectable_sharpe")
        told = f"{growing.looks} looks at a growing window, newest judged at {growing.rows:,} bars"
        rows += [
            (f"{p_value}, one-sided: holds whenever one stops looking ({told})", formats.probability(growing.p_value)),
            (found, formats.ratio(growing.detectable_sharpe)),
        ]
    if best is not None:
        smallest, together = labels_of(BestOfAttempts, "p_value", "superior")
        rows += [(smallest, formats.probability(best.p_value)), (together, formats.count(best.superior))]
    return ReportTable(title, "", ("Figure", "Value"), tuple(rows))


def _sample(metrics: Metrics) -> ReportTable:
    title, mean, errors = "What a sample of this length can say", metrics.mean, metrics.sharpe_errors
    if metrics.sharpe is None:
        return ReportTable(title, "", (), ())
    low, high = formats.percent(mean.low), formats.percent(mean.high)
    plain = formats.interval((metrics.sharpe_low_percentile, metrics.sharpe_high_percentile))
    needed, per_year = metrics.required_bars, metrics.bars_per_year
    years = formats.MISSING if needed is None else f"{formats.ratio(needed / per_year)} years"
    names = ("detectable_sharpe", "required_bars", "sharpe_aggregated", "sharpe_errors")
    detectable, long_enough, aggregated, error = labels_of(Metrics, *names)
    mean_return, p_value = labels_of(MeanReturn, "mean", "p_value")
    normal, moments, hac = labels_of(SharpeStandardErrors, "normal", "moments", "hac")
    sample = metrics.sample
    skew, largest, drift, memory, moving, unseen = labels_of(
        Sample, "skew_term", "largest_share", "drift", "memory", "moving_share", "unseen_loss"
    )
    rows = (
        (detectable, formats.ratio(metrics.detectable_sharpe)),
        ("Length of this sample", f"{formats.ratio(metrics.n_bars / per_year)} years"),
        (long_enough, years),
        (aggregated, formats.ratio(metrics.sharpe_aggregated)),
        ("Interval of the plain Sharpe ratio, by percentiles of resamples", plain),
        (mean_return, f"{formats.percent(mean.mean)} ({low} to {high})"),
        (p_value, formats.probability(mean.p_value)),
        (f"{error}, {normal}", formats.ratio(errors.normal)),
        (f"… {moments}", formats.ratio(errors.moments)),
        (f"… {hac}", formats.ratio(errors.hac)),
        (f"{skew} (tests known to hold up to {MOST_SKEW})", formats.ratio(sample.skew_term)),
        (largest, formats.percent(sample.largest_share)),
        (f"{drift} (known up to {MOST_DRIFT})", formats.ratio(sample.drift)),
        (f"{memory}: block length over the root of the bars (known up to {MOST_MEMORY})", formats.ratio(sample.memory)),
        (moving, formats.percent(sample.moving_share)),
        (f"{unseen}, had it come once in a third of the sample", formats.percent(sample.unseen_loss)),
    )
    note = f"Size not known to hold here: {'; '.join(sample.doubts)}." if sample.doubts else ""
    return ReportTable(title, note, ("Figure", "Value"), rows)


def _chance(metrics: Metrics) -> ReportTable:
    found = metrics.random_timing
    if found is None or found.gross_kept is None:  # it never held anything, and neither did its draws
        return ReportTable("Random timing", "", (), ())
    quantiles = found.sharpe_quantiles
    head = (
        "Random timing",
        *(f"{float(share):.0%}" for share in quantiles),
        *labels_of(RandomTimes, "sharpe", "share_beaten", "p_value"),
    )
    figures = [formats.ratio(value) for value in quantiles.values()]
    row = (
        "Sharpe ratio",
        *figures,
        formats.ratio(found.sharpe),
        formats.percent(found.share_beaten),
        formats.probability(found.p_value),
    )
    bars = f"{found.block} bar{'s' * (found.block != 1)}"
    note = (
        f"The strategy's own positions held at {found.n_draws:,} random times, in blocks of {bars}, "
        "at the same costs: quantiles of what that earns, and the share of it that the strategy beats."
    )
    return ReportTable("Random timing", note, head, (row,))


def _trades(metrics: Metrics) -> ReportTable:
    trades, tails = metrics.trades, metrics.tails
    title, note, facts = "Trades and tails", "", []
    if not metrics.n_trades:
        return ReportTable(title, "", (), ())
    if trades is None:
        note = 'The kernel\'s books keep no single trades; with execution.engine = "vectorbt" they stand here too.'
    else:
        shown = ("n_trades", "hit_rate", "mean_return", "mean_bars", "profit_factor")
        number, gained, mean, length, factor = labels_of(TradeFigures, *shown)
        facts += [
            (number, formats.count(trades.n_trades)),
            (gained, formats.percent(trades.hit_rate)),
            (mean, _fine(trades.mean_return)),
            (length, formats.ratio(trades.mean_bars)),
            (factor, formats.ratio(trades.profit_factor)),
        ]
    risk, shortfall = labels_of(Tails, "value_at_risk", "expected_shortfall")
    facts += [
        (f"{risk}, {tails.level:.0%}", _fine(tails.value_at_risk)),
        (f"{shortfall}, {tails.level:.0%}", _fine(tails.expected_shortfall)),
    ]
    return ReportTable(title, note, ("Figure", "Strategy"), tuple(facts))


def _equality(metrics: Metrics) -> ReportTable:
    tests = metrics.regime_equality
    adjusted = holm([test.p_value for test in tests.values()])
    rows = tuple(
        (
            name_of(definition),
            ", ".join(test.regimes) or formats.MISSING,
            ", ".join(test.left_out) or "none",
            formats.ratio(test.statistic),
            formats.probability(test.p_value),
            formats.probability(corrected),
        )
        for (definition, test), corrected in zip(tests.items(), adjusted, strict=True)
    )
    note = (
        "Whether the Sharpe ratio is the same in all regimes of a definition. p is how often "
        "differences as large arise where there are none, from resampled pairs of return and label; p (Holm) allows "
        "for the number of definitions. A small p says that the strategy depends on the regime, not that it earns in "
        "any of them."
    )
    untested = [f"{name_of(definition)} ({test.note})" for definition, test in tests.items() if test.note]
    note += f" No p: {'; '.join(untested)}." if untested else ""
    names = ("regimes", "left_out", "statistic", "p_value")
    head = ("Is the Sharpe ratio equal?", *labels_of(RegimeEquality, *names), "p (Holm), two-sided")
    return ReportTable("Sharpe ratio across regimes", note, head, rows)


def _pairs(metrics: Metrics) -> ReportTable:
    rows = tuple(
        (
            f"{name_of(definition)}: {pair.first} less {pair.second}",
            formats.ratio(pair.difference),
            formats.interval((pair.low, pair.high)),
            formats.probability(pair.p_value),
            formats.probability(pair.p_value_holm),
        )
        for definition, test in metrics.regime_equality.items()
        for pair in test.pairs
    )
    note = (
        f"Differences of annual Sharpe ratios with {metrics.level:.0%} intervals; p (Holm) allows for all the pairs "
        "of a definition."
    )
    difference, p_value, corrected = labels_of(RegimePair, "difference", "p_value", "p_value_holm")
    head = ("Pair", difference, "Interval", p_value, corrected)
    return ReportTable("Differences between regimes", note, head, rows)


def _reading(metrics: Metrics) -> ReportTable:
    rows = tuple(
        (
            f"{name_of(definition)}: {regime}",
            formats.count(cell.n),
            formats.percent(cell.accuracy),
            formats.interval(cell.accuracy_interval, "percent"),
            formats.ratio(cell.macro_f1),
            formats.interval(cell.macro_f1_interval),
        )
        for definition, cells in metrics.regime_classification.items()
        for regime, cell in cells.items()
        if regime != UNLABELLED
    )
    note = "How well the articles were read in each regime, that of the bar an article first reached."
    names = ("n", "accuracy", "accuracy_interval", "macro_f1", "macro_f1_interval")
    head = ("Reading by regime", *labels_of(RegimeReading, *names))
    return ReportTable("Reading by regime", note, head, rows)


def _transitions(metrics: Metrics) -> ReportTable:
    rows: list[tuple[str, ...]] = []
    for definition, moves in metrics.regime_transitions.items():
        for regime in dict.fromkeys(move.source for move in moves):
            if regime == UNLABELLED:
                continue
            cell = metrics.regimes[definition][regime]
            rows.append(
                (
                    f"{name_of(definition)}: {regime}",
                    formats.count(cell.n_spells),
                    formats.number(round(cell.mean_spell_bars, 1)),
                    _next(moves, regime),
                )
            )
    note = "How long a regime lasts, in bars, and what follows the bar after: chances from the counts in brackets."
    head = ("Regime", *labels_of(RegimeFigures, "n_spells", "mean_spell_bars"), "Next bar")
    return ReportTable("How regimes follow each other", note, head, tuple(rows))


def _next(moves: Sequence[RegimeMove], source: str) -> str:
    texts = [
        f"{move.target} {formats.percent(move.probability)} ({formats.count(move.count)})"
        for move in moves
        if move.source == source and move.count
    ]
    return ", ".join(texts) or formats.MISSING


def _stress(metrics: Metrics) -> ReportTable:
    rows = tuple(
        (
            f"{row.window} ({row.market})",
            f"{row.first} to {row.last}" + ("" if row.covered >= 1.0 else f", {row.covered:.0%} covered"),
            formats.count(row.n_bars),
            formats.percent(row.total_return),
            formats.percent(row.max_drawdown),
            formats.percent(row.worst_bar),
            formats.percent(row.market_return),
            row.fact,
        )
        for row in metrics.stress
    )
    note = (
        "What the strategy made in stretches that were named with hindsight. Each is one event: too few bars for any "
        "test. The market is the equal-weighted universe of this run."
    )
    shown = ("n_bars", "total_return", "max_drawdown", "worst_bar", "market_return", "fact")
    head = (*labels_of(Stress, "window"), "Days", *labels_of(Stress, *shown))
    return ReportTable("Times of stress", note, head, rows)


def _fine(fraction: float | None) -> str:
    return formats.MISSING if fraction is None else f"{100 * fraction:z.2f}%".replace("-", "−")


def _basis_points(fraction: float | None) -> str:
    return formats.MISSING if fraction is None else f"{formats.basis_points(fraction)} bp"


def _rounded(amount: float) -> str:
    """Print an amount of money to two digits: no more is known of it."""
    if amount >= 1e15:
        return "more than 1,000 trillion"
    amount = float(f"{amount:.2g}")
    for size, name in ((1e12, " trillion"), (1e9, " billion"), (1e6, " million"), (1e3, " thousand")):
        if amount >= size:
            return f"{amount / size:g}{name}"
    return f"{amount:g}"


def _day(instant: str | None) -> str:
    return formats.MISSING if instant is None else instant[:10]
