"""Texts that were written: measures against papers, a slow count, and how often tests reject what is true."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import generation as slow

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.bases.resolve import resolve_base
from embargo.models.evaluation import (
    Measure,
    compare_generations,
    encoder_of,
    generation_table,
    matching_measures,
    mean_of,
    overlap_measures,
    term_recall,
    text_cosine,
    token_match,
)
from embargo.models.evaluation.overlap import corpus_bleu

WORDS = ("sales", "rose", "fell", "profit", "margin", "up", "five", "ten")
SENTENCES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join)
PAIRS = st.lists(st.tuples(SENTENCES, SENTENCES), min_size=1, max_size=5)


def of_all(outputs, references):
    found = overlap_measures(outputs, references, references)
    return {name: measure.of_all() for name, measure in found.items()}


# --- words in common --------------------------------------------------------------------------------------------------


def test_rouge_gives_the_papers_own_example():
    """Lin 2004, section 3: the two candidates have the same bigrams in common, and different subsequences."""
    reference = "police killed the gunman"
    first, second = (of_all([text], [reference]) for text in ("police kill the gunman", "the gunman kill police"))
    assert (first["ROUGE-L"], second["ROUGE-L"]) == (1.0, 0.5)  # stemmed: kill is killed
    assert first["ROUGE-2"] == 1.0
    assert second["ROUGE-2"] == pytest.approx(1 / 3)


def test_bleu_gives_the_papers_clipped_precision():
    """Papineni et al. 2002, example 2: of seven times "the" two count."""
    sums = overlap_measures(["the the the the the the the"], ["The cat is on the mat".lower()], [""])["BLEU"].sums[0]
    assert sums.tolist()[:3] == [7, 6, 2]
    assert sums.tolist()[6] == 7


@given(PAIRS)
@settings(max_examples=60, deadline=None)
def test_rouge_and_bleu_are_those_counted_out(pairs):
    from nltk.stem.porter import PorterStemmer

    outputs, references = map(list, zip(*pairs, strict=True))
    found = of_all(outputs, references)
    stemmer = PorterStemmer()

    def stems(text):
        return [stemmer.stem(word) if len(word) > 3 else word for word in text.split()]

    stemmed = [(stems(output), stems(reference)) for output, reference in pairs]
    assert found["ROUGE-1"] == pytest.approx(np.mean([slow.rouge_n(*pair, 1) for pair in stemmed]))
    assert found["ROUGE-2"] == pytest.approx(np.mean([slow.rouge_n(*pair, 2) for pair in stemmed]))
    assert found["ROUGE-L"] == pytest.approx(np.mean([slow.rouge_l(*pair) for pair in stemmed]))
    plain = [[text.split() for text in texts] for texts in (outputs, references)]
    assert found["BLEU"] == pytest.approx(slow.bleu(*plain), abs=1e-9)


@given(PAIRS)
@settings(max_examples=60, deadline=None)
def test_bleu_of_sums_is_sacrebleus_of_the_corpus(pairs):
    from sacrebleu.metrics.bleu import BLEU

    outputs, references = map(list, zip(*pairs, strict=True))
    expected = BLEU(effective_order=True).corpus_score(outputs, [references]).score
    assert of_all(outputs, references)["BLEU"] == pytest.approx(expected, abs=1e-9)


def test_identical_texts_have_everything_however_short():
    found = of_all(["Sales rose 5 % .", "up"], ["Sales rose 5 % .", "up"])
    for name in ("exact", "ROUGE-1", "ROUGE-L", "terms", "numbers right", "numbers kept"):
        assert found[name] == 1.0
    assert found["BLEU"] == pytest.approx(100)
    assert found["numbers invented"] == 0.0


def test_an_empty_output_has_nothing_and_invents_nothing():
    found = of_all([""], ["Sales rose 5 %."])
    assert (found["exact"], found["ROUGE-1"], found["BLEU"], found["numbers right"]) == (0, 0, 0, 0)
    assert np.isnan(found["numbers invented"])


def test_rouge_does_not_tell_numbers_apart_and_number_accuracy_does():
    found = of_all(["margin -5.2 % of 1,234.5"], ["margin 5.2 of 1.234,5"])
    assert found["ROUGE-1"] == 1.0
    assert found["numbers right"] == 0.5


def test_terms_are_counted_by_hand():
    assert term_recall("profit fell", "Net profit rose, the litigation and the loss ended.") == pytest.approx(1 / 4)
    assert term_recall("profit fell", "The man walked home.") is None


def test_bleu_of_no_words_is_nothing():
    assert corpus_bleu(np.zeros((1, 10))).tolist() == [0.0]


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(DataError, match="2 outputs, 1 references"):
        overlap_measures(["a", "b"], ["a"], ["a"])


# --- an encoder's view ------------------------------------------------------------------------------------------------

VECTORS = st.lists(st.lists(st.floats(0.1, 5.0), min_size=3, max_size=3), min_size=1, max_size=5)


@given(VECTORS, VECTORS)
def test_greedy_matching_is_the_papers_token_by_token(output, reference):
    found = token_match(np.array(output), np.array(reference))
    np.testing.assert_allclose((found.precision, found.recall, found.f1), slow.matched(output, reference), rtol=1e-9)


def test_precision_and_recall_are_not_swapped():
    """Every token of the output is in the reference, which has more: precise, and not complete."""
    found = token_match(np.eye(4)[:1], np.eye(4))
    assert (found.precision, found.recall) == (1.0, 0.25)
    assert text_cosine(np.eye(4)[:1], np.eye(4)) == pytest.approx(0.5)


@pytest.fixture(scope="module")
def embed():
    return encoder_of(resolve_base("minilm"))


def test_an_encoder_prefers_what_means_the_same(embed):
    reference = ["Operating profit rose to EUR 13 million."]
    close, far = (
        {name: one.of_all() for name, one in matching_measures([text], reference, embed).items()}
        for text in ("Operating earnings increased to EUR 13 million.", "The choir sang in an old church.")
    )
    for name in close:
        assert close[name] > far[name] + 0.1
    same = matching_measures(reference, reference, embed)
    assert all(one.of_all() == pytest.approx(1.0) for one in same.values())
    assert matching_measures([""], reference, embed)["matched F1"].of_all() == 0.0


def test_an_embedding_does_not_depend_on_what_is_embedded_beside_it(embed):
    texts = ["Sales rose.", "Profit fell by 5 percent in the third quarter of the year.", "Up."]
    together = embed(texts)
    for text, one in zip(texts, together, strict=True):
        np.testing.assert_array_equal(embed([text])[0], one)
    assert together[0].shape[0] == 3  # sales, rose and the stop; neither [CLS] nor [SEP]


# --- intervals and tests ----------------------------------------------------------------------------------------------


def test_a_mean_is_taken_over_the_texts_that_have_a_figure():
    table = generation_table({"a": mean_of("a", "higher", [1.0, None, 0.0, 0.5])}, groups=[0, 1, 2, 3])
    assert table.loc[0, ["value", "n"]].tolist() == [0.5, 3]
    assert table.loc[0, "low"] <= 0.5 <= table.loc[0, "high"]


def test_articles_are_drawn_whole():
    """Ten texts of one article are one piece of evidence: the interval is as wide as that of one text each."""
    values = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]
    single = generation_table({"a": mean_of("a", "higher", values)}, groups=range(6))
    tenfold = generation_table({"a": mean_of("a", "higher", np.repeat(values, 10))}, groups=np.repeat(range(6), 10))
    assert single.loc[0, ["low", "high"]].tolist() == tenfold.loc[0, ["low", "high"]].tolist()
    alone = generation_table({"a": mean_of("a", "higher", np.repeat(values, 10))}, groups=range(60))
    assert alone.loc[0, "high"] - alone.loc[0, "low"] < 0.6 * (single.loc[0, "high"] - single.loc[0, "low"])


def test_a_paired_mean_is_tested_as_flipping_signs_does():
    from embargo.models.evaluation import sign_flip

    rng = np.random.default_rng(0)
    one, other = rng.random(60), rng.random(60) - 0.12
    table = compare_generations(
        {"a": mean_of("a", "higher", one)}, {"a": mean_of("a", "higher", other)}, groups=range(60), seed=1
    )
    assert table.loc[0, "difference"] == pytest.approx((one - other).mean())
    assert table.loc[0, "p_value"] == pytest.approx(sign_flip(one - other), abs=0.015)
    assert table.loc[0, "p_bootstrap"] == pytest.approx(table.loc[0, "p_value"], abs=0.06)


def test_only_prompts_with_a_figure_of_both_are_compared():
    tuned, base = mean_of("a", "higher", [1.0, None, 0.5, 0.0]), mean_of("a", "higher", [0.0, 1.0, 0.5, None])
    row = compare_generations({"a": tuned}, {"a": base}, groups=range(4)).loc[0]
    assert (row["n"], row["tuned"], row["base"], row["difference"]) == (2, 0.75, 0.25, 0.5)


def test_models_that_write_the_same_are_not_tested():
    same = {"a": mean_of("a", "higher", [1.0, 0.0]), "b": mean_of("b", "higher", [None, None])}
    table = compare_generations(same, same, groups=[0, 1])
    assert table["p_value"].isna().all()
    assert table["p_value_holm"].isna().all()


def test_p_values_are_adjusted_for_the_number_of_measures():
    rng = np.random.default_rng(2)
    base = {name: mean_of(name, "higher", rng.random(40)) for name in "abcd"}
    tuned = {
        name: mean_of(name, "higher", one.sums[:, 0] + (0.5 if name == "a" else 0.0) + 0.1 * rng.standard_normal(40))
        for name, one in base.items()
    }
    table = compare_generations(tuned, base, groups=range(40)).set_index("measure")
    assert table.loc["a", "p_value_holm"] == pytest.approx(4 * table.loc["a", "p_value"])


def written(rng, n, right):
    """Return BLEU's counts of texts of which a share of words is right."""
    references = [" ".join(rng.choice(WORDS, 9)) for _ in range(n)]
    outputs = [
        " ".join(word if rng.random() < right else str(rng.choice(WORDS)) for word in text.split())
        for text in references
    ]
    return overlap_measures(outputs, references, references)["BLEU"]


