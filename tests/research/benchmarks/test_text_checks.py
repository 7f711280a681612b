"""The tables of what the checks of texts see: the worlds are honest, the plants planted."""

from __future__ import annotations

import numpy as np
import pytest

from embargo.research.benchmarks import text_checks
from embargo.research.benchmarks.text_checks import CHECKS, KINDS, PLANTS, clean_verdicts, make_texts, planted_verdicts


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_the_worlds_are_what_they_say(kind: str) -> None:
    world = make_texts(50_000, kind)
    read = world.articles
    assert not read.duplicated("article_id").any()
    # Every row earns what its symbol does on its bar, copies and rows under other symbols too.
    assert read["earned"].to_numpy() == pytest.approx(world.returns[world.day + 1, world.column])
    assert (read["published_at"] < read["at"]).all()
    tells = read["text"].str.contains(" rose | fell ")
    assert tells.mean() == pytest.approx(0.3, abs=0.06)
    if kind != "copies":
        assert ((read["text"].str.contains(" rose ") == (read["before"] > 0)) | ~tells).all()
    assert np.corrcoef(read["score"], read["before"])[0, 1] > 0.15


def test_plants_change_what_they_say_and_no_more() -> None:
    world = make_texts(50_001)
    for name, (plant, named, shares) in PLANTS.items():
        planted = plant(world, shares[0], np.random.default_rng(0))
        assert set(named) <= set(CHECKS)
        assert not planted.articles.equals(world.articles), name
        assert planted.returns is world.returns


def test_the_page_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {name: PLANTS[name] for name in ("outcomes in words", "later days as past")}
    monkeypatch.setattr(text_checks, "PLANTS", kept)
    monkeypatch.setattr(text_checks, "KINDS", ("plain", "large"))
    monkeypatch.setattr(text_checks, "make_texts", lambda seed, kind: make_texts(seed))
    page = text_checks.document(draws=1, plants=1, seed=50_000)
    assert all(f"`{name}`" in page for name in CHECKS)
    assert "| later days as past | 5% | plain | `check_dates_in_texts` | 1 of 1 " in page
    assert "| any of them | 0 | 0 | 0 of 2 " in page


@pytest.mark.slow
def test_false_alarms_and_power() -> None:
    clean = clean_verdicts(30, 60_000)
    assert sum(cell["leak"] for cell in clean.values()) == 0
    assert sum(cell["alarm"] for (name, _), cell in clean.items() if name == "any") <= 4
    caught = planted_verdicts(6, 60_000)
    for name in ("outcomes in words", "the next move as a percentage", "later days as past", "stamps of an edit"):
        assert all(caught[name, share, "plain"]["missed"] == 0 for share in (0.2, 0.05)), name
