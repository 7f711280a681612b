"""Asks a server of many texts: side by side, within budgets, again where that may help, and never for ever.

Every request is charged before it is sent; whatever is answered is handed on at once; and what stops the asking (a
budget, a refusal, another model answering) first lets those come back that were sent. Pauses follow from the settings
and from what the server asks for alone, so that equal faults meet with equal patience.
"""

from __future__ import annotations

import heapq
import itertools
import math
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from embargo.data_loaders.errors import ConfigError, EmbargoError, MissingPartError, ServiceError
from embargo.data_loaders.retries import Patience, pause_asked
from embargo.models.endpoints.answers import Said, read_answer, server_fault
from embargo.models.endpoints.journal import UNANSWERED, BudgetError, Journal
from embargo.models.endpoints.line import Line, Lost, Reply, key_of
from embargo.models.endpoints.manners import Manner, most_tokens, payload_of
from embargo.models.endpoints.secrets import scrubbed
from embargo.models.endpoints.settings import EndpointSettings

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 120.0
# Answers of a server that may pass: busy, over the limit, or broken for the moment.
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
# What a vendor says under 429 where waiting is of no use.
_NO_MONEY = re.compile(r"insufficient_quota|exceeded your current quota|billing", re.IGNORECASE)
# Standard deviations by which refusals must pass the share before the share itself can be counted.
_BEYOND = 4.0
_DATED = re.compile(r"@[\w.\-]+|[-@:]?(?:\d{4}-?\d{2}-?\d{2}|\d{4}|\d{2}-\d{2}|\d{2}-\d{4})")

Prompt = str | Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class AskedPrompt:
    """One text to be asked of: its hash, and its prompt as the api takes it."""

    text_hash: str
    prompt: Prompt


@dataclass(frozen=True)
class Answered:
    """All that a server said of a text, one answer for each draw, and the seconds that it took."""

    question: AskedPrompt
    said: tuple[Said, ...]
    wall: float
    cpu: float


@dataclass
class _Draw:
    """One request that is to be answered."""

    question: AskedPrompt
    draw: int
    tries: int = 0
    begun: float = 0.0


@dataclass
class _State:
    """What an asking has come to."""

    todo: deque[_Draw]
    later: list[tuple[float, int, _Draw]] = field(default_factory=list)
    sent: dict[int, _Draw] = field(default_factory=dict)
    said: dict[str, dict[int, Said]] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)
    # No request leaves before: a pause that a server asks for holds for all of them.
    not_before: float = 0.0
    stop: EmbargoError | None = None
    # Whether the next request waits for one in flight to be paid for.
    full: bool = False
    cpu: float = 0.0


