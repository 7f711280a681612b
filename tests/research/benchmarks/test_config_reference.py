"""Every key says what it does, and the page of the configuration is what the code has."""

from __future__ import annotations

import doctest
from typing import Annotated

import pandas as pd
import pytest
from pydantic import Field

from embargo.research.benchmarks import config_reference, notebooks
from embargo.research.benchmarks.config_reference import FILES, keys, page, undescribed
from embargo.research.benchmarks.structure import ROOT
from embargo.research.config.adapt import AdaptSection, LabelledConfig
from embargo.research.config.experiment import Config, SplitSection
from embargo.research.config.model import ModelSection
from embargo.research.config.settings import Count, Instant, Section

KINDS = [*(file.model for file in FILES), AdaptSection, LabelledConfig]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_key_says_what_it_does(kind: type[Section]) -> None:
    assert undescribed(kind) == []


class Odd(Section):
    """A section with one key that says nothing."""

    told: Annotated[float, Field(gt=0, le=2)] = 1.0
    """What it does."""
    silent: Count | None = None
    since: Instant = pd.Timestamp("2015-01-01", tz="UTC")
    """From when on."""
    split: SplitSection | None = None
    """A section."""


def test_a_key_that_says_nothing_is_found() -> None:
    assert undescribed(Odd) == ["Odd.silent"]
    with pytest.raises(ValueError, match=r"Odd\.silent has no description"):
        keys(Odd)


def test_keys_carry_kind_default_and_range() -> None:
    described = {key.name: key for key in keys(ModelSection)}
    rank, base, scorer = described["rank"], described["base"], described["scorer"]
    assert (rank.kind, rank.default, rank.bounds) == ("whole number", "`8`", "≥ 1, ≤ 256")
    assert (base.kind, base.default) == ("text, or table of days to texts", '`"tiny"`')
    assert scorer.kind == '`"torch"`, `"onnx"`, `"onnx-int8"`, `"auto"`'
    first = {key.name: key for key in keys(SplitSection)}["first_test"]
    assert (first.kind, first.default) == ("date or instant", "required")
    assert {key.name for key in keys(Config) if key.section is None} == {"name", "seed", "as_of"}


def test_the_page_is_what_the_code_has() -> None:
    written = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == page(), (
        "renew it with python -m embargo.research.benchmarks.config_reference --write docs/configuration.md"
    )
    assert written.count("| `max_cost` |") == 1


def test_the_examples_run() -> None:
    for module in (config_reference, notebooks):
        found = doctest.testmod(module)
        assert (found.attempted > 0, found.failed) == (True, 0)
