"""How a strategy fared in each market regime; cells too small to judge carry no figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.arguments import check_level, check_mean_block, check_n_boot, check_periods_per_year
from embargo.backtest.metrics import (
    annual_return,
    annual_turnover,
    annual_volatility,
    hit_rate,
    max_drawdown,
    sortino,
    total_return,
)
from embargo.backtest.regimes.blocks import USABLE_SHARE, block_chunks, block_sums
from embargo.backtest.regimes.causal import UNLABELLED
from embargo.backtest.regimes.spells import regime_order, spells
from embargo.backtest.significance import automatic_block_length, conditional_sharpe, holm
from embargo.data_loaders.errors import DataError

_JUDGED = ("sharpe", "low", "high", "p_value", "annual_return", "annual_volatility", "max_drawdown", "hit_rate")
_JUDGED_TOO = (
    "total_return",
    "sortino",
    "worst_bar",
    "turnover_annual",
    "annual_return_low",
    "annual_return_high",
    "annual_volatility_low",
    "annual_volatility_high",
    "hit_rate_low",
    "hit_rate_high",
)
_COUNTED = ("n_spells", "mean_spell_bars", "n_trades", "trade_hit_rate")
COLUMNS = (
    "regime",
    "n_bars",
    "share",
    "sharpe",
    "low",
    "high",
    "p_value",
    "p_value_holm",
    "annual_return",
    "annual_volatility",
    "max_drawdown",
    "hit_rate",
    "note",
    *_COUNTED,
    *_JUDGED_TOO,
)


_LOOKS_BACK = "dated after the fact, from the same bars: neither interval nor test"
_TESTS = ("low", "high", "p_value", "p_value_holm", *(name for name in _JUDGED_TOO if name.endswith(("_low", "_high"))))


def untested(table: pd.DataFrame) -> pd.DataFrame:
    """Take intervals and p-values out of a regime table whose regimes were dated after the fact.

    Such dates are drawn from the same bars: a falling stretch is called a fall because it fell, and no resample draws
    the dates anew. Of strategies that hold the market and have no edge, a nominal 5 % test within the regime after
    Holm's correction calls 28 % good, and intervals of 95 % miss 33 % of the time.

    Parameters
    ----------
    table : DataFrame
        From `regime_table`.

    Returns
    -------
    DataFrame
        The same with None in those columns, and the reason in ``note`` where there is no other.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.regimes import regime_table, untested
    >>> returns = pd.Series(np.random.default_rng(1).normal(0, 0.01, 200))
    >>> labels = pd.Series(np.where(returns.index < 100, "bear", "bull"))
    >>> found = untested(regime_table(returns, labels, periods_per_year=252, n_boot=100, seed=0))
    >>> found["sharpe"].notna().all(), found["p_value"].isna().all(), found["note"][0]
    (np.True_, np.True_, 'dated after the fact, from the same bars: neither interval nor test')
    """
    reasons = table["note"].where(table["note"] != "", _LOOKS_BACK)
    return table.assign(**dict.fromkeys((name for name in _TESTS if name in table.columns), None), note=reasons)


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
    turnover: pd.Series | None = None,
    trades: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """How the strategy fared in each regime, with the uncertainty of every figure that rests on few rows.

    Intervals resample (return, label) pairs in stationary blocks, so that they allow for the random number of rows in
    a regime. That of the Sharpe ratio is studentised; those of return, volatility and hit rate are percentiles, which
    fall a little short of their level in short regimes with fat tails. p-values (null hypothesis: Sharpe ratio <= 0
    within the regime) are given raw and adjusted by Holm's method for the number of regimes judged.

    Parameters
    ----------
    returns : Series, shape (bars,)
        Net returns per row.
    labels : Series of str, shape (bars,)
        Regime of each row, same index.
    periods_per_year : float
        Rows in a year.
    n_boot : int
        Resamples, at least 100.
    level : float
        Confidence level of the intervals.
    seed : int or Generator
    minimum_bars : int
        Regimes with fewer rows, unlabelled rows, and regimes in which too few rows have a return for an interval get
        None and a note instead of figures.
    block : float, optional
        Mean block length in rows; by default the automatic choice of Politis and White.
    turnover : Series, shape (bars,), optional
        One-way turnover per row.
    trades : DataFrame, optional
        Trade records with ``entry_bar`` (position of the row) and ``pnl``; a trade belongs to the regime in which it
        was opened.

    Returns
    -------
    DataFrame, one row per regime in alphabetical order, unlabelled last
        Columns ``COLUMNS``: annual figures and drawdown are as if the regime's rows followed each other;
        ``mean_spell_bars`` counts the rows of an uninterrupted stretch; names that end in ``_low`` and ``_high`` are
        ends of intervals. Missing figures are None, so that ``to_dict("records")`` is JSON-able.

    Raises
    ------
    DataError
        If series carry different bars, or a return is missing.
    ConfigError
        If a setting is out of range.

    References
    ----------
    Politis and Romano (1994), "The Stationary Bootstrap", JASA 89(428); Ledoit and Wolf (2008), Journal of Empirical
    Finance 15(5), for the interval of the Sharpe ratio; Holm (1979), Scandinavian Journal of Statistics 6(2).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.regimes import regime_table
    >>> bars = pd.date_range('2024-01-01', periods=300, tz='UTC')
    >>> labels = pd.Series(np.where(np.arange(300) < 150, 'bear', 'bull'), bars)
    >>> returns = pd.Series(np.random.default_rng(1).normal(0, 0.01, 300) + np.where(labels == 'bull', 0.003, 0), bars)
    >>> table = regime_table(returns, labels, periods_per_year=365, seed=0)
    >>> table[['regime', 'n_bars', 'sharpe', 'low', 'high', 'p_value_holm']].map(
    ...     lambda value: round(value, 2) if isinstance(value, float) else value
    ... )
      regime  n_bars  sharpe   low  high  p_value_holm
    0   bear     150   -1.76 -4.44  0.85          0.91
    1   bull     150    3.48  1.12  5.76          0.01
    """
    _same_bars(returns, labels, turnover)
    check_periods_per_year(periods_per_year)
    check_n_boot(n_boot)
    check_level(level)
    check_mean_block(block)
    rng = np.random.default_rng(seed)
    values = returns.to_numpy(dtype=float)
    names = labels.astype(str).to_numpy()
    length = block if block is not None or len(values) < minimum_bars else automatic_block_length(values)
    lengths = spells(labels).groupby("regime")["bars"]
    rows: list[dict[str, Any]] = []
    for regime in regime_order(set(names)):
        member = names == regime
        inside = values[member]
        row: dict[str, Any] = {"regime": str(regime), "n_bars": int(member.sum()), "share": float(member.mean())}
        row.update(dict.fromkeys((*_JUDGED, *_JUDGED_TOO)))
        row["n_spells"], row["mean_spell_bars"] = int(lengths.size()[regime]), float(lengths.mean()[regime])
        row.update(_traded(trades, member))
        row["note"] = _why_not(str(regime), len(inside), minimum_bars)
        if not row["note"]:
            estimate = conditional_sharpe(
                values, member, periods_per_year=periods_per_year, n_boot=n_boot, level=level, block=length, seed=rng
            )
            if estimate.sharpe is not None and estimate.low is None:
                row["note"] = "too few rows with a return for an interval: not judged"
                rows.append(row)
                continue
            row.update(sharpe=estimate.sharpe, low=estimate.low, high=estimate.high, p_value=estimate.p_value)
            row.update(_figures(inside, periods_per_year))
            if turnover is not None:
                paid = turnover.to_numpy(dtype=float)[member]
                row["turnover_annual"] = annual_turnover(paid, periods_per_year=periods_per_year)
        rows.append(row)
    judged = [row for row in rows if not row["note"]]
    if judged:
        members = np.array([names == row["regime"] for row in judged])
        ends = _intervals(values, members, periods_per_year, length or 1.0, n_boot, level, rng)
        for row, found in zip(judged, ends, strict=True):
            row.update(found)
    for row, adjusted in zip(rows, holm([row["p_value"] for row in rows]), strict=True):
        row["p_value_holm"] = adjusted
    return pd.DataFrame([[row[name] for name in COLUMNS] for row in rows], columns=list(COLUMNS), dtype=object)


def _same_bars(returns: pd.Series, labels: pd.Series, turnover: pd.Series | None) -> None:
    if not labels.index.equals(returns.index):
        raise DataError("regime_table: returns and labels carry different bars. Reindex one to the other.")
    if turnover is not None and not turnover.index.equals(returns.index):
        raise DataError("regime_table: returns and turnover carry different bars. Reindex one to the other.")


def _why_not(regime: str, n_bars: int, minimum_bars: int) -> str:
    if regime == UNLABELLED:
        return "the regime could not be told"
    return f"fewer than {minimum_bars} rows: not judged" if n_bars < minimum_bars else ""


def _figures(inside: np.ndarray, periods_per_year: float) -> dict[str, float | None]:
    return {
        "annual_return": annual_return(inside, periods_per_year=periods_per_year),
        "annual_volatility": annual_volatility(inside, periods_per_year=periods_per_year),
        "max_drawdown": max_drawdown(inside),
        "hit_rate": hit_rate(inside),
        "total_return": total_return(inside),
        "sortino": sortino(inside, periods_per_year=periods_per_year),
        "worst_bar": float(inside.min()),
    }


def _traded(trades: pd.DataFrame | None, member: np.ndarray) -> dict[str, Any]:
    if trades is None:
        return {"n_trades": None, "trade_hit_rate": None}
    opened = trades["entry_bar"].to_numpy(dtype=np.int64)
    here = trades.loc[member[opened]]
    return {"n_trades": len(here), "trade_hit_rate": hit_rate(here["pnl"]) if len(here) else None}


def _intervals(
    values: np.ndarray,
    members: np.ndarray,
    periods_per_year: float,
    block: float,
    n_boot: int,
    level: float,
    rng: np.random.Generator,
) -> list[dict[str, float | None]]:
    """Percentile intervals of each regime's annual return, volatility and hit rate."""
    bars = len(values)
    solvent = bool((values > -1.0).all())
    logs = np.log1p(values) if solvent else np.full(bars, np.nan)
    drawn = np.full((len(members), 3, n_boot), np.nan)
    everywhere = np.ones(bars, dtype=bool)
    for chunk, starts, lengths in block_chunks(bars, block, n_boot, rng):

        def total(parts: np.ndarray, starts: np.ndarray = starts, lengths: np.ndarray = lengths) -> np.ndarray:
            return np.asarray(block_sums(parts, starts, lengths).sum(axis=1))

        for place, member in enumerate(members):
            found = drawn[place, :, chunk]
            number, up, moved = (
                total((member & part).astype(float)) for part in (everywhere, values > 0.0, values != 0.0)
            )
            centre = values[member].mean()
            gap = np.where(member, values - centre, 0.0)
            with np.errstate(divide="ignore", invalid="ignore"):
                found[0] = np.expm1(total(np.where(member, logs, 0.0)) / number * periods_per_year)
                mean = total(gap) / number
                variance = (total(gap**2) / number - mean**2) * number / (number - 1.0)
                found[1] = np.sqrt(np.maximum(variance, 0.0) * periods_per_year)
                found[2] = up / moved
    figures = ("annual_return", "annual_volatility", "hit_rate")
    return [_ends({name: rows[place] for place, name in enumerate(figures)}, level) for rows in drawn]


def _ends(drawn: dict[str, np.ndarray], level: float) -> dict[str, float | None]:
    tail = 0.5 * (1.0 - level)
    ends: dict[str, float | None] = {}
    for name, values in drawn.items():
        there = values[np.isfinite(values)]
        low, high = np.quantile(there, [tail, 1.0 - tail]) if len(there) >= USABLE_SHARE * len(values) else (None, None)
        ends[f"{name}_low"] = None if low is None else float(low)
        ends[f"{name}_high"] = None if high is None else float(high)
    return ends
