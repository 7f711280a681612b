"""A reader behind an address, against a server on loopback that answers by rule and misbehaves when it is told to."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
import traceback
from contextlib import contextmanager
from dataclasses import replace
from email.utils import formatdate

import numpy as np
import pandas as pd
import pytest
from samples.asked import articles, short_template
from servers.loopback import Hang, Html, Loopback, Reset, ServerError, Slow, Status, TooMany, Truncated
from servers.openai_service import OpenAiService, prompt_of, refusal, shares_of, words

from embargo.data_loaders.errors import ConfigError, EmbargoError, LeakError, MissingPartError, ServiceError
from embargo.models import EndpointSettings, ScoreCache, fit_scorer
from embargo.models.content import text_hash
from embargo.models.endpoints import BudgetError, Journal, asking
from embargo.models.endpoints.journal import JOURNAL
from embargo.models.prompt import Prompting
from embargo.models.prompting import PromptSettings
from embargo.models.scorer import Paid
from embargo.models.scorers.endpoint import EndpointScorer, _fit, stated_cutoff
from embargo.models.scorers.kind import FitRequest
from embargo.models.scorers.score import cached_logits

pytest.importorskip("openai")
TEXTS = articles(12)["text"].tolist()
KEY = "sk-secret-of-the-tests-0123456789"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(asking, "FIRST_WAIT_S", 0.02)
    monkeypatch.setenv("ENDPOINT_KEY", KEY)


@pytest.fixture
def service():
    return OpenAiService(model="a-model")


@pytest.fixture
def server(service):
    with service.serve() as loopback:
        yield loopback


def settings(server: Loopback, folder, **given) -> EndpointSettings:
    prompt = PromptSettings(template=short_template(folder), calibrate=given.pop("calibrate", False))
    return EndpointSettings(f"{server.url}/v1", **{"model": "a-model", "prompt": prompt, "timeout": 5.0} | given)


def scorer_of(server: Loopback, folder, **given) -> EndpointScorer:
    request = FitRequest([], [], [], [], None, settings(server, folder, **given), folder)
    scorer = _fit(request).scorer
    assert isinstance(scorer, EndpointScorer)
    return scorer


def expected(scorer: EndpointScorer, texts=TEXTS) -> np.ndarray:
    """Work out from the server's rule what must have come back."""
    chat = scorer.settings.api == "chat"
    prompts = [
        "\n".join(message["content"] for message in scorer.context.messages(text))
        if chat
        else scorer.context.rendered(text)
        for text in texts
    ]
    shares = np.array([shares_of(prompt) for prompt in prompts])
    return shares / shares.sum(axis=1, keepdims=True)


def shares_in(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits)
    return weights / weights.sum(axis=1, keepdims=True)


@contextmanager
def within(seconds: float):
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


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
    "fault", [ServerError(500), ServerError(503), Truncated(), Reset(), TooMany(None), TooMany(0.05), Slow(8.0), Hang()]
)
def test_a_fault_that_passes_is_waited_for(server, tmp_path, fault):
    late = isinstance(fault, Slow | Hang)
    scorer = scorer_of(server, tmp_path, timeout=1.0 if late else 20.0)
    server.fail(fault, fault)
    with within(20.0):
        found = scorer.logits(TEXTS)
    np.testing.assert_allclose(shares_in(found), expected(scorer), atol=1e-9)
    account = scorer.account([text_hash(text) for text in TEXTS])
    # Every request that left counts. On a machine that is busy more may come too late.
    assert account["requests"] == len(TEXTS) + account["failed"] == len(server.requests) - 1
    assert account["failed"] == 2 or (late and account["failed"] > 2)


@pytest.mark.parametrize("dated", [False, True])
def test_a_pause_that_is_asked_for_is_kept_by_all(server, service, tmp_path, dated):
    seconds = 1
    scorer = scorer_of(server, tmp_path, concurrency=1)
    pause: float | str = seconds
    if dated:
        # The server's own clock counts, whole seconds of which begin anywhere within one.
        pause = formatdate(time.time() + seconds + 1, usegmt=True)
    server.fail(TooMany(pause))
    start = time.monotonic()
    scorer.logits(TEXTS[:3])
    assert seconds <= time.monotonic() - start < seconds + 2.5
    # Nothing else was asked meanwhile either.
    assert service.times[1] - start >= seconds


