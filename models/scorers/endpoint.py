"""A reader behind an address: a model that is asked in words, whose answers are kept, counted and paid for once.

Whatever was answered is found in the journal beside the scores, so that a run goes on where it stopped, and one that is
done needs neither the server nor the key any more. What cannot be read as a class gets equal shares, which say nothing,
and is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, LeakError, ServiceError
from embargo.data_loaders.fields import CLASSES
from embargo.models.bases.registry import known_base, last_instant
from embargo.models.content import json_hash, text_hash
from embargo.models.endpoints.answers import Said
from embargo.models.endpoints.asking import (
    Answered,
    AskedPrompt,
    Asker,
    Prompt,
    outcomes_told,
    settings_host,
    too_many_unanswered,
)
from embargo.models.endpoints.journal import JOURNAL, UNANSWERED, AnswerOutcome, BudgetError, Journal, Read
from embargo.models.endpoints.manners import Manner, manners_of, most_tokens, prompt_hash
from embargo.models.endpoints.secrets import scrubbed
from embargo.models.endpoints.settings import EndpointSettings
from embargo.models.prompt import Prompt as Shown
from embargo.models.prompting.context import Context
from embargo.models.scorer import Progress, later_cutoff
from embargo.models.scorers.kind import Fit, FitRequest, ScorerKind

# Turns of asking: for the scores, and once more to see whether the same is said.
FIRST, AGAIN = 0, 1
# Of shares that were written down and read again.
_SAME = 1e-9
# What helps where a model thinks aloud. To draw more often, another template and more patience do not.
_UNTHINKING = (
    "The model reasons before it answers, and few tokens are asked for, so that no class is reached. Switch its "
    "reasoning off where the server is run (of llama.cpp: --reasoning-budget 0), or choose a model that answers at "
    "once."
)


@dataclass(frozen=True)
class Found:
    """What was learnt of a server by asking it.

    Attributes
    ----------
    model, fingerprint : str or None
        As it names itself.
    manner : Manner
        In which it is asked.
    """

    model: str | None
    fingerprint: str | None
    manner: Manner

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return {"model": self.model, "fingerprint": self.fingerprint, "manner": self.manner.to_dict()}


@dataclass
class EndpointScorer:
    """Reads classes from what a model behind an address answers.

    Attributes
    ----------
    settings : EndpointSettings
    context : Context
        What prompts show beside the article.
    found : Found
    prior : tuple of float or None
        Logarithms of the class shares of inputs without content, which every answer is held against; None without.
    cache_dir : Path
        Where the journal lies.
    identity : str
    knowledge_cutoff : Timestamp or None
    """

    settings: EndpointSettings
    context: Context
    found: Found
    prior: tuple[float, ...] | None
    cache_dir: Path
    identity: str
    knowledge_cutoff: pd.Timestamp | None
    overhead: tuple[str, ...] = ()

    def logits(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return logits of bearish, neutral and bullish, float64 of shape (len(texts), 3).

        A text that the journal holds is not asked of again; one without a usable answer has equal logits.

        Raises
        ------
        BudgetError
            If a budget would be passed. What was answered is kept.
        ServiceError
            If the server stays away, another model answers, or too many texts have no usable answer.
        ConfigError, MissingPartError
            If the key, the model or the address is refused, or the client is not installed.
        """
        told = self._told(texts, FIRST, progress=progress)
        return np.array([self._logits(told[text_hash(text)]) for text in texts], dtype=float).reshape(-1, len(CLASSES))

    def asked_again(self, texts: Sequence[str], *, ask: bool = True) -> np.ndarray:
        """Return what is said of texts when they are asked of once more, shape (len(texts), 3).

        NaN for texts without an answer, the first time or now, or that no budget is left for.

        Parameters
        ----------
        texts : sequence of str
        ask : bool
            False for those answers alone that the journal holds.
        """
        with self._journal() as journal:
            first = journal.kept(self.asked, [text_hash(text) for text in texts])
        # Where nothing was answered, nothing can be said otherwise.
        silent = {name for name, read in first.items() if read.logits is None}
        told = self._told([text for text in texts if text_hash(text) not in silent], AGAIN, ask=ask)
        rows = [told.get(text_hash(text)) for text in texts]
        nothing = np.full(len(CLASSES), np.nan)
        found = [nothing if row is None or row.logits is None else self._logits(row) for row in rows]
        return np.array(found, dtype=float).reshape(-1, len(CLASSES))

    def stated_errors(self, texts: Sequence[str], kept: np.ndarray) -> np.ndarray:
        """Return how far kept answers lie from those of the second asking, and the standard error of that.

        Of drawn answers that is the error of two sets of draws from one model, given what both drew together, and what
        they are stands behind it: shape (len(texts), 8), see `Paid.stated_errors`. NaN of log-probabilities, which do
        not vary but for rounding. What was kept but is not what was answered has no error.
        """
        found = np.full((len(texts), 2 + 2 * len(CLASSES)), np.nan)
        if self.found.manner.logprobs:
            return found
        first, again = (self._told(texts, turn, ask=False) for turn in (FIRST, AGAIN))
        prior = np.zeros(len(CLASSES)) if self.prior is None else np.array(self.prior)
        for row, (text, logits) in enumerate(zip(texts, kept, strict=True)):
            name = text_hash(text)
            one, two = first.get(name), again.get(name)
            if one is None or two is None or one.logits is None or two.logits is None:
                continue
            held = float(np.linalg.norm(shares_of(logits + prior) - shares_of(one.logits)))
            if held > _SAME:
                found[row, :2] = held, 0.0
                continue
            counts = [drawn_counts(each, self.settings) for each in (one, two)]
            found[row] = *drawn_apart(*counts), *np.concatenate(counts)
        return found

    def prompts(self, texts: Sequence[str]) -> list[Shown]:
        """Return the prompt of each text, as it is sent."""
        return self.context.prompts(texts)

    def account(self, text_hashes: Sequence[str]) -> dict[str, Any]:
        """Add up what was asked about some texts and what it took; see `Journal.account`."""
        with self._journal() as journal:
            return journal.account(self.asked, text_hashes)

    @property
    def asked(self) -> str:
        """Name of all that can change an answer of the same server."""
        return self.settings.asked(self.context.identity)

    def _journal(self) -> Journal:
        return Journal(self.cache_dir / JOURNAL)

    def _logits(self, read: Read) -> np.ndarray:
        if read.logits is None:
            return np.zeros(len(CLASSES))
        return read.logits if self.prior is None else read.logits - np.array(self.prior)

    def _told(
        self, texts: Sequence[str], turn: int, *, ask: bool = True, progress: Progress | None = None
    ) -> dict[str, Read]:
        """Return what is known of each text, asking of those of which nothing is, by text hash."""
        distinct = {text_hash(text): text for text in texts}
        with self._journal() as journal:
            told = journal.kept(self.asked, list(distinct), turn=turn)
            told = {name: read for name, read in told.items() if read.logits is not None or turn == AGAIN}
            missing = [name for name in distinct if name not in told]
            if not missing or not ask:
                return told
            outcomes: Counter[str] = Counter()
            heard: dict[str, str] = {}
            thinking: set[str] = set()

            def done(answered: Answered) -> None:
                name = answered.question.text_hash
                read = told[name] = read_of(answered, self.found.manner)
                journal.keep(self.asked, name, read, turn=turn)
                outcomes[read.outcome] += 1
                if read.logits is None:
                    heard.setdefault(read.outcome, answered.said[-1].words)
                    if answered.said[-1].thinks:
                        thinking.add(name)
                if progress is not None:
                    progress(len(told), len(distinct))
                share = self.settings.max_unanswered
                if turn == FIRST and too_many_unanswered(outcomes, len(distinct), share):
                    raise self._unanswered(outcomes, heard, len(distinct), len(thinking))

            questions = [AskedPrompt(name, self._prompt(distinct[name])) for name in missing]
            asker = self._asker(journal)
            try:
                asker.ask(questions, self.found.manner, done)
            except BudgetError as failure:
                if turn == FIRST:
                    raise self._spent(failure, journal, questions, told, distinct) from failure
        return told

    def _prompt(self, text: str) -> Prompt:
        return self.context.messages(text) if self.settings.api == "chat" else self.context.rendered(text)

    def _asker(self, journal: Journal) -> Asker:
        labels, found = self.context.template.labels, self.found
        return Asker(self.settings, self.asked, labels, journal, model=found.model, fingerprint=found.fingerprint)

    def _unanswered(self, outcomes: Counter[str], heard: dict[str, str], total: int, thinking: int) -> ServiceError:
        without = sum(outcomes[name] for name in UNANSWERED)
        words = next((said for said in heard.values() if said.strip()), "")
        example = f" One of them begins: {scrubbed(words)[:80]!r}." if words else ""
        remedy = "Try another template or model, or set model.endpoint.logprobs = 'never'."
        if 2 * thinking >= without:
            remedy = _UNTHINKING
        return ServiceError(
            f"endpoint {settings_host(self.settings)}: {without:,} of the first {sum(outcomes.values()):,} of "
            f"{total:,} texts have no usable answer ({outcomes_told(outcomes)}), more than "
            f"model.endpoint.max_unanswered = {self.settings.max_unanswered:g} admits.{example} No "
            f"class is guessed. What was answered is kept. {remedy}"
        )

    def _spent(
        self,
        failure: BudgetError,
        journal: Journal,
        questions: Sequence[AskedPrompt],
        told: dict[str, Read],
        distinct: dict[str, str],
    ) -> BudgetError:
        left = [question for question in questions if question.text_hash not in told]
        more = estimate(self.settings, [question.prompt for question in left], self.found.manner)
        spent = journal.spent(self.settings.purse)
        cost = f" and up to {more['cost']:.4g}" if self.settings.max_cost is not None else ""
        return BudgetError(
            f"endpoint {settings_host(self.settings)}: stopped before model.endpoint.{failure}. {len(told):,} of "
            f"{len(distinct):,} texts of this part are answered and kept. With these settings {spent.requests:,} "
            "requests were made in all: those that find out how the server is to be asked, prompts without content, "
            f"draws and repeats are among them. The rest of this part takes {more['requests']:,} requests{cost} more; "
            "parts that follow come on top, and 'embargo validate' tells the whole. Raise the budget and repeat the "
            "command, which goes on where it stopped."
        )


