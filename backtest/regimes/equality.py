"""Tests of whether a strategy's Sharpe ratio is the same in every regime, or was earned in one of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.arguments import check_level, check_mean_block, check_n_boot, check_periods_per_year
from embargo.backtest.regimes.blocks import USABLE_SHARE, block_chunks, block_sums
from embargo.backtest.regimes.causal import UNLABELLED
from embargo.backtest.significance import automatic_block_length, holm
from embargo.data_loaders.errors import DataError

_FEWEST_IN_RESAMPLE = 10


@dataclass(frozen=True)
class PairDifference:
    """The difference between the Sharpe ratios of two regimes, first minus second.

    Attributes
    ----------
    first, second : str
        Names of the regimes.
    difference, low, high : float
        Per year; a two-sided interval at the level asked for.
    p_value, p_value_holm : float
        Two-sided, for the null hypothesis of equal Sharpe ratios; the latter allows for the number of pairs.

    Examples
    --------
    >>> from embargo.backtest.regimes import PairDifference
    >>> PairDifference('bear', 'bull', -1.2, -2.9, 0.5, p_value=0.17, p_value_holm=0.17).difference
    -1.2
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    p_value: float
    p_value_holm: float


@dataclass(frozen=True)
class EqualityTest:
    """Whether the Sharpe ratio differs between regimes.

    Attributes
    ----------
    statistic, p_value : float or None
        Wald statistic of all differences together, and how often it is as large where there are none; None where fewer
        than two regimes can be judged.
    regimes : tuple of str
        Judged: those with enough rows and some variation.
    left_out : tuple of str
        Regimes that are not.
    pairs : tuple of PairDifference
    block_length : float or None
        Mean block length of the stationary bootstrap, in rows.
    note : str
        Why there is no test; else empty.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.regimes import sharpe_equality
    >>> found = sharpe_equality(pd.Series([0.01, 0.02]), pd.Series(['bear', 'bull']), periods_per_year=252, seed=0)
    >>> found.left_out, found.note
    (('bear', 'bull'), 'fewer than two regimes have 60 rows and returns that vary: not tested')
    """

    statistic: float | None
    p_value: float | None
    regimes: tuple[str, ...]
    left_out: tuple[str, ...]
    pairs: tuple[PairDifference, ...]
    block_length: float | None
    note: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON-able dictionary."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def sharpe_equality(
    returns: pd.Series,
    labels: pd.Series,
    *,
    periods_per_year: float,
    n_boot: int = 2000,
    level: float = 0.95,
    block: float | None = None,
    seed: int | np.random.Generator,
    minimum_bars: int = 60,
) -> EqualityTest:
    """Test that the Sharpe ratio is equal in all regimes, and in each pair of them.

    Pairs of return and label are resampled in stationary blocks, so that the number of rows in a regime is as random as
    it is. Both the Wald statistic of all differences and the t statistic of each pair are studentised: a resample's own
    covariance, from the sums of its own blocks, divides its own deviations, which keeps the size under fat tails.

    Two or three persistent regimes that have nothing to do with the returns were told apart at nominal 5 % in 4.5 to
    6.0 % of 2,000 draws of 504 rows, and in 3.2 to 6.3 % of 600 draws of 2,520 (independent, autoregressive, GARCH and
    t-distributed returns). A strategy that holds the market on balance differs between regimes dated from that market
    with hindsight for that reason alone.

    Parameters
    ----------
    returns : Series, shape (bars,)
        Net returns per row.
    labels : Series of str, shape (bars,)
        Regime of each row, same index. Unlabelled rows are in no regime.
    periods_per_year : float
        Rows in a year; differences are annual.
    n_boot : int
        Resamples, at least 100.
    level : float
        Confidence level of the intervals of the pairs.
    block : float, optional
        Mean block length in rows; by default the automatic choice of Politis and White.
    seed : int or Generator
    minimum_bars : int
        Regimes with fewer rows are left out.

    Returns
    -------
    EqualityTest

    Raises
    ------
    DataError
        If the series carry different bars, or a return is missing.
    ConfigError
        If a setting is out of range.

    References
    ----------
    Ledoit and Wolf (2008), Journal of Empirical Finance 15(5), for the studentised bootstrap of a difference; Götze and
    Künsch (1996), Annals of Statistics 24(5), for the variance from blocks; Politis and Romano (1994), JASA 89(428).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.regimes import sharpe_equality
    >>> bars = pd.date_range('2024-01-01', periods=300, tz='UTC')
    >>> labels = pd.Series(np.where(np.arange(300) < 150, 'bear', 'bull'), bars)
    >>> returns = pd.Series(np.random.default_rng(1).normal(0, 0.01, 300) + np.where(labels == 'bull', 0.003, 0), bars)
    >>> found = sharpe_equality(returns, labels, periods_per_year=365, seed=0)
    >>> round(found.statistic, 2), round(found.p_value, 4), round(found.pairs[0].difference, 2)
    (9.0, 0.0015, -5.26)
    """
    values = _checked(returns, labels)
    check_periods_per_year(periods_per_year)
    check_n_boot(n_boot)
    check_level(level)
    check_mean_block(block)
    names = labels.astype(str).to_numpy()
    present = sorted(set(names) - {UNLABELLED})
    judged = [name for name in present if _is_judged(values[names == name], minimum_bars)]
    left_out = tuple(name for name in present if name not in judged)
    if len(judged) < 2:
        note = f"fewer than two regimes have {minimum_bars} rows and returns that vary: not tested"
        return EqualityTest(None, None, tuple(judged), left_out, (), None, note)
    members = np.array([names == name for name in judged])
    length = automatic_block_length(values) if block is None else min(float(block), float(len(values)))
    rng = np.random.default_rng(seed)
    ratios = np.array([values[member].mean() / values[member].std() for member in members])
    covariance = _long_run(_influences(values, members), length)
    deviations, covariances = _resampled(values, members, length, n_boot, rng)
    usable = np.isfinite(deviations).all(axis=1) & np.isfinite(covariances).all(axis=(1, 2))
    deviations, covariances = deviations[usable], covariances[usable]
    wald, walds = _wald(ratios[None], covariance[None]), _wald(deviations, covariances)
    if len(deviations) < USABLE_SHARE * n_boot or not np.isfinite(wald).all():
        note = "too many resamples lack rows of some regime: not tested"
        return EqualityTest(None, None, tuple(judged), left_out, (), length, note)
    pairs = _pairs(judged, ratios, covariance, deviations, covariances, level, periods_per_year)
    return EqualityTest(
        statistic=float(wald[0]),
        p_value=float((1 + np.count_nonzero(walds >= wald[0])) / (1 + len(walds))),
        regimes=tuple(judged),
        left_out=left_out,
        pairs=pairs,
        block_length=length,
        note="",
    )


