"""Whether a bare date forecasts a return, and whether forecasts are better where a date is recalled.

After Gao, Jiang and Yan (2025, revised 2026): forecasts that owe something to memory are most accurate where the model
remembers most, and only before its cutoff.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

from embargo.backtest.arguments import check_level
from embargo.backtest.leakage.findings import AuditVerdict, aware_instant, evidence_rows, moment, require_columns
from embargo.backtest.leakage.memory.days import (
    Forecasts,
    Resampled,
    check_resampling,
    correlation,
    first_day_after,
    products,
    read_forecasts,
    resample,
)
from embargo.backtest.leakage.memory.result import DOUBT, FEWEST_DAYS, Probe, ProbeResult
from embargo.backtest.leakage.on_request import ON_REQUEST
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import as_utc

# A bare date that forecasts this well, at so many standard errors, is beyond seasons and chance.
PROOF = 5.0
PROVEN_CORRELATION = 0.10

# Standard errors by which the interaction after the cutoff must fall short of that before it.
_PLACEBO = 2.0
# A spread below this is rounding.
_STILL = 1e-9

_REMEDY = "Trust only what lies after the model's cutoff, or take a model whose knowledge ends before the test."


_PROPENSITY = Probe(
    "M3",
    ON_REQUEST["check_lookahead_propensity"].title,
    "coefficient of forecast times propensity",
    _REMEDY,
    "A coefficient",
)


@dataclass(frozen=True)
class _Question:
    answers: str
    to_what: str
    still: str
    asked: Probe

    @classmethod
    def of(cls, code: str, check: str, answers: str, to_what: str, still: str) -> _Question:
        unit = f"correlation of the answer to {answers} with the return"
        return cls(answers, to_what, still, Probe(code, ON_REQUEST[check].title, unit, _REMEDY, "A correlation"))


_BARE = _Question.of(
    "M3",
    "check_date_recall",
    "bare dates",
    "texts that hold no news",
    "The answer to a bare symbol is the same on each of {days} days{period}: nothing is recalled.",
)
_LENT = _Question.of(
    "M3",
    "check_lent_news",
    "another day's news",
    "texts that hold no news of that day",
    "Another day's news are read alike under each of {days} dates{period}: nothing is recalled.",
)
_BEYOND = _Question.of(
    "M2",
    "check_recall_after_cutoff",
    "texts without that day's news",
    "texts that hold no news of that day",
    "No answer moves with the date on any of {days} days{period}: nothing is recalled.",
)


@dataclass(frozen=True)
class ClusteredRegression:
    """Least squares with errors that allow for dependence within clusters.

    Attributes
    ----------
    coefficients, errors : ndarray, shape (k,)
    clusters : int

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.leakage.memory import regress_by_cluster
    >>> found = regress_by_cluster(np.array([1.0, 2.0, 2.0, 5.0]), np.ones((4, 1)), np.array([0, 0, 1, 1]))
    >>> found.coefficients.tolist(), found.errors.round(3).tolist(), found.clusters
    ([2.5], [1.0], 2)
    """

    coefficients: np.ndarray
    errors: np.ndarray
    clusters: int


def regress_by_cluster(y: np.ndarray, x: np.ndarray, cluster: np.ndarray) -> ClusteredRegression:
    """Regress y on x with standard errors clustered, for instance, by day.

    Parameters
    ----------
    y : ndarray, shape (n,)
    x : ndarray, shape (n, k)
        A column of ones where a constant is wanted.
    cluster : ndarray of int, shape (n,)
        Number of each row's cluster; at least two.

    Returns
    -------
    ClusteredRegression

    Raises
    ------
    DataError
        If the columns of x are collinear, or there are fewer than two clusters, or not more rows than columns.

    References
    ----------
    Liang and Zeger (1986), Biometrika 73(1); with the usual factor for few clusters, G/(G-1) * (n-1)/(n-k).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.leakage.memory import regress_by_cluster
    >>> x = np.column_stack([np.ones(6), np.arange(6.0)])
    >>> regress_by_cluster(1.0 + 2.0 * np.arange(6.0), x, np.arange(6) // 2).coefficients.round(6).tolist()
    [1.0, 2.0]
    """
    names, member = np.unique(cluster, return_inverse=True)
    n, k = x.shape
    if len(names) < 2 or n <= k or np.linalg.matrix_rank(x) < k:
        raise DataError(
            f"regression: {n} rows in {len(names)} clusters, columns of rank {np.linalg.matrix_rank(x)} of {k}. Give "
            "more rows, or leave out a column that says what another says."
        )
    bread = np.linalg.inv(x.T @ x)
    coefficients = bread @ (x.T @ y)
    pull = x * (y - x @ coefficients)[:, None]
    sums = np.column_stack([np.bincount(member, weights=column) for column in pull.T])
    factor = len(names) / (len(names) - 1.0) * (n - 1.0) / (n - k)
    covariance = factor * bread @ (sums.T @ sums) @ bread
    return ClusteredRegression(coefficients, np.sqrt(np.diag(covariance)), len(names))


def check_date_recall(
    recalled: pd.DataFrame,
    *,
    cutoff: pd.Timestamp | None = None,
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> ProbeResult:
    """Tell whether answers to a bare symbol and date forecast that day's return (M3).

    There is no news in such a text, so whatever it forecasts comes out of the reader's memory. What a reader thinks of
    a symbol on all days alike is taken off first. Suspicious from 3.5 standard errors (days resampled in blocks); a
    leak from 5, with a correlation of 0.10 or more: seasons and chance do not reach so far. With a cutoff only the days
    before it judge, and the days after it are the placebo.

    Silent on: memory that needs more than a date to come up.

    Parameters
    ----------
    recalled : DataFrame
        One row per symbol and bar: ``at`` (UTC, the opening of the bar), ``symbol``, ``recalled`` (signed answer) and
        ``earned`` (return of that bar, a fraction).
    cutoff : Timestamp, optional
        Knowledge cutoff (UTC).
    level : float
        Of the interval.
    n_boot : int
        Resamples of the days, at least 100.
    seed : int
        Of the resamples.

    Returns
    -------
    ProbeResult
        ``effect`` is the correlation of the answer with the rank of the return. ``figures`` hold ``recall_after`` (its
        placebo, NaN without a cutoff) with ``_low`` and ``_high``, ``n``, ``days``, ``z`` and ``detectable``.

    Raises
    ------
    DataError
        If columns are missing or instants are naive.
    ConfigError
        If a setting is out of range.

    References
    ----------
    Gao, Jiang and Yan (2025, revised 2026), "Detecting Lookahead Bias in LLM Forecasts", arXiv 2512.23847, for the
    date-only query.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage.memory import check_date_recall
    >>> rng, at = np.random.default_rng(0), pd.date_range("2020-01-01", periods=300, tz="UTC")
    >>> earned, chance = rng.normal(0.0, 0.02, 300), rng.normal(size=300)
    >>> knows = np.where(rng.random(300) < 0.5, np.sign(earned), chance)
    >>> frame = pd.DataFrame({"at": at, "symbol": "A", "recalled": knows, "earned": earned})
    >>> check_date_recall(frame).verdict, check_date_recall(frame.assign(recalled=chance)).verdict
    ('leak', 'pass')
    """
    return _recalled(_BARE, recalled, cutoff, level, n_boot, seed)


def check_lent_news(
    recalled: pd.DataFrame,
    *,
    cutoff: pd.Timestamp | None = None,
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> ProbeResult:
    """Tell whether another day's news, told of a symbol and a date, forecast that day's return (M3).

    A reader that was fitted on headlines may say nothing to a bare date. In a text like all others whose news come from
    elsewhere, what it recalls of whom and when shows; what it reads there has nothing to do with that day. Judged as in
    ``check_date_recall``: the news lent must be drawn without regard to returns, from other days.

    Silent on: memory that needs the wording of a text.

    Parameters
    ----------
    recalled : DataFrame
        One row per symbol and bar: ``at`` (UTC, the opening of the bar), ``symbol``, ``recalled`` (signed answer to the
        lent news, best less the answer to the same news told of nobody) and ``earned`` (return of that bar, a
        fraction).
    cutoff : Timestamp, optional
        Knowledge cutoff (UTC); with one, the days before it judge.
    level : float
        Of the interval.
    n_boot : int
        Resamples of the days, at least 100.
    seed : int
        Of the resamples.

    Returns
    -------
    ProbeResult
        As in ``check_date_recall``.

    Raises
    ------
    DataError
        If columns are missing or instants are naive.
    ConfigError
        If a setting is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage.memory import check_lent_news
    >>> rng, at = np.random.default_rng(0), pd.date_range("2020-01-01", periods=300, tz="UTC")
    >>> earned, lent = rng.normal(0.0, 0.02, 300), rng.normal(size=300)
    >>> knows = np.where(rng.random(300) < 0.3, 2.0 * np.sign(earned) - lent, 0.0)
    >>> check_lent_news(pd.DataFrame({"at": at, "symbol": "A", "recalled": knows, "earned": earned})).verdict
    'leak'
    """
    return _recalled(_LENT, recalled, cutoff, level, n_boot, seed)


def check_recall_after_cutoff(
    recalled: pd.DataFrame,
    cutoff: pd.Timestamp | None,
    *,
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> ProbeResult:
    """Tell whether a reader recalls days from after its stated cutoff (M2).

    What forecasts a return without its news was known; from after the cutoff it should not be, and where it is, the
    cutoff is wrong. Judged as in ``check_date_recall``, on the days after the cutoff alone.

    Silent on: knowledge that forecasts no return.

    Parameters
    ----------
    recalled : DataFrame
        As in ``check_date_recall``: answers to bare dates, to lent news, or the sum of both.
    cutoff : Timestamp or None
        Knowledge cutoff as it is stated (UTC); None where nobody says.
    level : float
        Of the interval.
    n_boot : int
        Resamples of the days, at least 100.
    seed : int
        Of the resamples.

    Returns
    -------
    ProbeResult
        As in ``check_date_recall``, without a placebo.

    Raises
    ------
    DataError
        If columns are missing or instants are naive.
    ConfigError
        If a setting is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage.memory import check_recall_after_cutoff
    >>> rng, at = np.random.default_rng(0), pd.date_range("2020-01-01", periods=300, tz="UTC")
    >>> earned = rng.normal(0.0, 0.02, 300)
    >>> known = np.where(at < at[250], np.sign(earned), rng.normal(size=300))
    >>> frame = pd.DataFrame({"at": at, "symbol": "A", "recalled": known, "earned": earned})
    >>> [check_recall_after_cutoff(frame, at[day]).verdict for day in (100, 250)]
    ['leak', 'pass']
    """
    if cutoff is None or pd.isna(cutoff):
        return _BEYOND.asked.unasked("Nobody says until when the reader's knowledge reaches, so nothing lies after it.")
    instant = aware_instant(cutoff, what="knowledge cutoff")
    require_columns(recalled, ("at",), where="recalled days")
    at = as_utc(recalled["at"], what="recalled days, column at")
    later = recalled[(at >= instant.ceil("D")).to_numpy()]
    period = f" from after {moment(instant)}"
    return _recalled(_BEYOND, later, None, level, n_boot, seed, period=period)


def _recalled(
    question: _Question,
    recalled: pd.DataFrame,
    cutoff: pd.Timestamp | None,
    level: float,
    n_boot: int,
    seed: int,
    *,
    period: str | None = None,
) -> ProbeResult:
    asked = question.asked
    check_resampling(level, n_boot, seed)
    require_columns(recalled, ("symbol",), where="recalled days")
    read = read_forecasts(recalled, ["earned", "recalled"], where="recalled days")
    judged, before_it = _judged(read, cutoff)
    period = before_it if period is None else period
    inside = judged[read.frame["day"].to_numpy()]
    n, days = int(inside.sum()), int(judged.sum())
    if not n:
        return asked.unasked(f"There are no days{period} to ask for.")
    before, after = (_date_recall(read, side, n_boot, seed) for side in (judged, ~judged))
    low, high = after.interval(level)
    figures = {
        "recall_after": after.value,
        "recall_after_low": low,
        "recall_after_high": high,
        "n": float(n),
        "days": float(days),
        "z": before.z,
        "detectable": DOUBT * before.error,
    }
    if not np.isfinite(before.value):
        return asked.answer("pass", question.still.format(days=days, period=period), 0.0, None, figures)
    said = f"{n} answers to {question.answers}{period} correlate {before.value:.3f} with that day's return"
    said += f", {after.value:.3f} after the cutoff{read.aside()}." if np.isfinite(after.value) else f"{read.aside()}."
    if days < FEWEST_DAYS:
        said += f" {days} days prove nothing; {FEWEST_DAYS} are needed."
        return asked.unproven(said, figures)
    interval = before.interval(level)
    if before.z < DOUBT:
        return asked.answer("pass", said, before.value, interval, figures)
    verdict: AuditVerdict = "leak" if before.z >= PROOF and before.value >= PROVEN_CORRELATION else "suspicious"
    said += f" That is {before.z:.1f} standard errors, from {question.to_what}."
    frame = read.frame[inside]
    right = frame[np.sign(frame["recalled"]) == np.sign(frame["earned"])]
    surest = right.loc[right["recalled"].abs().sort_values(ascending=False, kind="stable").index]
    shown = [name for name in ("article_id", "symbol", "at", "recalled", "earned") if name in surest]
    return asked.answer(verdict, said, before.value, interval, figures, evidence_rows(surest[shown]))


def check_lookahead_propensity(
    forecasts: pd.DataFrame, *, cutoff: pd.Timestamp | None = None, level: float = 0.95
) -> ProbeResult:
    """Regress returns on forecast, lookahead propensity and their product: memory makes the product count (M3).

    All three are standardised, returns by rank; errors are clustered by day. Before the cutoff a positive coefficient
    of the product means that forecasts are better where the reader remembers more; from 3.5 standard errors it is
    suspicious. After the cutoff it is the placebo: where it is as large there (the two differ by less than 2 standard
    errors), it is no memory.

    Silent on: a reader that recalls every day alike, whose propensity does not vary; ``check_date_recall`` sees it.

    Parameters
    ----------
    forecasts : DataFrame
        One row per article, or per symbol and bar: ``at`` (UTC, the opening of the bar whose return is earned),
        ``score`` (signed), ``propensity`` (in [0, 1]) and ``earned`` (fraction).
    cutoff : Timestamp, optional
        Knowledge cutoff (UTC); with one, the days before it judge.
    level : float
        Of the intervals.

    Returns
    -------
    ProbeResult
        ``effect`` is the coefficient of the product: what one standard deviation of propensity adds to the correlation
        of forecast and return, about. ``figures`` hold ``forecast``, ``propensity`` and ``interaction`` (coefficients),
        ``interaction_z``, ``interaction_after`` with ``_low`` and ``_high`` (NaN without a placebo),
        ``mean_propensity`` and ``mean_propensity_after``, ``n``, ``days`` and ``detectable``.

    Raises
    ------
    DataError
        If columns are missing or instants are naive.
    ConfigError
        If the level is out of range.

    References
    ----------
    Gao, Jiang and Yan (2025, revised 2026), "Detecting Lookahead Bias in LLM Forecasts", arXiv 2512.23847: propensity
    is positive before the cutoff and about zero after it; a positive interaction with the forecast in a regression of
    the outcome is contamination, and vanishes after the cutoff.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage.memory import check_lookahead_propensity
    >>> rng, at = np.random.default_rng(0), pd.date_range("2020-01-01", periods=400, tz="UTC")
    >>> earned, propensity = rng.normal(0.0, 0.02, 400), rng.random(400)
    >>> score = np.where(rng.random(400) < propensity, np.sign(earned), rng.normal(size=400))
    >>> frame = pd.DataFrame({"at": at, "score": score, "propensity": propensity, "earned": earned})
    >>> check_lookahead_propensity(frame).verdict
    'suspicious'
    >>> check_lookahead_propensity(frame.assign(propensity=rng.random(400))).verdict
    'pass'
    """
    check_level(level)
    read = read_forecasts(forecasts, ["earned", "score", "propensity"], where="forecasts with propensity")
    judged, period = _judged(read, cutoff)
    inside = judged[read.frame["day"].to_numpy()]
    n, days = int(inside.sum()), int(judged.sum())
    if not n:
        return _PROPENSITY.unasked(f"There are no forecasts{period}.")
    scale = _Scale.of(read.frame[inside])
    before, after = (_interaction(read.frame[side], scale) for side in (inside, ~inside))
    figures = {
        "mean_propensity": float(read.frame["propensity"][inside].mean()),
        "mean_propensity_after": float(read.frame["propensity"][~inside].mean()),
        "n": float(n),
        "days": float(days),
    }
    if n and not (read.frame["propensity"][inside] > _STILL).any():
        said = f"A date moves none of {n} answers{period}, so no forecast can owe anything to it."
        return _PROPENSITY.answer("pass", said, None, None, figures)
    if before is None:
        said = (
            f"Nothing is proven by {n} forecasts of {days} days{period} with a mean propensity of "
            f"{figures['mean_propensity']:.2f}: {FEWEST_DAYS} days and a propensity that varies are needed."
        )
        return _PROPENSITY.unproven(said, figures)
    value, error = float(before.coefficients[3]), float(before.errors[3])
    reach = float(ndtri(0.5 + level / 2.0))
    figures |= dict(zip(("forecast", "propensity", "interaction"), map(float, before.coefficients[1:]), strict=True))
    figures |= {"interaction_z": value / error, "detectable": DOUBT * error}
    later, later_error = (float(after.coefficients[3]), float(after.errors[3])) if after else (np.nan, np.nan)
    figures |= {
        "interaction_after": later,
        "interaction_after_low": later - reach * later_error,
        "interaction_after_high": later + reach * later_error,
    }
    said = (
        f"One standard deviation of propensity changes the weight of a forecast from {before.coefficients[1]:.3f} by "
        f"{value:+.3f}{period}, on {n} forecasts of {days} days"
    )
    said += f"; after the cutoff by {later:+.3f}{read.aside()}." if after else f"{read.aside()}."
    interval = (value - reach * error, value + reach * error)
    doubted = value >= DOUBT * error
    if doubted and after:
        doubted = value - later >= _PLACEBO * float(np.hypot(error, later_error))
        said += "" if doubted else " It is as large where nothing can be remembered."
    return _PROPENSITY.answer("suspicious" if doubted else "pass", said, value, interval, figures)


def _date_recall(read: Forecasts, side: np.ndarray, n_boot: int, seed: int) -> Resampled:
    """Resampled the correlation of answer and return on some days, each symbol's mean answer there taken off."""
    rows = side[read.frame["day"].to_numpy()]
    part = read.frame[rows]
    mean = part.groupby("symbol")["recalled"].transform("mean")
    # Where the answer never moves, rounding must not make it move.
    own = np.where(np.isclose(part["recalled"], mean, rtol=0.0, atol=1e-12), 0.0, part["recalled"] - mean)
    columns = np.zeros((6, len(read.frame)))
    columns[:, rows] = products(own, part["rank"].to_numpy())
    return resample(read.sums(*columns)[side], correlation, n_boot=n_boot, seed=seed)


@dataclass(frozen=True)
class _Scale:
    """Centre and spread of score and propensity, of the days that judge: the placebo is measured in the same units."""

    centre: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, frame: pd.DataFrame) -> _Scale:
        values = frame[["score", "propensity"]].to_numpy(dtype=float)
        return cls(values.mean(axis=0), values.std(axis=0))


def _interaction(frame: pd.DataFrame, scale: _Scale) -> ClusteredRegression | None:
    """Regress standardised ranks on score, propensity and their product; None where they do not vary enough."""
    days = frame["day"].to_numpy()
    if len(np.unique(days)) < FEWEST_DAYS or not (scale.spread > _STILL).all():
        return None
    score, propensity = ((frame[["score", "propensity"]].to_numpy(dtype=float) - scale.centre) / scale.spread).T
    x = np.column_stack([np.ones(len(frame)), score, propensity, score * propensity])
    if np.linalg.matrix_rank(x) < x.shape[1]:
        return None
    rank = frame["rank"].to_numpy()
    return regress_by_cluster((rank - rank.mean()) / rank.std(), x, days)


def _judged(read: Forecasts, cutoff: pd.Timestamp | None) -> tuple[np.ndarray, str]:
    """Tell which days judge, bool of shape (days,), and how to say so."""
    if cutoff is None or pd.isna(cutoff):
        return np.ones(read.days, dtype=bool), ""
    instant = aware_instant(cutoff, what="knowledge cutoff")
    return read.instants < first_day_after(instant), f" before {moment(instant)}"
