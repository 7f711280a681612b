"""What a run asks of a model behind an address: settings from its config, and what it may take, before it is asked.

Nothing here reaches the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError
from embargo.models.content import text_hash
from embargo.models.endpoints.asking import settings_host
from embargo.models.endpoints.journal import JOURNAL, Journal, Spent
from embargo.models.endpoints.line import INSTALL_CLIENT
from embargo.models.endpoints.manners import manners_of
from embargo.models.endpoints.settings import EndpointSettings
from embargo.models.prompting.context import Context, check_prompts
from embargo.models.prompting.settings import PromptSettings
from embargo.models.scorers.distilled import texts_asked
from embargo.models.scorers.endpoint import estimate, stated_cutoff, without_content
from embargo.models.scorers.kind import FitRequest
from embargo.research.config.experiment import Config
from embargo.research.config.model import ReaderSection
from embargo.research.run.plan import Plan, background_of
from embargo.research.run.samples import Part, Samples

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


@dataclass(frozen=True)
class PaidReader:
    """The reader of a run that is paid for by the answer: its own, or the teacher of its own.

    Attributes
    ----------
    where : str
        Its section of the config.
    settings : EndpointSettings
    teaches : bool
    """

    where: str
    settings: EndpointSettings
    teaches: bool


def paid_reader(config: Config) -> PaidReader | None:
    """Return which reader of a run is paid for; None where none is."""
    model, teacher = config.model, config.model.teacher
    if model.kind == "endpoint":
        return PaidReader("model.endpoint", endpoint_settings(model), teaches=False)
    if teacher is not None and teacher.kind == "endpoint":
        return PaidReader("model.distill.teacher.endpoint", endpoint_settings(teacher), teaches=True)
    return None


@dataclass(frozen=True)
class PaidAccount:
    """What the journal of a cache holds of one reader.

    Attributes
    ----------
    asked : str
        Name of all that can change an answer.
    overhead : tuple of str
        Hashes of what it was asked beside any text.
    cache : Path
    """

    asked: str
    overhead: tuple[str, ...]
    cache: Path

    @classmethod
    def of_teacher(cls, manifest: Mapping[str, Any], cache: Path) -> PaidAccount | None:
        """Return that of a student's teacher; None where it was not paid for, or there is none."""
        paid = manifest["settings"]["taught"].get("paid") if manifest["kind"] == "distilled" else None
        return None if paid is None else cls(paid["asked"], tuple(paid["overhead"]), cache)

    def of(self, texts: Sequence[str], counted: set[tuple[str, str]]) -> dict[str, Any]:
        """Add up what a fold's answers took, each in the first fold alone that needed it; ``counted`` learns which."""
        names = [*self.overhead, *(text_hash(text) for text in texts)]
        fresh = [name for name in dict.fromkeys(names) if (self.asked, name) not in counted]
        counted.update((self.asked, name) for name in fresh)
        with Journal(self.cache / JOURNAL) as journal:
            return journal.account(self.asked, fresh)


def told(paid: PaidReader, foreseen: Foreseen) -> list[str]:
    """Write what asking takes, and which budget ends it sooner, as sentences."""
    settings = paid.settings
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
    called = f"The teacher {settings.model}" if paid.teaches else settings.model
    asks = f"{called} at {settings.url}: {foreseen.requests:,} requests{several}, {tokens}; {cost}."
    lines = [f"{asks} What was asked before is not asked again."]
    if settings.max_requests is not None and settings.max_requests < foreseen.requests:
        lines.append(f"{paid.where}.max_requests = {settings.max_requests:,} stops this run before it is done.")
    if settings.max_cost is not None and foreseen.cost is not None and settings.max_cost < foreseen.cost:
        lines.append(f"{paid.where}.max_cost = {settings.max_cost:g} probably stops this run before it is done.")
    if find_spec("openai") is None:
        lines.append(f"The package openai is not there, so that only kept answers can be read. {INSTALL_CLIENT}")
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


def texts_of_teacher(plan: Plan, part: Samples) -> list[str]:
    """Return the texts that a part's teacher is asked about: those it is calibrated on, and those it teaches."""
    distill = plan.config.model.distill
    assert distill is not None
    validated = part.validation["text"].tolist()
    chosen, _ = texts_asked(background_of(plan, part), validated, distill.max_texts)
    return [*validated, *chosen["text"]]


