import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.model_samples import CUTOFF, sentences

from embargo.data_loaders.errors import ConfigError, DataError, LeakError
from embargo.data_loaders.fields import CLASSES
from embargo.models import fitting
from embargo.models.calibration.fitting import Calibration, fit_calibration
from embargo.models.content import json_hash
from embargo.models.fitting import fit_scorer
from embargo.models.methods.settings import TuneSettings
from embargo.models.scorers.cache import ScoreCache
from embargo.models.scorers.kind import Fit, ScorerKind
from embargo.models.scorers.linear import LinearSettings, fit_linear
from embargo.models.scorers.score import model_id, score_articles

KEYS = {
    "kind", "base", "base_weights_hash", "base_knowledge_cutoff", "cutoff_source", "exposures", "trained_until",
    "knowledge_cutoff", "n_train", "n_validation", "train_text_hashes_fingerprint", "settings", "epochs", "best_epoch",
    "temperature", "ece_before", "ece_after", "validation_accuracy", "validation_macro_f1", "adapter",
    "scorer_identity", "fitted_state", "model_id", "calibration", "reliability_before", "reliability_after",
}  # fmt: skip


def fitted(kind, samples, cache_dir, **changes):
    arguments = {
        "train": samples["train"],
        "validation": samples["validation"],
        "trained_until": CUTOFF,
        "cache_dir": cache_dir,
    }
    return fit_scorer(kind, **(arguments | changes))


@pytest.mark.parametrize("kind", ["lexicon", "linear", "transformer"])
def test_every_kind_says_the_same_things(kind, samples, cache_dir, tiny_base):
    extra = {"base": tiny_base, "settings": TuneSettings(epochs=1, max_length=32)} if kind == "transformer" else {}
    model = fitted(kind, samples, cache_dir, **extra)
    assert set(model.manifest) == KEYS
    assert json.loads(json.dumps(model.manifest, allow_nan=False)) == model.manifest
    assert model.manifest["knowledge_cutoff"] == CUTOFF.isoformat()
    assert model.manifest["ece_after"] <= model.manifest["ece_before"] + 0.1
    assert model.manifest["n_train"] == (0 if kind == "lexicon" else 600)
    undated = fitted(kind, samples, cache_dir, trained_until=None, **extra)
    assert undated.manifest["knowledge_cutoff"] is None
    assert model.manifest["calibration"] == {"method": "temperature", "temperature": model.manifest["temperature"]}
    for stage in ("before", "after"):
        assert sum(row["count"] for row in model.manifest[f"reliability_{stage}"]) == 120


@pytest.mark.parametrize("until", [None, CUTOFF])
@pytest.mark.parametrize("told", ["2013-01-02 09:30 GMT+8", pd.Timestamp("2013-01-02 09:30")])
def test_samples_are_known_at_instants_whether_or_not_a_cutoff_is_stated(told, until, samples, cache_dir):
    train = samples["train"].assign(known_at=told)
    with pytest.raises(DataError, match=r"column known_at: (expected timezone-aware|timestamps have no time zone)"):
        fitted("lexicon", samples, cache_dir, train=train, trained_until=until)


@pytest.mark.parametrize("method", ["vector", "isotonic"])
def test_fits_the_calibration_that_is_asked_for(method, samples, cache_dir):
    validation = samples["train"]
    model = fitted("lexicon", samples | {"validation": validation}, cache_dir, calibration=method)
    plain = fitted("lexicon", samples | {"validation": validation}, cache_dir)
    logits = model.scorer.logits(validation["text"].tolist())
    expected = fit_calibration(method, logits, validation["label"].to_numpy())
    assert model.calibration == expected == Calibration.from_dict(model.manifest["calibration"])
    assert model.manifest["temperature"] is None
    assert json.loads(json.dumps(model.manifest, allow_nan=False)) == model.manifest
    assert model.manifest["model_id"] != plain.manifest["model_id"]
    assert model.manifest["reliability_before"] == plain.manifest["reliability_before"]


