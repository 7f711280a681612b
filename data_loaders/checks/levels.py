"""Can the levels be believed: outliers, bad ticks, splits, real opening prices, ranges, stale and adjusted closes."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import ROUND_THE_CLOCK
from embargo.data_loaders.checks.check import MAX_EXAMPLES, Check, Grade, cells_of, graded, percent, plural, worse
from embargo.data_loaders.schemas import Prices, utc_microseconds

# Twelve robust standard deviations and 20 %: fat tails pass, a slipped decimal or another company's price does not.
OUTLIER_SIGMAS, OUTLIER_FLOOR = 12.0, 0.20
ROBUST_BARS, ROBUST_AT_LEAST = 127, 20
_MAD_TO_SIGMA = 1.4826
# A crash does not come back to within a tenth in the very next bar; a bad tick does.
REVERSED_WITHIN = 0.10
# Splits as companies make them, new shares per old; reverse splits are their inverses.
SPLIT_RATIOS = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 50.0, 100.0)
# A split is no news: beside it the overnight move is an ordinary one, and so is the range of the day.
SPLIT_WITHIN, SPLIT_RANGE = 0.03, 3.0
# The day's close keeps the new level; and shares traded grow by the ratio, not as on a day of news.
SPLIT_KEPT_WITHIN, SPLIT_VOLUME, SPLIT_VOLUME_BARS = 0.10, 4.0, 20
# Coarse ticks make a thin share open where it closed on up to a third of its days; on half of them it was copied.
COPIED_OPEN_LOOK, COPIED_OPEN_BAD = 0.30, 0.50
FLAT_LOOK, FLAT_BAD = 0.01, 0.20
STALE_RUN, STALE_LOOK, STALE_BAD = 5, 0.002, 0.05
ROUNDING = 1e-6
# Beyond a twentieth, the difference is a special dividend, a spin-off, or an adjustment that went wrong.
ADJUSTED_APART = 0.05
ENOUGH_BARS = 60


def _log(panel: pd.DataFrame) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        values: np.ndarray = np.log(panel.to_numpy(dtype=float))
    return values


def _carried(values: np.ndarray) -> np.ndarray:
    """Last known value before each bar, so that a hole does not hide a jump; shape kept, NaN before the first."""
    carried = pd.DataFrame(values).ffill().shift().to_numpy()
    return np.asarray(carried)


def _robust_sigma(returns: np.ndarray) -> np.ndarray:
    """Robust standard deviation of the 127 bars around each bar, from the median absolute return; shape kept."""
    frame = pd.DataFrame(np.abs(returns))
    median = frame.rolling(ROBUST_BARS, center=True, min_periods=ROBUST_AT_LEAST).median().to_numpy()
    return np.asarray(_MAD_TO_SIGMA * median)


def outliers(prices: Prices) -> Check:
    """Find closes that jump beyond 12 robust standard deviations and 20 %, and those that come straight back.

    A jump that the next bar takes back to within a tenth is a bad tick. A high or low that far beyond open and close
    is listed too: a misprint, or a flash crash. Silent on errors below 20 %, on bad stretches of two bars or more, and
    on symbols with fewer than 20 returns. The window is centred: this judges data, it is no signal.
    """
    close = _log(prices.close)
    returns = close - _carried(close)
    limit = np.fmax(OUTLIER_SIGMAS * _robust_sigma(returns), OUTLIER_FLOOR)
    with np.errstate(invalid="ignore"):
        jump = np.abs(returns) > limit
        following = np.vstack([returns[1:], np.full((1, returns.shape[1]), np.nan)])
        back = jump & (np.abs(returns + following) < REVERSED_WITHIN * np.abs(returns))
        body_high = np.fmax(_log(prices.open), close)
        body_low = np.fmin(_log(prices.open), close)
        wick = (_log(prices.high) - body_high > limit) | (body_low - _log(prices.low) > limit)
    returned = np.vstack([np.zeros((1, back.shape[1]), dtype=bool), back[:-1]])
    lasting = jump & ~back & ~returned
    lone = wick & ~jump & ~returned
    bad_ticks = int(back.sum())
    verdict: Grade = "bad" if bad_ticks else graded(float(lasting.sum() + lone.sum()), look=1)
    groups = (("bad tick", back), ("large move", lasting), ("long wick", lone))
    return Check(
        "outliers",
        verdict,
        f"{plural(bad_ticks, 'bad tick')}; {plural(int(lasting.sum()), 'move')} beyond 12 robust standard deviations "
        f"that stayed; {plural(int(lone.sum()), 'wick')} as long.",
        {
            "bad_ticks": bad_ticks,
            "lasting_moves": int(lasting.sum()),
            "long_wicks": int(lone.sum()),
            "largest_log_return": _largest(returns),
        },
        pd.concat(
            [cells_of(mask, prices.close, log_return=returns).assign(trouble=name) for name, mask in groups],
            ignore_index=True,
        ).head(MAX_EXAMPLES),
    )


def _largest(returns: np.ndarray) -> float:
    finite = np.abs(returns[np.isfinite(returns)])
    return float(finite.max()) if finite.size else 0.0


def _recorded_splits(prices: Prices, actions: pd.DataFrame | None) -> np.ndarray:
    """Log of the split ratio recorded for each bar (the first that ends after ``ex_at``), 0 for none."""
    recorded = np.zeros(prices.close.shape)
    if actions is None or actions.empty:
        return recorded
    splits = actions[actions["kind"] == "split"]
    row = np.searchsorted(utc_microseconds(prices.close_at), utc_microseconds(splits["ex_at"]), side="right")
    column = prices.close.columns.get_indexer(pd.Index(splits["symbol"]))
    held = (row < len(recorded)) & (column >= 0)
    np.add.at(recorded, (row[held], column[held]), np.log(splits["value"].to_numpy(dtype=float)[held]))
    return recorded


def _near_split(gap: np.ndarray) -> np.ndarray:
    """Whether a log gap is that of a usual split, forward or reverse, up to an ordinary overnight move."""
    ratios = np.log(np.asarray(SPLIT_RATIOS))
    known = np.where(np.isfinite(gap), np.abs(gap), 0.0)
    return np.asarray((np.abs(known[..., None] - ratios) < SPLIT_WITHIN).any(axis=-1))


def _volume_growth(prices: Prices) -> np.ndarray:
    """Volume of each bar over the median of the 20 bars before it; NaN where there is none."""
    volume = prices.volume.astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(
            volume / volume.rolling(SPLIT_VOLUME_BARS, min_periods=SPLIT_VOLUME_BARS // 2).median().shift()
        )


def splits(prices: Prices, actions: pd.DataFrame | None = None) -> Check:
    """Find jumps from a close to the next open that look like a split nobody recorded, and recorded ones not seen.

    A split moves the open by 2:1, 3:1, 3:2 ... within 3 %, is not taken back, and leaves the bar's range and volume
    ordinary. A
    recorded split explains its jump in unadjusted prices; in adjusted prices it must have left none. Silent on ratios
    below 3:2, on splits that coincide with a crash, and on spin-offs.
    """
    close, opens = _log(prices.close), _log(prices.open)
    before = _carried(close)
    gap = np.where(np.isfinite(opens), opens, close) - before
    spread = _log(prices.high) - _log(prices.low)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # symbols without any range
        typical = np.nanmedian(spread, axis=0)
    usual = np.fmax(
        pd.DataFrame(spread).rolling(ROBUST_BARS, center=True, min_periods=ROBUST_AT_LEAST).median().to_numpy(), typical
    )
    following = np.vstack([close[1:], np.full((1, close.shape[1]), np.nan)])
    with np.errstate(invalid="ignore"):
        ordinary = ~(spread > SPLIT_RANGE * usual) & ~(np.abs(close - before - gap) > SPLIT_KEPT_WITHIN)
        ordinary &= ~(_volume_growth(prices) > SPLIT_VOLUME * np.exp(np.fmax(-gap, 0.0)))
        # Neither a bad tick nor the way back from one: the level of one bar before or after is not that of the other.
        returned = np.abs(following - before) < 0.5 * np.abs(gap)
        returned |= np.abs(close - _carried(before)) < 0.5 * np.abs(gap)
    recorded = _recorded_splits(prices, actions)
    alike = _near_split(gap) & ordinary & ~returned
    adjusted = prices.adjustment != "none"
    with np.errstate(invalid="ignore"):
        explained = (recorded != 0) & (np.abs(gap + recorded) < np.fmax(SPLIT_WITHIN, 0.25 * np.abs(recorded)))
        smooth = (recorded != 0) & np.isfinite(gap) & (np.abs(gap) < 0.5 * np.abs(recorded))
    unrecorded = alike & (recorded == 0)
    contradicted = explained if adjusted else smooth
    verdict: Grade = worse(graded(float(unrecorded.sum()), look=1, bad=1), "bad" if contradicted.any() else "clean")
    ratio = np.exp(-gap)
    listed = pd.concat(
        [
            cells_of(unrecorded, prices.close, shares_per_old=ratio).assign(trouble="no split recorded"),
            cells_of(contradicted, prices.close, shares_per_old=ratio).assign(
                trouble="adjusted, yet it jumps" if adjusted else "split recorded, no jump: already adjusted?"
            ),
        ],
        ignore_index=True,
    )
    number = int(unrecorded.sum())
    words = (
        f"{plural(number, 'jump')} like a split without a split recorded" if number else "no unrecorded split in sight"
    )
    words += (
        f"; {plural(int(contradicted.sum()), 'recorded split')} at odds with the prices" if contradicted.any() else ""
    )
    return Check(
        "splits",
        verdict,
        words + ".",
        {
            "split_like_jumps": int(unrecorded.sum()),
            "recorded": int((recorded != 0).sum()),
            "at_odds_with_prices": int(contradicted.sum()),
            "adjustment": prices.adjustment,
        },
        listed.head(MAX_EXAMPLES),
    )


def opening_prices(prices: Prices) -> Check:
    """Find symbols whose open is mostly the close before it: no opening price at all, and no place to fill an order.

    Round-the-clock markets never close, so there it is as it should be. Silent on opens copied from another venue, and
    on symbols with fewer than 60 opens.
    """
    if prices.calendar == ROUND_THE_CLOCK:
        return Check("opening prices", "clean", "not judged: a market that never closes opens where it closed.")
    opens = prices.open.to_numpy(dtype=float)
    before = _carried(prices.close.to_numpy(dtype=float))
    both = np.isfinite(opens) & np.isfinite(before)
    with np.errstate(invalid="ignore"):
        same = both & (np.abs(opens - before) <= ROUNDING * np.abs(before))
    share = same.sum(axis=0) / np.maximum(both.sum(axis=0), 1)
    share = np.where(both.sum(axis=0) >= ENOUGH_BARS, share, 0.0)
    # A stretch of decades without real opens may hide behind good later years: judge each symbol's worst year too.
    yearly = pd.DataFrame(same).groupby(prices.open_at.year).sum() / pd.DataFrame(both).groupby(
        prices.open_at.year
    ).sum().where(lambda count: count >= ENOUGH_BARS)
    worst = yearly.max().fillna(0.0).to_numpy()
    figure = np.fmax(share, worst)
    order = np.argsort(-figure, kind="stable")
    order = order[figure[order] >= COPIED_OPEN_LOOK]
    top = float(figure.max(initial=0.0))
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
            }
        ).head(MAX_EXAMPLES),
    )


def ranges(prices: Prices) -> Check:
    """Find highs below the open or close, lows above them, and flat bars whose four prices are one.

    Silent on ranges that are too wide (``outliers``).
    """
    opens, high, low, close = (getattr(prices, name).to_numpy(dtype=float) for name in ("open", "high", "low", "close"))
    with np.errstate(invalid="ignore"):
        crossed = (high * (1 + ROUNDING) < np.fmax(opens, close)) | (low * (1 - ROUNDING) > np.fmin(opens, close))
        flat = (high == low) & (opens == close) & (high == close)
    cells = max(int(np.isfinite(close).sum()), 1)
    flat_share, number = float(flat.sum() / cells), int(crossed.sum())
    shown = cells_of(crossed, prices.close, open=opens, high=high, low=low, close=close).assign(trouble="crossed")
    flats = cells_of(flat, prices.close, open=opens, high=high, low=low, close=close).assign(trouble="flat")
    return Check(
        "ranges",
        worse("bad" if number else "clean", graded(flat_share, look=FLAT_LOOK, bad=FLAT_BAD)),
        (
            f"{plural(number, 'bar')} with open or close outside high and low"
            if number
            else "open and close within the range"
        )
        + f"; {percent(flat_share)} flat (four equal prices).",
        {"crossed": number, "flat": int(flat.sum()), "share_flat": flat_share},
        pd.concat([shown, flats if flat_share >= FLAT_LOOK else flats.head(0)], ignore_index=True).head(MAX_EXAMPLES),
    )


def stale_closes(prices: Prices) -> Check:
    """Find closes that stand unchanged for five bars or more: filled forward, or not traded.

    Silent on fills shorter than that.
    """
    close = prices.close.to_numpy(dtype=float)
    same = np.vstack([np.zeros((1, close.shape[1]), dtype=bool), close[1:] == close[:-1]])
    frame = pd.DataFrame(same)
    run = frame.apply(lambda column: column.groupby((~column).cumsum()).transform("size"), axis=0).to_numpy()
    stale = (run >= STALE_RUN) & np.isfinite(close)
    cells = max(int(np.isfinite(close).sum()), 1)
    share = float(stale.sum() / cells)
    per_symbol = pd.DataFrame(
        {
            "symbol": prices.close.columns.astype(str),
            "bars": stale.sum(axis=0),
            "longest_run": np.where(stale, run, 0).max(axis=0, initial=0),
        }
    )
    per_symbol = per_symbol[per_symbol["bars"] > 0].sort_values("bars", ascending=False, ignore_index=True)
    longest = int(per_symbol["longest_run"].max()) if len(per_symbol) else 0
    return Check(
        "stale closes",
        graded(share, look=STALE_LOOK, bad=STALE_BAD),
        f"{percent(share) if share else 'none'} of the closes stand unchanged for {STALE_RUN} bars or more"
        + (f", longest {longest}." if longest else "."),
        {"bars": int(stale.sum()), "share": share, "longest_run": longest, "symbols": len(per_symbol)},
        per_symbol.head(MAX_EXAMPLES),
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
    factor = _log(adjusted_close.reindex(index=prices.close.index, columns=prices.close.columns)) - _log(prices.close)
    step = factor - _carried(factor)
    with np.errstate(invalid="ignore"):
        apart, lost = np.abs(step) > ADJUSTED_APART, step < -ADJUSTED_APART / 10
    changed = int((np.abs(step[np.isfinite(step)]) > 1e-4).sum())
    verdict: Grade = "bad" if lost.any() else graded(float(apart.sum()), look=1)
    words = f"returns differ by more than 5 % on {plural(int(apart.sum()), 'bar')}"
    words += f"; the adjusted close loses against the raw one on {plural(int(lost.sum()), 'bar')}" if lost.any() else ""
    return Check(
        "adjusted against raw",
        verdict,
        words + ".",
        {"apart": int(apart.sum()), "adjusted_loses": int(lost.sum()), "bars_with_adjustment": changed},
        cells_of(apart | lost, prices.close, log_difference=step),
    )