def test_bleu_of_a_better_model_is_told_from_a_worse_one():
    rng = np.random.default_rng(3)
    row = compare_generations(
        {"BLEU": written(rng, 40, 0.9)}, {"BLEU": written(rng, 40, 0.5)}, groups=range(40), resamples=300
    ).loc[0]
    assert row["difference"] > 20
    assert row["p_value"] < 0.01
    assert row["low"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mean", "BLEU"])
def test_size_of_the_paired_test_over_dependent_texts(name):
    """Under the null, with four texts an article that share their luck, 5 % tests reject in about 5 % of worlds."""
    rejected, worlds = 0, 400
    for world in range(worlds):
        rng = np.random.default_rng(7_300_000 + world)
        groups = np.repeat(range(25), 4)
        if name == "BLEU":
            shares = rng.uniform(0.2, 0.9, size=(2, 25))
            pair = []
            for side in range(2):
                parts = [written(rng, 4, share).sums for share in shares[side]]
                pair.append(Measure("BLEU", "higher", np.vstack(parts)))
        else:
            pair = [
                mean_of("a", "higher", np.repeat(rng.normal(size=25), 4) + 0.5 * rng.normal(size=100)) for _ in range(2)
            ]
        row = compare_generations({"a": pair[0]}, {"a": pair[1]}, groups=groups, resamples=100, seed=world).loc[0]
        rejected += row["p_value"] < 0.05
    assert 0.02 < rejected / worlds < 0.085


def test_what_does_not_fit_is_refused():
    one = mean_of("a", "higher", [1.0, 0.0])
    with pytest.raises(DataError, match="not the same measures"):
        compare_generations({"a": one}, {"b": one}, groups=[0, 1])
    with pytest.raises(DataError, match="2 and 3 texts"):
        compare_generations({"a": one}, {"a": mean_of("a", "higher", [1, 0, 0])}, groups=[0, 1])
    with pytest.raises(ConfigError, match="level"):
        generation_table({"a": one}, groups=[0, 1], level=1.5)
