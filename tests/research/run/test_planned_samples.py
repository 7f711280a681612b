"""Samples that are settled once and taken fold by fold are those of each fold settled anew from all rows."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from embargo.data_loaders import labels
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.splits import combinatorial, groups_by_calendar, part_of
from embargo.data_loaders.splits.purging import TimeSplit
from embargo.research.config.experiment import load_config
from embargo.research.examples.shipped import example
from embargo.research.progress import Quiet
from embargo.research.run.plan import Plan
from embargo.research.run.preparation import prepare
from embargo.research.run.samples import plan_samples

PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def plan() -> Plan:
    with example("small") as path:
        return prepare(load_config(path), Quiet())


def unsettled(news: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Take labels away, give texts of others, and file articles under another symbol too."""
    rng = np.random.default_rng(seed)
    text, label = news["text"].to_numpy(copy=True), news["label"].astype(object).to_numpy(copy=True)
    there = rng.permutation(len(news))
    text[there[:60]] = text[there[60:120]]
    label[there[120:140]] = None
    news = news.assign(text=pd.Series(text, dtype="str"), label=pd.Series(label, dtype="str"))
    again = news.iloc[there[140:170]].assign(symbol="BEXM")
    return (
        pd.concat([news, again])
        .drop_duplicates(["article_id", "symbol"])
        .sort_values(["known_at", "article_id", "symbol"], ignore_index=True)
    )


def settled_anew(plan: Plan, cut: TimeSplit) -> tuple[dict[str, pd.DataFrame], dict[str, int]]:
    """Settle what could be known by the end of training and validation by itself, and divide all rows."""
    rows = labels.labelled_rows(plan.world.news, "label")
    whole = labels.settle(rows, {"rows": len(rows)})
    until = max(window.end for name in ("train", "validation") for window in cut.windows[name])
    by_then = labels.settle(rows.loc[rows["known_at"] < until], {}).frame
    later = whole.frame.loc[whole.frame["known_at"] >= until]
    found = part_of(
        pd.concat([by_then, later], ignore_index=True), cut, embargo=pd.Timedelta(plan.config.split.embargo)
    )
    return {name: getattr(found, name) for name in PARTS}, found.counts | whole.counts


@pytest.mark.parametrize("seed", range(7_300_000, 7_300_004))
def test_samples_are_those_of_each_cut_settled_anew(plan: Plan, seed: int) -> None:
    here = replace(plan, world=replace(plan.world, news=unsettled(plan.world.news, seed)))
    folds = [part.fold for part in plan.parts]
    known_at = here.world.news["known_at"]
    edges = pd.date_range(known_at.iloc[0].floor("D"), known_at.iloc[-1].ceil("D"), periods=6)
    paths = combinatorial(groups_by_calendar(list(edges)))[::4]
    for cut in [*folds, *paths]:
        [found] = plan_samples(plan.config, here.world, [cut])
        wanted, counts = settled_anew(here, cut)
        assert min(counts["conflicting_texts"], counts["unlabelled"], counts["repeated_articles"]) > 0
        for name in PARTS:
            pd.testing.assert_frame_equal(getattr(found, name), wanted[name])
        assert found.counts == counts
        inside = np.logical_or.reduce([window.holds(known_at) for window in cut.windows["test"]])
        pd.testing.assert_frame_equal(found.test_news, here.world.news.loc[inside], check_index_type=False)
        learnt = pd.concat([wanted["train"], wanted["validation"]])
        assert found.trained_until == max(learnt["known_at"].max(), learnt["ends_at"].max())
    assert any(counts["outside"] for counts in (settled_anew(here, fold)[1] for fold in folds))


def test_a_fold_without_samples_is_told_of_all_of_them(plan: Plan) -> None:
    first = plan.parts[0].fold
    late = plan.world.news["known_at"] >= first.test_start
    here = replace(plan.world, news=plan.world.news.loc[late].reset_index(drop=True))
    begins, ends = here.news["known_at"].iloc[[0, -1]]
    assert ends > first.test_end
    with pytest.raises(DataError, match=re.escape(f"all samples run from {begins} to {ends}")):
        plan_samples(plan.config, here, [first])
