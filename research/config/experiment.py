"""What an experiment is: a TOML file checked down to the last key before any work begins.

Every section and every key of a run is described here or in the files of its larger sections, with its default, of
which docs/configuration.md is made; `embargo.research.config.settings` says how they are read.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field, PrivateAttr, model_validator

from embargo.data_loaders.amendments import amended
from embargo.data_loaders.archive.files import fingerprint, tables_of
from embargo.data_loaders.errors import ConfigError
from embargo.models.prompting.templates import load_template
from embargo.research.config.archives import (
    FILE_FORM,
    NewsSection,
    check_form,
    fits_own_loader,
    only_for_archives,
    path_is_there,
)
from embargo.research.config.data import DataSection
from embargo.research.config.model import ModelSection, told_in
from embargo.research.config.regimes import FILED_REGIMES, RegimesSection
from embargo.research.config.settings import (
    MOST,
    BarLength,
    ClosedDay,
    Count,
    Duration,
    Fraction,
    Instant,
    Name,
    Section,
    Seed,
    SessionHours,
    SplitSpan,
    checked,
    place_of,
    read_toml,
)
from embargo.research.config.trading import (
    CostsSection,
    ExecutionSection,
    FusionSection,
    PortfolioSection,
    SignalSection,
)


class PricesSection(Section):
    """Where the bars come from, whose calendar they follow and how long before the open a decision falls.

    A loader of your own is a function of ``settings`` that returns `Prices`, whose calendar must be the one set here.
    """

    loader: str = "archive"
    """Where bars come from: `"archive"` (files), `"store"`, `"simulated"`, or a function of your own as
    `"package.module:name"`, which has to be allowed with `--allow`."""
    path: str | None = None
    """File or folder of an archive, or root of a store, from this file's folder on."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """What a loader of your own is told; the product's take none."""
    venue: str | None = None
    """Venue of a store whose bars are meant, such as `"yahoo"`; a store needs it."""
    columns: dict[str, str] = Field(default_factory=dict)
    """The product's names (`symbol`, `date` or `open_at`, `open`, `high`, `low`, `close`, `volume`, `adj_close`) to
    those of the file, where they differ."""
    symbol: str | None = None
    """The one symbol that a file without such a column is about."""
    timezone: str | None = None
    """Zone of times that carry none, such as `"America/New_York"`, or the unit of epochs, `"unix:ms"`; without it naive
    times are refused."""
    time_format: str | None = None
    """How times are written that are not ISO 8601, in the codes of strptime, or `"excel"` or `"excel1904"` for the
    serial numbers of a spreadsheet; it is never guessed."""
    time_from: tuple[str, ...] = ()
    """Columns of date and time of day, joined by a space to make `open_at`, for bars shorter than a day; `time_format`
    is the form of both together."""
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
    filters: dict[str, Any] = Field(default_factory=dict)
    """Keep only rows whose source column has a value, one of a list, or lies in `{ min = a, max = b }`."""
    symbols: tuple[str, ...] = ()
    """Keep only these symbols; empty keeps all."""
    symbols_chosen_at: Instant | None = None
    """When the list of symbols was made: one made after the first decision knew who had risen."""
    calendar: str = "XNYS"
    """Calendar of the bars: a name of exchange_calendars such as `"XNYS"`, or `"24/7"`."""
    closed: tuple[ClosedDay, ...] = ()
    """Days that the calendar has and the exchange was shut; their bars are left out and counted."""
    extra_sessions: tuple[SessionHours, ...] = ()
    """Sessions that the calendar lacks, such as `"2023-11-12 18:15-19:15"`, on the exchange's clock; a day that stands
    in `closed` too keeps these hours instead of the calendar's."""
    bar: BarLength = "1d"
    """Length of a bar, such as `"1d"`, `"1h"` or `"5min"`."""
    adjust: Literal["none", "splits", "total_return"] | None = None
    """What is worked into the levels: nothing, splits, or splits and dividends; unset, an archive's stand as they are
    and a store's, which are those traded, become total returns."""
    latency: Duration = "5min"
    """How long before its open a bar is decided: the time that scoring takes."""

    @model_validator(mode="after")
    def _fits_its_loader(self) -> PricesSection:
        path_is_there("prices", self.loader, self.path)
        fits_own_loader("prices", self, self.loader, ("columns", "filters", "symbol", "venue", "adjust", *FILE_FORM))
        if self.loader == "store":
            only_for_archives("prices", self, ("columns", "filters", "symbol", *FILE_FORM))
            if not self.venue:
                raise ValueError("prices.venue is missing; 'embargo data info STORE' lists the venues of a store")
        elif self.venue:
            raise ValueError("prices.venue belongs to loader = 'store'; an archive is narrowed with prices.filters")
        elif self.adjust == "splits":
            raise ValueError("prices.adjust = 'splits' needs the recorded splits of a store; an archive has adj_close")
        check_form(self)
        try:
            _ = self.trading_calendar
        except ConfigError as failure:
            raise ValueError(str(failure)) from failure
        return self

    @property
    def trading_calendar(self) -> str:
        """The calendar with its closed days and extra sessions, as all that follow it take it."""
        return amended(self.calendar, closed=self.closed, extra_sessions=self.extra_sessions)


