"""Texts that a world numbered on the way are those that it would number anew, whatever was left out since."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from embargo.data_loaders.checks import check_news, first_seen
from embargo.data_loaders.checks.check import facts_of
from embargo.data_loaders.checks.repeats import text_numbers
from embargo.data_loaders.schemas import rows_where
from embargo.research.config.experiment import Config, load_config
from embargo.research.examples.shipped import example
from embargo.research.progress import Quiet
from embargo.research.run.world import Inputs, load_inputs, world_of


@pytest.fixture(scope="module")
def config() -> Config:
    with example("small") as path:
        return load_config(path)


@pytest.fixture(scope="module")
def inputs(config: Config) -> Inputs:
    return load_inputs(config, Quiet())


def told_alike(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Tell whether two ways to number rows put the same rows together."""
    pairs = set(zip(found.tolist(), wanted.tolist(), strict=True))
    return len(pairs) == len(set(found.tolist())) == len(set(wanted.tolist()))


@pytest.mark.parametrize("settings", [{}, {"drop_repeats": False}, {"repeat_scope": "symbol"}, {"unpriced": "drop"}])
def test_a_world_numbers_its_texts_as_if_anew(config: Config, inputs: Inputs, settings: dict[str, object]) -> None:
    changed = config.model_copy(update={"news": config.news.model_copy(update=settings)})
    if "unpriced" in settings:
        symbols = [name for name in inputs.prices.symbols if name != inputs.news["symbol"].iloc[3]]
        inputs = replace(inputs, prices=inputs.prices.select(symbols=symbols))
    world = world_of(changed, inputs)
    assert (world.counts["news"]["unpriced"] > 0) == ("unpriced" in settings)
    assert told_alike(world.stories, text_numbers(world.news["text"]))
    if changed.news.drop_repeats:
        window = pd.Timedelta(changed.news.repeat_window)
        fresh = first_seen(inputs.news, scope=changed.news.repeat_scope, window=window)
        assert world.counts["news"]["repeats"] == int((~fresh).sum()) > 0


def test_a_world_that_is_given_other_news_numbers_those(config: Config, inputs: Inputs) -> None:
    world = world_of(config, inputs)
    other = world.news.assign(text=world.news["text"].to_numpy()[::-1])
    assert told_alike(replace(world, news=other).stories, text_numbers(other["text"]))


def test_checks_of_numbered_news_say_what_they_say_of_others(inputs: Inputs) -> None:
    again = inputs.news.sample(frac=1.0, random_state=7_300_000).assign(revision=0)
    again = pd.concat([again, again.iloc[:50].assign(revision=1, text="Corrected.")], ignore_index=True)
    # Any numbers will do, if copies share them.
    numbers = 3 * text_numbers(again["text"]) + 7
    told, anew = (check_news(facts_of(again, *given), calendar="XNYS") for given in ((numbers,), ()))
    for one, other in zip(told, anew, strict=True):
        assert (one.name, one.verdict, one.summary, one.figures) == (
            other.name,
            other.verdict,
            other.summary,
            other.figures,
        )
        pd.testing.assert_frame_equal(one.rows, other.rows)
    assert {check.code: check.figures for check in told}["exact-copies"]["copies"] > 0


@pytest.mark.parametrize("inside", ["", "0", "1", "000", "0110", "1100", "0011", "1111", "0101", "10001"])
def test_rows_are_taken_as_by_a_mask(inside: str) -> None:
    mask = np.array([sign == "1" for sign in inside], dtype=bool)
    frame = pd.DataFrame({"text": [f"text {place}" for place in range(len(inside))]}, index=range(5, 5 + len(inside)))
    pd.testing.assert_frame_equal(rows_where(frame, mask), frame.loc[mask], check_index_type=False)