def test_a_calibration_that_cannot_be_fitted_is_refused_before_tuning(samples, cache_dir, tiny_base):
    seen = []
    few = samples | {"validation": samples["validation"].head(12)}
    for method, error in (("isotonic", DataError), ("platt", ConfigError)):
        with pytest.raises(error, match="calibration"):
            fitted(
                "transformer", few, cache_dir, base=tiny_base, calibration=method, progress=lambda *at: seen.append(at)
            )
    assert seen == []


def test_a_model_is_named_by_its_whole_calibration():
    scorer = Counting()
    # The name that a run with this temperature has always had.
    assert model_id(scorer, Calibration(2.0)) == json_hash({"scorer": "counting", "temperature": 2.0})[:16]
    one, other = (
        Calibration(method="vector", scales=(1.0, 1.0, scale), biases=(0.0, 0.0, 0.0)) for scale in (1.0, 1.5)
    )
    assert len({model_id(scorer, which) for which in (Calibration(), one, other)}) == 3


def test_linear_beats_chance_by_far_and_is_reproducible(samples, cache_dir):
    one = fitted("linear", samples, cache_dir)
    two = fitted("linear", samples | {"train": samples["train"].sample(frac=1, random_state=1)}, cache_dir)
    texts = samples["test"]["text"].tolist()
    assert (one.scorer.logits(texts).argmax(axis=1) == samples["test"]["label"]).mean() > 0.95
    assert one.scorer.identity == two.scorer.identity
    assert np.array_equal(one.scorer.logits(texts), two.scorer.logits(texts))


def test_linear_survives_a_class_it_never_saw():
    scorer = fit_linear(["up up", "down down"] * 5, [2, 0] * 5, trained_until=CUTOFF)
    logits = scorer.logits(["up", ""])
    assert np.isfinite(logits).all()
    assert logits[0].argmax() == 2
    assert logits[0, 1] == -20


@pytest.mark.parametrize("column", ["known_at", "ends_at"])
@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_sample_from_after_trained_until_is_a_leak(samples, cache_dir, column, part):
    instants = pd.Series([CUTOFF] * len(samples[part]))
    clean = samples | {part: samples[part].assign(**{column: instants})}
    fitted("lexicon", clean, cache_dir)
    instants.iloc[5] += pd.Timedelta(microseconds=1)
    with pytest.raises(LeakError, match=column):
        fitted("lexicon", samples | {part: samples[part].assign(**{column: instants})}, cache_dir)


def test_refuses_what_does_not_fit_the_kind(samples, cache_dir, tiny_base):
    with pytest.raises(ConfigError, match="needs a base"):
        fitted("transformer", samples, cache_dir)
    with pytest.raises(ConfigError, match="takes no base"):
        fitted("linear", samples, cache_dir, base=tiny_base)
    with pytest.raises(ConfigError, match="does not take"):
        fitted("linear", samples, cache_dir, settings=TuneSettings())
    with pytest.raises(ConfigError, match="unknown"):
        fitted("oracle", samples, cache_dir)
    with pytest.raises(DataError, match="no samples"):
        fitted("lexicon", samples | {"validation": samples["validation"].head(0)}, cache_dir)
    with pytest.raises(DataError, match="columns"):
        fitted("lexicon", samples | {"train": pd.DataFrame()}, cache_dir)
    with pytest.raises(ConfigError):
        LinearSettings(strength=0)


