"""A scorer is asked for bare dates in every form, and only what the date changes is propensity."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.probes import recall

AT = pd.to_datetime(["2019-03-04 14:30", "2020-01-02 14:30"], utc=True)


class Listening:
    """Leans to bullish at one date, and a little at every company."""

    identity = "listening"
    knowledge_cutoff = None

    def __init__(self):
        self.asked = []

    def logits(self, texts, progress=None):
        self.asked += texts
        return np.array([[0.0, 0.0, 3.0 * ("2019" in text) + ("Acme" in text)] for text in texts])


def test_asks_in_every_form_and_without_the_date():
    scorer = Listening()
    found = recall(scorer, ["ACM", "ACM"], AT, names={"ACM": "Acme"})
    assert set(scorer.asked) == {
        "ACM 2019-03-04.",
        "ACM 2020-01-02.",
        "Acme, March 04, 2019.",
        "Acme, January 02, 2020.",
        "ACM.",
        "Acme.",
    }
    first, second = found["propensity"]
    assert second == 0
    # Bullish with e^3 against 1 and 1, and with e^4; without the date with e^0 and e^1.
    bullish = [np.exp(x) / (np.exp(x) + 2) for x in (3, 4, 0, 1)]
    assert first == pytest.approx(np.mean(bullish[:2]) - np.mean(bullish[2:]))
    share = np.mean(bullish[:2])
    assert found["recalled"].iloc[0] == pytest.approx(share - (1 - share) / 2)


def test_own_templates_and_symbols_without_names():
    scorer = Listening()
    recall(scorer, ["X"], AT[:1], templates=["{name} {date:%Y%m%d} -", "{date}: {symbol}"])
    assert set(scorer.asked) == {"X 20190304 -.", "X  -.", "2019-03-04: X.", "X."}


def test_refuses_questions_without_a_date_or_a_symbol():
    for templates in (["{symbol}"], ["{date:%Y}"], []):
        with pytest.raises(ConfigError):
            recall(Listening(), ["X"], AT[:1], templates=templates)
    with pytest.raises(DataError):
        recall(Listening(), ["X"], AT)
    assert recall(Listening(), [], AT[:0]).empty
