"""What was really fitted on, held against the test: planted samples are named, and the clean twin is silent."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import check_calibration_record, check_training_record
from embargo.data_loaders.errors import DataError
from embargo.models.content import text_hash

START = pd.Timestamp("2020-10-01", tz="UTC")
DAY = pd.Timedelta(days=1)
CHECKS = {
    "optimiser": check_training_record,
    "stopping": check_training_record,
    "calibration": check_calibration_record,
    "threshold": check_calibration_record,
}


def news_of(n: int = 600) -> pd.DataFrame:
    known_at = pd.date_range(START - 400 * DAY, periods=n, freq="D", tz="UTC", unit="us")
    texts = [f"story number {i} of the day" for i in range(n)]
    return pd.DataFrame(
        {
            "article_id": [f"a{i:03d}" for i in range(n)],
            "text": texts,
            "text_hash": [text_hash(text) for text in texts],
            "known_at": known_at,
            "label": np.arange(n) % 3,
        }
    )


NEWS = news_of()
PLANNED = NEWS.iloc[:380]
TESTED = NEWS.loc[NEWS["known_at"] >= START]


def read(use: str, *parts: pd.DataFrame, **changes: object) -> pd.DataFrame:
    rows = pd.concat(parts, ignore_index=True)[["text_hash", "label", "known_at"]].assign(use=use)
    rows = rows.assign(ends_at=rows["known_at"])
    return rows.assign(label=-1, **changes) if use == "threshold" else rows.assign(**changes)


def judge(use: str, record: pd.DataFrame | None, news: pd.DataFrame = NEWS, **options: object):
    given = {"trained_until": START - 20 * DAY} | options
    return CHECKS[use](record, PLANNED, news, START, **given)


@pytest.mark.parametrize("use", CHECKS)
def test_what_was_planned_passes(use: str) -> None:
    finding = judge(use, read(use, PLANNED))
    assert (finding.verdict, finding.effect) == ("pass", 0.0)
    assert "All 380 samples" in finding.detail


@pytest.mark.parametrize("use", CHECKS)
@pytest.mark.parametrize("known", ["as it was", "nobody knows", "forged"])
def test_test_samples_that_were_read_are_a_leak_and_named(use: str, known: str) -> None:
    taken = TESTED.iloc[[5, 80]]
    record = read(use, PLANNED, taken)
    if known != "as it was":
        record.loc[380:, ["known_at", "ends_at"]] = pd.NaT if known == "nobody knows" else START - 50 * DAY
    finding = judge(use, record)
    assert finding.verdict == "leak"
    assert [row["article_id"] for row in finding.evidence] == list(taken["article_id"])
    assert finding.evidence[0]["article_known_at"] == taken["known_at"].iloc[0].isoformat()
    assert finding.effect == pytest.approx(2 / len(TESTED))


def test_a_check_judges_its_own_uses_alone() -> None:
    leaky = read("calibration", PLANNED, TESTED)
    assert judge("optimiser", leaky).verdict == "not-applicable"
    both = pd.concat([leaky, read("optimiser", PLANNED)])
    assert (judge("optimiser", both).verdict, judge("calibration", both).verdict) == ("pass", "leak")


def test_a_label_that_was_complete_after_the_test_began_is_a_leak() -> None:
    record = read("optimiser", PLANNED)
    record.loc[7, "ends_at"] = START
    finding = judge("optimiser", record)
    assert finding.verdict == "leak"
    assert finding.evidence[0]["article_id"] is None
    record.loc[7, "ends_at"] = START - pd.Timedelta(1, "us")
    assert judge("optimiser", record).verdict == "pass"


def test_samples_that_nobody_planned_are_suspicious_where_they_are_none_of_the_test() -> None:
    strange = PLANNED.iloc[:3].assign(text_hash=[text_hash(f"other {i}") for i in range(3)])
    for extra in (strange, PLANNED.iloc[:3], PLANNED.iloc[:3].assign(label=lambda rows: (rows["label"] + 1) % 3)):
        finding = judge("optimiser", read("optimiser", PLANNED, extra))
        assert finding.verdict == "suspicious", extra
        assert finding.effect == pytest.approx(3 / 383)
    assert judge("optimiser", read("optimiser", PLANNED.iloc[:100])).verdict == "pass", "fewer than planned are no leak"


def test_a_phrase_that_recurs_is_no_test_sample() -> None:
    later = TESTED.iloc[:5].assign(text=PLANNED["text"].iloc[0], text_hash=PLANNED["text_hash"].iloc[0])
    news = pd.concat([NEWS, later.assign(article_id=[f"again{i}" for i in range(5)])], ignore_index=True)
    assert judge("optimiser", read("optimiser", PLANNED), news).verdict == "pass"
    without = read("optimiser", PLANNED)
    without.loc[0, "known_at"] = pd.NaT
    assert judge("optimiser", without, news).verdict == "pass"


def test_a_short_text_without_an_instant_proves_nothing() -> None:
    news = NEWS.copy()
    news.loc[590, ["text", "text_hash"]] = ["Buy now", text_hash("Buy now")]
    record = read("optimiser", PLANNED, news.iloc[[590]])
    record.loc[380, ["known_at", "ends_at"]] = pd.NaT
    assert judge("optimiser", record, news).verdict == "suspicious"


def test_a_planned_sample_whose_text_only_the_test_has_is_suspicious() -> None:
    """A labelled file may say that it is old and yet hold a text of the test."""
    copied = PLANNED.copy()
    copied.loc[0, "text_hash"] = TESTED["text_hash"].iloc[0]
    finding = check_training_record(read("optimiser", copied), copied, NEWS, START, trained_until=START - DAY)
    assert (finding.verdict, finding.evidence[0]["article_id"]) == ("suspicious", TESTED["article_id"].iloc[0])
    unknown = read("optimiser", copied)
    unknown.loc[0, ["known_at", "ends_at"]] = pd.NaT
    assert check_training_record(unknown, copied, NEWS, START, trained_until=START - DAY).verdict == "leak"


def test_what_is_declared_counts_too() -> None:
    record = read("optimiser", PLANNED)
    assert judge("optimiser", record, trained_until=START).verdict == "leak"
    assert judge("optimiser", record, trained_until=None).verdict == "pass"
    assert judge("optimiser", None, trained_until=START).verdict == "leak"


def test_without_a_record_nothing_is_proven() -> None:
    for use in CHECKS:
        assert judge(use, None).verdict == "inconclusive"
    assert judge("optimiser", read("optimiser", PLANNED).iloc[:0]).verdict == "not-applicable"


def test_what_cannot_be_read_is_refused() -> None:
    record = read("optimiser", PLANNED)
    with pytest.raises(DataError, match="missing columns"):
        judge("optimiser", record.drop(columns="ends_at"))
    with pytest.raises(DataError, match="time zone"):
        judge("optimiser", record.assign(known_at=record["known_at"].dt.tz_localize(None)))
    with pytest.raises(DataError, match="time zone"):
        check_training_record(record, PLANNED, NEWS, START.tz_localize(None), trained_until=None)
