"""What each prompt holds: the instruction, labelled examples and earlier articles, and the article that is asked about.

Everything in it beside that article was known, labels complete, when the fold's training ended, so that a text's prompt
depends on the text and the fold and never on when it is asked. The article itself, or one with the same words, is never
among its own examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.bases.resolve import BUILT_IN, Base, resolve_base
from embargo.models.content import json_hash, sample_fingerprint, text_hash, texts_fingerprint
from embargo.models.loading.embedding import require_encoder
from embargo.models.prompt import Prompt, PromptItem
from embargo.models.prompting.likeness import Likeness, MeaningLikeness, WordLikeness, best, same_words
from embargo.models.prompting.room import REMEMBERED, SLACK, answers_of, cut, item_room, measure
from embargo.models.prompting.settings import PromptSettings
from embargo.models.prompting.templates import Template, load_template
from embargo.models.record import SampleRead, Use
from embargo.models.samples import check_labels
from embargo.models.scorer import later_cutoff

# Inputs without content (Zhao et al. 2021, section 5.1), less the marks that a template keeps for itself.
CONTENT_FREE = ("N/A", "[MASK]", "")


class Known(Protocol):
    """What a fold may show, as `embargo.models.scorers.kind.FitRequest` holds it: its training part and background."""

    @property
    def train_texts(self) -> Sequence[str]:
        """Of the labelled samples."""
        ...

    @property
    def train_labels(self) -> Sequence[int]:
        """0 bearish, 1 neutral, 2 bullish."""
        ...

    @property
    def train(self) -> pd.DataFrame | None:
        """The same samples, with ``known_at`` and ``ends_at`` where they are dated."""
        ...

    @property
    def background(self) -> pd.DataFrame | None:
        """What was known when training ended: ``text`` and ``known_at``."""
        ...

    @property
    def seed(self) -> int:
        """Of what is drawn."""
        ...


@dataclass(frozen=True)
class Shown:
    """A text that prompts may show.

    Attributes
    ----------
    text : str
        As it came.
    label : int
        0 bearish, 1 neutral, 2 bullish, -1 without one.
    known_at : Timestamp or None
        When it was known and its label complete; None where nobody says.
    """

    text: str
    label: int = -1
    known_at: pd.Timestamp | None = None


@dataclass(frozen=True)
class Pool:
    """Texts that can be shown, no two of the same words, and how like they are to others."""

    shown: tuple[Shown, ...]
    likeness: Likeness | None = None

    def like(
        self, text: str, number: int, *, label: int | None = None, without: Sequence[Shown] = (), akin: bool = True
    ) -> list[Shown]:
        """Return those most like a text, most alike first, without its own words.

        Parameters
        ----------
        text : str
        number : int
            At most so many.
        label : int, optional
            Of those to choose from; by default all.
        without : sequence of Shown
            Whose words are left out too.
        akin : bool
            Leave out what is not like it at all.
        """
        assert self.likeness is not None
        left_out = {same_words(text), *(same_words(each.text) for each in without)}
        scores = self.likeness.scores(text)
        places = np.arange(len(scores)) if label is None else self._of[label]
        found = [at for at in places[best(scores[places], number + len(left_out))] if scores[at] > 0.0 or not akin]
        return [self.shown[at] for at in found if same_words(self.shown[at].text) not in left_out][:number]

    @cached_property
    def _of(self) -> list[np.ndarray]:
        labels = np.array([each.label for each in self.shown])
        return [np.flatnonzero(labels == label) for label in range(len(CLASSES))]


@dataclass(frozen=True)
class Context:
    """The prompts of one fold; made by `Context.build`.

    Attributes
    ----------
    settings : PromptSettings
    template : Template
    examples : tuple of tuple of Shown
        Where all texts are shown the same: those of each class, and one in reserve for a text that is among them.
    labelled, earlier : Pool or None
        What the nearest examples, and earlier articles, are looked up in.
    specials : tuple of str
        Tokens of control that no article may hold.
    limit : int
        Tokens of a whole prompt with its answer.
    item_tokens : int
        Tokens after which an example or an earlier article is cut.
    count : callable
        Number of tokens of a piece of text.
    identity : str
        sha256 (hex) over everything that determines a prompt.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models.prompting import Context, PromptSettings
    >>> from embargo.models.scorers.kind import FitRequest
    >>> texts = ["Profit fell.", "Sales sank.", "The board met.", "It moved.", "Profit rose.", "Sales grew."]
    >>> request = FitRequest(texts, [0, 0, 1, 1, 2, 2], [], [], None, None, Path("cache"))
    >>> context = Context.build(PromptSettings(examples=3), request)
    >>> print(context.rest("Orders doubled."))
    News: [Orders doubled.]
    Tone:
    >>> [item.part for item in context.prompts(["Orders doubled."])[0].items]
    ['template', 'example', 'example', 'example', 'article']
    """

    settings: PromptSettings
    template: Template
    examples: tuple[tuple[Shown, ...], ...]
    labelled: Pool | None
    earlier: Pool | None
    specials: tuple[str, ...]
    limit: int
    item_tokens: int
    count: Callable[[str], int] = field(repr=False)
    identity: str
    _dated: tuple[pd.Timestamp | None, ...] = field(repr=False)
    _order: tuple[int, ...] = ()

    @classmethod
    def build(cls, settings: PromptSettings, request: Known, tokenizer: Any | None = None) -> Context:
        """Choose what a fold's prompts show from what was known when its training ended.

        Parameters
        ----------
        settings : PromptSettings
        request : FitRequest
            Examples come from its training part, earlier articles from its background, or from its training part where
            it has none.
        tokenizer : PreTrainedTokenizerBase, optional
            Of the model that is asked; without one a token is taken for three bytes.

        Raises
        ------
        ConfigError
            If ``max_tokens`` leaves too little room, or the encoder is none.
        DataError
            If a class has too few examples, or there is nothing to look up.
        MissingPartError
            If the template, the encoder or bm25s is not there.
        """
        template = load_template(settings.template)
        limit, count, specials = measure(settings, tokenizer)
        per_class = settings.examples // len(CLASSES)
        labelled = _labelled(request) if per_class else ()
        if per_class:
            _require_classes(labelled, per_class)
        fixed: tuple[tuple[Shown, ...], ...] = ()
        near: Pool | None = None
        earlier: Pool | None = None
        if per_class and settings.choose == "nearest":
            near = _pool(labelled, settings)
        elif per_class:
            fixed = _drawn(labelled, per_class, request.seed)
        if settings.retrieve != "none":
            earlier = _pool(_earlier(request), settings)
        known = {
            "settings": asdict(settings) | {"template": template.hash, "normalise": None, "calibrate": None},
            "layout": 1,
            "examples": [[text_hash(each.text), each.label] for group in fixed for each in group],
            "labelled": None if near is None else _fingerprint(near),
            "earlier": None if earlier is None else _fingerprint(earlier),
            "seed": request.seed if per_class else None,
            "limit": limit,
            "counted": "bytes" if tokenizer is None else "tokens",
            "specials": specials,
        }
        pools = [pool for pool in (near, earlier) if pool is not None]
        context = cls(
            settings=settings,
            template=template,
            examples=fixed,
            labelled=near,
            earlier=earlier,
            specials=specials,
            limit=limit,
            item_tokens=0,
            count=count,
            identity=json_hash(known),
            _dated=tuple(
                [each.known_at for group in fixed for each in group]
                + [each.known_at for pool in pools for each in pool.shown]
                + [pool.likeness.knowledge_cutoff for pool in pools if pool.likeness and not pool.likeness.timeless]
            ),
            _order=_order(per_class, request.seed),
        )
        return replace(context, item_tokens=item_room(settings, template, limit, count))

    @property
    def grounded(self) -> bool:
        """Whether prompts show anything beside the template and the article."""
        return bool(self._dated)

    @property
    def knowledge_cutoff(self) -> pd.Timestamp | None:
        """Latest instant that what is shown, or what looks it up, could know; None if unknown or nothing is shown."""
        known = [instant for instant in self._dated if instant is not None]
        return max(known) if known and len(known) == len(self._dated) else None

    def later_cutoff(self, cutoff: pd.Timestamp | None) -> pd.Timestamp | None:
        """Return the later of a model's knowledge cutoff and what its prompts know; None where either is unknown."""
        return later_cutoff(cutoff, self.knowledge_cutoff) if self.grounded else cutoff

    @property
    def shown(self) -> tuple[Shown, ...]:
        """Every text that a prompt may show with its label."""
        fixed = tuple(each for group in self.examples for each in group)
        return fixed if self.labelled is None else self.labelled.shown

    @property
    def read(self) -> tuple[SampleRead, ...]:
        """Every sample that a prompt may show, as records of a fit have it."""
        found: list[SampleRead] = [_line("example", each) for each in self.shown]
        if self.earlier is not None:
            found += [_line("retrieved", each) for each in self.earlier.shown]
        return tuple(sorted(found))

    @cached_property
    def shared(self) -> str:
        """What the prompts of all texts begin with, except of texts that are among the fixed examples."""
        return self._joined([self.template.instruction, *(self._item(each)[0] for each in self._fixed(""))]) + self._gap

    def rest(self, text: str) -> str | None:
        """Return what follows `shared` in the prompt of a text; None where that begins otherwise."""
        whole = self.rendered(text)
        return whole.removeprefix(self.shared) if whole.startswith(self.shared) else None

    def rendered(self, text: str) -> str:
        """Return the whole prompt of a text, up to where the answer begins."""
        return self._prompt(text).rendered

    def messages(self, text: str) -> list[dict[str, str]]:
        """Return the prompt of a text as a conversation: the instruction, and what is asked."""
        whole = self.rendered(text)
        asked = whole.removeprefix(self.template.instruction + self._gap)
        return [{"role": "system", "content": self.template.instruction}, {"role": "user", "content": asked}]

    def prompts(self, texts: Sequence[str]) -> list[Prompt]:
        """Return the prompt of each text, with every item in it and when that was known."""
        return [self._prompt(text) for text in texts]

    def content_free(self) -> tuple[str, ...]:
        """Return prompts about inputs without content, with what all texts are shown and nothing that is looked up."""
        start = self.shared
        return tuple(start + self.template.question(self.template.plain(text, self.specials)) for text in CONTENT_FREE)

    @property
    def labels(self) -> tuple[str, ...]:
        """What stands behind a prompt for bearish, neutral and bullish."""
        return answers_of(self.template)

    @property
    def _gap(self) -> str:
        return self.template.separator

    def _joined(self, parts: Sequence[str]) -> str:
        return self._gap.join(parts)

    def _prompt(self, text: str) -> Prompt:
        examples = self._fixed(text) if self.labelled is None else self._nearest(text)
        hits: list[Shown] = []
        if self.earlier is not None:
            # What is most alike stands nearest to the article.
            hits = self.earlier.like(text, self.settings.retrieved, without=examples)[::-1]
        shown = [*examples, *hits] if self.labelled is None else [*hits, *examples]
        items = [self._item(each) for each in shown]
        before = self._joined([self.template.instruction, *(words for words, _ in items)]) + self._gap
        article = self._article(before, text)
        parts = (
            PromptItem("template", self.template.instruction),
            *(item for _, item in items),
            PromptItem("article", article),
        )
        return Prompt(before + self.template.question(article), self.template.hash, parts)

    def _fixed(self, text: str) -> list[Shown]:
        """Return the examples that all texts are shown, the one in reserve in place of one with the text's words."""
        own = same_words(text)
        groups = [[each for each in group if same_words(each.text) != own] for group in self.examples]
        return [groups[label][turn // len(CLASSES)] for turn, label in enumerate(self._order)] if groups else []

    def _nearest(self, text: str) -> list[Shown]:
        """Return the nearest examples of each class, the most alike last; classes take turns."""
        assert self.labelled is not None
        number = self.settings.examples // len(CLASSES)
        found = [self.labelled.like(text, number, label=label, akin=False) for label in range(len(CLASSES))]
        return [found[label][number - 1 - turn // len(CLASSES)] for turn, label in enumerate(self._order)]

    @cached_property
    def _item(self) -> Callable[[Shown], tuple[str, PromptItem]]:
        return lru_cache(maxsize=REMEMBERED)(self._made)

    def _made(self, shown: Shown) -> tuple[str, PromptItem]:
        words = cut(self.template.plain(shown.text, self.specials), self.item_tokens, self.count)
        if shown.label < 0:
            return self.template.earlier(words), PromptItem("retrieved", words, shown.known_at)
        return self.template.example(words, shown.label), PromptItem("example", words, shown.known_at)

    def _article(self, before: str, text: str) -> str:
        """Cut an article to what is left of the prompt."""
        plain = self.template.plain(text, self.specials)
        # No tokenizer makes more tokens than bytes.
        frame = self.template.question("") + max(self.labels, key=len)
        if len((before + frame + plain).encode("utf-8")) + SLACK <= self.limit:
            return plain
        room = self.limit - SLACK - self.count(before) - self.count(frame)
        return cut(plain, room, self.count)


def check_prompts(settings: PromptSettings) -> Template:
    """Return the template that settings name, after checking that all else they ask for is there.

    Raises
    ------
    ConfigError, MissingPartError
        If the template cannot be used, or bm25s or the encoder is not there.

    Examples
    --------
    >>> from embargo.models.prompting.context import check_prompts
    >>> from embargo.models.prompting.settings import PromptSettings
    >>> check_prompts(PromptSettings(retrieve="bm25")).name
    'news-sentiment'
    """
    if settings.likeness == "bm25":
        WordLikeness(())
    elif settings.likeness == "embedding":
        require_encoder(_encoder(settings))
    return load_template(settings.template)


def _encoder(settings: PromptSettings) -> Base:
    if settings.encoder in BUILT_IN:
        raise ConfigError(
            f"prompt.encoder = {settings.encoder!r} is made anew from the news of each run, and is not there to "
            "compare texts with. Name a base that is, such as 'minilm' or a folder, or set prompt.retrieve = 'bm25'."
        )
    return resolve_base(settings.encoder)


def _labelled(request: Known) -> tuple[Shown, ...]:
    """Return the training samples, those of the same words once: the one known first."""
    labels = check_labels(request.train_texts, request.train_labels, what="training samples")
    dates: list[pd.Timestamp | None] = [None] * len(labels)
    if request.train is not None and "known_at" in request.train.columns:
        known = pd.to_datetime(request.train["known_at"], utc=True)
        if "ends_at" in request.train.columns:
            ends = pd.to_datetime(request.train["ends_at"], utc=True)
            known = known.where(ends.isna() | (known >= ends), ends)
        dates = [None if pd.isna(instant) else instant for instant in known]
    return _once(Shown(*each) for each in zip(request.train_texts, labels.tolist(), dates, strict=True))


def _earlier(request: Known) -> tuple[Shown, ...]:
    """Return what was known when training ended, texts of the same words once: the one known first."""
    known = request.background if request.background is not None else request.train
    if known is None or known.empty:
        raise DataError(
            "prompt.retrieve: there is nothing to look up that was known when training ended. Hand over the "
            "background, or set retrieve = 'none'."
        )
    dates = (
        pd.to_datetime(known["known_at"], utc=True)
        if "known_at" in known.columns
        else pd.Series(pd.NaT, index=known.index)
    )
    return _once(
        Shown(text, -1, None if pd.isna(instant) else instant)
        for text, instant in zip(known["text"], dates, strict=True)
    )


def _once(shown: Any) -> tuple[Shown, ...]:
    """Keep the first of those of the same words, and return them in an order that follows from content."""
    never = pd.Timestamp.max.tz_localize("UTC")
    ordered = sorted(shown, key=lambda each: (each.known_at or never, text_hash(each.text), each.label))
    kept: dict[str, Shown] = {}
    for each in ordered:
        if each.text.strip():
            kept.setdefault(same_words(each.text), each)
    return tuple(sorted(kept.values(), key=lambda each: (text_hash(each.text), each.label)))


def _require_classes(labelled: Sequence[Shown], per_class: int) -> None:
    for label, name in enumerate(CLASSES):
        found = sum(each.label == label for each in labelled)
        # One more, for a text that is one of them.
        if found <= per_class:
            raise DataError(
                f"prompt.examples: {per_class} {name} examples, and one in reserve, were asked for, the training part "
                f"has {found} that differ. Ask for fewer, or widen it."
            )


def _drawn(labelled: Sequence[Shown], per_class: int, seed: int) -> tuple[tuple[Shown, ...], ...]:
    """Draw the examples of each class, and one in reserve."""
    groups = []
    for label in range(len(CLASSES)):
        of = [each for each in labelled if each.label == label]
        places = np.random.default_rng([seed, label]).permutation(len(of))[: per_class + 1]
        groups.append(tuple(of[at] for at in places))
    return tuple(groups)


def _order(per_class: int, seed: int) -> tuple[int, ...]:
    """Return whose turn it is: every class once in each round, in an order drawn for the round."""
    rng = np.random.default_rng([seed, len(CLASSES)])
    return tuple(int(label) for _ in range(per_class) for label in rng.permutation(len(CLASSES)))


def _pool(shown: tuple[Shown, ...], settings: PromptSettings) -> Pool:
    texts = [each.text for each in shown]
    if settings.likeness == "embedding":
        _encoder(settings)
        return Pool(shown, MeaningLikeness(texts, settings.encoder))
    return Pool(shown, WordLikeness(texts))


def _fingerprint(pool: Pool) -> Mapping[str, Any]:
    texts = [each.text for each in pool.shown]
    content = (
        texts_fingerprint(texts)
        if pool.shown and pool.shown[0].label < 0
        else sample_fingerprint(texts, [each.label for each in pool.shown])
    )
    assert pool.likeness is not None
    return {"content": content, **pool.likeness.identity}


def _line(use: Use, shown: Shown) -> SampleRead:
    return SampleRead(use, text_hash(shown.text), shown.label)
