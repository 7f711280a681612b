from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import (
    Finding,
    check_costs,
    check_latency,
    check_undated,
    is_invalid,
    overall_verdict,
)
from embargo.backtest.leakage.findings import (
    aware_instant,
    evidence_rows,
    length,
    moment,
    plain,
    require_columns,
    share_interval,
    utc_array,
)
from embargo.data_loaders.errors import ConfigError, DataError

VERDICTS = ("leak", "suspicious", "inconclusive", "pass", "not-applicable")


def _finding(verdict, **fields) -> Finding:
    return Finding("T1", verdict, "title", "detail", **fields)


@pytest.mark.parametrize("place", range(5))
def test_the_gravest_verdict_wins(place):
    findings = [_finding(verdict) for verdict in reversed(VERDICTS[place:])]
    assert overall_verdict(findings) == VERDICTS[place]
    assert is_invalid(findings) == (place == 0)


def test_no_findings_are_not_applicable():
    assert overall_verdict([]) == "not-applicable"
    assert not is_invalid([])


def test_unknown_verdict_is_refused():
    with pytest.raises(ValueError, match="verdict must be one of"):
        _finding("fine")


def test_to_dict_is_json():
    frame = pd.DataFrame(
        {"at": pd.date_range("2020-01-01", periods=9, tz="UTC"), "n": np.arange(9), "x": [np.nan, np.inf, *range(7)]}
    )
    evidence = [*evidence_rows(frame), {"flag": np.bool_(True), "gap": pd.NaT, "list": (np.int64(1), None)}]
    written = json.loads(
        json.dumps(_finding("leak", evidence=evidence, effect=np.float64(0.5)).to_dict(), allow_nan=False)
    )
    assert len(written["evidence"]) == 6
    assert written["evidence"][0] == {"at": "2020-01-01T00:00:00+00:00", "n": 0, "x": None}
    assert written["evidence"][-1] == {"flag": True, "gap": None, "list": [1, None]}
    assert written["effect"] == 0.5


@pytest.mark.parametrize("value", ["2020-01-01", "2020-01-01 09:30 GMT+8", "now", "soon", None, pd.NaT])
def test_instants_without_a_zone_are_refused(value):
    with pytest.raises(DataError, match="with an offset"):
        aware_instant(value, what="here")


def _dated(n: int, pile: int = 0) -> pd.DataFrame:
    at = pd.Series(pd.date_range("2020-01-01 07:13", periods=n, freq="37min", tz="UTC", unit="us"))
    at.iloc[n - pile :] = at.iloc[3]
    return pd.DataFrame({"article_id": [f"a{i}" for i in range(n)], "published_at": at})


def test_articles_without_a_date_are_a_leak_where_they_are_used():
    news = _dated(400)
    assert check_undated(news).verdict == "pass"
    assert "7 without one were set aside" in check_undated(news, set_aside=7).detail
    news.loc[5, "published_at"] = pd.NaT
    finding = check_undated(news)
    assert (finding.verdict, finding.effect) == ("leak", 1 / 400)
    assert finding.evidence == [{"article_id": "a5", "published_at": None}]
    assert check_undated(news[:0]).verdict == "not-applicable"
    with pytest.raises(DataError, match="published_at"):
        check_undated(news[["article_id"]])


def _told(n: int, seed: int = 0) -> pd.DataFrame:
    """Return articles of four symbols and five sources, every other one with a second 1 to 40 seconds later."""
    rng = np.random.default_rng(seed)
    at = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(np.sort(rng.integers(0, 90 * 86_400, n)), unit="s")
    return pd.DataFrame(
        {
            "article_id": [f"a{number}" for number in range(n)],
            "published_at": pd.Series(at.as_unit("us")),
            "symbol": rng.choice(list("ABCD"), n),
            "source": rng.choice(list("vwxyz"), n),
            "text": [f"story {number} on matter {number * 7}" for number in range(n)],
        }
    )


def test_stamps_handed_on_from_the_row_before_are_told():
    news = _told(800)
    assert check_undated(news).verdict == "pass"
    filed = news.sort_values(["symbol", "published_at"])
    lost = np.random.default_rng(1).random(len(filed)) < 0.1
    filled = filed.assign(published_at=filed["published_at"].mask(lost).ffill().bfill())
    finding = check_undated(filled)
    assert (finding.code, finding.verdict) == ("D4", "suspicious")
    assert 0.05 < finding.effect < 0.12
    naive = filled.assign(published_at=filled["published_at"].dt.tz_localize(None))
    assert check_undated(naive).effect == finding.effect
    assert {row["article_id"] for row in finding.evidence} <= set(filed["article_id"][lost])


