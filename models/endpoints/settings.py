"""What is asked of a model behind an address, how patiently, and what may be spent on it.

Everything that can change an answer is in `EndpointSettings.asked`; patience, budgets and prices are not, so that a
run goes on from its cache after any of them was changed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import pandas as pd

from embargo.data_loaders.errors import ConfigError
from embargo.models.content import json_hash
from embargo.models.endpoints.secrets import fault_of_address, fault_of_name, holds_key
from embargo.models.prompting.settings import PromptSettings

Api = Literal["chat", "completions"]
Logprobs = Literal["auto", "always", "never"]
OnChange = Literal["refuse", "count"]


@dataclass(frozen=True)
class EndpointSettings:
    """A model behind an OpenAI-compatible address.

    Attributes
    ----------
    url : str
        Base address, such as ``https://host/v1``, without a key in it.
    model : str
        Name under which the server has it.
    api : {"chat", "completions"}
    key : str or None
        Name of the variable of the environment that holds the key; None where the server asks for none.
    logprobs : {"auto", "always", "never"}
        Whether classes are read from the log-probabilities of the answer's first token; ``auto`` finds out by asking.
    samples : int
        Choices drawn of each text where they are not.
    timeout : float
        Seconds that one request may take, from the first byte sent to the last one read.
    retries : int
        Further requests after one that failed and may be repeated.
    concurrency : int
        Requests at once.
    max_requests : int or None
        HTTP requests, failed ones included, that may be made with these settings out of one cache folder.
    max_cost : float or None
        What they may cost, in the currency of the prices.
    prompt_price, completion_price : float or None
        Per million tokens.
    max_unanswered : float
        Share of texts without a usable answer above which reading stops.
    changes : {"refuse", "count"}
        What happens when the server's fingerprint changes midway: a vendor's own may do so from answer to answer. That
        it names another model is always refused.
    knowledge_cutoff : Timestamp or None
        Latest instant that the model could know, UTC, as stated by whoever asks; None to look its name up.
    prompt : PromptSettings

    Raises
    ------
    ConfigError
        If the address or the name of the key's variable is none, or a cost is limited without prices.

    Examples
    --------
    >>> from embargo.models import EndpointSettings
    >>> EndpointSettings("http://127.0.0.1:8080/v1", "tiny-lm").max_cost is None
    True
    >>> EndpointSettings("http://example.org/v1", "a-model", key="MY_KEY")
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: model.endpoint.url is not encrypted, and a key is never sent that way to \
another machine; use https://.
    """

    url: str
    model: str
    api: Api = "chat"
    key: str | None = None
    logprobs: Logprobs = "auto"
    samples: int = 5
    timeout: float = 60.0
    retries: int = 5
    concurrency: int = 4
    max_requests: int | None = None
    max_cost: float | None = None
    prompt_price: float | None = None
    completion_price: float | None = None
    max_unanswered: float = 0.05
    changes: OnChange = "refuse"
    knowledge_cutoff: pd.Timestamp | None = None
    prompt: PromptSettings = field(default_factory=PromptSettings)

    def __post_init__(self) -> None:
        faults = {
            "key": None if self.key is None else fault_of_name(self.key),
            "url": fault_of_address(self.url, with_key=self.key is not None),
            "model": "looks like a key; write the name of the model" if holds_key(self.model) else None,
        }
        for name, fault in faults.items():
            if fault is not None:
                raise ConfigError(f"model.endpoint.{name} {fault}.")
        for name, words in {"api": Api, "logprobs": Logprobs, "changes": OnChange}.items():
            if getattr(self, name) not in get_args(words):
                raise ConfigError(f"model.endpoint.{name} must be one of {get_args(words)}.")
        for name, least in {"samples": 1, "retries": 0, "concurrency": 1}.items():
            if getattr(self, name) < least:
                raise ConfigError(f"model.endpoint.{name} must be at least {least}, got {getattr(self, name)}.")
        if not self.timeout > 0 or not 0 <= self.max_unanswered <= 1:
            raise ConfigError("model.endpoint: timeout must be longer than nothing, max_unanswered between 0 and 1.")
        if self.max_cost is not None and (self.prompt_price is None or self.completion_price is None):
            raise ConfigError(
                "model.endpoint.max_cost needs model.endpoint.prompt_price and completion_price, per million tokens."
            )

    def asked(self, context: str) -> str:
        """Return the name of all that can change an answer of the same server, 64 hex digits.

        Parameters
        ----------
        context : str
            Identity of what prompts show beside the article.
        """
        return json_hash(self._purse() | {"context": context})

    @property
    def purse(self) -> str:
        """What requests are charged to: equal for all folds and restarts of the same settings, 64 hex digits."""
        prompt = asdict(self.prompt)
        return json_hash(self._purse() | {"prompt": prompt})

    def _purse(self) -> dict[str, Any]:
        return {
            "kind": "endpoint",
            "version": 1,
            # Nobody promises that two servers have the same weights under one name.
            "url": self.url.rstrip("/"),
            "model": self.model,
            "api": self.api,
            "logprobs": self.logprobs,
            "samples": None if self.logprobs == "always" else self.samples,
        }

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return what tokens cost; 0 without prices."""
        return (
            prompt_tokens * (self.prompt_price or 0.0) + completion_tokens * (self.completion_price or 0.0)
        ) / 1_000_000
