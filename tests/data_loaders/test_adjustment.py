"""Adjustment: returns across an ex date are right, and nothing later than the instant asked for matters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.data_loaders.adjustment import adjust
from embargo.data_loaders.calendars import sessions
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.schemas import Prices

TABLE = sessions("XNYS", pd.Timestamp("2024-01-02"), pd.Timestamp("2024-02-15")).iloc[:24]


def _prices(closes: dict[str, list[float]], volume: float = 1000.0) -> Prices:
    index = pd.DatetimeIndex(TABLE["open_at"].iloc[: len(next(iter(closes.values())))], name=None)
    close = pd.DataFrame(closes, index=index)
    return Prices(
        close,
        close,
        close,
        close,
        close * 0 + volume,
        index,
        pd.DatetimeIndex(TABLE["close_at"].iloc[: len(index)], name=None),
        "XNYS",
    )


def _actions(*rows: tuple[str, str, int, float]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["symbol", "kind", "bar", "value"])
    frame["ex_at"] = TABLE["open_at"].iloc[frame["bar"]].reset_index(drop=True)
    return frame.drop(columns="bar")


FAR = pd.Timestamp("2030-01-01", tz="UTC")


def test_a_split_and_a_dividend_by_hand():
    # 4:1 before bar 2, then a dividend of 1 before bar 4 whose last close was 50.
    prices = _prices({"A": [400.0, 404.0, 101.0, 50.0, 49.0]})
    actions = _actions(("A", "split", 2, 4.0), ("A", "dividend", 4, 1.0))

    split = adjust(prices, actions, as_of=FAR, how="splits")
    np.testing.assert_allclose(split.close["A"], [100.0, 101.0, 101.0, 50.0, 49.0])
    np.testing.assert_allclose(split.volume["A"], [4000, 4000, 1000, 1000, 1000])
    assert split.adjustment == "splits"

    total = adjust(prices, actions, as_of=FAR, how="total_return")
    np.testing.assert_allclose(total.close["A"], [98.0, 98.98, 98.98, 49.0, 49.0])
    np.testing.assert_allclose(total.volume["A"], split.volume["A"])
    # 50 less the dividend of 1 is 49: the holder lost nothing.
    assert total.close["A"].pct_change().iloc[4] == pytest.approx(0.0)
    assert total.adjustment == "splits+dividends"


def test_a_dividend_on_the_day_of_a_split_is_in_new_shares():
    prices = _prices({"A": [400.0, 100.0]})
    actions = _actions(("A", "split", 1, 4.0), ("A", "dividend", 1, 2.0))
    total = adjust(prices, actions, as_of=FAR, how="total_return")
    assert total.close["A"].iloc[0] == pytest.approx(98.0)


def test_a_split_while_the_symbol_did_not_trade_counts_in_the_dividend_after_it():
    # Split before bar 1, which has no price; dividend before bar 2: the last close of 400 is 100 in new shares.
    prices = _prices({"A": [400.0, np.nan, 99.0]})
    actions = _actions(("A", "split", 1, 4.0), ("A", "dividend", 2, 1.0))
    total = adjust(prices, actions, as_of=FAR, how="total_return")
    assert total.close["A"].iloc[0] == pytest.approx(99.0)
    assert np.isnan(total.close["A"].iloc[1])


def test_an_action_takes_effect_at_its_instant_and_not_a_microsecond_before():
    prices = _prices({"A": [400.0, 100.0], "B": [10.0, 11.0]})
    actions = _actions(("A", "split", 1, 4.0))
    ex_at = actions["ex_at"].iloc[0]
    before = adjust(prices, actions, as_of=ex_at - pd.Timedelta(microseconds=1), how="splits")
    assert before.close["A"].iloc[0] == 400.0
    assert adjust(prices, actions, as_of=ex_at, how="splits").close["A"].iloc[0] == 100.0
    pd.testing.assert_series_equal(adjust(prices, actions, as_of=ex_at, how="splits").close["B"], prices.close["B"])


BARS = 12
WORLDS = st.tuples(
    st.lists(st.floats(50, 500), min_size=BARS, max_size=BARS),
    st.lists(
        st.tuples(
            st.sampled_from(["split", "dividend"]),
            st.integers(0, BARS - 1),
            st.sampled_from([0.1, 0.5, 1.5, 2.0, 4.0]),
        ),
        max_size=6,
        unique_by=lambda row: (row[0], row[1]),
    ),
    st.integers(0, BARS - 1),
    st.sampled_from(["splits", "total_return"]),
)


def _world(closes: list[float], rows: list[tuple[str, int, float]]) -> tuple[Prices, pd.DataFrame]:
    return _prices({"A": closes, "B": closes[::-1]}), _actions(*[("A", *row) for row in rows])


@settings(max_examples=60)
@given(WORLDS)
def test_adjusting_as_of_t_is_adjusting_the_world_cut_off_at_t(world):
    closes, rows, bar, how = world
    prices, actions = _world(closes, rows)
    t = prices.close_at[bar]
    whole = adjust(prices, actions, as_of=t, how=how)
    known = adjust(prices.select(bars=slice(0, bar + 1)), actions.loc[actions["ex_at"] <= t], as_of=t, how=how)
    for name in PRICE_FIELDS:
        pd.testing.assert_frame_equal(getattr(whole, name).iloc[: bar + 1], getattr(known, name))


@settings(max_examples=60)
@given(WORLDS)
def test_levels_from_the_last_action_on_and_returns_of_the_past_never_move(world):
    closes, rows, bar, how = world
    prices, actions = _world(closes, rows)
    t = prices.close_at[bar]
    early, late = adjust(prices, actions, as_of=t, how=how), adjust(prices, actions, as_of=FAR, how=how)
    np.testing.assert_allclose(
        early.close.iloc[: bar + 1].pct_change().to_numpy(),
        late.close.iloc[: bar + 1].pct_change().to_numpy(),
        atol=1e-12,
    )
    last = max((row[1] for row in rows), default=0)
    pd.testing.assert_frame_equal(late.close.iloc[last:], prices.close.iloc[last:])


@pytest.mark.parametrize(
    ("actions", "complaint"),
    [
        (_actions(("A", "split", 1, 0.0)), "must be positive"),
        (_actions(("A", "merger", 1, 1.0)), "merger of A"),
        (_actions(("A", "dividend", 1, 1.0), ("A", "dividend", 1, 2.0)), "more than one dividend"),
        (_actions(("A", "dividend", 1, 10.0)), "pence or pounds"),
        (
            _actions(("A", "split", 1, 2.0)).assign(ex_at=lambda f: f["ex_at"] - pd.Timedelta(hours=20)),
            "inside the bar",
        ),
        (_actions(("A", "split", 1, 2.0)).drop(columns="value"), "missing columns"),
    ],
)
def test_actions_that_make_no_sense_are_refused(actions, complaint):
    with pytest.raises(DataError, match=complaint):
        adjust(_prices({"A": [10.0, 10.0]}), actions, as_of=FAR, how="total_return")


def test_prices_adjusted_already_a_naive_instant_and_an_unknown_way_are_refused():
    prices, actions = _prices({"A": [10.0, 10.0]}), _actions(("A", "split", 1, 2.0))
    once = adjust(prices, actions, as_of=FAR, how="splits")
    with pytest.raises(ConfigError, match="adjusted already"):
        adjust(once, actions, as_of=FAR, how="splits")
    with pytest.raises(ConfigError, match="no time zone"):
        adjust(prices, actions, as_of=pd.Timestamp("2030-01-01"), how="splits")
    with pytest.raises(ConfigError, match="how must be"):
        adjust(prices, actions, as_of=FAR, how="dividends")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="adjusted already"):
        adjust(once, actions.iloc[:0], as_of=FAR, how="splits")


def test_no_actions_change_nothing():
    prices = _prices({"A": [10.0, 10.0]})
    pd.testing.assert_frame_equal(
        adjust(prices, _actions().astype({"value": float}), as_of=FAR, how="splits").close, prices.close
    )
