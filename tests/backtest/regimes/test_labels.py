from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.backtest.regimes import (
    PRESETS,
    UNLABELLED,
    label_ex_post,
    label_regime,
    spells,
    threshold_regime,
    transition_table,
)
from embargo.data_loaders.errors import ConfigError, DataError


def instants(*texts: str) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(pd.to_datetime(list(texts), utc=True, format="ISO8601"))


# Two turning points of the business cycle and when the committee of the NBER announced them.
CYCLE = pd.DataFrame(
    {
        "start": instants("2007-12-01", "2009-07-01"),
        "regime": ["recession", "expansion"],
        "known_at": instants("2008-12-01T17:00", "2010-09-20T14:30"),
    }
)


def test_a_recession_steers_from_its_announcement_and_reports_from_its_start():
    asked = instants("2007-11-30", "2008-06-02", "2008-12-02", "2009-08-03", "2010-09-21")
    assert label_regime(CYCLE, asked).tolist() == [UNLABELLED, UNLABELLED, "recession", "recession", "expansion"]
    assert label_ex_post(CYCLE, asked).tolist() == [UNLABELLED, "recession", "recession", "expansion", "expansion"]
    shuffled = CYCLE.iloc[::-1].reset_index(drop=True)
    assert label_regime(shuffled, asked).tolist() == label_regime(CYCLE, asked).tolist()


def test_what_is_announced_late_does_not_replace_what_is_newer():
    entries = pd.DataFrame(
        {
            "start": instants("2020-01-01", "2020-02-01", "2020-03-01"),
            "regime": ["a", "b", "c"],
            "known_at": instants("2020-05-01", "2020-02-10", "2020-01-15"),
        }
    )
    asked = instants("2020-01-20", "2020-02-15", "2020-03-01", "2020-06-01")
    # c was announced before it began, a only after b and c had begun.
    assert label_regime(entries, asked).tolist() == [UNLABELLED, "b", "c", "c"]


def test_labels_without_an_instant_of_knowledge_only_report():
    bare = CYCLE.drop(columns="known_at")
    asked = instants("2008-06-02")
    with pytest.raises(DataError, match=r"'known_at'.*ex_post"):
        label_regime(bare, asked)
    assert label_ex_post(bare, asked).tolist() == ["recession"]


def test_malformed_labels_are_refused():
    asked = instants("2008-06-02")
    with pytest.raises(DataError, match="regime are missing"):
        label_ex_post(CYCLE[["start"]], asked)
    with pytest.raises(DataError, match="time zone"):
        label_ex_post(CYCLE.assign(start=pd.to_datetime(["2007-12-01", "2009-07-01"])), asked)
    with pytest.raises(DataError, match="two entries start"):
        label_ex_post(CYCLE.assign(start=instants("2007-12-01", "2007-12-01")), asked)
    with pytest.raises(DataError, match="names no regime"):
        label_ex_post(CYCLE.assign(regime=["recession", None]), asked)
    with pytest.raises(DataError, match="no instant in row 1"):
        label_regime(CYCLE.assign(known_at=[CYCLE["known_at"][0], pd.NaT]), asked)
    assert label_ex_post(CYCLE.iloc[:0], asked).tolist() == [UNLABELLED]


SERIES = pd.DataFrame(
    {"known_at": instants("2020-02-24T21:15", "2020-02-25T21:15", "2020-02-26T21:15"), "value": [19.0, 20.0, np.nan]}
)
CUT = {"cuts": [20.0, 30.0], "names": ["calm", "uneasy", "turbulent"]}


def test_a_threshold_takes_the_newest_known_value():
    asked = instants("2020-02-24T21:00", "2020-02-24T21:15", "2020-02-25T14:25", "2020-02-26T14:25", "2020-03-10T14:25")
    found = threshold_regime(SERIES, asked, **CUT)
    assert found.tolist() == [UNLABELLED, "calm", "calm", "uneasy", "uneasy"]  # a value at the cut lies above it
    stale = threshold_regime(SERIES, asked, **CUT, stale_after=pd.Timedelta("5D"))
    assert stale.tolist() == [UNLABELLED, "calm", "calm", "uneasy", UNLABELLED]
    nothing = threshold_regime(SERIES.iloc[:0], asked, **CUT, stale_after=pd.Timedelta("5D"))
    assert (nothing == UNLABELLED).all()


