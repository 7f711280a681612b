"""Readers behind an address on loopback, and what a server that answers by rule must have told them."""

from __future__ import annotations

import time
from contextlib import contextmanager

import numpy as np
from servers.loopback import Loopback
from servers.openai_service import shares_of

from embargo.models import EndpointSettings
from embargo.models.prompting import PromptSettings
from embargo.models.scorers.endpoint import EndpointScorer, _fit
from embargo.models.scorers.kind import FitRequest
from samples.asked import articles, short_template

TEXTS = articles(12)["text"].tolist()
KEY = "sk-secret-of-the-tests-0123456789"


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