def read_of(answered: Answered, manner: Manner) -> Read:
    """Return what the answers to a text come to.

    Of several draws the shares are the frequencies of the classes, each counted once more than it came (Laplace); draws
    without a class are left out, and a text all of whose draws have none is not answered.
    """
    if manner.logprobs:
        [said] = answered.said
        if said.shares is None:
            return Read(said.outcome, None, wall=answered.wall, cpu=answered.cpu)
        return Read("answered", said.shares.logits, said.shares.mass, answered.wall, answered.cpu)
    chosen = [said.choice for said in answered.said if said.choice is not None]
    if not chosen:
        why: AnswerOutcome = Counter(said.outcome for said in answered.said).most_common(1)[0][0]
        return Read(why, None, wall=answered.wall, cpu=answered.cpu)
    counts = np.bincount(chosen, minlength=len(CLASSES))
    shares = (counts + 1.0) / (counts + 1.0).sum()
    return Read("answered", np.log(shares), float(counts.max() / counts.sum()), answered.wall, answered.cpu)


def shares_of(logits: np.ndarray) -> np.ndarray:
    """Return the class shares that logits stand for."""
    return np.asarray(np.exp(logits - np.logaddexp.reduce(logits)))


def drawn_counts(read: Read, settings: EndpointSettings) -> np.ndarray:
    """Return how often each class was drawn, from the shares and the commonest class's own frequency.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models import EndpointSettings
    >>> from embargo.models.endpoints.journal import Read
    >>> from embargo.models.scorers.endpoint import drawn_counts
    >>> settings = EndpointSettings("http://127.0.0.1:8080/v1", "a-model", samples=5)
    >>> drawn_counts(Read("answered", np.log([3 / 7, 3 / 7, 1 / 7]), mass=0.5), settings).tolist()
    [2.0, 2.0, 0.0]
    """
    assert read.logits is not None
    assert read.mass is not None
    shares = shares_of(read.logits)
    gap = read.mass - shares.max()
    # Where all classes were drawn alike, shares do not tell how often.
    draws = round((3.0 * shares.max() - 1.0) / gap) if gap > _SAME else settings.samples // 3 * 3
    return np.maximum(np.rint(shares * (draws + 3.0) - 1.0), 0.0)


