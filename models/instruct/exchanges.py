"""Tasks made of articles: a prompt, the answer that is expected, and what of the article has to be read for it.

Every answer stands in the corpus: in the text itself, found by a rule, or in a column beside it. The same articles give
the same exchanges in whatever order they come.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.content import json_hash, text_hash
from embargo.models.instruct.facts import QUESTIONS, UNDERSTANDING, facts
from embargo.models.instruct.templates import ASKS, TASKS, InstructTask, Templates, Wording

# Of the loss; those of the literature on tuning for finance.
WEIGHTS: Mapping[str, float] = {"understanding": 0.4, "completion": 0.3, "summary": 0.2, "questions": 0.1}
# A text with fewer words has no beginning that leaves a rest.
FEWEST_WORDS = 8
_SENTENCE_END = re.compile(r"[.!?]['\"”’)]*\s+")


@dataclass(frozen=True)
class Exchange:
    """A prompt and its answer.

    Attributes
    ----------
    article_id : str
    known_at : Timestamp
        When the article was known, and the answer written, UTC.
    task : {"understanding", "completion", "summary", "questions"}
    ask : str
        What is asked: a key of the templates.
    before, text, after : str
        The prompt. Where it is too long, ``text`` alone is cut.
    answer : str
    needs : int
        Characters of ``text`` without which the answer cannot be known: a prompt that is cut before is not used.
    cut : {"end", "start"}
        Where the text is cut.
    source : str
        All that the article says, which the answer must not go beyond.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.models.instruct import Exchange
    >>> known = pd.Timestamp("2015-01-01", tz="UTC")
    >>> asked = Exchange("a", known, "questions", "when", "", "Up in May 2014.", " When:", "May 2014", 14, "end", "")
    >>> asked.prompt
    'Up in May 2014. When:'
    """

    article_id: str
    known_at: pd.Timestamp
    task: InstructTask
    ask: str
    before: str
    text: str
    after: str
    answer: str
    needs: int
    cut: Literal["end", "start"]
    source: str

    @property
    def prompt(self) -> str:
        """The prompt, uncut."""
        return self.before + self.text + self.after

    @property
    def content(self) -> str:
        """Hash of all that a model could learn from it."""
        return json_hash([self.task, self.ask, self.prompt, self.answer])


def check_weights(weights: Mapping[str, float]) -> dict[InstructTask, float]:
    """Return the weight of each kind of task; 0 for one that is not named.

    Parameters
    ----------
    weights : mapping of str to float

    Returns
    -------
    dict of str to float

    Raises
    ------
    ConfigError
        If a kind is unknown, a weight negative, or they do not sum to 1.

    Examples
    --------
    >>> from embargo.models.instruct import check_weights
    >>> check_weights({"completion": 1.0})["summary"]
    0.0
    """
    strange = sorted(set(weights) - set(TASKS))
    if strange:
        raise ConfigError(f"weights of {', '.join(strange)}: there are {', '.join(TASKS)}.")
    checked = {task: float(weights.get(task, 0.0)) for task in TASKS}
    if min(checked.values()) < 0 or abs(sum(checked.values()) - 1) > 1e-6:
        raise ConfigError(
            f"weights {checked} must not be negative and sum to 1; they sum to {sum(checked.values()):g}."
        )
    return checked


def exchanges(
    articles: pd.DataFrame,
    templates: Templates,
    weights: Mapping[str, float] = WEIGHTS,
    *,
    held_out: bool = False,
    most: int | None = None,
) -> tuple[list[Exchange], dict[str, int]]:
    """Make the tasks of articles, in the order of their content.

    Parameters
    ----------
    articles : DataFrame
        A part of `embargo.models.instruct.split_corpus`.
    templates : Templates
    weights : mapping of str to float
        Tasks that weigh nothing are not made.
    held_out : bool
        In the wordings that are held out, instead of those to train on.
    most : int, optional
        At most so many of each task, chosen by hash.

    Returns
    -------
    (exchanges, counts) : counts by task and what was asked, such as ``"questions/when"``, and what ``most`` left out
    under ``"over the limit"``.

    Raises
    ------
    ConfigError
        As `check_weights`.
    DataError
        If a label is none of bearish, neutral, bullish.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.models.instruct import exchanges, load_templates
    >>> known = pd.Timestamp("2015-01-01", tz="UTC")
    >>> one = {"article_id": "a", "known_at": known, "text": "Sales rose 5 % in May 2014.", "label": "bullish"}
    >>> made, counts = exchanges(pd.DataFrame([one]), load_templates())
    >>> sorted((each.ask, each.answer) for each in made if each.task != "understanding")
    [('by-how-much', '5 %'), ('when', 'May 2014')]
    """
    wanted = {task for task, weight in check_weights(weights).items() if weight > 0}
    made = []
    for record in articles.to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        for ask, given in _asked(row).items():
            if ASKS[ask] in wanted:
                made.append(_exchange(row, ask, given, templates, held_out))
    made.sort(key=lambda one: (one.content, one.article_id))
    over = 0
    if most is not None:
        seen: Counter[str] = Counter()
        kept = []
        for one in made:
            seen[one.task] += 1
            if seen[one.task] <= most:
                kept.append(one)
        over = len(made) - len(kept)
        made = kept
    counts = Counter(f"{one.task}/{one.ask}" for one in made)
    return made, {**dict(sorted(counts.items())), **({"over the limit": over} if over else {})}


@dataclass(frozen=True)
class _Asked:
    text: str
    answer: str
    needs: int = 0
    question: str = ""
    written: bool = False
    cut: Literal["end", "start"] = "end"


def _asked(row: Mapping[str, Any]) -> dict[str, _Asked]:
    """Return what can be asked of an article, with the answer."""
    text, headline = str(row["text"]).strip(), _given(row, "headline")
    body = text.removeprefix(headline).strip() if headline else text
    found = {ask: _Asked(text, fact.answer, fact.end) for ask, fact in facts(text).items() if ask in _FROM_TEXT}
    label = _given(row, "label")
    if label:
        if label not in CLASSES:
            raise DataError(
                f"article {row['article_id']!r}: label {label!r} is none of {', '.join(CLASSES)}. Map it in the config."
            )
        found["tone"] = _Asked(text, label, written=True)
    parted = _halves(text)
    if parted is not None:
        found["rest"] = _Asked(parted[0], parted[1], cut="start")
    if headline and body and headline not in body:
        found["headline"] = _Asked(body, headline)
    summary, question, answer = (_given(row, name) for name in ("summary", "question", "answer"))
    if summary:
        found["summary"] = _Asked(body or text, summary, written=True)
    if question and answer:
        place = text.find(answer)
        found["given"] = _Asked(text, answer, max(place, 0) + len(answer) if place >= 0 else 0, question, written=True)
    return found


_FROM_TEXT = frozenset((*UNDERSTANDING, *QUESTIONS))


def _given(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return "" if value is None or value is pd.NA or value != value else str(value).strip()


def _halves(text: str) -> tuple[str, str] | None:
    """Cut a text where its sentence ends that is nearest to the middle, or between two words if it has only one."""
    if len(text.split()) < FEWEST_WORDS:
        return None
    middle = len(text) / 2
    places = [match.end() for match in _SENTENCE_END.finditer(text)] or [m.end() for m in re.finditer(r"\s+", text)]
    place = min(places, key=lambda at: (abs(at - middle), at))
    opening, rest = text[:place].rstrip(), text[place:].strip()
    return (opening, rest) if opening and rest else None


def _exchange(row: Mapping[str, Any], ask: str, given: _Asked, templates: Templates, held_out: bool) -> Exchange:
    wording = templates.held_out[ask] if held_out else _chosen(templates.wordings[ask], str(row["article_id"]), ask)
    written = row.get("written_at")
    known = row["known_at"]
    if given.written and written is not None and not pd.isna(written):
        known = max(known, written)
    return Exchange(
        article_id=str(row["article_id"]),
        known_at=known,
        task=ASKS[ask],
        ask=ask,
        before=wording.before,
        text=given.text,
        # Put in by parts: a question may hold braces of its own.
        after=given.question.join(wording.after.split("{question}")),
        answer=templates.tones[given.answer] if ask == "tone" else given.answer,
        needs=given.needs,
        cut=given.cut,
        source="\n".join(filter(None, (_given(row, "headline"), str(row["text"])))),
    )


def _chosen(wordings: tuple[Wording, ...], article_id: str, ask: str) -> Wording:
    return wordings[int(text_hash(f"{article_id}/{ask}")[:8], 16) % len(wordings)]


def row_weights(made: list[Exchange], weights: Mapping[str, float]) -> list[float]:
    """Return how much each exchange counts, 1 on average, so that a task's share of the loss is its weight.

    An exchange of a task of weight w, of which there are n among N, counts w · N / n: the mean over all exchanges of
    count times loss is the sum over tasks of w times their mean loss. Tasks that have no exchange here hand their
    weight to the others in proportion.

    Parameters
    ----------
    made : list of Exchange
    weights : mapping of str to float

    Returns
    -------
    list of float

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.models.instruct import exchanges, load_templates, row_weights
    >>> known = pd.Timestamp("2015-01-01", tz="UTC")
    >>> one = {"article_id": "a", "known_at": known, "text": "Sales rose 5 % in May 2014."}
    >>> made, _ = exchanges(pd.DataFrame([one]), load_templates())
    >>> counted = row_weights(made, {"understanding": 0.75, "questions": 0.25})
    >>> round(sum(counted) / len(made), 9)
    1.0
    >>> of = [weight for one, weight in zip(made, counted) if one.task == "questions"]
    >>> round(sum(of) / len(made), 9)
    0.25
    """
    numbers = Counter(one.task for one in made)
    checked = check_weights(weights)
    there = sum(checked[task] for task in numbers)
    if made and there <= 0:
        raise ConfigError(f"weights {checked}: of what weighs something there is no example. Weigh {sorted(numbers)}.")
    return [checked[one.task] / there * len(made) / numbers[one.task] for one in made]
