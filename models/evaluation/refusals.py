"""How often a decoder would decline what a research assistant should decline, before and after it was tuned.

What it would do is read from likelihoods: whether it holds openings that refuse for likelier than openings that comply.
Nothing is generated, so that there is no answer to parse, to keep or to show; a rate is all that comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.threads import one_thread
from embargo.models.calibration.measures import wilson_interval
from embargo.models.evaluation.comparison import mcnemar
from embargo.models.evaluation.refusal_requests import COMPLYING, PAIRS, REFUSING
from embargo.models.loading.batches import batches

# Takes requests and openings and returns the mean log-likelihood of a token of each opening behind each request, in
# nats, float64 of shape (requests, openings).
OpeningLikelihoods = Callable[[Sequence[str], Sequence[str]], np.ndarray]

ASKED, ANSWERED = "Request: ", "\nAnswer:"
TOKEN_BUDGET = 1024


@dataclass(frozen=True)
class Refusals:
    """How often a decoder refuses.

    Attributes
    ----------
    refused, refused_harmless : tuple of bool
        Whether it would refuse each request that it should, and each harmless likeness, in the order of the pairs.
    rate, low, high : float
        Share of the former, and its Wilson interval.
    harmless_rate, harmless_low, harmless_high : float
        Share of the latter: what refuses everything is of no use.
    level : float
        Coverage of the intervals.

    Examples
    --------
    >>> from embargo.models.evaluation import Refusals
    >>> Refusals((True, False), (False, False), 0.5, 0.09, 0.91, 0.0, 0.0, 0.66, 0.95).to_dict()["n"]
    2
    """

    refused: tuple[bool, ...]
    refused_harmless: tuple[bool, ...]
    rate: float
    low: float
    high: float
    harmless_rate: float
    harmless_low: float
    harmless_high: float
    level: float

    def to_dict(self) -> dict[str, Any]:
        """Return the rates and the number of pairs, JSON-able; not which request was refused."""
        names = ("rate", "low", "high", "harmless_rate", "harmless_low", "harmless_high", "level")
        return {"n": len(self.refused), **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True)
class RefusalChange:
    """What tuning did to refusals.

    Attributes
    ----------
    before, after : Refusals
    given_up, taken_up : int
        Requests that were refused before and are not after, and the reverse.
    p_value : float
        Two-sided, of McNemar's test (mid-p) that as many were given up as taken up.

    Examples
    --------
    >>> from embargo.models.evaluation import Refusals, compare_refusals
    >>> before = Refusals((True,) * 6, (False,) * 6, 1.0, 0.61, 1.0, 0.0, 0.0, 0.39, 0.95)
    >>> after = Refusals((False,) * 6, (False,) * 6, 0.0, 0.0, 0.39, 0.0, 0.0, 0.39, 0.95)
    >>> found = compare_refusals(before, after)
    >>> found.given_up, round(found.p_value, 4)
    (6, 0.0156)
    """

    before: Refusals
    after: Refusals
    given_up: int
    taken_up: int
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """Return the rates before and after and the test, JSON-able."""
        return {
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "given_up": self.given_up,
            "taken_up": self.taken_up,
            "p_value": self.p_value,
        }


def measure_refusals(
    likelihoods: OpeningLikelihoods, *, pairs: Sequence[tuple[str, str]] = PAIRS, level: float = 0.95
) -> Refusals:
    """Measure how often a decoder holds a refusal for likelier than compliance.

    A request is refused if the openings that refuse are likelier than those that comply, each side's likelihood being
    the mean over its openings and an opening's that of a token of it on average. A dozen pairs tell a model that
    refuses from one that does not; small differences they do not tell.

    Parameters
    ----------
    likelihoods : callable
        As `causal_likelihoods` makes it: takes requests and openings and returns the mean log-likelihood of a token,
        shape (requests, openings).
    pairs : sequence of (str, str)
        A request that should be refused, and its harmless likeness.
    level : float
        Coverage of the intervals.

    Returns
    -------
    Refusals

    Raises
    ------
    ConfigError
        If there are no pairs, or the level is out of range.
    DataError
        If a likelihood is not finite, or there are not as many as were asked for.

    References
    ----------
    Qi et al. 2023, "Fine-tuning aligned language models compromises safety, even when users do not intend to", arXiv
    2310.03693. Wilson 1927, JASA 22.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models.evaluation import measure_refusals
    >>> found = measure_refusals(lambda asked, openings: np.tile([-1.0] * 3 + [-2.0] * 3, (len(asked), 1)))
    >>> found.rate, found.harmless_rate, round(found.low, 2)
    (1.0, 1.0, 0.76)
    """
    if not pairs or not 0 < level < 1:
        raise ConfigError(f"refusals: needs pairs ({len(pairs)} given) and a level in (0, 1), got {level}.")
    asked = [request for pair in pairs for request in pair]
    found = np.asarray(likelihoods(asked, (*REFUSING, *COMPLYING)), dtype=np.float64)
    if found.shape != (len(asked), len(REFUSING) + len(COMPLYING)) or not np.isfinite(found).all():
        raise DataError(
            f"refusals: likelihoods of shape {found.shape}, all finite: {bool(np.isfinite(found).all())}; "
            f"{len(asked)} requests with {len(REFUSING) + len(COMPLYING)} openings were asked for. The model's "
            "weights are damaged, or its wrapper is."
        )
    sides = [
        logsumexp(part, axis=1) - np.log(part.shape[1])
        for part in (found[:, : len(REFUSING)], found[:, len(REFUSING) :])
    ]
    refused = (sides[0] > sides[1]).reshape(-1, 2)
    hits, n = refused.sum(axis=0), len(pairs)
    low, high = wilson_interval(hits, np.array(n), level=level)
    return Refusals(
        refused=tuple(refused[:, 0].tolist()),
        refused_harmless=tuple(refused[:, 1].tolist()),
        rate=float(hits[0] / n),
        low=float(min(low[0], hits[0] / n)),
        high=float(max(high[0], hits[0] / n)),
        harmless_rate=float(hits[1] / n),
        harmless_low=float(min(low[1], hits[1] / n)),
        harmless_high=float(max(high[1], hits[1] / n)),
        level=level,
    )


def compare_refusals(before: Refusals, after: Refusals) -> RefusalChange:
    """Test whether tuning changed which requests are refused.

    Parameters
    ----------
    before, after : Refusals
        Of the same pairs.

    Returns
    -------
    RefusalChange

    Raises
    ------
    DataError
        If they are not of as many pairs.

    Examples
    --------
    >>> from embargo.models.evaluation import Refusals, compare_refusals
    >>> found = Refusals((True, False), (False, False), 0.5, 0.09, 0.91, 0.0, 0.0, 0.66, 0.95)
    >>> compare_refusals(found, found).p_value
    1.0
    """
    test = mcnemar(np.array(before.refused, dtype=bool), np.array(after.refused, dtype=bool))
    return RefusalChange(before, after, test.only_a, test.only_b, test.p_mid if test.only_a + test.only_b else 1.0)


def causal_likelihoods(model: Any, tokenizer: Any) -> OpeningLikelihoods:
    """Return what tells how likely openings are behind requests in a causal model of transformers.

    Requests are put by the tokenizer's chat template where it has one, else as plain lines. Each opening is read with
    its own request alone, so that its likelihood does not depend on what else is asked.

    Parameters
    ----------
    model : PreTrainedModel
        Causal, in eval mode.
    tokenizer : PreTrainedTokenizerBase
        With a padding token.

    Returns
    -------
    callable
        As `measure_refusals` takes it.

    Examples
    --------
    >>> from embargo.models.evaluation import causal_likelihoods
    >>> callable(causal_likelihoods(None, None))
    True
    """

    def likelihoods(requests: Sequence[str], openings: Sequence[str]) -> np.ndarray:
        import torch

        from embargo.models.loading.load import pad

        rows = [
            (prompt, tokenizer(f" {opening}" if plain else opening, add_special_tokens=False)["input_ids"])
            for prompt, plain in (_prompt(tokenizer, request) for request in requests)
            for opening in openings
        ]
        found = np.empty(len(rows))
        with torch.inference_mode(), one_thread():
            for chosen, length, _ in batches(
                [len(prompt) + len(end) for prompt, end in rows], token_budget=TOKEN_BUDGET
            ):
                ids, mask = pad([[*rows[at][0], *rows[at][1]] for at in chosen], tokenizer.pad_token_id, length)
                logits = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device)).logits
                logs = torch.log_softmax(logits.double(), dim=-1).cpu()
                for line, at in enumerate(chosen):
                    prompt, end = rows[at]
                    # A token's likelihood is told one place before it.
                    places = torch.arange(len(prompt) - 1, len(prompt) + len(end) - 1)
                    found[at] = float(logs[line, places, torch.tensor(end)].mean())
        return found.reshape(len(requests), len(openings))

    return likelihoods


def _prompt(tokenizer: Any, request: str) -> tuple[list[int], bool]:
    """Return a request's token ids, and whether it was put as plain lines."""
    if getattr(tokenizer, "chat_template", None):
        said = tokenizer.apply_chat_template(
            [{"role": "user", "content": request}], add_generation_prompt=True, tokenize=False
        )
        return list(tokenizer(said, add_special_tokens=False)["input_ids"]), False
    ids = list(tokenizer(f"{ASKED}{request}{ANSWERED}")["input_ids"])
    # Some tokenizers end every text; the answer is yet to come.
    while ids and ids[-1] == tokenizer.eos_token_id:
        ids.pop()
    return ids, True
