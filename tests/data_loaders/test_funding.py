from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.data_loaders.calendars import length_of
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.funding import funding_panel
from embargo.data_loaders.schemas import Prices

OPEN_AT = pd.date_range("2022-01-01", periods=48, freq="1h", tz="UTC").as_unit("us")
START = OPEN_AT[0]


def bars(open_at: pd.DatetimeIndex = OPEN_AT, symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")) -> Prices:
    panel = pd.DataFrame(100.0, index=open_at, columns=list(symbols))
    return Prices(panel, panel, panel, panel, panel, open_at, open_at + length_of("1h"), "24/7", "none")


def facts(*rows: tuple[str, str, float]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["symbol", "settles_at", "rate"])
    return frame.assign(settles_at=pd.to_datetime(frame["settles_at"], utc=True))


def test_who_holds_through_a_settlement_pays_and_who_buys_at_it_does_not():
    panel, counts = funding_panel(facts(("BTCUSDT", "2022-01-01 08:00", 0.0001)), bars())
    assert panel.loc[START + 7 * length_of("1h"), "BTCUSDT"] == 0.0001
    assert (panel.to_numpy() != 0.0).sum() == 1
    assert counts == {"settlements": 1, "outside": 0, "without_funding": 1}


def test_the_last_row_runs_to_its_close_and_nothing_before_the_first_open_counts():
    recorded = facts(
        ("BTCUSDT", "2022-01-01 00:00", 0.5),
        ("BTCUSDT", "2022-01-03 00:00", 0.01),
        ("BTCUSDT", "2022-01-03 08:00", 0.5),
    )
    panel, counts = funding_panel(recorded, bars())
    assert panel["BTCUSDT"].iloc[-1] == 0.01
    assert panel.to_numpy().sum() == 0.01
    assert counts["outside"] == 2


def test_a_row_that_trades_at_its_close_is_held_to_the_next_close():
    recorded = facts(("BTCUSDT", "2022-01-01 08:00", 0.1), ("BTCUSDT", "2022-01-01 08:30", 0.2))
    panel, _ = funding_panel(recorded, bars(), fill="close")
    # The bar from 06:00 is bought at 07:00; the one from 07:00 is bought at the very instant of the settlement.
    assert panel["BTCUSDT"].iloc[6:9].tolist() == [0.1, 0.2, 0.0]
    late, counts = funding_panel(
        pd.concat([recorded, facts(("BTCUSDT", "2022-01-03 08:00", 0.5))]), bars(), fill="close"
    )
    assert late["BTCUSDT"].iloc[-1] == 0.0
    assert counts["outside"] == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-600, 3600), st.floats(-0.01, 0.01)), min_size=1, unique_by=lambda one: one[0]))
def test_every_settlement_is_charged_once_to_the_row_that_was_held(drawn):
    recorded = pd.DataFrame({"settles_at": [START + pd.Timedelta(minutes=m) for m, _ in drawn], "symbol": "ETHUSDT"})
    recorded = recorded.assign(rate=[rate for _, rate in drawn])
    expected = np.zeros(48)
    for minute, rate in drawn:
        for row in range(48):
            if 60 * row < minute <= 60 * (row + 1):
                expected[row] += rate
    if not any(0 < minute <= 48 * 60 for minute, _ in drawn):
        with pytest.raises(DataError, match="none of the"):
            funding_panel(recorded, bars())
        return
    panel, counts = funding_panel(recorded, bars())
    np.testing.assert_allclose(panel["ETHUSDT"], expected, atol=1e-15)
    assert counts["settlements"] + counts["outside"] == len(drawn)


def test_a_daily_bar_collects_all_its_settlements():
    days = pd.date_range("2022-01-01", periods=3, freq="1D", tz="UTC").as_unit("us")
    panel = pd.DataFrame(1.0, index=days, columns=["BTCUSDT"])
    daily = Prices(panel, panel, panel, panel, panel, days, days + length_of("1d"), "24/7", "none")
    recorded = facts(*(("BTCUSDT", f"2022-01-01 {hour}", 0.001) for hour in ("08:00", "16:00")))
    recorded = pd.concat([recorded, facts(("BTCUSDT", "2022-01-02 00:00", 0.001))])
    assert funding_panel(recorded, daily)[0]["BTCUSDT"].tolist() == pytest.approx([0.003, 0.0, 0.0])


@pytest.mark.parametrize(
    ("recorded", "message"),
    [
        (facts(("BTCUSDT", "2022-01-01 08:00", np.nan)), "not a finite number"),
        (facts(*[("BTCUSDT", "2022-01-01 08:00", 0.1)] * 2), "settles twice"),
        (facts(("XRPUSDT", "2022-01-01 08:00", 0.1)), "none of the 0 settlements"),
    ],
)
def test_bad_rates_are_errors(recorded, message):
    with pytest.raises(DataError, match=message):
        funding_panel(recorded, bars())
