"""A reader that prefers somebody is found and one that reads tone alone is not; intervals cover what they say."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.model_samples import CUTOFF

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.calibration.fitting import Calibration
from embargo.models.evaluation.bias import measure_bias
from embargo.models.evaluation.bias_sentences import ATTRIBUTES, OF_COMPANIES, OF_OFFICERS, Attribute
from embargo.models.scorers.cache import ScoreCache
from embargo.models.scorers.lexicon import LexiconScorer
from embargo.models.scorers.word_lists import PAPER_YEAR, word_lists

GOOD = {"raised", "beat", "jumped", "lifted", "upgraded"}
BAD = {"cut", "missed", "tumbled", "suspended", "downgraded", "fined"}


class Partial:
    """Reads tone by a few words, and adds to the odds of each word that it likes or dislikes."""

    identity = "partial"
    knowledge_cutoff = CUTOFF

    def __init__(self, likes=None):
        self.likes, self.seen = likes or {}, []

    def logits(self, texts, progress=None):
        self.seen += texts
        rows = []
        for text in texts:
            words = set(re.findall(r"[\w-]+", text))
            lean = 1.5 * (len(words & GOOD) - len(words & BAD)) + sum(self.likes.get(word, 0.0) for word in words)
            rows.append([-lean, 0.0, lean])
        return np.array(rows)


class Given:
    """Gives each text the score that it is told, exactly: bullish less bearish probability."""

    identity = "given"
    knowledge_cutoff = CUTOFF

    def __init__(self, scores):
        self.scores = scores

    def logits(self, texts, progress=None):
        lean = np.array([self.scores[text] for text in texts])
        return np.log(np.stack([1 / 3 - lean / 2, np.full(len(lean), 1 / 3), 1 / 3 + lean / 2], axis=1))


def made(groups, sentences=12):
    names = {group: (f"the {group} firm",) for group in groups}
    return Attribute("made", groups[0], names, tuple(f"{{Who}} did thing {n}." for n in range(sentences)))


def scores_of(attribute, values):
    """Return each text's score from an array of shape (groups, sentences)."""
    return {
        sentence.format(who=names[0], Who=names[0].capitalize()): value
        for names, row in zip(attribute.groups.values(), values, strict=True)
        for sentence, value in zip(attribute.sentences, row, strict=True)
    }


def test_a_reader_that_dislikes_one_country_is_found_and_nothing_else_is():
    found = measure_bias(Partial({"Nigerian": -0.3}))
    assert found.found == ("country",)
    rows = found.table.set_index("group")
    disliked = rows.loc["Nigerian"]
    assert disliked["difference"] < disliked["high"] < 0
    assert disliked["p_value_holm"] < 0.001
    assert -0.5 < disliked["effect"] < -0.2
    others = rows.drop(index="Nigerian")
    assert (others["difference"] == 0).all()
    assert (others["p_value_holm"] == 1).all()


@pytest.mark.parametrize(
    ("likes", "attribute"),
    [
        ({"small": -0.4, "small-cap": -0.4}, "company size"),
        ({"software": 0.4}, "sector"),
        ({"Ms": -0.2}, "gender of the officer"),
        ({"American": 0.4}, "country"),
    ],
)
def test_each_attribute_is_probed(likes, attribute):
    assert measure_bias(Partial(likes)).found == (attribute,)


@pytest.mark.parametrize("reader", [LexiconScorer(), Partial()])
def test_a_reader_of_tone_alone_is_silent(reader):
    found = measure_bias(reader)
    assert found.found == ()
    assert (found.table[["difference", "low", "high", "class_changed"]].to_numpy() == 0).all()


def test_a_constant_reader_has_no_unit_and_no_bias():
    found = measure_bias(Given(dict.fromkeys(texts_of(ATTRIBUTES), 0.1)))
    assert np.isnan(found.unit)
    assert found.table["effect"].isna().all()
    assert found.found == ()
    assert found.to_dict()["unit"] is None
    assert found.to_dict()["groups"][0]["effect"] is None


def test_a_reader_that_reads_no_pair_apart_tells_nothing():
    assert measure_bias(Given(dict.fromkeys(texts_of(ATTRIBUTES), 0.1))).untold
    assert not measure_bias(Partial({"Nigerian": -0.3})).untold


def texts_of(attributes):
    seen = Partial()
    measure_bias(seen, attributes=attributes)
    return seen.seen


def test_pairs_differ_in_who_they_are_about_and_in_nothing_else():
    positive, negative = word_lists(PAPER_YEAR)
    for attribute in ATTRIBUTES:
        assert len(attribute.sentences) == 24
        for sentence in attribute.sentences:
            assert len(re.findall(r"\{[wW]ho\}", sentence)) == 1
            assert sentence.startswith("{Who}") == ("{Who}" in sentence)
        for names in attribute.groups.values():
            words = set(re.findall("[a-z]+", " ".join(names).lower()))
            assert not words & (positive | negative)
    tones = [
        [np.sign(row[2] - row[0]) for row in LexiconScorer().logits([one.format(who="it", Who="It") for one in some])]
        for some in (OF_COMPANIES, OF_OFFICERS)
    ]
    for tone in tones:
        assert min(tone[:8]) >= 0 >= max(tone[8:16])
        assert sum(tone[:8]) >= 0 > sum(tone[8:16])
    texts = texts_of(ATTRIBUTES)
    assert len(texts) == len(set(texts)) == 672
    assert all(text[0].isupper() and text.endswith(".") for text in texts)


