"""What the model commands do below the command line: judgements with honest intervals, and scores of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.model_desk import news
from scipy.special import softmax

from embargo.data_loaders.errors import DataError, LeakError
from embargo.models.bundles.bundle import ModelReader
from embargo.models.calibration.fitting import Calibration
from embargo.models.calibration.measures import expected_calibration_error
from embargo.models.content import text_hash
from embargo.models.scorers.cache import ScoreCache
from embargo.models.scorers.lexicon import LexiconScorer
from embargo.research.config.experiment import Config
from embargo.research.modelling import judging
from embargo.research.modelling import scoring as news_scoring
from embargo.research.modelling.judging import unseen
from embargo.research.modelling.scoring import score_news
from embargo.research.modelling.tuning import TuneConfig, load_tuning


def reader(train: tuple[str, ...] = (), validation: tuple[str, ...] | None = (), name: str = "words") -> ModelReader:
    scorer = LexiconScorer()
    hashes = None if validation is None else frozenset(map(text_hash, validation))
    trained = frozenset(map(text_hash, train))
    return ModelReader(name, scorer, Calibration(), scorer.knowledge_cutoff, trained, hashes, (), None, None)


def labelled(*words: str) -> pd.DataFrame:
    return pd.DataFrame({"text": words, "label": [0] * len(words)})


def test_an_experiment_and_a_file_for_one_model_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(
        'name = "one"\nmodel.base = "minilm"\n'
        '[labels]\nsource = "file"\npath = "x.csv"\nknowledge_cutoff = 2014-01-01\n'
    )
    one = load_tuning(tmp_path / "one.toml", ["model.rank=3"])
    assert isinstance(one, TuneConfig)
    assert (one.model.rank, one.labels.path) == (3, str(tmp_path / "x.csv"))
    (tmp_path / "all.toml").write_text(
        'name = "all"\n[news]\nloader = "simulated"\n[prices]\nloader = "simulated"\n[split]\nfirst_test = 2018-01-01\n'
    )
    assert isinstance(load_tuning(tmp_path / "all.toml"), Config)


def test_texts_of_any_model_are_left_out_and_counted_once() -> None:
    fresh = unseen(
        [reader(train=("a", "b"), validation=("c",)), reader(train=("b", "d"), validation=None, name="blind")],
        labelled("a", "b", "c", "d", "e", "f"),
    )
    assert list(fresh.samples["text"]) == ["e", "f"]
    assert fresh.counts == {"read": 6, "training": 3, "validation": 1, "judged": 2}
    assert fresh.unchecked == ("blind",)


def test_nothing_left_is_a_leak_and_one_text_is_too_few() -> None:
    with pytest.raises(LeakError, match="all 2 labelled texts"):
        unseen([reader(train=("a",), validation=("b",))], labelled("a", "b"))
    with pytest.raises(DataError, match="at least two"):
        unseen([reader(train=("a",))], labelled("a", "b"))


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 60))
def test_intervals_hold_their_figure_and_stay_positive(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(judging, "RESAMPLES", 30)
        report = judging._calibration_of(rng.dirichlet(np.ones(3), n), rng.integers(0, 3, n), None, seed, 0.9)
    for name in ("ece", "adaptive_ece", "brier"):
        low, high = report[f"{name}_interval"]
        assert 0 <= low <= report[name] <= high


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 60))
def test_the_figure_that_is_resampled_is_the_calibration_error(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    probs, labels = rng.dirichlet(np.ones(3), n), rng.integers(0, 3, n)
    assert judging._calibration_error(probs, labels) == pytest.approx(expected_calibration_error(probs, labels))


@pytest.mark.slow
def test_intervals_of_the_calibration_error_cover_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a calibrated model (error 0, where percentiles never cover) and of one that is overconfident."""
    monkeypatch.setattr(judging, "RESAMPLES", 300)
    rng = np.random.default_rng(0)

    def draw(n: int, sharpened: float) -> tuple[np.ndarray, np.ndarray]:
        logits = rng.normal(0, 1.5, (n, 3))
        labels = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
        return logits * sharpened, labels

    for sharpened in (1.0, 1.7):
        logits, labels = draw(400_000, sharpened)
        truth = 0.0 if sharpened == 1.0 else expected_calibration_error(softmax(logits, axis=1), labels)
        covered = 0
        for seed in range(60):
            logits, labels = draw(300, sharpened)
            low, high = judging._calibration_of(softmax(logits, axis=1), labels, None, seed, 0.95)["ece_interval"]
            covered += low <= truth <= high
        assert covered >= 52, sharpened


def test_scores_do_not_depend_on_how_news_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = news(30, seed=1, start="2011-12-20").assign(known_at=lambda table: table["published_at"])
    frame = pd.concat([frame, frame.head(4).assign(symbol="BBB")], ignore_index=True)
    tables = []
    for rows in (4, 100):
        monkeypatch.setattr(news_scoring, "FRAME_ROWS", rows)
        with ScoreCache(tmp_path / f"{rows}.sqlite") as cache:
            found = score_news(reader(), [frame.iloc[:9], frame.iloc[9:]], tmp_path / f"{rows}.parquet", cache=cache)
        assert (found.n_rows, found.n_articles, found.n_scored + found.n_cached) == (34, 30, 30)
        assert found.n_known_before == int((frame["known_at"] < pd.Timestamp("2012-01-01", tz="UTC")).sum())
        tables.append(pd.read_parquet(found.path))
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert tables[0]["bearish"].notna().all()
    assert list(tables[0]["article_id"]) == list(frame["article_id"])


@pytest.mark.parametrize("rows", [2, 100])
def test_an_article_with_two_texts_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    frame = news(6, seed=1, start="2012-01-01").assign(known_at=lambda table: table["published_at"])
    frame.loc[5, "article_id"] = frame.loc[0, "article_id"]
    monkeypatch.setattr(news_scoring, "FRAME_ROWS", rows)
    with ScoreCache(tmp_path / "s.sqlite") as cache, pytest.raises(DataError, match=frame.loc[0, "article_id"]):
        score_news(reader(), [frame], tmp_path / "out" / "s.parquet", cache=cache)
    assert list((tmp_path / "out").iterdir()) == []


def test_news_without_an_article_are_refused(tmp_path: Path) -> None:
    with ScoreCache(tmp_path / "s.sqlite") as cache, pytest.raises(DataError, match="no article"):
        score_news(reader(), [], tmp_path / "s.parquet", cache=cache)
    assert not (tmp_path / "s.parquet").exists()
