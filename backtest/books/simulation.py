"""From target weights and prices to the account's books, kept by vectorbt, and a fast first-order path beside them.

Row t is traded at open[t] and its return runs to open[t+1] (the last row to its close), costs included. Nothing is
shifted here: the weights' row t must already be known before bar t opens. Every wish that the account could not
fulfil (no price, no cash, no volume) is counted, never hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from embargo.backtest.books.costs import Costs
from embargo.backtest.books.execution import STALE_AFTER, Execution, trailing_volatility
from embargo.backtest.books.kernel import Market, Record, equity_of, record
from embargo.backtest.books.panels import check_prices, check_shapes, check_weights, numbers_of, same_labels
from embargo.backtest.books.shelf import Shelf
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.schemas import utc_microseconds

WEIGHT_TOLERANCE = 0.001
_YEAR = 365.25 * 86_400e6  # microseconds


@dataclass(frozen=True)
class Books:
    """What the account did and earned.

    The kernel's books know returns, equity and turnover at once; everything else is derived when it is first asked for.

    Attributes
    ----------
    returns : Series, shape (bars,)
        Net return of each row, fraction of the equity at its fill: open[t] to open[t+1], last row to its close; close
        to close for fills at the close.
    equity : Series, shape (bars,)
        Account value at the end of each row, in currency.
    orders : DataFrame
        One row per fill: ``symbol, bar, fill_at, size, price, fees, side``; ``bar`` is the position of the row, size is
        positive, the price includes spread and impact. ``fill_at`` is the opening instant of the row.
    trades : DataFrame or None
        vectorbt's trade records, one per exit or open end: ``symbol, entry_bar, exit_bar, size, pnl, return,
        direction``; ``pnl`` in currency, ``return`` a fraction, carry left out. None from the kernel.
    realised_weights : DataFrame, shape (bars, symbols)
        Value of each position right after the fills over the equity right before them.
    turnover : Series, shape (bars,)
        One-way: half of buys plus sells at mid prices over the equity before them.
    commission, spread_paid, impact_paid, haircut_paid : float
        Costs of the fills, in currency; all but the first are in the prices.
    borrow_paid, interest_paid, funding_paid : float
        Carry, in currency; funding is negative where it was earned.
    max_weight_gap : float
        Largest distance between a target and a realised weight.
    counts : dict
        ``bars_without_price`` (cells without a fill price), ``stale_exits`` (positions written out at their last
        price), ``clipped_orders`` (filled in part for lack of cash), ``rejected_orders`` (not filled at all for lack of
        cash), ``blocked_orders`` (no price to fill at), ``capped_orders`` (cut by participation, also to nothing),
        ``dropped_orders`` (the rest of a capped order, not asked for again), ``rounded_orders`` (to whole lots),
        ``dead_bar_orders`` (not filled because nothing traded on their bar), ``impact_unknown`` (orders filled without
        impact for want of volume or volatility), ``margin_calls`` (rows),
        ``beyond_tolerance`` (cells whose weight gap exceeds 0.001) and ``rows_after_ruin`` (rows after the equity was
        lost; their returns are 0).

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.books import Costs, simulate
    >>> at = pd.date_range('2024-01-01', periods=3, freq='D', tz='UTC')
    >>> opens = pd.DataFrame({'BTC': [100.0, 102.0, 101.0]}, index=at)
    >>> closes = pd.DataFrame({'BTC': [102.0, 101.0, 104.0]}, index=at)
    >>> half = pd.DataFrame({'BTC': [0.5, 0.5, 0.0]}, index=at)
    >>> books = simulate(half, opens, closes, open_at=at, costs=Costs(), engine='kernel')
    >>> len(books.orders), round(books.commission, 2), books.counts['blocked_orders']
    (3, 502.52, 0)
    """

    returns: pd.Series
    equity: pd.Series
    orders: pd.DataFrame
    trades: pd.DataFrame | None
    realised_weights: pd.DataFrame
    turnover: pd.Series
    commission: float
    spread_paid: float
    impact_paid: float
    haircut_paid: float
    borrow_paid: float
    interest_paid: float
    funding_paid: float
    max_weight_gap: float
    counts: dict[str, int]

    if not TYPE_CHECKING:  # the fields are declared above, and no other name is answered

        def __getattr__(self, name: str) -> Any:
            derived = vars(self).get("_derived")
            if derived is None or name not in _DERIVED:
                raise AttributeError(
                    f"Books have no {name!r}; they have {', '.join(each.name for each in fields(self))}."
                )
            vars(self).update(derived.of(name))
            return vars(self)[name]

    def __getstate__(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


_PAID = ("commission", "spread_paid", "impact_paid", "haircut_paid", "borrow_paid", "interest_paid", "funding_paid")
_HELD = ("realised_weights", "max_weight_gap", "counts")
_DERIVED = frozenset((*_PAID, *_HELD, "orders"))


def marks(open: pd.DataFrame, close: pd.DataFrame) -> np.ndarray:  # noqa: A002 - the field's own name
    """Value of each symbol at every open, carrying the newest known price where there is no opening price.

    Parameters
    ----------
    open, close : DataFrame, shape (bars, symbols)
        NaN where a symbol did not trade.

    Returns
    -------
    float array, shape (bars + 1, symbols)
        Row t is the value at open[t]: that price, else the newest close or open before it. The last row is the value
        after the last close. NaN before a symbol's first price.
    """
    same_labels(open, close, "open", "close")
    return _values(open.to_numpy(dtype=float), close.to_numpy(dtype=float))


def _values(fill: np.ndarray, close: np.ndarray) -> np.ndarray:
    bars, symbols = fill.shape
    stream = np.empty((2 * bars + 1, symbols))
    stream[0:-1:2] = fill
    stream[1::2] = close
    stream[-1] = np.nan
    seen = np.where(np.isnan(stream), 0, np.arange(len(stream))[:, None])
    newest = np.maximum.accumulate(seen, axis=0)
    return np.asarray(np.take_along_axis(stream, newest, axis=0)[::2])


def _missing_run(missing: np.ndarray) -> np.ndarray:
    """Length of the run of missing opens that ends at each cell; 0 where there is a price."""
    position = np.arange(len(missing))[:, None]
    last_present = np.maximum.accumulate(np.where(missing, -1, position), axis=0)
    return np.where(missing, position - last_present, 0)


def holding_returns(
    open: pd.DataFrame,  # noqa: A002
    close: pd.DataFrame,
    *,
    stale_after: int = STALE_AFTER,
) -> pd.DataFrame:
    """Return of holding each symbol over each row: open[t] to open[t+1], the last row open to close.

    Parameters
    ----------
    open, close : DataFrame, shape (bars, symbols)
    stale_after : int
        As in ``simulate``.

    Returns
    -------
    DataFrame, shape (bars, symbols)
        Fractions. Through a short gap a position is worth its last price and catches up when trading resumes. NaN
        before a symbol's first opening price and from the ``stale_after``-th missing opening price in a row on, until
        it trades again.

    Raises
    ------
    DataError
        If the two carry different bars or symbols.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.books import holding_returns
    >>> at = pd.date_range('2024-01-01', periods=3, freq='D', tz='UTC')
    >>> opens = pd.DataFrame({'BTC': [100.0, 102.0, 101.0]}, index=at)
    >>> closes = pd.DataFrame({'BTC': [102.0, 101.0, 104.0]}, index=at)
    >>> holding_returns(opens, closes)['BTC'].round(4).tolist()
    [0.02, -0.0098, 0.0297]
    """
    value = marks(open, close)
    missing = open.isna().to_numpy()
    gone = np.isnan(value[:-1]) | (_missing_run(missing) >= stale_after)
    gone |= ~np.maximum.accumulate(~missing, axis=0)
    result = value[1:] / value[:-1] - 1.0
    result[gone] = np.nan
    return pd.DataFrame(result, index=open.index, columns=open.columns)


def bar_years(open_at: pd.DatetimeIndex) -> np.ndarray:
    """Calendar length of each row's holding interval in years of 365.25 days, shape (bars,).

    The interval of the last row, whose end is not on the calendar, is taken as the median of the others.

    Parameters
    ----------
    open_at : DatetimeIndex, shape (bars,)
        UTC.

    Returns
    -------
    float array, shape (bars,)
        Years.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.books import bar_years
    >>> bar_years(pd.date_range('2024-01-01', periods=3, freq='D', tz='UTC')).round(6).tolist()
    [0.002738, 0.002738, 0.002738]
    """
    steps = np.diff(utc_microseconds(open_at)).astype(float) / _YEAR
    last = np.median(steps) if len(steps) else 0.0
    return np.append(steps, last).astype(float)


def net_returns(
    weights: np.ndarray,
    asset_returns: np.ndarray,
    costs: Costs,
    *,
    tradable: np.ndarray | None = None,
    years: np.ndarray | float = 0.0,
) -> np.ndarray:
    """First-order net returns of target weights, without vectorbt: for permutation tests and benchmarks.

    Held weights drift with prices between rebalances and the cost is charged on the distance to the next target. It
    leaves out fees on slippage and orders clipped for lack of cash; the second is small unless a fully invested
    long-only book is stuck in symbols that do not trade.

    Parameters
    ----------
    weights : float array, shape (bars, symbols)
        Targets as fractions of equity; row t is held from open[t].
    asset_returns : float array, shape (bars, symbols)
        From ``holding_returns``. Where it is NaN nothing is held.
    costs : Costs
    tradable : bool array, shape (bars, symbols), optional
        Cells with an opening price. Elsewhere the position is carried on untraded.
    years : float or array of shape (bars,)
        Length of each row for the borrow cost, from ``bar_years``; 0 charges none.

    Returns
    -------
    float array, shape (bars,)
        After a loss of all equity the returns are 0.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.books import Costs, net_returns
    >>> weights = np.array([[0.5], [0.5], [0.0]])
    >>> earned = np.array([[0.02], [-0.01], [0.03]])
    >>> net_returns(weights, earned, Costs()).round(5).tolist()
    [0.0095, -0.005, -0.0005]
    """
    absent = np.isnan(asset_returns)
    growth = np.where(absent, 0.0, asset_returns)
    held = np.where(absent, 0.0, weights)
    if tradable is not None:
        stuck = ~np.asarray(tradable) & ~absent
        for row in np.flatnonzero(stuck.any(axis=1)):
            carried = np.zeros(held.shape[1])
            if row:
                before = held[row - 1]
                carried = before * (1.0 + growth[row - 1]) / (1.0 + before @ growth[row - 1])
            held[row] = np.where(stuck[row], carried, held[row])
    gross = np.einsum("ts,ts->t", held, growth)
    net = gross
    # Shuffled books that pay nothing for turnover need not know it.
    if costs.rate:
        drifted = np.zeros_like(held)
        np.multiply(held[:-1], 1.0 + growth[:-1], out=drifted[1:])
        with np.errstate(divide="ignore", invalid="ignore"):
            drifted[1:] /= (1.0 + gross[:-1])[:, None]
        net = gross - costs.rate * np.abs(held - drifted).sum(axis=1)
    if costs.borrow_annual:
        net -= costs.borrow_annual * np.asarray(years) * -np.minimum(held, 0.0).sum(axis=1)
    ruined = ~(net > -1.0)
    if ruined.any():
        first = int(np.argmax(ruined))
        net[first] = -1.0
        net[first + 1 :] = 0.0
    return np.asarray(net)


def _market(
    open: pd.DataFrame,  # noqa: A002
    close: pd.DataFrame,
    years: np.ndarray,
    costs: Costs,
    execution: Execution,
    extra: dict[str, pd.DataFrame | None],
    dead: pd.DataFrame | None,
) -> Market:
    """Arrays for the kernel, every panel checked against the prices' labels."""
    for name, panel in (extra | {"dead": dead}).items():
        if panel is not None:
            same_labels(panel, open, name, "open")
    if costs.impact > 0.0 and extra["volatility"] is None:
        extra = extra | {"volatility": trailing_volatility(close)}
    arrays = {name: None if panel is None else numbers_of(panel, name) for name, panel in extra.items()}
    closes = close.to_numpy(dtype=float)
    fill = closes if execution.fill == "close" else open.to_numpy(dtype=float)
    flags = None if dead is None else dead.to_numpy(dtype=bool)
    return Market(fill=fill, close=closes, years=years, dead=flags, **arrays)


