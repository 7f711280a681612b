"""A base whose stated cutoff divides the test: both sides are shown, and a memory that ends there is doubted."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from embargo.research import Quiet, execute, load_config
from embargo.research.run import pipeline
from embargo.research.run.cutoff import stated_cutoff
from embargo.research.run.probing import _placed

CUTOFF = pd.Timestamp("2015-10-01", tz="UTC")
FAST = ["model.kind=linear", "news.simulated.symbols=6", "leakage.rows=2"]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Run a base that reads, and one that says what is going to happen until its cutoff, both with the same cutoff."""
    config = load_config(str(files("embargo.research.examples") / "small.toml"), FAST)
    folder, honest = tmp_path_factory.mktemp("runs"), pipeline.read

    def through(recalls):
        def read(plan, *rest):
            reading = honest(plan, *rest)
            if plan.config.model.kind == "lexicon":
                return reading
            stated = {"base": "made", "base_knowledge_cutoff": CUTOFF.isoformat(), "cutoff_source": "a test"}
            reading = replace(reading, manifests=[each | stated for each in reading.manifests])
            if not recalls:
                return reading
            known = _placed(plan).set_index(["article_id", "symbol"])["earned"]
            scored = reading.scored.copy()
            earned = known.reindex(pd.MultiIndex.from_frame(scored[["article_id", "symbol"]])).to_numpy()
            told = (scored["known_at"] < CUTOFF).to_numpy() & np.isfinite(earned)
            scored.loc[told, "bullish"] = np.where(earned[told] > 0.0, 0.96, 0.02)
            scored.loc[told, "bearish"] = np.where(earned[told] > 0.0, 0.02, 0.96)
            scored.loc[told, "neutral"] = 0.02
            scored.loc[told, "confidence"] = 0.96
            return replace(reading, scored=scored)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pipeline, "read", read)
            return execute(config, out=folder / str(recalls), cache=folder / "cache", stages=Quiet())

    return {recalls: through(recalls) for recalls in (True, False)}


def asked(outcome):
    titles = {"M1": "Forecasts are worth as much", "M9": "Alpha does not end"}
    return {
        code: finding
        for code, title in titles.items()
        for finding in outcome.findings
        if finding.code == code and finding.title.startswith(title)
    }


def test_memory_that_ends_at_the_cutoff_is_doubted_and_reading_is_not(outcomes):
    recalls, reads = asked(outcomes[True]), asked(outcomes[False])
    assert {code: finding.verdict for code, finding in recalls.items()} == {"M1": "suspicious", "M9": "suspicious"}
    assert {code: finding.verdict for code, finding in reads.items()} == {"M1": "pass", "M9": "pass"}
    assert "beyond the baseline's" in recalls["M1"].detail


def test_both_sides_are_measured_and_shown(outcomes):
    for recalls, outcome in outcomes.items():
        split = outcome.metrics.either_side
        account = pd.read_parquet(outcome.folder / "account.parquet")
        assert split.cutoff == CUTOFF.isoformat()
        assert split.before.n_bars + split.after.n_bars == len(account)
        later = account.loc[account.index >= CUTOFF, "net_return"]
        assert split.after.n_bars == len(later)
        assert split.after.sharpe == pytest.approx(later.mean() / later.std() * np.sqrt(252), rel=0.01)
        assert (split.before.information_coefficient > 0.5) == recalls
        assert split.after.information_coefficient_low < 0.3
        page = (outcome.folder / "report.html").read_text(encoding="utf-8")
        words = re.sub(r"<[^>]+>|\s+", " ", page[page.index("Before and after the knowledge cutoff") :])
        assert f"{split.before.sharpe:.2f}".replace("-", "−") in words
        assert "2015-10-01 00:00 UTC" in words


@pytest.mark.parametrize(
    ("cutoffs", "words"),
    [
        ((None, None), "Nobody says"),
        (("2015-01-01", "2015-01-01"), "ends before each test window"),
        # Dated vintages: each fold's base ends before that fold.
        (("2015-06-30", "2015-09-30"), "ends before each test window"),
        (("2016-03-01", "2016-03-01"), "reaches to the end"),
    ],
)
def test_a_cutoff_that_does_not_divide_the_test_splits_nothing(outcomes, cutoffs, words):
    from embargo.research import prepare

    plan = prepare(load_config(str(files("embargo.research.examples") / "small.toml")), Quiet())
    stated = [None if at is None else f"{at}T00:00:00+00:00" for at in cutoffs]
    told = stated_cutoff(plan, [{"base": "made", "base_knowledge_cutoff": at} for at in stated])
    assert words in told
    assert "no pretrained weights" in stated_cutoff(
        plan, [{"kind": "linear", "base": None, "base_knowledge_cutoff": None}]
    )