def drawn_apart(one: np.ndarray, two: np.ndarray) -> tuple[float, float]:
    """Return the distance of the frequencies of two sets of draws, and its root mean square where one model drew both.

    That is given what both drew together, when which draw fell into which set is chance alone (hypergeometric).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models.scorers.endpoint import drawn_apart
    >>> [round(value, 3) for value in drawn_apart(np.array([5.0, 0.0, 0.0]), np.array([0.0, 0.0, 5.0]))]
    [1.414, 0.471]
    """
    sizes = one.sum(), two.sum()
    total = sizes[0] + sizes[1]
    together = (one + two) / total
    spread = float((together * (1.0 - together)).sum()) * total**2 / ((total - 1.0) * sizes[0] * sizes[1])
    return float(np.linalg.norm(one / sizes[0] - two / sizes[1])), float(np.sqrt(max(spread, 0.0)))


def estimate(settings: EndpointSettings, prompts: Sequence[Prompt], manner: Manner | None = None) -> dict[str, Any]:
    """Say how much asking will take at most: ``requests, prompt_tokens, completion_tokens, cost``.

    Repeated requests are not in it. Where the manner of the server is not known, the dearest that the settings allow
    counts.
    """
    manners = [manner] if manner is not None else list(manners_of(settings))
    found = []
    for each in manners:
        tokens = [most_tokens(prompt, each) for prompt in prompts]
        draws = each.draws(settings)
        read, written = (draws * sum(pair[place] for pair in tokens) for place in (0, 1))
        cost = settings.cost(read, written)
        found.append(
            {"requests": draws * len(prompts), "prompt_tokens": read, "completion_tokens": written, "cost": cost}
        )
    return max(found, key=lambda one: (one["cost"], one["requests"], one["prompt_tokens"]))