def foreseen(plan: Plan, *, read_too: Callable[[Part], Sequence[str]] | None = None) -> list[str]:
    """Say what a run asks of an endpoint and what that takes; nothing for other readers, and nothing is asked.

    Parameters
    ----------
    plan : Plan
    read_too : callable, optional
        What a teacher is asked to read of a part besides what it teaches.
    """
    config, paid = plan.config, paid_reader(plan.config)
    if paid is None:
        return []
    folds: list[tuple[FitRequest, Sequence[str], Sequence[str]]] = []
    for part in plan.parts:
        request = FitRequest(
            train_texts=part.train["text"].tolist(),
            train_labels=part.train["label"].tolist(),
            validation_texts=part.validation["text"].tolist(),
            validation_labels=part.validation["label"].tolist(),
            trained_until=part.trained_until,
            settings=paid.settings,
            cache_dir=Path(),
            train=part.train,
            validation=part.validation,
            background=background_of(plan, part),
            seed=config.seed,
        )
        if paid.teaches:
            folds.append((request, [*texts_of_teacher(plan, part), *(read_too(part) if read_too else ())], []))
            continue
        texts = [*part.validation["text"], *part.test_news["text"], *part.test["text"]]
        folds.append((request, texts, asked_again_of(config, part, paid=True)["text"].tolist()))
    return told(paid, foresee(paid.settings, folds))


def spent(config: Config, cache: Path) -> Spent | None:
    """Return what was spent out of a cache until now with the settings of a run's paid reader; None without one."""
    paid = paid_reader(config)
    if paid is None:
        return None
    with Journal(cache / JOURNAL) as journal:
        return journal.spent(paid.settings.purse)


def took(config: Config, accounts: Sequence[Mapping[str, Any]], before: Spent | None, cache: Path) -> list[str]:
    """Write what answers took in all, and what of it was spent since; nothing where none were paid for.

    Parameters
    ----------
    config : Config
    accounts : sequence of mapping
        Of the folds, each answer in one of them; see `PaidAccount.of`.
    before : Spent or None
        As `spent` said before anything was asked.
    cache : Path
    """
    paid, after = paid_reader(config), spent(config, cache)
    if paid is None or before is None or after is None:
        return []
    names = ("requests", "failed", "prompt_tokens", "completion_tokens", "cost")
    total = {name: sum(account[name] for account in accounts) for name in names}
    priced = paid.settings.prompt_price is not None or paid.settings.completion_price is not None
    cost, new = (f" and cost {value:.4g}" if priced else "" for value in (total["cost"], after.cost - before.cost))
    said = (
        f"What {paid.settings.model} answered took {total['requests']:,} requests ({total['failed']:,} failed), "
        f"{total['prompt_tokens']:,} prompt and {total['completion_tokens']:,} answer tokens{cost}; "
        f"{after.requests - before.requests:,} requests{new} of its budget went in this run."
    )
    return [said]


def require_budget(config: Config, what: str) -> None:
    """Refuse what asks of more than a run does where nothing limits it.

    Raises
    ------
    ConfigError
        If a reader is paid for and neither its requests nor its cost are limited.
    """
    paid = paid_reader(config)
    if paid is None or paid.settings.max_requests is not None or paid.settings.max_cost is not None:
        return
    raise ConfigError(
        f"{what}: asks {paid.settings.model} at {settings_host(paid.settings)} of more than a run does, and nothing "
        f"limits it. Set {paid.where}.max_requests, or max_cost with the prices, such as --set "
        f"{paid.where}.max_requests=5000. What was asked out of the same cache before counts, and is not asked again."
    )


def share_journal(config: Config, kept: Path | None, folders: Sequence[Path], what: str) -> None:
    """Let caches that begin empty use the journal of a run's, so that its budget is theirs, and its answers too.

    An answer is kept by all that was sent for it. So none leads from one world into another, and whatever is shown
    otherwise there is asked anew.

    Raises
    ------
    ConfigError
        As `require_budget`; also if nobody says where the journal is.
    """
    if paid_reader(config) is None:
        return
    require_budget(config, what)
    if kept is None:
        raise ConfigError(f"{what}: its readers are paid for. Say in which cache folder the run keeps what they said.")
    journal = (kept / JOURNAL).parent.resolve()
    journal.mkdir(parents=True, exist_ok=True)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        link = folder / JOURNAL.parent
        if not link.exists():
            link.symlink_to(journal, target_is_directory=True)


def more_told(config: Config, n: int, why: str) -> list[str]:
    """Write what so many further texts take at most; nothing where the reader itself is not asked of them."""
    paid = paid_reader(config)
    if paid is None or paid.teaches:
        return []
    draws = [each.draws(paid.settings) for each in manners_of(paid.settings)]
    several = f" (up to {max(draws) * n:,} if the server gives no log-probabilities)" if max(draws) > draws[0] else ""
    return [f"{why}, {paid.settings.model} is asked of up to {n:,} more texts: {draws[0] * n:,} requests{several}."]
