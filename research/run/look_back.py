"""What a reader of a report asks next, computed once from the books of a run and kept beside them.

Where the return came from, when it came, what was held and read on the days that mattered, and how long the signal knew
something. Nothing here decides or judges: it looks back on a finished run, and the report shows these frames as they
are.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from embargo.backtest.attribution import Attribution, attribute
from embargo.backtest.books.simulation import marks
from embargo.backtest.metrics import rolling_sharpe
from embargo.signals.diagnostics.diagnosis import HORIZONS, information_life
from embargo.signals.diagnostics.information import half_life, ic_by_horizon, ic_by_lag, persistence
from embargo.signals.diagnostics.standard_errors import newey_west_lag

if TYPE_CHECKING:
    from embargo.research.run.plan import Plan
    from embargo.research.run.trading import Trade

MOST_DAYS = 10
SYMBOLS_OF_A_DAY = 3
ARTICLES_OF_A_SYMBOL = 2
MOST_LAGS = 10
# Ranks of more take longer than all else that is measured; of a larger panel the newest bars are asked.
MOST_CELLS = 2_000_000
_EXCERPT = 140
# Below this a ratio of a stretch says nothing at all.
_FEWEST_ROWS = 20
_DAY_COLUMNS = (
    "kind", "rank", "day", "return", "symbol", "weight", "move", "contribution", "article_id", "known_at",
    "bars_before", "score", "confidence", "source", "text",
)  # fmt: skip
_OF_AN_ARTICLE = ("article_id", "known_at", "row", "bullish", "bearish", "confidence", "source", "text")


@dataclass(frozen=True, eq=False)
class LookBack:
    """Frames behind the report, each a file of the run.

    Attributes
    ----------
    values : DataFrame, shape (bars + 1, symbols)
        Value of each symbol at the fills of each bar, and behind the last; NaN where it had none yet.
    over_time : DataFrame, shape (bars, 12)
        ``rolling_sharpe, rolling_low, rolling_high`` (a year; over `rolling_rows`, NaN before), ``gross, net, names``
        (held after the fills), ``turnover`` (one way), and ``long, short, fees, slippage, carry`` as in `Attribution`:
        fractions of the equity at the start.
    contributions : DataFrame, shape (symbols, 6)
        As in `Attribution`.
    days : DataFrame
        Rows of the best and the worst days: ``kind`` ("best" or "worst"), ``rank, day, return``; of the symbols that
        moved the account most that day ``symbol, weight`` (mean held), ``move`` (of its value) and ``contribution``
        (fraction of the day's equity); and of the newest articles behind the position ``article_id, known_at,
        bars_before, score, confidence, source, text`` (its beginning). A symbol without articles has one row.
    information : DataFrame
        ``kind`` ("horizon", "lag", "half-life of information", "half-life of signal"), ``bars, value, low, high`` and
        ``asked``, the newest bars that were asked.

    Examples
    --------
    >>> from dataclasses import fields
    >>> [each.name for each in fields(LookBack)]
    ['values', 'over_time', 'contributions', 'days', 'information']
    """

    values: pd.DataFrame
    over_time: pd.DataFrame
    contributions: pd.DataFrame
    days: pd.DataFrame
    information: pd.DataFrame

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the frames by the names of their files."""
        return {
            "values": self.values,
            "over_time": self.over_time,
            "contributions": self.contributions,
            "days": self.days,
            "information": self.information,
        }


def look_back(plan: Plan, result: Trade) -> LookBack:
    """Look back on a run.

    Parameters
    ----------
    plan : Plan
    result : Trade

    Returns
    -------
    LookBack
    """
    books, config = result.books, plan.config
    values = values_of(plan)
    found = attribute(books.orders, values, books.equity, initial=config.portfolio.initial_cash)
    held = books.realised_weights.to_numpy(dtype=float)
    over_time = rolling_band(
        books.returns, periods_per_year=plan.world.periods_per_year, level=config.statistics.level
    ).assign(
        gross=np.abs(held).sum(axis=1),
        net=held.sum(axis=1),
        names=(np.abs(held) > 1e-9).sum(axis=1),
        turnover=books.turnover,
        **{str(name): column for name, column in found.bars.items()},
    )
    return LookBack(
        values=values,
        over_time=over_time,
        contributions=found.symbols,
        days=days_of(books.returns, books.equity, books.realised_weights, found, values, result.placed),
        information=information_of(result.decision.signal, values.iloc[:-1], seed=config.seed),
    )


def values_of(plan: Plan) -> pd.DataFrame:
    """Return the value of each symbol at the fills of a run's bars and behind the last, shape (bars + 1, symbols)."""
    prices, rows = plan.world.prices, plan.rows
    opens, closes = prices.open.iloc[rows], prices.close.iloc[rows]
    fills = closes if plan.rules.execution.fill == "close" else opens
    end = pd.DatetimeIndex([prices.close_at[rows][-1]])
    return pd.DataFrame(marks(fills, closes), index=prices.open_at[rows].append(end), columns=opens.columns)


def rolling_rows(n_bars: int, periods_per_year: float) -> int:
    """Rows of a rolling window: a year, or a third of what there is where that is less, and never fewer than 20.

    Examples
    --------
    >>> rolling_rows(2_520, 252.0), rolling_rows(300, 252.0)
    (252, 100)
    """
    return max(_FEWEST_ROWS, min(round(periods_per_year), n_bars // 3))


def rolling_band(returns: pd.Series, *, periods_per_year: float, level: float) -> pd.DataFrame:
    """Return the rolling annual Sharpe ratio with the band that it would stray in were every row drawn alike.

    Parameters
    ----------
    returns : Series, shape (bars,)
    periods_per_year, level : float

    Returns
    -------
    DataFrame, shape (bars, 3)
        ``rolling_sharpe, rolling_low, rolling_high``; NaN until the window is full.

    References
    ----------
    Lo (2002), "The Statistics of Sharpe Ratios", for the error under independent rows.
    """
    rows = rolling_rows(len(returns), periods_per_year)
    ratio = rolling_sharpe(returns, rows, periods_per_year=periods_per_year)
    error = np.sqrt((periods_per_year + 0.5 * ratio**2) / rows)
    reach = NormalDist().inv_cdf(0.5 + level / 2.0) * error
    return pd.DataFrame({"rolling_sharpe": ratio, "rolling_low": ratio - reach, "rolling_high": ratio + reach})


def information_of(signal: pd.DataFrame, values: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Tell what a signal knows of returns by horizon and by lag, and how fast it fades.

    Parameters
    ----------
    signal, values : DataFrame, shape (bars, symbols)
        The second as in `LookBack`, without its last row.
    seed : int
        Of the bootstrap of half-lives.

    Returns
    -------
    DataFrame
        As `LookBack.information`; without rows where the signal holds no opinion or the bars are too few to ask.
    """
    columns = ["kind", "bars", "value", "low", "high"]
    asked_bars = min(len(signal), max(252, MOST_CELLS // max(1, signal.shape[1])))
    signal, values = signal.iloc[-asked_bars:], values.iloc[-asked_bars:]
    horizons = [horizon for horizon in HORIZONS if horizon <= len(signal) // 4]
    if not horizons or not signal.fillna(0.0).to_numpy().any():
        return pd.DataFrame(columns=[*columns, "asked"])
    values = values.set_axis(signal.index)
    asked = signal.where(values.notna())
    by_horizon, _ = ic_by_horizon(asked, values, horizons)
    lags = range(min(MOST_LAGS, len(signal) // 4) + 1)
    by_lag, series = ic_by_lag(asked, values, lags)
    _, products = persistence(signal, min(20, len(signal) // 4))
    block = newey_west_lag(len(signal))
    lives = {
        "half-life of information": information_life(by_lag, series, block, seed),
        "half-life of signal": half_life(products, block=block, seed=seed),
    }
    rows = [
        *(("horizon", row.horizon, row.ic, row.low, row.high) for row in by_horizon.itertuples()),
        *(("lag", row.lag, row.ic, row.low, row.high) for row in by_lag.itertuples()),
        *((name, math.nan, life.bars, life.low, life.high) for name, life in lives.items()),
    ]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[1:], float)).assign(asked=asked_bars)


def days_of(
    returns: pd.Series,
    equity: pd.Series,
    weights: pd.DataFrame,
    found: Attribution,
    values: pd.DataFrame,
    placed: pd.DataFrame,
) -> pd.DataFrame:
    """Name the best and the worst days, with what was held, what it did, and the newest articles behind it.

    Days are those in UTC on which bars open. Articles are those that counted when the day's last bar was decided.

    Parameters
    ----------
    returns, equity, weights
        Of the books.
    found : Attribution
    values : DataFrame
        As in `LookBack`.
    placed : DataFrame
        Scored news as in `Trade`.

    Returns
    -------
    DataFrame
        As `LookBack.days`.
    """
    index = pd.DatetimeIndex(returns.index)
    codes, dates = pd.factorize(index.normalize())
    firsts = np.flatnonzero(np.diff(codes, prepend=-1))
    stops = np.append(firsts[1:], len(index))
    before = np.concatenate([[found.initial], equity.to_numpy(dtype=float)[stops[:-1] - 1]])
    after = equity.to_numpy(dtype=float)[stops - 1]
    # A day that begins with nothing left has no return.
    daily = np.divide(after, before, out=np.ones_like(after), where=before > 0.0) - 1.0
    order = np.argsort(daily, kind="stable")
    many = min(MOST_DAYS, len(daily) // 2)
    chosen = [("worst", rank, day) for rank, day in enumerate(order[:many], 1) if daily[day] < 0.0]
    chosen = [("best", rank, day) for rank, day in enumerate(order[::-1][:many], 1) if daily[day] > 0.0] + chosen
    articles = _Articles(placed, len(index))
    rows = []
    for kind, rank, day in chosen:
        start, stop = int(firsts[day]), int(stops[day])
        share = found.by_symbol.iloc[start:stop].sum().to_numpy() * found.initial / before[day]
        for column in np.argsort(-np.abs(share), kind="stable")[:SYMBOLS_OF_A_DAY]:
            if share[column] == 0.0:
                continue
            told = {
                "kind": kind,
                "rank": rank,
                "day": dates[day],
                "return": daily[day],
                "symbol": str(values.columns[column]),
                "weight": float(weights.iloc[start:stop, column].mean()),
                "move": float(values.iloc[stop, column] / values.iloc[start, column] - 1.0),
                "contribution": float(share[column]),
            }
            behind = articles.behind(int(column), stop - 1)
            rows += [told | article for article in behind] or [told]
    return pd.DataFrame(rows, columns=list(_DAY_COLUMNS))


class _Articles:
    """Articles that counted, by the symbol and bar that they reached."""

    def __init__(self, placed: pd.DataFrame, n_bars: int) -> None:
        counted = placed.loc[placed["used"] & placed["row"].between(0, n_bars - 1) & placed["column"].ge(0)]
        ordered = counted.sort_values(["column", "row", "known_at"], kind="stable")
        self._columns = {str(name): ordered[name].array for name in ordered if name in _OF_AN_ARTICLE}
        self._bars = n_bars
        self._keys = ordered["column"].to_numpy(dtype=np.int64) * n_bars + ordered["row"].to_numpy(dtype=np.int64)

    def behind(self, column: int, bar: int) -> list[dict[str, object]]:
        """Return the newest articles about a symbol that counted by a bar, the newest first."""
        first, last = np.searchsorted(self._keys, [column * self._bars, column * self._bars + bar + 1])
        newest = range(last - 1, max(first, last - ARTICLES_OF_A_SYMBOL) - 1, -1)
        return [self._told({name: values[place] for name, values in self._columns.items()}, bar) for place in newest]

    @staticmethod
    def _told(row: dict[str, Any], bar: int) -> dict[str, object]:
        return {
            "article_id": str(row["article_id"]),
            "known_at": row["known_at"],
            "bars_before": bar - int(row["row"]),
            "score": float(row["bullish"] - row["bearish"]),
            "confidence": float(row["confidence"]),
            "source": str(row.get("source", "")),
            "text": textwrap.shorten(str(row.get("text", "")), _EXCERPT, placeholder=" …"),
        }
