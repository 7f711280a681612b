"""Readers that are paid for: as teachers, in audits that ask more than a run does, and what is said of their cost."""

from __future__ import annotations

import re
from importlib.resources import files

import pandas as pd
import pytest
from samples.asked import short_template
from servers.openai_service import OpenAiService

from embargo.data_loaders.errors import ConfigError
from embargo.models.endpoints import Journal
from embargo.models.endpoints.journal import JOURNAL
from embargo.research import Quiet, execute, load_config, prepare
from embargo.research.modelling.distilling import distill_models
from embargo.research.run.asking import foreseen, paid_reader, share_journal, spent, took
from embargo.research.run.memory import Memory
from embargo.research.run.perturbation import perturb_run
from embargo.research.run.probing import probe_run
from embargo.research.run.reading import read
from embargo.research.run.report.asked import asked_table
from embargo.research.run.world import load_inputs

pytest.importorskip("openai")
TEACHER = "model.distill.teacher"


class Told(Quiet):
    """Stages that remember what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def configured(url: str, folder, *overrides: str, where: str = "model"):
    small = files("embargo.research.examples") / "small.toml"
    taught = [] if where == "model" else ["model.kind=distilled", "model.distill.student=linear"]
    told = [
        *taught,
        f"{where}.kind=endpoint",
        f"{where}.endpoint.url={url}/v1",
        f"{where}.endpoint.model=a-model",
        f"{where}.endpoint.prompt_price=1",
        f"{where}.endpoint.completion_price=2",
        f"{where}.prompt.template={short_template(folder)}",
        "news.simulated.articles_per_symbol_day=0.2",
        "statistics.permutations=99",
        *overrides,
    ]
    return load_config(small, overrides=told)


def foretold(said: str) -> int:
    return int(re.search(r": ([\d,]+) requests", said)[1].replace(",", ""))


def summed(config, reading, before, cache) -> str:
    return took(config, [each["asked"] for each in reading.manifests], before, cache)[0]


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A reading whose teacher is behind a server, its distillation, and the same reading once the server is gone."""
    folder = tmp_path_factory.mktemp("taught")
    cache = folder / "cache"
    with OpenAiService(model="a-model").serve() as server:
        config, told = configured(server.url, folder, where=TEACHER), Told()
        plan, before = prepare(config, Quiet()), spent(config, cache)
        said = foreseen(plan)
        assert not server.requests
        one = read(plan, plan.parts, cache, Quiet(), Memory())
        number, first = len(server.requests), summed(config, one, before, cache)
        made = list(distill_models(config, out=folder / "models", cache=cache, stages=told))
        more = len(server.requests) - number
    before = spent(config, cache)
    two = read(plan, plan.parts, cache, Quiet(), Memory())
    return config, said, number, (one, first), (two, summed(config, two, before, cache)), (made, told, more), folder


def test_a_teacher_that_is_paid_for_is_foreseen_and_its_cost_is_told(taught):
    config, said, number, (one, first), *_ = taught
    assert paid_reader(config).where == f"{TEACHER}.endpoint"
    assert said[0].startswith("The teacher a-model at http://127.0.0.1:")
    assert foretold(said[0]) == number
    assert sum(each["asked"]["requests"] for each in one.manifests) == number
    assert f"took {number:,} requests (0 failed)" in first
    assert f"{number:,} requests and cost" in first
    assert asked_table(one.manifests).rows[-1][3] == f"{number:,}"


def test_what_a_teacher_said_is_kept_and_nobody_is_needed_for_it_any_more(taught):
    _, _, number, (one, _), (two, second), *_ = taught
    pd.testing.assert_frame_equal(one.scored, two.scored)
    assert f"took {number:,} requests" in second
    assert "; 0 requests and cost 0 of its budget went in this run" in second


@pytest.mark.slow
def test_a_run_says_beforehand_what_it_asks_and_at_its_end_what_that_took(taught):
    config, said, number, *_, folder = taught
    told = Told()
    outcome = execute(config, out=folder / "runs", cache=folder / "cache", stages=told)
    assert told.said == said
    assert f"took {number:,} requests" in outcome.verdict.text
    assert "What was asked of the endpoint" in (outcome.folder / "report.html").read_text()


def test_the_card_of_a_student_says_what_teaching_took(taught):
    _, _, number, *_, (made, told, more), _ = taught
    assert foretold(told.said[0]) == number + more
    assert f"{more:,} requests and cost" in told.said[-1]
    assert sum(each.manifest["teaching"]["requests"] for each in made) == number
    for each in made:
        card = (each.path / "README.md").read_text()
        assert f"| Teaching took | {each.manifest['teaching']['requests']:,} requests" in card
        assert "cost per 1,000 texts" in card
        assert each.manifest["cost"]["teacher"]["cost_per_1000"] > 0.0


def test_without_a_budget_nobody_is_asked_of_more_than_a_run_asks(tmp_path):
    for where in ("model", TEACHER):
        config = configured("http://127.0.0.1:9", tmp_path, where=where)
        plan, inputs = prepare(config, Quiet()), load_inputs(config, Quiet())
        with pytest.raises(ConfigError, match=rf"--set {where}.endpoint.max_requests=5000"):
            perturb_run(plan, inputs, tmp_path / "deep", Quiet(), n_rows=1, kept=tmp_path / "cache")
        with pytest.raises(ConfigError, match=rf"probes: .*--set {where}.endpoint.max_requests=5000"):
            probe_run(plan, tmp_path / "cache", Quiet())
    config = configured("http://127.0.0.1:9", tmp_path, "model.endpoint.max_requests=9")
    with pytest.raises(ConfigError, match="Say in which cache folder"):
        perturb_run(prepare(config, Quiet()), load_inputs(config, Quiet()), tmp_path / "deep", Quiet(), n_rows=1)
    assert not (tmp_path / "deep").exists()


def test_an_empty_cache_gets_the_purse_of_the_run_s(tmp_path):
    config = configured("http://127.0.0.1:9", tmp_path, "model.endpoint.max_requests=1")
    purse = paid_reader(config).settings.purse
    share_journal(config, tmp_path / "cache", [tmp_path / "deep" / "one"], "a test")
    with Journal(tmp_path / "deep" / "one" / JOURNAL) as journal:
        journal.charge(purse, "asked", "a text", tokens=(1, 1), cost=0.0)
    assert spent(config, tmp_path / "cache").requests == 1


@pytest.mark.slow
def test_audits_that_ask_more_spend_the_run_s_own_budget(tmp_path):
    with OpenAiService(model="a-model").serve() as server:
        config, cache = configured(server.url, tmp_path, "model.endpoint.max_requests=100000"), tmp_path / "cache"
        plan, inputs, told = prepare(config, Quiet()), load_inputs(config, Quiet()), Told()
        found = perturb_run(plan, inputs, tmp_path / "deep", told, n_rows=1, kept=cache)
        assert [each.verdict for each in found] == ["pass"]
        deep = len(server.requests)
        assert deep <= sum(foretold(each) for each in told.said if "requests" in each)
        again = Told()
        perturb_run(plan, inputs, tmp_path / "again", again, n_rows=1, kept=cache)
        assert len(server.requests) == deep
        probe_run(plan, cache, told, at_most=20)
        assert deep < len(server.requests) <= deep + foretold(told.said[-1])
        with Journal(cache / JOURNAL) as journal:
            assert journal.spent(paid_reader(config).settings.purse).requests == len(server.requests)
    assert foreseen(plan)[0] in told.said