def simulate(
    weights: pd.DataFrame,
    open: pd.DataFrame,  # noqa: A002
    close: pd.DataFrame,
    *,
    open_at: pd.DatetimeIndex,
    costs: Costs,
    execution: Execution = Execution(),  # noqa: B008 - frozen
    volume: pd.DataFrame | None = None,
    volatility: pd.DataFrame | None = None,
    funding: pd.DataFrame | None = None,
    dead: pd.DataFrame | None = None,
    initial_cash: float = 1_000_000.0,
    engine: Literal["vectorbt", "kernel"] = "vectorbt",
    shelf: Shelf | None = None,
) -> Books:
    """Keep the books of an account that rebalances to target weights on every row.

    Sells are filled before buys, buys in order of size until the cash is spent; at a gross exposure of 1, fees
    therefore clip the largest buy a little. A symbol without a fill price is neither bought nor sold: its position is
    held and valued at its newest price. When ``execution.stale_after`` fill prices in a row are missing, the position
    is written out at that newest price less the haircut, spread and commission included, as if delisted; volume, lots
    and impact do not matter then. The rule looks back only, so that cutting the data short never changes an earlier
    row.

    On a dead bar nothing traded, so no order is filled there, but it has a price: positions are held at it, and what is
    still wanted is asked for again on the next row. Whoever decides cannot know that a bar will be dead; the order then
    fails.

    Borrow, interest and funding leave the cash at the end of each row: the short value after the fills, the negative
    cash and the positions' value, times their rates and the calendar length of the row (funding: times its rate).

    The compiled kernel sizes the orders. With ``engine="vectorbt"`` they are then booked by vectorbt, whose cash,
    positions and records are the ones returned, once they agree with the kernel's; ``"kernel"`` returns its own.

    Parameters
    ----------
    weights : DataFrame, shape (bars, symbols)
        Targets as fractions of equity, negative is short, never missing, gross at most ``execution.leverage``.
    open, close : DataFrame, shape (bars, symbols)
        NaN where a symbol did not trade.
    open_at : DatetimeIndex, shape (bars,)
        UTC.
    costs : Costs
    execution : Execution
    volume, volatility : DataFrame, shape (bars, symbols), optional
        From ``trailing_volume`` and ``trailing_volatility``: shares per bar, and standard deviation of bar returns,
        known when each row was decided. Participation and impact need the volume; without a volatility, impact takes
        that of ``close`` up to the bar before.
    funding : DataFrame, shape (bars, symbols), optional
        Funding rates settled inside each row's holding interval, summed; positive: longs pay. NaN counts as 0.
    dead : DataFrame of bool, shape (bars, symbols), optional
        Bars on which nothing traded, from ``dead_bars``.
    initial_cash : float
        In the currency of the prices.
    engine : {"vectorbt", "kernel"}
    shelf : Shelf, optional
        Where what vectorbt says is kept, and looked up for the very same orders and prices; by default nowhere.

    Returns
    -------
    Books

    Raises
    ------
    DataError
        If panels are labelled differently, a weight is missing, a price is not positive, or the two engines disagree.
    ConfigError
        If gross exposure exceeds the leverage or a setting is out of range.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.books import Costs, simulate
    >>> at = pd.date_range('2024-01-01', periods=3, freq='D', tz='UTC')
    >>> opens = pd.DataFrame({'BTC': [100.0, 102.0, 101.0]}, index=at)
    >>> closes = pd.DataFrame({'BTC': [102.0, 101.0, 104.0]}, index=at)
    >>> half = pd.DataFrame({'BTC': [0.5, 0.5, 0.0]}, index=at)
    >>> books = simulate(half, opens, closes, open_at=at, costs=Costs(), engine='kernel')
    >>> books.returns.round(5).tolist()
    [0.0095, -0.00491, -0.0005]
    >>> books.turnover.round(3).tolist()
    [0.25, 0.003, 0.249]
    """
    if engine not in ("vectorbt", "kernel"):
        raise ConfigError(f"engine must be 'vectorbt' or 'kernel', got {engine!r}.")
    check_shapes(weights, open, close, open_at, initial_cash)
    extra = {"volume": volume, "volatility": volatility, "funding": funding}
    # These panels are of the caller, who may write to them later: what is derived then must be of what they hold now.
    weights, open, close = (panel.copy(deep=False) for panel in (weights, open, close))  # noqa: A001
    terms = (costs, execution, initial_cash, (open, close))
    if engine == "kernel" and execution.fill == "open" and all(panel is None for panel in (*extra.values(), dead)):
        market = Market(numbers_of(open, "open"), numbers_of(close, "close"), bar_years(open_at))
        account = equity_of(numbers_of(weights, "weight"), market, costs, execution, initial_cash=initial_cash)
        if account is not None:
            return _books(_Ledger(weights, open_at, market, *terms, account.equity), account.turnover, None)
    check_prices(open, close)
    check_weights(weights, execution.leverage)
    market = _market(open, close, bar_years(open_at), costs, execution, extra, dead)
    kept = record(weights.to_numpy(dtype=float), market, costs, execution, initial_cash=initial_cash)
    equity, trades = kept.account.equity, None
    if engine == "vectorbt":
        from embargo.backtest.books.vectorbt import book

        equity, trades = book(kept, _values(market.fill, market.close), weights, initial_cash, shelf)
    return _books(_Ledger(weights, open_at, market, *terms, equity, kept), kept.account.turnover, trades)


