"""Are the bars all there: against the calendar, per symbol, from listing to delisting, up to a finished last one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import ROUND_THE_CLOCK, name_of, sessions, zone_of
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
from embargo.data_loaders.checks.runs import LONG_PAUSE, LONG_PAUSE_BARS, alive, holes_of, long_holes
from embargo.data_loaders.schemas import Prices, utc_microseconds

# A bar that nobody has is an outage; from one in a hundred on, indicators count other time than they claim.
ABSENT_BAD = 0.01
# Thin trade leaves single days without a bar; a tenth of them, or ten days on end, were lost.
HOLES_BAD = 0.10
# Of ten names over three years some should have gone: large US companies leave the lists at 2 to 5 % a year.
SURVIVORS_FROM_SYMBOLS, SURVIVORS_FROM_YEARS = 10, 3.0
# A bar cut at a quarter of its time has about a quarter of its volume; half days keep about a half.
SMALL_VOLUME, USUAL_BARS = 0.25, 20
# One symbol may be quiet; half of all symbols being quiet in the last bar is the clock.
SMALL_VOLUME_SYMBOLS = 0.5
# A liquid name misses a day once in decades. No volume beside a range is no quiet bar but a volume nobody recorded.
ZERO_VOLUME_LOOK, UNRECORDED_BAD = 0.0005, 0.10
# An index or a currency pair has no volumes: where this share of all sessions lacks any, none says a thing.
WITHOUT_VOLUMES = 0.25
# No exchange is shut by surprise on more days than these: they were lost.
_DAYS_NAMED = 10
_DAY = pd.Timedelta(days=1)


def bar_length(prices: Prices) -> pd.Timedelta:
    """Length of a bar: a day for daily sessions, else the most common time from open to close.

    Bars are daily where no two of them share a session.
    """
    lengths = pd.Series(prices.close_at - prices.open_at)
    usual = pd.Timedelta(lengths.mode().iloc[0])
    if prices.calendar == ROUND_THE_CLOCK or len(prices.open_at) < 2:
        return usual
    steps = pd.Series(prices.open_at[1:] - prices.open_at[:-1])
    return _DAY if steps.min() > pd.Timedelta(hours=12) else usual


def expected_bars(prices: Prices) -> pd.DataFrame:
    """Bars that the calendar has from the first to the last one: ``open_at`` and ``close_at`` in UTC.

    Intraday bars of an exchange start at the open of the session; the last one ends at its close.
    """
    length, first, last = bar_length(prices), prices.open_at[0], prices.open_at[-1]
    if prices.calendar == ROUND_THE_CLOCK:
        opens = pd.date_range(first, last, freq=length).as_unit("us")
        return pd.DataFrame({"open_at": opens, "close_at": opens + length})
    table = sessions(prices.calendar, first - _DAY, last + _DAY)
    if length < _DAY:
        parts = [
            pd.DataFrame({"open_at": opens, "close_at": [*opens[1:], closed]})
            for opened, closed in zip(table["open_at"], table["close_at"], strict=True)
            for opens in [pd.date_range(opened, closed, freq=length, inclusive="left").as_unit("us")]
        ]
        table = pd.concat(parts, ignore_index=True)
    inside = (table["open_at"] >= first) & (table["open_at"] <= last)
    return table[inside].reset_index(drop=True)


def calendar_gaps(prices: Prices) -> Check:
    """Hold the bars against the calendar: bars that no symbol has, and bars that the calendar does not have.

    One bar in a hundred missing, or ten days on end, is too much; the bar after each pause is marked, whose return is
    that of the pause.

    A bar off the calendar (a holiday, a wrong zone, a half day that closes at the usual hour) is never fine. A session
    in which no symbol traded worries like one that is missing: vendors fill days on which the exchange was
    shut. Silent on bars missing before the first or after the last one, and on single symbols (``holes``).
    """
    wanted = expected_bars(prices)
    due, got = utc_microseconds(wanted["open_at"]), utc_microseconds(prices.open_at)
    empty = prices.open.isna().all(axis=1).to_numpy() & prices.close.isna().all(axis=1).to_numpy()
    absent = ~np.isin(due, got[~empty])
    stray = ~np.isin(got, due)
    place = np.searchsorted(due, got[~stray])
    closes = utc_microseconds(prices.close_at)[~stray]
    wrong_close = closes != utc_microseconds(wanted["close_at"])[place]
    # Vendors differ on whether the last bar of a session is as long as the others: only daily closes are held to it.
    wrong = int(wrong_close.sum()) if bar_length(prices) == _DAY else 0
    idle = _idle_sessions(prices) & ~stray
    share, off = float((absent.sum() + idle.sum()) / len(due)), int(stray.sum())
    missing = pd.DataFrame({"bar": wanted["open_at"][absent], "trouble": "missing for all symbols"})
    extra = pd.DataFrame({"bar": prices.open_at[stray], "trouble": "not in the calendar"})
    late = pd.DataFrame({"bar": prices.open_at[~stray][wrong_close], "trouble": "closes at another time"})
    still = pd.DataFrame({"bar": prices.open_at[idle], "trouble": "no symbol traded: the exchange shut?"})
    number = int(absent.sum())
    after = np.searchsorted(got, due[absent])
    after, lost = np.unique(after[after < len(got)], return_counts=True)
    lasted = got[after] - utc_microseconds(prices.close_at)[np.maximum(after - 1, 0)]
    pauses = (lasted >= LONG_PAUSE.to_timedelta64()) & (lost >= LONG_PAUSE_BARS)
    verdict: Grade = worse(
        graded(share, look=1e-12, bad=ABSENT_BAD),
        graded(float(pauses.sum()), look=1, bad=1),
        graded(off + wrong, look=1, bad=1),
    )
    at_fault = stray.copy()
    if wrong:
        at_fault[np.flatnonzero(~stray)[wrong_close]] = True
    at_fault[after] = True
    at_fault |= idle
    shut = _closed_remedy(prices, pd.DatetimeIndex([*wanted["open_at"][absent], *prices.open_at[idle]]))
    remedies = (
        (
            "Get the missing bars from the source, or start after them: a return over a pause is not that of a bar.",
            number,
        ),
        (shut, number + int(idle.sum())),
        (
            f"Name the calendar that they follow (prices.calendar is {name_of(prices.calendar)}), or drop the bars.",
            off,
        ),
        (
            "Bars get their close from the calendar when they are read: state the session's own close at the source.",
            wrong,
        ),
    )
    words = (
        f"{plural(number, 'bar')} of {len(due):,} missing for all symbols" if number else f"all {len(due):,} bars there"
    )
    words += f"; {plural(int(idle.sum()), 'session')} in which no symbol traded" if idle.any() else ""
    words += f"; {plural(off, 'bar')} not in the calendar {name_of(prices.calendar)}" if off else ""
    words += f"; {plural(wrong, 'bar')} closing at another time than the calendar's" if wrong else ""
    return Check(
        "bars against the calendar",
        verdict,
        words + ".",
        {
            "bars": len(got),
            "bars_of_calendar": len(due),
            "missing": int(absent.sum()),
            "off_calendar": off,
            "wrong_close": wrong,
        },
        examples(pd.concat([extra, late[: wrong or 0], still, missing], ignore_index=True)),
        remedy=" ".join(text for text, count in remedies if text and count),
        marked=np.repeat(at_fault[:, None], len(prices.symbols), axis=1) if verdict != "clean" else None,
    )


def _idle_sessions(prices: Prices) -> np.ndarray:
    """Tell in which daily bars of an exchange no quoted symbol traded; in none where volumes are seldom known."""
    if prices.calendar == ROUND_THE_CLOCK or bar_length(prices) != _DAY:
        return np.zeros(len(prices.open_at), dtype=bool)
    quoted = prices.close.notna().to_numpy()
    still = prices.volume.to_numpy(dtype=float) == 0
    idle: np.ndarray = quoted.any(axis=1) & (still | ~quoted).all(axis=1)
    return idle if idle.mean() <= WITHOUT_VOLUMES else np.zeros(len(idle), dtype=bool)


def _closed_remedy(prices: Prices, opens: pd.DatetimeIndex) -> str:
    """Say which days to declare closed; empty where there are none, or far too many."""
    if prices.calendar == ROUND_THE_CLOCK or opens.empty or bar_length(prices) != _DAY:
        return ""
    days = opens.tz_convert(zone_of(prices.calendar)).strftime("%Y-%m-%d").unique().sort_values()
    if len(days) > _DAYS_NAMED:
        return ""
    named = ", ".join(f'"{day}"' for day in days)
    return f"If the exchange was shut, say so: prices.closed = [{named}]."


def holes(prices: Prices) -> Check:
    """Count bars without a close between a symbol's first and last one, and bars with only some of their prices.

    A tenth of a symbol's bars, or ten days on end, were lost; single ones may be those of a thin market.
    Silent on bars that no symbol has (``calendar_gaps``) and on prices carried forward
    (``levels.stale_closes``).
    """
    first, last = alive(prices)
    hole, lost = holes_of(prices), long_holes(prices)
    fields = np.stack([getattr(prices, name).isna().to_numpy() for name in ("open", "high", "low", "close")])
    partly = fields.any(axis=0) & ~fields.all(axis=0)
    lifetimes = np.maximum(last - first + 1, 1)
    shares = hole.sum(axis=0) / lifetimes
    worst = np.argsort(-shares, kind="stable")[: min(MAX_EXAMPLES, int((shares > 0).sum()))]
    number, partial = int(hole.sum()), int(partly.sum())
    marked = hole | partly
    for run in lost:
        marked[run.stop, run.column] = True
    longest = max(lost, key=lambda run: run.stop - run.start, default=None)
    return Check(
        "holes",
        worse(
            graded(number, look=1),
            graded(float(shares.max(initial=0.0)), look=1, bad=HOLES_BAD),
            graded(float(len(lost)), look=1, bad=1),
            graded(partial, look=1),
        ),
        (
            f"{plural(number, 'bar')} missing inside {plural(int((shares > 0).sum()), 'symbol')}, at most "
            f"{percent(float(shares.max()))} of one"
            if number
            else "no bar missing between a symbol's first and last"
        )
        + (
            f"; {prices.symbols[longest.column]} without any from {prices.open_at[longest.start]:%Y-%m-%d} to "
            f"{prices.open_at[longest.stop - 1]:%Y-%m-%d}"
            if longest
            else ""
        )
        + (f"; {plural(partial, 'bar')} with only some of their prices" if partial else "")
        + ".",
        {
            "missing": number,
            "symbols": int((shares > 0).sum()),
            "largest_share": float(shares.max(initial=0.0)),
            "long_pauses": len(lost),
            "partly_empty": partial,
        },
        pd.concat(
            [
                pd.DataFrame(
                    {
                        "symbol": [str(prices.close.columns[column]) for column in worst],
                        "bar": [prices.open_at[int(hole[:, column].argmax())] for column in worst],
                        "trouble": [f"first of {hole[:, column].sum():,} missing" for column in worst],
                    }
                ),
                cells_of(np.asarray(partly), prices.close).assign(trouble="some prices missing"),
            ],
            ignore_index=True,
        ).head(MAX_EXAMPLES),
        remedy="Get the missing bars from the source. Where the symbol did not trade they are rightly missing: nothing "
        "is filled there, and nothing needs to be done; never carry prices forward."
        if number or partial
        else "",
        marked=marked if number or partial else None,
    )


def listings(prices: Prices) -> Check:
    """List late starts and early ends, and weigh the share of symbols that last to the very end.

    All of many symbols surviving for years says that the universe was chosen with hindsight. Silent on universes below
    ten symbols or three years, on renamed symbols, and on how the names were chosen.
    """
    first, last = alive(prices)
    bars = len(prices.open_at)
    late, gone = first > 0, (last >= 0) & (last < bars - 1)
    share = float((last == bars - 1).mean())
    years = (prices.close_at[-1] - prices.open_at[0]) / (365.25 * _DAY)
    judged = len(first) >= SURVIVORS_FROM_SYMBOLS and years >= SURVIVORS_FROM_YEARS
    suspicious = judged and share == 1.0
    chosen = np.flatnonzero(late | gone)
    words = (
        f"{plural(int(late.sum()), 'symbol')} begin late, {int(gone.sum()):,} end early; {share:.0%} last to the end"
    )
    words += ": survivors only, chosen with hindsight?" if suspicious else "."
    return Check(
        "listings",
        "look" if suspicious else "clean",
        words,
        {
            "symbols": len(first),
            "late_starts": int(late.sum()),
            "early_ends": int(gone.sum()),
            "share_to_the_end": share,
            "years": round(float(years), 2),
        },
        examples(
            pd.DataFrame(
                {
                    "symbol": np.asarray(prices.symbols, dtype=object)[chosen],
                    "first": prices.open_at[np.maximum(first[chosen], 0)],
                    "last": prices.open_at[np.maximum(last[chosen], 0)],
                }
            )
        ),
        remedy="Add the symbols that were listed then and are gone now, with their prices up to the end; a list of "
        "today's members makes any strategy that buys look better than it was."
        if suspicious
        else "",
    )


def last_bar(prices: Prices, *, as_of: pd.Timestamp | None = None) -> Check:
    """Suspect a last bar that was not finished when it was fetched.

    Its volume is held against the median of the 20 bars before, symbol by symbol. With ``as_of`` (the instant of the
    fetch) bars that close later are certain. Silent on a bar that was cut shortly before its close, and on markets
    without volume.
    """
    open_still = 0 if as_of is None else int((prices.close_at > as_of).sum())
    volume = prices.volume.to_numpy(dtype=float)
    ratios = np.empty(0)
    names: list[str] = []
    if len(volume) > USUAL_BARS:
        before = volume[-1 - USUAL_BARS : -1]
        judged = ~np.isnan(volume[-1]) & ~np.isnan(before).any(axis=0)
        usual = np.median(before[:, judged], axis=0)
        names = [str(name) for name in prices.volume.columns[judged][usual > 0]]
        ratios = volume[-1, judged][usual > 0] / usual[usual > 0]
    small = ratios < SMALL_VOLUME
    share = float(small.mean()) if len(ratios) else 0.0
    # One quiet symbol of two is no clock.
    suspicious = share >= SMALL_VOLUME_SYMBOLS and (int(small.sum()) > 1 or len(ratios) == 1)
    marked = np.zeros(volume.shape, dtype=bool)
    if open_still:
        marked[len(marked) - open_still :] = True
    if suspicious:
        marked[
            -1, prices.volume.columns.astype(str).isin([name for name, few in zip(names, small, strict=True) if few])
        ] = True
    words = f"{plural(open_still, 'bar')} closing after the fetch: drop them" if open_still else ""
    if suspicious:
        words += ("; " if words else "") + (
            f"{share:.0%} of the symbols have less than a quarter of their usual volume in the last bar: unfinished?"
        )
    return Check(
        "last bar",
        "bad" if open_still else "look" if suspicious else "clean",
        (words.rstrip("?") + ("?" if words.endswith("?") else ".")) if words else "the last bar has a usual volume.",
        {
            "last_bar": str(prices.open_at[-1]),
            "symbols_judged": len(ratios),
            "share_with_small_volume": share,
            "bars_after_fetch": open_still,
        },
        examples(
            pd.DataFrame(
                {"symbol": names, "bar": prices.open_at[-1], "share_of_usual_volume": ratios},
            ).loc[small]
        ),
        remedy="End the prices before the bars that were not finished when they were fetched (split.end), or fetch "
        "them again later."
        if open_still or suspicious
        else "",
        marked=marked if open_still or suspicious else None,
    )


def volumes(prices: Prices) -> Check:
    """Count quoted bars in which nothing was traded, or whose volume is missing.

    An order cannot have been filled there. No volume beside a range was not recorded: on a tenth of the bars, volumes
    are not known. Silent on volumes in the wrong unit.
    """
    quoted = prices.close.notna().to_numpy()
    volume = prices.volume.to_numpy(dtype=float)
    zero, missing = quoted & (volume == 0), quoted & np.isnan(volume)
    with np.errstate(invalid="ignore"):
        unrecorded = zero & (prices.high.to_numpy(dtype=float) > prices.low.to_numpy(dtype=float))
    cells = max(int(quoted.sum()), 1)
    per_symbol = pd.Series(zero.sum(axis=0), index=prices.close.columns).sort_values(ascending=False, kind="stable")
    per_symbol = per_symbol[per_symbol > 0]
    share = float(zero.sum() / cells)
    remedies = []
    if share >= ZERO_VOLUME_LOOK:
        remedies.append(
            "No order is filled on a bar without volume and range. Where prices moved all the same, the volume was not "
            "recorded: set it to missing at the source."
        )
    if missing.any():
        remedies.append("execution.participation and costs.impact measure orders against volumes: leave them unset.")
    most = ", ".join(f"{name} {number:,}" for name, number in per_symbol.head(3).items())
    return Check(
        "volume",
        worse(
            graded(share, look=ZERO_VOLUME_LOOK),
            "bad" if unrecorded.sum() >= UNRECORDED_BAD * cells else "clean",
            graded(float(missing.sum()), look=1),
        ),
        (
            f"{plural(int(zero.sum()), 'bar')} ({percent(share)}) without any trade"
            if share
            else "something traded in every bar"
        )
        + (f" ({most})" if most else "")
        + (f"; {plural(int(missing.sum()), 'volume')} missing" if missing.any() else "")
        + ".",
        {
            "zero": int(zero.sum()),
            "share_zero": share,
            "missing": int(missing.sum()),
            "zero_beside_a_range": int(unrecorded.sum()),
            "symbols_with_zero": len(per_symbol),
        },
        cells_of(zero, prices.close, close=prices.close.to_numpy(dtype=float)),
        remedy=" ".join(remedies),
        marked=zero if share >= ZERO_VOLUME_LOOK else None,
    )
