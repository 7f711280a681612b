"""A student learns what its teacher says of texts that were known, and knows what either of them could know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from samples.model_samples import CUTOFF, sentences

from embargo.data_loaders.archive.score_files import LoadedScores
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.calibration.fitting import Calibration
from embargo.models.content import text_hash
from embargo.models.fitting import fit_scorer
from embargo.models.methods.settings import TuneSettings
from embargo.models.scorers.cache import ScoreCache
from embargo.models.scorers.distilled import DistilledSettings
from embargo.models.scorers.given import GivenSettings
from embargo.models.scorers.linear import LinearSettings, fit_linear_to

UNTIL = CUTOFF


def dated(frame: pd.DataFrame, prefix: str, *, last: pd.Timestamp) -> pd.DataFrame:
    known_at = last - pd.to_timedelta(np.arange(len(frame))[::-1], unit="h")
    return frame.assign(article_id=[f"{prefix}{row}" for row in range(len(frame))], known_at=known_at, symbol="A")


@pytest.fixture(scope="module")
def parts():
    return {
        "train": dated(sentences(240, seed=2), "t", last=UNTIL - pd.Timedelta("40D")),
        "validation": dated(sentences(80, seed=3), "v", last=UNTIL),
        "background": dated(sentences(500, seed=8), "b", last=UNTIL - pd.Timedelta("30D")).drop(columns="label"),
        "test": sentences(200, seed=4),
    }


def fitted(kind, parts, cache_dir, **options):
    given = {"train": parts["train"], "validation": parts["validation"], "trained_until": UNTIL}
    return fit_scorer(kind, **(given | {"cache_dir": cache_dir} | options))


@pytest.fixture(scope="module")
def teacher(parts, cache_dir):
    return fitted("linear", parts, cache_dir)


def probs_of(model, texts):
    return model.calibration.apply(model.scorer.logits(list(texts)))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_a_linear_student_of_a_linear_teacher_agrees_with_it(parts, teacher, cache_dir, temperature):
    settings = DistilledSettings(temperature=temperature)
    student = fitted("distilled", parts, cache_dir, teacher=teacher, settings=settings, background=parts["background"])
    one, two = (probs_of(model, parts["test"]["text"]) for model in (teacher, student))
    assert (one.argmax(axis=1) == two.argmax(axis=1)).mean() > 0.95
    assert np.abs(one - two).mean() < 0.05
    told = student.manifest["settings"]
    assert told["teacher"]["model_id"] == teacher.manifest["model_id"]
    assert told["taught"]["n_texts"] == parts["background"]["text"].nunique()


def test_what_the_teacher_thinks_is_learnt_and_not_only_what_it_chooses(parts, cache_dir):
    """A teacher that is sure of nothing teaches its doubts."""
    teacher = fitted("linear", parts, cache_dir)
    doubtful = replace(teacher, calibration=Calibration(5.0))
    student = fitted("distilled", parts, cache_dir, teacher=doubtful, background=parts["background"])
    raw = Calibration().apply(student.scorer.logits(parts["test"]["text"].tolist()))
    np.testing.assert_allclose(
        raw.max(axis=1).mean(), probs_of(doubtful, parts["test"]["text"]).max(axis=1).mean(), atol=0.05
    )
    assert raw.max(axis=1).mean() < 0.8


def test_fitting_to_shares_is_multinomial_regression_on_them(parts):
    """Against the cross-entropy with the same penalty, minimised by a solver that knows nothing of samples."""
    from scipy.optimize import minimize
    from scipy.special import log_softmax
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [f"{word} {other}" for word in ("rose", "fell", "flat", "up") for other in ("sales", "profit", "debt")]
    rng = np.random.default_rng(0)
    wanted = rng.dirichlet([1.0, 1.0, 1.0], size=len(texts))
    scorer = fit_linear_to(texts, wanted, LinearSettings(strength=2.0), trained_until=None)
    table = np.asarray(scorer._pipeline[0].transform(sorted(texts, key=text_hash)).todense())
    target = wanted[sorted(range(len(texts)), key=lambda row: text_hash(texts[row]))]
    assert isinstance(scorer._pipeline[0].transformer_list[0][1], TfidfVectorizer)
    size = table.shape[1]

    def loss(weights):
        slopes, level = weights[: 3 * size].reshape(3, size), weights[3 * size :]
        logs = log_softmax(table @ slopes.T + level, axis=1)
        residual = np.exp(logs) - target
        gradient = np.concatenate([(residual.T @ table + slopes / 2.0).ravel(), residual.sum(axis=0)])
        return -(target * logs).sum() + (slopes**2).sum() / 4.0, gradient

    best = minimize(loss, np.zeros(3 * size + 3), jac=True, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 1e-14})
    slopes, level = best.x[: 3 * size].reshape(3, size), best.x[3 * size :]
    expected = np.exp(log_softmax(table @ slopes.T + level, axis=1))
    found = np.exp(scorer.logits(sorted(texts, key=text_hash)))
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_the_later_cutoff_of_both_is_the_students(parts, cache_dir):
    later = UNTIL + pd.Timedelta("900D")
    everything = pd.concat([parts["train"], parts["validation"], parts["background"]])
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        rng.dirichlet([1, 1, 1], len(everything)), columns=["bearish", "neutral", "bullish"],
        index=everything["article_id"].to_numpy(),
    )  # fmt: skip
    given = GivenSettings(LoadedScores(frame, {}, "ab12"), later)
    teacher = fitted("scores", parts, cache_dir, settings=given)
    student = fitted("distilled", parts, cache_dir, teacher=teacher, background=parts["background"])
    assert student.scorer.knowledge_cutoff == later
    assert pd.Timestamp(student.manifest["knowledge_cutoff"]) == later
    assert pd.Timestamp(student.manifest["base_knowledge_cutoff"]) == later
    own = fitted(
        "distilled", parts, cache_dir, teacher=fitted("linear", parts, cache_dir), background=parts["background"]
    )
    assert own.scorer.knowledge_cutoff == UNTIL
    unknown = replace(teacher, manifest=teacher.manifest | {"knowledge_cutoff": None})
    student = fitted("distilled", parts, cache_dir, teacher=unknown, background=parts["background"])
    assert student.scorer.knowledge_cutoff is None
    assert student.manifest["knowledge_cutoff"] is None


def test_everything_that_either_read_is_written_down_and_nothing_validated_is_taught(parts, teacher, cache_dir):
    # The same words were news before and are validated on now.
    repeated = parts["validation"].iloc[:7].assign(known_at=parts["background"]["known_at"].iloc[:7].to_numpy())
    background = pd.concat([parts["background"], repeated.drop(columns="label")])
    student = fitted("distilled", parts, cache_dir, teacher=teacher, background=background)
    record = student.fitted_on
    taught = record.loc[record["use"] == "taught"]
    held = set(parts["validation"]["text"].map(text_hash))
    assert set(taught["text_hash"]) == set(background["text"].map(text_hash)) - held
    assert student.manifest["settings"]["taught"]["n_withheld"] == len(held & set(background["text"].map(text_hash)))
    assert taught["known_at"].notna().all()
    first = background.groupby(background["text"].map(text_hash))["known_at"].min()
    assert (taught.set_index("text_hash")["known_at"] == first.reindex(taught["text_hash"]).to_numpy()).all()
    assert (record["use"] == "optimiser").sum() == len(parts["train"])
    assert (record["use"] == "calibration").sum() == len(parts["validation"])
    seen = {*taught["text_hash"], *parts["train"]["text"].map(text_hash)}
    assert set(student.train_text_hashes) == seen


@pytest.mark.parametrize("kind", ["linear", "lexicon"])
def test_texts_that_the_teacher_was_fitted_on_are_counted(parts, cache_dir, kind):
    asked = pd.concat([parts["background"], parts["train"].head(50)])
    asked = asked.loc[~asked["text"].isin(parts["validation"]["text"])]
    made = fitted(kind, parts, cache_dir)
    taught = fitted("distilled", parts, cache_dir, teacher=made, background=asked).manifest["settings"]["taught"]
    own = len(set(parts["train"]["text"]) & set(asked["text"])) if kind == "linear" else 0
    assert (taught["n_texts"], taught["n_in_sample"]) == (asked["text"].nunique(), own)


def test_the_newest_are_asked_first_once_and_from_the_cache(parts, teacher, cache_dir, tmp_path):
    asked = []

    class Counted:
        identity, knowledge_cutoff = "counted", UNTIL

        def logits(self, texts, progress=None):
            asked.extend(texts)
            return teacher.scorer.logits(texts)

    counted = replace(teacher, scorer=Counted())
    with ScoreCache(tmp_path / "scores") as cache:
        options = {"teacher": counted, "cache": cache, "background": parts["background"].sample(frac=1, random_state=1)}
        few = fitted("distilled", parts, cache_dir, settings=DistilledSettings(max_texts=50), **options)
        newest = parts["background"].sort_values("known_at", ascending=False).drop_duplicates("text").head(50)
        assert sorted(asked) == sorted(newest["text"])
        more = fitted("distilled", parts, cache_dir, settings=DistilledSettings(max_texts=80), **options)
        assert len(asked) == len(set(asked)) == 80
    assert few.scorer.identity != more.scorer.identity


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_a_tuned_student_learns_probabilities(parts, teacher, cache_dir, tiny_base, temperature):
    own = TuneSettings(method="lora", epochs=4, batch_size=16, learning_rate=5e-3, max_length=32, class_weights=True)
    settings = DistilledSettings("transformer", own, temperature=temperature)
    student = fitted(
        "distilled", parts, cache_dir, base=tiny_base, teacher=teacher, settings=settings,
        background=parts["background"],
    )  # fmt: skip
    one, two = (probs_of(model, parts["test"]["text"]) for model in (teacher, student))
    assert (one.argmax(axis=1) == two.argmax(axis=1)).mean() > 0.85
    assert student.manifest["base"] == "tiny"
    assert set(student.fitted_on["use"]) == {"taught", "optimiser", "stopping", "calibration"}
    if temperature == 1.0:  # once is enough to see that another teacher makes another student
        again = fitted(
            "distilled", parts, cache_dir, base=tiny_base, settings=settings, background=parts["background"],
            teacher=replace(teacher, calibration=Calibration(9.0)),
        )  # fmt: skip
        assert again.scorer.identity != student.scorer.identity


def test_what_does_not_fit_is_refused(parts, teacher, cache_dir, tiny_base):
    with pytest.raises(ConfigError, match="needs a teacher"):
        fitted("distilled", parts, cache_dir)
    with pytest.raises(ConfigError, match="takes no teacher"):
        fitted("linear", parts, cache_dir, teacher=teacher)
    with pytest.raises(ConfigError, match="takes no base model"):
        fitted("distilled", parts, cache_dir, teacher=teacher, base=tiny_base)
    with pytest.raises(ConfigError, match="needs a base model"):
        fitted("distilled", parts, cache_dir, teacher=teacher, settings=DistilledSettings("transformer"))
    with pytest.raises(ConfigError, match="learns nothing"):
        DistilledSettings("transformer", TuneSettings(method="none"))
    with pytest.raises(ConfigError, match="does not go with"):
        DistilledSettings("linear", TuneSettings())
    with pytest.raises(DataError, match="no text was known"):
        fitted("distilled", parts, cache_dir, teacher=teacher, background=parts["background"].iloc[:0])