def stated_cutoff(settings: EndpointSettings) -> tuple[pd.Timestamp | None, str]:
    """Return until when a model could know, and who says so; None where nobody does.

    Raises
    ------
    LeakError
        If an earlier instant is stated than is documented.

    Examples
    --------
    >>> from embargo.models import EndpointSettings
    >>> from embargo.models.scorers.endpoint import stated_cutoff
    >>> stated_cutoff(EndpointSettings("http://127.0.0.1:8080/v1", "openai-community/gpt2"))[0].year
    2017
    """
    known, declared = known_base(settings.model), settings.knowledge_cutoff
    documented = None if known is None else last_instant(known.knowledge_cutoff)
    if declared is None:
        return documented, "not documented" if known is None else known.source
    declared = declared.tz_convert("UTC").as_unit("us")
    if documented is not None and declared < documented:
        raise LeakError(
            f"model {settings.model!r}: declared knowledge cutoff {declared} is earlier than the documented "
            f"{documented}. Declare the documented one or a later one."
        )
    return declared, "declared in the configuration"


def _find_out(asker: Asker, settings: EndpointSettings, question: AskedPrompt) -> tuple[Manner, Said]:
    """Ask one question in each manner, best first, until the server takes one."""
    refused, thinks = "", False
    for best in manners_of(settings):
        # A shorter list of tokens keeps no model from thinking.
        manner: Manner | None = None if thinks and best.logprobs else best
        while manner is not None:
            said = asker.once(question, manner)
            if isinstance(said, str):
                refused, manner = said, manner.after(said)
                continue
            if said.thinks:
                refused, thinks, manner = "it reasons before it answers", True, None
                continue
            if said.logprobs or not manner.logprobs:
                return manner, said
            refused, manner = "its answers have no log-probabilities", None
    remedy = (
        "set model.endpoint.logprobs = 'auto' or 'never'"
        if settings.logprobs == "always"
        else "check model.endpoint.api and model.prompt"
    )
    if thinks:
        held = ", or let answers be held to a schema with model.endpoint.logprobs = 'auto'"
        raise ConfigError(
            f"endpoint {settings_host(settings)}: no answer to the first question could be read. "
            f"{_UNTHINKING.removesuffix('.')}{held if settings.logprobs == 'always' else ''}."
        )
    raise ConfigError(
        f"endpoint {settings_host(settings)}: takes none of the ways in which model.endpoint.logprobs = "
        f"{settings.logprobs!r} lets it be asked ({refused}); {remedy}."
    )