def test_figures_are_those_of_a_paired_t_test():
    from scipy.stats import ttest_rel

    attribute = made(("one", "two", "three"))
    rng = np.random.default_rng(4)
    values = rng.uniform(-0.3, 0.3, (3, 12)) + np.array([[0.0], [0.1], [0.0]])
    found = measure_bias(Given(scores_of(attribute, values)), attributes=[attribute], level=0.9)
    for place, (_, row) in enumerate(found.table.iterrows(), start=1):
        expected = ttest_rel(values[place], values[0])
        ends = expected.confidence_interval(0.9)
        assert row["difference"] == pytest.approx((values[place] - values[0]).mean())
        assert (row["low"], row["high"], row["p_value"]) == pytest.approx((ends.low, ends.high, expected.pvalue))
        assert row["effect"] == pytest.approx(row["difference"] / values[0].std(ddof=1))
    p = np.sort(found.table["p_value"])
    assert np.sort(found.table["p_value_holm"]) == pytest.approx(np.maximum.accumulate(np.minimum(1, p * [2, 1])))


def test_a_difference_that_is_the_same_in_every_sentence_is_no_chance():
    attribute = made(("one", "two"))
    values = np.tile(np.linspace(-0.3, 0.3, 12), (2, 1)) + np.array([[0.0], [0.05]])
    (row,) = measure_bias(Given(scores_of(attribute, values)), attributes=[attribute]).table.to_dict("records")
    assert row["low"] == pytest.approx(row["high"]) == pytest.approx(0.05)
    assert row["p_value_holm"] == 0


@settings(max_examples=25, deadline=None)
@given(st.floats(-0.3, 0.3), st.floats(0.5, 4.0), st.integers(0, 2**32))
def test_swapping_the_groups_turns_the_difference_and_calibration_keeps_its_side(shift, temperature, seed):
    rng = np.random.default_rng(seed)
    values = rng.uniform(-0.2, 0.2, (2, 6)) + np.array([[0.0], [shift]])
    attribute, turned = made(("one", "two"), 6), made(("two", "one"), 6)
    reader = Given(scores_of(attribute, values))
    one = measure_bias(reader, attributes=[attribute], calibration=Calibration(temperature)).table.iloc[0]
    two = measure_bias(reader, attributes=[turned], calibration=Calibration(temperature)).table.iloc[0]
    assert one["difference"] == pytest.approx(-two["difference"])
    assert one["low"] == pytest.approx(-two["high"])
    assert one["p_value"] == pytest.approx(two["p_value"])
    assert one["low"] <= one["difference"] <= one["high"]


def test_the_unit_can_be_that_of_other_texts_and_scores_are_kept(tmp_path):
    reader = Partial({"Nigerian": -0.3})
    with ScoreCache(tmp_path / "scores") as cache:
        first = measure_bias(reader, unit=0.5, cache=cache)
        again = measure_bias(reader, unit=1.0, cache=cache)
    assert len(reader.seen) == 672
    assert first.table["effect"].to_numpy() == pytest.approx(2 * again.table["effect"].to_numpy())
    kept = json.loads(json.dumps(first.to_dict(), allow_nan=False))
    assert kept["found"] == ["country"]
    assert len(kept["groups"]) == 17


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"level": 1.0}, "level"),
        ({"unit": 0.0}, "unit"),
        ({"unit": float("nan")}, "unit"),
        ({"attributes": [Attribute("a", "x", {"x": ("the x",)}, OF_COMPANIES)]}, "two groups"),
        ({"attributes": [Attribute("a", "z", {"x": ("the x",), "y": ("the y",)}, OF_COMPANIES)]}, "reference 'z'"),
        ({"attributes": [Attribute("a", "x", {"x": ("the x",), "y": ("y", "yy")}, OF_COMPANIES)]}, "as many names"),
        ({"attributes": [Attribute("a", "x", {"x": ("the x",), "y": ("the y",)}, ("{Who}.", "It."))]}, "the place"),
        ({"attributes": [Attribute("a", "x", {"x": ("the x",), "y": ("the y",)}, ("{Who}.",))]}, "two sentences"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_read(changes, said):
    reader = Partial()
    with pytest.raises(ConfigError, match=said):
        measure_bias(reader, **changes)
    assert reader.seen == []


def test_a_reader_that_gives_no_numbers_is_refused():
    attribute = made(("one", "two"))
    with pytest.raises(DataError, match="number"):
        measure_bias(Given(dict.fromkeys(scores_of(attribute, np.zeros((2, 12))), np.nan)), attributes=[attribute])


@pytest.mark.slow
def test_intervals_cover_and_comparisons_are_allowed_for():
    """2,000 readers without a preference, and as many with one; scores vary from sentence to sentence."""
    attribute = made(("a", "b", "c", "d", "e"), 24)
    rng, draws = np.random.default_rng(7), 2_000
    covered = tested = alarms = 0
    for _ in range(draws):
        tone = np.repeat([-0.3, 0.0, 0.3], 8)
        values = tone + rng.normal(0, 0.03, (5, 24))
        alarms += bool(measure_bias(Given(scores_of(attribute, values)), attributes=[attribute]).found)
        preference = rng.normal(0, 0.05, (5, 1)) * np.array([[0.0], [1], [1], [1], [1]])
        rows = measure_bias(Given(scores_of(attribute, values + preference)), attributes=[attribute]).table
        covered += int(((rows["low"] <= preference[1:, 0]) & (preference[1:, 0] <= rows["high"])).sum())
        tested += len(rows)
    # Four standard errors; rows of one draw share their reference, so that the first counts draws and not rows.
    assert abs(covered / tested - 0.95) < 4 * np.sqrt(0.95 * 0.05 / draws)
    assert alarms / draws < 0.05 + 4 * np.sqrt(0.05 * 0.95 / draws)
    # The rows share a reference, which makes Holm's bound loose but not idle.
    assert alarms / draws > 0.02
