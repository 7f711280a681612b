"""Texts read twice: sampling and another model are seen, the noise of half precision is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage.memory import check_repeated_readings
from embargo.data_loaders.errors import DataError


def read_twice(noise: float, n: int = 64) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    said = rng.uniform(-0.9, 0.9, n)
    return pd.DataFrame({"article_id": np.arange(n), "first": said, "second": said + rng.normal(0.0, noise, n)})


@pytest.mark.parametrize(("noise", "verdict"), [(0.0, "pass"), (1e-6, "pass"), (0.008, "pass"), (0.013, "suspicious")])
def test_answers_that_differ_by_a_hundredth_are_doubted(noise, verdict):
    frame = read_twice(noise)
    found = check_repeated_readings(frame)
    moved = (frame["second"] - frame["first"]).abs()
    assert (found.code, found.verdict) == ("M13", verdict)
    assert found.effect == pytest.approx(np.sqrt((moved**2).mean()))
    assert found.figures["largest"] == moved.max()
    assert found.figures["differing"] == (moved > 0).mean()
    assert found.figures["n"] == 64.0
    assert found.detail.startswith("Of 64 texts that were read twice, ")
    if verdict == "suspicious":
        assert found.evidence[0]["article_id"] == moved.idxmax()
        assert "temperature 0" in found.remedy
        assert set(found.evidence[0]) == {"article_id", "first", "second"}


def test_one_text_in_ten_that_is_answered_otherwise_is_enough():
    frame = read_twice(0.0)
    assert check_repeated_readings(frame.assign(second=-frame["first"].where(frame.index % 10 == 0))
                                   .fillna(frame)).verdict == "suspicious"  # fmt: skip


def test_few_texts_prove_nothing_and_gaps_are_refused():
    few = check_repeated_readings(read_twice(1.0, 9))
    assert (few.verdict, few.figures) == ("inconclusive", {"n": 9.0})
    assert few.detail.startswith("9 texts that were read twice prove nothing")
    assert check_repeated_readings(read_twice(1.0, 10)).verdict == "suspicious"
    with pytest.raises(DataError, match="has no answer"):
        check_repeated_readings(read_twice(0.0).assign(second=np.nan))
    with pytest.raises(DataError):
        check_repeated_readings(read_twice(0.0).drop(columns="first"))
