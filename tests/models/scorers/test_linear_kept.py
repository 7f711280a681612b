"""A kept baseline is the fitted one to the last bit, and nothing that was damaged is ever believed."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.models import fit_scorer
from embargo.models.scorers import linear_kept
from embargo.models.scorers.linear import LinearSettings, fit_linear
from embargo.models.scorers.linear_kept import fit_linear_once

UNTIL = pd.Timestamp("2016-01-01", tz="UTC")
TEXTS = ["profit rose", "sales grew", "profit fell", "sales shrank", "profit\nstayed ä \ud800"]
LABELS = [2, 2, 0, 0, 1]
WORDS = st.text(alphabet="abcé \n", min_size=1, max_size=12)


def once(cache, texts=TEXTS, labels=LABELS, until=UNTIL, **changed):
    return fit_linear_once(texts, labels, LinearSettings(**changed), trained_until=until, cache_dir=cache)


def folders(cache):
    return sorted(path.name for path in (cache / "linear").iterdir())


@pytest.fixture
def no_fit(monkeypatch):
    def refuse(*_args, **_settings):
        raise AssertionError("fitted once more")

    return lambda: monkeypatch.setattr(linear_kept, "fit_linear", refuse)


def same(one, other, texts):
    (left, left_state), (right, right_state) = one, other
    assert np.array_equal(left.logits(texts), right.logits(texts))
    assert (left.identity, left.read, left.knowledge_cutoff) == (right.identity, right.read, right.knowledge_cutoff)
    assert left_state == right_state == left.state == right.state
    for name, words in left.terms.items():
        assert words.tolist() == right.terms[name].tolist()


@settings(max_examples=8)
@given(st.lists(st.tuples(WORDS, st.integers(0, 2)), min_size=2, max_size=12), st.booleans(), st.lists(WORDS))
def test_what_is_read_is_what_was_fitted(tmp_path_factory, samples, weighed, others):
    texts, labels = ["ab ba", "ba ab c", *(text for text, _ in samples)], [0, 2, *(label for _, label in samples)]
    cache = tmp_path_factory.mktemp("cache")
    first = once(cache, texts, labels, class_weights=weighed)
    asked = [*texts, *others, "ab é"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear_kept, "fit_linear", None)
        same(first, once(cache, texts[::-1], labels[::-1], class_weights=weighed), asked)
    plain = fit_linear(texts, labels, LinearSettings(class_weights=weighed), trained_until=UNTIL)
    same((plain, plain.state), first, asked)


def test_the_instant_it_was_trained_until_is_the_one_asked_for(tmp_path, no_fit):
    once(tmp_path)
    no_fit()
    later = UNTIL + pd.Timedelta(days=1)
    assert once(tmp_path, until=later)[0].knowledge_cutoff == later


@pytest.mark.parametrize(
    "other",
    [
        {"texts": [*TEXTS[:4], "profit stayed"]},
        {"labels": [2, 2, 0, 1, 1]},
        {"texts": [*TEXTS, TEXTS[0]], "labels": [*LABELS, LABELS[0]]},
        {"strength": 5.0},
        {"max_features": 3},
    ],
)
def test_other_samples_or_settings_are_fitted(tmp_path, other):
    first, again = once(tmp_path), once(tmp_path, **other)
    assert first[1] != again[1]
    assert len(folders(tmp_path)) == 2


def test_another_library_or_recipe_fits_anew(tmp_path, monkeypatch):
    once(tmp_path)
    monkeypatch.setattr(linear_kept, "versions", lambda: {"scikit-learn": "0.1"})
    once(tmp_path)
    recipe = linear_kept.steps_of

    def other(settings):
        features, model = recipe(settings)
        features.transformer_list[0][1].set_params(ngram_range=(1, 1))
        return features, model

    monkeypatch.setattr(linear_kept, "steps_of", other)
    once(tmp_path)
    assert len(folders(tmp_path)) == 3


@pytest.mark.parametrize("name", ["terms.json", "learnt.npz", "samples_read.csv", "manifest.json"])
@pytest.mark.parametrize("harm", ["flipped", "cut", "gone", "added"])
def test_what_is_damaged_is_fitted_anew_and_replaced(tmp_path, no_fit, name, harm):
    first = once(tmp_path)
    (folder,) = (tmp_path / "linear").iterdir()
    file = folder / name
    whole = file.read_bytes()
    if harm == "gone":
        file.unlink()
    elif harm == "added":
        (folder / "more.bin").write_bytes(whole)
    else:
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        file.write_bytes(flipped if harm == "flipped" else whole[:middle])
    same(first, once(tmp_path), TEXTS)
    assert file.read_bytes() == whole
    assert folders(tmp_path) == [folder.name]
    no_fit()
    same(first, once(tmp_path), TEXTS)


def test_a_folder_that_takes_nothing_stops_no_fit(tmp_path):
    (tmp_path / "linear").write_text("in the way")
    same(once(tmp_path), (fit_linear(TEXTS, LABELS, trained_until=UNTIL), once(tmp_path)[1]), TEXTS)


def test_a_model_from_the_cache_is_the_same_model(tmp_path, no_fit):
    part = pd.DataFrame({"text": [*TEXTS[:4], "profit stayed"] * 4, "label": LABELS * 4})
    given = {"train": part, "validation": part, "trained_until": UNTIL, "cache_dir": tmp_path}
    first = fit_scorer("linear", **given)
    no_fit()
    again = fit_scorer("linear", **given)
    assert again.manifest == first.manifest
    assert again.calibration == first.calibration
    pd.testing.assert_frame_equal(again.fitted_on, first.fitted_on)
    assert {path.suffix for path in (tmp_path / "linear").rglob("*") if path.is_file()} == {".json", ".npz", ".csv"}
