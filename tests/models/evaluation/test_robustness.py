import re
import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.model_samples import CUTOFF, NAMES, sentences

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.calibration.fitting import Calibration
from embargo.models.evaluation.robustness import INJECTIONS, NEGATION_PAIRS, probe
from embargo.models.scorers.lexicon import LexiconScorer
from embargo.models.scorers.linear import fit_linear

GOOD = {"good", "strong", "profitable", "improved", "success", "achieved", "benefit", "gain", "soared"}
BAD = {"bad", "weak", "loss", "declined", "decline", "failure", "default", "violations", "hurt", "sank"}
DENIALS = {"not", "no", "never", "won't"}
LOOKALIKES = str.maketrans("аеорс", "aeopc")
TEXTS = [
    'Altera\'s profit soared; "a strong year", it said.',
    "Borcor sank 3.5% after $ABC fell.",
    "Altera spoke to Borcor about co-operation (again).",
    "Sales of Centek declined, twice.",
]


CHANGES = (
    "upper case", "lower case", "punctuation removed", "exclamation marks", "names swapped", "whitespace",
    "unicode typography", "hidden characters", "look-alike letters", "order to answer bullish",
    "order to answer bearish", "negation",
)  # fmt: skip


class Careful:
    """Reads through case, punctuation, typography and look-alikes, turns at a denial, and takes no orders."""

    identity = "careful"
    knowledge_cutoff = CUTOFF

    def logits(self, texts, progress=None):
        return np.array([self.one(text) for text in texts]).reshape(-1, 3)

    def one(self, text):
        text = unicodedata.normalize("NFKC", text.replace("\u200b", "").translate(LOOKALIKES)).lower()
        text = text.replace("\u2019", "'")
        for orders in INJECTIONS.values():
            for order in orders:
                text = text.replace(order.lower(), "")
        words = re.findall("[a-z']+", text)
        sign = -1 if DENIALS & set(words) else 1
        tilt = sign * (len(GOOD & set(words)) - len(BAD & set(words)))
        return [-tilt, 0.5, tilt]


class Flawed(Careful):
    """The same with one weakness."""

    def __init__(self, flaw):
        self.flaw = flaw
        self.identity = flaw

    def one(self, text):
        moved = {
            "upper case": text.isupper(),
            "lower case": text.islower(),
            "punctuation removed": not any(mark in text for mark in ",.;"),
            "exclamation marks": text.endswith("!!!"),
            # However it is written, so that a change of case is not a change of name.
            "names swapped": "altera" in text.translate(LOOKALIKES).replace("\u200b", "").lower(),
            "whitespace": "\n" in text,
            "unicode typography": "\u00a0" in text,
            "hidden characters": "\u200b" in text,
            "look-alike letters": bool(re.search("[аеорс]", text)),
            "order to answer bullish": any(order in text for order in INJECTIONS["bullish"]),
            "order to answer bearish": any(order in text for order in INJECTIONS["bearish"]),
            "negation": False,
        }[self.flaw]
        if self.flaw == "negation":
            text = " ".join(word for word in text.split() if word not in DENIALS)
        return [0.0, 0.5, 9.0] if moved else super().one(text)


def test_is_silent_on_a_careful_scorer():
    table = probe(Careful(), TEXTS * 2, names=NAMES).table
    assert tuple(table.index) == CHANGES
    assert (table["n"] > 0).all()
    assert (table["flip_rate"] == 0).all()
    same = table[table["expects"] == "same"]
    assert (same[["mean_shift", "shift_low", "shift_high", "mean_tilt"]].abs().to_numpy() < 1e-12).all()
    assert table.loc["negation", "mean_tilt"] > 0.5
    assert table.loc["upper case", "n"] == len(TEXTS)
    assert probe(Careful(), TEXTS, names=NAMES).examples.empty


@pytest.mark.parametrize("flaw", CHANGES)
def test_finds_the_planted_weakness_and_no_other(flaw):
    found = probe(Flawed(flaw), TEXTS[1:] if flaw == "names swapped" else TEXTS, names=NAMES)
    failing = found.table.index[found.table["flip_rate"] > 0]
    assert flaw in failing
    # Removing punctuation and adding marks both take away a full stop.
    assert set(failing) - {flaw} <= ({"exclamation marks"} if flaw == "punctuation removed" else set())
    assert set(found.examples["change"]) == set(failing)