@dataclass
class Asker:
    """Asks one server in one manner.

    Parameters
    ----------
    settings : EndpointSettings
    asked : str
        Name of all that can change an answer; see `EndpointSettings.asked`.
    labels : tuple of str
        Words for bearish, neutral and bullish.
    journal : Journal
    model, fingerprint : str or None
        As the server named itself before; answers of another one are refused.
    first_wait : float
        Seconds before a request is repeated for the first time; doubles with each further one.
    """

    settings: EndpointSettings
    asked: str
    labels: tuple[str, ...]
    journal: Journal
    model: str | None = None
    fingerprint: str | None = None
    first_wait: float = field(default_factory=lambda: FIRST_WAIT_S)
    faults: Counter[str] = field(default_factory=Counter)
    # Tokens by which the server's own words and an answer went beyond what is charged for them beforehand.
    _beyond: tuple[int, int] = (0, 0)

    @property
    def patience(self) -> Patience:
        """How long and how often a request is tried."""
        tries = self.settings.retries + 1
        return Patience(
            attempts=tries,
            first_wait=self.first_wait,
            longest_wait=LONGEST_WAIT_S,
            timeout=self.settings.timeout,
            deadline=tries * (self.settings.timeout + LONGEST_WAIT_S),
        )

    def once(self, question: AskedPrompt, manner: Manner) -> Said | str:
        """Ask one question once, again only where the fault may pass; return the fault where the manner is not taken.

        Raises
        ------
        EmbargoError
            As `ask`.
        """
        found: list[Said] = []
        try:
            self.ask([question], manner, lambda answered: found.extend(answered.said[:1]), draws=1)
        except _NotTakenError as fault:
            return fault.reason
        return found[0]

    def ask(
        self,
        questions: Iterable[AskedPrompt],
        manner: Manner,
        done: Callable[[Answered], None],
        *,
        draws: int | None = None,
    ) -> None:
        """Ask all questions; ``done`` is called with each as soon as it is answered.

        Raises
        ------
        BudgetError
            If the next request could pass a budget.
        ServiceError
            If the server cannot be reached, stays busy, or another model answers.
        ConfigError, MissingPartError
            If it refuses the key, or does not know the model or the address.
        """
        times = manner.draws(self.settings) if draws is None else draws
        state = _State(deque(_Draw(question, draw) for question in questions for draw in range(times)))
        if not state.todo:
            return
        key = key_of(self.settings)
        with Line(self.settings, key) as line:
            while state.todo or state.later or state.sent:
                self._launch(state, line, manner)
                if state.stop is not None and not state.sent:
                    break
                cpu = time.process_time()
                came = line.wait(self._idle(state))
                if came is None and state.sent and not line.alive:
                    raise ServiceError(
                        f"endpoint {settings_host(self.settings)}: the connections ended by themselves. What was "
                        "answered is kept; repeat the command."
                    )
                if came is not None:
                    self._take(state, *came, manner=manner, times=times, done=done, key=key)
                state.cpu += time.process_time() - cpu
        if state.stop is not None:
            raise state.stop

    def _idle(self, state: _State) -> float:
        """Return the seconds after which there is something to do, whether or not an answer comes."""
        if state.sent and (state.stop is not None or state.full or len(state.sent) >= self.settings.concurrency):
            return self.settings.timeout + LONGEST_WAIT_S
        now = time.monotonic()
        due = [state.not_before] if state.todo else []
        due += [max(state.not_before, state.later[0][0])] if state.later else []
        return max(0.0, min(due) - now) if due else self.settings.timeout + LONGEST_WAIT_S

    def _launch(self, state: _State, line: Line, manner: Manner) -> None:
        settings = self.settings
        while state.stop is None and len(state.sent) < settings.concurrency:
            now = time.monotonic()
            if now < state.not_before:
                return
            if state.later and state.later[0][0] <= now:
                draw = heapq.heappop(state.later)[2]
            elif state.todo:
                draw = state.todo.popleft()
            else:
                return
            tokens = self._most(draw.question.prompt, manner)
            try:
                number = self.journal.charge(
                    settings.purse,
                    self.asked,
                    draw.question.text_hash,
                    tokens=tokens,
                    cost=settings.cost(*tokens),
                    max_requests=settings.max_requests,
                    max_cost=settings.max_cost,
                )
            except BudgetError as failure:
                # What is in flight mostly takes less than it is charged with.
                if state.sent:
                    state.todo.appendleft(draw)
                    state.full = True
                else:
                    state.stop = failure
                return
            draw.tries += 1
            draw.begun = now
            state.begun.setdefault(draw.question.text_hash, now)
            state.sent[number] = draw
            line.send(number, payload_of(settings, manner, draw.question.prompt, self.labels, draw.draw))

    def _most(self, prompt: Prompt, manner: Manner) -> tuple[int, int]:
        most = most_tokens(prompt, manner)
        return most[0] + self._beyond[0], most[1] + self._beyond[1]

    def _learn(self, prompt: Prompt, manner: Manner, tokens: tuple[int, int]) -> None:
        """Charge more beforehand from now on where a request took more than the most that it was thought to take."""
        most = most_tokens(prompt, manner)
        self._beyond = (
            max(self._beyond[0], 2 * max(0, tokens[0] - most[0])),
            max(self._beyond[1], 2 * max(0, tokens[1] - most[1])),
        )

    def _take(
        self,
        state: _State,
        number: int,
        came: Reply | Lost,
        *,
        manner: Manner,
        times: int,
        done: Callable[[Answered], None],
        key: str | None,
    ) -> None:
        draw, state.full = state.sent.pop(number), False
        if isinstance(came, Lost):
            # Whoever cut the line may have counted the request all the same.
            self.journal.settle(number, "lost", tokens=None, cost=None)
            if not came.passing:
                state.stop = state.stop or ServiceError(
                    f"endpoint {settings_host(self.settings)}: {came.reason}. Look whether the package openai is of a "
                    "release that embargo-backtest[endpoint] admits. What was answered is kept."
                )
                return
            self._again(state, draw, came.reason, None, key)
            return
        if came.status != 200:
            self.journal.settle(number, "failed", tokens=(0, 0), cost=0.0)
            self._failed(state, draw, came, key)
            return
        said = read_answer(came.body, self.settings.api, self.labels, logprobs=manner.logprobs)
        cost = None if said.tokens is None else self.settings.cost(*said.tokens)
        self.journal.settle(number, "done", tokens=said.tokens, cost=cost, fingerprint=said.fingerprint)
        if said.tokens is not None:
            self._learn(draw.question.prompt, manner, said.tokens)
        fault = self._other_server(said)
        if fault is not None:
            state.stop = state.stop or ServiceError(scrubbed(fault, key))
            return
        answers = state.said.setdefault(draw.question.text_hash, {})
        answers[draw.draw] = said
        if len(answers) == times:
            begun = state.begun.pop(draw.question.text_hash)
            said_all = tuple(answers[each] for each in sorted(state.said.pop(draw.question.text_hash)))
            cpu, state.cpu = state.cpu, 0.0
            try:
                done(Answered(draw.question, said_all, time.monotonic() - begun, cpu))
            except EmbargoError as failure:
                state.stop = state.stop or failure

    def _failed(self, state: _State, draw: _Draw, came: Reply, key: str | None) -> None:
        said = scrubbed(server_fault(came.body), key)
        if came.status in _PASSING and not _NO_MONEY.search(said):
            self._again(state, draw, f"HTTP {came.status} {said}".strip(), pause_asked(came.headers), key)
            return
        told = f"HTTP {came.status}{': ' + said if said else ''}"
        where, settings = f"endpoint {settings_host(self.settings)}", self.settings
        if came.status in (401, 403):
            held = f"the key in {settings.key}" if settings.key else "requests without a key"
            fault: EmbargoError = ConfigError(
                f"{where} refuses {held} ({told}). Check the key and what it may do, and repeat the command."
            )
        elif came.status == 404:
            fault = MissingPartError(
                f"{where} knows no model {settings.model!r}, or no such address ({told}). Check model.endpoint.model, "
                "model.endpoint.api and that the address ends as the server's manual says, mostly in /v1."
            )
        elif came.status in (400, 422):
            fault = _NotTakenError(
                f"{where} does not take the request ({told}). Check model.endpoint.api and model.prompt, or set "
                "model.endpoint.logprobs = 'never'.",
                said or told,
            )
        elif came.status == 429:
            fault = ServiceError(f"{where} gives nothing more for this key ({told}). Settle it with the provider.")
        elif 300 <= came.status < 400:
            fault = ConfigError(
                f"{where} sends its callers elsewhere ({told}), which is not followed. Write the address it means."
            )
        else:
            fault = ServiceError(f"{where} answers {told}. Check the address, or ask whoever runs the server.")
        state.stop = state.stop or fault

    def _again(self, state: _State, draw: _Draw, reason: str, asked: float | None, key: str | None) -> None:
        """Set a request aside for another try, or stop where patience is at its end."""
        reason, patience = scrubbed(reason, key), self.patience
        self.faults[reason] += 1
        own = min(patience.longest_wait, patience.first_wait * 2.0 ** (draw.tries - 1))
        wait = own if asked is None else asked
        if state.stop is not None:
            return
        if draw.tries >= patience.attempts or not wait <= patience.longest_wait:
            pause = "" if asked is None else f"; it asks for a pause of {asked:g} s"
            tries = "once" if draw.tries == 1 else f"{draw.tries} times"
            state.stop = ServiceError(
                f"endpoint {settings_host(self.settings)}: no usable answer, asked {tries}; last reason: {reason}"
                f"{pause}. What was answered is kept. Check the server, raise model.endpoint.retries or timeout, or "
                "lower concurrency, and repeat the command."
            )
            return
        due = time.monotonic() + wait
        if asked is not None:
            state.not_before = max(state.not_before, due)
        heapq.heappush(state.later, (due, next(_ORDER), draw))

    def _other_server(self, said: Said) -> str | None:
        """Say that another model answers than was asked for, or than answered before; None where it is the same."""
        where, settings = f"endpoint {settings_host(self.settings)}", self.settings
        # Whoever takes over the other name would else keep a day that was stated of the first.
        stated = settings.knowledge_cutoff
        own = (
            ""
            if stated is None
            else (
                f" and its own model.knowledge_cutoff, or remove yours: {stated:%Y-%m-%d} was stated of "
                f"{settings.model!r}"
            )
        )
        kept = "What was answered until now is kept."
        if said.model is not None and not same_model(settings.model, said.model):
            return (
                f"{where}: {settings.model!r} was asked, and {said.model!r} answers. If it is the one you mean, write "
                f"model.endpoint.model = {said.model!r}{own}. {kept}"
            )
        if self.model is not None and said.model is not None and said.model != self.model:
            return (
                f"{where}: answers came from {self.model!r} until now, and now come from {said.model!r}: the model was "
                f"changed midway. Write the dated name as model.endpoint.model{own}. {kept}"
            )
        changed = said.fingerprint is not None and self.fingerprint not in (None, said.fingerprint)
        if changed and settings.changes == "refuse":
            return (
                f"{where}: answers of {said.model!r} came with the fingerprint {self.fingerprint!r} until now, and now "
                f"with {said.fingerprint!r}: the server was changed midway. Read everything anew with another cache "
                f"folder, or let it be counted with model.endpoint.changes = 'count'. {kept}"
            )
        self.model = self.model or said.model
        self.fingerprint = self.fingerprint or said.fingerprint
        return None


