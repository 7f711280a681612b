"""What goes wrong at an address: faults are waited for or told, budgets hold, and texts without answers are counted."""

from __future__ import annotations

import time
from email.utils import formatdate

import numpy as np
import pytest
from samples.asked import articles
from samples.endpoint_readers import KEY, TEXTS, expected, scorer_of, shares_in, within
from servers.loopback import Hang, Html, Loopback, Reset, ServerError, Slow, Status, TooMany, Truncated
from servers.openai_service import OpenAiService, prompt_of, refusal, words

from embargo.data_loaders.errors import ConfigError, MissingPartError, ServiceError
from embargo.models import ScoreCache
from embargo.models.content import text_hash
from embargo.models.endpoints import BudgetError, Journal, asking
from embargo.models.endpoints.journal import JOURNAL
from embargo.models.scorers.score import cached_logits

pytest.importorskip("openai")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(asking, "FIRST_WAIT_S", 0.02)
    monkeypatch.setenv("ENDPOINT_KEY", KEY)


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
