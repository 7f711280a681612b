"""Complete series out of a service's pages: candles and funding rates, whatever the order and overlap of the pages.

Nothing here knows a network: pages come from a function that is handed in. Every bar of the range ends up as a candle,
as a gap that was asked for twice, or as outside the life of the instrument, and every row that was not used is counted.

Where two rows contradict each other, a later answer stands over an earlier one, since it is what the service says now;
within one answer nothing says which is right, so neither is used and the bar is asked for again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Values = tuple[float, ...]
# (interval, start, end, limit) -> rows of Bybit's kline list; None leaves a bound open.
AskCandles = Callable[[str, int | None, int | None], list[Any]]
AskFunding = Callable[[int, int], list[Any]]

CANDLES_A_PAGE = 1000
MINUTE = 60_000
_DAY = 1440 * MINUTE


@dataclass
class RowsByInstant:
    """Rows gathered so far, by instant in milliseconds.

    Attributes
    ----------
    rows : dict
        Values by instant.
    doubts : dict
        Instants for which the service contradicted itself, with how it was settled.
    counts : Counter
        ``rows`` received; of these ``duplicates`` (identical, same answer), ``seen_again`` (identical, later answer),
        ``contradictions``, ``malformed``, ``misaligned``, ``outside``; and distinct ``unfinished`` instants.
    """

    rows: dict[int, Values] = field(default_factory=dict)
    doubts: dict[int, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    unfinished: set[int] = field(default_factory=set)

    def take(self, parsed: list[tuple[int, Values] | None], admit: Callable[[int], str]) -> int:
        """Add one answer's rows, those for which ``admit`` names no reason against; return how many were new."""
        page: dict[int, Values] = {}
        torn: set[int] = set()
        for row in parsed:
            self.counts["rows"] += 1
            reason = "malformed" if row is None else admit(row[0])
            if row is None or reason:
                self._refuse(row, reason)
            elif row[0] not in page:
                page[row[0]] = row[1]
            elif page[row[0]] == row[1]:
                self.counts["duplicates"] += 1
            else:
                self.counts["contradictions"] += 1
                torn.add(row[0])
        for instant in torn:
            del page[instant]
            self.doubts[instant] = "the unambiguous answer stands" if instant in self.rows else "left out"
        return sum(self._add(instant, values) for instant, values in page.items())

    def _refuse(self, row: tuple[int, Values] | None, reason: str) -> None:
        if row is not None and reason == "unfinished":
            self.unfinished.add(row[0])
        else:
            self.counts[reason] += 1

    def _add(self, instant: int, values: Values) -> bool:
        known = self.rows.get(instant)
        if known == values:
            self.counts["seen_again"] += 1
            return False
        self.rows[instant] = values
        if known is not None:
            self.counts["contradictions"] += 1
            self.doubts[instant] = "the later answer stands"
            return False
        if instant in self.doubts:
            self.doubts[instant] = "the unambiguous answer stands"
        return True


@dataclass(frozen=True)
class CollectedCandles:
    """A series with its gaps as (first, last) instants, and the bars not asked for because nothing traded yet or still.

    ``final_until`` is the instant (milliseconds) up to which the answer will not grow: the newest bars may be missing
    only because the service is late, and all of them, if there never was one, because it is not well.
    """

    series: RowsByInstant
    gaps: list[tuple[int, int]]
    before_listing: int
    after_delisting: int
    refilled: int
    final_until: int


def parse_candle(row: Any) -> tuple[int, Values] | None:
    """Read ``[start, open, high, low, close, volume, turnover]``; None if it is no possible candle."""
    try:
        instant = int(row[0])
        opened, high, low, close, volume = values = tuple(float(value) for value in row[1:6])
    except (TypeError, ValueError, IndexError, KeyError):
        return None
    if not all(math.isfinite(value) for value in values):
        return None
    possible = 0 < low <= min(opened, close) and max(opened, close) <= high and volume >= 0
    return (instant, values) if possible else None


def parse_rate(row: Any) -> tuple[int, Values] | None:
    """Read a funding row; None if its instant or rate is missing or impossible."""
    try:
        instant, rate = int(row["fundingRateTimestamp"]), float(row["fundingRate"])
    except (TypeError, ValueError, KeyError):
        return None
    return (instant, (rate,)) if math.isfinite(rate) and abs(rate) < 1 and instant > 0 else None


