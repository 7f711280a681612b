import gc
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.data_loaders.errors import DataError
from embargo.models.calibration.fitting import Calibration
from embargo.models.content import text_hash
from embargo.models.scorers import cache as caching
from embargo.models.scorers.cache import ScoreCache
from embargo.models.scorers.score import score_articles, score_stream

CALIBRATION = Calibration(1.7)
STREAM_IN_ANOTHER_PROCESS = """
import sys, time
from pathlib import Path
import numpy as np, pandas as pd
from embargo.models.scorers import score
from embargo.models.scorers.cache import ScoreCache
from embargo.models.calibration.fitting import Calibration

score.BLOCK = 20
cache, journal, pause = Path(sys.argv[1]), open(sys.argv[2], "a"), float(sys.argv[3])

class Slow:
    identity, knowledge_cutoff = "slow", None
    def logits(self, texts, progress=None):
        for text in texts:
            print(text, file=journal, flush=True)
            time.sleep(pause)
        return np.array([[len(text), int(text[-1]), 1.0] for text in texts])

frames = (pd.DataFrame({"article_id": [f"a{n}" for n in range(start, start + 50)],
                        "text": [f"text {n % 170}" for n in range(start, start + 50)]}) for start in range(0, 400, 50))
with ScoreCache(cache) as store:
    for found in score.score_stream(Slow(), Calibration(2.0), frames, cache=store):
        for row in found.scores.itertuples():
            print(row.article_id, repr(row.bullish))
"""


class Counting:
    """Logits that are a function of the text, and a list of what was scored."""

    identity, knowledge_cutoff = "counting", None

    def __init__(self):
        self.texts = []

    def logits(self, texts, progress=None):
        self.texts += texts
        return np.array([[len(text), sum(map(ord, text)) % 7, 1.0] for text in texts], dtype=float).reshape(-1, 3)


def articles(numbers, texts=1000):
    return pd.DataFrame({"article_id": [f"a{n}" for n in numbers], "text": [f"text {n % texts}" for n in numbers]})


def all_scores(found):
    return pd.concat([one.scores for one in found], ignore_index=True)


@settings(max_examples=20, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 30), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    texts=st.integers(1, 40),
)
def test_a_stream_gives_the_scores_of_all_articles_at_once(tmp_path_factory, numbers, cuts, texts):
    whole = articles(numbers, texts)
    bounds = [0, *sorted(cuts), len(whole)]
    frames = (whole.iloc[start:stop] for start, stop in pairwise(bounds))
    streaming, at_once = Counting(), Counting()
    with ScoreCache(tmp_path_factory.mktemp("cache") / "scores") as cache:
        found = list(score_stream(streaming, CALIBRATION, frames, cache=cache))
    expected = score_articles(at_once, CALIBRATION, whole)
    pd.testing.assert_frame_equal(all_scores(found), expected.scores)
    assert len(found) == len(bounds) - 1
    assert sorted(streaming.texts) == sorted(at_once.texts) == sorted(set(whole["text"]))
    assert sum(one.n_scored for one in found) == expected.n_scored
    assert sum(one.n_articles for one in found) == expected.n_articles


def test_a_frame_is_scored_before_the_next_is_asked_for(tmp_path):
    asked = []

    def frames():
        for start in range(0, 30, 10):
            asked.append(start)
            yield articles(range(start, start + 10))

    with ScoreCache(tmp_path / "scores") as cache:
        stream = score_stream(Counting(), CALIBRATION, frames(), cache=cache)
        for number, found in enumerate(stream, start=1):
            assert len(asked) == number
            assert found.n_articles == 10


def peak(path, n_frames):
    frames = (articles(range(start * 1000, start * 1000 + 1000), texts=10**9) for start in range(n_frames))
    scorer = Counting()
    scorer.texts = type("Nothing", (), {"__iadd__": lambda self, other: self})()
    gc.collect()
    with ScoreCache(path) as cache:
        tracemalloc.start()
        n = sum(found.n_articles for found in score_stream(scorer, CALIBRATION, frames, cache=cache))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert n == 1000 * n_frames
    return found


def test_memory_does_not_grow_with_the_number_of_articles(tmp_path, monkeypatch):
    # To merge shards takes a few times the largest, however many there are.
    monkeypatch.setattr(caching, "_MERGED", 10**9)
    few, many = peak(tmp_path / "few", 3), peak(tmp_path / "many", 24)
    # Even 8 bytes an article would be 170 kB more.
    assert many < few + 100_000


def test_an_article_with_two_texts_is_named_across_frames(tmp_path):
    frames = [articles(range(1000)), articles(range(1000, 1500)), articles([1500, 7, 8])]
    frames[2].loc[1, "text"] = "another"
    with ScoreCache(tmp_path / "scores") as cache:
        stream = score_stream(Counting(), CALIBRATION, frames, cache=cache)
        assert [next(stream).n_articles, next(stream).n_articles] == [1000, 500]
        with pytest.raises(DataError, match=r"article 'a7' has more than one text \(1 such"):
            next(stream)


