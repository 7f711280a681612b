"""A run that asks an endpoint: what it takes is foreseen, kept, shown, paid once, and needs no server the next time."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from samples.asked import short_template
from servers.loopback import ServerError
from servers.openai_service import OpenAiService

from embargo.backtest.leakage import check_rereading
from embargo.models.endpoints import BudgetError, Journal, asking
from embargo.models.endpoints.journal import JOURNAL
from embargo.research import Quiet, load_config, prepare
from embargo.research.run.asking import ASKED_OF_PAID, endpoint_settings, foreseen
from embargo.research.run.audit import judge_bases
from embargo.research.run.cutoff import stated_cutoff
from embargo.research.run.memory import Memory
from embargo.research.run.reading import read
from embargo.research.run.report.asked import asked_table

pytest.importorskip("openai")


def planned(url: str, folder, *overrides: str):
    small = files("embargo.research.examples") / "small.toml"
    told = [
        "model.kind=endpoint",
        f"model.endpoint.url={url}/v1",
        "model.endpoint.model=a-model",
        "model.endpoint.prompt_price=1",
        "model.endpoint.completion_price=2",
        "news.simulated.articles_per_symbol_day=0.2",
        f"model.prompt.template={short_template(folder)}",
        *overrides,
    ]
    return prepare(load_config(small, overrides=told), Quiet())


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A reading through a server, which is gone then, and the same once more without it."""
    folder = tmp_path_factory.mktemp("run")
    with OpenAiService(model="a-model").serve() as server:
        plan = planned(server.url, folder)
        said = foreseen(plan)
        assert not server.requests
        server.fail(ServerError(500))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asking, "FIRST_WAIT_S", 0.02)
            first = read(plan, plan.parts, folder, Quiet(), Memory())
        number = len(server.requests)
    second = read(plan, plan.parts, folder, Quiet(), Memory())
    return plan, said, number, first, second, folder


def test_what_is_foreseen_is_what_is_asked(asked):
    _, said, number, *_ = asked
    # One was answered with a fault, and repeated.
    assert said[0].startswith("a-model at http://127.0.0.1:")
    assert f"/v1: {number - 1:,} requests (up to" in said[0]
    assert "nobody says until when it knows the world" in said[-1]


def test_without_the_server_a_run_says_the_same(asked):
    _, _, _, first, second, _ = asked
    pd.testing.assert_frame_equal(first.scored, second.scored)
    pd.testing.assert_frame_equal(first.answers, second.answers)
    counted = ("n_cached", "n_scored")
    for one, other in zip(first.manifests, second.manifests, strict=True):
        assert {k: v for k, v in one.items() if k not in counted} == {
            k: v for k, v in other.items() if k not in counted
        }
        assert other["n_scored"] == 0


def test_a_run_that_is_all_kept_asks_nothing_again(asked, tmp_path):
    plan, _, _, first, _, folder = asked
    shutil.copytree(folder, tmp_path / "copy")
    with sqlite3.connect(tmp_path / "copy" / JOURNAL) as journal:
        journal.execute("DELETE FROM answers WHERE turn = 1")
    third = read(plan, plan.parts, tmp_path / "copy", Quiet(), Memory())
    pd.testing.assert_frame_equal(first.scored, third.scored)
    assert third.answers["again_bearish"].isna().all()


def test_few_are_asked_again_and_say_the_same(asked):
    plan, _, _, first, _, _ = asked
    again = first.answers.groupby("fold")["again_bearish"].count()
    assert again.tolist() == [ASKED_OF_PAID] * len(plan.parts)
    told = first.answers.loc[first.answers["again_bearish"].notna()]
    np.testing.assert_allclose(told["again_bullish"], told["kept_bullish"], atol=1e-12)
    traded = first.answers.rename(columns=lambda name: name.removeprefix("kept_")).assign(
        at=pd.Timestamp("2015-07-01", tz="UTC"), earned=0.01, **first.answers.filter(like="kept_")
    )
    assert check_rereading(traded).verdict == "pass"


