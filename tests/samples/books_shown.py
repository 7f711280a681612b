"""Where the result of a made-up account came from, for tests of the page: traded by the books, from a seed alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.backtest.attribution import attribute
from embargo.backtest.books import Costs, simulate
from embargo.backtest.books.simulation import marks
from embargo.research.run.look_back import LookBack, days_of, information_of, rolling_band
from embargo.research.run.report.book import BookSources

CASH = 1_000_000.0


def book_shown(
    bars: int = 300, names: tuple[str, ...] = ("ALDR", "BEXM", "CORM", "DELE", "EASA", "FARF"), text: str = "Profit up."
) -> tuple[LookBack, BookSources]:
    """Trade articles on random prices, and look back on it; ``text`` is what every article says."""
    rng = np.random.default_rng(7_300_011)
    at = pd.date_range("2019-01-02 14:30", periods=bars, freq="B", tz="UTC").as_unit("us")
    shape = (bars, len(names))
    closes = pd.DataFrame(40.0 * np.exp(rng.normal(0.0, 0.015, shape).cumsum(axis=0)), at, list(names))
    opens = closes.shift(1, fill_value=40.0) * np.exp(rng.normal(0.0, 0.003, shape))
    signal = pd.DataFrame(rng.uniform(-1.0, 1.0, shape), at, list(names)).where(rng.random(shape) < 0.2).ffill(limit=4)
    weights = (signal / len(names)).fillna(0.0)
    costs = Costs(fee=0.0005, slippage=0.0005, borrow_annual=0.02)
    books = simulate(weights, opens, closes, open_at=at, costs=costs, initial_cash=CASH, engine="kernel")
    values = pd.DataFrame(marks(opens, closes), at.append(pd.DatetimeIndex([at[-1] + pd.Timedelta("6h")])), list(names))
    number = 3 * bars
    articles = pd.DataFrame({"row": rng.integers(0, bars, number), "column": rng.integers(0, len(names), number)})
    articles = articles.assign(
        article_id=[f"a-{place}" for place in range(number)],
        known_at=at[articles["row"]] - pd.Timedelta("20min"),
        bullish=rng.uniform(0.0, 1.0, number),
        used=rng.random(number) < 0.8,
        source=text,
        text=text,
    )
    articles = articles.assign(bearish=1.0 - articles["bullish"], confidence=articles["bullish"])
    found = attribute(books.orders, values, books.equity, initial=CASH)
    held = books.realised_weights.to_numpy()
    over_time = rolling_band(books.returns, periods_per_year=252.0, level=0.95).assign(
        gross=np.abs(held).sum(axis=1),
        net=held.sum(axis=1),
        names=(np.abs(held) > 0.0).sum(axis=1),
        turnover=books.turnover,
        **{str(name): column for name, column in found.bars.items()},
    )
    days = days_of(books.returns, books.equity, books.realised_weights, found, values, articles)
    information = information_of(signal.fillna(0.0), values.iloc[:-1], seed=0)
    book = LookBack(values, over_time, found.symbols, days, information)
    return book, BookSources(books.realised_weights, articles)
