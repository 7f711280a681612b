"""Can the levels be believed: real opens, ranges, closes that stand still, bars told twice, adjusted closes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import ROUND_THE_CLOCK
from embargo.data_loaders.checks.check import (
    MAX_EXAMPLES,
    Check,
    Grade,
    cells_of,
    examples,
    graded,
    percent,
    plural,
    worse,
)
from embargo.data_loaders.checks.moves import carried, log_levels
from embargo.data_loaders.checks.runs import BarRun, runs
from embargo.data_loaders.schemas import Prices

# Coarse ticks make a thin share open where it closed on up to a third of its days; on half of them it was copied.
COPIED_OPEN_LOOK, COPIED_OPEN_BAD = 0.30, 0.50
FLAT_LOOK, FLAT_BAD = 0.01, 0.20
# Five equal closes in a row happen where ticks are coarse or trade is thin, as often as single ones let expect: once in
# a thousand archives is no chance. Ten are none of the market's making, five with all four prices equal neither.
STALE_RUN, STALE_LONG, BY_CHANCE = 5, 10, 0.001
# From a tenth of a symbol's bars on, the closes outside are no slips: the fields are of different adjustments.
CROSSED_THROUGHOUT = 0.10
ROUNDING = 1e-6
# Beyond a twentieth, the difference is a special dividend, a spin-off, or an adjustment that went wrong.
ADJUSTED_APART = 0.05
ENOUGH_BARS = 60
_MIX = np.uint64(0x9E3779B97F4A7C15)
# A price that usually moves by single ticks repeats itself by nature.
COARSE = 0.5


def _coarse(close: np.ndarray) -> np.ndarray:
    """Whether a symbol usually moves by single ticks: the smallest tenth of its moves is half the usual or more."""
    found = np.zeros(close.shape[1], dtype=bool)
    moved = np.abs(np.diff(close, axis=0))
    still = (moved == 0).sum(axis=0) > 0.05 * len(moved)
    for column in np.flatnonzero(still).tolist():
        own = moved[:, column]
        own = own[own > 0]
        found[column] = len(own) == 0 or np.quantile(own, 0.1) >= (COARSE - ROUNDING) * np.median(own)
    return found


def opening_prices(prices: Prices) -> Check:
    """Find symbols whose open is mostly the close before it: no opening price at all, and no place to fill an order.

    Round-the-clock markets never close, so there it is as it should be. Bars without volume count neither way. Silent
    on opens copied from another venue, on prices that move by single ticks, and on symbols with fewer than 60 opens.
    """
    if prices.calendar == ROUND_THE_CLOCK:
        return Check("opening prices", "clean", "not judged: a market that never closes opens where it closed.")
    opens = prices.open.to_numpy(dtype=float)
    close = prices.close.to_numpy(dtype=float)
    before = carried(close)
    both = np.isfinite(opens) & np.isfinite(before) & ~(prices.volume.to_numpy(dtype=float) == 0) & ~_coarse(close)
    with np.errstate(invalid="ignore"):
        same = both & (np.abs(opens - before) <= ROUNDING * np.abs(before))
    share = same.sum(axis=0) / np.maximum(both.sum(axis=0), 1)
    share = np.where(both.sum(axis=0) >= ENOUGH_BARS, share, 0.0)
    # A stretch of decades without real opens may hide behind good later years: judge each symbol's worst year too.
    first_of_year = np.flatnonzero(np.append(True, np.diff(prices.open_at.year) != 0))
    counted = np.add.reduceat(both.astype(np.int64), first_of_year)
    yearly = np.add.reduceat(same.astype(np.int64), first_of_year) / np.maximum(counted, 1)
    yearly = np.where(counted >= ENOUGH_BARS, yearly, 0.0)
    worst = yearly.max(axis=0)
    figure = np.fmax(share, worst)
    order = np.argsort(-figure, kind="stable")
    order = order[figure[order] >= COPIED_OPEN_LOOK]
    top = float(figure.max(initial=0.0))
    marked = np.zeros(same.shape, dtype=bool)
    marked[:, order] = same[:, order]
    return Check(
        "opening prices",
        graded(top, look=COPIED_OPEN_LOOK, bad=COPIED_OPEN_BAD),
        f"{plural(len(order), 'symbol')} whose open repeats the close before (up to {top:.0%} of a year's bars): never "
        "fill orders at it."
        if len(order)
        else f"opens differ from the close before (equal on {float(same.sum() / max(both.sum(), 1)):.1%} of the bars).",
        {
            "share_equal": float(same.sum() / max(both.sum(), 1)),
            "symbols": len(order),
            "largest_share": float(share.max(initial=0.0)),
            "largest_share_of_a_year": top,
        },
        pd.DataFrame(
            {
                "symbol": [str(prices.open.columns[column]) for column in order],
                "share_equal": share[order],
                "worst_year": worst[order],
                "bar": prices.open_at[same[:, order].argmax(axis=0)],
            }
        ).head(MAX_EXAMPLES),
        remedy="Take opens from a source that has them, or start after the years without; filling at the close "
        "(execution.fill = 'close') does not read them."
        if len(order)
        else "",
        marked=marked if len(order) else None,
    )


def ranges(prices: Prices) -> Check:
    """Find highs below the open or close, lows above them, and flat bars whose four prices are one though traded.

    Where more than a tenth of a symbol's bars are crossed, its fields are of different adjustments, and all its bars up
    to the last crossed one are at fault. Silent on ranges that are too wide (``outliers``), on bars without volume
    (``volume``) and on prices that move by single ticks.
    """
    opens, high, low, close = (getattr(prices, name).to_numpy(dtype=float) for name in ("open", "high", "low", "close"))
    with np.errstate(invalid="ignore"):
        crossed = (high * (1 + ROUNDING) < np.fmax(opens, close)) | (low * (1 - ROUNDING) > np.fmin(opens, close))
        flat = (high == low) & (opens == close) & (high == close)
        flat &= ~(prices.volume.to_numpy(dtype=float) == 0) & ~_coarse(close)
    quoted = np.isfinite(close)
    throughout = crossed.sum(axis=0) >= CROSSED_THROUGHOUT * np.maximum(quoted.sum(axis=0), 1)
    throughout &= crossed.any(axis=0)
    until = np.where(throughout, len(crossed) - 1 - crossed[::-1].argmax(axis=0), -1)
    mixed = quoted & (np.arange(len(crossed))[:, None] <= until)
    cells = max(int(np.isfinite(close).sum()), 1)
    flat_share, number = float(flat.sum() / cells), int(crossed.sum())
    shown = cells_of(crossed, prices.close, open=opens, high=high, low=low, close=close).assign(trouble="crossed")
    flats = cells_of(flat, prices.close, open=opens, high=high, low=low, close=close).assign(trouble="flat")
    remedies = []
    if throughout.any():
        remedies.append(
            "The close is adjusted and the other fields are raw: map close to the raw close and adj_close to the "
            "adjusted one (prices.columns), and set prices.adjust = 'total_return', which scales all four alike."
        )
    elif number:
        remedies.append("Correct the crossed bars at the source, or set them to missing.")
    if flat_share >= FLAT_LOOK:
        remedies.append("Flat bars with volume are one price written four times: take the range from another source.")
    return Check(
        "ranges",
        worse("bad" if number else "clean", graded(flat_share, look=FLAT_LOOK, bad=FLAT_BAD)),
        (
            f"{plural(number, 'bar')} with open or close outside high and low"
            if number
            else "open and close within the range"
        )
        + f"; {percent(flat_share)} flat (four equal prices).",
        {
            "crossed": number,
            "symbols_crossed_throughout": int(throughout.sum()),
            "flat": int(flat.sum()),
            "share_flat": flat_share,
        },
        pd.concat([shown, flats if flat_share >= FLAT_LOOK else flats.head(0)], ignore_index=True).head(MAX_EXAMPLES),
        remedy=" ".join(filter(None, remedies)),
        marked=crossed | mixed | (flat & (flat_share >= FLAT_LOOK)) if remedies else None,
    )


def stale_closes(prices: Prices) -> Check:
    """Find closes that stand unchanged for five bars or more, unless the symbol is known to rest so long.

    How often single closes of the symbol repeat says what runs chance would bring: coarse ticks and thin trade pass.
    Beyond it, bars with volume cannot have stood still for ten closes, or for five with all four prices, and bars of
    unknown volume were as likely filled forward; bars without volume were not traded, which a person should see.
    Silent on fills shorter than five bars.
    """
    close = prices.close.to_numpy(dtype=float)
    same = np.vstack([np.zeros((1, close.shape[1]), dtype=bool), close[1:] == close[:-1]])
    fields = [getattr(prices, name).to_numpy(dtype=float) for name in ("open", "high", "low")]
    volume = prices.volume.to_numpy(dtype=float)
    repeats, pairs = same.sum(axis=0), np.isfinite(close).sum(axis=0)
    frozen: list[BarRun] = []
    resting: list[BarRun] = []
    coarse = _coarse(close)
    for column, start, stop in runs(same, STALE_RUN - 1):
        length = stop - start
        chance = (repeats[column] - length + 1) / max(pairs[column] - length + 2, 1)
        if pairs[column] * chance**length >= BY_CHANCE:
            continue
        run = BarRun(column, start - 1, stop)
        traded = volume[start:stop, column]
        # Trade that varies beside a price of few ticks is trade at that price.
        traded_there = coarse[column] and len(np.unique(traded)) > 1
        if traded_there and length < pairs[column] - 1:
            continue
        whole = all((field[start:stop, column] == close[start:stop, column]).all() for field in fields) or all(
            (field[start:stop, column] == field[start - 1 : stop - 1, column]).all() for field in fields
        )
        moving = not traded_there and not (traded == 0).all()
        (frozen if moving and (whole or length + 1 >= STALE_LONG) else resting).append(run)
    marked = _spread(frozen or resting, close.shape)
    every = [*frozen, *resting]
    number, longest = (
        sum(run.stop - run.start for run in every),
        max((run.stop - run.start for run in every), default=0),
    )
    listed = pd.DataFrame(
        [
            (
                str(prices.close.columns[run.column]),
                prices.open_at[run.start],
                prices.open_at[run.stop - 1],
                run.stop - run.start,
                "stands still" if run in frozen else "not traded",
            )
            for run in sorted(every, key=lambda run: run.start - run.stop)
        ],
        columns=["symbol", "bar", "last_bar", "bars", "trouble"],
    )
    verdict: Grade = "bad" if frozen else "look" if resting else "clean"
    remedies = {
        "bad": "Filled forward, or written again: set these bars to missing, so that nothing is traded at prices that "
        "were not there, or get them from another source.",
        "look": "A halt or a pause of trade: no order is filled on a bar without volume and range; nothing else is to "
        "be done if the source says so too.",
    }
    return Check(
        "stale closes",
        verdict,
        (f"{plural(number, 'close')} standing unchanged" if number else "no close stands unchanged longer than usual")
        + (f" for {STALE_RUN} bars or more, longest {longest}." if longest else "."),
        {
            "bars": number,
            "share": number / max(int(np.isfinite(close).sum()), 1),
            "longest_run": longest,
            "symbols": len({run.column for run in every}),
        },
        examples(listed),
        remedy=remedies.get(verdict, ""),
        marked=marked if every else None,
    )


def _spread(stretches: list[BarRun], shape: tuple[int, int]) -> np.ndarray:
    marked = np.zeros(shape, dtype=bool)
    for column, start, stop in stretches:
        marked[start:stop, column] = True
    return marked


def repeated_bars(prices: Prices) -> Check:
    """Find stretches of five bars or more that were told before: open, high, low and close of each as so many bars ago.

    Bars of one price are left to ``stale_closes``. Silent on single bars, which coarse ticks repeat, on copies in
    another scale, and on one symbol's bars under another's name.
    """
    fields = [
        np.ascontiguousarray(getattr(prices, name).to_numpy(dtype=float)) for name in ("open", "high", "low", "close")
    ]
    bars, symbols = fields[0].shape
    with np.errstate(over="ignore", invalid="ignore"):
        told = np.broadcast_to(np.arange(symbols, dtype=np.uint64) * _MIX, (bars, symbols)).copy()
        for field in fields:
            told = (told ^ field.view(np.uint64)) * _MIX
            told ^= told >> np.uint64(29)
        there = np.isfinite(sum(fields)) & (fields[1] > fields[2])
    ordered = np.sort(told[there])
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    rows, columns = np.nonzero(there & np.isin(told, twice)) if len(twice) else (np.empty(0, int), np.empty(0, int))
    lag = np.zeros((bars, symbols), dtype=np.int64)
    order = np.lexsort((rows, told[rows, columns]))
    again = np.flatnonzero(told[rows, columns][order][1:] == told[rows, columns][order][:-1])
    later, earlier = order[again + 1], order[again]
    lag[rows[later], columns[later]] = rows[later] - rows[earlier]
    copied, whole = np.zeros((bars, symbols), dtype=bool), (lag > 0).sum(axis=0)
    for column, start, stop in runs(lag > 0, STALE_RUN):
        own = lag[start:stop, column]
        for part in np.split(np.arange(start, stop), np.flatnonzero(np.diff(own)) + 1):
            chance = (whole[column] - len(part) + 1) / max(int(there[:, column].sum()) - len(part) + 2, 1)
            if len(part) >= STALE_RUN and bars * chance ** len(part) < BY_CHANCE:
                copied[part, column] = True
    number = int(copied.sum())
    return Check(
        "repeated bars",
        "bad" if number else "clean",
        f"{plural(number, 'bar')} of {plural(int(copied.any(axis=0).sum()), 'symbol')} told before, bar for bar."
        if number
        else "no stretch of bars is told twice.",
        {"bars": number, "symbols": int(copied.any(axis=0).sum())},
        cells_of(copied, prices.close, close=fields[3], bars_before=lag),
        remedy="One of the two stretches is a copy: get the marked bars from the source again, or set them to missing."
        if number
        else "",
        marked=copied if number else None,
    )


def adjustment(prices: Prices, adjusted_close: pd.DataFrame) -> Check:
    """Hold adjusted against raw closes: their returns differ on ex-dates, and never by much.

    Differences beyond 5 % are special dividends, spin-offs or faults. An adjusted close that loses against the raw one
    has no cause in the market. Silent on dividends left out.

    Parameters
    ----------
    prices : Prices
        Raw or split-adjusted.
    adjusted_close : DataFrame
        Close adjusted for splits and dividends; symbols and bars are matched to those of ``prices``.
    """
    factor = log_levels(adjusted_close.reindex(index=prices.close.index, columns=prices.close.columns)) - log_levels(
        prices.close
    )
    step = factor - carried(factor)
    with np.errstate(invalid="ignore"):
        apart, lost = np.abs(step) > ADJUSTED_APART, step < -ADJUSTED_APART / 10
    changed = int((np.abs(step[np.isfinite(step)]) > 1e-4).sum())
    verdict: Grade = "bad" if lost.any() else graded(float(apart.sum()), look=1)
    remedies = {
        "bad": "No dividend or split makes the adjusted close lose: use raw levels (prices.adjust = 'none'), or "
        "adjusted closes from another source.",
        "look": "Look the days up: a special dividend or a spin-off is right to be there; anything else is an "
        "adjustment that went wrong, and raw levels (prices.adjust = 'none') are without it.",
    }
    words = f"returns differ by more than 5 % on {plural(int(apart.sum()), 'bar')}"
    words += f"; the adjusted close loses against the raw one on {plural(int(lost.sum()), 'bar')}" if lost.any() else ""
    return Check(
        "adjusted against raw",
        verdict,
        words + ".",
        {"apart": int(apart.sum()), "adjusted_loses": int(lost.sum()), "bars_with_adjustment": changed},
        cells_of(apart | lost, prices.close, log_difference=step),
        remedy=remedies.get(verdict, ""),
        marked=(lost if lost.any() else apart) if verdict != "clean" else None,
    )
