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
    assert "All 380 samples that were read were planned, but 1 carry a text" in finding.detail
    assert "Take these texts out" in finding.remedy
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


def test_what_passes_says_how_far_before_the_test_the_latest_sample_ended() -> None:
    record = read("optimiser", PLANNED)
    record.loc[3, "ends_at"] = START - 2 * DAY
    finding = judge("optimiser", record)
    assert "of 2020-09-29 00:00 UTC, 2 days before the test" in finding.detail
    assert f"None of {len(TESTED)} distinct test texts" in finding.detail
    record.loc[5, "known_at"] = START - DAY
    assert "of 2020-09-30 00:00 UTC, 1 day before the test" in judge("optimiser", record).detail
    undated = read("optimiser", PLANNED)
    undated.loc[:, ["known_at", "ends_at"]] = pd.NaT
    assert "the latest" not in judge("optimiser", undated).detail


def test_a_leak_counts_samples_by_instants_and_by_texts_and_shows_each_field() -> None:
    taken = TESTED.iloc[[5, 80, 80]]
    record = read("optimiser", PLANNED, taken)
    record.loc[[381, 382], ["known_at", "ends_at"]] = pd.NaT
    finding = judge("optimiser", record)
    assert finding.effect == pytest.approx(2 / len(TESTED)), "one text twice is one text"
    assert "3 of 383 samples" in finding.detail
    assert "1 by their instants" in finding.detail
    assert finding.evidence[0] == {
        "article_id": taken["article_id"].iloc[0],
        "use": "optimiser",
        "label": int(taken["label"].iloc[0]),
        "known_at": taken["known_at"].iloc[0].isoformat(),
        "article_known_at": taken["known_at"].iloc[0].isoformat(),
        "test_start": START.isoformat(),
        "text_hash": taken["text_hash"].iloc[0][:12],
    }
    assert finding.evidence[1]["known_at"] is None
    assert judge("optimiser", record).evidence == judge("optimiser", record, news=NEWS.iloc[::-1]).evidence


def test_the_first_instant_of_the_test_belongs_to_it_and_the_one_before_does_not() -> None:
    tick = pd.Timedelta(1, "us")
    edge = NEWS.loc[NEWS["known_at"] == START]
    assert len(edge) == 1
    record = read("optimiser", PLANNED, edge)
    assert judge("optimiser", record).verdict == "leak"
    assert (
        "declares to know what was known at 2020-10-01 00:00 UTC"
        in judge("optimiser", record, trained_until=START).detail
    )
    early = NEWS.assign(known_at=NEWS["known_at"].where(NEWS["known_at"] != START, START - tick))
    before = read("optimiser", PLANNED, early.loc[edge.index])
    assert judge("optimiser", before, early).verdict == "suspicious", "nobody planned it, and it is none of the test"
    assert judge("optimiser", read("optimiser", PLANNED), trained_until=START - tick).verdict == "pass"


def test_doubted_samples_are_counted_by_what_is_odd_about_them() -> None:
    copied = PLANNED.copy()
    copied.loc[0, "text_hash"] = TESTED["text_hash"].iloc[0]
    strange = PLANNED.iloc[:3].assign(text_hash=[text_hash(f"other {i}") for i in range(3)])
    finding = check_training_record(read("optimiser", copied, strange), copied, NEWS, START, trained_until=START - DAY)
    assert (finding.verdict, finding.effect, finding.unit) == ("suspicious", 4 / 383, "share of samples read")
    assert "3 of 383 samples that were read are not among those planned" in finding.detail
    assert "and 1 carry a text" in finding.detail
    assert [row["article_id"] for row in finding.evidence] == [TESTED["article_id"].iloc[0], None, None, None]


def test_a_text_of_four_words_proves_and_one_of_three_does_not() -> None:
    for words, verdict in (("one two three four", "leak"), ("one two three", "suspicious")):
        news = NEWS.copy()
        news.loc[590, ["text", "text_hash"]] = [words, text_hash(words)]
        record = read("optimiser", PLANNED, news.iloc[[590]])
        record.loc[380, ["known_at", "ends_at"]] = pd.NaT
        assert judge("optimiser", record, news).verdict == verdict


def test_without_test_articles_there_is_no_share_of_them() -> None:
    record = read("optimiser", PLANNED)
    record.loc[7, "ends_at"] = START
    finding = judge("optimiser", record, NEWS.loc[NEWS["known_at"] < START])
    assert (finding.verdict, finding.effect) == ("leak", 0.0)


def test_each_use_may_read_a_planned_sample_as_often_as_it_was_planned() -> None:
    both = pd.concat([read("optimiser", PLANNED), read("stopping", PLANNED)])
    assert judge("optimiser", both).verdict == "pass"
    twice = pd.concat([both, read("stopping", PLANNED.iloc[:1])])
    finding = judge("stopping", twice)
    assert (finding.verdict, finding.evidence[0]["use"], len(finding.evidence)) == ("suspicious", "stopping", 1)
    calibrated = pd.concat([read("calibration", PLANNED), read("threshold", PLANNED)])
    assert judge("threshold", calibrated).verdict == "pass", "a threshold comes before the classes"
    assert judge("threshold", pd.concat([calibrated, read("threshold", PLANNED.iloc[:1])])).verdict == "suspicious"


def test_a_missing_record_says_what_is_declared() -> None:
    finding = judge("optimiser", None, trained_until=START)
    assert "declares to know" in finding.detail
    assert "declares" not in judge("optimiser", None, trained_until=START - DAY).detail
    assert (finding.code, judge("threshold", None).code) == ("M11", "M12")
    nothing = judge("optimiser", read("optimiser", PLANNED).iloc[:0], trained_until=START)
    assert nothing.verdict == "leak"