class LabelsSection(Section):
    """What the model learns from: a column of the news, a labelled file, or the returns that followed."""

    source: Literal["news", "file", "returns"] = "news"
    """What the model learns from: a column of the news, a labelled file, or the returns that followed the article."""
    column: str = "label"
    """Column of the news that holds the label, for `source = "news"`."""
    ends_at: str | None = None
    """Column of the news that says when each label was complete, so that those that reach over a boundary are purged;
    `"known_at"` says that labels are readings of the text alone."""
    path: str | None = None
    """The labelled file or folder, for `source = "file"`."""
    format: Literal["auto", "table", "scores", "phrasebank", "fiqa", "semeval", "twitter"] = "auto"
    """Format of the labelled file: a table of text and label, one of text and score, or the form in which a known set
    is published; `"auto"` tells them apart where nothing else could be meant."""
    agreement: Literal[50, 66, 75, 100] | None = None
    """Which of the PhraseBank's files to read, in percent of annotators who agreed."""
    score_threshold: Fraction = 0.1
    """Cuts scores into classes: bearish below minus this, bullish from this on, neutral between."""
    text: str = "text"
    """Column of the text in a labelled table."""
    label: str = "label"
    """Column of the label, or of the score, in a labelled table."""
    mapping: dict[str, str] = Field(default_factory=dict)
    """Labels of the source to `bearish`, `neutral` and `bullish`, where they are called otherwise."""
    filters: dict[str, Any] = Field(default_factory=dict)
    """Keep only rows of a labelled table whose column has a value, one of a list, or lies in `{ min = a, max = b }`."""
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
    knowledge_cutoff: Instant | None = None
    """Latest instant that anything in the labelled file could know; an undated file needs it."""
    horizon_bars: Count = 1
    """Bars from open to open over which the return after an article is its label, for `source = "returns"`."""
    neutral_share: Fraction = 0.4
    """Share of the training articles whose returns count as neutral, for `source = "returns"`."""
    validation_share: Annotated[float, Field(gt=0.0, lt=0.9)] = 0.15
    """Share of a labelled file that is held out for calibration."""

    @model_validator(mode="after")
    def _file_is_dated(self) -> LabelsSection:
        if self.source == "file" and (not self.path or self.knowledge_cutoff is None):
            raise ValueError(
                "labels.source = 'file' needs labels.path and labels.knowledge_cutoff, the latest its labels could know"
            )
        if self.ends_at is not None and self.source != "news":
            raise ValueError(f"labels.ends_at belongs to labels.source = 'news'; leave it out with {self.source!r}")
        check_form(self)
        return self


