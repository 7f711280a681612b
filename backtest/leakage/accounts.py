"""Books held against weights and raw bars: what was earned is computed again, without the books' own arithmetic.

Both checks know prices, orders and returns alone. What the account held follows from its orders, what that was worth
from the raw bars; whatever the books earned beyond it came from a price nobody could have had.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import (
    EVIDENCE_ROWS,
    AuditVerdict,
    Finding,
    evidence_rows,
    plain,
    require_columns,
)
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices

# Rounding of books kept in another order of operations, as a fraction of the equity and of a price.
ROUNDING = 1e-7
HELD_APART = 0.001
FEWEST_FILLS = 20
EXTREME_EXCESS, EXTREME_Z = 0.10, 5.0
# Coarse ticks repeat the close by chance, and move by one tick, up or down, about twice as often.
REPEATED_SHARE, REPEATED_TO_TICKS = 0.2, 2.0

_ORDER_COLUMNS = ("symbol", "bar", "size", "price", "fees", "side")


def check_books(
    weights: pd.DataFrame,
    returns: pd.Series,
    orders: pd.DataFrame,
    fill: pd.DataFrame,
    close: pd.DataFrame,
    *,
    initial_cash: float,
    half_spread: float,
    funding: pd.DataFrame | None = None,
    apart: int = 0,
) -> Finding:
    """Compute again what the orders earned at the stated fills, and hold the books' returns against it (T7).

    Positions are the running sum of the orders; each is worth its newest raw price. What they gained, less the half
    spread at the raw fill prices and the fees, is the most that the books may show: impact, borrow, interest and a
    haircut only take away, and funding gives no more than its rate. A row that earned more is a leak. Positions that
    lie apart from the weights in more cells than the books own up to are suspicious.

    Silent on: earnings that are too small, and raw prices that are wrong themselves.

    Parameters
    ----------
    weights : DataFrame, shape (bars, symbols)
        Decided; row t is traded at ``fill[t]``.
    returns : Series, shape (bars,)
        The books' own, net, as fractions.
    orders : DataFrame
        One row per fill: ``symbol, bar`` (position of the row), ``size`` (positive), ``price, fees`` and ``side``
        (``"buy"`` or ``"sell"``).
    fill, close : DataFrame, shape (bars, symbols)
        Raw prices: at which the rows trade, and last of each bar; NaN where there is none.
    initial_cash : float
        Equity before the first row.
    half_spread : float
        Stated cost of each fill, as a fraction of its price.
    funding : DataFrame, shape (bars, symbols), optional
        Funding rates that settle during each row.
    apart : int
        Cells in which the books say that they hold something else than was decided, by more than 0.001.

    Returns
    -------
    Finding
        Code ``T7``; ``effect`` is what was earned beyond the fills, as a sum of returns.

    Raises
    ------
    DataError
        If columns are missing or panels differ in rows or symbols.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.books import Costs, simulate
    >>> from embargo.backtest.leakage import check_books
    >>> at = pd.date_range('2024-01-01', periods=3, freq='D', tz='UTC')
    >>> opens = pd.DataFrame({'BTC': [100.0, 102.0, 101.0]}, index=at)
    >>> closes = pd.DataFrame({'BTC': [102.0, 101.0, 104.0]}, index=at)
    >>> half = pd.DataFrame({'BTC': [0.5, 0.5, 0.0]}, index=at)
    >>> books = simulate(half, opens, closes, open_at=at, costs=Costs(), engine='kernel')
    >>> stated = {'initial_cash': 1_000_000.0, 'half_spread': Costs().slippage}
    >>> check_books(half, books.returns, books.orders, opens, closes, **stated).verdict
    'pass'
    >>> finding = check_books(half, books.returns + 0.01, books.orders, opens, closes, **stated)
    >>> finding.verdict, round(finding.effect, 3)
    ('leak', 0.03)
    """
    check, unit = CHECKS["check_books"], "sum of returns"
    require_columns(orders, _ORDER_COLUMNS, where="orders")
    for name, panel in (("fill prices", fill), ("closes", close)):
        if not (panel.index.equals(weights.index) and panel.columns.equals(weights.columns)):
            raise DataError(f"books: weights and {name} have different rows or symbols. Align them first.")
    if len(returns) != len(weights):
        raise DataError(f"books: {len(returns)} returns for {len(weights)} rows of weights. Give one per row.")
    if orders.empty:
        return Finding("T7", "not-applicable", check.title, "There are no fills.")
    bar, column, signed = _placed(orders, weights)
    worth = _newest(fill, close)
    shares = np.zeros(weights.shape)
    np.add.at(shares, (bar, column), signed)
    shares = shares.cumsum(axis=0)
    equity = initial_cash * np.cumprod(np.concatenate([[1.0], 1.0 + returns.to_numpy(dtype=float)]))[:-1]
    alive = equity > 0.0
    at_fill = np.nan_to_num(worth[:-1])
    gained = (shares * (np.nan_to_num(worth[1:]) - at_fill)).sum(axis=1)
    paid = np.bincount(
        bar,
        weights=np.abs(signed) * at_fill[bar, column] * half_spread + orders["fees"].to_numpy(dtype=float),
        minlength=len(weights),
    )
    if funding is not None:
        gained += (np.abs(shares * at_fill) * np.abs(np.nan_to_num(funding.to_numpy(dtype=float)))).sum(axis=1)
    per_equity = np.where(alive, equity, np.inf)
    # An account that is lost keeps no negative equity.
    most = np.maximum((gained - paid) / per_equity, -1.0)
    beyond = np.where(alive, returns.to_numpy(dtype=float) - most, 0.0)
    over = np.flatnonzero(beyond > ROUNDING)
    told = pd.DataFrame(
        {"bar": weights.index, "books_earned": returns.to_numpy(), "fills_earned": most, "beyond": beyond}
    )
    if len(over):
        size = float(beyond[over].sum())
        return Finding(
            "T7",
            "leak",
            check.title,
            f"On {len(over):,} of {len(weights):,} bars the books earned more than their orders can at stated fills, "
            f"together {size:.2%}; first on {weights.index[over[0]]}: {returns.iloc[over[0]]:.4%} against at most "
            f"{most[over[0]]:.4%}.",
            evidence_rows(told.iloc[over]),
            size,
            unit,
            check.remedy,
        )
    held = shares * at_fill / per_equity[:, None]
    decided = weights.to_numpy(dtype=float)
    distance = np.abs(held - decided)
    quoted = fill.notna().to_numpy()
    cells = np.argwhere((distance > HELD_APART * (1 + ROUNDING)) & alive[:, None] & quoted)
    if len(cells) > apart:
        row, symbol = cells[0]
        return Finding(
            "T7",
            "suspicious",
            check.title,
            f"In {len(cells):,} cells the account holds something else than was decided, where the books own up "
            f"to {apart:,}; first {weights.columns[symbol]!s} on {weights.index[row]}: {held[row, symbol]:.4f} against "
            f"{decided[row, symbol]:.4f}.",
            [
                {
                    "bar": plain(weights.index[row]),
                    "symbol": str(weights.columns[symbol]),
                    "decided": plain(decided[row, symbol]),
                    "held": plain(held[row, symbol]),
                }
                for row, symbol in cells[:EVIDENCE_ROWS]
            ],
            float(distance.max()),
            "largest distance of a weight",
            "Find out which orders do not follow from the weights.",
        )
    return Finding(
        "T7",
        "pass",
        check.title,
        f"The returns of all {len(weights):,} bars follow from {len(orders):,} orders at stated fills; costs beyond "
        f"spread and fees took {float(np.maximum(-beyond, 0.0).sum()):.2%}.",
        effect=0.0,
        unit=unit,
    )


def check_fills(orders: pd.DataFrame, prices: Prices, *, fill: str, half_spread: float) -> Finding:
    """Look for fills at prices that nobody could know or get (T7).

    The half spread is taken off each fill. A buy below the raw price at which its row trades, or a sale above it, is a
    leak. Suspicious are raw prices outside the range of their own bar; fills that sit at the best price of their bar
    more often than prices of all bars do by 10 points and 5 standard errors; and, after a pause of the market, fills at
    an open that repeats the close before in a fifth of the cases, and twice as often as it is one tick away.

    Silent on: fewer than 20 fills, flat bars, impact (which only makes fills worse), fills without a raw price.

    Parameters
    ----------
    orders : DataFrame
        One row per fill: ``symbol, bar`` (position in ``prices``), ``price, side``, and ``size, fees``.
    prices : Prices
        Raw bars of the rows that trade.
    fill : {"open", "close"}
        Price at which rows are said to trade.
    half_spread : float
        Stated cost of each fill, as a fraction of its price.

    Returns
    -------
    Finding
        Code ``T7``; ``effect`` is the share of fills at fault.

    Raises
    ------
    DataError
        If columns are missing or an order names an unknown bar or symbol.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_fills
    >>> from embargo.data_loaders.schemas import Prices
    >>> at = pd.date_range('2024-01-01', periods=2, freq='D', tz='UTC')
    >>> open_, high, low, close = (pd.DataFrame({'BTC': [p, p + 1]}, index=at) for p in (10.0, 12.0, 9.0, 11.0))
    >>> prices = Prices(open_, high, low, close, close, at, at + pd.Timedelta(days=1), calendar='24/7')
    >>> order = {'symbol': ['BTC'], 'bar': [1], 'size': [3.0], 'fees': [0.0], 'side': ['buy']}
    >>> fair, best = (pd.DataFrame({**order, 'price': [price]}) for price in (11.0, 10.0))
    >>> [check_fills(each, prices, fill='open', half_spread=0.0).verdict for each in (fair, best)]
    ['pass', 'leak']
    """
    check, unit = CHECKS["check_fills"], "share of fills"
    require_columns(orders, _ORDER_COLUMNS, where="orders")
    raw = prices.open if fill == "open" else prices.close
    bar, column, signed = _placed(orders, raw)
    side = np.sign(signed)
    panels = {name: getattr(prices, name).to_numpy(dtype=float) for name in ("open", "high", "low", "close")}
    stated = panels[fill][bar, column]
    quoted = np.isfinite(stated)
    if not quoted.any():
        return Finding("T7", "not-applicable", check.title, f"None of {len(orders):,} fills has a raw price.")
    mid = orders["price"].to_numpy(dtype=float) / (1.0 + side * half_spread)
    high, low = panels["high"][bar, column], panels["low"][bar, column]
    gain = np.where(quoted, side * (stated - mid) / stated, 0.0)
    told = orders.assign(open_at=prices.open_at[bar], raw_price=stated, without_spread=mid, low=low, high=high)
    told = told[["open_at", "symbol", "side", "price", "without_spread", "raw_price", "low", "high"]]

    def found(verdict: AuditVerdict, guilty: np.ndarray, detail: str, remedy: str) -> Finding:
        share = float(guilty.sum() / quoted.sum())
        return Finding("T7", verdict, check.title, detail, evidence_rows(told[guilty]), share, unit, remedy)

    better = gain > ROUNDING
    if better.any():
        first = told[better].iloc[0]
        return found(
            "leak",
            better,
            f"{int(better.sum()):,} of {int(quoted.sum()):,} fills are better than the {fill} at which they are said "
            f"to trade, by {gain[better].mean():.2%} on average; first {first['symbol']} on {first['open_at']}: "
            f"{first['side']} at {first['without_spread']:.6g} without the spread, where the {fill} was "
            f"{first['raw_price']:.6g} (low {first['low']:.6g}, high {first['high']:.6g}).",
            check.remedy,
        )
    with np.errstate(invalid="ignore"):
        outside = quoted & ((stated > high * (1.0 + ROUNDING)) | (stated < low * (1.0 - ROUNDING)))
    if outside.any():
        return found(
            "suspicious",
            outside,
            f"{int(outside.sum()):,} of {int(quoted.sum()):,} fills are at the {fill}, outside the range of its bar.",
            "Look at these bars: one of open, high, low and close is wrong.",
        )
    if quoted.sum() < FEWEST_FILLS:
        return Finding(
            "T7", "pass", check.title, f"All {int(quoted.sum())} fills are at the raw {fill}.", effect=0.0, unit=unit
        )
    wide = quoted & (high > low)
    best = wide & (np.where(side > 0, low, high) == stated)
    with np.errstate(invalid="ignore"):
        ranged = panels["high"] > panels["low"]
        usual = [
            float((panels[fill] == panels[name])[ranged].mean()) if ranged.any() else 0.0 for name in ("low", "high")
        ]
    expected = np.where(side > 0, usual[0], usual[1])[wide]
    share = float(best.sum() / max(wide.sum(), 1))
    chance = float(expected.mean()) if wide.any() else 0.0
    error = float(np.sqrt(max((expected * (1 - expected)).sum(), 1.0))) / max(int(wide.sum()), 1)
    often = share - chance >= EXTREME_EXCESS and share - chance >= EXTREME_Z * error
    if wide.sum() >= FEWEST_FILLS and often:
        return found(
            "suspicious",
            best,
            f"{share:.0%} of {int(wide.sum()):,} fills sit at the best price of their bar (buys at the low, sales at "
            f"the high), where {chance:.0%} would by chance: nobody knows a bar's extreme when it opens.",
            f"Take the {fill} from a source that has it; never fill at the high or low.",
        )
    before = prices.close.ffill().shift(1).to_numpy(dtype=float)
    gaps = np.abs(panels["open"] - before)
    same = gaps <= ROUNDING * before
    ticks = np.nanmin(np.where(same, np.inf, gaps), axis=0, initial=np.inf)
    after_pause = wide & np.append(False, prices.open_at[1:] > prices.close_at[:-1])[bar]
    repeats = after_pause & same[bar, column]
    one_tick = after_pause & ~repeats & (gaps[bar, column] < 1.5 * ticks[column])
    n_open, n_repeat = int(after_pause.sum()), int(repeats.sum())
    many = n_repeat >= REPEATED_SHARE * n_open and n_repeat > REPEATED_TO_TICKS * one_tick.sum()
    if fill == "open" and n_open >= FEWEST_FILLS and many:
        return found(
            "suspicious",
            repeats,
            f"{n_repeat:,} of {n_open:,} fills after a pause of the market are at an open that repeats the close "
            "before: the source has no opens, and nobody could trade at that price when the market opened.",
            "Take opens from a source that has them, or fill at the close.",
        )
    return Finding(
        "T7",
        "pass",
        check.title,
        f"All {int(quoted.sum()):,} fills are at the raw {fill} or worse and inside their bar; {share:.0%} sit at its "
        f"best price ({chance:.0%} by chance), {n_repeat / max(n_open, 1):.0%} of those after a pause repeat the "
        "close before.",
        effect=0.0,
        unit=unit,
    )


def _placed(orders: pd.DataFrame, panel: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, column and signed size of every order."""
    bar = orders["bar"].to_numpy(dtype=np.int64)
    column = panel.columns.get_indexer(pd.Index(orders["symbol"]))
    strange = (column < 0) | (bar < 0) | (bar >= len(panel)) | ~orders["side"].isin(["buy", "sell"]).to_numpy()
    if strange.any():
        raise DataError(f"orders: row {int(np.argmax(strange))} names an unknown bar, symbol or side. Check it.")
    sign = np.where(orders["side"].to_numpy() == "buy", 1.0, -1.0)
    return bar, column, sign * orders["size"].to_numpy(dtype=float)


def _newest(fill: pd.DataFrame, close: pd.DataFrame) -> np.ndarray:
    """Newest raw price of each symbol at every fill and after the last close, shape (bars + 1, symbols)."""
    both = np.stack([fill.to_numpy(dtype=float), close.to_numpy(dtype=float)], axis=1).reshape(-1, fill.shape[1])
    return pd.DataFrame(np.vstack([both, np.full(fill.shape[1], np.nan)])).ffill().to_numpy()[::2]
