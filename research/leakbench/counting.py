"""A reader that is asked in words and has no model: it counts the words of a list over its whole prompt.

What its prompts show moves its answers by a known amount, and nothing else does, so that whatever is planted in a prompt
has an exact effect, in milliseconds. Examples and earlier articles come from what a fold knew, as they do for readers
that have a model.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.fields import CLASSES
from embargo.models.content import json_hash, text_hash
from embargo.models.prompt import Prompt, PromptItem
from embargo.models.record import SampleRead
from embargo.models.scorer import Progress
from embargo.models.scorers.kind import Fit, FitRequest, ScorerKind
from embargo.models.scorers.lexicon import LexiconScorer

EXAMPLES, RETRIEVED = 3, 2
# What a word of an article that was looked up counts beside one of the article that is asked about.
BESIDE = 0.4
_WORD = re.compile(r"[a-z]{3,}")
LABELS = CLASSES


def instruction() -> str:
    """Return the fixed words of every prompt."""
    return "Read the news and say whether its tone is bearish, neutral or bullish."


@dataclass(frozen=True)
class Known:
    """A text that prompts may show."""

    text: str
    known_at: pd.Timestamp | None
    label: int = -1


@dataclass(frozen=True)
class Index:
    """Texts that can be looked up, weighed by how rare their words are among those that were counted."""

    texts: tuple[Known, ...]
    rarity: dict[str, float]

    def __post_init__(self) -> None:
        held: dict[str, list[int]] = {}
        for place, each in enumerate(self.texts):
            for word in set(words(each.text)):
                held.setdefault(word, []).append(place)
        object.__setattr__(self, "_held", {word: np.array(places) for word, places in held.items()})

    def nearest(self, text: str, number: int) -> list[Known]:
        """Return the texts that share most rare words with one, the likest first, none of its own words alone."""
        scores = np.zeros(len(self.texts))
        held: dict[str, np.ndarray] = getattr(self, "_held")  # noqa: B009 - set behind a frozen dataclass
        for word in sorted(set(words(text))):
            if word in held:
                scores[held[word]] += self.rarity.get(word, 0.0)
        order = np.argsort(-scores, kind="stable")[: number + 1]
        return [self.texts[place] for place in order if scores[place] > 0.0 and self.texts[place].text != text][:number]


def words(text: str) -> list[str]:
    """Return the words of a text, in small letters."""
    return _WORD.findall(text.lower())


def rarity_of(texts: Sequence[str]) -> dict[str, float]:
    """Weigh each word by how few of some texts hold it (inverse document frequency)."""
    counts = Counter(word for text in texts for word in set(words(text)))
    return {word: float(np.log((1 + len(texts)) / (0.5 + count))) for word, count in counts.items()}


class CountingScorer:
    """Counts words over a prompt; see the module."""

    def __init__(self, examples: Sequence[Known], index: Index, cutoff: pd.Timestamp | None) -> None:
        self.examples, self.index = tuple(examples), index
        self.knowledge_cutoff = cutoff
        self._lexicon = LexiconScorer()
        self.identity = json_hash(
            {
                "instruction": instruction(),
                "lexicon": self._lexicon.identity,
                "examples": [[text_hash(each.text), each.label] for each in self.examples],
                "index": [text_hash(each.text) for each in index.texts],
                "rarity": sorted(index.rarity.items()),
                "beside": BESIDE,
            }
        )

    def shown(self, text: str) -> list[PromptItem]:
        """Return what the prompt of a text shows beside it."""
        items = [PromptItem("example", each.text, each.known_at) for each in self.examples]
        near = self.index.nearest(text, RETRIEVED)
        return [*items, *(PromptItem("retrieved", each.text, each.known_at) for each in near)]

    def prompts(self, texts: Sequence[str]) -> list[Prompt]:
        """Return the prompt of each text."""
        made, fixed = [], instruction()
        label = {each.text: LABELS[each.label] for each in self.examples}
        for text in texts:
            items = self.shown(text)
            lines = [
                f"News: {item.text}\nTone: {label.get(item.text, 'bullish')}"
                if item.part == "example"
                else f"Before: {item.text}"
                for item in items
            ]
            rendered = "\n\n".join([fixed, *lines, f"News: {text}\nTone:"])
            own = (PromptItem("template", fixed), *items, PromptItem("article", text))
            made.append(Prompt(rendered, text_hash(fixed), own))
        return made

    def logits(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return logits: those of the article's own words, moved by those of the articles looked up beside it."""
        own = self._lexicon.logits(list(texts))
        beside = [[item.text for item in self.shown(text) if item.part == "retrieved"] for text in texts]
        flat = sorted({text for near in beside for text in near})
        read = dict(zip(flat, self._lexicon.logits(flat), strict=True)) if flat else {}
        for row, near in enumerate(beside):
            if near:
                own[row] = (1.0 - BESIDE) * own[row] + BESIDE * np.mean([read[text] for text in near], axis=0)
        if progress is not None:
            progress(len(texts), len(texts))
        return own


def fit_counting(request: FitRequest) -> Fit:
    """Choose the newest examples of each class, and index what was known."""
    scorer = CountingScorer(newest_of_each(request), Index(*indexed(request)), request.trained_until)
    read = [SampleRead("example", text_hash(each.text), each.label) for each in scorer.examples]  # type: ignore[arg-type]
    read += [SampleRead("retrieved", text_hash(each.text), -1) for each in scorer.index.texts]  # type: ignore[arg-type]
    return Fit(
        scorer=scorer,
        trained_on=[each.text for each in scorer.examples],
        cutoff_source="what its prompts show",
        base_knowledge_cutoff=LexiconScorer().knowledge_cutoff,
        read=tuple(read),
    )


def newest_of_each(request: FitRequest) -> list[Known]:
    """Return the newest training sample of each class, known when its label was complete."""
    train = request.train
    assert train is not None
    rows = train.sort_values("known_at", kind="stable").drop_duplicates("label", keep="last").sort_values("label")
    known = rows[["known_at", "ends_at"]].max(axis=1) if "ends_at" in rows else rows["known_at"]
    return [Known(*row) for row in zip(rows["text"], known, rows["label"].astype(int), strict=True)][:EXAMPLES]


def indexed(request: FitRequest) -> tuple[tuple[Known, ...], dict[str, float]]:
    """Return the background, each text once, and how rare its words are."""
    background = request.background
    assert background is not None
    first = background.sort_values("known_at", kind="stable").drop_duplicates("text")
    texts: Any = zip(first["text"], first["known_at"], strict=True)
    return tuple(Known(text, at) for text, at in texts), rarity_of(first["text"].tolist())


COUNTING = ScorerKind(fit=fit_counting, reads_background=True)