def _checked(returns: pd.Series, labels: pd.Series) -> np.ndarray:
    if not labels.index.equals(returns.index):
        raise DataError("sharpe_equality: returns and labels carry different bars. Reindex one to the other.")
    values: np.ndarray = returns.to_numpy(dtype=float)
    if not np.isfinite(values).all():
        raise DataError("sharpe_equality: a return is missing. Drop or mend the rows first.")
    return values


def _is_judged(inside: np.ndarray, minimum_bars: int) -> bool:
    varied = float(inside.std()) > 1e-14 * max(1.0, float(np.abs(inside).max(initial=0.0)))
    return len(inside) >= max(minimum_bars, 2) and varied


def _influences(values: np.ndarray, members: np.ndarray) -> np.ndarray:
    """How much each row moves each regime's Sharpe ratio; shape (regimes, bars)."""
    influence = np.zeros(members.shape)
    for place, member in enumerate(members):
        inside = values[member]
        u = (inside - inside.mean()) / inside.std()
        influence[place, member] = u - 0.5 * (inside.mean() / inside.std()) * (u**2 - 1.0)
        influence[place] /= member.mean()
    return influence


def _long_run(influence: np.ndarray, block: float) -> np.ndarray:
    """Covariance of the mean influences that the stationary bootstrap would show with infinitely many resamples."""
    bars = influence.shape[1]
    spectrum = np.fft.rfft(influence, 2 * bars, axis=1)
    lag = np.arange(bars)
    stay = 1.0 - min(1.0, 1.0 / block)
    weight = (1.0 - lag / bars) * stay**lag + (lag / bars) * stay ** (bars - lag)
    cross = np.fft.irfft(spectrum[:, None] * np.conj(spectrum[None]), axis=2)[..., :bars] / bars
    one_sided = cross @ weight
    return np.asarray((one_sided + one_sided.T - cross[..., 0]) / bars)


