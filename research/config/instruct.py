"""What a tuning on instructions is: a dated corpus, where time is cut, how much each task weighs, and the base."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field, model_validator

from embargo.data_loaders.errors import ConfigError
from embargo.models.methods.settings import Optimizer
from embargo.research.config.archives import BUILT_IN_LOADERS, NewsSection
from embargo.research.config.settings import Count, Duration, Fraction, Instant, Name, Positive, Section, Seed

# Columns beside the articles that answers can stand in.
ANSWERS = ("label", "summary", "question", "answer")


class CorpusSection(NewsSection):
    """Where the articles come from, as the news of a run.

    ``columns`` also names, where there are such, the article's own ``headline`` and what was written about it:
    ``label``, ``summary``, ``question`` and ``answer``, with ``written_at``, the instant at which that was written.
    """

    unpriced: Literal["error", "drop"] = "drop"

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
    """What somebody wrote about the articles.

    ``labels`` maps labels to bearish, neutral and bullish. ``written_at = "known_at"`` says that it was all written
    from the text alone when the article was known; an archive that has a column ``written_at`` needs no such word.
    """

    labels: dict[str, str] = Field(default_factory=dict)
    written_at: Literal["known_at"] | None = None


class InstructSplitSection(Section):
    """Where time is cut: training ends, then validation, and what is known after both measures, up to ``end``."""

    start: Instant | None = None
    train_until: Instant
    validation_until: Instant
    end: Instant | None = None
    embargo: Duration = "1D"

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
    completion: Fraction = 0.3
    summary: Fraction = 0.2
    questions: Fraction = 0.1

    @model_validator(mode="after")
    def _is_whole(self) -> WeightsSection:
        total = sum(self.model_dump().values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"weights sum to {total:g}; together they must be 1")
        return self


class InstructModelSection(Section):
    """The decoder, and how its adapters are tuned.

    ``max_length`` counts the tokens of prompt and answer, ``max_answer`` those of the answer. ``max_exchanges`` limits
    the exchanges of each kind of task that are trained on.
    """

    base: str = "tiny-lm"
    revision: str | None = None
    knowledge_cutoff: Instant | None = None
    method: Literal["qlora", "lora", "dora", "rslora"] = "qlora"
    target: Literal["attention", "all-linear"] = "all-linear"
    rank: Annotated[int, Field(ge=1, le=256)] = 16
    alpha: Positive | None = None
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    learning_rate: Positive | None = None
    epochs: Count = 3
    batch_size: Count = 16
    micro_batch: Count | None = None
    checkpointing: bool = False
    patience: Count = 2
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    max_length: Annotated[int, Field(ge=32, le=131_072)] = 256
    max_answer: Annotated[int, Field(ge=4, le=4096)] = 64
    max_exchanges: Count | None = None
    optimizer: Optimizer = "auto"

    @model_validator(mode="after")
    def _batches_fit(self) -> InstructModelSection:
        if self.micro_batch is not None and self.micro_batch > self.batch_size:
            raise ValueError("model.micro_batch must not be larger than model.batch_size")
        return self


class MeasureSection(Section):
    """How the answers are measured: at most so many of each kind of task, with an encoder that compares them.

    ``encoder`` names a base, or "none".
    """

    max_exchanges: Count = 50
    encoder: str = "minilm"
    resamples: Annotated[int, Field(ge=100, le=100_000)] = 2000
    level: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95


class InstructConfig(Section):
    """One decoder to be tuned to answer."""

    task: Literal["instruct"]
    name: Name
    seed: Seed = 0
    news: CorpusSection
    answers: AnswersSection = AnswersSection()
    split: InstructSplitSection
    weights: WeightsSection = WeightsSection()
    templates: str = "research-desk"
    model: InstructModelSection = InstructModelSection()
    measure: MeasureSection = MeasureSection()

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
