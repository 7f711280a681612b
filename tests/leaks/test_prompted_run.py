"""A run of a reader that is asked in words: what is planted in its prompts is found, its clean twin passes."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import check_batch_mates
from embargo.models.prompt import Prompting, PromptItem
from embargo.research import Quiet, load_config
from embargo.research.leakbench.counting import CountingScorer, rarity_of
from embargo.research.run import preparation, reading
from embargo.research.run.perturbation import Carried, perturb_once
from embargo.research.run.plan import traded_news
from embargo.research.run.prompt_checks import judge_prompts
from embargo.research.run.trading import fuse, trade

SMALL = files("embargo.research.examples") / "small.toml"
READER = "embargo.research.leakbench.counting:COUNTING"
INDEX = "embargo.research.leakbench.counting.Index"


def carried(folder, *overrides):
    config = load_config(SMALL, [f'model.kind="{READER}"', *overrides]).allowing([READER])
    plan, memory = preparation.prepare(config, Quiet()), reading.Memory()
    read = reading.read(plan, plan.parts, folder, Quiet(), memory)
    fused = fuse(plan, read.scored, memory.fusions)
    return Carried(plan, read, trade(plan, traded_news(plan, read.scored), fused), fused), memory


def judged(run):
    plan, read = run.plan, run.reading
    labelled = pd.concat([rows for part in plan.parts for rows in (part.train, part.validation, part.test)])
    names = dict.fromkeys(plan.world.prices.symbols, ())
    found = judge_prompts(plan, read.prompts, read.orders, run.result.placed, read.fitted_on, labelled, names)
    return {each.code: each for each in found}


def verdicts(run):
    return {code: each.verdict for code, each in judged(run).items()}


def repeated(run, memory, folder):
    return perturb_once(run, memory, folder, seed=run.plan.config.seed)


def test_an_honest_reader_passes_and_its_templates_are_written_down(tmp_path):
    run, memory = carried(tmp_path)
    assert verdicts(run) == dict.fromkeys(("R1", "R2", "R4", "R5"), "pass")
    assert check_batch_mates(run.reading.answers).verdict == "pass"
    assert "of prompts" in repeated(run, memory, tmp_path).detail
    [template] = {name for manifest in run.reading.manifests for name in manifest["templates"]}
    assert set(run.reading.prompts["template"]) == {template}


def test_later_articles_in_the_index_are_found_by_their_text_and_by_the_canary(tmp_path, monkeypatch):
    honest = reading.background_of

    def leaky(plan, part):
        known = honest(plan, part)
        return plan.world.news[known.columns].assign(known_at=known["known_at"].max())

    monkeypatch.setattr(reading, "background_of", leaky)
    run, memory = carried(tmp_path)
    found = judged(run)["R1"]
    assert found.verdict == "leak"
    assert "bear an earlier date" in found.detail
    again = repeated(run, memory, tmp_path)
    assert (again.code, again.verdict) == ("R1", "leak")
    assert "what was read by retrieved" in again.detail


def test_later_articles_that_were_reworded_and_dated_back_are_not_passed(tmp_path, monkeypatch):
    shown = CountingScorer.shown

    def reworded(scorer, text):
        return [
            (replace(item, text=f"Later it was said: {item.text.upper()}") if item.part == "retrieved" else item, label)
            for item, label in shown(scorer, text)
        ]

    monkeypatch.setattr(CountingScorer, "shown", reworded)
    found = judged(carried(tmp_path)[0])["R1"]
    assert found.verdict == "inconclusive"
    assert "in neither the news nor the samples, such as 'Later it was said: " in found.detail
    assert found.effect > 0.0
    assert found.evidence[0]["text"].startswith("Later it was said: ")


@pytest.mark.slow
def test_rare_words_of_all_dates_in_the_index_move_prompts(tmp_path, monkeypatch):
    """Only what is within reach is dated; that it is weighed by later articles shows when the future changes."""
    seen, honest = {}, reading.background_of

    def noted(plan, part):
        known = honest(plan, part)
        seen["all"] = plan.world.news["text"].tolist()
        # Otherwise the fit would be taken from the run, whose background is the same.
        return known.assign(source=str(hash(tuple(seen["all"]))))

    def weighed(build):
        return lambda index, texts, rarity: build(index, texts, rarity_of(seen["all"]))

    monkeypatch.setattr(reading, "background_of", noted)
    from embargo.research.leakbench.counting import Index

    monkeypatch.setattr(Index, "__init__", weighed(Index.__init__))
    run, memory = carried(tmp_path)
    assert verdicts(run)["R1"] == "pass"
    found = repeated(run, memory, tmp_path)
    assert (found.code, found.verdict) in (("R1", "leak"), ("S4", "leak"))


def test_an_outcome_that_is_remembered_before_it_is_complete_is_found(tmp_path, monkeypatch):
    config = load_config(SMALL, ["model.kind=lexicon", "labels.source=returns", "split.embargo='3D'"])
    plan = preparation.prepare(config, Quiet())
    tested = pd.concat([part.test for part in plan.parts]).sort_values("known_at").drop_duplicates("text")
    rows = list(tested.itertuples())
    before = dict(zip(tested["text"].iloc[1:], rows[:-1], strict=True))
    shown = CountingScorer.shown

    def remembering(scorer, text):
        items = shown(scorer, text)
        if text in before:
            older = before[text]
            items.append((PromptItem("example", older.text, older.known_at), int(older.label)))
        return items

    monkeypatch.setattr(CountingScorer, "shown", remembering)
    run, _ = carried(tmp_path, "labels.source=returns", "split.embargo='3D'")
    found = judged(run)
    assert (found["R1"].verdict, found["R2"].verdict) == ("pass", "leak")


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ("As of June 2024, is this good news?", "leak"),
        pytest.param("In 2014 rates were low. Is this good?", "suspicious", marks=pytest.mark.slow),
    ],
)
def test_a_template_that_knows_is_found(words, verdict, tmp_path, monkeypatch):
    monkeypatch.setattr(CountingScorer, "instruction", lambda scorer: words)
    run, _ = carried(tmp_path)
    assert verdicts(run) == {"R1": "pass", "R2": "pass", "R4": verdict, "R5": "pass"}


@pytest.mark.slow
def test_words_that_a_prompt_does_not_list_are_read_all_the_same(tmp_path, monkeypatch):
    honest = CountingScorer.prompts

    def hiding(scorer, texts):
        return [replace(each, rendered=f"It is 2024-06-01.\n{each.rendered}") for each in honest(scorer, texts)]

    monkeypatch.setattr(CountingScorer, "prompts", hiding)
    run, _ = carried(tmp_path)
    assert verdicts(run)["R4"] == "leak"


@pytest.mark.slow
def test_a_reader_that_follows_orders_and_one_that_reads_two_articles_at_once_are_found(tmp_path, monkeypatch):
    honest = CountingScorer.logits

    def obeying(scorer, texts, progress=None):
        logits = honest(scorer, texts, progress)
        for row, text in enumerate(texts):
            for word, way in (("bullish", 2.0), ("bearish", -2.0)):
                if word in text and not any(said in text for said in ("word", "words", "entry", "spell", "Typesetter")):
                    logits[row] = np.array([-way, 0.0, way])
        return logits

    monkeypatch.setattr(CountingScorer, "logits", obeying)
    run, _ = carried(tmp_path / "obeying")
    assert verdicts(run)["R5"] == "suspicious"
    assert check_batch_mates(run.reading.answers).verdict == "pass"

    def paired(scorer, texts, progress=None):
        logits = honest(scorer, texts, progress)
        return 0.7 * logits + 0.3 * np.roll(logits, 1, axis=0)

    monkeypatch.setattr(CountingScorer, "logits", paired)
    run, _ = carried(tmp_path / "paired")
    assert check_batch_mates(run.reading.answers).verdict == "leak"
    assert verdicts(run)["R5"] == "pass"


def test_the_counting_reader_shows_its_prompts():
    assert issubclass(CountingScorer, Prompting)
