"""Forecasts added up by day, and resamples of whole days: what happens on one day is one observation.

Every figure of a probe is a smooth function of sums over days, so a resample is a weighted sum and costs a matrix
product, however many forecasts there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from embargo.backtest.arguments import check_level, check_n_boot, check_seed
from embargo.backtest.distributions import average_ranks
from embargo.backtest.leakage.findings import require_columns, utc_array
from embargo.backtest.significance.resampling import automatic_block_length, stationary_blocks
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import as_utc

# Of a day's sums, shape (..., figures), whatever the leading dimensions.
Statistic = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Resampled:
    """A figure with what resampled days make of it.

    Attributes
    ----------
    value : float
    draws : ndarray, shape (n_boot,)
        The figure in each resample; NaN where a resample has none.
    """

    value: float
    draws: np.ndarray

    @property
    def error(self) -> float:
        """Standard error: the deviation of the draws."""
        known = self.draws[np.isfinite(self.draws)]
        return float(known.std(ddof=1)) if len(known) > 1 else float("nan")

    @property
    def z(self) -> float:
        """Value over standard error; 0 where it has none."""
        error = self.error
        return self.value / error if error > 0.0 else 0.0

    def interval(self, level: float) -> tuple[float, float]:
        """Return the normal interval of the value at a level."""
        from scipy.special import ndtri

        reach = float(ndtri(0.5 + level / 2.0)) * self.error
        return self.value - reach, self.value + reach

    def minus(self, other: Resampled) -> Resampled:
        """Return the difference to a figure of other days, or of the same days resampled alike."""
        return Resampled(self.value - other.value, self.draws - other.draws)


@dataclass(frozen=True)
class Forecasts:
    """Forecasts that can be judged, in order of time.

    Attributes
    ----------
    frame : DataFrame
        As given, without the rows that lack a value; with ``day`` (its number, from 0, gaps left out) and, where
        ``earned`` is asked for, its ``rank`` among all rows, from -0.5 to 0.5.
    instants : ndarray of datetime64[us], shape (days,)
        Midnight (UTC) of each day.
    left_out : int
        Rows that lack a score, a return or another column asked for.
    """

    frame: pd.DataFrame
    instants: np.ndarray
    left_out: int

    @property
    def days(self) -> int:
        """Number of days."""
        return len(self.instants)

    def sums(self, *columns: np.ndarray) -> np.ndarray:
        """Return the columns added up by day, shape (days, columns)."""
        day = self.frame["day"].to_numpy()
        return np.column_stack([np.bincount(day, weights=column, minlength=self.days) for column in columns])

    def aside(self) -> str:
        """Say how many rows were left out, for the end of a sentence."""
        return f"; {self.left_out} rows without all values are left out" if self.left_out else ""


def read_forecasts(frame: pd.DataFrame, columns: Sequence[str], *, where: str) -> Forecasts:
    """Check forecasts, leave out those that lack a value, and number their days.

    Parameters
    ----------
    frame : DataFrame
        ``at`` (UTC, such as the opening of the bar whose return is earned) and ``columns``.
    columns : sequence of str
        Numeric columns that must have a value; ``earned`` among them is ranked.
    where : str
        Named in errors.

    Returns
    -------
    Forecasts

    Raises
    ------
    DataError
        If a column is missing, not numeric, or an instant is naive.
    """
    require_columns(frame, ("at", *columns), where=where)
    for name in columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            raise DataError(f"{where}: column {name!r} holds {frame[name].dtype}, not numbers. Convert it.")
    at = utc_array(as_utc(frame["at"], what=f"{where}, column at"))
    values = frame[list(columns)].to_numpy(dtype=float)
    known = np.isfinite(values).all(axis=1) & ~np.isnat(at)
    order = np.flatnonzero(known)[np.argsort(at[known], kind="stable")]
    instants, day = np.unique(at[order].astype("datetime64[D]"), return_inverse=True)
    kept = frame.iloc[order].reset_index(drop=True)
    kept["day"] = day
    if "earned" in columns:
        kept["rank"] = (average_ranks(kept["earned"]) - 0.5) / max(len(kept), 1) - 0.5
    return Forecasts(kept, instants.astype("datetime64[us]"), int((~known).sum()))


def products(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return what a correlation is made of, per row: 1, x, y, x², y², xy."""
    return np.ones(len(x)), x, y, x * x, y * y, x * y


def correlation(sums: np.ndarray) -> np.ndarray:
    """Correlation from sums of `products`, shape (..., 6); NaN where one side does not vary."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread_x, spread_y = xx - x * x / n, yy - y * y / n
        varied = (spread_x > 1e-9 * np.maximum(xx, 1e-300)) & (spread_y > 1e-9 * np.maximum(yy, 1e-300))
        return np.where(varied, (xy - x * y / n) / np.sqrt(spread_x * spread_y), np.nan)


def share(sums: np.ndarray) -> np.ndarray:
    """Mean from sums of counts and values, shape (..., 2); NaN without a count."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums[..., 1] / np.where(sums[..., 0] > 0.0, sums[..., 0], np.nan))


def resample(sums: np.ndarray, statistic: Statistic, *, n_boot: int, seed: int | np.random.Generator) -> Resampled:
    """Resampled a figure from sums by day, with the stationary bootstrap of whole days.

    Parameters
    ----------
    sums : ndarray, shape (days, k)
        In order of time.
    statistic : callable
        From sums of shape (..., k) to figures of shape (...).
    n_boot : int
    seed : int or Generator

    Returns
    -------
    Resampled

    Notes
    -----
    Blocks are as long as the days' pulls on the figure, found by leaving one day out at a time, remember each other
    (Politis and White 2004, Patton, Politis and White 2009), but at most twice the cube root of the days: a memory that
    ends half-way would else pass for one long mood, and hide in its own error.
    """
    total = sums.sum(axis=0)
    value = float(statistic(total))
    pull = statistic(total - sums)
    pull = pull[np.isfinite(pull)]
    if not np.isfinite(value) or len(pull) < 3:
        return Resampled(value, np.full(n_boot, np.nan))
    block = min(automatic_block_length(pull), 2.0 * len(sums) ** (1.0 / 3.0))
    starts, lengths = stationary_blocks(len(sums), block, n_boot, np.random.default_rng(seed))
    return Resampled(value, statistic(_counts(starts, lengths, len(sums)) @ sums))


def _counts(starts: np.ndarray, lengths: np.ndarray, n: int) -> np.ndarray:
    """How often each of n rows is drawn, shape (resamples, n); blocks run on from the last row to the first."""
    resamples, width = len(starts), 2 * n + 1
    first = starts + width * np.arange(resamples)[:, None]
    begun, ended = (np.bincount(at.ravel(), minlength=resamples * width) for at in (first, first + lengths))
    drawn = np.cumsum((begun - ended).reshape(resamples, width), axis=1)
    return np.asarray(drawn[:, :n] + drawn[:, n : 2 * n], dtype=float)


def first_day_after(instant: pd.Timestamp) -> np.datetime64:
    """Return the first midnight that is not before a cutoff (UTC): the day on which it falls may be remembered."""
    return np.datetime64(instant.ceil("D").tz_localize(None), "us")


def check_resampling(level: float, n_boot: int, seed: int) -> None:
    """Refuse a confidence level, a number of resamples or a seed that makes no sense."""
    check_level(level)
    check_n_boot(n_boot)
    check_seed(seed)