class SplitSection(Section):
    """How time is cut: every test window lies after what its model was trained and calibrated on.

    Spans are lengths of time (``"6MS"``, ``"90D"``) or, all of them, numbers of articles (``500``).
    """

    method: Literal["holdout", "walk_forward"] = "walk_forward"
    """One test window (`"holdout"`), or one after the other, each with a model of its own (`"walk_forward"`)."""
    start: Instant | None = None
    """Earliest instant that anything is read from; unset, the first article."""
    first_test: Instant
    """When the first test window begins."""
    end: Instant | None = None
    """When the last test window ends; unset, with the data."""
    test_span: SplitSpan = "12MS"
    """Length of each test window."""
    validation_span: SplitSpan = "3MS"
    """Length of the part before each test window that chooses and calibrates, and that is never trained on."""
    train_span: SplitSpan | None = None
    """Length of the training part before it: with one, training rolls; unset, it expands from `start`."""
    embargo: Duration = "1D"
    """What is left out after each boundary, on top of what is purged."""

    @model_validator(mode="after")
    def _spans_are_of_one_kind(self) -> SplitSection:
        spans = [self.validation_span, *([] if self.train_span is None else [self.train_span])]
        spans += [] if self.method == "holdout" else [self.test_span]
        if len({isinstance(span, int) for span in spans}) > 1:
            raise ValueError(
                "test_span, validation_span and train_span must all be times or all be numbers of articles"
            )
        return self


class StatisticsSection(Section):
    """How uncertainty is measured."""

    level: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    """Confidence level of every interval."""
    significance: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05
    """Level below which a p-value counts, in the verdict too."""
    bootstrap: Annotated[int, Field(ge=200, le=MOST)] = 2000
    """Resamples of every bootstrap."""
    permutations: Annotated[int, Field(ge=99, le=MOST)] = 500
    """Times the news are shuffled against their dates."""
    block: Count | None = None
    """Length in bars of a resampled block; unset, it is chosen from the data."""
    trials_elsewhere: Annotated[int, Field(ge=0, le=MOST)] | None = None
    """Attempts made with other tools on these data, which count in full; 0 states that there were none, and unset
    nobody says."""


class LeakageSection(Section):
    """How hard the audit looks. It cannot be switched off."""

    rows: Annotated[int, Field(ge=2, le=MOST)] = 12
    """Rows of the signal that the audit perturbs the future of."""
    event_study: bool = True
    """Whether the audit measures what prices did around the articles."""
    names: str | None = None
    """CSV or TOML file of what companies are called, for `embargo audit --probe`."""


class ReportSection(Section):
    """What the report is called."""

    title: str | None = None
    """Headline of the report; unset, the name of the experiment."""


# At their default these later keys leave fingerprints what they were; the news that they keep count by content.
_LATER_KEYS: tuple[tuple[str, str, Any], ...] = (
    ("news", "repeat_scope", "symbol"),
    ("news", "repeat_window", "4D"),
    ("news", "header", True),
    ("prices", "header", True),
    ("labels", "header", True),
    ("news", "time_from", []),
    ("prices", "time_from", []),
    ("prices", "closed", []),
    ("prices", "extra_sessions", []),
    ("statistics", "trials_elsewhere", 0),
    ("model", "settings", {}),
    ("news", "settings", {}),
    ("prices", "settings", {}),
)


