"""A text that is read alone gets the answer that it gets among others, or the reader is told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import check_batch_mates
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES

N = 12


@pytest.fixture
def readings():
    said = np.random.default_rng(0).dirichlet([3.0, 3.0, 3.0], N)
    frame = pd.DataFrame({"article_id": [f"a{number}" for number in range(N)]})
    for part in ("again", "alone", "repeated"):
        frame = frame.assign(**{f"{part}_{name}": said[:, place] for place, name in enumerate(CLASSES)})
    return frame


def shifted(readings, part, by):
    low, high = f"{part}_bearish", f"{part}_bullish"
    return readings.assign(**{low: readings[low] - by, high: readings[high] + by})


def test_the_same_answers_pass_in_spite_of_rounding(readings):
    found = check_batch_mates(readings)
    assert (found.code, found.verdict, found.effect) == ("R3", "pass", 0.0)
    assert check_batch_mates(shifted(readings, "alone", 0.003)).verdict == "pass"


def test_company_that_moves_an_answer_is_found_by_size(readings):
    one = np.where(np.arange(N) == 4, 0.06, 0.0)
    moved = shifted(shifted(readings, "alone", one), "repeated", one)
    found = check_batch_mates(moved)
    assert (found.verdict, round(found.effect, 6)) == ("leak", 0.06)
    assert found.evidence[0]["article_id"] == "a4"
    all_a_little = shifted(shifted(readings, "alone", 0.008), "repeated", 0.008)
    assert check_batch_mates(all_a_little).verdict == "suspicious"


def test_a_reader_that_does_not_repeat_itself_proves_nothing_about_company(readings):
    found = check_batch_mates(shifted(readings, "alone", 0.1))
    assert found.verdict == "inconclusive"
    assert "non-deterministic" in found.detail


def test_nothing_asked_proves_nothing(readings):
    unasked = readings.assign(**{f"alone_{name}": np.nan for name in CLASSES})
    assert check_batch_mates(unasked).verdict == "inconclusive"
    with pytest.raises(DataError, match="alone_bearish"):
        check_batch_mates(readings.drop(columns="alone_bearish"))
