"""Retries: bounded in number and in time, never earlier than the service asks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.data_loaders.errors import ConfigError, DataError, ServiceError
from embargo.data_loaders.retries import Patience, Retryable, call, pause_asked


class FakeClock:
    """Time that passes only by sleeping and working."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


def _failing(clock: FakeClock, faults: list[Retryable | None], allowed: list[float], *, cost: float = 0.0):
    def work(seconds: float) -> str:
        allowed.append(seconds)
        clock.time += min(cost, seconds)
        fault = faults.pop(0)
        if fault is not None:
            raise fault
        return "answer"

    return work


def test_an_answer_after_two_faults_comes_after_doubling_pauses():
    clock, allowed = FakeClock(), []
    work = _failing(clock, [Retryable("a"), Retryable("b"), None], allowed)
    assert call(work, what="x", patience=Patience(first_wait=0.5), clock=clock) == "answer"
    assert clock.slept == [0.5, 1.0]
    assert allowed == [20.0, 20.0, 20.0]


def test_the_error_names_the_request_the_tries_the_last_reason_and_a_remedy():
    clock = FakeClock()
    work = _failing(clock, [Retryable("HTTP 500"), Retryable("HTTP 503")], [])
    with pytest.raises(ServiceError, match=r"bars of AAPL: .*asked 2 times.*HTTP 503.*Check the network") as failure:
        call(work, what="bars of AAPL", patience=Patience(attempts=2), clock=clock)
    assert isinstance(failure.value.__cause__, Retryable)
    assert failure.value.__cause__.reason == "HTTP 503"


def test_a_pause_the_service_asks_for_is_waited_in_full():
    clock = FakeClock()
    work = _failing(clock, [Retryable("429", retry_after=7.0), None], [])
    assert call(work, what="x", patience=Patience(first_wait=0.1, longest_wait=10), clock=clock) == "answer"
    assert clock.slept == [7.0]


@pytest.mark.parametrize("patience", [Patience(longest_wait=5), Patience(deadline=5, longest_wait=60)])
def test_a_service_that_asks_for_a_longer_pause_is_not_asked_again(patience: Patience):
    clock = FakeClock()
    work = _failing(clock, [Retryable("429", retry_after=6.0), None], [])
    with pytest.raises(ServiceError, match=r"asked once.*pause of 6 s"):
        call(work, what="x", patience=patience, clock=clock)
    assert clock.slept == []


def test_other_errors_pass_through_at_once():
    calls = []

    def work(seconds: float) -> None:
        calls.append(seconds)
        raise DataError("no")

    with pytest.raises(DataError, match="no"):
        call(work, what="x", patience=Patience(), clock=FakeClock())
    assert len(calls) == 1


@given(
    attempts=st.integers(1, 8),
    first_wait=st.floats(0, 10),
    longest_wait=st.floats(0, 20),
    timeout=st.floats(0.1, 30),
    deadline=st.floats(0.1, 60),
    cost=st.floats(0, 40),
    asked=st.lists(st.one_of(st.none(), st.floats(0, 30)), min_size=8, max_size=8),
)
def test_no_setting_exceeds_the_tries_or_the_deadline(
    attempts, first_wait, longest_wait, timeout, deadline, cost, asked
):
    clock, allowed = FakeClock(), []
    patience = Patience(attempts, first_wait, longest_wait, timeout, deadline)
    work = _failing(clock, [Retryable("fault", pause) for pause in asked], allowed, cost=cost)
    with pytest.raises(ServiceError):
        call(work, what="x", patience=patience, clock=clock)
    assert 1 <= len(allowed) <= attempts
    assert all(0 < seconds <= timeout for seconds in allowed)
    assert all(wait <= longest_wait for wait in clock.slept)
    assert clock.time <= deadline * (1 + 1e-9)


@pytest.mark.parametrize("setting", [{"attempts": 0}, {"timeout": 0}, {"deadline": -1}, {"first_wait": float("nan")}])
def test_patience_without_sense_is_refused(setting):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        Patience(**setting)


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"Retry-After": "12"}, 12.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"Retry-After": "-3"}, 0.0),
        ({}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT"}, None),
    ],
)
def test_the_pause_asked_for_is_read_in_both_forms(headers, pause):
    assert pause_asked(headers) == pause