def _found(asker: Asker, journal: Journal, settings: EndpointSettings, question: AskedPrompt) -> Found:
    kept = journal.found(asker.asked)
    if kept is None:
        manner, said = _find_out(asker, settings, question)
        kept = journal.keep_found(asker.asked, Found(said.model, said.fingerprint, manner).to_dict())
        if manner.logprobs:
            journal.keep(asker.asked, question.text_hash, read_of(Answered(question, (said,), 0.0, 0.0), manner))
    return Found(kept["model"], kept["fingerprint"], Manner(**kept["manner"]))


def _prior(asker: Asker, journal: Journal, found: Found, questions: Sequence[AskedPrompt]) -> tuple[float, ...] | None:
    """Return the logarithms of the mean class shares of inputs without content; None where none is answered."""
    names = [question.text_hash for question in questions]
    told = journal.kept(asker.asked, names)

    def done(answered: Answered) -> None:
        read = told[answered.question.text_hash] = read_of(answered, found.manner)
        journal.keep(asker.asked, answered.question.text_hash, read)

    asker.ask([question for question in questions if question.text_hash not in told], found.manner, done)
    logits = [read.logits for name in names if (read := told[name]).logits is not None]
    return tuple(float(value) for value in np.log(np.exp(logits).mean(axis=0))) if logits else None


def without_content(settings: EndpointSettings, context: Context) -> list[AskedPrompt]:
    """Return the questions about inputs without content, as the server is asked them."""
    questions = []
    for whole in context.content_free():
        prompt: Prompt = whole
        if settings.api == "chat":
            instruction = context.template.instruction
            asked = whole.removeprefix(instruction + context.template.separator)
            prompt = [{"role": "system", "content": instruction}, {"role": "user", "content": asked}]
        questions.append(AskedPrompt(prompt_hash(prompt), prompt))
    return questions


def _fit(request: FitRequest) -> Fit:
    settings = request.settings
    if not isinstance(settings, EndpointSettings):
        raise ConfigError("model.kind = 'endpoint' needs EndpointSettings: an address and the name of a model.")
    cutoff, source = stated_cutoff(settings)
    context = Context.build(settings.prompt, request)
    asked, questions = settings.asked(context.identity), without_content(settings, context)
    with Journal(request.cache_dir / JOURNAL) as journal:
        asker = Asker(settings, asked, context.template.labels, journal)
        try:
            found = _found(asker, journal, settings, questions[0])
            asker.model, asker.fingerprint = found.model, found.fingerprint
            prior = _prior(asker, journal, found, questions) if settings.prompt.calibrate else None
        except BudgetError as failure:
            raise BudgetError(
                f"endpoint {settings_host(settings)}: stopped before model.endpoint.{failure}, by finding out how the "
                "server is to be asked and by prompts without content. 'embargo validate' tells what the whole takes: "
                "raise the budget, and repeat the command."
            ) from failure
    known = found.to_dict() if settings.changes == "refuse" else found.to_dict() | {"fingerprint": None}
    scorer = EndpointScorer(
        settings=settings,
        context=context,
        found=found,
        prior=prior,
        cache_dir=request.cache_dir,
        identity=json_hash({"asked": asked, "found": known, "prior": prior}),
        knowledge_cutoff=later_cutoff(cutoff, context.knowledge_cutoff) if context.grounded else cutoff,
        overhead=tuple(dict.fromkeys(question.text_hash for question in questions)),
    )
    return Fit(
        scorer,
        trained_on=(),
        read=context.read,
        cutoff_source=source,
        base_knowledge_cutoff=cutoff,
        pretrained=settings.model,
        settings=_told_of(settings, found, context, prior),
    )


def _told_of(
    settings: EndpointSettings, found: Found, context: Context, prior: tuple[float, ...] | None
) -> dict[str, Any]:
    told = asdict(settings)
    declared = settings.knowledge_cutoff
    return told | {
        "knowledge_cutoff": None if declared is None else declared.isoformat(),
        "template": context.template.hash,
        "server": found.to_dict(),
        "prior": None if prior is None else list(prior),
    }


ENDPOINT = ScorerKind(fit=_fit, settings=EndpointSettings, reads_background=True)
