"""Forecasts and returns before a knowledge cutoff against those after it: what a model was worth where it may remember.

An edge fades of itself, so a loss at the cutoff is doubt, never proof; regimes that both sides have, and a reader that
cannot remember on the same rows, take the market's part of the difference out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from embargo.backtest.arguments import check_periods_per_year
from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import AuditVerdict, aware_instant, moment, utc_array
from embargo.backtest.leakage.memory.days import (
    Forecasts,
    Resampled,
    Statistic,
    check_resampling,
    correlation,
    first_day_after,
    products,
    read_forecasts,
    resample,
    share,
)
from embargo.backtest.leakage.memory.result import DOUBT, FEWEST_DAYS, Probe, ProbeResult
from embargo.backtest.significance.series import checked_returns
from embargo.data_loaders.errors import DataError

# Days of a regime on either side from which it counts as matched.
FEWEST_MATCHED = 20

_REMEDY = (
    "Trust the figures after the cutoff alone, or take a model whose cutoff lies before the test; a masked text that "
    "keeps the difference speaks for the market, one that loses it for memory."
)
_SPLIT = Probe("M1", CHECKS["check_cutoff_split"].title, "information coefficient before less after", _REMEDY, "A loss")
_ALPHA = Probe("M9", CHECKS["check_alpha_decay"].title, "alpha per year before less after", _REMEDY, "A loss")
_UNDECLARED = "Nobody says until when the model's knowledge reaches, so there is nothing to split at."


def check_cutoff_split(
    forecasts: pd.DataFrame,
    cutoff: pd.Timestamp | None,
    *,
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> ProbeResult:
    """Split forecasts at the declared knowledge cutoff and compare what they were worth on either side (M1).

    Measured on both sides: the information coefficient (correlation of the score with the rank of the return), the
    share of forecasts on the right side, and the mean return in the direction of the forecast. Days are resampled in
    blocks, each side for itself. The difference of the information coefficients judges: from 3.5 standard errors it is
    suspicious.

    Silent on: memory that helps on both sides alike (a cutoff declared too early), and on differences that the days at
    hand cannot show; ``figures["detectable"]`` is the smallest that would be doubted.

    Parameters
    ----------
    forecasts : DataFrame
        One row per article, or per symbol and bar: ``at`` (UTC, the opening of the bar whose return is earned),
        ``score`` (signed) and ``earned`` (return over the horizon as a fraction; net of the market where there are many
        symbols). With ``regime``, the label of the market on that day, sides are compared within the regimes that have
        20 days on both, each weighted by the fewer of its days. With ``baseline``, the score of a reader that cannot
        remember, its information coefficient is taken off on both sides.
    cutoff : Timestamp or None
        Declared knowledge cutoff (UTC); rows at or after it are after. None where nobody says.
    level : float
        Of the intervals.
    n_boot : int
        Resamples of the days, at least 100.
    seed : int
        Of the resamples.

    Returns
    -------
    ProbeResult
        ``effect`` is the information coefficient before less that after. ``figures`` hold ``ic_before``, ``ic_after``,
        ``ic_difference``, the same of ``accuracy`` and ``earned``, each with ``_low`` and ``_high``; ``n_before``,
        ``n_after``, ``days_before``, ``days_after`` and ``detectable``. Where a side has no day to compare, the numbers
        of forecasts and days alone.

    Raises
    ------
    DataError
        If columns are missing or instants are naive.
    ConfigError
        If a setting is out of range.

    References
    ----------
    Benhenda (2026), "Look-Ahead-Bench", arXiv 2601.13770, for matched periods on either side of the cutoff; Sarkar and
    Vafa (2024), "Lookahead Bias in Pretrained Language Models", for why.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage.memory import check_cutoff_split
    >>> rng, at = np.random.default_rng(0), pd.date_range("2020-01-01", periods=600, tz="UTC")
    >>> cutoff, earned = at[300], rng.normal(0.0, 0.02, 600)
    >>> recalls = np.where(at < cutoff, np.sign(earned), rng.choice([-1.0, 1.0], 600))
    >>> found = check_cutoff_split(pd.DataFrame({"at": at, "score": recalls, "earned": earned}), cutoff)
    >>> found.verdict, round(found.figures["accuracy_before"], 2)
    ('suspicious', 1.0)
    """
    check_resampling(level, n_boot, seed)
    columns = ["earned", "score", *(["baseline"] if "baseline" in forecasts else [])]
    read = read_forecasts(forecasts, columns, where="forecasts at the cutoff")
    if cutoff is None or pd.isna(cutoff):
        return _SPLIT.unproven(_UNDECLARED, remedy=_REMEDY)
    instant = aware_instant(cutoff, what="knowledge cutoff")
    after = read.instants >= first_day_after(instant)
    n_before, n_after = (int(np.isin(read.frame["day"], np.flatnonzero(side)).sum()) for side in (~after, after))
    if not n_before:
        said = f"All {n_after} forecasts are for days after the cutoff of {moment(instant)}{read.aside()}."
        return _SPLIT.answer("pass", said, None, None, {}) if n_after else _SPLIT.unasked(said)
    first = np.unique(read.frame["day"], return_index=True)[1]
    sides = _sides(after, read.frame["regime"].iloc[first] if "regime" in read.frame else None)
    figures = {"n_before": float(n_before), "n_after": float(n_after)}
    if not all(sides.days()):
        said = sides.nothing("days", instant, read.aside())
        return _SPLIT.unproven(said, figures | sides.counts(), _REMEDY)
    found = {
        name: sides.compare(sums, statistic, n_boot=n_boot, seed=seed)
        for name, (sums, statistic) in _measures(read).items()
    }
    for name, (before, later) in found.items():
        figures |= _named(name, before, later, level)
    before, later = found["ic"]
    over = " beyond the baseline's" if len(columns) == 3 else ""
    said = (
        f"Information coefficient{over} {before.value:.3f} on {n_before} forecasts before {moment(instant)} and "
        f"{later.value:.3f} on {n_after} after; on the right side {figures['accuracy_before']:.1%} and "
        f"{figures['accuracy_after']:.1%}{sides.said}{read.aside()}."
    )
    return _judged(_SPLIT, said, before.minus(later), sides, figures, level)


def check_alpha_decay(
    returns: pd.Series,
    benchmark: pd.Series,
    cutoff: pd.Timestamp,
    *,
    periods_per_year: float,
    regimes: pd.Series | None = None,
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> ProbeResult:
    """Compare the alpha of a strategy before and after a knowledge cutoff (M9).

    Alpha is the return beyond the benchmark's, bar by bar. With buy-and-hold as the benchmark and two stretches of
    like markets this is what Look-Ahead-Bench measures; with the returns of a strategy on a reader that cannot remember
    (a word list) it is the difference in differences. From 3.5 standard errors a loss at the cutoff is suspicious.

    Silent on: memory that did not pay, and alpha that fades for other reasons, which looks the same.

    Parameters
    ----------
    returns : Series, shape (bars,)
        Net simple returns of the strategy, indexed by the opening of the bar (UTC).
    benchmark : Series, shape (bars,)
        Returns to beat, on the same index.
    cutoff : Timestamp
        Knowledge cutoff (UTC).
    periods_per_year : float
        Bars in a year.
    regimes : Series, shape (bars,), optional
        Label of the market in each bar; sides are then compared within the labels that have 20 bars on both.
    level : float
        Of the interval.
    n_boot : int
        Resamples of the bars, at least 100.
    seed : int
        Of the resamples.

    Returns
    -------
    ProbeResult
        ``effect`` is the alpha before less that after, as a fraction per year. ``figures`` hold ``alpha_before``,
        ``alpha_after``, ``alpha_difference`` with ``_low`` and ``_high``, and ``points_before`` and ``points_after``:
        compounded return less that of the benchmark over the whole side, as Look-Ahead-Bench states it. Where a side
        has no bar to compare the verdict is "inconclusive", and there are no such figures.

    Raises
    ------
    DataError
        If the series differ in their index, or lack values.
    ConfigError
        If a setting is out of range.

    References
    ----------
    Benhenda (2026), "Look-Ahead-Bench: a Standardized Benchmark of Look-ahead Bias in Point-in-Time LLMs for Finance",
    arXiv 2601.13770: alpha is the return less that of buy-and-hold, its decay the later alpha less the earlier.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage.memory import check_alpha_decay
    >>> at = pd.date_range("2020-01-01", periods=500, tz="UTC")
    >>> market = pd.Series(np.random.default_rng(0).normal(0.0, 0.01, 500), index=at)
    >>> strategy = np.abs(market).where(at < at[250], -market)
    >>> check_alpha_decay(strategy, market, at[250], periods_per_year=365).verdict
    'suspicious'
    """
    check_resampling(level, n_boot, seed)
    check_periods_per_year(periods_per_year)
    if not returns.index.equals(benchmark.index) or not (regimes is None or regimes.index.equals(returns.index)):
        raise DataError("alpha decay: the series have different bars. Put them on one index.")
    own, theirs = checked_returns(returns, "alpha decay"), checked_returns(benchmark, "alpha decay, benchmark")
    index = pd.DatetimeIndex(returns.index)
    if index.tz is None:
        raise DataError("alpha decay: the bars have no time zone. Give them one, such as UTC.")
    instant = aware_instant(cutoff, what="knowledge cutoff")
    after = utc_array(index) >= np.datetime64(instant.tz_localize(None), "us")
    sides = _sides(after, regimes)
    if not all(sides.days()):
        return _ALPHA.unproven(sides.nothing("bars", instant), sides.counts(), _REMEDY)
    excess = np.column_stack([np.ones(len(own)), (own - theirs) * periods_per_year])
    before, later = sides.compare(excess, share, n_boot=n_boot, seed=seed)
    figures = _named("alpha", before, later, level)
    for name, side in (("points_before", ~after), ("points_after", after)):
        figures[name] = float(np.prod(1.0 + own[side]) - np.prod(1.0 + theirs[side]))
    said = (
        f"Alpha {before.value:+.1%} a year before {moment(instant)} and {later.value:+.1%} after "
        f"({figures['points_before']:+.1%} and {figures['points_after']:+.1%} in all){sides.said}."
    )
    return _judged(_ALPHA, said, before.minus(later), sides, figures, level)


@dataclass(frozen=True)
class _Sides:
    """Days before and after a cutoff, in regimes that both have.

    ``regime`` is the number of each day's, -1 where it has no counterpart; ``weights`` are those of the regimes.
    """

    after: np.ndarray
    regime: np.ndarray
    weights: np.ndarray
    said: str

    def days(self) -> tuple[int, int]:
        """Days compared on either side."""
        matched = self.regime >= 0
        return int((matched & ~self.after).sum()), int((matched & self.after).sum())

    def counts(self) -> dict[str, float]:
        """Days compared on either side, as figures."""
        before, after = self.days()
        return {"days_before": float(before), "days_after": float(after)}

    def nothing(self, what: str, instant: pd.Timestamp, aside: str = "") -> str:
        """Say that one side has nothing to compare."""
        before, after = self.days()
        return (
            f"Nothing is proven: {before} {what} before {moment(instant)} and {after} after can be "
            f"compared{self.said}; {FEWEST_DAYS} are needed on either side{aside}."
        )

    def compare(self, sums: np.ndarray, statistic: Statistic, *, n_boot: int, seed: int) -> tuple[Resampled, Resampled]:
        """Resampled a figure on either side from sums by day, as a weighted mean over the regimes."""
        regimes, width = len(self.weights), sums.shape[1]
        spread = np.zeros((len(sums), regimes, width))
        matched = np.flatnonzero(self.regime >= 0)
        spread[matched, self.regime[matched]] = sums[matched]

        def mean(flat: np.ndarray) -> np.ndarray:
            return np.asarray(statistic(flat.reshape(*flat.shape[:-1], regimes, width)) @ self.weights)

        flat, rngs = spread.reshape(len(sums), -1), np.random.default_rng(seed).spawn(2)
        before, later = (
            resample(flat[side & (self.regime >= 0)], mean, n_boot=n_boot, seed=rng)
            for side, rng in zip((~self.after, self.after), rngs, strict=True)
        )
        return before, later


def _sides(after: np.ndarray, regimes: pd.Series | None) -> _Sides:
    if regimes is None:
        return _Sides(after, np.zeros(len(after), dtype=np.int64), np.ones(1), "")
    labels, names = pd.factorize(regimes)
    numbers = range(len(names))
    fewer = np.array([min((after[labels == label]).sum(), (~after[labels == label]).sum()) for label in numbers])
    kept = [label for label in numbers if fewer[label] >= FEWEST_MATCHED]
    regime = np.full(len(labels), -1)
    for place, label in enumerate(kept):
        regime[labels == label] = place
    said = f", within {', '.join(str(names[label]) for label in kept) or 'no regime'}"
    lost = [str(names[label]) for label in numbers if label not in kept]
    if lost:
        said += f" (without {', '.join(lost)}, which has fewer than {FEWEST_MATCHED} days on one side)"
    weights = fewer[kept] / fewer[kept].sum() if kept else np.ones(0)
    return _Sides(after, regime, weights, said)


def _measures(read: Forecasts) -> dict[str, tuple[np.ndarray, Statistic]]:
    """Return the sums by day of each measure, and the statistic that makes the measure of them."""
    score, rank, earned = (read.frame[name].to_numpy(dtype=float) for name in ("score", "rank", "earned"))
    taken = (score != 0.0) & (earned != 0.0)
    right = taken & (np.sign(score) == np.sign(earned))
    measures: dict[str, tuple[np.ndarray, Statistic]] = {
        "ic": (read.sums(*products(score, rank)), correlation),
        "accuracy": (read.sums(taken.astype(float), right.astype(float)), share),
        "earned": (read.sums((score != 0.0).astype(float), np.sign(score) * earned), share),
    }
    if "baseline" in read.frame:
        theirs = products(read.frame["baseline"].to_numpy(dtype=float), rank)
        both = np.column_stack([measures["ic"][0], read.sums(*theirs)])
        measures["ic"] = (both, lambda sums: correlation(sums[..., :6]) - correlation(sums[..., 6:]))
    return measures


def _named(name: str, before: Resampled, after: Resampled, level: float) -> dict[str, float]:
    figures: dict[str, float] = {}
    for side, found in (("before", before), ("after", after), ("difference", before.minus(after))):
        low, high = found.interval(level)
        figures |= {f"{name}_{side}": found.value, f"{name}_{side}_low": low, f"{name}_{side}_high": high}
    return figures


def _judged(
    asked: Probe, said: str, difference: Resampled, sides: _Sides, figures: dict[str, float], level: float
) -> ProbeResult:
    days_before, days_after = sides.days()
    detectable = DOUBT * difference.error
    figures = figures | sides.counts() | {"z": difference.z, "detectable": detectable}
    if min(days_before, days_after) < FEWEST_DAYS or not detectable > 0.0:
        said += (
            f" Nothing is proven: {days_before} days before and {days_after} after, with scores and returns that vary, "
            f"are compared; {FEWEST_DAYS} are needed on either side."
        )
        return asked.unproven(said, figures, _REMEDY)
    told = difference.z >= DOUBT
    if told:
        said += f" The loss at the cutoff is {difference.z:.1f} standard errors."
    verdict: AuditVerdict = "suspicious" if told else "pass"
    return asked.answer(verdict, said, difference.value, difference.interval(level), figures)