def test_the_sum_over_folds_is_what_was_spent(asked):
    plan, _, number, first, _, folder = asked
    accounts = [manifest["asked"] for manifest in first.manifests]
    with Journal(folder / JOURNAL) as journal:
        spent = journal.spent(endpoint_settings(plan.config.model).purse)
    assert sum(account["requests"] for account in accounts) == spent.requests == number
    assert sum(account["cost"] for account in accounts) == pytest.approx(spent.cost)
    assert sum(account["failed"] for account in accounts) == 1
    table = asked_table(first.manifests)
    assert table is not None
    assert table.rows[-1][0] == "all"
    assert table.rows[-1][3] == f"{number:,}"
    assert asked_table([{"fold": 0}]) is None
    # Of draws that never differ the reader is told.
    drawn = [
        manifest | {"asked": manifest["asked"] | {"unanimous": manifest["asked"]["answered"]}}
        for manifest in first.manifests
    ]
    assert "draws nothing" in asked_table(drawn).note
    assert "draws nothing" not in table.note


def test_an_unknown_cutoff_is_suspicious_and_a_stated_one_divides_the_test(asked):
    plan, _, _, first, _, _ = asked
    finding = judge_bases(plan, first.manifests)
    assert (finding.code, finding.verdict) == ("M1", "suspicious")
    assert "'a-model'" in finding.detail
    dated = [manifest | {"base_knowledge_cutoff": "2015-09-01T00:00:00+00:00"} for manifest in first.manifests]
    assert stated_cutoff(plan, dated) == pd.Timestamp("2015-09-01", tz="UTC")
    early = [manifest | {"base_knowledge_cutoff": "2014-01-01T00:00:00+00:00"} for manifest in dated]
    assert judge_bases(plan, early).verdict == "pass"


def test_that_the_client_is_missing_is_foreseen(tmp_path, monkeypatch):
    plan = planned("http://127.0.0.1:9/v1", tmp_path)
    assert not [said for said in foreseen(plan) if "package openai" in said]
    monkeypatch.setitem(sys.modules, "openai", None)
    (missing,) = [said for said in foreseen(plan) if "package openai" in said]
    assert "only kept answers can be read" in missing
    assert "embargo-backtest[endpoint]" in missing


def test_a_budget_stops_a_run_which_then_goes_on_where_it_stopped(tmp_path):
    with OpenAiService(model="a-model").serve() as server:
        plan = planned(server.url, tmp_path, "model.endpoint.max_requests=20")
        assert "max_requests = 20 stops this run before it is done" in foreseen(plan)[1]
        with pytest.raises(BudgetError, match=r"stopped before model.endpoint.max_requests = 20: 20 were made"):
            read(plan, plan.parts, tmp_path, Quiet(), Memory())
        assert len(server.requests) == 20
        # What is left for asking again decides how many are.
        whole = planned(server.url, tmp_path)
        wanted = int(foreseen(whole)[0].split("/v1: ")[1].split(" ")[0].replace(",", ""))
        short = planned(server.url, tmp_path, f"model.endpoint.max_requests={wanted - 3}")
        reading = read(short, short.parts, tmp_path, Quiet(), Memory())
        assert len(server.requests) == wanted - 3
        assert reading.answers.groupby("fold")["again_bearish"].count().sum() == ASKED_OF_PAID * len(plan.parts) - 3


def test_examples_in_the_prompt_are_in_the_record(tmp_path):
    with OpenAiService(model="a-model").serve() as server:
        plan = planned(server.url, tmp_path, "model.prompt.examples=3", "model.prompt.max_tokens=400")
        reading = read(plan, plan.parts[:1], tmp_path, Quiet())
    uses = reading.fitted_on["use"].value_counts()
    assert uses["example"] >= 3
    latest = reading.fitted_on.loc[reading.fitted_on["use"] == "example", "known_at"].max()
    assert latest < plan.parts[0].fold.train_end


def test_a_cutoff_that_is_stated_too_early_is_refused_before_anything_is_asked(tmp_path):
    from embargo.data_loaders.errors import LeakError

    with pytest.raises(LeakError, match="earlier than the documented"):
        planned(
            "http://127.0.0.1:9",
            tmp_path,
            "model.endpoint.model=openai-community/gpt2",
            "model.knowledge_cutoff=2016-01-01",
        )
