"""An OpenAI-compatible server on 127.0.0.1 that answers by rule, and differs from the protocol where it is told to.

What it says of a text follows from the text alone, so that whoever asks can work out what must have come back.
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from servers.loopback import Answer, Loopback, Request

LABELS = ("negative", "neutral", "positive")


def shares_of(prompt: str) -> np.ndarray:
    """Return the class shares that the server gives to a prompt, which sum to 0.9."""
    digest = hashlib.sha256(prompt.encode()).digest()
    weights = np.array([1.0 + byte for byte in digest[:3]])
    return 0.9 * weights / weights.sum()


def prompt_of(request: Request) -> str:
    """Return what a request asks, messages one below the other."""
    document = json.loads(request.body)
    if "prompt" in document:
        return str(document["prompt"])
    return "\n".join(message["content"] for message in document["messages"])


@dataclass
class OpenAiService:
    """What the server says; every attribute may be changed while it runs.

    Attributes
    ----------
    model : str or None
        As it calls itself; None to echo what was asked for.
    fingerprint : str or None
    logprobs : {"given", "none", "refused"}
        None at all, or a 400 that names the parameter.
    usage : bool
        Whether it counts tokens.
    schema : bool
        Whether it holds an answer to a schema; else it answers in words.
    said : dict of str to document
        Choices in place of the rule's, by a word of the prompt.
    refused : tuple of str
        Parameters that are answered with a 400.
    """

    model: str | None = None
    fingerprint: str | None = "fp_1"
    logprobs: str = "given"
    usage: bool = True
    schema: bool = True
    said: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    key: str | None = None
    together: int = 0
    most_together: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self) -> Loopback:
        """Return the server, to be used as a context."""
        return Loopback(self.answer)

    def answer(self, request: Request) -> Answer:
        """Answer one request."""
        with self._lock:
            self.together += 1
            self.most_together = max(self.most_together, self.together)
        try:
            return self._answer(request)
        finally:
            with self._lock:
                self.together -= 1

    def _answer(self, request: Request) -> Answer:
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            told = f"Incorrect API key provided: {request.headers.get('authorization')}"
            return Answer(401, {"error": {"message": told, "code": "invalid_api_key"}})
        if request.path not in ("/v1/chat/completions", "/v1/completions"):
            return Answer(404, {"error": {"message": "no such address"}})
        document = json.loads(request.body)
        refused = [*self.refused, *(["logprobs"] if self.logprobs == "refused" else [])]
        for name in refused:
            if name in document:
                hint = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
                told = f"Unsupported parameter: '{name}' is not supported with this model.{hint}"
                return Answer(400, {"error": {"message": told, "param": name}})
        prompt, chat = prompt_of(request), "messages" in document
        choice = self._choice(prompt, document, chat)
        for word, other in self.said.items():
            if word in prompt:
                choice = other
        body: dict[str, Any] = {
            "id": "cmpl-1",
            "object": "chat.completion" if chat else "text_completion",
            "created": 1,
            "model": self.model or document["model"],
            "choices": [choice],
        }
        if self.fingerprint is not None:
            body["system_fingerprint"] = self.fingerprint
        if self.usage:
            body["usage"] = {
                "prompt_tokens": len(prompt) // 4,
                "completion_tokens": 1,
                "total_tokens": len(prompt) // 4 + 1,
            }
        return Answer(200, body)

    def _choice(self, prompt: str, document: dict[str, Any], chat: bool) -> dict[str, Any]:
        shares = shares_of(prompt)
        wanted = bool(document.get("logprobs"))
        if wanted:
            word = LABELS[int(shares.argmax())]
        else:
            drawn = np.random.default_rng([int(document.get("seed", 0)), *hashlib.sha256(prompt.encode()).digest()])
            word = LABELS[int(drawn.choice(3, p=shares / shares.sum()))]
        content = json.dumps({"answer": word}) if self.schema and "response_format" in document else f" {word}"
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
        choice |= {"message": {"role": "assistant", "content": content}} if chat else {"text": content}
        if wanted and self.logprobs == "given":
            listed = {f" {label}": float(np.log(share)) for label, share in zip(LABELS, shares, strict=True)}
            listed |= {"ne": float(np.log(0.03)), "The": float(np.log(0.02))}
            choice["logprobs"] = _of_chat(listed, f" {word}") if chat else _of_completions(listed, f" {word}")
        return choice


def refusal(reason: str = "I cannot judge this.") -> dict[str, Any]:
    """Return a choice that refuses."""
    return {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": None, "refusal": reason}}


def words(content: str | None, finish: str = "stop") -> dict[str, Any]:
    """Return a choice that says something, without log-probabilities."""
    return {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content}}


def _of_chat(listed: dict[str, float], chosen: str) -> dict[str, Any]:
    entries = [{"token": token, "logprob": value, "bytes": list(token.encode())} for token, value in listed.items()]
    first = next(entry for entry in entries if entry["token"] == chosen)
    return {"content": [{**first, "top_logprobs": entries}]}


def _of_completions(listed: dict[str, float], chosen: str) -> dict[str, Any]:
    return {"tokens": [chosen], "token_logprobs": [listed[chosen]], "top_logprobs": [listed], "text_offset": [0]}
