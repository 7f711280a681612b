"""Runs and sweeps whose tasks are carried out elsewhere: the bits of those that are carried out here."""

from __future__ import annotations

import json
import pickle
from contextlib import nullcontext
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from embargo.models.scorers import score
from embargo.models.scorers.cache import ScoreCache
from embargo.models.scorers.linear import fit_linear
from embargo.research import Quiet, execute, load_config
from embargo.research.engine.blocks import spread_over
from embargo.research.engine.cluster import Ray
from embargo.research.engine.keepers import Engine, Serial
from embargo.research.engine.processes import Processes
from embargo.research.run import chance
from embargo.research.run.chance import Shuffling, shuffle_news
from embargo.research.run.memory import Memory
from embargo.research.run.plan import Plan, traded_news
from embargo.research.run.preparation import prepare
from embargo.research.run.reading import read
from embargo.research.run.trading import fuse, trade
from embargo.research.studies.sweep.grid import cells_of, read_axis
from embargo.research.studies.sweep.search import trade_cells

# Enough of a window before the last one for a fusion to learn from.
LONGER = ("split.first_test=2015-03-01", "split.test_span=5MS", "split.validation_span=1MS")
SMALL = files("embargo.research.examples") / "small.toml"


@pytest.fixture(scope="module")
def two() -> Processes:
    with Processes(2) as engine:
        yield engine


@pytest.fixture(scope="module")
def ray_of_two() -> Ray:
    with Ray(2) as engine:
        yield engine


def left_by(folder: Path, engine: Engine, *overrides: str) -> dict[str, bytes]:
    """Return what a run leaves in its folder, without its instants and what is derived from them."""
    config = load_config(SMALL, overrides)
    done = execute(config, out=folder / "runs", cache=folder / "cache", stages=Quiet(), engine=engine)
    found = {path.name: path.read_bytes() for path in done.folder.iterdir()}
    manifest = json.loads(found["manifest.json"])
    for name in ("created_at", "seal", "files"):
        manifest.pop(name, None)
    return found | {"manifest.json": json.dumps(manifest).encode(), "report.html": b""}


def guessed(plan: Plan) -> pd.DataFrame:
    """Return the news of all test windows with scores at random."""
    news = pd.concat([part.test_news.assign(fold=part.fold.index) for part in plan.parts], ignore_index=True)
    shares = np.random.default_rng(7_300_001).dirichlet([0.5, 0.5, 0.5], len(news))
    return news.assign(
        **dict(zip(("bearish", "neutral", "bullish"), shares.T, strict=True)),
        confidence=shares.max(axis=1),
        model_id="guess",
    )


def test_folds_read_elsewhere_are_read_the_same(tmp_path: Path, two: Processes, ray_of_two: Ray) -> None:
    plan = prepare(load_config(SMALL, ["model.kind=linear"]), Quiet())
    found = []
    for name, engine in (("here", Serial()), ("there", two), ("on ray", ray_of_two)):
        memory = Memory()
        reading = read(plan, plan.parts, tmp_path / name, Quiet(), memory, engine)
        found.append((reading, memory))
    here, learnt = found[0]
    assert len(here.manifests) == 2
    for there, elsewhere in found[1:]:
        assert here.manifests == there.manifests
        for name in ("scored", "judged", "fitted_on", "answers", "prompts", "orders"):
            pd.testing.assert_frame_equal(getattr(here, name), getattr(there, name), check_exact=True)
        assert learnt.models.keys() == elsewhere.models.keys()
        assert learnt.prompts.keys() == elsewhere.prompts.keys()
    # What was scored there is kept here.
    again = read(plan, plan.parts, tmp_path / "there", Quiet())
    assert [fold["n_scored"] for fold in again.manifests] == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("model", [["kind=linear"], ["kind=transformer", "base=tiny", "method=qlora", "epochs=1"]])
