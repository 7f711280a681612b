"""What a run asks of a model behind an address: settings from its config, and what it may take, before it is asked.

Nothing here reaches the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.models.content import text_hash
from embargo.models.endpoints.manners import manners_of
from embargo.models.endpoints.settings import EndpointSettings
from embargo.models.prompting.context import Context, check_prompts
from embargo.models.prompting.settings import PromptSettings
from embargo.models.scorers.endpoint import estimate, stated_cutoff, without_content
from embargo.models.scorers.kind import FitRequest
from embargo.research.config.experiment import Config
from embargo.research.config.model import ReaderSection
from embargo.research.run.plan import Plan, background_of
from embargo.research.run.samples import Samples

# Bytes of a token of English prose in the vocabularies of today's models; the most that can be is one.
BYTES_PER_TOKEN = 4
# Texts of a fold of which its reader is asked once more: readers of words cost nothing, and models take their time.
# Those that are paid for by the answer are asked of as few as show another model.
ASKED_AGAIN, ASKED_OF_MODELS, ASKED_OF_PAID = 2000, 32, 8
COST_NOTHING = ("lexicon", "linear", "majority", "scores")


@dataclass(frozen=True)
class Foreseen:
    """What asking takes, at most and about, failed requests not counted.

    Attributes
    ----------
    texts : int
        Distinct prompts, those asked again and those without content among them.
    requests, most_requests : int
        With log-probabilities, and in the dearest way that the settings allow.
    prompt_tokens, most_prompt_tokens : int
    cost, most_cost : float or None
        None without prices.
    """

    texts: int
    requests: int
    most_requests: int
    prompt_tokens: int
    most_prompt_tokens: int
    cost: float | None
    most_cost: float | None


def endpoint_settings(model: ReaderSection) -> EndpointSettings:
    """Return what the kind ``endpoint`` is told; ConfigError where the section makes no sense."""
    section, prompt = model.endpoint, model.prompt
    assert section is not None
    told = section.model_dump() | {"timeout": pd.Timedelta(section.timeout).total_seconds()}
    asked = {} if prompt is None else prompt.model_dump()
    return EndpointSettings(**told, knowledge_cutoff=model.knowledge_cutoff, prompt=PromptSettings(**asked))


def check_endpoint(model: ReaderSection) -> None:
    """Refuse what can be told without asking: a cutoff stated too early (LeakError), or no such template."""
    settings = endpoint_settings(model)
    stated_cutoff(settings)
    check_prompts(settings.prompt)


def foresee(
    settings: EndpointSettings,
    folds: Sequence[tuple[FitRequest, Sequence[str], Sequence[str]]],
) -> Foreseen:
    """Add up what the folds of a run ask.

    Parameters
    ----------
    settings : EndpointSettings
    folds : sequence of (FitRequest, texts, texts asked again)
    """
    prompts: dict[tuple[str, str, int], Any] = {}
    for request, texts, again in folds:
        context = Context.build(settings.prompt, request)
        free = without_content(settings, context)
        for question in free if settings.prompt.calibrate else free[:1]:
            prompts[context.identity, question.text_hash, 0] = question.prompt
        for turn, each in ((0, texts), (1, again)):
            for text in each:
                key = context.identity, text_hash(text), turn
                if key not in prompts:
                    prompts[key] = context.messages(text) if settings.api == "chat" else context.rendered(text)
    asked = list(prompts.values())
    most = estimate(settings, asked)
    best = estimate(settings, asked, manners_of(settings)[0])
    about = best["prompt_tokens"] // BYTES_PER_TOKEN
    priced = settings.prompt_price is not None or settings.completion_price is not None
    return Foreseen(
        texts=len(asked),
        requests=best["requests"],
        most_requests=most["requests"],
        prompt_tokens=about,
        most_prompt_tokens=most["prompt_tokens"],
        cost=settings.cost(about, best["completion_tokens"]) if priced else None,
        most_cost=most["cost"] if priced else None,
    )


def told(settings: EndpointSettings, foreseen: Foreseen) -> list[str]:
    """Write what asking takes, and which budget ends it sooner, as sentences."""
    several = (
        f" (up to {foreseen.most_requests:,} if the server gives no log-probabilities)"
        if foreseen.most_requests > foreseen.requests
        else ""
    )
    cost = (
        "without prices no cost is known"
        if foreseen.cost is None
        else f"cost about {foreseen.cost:.4g}, at most {foreseen.most_cost:.4g}"
    )
    tokens = f"about {foreseen.prompt_tokens:,} prompt tokens, at most {foreseen.most_prompt_tokens:,}"
    asks = f"{settings.model} at {settings.url}: {foreseen.requests:,} requests{several}, {tokens}; {cost}."
    lines = [f"{asks} What was asked before is not asked again."]
    if settings.max_requests is not None and settings.max_requests < foreseen.requests:
        lines.append(f"model.endpoint.max_requests = {settings.max_requests:,} stops this run before it is done.")
    if settings.max_cost is not None and foreseen.cost is not None and settings.max_cost < foreseen.cost:
        lines.append(f"model.endpoint.max_cost = {settings.max_cost:g} probably stops this run before it is done.")
    cutoff, source = stated_cutoff(settings)
    known = (
        "nobody says until when it knows the world" if cutoff is None else f"it knows the world until {cutoff:%Y-%m-%d}"
    )
    lines.append(f"{settings.model}: {known} ({source}).")
    return lines


def asked_again_of(config: Config, part: Samples, *, paid: bool) -> pd.DataFrame:
    """Draw the articles of a fold of which its reader is asked again: ``article_id, text``."""
    news = part.test_news[["article_id", "text"]].drop_duplicates("article_id")
    most = ASKED_OF_PAID if paid else ASKED_AGAIN if config.model.kind in COST_NOTHING else ASKED_OF_MODELS
    drawn = np.random.default_rng([config.seed, part.index]).permutation(len(news))[:most]
    return news.iloc[drawn]


def foreseen(plan: Plan) -> list[str]:
    """Say what a run asks of an endpoint and what that takes; nothing for other readers, and nothing is asked."""
    config = plan.config
    if config.model.kind != "endpoint":
        return []
    settings = endpoint_settings(config.model)
    folds = []
    for part in plan.parts:
        request = FitRequest(
            train_texts=part.train["text"].tolist(),
            train_labels=part.train["label"].tolist(),
            validation_texts=part.validation["text"].tolist(),
            validation_labels=part.validation["label"].tolist(),
            trained_until=part.trained_until,
            settings=settings,
            cache_dir=Path(),
            train=part.train,
            validation=part.validation,
            background=background_of(plan, part),
            seed=config.seed,
        )
        texts = [*part.validation["text"], *part.test_news["text"], *part.test["text"]]
        folds.append((request, texts, asked_again_of(config, part, paid=True)["text"].tolist()))
    return told(settings, foresee(settings, folds))
