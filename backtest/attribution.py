"""Where a result came from: what each symbol, each side and each kind of cost added to the return, bar by bar.

All of it is derived from the orders of the books and the value of each symbol at each fill, and adds up to the equity
that the books kept: nothing is estimated, and what is left over is what was paid or earned for holding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from embargo.data_loaders.errors import DataError

Floats = npt.NDArray[np.float64]

# Cells that are worked on at once, so that long and wide panels need no second copy of themselves.
_CELLS = 4_000_000
# A position below this share of the largest one a symbol ever had is what rounding left of a closed one.
_DUST = 1e-9


@dataclass(frozen=True, eq=False)
class Attribution:
    """What made the return, as fractions of the equity at the start.

    Attributes
    ----------
    symbols : DataFrame, shape (symbols, 6)
        By symbol: ``long, short`` (what was earned while it was held long, and short, after the costs of its fills),
        ``total`` (their sum), ``costs`` (of its fills, negative, already within), ``bars_long, bars_short``.
    bars : DataFrame, shape (bars, 5)
        By bar: ``long, short`` (as above), ``fees`` and ``slippage`` (of the fills, negative, already within), and
        ``carry`` (borrow, interest and funding: the change of equity less what trading made).
    by_symbol : DataFrame, shape (bars, symbols)
        What each symbol added on each bar.
    initial : float
        Equity at the start, in currency.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.attribution import attribute
    >>> orders = pd.DataFrame({"symbol": ["A", "A"], "bar": [0, 1], "size": [10.0, 10.0], "price": [10.0, 11.0],
    ...     "fees": [0.0, 1.0], "side": ["buy", "sell"]})
    >>> values = pd.DataFrame({"A": [10.0, 11.0, 12.0]})
    >>> equity = pd.Series([1010.0, 1009.0])
    >>> found = attribute(orders, values, equity, initial=1000.0)
    >>> found.symbols.loc["A", ["long", "total", "costs", "bars_long"]].round(6).tolist()
    [0.009, 0.009, -0.001, 1.0]
    >>> found.bars["carry"].round(6).tolist()
    [0.0, 0.0]
    """

    symbols: pd.DataFrame
    bars: pd.DataFrame
    by_symbol: pd.DataFrame
    initial: float


def attribute(orders: pd.DataFrame, values: pd.DataFrame, equity: pd.Series, *, initial: float) -> Attribution:
    """Say what each symbol, side and cost added to the return of an account.

    A bar's gain of a symbol is its shares after the fills times the change of its value, less what its fills cost: the
    commission, and the distance of the fill's price from the value. A fill's costs belong to the side that the position
    stands on after it, or, where the fill closes it, to the side it stood on.

    Parameters
    ----------
    orders : DataFrame
        As in `Books`: ``symbol, bar, size`` (positive), ``price, fees, side`` ("buy" or "sell").
    values : DataFrame, shape (bars + 1, symbols)
        Value of each symbol at the fills of each bar, and behind the last, from `marks` of the books. NaN where a
        symbol had none yet.
    equity : Series, shape (bars,)
        At the end of each bar, in currency.
    initial : float
        Equity before the first, in currency.

    Returns
    -------
    Attribution
        All long and short plus all carry make ``equity[-1] / initial - 1``.

    Raises
    ------
    DataError
        If the shapes do not fit, or an order names a symbol or bar that is not there.
    """
    n_bars = len(equity)
    if len(values) != n_bars + 1 or not initial > 0.0:
        raise DataError(
            f"attribute: {len(values)} rows of values for {n_bars} bars and an equity of {initial:g} at the start; "
            "there is one row more than there are bars, and the equity is positive"
        )
    columns = values.columns.get_indexer(pd.Index(orders["symbol"]))
    bars = orders["bar"].to_numpy(dtype=np.int64)
    if (columns < 0).any() or (len(bars) and (bars.min() < 0 or bars.max() >= n_bars)):
        raise DataError("attribute: an order names a symbol or a bar that has no value; pass the orders' own prices")
    signed = orders["size"].to_numpy(dtype=float) * np.where(orders["side"] == "buy", 1.0, -1.0)
    order = np.argsort(columns, kind="stable")
    columns, bars, signed = columns[order], bars[order], signed[order]
    price, fees = (orders[name].to_numpy(dtype=float)[order] for name in ("price", "fees"))
    step = max(1, _CELLS // max(1, n_bars))
    made = [np.empty((n_bars, 0))]
    rows: list[Floats] = []
    together = np.zeros((4, n_bars))
    for start in range(0, values.shape[1], step):
        mine = slice(*np.searchsorted(columns, [start, start + step]))
        block = values.iloc[:, start : start + step].to_numpy(dtype=float)
        place = (bars[mine], columns[mine] - start)
        cells = _cells(block, place, signed[mine], price[mine], fees[mine])
        made.append(cells[0] + cells[1])
        rows.append(cells.sum(axis=1).T)
        together += cells[:4].sum(axis=2)
    by_symbol = np.hstack(made) / initial
    sides = np.vstack(rows) if rows else np.empty((0, 6))
    change = np.diff(np.concatenate([[initial], equity.to_numpy(dtype=float)]))
    long, short, paid, slipped = together
    index = equity.index
    symbols = pd.DataFrame(
        {
            "long": sides[:, 0] / initial,
            "short": sides[:, 1] / initial,
            "total": (sides[:, 0] + sides[:, 1]) / initial,
            "costs": (sides[:, 2] + sides[:, 3]) / initial,
            "bars_long": sides[:, 4].astype(np.int64),
            "bars_short": sides[:, 5].astype(np.int64),
        },
        index=values.columns,
    )
    return Attribution(
        symbols,
        pd.DataFrame(
            {
                "long": long / initial,
                "short": short / initial,
                "fees": paid / initial,
                "slippage": slipped / initial,
                "carry": (change - long - short) / initial,
            },
            index=index,
        ),
        pd.DataFrame(by_symbol, index=index, columns=values.columns),
        initial,
    )


def _cells(
    values: Floats,
    place: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    signed: Floats,
    price: Floats,
    fees: Floats,
) -> Floats:
    """Long, short, fees, slippage, held long, held short of every cell, in currency: shape (6, bars, symbols)."""
    bars, symbols = len(values) - 1, values.shape[1]
    traded, paid, slipped = np.zeros((bars, symbols)), np.zeros((bars, symbols)), np.zeros((bars, symbols))
    np.add.at(traded, place, signed)
    np.add.at(paid, place, -fees)
    np.add.at(slipped, place, -signed * (price - values[place]))
    shares = traded.cumsum(axis=0)
    largest = np.abs(shares).max(axis=0, initial=0.0)
    shares[np.abs(shares) <= _DUST * largest] = 0.0
    before = np.vstack([np.zeros((1, symbols)), shares[:-1]])
    side = np.sign(np.where(shares != 0.0, shares, before))
    # Where nothing is held a missing value moves nothing.
    moved = np.where(shares != 0.0, np.diff(values, axis=0), 0.0)
    gain = shares * moved + paid + slipped
    return np.stack(
        [
            np.where(side > 0.0, gain, 0.0),
            np.where(side > 0.0, 0.0, gain),
            paid,
            slipped,
            (shares > 0.0).astype(float),
            (shares < 0.0).astype(float),
        ]
    )
