"""Which reader of news a run has, and what each kind of reader is told: a file of scores, a prompt, an endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from embargo.data_loaders.archive.score_files import SCORE_COLUMNS
from embargo.data_loaders.own_code import READERS, check_reference
from embargo.models.bases.resolve import BUILT_IN, TINY, TINY_INSTRUCT
from embargo.models.endpoints.secrets import fault_of_address, fault_of_name, holds_key
from embargo.models.methods.settings import Method, Optimizer
from embargo.models.scorer import CalibrationMethod, Runtime
from embargo.research.config.archives import check_form
from embargo.research.config.settings import UNSEEN, BaseName, Count, Duration, Fraction, Instant, Positive, Section

# Kinds that start from a base.
ON_BASE = frozenset({"transformer", "prompted"})
# Kinds of which nothing was there before they were fitted.
WITHOUT_PAST = frozenset({"linear", "majority"})
KINDS = ("transformer", "prompted", "endpoint", "distilled", "scores", "linear", "lexicon", "majority")


class ScoresSection(Section):
    """Probabilities made elsewhere, one row per article; what they know is stated, for nobody else can say it.

    ``columns`` maps the product's names (``article_id``, ``bearish``, ``neutral``, ``bullish``, or ``bearish_logit``
    and so on) to those of the file. What judges the scores is ``knowledge_cutoff``, not when they were made: a model
    that reads old news today says what it would have said then, if nothing in it is later than the news.
    """

    path: str
    knowledge_cutoff: Instant
    columns: dict[str, str] = Field(default_factory=dict)
    delimiter: str | None = None
    encoding: str | None = None
    header: bool = True

    @model_validator(mode="after")
    def _is_readable(self) -> ScoresSection:
        if odd := sorted(set(self.columns) - set(SCORE_COLUMNS)):
            raise ValueError(f"model.scores.columns maps {odd}; it may map {', '.join(SCORE_COLUMNS)}")
        check_form(self)
        return self


class PromptSection(Section):
    """What a prompted reader is asked: a template, labelled examples and earlier articles that were known by then.

    ``examples`` are drawn from the fold's training part, as many of each class; ``choose = "nearest"`` takes those most
    like the article. ``retrieve`` adds the articles most like it among all that was known when training ended.
    ``calibrate`` divides by what the prompt says of an article without content.
    """

    template: str = "news-sentiment"
    examples: Annotated[int, Field(ge=0, le=63, multiple_of=3)] = 0
    choose: Literal["fixed", "nearest"] = "fixed"
    retrieve: Literal["none", "bm25", "embedding"] = "none"
    retrieved: Annotated[int, Field(ge=1, le=32)] = 3
    encoder: str = "minilm"
    normalise: Literal["length", "none"] = "length"
    calibrate: bool = True
    max_tokens: Annotated[int, Field(ge=32, le=131_072)] = 1024


class EndpointSection(Section):
    """A model behind an OpenAI-compatible address, and what may be spent on it.

    ``key`` names the variable of the environment that holds the key. ``prompt_price`` and ``completion_price`` are in
    currency per million tokens; ``max_cost`` and ``max_requests`` stop a run before they are passed, and count all that
    was asked with the same settings out of one cache folder. Where a server gives no log-probabilities, ``samples``
    choices are drawn. Reading stops where more than ``max_unanswered`` of the texts have no usable answer, and where
    the server's fingerprint changes midway unless ``changes = "count"``.
    """

    url: str
    model: str
    api: Literal["chat", "completions"] = "chat"
    key: str | None = None
    logprobs: Literal["auto", "always", "never"] = "auto"
    samples: Annotated[int, Field(ge=1, le=128)] = 5
    timeout: Duration = "60s"
    retries: Annotated[int, Field(ge=0, le=100)] = 5
    concurrency: Annotated[int, Field(ge=1, le=256)] = 4
    max_requests: Count | None = None
    max_cost: Positive | None = None
    prompt_price: Annotated[float, Field(ge=0.0)] | None = None
    completion_price: Annotated[float, Field(ge=0.0)] | None = None
    max_unanswered: Fraction = 0.05
    changes: Literal["refuse", "count"] = "refuse"

    @field_validator("url", "key", "model")
    @classmethod
    def _no_secret(cls, value: str | None, info: ValidationInfo) -> str | None:
        faults: dict[str, Callable[[], str | None]] = {
            "url": lambda: fault_of_address(str(value), with_key=False),
            "key": lambda: fault_of_name(str(value)),
            "model": lambda: "looks like a key; write the name of the model" if holds_key(str(value)) else None,
        }
        fault = None if value is None else faults[str(info.field_name)]()
        if fault is not None:
            raise PydanticCustomError(UNSEEN, fault)
        return value

    @model_validator(mode="after")
    def _is_affordable(self) -> EndpointSection:
        fault = fault_of_address(self.url, with_key=self.key is not None)
        if fault is not None:
            raise PydanticCustomError(UNSEEN, f"url {fault}")
        if self.max_cost is not None and (self.prompt_price is None or self.completion_price is None):
            raise PydanticCustomError(UNSEEN, "max_cost needs prompt_price and completion_price, per million tokens")
        return self


class ReaderSection(Section):
    """Which reader of news, how it is tuned, and what scores with it.

    ``kind`` is one of the product's own, or ``"package.module:name"`` of yours, which is told ``settings`` and has to
    be allowed (``--allow``), or the name that an installed package registered under ``embargo.readers``. ``base``
    names one base, or a series of vintages by the last day that each could know, of which each fold takes the newest
    that ends before its training does. ``scorer = "onnx"`` gives torch's fp32 probabilities sooner, and ``"auto"`` takes
    it where that repays an export; ``"onnx-int8"`` is the fastest on a CPU and moves them.
    """

    kind: str = "transformer"
    settings: dict[str, Any] = Field(default_factory=dict)
    base: BaseName = "tiny"
    revision: str | None = None
    knowledge_cutoff: Instant | None = None
    method: Method = "qlora"
    target: Literal["attention", "all-linear"] = "all-linear"
    rank: Annotated[int, Field(ge=1, le=256)] = 8
    alpha: Positive | None = None
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    learning_rate: Positive | None = None
    epochs: Count = 4
    batch_size: Count = 32
    patience: Count = 3
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    max_length: Annotated[int, Field(ge=8, le=4096)] = 64
    class_weights: bool = True
    optimizer: Optimizer = "auto"
    calibration: CalibrationMethod = "temperature"
    scorer: Runtime = "torch"
    max_train: Count | None = None
    scores: ScoresSection | None = None
    prompt: PromptSection | None = None
    endpoint: EndpointSection | None = None

    @property
    def on_base(self) -> bool:
        """Whether the reader starts from ``base``."""
        return self.kind in ON_BASE

    @property
    def made_here(self) -> bool:
        """Whether its base is made of the run's own early news."""
        return self.on_base and self.base in BUILT_IN

    @property
    def pretrained(self) -> bool:
        """Whether anything in it was there before it was fitted."""
        return self.kind not in WITHOUT_PAST

    @property
    def is_own(self) -> bool:
        """Whether the reader is none of the product's."""
        return self.kind not in KINDS

    @model_validator(mode="before")
    @classmethod
    def _asked_something(cls, document: Any) -> Any:
        if isinstance(document, dict) and document.get("kind") in ("prompted", "endpoint"):
            return {"prompt": {}} | document
        return document

    @model_validator(mode="after")
    def _is_known(self) -> ReaderSection:
        check_reference(self.kind, what="model.kind", built_in=KINDS, group=READERS)
        for kind, section in _SECTIONS.items():
            if (self.kind == kind) != (getattr(self, section, None) is not None):
                if self.kind == kind:
                    raise ValueError(f"model.kind = {kind!r} needs the section model.{section}")
                if section != "prompt" or self.kind != "endpoint":
                    raise ValueError(f"model.{section} belongs to kind = {kind!r}; leave it out with {self.kind!r}")
        if self.settings and not self.is_own:
            raise ValueError(f"model.settings are for a reader of your own; {self.kind!r} has keys of its own")
        return self

    @model_validator(mode="after")
    def _has_head(self) -> ReaderSection:
        if self.kind == "prompted" and self.base == TINY:
            raise ValueError(
                f"model.kind = 'prompted' asks a decoder, and the built-in {TINY!r} is an encoder; set model.base = "
                f"{TINY_INSTRUCT!r}, or name a decoder"
            )
        if self.kind == "transformer" and self.method == "none" and self.base in BUILT_IN:
            raise ValueError(
                f"model.method = 'none' reads with a base's own head, and {self.base!r} has none; set model.base"
            )
        return self

    @model_validator(mode="after")
    def _scorer_fits(self) -> ReaderSection:
        if self.scorer != "torch" and self.kind != "transformer":
            raise ValueError(f"model.scorer = {self.scorer!r} scores transformers; kind = {self.kind!r} needs none")
        if self.scorer not in ("torch", "auto"):
            # Loaded here because few configs ask for it, and what the methods need of a base takes long to load.
            from embargo.models.methods.cards import METHODS

            if not METHODS[self.method].mergeable:
                raise ValueError(
                    f"model.scorer = {self.scorer!r} needs an adapter that can be merged, which {self.method!r} gives "
                    "none"
                )
        return self