def _books(ledger: _Ledger, turnover: np.ndarray, trades: pd.DataFrame | None) -> Books:
    growth = np.divide(ledger.equity, ledger.before, out=np.ones_like(ledger.equity), where=ledger.before > 0.0)
    index = ledger.weights.index
    books = object.__new__(Books)
    vars(books).update(
        returns=pd.Series(growth - 1.0, index=index, name="returns"),
        equity=pd.Series(ledger.equity, index=index, name="equity"),
        turnover=pd.Series(turnover, index=index, name="turnover"),
        trades=trades,
        _derived=ledger,
    )
    return books


@dataclass(frozen=True, eq=False)
class _Ledger:
    """What the rest of the books is derived from; ``equity`` is that of the books of record, ``made`` every order.

    ``panels`` are the prices that the market's arrays look into: while they are kept, pandas lets nobody write there.
    """

    weights: pd.DataFrame
    open_at: pd.DatetimeIndex
    market: Market
    costs: Costs
    execution: Execution
    initial_cash: float
    panels: tuple[pd.DataFrame, ...]
    equity: np.ndarray
    made: Record | None = None

    @cached_property
    def kept(self) -> Record:
        """Every order."""
        if self.made is not None:
            return self.made
        target = self.weights.to_numpy(dtype=float)
        return record(target, self.market, self.costs, self.execution, initial_cash=self.initial_cash)

    @property
    def before(self) -> np.ndarray:
        """Equity at the fills of each row."""
        return np.concatenate([[self.initial_cash], self.equity[:-1]])

    def of(self, name: str) -> Mapping[str, Any]:
        """Derive a field of the books, and those that come with it."""
        if name == "orders":
            return {"orders": _order_frame(self.kept, self.weights.columns, self.open_at)}
        return self._paid() if name in _PAID else self._held()

    def _paid(self) -> Mapping[str, Any]:
        kept = self.kept
        fills = (kept.commission, kept.spread, kept.impact, kept.haircut)
        return dict(zip(_PAID, (*fills, *map(float, kept.carry.sum(axis=0))), strict=True))

    def _held(self) -> Mapping[str, Any]:
        equity, before, kept = self.equity, self.before, self.kept
        value = _values(self.market.fill, self.market.close)[:-1]
        lost = equity <= 0.0
        alive = int(np.argmax(lost)) + 1 if lost.any() else len(equity)
        shares = np.cumsum(kept.sizes, axis=0)
        shares[np.abs(shares) < 1e-12] = 0.0
        fraction = np.where(np.isnan(value), 0.0, value) / np.where(before > 0.0, before, np.inf)[:, None]
        realised = shares * fraction
        realised[alive:] = 0.0
        missing = np.isnan(self.market.fill)
        exits = (_missing_run(missing) == self.execution.stale_after) & np.isfinite(value)
        target = np.where(exits, 0.0, self.weights.to_numpy(dtype=float))
        counts, gap = _shortfalls(kept, target, realised, missing, exits, alive)
        panel = pd.DataFrame(realised, index=self.weights.index, columns=self.weights.columns)
        return dict(zip(_HELD, (panel, gap, counts), strict=True))


