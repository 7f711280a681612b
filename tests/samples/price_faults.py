"""Faults laid in clean prices, each with the cells that it touches, and honest oddities that are no faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.schemas import Prices, validate_prices

QUOTES = ("open", "high", "low", "close")
Planted = tuple[Prices, np.ndarray]


def panels(prices: Prices) -> dict[str, np.ndarray]:
    return {name: getattr(prices, name).to_numpy(dtype=float, copy=True) for name in PRICE_FIELDS}


def rebuilt(prices: Prices, values: dict[str, np.ndarray], **others: object) -> Prices:
    frames = {
        name: pd.DataFrame(array, index=prices.open_at, columns=prices.open.columns) for name, array in values.items()
    }
    return validate_prices(replace(prices, **frames, **others))


def spot(prices: Prices, rng: np.random.Generator, length: int = 1) -> tuple[slice, int]:
    """Bars of one symbol, quoted throughout and not at an end."""
    quoted = prices.close.notna().to_numpy()
    while True:
        column = int(rng.integers(quoted.shape[1]))
        row = int(rng.integers(3, len(quoted) - length - 3))
        if quoted[max(row - 40, 0) : row + length + 2, column].all():
            return slice(row, row + length), column


def cells(prices: Prices, rows: slice, column: int | slice) -> np.ndarray:
    touched = np.zeros(prices.close.shape, dtype=bool)
    touched[rows, column] = True
    return touched & prices.close.notna().to_numpy()


def scaled(prices: Prices, factor: float, rows: slice, column: int | slice, fields: tuple[str, ...] = QUOTES) -> Prices:
    values = panels(prices)
    for name in fields:
        values[name][rows, column] *= factor
    return rebuilt(prices, values)


def tick(fields: tuple[str, ...], factor: float) -> Callable[[Prices, np.random.Generator], Planted]:
    def plant(prices: Prices, rng: np.random.Generator) -> Planted:
        rows, column = spot(prices, rng)
        return scaled(prices, factor, rows, column, fields), cells(prices, rows, column)

    return plant


def unit(factor: float, bars: int = 21) -> Callable[[Prices, np.random.Generator], Planted]:
    def plant(prices: Prices, rng: np.random.Generator) -> Planted:
        rows, column = spot(prices, rng, bars)
        return scaled(prices, factor, rows, column), cells(prices, rows, column)

    return plant


def everyone(factor: float) -> Callable[[Prices, np.random.Generator], Planted]:
    def plant(prices: Prices, rng: np.random.Generator) -> Planted:
        row = int(rng.integers(30, len(prices.open_at) - 30))
        rows = slice(row, row + 1)
        return scaled(prices, factor, rows, slice(None)), cells(prices, rows, slice(None))

    return plant


def split(ratio: float) -> Callable[[Prices, np.random.Generator], Planted]:
    def plant(prices: Prices, rng: np.random.Generator) -> Planted:
        rows, column = spot(prices, rng)
        after = slice(rows.start, None)
        raw = scaled(scaled(prices, 1 / ratio, after, column), ratio, after, column, ("volume",))
        return raw, cells(prices, rows, column)

    return plant


def reused(prices: Prices, rng: np.random.Generator) -> Planted:
    rows, column = spot(prices, rng, 60)
    values = panels(prices)
    for name in PRICE_FIELDS:
        values[name][rows, column] = np.nan
    for name in QUOTES:
        values[name][rows.stop :, column] *= 7.3
    return rebuilt(prices, values), cells(prices, slice(rows.stop, rows.stop + 1), column)


def mixed_adjustment(prices: Prices, rng: np.random.Generator) -> Planted:
    values = panels(prices)
    bars = len(prices.open_at)
    ex = np.arange(63, bars, 63)
    paid = np.prod([np.where(np.arange(bars) < row, 0.98, 1.0) for row in ex], axis=0)[:, None]
    values["close"] *= paid
    outside = (values["close"] < values["low"] * (1 - 1e-6)) | (values["close"] > values["high"] * (1 + 1e-6))
    return rebuilt(prices, values), outside


def lost_month(prices: Prices, rng: np.random.Generator) -> Planted:
    rows, column = spot(prices, rng, 21)
    values = panels(prices)
    for name in PRICE_FIELDS:
        values[name][rows, column] = np.nan
    return rebuilt(prices, values), cells(prices, rows, column)


def lost_month_of_all(prices: Prices, rng: np.random.Generator) -> Planted:
    row = int(rng.integers(30, len(prices.open_at) - 60))
    kept = prices.select(bars=np.setdiff1d(np.arange(len(prices.open_at)), np.arange(row, row + 21)))
    return kept, cells(kept, slice(row, row + 1), slice(None))


def copied_opens(prices: Prices, rng: np.random.Generator) -> Planted:
    values = panels(prices)
    before = pd.DataFrame(values["close"]).ffill().shift().to_numpy()
    there = np.isfinite(before) & np.isfinite(values["open"])
    values["open"] = np.where(there, before, values["open"])
    values["high"] = np.fmax(values["high"], values["open"])
    values["low"] = np.fmin(values["low"], values["open"])
    return rebuilt(prices, values), there


def stale(fields: tuple[str, ...]) -> Callable[[Prices, np.random.Generator], Planted]:
    def plant(prices: Prices, rng: np.random.Generator) -> Planted:
        rows, column = spot(prices, rng, 15)
        values = panels(prices)
        for name in fields:
            values[name][rows, column] = values["close" if len(fields) == 4 else name][rows.start, column]
        return rebuilt(prices, values), cells(prices, rows, column)

    return plant


def told_twice(prices: Prices, rng: np.random.Generator) -> Planted:
    rows, column = spot(prices, rng, 10)
    values = panels(prices)
    earlier = slice(rows.start - 10, rows.start) if rows.start >= 10 else slice(rows.stop, rows.stop + 10)
    first, second = sorted((rows, earlier), key=lambda part: part.start)
    for name in QUOTES:
        values[name][second, column] = values[name][first, column]
    return rebuilt(prices, values), cells(prices, second, column)


FAULTS: dict[str, Callable[[Prices, np.random.Generator], Planted]] = {
    "open x1000": tick(("open",), 1000.0),
    "open and high x1000": tick(("open", "high"), 1000.0),
    "close x1000": tick(("close",), 1000.0),
    "close and high x1000": tick(("close", "high"), 1000.0),
    "open and close x1000": tick(("open", "close"), 1000.0),
    "a bar x1000": tick(QUOTES, 1000.0),
    "a bar in hundredths": tick(QUOTES, 0.01),
    "a bar halved": tick(QUOTES, 0.5),
    "a month in hundredths": unit(0.01),
    "a month x100": unit(100.0),
    "a quarter in another currency": unit(7.8, 63),
    "a day of all x100": everyone(100.0),
    "split 4:1": split(4.0),
    "split 3:2": split(1.5),
    "split 2:1": split(2.0),
    "split 1:10": split(0.1),
    "a ticker used twice": reused,
    "close adjusted, the rest raw": mixed_adjustment,
    "a month of one lost": lost_month,
    "a month of all lost": lost_month_of_all,
    "open is the close before": copied_opens,
    "a close that stands still": stale(("close",)),
    "bars that stand still": stale(QUOTES),
    "bars told twice": told_twice,
}


def adjusted_splits(prices: Prices, rng: np.random.Generator) -> Prices:
    values = panels(prices)
    rows, column = spot(prices, rng)
    for name in QUOTES:
        values[name][:, column] /= 4.0
    values["volume"][: rows.start, column] *= 4.0
    return rebuilt(prices, values, adjustment="splits")


def dividends(prices: Prices, rng: np.random.Generator) -> Prices:
    values = panels(prices)
    bars, symbols = prices.close.shape
    fallen = np.ones((bars, symbols))
    for column in range(symbols):
        for row in np.arange(int(rng.integers(1, 64)), bars, 63):
            fallen[row:, column] *= 0.99
    return rebuilt(prices, {name: array * fallen if name in QUOTES else array for name, array in values.items()})


def penny(prices: Prices, rng: np.random.Generator) -> Prices:
    """One symbol around ten ticks."""
    values = panels(prices)
    column = int(rng.integers(prices.close.shape[1]))
    usual = np.nanmedian(values["close"][:, column])
    for name in QUOTES:
        values[name][:, column] = np.maximum(np.round(values[name][:, column] / usual * 0.10, 2), 0.01)
    return rebuilt(prices, values)


def wild(prices: Prices, rng: np.random.Generator) -> Prices:
    """A market round the clock that moves by 6 % a day and now and then by 40 %."""
    bars, symbols = len(prices.open_at), len(prices.symbols)
    moves = 0.06 * rng.standard_t(5, (bars, symbols)) / np.sqrt(5 / 3)
    large = rng.random((bars, symbols)) < 0.004
    moves = np.where(large, rng.choice([-0.5, 0.34], (bars, symbols)), np.clip(moves, -0.3, 0.3))
    close = 100 * np.exp(np.cumsum(moves, axis=0))
    opens = np.vstack([np.full((1, symbols), 100.0), close[:-1]])
    high = np.maximum(opens, close) * np.exp(np.abs(0.01 * rng.standard_normal((bars, symbols))))
    low = np.minimum(opens, close) * np.exp(-np.abs(0.01 * rng.standard_normal((bars, symbols))))
    volume = rng.lognormal(10, 0.5, (bars, symbols))
    days = pd.date_range("2019-01-01", periods=bars, freq="D", tz="UTC").as_unit("us")
    frames = {
        name: pd.DataFrame(values, index=days, columns=prices.symbols)
        for name, values in zip(PRICE_FIELDS, (opens, high, low, close, volume), strict=True)
    }
    return validate_prices(Prices(**frames, open_at=days, close_at=days + pd.Timedelta(days=1), calendar="24/7"))


def delisted(prices: Prices, rng: np.random.Generator) -> Prices:
    rows, column = spot(prices, rng)
    values = panels(prices)
    for name in PRICE_FIELDS:
        values[name][rows.start :, column] = np.nan
    return rebuilt(prices, values)


def listed(prices: Prices, rng: np.random.Generator) -> Prices:
    rows, column = spot(prices, rng)
    values = panels(prices)
    for name in PRICE_FIELDS:
        values[name][: rows.start, column] = np.nan
    return rebuilt(prices, values)


def thin(prices: Prices, rng: np.random.Generator) -> Prices:
    """A few symbols rest on one day in five, written as bars without volume at the price before."""
    values = panels(prices)
    bars, symbols = prices.close.shape
    for column in rng.choice(symbols, max(symbols // 8, 1), replace=False).tolist():
        for row in np.flatnonzero(rng.random(bars) < 0.2).tolist():
            if row and np.isfinite(values["close"][row - 1 : row + 1, column]).all():
                for name in QUOTES:
                    values[name][row, column] = values["close"][row - 1, column]
                values["volume"][row, column] = 0.0
    return rebuilt(prices, values)


def resting(prices: Prices, rng: np.random.Generator) -> Prices:
    """A few symbols rest on one day in thirty, of which there is no bar."""
    values = panels(prices)
    bars, symbols = prices.close.shape
    for column in rng.choice(symbols, max(symbols // 8, 1), replace=False).tolist():
        rests = np.flatnonzero(rng.random(bars) < 1 / 30)
        for name in PRICE_FIELDS:
            values[name][rests, column] = np.nan
    return rebuilt(prices, values)


def crash(prices: Prices, rng: np.random.Generator) -> Prices:
    """A day on which all fall by 12 %."""
    values = panels(prices)
    row = int(rng.integers(3, len(prices.open_at) - 3))
    for name in QUOTES:
        values[name][row + 1 :] *= np.exp(-0.12)
    values["close"][row] *= np.exp(-0.12)
    values["low"][row] = np.fmin(values["low"][row], values["close"][row])
    values["volume"][row] *= 4.0
    return rebuilt(prices, values)


ODDITIES: dict[str, Callable[[Prices, np.random.Generator], Prices]] = {
    "as it is": lambda prices, rng: prices,
    "splits adjusted": adjusted_splits,
    "dividends": dividends,
    "a penny stock": penny,
    "a wild market": wild,
    "delisted": delisted,
    "listed late": listed,
    "thin trade": thin,
    "days without a bar": resting,
    "a crash": crash,
}
# What an honest oddity gives a person to see, and why that is right.
SEEN = {
    "thin trade": {"volume"},  # bars in which nothing was traded
    "days without a bar": {"holes"},  # bars that are not there
}
