"""The manners of servers: how each is asked for a class, and which way it understands, found out by asking once.

The best is to read the log-probabilities of the first word. Where a server gives none, a class is drawn several times
from an answer that is held to the three words, where it can be held to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from embargo.models.content import text_hash
from embargo.models.endpoints.answers import FIELD
from embargo.models.endpoints.settings import EndpointSettings

# Most that the vendors' own servers list; one that lists fewer is asked for the fewer.
LISTED = {"chat": (20, 5), "completions": (20, 5)}
# Tokens of an answer: blanks and marks may come before its first word, and a constrained one has a frame.
FIRST_WORD, FRAMED, WORD = 4, 24, 8
# Tokens that a server may add around a conversation.
AROUND = 256


@dataclass(frozen=True)
class Manner:
    """A way to ask for a class.

    Attributes
    ----------
    form : {"logprobs", "schema", "words"}
        Read from log-probabilities, or drawn from an answer that is held to a schema, or from one that is not.
    listed : int
        Likeliest tokens asked for.
    limit : {"max_tokens", "max_completion_tokens"}
        Under which name the server knows the limit of an answer.
    sampled : bool
        Whether it takes a temperature.
    """

    form: Literal["logprobs", "schema", "words"]
    listed: int = 0
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    sampled: bool = True

    @property
    def logprobs(self) -> bool:
        """Whether classes are read from log-probabilities."""
        return self.form == "logprobs"

    @property
    def tokens(self) -> int:
        """Most tokens of an answer."""
        return {"logprobs": FIRST_WORD, "schema": FRAMED, "words": WORD}[self.form]

    def draws(self, settings: EndpointSettings) -> int:
        """Return how many requests one text takes."""
        return 1 if self.logprobs else settings.samples

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return asdict(self)

    def after(self, fault: str) -> Manner | None:
        """Return the same manner without what an error's text names as not understood; None where it names nothing."""
        if self.limit in fault and "max_completion_tokens" in fault and self.limit == "max_tokens":
            return replace(self, limit="max_completion_tokens")
        if "temperature" in fault and self.sampled:
            return replace(self, sampled=False)
        return None


def manners_of(settings: EndpointSettings) -> tuple[Manner, ...]:
    """Return the ways to ask, best first, that the settings allow."""
    read = tuple(Manner("logprobs", listed) for listed in LISTED[settings.api])
    drawn = ((Manner("schema"),) if settings.api == "chat" else ()) + (Manner("words"),)
    return {"always": read, "never": drawn, "auto": read + drawn}[settings.logprobs]


def payload_of(
    settings: EndpointSettings,
    manner: Manner,
    prompt: str | Sequence[Mapping[str, str]],
    labels: Sequence[str],
    draw: int,
) -> dict[str, Any]:
    """Return what is sent.

    Parameters
    ----------
    settings : EndpointSettings
    manner : Manner
    prompt : str or list of messages
    labels : sequence of str
    draw : int
        Which draw of a text this is; each has a seed of its own.
    """
    sent: dict[str, Any] = {"model": settings.model, manner.limit: manner.tokens}
    sent["messages" if settings.api == "chat" else "prompt"] = prompt
    if manner.sampled:
        sent["temperature"] = 0.0 if manner.logprobs else 1.0
    if manner.logprobs:
        sent |= (
            {"logprobs": True, "top_logprobs": manner.listed} if settings.api == "chat" else {"logprobs": manner.listed}
        )
        return sent
    sent["seed"] = draw
    if manner.form == "schema":
        held = {"type": "string", "enum": [label.strip() for label in labels]}
        sent["response_format"] = {
            "type": "json_schema",
            "json_schema": {
                "name": FIELD,
                "strict": True,
                "schema": {
                    "type": "object",
                    "properties": {FIELD: held},
                    "required": [FIELD],
                    "additionalProperties": False,
                },
            },
        }
    return sent


def most_tokens(prompt: str | Sequence[Mapping[str, str]], manner: Manner) -> tuple[int, int]:
    """Return the most tokens that prompt and answer can be: no tokenizer makes more of a text than it has bytes."""
    words = prompt if isinstance(prompt, str) else "".join(message["content"] for message in prompt)
    return len(words.encode("utf-8", "surrogatepass")) + AROUND, manner.tokens


def prompt_hash(prompt: str | Sequence[Mapping[str, str]]) -> str:
    """Return the name of a prompt that belongs to no article."""
    return text_hash(prompt if isinstance(prompt, str) else "\n".join(message["content"] for message in prompt))
