"""The master protocol: perturb the future and see whether the past moves.

Worlds that agree on everything known at a decision and differ after it must lead to the same decisions up to then,
bit for bit. The check compares decisions, never profit, holds index, universe and missing-price pattern fixed, and
looks at rows that traded as well as rows that did not. One's own function is held to more in `protocol`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import Finding, plain, require_columns, utc_array
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices, as_utc

Decide = Callable[[pd.DataFrame, Prices], pd.DataFrame]

LATENCY = pd.Timedelta(minutes=5)
ROUNDING = 1e-12
_TITLE = CHECKS["check_decisions_are_causal"].title
_REMEDY = (
    "Look for a statistic fitted over all dates, a join by calendar date, a backward fill, or a price of the bar being "
    "decided; read nothing with known_at or close_at after decided_at."
)
CANARY = "zqxcanary the opposite happened"


@dataclass(frozen=True)
class _World:
    changed: str
    news: pd.DataFrame
    prices: Prices


def check_decisions_are_causal(
    decide: Decide,
    scored_news: pd.DataFrame,
    prices: Prices,
    decided_at: pd.DatetimeIndex,
    *,
    n_rows: int = 12,
    seed: int,
    boundaries: Sequence[pd.Timestamp] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Finding:
    """Perturb what is known only after a decision and require all decisions up to it to stay bit-identical (T1).

    For each of ``n_rows`` rows three worlds are built: news known after ``decided_at[row]`` removed; prices of bars
    not closed by then rescaled with noise (missing prices stay missing, since whether a price exists at the open is
    a matter of the fill); scores of later news reversed and their text replaced. The same world is run twice first,
    and once with all inputs perturbed: a ``decide`` that ignores its inputs proves nothing.

    Silent on: leaks inside the scores themselves, and on reactions that only rows not drawn would show.

    Parameters
    ----------
    decide : callable
        ``decide(scored_news, prices) -> weights``, DataFrame of shape (bars, symbols). It must use its arguments and
        keep the same index and columns in every world. Called ``3 + 3 * n_rows`` times at most.
    scored_news : DataFrame
        One row per article and symbol with ``known_at`` (UTC), ``symbol`` and numeric score columns.
    prices : Prices
        Bars, shape (bars, symbols).
    decided_at : DatetimeIndex, shape (bars,)
        Instant (UTC) at which each row of the weights is decided.
    n_rows : int
        Rows to test: first and last, half days, rows around ``boundaries``, rows followed by news within their bar,
        rows that begin a position, and random ones.
    seed : int
        Seed of the rows and of the perturbations.
    boundaries : sequence of Timestamp
        Instants (UTC) around which to test, such as fold boundaries.
    progress : callable, optional
        Called with (worlds done, worlds in all).

    Returns
    -------
    Finding
        Code ``T1``; ``effect`` is the largest change of a weight that was already decided.

    Raises
    ------
    DataError
        If frames lack columns, or ``decided_at`` does not match the prices.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_decisions_are_causal
    >>> from embargo.data_loaders.schemas import Prices
    >>> at = pd.date_range('2024-01-01', periods=40, freq='D', tz='UTC')
    >>> steps = np.random.default_rng(1).normal(0.0, 0.02, (40, 1))
    >>> close = pd.DataFrame(100.0 * np.exp(steps.cumsum(axis=0)), index=at, columns=['BTC'])
    >>> prices = Prices(close, close, close, close, close, at, at + pd.Timedelta(days=1), calendar='24/7')
    >>> news = pd.DataFrame({'known_at': at - pd.Timedelta(hours=3), 'symbol': 'BTC', 'score': steps[:, 0]})
    >>> def decide(news, prices):
    ...     wait = pd.Series(news['score'].to_numpy(), index=pd.DatetimeIndex(news['known_at']))
    ...     known = wait.reindex(prices.open_at - pd.Timedelta(minutes=5), method='ffill')
    ...     return known.set_axis(prices.open_at).to_frame('BTC').fillna(0.0)
    >>> decided_at = at - pd.Timedelta(minutes=5)
    >>> check_decisions_are_causal(decide, news, prices, decided_at, seed=0).verdict
    'pass'
    """
    require_columns(scored_news, ("known_at", "symbol"), where="scored news")
    if len(decided_at) != len(prices.open_at):
        raise DataError(
            f"decided_at has {len(decided_at)} rows, prices have {len(prices.open_at)} bars. Give one instant per bar."
        )
    known_at = as_utc(scored_news["known_at"], what="scored news, column known_at")
    rng = np.random.default_rng(seed)
    total = 3 + 3 * min(max(n_rows, 1), len(decided_at))
    report = progress or (lambda _done, _total: None)

    base = decide(scored_news.copy(deep=False), prices)
    refusal = _unusable(base, decided_at)
    if refusal:
        return Finding("T1", "inconclusive", _TITLE, refusal, remedy="Return one row of weights per bar.")
    again = decide(scored_news.copy(deep=False), prices)
    report(2, total)
    if not base.equals(again):
        gap = _largest_change(base, again)
        return Finding(
            "T1",
            "inconclusive",
            _TITLE,
            f"inconclusive: non-deterministic. The same news and prices gave different weights in two runs "
            f"(largest difference {gap:.3g}), so nothing can be said about the future.",
            effect=gap,
            unit="largest change of a weight",
            remedy="Seed every random step and fix the order of ties, then run the audit again.",
        )
    start = pd.Timestamp("1700-01-01", tz="UTC")
    moved = decide(reversed_scores(scored_news, known_at > start, rng), rescaled_prices(prices, start, rng))
    report(3, total)
    if base.equals(moved):
        return Finding(
            "T1",
            "inconclusive",
            _TITLE,
            "Decisions stayed the same even when all scores were reversed and all prices rescaled, so the check has "
            "no power here: the strategy reads neither news nor prices, or the callable ignores its arguments.",
            remedy="Make sure that the decisions are computed from the frames that are handed in.",
        )

    rows = choose_rows(
        known_at, prices, decided_at, n_rows=n_rows, boundaries=boundaries, rng=rng, rare=[_entries(base, rng)]
    )
    done, faults, odd_shapes, tested = 3, [], [], 0
    for row in rows:
        for world in _worlds(scored_news, known_at, prices, decided_at[row], rng):
            weights = decide(world.news, world.prices)
            tested += 1
            if not (weights.index.equals(base.index) and weights.columns.equals(base.columns)):
                odd_shapes.append({"row": int(row), "decided_at": plain(decided_at[row]), "changed": world.changed})
                continue
            fault = _first_moved(base, weights, row, decided_at, world.changed)
            if fault:
                faults.append(fault)
        done += 3
        report(done, total)
    return _judge(faults, odd_shapes, n_rows=len(rows), n_worlds=tested, base=base)


def _unusable(weights: pd.DataFrame, decided_at: pd.DatetimeIndex) -> str:
    if len(weights) != len(decided_at):
        return f"The decisions have {len(weights)} rows for {len(decided_at)} bars, so rows cannot be compared."
    if weights.empty:
        return "There are no decisions to compare."
    return ""


def _judge(
    faults: list[dict[str, Any]], odd_shapes: list[dict[str, Any]], *, n_rows: int, n_worlds: int, base: pd.DataFrame
) -> Finding:
    unit = "largest change of a weight already decided"
    if faults:
        faults.sort(key=lambda fault: (-fault["largest_change"], fault["row"]))
        worst, first = faults[0], min(faults, key=lambda fault: (fault["row"], fault["changed"]))
        size = float(worst["largest_change"])
        inputs = sorted({fault["changed"] for fault in faults})
        only_rounding = size <= ROUNDING
        where = (
            f"first {first['symbol']} at row {first['row']} (decided {first['decided_at']}): {first['value']} became "
            f"{first['value_perturbed']} when {first['changed']}"
        )
        if only_rounding:
            detail = (
                f"{len(faults)} of {n_worlds} worlds moved past weights, but by rounding alone (at most {size:.1e}); "
                f"{where}. The arithmetic of the past depends on how much future there is."
            )
        else:
            detail = (
                f"Weights already decided moved in {len(faults)} of {n_worlds} worlds that differ only in the future, "
                f"by up to {size:.4g}; {where}. Inputs that reached back: {', '.join(inputs)}."
            )
        evidence = [first, *[fault for fault in faults if fault is not first][:4]]
        return Finding("T1", "suspicious" if only_rounding else "leak", _TITLE, detail, evidence, size, unit, _REMEDY)
    if odd_shapes:
        return Finding(
            "T1",
            "inconclusive",
            _TITLE,
            f"In {len(odd_shapes)} of {n_worlds} worlds the decisions had other rows or symbols than before, so they "
            "could not be compared: the universe depends on what happens later, or is not held fixed.",
            odd_shapes[:5],
            remedy="Fix index and universe from the prices alone, so that every world has the same panel.",
        )
    return Finding(
        "T1",
        "pass",
        _TITLE,
        f"{n_worlds} worlds that differ only after the decision, at {n_rows} of {len(base)} rows, left every earlier "
        "weight bit-identical.",
        effect=0.0,
        unit=unit,
    )


def _entries(base: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Return rows on which flat symbols come to be held, until each symbol has one: such a row may know too early."""
    held = base.to_numpy(dtype=float) != 0.0
    begun = held & ~np.vstack([np.zeros((1, held.shape[1]), dtype=bool), held[:-1]])
    order = rng.permutation(len(begun))
    left, found = begun[order], []
    while left.any():
        place = int(left.sum(axis=1).argmax())
        found.append(int(order[place]))
        left = left & ~left[place]
    return np.array(found, dtype=int)


