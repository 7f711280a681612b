"""A reader behind an address, against a server on loopback that answers by rule: what it asks, costs and keeps."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import traceback
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from samples.asked import articles
from samples.endpoint_readers import KEY, TEXTS, expected, scorer_of, settings, shares_in, within
from servers.loopback import Loopback
from servers.openai_service import OpenAiService, refusal, shares_of, words

from embargo.backtest.leakage.rereading import drawn_chance
from embargo.data_loaders.errors import ConfigError, EmbargoError, LeakError, MissingPartError, ServiceError
from embargo.models import EndpointSettings, ScoreCache, fit_scorer
from embargo.models.content import text_hash
from embargo.models.endpoints import asking
from embargo.models.endpoints.journal import JOURNAL
from embargo.models.prompt import Prompting
from embargo.models.scorer import Paid
from embargo.models.scorers.endpoint import _fit, stated_cutoff
from embargo.models.scorers.kind import FitRequest

pytest.importorskip("openai")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(asking, "FIRST_WAIT_S", 0.02)
    monkeypatch.setenv("ENDPOINT_KEY", KEY)


@pytest.mark.parametrize("api", ["chat", "completions"])
@pytest.mark.parametrize("concurrency", [1, 5])
def test_shares_are_read_from_the_first_word(server, service, tmp_path, api, concurrency):
    scorer = scorer_of(server, tmp_path, api=api, concurrency=concurrency)
    np.testing.assert_allclose(shares_in(scorer.logits(TEXTS)), expected(scorer), atol=1e-9)
    assert service.most_together <= concurrency
    # One more found out how the server is asked.
    assert len(server.requests) == len(TEXTS) + 1
    assert isinstance(scorer, Prompting)
    assert isinstance(scorer, Paid)
    assert [prompt.rendered for prompt in scorer.prompts(TEXTS[:1])] == [scorer.context.rendered(TEXTS[0])]


def test_every_answer_is_held_against_inputs_without_content(server, tmp_path):
    plain, held = (scorer_of(server, tmp_path, calibrate=calibrate) for calibrate in (False, True))
    assert plain.identity != held.identity
    free = [
        "\n".join(message["content"] for message in question.prompt)
        for question in __import__("embargo.models.scorers.endpoint", fromlist=["x"]).without_content(
            held.settings, held.context
        )
    ]
    prior = np.mean([shares_of(prompt) / 0.9 for prompt in free], axis=0)
    np.testing.assert_allclose(np.exp(held.prior), prior, atol=1e-9)
    np.testing.assert_allclose(held.logits(TEXTS), plain.logits(TEXTS) - np.log(prior), atol=1e-9)


def test_a_run_that_is_done_needs_neither_server_nor_key(service, tmp_path, monkeypatch):
    with service.serve() as server:
        first = scorer_of(server, tmp_path, key="ENDPOINT_KEY", calibrate=True)
        logits = first.logits(TEXTS)
        again = first.asked_again(TEXTS[:3])
        account = first.account([text_hash(text) for text in TEXTS])
    monkeypatch.delenv("ENDPOINT_KEY")
    with within(2.0):
        second = _fit(FitRequest([], [], [], [], None, first.settings, tmp_path)).scorer
        np.testing.assert_array_equal(second.logits(TEXTS), logits)
        np.testing.assert_array_equal(second.asked_again(TEXTS[:3]), again)
        assert np.isnan(second.asked_again(TEXTS[5:6], ask=False)).all()
    assert second.identity == first.identity
    assert second.account([text_hash(text) for text in TEXTS]) == account
    assert account["requests"] == len(TEXTS) + 3
    # A text that was not asked of needs both again.
    with pytest.raises(ConfigError, match="ENDPOINT_KEY"):
        second.logits(["Something new."])


def test_asking_again_really_asks(server, service, tmp_path):
    scorer = scorer_of(server, tmp_path)
    logits = scorer.logits(TEXTS)
    asked = len(server.requests)
    np.testing.assert_array_equal(scorer.asked_again(TEXTS[:4]), logits[:4])
    assert len(server.requests) == asked + 4
    # The second time of asking is kept too.
    scorer.asked_again(TEXTS[:4])
    assert len(server.requests) == asked + 4


def test_draws_take_the_place_of_log_probabilities(service, tmp_path):
    service.logprobs = "refused"
    with service.serve() as server:
        scorer = scorer_of(server, tmp_path, samples=40)
        assert (scorer.found.manner.form, scorer.found.manner.draws(scorer.settings)) == ("schema", 40)
        found = shares_in(scorer.logits(TEXTS[:3]))
        sent = json.loads(server.requests[-1].body)
    assert sent["response_format"]["json_schema"]["schema"]["properties"]["answer"]["enum"] == list(
        scorer.context.template.labels
    )
    np.testing.assert_allclose(found * 43 - 1, np.round(found * 43 - 1), atol=1e-9)
    assert np.abs(found - expected(scorer, TEXTS[:3])).max() < 0.25
    account = scorer.account([text_hash(text) for text in TEXTS[:3]])
    assert (account["requests"], account["texts"], account["label_mass"]) == (120, 3, None)
    assert account["unanimous"] == int((np.round(found.max(axis=1) * 43) == 41).sum())


@pytest.mark.parametrize("mode", ["none", "refused"])
def test_how_a_server_is_asked_is_found_out_once(service, tmp_path, mode):
    service.logprobs, service.refused = mode, ("response_format", "max_tokens", "temperature")
    with service.serve() as server:
        scorer = scorer_of(server, tmp_path, samples=2)
        manner = scorer.found.manner
        assert (manner.form, manner.limit, manner.sampled) == ("words", "max_completion_tokens", False)
        before = len(server.requests)
        assert scorer_of(server, tmp_path, samples=2).identity == scorer.identity
        scorer.logits(TEXTS[:2])
        assert len(server.requests) == before + 4


def test_log_probabilities_that_must_be_there_are_missed(service, tmp_path):
    service.logprobs = "none"
    with service.serve() as server, pytest.raises(ConfigError, match=r"no log-probabilities.*'auto' or 'never'"):
        scorer_of(server, tmp_path, logprobs="always")


@pytest.mark.parametrize(
    ("asked", "answers", "same"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", True), ("gpt-4o", "GPT-4o", True), ("gpt-4", "gpt-4-0613", True),
        ("my/model", "my/model@main", True), ("gpt-4o", "gpt-4o-mini", False), ("gpt-4", "gpt-4o", False),
        ("a", "b", False), ("gpt-4o-2024-08-06", "gpt-4o", False), ("gpt-4o", "gpt-4o-mini-2024-07-18", False),
    ],
)  # fmt: skip
def test_a_dated_version_or_a_revision_is_the_same_model(asked, answers, same):
    assert asking.same_model(asked, answers) == same


def test_another_model_is_refused_at_once(server, service, tmp_path):
    with pytest.raises(ServiceError, match=r"'b-model' was asked, and 'a-model' answers"):
        scorer_of(server, tmp_path, model="b-model")


def test_who_takes_over_another_model_is_told_to_state_its_own_cutoff(server, service, tmp_path):
    stated = pd.Timestamp("2014-12-31", tz="UTC")
    with pytest.raises(ServiceError, match=r"its own model\.knowledge_cutoff, or remove yours: 2014-12-31 was stated"):
        scorer_of(server, tmp_path, model="b-model", knowledge_cutoff=stated)
    with pytest.raises(ServiceError) as caught:
        scorer_of(server, tmp_path, model="b-model")
    assert "knowledge_cutoff" not in str(caught.value), "none is stated, so none is stale"


def test_a_model_that_changes_midway_is_refused_with_what_it_was(server, service, tmp_path):
    service.model = "a-model-2024-08-06"
    scorer = scorer_of(server, tmp_path)
    scorer.logits(TEXTS[:4])
    service.model = "a-model-2025-01-31"
    with pytest.raises(
        ServiceError, match=r"from 'a-model-2024-08-06' until now, and now come from 'a-model-2025-01-31'"
    ):
        scorer.logits(TEXTS)
    # What was answered before is kept; a run that begins anew meets the same.
    service.model = "a-model-2024-08-06"
    before = len(server.requests)
    scorer.logits(TEXTS[:4])
    assert len(server.requests) == before


@pytest.mark.parametrize("changes", ["refuse", "count"])
def test_a_fingerprint_that_changes_is_refused_or_counted(server, service, tmp_path, changes):
    scorer = scorer_of(server, tmp_path, changes=changes)
    scorer.logits(TEXTS[:4])
    service.fingerprint = "fp_2"
    if changes == "refuse":
        with pytest.raises(ServiceError, match=r"fingerprint 'fp_1' until now, and now with 'fp_2'"):
            scorer.logits(TEXTS)
        return
    scorer.logits(TEXTS)
    assert scorer.account([text_hash(text) for text in TEXTS])["fingerprints"] == {"fp_1": 4, "fp_2": 8}


def test_the_identity_names_all_that_can_change_an_answer(server, service, tmp_path):
    def identity(folder: str, **given):
        (tmp_path / folder).mkdir(exist_ok=True)
        return scorer_of(server, tmp_path / folder, **given).identity

    first = identity("a")
    assert identity("a", timeout=9.0, retries=1, concurrency=2, max_requests=500, max_unanswered=0.5) == first
    others = [
        identity("a", api="completions"), identity("a", logprobs="never", samples=3), identity("a", calibrate=True),
        identity("a", logprobs="never", samples=4),
    ]  # fmt: skip
    service.fingerprint = "fp_2"
    others.append(identity("b"))
    service.model = "a-model-2024-08-06"
    others.append(identity("c"))
    assert len({first, *others}) == len(others) + 1


def test_the_key_is_in_its_header_and_nowhere_else(service, tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else-0123456789")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-mine")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: of-mine\nAuthorization: Bearer other")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    service.key = KEY
    with caplog.at_level(logging.DEBUG), service.serve() as server:
        scorer = scorer_of(server, tmp_path, key="ENDPOINT_KEY")
        scorer.logits(TEXTS)
        service.key = "another"
        with pytest.raises(ConfigError, match="Incorrect API key provided") as caught:
            scorer.logits(["More news."])
        told = "".join(traceback.format_exception(caught.value))
        assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in server.requests)
        sent = {name for request in server.requests for name in request.headers}
    assert not {name for name in sent if name.startswith("openai-") or name == "x-secret"}
    for kept in (told, caplog.text, repr(scorer), json.dumps(scorer.found.to_dict())):
        assert KEY not in kept
        assert "of-mine" not in kept
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes()
    # Without a key none is sent, whatever the environment holds.
    service.key = None
    with service.serve() as server:
        (tmp_path / "bare").mkdir()
        scorer_of(server, tmp_path / "bare")
        assert "authorization" not in server.requests[0].headers


def test_no_redirect_carries_a_text_elsewhere(service, tmp_path):
    with service.serve() as other:

        def elsewhere(request):
            from servers.loopback import Answer

            return Answer(307, "", {"Location": f"{other.url}{request.path}"})

        with Loopback(elsewhere) as server, pytest.raises(ConfigError, match="not followed"):
            scorer_of(server, tmp_path)
        assert not other.requests


def test_a_notebook_may_ask_too(server, tmp_path):
    """A loop that runs already, as notebooks have one, is no hindrance."""
    import asyncio

    async def cell():
        return scorer_of(server, tmp_path).logits(TEXTS)

    assert asyncio.run(cell()).shape == (12, 3)


def test_requests_leave_no_thread_behind(server, tmp_path):
    scorer_of(server, tmp_path).logits(TEXTS)
    assert not [thread for thread in threading.enumerate() if thread.name == "endpoint"]


def test_a_changed_byte_of_a_kept_answer_is_told(server, tmp_path):
    scorer = scorer_of(server, tmp_path)
    scorer.logits(TEXTS[:1])
    with sqlite3.connect(tmp_path / JOURNAL) as journal:
        journal.execute(
            "UPDATE answers SET logits = replace(logits, '-', '-1') WHERE text_hash = ?", [text_hash(TEXTS[0])]
        )
    with pytest.raises(EmbargoError, match="does not match its checksum"):
        scorer.logits(TEXTS[:1])


def test_fit_says_what_was_asked_and_what_is_known(server, tmp_path):
    cutoff = pd.Timestamp("2023-10-01", tz="UTC")
    told = replace(settings(server, tmp_path, calibrate=True), knowledge_cutoff=cutoff)
    until = pd.Timestamp("2016-01-01", tz="UTC")
    with ScoreCache(tmp_path / "scores") as cache:
        given = {"settings": told, "cache_dir": tmp_path, "cache": cache, "trained_until": until}
        model = fit_scorer("endpoint", train=articles(9), validation=articles(30, seed=3), **given)
    manifest = model.manifest
    assert (manifest["kind"], manifest["base"], manifest["n_train"]) == ("endpoint", "a-model", 0)
    assert manifest["base_knowledge_cutoff"] == manifest["knowledge_cutoff"] == cutoff.isoformat()
    assert manifest["cutoff_source"] == "declared in the configuration"
    assert manifest["settings"]["server"]["model"] == "a-model"
    assert KEY not in json.dumps(manifest)


def test_a_cutoff_that_nobody_states_is_unknown_and_one_too_early_is_a_leak():
    known = EndpointSettings("http://127.0.0.1:1/v1", "openai-community/gpt2")
    assert stated_cutoff(replace(known, model="some-model")) == (None, "not documented")
    assert stated_cutoff(known)[0] == pd.Timestamp("2017-12-31 23:59:59.999999", tz="UTC")
    with pytest.raises(LeakError, match="earlier than the documented"):
        stated_cutoff(replace(known, knowledge_cutoff=pd.Timestamp("2016-01-01", tz="UTC")))


def test_without_the_client_it_is_said_what_is_missing(server, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingPartError, match=r"pip install 'embargo-backtest\[endpoint\]'"):
        scorer_of(server, tmp_path)


def thinking(content="<think>\nOkay, the", **beside):
    """Return a choice of a model that thinks aloud until its tokens run out."""
    choice = words(content, finish="length")
    choice["message"] |= beside
    listed = [{"token": token, "logprob": value} for token, value in (("<think>", -0.01), ("Okay", -5.0))]
    return choice | {"logprobs": {"content": [{**listed[0], "top_logprobs": listed}]}}


@pytest.mark.parametrize("logprobs", ["always", "never", "auto"])
@pytest.mark.parametrize("choice", [thinking(), thinking("", reasoning_content="Okay, the")])
def test_a_model_that_thinks_aloud_is_told_at_once_with_what_helps(service, tmp_path, choice, logprobs):
    service.said["Judge"] = choice
    with service.serve() as server:
        with pytest.raises(ConfigError, match=r"reasons before it answers.*--reasoning-budget 0") as caught:
            scorer_of(server, tmp_path, logprobs=logprobs)
        assert "another template" not in str(caught.value)
        assert ("held to a schema" in str(caught.value)) == (logprobs == "always")
        asked = len(server.requests)
        assert asked <= 3
        # Nothing of that is remembered, so that a server set right is asked as any other.
        del service.said["Judge"]
        scorer = scorer_of(server, tmp_path, logprobs=logprobs)
        assert scorer.found.manner.logprobs == (logprobs != "never")


def test_a_schema_keeps_a_model_from_thinking_where_the_server_holds_it_to_one(service, tmp_path):
    class Held(OpenAiService):
        def _choice(self, prompt, document, chat):
            return super()._choice(prompt, document, chat) if "response_format" in document else thinking()

    with Held(model="a-model").serve() as server:
        scorer = scorer_of(server, tmp_path, samples=2)
        assert scorer.found.manner.form == "schema"
        assert np.isfinite(scorer.logits(TEXTS[:2])).all()


def test_a_model_that_begins_to_think_midway_is_told_apart_from_one_that_refuses(service, tmp_path):
    with service.serve() as server:
        scorer = scorer_of(server, tmp_path)
        service.said["Judge"] = thinking()
        with pytest.raises(ServiceError, match=r"begins: '<think>.*--reasoning-budget 0"):
            scorer.logits(TEXTS)
        service.said["Judge"] = refusal()
        with pytest.raises(ServiceError, match="Try another template or model") as caught:
            scorer.logits(TEXTS)
        assert "reason" not in str(caught.value).partition("begins")[2].partition("kept")[2]


@pytest.mark.parametrize("calibrate", [False, True])
def test_a_reader_that_draws_states_how_far_its_answers_may_lie_apart(tmp_path, calibrate):
    class Moody(OpenAiService):
        number, turned = 0, False

        def _choice(self, prompt, document, chat):
            self.number += 1
            choice = super()._choice(prompt, document | {"seed": self.number}, chat)
            if self.turned:
                choice["message"]["content"] = '{"answer": "positive"}'
            return choice

    service, texts = Moody(model="a-model", logprobs="none"), articles(30)["text"].tolist()
    with service.serve() as server:
        given = {"samples": 4, "calibrate": calibrate, "concurrency": 1}
        scorer = scorer_of(server, tmp_path, **given)
        kept = scorer.logits(texts)
        scorer.asked_again(texts[:20])
        honest = scorer.stated_errors(texts, kept)
        service.turned = True
        scorer.asked_again(texts[20:])
        turned = scorer.stated_errors(texts[20:], kept[20:])
    assert np.isnan(honest[20:]).all()
    honest, turned, drawn = honest[:20, :2], turned[:, :2], honest[:20, 2:]
    assert (drawn.reshape(-1, 2, 3).sum(axis=2) == 4).all()
    assert drawn_chance(drawn[:, :3], drawn[:, 3:]) > 1e-3
    mean = [np.sum(apart**2) / np.sum(error**2) for apart, error in (honest.T, turned.T)]
    assert mean[0] < 2.0 < mean[1]
    # What was kept but is not what was answered cannot be a matter of chance.
    other = scorer.stated_errors(texts[:2], kept[:2] + np.array([0.1, 0.0, 0.0]))
    assert (other[:, 0] > 0.0).all()
    assert (other[:, 1] == 0.0).all()


def test_log_probabilities_have_no_stated_error_and_a_text_without_answer_is_not_asked_again(server, service, tmp_path):
    service.said[TEXTS[0]] = refusal()
    scorer = scorer_of(server, tmp_path, max_unanswered=0.5)
    kept = scorer.logits(TEXTS[:3])
    del service.said[TEXTS[0]]
    again = scorer.asked_again(TEXTS[:3])
    assert np.isnan(again[0]).all()
    np.testing.assert_array_equal(again[1:], kept[1:])
    assert np.isnan(scorer.stated_errors(TEXTS[:3], kept)).all()
