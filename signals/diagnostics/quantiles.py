"""What the symbols with the highest and the lowest signal earned: returns by quantile, their spread, and their order.

A signal that knows something earns more from each quantile to the next; one that works in a single quantile owes it to
a few names or to luck.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError
from embargo.signals.diagnostics.information import error_columns
from embargo.signals.diagnostics.standard_errors import block_means, mean_by_row, newey_west_lag

SYMBOLS_PER_QUANTILE = 3
_QUINTILES_FROM = 25


@dataclass(frozen=True)
class Quantiles:
    """Mean returns by quantile of the signal.

    Attributes
    ----------
    table : DataFrame
        ``horizon, quantile, mean, standard_error, low, high, p_value, bars, effective_bars``; quantile 1 has the lowest
        signal, and ``"spread"`` is the highest less the lowest. Fractions over the horizon.
    monotonicity : float
        p-value against the null hypothesis that some quantile earns no more than the one below it; a small one shows
        that returns rise all the way.
    counts : dict
        Bars by what became of them: ``used``, ``too_few_symbols``, ``tied``.

    Examples
    --------
    >>> from embargo.signals.diagnostics import Quantiles
    >>> Quantiles.__match_args__
    ('table', 'monotonicity', 'counts')
    """

    table: pd.DataFrame
    monotonicity: float
    counts: dict[str, int]


def number_of_quantiles(signal: pd.DataFrame, returns: pd.DataFrame) -> int:
    """Five where most bars have 25 symbols or more, three where they have nine, none (0) below."""
    symbols = (signal.notna() & returns.notna()).to_numpy().sum(axis=1)
    usual = float(np.median(symbols[symbols > 0])) if symbols.any() else 0.0
    return 5 if usual >= _QUINTILES_FROM else 3 if usual >= 3 * SYMBOLS_PER_QUANTILE else 0


def quantile_returns(
    signal: pd.DataFrame, returns: pd.DataFrame, number: int, *, horizon: int, seed: int, n_boot: int = 1000
) -> Quantiles:
    """Sort the symbols of each bar by signal and average what each quantile earned.

    Equal signals share a quantile, so that the order of columns decides nothing; a bar whose ties leave the lowest or
    the highest quantile empty is set aside and counted.

    Parameters
    ----------
    signal, returns : DataFrame, shape (bars, symbols)
        Returns over ``horizon`` bars from the row's own open.
    number : int
        Quantiles, at least 2; a bar needs three times as many symbols.
    horizon : int
        Bars, for the errors.
    seed, n_boot : int
        Of the test of order.

    Returns
    -------
    Quantiles

    Raises
    ------
    ConfigError
        If there are to be fewer than two quantiles.

    References
    ----------
    Patton and Timmermann (2010), "Monotonicity in asset returns", Journal of Financial Economics 98(3).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.signals.diagnostics import quantile_returns
    >>> signal = pd.DataFrame(np.random.default_rng(1).normal(size=(200, 9)))
    >>> returns = 0.002 * signal + np.random.default_rng(2).normal(0.0, 0.01, (200, 9))
    >>> quantile_returns(signal, returns, 3, horizon=1, seed=0).table[['quantile', 'mean', 'p_value']].round(4)
      quantile    mean  p_value
    0        1 -0.0028   0.0000
    1        2 -0.0005   0.3774
    2        3  0.0016   0.0008
    3   spread  0.0044   0.0000
    """
    if number < 2:
        raise ConfigError(f"quantile_returns: {number} quantiles; at least 2 are needed for a spread.")
    both = (signal.notna() & returns.notna()).to_numpy()
    size = both.sum(axis=1)
    ranks = signal.where(both).rank(axis=1).to_numpy(dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        place = np.ceil(number * (ranks - 0.5) / size[:, None])
    earned = np.where(both, returns.to_numpy(dtype=float), 0.0)
    means = np.full((len(signal), number), np.nan)
    for quantile in range(number):
        inside = place == quantile + 1
        held = inside.sum(axis=1)
        means[:, quantile] = np.where(held > 0, (earned * inside).sum(axis=1) / np.maximum(held, 1), np.nan)
    enough = size >= number * SYMBOLS_PER_QUANTILE
    tied = enough & ~np.isfinite(means[:, [0, -1]]).all(axis=1)
    used = enough & ~tied
    means[~used] = np.nan
    lag = newey_west_lag(len(means), horizon)
    rows = []
    columns = {**{str(place + 1): means[:, place] for place in range(number)}, "spread": means[:, -1] - means[:, 0]}
    for name, values in columns.items():
        found = mean_by_row(values, lag=lag)
        rows.append(
            {
                "horizon": horizon,
                "quantile": name,
                "mean": found.value,
                **error_columns(found),
                "bars": found.n,
                "effective_bars": found.n_effective,
            }
        )
    counts = {"used": int(used.sum()), "too_few_symbols": int((~enough).sum()), "tied": int(tied.sum())}
    return Quantiles(pd.DataFrame(rows), _rising(means[used], lag, seed, n_boot), counts)


def _rising(means: np.ndarray, lag: int, seed: int, n_boot: int) -> float:
    """Test that column means rise: the smallest step against what chance makes of the smallest step of equal means."""
    if len(means) < 2 * lag:
        return float("nan")
    steps = np.diff(np.nanmean(means, axis=0))
    drawn = np.diff(block_means(means, block=lag, n_boot=n_boot, seed=seed), axis=1) - steps
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    if not len(drawn) or not np.isfinite(steps).all():
        return float("nan")
    return float((1 + np.count_nonzero(drawn.min(axis=1) >= steps.min())) / (1 + len(drawn)))