def choose_rows(
    known_at: pd.Series,
    prices: Prices,
    decided_at: pd.DatetimeIndex,
    *,
    n_rows: int,
    boundaries: Sequence[pd.Timestamp],
    rng: np.random.Generator,
    rare: Sequence[np.ndarray] = (),
) -> list[int]:
    """Draw rows in turn from strata, so that rare kinds (half days, fold boundaries, others) are always among them."""
    n_bars = len(decided_at)
    length = (prices.close_at - prices.open_at).to_numpy()
    half_days = np.flatnonzero(length < np.median(length))
    found = [int(decided_at.searchsorted(instant)) for instant in boundaries]
    edges = {min(max(position + step, 0), n_bars - 1) for position in found for step in (-1, 0)}
    decided, known = utc_array(decided_at), np.sort(utc_array(known_at))
    after = np.searchsorted(known, utc_array(prices.close_at), side="right")
    soon = np.flatnonzero(after > np.searchsorted(known, decided, side="right"))
    strata = [
        np.array([n_bars // 2, 0, n_bars - 1]),
        rng.permutation(soon),
        rng.permutation(np.array(sorted(edges), dtype=int)),
        rng.permutation(half_days),
        rng.permutation(n_bars),
    ]
    strata[1:1] = [rng.permutation(rows) for rows in rare]
    wanted = min(max(n_rows, 1), n_bars)
    chosen: dict[int, None] = {}
    turn = 0
    while len(chosen) < wanted:
        for stratum in strata:
            if turn < len(stratum) and len(chosen) < wanted:
                chosen.setdefault(int(stratum[turn]))
        turn += 1
    return sorted(chosen)


def _worlds(
    news: pd.DataFrame, known_at: pd.Series, prices: Prices, decided: pd.Timestamp, rng: np.random.Generator
) -> list[_World]:
    later = known_at > decided
    worlds = []
    if bool(later.any()):
        first = int(np.argmax(later.to_numpy()))
        # In the order of time what is left is a slice, of which no text is copied.
        earlier = news.iloc[:first] if bool(later.iloc[first:].all()) else news.loc[~later]
        worlds.append(_World("later news was removed", earlier, prices))
        worlds.append(_World("scores of later news were reversed", reversed_scores(news, later, rng), prices))
    if bool((prices.close_at > decided).any()):
        worlds.append(
            _World(
                "prices of bars not yet closed were rescaled",
                news.copy(deep=False),
                rescaled_prices(prices, decided, rng),
            )
        )
    return worlds


def reversed_scores(news: pd.DataFrame, later: pd.Series, rng: np.random.Generator) -> pd.DataFrame:
    """Swap bearish and bullish of later rows, shuffle and (where signed) negate other numbers, replace their text."""
    # What is written into a column is the frame's own (copy on write), so nothing has to be copied before.
    news = news.copy(deep=False)
    mask = later.to_numpy()
    if {"bearish", "bullish"} <= set(news.columns):
        down, up = news["bearish"].to_numpy(), news["bullish"].to_numpy()
        news["bearish"], news["bullish"] = np.where(mask, up, down), np.where(mask, down, up)
    for name in news.columns:
        if name in ("bearish", "neutral", "bullish") or not pd.api.types.is_float_dtype(news[name].dtype):
            continue
        values = news[name].to_numpy(copy=True)
        sign = -1.0 if np.nanmin(values, initial=0.0) < 0 else 1.0
        # An article that nobody scored has no confidence either.
        moved = mask & ~np.isnan(values) if name == "confidence" else mask
        values[moved] = sign * rng.permutation(values[moved])
        news[name] = values
    if "text" in news.columns:
        text = pc.if_else(pa.array(mask), CANARY, pa.array(news["text"], pa.large_string()))
        news["text"] = pd.Series(text.to_pandas(), index=news.index, dtype=news["text"].dtype)
    return news


def rescaled_prices(prices: Prices, decided: pd.Timestamp, rng: np.random.Generator) -> Prices:
    """Rescale bars that close after ``decided`` by log-normal noise per bar, symbol and field; NaN stays NaN."""
    later = np.asarray(prices.close_at > decided)
    first = len(later) - int(later.sum())
    # In the order of time those that change are a slice, of which nothing is copied.
    mask = slice(first, None) if later[first:].all() else later
    shape = (len(later) - first, prices.open.shape[1])
    level = np.exp(rng.normal(0.0, 0.5, shape[1]) + rng.normal(0.0, 0.2, shape))
    panels: dict[str, np.ndarray] = {}
    for name in ("open", "close", "volume"):
        values = getattr(prices, name).to_numpy(dtype=float, copy=True)
        own = np.exp(rng.normal(0.0, 0.1, shape))
        values[mask] *= own if name == "volume" else level * own
        panels[name] = values
    for name, widest in (("high", np.fmax), ("low", np.fmin)):
        values = getattr(prices, name).to_numpy(dtype=float, copy=True)
        moved = widest(widest(values[mask] * level, panels["open"][mask]), panels["close"][mask])
        values[mask] = np.where(np.isnan(values[mask]), np.nan, moved)
        panels[name] = values
    frames = {
        name: pd.DataFrame(values, index=prices.open.index, columns=prices.open.columns)
        for name, values in panels.items()
    }
    return replace(
        prices,
        open=frames["open"],
        high=frames["high"],
        low=frames["low"],
        close=frames["close"],
        volume=frames["volume"],
    )


def _largest_change(first: pd.DataFrame, second: pd.DataFrame) -> float:
    if first.shape != second.shape:
        return float("inf")
    gap = _changes(first.to_numpy(dtype=float), second.to_numpy(dtype=float))
    return float(gap.max(initial=0.0))


def _changes(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Absolute differences; 0 where bits agree or both are NaN, infinite where only one is NaN."""
    with np.errstate(invalid="ignore"):
        gap = np.abs(first - second)
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    return np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))


def _first_moved(
    base: pd.DataFrame, weights: pd.DataFrame, row: int, decided_at: pd.DatetimeIndex, changed: str
) -> dict[str, Any] | None:
    before = base.to_numpy(dtype=float)[: row + 1]
    after = weights.to_numpy(dtype=float)[: row + 1]
    gap = _changes(before, after)
    if not gap.any():
        return None
    bar, column = np.argwhere(gap > 0)[0]
    return {
        "symbol": str(base.columns[column]),
        "row": int(bar),
        "decided_at": plain(decided_at[int(bar)]),
        "value": plain(before[bar, column]),
        "value_perturbed": plain(after[bar, column]),
        "changed": changed,
        "perturbed_after_row": int(row),
        "perturbed_after": plain(decided_at[int(row)]),
        "largest_change": float(gap.max()),
    }