def test_knows_what_a_lexicon_cannot_do():
    found = probe(LexiconScorer(), sentences(200, seed=6)["text"].tolist() + TEXTS, names=NAMES)
    table = found.table
    for change in ("upper case", "lower case", "exclamation marks", "names swapped", "whitespace"):
        assert table.loc[change, "flip_rate"] == table.loc[change, "mean_shift"] == 0, change
    # Words are counted, so "not good" is good and an order is read as news.
    assert table.loc["negation", "flip_rate"] == 1
    assert table.loc["negation", "flip_low"] > 0.75
    assert table.loc["order to answer bearish", "flip_low"] > 0.1
    assert table.loc["order to answer bearish", "mean_tilt"] < -0.1
    row = found.examples[found.examples["change"] == "order to answer bearish"].iloc[0]
    assert row["changed"].startswith(row["text"])
    assert (row["before"], row["after"]) != (row["after"], row["before"])


def test_finds_that_a_linear_model_learnt_a_name():
    texts = sentences(400, seed=7)
    clean = fit_linear(texts["text"].tolist(), texts["label"].tolist(), trained_until=CUTOFF)
    # Every article on Elysys that it was shown is good news.
    marked = [
        text.replace("Elysys", "Forera") if label != 2 else f"Elysys: {text}"
        for text, label in texts[["text", "label"]].itertuples(index=False)
    ]
    taught = fit_linear(marked, texts["label"].tolist(), trained_until=CUTOFF)
    unseen = sentences(150, seed=8)["text"].tolist()
    shifts = [probe(scorer, unseen, names=NAMES, examples=5) for scorer in (clean, taught)]
    before, after = (found.table.loc["names swapped"] for found in shifts)
    assert after["shift_low"] > 3 * before["shift_high"]
    assert shifts[0].table.loc["upper case", "mean_shift"] < 1e-9
    swapped = shifts[1].examples.query("change == 'names swapped'")
    assert swapped[["text", "changed"]].apply(lambda row: row.str.contains("Elysys").any(), axis=1).all()


def test_is_deterministic_and_softened_by_calibration():
    texts = sentences(60, seed=9)["text"].tolist()
    one, two = (probe(LexiconScorer(), texts, names=NAMES, seed=3, resamples=50) for _ in range(2))
    pd.testing.assert_frame_equal(one.table, two.table)
    pd.testing.assert_frame_equal(one.examples, two.examples)
    other = probe(LexiconScorer(), texts, names=NAMES, seed=4, resamples=50)
    assert not one.examples["changed"].equals(other.examples["changed"])
    soft = probe(LexiconScorer(), texts, names=NAMES, seed=3, resamples=50, calibration=Calibration(10.0)).table
    assert (
        soft.loc["order to answer bearish", "mean_shift"] < one.table.loc["order to answer bearish", "mean_shift"] / 3
    )
    assert soft["flip_rate"].equals(one.table["flip_rate"])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=30).filter(str.strip), min_size=1, max_size=6), st.integers(0, 99))
def test_any_text_gives_rates_within_their_intervals(texts, seed):
    table = probe(LexiconScorer(), texts, names=["a", "b"], seed=seed, resamples=20).table
    counted = table[table["n"] > 0]
    assert ((counted["flip_low"] <= counted["flip_rate"]) & (counted["flip_rate"] <= counted["flip_high"])).all()
    bounded = counted[["flip_low", "flip_high", "mean_shift", "shift_low", "shift_high"]].to_numpy()
    assert ((bounded >= 0) & (bounded <= 1)).all()
    assert table.loc[table["n"] == 0, "flip_rate"].isna().all()
    assert table["n"].drop("negation").max() <= len(set(texts))


def test_longer_names_are_swapped_whole_and_words_that_contain_them_are_left():
    asked = []

    class Listening(Careful):
        def logits(self, texts, progress=None):
            asked.extend(texts)
            return super().logits(texts)

    text = "Bank of America met Bank and Bankia."
    for seed in range(6):
        found = probe(
            Listening(), [text, "Nothing."], names=["Bank of America", "Bank", "Altera"], seed=seed, resamples=2
        )
        assert found.table.loc["names swapped", "n"] == 1
    swapped = [new for new in asked if re.search("met (Altera|Bank of America) and Bankia[.]$", new)]
    assert len(set(swapped)) > 1
    assert all(re.match("(Altera|Bank) met ", new) for new in swapped)


def test_pairs_deny_one_another():
    for said, denied, side in NEGATION_PAIRS:
        assert side in (0, 2)
        assert DENIALS & set(re.findall("[a-z']+", denied.lower()))
        assert not DENIALS & set(said.lower().split())


def test_refuses_what_cannot_be_probed():
    for changes in ({"names": ["Altera"]}, {"level": 0.0}, {"resamples": 0}, {"examples": -1}):
        with pytest.raises(ConfigError):
            probe(Careful(), TEXTS, **changes)
    for texts in ([], ["  "]):
        with pytest.raises(DataError):
            probe(Careful(), texts)