def test_a_run_in_one_two_or_eight_processes_or_on_ray_leaves_the_same_folder(
    tmp_path: Path, model: list[str], ray_of_two: Ray
) -> None:
    overrides = [f"model.{setting}" for setting in model]
    here = left_by(tmp_path / "here", Serial(), *overrides)
    for name, other in (("1", Processes(1)), ("2", Processes(2)), ("8", Processes(8)), ("ray", ray_of_two)):
        with other if isinstance(other, Processes) else nullcontext(other) as engine:
            there = left_by(tmp_path / name, engine, *overrides)
        assert here.keys() == there.keys()
        assert [name for name in here if here[name] != there[name]] == []


def test_cells_are_traded_and_told_in_one_order(two: Processes, ray_of_two: Ray) -> None:
    config = load_config(SMALL)
    plan = prepare(config, Quiet())
    scored = guessed(plan)
    cells = cells_of(config, [read_axis("costs.fee=0.0005,0.001"), read_axis("signal.half_life=1,2,3")])
    told: list[list[tuple[int, bytes]]] = []
    for engine in (Serial(), two, ray_of_two):
        told.append([])
        trade_cells(
            cells, plan, scored, done=lambda at, returns: told[-1].append((at, returns.tobytes())), engine=engine
        )
    assert len(told[0]) == 6
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize(
    "overrides",
    [(), ("signal.mode=sum",), ("fusion.method=logistic",)],
    ids=["compiled", "not compiled", "fused"],
)
def test_news_are_shuffled_elsewhere_to_the_same_bits(
    overrides: tuple[str, ...], two: Processes, ray_of_two: Ray, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = prepare(load_config(SMALL, ["statistics.permutations=99", *LONGER, *overrides]), Quiet())
    scored = guessed(plan)
    fused = fuse(plan, scored)
    result = trade(plan, traded_news(plan, scored), fused)
    monkeypatch.setattr(chance, "DRAWS_PER_TASK", 20)
    shown: list[tuple[int, int]] = []
    here, *others = (
        shuffle_news(plan, result, lambda *at: shown.append(at), fused, ("dates", "shift", "signs"), engine)
        for engine in (None, two, ray_of_two)
    )
    for there in others:
        assert there.keys() == here.keys()
        for way, found in here.items():
            assert len(set(found.null)) > 5
            assert there[way].null.tobytes() == found.null.tobytes()
            assert there[way].as_dict() == found.as_dict()
    assert shown[-1] == (297, 297)


def test_no_news_are_sent_along_to_shuffle_them() -> None:
    plan = prepare(load_config(SMALL), Quiet())
    scored = guessed(plan)
    sent = Shuffling.of(plan, trade(plan, scored), None)
    sent.sharpe_of(sent.draw("dates", np.random.default_rng(1)))  # what it makes of itself stays here
    whole = pickle.dumps(sent)
    texts = plan.world.news["text"].iloc[[0, -1]]
    assert not any(text.encode() in whole for text in texts)


def test_blocks_of_texts_are_scored_elsewhere_to_the_same_bits(
    tmp_path: Path, two: Processes, ray_of_two: Ray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "BLOCK", 20)
    rng = np.random.default_rng(7_300_002)
    words = np.array(["profit", "rose", "fell", "sales", "grew", "loss"])
    texts = [" ".join(rng.choice(words, 6)) + f" {number}" for number in range(90)]
    scorer = fit_linear(["rose", "fell", "sales grew"] * 5, [2, 0, 1] * 5, trained_until=None)
    here = score.cached_logits(scorer, texts)
    shown: list[tuple[int, int]] = []
    with ScoreCache(tmp_path / "scores") as cache:
        there = score.cached_logits(
            scorer, texts, cache=cache, spread=spread_over(two), progress=lambda *at: shown.append(at)
        )
        assert score.cached_logits(scorer, texts, cache=cache).n_cached == 90
    assert there.logits.tobytes() == here.logits.tobytes()
    on_ray = score.cached_logits(scorer, texts, spread=spread_over(ray_of_two))
    assert on_ray.logits.tobytes() == here.logits.tobytes()
    assert (there.n_cached, there.n_scored) == (0, 90)
    assert shown[-1] == (90, 90)
    assert [done for done, _ in shown] == sorted(done for done, _ in shown)
