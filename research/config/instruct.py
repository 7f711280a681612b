"""What a tuning on instructions is: a dated corpus, where time is cut, how much each task weighs, and the base."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field, model_validator

from embargo.data_loaders.errors import ConfigError
from embargo.models.bases.resolve import TINY
from embargo.models.methods.settings import Optimizer
from embargo.research.config.archives import BUILT_IN_LOADERS, NewsSection
from embargo.research.config.settings import (
    Count,
    Duration,
    Fraction,
    Instant,
    Name,
    Positive,
    Section,
    Seed,
    check_made_here,
)

# Columns beside the articles that answers can stand in.
ANSWERS = ("label", "summary", "question", "answer")


class CorpusSection(NewsSection):
    """Where the articles come from, as the news of a run.

    ``columns`` also names, where there are such, the article's own ``headline`` and what was written about it:
    ``label``, ``summary``, ``question`` and ``answer``, with ``written_at``, the instant at which that was written.
    """

    unpriced: Literal["error", "drop"] = "drop"
    """What happens to articles of symbols without prices; nothing here is priced."""

    @model_validator(mode="after")
    def _is_read_from_files(self) -> CorpusSection:
        if self.loader == "store":
            raise ValueError("news.loader = 'store' keeps no answers beside its articles; give an archive")
        if self.loader not in BUILT_IN_LOADERS:
            raise ValueError(
                f"news.loader = {self.loader!r}: a corpus is read from files; write what the loader returns to one, "
                "and give it as an archive"
            )
        return self


class AnswersSection(Section):
    """What somebody wrote about the articles."""

    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the source to `bearish`, `neutral` and `bullish`."""
    written_at: Literal["known_at"] | None = None
    """`"known_at"` says that answers were written from the text alone when the article was known; an archive with a
    column `written_at` needs no such word."""


class InstructSplitSection(Section):
    """Where time is cut: training ends, then validation, and what is known after both measures, up to ``end``."""

    start: Instant | None = None
    """Earliest instant that anything is read from; unset, the first article."""
    train_until: Instant
    """When training ends."""
    validation_until: Instant
    """When validation ends; what is known after it measures."""
    end: Instant | None = None
    """When measuring ends; unset, with the data."""
    embargo: Duration = "1D"
    """What is left out after each boundary."""

    @model_validator(mode="after")
    def _is_in_order(self) -> InstructSplitSection:
        if self.validation_until <= self.train_until + pd.Timedelta(self.embargo):
            raise ValueError("split.validation_until must lie after split.train_until and the embargo")
        if self.end is not None and self.end <= self.validation_until:
            raise ValueError("split.end must lie after split.validation_until")
        return self


class WeightsSection(Section):
    """How much of the loss each kind of task has; together 1."""

    understanding: Fraction = 0.4
    """Share of naming the tone or a fact of an article."""
    completion: Fraction = 0.3
    """Share of going on with an article."""
    summary: Fraction = 0.2
    """Share of summing it up."""
    questions: Fraction = 0.1
    """Share of answering questions about it."""

    @model_validator(mode="after")
    def _is_whole(self) -> WeightsSection:
        total = sum(self.model_dump().values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"weights sum to {total:g}; together they must be 1")
        return self


