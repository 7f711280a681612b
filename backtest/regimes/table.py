"""How a strategy fared in each market regime; cells too small to judge carry no figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from backtest.metrics import annual_return, annual_volatility, hit_rate, max_drawdown
from backtest.regimes.causal import UNLABELLED
from backtest.significance import automatic_block_length, conditional_sharpe, holm
from data_loaders.errors import DataError


def regime_table(
    returns: pd.Series,
    labels: pd.Series,
    *,
    periods_per_year: float,
    n_boot: int = 2000,
    level: float = 0.95,
    seed: int | np.random.Generator,
    minimum_bars: int = 60,
    block: float | None = None,
) -> pd.DataFrame:
    """How the strategy fared in each regime, with the uncertainty of every figure that rests on few rows.

    Intervals resample (return, label) pairs in stationary blocks, so that they allow for the random number of rows in
    a regime. p-values (null hypothesis: Sharpe ratio <= 0 within the regime) are given raw and adjusted by Holm's
    method for the number of regimes judged.

    Parameters
    ----------
    returns : Series, shape (bars,)
        Net returns per row.
    labels : Series of str, shape (bars,)
        Regime of each row, same index.
    periods_per_year : float
    n_boot, level, seed, block
        As in ``significance.sharpe_estimate``.
    minimum_bars : int
        Regimes with fewer rows, and unlabelled rows, get None and a note instead of figures.

    Returns
    -------
    DataFrame, one row per regime in alphabetical order, unlabelled last
        ``regime, n_bars, share, sharpe, low, high, p_value, p_value_holm, annual_return, annual_volatility,
        max_drawdown, hit_rate, note``; annual figures as if the regime's rows followed each other. Missing figures are
        None, so that ``to_dict("records")`` is JSON-able.

    Raises
    ------
    DataError
        If the two series carry different bars.
    """
    if not labels.index.equals(returns.index):
        raise DataError("regime_table: returns and labels carry different bars. Reindex one to the other.")
    rng = np.random.default_rng(seed)
    values = returns.to_numpy(dtype=float)
    names = labels.astype(str).to_numpy()
    length = block if block is not None or len(values) < minimum_bars else automatic_block_length(values)
    rows: list[dict[str, Any]] = []
    for regime in sorted(set(names), key=lambda name: (name == UNLABELLED, name)):
        member = names == regime
        inside = values[member]
        row: dict[str, Any] = {"regime": str(regime), "n_bars": int(member.sum()), "share": float(member.mean())}
        figures = ("sharpe", "low", "high", "p_value", "annual_return", "annual_volatility", "max_drawdown", "hit_rate")
        row.update(dict.fromkeys(figures))
        row["note"] = ""
        if regime == UNLABELLED:
            row["note"] = "not enough history to tell the regime"
        elif len(inside) < minimum_bars:
            row["note"] = f"fewer than {minimum_bars} rows: not judged"
        else:
            estimate = conditional_sharpe(
                values, member, periods_per_year=periods_per_year, n_boot=n_boot, level=level, block=length, seed=rng
            )
            row.update(sharpe=estimate.sharpe, low=estimate.low, high=estimate.high, p_value=estimate.p_value)
            row["annual_return"] = annual_return(inside, periods_per_year=periods_per_year)
            row["annual_volatility"] = annual_volatility(inside, periods_per_year=periods_per_year)
            row["max_drawdown"] = max_drawdown(inside)
            row["hit_rate"] = hit_rate(inside)
        rows.append(row)
    for row, adjusted in zip(rows, holm([row["p_value"] for row in rows]), strict=True):
        row["p_value_holm"] = adjusted
    order = ["regime", "n_bars", "share", "sharpe", "low", "high", "p_value", "p_value_holm", "annual_return"]
    order += ["annual_volatility", "max_drawdown", "hit_rate", "note"]
    return pd.DataFrame([[row[name] for name in order] for row in rows], columns=order, dtype=object)