@pytest.mark.parametrize("pause", [3600, "Fri, 31 Dec 2100 00:00:00 GMT"])
def test_a_pause_of_hours_is_told_and_not_slept(server, tmp_path, pause):
    scorer = scorer_of(server, tmp_path, concurrency=1)
    server.fail(TooMany(pause))
    with within(3.0), pytest.raises(ServiceError, match="asks for a pause of"):
        scorer.logits(TEXTS)


@pytest.mark.parametrize("fault", [ServerError(500), Hang(), Reset(), Truncated(), TooMany(None)])
def test_patience_ends(server, tmp_path, fault):
    scorer = scorer_of(server, tmp_path, timeout=0.2, retries=2, concurrency=2)
    server.fail(*[fault] * 50)
    with within(6.0), pytest.raises(ServiceError, match=r"asked 3 times; last reason: .*What was answered is kept"):
        scorer.logits(TEXTS[:2])


def test_nobody_there_is_told_at_once(tmp_path):
    with Loopback(OpenAiService().answer) as gone:
        pass
    with within(6.0), pytest.raises(ServiceError, match="connection failed"):
        scorer_of(gone, tmp_path, retries=1)


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (401, ConfigError, "refuses the key in ENDPOINT_KEY"),
        (403, ConfigError, "refuses the key in ENDPOINT_KEY"),
        (404, MissingPartError, "knows no model 'a-model'"),
        (418, ServiceError, "HTTP 418"),
        (307, ConfigError, "not followed"),
    ],
)
def test_what_does_not_pass_is_not_tried_again(server, tmp_path, status, kind, said):
    scorer = scorer_of(server, tmp_path, key="ENDPOINT_KEY", concurrency=1)
    before = len(server.requests)
    server.fail(Status(status, {"error": {"message": f"no {KEY}"}}))
    with within(3.0), pytest.raises(kind, match=said) as caught:
        scorer.logits(TEXTS)
    assert len(server.requests) == before + 1
    assert KEY not in str(caught.value)


def test_money_that_is_gone_is_not_waited_for(server, tmp_path):
    scorer = scorer_of(server, tmp_path, concurrency=1)
    server.fail(Status(429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}))
    with within(3.0), pytest.raises(ServiceError, match="Settle it with the provider"):
        scorer.logits(TEXTS)


@pytest.mark.parametrize("limit", [5, 8])
def test_requests_end_before_the_budget_is_passed(service, tmp_path, limit):
    with service.serve() as server:
        given = {"max_requests": limit, "concurrency": 3}
        scorer = scorer_of(server, tmp_path, **given)
        server.fail(ServerError(500))
        with pytest.raises(BudgetError, match=rf"max_requests = {limit}: {limit} were made") as caught:
            scorer.logits(TEXTS)
        assert len(server.requests) == limit
        assert f"{limit - 2} of 12 texts of this part are answered and kept" in str(caught.value)
        assert f"With these settings {limit} requests were made in all" in str(caught.value)
        assert f"rest of this part takes {12 - (limit - 2)} requests more; parts that follow" in str(caught.value)
        # Nothing is asked with a purse that is empty, and nothing twice with a fuller one.
        with pytest.raises(BudgetError):
            scorer_of(server, tmp_path, **given).logits(TEXTS)
        assert len(server.requests) == limit
        more = scorer_of(server, tmp_path, max_requests=100)
        np.testing.assert_allclose(shares_in(more.logits(TEXTS)), expected(more), atol=1e-9)
        assert len(server.requests) == len(TEXTS) + 2