class Config(Section):
    """One experiment, every setting resolved; ``as_of`` reads a store as it was known then, not as it is known now.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from embargo.research.config import load_config
    >>> config = load_config(files("embargo.research.examples") / "small.toml")
    >>> config.model.kind, config.costs.fee
    ('lexicon', 0.0005)
    >>> config.to_dict()["split"]["first_test"]
    '2015-07-01T00:00:00+00:00'
    """

    name: Name
    """Name of the experiment, which its folders carry."""
    seed: Seed = 0
    """Seed of all that is drawn."""
    as_of: Instant | None = None
    """Read a store as it was known at this instant, not as it is known now."""
    news: NewsSection
    """Where the articles come from."""
    prices: PricesSection
    """Where the bars come from."""
    labels: LabelsSection = LabelsSection()
    """What the model learns from."""
    split: SplitSection
    """How time is cut."""
    model: ModelSection = ModelSection()
    """Which reader, and how it is tuned."""
    signal: SignalSection = SignalSection()
    """How scored articles become one number per symbol and bar."""
    fusion: FusionSection = FusionSection()
    """Whether market features join the news."""
    portfolio: PortfolioSection = PortfolioSection()
    """How the signal becomes target weights."""
    costs: CostsSection = CostsSection()
    """What trading costs."""
    execution: ExecutionSection = ExecutionSection()
    """How orders are filled."""
    statistics: StatisticsSection = StatisticsSection()
    """How uncertainty is measured."""
    regimes: RegimesSection = RegimesSection()
    """How bars are sorted into regimes."""
    leakage: LeakageSection = LeakageSection()
    """How hard the audit looks."""
    report: ReportSection = ReportSection()
    """What the report is called."""
    data: DataSection = DataSection()
    """Which faults of the data are accepted."""
    _allow: tuple[str, ...] = PrivateAttr(default=())

    @property
    def allow(self) -> tuple[str, ...]:
        """Code of one's own that may be imported, as ``"package.module:name"``; no file can say so."""
        return self._allow

    def allowing(self, allow: Collection[str]) -> Config:
        """Return the same experiment, whose own code may be imported."""
        allowed = self.model_copy()
        allowed._allow = (*dict.fromkeys([*self._allow, *allow]),)
        return allowed

    @model_validator(mode="after")
    def _sections_fit(self) -> Config:
        if (self.news.loader == "simulated") != (self.prices.loader == "simulated"):
            raise ValueError(
                "news.loader and prices.loader must both be 'simulated' or neither: the two halves react to each other"
            )
        if self.as_of is not None and "store" not in (self.news.loader, self.prices.loader):
            raise ValueError("as_of asks a store for what was known then; neither news nor prices come from one")
        readers = [self.model] if self.model.teacher is None else [self.model, self.model.teacher]
        made = [reader.base for reader in readers if reader.made_here]
        if made and self.labels.source == "file":
            raise ValueError(
                f"model.base = {made[0]!r} learns its words from this run's news; with labels.source = 'file' "
                "use another"
            )
        if max(self.portfolio.gross, self.portfolio.cap) > self.execution.leverage:
            raise ValueError(
                f"portfolio.gross = {self.portfolio.gross} and cap = {self.portfolio.cap} may not exceed "
                f"execution.leverage = {self.execution.leverage}: raise it, or hold less"
            )
        if self.fusion.method != "none" and self.split.method == "holdout":
            raise ValueError("a fusion learns from earlier test windows; set split.method = 'walk_forward'")
        if self.execution.funding and self.prices.loader != "store":
            raise ValueError("execution.funding needs the recorded rates of a store ('embargo fetch bybit --funding')")
        if self.model.max_train is not None and self.labels.source == "file":
            raise ValueError("model.max_train keeps the newest articles, and a labelled file is undated; leave it out")
        steering, gated = self.regimes.steering_names(), set(self.portfolio.gate)
        if steering is not None and gated - steering:
            raise ValueError(
                f"portfolio.gate names {', '.join(sorted(gated - steering))}; the definitions of regimes.gate_by tell "
                f"{', '.join(sorted(steering))}"
            )
        return self

    def accepting(self, reasons: dict[str, str]) -> Config:
        """Return the same experiment with more faults of its data taken, each for a reason."""
        return self.model_copy(update={"data": DataSection(accept=self.data.accept | reasons)})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values, instants as ISO 8601, unset optional keys left out."""
        settings: dict[str, Any] = _plain(self.model_dump())
        return settings

    def to_toml(self) -> str:
        """TOML text that `load_config` reads back to an equal config."""
        import tomli_w  # loaded here because only a run that is written needs it

        return tomli_w.dumps(self.to_dict())

    def fingerprint(self) -> str:
        """Hash of everything that can change a figure; 64 hex digits.

        Names and titles do not count, nor what companies are called, nor which faults of the data are accepted, nor
        where files lie: the data carry fingerprints of their own, and the files of regimes and of scores and the
        templates of prompts count by their content. What code of one's own does counts beside it, by its source.
        """
        settings = {key: value for key, value in self.to_dict().items() if key not in ("name", "report", "data")}
        for section in ("news", "prices", "labels"):
            settings[section].pop("path", None)
        settings["leakage"].pop("names", None)
        for section, key, default in _LATER_KEYS:
            if key in settings[section] and settings[section][key] == default:
                del settings[section][key]
        for prompt in told_in(settings["model"], "prompt", "template"):
            prompt["template"] = load_template(prompt["template"]).hash
        for source in FILED_REGIMES:
            if source in settings["regimes"]:
                settings["regimes"][source]["path"] = fingerprint(tables_of(settings["regimes"][source]["path"]))
        for scores in told_in(settings["model"], "scores", "path"):
            scores["path"] = fingerprint(tables_of(scores["path"]))
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value


def load_config(
    path: str | Path,
    overrides: list[str] | None = None,
    *,
    env: Collection[str] = (),
    allow: Collection[str] = (),
) -> Config:
    """Read and check an experiment file.

    Parameters
    ----------
    path : str or Path
        TOML file. Relative paths inside it start from its folder.
    overrides : list of str, optional
        ``section.key=value`` settings that replace those of the file; values are TOML, bare words are strings.
    env : collection of str
        Names of environment variables that paths may take in; no other is, and none that looks as if it held a key.
    allow : collection of str
        Code of one's own that the file may name, as ``"package.module:name"``; nothing is imported before it is used.

    Returns
    -------
    Config
        Every setting resolved, paths absolute, instants in UTC.

    Raises
    ------
    ConfigError
        If the file is missing or not TOML, or a key is unknown, missing or out of range; the message names each key.
        Also if a path takes in a variable that it may not.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from embargo.research.config import load_config
    >>> config = load_config(files("embargo.research.examples") / "small.toml", ["signal.half_life=2"])
    >>> config.name, config.signal.half_life
    ('small', 2.0)
    """
    path = Path(path)
    return parse_config(document_of(path, overrides, env=env), where=str(path), allow=allow)


def document_of(path: Path, overrides: list[str] | None = None, *, env: Collection[str] = ()) -> dict[str, Any]:
    """Read an experiment file without checking its settings: overrides put in, paths made absolute.

    Raises
    ------
    ConfigError
        If the file is missing or not TOML, an override is malformed, or a path takes in a variable that it may not.
    """
    document = read_toml(path, remedy="'embargo run --help' shows where examples are.")
    for text in overrides or []:
        override(document, text)
    named = [(section, document.get(section)) for section in ("news", "prices", "labels")]
    if isinstance(regimes := document.get("regimes"), dict):
        named += [(f"regimes.{source}", regimes.get(source)) for source in FILED_REGIMES]
    for name, section in named:
        if isinstance(section, dict) and isinstance(section.get("path"), str):
            section["path"] = place_of(section["path"], path, f"{name}.path", env)
    for prompt in told_in(document.get("model"), "prompt", "template"):
        if prompt["template"].endswith(".toml"):
            prompt["template"] = place_of(prompt["template"], path, "model.prompt.template", env)
    leakage = document.get("leakage")
    if isinstance(leakage, dict) and isinstance(leakage.get("names"), str):
        leakage["names"] = place_of(leakage["names"], path, "leakage.names", env)
    for scores in told_in(document.get("model"), "scores", "path"):
        scores["path"] = place_of(scores["path"], path, "model.scores.path", env)
    return document


def parse_config(document: dict[str, Any], *, where: str, allow: Collection[str] = ()) -> Config:
    """Check a nested mapping of settings.

    Parameters
    ----------
    document : dict
        Sections and keys as in an experiment file; paths are taken as they stand.
    where : str
        Named in errors.
    allow : collection of str
        As in `load_config`.

    Returns
    -------
    Config

    Raises
    ------
    ConfigError
        As `load_config`.

    Examples
    --------
    >>> from embargo.research.config import parse_config
    >>> config = parse_config(
    ...     {
    ...         "name": "mine",
    ...         "news": {"path": "news.parquet"},
    ...         "prices": {"path": "prices.parquet"},
    ...         "split": {"first_test": "2020-01-01"},
    ...     },
    ...     where="mine",
    ... )
    >>> config.split.validation_span
    '3MS'
    """
    if isinstance(allow, str):
        raise ConfigError(f"allow: expected several, got the text {allow!r}. Write [{allow!r}].")
    config = checked(Config, document, where=where)
    return config.allowing(allow) if allow else config


def override(document: dict[str, Any], text: str) -> None:
    """Put a ``section.key=value`` into a document of settings.

    Raises
    ------
    ConfigError
        If it is not of that form, or a section in it is a value.
    """
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
