"""What an experiment is: a TOML file checked down to the last key before any work begins.

Unknown keys are errors that name the key and the keys allowed there. Paths are relative to the file they stand in
and may use ``${VARIABLE}`` or ``${VARIABLE:-fallback}``. All instants are UTC.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from data_loaders.errors import ConfigError

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def _instant(value: Any) -> pd.Timestamp:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("give the time zone too, such as 2015-01-01T09:30:00Z, or the date alone (00:00 UTC)")
        return pd.Timestamp(value).tz_convert("UTC").as_unit("us")
    if isinstance(value, date):
        return pd.Timestamp(datetime(value.year, value.month, value.day, tzinfo=UTC)).as_unit("us")
    raise ValueError(f"expected a date or an instant with a time zone, got {value!r}")


def _parse_instant(value: Any) -> pd.Timestamp:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        return _instant(date.fromisoformat(value))
    return value if isinstance(value, pd.Timestamp) else _instant(value)


def _duration(value: str) -> str:
    try:
        length = pd.Timedelta(value)
    except ValueError as failure:
        raise ValueError(f"{value!r} is no duration; write '5min', '12h' or '2D'") from failure
    if length < pd.Timedelta(0):
        raise ValueError(f"{value!r} is negative")
    return value


Instant = Annotated[pd.Timestamp, BeforeValidator(_parse_instant)]
Duration = Annotated[str, AfterValidator(_duration)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Base of every section: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Simulated(Section):
    """The simulated market that stands in for both news and prices."""

    strength: Annotated[float, Field(ge=0.0, le=5.0)] = 1.0
    symbols: Annotated[int, Field(ge=4, le=500)] = 24
    start: Instant = pd.Timestamp("2015-01-01", tz="UTC")
    end: Instant = pd.Timestamp("2020-12-31", tz="UTC")
    articles_per_symbol_day: Annotated[float, Field(gt=0, le=5)] = 0.4


class News(Section):
    """Where the articles come from and how their columns read."""

    source: Literal["archive", "simulated"] = "archive"
    path: str | None = None
    columns: dict[str, str] = {}
    text_from: tuple[str, ...] = ()
    filters: dict[str, Any] = {}
    timezone: str | None = None
    date_only: str | None = None
    symbol: str | None = None
    symbol_flags: dict[str, str] = {}
    max_characters: Annotated[int, Field(ge=20)] = 600
    drop_repeats: bool = True
    unpriced: Literal["error", "drop"] = "error"
    simulated: Simulated = Simulated()

    @model_validator(mode="after")
    def _has_a_path(self) -> News:
        if self.source == "archive" and not self.path:
            raise ValueError("news.path is missing; point it at a parquet, CSV or JSONL file or folder")
        return self


class Prices(Section):
    """Where the bars come from, whose calendar they follow and how long before the open a decision falls."""

    source: Literal["archive", "simulated"] = "archive"
    path: str | None = None
    columns: dict[str, str] = {}
    filters: dict[str, Any] = {}
    symbols: tuple[str, ...] = ()
    calendar: str = "XNYS"
    bar: Duration = "1D"
    adjust: Literal["none", "total_return"] = "none"
    latency: Duration = "5min"

    @model_validator(mode="after")
    def _has_a_path(self) -> Prices:
        if self.source == "archive" and not self.path:
            raise ValueError("prices.path is missing; point it at a parquet, CSV or JSONL file or folder")
        return self


class Labels(Section):
    """What the model learns from: a column of the news, a labelled file, or the returns that followed."""

    source: Literal["news", "file", "returns"] = "news"
    column: str = "label"
    path: str | None = None
    text: str = "text"
    label: str = "label"
    mapping: dict[str, str] = {}
    filters: dict[str, Any] = {}
    knowledge_cutoff: Instant | None = None
    horizon_bars: Count = 1
    neutral_share: Fraction = 0.4
    validation_share: Annotated[float, Field(gt=0.0, lt=0.9)] = 0.15

    @model_validator(mode="after")
    def _file_is_dated(self) -> Labels:
        if self.source == "file" and (not self.path or self.knowledge_cutoff is None):
            raise ValueError(
                "labels.source = 'file' needs labels.path and labels.knowledge_cutoff, the latest its labels could know"
            )
        return self


class Split(Section):
    """How time is cut: every test window lies after what its model was trained and calibrated on."""

    method: Literal["holdout", "walk_forward"] = "walk_forward"
    start: Instant | None = None
    first_test: Instant
    end: Instant | None = None
    test_span: str = "12MS"
    validation_span: str = "3MS"
    train_span: str | None = None
    embargo: Duration = "1D"


class Model(Section):
    """Which reader of news, and how it is tuned."""

    kind: Literal["transformer", "linear", "lexicon"] = "transformer"
    base: str = "tiny"
    revision: str | None = None
    knowledge_cutoff: Instant | None = None
    method: Literal["qlora", "lora"] = "qlora"
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
    max_train: Count | None = None


class Signal(Section):
    """How scored articles become one number per symbol and bar."""

    threshold: Fraction = 0.5
    half_life: Positive = 1.0
    shrinkage: Annotated[float, Field(ge=0.0)] = 0.5
    min_articles: Count = 1


class Portfolio(Section):
    """How the signal becomes target weights."""

    method: Literal["proportional", "sign", "top_bottom"] = "proportional"
    gross: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    cap: Annotated[float, Field(gt=0.0, le=1.0)] = 0.2
    neutral: bool = False
    long_only: bool = False
    band: Fraction = 0.0
    k: Count = 5
    min_signal: Fraction = 0.02
    initial_cash: Positive = 1_000_000.0


class Costs(Section):
    """What trading costs, as fractions of the traded notional; borrowing, per year on what is held short."""

    fee: Annotated[float, Field(ge=0.0, lt=0.1)] = 0.0005
    slippage: Annotated[float, Field(ge=0.0, lt=0.1)] = 0.0005
    borrow_annual: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.005


class Statistics(Section):
    """How uncertainty is measured."""

    level: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    significance: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05
    bootstrap: Annotated[int, Field(ge=200)] = 2000
    permutations: Annotated[int, Field(ge=99)] = 500
    block: Count | None = None


class Regimes(Section):
    """How bars are sorted into bull, bear and sideways, and into calm and turbulent; both from closed bars only."""

    trend_lookback: Annotated[int, Field(ge=5)] = 63
    trend_threshold: Positive = 0.5
    volatility_lookback: Annotated[int, Field(ge=5)] = 21
    minimum_bars: Annotated[int, Field(ge=10)] = 60


class Leakage(Section):
    """How hard the audit looks. It cannot be switched off."""

    rows: Annotated[int, Field(ge=2)] = 12
    event_study: bool = True


class Report(Section):
    """What the report is called."""

    title: str | None = None


class Config(Section):
    """One experiment, every setting resolved."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,60}$")]
    seed: Annotated[int, Field(ge=0)] = 0
    news: News
    prices: Prices
    labels: Labels = Labels()
    split: Split
    model: Model = Model()
    signal: Signal = Signal()
    portfolio: Portfolio = Portfolio()
    costs: Costs = Costs()
    statistics: Statistics = Statistics()
    regimes: Regimes = Regimes()
    leakage: Leakage = Leakage()
    report: Report = Report()

    @model_validator(mode="after")
    def _simulation_is_whole(self) -> Config:
        if (self.news.source == "simulated") != (self.prices.source == "simulated"):
            raise ValueError(
                "news.source and prices.source must both be 'simulated' or neither: the two halves react to each other"
            )
        if self.model.base == "tiny" and self.model.kind == "transformer" and self.labels.source == "file":
            raise ValueError(
                "model.base = 'tiny' learns its words from this run's news; with labels.source = 'file' use another"
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values, instants as ISO 8601, unset optional keys left out."""
        settings: dict[str, Any] = _plain(self.model_dump())
        return settings

    def to_toml(self) -> str:
        """TOML text that `load_config` reads back to an equal config."""
        settings = self.to_dict()
        top = {key: value for key, value in settings.items() if not isinstance(value, dict)}
        tables = {key: value for key, value in settings.items() if isinstance(value, dict)}
        return "\n".join([*_assignments(top), *(line for name in tables for line in _table(name, tables[name]))]) + "\n"

    def fingerprint(self) -> str:
        """Hash of everything that can change a figure; 64 hex digits.

        Names and titles do not count, nor where files lie: the data carry fingerprints of their own.
        """
        settings = {key: value for key, value in self.to_dict().items() if key not in ("name", "report")}
        for section in ("news", "prices", "labels"):
            settings[section].pop("path", None)
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _assignments(values: dict[str, Any]) -> list[str]:
    return [f"{_key(name)} = {_toml(value)}" for name, value in values.items()]


def _table(name: str, values: dict[str, Any]) -> list[str]:
    return ["", f"[{name}]", *_assignments(values)]


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(_assignments(value)) + " }" if value else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value


def load_config(path: Path, overrides: list[str] | None = None) -> Config:
    """Read and check an experiment file.

    Parameters
    ----------
    path : Path
        TOML file. Relative paths inside it start from its folder.
    overrides : list of str, optional
        ``section.key=value`` settings that replace those of the file; values are TOML, bare words are strings.

    Raises
    ------
    ConfigError
        If the file is missing or not TOML, or a key is unknown, missing or out of range; the message names each key.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such config file. 'embargo run --help' shows where examples are.")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise ConfigError(f"{path}: not a TOML file: {failure}") from failure
    for override in overrides or []:
        _override(document, override)
    for section in ("news", "prices", "labels"):
        if isinstance(document.get(section), dict) and isinstance(document[section].get("path"), str):
            document[section]["path"] = _resolve(document[section]["path"], path, f"{section}.path")
    return parse_config(document, where=str(path))


def parse_config(document: dict[str, Any], *, where: str) -> Config:
    """Check a nested mapping of settings; see `load_config` for errors."""
    try:
        return Config.model_validate(document)
    except ValidationError as failure:
        lines = "\n".join(f"  {_explain(error)}" for error in failure.errors())
        raise ConfigError(f"{where}: {failure.error_count()} settings are wrong:\n{lines}") from failure


def _explain(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "config"
    if error["type"] == "extra_forbidden":
        owner: Any = Config
        for part in error["loc"][:-1]:
            owner = owner.model_fields[str(part)].annotation
        return f"{key}: unknown key; allowed here: {', '.join(sorted(owner.model_fields))}"
    if error["type"] == "missing":
        return f"{key}: missing; it has no default"
    message = error["msg"].removeprefix("Value error, ")
    return f"{key}: {message[0].lower() + message[1:]} (got {str(error['input'])[:80]!r})" if error["loc"] else message


def _override(document: dict[str, Any], text: str) -> None:
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set {text!r}: write section.key=value, such as --set signal.half_life=2")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    *sections, last = key.strip().split(".")
    target = document
    for name in sections:
        target = target.setdefault(name, {})
        if not isinstance(target, dict):
            raise ConfigError(f"--set {text!r}: {name!r} is a value, not a section")
    target[last] = parsed


def _resolve(value: str, file: Path, key: str) -> str:
    def substitute(match: re.Match[str]) -> str:
        found = os.environ.get(match[1]) or match[2]
        if found is None:
            raise ConfigError(
                f"{file}: {key} uses ${{{match[1]}}}, which is not set. Export {match[1]} or write the path out."
            )
        return found

    return str((file.parent / Path(_VARIABLE.sub(substitute, value)).expanduser()).resolve())