class InstructModelSection(Section):
    """The decoder, and how its adapters are tuned."""

    base: str = "tiny-lm"
    """The decoder: `tiny-lm`, a local folder or a name on the hub."""
    revision: str | None = None
    """Commit of a base on the hub; unset, its newest, which is recorded."""
    knowledge_cutoff: Instant | None = None
    """Latest instant that the base could know; unset, what the registry of known bases says."""
    method: Literal["qlora", "lora", "dora", "rslora"] = "qlora"
    """How the decoder is tuned."""
    target: Literal["attention", "all-linear"] = "all-linear"
    """Which layers get low-rank adapters: query and value projections, or every linear layer."""
    rank: Annotated[int, Field(ge=1, le=256)] = 16
    """Rank of the adapters."""
    alpha: Positive | None = None
    """Scale of the update, which is multiplied by `alpha / rank`; unset, twice the rank."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    """Share of the adapter's input that is dropped in training."""
    learning_rate: Positive | None = None
    """Peak rate of AdamW; unset, the method's usual one for a base of that width."""
    epochs: Count = 3
    """Passes over the training part, at most."""
    batch_size: Count = 16
    """Exchanges of one step."""
    shares: Count | None = None
    """Parts into which each step is cut, so that as many processes (`accelerate launch`), or any number that divides
    it, train the same weights to the bit; unset, one part, and several processes agree up to rounding."""
    micro_batch: Count | None = None
    """Exchanges that go through the model at once; unset, all of a step."""
    checkpointing: bool = False
    """Whether activations are computed twice instead of kept: less memory, more time, the same result."""
    patience: Count = 2
    """Passes without a lower validation loss after which tuning stops; the best pass is kept."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    """Decay of AdamW."""
    max_length: Annotated[int, Field(ge=32, le=131_072)] = 256
    """Tokens of prompt and answer together."""
    max_answer: Annotated[int, Field(ge=4, le=4096)] = 64
    """Tokens of the answer."""
    max_exchanges: Count | None = None
    """Exchanges of each kind of task that are trained on, at most; unset, all."""
    optimizer: Optimizer = "auto"
    """Which optimizer; `"auto"` is the paged 8-bit AdamW for QLoRA on a GPU, else AdamW."""

    @model_validator(mode="after")
    def _cutoff_is_its_own(self) -> InstructModelSection:
        if self.base != TINY:  # an encoder, which is refused as such
            check_made_here(self.base, revision=self.revision, knowledge_cutoff=self.knowledge_cutoff)
        return self

    @model_validator(mode="after")
    def _batches_fit(self) -> InstructModelSection:
        for name, parts in (("micro_batch", self.micro_batch), ("shares", self.shares)):
            if parts is not None and parts > self.batch_size:
                raise ValueError(f"model.{name} must not be larger than model.batch_size")
        return self


class MeasureSection(Section):
    """How the answers are measured."""

    max_exchanges: Count = 50
    """Exchanges of each kind of task that are measured, at most."""
    encoder: str = "minilm"
    """Base that compares answers by their embeddings, or `"none"`."""
    resamples: Annotated[int, Field(ge=100, le=100_000)] = 2000
    """Resamples of the bootstrap."""
    level: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95
    """Confidence level of the intervals."""


class InstructConfig(Section):
    """One decoder to be tuned to answer."""

    task: Literal["instruct"]
    """What the decoder is taught: to answer."""
    name: Name
    """Name of the model, which its folder carries."""
    seed: Seed = 0
    """Seed of all that is drawn."""
    news: CorpusSection
    """The dated corpus."""
    answers: AnswersSection = AnswersSection()
    """What somebody wrote about its articles."""
    split: InstructSplitSection
    """Where time is cut."""
    weights: WeightsSection = WeightsSection()
    """How much of the loss each kind of task has."""
    templates: str = "research-desk"
    """Wording of the tasks: a set of the product's, or a TOML file of yours."""
    model: InstructModelSection = InstructModelSection()
    """The decoder and its tuning."""
    measure: MeasureSection = MeasureSection()
    """How answers are measured."""

    @model_validator(mode="before")
    @classmethod
    def _is_a_table(cls, document: Any) -> Any:
        if not isinstance(document, dict):
            raise ConfigError("a tuning on instructions is a table of settings.")
        return document

    @model_validator(mode="after")
    def _answers_are_dated(self) -> InstructConfig:
        columns = self.news.columns
        given = [name for name in ANSWERS if name in columns]
        if self.news.loader == "simulated":
            given = ["label"]
        if given and "written_at" not in columns and self.answers.written_at is None:
            raise ValueError(
                f"{', '.join(given)}: when were they written? Name the column of instants as news.columns.written_at, "
                "or set answers.written_at = 'known_at' if each was made from its text alone when that was known"
            )
        return self