def test_thresholds_are_checked():
    asked = instants("2020-02-25")
    with pytest.raises(ConfigError, match="increase"):
        threshold_regime(SERIES, asked, cuts=[30.0, 20.0], names=["a", "b", "c"])
    with pytest.raises(ConfigError, match="3 regimes"):
        threshold_regime(SERIES, asked, cuts=[20.0, 30.0], names=["a", "b"])
    with pytest.raises(DataError, match="value are missing"):
        threshold_regime(SERIES[["known_at"]], asked, **CUT)
    with pytest.raises(DataError, match="two values"):
        threshold_regime(SERIES.assign(known_at=SERIES["known_at"].iloc[0]), asked, **CUT)


def test_transitions_are_counted_and_gaps_break_the_chain():
    labels = pd.Series(["a", "a", "b", UNLABELLED, "b", "b", "a"])
    moves = transition_table(labels).set_index(["source", "target"])
    assert moves["count"].to_dict() == {("a", "a"): 1, ("a", "b"): 1, ("b", "a"): 1, ("b", "b"): 1}
    assert moves["probability"].tolist() == [0.5] * 4
    ends = transition_table(pd.Series(["a", "b"])).set_index(["source", "target"])
    assert ends.loc[("b", "a"), "probability"] is None
    assert transition_table(pd.Series([UNLABELLED] * 3)).empty
    with pytest.raises(DataError, match="no label at 1"):
        transition_table(pd.Series(["a", None]))


def test_transition_probabilities_are_those_of_the_chain():
    rng = np.random.default_rng(0)
    state, states = 0, []
    for _ in range(20_000):
        state = state if rng.random() < (0.95, 0.8)[state] else 1 - state
        states.append("ab"[state])
    moves = transition_table(pd.Series(states)).set_index(["source", "target"])["probability"].astype(float)
    np.testing.assert_allclose(moves, [0.95, 0.05, 0.2, 0.8], atol=0.01)
    lengths = spells(pd.Series(states)).groupby("regime")["bars"].mean()
    np.testing.assert_allclose(lengths, [20.0, 5.0], rtol=0.1)


def test_spells_cover_every_bar_once():
    found = spells(pd.Series(["a", "a", "b", "a"]))
    assert found.to_dict("list") == {
        "regime": ["a", "b", "a"],
        "first": [0, 2, 3],
        "last": [1, 2, 3],
        "bars": [2, 1, 1],
    }
    assert spells(pd.Series([], dtype=str)).empty


def test_crypto_is_given_wider_thresholds_and_longer_lookbacks():
    equity, daily, hourly = PRESETS["equity"], PRESETS["crypto_daily"], PRESETS["crypto_hourly"]
    for crypto in (daily, hourly):
        assert crypto.fall > equity.fall
        assert crypto.trend_threshold > equity.trend_threshold
        assert crypto.trend_lookback > equity.trend_lookback
        assert crypto.minimum_bars > equity.minimum_bars


HOURS = st.lists(st.integers(-60, 60), min_size=1, max_size=8, unique=True)


@given(HOURS, HOURS)
def test_only_what_was_known_speaks_at_either_end(told, asked):
    zero = pd.Timestamp("2020-01-01", tz="UTC")
    known_at = pd.DatetimeIndex([zero + pd.Timedelta(hours=hour) for hour in told])
    decided_at = pd.DatetimeIndex([zero + pd.Timedelta(hours=hour) for hour in sorted(asked)])
    names = [str(hour) for hour in told]
    newest = [max((hour for hour in told if hour <= at), default=None) for at in sorted(asked)]
    expected = [UNLABELLED if hour is None else str(hour) for hour in newest]
    entries = pd.DataFrame({"start": known_at, "regime": names, "known_at": known_at})
    assert label_regime(entries, decided_at).tolist() == expected
    assert label_ex_post(entries, decided_at).tolist() == expected
    values = pd.DataFrame({"known_at": known_at, "value": np.asarray(told, dtype=float)})
    stale = pd.Timedelta(hours=10)
    found = threshold_regime(values, decided_at, cuts=[0.0], names=["low", "high"], stale_after=stale)
    for hour, at, name in zip(newest, sorted(asked), found, strict=True):
        silent = hour is None or at - hour > 10
        assert name == (UNLABELLED if silent else "high" if hour >= 0 else "low")