@pytest.mark.parametrize("text", ["", "  ", None])
def test_a_blank_text_is_named_in_any_frame(tmp_path, text):
    second = articles(range(10, 20)).astype(object)
    second.loc[3, "text"] = text
    with (
        ScoreCache(tmp_path / "scores") as cache,
        pytest.raises(DataError, match="1 articles have no text, first 'a13'"),
    ):
        list(score_stream(Counting(), CALIBRATION, [articles(range(10)), second], cache=cache))


def test_a_stream_tells_how_far_it_is(tmp_path):
    seen = []
    frames = [articles(range(10)), articles([]).astype(str), articles(range(5, 25))]
    with ScoreCache(tmp_path / "scores") as cache:
        list(score_stream(Counting(), CALIBRATION, frames, cache=cache, progress=lambda *one: seen.append(one)))
    assert seen[-1] == (25, 25)
    assert seen == sorted(seen)


def streamed(folder, journal, pause):
    command = [sys.executable, "-c", STREAM_IN_ANOTHER_PROCESS, str(folder / "scores"), str(folder / journal), pause]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_killed_stream_goes_on_where_it_stopped(tmp_path):
    killed = streamed(tmp_path, "killed", "0.01")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (tmp_path / "killed").exists() and len((tmp_path / "killed").read_text().splitlines()) > 110:
            break
        time.sleep(0.02)
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    again, _ = streamed(tmp_path, "again", "0").communicate(timeout=60)
    texts = [f"text {n % 170}" for n in range(400)]
    expected = Calibration(2.0).apply(np.array([[len(text), int(text[-1]), 1.0] for text in texts]))[:, 2]
    assert again.splitlines() == [f"a{n} {p!r}" for n, p in enumerate(expected.tolist())]
    first, second = ((tmp_path / name).read_text().splitlines() for name in ("killed", "again"))
    assert set(first) | set(second) == {f"text {n}" for n in range(170)}
    # A block that was not stored yet is all that is scored again.
    assert len(first) + len(second) <= 170 + 20


def test_a_repeated_text_is_scored_once_and_named_by_its_content(tmp_path):
    scorer = Counting()
    with ScoreCache(tmp_path / "scores") as cache:
        list(score_stream(scorer, CALIBRATION, [articles(range(5), texts=2)] * 3, cache=cache))
        assert cache.get_many("counting", [text_hash("text 0"), text_hash("text 1")]).keys() == {
            text_hash("text 0"),
            text_hash("text 1"),
        }
        assert cache.get_many("counting", [text_hash("text 0 ")]) == {}
    assert sorted(scorer.texts) == ["text 0", "text 1"]


def test_whatever_can_move_a_probability_changes_the_name_of_a_score(tiny_base, tmp_path):
    from embargo.data_loaders.errors import ConfigError
    from embargo.models.bases.resolve import open_base
    from embargo.models.scorers.score import model_id
    from embargo.models.scorers.transformer import TransformerScorer
    from embargo.models.tuning.adapters import Adapter

    def adapter(base, identity="1", **changes):
        told = {"method": "lora", "rank": 8, "compute": "fp32", "max_length": 32} | changes
        manifest = {"base": {"name": "b", "weights_hash": base.weights_hash}, "settings": told, "trained_until": None}
        return Adapter(path=tmp_path, identity=identity, manifest=manifest, train_text_hashes=())

    def copied(name, change):
        folder = shutil.copytree(tiny_base.path_or_id, tmp_path / name)
        change(folder)
        return open_base(folder, name="tiny")

    def flip(path):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)

    def reword(path):
        path.write_text(path.read_text().replace("[UNK]", "[unk]"))

    same = copied("same", lambda folder: None)
    weights = copied("weights", lambda folder: flip(folder / "model.safetensors"))
    words = copied("words", lambda folder: reword(folder / "tokenizer.json"))
    scorers = [
        TransformerScorer(same, adapter(same)),
        TransformerScorer(weights, adapter(weights)),
        TransformerScorer(words, adapter(words)),
        TransformerScorer(same, adapter(same, identity="2")),
        TransformerScorer(same, adapter(same, max_length=24)),
        TransformerScorer(same, adapter(same, compute="bf16")),
        TransformerScorer(same, adapter(same), compute="bf16"),
    ]
    assert len({scorer.identity for scorer in scorers}) == len(scorers)
    assert scorers[0].identity == TransformerScorer(same, adapter(same), token_budget=64).identity
    with pytest.raises(ConfigError, match="tuned on base"):
        TransformerScorer(weights, adapter(same))
    curved = Calibration(method="vector", scales=(1.0, 1.0, 2.0), biases=(0.0, 0.0, 0.0))
    names = [model_id(scorer, one) for scorer in scorers for one in (Calibration(), CALIBRATION, curved)]
    assert len(set(names)) == 3 * len(scorers)
