"""What a server's answer says: class shares from the log-probabilities of its first word, or the class that it names.

The bytes are read strictly, whatever the client made of them. What cannot be read, refuses or names no class is told
apart and counted; no class is ever guessed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embargo.models.endpoints.journal import AnswerOutcome
from embargo.models.endpoints.settings import Api

# The name under which a constrained answer holds the label word.
FIELD = "answer"
LEAST = 1e-12
# How trains of thought open in the words of the models that are known to think aloud.
_THOUGHT = re.compile(
    r"\s*(?:<\|?/?(?:think|thinking|thought|reasoning|seed:think)\b|\[THINK\]|<\|channel\|>\s*analysis|\u25c1think)",
    re.IGNORECASE,
)
_AROUND = " \t\r\n\"'`*_.,:;!?()[]{}<>#-\u2581\u0120"


@dataclass(frozen=True)
class Shares:
    """What the list of likeliest first tokens says of the label words.

    Attributes
    ----------
    logits : ndarray of shape (3,)
        Logarithms of the shares of bearish, neutral and bullish among themselves.
    mass : float
        Probability of the listed label words together.
    bounded : tuple of bool
        Which words were not in the list, so that only a bound is known.
    """

    logits: np.ndarray
    mass: float
    bounded: tuple[bool, ...]


@dataclass(frozen=True)
class Said:
    """One answer of a server.

    Attributes
    ----------
    outcome : {"answered", "refused", "filtered", "empty", "unreadable"}
    shares : Shares or None
        Where it was read from log-probabilities.
    choice : int or None
        Class that it names, where it was read from its words.
    words : str
        Beginning of the answer, for a message.
    logprobs : bool
        Whether it came with log-probabilities.
    model, fingerprint : str or None
        As the server names itself.
    tokens : (int, int) or None
        Of prompt and completion, as the server counts them.
    thinks : bool
        Whether it reasons before it answers, and nothing could be read from what came of that.
    """

    outcome: AnswerOutcome
    shares: Shares | None = None
    choice: int | None = None
    words: str = ""
    logprobs: bool = False
    model: str | None = None
    fingerprint: str | None = None
    tokens: tuple[int, int] | None = None
    thinks: bool = False


def label_shares(likeliest: Mapping[str, float], labels: Sequence[str]) -> Shares | None:
    """Read class shares from the likeliest first tokens of an answer.

    A token counts for a label word where, without blanks, marks and capitals, it is that word or a beginning of it and
    of no other one; a beginning that two words share counts for neither. A word that no token stands for has at most
    what the list leaves of the whole, and at most the least probability in it, for else it would be there: it is given
    half of the smaller of the two.

    Parameters
    ----------
    likeliest : mapping of str to float
        Log-probability by token.
    labels : sequence of str
        Words for bearish, neutral and bullish.

    Returns
    -------
    Shares or None
        None where no label word is in the list.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models.endpoints.answers import label_shares
    >>> listed = {" Positive": np.log(0.6), "neg": np.log(0.2), "ne": np.log(0.1)}
    >>> found = label_shares(listed, ("negative", "neutral", "positive"))
    >>> np.exp(found.logits).round(3).tolist(), round(found.mass, 3), found.bounded
    ([0.235, 0.059, 0.706], 0.8, (False, True, False))
    """
    words = [label.strip().casefold() for label in labels]
    masses = np.zeros(len(words))
    for token, logprob in likeliest.items():
        bare = token.strip(_AROUND).casefold()
        meant = [number for number, word in enumerate(words) if bare and word.startswith(bare)]
        exact = [number for number in meant if words[number] == bare]
        if len(exact or meant) == 1:
            masses[(exact or meant)[0]] += math.exp(min(0.0, logprob))
    mass = float(masses.sum())
    if not mass > 0.0:
        return None
    listed = [math.exp(min(0.0, logprob)) for logprob in likeliest.values()]
    bound = min(min(listed), max(0.0, 1.0 - math.fsum(listed)))
    absent = masses <= 0.0
    given = np.maximum(np.where(absent, bound / 2.0, masses), LEAST)
    logits = np.log(given)
    return Shares(logits - np.logaddexp.reduce(logits), mass, tuple(bool(each) for each in absent))


def named_class(words: str, labels: Sequence[str]) -> int | None:
    """Return the class that an answer names, alone or in the field of a constrained one; None where it names none.

    Examples
    --------
    >>> from embargo.models.endpoints.answers import named_class
    >>> labels = ("negative", "neutral", "positive")
    >>> [named_class(said, labels) for said in ('{"answer": "positive"}', " Negative.", "positive or neutral")]
    [2, 0, None]
    """
    try:
        document = json.loads(words)
    except ValueError:
        document = None
    if isinstance(document, dict):
        document = document.get(FIELD)
    if isinstance(document, str):
        words = document
    bare = words.strip(_AROUND).casefold()
    found = [number for number, label in enumerate(labels) if label.strip().casefold() == bare]
    return found[0] if found else None


def read_answer(body: bytes, api: Api, labels: Sequence[str], *, logprobs: bool) -> Said:
    """Read the body of a successful answer.

    Parameters
    ----------
    body : bytes
    api : {"chat", "completions"}
    labels : sequence of str
    logprobs : bool
        Whether classes are read from log-probabilities, else from the words of the answer.

    Returns
    -------
    Said
    """
    try:
        document = json.loads(body)
        choice = document["choices"][0]
        message = choice["message"] if api == "chat" else choice
        content = message["content" if api == "chat" else "text"]
        refusal = message.get("refusal") if api == "chat" else None
        if not isinstance(content, str | None) or not isinstance(refusal, str | None):
            raise TypeError
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return Said("unreadable", words=body[:200].decode("utf-8", "replace"), tokens=_counted(body))
    known: dict[str, Any] = {
        "words": (refusal or content or "")[:200],
        "model": _text(document.get("model")),
        "fingerprint": _text(document.get("system_fingerprint")),
        "tokens": _tokens(document),
    }
    reason = choice.get("finish_reason")
    likeliest = _likeliest(choice.get("logprobs"), api) if logprobs else None
    known["logprobs"] = likeliest is not None
    if reason == "content_filter":
        return Said("filtered", **known)
    if refusal:
        return Said("refused", **known)
    thinks = _thinks(document, message, content or "")
    if logprobs:
        if likeliest is None:
            return Said("unreadable" if content else "empty", thinks=thinks, **known)
        shares = label_shares(likeliest, labels)
        unread = shares is None
        return Said("refused" if unread else "answered", shares=shares, thinks=thinks and unread, **known)
    if not (content or "").strip():
        return Said("empty", thinks=thinks, **known)
    named = named_class(content or "", labels)
    unread = named is None
    return Said("refused" if unread else "answered", choice=named, thinks=thinks and unread, **known)


def _thinks(document: Mapping[str, Any], message: Mapping[str, Any], content: str) -> bool:
    """Tell whether an answer begins with a train of thought: in its words, beside them, or counted alone."""
    aside = any(isinstance(message.get(name), str) and message[name] for name in ("reasoning_content", "reasoning"))
    usage = document.get("usage")
    details = usage.get("completion_tokens_details") if isinstance(usage, Mapping) else None
    counted = details.get("reasoning_tokens") if isinstance(details, Mapping) else None
    return _THOUGHT.match(content) is not None or aside or (isinstance(counted, int) and counted > 0)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _tokens(document: Mapping[str, Any]) -> tuple[int, int] | None:
    usage = document.get("usage")
    if not isinstance(usage, Mapping):
        return None
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    if not all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in counts):
        return None
    return counts[0], counts[1]  # type: ignore[return-value]


def _counted(body: bytes) -> tuple[int, int] | None:
    try:
        return _tokens(json.loads(body))
    except (ValueError, AttributeError, RecursionError):
        return None


def _likeliest(logprobs: object, api: Api) -> dict[str, float] | None:
    """Return the likeliest tokens of the first word of the answer; None where no list of any is readable."""
    if not isinstance(logprobs, Mapping):
        return None
    # llama.cpp gives completions in the form of chat.
    positions = logprobs.get("content")
    lists = _of_chat(positions) if isinstance(positions, list) else _of_completions(logprobs)
    return _first_word(lists) if any(listed for _, listed in lists) else None


def _first_word(lists: Sequence[tuple[str, dict[str, float]]]) -> dict[str, float]:
    """Return the likeliest tokens with which the first word of an answer begins, from those of each of its positions.

    Blanks and marks are no word yet: where one was said, what follows it counts by the probability of the one.
    """
    shares: dict[str, float] = {}
    weight = 1.0
    for chosen, listed in lists:
        goes_on = not chosen.strip(_AROUND)
        for token, logprob in listed.items():
            if not (goes_on and token == chosen):
                shares[token] = shares.get(token, 0.0) + weight * math.exp(min(0.0, logprob))
        if not goes_on:
            break
        weight *= math.exp(min(0.0, listed.get(chosen, -math.inf)))
    return {token: math.log(share) if share > 0.0 else -math.inf for token, share in shares.items()}


def _of_chat(positions: Sequence[Any]) -> list[tuple[str, dict[str, float]]]:
    found: list[tuple[str, dict[str, float]]] = []
    for position in positions:
        if not isinstance(position, Mapping):
            return found
        listed: dict[str, float] = {}
        tops = position.get("top_logprobs")
        for entry in [*(tops if isinstance(tops, list) else []), position]:
            token, logprob = _token(entry), _number(entry.get("logprob")) if isinstance(entry, Mapping) else None
            if token is not None and logprob is not None:
                listed.setdefault(token, logprob)
        found.append((_token(position) or "", listed))
    return found


def _of_completions(logprobs: Mapping[str, Any]) -> list[tuple[str, dict[str, float]]]:
    tops, tokens, own = (logprobs.get(name) for name in ("top_logprobs", "tokens", "token_logprobs"))
    if not isinstance(tops, list) or not isinstance(tokens, list):
        return []
    found = []
    for place, (token, listed) in enumerate(zip(tokens, tops, strict=False)):
        if not isinstance(listed, Mapping) or not isinstance(token, str):
            break
        kept = {str(name): value for name, given in listed.items() if (value := _number(given)) is not None}
        logprob = _number(own[place]) if isinstance(own, list) and place < len(own) else None
        if logprob is not None:
            kept.setdefault(token, logprob)
        found.append((token, kept))
    return found


def _token(entry: object) -> str | None:
    """Return the text of a token, from its bytes where they are given: a part of a character has no text."""
    if not isinstance(entry, Mapping):
        return None
    raw = entry.get("bytes")
    if isinstance(raw, list) and raw and all(isinstance(byte, int) and 0 <= byte < 256 for byte in raw):
        return bytes(raw).decode("utf-8", "surrogateescape")
    token = entry.get("token")
    return token if isinstance(token, str) else None


def _number(value: object) -> float | None:
    # JSON of some servers knows -Infinity, which is no mass at all.
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return float(value)


def server_fault(body: bytes) -> str:
    """Return what an error's body says, in one line."""
    text = body[:2000].decode("utf-8", "replace")
    try:
        document = json.loads(body)
        error = document.get("error") or document.get("detail")
        text = str(error.get("message") or error) if isinstance(error, dict) else str(error or text)
    except (ValueError, AttributeError, RecursionError):
        pass
    return re.sub(r"\s+", " ", text).strip()[:300]