def _order_frame(kept: Record, columns: pd.Index, open_at: pd.DatetimeIndex) -> pd.DataFrame:
    bar, column = np.nonzero(kept.sizes)
    size = kept.sizes[bar, column]
    traded = np.flatnonzero(np.bincount(column, minlength=len(columns)))
    names = pd.Series(columns.to_numpy()[traded])
    return pd.DataFrame(
        {
            "symbol": names.array.take(np.searchsorted(traded, column)),
            "bar": bar,
            "fill_at": open_at[bar],
            "size": np.abs(size),
            "price": kept.prices[bar, column],
            "fees": kept.fees[bar, column],
            "side": pd.Series(["sell", "buy"]).array.take((size > 0.0).astype(np.intp)),
        }
    )


def _shortfalls(
    kept: Record, target: np.ndarray, realised: np.ndarray, missing: np.ndarray, exits: np.ndarray, alive: int
) -> tuple[dict[str, int], float]:
    """Count what was wanted and not done; target and realised are fractions of equity of shape (bars, symbols)."""
    gap = np.abs(target - realised)[:alive]
    filled = kept.sizes[:alive] != 0.0
    quoted = (~missing | exits)[:alive]
    short = gap > 1e-9
    # What volume, lots, a margin call or a dead bar cut is no lack of cash.
    cash = short & ~(kept.capped | kept.rounded | kept.dropped | kept.dead | kept.margin_calls[:, None])[:alive]
    counts: dict[str, int] = {
        "bars_without_price": int(missing.sum()),
        "stale_exits": int((exits[:alive] & filled).sum()),
        "clipped_orders": int((cash & filled).sum()),
        "rejected_orders": int((cash & ~filled & quoted).sum()),
        "blocked_orders": int((short & ~quoted).sum()),
        "capped_orders": int(kept.capped.sum()),
        "dropped_orders": int((short & kept.dropped[:alive]).sum()),
        "rounded_orders": int(kept.rounded.sum()),
        "dead_bar_orders": int(kept.dead.sum()),
        "impact_unknown": int(kept.impact_unknown.sum()),
        "margin_calls": int(kept.margin_calls.sum()),
        "beyond_tolerance": int((gap > WEIGHT_TOLERANCE).sum()),
        "rows_after_ruin": len(target) - alive,
    }
    return counts, float(gap.max(initial=0.0))
