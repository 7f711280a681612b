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
from embargo.research.config.settings import (
    UNSEEN,
    BaseName,
    Count,
    Duration,
    Fraction,
    Instant,
    Positive,
    Section,
    check_made_here,
)

# Kinds that start from a base.
ON_BASE = frozenset({"transformer", "prompted"})
# Kinds of which nothing was there before they were fitted.
WITHOUT_PAST = frozenset({"linear", "majority"})
KINDS = ("transformer", "prompted", "endpoint", "distilled", "scores", "linear", "lexicon", "majority")


class ScoresSection(Section):
    """Probabilities made elsewhere, one row per article; what they know is stated, for nobody else can say it.

    A model that reads old news today says what it would have said then, if nothing in it is later than the news.
    """

    path: str
    """File or folder of parquet, CSV or JSONL with one row per article."""
    knowledge_cutoff: Instant
    """Latest instant that what made the scores could know; it judges them, not when they were made."""
    columns: dict[str, str] = Field(default_factory=dict)
    """The product's names (`article_id`, `bearish`, `neutral`, `bullish`, or `bearish_logit` and so on) to those of the
    file."""
    delimiter: str | None = None
    """Sign between the cells of a CSV, where it is no comma."""
    encoding: str | None = None
    """Encoding of texts, where it is not UTF-8."""
    header: bool = True
    """Whether the first line names the columns; without one they are called `"1"`, `"2"` ..."""
    decimal: str | None = None
    """Decimal sign of the numbers in a CSV, where it is no point: `","`."""
    thousands: str | None = None
    """Sign between groups of three figures in the numbers of a CSV, such as `"."` or `","`; unset, there is none."""

    @model_validator(mode="after")
    def _is_readable(self) -> ScoresSection:
        if odd := sorted(set(self.columns) - set(SCORE_COLUMNS)):
            raise ValueError(f"model.scores.columns maps {odd}; it may map {', '.join(SCORE_COLUMNS)}")
        check_form(self)
        return self


class PromptSection(Section):
    """What a prompted reader is asked: a template, labelled examples and earlier articles that were known by then."""

    template: str = "news-sentiment"
    """A template of the product's, or a TOML file of yours, which is kept by its hash."""
    examples: Annotated[int, Field(ge=0, le=63, multiple_of=3)] = 0
    """Labelled examples in each prompt, drawn from the fold's training part, as many of each class."""
    choose: Literal["fixed", "nearest"] = "fixed"
    """Whether all articles are shown the same examples, or each those most like it."""
    retrieve: Literal["none", "bm25", "embedding"] = "none"
    """By what likeness earlier articles are looked up, among all that was known when training ended."""
    retrieved: Annotated[int, Field(ge=1, le=32)] = 3
    """Earlier articles in each prompt, at most."""
    encoder: str = "minilm"
    """Base that texts are embedded with, for `retrieve = "embedding"`; its knowledge cutoff counts."""
    normalise: Literal["length", "none"] = "length"
    """Whether the log-likelihood of a label is divided by its number of tokens."""
    calibrate: bool = True
    """Whether answers are divided by what the prompt says of an article without content (Zhao et al. 2021)."""
    max_tokens: Annotated[int, Field(ge=32, le=131_072)] = 1024
    """Tokens of a prompt with its answer; articles are cut to fit, and nothing else is left out."""


