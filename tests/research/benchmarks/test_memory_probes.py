"""The tables of what the probes of memory see: how they are counted, and that they hold on other worlds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binomtest

from embargo.research.benchmarks import memory_probes
from embargo.research.benchmarks.memory_probes import PROBES, clean_verdicts, exact_interval, planted_verdicts
from embargo.research.benchmarks.memory_worlds import Reader, Recaller, make_world


@pytest.mark.parametrize(("hits", "draws"), [(0, 20), (3, 20), (20, 20), (1, 500)])
def test_intervals_are_those_of_the_binomial_test(hits: int, draws: int) -> None:
    wanted = binomtest(hits, draws).proportion_ci(method="exact")
    assert exact_interval(hits, draws) == pytest.approx((wanted.low, wanted.high))


def test_the_worlds_are_what_they_say() -> None:
    world = make_world(0, days=2000, strength=0.1)
    articles = world.articles
    assert np.corrcoef(articles["sentiment"], articles["earned"])[0, 1] == pytest.approx(0.1, abs=0.02)
    assert articles["earned"].std() == pytest.approx(0.02, rel=0.05)
    reader, recaller = Reader(), Recaller(world, 0.25, 0)
    assert [reader.tilt(text) for text in articles["text"]] == articles["sentiment"].tolist()
    tilts = np.array([recaller.tilt(text) for text in articles["text"]])
    differs = tilts != articles["sentiment"]
    assert (tilts[differs] == np.sign(articles["earned"][differs])).all()
    assert differs[~world.before].sum() == 0
    # A third of what is recalled is what would have been read.
    assert differs[world.before].mean() == pytest.approx(0.25 * 2 / 3, abs=0.03)


def test_the_page_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory_probes, "CLEAN_MODELS", 1)
    # The tuned readers take minutes and are asked in the slow test.
    monkeypatch.setattr(memory_probes, "tuned", lambda *_: SimpleNamespace(scorer=Reader()))
    monkeypatch.setattr(memory_probes, "SHARES", (0.3,))
    monkeypatch.setattr(memory_probes, "_NOISES", (("plain", 90, 3),))
    page = memory_probes.document(draws=1, plants=1, noise=2, texts=2, seed=7, cache=tmp_path)
    assert all(f"| {name} |" in page for name in PROBES)
    assert "| bare date (M3) | 1 / 0 / 0 / 0 |" in page
    assert "| stated moves (D1) | one in ten knows | 2 of 2 " in page
    assert "| stated moves (D1) | clean | 0 of 2 " in page


@pytest.mark.slow
def test_false_alarms_and_power(tmp_path: Path) -> None:
    clean = clean_verdicts(range(100), 40_000, tmp_path)
    alarms = {name: told["leak"] + told["suspicious"] for name, told in clean.items()}
    assert sum(told["leak"] for told in clean.values()) == 0
    assert sum(alarms.values()) <= 3, alarms
    caught = planted_verdicts(range(6), 40_000, tmp_path)
    for reader in ("recalls 10%", "recalls 30%"):
        for name in ("masked (M5)", "redated (M7)", "turned round (M8)", "bare date (M3)", "propensity (M3)"):
            told = caught[name, reader]
            assert told["leak"] + told["suspicious"] == 6, (name, reader)
    # A reader of headlines says less to a bare date than to a headline of another day.
    for reader in ("recalls 30%", "linear, fitted on outcomes", "tiny, tuned on outcomes"):
        told = caught["another day's news (M3)", reader]
        assert told["leak"] == told.total(), reader