@pytest.mark.parametrize("usage", [True, False])
def test_the_cost_stays_below_its_limit_whatever_is_counted(service, tmp_path, usage):
    service.usage = usage
    with service.serve() as server:
        prices = {"prompt_price": 1000.0, "completion_price": 5000.0, "max_cost": 1.0}
        scorer = scorer_of(server, tmp_path, **prices, concurrency=4)
        with pytest.raises(BudgetError, match="max_cost = 1"):
            scorer.logits(articles(60)["text"].tolist())
        with Journal(tmp_path / JOURNAL) as journal:
            spent = journal.spent(scorer.settings.purse)
        asked = len(server.requests)
    assert spent.requests == asked
    assert spent.cost <= 1.0
    true = sum(len(prompt_of(request)) // 4 * 1000.0 + 5000.0 for request in server.requests) / 1e6
    # What the server counts is what is paid; without a count the most that it can be is taken.
    if usage:
        assert spent.cost == pytest.approx(true)
        assert spent.cost > 1.0 - 0.36
    else:
        assert true < spent.cost
    account = scorer.account([*scorer.overhead, *(text_hash(text) for text in articles(60)["text"])])
    assert account["cost"] == pytest.approx(spent.cost, abs=1e-6)
    assert account["upper_bounds"] == (0 if usage else asked)


def test_a_prompt_that_is_longer_than_thought_is_charged_for_from_then_on(service, tmp_path):
    """A server's own words around a prompt may be more than is charged beforehand: once, and by one round at most."""

    class Wordy(OpenAiService):
        def _answer(self, request):
            answer = super()._answer(request)
            answer.body["usage"] = {"prompt_tokens": 5000, "completion_tokens": 200}
            return answer

    with Wordy(model="a-model").serve() as server:
        prices = {"prompt_price": 100.0, "completion_price": 100.0, "max_cost": 4.0}
        with pytest.raises(BudgetError):
            scorer_of(server, tmp_path, **prices, concurrency=1).logits(TEXTS)
        assert 5200 * 100 / 1e6 * len(server.requests) <= 4.0


def test_a_run_that_was_killed_loses_nothing_that_was_answered(server, service, tmp_path):
    scorer = scorer_of(server, tmp_path, concurrency=2)
    before = len(server.requests)

    class Killed(BaseException):
        pass

    def kill(done, total):
        if done == 5:
            raise Killed

    with pytest.raises(Killed), within(8.0):
        scorer.logits(TEXTS, kill)
    sent = len(server.requests) - before
    with ScoreCache(tmp_path / "scores") as cache:
        found = cached_logits(scorer, TEXTS, cache=cache)
        np.testing.assert_allclose(shares_in(found.logits), expected(scorer), atol=1e-9)
        assert len(server.requests) - before - sent == len(TEXTS) - 5
        assert cached_logits(scorer, TEXTS, cache=cache).n_cached == len(TEXTS)
    account = scorer.account([text_hash(text) for text in TEXTS])
    # What was in flight is charged for, at the most that it can have cost.
    assert account["requests"] >= sent + len(TEXTS) - 5
    assert account["answered"] == len(TEXTS)


def test_why_texts_have_no_answer_is_counted_and_their_shares_are_equal(service, tmp_path):
    hidden = articles(40)["text"].tolist()
    service.logprobs = "none"
    said = (refusal(), words("Mixed."), words(None), words("x", "content_filter"), {"odd": 1})
    service.said = dict(zip(hidden[1:6], said, strict=True))
    with service.serve() as server:
        scorer = scorer_of(server, tmp_path, samples=2, max_unanswered=0.2)
        found = scorer.logits(hidden)
    np.testing.assert_array_equal(found[1:6], 0.0)
    assert (np.ptp(found[6:], axis=1) > 0).all()
    account = scorer.account([text_hash(text) for text in hidden])
    assert {name: account[name] for name in ("texts", "answered", "refused", "filtered", "empty", "unreadable")} == {
        "texts": 40, "answered": 35, "refused": 2, "filtered": 1, "empty": 1, "unreadable": 1,
    }  # fmt: skip


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_too_many_without_an_answer_stop_the_reading(service, tmp_path, share):
    many = articles(100)["text"].tolist()
    with service.serve() as server:
        scorer = scorer_of(server, tmp_path, max_unanswered=share, concurrency=1, key="ENDPOINT_KEY")
        service.said = {"News": refusal(f"Not with {KEY}, no.")}
        with pytest.raises(
            ServiceError, match=rf"\d+ refused\), more than model.endpoint.max_unanswered = {share}"
        ) as caught:
            scorer.logits(many)
        # Long before all of them were paid for.
        assert len(server.requests) < (12 if share < 0.1 else 80)
        assert KEY not in str(caught.value)
        assert "begins: 'Not with ***, no.'" in str(caught.value)
        # They are asked of again, since the reason may have been mended.
        service.said = {}
        np.testing.assert_allclose(shares_in(scorer.logits(many)), expected(scorer, many), atol=1e-9)


@pytest.mark.parametrize("fault", [Html(), Status(200, b'{"choices": ['), Status(200, b"null")])
def test_odd_answers_are_counted(server, tmp_path, fault):
    scorer = scorer_of(server, tmp_path, max_unanswered=0.1)
    server.fail(fault)
    found = scorer.logits(TEXTS)
    assert (found == 0.0).all(axis=1).sum() == 1
    assert scorer.account([text_hash(text) for text in TEXTS])["unreadable"] == 1


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
    with pytest.raises(MissingPartError, match=r"pip install 'embargo\[endpoint\]'"):
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
    mean = [np.sum(apart**2) / np.sum(error**2) for apart, error in (honest[:20].T, turned.T)]
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