def test_another_kind_is_a_file_and_a_line(samples, cache_dir, monkeypatch):
    def fit(request):
        return Fit(Counting(), trained_on=request.train_texts[:2], cutoff_source="counted here", best_epoch=7)

    monkeypatch.setattr(fitting, "KINDS", {**fitting.KINDS, "counting": ScorerKind(fit=fit)})
    model = fitted("counting", samples, cache_dir)
    assert set(model.manifest) == KEYS
    entries = ("kind", "n_train", "cutoff_source", "best_epoch", "settings", "adapter", "knowledge_cutoff")
    expected = ["counting", 2, "counted here", 7, {}, None, CUTOFF.isoformat()]
    assert [model.manifest[name] for name in entries] == expected
    assert len(model.train_text_hashes) == 2
    bases = r"'counting' takes no base model. Give 'base' with 'prompted' and 'transformer'"
    with pytest.raises(ConfigError, match=bases):
        fitted("counting", samples, cache_dir, base=object())
    with pytest.raises(ConfigError, match="does not take LinearSettings"):
        fitted("counting", samples, cache_dir, settings=LinearSettings())
    with pytest.raises(ConfigError, match="is not scored with 'onnx'"):
        fitted("counting", samples, cache_dir, runtime="onnx")


class Counting:
    """Logits from a text's length; remembers what it was asked."""

    identity = "counting"
    knowledge_cutoff = CUTOFF

    def __init__(self):
        self.asked = []

    def logits(self, texts, progress=None):
        self.asked += list(texts)
        return np.array([[len(text), 0.0, -len(text)] for text in texts], dtype=float).reshape(-1, 3)


def test_each_distinct_text_is_scored_once_and_then_never_again(tmp_path):
    articles = pd.DataFrame({"article_id": ["a", "b", "a", "c"], "text": ["same", "same", "same", "other one"]})
    scorer = Counting()
    with ScoreCache(tmp_path / "scores") as cache:
        first = score_articles(scorer, Calibration(2.0), articles, cache=cache)
        second = score_articles(scorer, Calibration(5.0), articles, cache=cache)
    assert sorted(scorer.asked) == ["other one", "same"]
    assert (first.n_articles, first.n_distinct_texts, first.n_cached, first.n_scored) == (3, 2, 0, 2)
    assert (second.n_cached, second.n_scored) == (2, 0)
    assert first.scores["article_id"].tolist() == ["a", "b", "c"]
    expected = Calibration(2.0).apply(np.array([[4.0, 0, -4]]))[0]
    assert first.scores.loc[0, list(CLASSES)].tolist() == pytest.approx(expected.tolist())
    assert (first.scores["confidence"] == first.scores[list(CLASSES)].max(axis=1)).all()
    assert first.scores["model_id"].iloc[0] != second.scores["model_id"].iloc[0]


@settings(max_examples=25)
@given(st.lists(st.text(alphabet="abc ", min_size=1, max_size=4).filter(str.strip), max_size=30))
def test_the_cache_changes_nothing(tmp_path_factory, texts):
    articles = pd.DataFrame({"article_id": [str(n) for n in range(len(texts))], "text": texts}, dtype="str")
    plain = score_articles(Counting(), Calibration(), articles)
    with ScoreCache(tmp_path_factory.mktemp("cache") / "scores") as cache:
        score_articles(Counting(), Calibration(), articles.iloc[::2], cache=cache)
        cached = score_articles(Counting(), Calibration(), articles, cache=cache)
    pd.testing.assert_frame_equal(plain.scores, cached.scores)
    assert cached.n_cached + cached.n_scored == cached.n_distinct_texts


def test_refuses_two_texts_under_one_name_and_blank_ones():
    with pytest.raises(DataError, match="more than one text"):
        score_articles(Counting(), Calibration(), pd.DataFrame({"article_id": ["a", "a"], "text": ["x", "y"]}))
    with pytest.raises(DataError, match="'b'"):
        score_articles(Counting(), Calibration(), pd.DataFrame({"article_id": ["a", "b"], "text": ["x", "  "]}))


def test_progress_ends_at_the_number_of_distinct_texts():
    seen = []
    articles = sentences(30, seed=5).assign(article_id=[str(n) for n in range(30)])
    score_articles(Counting(), Calibration(), articles, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == articles["text"].nunique()
