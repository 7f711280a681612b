import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.features import feature_row

from embargo.data_loaders.calendars import decision_times, last_closed_bar
from embargo.data_loaders.errors import ConfigError, DataError, LeakError
from embargo.data_loaders.schemas import Prices
from embargo.signals.fusion.features import FEATURES, REASONS, market_features

# TA-Lib 0.8.2 on the bars of ``wave``: first bar with a value, and values by bar. Its BBANDS, TYPPRICE, SMA and STDDEV
# are combined by hand where it has no such indicator; its MACD line starts with the signal line, eight bars later.
TALIB = {
    "return_1": (1, {1: -0.0190288618073, 50: -0.0464577105549, 79: -0.0694546884408}),
    "return_5": (5, {5: 0.102271434993, 50: 0.0875599344673, 79: -0.0153965273663}),
    "return_20": (20, {20: 0.0412413804359, 50: 0.26337766102, 79: -0.26244084501}),
    "volume_ratio": (19, {19: 0.755645947792, 50: 1.26597951678, 79: 1.24270728139}),
    "volatility_20": (20, {20: 0.0464578291634, 50: 0.0569765831845, 79: 0.0527843532008}),
    "rsi_14": (14, {14: 61.0325307496, 50: 58.8580441492, 79: 40.077106142}),
    "macd": (25, {33: -0.0731207481904, 50: 0.0354048924285, 79: -0.0560620386617}),
    "macd_histogram": (33, {33: -0.0183033425643, 50: 0.0258902001536, 79: -0.0125035293894}),
    "bollinger_position": (19, {19: 0.580513243341, 50: 0.832336041951, 79: 0.177754095332}),
    "atr_ratio": (14, {14: 0.0564973362824, 50: 0.061215735083, 79: 0.078251144168}),
    "vwap_distance": (19, {19: 0.0190521601666, 50: 0.149893449258, 79: -0.117280690134}),
}
BARS = 48


def priced(high, low, close, volume, *, start="2020-01-01", frequency="D"):
    open_at = pd.date_range(start, periods=len(close), freq=frequency, tz="UTC").as_unit("us")
    names = [f"S{i}" for i in range(np.shape(close)[1])]
    panels = [pd.DataFrame(values, index=open_at, columns=names) for values in (close, high, low, close, volume)]
    return Prices(*panels, open_at, open_at + pd.Timedelta(hours=8), "24/7")


def wave():
    t = np.arange(80.0)
    close = 50 + 8 * np.sin(t / 7) + 3 * np.cos(t * 1.3) + 0.05 * t
    high, low = close + 1 + 0.5 * np.sin(t * 2.1), close - 1 - 0.5 * np.cos(t * 1.7)
    return [column[:, None] for column in (high, low, close, 1000 + 300 * np.sin(t * 0.9) + 5 * t)]


def before(bars):
    return np.arange(bars) - 1


