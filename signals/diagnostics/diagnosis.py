"""Signal research on a finished window: every question that can be asked of a signal, gathered in one `Diagnosis`.

What a signal knows by horizon and by lag, how fast it fades, what its quantiles earned, what prices did around
publication, and which articles carried it. It looks back, with ranks and means of all the window, and decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import Prices, utc_microseconds
from embargo.signals.diagnostics.events import event_study, publication_hours
from embargo.signals.diagnostics.information import (
    HalfLife,
    error_columns,
    forward_returns,
    half_life,
    ic_by_horizon,
    ic_by_lag,
    net_of_market_if_many,
    persistence,
    ranks_across,
    turnover,
)
from embargo.signals.diagnostics.quantiles import number_of_quantiles, quantile_returns
from embargo.signals.diagnostics.standard_errors import mean_by_row, newey_west_lag

HORIZONS = (1, 2, 5, 10, 20)
CONFIDENT = 0.6
FEWEST_BARS = 60
_LAGS_BEFORE, _LAGS_AFTER = 5, 15
_MOST_SOURCES = 8
_AGES = (("under 1 hour", 1.0), ("1 to 6 hours", 6.0), ("6 to 24 hours", 24.0), ("1 to 3 days", 72.0))
_OLDEST = "over 3 days"
# Coefficients that daily or hourly news have not been seen to reach honestly.
_TOO_GOOD = 0.2
_MOSTLY = 0.25
_SILENT = "The signal holds no opinion on any bar, so nothing is known of it: see articles and events."


@dataclass(frozen=True)
class Diagnosis:
    """Everything asked of one signal.

    Attributes
    ----------
    ranking : {'across symbols', 'through time'}
        How coefficients are ranked: per bar across its symbols, or per symbol through time where there are few.
    horizons, lags, persistence : DataFrame
        As `ic_by_horizon`, `ic_by_lag` and `persistence` describe them; ``horizons`` has ``p_holm`` too, adjusted for
        their number.
    ic : Series, shape (bars,)
        Coefficient of each bar at the first horizon, NaN where undefined.
    half_lives : dict of str to HalfLife
        ``information`` (of the coefficients by lag, from lag 0) and ``signal`` (of its autocorrelation), in bars.
    turnover : dict of str to float
    quantiles : DataFrame
        As in `quantile_returns`, all horizons; empty where bars have too few symbols.
    monotonicity : dict of int to float
        One-sided p-value by horizon, for returns that do not rise all the way.
    events : DataFrame
        As in `event_study`.
    groups : DataFrame
        ``kind`` (source, confidence, age), ``group, articles, ic, standard_error, low, high, p_value, hit_rate,
        mean_return``: per article, at the first horizon, net of the market; ``mean_return`` is signed by direction,
        p-values are two-sided.
    counts : dict of str to dict of str to int
        What was used and what was left out, of cells, articles, quantiles and events.
    remarks : tuple of str
        What a reader should know before believing a figure.

    Examples
    --------
    >>> from embargo.signals.diagnostics import Diagnosis
    >>> Diagnosis.__match_args__[:4]
    ('ranking', 'horizons', 'lags', 'persistence')
    """

    ranking: str
    horizons: pd.DataFrame
    lags: pd.DataFrame
    persistence: pd.DataFrame
    ic: pd.Series
    half_lives: dict[str, HalfLife]
    turnover: dict[str, float]
    quantiles: pd.DataFrame
    monotonicity: dict[int, float]
    events: pd.DataFrame
    groups: pd.DataFrame
    counts: dict[str, dict[str, int]]
    remarks: tuple[str, ...]


def diagnose(
    signal: pd.DataFrame,
    weights: pd.DataFrame,
    articles: pd.DataFrame,
    prices: Prices,
    *,
    horizons: Sequence[int] = HORIZONS,
    confidence: float = CONFIDENT,
    seed: int = 0,
) -> Diagnosis:
    """Ask everything of one signal.

    Parameters
    ----------
    signal, weights : DataFrame, shape (window's bars, symbols)
        Row t is what may be held from ``open[t]``. Bars follow one another without a gap.
    articles : DataFrame
        Scored news with ``published_at, known_at, source, bearish, neutral, bullish, confidence`` and the ``row`` and
        ``column`` each one reached, -1 for none; ``used`` where its confidence let it count.
    prices : Prices
        All bars; none behind the window is looked at.
    horizons : sequence of int
        Bars, at least 1.
    confidence : float
        Articles from here on make events.
    seed : int
        Of the bootstraps.

    Returns
    -------
    Diagnosis

    Raises
    ------
    ConfigError
        If a horizon is below 1, there are none, or one is longer than half the window.
    DataError
        If the panels do not belong to the prices, or the window has fewer than 60 bars.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.data_loaders.schemas import Prices
    >>> from embargo.signals.diagnostics import diagnose
    >>> rng = np.random.default_rng(1)
    >>> days = pd.date_range('2024-01-01', periods=200, tz='UTC')
    >>> symbols = list('ABCDEFGHIJ')
    >>> signal = pd.DataFrame(rng.normal(size=(200, 10)), days, symbols)
    >>> earned = 0.002 * signal + rng.normal(0.0, 0.01, (200, 10))
    >>> level = 100.0 * (1.0 + earned).cumprod().shift(1, fill_value=1.0)
    >>> prices = Prices(level, level, level, level, level, days, days + pd.Timedelta('1D'), '24/7')
    >>> articles = pd.DataFrame({'row': np.arange(200), 'column': 0, 'source': 'wire', 'confidence': 0.7})
    >>> articles = articles.assign(published_at=days, known_at=days, bearish=0.2, neutral=0.1, bullish=0.7)
    >>> found = diagnose(signal, 0.1 * signal, articles, prices, horizons=[1, 5])
    >>> found.horizons[['horizon', 'ic', 'low', 'high', 'p_holm']].round(3)
       horizon     ic    low   high  p_holm
    0        1  0.135  0.082  0.187   0.000
    1        5  0.050  0.005  0.096   0.034
    """
    wanted = sorted(set(horizons))
    first = _first_row(signal, weights, prices)
    n_rows = len(signal)
    if not wanted or wanted[0] < 1 or wanted[-1] > n_rows // 2:
        raise ConfigError(f"horizons {list(horizons)}: give bars from 1 to {n_rows // 2}, half of the {n_rows} bars.")
    history = prices.open.iloc[: first + n_rows]
    open_ = history.iloc[first:].set_axis(signal.index)
    # A symbol that has no open cannot be bought on that row, whatever the signal says.
    tradable = signal.where(open_.notna())
    table, ic = ic_by_horizon(tradable, open_, wanted)
    lags = range(-_LAGS_BEFORE, min(_LAGS_AFTER, n_rows // 4) + 1)
    by_lag, lag_series = ic_by_lag(tradable, open_, lags)
    autocorrelation, products = persistence(signal, min(20, n_rows // 4))
    block = newey_west_lag(n_rows)
    lives = {
        "information": information_life(by_lag, lag_series[:, _LAGS_BEFORE:], block, seed),
        "signal": half_life(products, block=block, seed=seed),
    }
    quantiles, monotonicity, quantile_counts = _quantiles(tradable, open_, wanted, seed)
    hours = publication_hours(articles["published_at"], prices.open_at, prices.close_at, prices.calendar)
    study = event_study(articles, history, hours, first_row=first, confidence=confidence)
    groups, article_counts = _groups(articles, open_, wanted[0])
    ranking = "across symbols" if ranks_across(tradable, open_) else "through time"
    table = table.assign(p_holm=_holm(table["p_value"].to_numpy()))
    return Diagnosis(
        ranking=ranking,
        horizons=table,
        lags=by_lag,
        persistence=autocorrelation,
        ic=ic,
        half_lives=lives,
        turnover=turnover(tradable, weights),
        quantiles=quantiles,
        monotonicity=monotonicity,
        events=study.table,
        groups=groups,
        counts={
            "cells": _cells(signal, open_, wanted),
            "articles": article_counts,
            "events": study.counts,
            **quantile_counts,
        },
        remarks=(
            *_slowness(lives["signal"].bars, n_rows),
            *(
                (
                    *_same_bar(by_lag, lag_series),
                    *_echo(by_lag, lag_series),
                    *_thinness(ranking, table, quantile_counts),
                )
                if signal.fillna(0.0).to_numpy().any()
                else (_SILENT,)
            ),
            *_no_events(study.counts, confidence, articles["confidence"]),
        ),
    )


def _first_row(signal: pd.DataFrame, weights: pd.DataFrame, prices: Prices) -> int:
    """Position of the signal's first bar among the prices, after checking that the panels belong to them."""
    if len(signal) < FEWEST_BARS:
        raise DataError(f"signal: {len(signal)} bars; fewer than {FEWEST_BARS} tell nothing. Test on a longer window.")
    bars = utc_microseconds(prices.open_at)
    own = utc_microseconds(pd.DatetimeIndex(signal.index))
    first = int(np.searchsorted(bars, own[0]))
    if not np.array_equal(bars[first : first + len(own)], own):
        raise DataError(
            f"signal: its {len(signal)} bars from {signal.index[0]} are not bars of the prices. Use the prices it was "
            "made with."
        )
    if list(map(str, signal.columns)) != prices.symbols:
        raise DataError("signal: its symbols are not those of the prices. Use the prices it was made with.")
    if not (weights.index.equals(signal.index) and weights.columns.equals(signal.columns)):
        raise DataError("weights: bars or symbols differ from the signal's. Both must come from one run.")
    return first


def _slowness(half_life_of_signal: float, n_rows: int) -> tuple[str, ...]:
    """Doubt tests of a signal that changes as slowly as prices may drift: each of its opinions counts as few bars."""
    if not half_life_of_signal > 0.5 * math.sqrt(n_rows):
        return ()
    told = "for good" if math.isinf(half_life_of_signal) else f"with a half-life of {half_life_of_signal:.0f} bars"
    doubt = (
        f"Size not known to hold here: the signal remembers itself {told}, and {n_rows} bars hold few such spells. "
        "Where prices drift as slowly, a test of a coefficient at 5 % rejects 14 to 27 % of true nulls."
    )
    return (doubt,)


def information_life(table: pd.DataFrame, series: np.ndarray, block: int, seed: int) -> HalfLife:
    """Half-life of what the signal knows; unknown where it is not known to know anything."""
    first = table.loc[table["lag"] == 0].iloc[0]
    if not (first["p_value"] < 0.05 and first["ic"] > 0.0):
        return HalfLife(math.nan, math.nan, math.nan)
    return half_life(series, block=block, seed=seed)


def _quantiles(
    signal: pd.DataFrame, open_: pd.DataFrame, horizons: Sequence[int], seed: int
) -> tuple[pd.DataFrame, dict[int, float], dict[str, dict[str, int]]]:
    number = number_of_quantiles(signal, forward_returns(open_, horizons[0]))
    if not number:
        return pd.DataFrame(), {}, {}
    tables, monotonicity, counts = [], {}, {}
    for horizon in horizons:
        returns = net_of_market_if_many(forward_returns(open_, horizon))
        found = quantile_returns(signal, returns, number, horizon=horizon, seed=seed)
        tables.append(found.table)
        monotonicity[horizon] = found.monotonicity
        counts[f"quantiles, horizon {horizon}"] = found.counts
    return pd.concat(tables, ignore_index=True), monotonicity, counts


def _cells(signal: pd.DataFrame, open_: pd.DataFrame, horizons: Sequence[int]) -> dict[str, int]:
    there, traded = signal.notna(), open_.notna()
    counts = {
        "bars_times_symbols": int(signal.size),
        "without_signal": int((~there).to_numpy().sum()),
        "without_opinion": int((signal == 0.0).to_numpy().sum()),
        "without_open": int((there & ~traded).to_numpy().sum()),
    }
    for horizon in horizons:
        gone = there & traded & forward_returns(open_, horizon).isna()
        counts[f"without_open_{horizon}_bars_later"] = int(gone.to_numpy().sum())
    return counts


def _groups(articles: pd.DataFrame, open_: pd.DataFrame, horizon: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """Information of the articles themselves, by source, confidence and age when they could first be traded on."""
    row, column = articles["row"].to_numpy(), articles["column"].to_numpy()
    placed = row >= 0
    returns = net_of_market_if_many(forward_returns(open_, horizon)).to_numpy(dtype=float)
    earned = np.where(placed, returns[np.maximum(row, 0), np.maximum(column, 0)], np.nan)
    kept = np.isfinite(earned)
    sentiment = (articles["bullish"] - articles["bearish"]).to_numpy(dtype=float)
    opens = utc_microseconds(pd.DatetimeIndex(open_.index))[np.maximum(row, 0)]
    waited = (opens - utc_microseconds(articles["known_at"])) / np.timedelta64(1, "h")
    lag = newey_west_lag(len(open_), horizon)
    rows = []
    for kind, names in (
        ("all", np.full(len(articles), "all articles", dtype=object)),
        ("source", _sources(articles["source"], kept)),
        ("confidence", _confidences(articles["confidence"].to_numpy(dtype=float), kept)),
        ("age", _ages(waited)),
    ):
        for name in _ordered(kind, names[kept]):
            member = kept & (names == name)
            rows.append(
                {"kind": kind, "group": name} | _group(sentiment[member], earned[member], row[member], len(open_), lag)
            )
    used = articles["used"].to_numpy(dtype=bool) if "used" in articles else np.ones(len(articles), dtype=bool)
    counts = {
        "articles": len(articles),
        "not_placed": int((~placed).sum()),
        "below_threshold": int((placed & ~used).sum()),
        f"without_return_over_{horizon}_bars": int((placed & ~kept).sum()),
        "measured": int(kept.sum()),
    }
    return pd.DataFrame(rows), counts


def _group(sentiment: np.ndarray, earned: np.ndarray, row: np.ndarray, n_rows: int, lag: int) -> dict[str, Any]:
    views, outcomes = (_standardised(pd.Series(values).rank().to_numpy()) for values in (sentiment, earned))
    products = views * outcomes
    found = mean_by_row(products, row, n_rows, lag=lag)
    leaning = sentiment != 0.0
    signed = np.sign(sentiment[leaning]) * earned[leaning]
    return {
        "articles": len(earned),
        "ic": found.value,
        **error_columns(found),
        "hit_rate": float((signed > 0.0).mean()) if len(signed) else math.nan,
        "mean_return": float(signed.mean()) if len(signed) else math.nan,
    }


def _standardised(values: np.ndarray) -> np.ndarray:
    spread = values.std()
    return np.asarray((values - values.mean()) / spread if spread > 0.0 else np.full(len(values), np.nan))


def _sources(source: pd.Series, kept: np.ndarray) -> np.ndarray:
    names = source.astype("str").fillna("no source").to_numpy(dtype=object)
    most = pd.Series(names[kept]).value_counts(sort=True).index[:_MOST_SOURCES]
    return np.where(np.isin(names, list(most)), names, "all other sources")


def _confidences(confidence: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Quarters of the articles by confidence, named by their bounds."""
    if not kept.any():
        return np.full(len(confidence), "", dtype=object)
    bounds = np.unique(np.quantile(confidence[kept], [0.0, 0.25, 0.5, 0.75, 1.0]))
    bin_ = np.clip(np.searchsorted(bounds, confidence, side="right") - 1, 0, max(len(bounds) - 2, 0))
    names = [f"{low:.2f} to {high:.2f}" for low, high in pairwise(bounds)]
    return np.array(names or [f"{bounds[0]:.2f}"], dtype=object)[bin_]


def _ages(hours: np.ndarray) -> np.ndarray:
    edges = [edge for _, edge in _AGES]
    return np.array([*(name for name, _ in _AGES), _OLDEST], dtype=object)[np.searchsorted(edges, hours, side="right")]


def _ordered(kind: str, names: np.ndarray) -> list[str]:
    if kind == "age":
        return [name for name in (*(name for name, _ in _AGES), _OLDEST) if name in set(names)]
    if kind == "source":
        found = list(pd.Series(names).value_counts(sort=True).index)
        return sorted(found, key=lambda name: name == "all other sources")
    return sorted(set(names))


def _holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down adjustment; NaN stays."""
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    scaled = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def _thinness(ranking: str, table: pd.DataFrame, quantiles: dict[str, dict[str, int]]) -> list[str]:
    """Say where there is too little to tell."""
    found = []
    if ranking == "through time":
        found.append(
            "Too few symbols to rank across: each symbol's signal is ranked through time, over the whole window."
        )
    tied = max((part["tied"] / max(sum(part.values()), 1) for part in quantiles.values()), default=0.0)
    if tied > _MOSTLY:
        found.append(
            f"Equal signals, most of them no opinion, leave the lowest or highest quantile of {tied:.0%} of the bars "
            "empty: the quantiles speak for the rest alone."
        )
    if not quantiles:
        found.append("Too few symbols for quantiles: three need nine symbols on most bars.")
    unknown = table.loc[table["p_value"].isna(), "horizon"]
    if len(unknown):
        named = ", ".join(str(horizon) for horizon in unknown)
        found.append(f"The window is too short, or too empty, to give horizon {named} an error.")
    thin = table.loc[table["effective_bars"] < FEWEST_BARS, "horizon"]
    if len(thin):
        named = ", ".join(str(horizon) for horizon in thin)
        found.append(f"Overlap leaves fewer than {FEWEST_BARS} independent bars at horizon {named}.")
    return found


def _no_events(counts: dict[str, int], threshold: float, confidence: pd.Series) -> list[str]:
    """Say why the event study is empty, where it is: by what each article failed."""
    if counts["events_used"]:
        return []
    surest = f" (the surest has {confidence.max():.2f})" if counts["not_confident"] else ""
    why = [
        (counts["not_placed"], "reached no bar"),
        (counts["not_confident"], f"were read with a confidence below {threshold:g}{surest}"),
        (counts["neutral"], "were sure but neutral"),
        (counts["contradicted_cells"], "bars had sure articles that contradict each other"),
        (counts["window_outside_the_bars"], "events lie too near an end of the bars"),
        (counts["bars_without_trading"], "events have bars around them without trading"),
    ]
    told = "; ".join(f"{number:,} {what}" for number, what in why if number)
    remedy = " A lower confidence looks at less sure ones." if counts["not_confident"] else ""
    return [f"The event study is empty. Of {counts['articles']:,} articles: {told or 'there are none'}.{remedy}"]


def _same_bar(table: pd.DataFrame, series: np.ndarray) -> list[str]:
    """Say so when the first bar's coefficient is too good, and gone one bar later."""
    own, later = (int(table.index[table["lag"] == lag][0]) for lag in (0, 1))
    value = float(table["ic"].iloc[own])
    fall = mean_by_row(series[:, own] - series[:, later], lag=newey_west_lag(len(series)))
    if not (abs(value) > _TOO_GOOD and abs(fall.value) > 0.5 * abs(value) and fall.p_value < 0.001):
        return []
    told = (
        f"The coefficient of the first bar is {value:.2f}, more than news has been seen to earn, and one bar later "
        f"{float(table['ic'].iloc[later]):.2f}: the signal may hold the return of the very bar it is traded on (T1)."
    )
    return [told]


def _echo(table: pd.DataFrame, series: np.ndarray) -> list[str]:
    """Say so when the signal agrees better with the bar before than with the one that can be held."""
    before, own = (int(table.index[table["lag"] == lag][0]) for lag in (-1, 0))
    excess = mean_by_row(series[:, before] - series[:, own], lag=newey_west_lag(len(series)))
    if not (excess.value > 0.0 and excess.p_value < 0.01 and table["low"].iloc[before] > 0.0):
        return []
    told = (
        f"The signal agrees with the bar before ({float(table['ic'].iloc[before]):.3f}) more than with the first it "
        f"may hold ({float(table['ic'].iloc[own]):.3f}): much of the news was in the price by then, or repeats it (S9)."
    )
    return [told]