def _resampled(
    values: np.ndarray, members: np.ndarray, block: float, n_boot: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Deviations of resampled Sharpe ratios from the sample's, and their covariances from their own blocks."""
    regimes, bars = members.shape
    deviations, covariances = np.empty((n_boot, regimes)), np.empty((n_boot, regimes, regimes))
    for chunk, starts, lengths in block_chunks(bars, block, n_boot, rng, width=regimes):
        influence = np.empty((len(starts), regimes, starts.shape[1]))
        for place, member in enumerate(members):
            centre, scale = values[member].mean(), values[member].std()
            z = np.where(member, (values - centre) / scale, 0.0)
            number = block_sums(member.astype(float), starts, lengths)
            one, two = block_sums(z, starts, lengths), block_sums(z * z, starts, lengths)
            with np.errstate(divide="ignore", invalid="ignore"):
                rows = number.sum(axis=1)
                mean = one.sum(axis=1) / rows
                variance = two.sum(axis=1) / rows - mean**2
                variance = np.where((variance > 1e-12) & (rows >= _FEWEST_IN_RESAMPLE), variance, np.nan)
                deviation = np.sqrt(variance)
                ratio = (centre / scale + mean) / deviation
                m, v = mean[:, None], variance[:, None]
                squares = (two - 2.0 * m * one + number * m**2) / v
                shift = (one - number * m) / deviation[:, None] - 0.5 * ratio[:, None] * (squares - number)
                influence[:, place] = shift / rows[:, None]
            deviations[chunk, place] = ratio - centre / scale
        covariances[chunk] = influence @ influence.transpose(0, 2, 1)
    return deviations, covariances


def _wald(differences: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Wald statistic of equality for each row of ratios: differences to the first regime, in their own covariance."""
    contrast = differences[:, 1:] - differences[:, :1]
    spread = covariances[:, 1:, 1:] - covariances[:, 1:, :1] - covariances[:, :1, 1:] + covariances[:, :1, :1]
    regular = np.linalg.det(spread) > 0.0
    found = np.full(len(contrast), np.nan)
    solved = np.linalg.solve(spread[regular], contrast[regular][..., None])[..., 0]
    found[regular] = (contrast[regular] * solved).sum(axis=1)
    # A resample whose covariance cannot be inverted counts against the claim of a difference.
    return np.where(np.isnan(found), np.inf, found)


def _pairs(
    names: list[str],
    ratios: np.ndarray,
    covariance: np.ndarray,
    deviations: np.ndarray,
    covariances: np.ndarray,
    level: float,
    periods_per_year: float,
) -> tuple[PairDifference, ...]:
    year = float(np.sqrt(periods_per_year))
    found = []
    for i, j in combinations(range(len(names)), 2):
        difference = float(ratios[i] - ratios[j])
        error = float(np.sqrt(covariance[i, i] + covariance[j, j] - 2.0 * covariance[i, j]))
        errors = np.sqrt(covariances[:, i, i] + covariances[:, j, j] - 2.0 * covariances[:, i, j])
        size = np.abs(deviations[:, i] - deviations[:, j]) / errors
        reach = float(np.quantile(size, level)) * error
        p_value = float((1 + np.count_nonzero(size >= abs(difference) / error)) / (1 + len(size)))
        found.append((names[i], names[j], difference * year, reach * year, p_value))
    adjusted = holm([row[4] for row in found])
    return tuple(
        PairDifference(
            first, second, difference, difference - reach, difference + reach, p_value, float(corrected or 0.0)
        )
        for (first, second, difference, reach, p_value), corrected in zip(found, adjusted, strict=True)
    )