@st.composite
def markets(draw, symbols=3):
    """Bars with halts, late listings, flat stretches and bars without volume."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    moves = rng.normal(0, draw(st.sampled_from([0.0, 1e-3, 0.05])), (BARS, symbols))
    close = 10.0 ** rng.integers(-3, 5, symbols) * np.exp(np.cumsum(moves, axis=0))
    high, low = close * np.exp(rng.uniform(0, 0.02, close.shape)), close * np.exp(-rng.uniform(0, 0.02, close.shape))
    volume = rng.uniform(0, 1e6, close.shape) * (rng.random(close.shape) > draw(st.sampled_from([0.0, 0.1, 0.95])))
    halted = rng.random(close.shape) < draw(st.sampled_from([0.0, 0.1, 0.5]))
    halted[: rng.integers(0, BARS), 0] = True
    for field in (high, low, close, volume):
        field[halted] = np.nan
    volume[rng.random(close.shape) < draw(st.sampled_from([0.0, 0.02]))] = np.nan
    newest = np.minimum(before(BARS), np.maximum.accumulate(before(BARS) - rng.integers(0, 3, BARS)))
    return priced(high, low, close, volume), np.maximum(newest, -1)


@pytest.mark.parametrize("name", FEATURES)
def test_talib_says_the_same(name):
    first, pinned = TALIB[name]
    panel = market_features(priced(*wave()), before(80)).panels[name]["S0"].to_numpy()
    # What bar t closed with is known in row t + 1.
    assert np.isnan(panel[: first + 1]).all()
    assert np.isfinite(panel[first + 1 :]).all()
    for bar, value in pinned.items():
        if bar + 1 < len(panel):
            assert panel[bar + 1] == pytest.approx(value, rel=1e-10)


def test_talib_says_the_same_of_the_last_bar():
    last = np.full(81, 79)
    last[:80] = before(80)
    longer = [np.vstack([field, field[-1:]]) for field in wave()]
    found = market_features(priced(*longer), last)
    for name, (_, pinned) in TALIB.items():
        assert found.panels[name].iloc[80, 0] == pytest.approx(pinned[79], rel=1e-10), name


@settings(max_examples=40)
@given(markets())
def test_a_slow_reference_agrees_row_by_row(market):
    prices, newest = market
    found = market_features(prices, newest, block=2)
    fields = {name: getattr(prices, name).to_numpy().T.tolist() for name in ("high", "low", "close", "volume")}
    for column in range(3):
        for row in range(0, BARS, 3):
            expected = feature_row(*(fields[name][column] for name in fields), int(newest[row]))
            for name in FEATURES:
                value = found.panels[name].iloc[row, column]
                # A band as narrow as rounding holds no position that two ways of adding up would share.
                near = 1e-6 if name in ("bollinger_position", "rsi_14", "volatility_20") else 1e-9
                assert value == pytest.approx(expected.get(name, np.nan), rel=near, abs=1e-11, nan_ok=True), (name, row)


@settings(max_examples=40)
@given(markets(), st.integers(1, BARS - 1), st.integers(0, 2**32 - 1))
def test_bars_not_yet_closed_change_nothing(market, row, seed):
    prices, newest = market
    rng = np.random.default_rng(seed)
    changed = {}
    for name in ("high", "low", "close", "volume"):
        panel = getattr(prices, name).copy()
        later = slice(int(newest[row]) + 1, None)
        panel.iloc[later] = rng.uniform(1, 9, panel.iloc[later].shape)
        panel.iloc[later] = panel.iloc[later].mask(rng.random(panel.iloc[later].shape) < 0.2)
        changed[name] = panel
    other = Prices(**{**vars(prices), **changed})
    cut = prices.select(bars=slice(0, row + 1))
    one, two, three = (market_features(one, newest[: len(one.close)]).panels for one in (prices, other, cut))
    for name in FEATURES:
        np.testing.assert_array_equal(one[name].iloc[: row + 1], two[name].iloc[: row + 1])
        np.testing.assert_array_equal(one[name].iloc[: row + 1], three[name])


@settings(max_examples=30)
@given(st.integers(0, 10), st.integers(1, 12), st.integers(1, 3))
def test_no_feature_before_its_first_bar_closed_or_after_its_last(first, bars, behind):
    at = pd.date_range("2024-01-01", periods=24, freq="D", tz="UTC")
    level = pd.DataFrame({"A": np.arange(24.0) + 50.0}, index=at)
    level.iloc[:first] = np.nan
    level.iloc[first + bars :] = np.nan
    prices = Prices(level, level, level, level, level, at, at + pd.Timedelta(days=1), "24/7")
    newest = np.maximum(np.arange(24) - behind, -1)
    found = market_features(prices, newest, names=["return_1"]).panels["return_1"]["A"]
    expected = [first + 1 <= row < first + bars for row in newest]
    assert found.notna().tolist() == expected


@settings(max_examples=40)
@given(markets(), st.sampled_from([7.0, 1 / 7, 1e4]), st.sampled_from([3.0, 1e-3]))
def test_levels_do_not_matter(market, price_factor, volume_factor):
    prices, newest = market
    scaled = {name: getattr(prices, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for name, panel in scaled.items():
        panel["S1"] *= volume_factor if name == "volume" else price_factor
    one, two = (market_features(p, newest).panels for p in (prices, Prices(**{**vars(prices), **scaled})))
    for name in FEATURES:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-6, atol=1e-9)


@settings(max_examples=20)
@given(markets(), st.permutations([0, 1, 2]), st.sampled_from([1, 2, 64]))
def test_symbols_stand_alone_and_every_cell_is_counted(market, order, block):
    prices, newest = market
    whole = market_features(prices, newest)
    shuffled = market_features(prices.select(symbols=[f"S{i}" for i in order]), newest, block=block)
    for name in FEATURES:
        np.testing.assert_array_equal(whole.panels[name].iloc[:, order], shuffled.panels[name])
        assert whole.counts[name] == shuffled.counts[name]
        assert tuple(whole.counts[name]) == REASONS
        assert sum(whole.counts[name].values()) == BARS * 3
        assert whole.counts[name]["known"] == int(whole.panels[name].notna().to_numpy().sum())


def test_halts_and_late_listings_are_told_apart():
    fields = [np.repeat(field[:30], 2, axis=1) for field in wave()]
    for field in fields:
        field[:5, 0] = np.nan
        field[20, 1] = np.nan
    fields[3][25:27, 0] = 0.0
    found = market_features(priced(*fields), before(30), names=["return_5", "volume_ratio"])
    assert found.counts["return_5"] == {
        "known": 30 * 2 - 2 - (4 + 1) - (6 + 6) + 1,
        "no_closed_bar": 2,
        "not_traded": 5 + 1,
        "short_window": 5 + 5,
        "undefined": 0,
    }
    # The window reaches over the halt: five traded bars before bar 22 is bar 16.
    close = fields[2][:, 1]
    assert found.panels["return_5"].iloc[23, 1] == pytest.approx(close[22] / close[16] - 1)
    assert np.isnan(found.panels["return_5"].iloc[21, 1])


def test_flat_prices_and_no_volume():
    flat = np.full((40, 1), 0.1)
    found = market_features(priced(flat, flat, flat, 0.0 * flat), before(40))
    last = {name: panel.iloc[39, 0] for name, panel in found.panels.items()}
    assert last["rsi_14"] == 50.0
    assert last["bollinger_position"] == 0.5
    assert last["return_20"] == last["atr_ratio"] == 0.0
    assert last["volatility_20"] == pytest.approx(0.0, abs=1e-12)
    assert np.isnan([last["volume_ratio"], last["vwap_distance"]]).all()
    assert found.counts["vwap_distance"]["undefined"] == 20


def test_round_the_clock_the_bar_before_is_still_open():
    fields = wave()
    prices = priced(*fields, frequency="8h")
    newest = last_closed_bar(prices.close_at, decision_times(prices.open_at, pd.Timedelta(minutes=5)))
    panel = market_features(prices, newest, names=["return_1"]).panels["return_1"]["S0"]
    close = fields[2][:, 0]
    assert panel.iloc[10] == pytest.approx(close[8] / close[7] - 1)


def test_what_is_refused():
    prices = priced(*wave())
    with pytest.raises(LeakError, match="row 0"):
        market_features(prices, np.arange(80))
    with pytest.raises(DataError, match="shape"):
        market_features(prices, before(79))
    with pytest.raises(DataError, match="below -1"):
        market_features(prices, before(80) - 1)
    for names in (["rsi"], ["rsi_14", "rsi_14"]):
        with pytest.raises(ConfigError, match="distinct names"):
            market_features(prices, before(80), names=names)


@pytest.mark.real_data
def test_crypto_hours(real_data):
    frame = pd.read_parquet(real_data / "crypto_prices_1h.parquet")
    frame = frame.loc[frame["open_time"] < pd.Timestamp("2024-06-16", tz="UTC")]
    wide = frame.pivot_table(index="open_time", columns="symbol", values=["high", "low", "close", "volume"]).iloc[-600:]
    prices = priced(*(wide[name].to_numpy(dtype=float) for name in ("high", "low", "close", "volume")), frequency="h")
    newest = np.maximum(np.arange(len(wide)) - 2, -1)
    found = market_features(prices, newest)
    for name in FEATURES:
        values = found.panels[name].to_numpy()
        assert np.isfinite(values[60:]).mean() > 0.9, (name, found.counts[name])
    rsi = found.panels["rsi_14"].to_numpy()
    assert np.nanmin(rsi) >= 0
    assert np.nanmax(rsi) <= 100