class EndpointSection(Section):
    """A model behind an OpenAI-compatible address, and what may be spent on it."""

    url: str
    """Base address, such as `"https://host/v1"`, without a key in it."""
    model: str
    """Name under which the server has the model."""
    api: Literal["chat", "completions"] = "chat"
    """Which of the two interfaces is asked."""
    key: str | None = None
    """Name of the variable of the environment that holds the key, never the key itself; unset, none is sent."""
    logprobs: Literal["auto", "always", "never"] = "auto"
    """Whether classes are read from the log-probabilities of the answer's first token; `"auto"` finds out by asking."""
    samples: Annotated[int, Field(ge=1, le=128)] = 5
    """Answers drawn of each text where a server gives no log-probabilities."""
    timeout: Duration = "60s"
    """How long one request may take, from the first byte sent to the last one read."""
    retries: Annotated[int, Field(ge=0, le=100)] = 5
    """Further requests after one that failed and may be repeated."""
    concurrency: Annotated[int, Field(ge=1, le=256)] = 4
    """Requests at once."""
    max_requests: Count | None = None
    """Requests, failed ones included, that may be made with these settings out of one cache folder."""
    max_cost: Positive | None = None
    """What all requests with these settings out of one cache folder may cost; it needs both prices."""
    prompt_price: Annotated[float, Field(ge=0.0)] | None = None
    """Price of a million tokens of prompts, in any currency."""
    completion_price: Annotated[float, Field(ge=0.0)] | None = None
    """Price of a million tokens of answers, in the same currency."""
    max_unanswered: Fraction = 0.05
    """Share of texts without a usable answer above which reading stops."""
    changes: Literal["refuse", "count"] = "refuse"
    """What happens when the server's fingerprint changes midway; that it names another model is always refused."""

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
    """Which reader of news, how it is tuned, and what scores with it."""

    kind: str = "transformer"
    """Which reader: one of the product's (`transformer`, `prompted`, `endpoint`, `distilled`, `scores`, `linear`,
    `lexicon`, `majority`), or one of your own as `"package.module:name"`, which has to be allowed with `--allow`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """What a reader of your own is told; the product's have keys of their own."""
    base: BaseName = "tiny"
    """What a transformer or a prompted reader starts from: `tiny`, `tiny-lm`, `tiny-instruct`, `minilm`, a local
    folder, a name on the hub, or a table of dated vintages, of which each fold takes the newest that ends before its
    training does."""
    revision: str | None = None
    """Commit of a base on the hub; unset, its newest, which the run then records."""
    knowledge_cutoff: Instant | None = None
    """Latest instant that the base could know; unset, what the registry of known bases says."""
    method: Method = "qlora"
    """How the base is tuned; `none` reads with its own head."""
    target: Literal["attention", "all-linear"] = "all-linear"
    """Which layers get low-rank adapters: query and value projections, or every linear layer."""
    rank: Annotated[int, Field(ge=1, le=256)] = 8
    """Rank of a low-rank adapter, or number of virtual tokens of a prefix or prompt."""
    alpha: Positive | None = None
    """Scale of a low-rank update, which is multiplied by `alpha / rank`; unset, twice the rank."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    """Share of the adapter's input that is dropped in training."""
    learning_rate: Positive | None = None
    """Peak rate of AdamW; unset, the method's usual one for a base of that width."""
    epochs: Count = 4
    """Passes over the training part, at most."""
    batch_size: Count = 32
    """Texts of one step."""
    shares: Count | None = None
    """Parts into which each step is cut, so that as many processes (`accelerate launch`), or any number that divides
    it, train the same weights to the bit; unset, one part, and several processes agree up to rounding."""
    patience: Count = 3
    """Passes without a lower validation loss after which tuning stops; the best pass is kept."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    """Decay of AdamW."""
    max_length: Annotated[int, Field(ge=8, le=4096)] = 64
    """Tokens after which a text is cut."""
    class_weights: bool = True
    """Whether each class is weighed by the inverse of its share in the training loss."""
    optimizer: Optimizer = "auto"
    """Which optimizer; `"auto"` is the paged 8-bit AdamW for QLoRA on a GPU, else AdamW."""
    calibration: CalibrationMethod = "temperature"
    """How logits become probabilities on the validation part: one temperature (Guo et al. 2017), one scale and shift
    for each class, or a monotone step function."""
    scorer: Runtime = "torch"
    """What scores: torch, ONNX Runtime with torch's fp32 probabilities, ONNX Runtime in 8 bits, which moves them, or
    `"auto"`, which takes ONNX in fp32 where the texts that a fold learns from repay an export."""
    max_train: Count | None = None
    """Labelled articles to learn from, at most, the newest of the training part; unset, all."""
    scores: ScoresSection | None = None
    """The file, for `kind = "scores"`."""
    prompt: PromptSection | None = None
    """What is asked, for `kind = "prompted"` and `"endpoint"`."""
    endpoint: EndpointSection | None = None
    """Whom to ask, for `kind = "endpoint"`."""

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
    def _steps_can_be_cut(self) -> ReaderSection:
        if self.shares is not None and self.shares > self.batch_size:
            raise ValueError("model.shares must not be larger than model.batch_size")
        return self

    @model_validator(mode="after")
    def _cutoff_is_its_own(self) -> ReaderSection:
        if self.made_here:
            check_made_here(self.base, revision=self.revision, knowledge_cutoff=self.knowledge_cutoff)
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
    """A teacher of any kind, and the student that learns from its probabilities."""

    teacher: ReaderSection
    """A section like `model`, of any kind of reader; it is fitted on each fold as a reader of its own."""
    student: Literal["linear", "transformer"] = "linear"
    """What learns from its probabilities; a transformer is tuned as `model` says."""
    max_texts: Count | None = None
    """Articles that the teacher is asked about, at most, the newest of those known before training ended; unset, all.
    """
    temperature: Positive = 1.0
    """How much what the teacher says is softened while the student learns it; 1 leaves it."""


class ModelSection(ReaderSection):
    """The reader of a run: any reader, or a student that was distilled from one."""

    distill: DistillSection | None = None
    """Teacher and student, for `kind = "distilled"`."""

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