class DistillSection(Section):
    """A teacher of any kind, and the student that learns from its probabilities.

    The teacher is a section like ``model`` and is fitted on each fold as a reader of its own; it is then asked about
    the articles known before the fold's training ended, at most ``max_texts``, the newest first. A student that is a
    transformer is tuned as ``model`` says. ``temperature`` softens what the teacher says while the student learns it.
    """

    teacher: ReaderSection
    student: Literal["linear", "transformer"] = "linear"
    max_texts: Count | None = None
    temperature: Positive = 1.0


class ModelSection(ReaderSection):
    """The reader of a run: any reader, or a student that was distilled from one."""

    distill: DistillSection | None = None

    @property
    def on_base(self) -> bool:
        """Whether the reader starts from ``base``."""
        return super().on_base or (self.distill is not None and self.distill.student == "transformer")

    @property
    def pretrained(self) -> bool:
        """Whether anything in it, or in its teacher, was there before it was fitted."""
        if self.distill is None:
            return super().pretrained
        return self.on_base or self.distill.teacher.pretrained

    @property
    def teacher(self) -> ReaderSection | None:
        """What it learns from, where it learns from a reader."""
        return None if self.distill is None else self.distill.teacher

    @model_validator(mode="after")
    def _student_learns(self) -> ModelSection:
        if self.distill is not None and self.distill.student == "transformer" and self.method == "none":
            raise ValueError("model.method = 'none' tunes nothing, and a student has to learn; set another method")
        if self.distill is not None and self.distill.teacher.max_train is not None:
            raise ValueError(
                "model.distill.teacher.max_train: a teacher learns from what its student is given; set model.max_train"
            )
        return self


# What a kind is told in a section of its own.
_SECTIONS = {"scores": "scores", "prompted": "prompt", "endpoint": "endpoint", "distilled": "distill"}


def told_in(model: Any, section: str, key: str) -> list[dict[str, Any]]:
    """Find the sections of one name that hold a text under a key in that of a model, its teacher's among them."""
    if not isinstance(model, dict):
        return []
    distilled = model.get("distill")
    teacher = distilled.get("teacher") if isinstance(distilled, dict) else None
    found = [each.get(section) for each in (model, teacher) if isinstance(each, dict)]
    return [each for each in found if isinstance(each, dict) and isinstance(each.get(key), str)]
