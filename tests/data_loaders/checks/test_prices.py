"""Every check of prices catches what is planted and says fine of the simulated market it was planted in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from embargo.data_loaders.checks import Check, check_prices, jumps
from embargo.data_loaders.checks.bars import calendar_gaps, expected_bars, holes, last_bar, listings, volumes
from embargo.data_loaders.checks.levels import adjustment, opening_prices, ranges, stale_closes
from embargo.data_loaders.checks.moves import Tape
from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.schemas import Prices, validate_prices
from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market

QUOTES = ("open", "high", "low", "close")
HOUR, DAY = pd.Timedelta(hours=1), pd.Timedelta(days=1)


@pytest.fixture(scope="module")
def prices() -> Prices:
    return simulate_market(SimulatedMarket(seed=4, end="2018-06-30", articles_per_symbol_day=0.05)).prices


@pytest.fixture(scope="module")
def whole(prices: Prices) -> Prices:
    """Symbols quoted from the first to the last bar."""
    return prices.select(symbols=[name for name in prices.symbols if prices.close[name].notna().all()])


def outliers(prices: Prices) -> Check:
    return jumps.outliers(Tape.of(prices))


def splits(prices: Prices, actions: pd.DataFrame | None = None, **settings: bool) -> Check:
    return jumps.splits(Tape.of(prices, actions), **settings)


def changed(prices: Prices, **panels: pd.DataFrame) -> Prices:
    return validate_prices(replace(prices, **panels))


def without(prices: Prices, rows: list[int]) -> Prices:
    return prices.select(bars=np.setdiff1d(np.arange(len(prices.open_at)), rows))


def scaled(prices: Prices, factor: float, rows: slice, column: int = 0, fields: tuple[str, ...] = QUOTES) -> Prices:
    panels = {}
    for name in fields:
        panel = getattr(prices, name).copy()
        panel.iloc[rows, column] *= factor
        panels[name] = panel
    return changed(prices, **panels)


def split_at(prices: Prices, row: int, ratio: float, column: int = 0) -> Prices:
    return scaled(scaled(prices, 1 / ratio, slice(row, None), column), ratio, slice(row, None), column, ("volume",))


def action(prices: Prices, row: int, value: float, kind: str = "split", column: int = 0) -> pd.DataFrame:
    return pd.DataFrame(
        {"venue": "v", "symbol": prices.symbols[column], "kind": kind, "ex_at": [prices.open_at[row]], "value": value}
    )


def hourly(bars: int, seed: int = 0) -> Prices:
    opens = pd.date_range("2024-01-01", periods=bars, freq="h", tz="UTC").as_unit("us")
    rng = np.random.default_rng(seed)
    close = pd.DataFrame(np.exp(np.cumsum(rng.normal(0, 0.005, (bars, 3)), axis=0)), index=opens, columns=list("ABC"))
    first = close.shift().fillna(1.0)
    high, low = np.maximum(first, close) * 1.002, np.minimum(first, close) * 0.998
    volume = pd.DataFrame(rng.lognormal(5, 0.5, (bars, 3)), index=opens, columns=list("ABC"))
    return validate_prices(Prices(first, high, low, close, volume, opens, opens + HOUR, "24/7"))


def assert_well_formed(check: Check) -> None:
    assert check.verdict in ("clean", "look", "bad")
    assert check.summary.endswith((".", "?"))
    assert len(check.rows) <= 20
    assert bool(check.remedy) == (check.verdict != "clean")
    assert all(
        isinstance(value, int | float | str) and not isinstance(value, np.generic) for value in check.figures.values()
    )


@pytest.mark.parametrize(("seed", "calendar"), [(0, "XNYS"), (1, "XNYS"), (2, "24/7"), (3, "XTKS")])
def test_a_clean_market_is_fine(seed: int, calendar: str) -> None:
    clean = simulate_market(
        SimulatedMarket(seed=seed, end="2018-12-31", calendar=calendar, articles_per_symbol_day=0.05)
    ).prices
    checks = check_prices(clean, adjusted_close=clean.close, as_of=clean.close_at[-1])
    assert {check.name: check.summary for check in checks if check.verdict != "clean"} == {}
    for check in checks:
        assert_well_formed(check)
    assert len({check.name for check in checks}) == len(checks) == 13


def test_the_plants_are_laid_in_a_clean_market(prices: Prices) -> None:
    assert {check.verdict for check in check_prices(prices)} == {"clean"}
    assert {check.verdict for check in check_prices(hourly(2_000))} == {"clean"}


def test_bars_missing_for_all_symbols(prices: Prices) -> None:
    check = calendar_gaps(without(prices, [100, 101, 500]))
    assert (check.verdict, check.figures["missing"]) == ("look", 3)
    assert check.rows["bar"].tolist() == list(prices.open_at[[100, 101, 500]])
    assert calendar_gaps(without(prices, list(range(200, 220)))).verdict == "bad"
    emptied = {name: getattr(prices, name).copy() for name in PRICE_FIELDS}
    for panel in emptied.values():
        panel.iloc[300] = np.nan
    assert calendar_gaps(changed(prices, **emptied)).figures["missing"] == 1


def test_hours_missing_round_the_clock() -> None:
    check = calendar_gaps(without(hourly(2_000), [7, 900, 901]))
    assert (check.verdict, check.figures["missing"], check.figures["bars_of_calendar"]) == ("look", 3, 2_000)


def test_intraday_bars_of_an_exchange(prices: Prices) -> None:
    day = prices.select(bars=slice(0, 250))
    table = expected_bars(day)
    opens = pd.DatetimeIndex(
        np.concatenate(
            [
                pd.date_range(row.open_at, row.close_at, freq="30min", inclusive="left").to_numpy(
                    dtype="datetime64[us]"
                )
                for row in table.itertuples()
            ]
        )
    ).tz_localize("UTC")
    panel = pd.DataFrame(1.0, index=opens, columns=["A"])
    intraday = Prices(panel, panel, panel, panel, panel, opens, opens + HOUR / 2, "XNYS")
    assert len(expected_bars(intraday)) == len(opens)
    assert calendar_gaps(intraday).verdict == "clean"
    assert calendar_gaps(without(intraday, [5])).figures["missing"] == 1
    shifted = replace(
        intraday,
        **{name: panel.set_axis(opens + 5 * HOUR) for name in PRICE_FIELDS},
        open_at=opens + 5 * HOUR,
        close_at=opens + 5.5 * HOUR,
    )
    assert calendar_gaps(shifted).verdict == "bad"


def test_holidays_traded_and_half_days_unknown(prices: Prices) -> None:
    labels = prices.open_at.tz_convert("America/New_York").tz_localize(None).normalize()
    good_friday = labels.get_loc(pd.Timestamp("2015-04-02"))
    moved = prices.open_at.to_series(index=range(len(labels)))
    moved.iloc[good_friday] += DAY
    opens = pd.DatetimeIndex(moved)
    closes = pd.DatetimeIndex(
        prices.close_at.to_series(index=range(len(labels))).where(opens == prices.open_at, opens + 6 * HOUR)
    )
    weekday_calendar = validate_prices(
        replace(
            prices,
            **{name: getattr(prices, name).set_axis(opens) for name in PRICE_FIELDS},
            open_at=opens,
            close_at=closes,
        )
    )
    check = calendar_gaps(weekday_calendar)
    assert (check.verdict, check.figures["off_calendar"], check.figures["missing"]) == ("bad", 1, 1)
    always_four = prices.open_at + 6.5 * HOUR
    late = calendar_gaps(replace(prices, close_at=always_four))
    assert late.verdict == "bad"
    assert late.figures["wrong_close"] == int((always_four != prices.close_at).sum()) > 3


def test_holes_and_partly_empty_bars(whole: Prices) -> None:
    close = whole.close.copy()
    close.iloc[40:42, 1] = np.nan
    panels = {name: getattr(whole, name).where(close.notna()) for name in PRICE_FIELDS}
    check = holes(changed(whole, **panels))
    assert (check.verdict, check.figures["missing"]) == ("look", 2)
    assert check.rows["symbol"].tolist() == [whole.symbols[1]]
    assert check.rows["bar"].tolist() == [whole.open_at[40]]
    panels = {name: panel.copy() for name, panel in panels.items()}
    for panel in panels.values():
        panel.iloc[100:140, 2] = np.nan
    assert holes(changed(whole, **panels)).verdict == "bad"
    opens = whole.open.copy()
    opens.iloc[3, 0] = np.nan
    check = holes(changed(whole, open=opens))
    assert (check.verdict, check.figures["partly_empty"]) == ("look", 1)


def test_survivors_only(prices: Prices, whole: Prices) -> None:
    assert listings(prices).figures["early_ends"] == 2
    assert listings(prices).rows["last"].lt(prices.open_at[-1]).sum() == 2
    assert listings(whole).verdict == "look"
    assert listings(whole.select(symbols=whole.symbols[:9])).verdict == "clean"
    assert listings(whole.select(bars=slice(0, 500))).verdict == "clean"


def test_an_unfinished_last_bar(prices: Prices) -> None:
    check = last_bar(scaled(prices, 0.05, slice(-1, None), slice(None), ("volume",)))
    assert check.verdict == "look"
    assert len(check.rows) > 10
    one = last_bar(scaled(prices, 0.05, slice(-1, None), 0, ("volume",)))
    assert one.verdict == "clean"
    early = last_bar(prices, as_of=prices.close_at[-1] - HOUR)
    assert (early.verdict, early.figures["bars_after_fetch"]) == ("bad", 1)


@pytest.mark.parametrize(
    ("rows", "verdict"), [(slice(10, 11), "clean"), (slice(10, 60), "look"), (slice(0, None), "bad")]
)
def test_zero_volume(prices: Prices, rows: slice, verdict: str) -> None:
    columns = slice(None) if verdict == "bad" else slice(0, 1)
    check = volumes(scaled(prices, 0.0, rows, columns, ("volume",)))
    assert check.verdict == verdict
    assert int(check.figures["zero"]) > 0
    assert "close" in check.rows.columns


@pytest.mark.parametrize("factor", [0.5, 0.62, 1.5, 10.0])
def test_a_bad_tick_comes_back(prices: Prices, factor: float) -> None:
    check = outliers(scaled(prices, factor, slice(300, 301)))
    assert (check.verdict, check.figures["bad_ticks"], check.figures["lasting_moves"]) == ("bad", 1, 0)
    assert check.rows["bar"].tolist() == [prices.open_at[300]]
    assert splits(scaled(prices, factor, slice(300, 301))).verdict == "clean"


def test_a_large_move_stays_and_a_wick_stands_alone(prices: Prices) -> None:
    check = outliers(scaled(prices, 0.62, slice(300, None)))
    assert (check.verdict, check.figures["bad_ticks"], check.figures["lasting_moves"]) == ("look", 0, 1)
    wick = outliers(scaled(prices, 0.5, slice(300, 301), 0, ("low",)))
    assert (wick.verdict, wick.figures["long_wicks"]) == ("look", 1)


@pytest.mark.parametrize("ratio", [1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0, 0.5, 0.25, 0.1])
def test_splits(prices: Prices, ratio: float) -> None:
    raw = split_at(prices, 400, ratio)
    check = splits(raw)
    assert (check.verdict, check.figures["split_like_jumps"]) == ("bad", 1)
    assert check.rows["bar"].tolist() == [prices.open_at[400]]
    assert check.rows["shares_per_old"].iloc[0] == pytest.approx(ratio, rel=0.05)
    recorded = splits(raw, action(prices, 400, ratio), adjusted_later=True)
    assert (recorded.verdict, recorded.figures["recorded"]) == ("clean", 1)
    # Recorded or not, a jump that is traded is a loss that nobody had.
    left_in = splits(raw, action(prices, 400, ratio))
    assert (left_in.verdict, left_in.rows["bar"].tolist()) == ("bad", [prices.open_at[400]])
    assert splits(raw, action(prices, 400, ratio, kind="dividend")).verdict == "bad"
    assert splits(raw, action(prices, 401, ratio), adjusted_later=True).verdict == "bad"
    # A recorded split that left no jump in raw prices, or left one in adjusted prices, contradicts them.
    assert splits(prices, action(prices, 400, ratio)).verdict == "bad"
    assert splits(replace(raw, adjustment="splits"), action(prices, 400, ratio)).verdict == "bad"
    assert splits(replace(prices, adjustment="splits"), action(prices, 400, ratio)).verdict == "clean"


def test_a_jump_that_is_no_split_is_not_called_one_alone(prices: Prices) -> None:
    half = len(prices.open_at) // 2
    for factor, columns, words in (
        (0.01, slice(0, 1), "A jump of twentyfold or more is rather another unit"),
        (0.25, slice(None), "Jumps of all symbols at once are rather another unit"),
        (0.25, slice(0, 1), "Where the company split its shares"),
    ):
        panels = {}
        for name in ("open", "high", "low", "close"):
            panels[name] = getattr(prices, name).copy()
            panels[name].iloc[half:, columns] *= factor
        check = splits(replace(prices, **panels))
        assert check.verdict == "bad"
        assert check.remedy.startswith(words)


def test_a_split_at_the_instant_between_two_bars_belongs_to_the_later() -> None:
    market = hourly(800)
    assert splits(split_at(market, 400, 2.0), action(market, 400, 2.0), adjusted_later=True).verdict == "clean"


def test_crashes_are_no_splits(prices: Prices) -> None:
    busy = scaled(scaled(prices, 0.5, slice(400, None)), 30.0, slice(400, 401), 0, ("volume",))
    assert splits(busy).verdict == "clean"
    wide = scaled(scaled(prices, 0.5, slice(400, None)), 0.8, slice(400, 401), 0, ("low",))
    assert splits(wide).verdict == "clean"


def test_opens_copied_from_the_close_before(whole: Prices) -> None:
    before = whole.close.shift()
    copied = before.where((before >= whole.low) & (before <= whole.high))
    early = np.arange(len(whole.open))[:, None] < 252
    same = changed(whole, open=copied.where(copied.notna() & early, whole.open))
    check = opening_prices(same)
    assert check.verdict == "bad"
    assert int(check.figures["symbols"]) > 10
    assert (check.rows["worst_year"] > check.rows["share_equal"]).all()
    assert opening_prices(replace(same, calendar="24/7")).verdict == "clean"


def test_ranges(whole: Prices) -> None:
    high = whole.high.copy()
    high.iloc[9, 0] = whole.low.iloc[9, 0]
    check = ranges(changed(whole, high=high))
    assert (check.verdict, check.figures["crossed"]) == ("bad", 1)
    flat = {name: getattr(whole, name).copy() for name in QUOTES}
    for panel in flat.values():
        panel.iloc[:40] = whole.close.iloc[:40]
    check = ranges(changed(whole, **flat))
    assert (check.verdict, check.figures["flat"]) == ("look", 40 * len(whole.symbols))
    assert set(check.rows["trouble"]) == {"flat"}
    for panel in flat.values():
        panel.iloc[:400] = whole.close.iloc[:400]
    assert ranges(changed(whole, **flat)).verdict == "bad"


def test_stale_closes(whole: Prices) -> None:
    close = whole.close.copy()
    close.iloc[100:160, 0] = close.iloc[100, 0]
    check = stale_closes(replace(whole, close=close))
    assert (check.verdict, check.figures["longest_run"], check.figures["bars"]) == ("bad", 60, 60)
    assert check.rows["symbol"].tolist() == [whole.symbols[0]]
    close.iloc[100:160] = close.iloc[100].to_numpy()
    assert stale_closes(replace(whole, close=close)).verdict == "bad"
    close = whole.close.copy()
    close.iloc[100:104] = close.iloc[100].to_numpy()
    assert stale_closes(replace(whole, close=close)).figures["bars"] == 0


def test_adjusted_against_raw(whole: Prices) -> None:
    rows = np.arange(len(whole.close))[:, None]
    quarterly = np.prod([np.where(rows < ex, 0.995, 1.0) for ex in range(63, 800, 63)], axis=0)
    check = adjustment(whole, whole.close * quarterly)
    assert check.verdict == "clean"
    assert int(check.figures["bars_with_adjustment"]) == len(range(63, 800, 63)) * len(whole.symbols)
    special = adjustment(whole, whole.close * np.where(rows < 300, 0.9, 1.0))
    assert (special.verdict, special.figures["apart"]) == ("look", len(whole.symbols))
    assert adjustment(whole, whole.close * np.where(rows < 300, 1.05, 1.0)).verdict == "bad"


@pytest.mark.parametrize("bars", [1, 2, 15])
def test_a_handful_of_bars_is_no_reason_to_fail(whole: Prices, bars: int) -> None:
    for check in check_prices(whole.select(bars=slice(0, bars)), adjusted_close=whole.close):
        assert_well_formed(check)