class _NotTakenError(ConfigError):
    """The server does not understand a request as it was put."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


_ORDER = itertools.count()


def same_model(asked: str, answers: str) -> bool:
    """Tell whether a server answers as the model that was asked for, or as a dated version of it.

    Examples
    --------
    >>> from embargo.models.endpoints.asking import same_model
    >>> same_model("gpt-4o", "gpt-4o-2024-08-06"), same_model("gpt-4o", "gpt-4o-mini")
    (True, False)
    """
    one, other = asked.casefold(), answers.casefold()
    return one == other or (other.startswith(one) and _DATED.fullmatch(other[len(one) :]) is not None)


def too_many_unanswered(outcomes: Counter[str], total: int, share: float) -> bool:
    """Tell whether more texts have no usable answer than a share of all admits, whatever is still to come.

    Before all are asked, so many must have none that a true share of so much would hardly bring them about.
    """
    asked, without = sum(outcomes.values()), sum(outcomes[name] for name in UNANSWERED)
    expected = asked * share
    return without > max(1.0, share * total) or without > expected + _BEYOND * math.sqrt(expected) + 1.0


def settings_host(settings: EndpointSettings) -> str:
    """Return the address for a message."""
    return scrubbed(settings.url)


def outcomes_told(outcomes: Mapping[str, Any]) -> str:
    """Write how many texts have no usable answer, and why: ``2 refused, 1 empty``."""
    return ", ".join(f"{outcomes[name]:,} {name}" for name in UNANSWERED if outcomes.get(name)) or "none"
