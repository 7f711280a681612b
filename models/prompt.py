"""What a prompted reader was really asked: the rendered prompt, and every item in it with the instant it was known.

The items are written down by what renders the prompt, so that an audit holds against time what was sent, not a plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import pandas as pd

# What an item of a prompt is: fixed words, a labelled example, an earlier article, or the article asked about.
PromptPart = Literal["template", "example", "retrieved", "article"]


@dataclass(frozen=True)
class PromptItem:
    """One item of a prompt.

    Attributes
    ----------
    part : {"template", "example", "retrieved", "article"}
    text : str
        As it stands in the prompt, cut where the prompt cuts it.
    known_at : Timestamp or None
        When it was known, the label of an example included, UTC; None for the template, the article that is asked
        about, and items that are undated.

    Examples
    --------
    >>> from embargo.models.prompt import PromptItem
    >>> PromptItem("article", "Profit rose.").known_at is None
    True
    """

    part: PromptPart
    text: str
    known_at: pd.Timestamp | None = None


@dataclass(frozen=True)
class Prompt:
    """A prompt as it was sent.

    Attributes
    ----------
    rendered : str
    template : str
        Hash (64 hex digits) of the template with its version and label words.
    items : tuple of PromptItem
        In the order in which they stand in it.

    Examples
    --------
    >>> from embargo.models.prompt import Prompt, PromptItem
    >>> Prompt("News: Profit rose. Tone:", "ab12", (PromptItem("article", "Profit rose."),)).items[0].part
    'article'
    """

    rendered: str
    template: str
    items: tuple[PromptItem, ...]


@runtime_checkable
class Prompting(Protocol):
    """A scorer that asks its model in words, and can show them."""

    def prompts(self, texts: Sequence[str]) -> list[Prompt]:
        """Return the prompt of each text, as `logits` sends it; nothing is scored."""
        ...
