"""What a prompted reader is asked and shown: every setting with its default, refused where it makes no sense.

Nothing here knows a model or a library of them, so that a configuration can be read without them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.fields import CLASSES

Choice = Literal["fixed", "nearest"]
Retrieval = Literal["none", "bm25", "embedding"]
Normalise = Literal["length", "none"]


@dataclass(frozen=True)
class PromptSettings:
    """What stands in a prompt, and how the answer is read from it.

    Attributes
    ----------
    template : str
        A name that `load_template` knows, or the path of a TOML file.
    examples : int
        Labelled examples in each prompt, as many of each class.
    choose : {"fixed", "nearest"}
        Whether all texts are shown the same examples, drawn by the seed, or each those of every class that are most
        like it.
    retrieve : {"none", "bm25", "embedding"}
        By what likeness earlier articles are looked up, and examples too where the nearest are asked for, which are
        found by BM25 where this is ``none``.
    retrieved : int
        Earlier articles in each prompt, at most; with BM25 those only that share a word with the text.
    encoder : str
        Base that texts are embedded with; its knowledge cutoff counts.
    normalise : {"length", "none"}
        Whether the log-likelihood of a label is divided by its number of tokens.
    calibrate : bool
        Divide by what the model says of inputs without content (Zhao et al. 2021, arXiv 2102.09690).
    max_tokens : int
        Tokens of a prompt with its answer. Articles are cut to fit, nothing else is left out.

    Examples
    --------
    >>> from embargo.models.prompting import PromptSettings
    >>> PromptSettings(examples=6).choose
    'fixed'
    >>> PromptSettings(examples=4)
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: prompt.examples must be a multiple of 3, as many of each class, got 4.
    """

    template: str = "news-sentiment"
    examples: int = 0
    choose: Choice = "fixed"
    retrieve: Retrieval = "none"
    retrieved: int = 3
    encoder: str = "minilm"
    normalise: Normalise = "length"
    calibrate: bool = True
    max_tokens: int = 1024

    def __post_init__(self) -> None:
        if self.examples < 0 or self.examples % len(CLASSES):
            raise ConfigError(
                f"prompt.examples must be a multiple of {len(CLASSES)}, as many of each class, got {self.examples}."
            )
        for name, least in (("retrieved", 1), ("max_tokens", 32)):
            if getattr(self, name) < least:
                raise ConfigError(f"prompt.{name} must be at least {least}, got {getattr(self, name)}.")
        for name, words in {"choose": Choice, "retrieve": Retrieval, "normalise": Normalise}.items():
            if getattr(self, name) not in get_args(words):
                raise ConfigError(f"prompt.{name} must be one of {get_args(words)}, got {getattr(self, name)!r}.")

    @property
    def likeness(self) -> Literal["bm25", "embedding"] | None:
        """By what texts are compared; None where none are."""
        if self.retrieve != "none":
            return self.retrieve
        return "bm25" if self.examples and self.choose == "nearest" else None
