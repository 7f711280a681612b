"""Whatever the order, overlap and repetition of the pages, the candles are the truth and the rest is accounted for."""

from __future__ import annotations

import random

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers.bybit_service import NOW, BybitService, ms, redirect

from embargo.data_loaders.bybit.candles import collect_candles, collect_rates, parse_candle, parse_rate
from embargo.data_loaders.bybit.connection import connect

STEP = 60_000
INTERVAL = "bar"  # not the "1" that a listing is looked up with


def row(instant: int, close: float = 1.5) -> list[str]:
    return [str(instant), "1.0", "2.0", "0.5", str(close), str(instant % 7), "0"]


class Pages:
    """A service over a set of opens, newest first and at most ``cap`` rows, with every vice but lying."""

    def __init__(self, opens, *, cap=1000, seed=0, vices=()):
        self.opens, self.cap, self.vices = sorted(opens), cap, vices
        self.random = random.Random(seed)
        self.asked = 0

    def __call__(self, interval, start, end):
        self.asked += 1
        if interval != INTERVAL:
            length = {"W": 7 * 1440, "D": 1440, "60": 60, "1": 1}[interval] * STEP
            opens = sorted({t // length * length for t in self.opens})
        else:
            opens = self.opens
        inside = [t for t in opens if (start is None or t >= start) and (end is None or t <= end)]
        rows = [row(t) for t in reversed(inside[-(self.cap if interval == INTERVAL else 60) :])]
        if "overlap" in self.vices:
            rows += [row(t) for t in opens if end is not None and end < t <= end + 5 * STEP]
            rows += [row(t) for t in opens if start is not None and start - 5 * STEP <= t < start]
        if "duplicates" in self.vices and rows:
            rows += self.random.choices(rows, k=3)
        if "rubbish" in self.vices:
            rows += [["nonsense"], row(7 * STEP + 1), [str(9 * STEP), "1", "0.5", "2", "1", "1", "1"], None]
        if "reordered" in self.vices:
            self.random.shuffle(rows)
        return rows


@settings(max_examples=300)
@given(
    start=st.integers(1_000, 1_050),
    length=st.integers(1, 60),
    holes=st.sets(st.integers(980, 1_120)),
    listed=st.integers(980, 1_100),
    now=st.integers(1_000 * 60, 1_130 * 60),
    cap=st.integers(1, 40),
    vices=st.sets(st.sampled_from(["overlap", "duplicates", "rubbish", "reordered"])),
    page=st.sampled_from([3, 10, 1000]),
    seed=st.integers(0, 1000),
)
def test_candles_equal_the_truth_whatever_the_pages(start, length, holes, listed, now, cap, vices, page, seed):
    now *= 1000
    exists = {t * STEP for t in range(max(listed, 980), 1_130) if t not in holes and t * STEP <= now}
    service = Pages(exists, cap=cap, seed=seed, vices=vices)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("embargo.data_loaders.bybit.candles.CANDLES_A_PAGE", page)
        end = start + length
        result = collect_candles(
            service, interval=INTERVAL, step=STEP, start=start * STEP, end=end * STEP, now=now, launch=0
        )
    finished = {t * STEP for t in range(start, end) if t * STEP + STEP <= now}
    truth = exists & finished
    assert set(result.series.rows) == truth
    assert all(values == (1.0, 2.0, 0.5, 1.5, float(t % 7)) for t, values in result.series.rows.items())
    # Every finished bar of the range is a candle, a gap, or before the listing.
    gaps = {t for low, high in result.gaps for t in range(low, high + 1, STEP)}
    assert gaps.isdisjoint(truth)
    first = min(exists, default=None)
    before = {t for t in finished if first is None or t < first}
    assert gaps == finished - truth - before
    assert result.final_until <= max(start * STEP, now)
    assert result.series.counts["contradictions"] == 0
    assert service.asked <= 12 + 3 * length


def test_a_gap_is_asked_for_exactly_once_more():
    service = Pages({t * STEP for t in range(100) if not 40 <= t < 50 and t != 60})
    result = collect_candles(service, interval=INTERVAL, step=STEP, start=0, end=100 * STEP, now=200 * STEP)
    assert result.gaps == [(40 * STEP, 49 * STEP), (60 * STEP, 60 * STEP)]
    assert service.asked == 2


def test_a_page_that_never_advances_ends():
    asked = []

    def stuck(interval, start, end):
        asked.append(start)
        return [row(t * STEP) for t in range(990, 1000)]

    result = collect_candles(stuck, interval=INTERVAL, step=STEP, start=0, end=5_000 * STEP, now=9_000 * STEP)
    assert sorted(result.series.rows) == [t * STEP for t in range(990, 1000)]
    assert len(asked) < 20
    assert result.series.counts["seen_again"] > 0


def test_a_page_from_elsewhere_is_counted_and_not_used():
    def elsewhere(interval, start, end):
        return [row(t * STEP) for t in range(9_990, 10_000)]

    result = collect_candles(elsewhere, interval=INTERVAL, step=STEP, start=0, end=10 * STEP, now=20_000 * STEP)
    assert result.series.rows == {}
    assert result.series.counts["outside"] >= 20


def test_contradictions_in_one_answer_are_asked_for_again_and_then_left_out():
    answers = [
        [row(0), row(STEP), row(STEP, close=1.9), row(2 * STEP)],
        [row(STEP, close=1.9)],
    ]
    result = collect_candles(
        lambda *_: answers.pop(0) if answers else [], interval=INTERVAL, step=STEP, start=0, end=3 * STEP, now=9 * STEP
    )
    assert result.series.rows[STEP][3] == 1.9
    assert result.series.doubts == {STEP: "the unambiguous answer stands"}
    torn = [row(0), row(STEP), row(STEP, close=1.9), row(2 * STEP)]
    result = collect_candles(lambda *_: torn, interval=INTERVAL, step=STEP, start=0, end=3 * STEP, now=9 * STEP)
    assert sorted(result.series.rows) == [0, 2 * STEP]
    assert result.series.doubts == {STEP: "left out"}
    assert result.gaps == [(STEP, STEP)]


def test_a_later_answer_stands_over_an_earlier_one_and_is_reported():
    answers = [[row(0), row(2 * STEP)], [row(STEP), row(2 * STEP, close=1.7)]]
    result = collect_candles(
        lambda *_: answers.pop(0), interval=INTERVAL, step=STEP, start=0, end=3 * STEP, now=9 * STEP
    )
    assert result.series.rows[2 * STEP][3] == 1.7
    assert result.series.doubts == {2 * STEP: "the later answer stands"}
    assert result.series.counts["contradictions"] == 1


@pytest.mark.parametrize(
    "bad",
    [
        None,
        [],
        "text",
        ["1", "2"],
        ["x", "1", "2", "0.5", "1", "1"],
        ["0", "1", "2", "0.5", "nan", "1"],
        ["0", "1", "2", "0.5", "3", "1"],
        ["0", "1", "2", "1.5", "1.2", "1"],
        ["0", "0", "2", "0", "1", "1"],
        ["0", "1", "2", "0.5", "1", "-1"],
    ],
)
def test_impossible_candles_are_refused(bad):
    assert parse_candle(bad) is None


def test_impossible_rates_are_refused():
    assert parse_rate({"fundingRate": "0.0001", "fundingRateTimestamp": "28800000"}) == (28_800_000, (0.0001,))
    for bad in (
        None,
        {},
        {"fundingRate": "", "fundingRateTimestamp": "1"},
        {"fundingRate": "2", "fundingRateTimestamp": "1"},
    ):
        assert parse_rate(bad) is None


@given(
    start=st.integers(0, 50),
    length=st.integers(1, 100),
    now=st.integers(0, 160),
    cap=st.integers(1, 20),
    repeats=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_funding_equals_the_truth_whatever_the_pages(start, length, now, cap, repeats, seed):
    hour = 3_600_000
    shuffled = random.Random(seed)
    exists = [t * 8 * hour for t in range(1, 20)]

    def ask(low, high):
        inside = [t for t in exists if low <= t <= high][-cap:]
        rows = [{"fundingRate": str(t % 11 / 1000), "fundingRateTimestamp": str(t)} for t in reversed(inside)]
        rows += shuffled.choices(rows, k=repeats) if rows else []
        shuffled.shuffle(rows)
        return rows

    begin, end = start * hour, (start + length) * hour
    series = collect_rates(ask, start=begin, end=end, now=now * hour)
    assert sorted(series.rows) == [t for t in exists if begin <= t < end and t <= now * hour]
    assert all(values == (t % 11 / 1000,) for t, values in series.rows.items())


def test_a_funding_page_that_never_advances_ends():
    stuck = [{"fundingRate": "0.001", "fundingRateTimestamp": "28800000"}]
    assert list(collect_rates(lambda low, high: stuck, start=0, end=10**9, now=10**9).rows) == [28_800_000]


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10_000),
    repeats=st.integers(0, 5),
    cap=st.sampled_from([7, 200, 1000]),
    market=st.sampled_from(["spot", "linear"]),
    symbol=st.sampled_from(["BTCUSDT", "LATEUSDT", "OUTUSDT"]),
)
def test_over_a_real_socket_too(shared, seed, repeats, cap, market, symbol):
    shuffled = random.Random(seed)

    def distort(rows):
        rows = rows + (shuffled.choices(rows, k=repeats) if rows else [])
        shuffled.shuffle(rows)
        return rows

    shared.distort, shared.cap = distort, cap
    result = connect().fetch_candles(
        [symbol],
        market=market,
        bar="4h",
        start=pd.Timestamp("2024-02-05", tz="UTC"),
        end=pd.Timestamp("2024-02-25", tz="UTC"),
        now=pd.Timestamp(NOW, unit="ms", tz="UTC"),
    )
    truth = shared.truth(market, symbol, "4h", "2024-02-05", "2024-02-25")
    pd.testing.assert_frame_equal(result.bars[list(truth.columns)], truth)
    expected = 120 - len(truth)
    assert result.counts["gaps"] + result.counts["before_listing"] == expected
    assert ms("2024-02-05") == result.answered["start"].iloc[0].timestamp() * 1000


@pytest.fixture(scope="module")
def shared():
    with BybitService() as running, redirect(running.url):
        yield running