def collect_candles(
    ask: AskCandles,
    *,
    interval: str,
    step: int,
    start: int,
    end: int,
    now: int,
    launch: int = 0,
    delivery: int = 0,
    advanced: Callable[[int, int], None] = lambda done, total: None,
) -> CollectedCandles:
    """Gather every finished candle that opens in [start, end).

    Parameters
    ----------
    ask : callable
        ``(interval, start, end) -> rows``; both bounds included, milliseconds.
    interval : str
        Bybit's name of the bar length.
    step : int
        Length of a bar in milliseconds; bars open at whole multiples of it.
    start, end, now : int
        Milliseconds UTC. A candle that closes after ``now`` is unfinished: dropped and counted.
    launch, delivery : int
        Life of the instrument as Bybit states it, 0 where it does not. What Bybit does not state is looked up when the
        first bars are missing.
    advanced : callable
        Told bars gathered and bars expected after each page.
    """
    begin = -(-start // step) * step
    last_asked = _last_open(min(end, now + 1), step)
    first = max(begin, launch // step * step)
    last = min(last_asked, _last_open(delivery, step)) if delivery else last_asked
    series = RowsByInstant()

    def admit(instant: int) -> str:
        if instant % step:
            return "misaligned"
        if not begin <= instant <= last_asked:
            return "outside"
        return "unfinished" if instant + step > now else ""

    def missing(low: int, high: int) -> list[int]:
        return [t for t in range(low, high + 1, step) if t not in series.rows and t + step <= now]

    refilled = 0
    traded = True
    window = first
    while window <= last:
        close = min(window + (CANDLES_A_PAGE - 1) * step, last)
        refilled += _fill(lambda low, high: ask(interval, low, high), window, close, step, series, admit, missing)
        if window == first and first in missing(first, first):
            born = first_candle(ask, step)
            traded = born is not None
            first = last + step if born is None else max(first, min(born, last + step))
        window = max(close + step, first)
        advanced(len(series.rows), (last - begin) // step + 1)
    gaps = _runs(missing(first, last), step)
    finished = now // step * step
    tail = gaps[-1][0] if gaps and not delivery and gaps[-1][1] + step == finished else finished
    series.counts["unfinished"] = len(series.unfinished)
    return CollectedCandles(
        series,
        gaps,
        before_listing=max(0, (min(first, last_asked + step) - begin) // step),
        after_delisting=max(0, (_last_open(min(end, finished), step) - max(last, begin - step)) // step),
        refilled=refilled,
        final_until=max(start, min(end, tail)) if traded else start,
    )


def collect_rates(ask: AskFunding, *, start: int, end: int, now: int) -> RowsByInstant:
    """Gather every funding rate that settles in [start, end) and not after ``now``, newest page first."""
    series = RowsByInstant()
    until = min(end - 1, now)

    def admit(instant: int) -> str:
        return "" if start <= instant <= until else "unfinished" if now < instant < end else "outside"

    high = until
    while high >= start:
        rows = [parse_rate(row) for row in ask(start, high)]
        inside = [row[0] for row in rows if row is not None and not admit(row[0])]
        # A page that brings nothing new, or does not lead further back, would be asked for for ever.
        if not series.take(rows, admit) or min(inside) > high:
            break
        high = min(inside) - 1
    series.counts["unfinished"] = len(series.unfinished)
    return series


def first_candle(ask: AskCandles, step: int) -> int | None:
    """Open of the first candle an instrument ever had, to the precision of ``step``; None if it never had one.

    Weeks are paged; the seven days, 24 hours and 60 minutes below them are taken to fit on one page.
    """

    def opens(interval: str, length: int, low: int | None, high: int | None) -> list[int]:
        rows = [row for row in map(parse_candle, ask(interval, low, high)) if row is not None]
        # Weeks begin on Mondays, which are whole days since 1970 but not whole weeks.
        return [t for t, _ in rows if t % min(length, _DAY) == 0 and (low or 0) <= t and (high is None or t <= high)]

    oldest: int | None = None
    while page := opens("W", 7 * _DAY, None, None if oldest is None else oldest - 1):
        oldest = min(page)
    if oldest is None:
        return None
    for interval, length, span in (("D", _DAY, 7 * _DAY), ("60", 60 * MINUTE, _DAY), ("1", MINUTE, 60 * MINUTE)):
        page = opens(interval, length, oldest, oldest + span - 1) if length >= step else []
        if not page:
            break
        oldest = min(page)
    return oldest // step * step


def _fill(
    ask: Callable[[int, int], list[Any]],
    low: int,
    high: int,
    step: int,
    series: RowsByInstant,
    admit: Callable[[int], str],
    missing: Callable[[int, int], list[int]],
) -> int:
    """Ask for a window until nothing lacks or asking again brings nothing; return how many bars that brought."""
    refilled = longest = 0
    stack = [(low, high, False)]
    while stack:
        low, high, again = stack.pop()
        rows = [parse_candle(row) for row in ask(low, high)]
        served = {row[0] for row in rows if row is not None and low <= row[0] <= high}
        longest = max(longest, len(served))
        new = series.take(rows, admit)
        refilled += new if again else 0
        lacking = missing(low, high)
        if not lacking:
            continue
        if new or not again:
            # One question for all that lacks: gaps are requested again, and pages that were cut short are continued.
            stack.append((lacking[0], lacking[-1], True))
            continue
        # A page as long as the longest so far may have been cut, and one without what is known to exist certainly was:
        # then its silence about the rest means nothing, and each run is asked for alone.
        known = {t for t in range(low, high + 1, step) if t in series.rows}
        runs = _runs(lacking, step)
        if (len(served) >= longest or not known <= served) and runs != [(low, high)]:
            stack += [(first, last, True) for first, last in runs]
    return refilled


def _last_open(end: int, step: int) -> int:
    """Open of the last bar that opens before ``end``."""
    return (end - 1) // step * step


def _runs(instants: list[int], step: int) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for instant in instants:
        if runs and runs[-1][1] + step == instant:
            runs[-1] = (runs[-1][0], instant)
        else:
            runs.append((instant, instant))
    return runs
