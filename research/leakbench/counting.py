"""A reader that is asked in words and has no model: it counts the words of a list over its whole prompt.

What its prompts show moves its answers by a known amount, and nothing else does, so that whatever is planted in one has
an exact effect, in milliseconds. Examples and earlier articles come from what a fold knew, as they do for readers
that have a model.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from embargo.data_loaders.fields import CLASSES
from embargo.models.content import json_hash, text_hash
from embargo.models.prompt import Prompt, PromptItem
from embargo.models.record import SampleRead
from embargo.models.scorer import Progress
from embargo.models.scorers.kind import Fit, FitRequest, ScorerKind
from embargo.models.scorers.lexicon import LexiconScorer

RETRIEVED = 2
# What a word of an article that was looked up, or of fixed words, counts beside one of the article that is asked about;
# and what an example of the same words adds to the logit of its label.
BESIDE, ALIKE = 0.4, 0.6
_WORD = re.compile(r"[a-z]{3,}")


@dataclass(frozen=True)
class KnownText:
    """A text that prompts may show."""

    text: str
    known_at: pd.Timestamp | None
    label: int = -1


class Index:
    """Texts that can be looked up, weighed by how rare their words are among those that were counted."""

    def __init__(self, texts: Sequence[KnownText], rarity: Mapping[str, float]) -> None:
        self.texts, self.rarity = tuple(texts), dict(rarity)
        held: dict[str, list[int]] = {}
        for place, each in enumerate(self.texts):
            for word in words(each.text):
                held.setdefault(word, []).append(place)
        self._held = {word: np.array(places) for word, places in held.items()}

    @classmethod
    def of(cls, background: pd.DataFrame) -> Index:
        """Index texts, each once, from when it was first known."""
        first = background.sort_values("known_at", kind="stable").drop_duplicates("text")
        texts = [KnownText(text, at) for text, at in zip(first["text"], first["known_at"], strict=True)]
        return cls(texts, rarity_of(first["text"].tolist()))

    def nearest(self, text: str) -> list[KnownText]:
        """Return the texts that share most rare words with one, the likest first, without itself."""
        scores = np.zeros(len(self.texts))
        for word in sorted(words(text)):
            if word in self._held:
                scores[self._held[word]] += self.rarity.get(word, 0.0)
        order = np.argsort(-scores, kind="stable")[: RETRIEVED + 1]
        return [self.texts[place] for place in order if scores[place] > 0.0 and self.texts[place].text != text][
            :RETRIEVED
        ]


def words(text: str) -> set[str]:
    """Return the words of a text, in small letters."""
    return set(_WORD.findall(text.lower()))


def rarity_of(texts: Sequence[str]) -> dict[str, float]:
    """Weigh each word by how few of some texts hold it (inverse document frequency)."""
    counts = Counter(word for text in texts for word in words(text))
    return {word: float(np.log((1 + len(texts)) / (0.5 + count))) for word, count in counts.items()}


class CountingScorer:
    """Counts words over a prompt; see the module."""

    def __init__(self, examples: Sequence[KnownText], index: Index, cutoff: pd.Timestamp | None) -> None:
        self.examples, self.index = tuple(examples), index
        self.knowledge_cutoff = cutoff
        self._lexicon = LexiconScorer()
        self.identity = json_hash(
            {
                "instruction": self.instruction(),
                "lexicon": self._lexicon.identity,
                "examples": [[text_hash(each.text), each.label] for each in self.examples],
                "index": [text_hash(each.text) for each in index.texts],
                "rarity": sorted(index.rarity.items()),
                "weights": [BESIDE, ALIKE],
            }
        )

    def instruction(self) -> str:
        """Return the fixed words of every prompt."""
        return "Read the news and say whether its tone is bearish, neutral or bullish."

    def shown(self, text: str) -> list[tuple[PromptItem, int]]:
        """Return what the prompt of a text shows beside it, and the label of each, -1 for none."""
        items = [(PromptItem("example", each.text, each.known_at), each.label) for each in self.examples]
        return [
            *items,
            *((PromptItem("retrieved", each.text, each.known_at), -1) for each in self.index.nearest(text)),
        ]

    def prompts(self, texts: Sequence[str]) -> list[Prompt]:
        """Return the prompt of each text."""
        made, fixed = [], self.instruction()
        for text in texts:
            shown = self.shown(text)
            lines = [_LINES[item.part].format(text=item.text, label=CLASSES[label]) for item, label in shown]
            rendered = "\n\n".join([fixed, *lines, f"News: {text}\nTone:"])
            items = (PromptItem("template", fixed), *(item for item, _ in shown), PromptItem("article", text))
            made.append(Prompt(rendered, text_hash(fixed), items))
        return made

    def logits(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return the logits of the words of each text, moved by the words and the labels of what stands beside it."""
        logits = np.array(self._lexicon.logits(list(texts)), dtype=float)
        for row, text in enumerate(texts):
            shown, own = self.shown(text), words(text)
            read = [item.text for item, label in shown if label < 0]
            if read:
                logits[row] = (1.0 - BESIDE) * logits[row] + BESIDE * self._lexicon.logits(read).mean(axis=0)
            for item, label in shown:
                if label >= 0:
                    other = words(item.text)
                    logits[row, label] += ALIKE * len(own & other) / max(len(own | other), 1)
        if progress is not None:
            progress(len(texts), len(texts))
        return logits


_LINES = {"example": "News: {text}\nTone: {label}", "retrieved": "Before: {text}", "template": "{text}"}


def fit_counting(request: FitRequest) -> Fit:
    """Choose the newest examples of each class, and index what was known."""
    scorer = CountingScorer(
        newest_of_each(_given(request.train)), Index.of(_given(request.background)), request.trained_until
    )
    read = [SampleRead("example", text_hash(each.text), each.label) for each in scorer.examples]
    read += [SampleRead("retrieved", text_hash(each.text), -1) for each in scorer.index.texts]
    return Fit(
        scorer=scorer,
        trained_on=[each.text for each in scorer.examples],
        cutoff_source="what its prompts show",
        base_knowledge_cutoff=LexiconScorer().knowledge_cutoff,
        read=tuple(read),
    )


def newest_of_each(train: pd.DataFrame) -> list[KnownText]:
    """Return the newest training sample of each class, known when its label was complete."""
    rows = (
        train.sort_values("known_at", kind="stable")
        .drop_duplicates("label", keep="last")
        .sort_values("label", kind="stable")
    )
    known = rows[["known_at", "ends_at"]].max(axis=1)
    return [KnownText(*row) for row in zip(rows["text"], known, rows["label"].astype(int), strict=True)]


def _given(frame: pd.DataFrame | None) -> pd.DataFrame:
    assert frame is not None
    return frame


COUNTING = ScorerKind(fit=fit_counting, reads_background=True)