def test_releases_that_come_together_are_no_stamps_handed_on():
    news = _told(800)
    together = pd.concat([news, news.assign(article_id="b" + news["article_id"], source="other")])
    # The same event told by another source, flashes of one, full minutes, and a rush as thick a few seconds later.
    assert check_undated(together.assign(text=together["text"] + " again")).verdict == "pass"
    flashes = together.assign(source="wire", text=together["article_id"])
    assert check_undated(flashes).verdict == "pass"
    full = together.assign(published_at=together["published_at"].dt.floor("min"), text=together["article_id"])
    assert check_undated(full.assign(published_at=full["published_at"].dt.floor("5min"))).verdict == "pass"
    rush = pd.concat([together, news.assign(article_id="c" + news["article_id"], source="third")])
    later = pd.to_timedelta(np.where(rush["source"] == "third", 3, 0), unit="s")
    assert (
        check_undated(rush.assign(published_at=rush["published_at"] + later, text=rush["article_id"])).verdict == "pass"
    )


@pytest.mark.parametrize(("n", "pile"), [(400, 20), (1000, 50)])
def test_one_instant_that_many_articles_share_looks_like_a_default(n, pile):
    finding = check_undated(_dated(n, pile))
    assert (finding.verdict, finding.effect) == ("suspicious", (pile + 1) / n)
    assert finding.evidence[0]["article_id"] == "a3"


def test_what_shares_its_instant_by_right_is_no_default():
    assert check_undated(_dated(400, 15)).verdict == "pass", "few"
    assert check_undated(_dated(4000, 30)).verdict == "pass", "a small share"
    by_day = _dated(1000)
    by_day["published_at"] = by_day["published_at"].dt.normalize()
    assert check_undated(by_day).verdict == "pass", "every day has its pile: dates without a time are another check's"
    release = _dated(400, 60)
    release.loc[340:, "article_id"] = "a3"
    assert check_undated(release).verdict == "pass", "one article filed under many symbols"


def test_latency():
    minute = pd.Timedelta(minutes=1)
    assert check_latency(5 * minute, pd.Timedelta(days=1)).verdict == "pass"
    assert check_latency(0 * minute, pd.Timedelta(days=1)).verdict == "suspicious"
    assert "much of the profit" in check_latency(0 * minute, minute).detail
    second = minute / 60
    assert [check_latency(count * second, 60 * minute).verdict for count in (1, 4.9, 5)] == [
        "suspicious",
        "suspicious",
        "pass",
    ]
    assert "1 s before the open" in check_latency(second, minute).detail
    with pytest.raises(ConfigError, match="negative"):
        check_latency(-minute, minute)


def test_costs():
    assert check_costs({"fee": 0.0005, "borrow": 0.0}).verdict == "pass"
    assert check_costs({"fee": 0.0, "slippage": 0.0}).verdict == "suspicious"
    assert check_costs({}).verdict == "suspicious"
    free = check_costs({"fee": 0.0, "slippage": 0.0, "borrow_annual": 0.005})
    assert (free.verdict, free.effect) == ("suspicious", 1.0)
    assert check_costs({"slippage": 0.0001, "borrow_annual": 0.005}).verdict == "pass"
    for wrong in (-0.1, float("nan")):
        with pytest.raises(ConfigError, match="fee"):
            check_costs({"fee": wrong})


def test_share_interval_is_that_of_wilson():
    # Newcombe 1998, table 1: 81 of 263 gives 0.2553 to 0.3662.
    assert share_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert share_interval(0, 0) is None
    assert share_interval(0, 20)[0] == 0.0
    assert share_interval(20, 20)[1] == 1.0


def _piled(pile: int, rivals: list[int], n: int) -> pd.DataFrame:
    """Of ``n`` articles: a pile at one instant, smaller ones at others, the rest alone."""
    sizes = [pile, *rivals]
    sizes += [1] * (n - sum(sizes))
    at = pd.date_range("2020-01-01", periods=len(sizes), freq="min", tz="UTC")
    return pd.DataFrame({"article_id": range(n), "published_at": np.repeat(at, sizes)})


@pytest.mark.parametrize(
    ("pile", "rivals", "n", "verdict"),
    [
        (20, [], 2000, "suspicious"),
        (19, [], 1900, "pass"),
        (20, [], 2001, "pass"),
        (20, [4] * 10, 2000, "suspicious"),
        (20, [5, *[4] * 9], 2000, "pass"),
        (20, [5, *[4] * 30], 2000, "pass"),
        (20, [], 20, "suspicious"),
        (30, [30], 60, "pass"),
        (30, [6], 36, "suspicious"),
    ],
)
def test_a_default_is_told_by_number_share_and_rivals(pile, rivals, n, verdict):
    finding = check_undated(_piled(pile, rivals, n))
    assert (finding.verdict, finding.effect) == (verdict, pile / n if verdict == "suspicious" else 0.0)
    if verdict == "suspicious":
        assert [row["article_id"] for row in finding.evidence] == [0, 1, 2, 3, 4]
        assert {row["published_at"] for row in finding.evidence} == {"2020-01-01T00:00:00+00:00"}
        others = [*rivals, *[1] * (n - pile - sum(rivals))][:10]
        assert f"the next busiest hold {np.mean(others) if others else 0.0:.1f}:" in finding.detail


def test_what_was_set_aside_is_told_in_every_answer_and_nothing_else_is():
    news = _dated(50)
    assert check_undated(news).detail.endswith("date of their own.")
    for articles in (news, news[:0], news.assign(published_at=pd.NaT), _piled(20, [], 100)):
        assert "; 1,200 without one were set aside." in check_undated(articles, set_aside=1200).detail


def test_a_latency_is_told_in_minutes_and_short_bars_are_named():
    minute = pd.Timedelta(minutes=1)
    finding = check_latency(7.5 * minute, pd.Timedelta(days=1))
    assert (finding.effect, finding.unit) == (7.5, "minutes")
    assert "7.5 minutes before the open" in finding.detail
    none = check_latency(0 * minute, 60 * minute)
    assert (none.effect, none.unit) == (0.0, "minutes")
    assert "much of the profit" in check_latency(0 * minute, 60 * minute).detail
    assert "much of the profit" not in check_latency(0 * minute, 61 * minute).detail


def test_costs_are_counted_and_shown():
    finding = check_costs({"fee": 0.0005, "borrow": 0.0, "spread": 0.25})
    assert (finding.effect, finding.detail) == (2.0, "Charged: fee 0.0005, spread 0.25.")
    assert finding.evidence == [
        {"cost": "fee", "value": 0.0005},
        {"cost": "borrow", "value": 0.0},
        {"cost": "spread", "value": 0.25},
    ]
    assert check_costs({"fee": 0.0}).effect == 0.0
    assert check_costs({"fee": 0.0}).evidence == [{"cost": "fee", "value": 0.0}]


@pytest.mark.parametrize(
    ("span", "told"),
    [
        ("0s", "0 min"),
        ("59s", "0 min"),
        ("1min", "1 min"),
        ("60min", "1 h"),
        ("61min", "1 h 1 min"),
        ("23h59min", "23 h 59 min"),
        ("1D", "1 day"),
        ("1D 59min", "1 day"),
        ("1D 1h 30min", "1 day 1 h"),
        ("-50h", "2 days 2 h"),
        ("1234D", "1,234 days"),
    ],
)
def test_spans_are_written_in_their_two_largest_units(span, told):
    assert length(pd.Timedelta(span)) == told


def test_instants_are_written_in_utc_to_the_minute():
    assert moment(pd.Timestamp("2024-03-10 21:05:59", tz="America/New_York")) == "2024-03-11 01:05 UTC"


def test_instants_are_compared_in_utc_whatever_their_zone_and_resolution():
    at = pd.Series(pd.to_datetime(["2024-03-10 12:00:00.000001"], utc=True)).dt.tz_convert("Asia/Tokyo")
    expected = np.array(["2024-03-10T12:00:00.000001"], dtype="datetime64[us]")
    for given in (at, pd.DatetimeIndex(at), at.dt.as_unit("us"), at.dt.as_unit("ns")):
        found = utc_array(given)
        assert (found.dtype, found.tolist()) == (expected.dtype, expected.tolist())


def test_an_instant_with_an_offset_is_read_in_utc():
    assert aware_instant("2024-03-10T12:00:00+09:00", what="here") == pd.Timestamp("2024-03-10 03:00", tz="UTC")
    assert str(aware_instant("2024-03-10T12:00:00+09:00", what="here").tzinfo) == "UTC"


def test_missing_columns_are_named_and_others_shown():
    with pytest.raises(DataError, match=r"orders: missing columns \['b', 'd'\]; it has \['a', 'c'\]"):
        require_columns(pd.DataFrame(columns=["a", "c"]), ["a", "b", "c", "d"], where="orders")
    require_columns(pd.DataFrame(columns=["a"]), ["a"], where="orders")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, None),
        (pd.NA, None),
        (float("inf"), None),
        (True, True),
        (np.bool_(False), False),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.timedelta64(90, "s"), "90 seconds"),
        (pd.Timestamp("2024-01-01", tz="UTC"), "2024-01-01T00:00:00+00:00"),
        ({1: (np.int64(2), float("nan"))}, {"1": [2, None]}),
        (np.array([1.5, np.nan]), [1.5, None]),
        (pd.Series([1, 2]), [1, 2]),
        (pd.Index(["a"]), ["a"]),
        (frozenset({4}), [4]),
        ("text", "text"),
    ],
)
def test_values_become_what_json_carries(value, told):
    found = plain(value)
    assert found == told
    assert type(found) is type(told)


def test_five_rows_are_shown_unless_others_are_asked_for():
    frame = pd.DataFrame({0: range(9)})
    assert evidence_rows(frame) == [{"0": i} for i in range(5)]
    assert evidence_rows(frame, 7) == [{"0": i} for i in range(7)]
