"""What a study of readers is: an experiment, or a labelled file alone, with a table of readers beside it.

The readers and what computing costs stand in the experiment's own file or in a second one, so that a config that
`embargo run` takes can be studied as it is. Every reader is checked with the whole experiment before any work begins.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from embargo.data_loaders.errors import ConfigError
from embargo.research.config.experiment import Config, LabelsSection, StatisticsSection, document_of, parse_config
from embargo.research.config.model import DistillSection, ModelSection, PromptSection, ReaderSection, told_in
from embargo.research.config.settings import Count, Name, Section, Seed, checked, place_of, read_toml

Price = Annotated[float, Field(ge=0.0)]
_OWN = ("readers", "adapt")
MOST_ARTICLES = 10**12


class AdaptSection(Section):
    """How readers are weighed against each other, and what computing is taken to cost.

    An endpoint's prices stand with it, in the same currency.
    """

    judge_by: Literal["macro_f1", "accuracy"] = "macro_f1"
    """The one figure that the recommendation rests on; decide on it before looking."""
    articles: Annotated[int, Field(ge=1, le=MOST_ARTICLES)] = 1_000_000
    """Number of articles that the recommendation reckons with."""
    currency: Annotated[str, Field(min_length=1, max_length=8)] = "USD"
    """What prices are counted in."""
    cpu_hour: Price = 0.05
    """Price of an hour of one core, of the order of what clouds ask."""
    gpu_hour: Price = 3.0
    """Price of an hour of one device, of the order of what clouds ask."""
    probed: Annotated[int, Field(ge=0, le=2000)] = 40
    """Texts that are changed to see what moves; 0 for none."""
    timed: Count = 100
    """Texts that are scored afresh to measure what scoring takes."""


class LabelledConfig(Section):
    """A labelled file to be read by all, without news or prices: nothing is traded, and no text is dated."""

    name: Name
    """Name of the study."""
    seed: Seed = 0
    """Seed of all that is drawn."""
    labels: LabelsSection
    """The labelled file."""
    statistics: StatisticsSection = StatisticsSection()
    """How uncertainty is measured."""

    @model_validator(mode="after")
    def _reads_a_file(self) -> LabelledConfig:
        if self.labels.source != "file":
            raise ValueError("a study without news and prices reads labels.source = 'file'; add the file, or the news")
        return self


@dataclass(frozen=True)
class AdaptConfig:
    """A study, every setting resolved.

    Attributes
    ----------
    experiment : Config or LabelledConfig
        What is split, read and traded; its own ``model`` is one of the readers at most.
    readers : mapping of str to ModelSection
        In the order of the table.
    adapt : AdaptSection
    allow : tuple of str
        Readers of one's own that may be imported, as ``"package.module:name"``.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from embargo.research.config import load_adapt
    >>> study = load_adapt(files("embargo.research.examples") / "small.toml")
    >>> list(study.readers)[:3], study.adapt.judge_by
    (['majority', 'lexicon', 'linear'], 'macro_f1')
    """

    experiment: Config | LabelledConfig
    readers: Mapping[str, ModelSection]
    adapt: AdaptSection
    allow: tuple[str, ...] = ()

    @property
    def traded(self) -> bool:
        """Whether there are prices to trade on."""
        return isinstance(self.experiment, Config)

    def accepting(self, reasons: dict[str, str]) -> AdaptConfig:
        """Return the same study with more faults of its data taken, each for a reason."""
        if not reasons:
            return self
        if not isinstance(self.experiment, Config):
            raise ConfigError("--accept-data: this study reads a labelled file alone, whose data no check judges.")
        return replace(self, experiment=self.experiment.accepting(reasons))

    def config_of(self, reader: str) -> Config:
        """Return the experiment of one reader, as `embargo run` would carry it out."""
        assert isinstance(self.experiment, Config)
        return _with(self.experiment, self.readers[reader], reader)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        experiment = self.experiment
        plain = experiment.to_dict() if isinstance(experiment, Config) else _plain(experiment)
        plain.pop("model", None)
        return plain | {
            "readers": {name: _plain(section) for name, section in self.readers.items()},
            "adapt": _plain(self.adapt),
        }


def _plain(section: Section) -> dict[str, Any]:
    return dict(section.model_dump(mode="json", exclude_none=True))


def _with(config: Config, section: ModelSection, reader: str) -> Config:
    return checked(Config, dict(config) | {"model": section}, where=f"readers.{reader}").allowing(config.allow)


def load_adapt(
    path: str | Path,
    overrides: list[str] | None = None,
    *,
    readers: str | Path | None = None,
    env: Collection[str] = (),
    allow: Collection[str] = (),
) -> AdaptConfig:
    """Read and check a study.

    Parameters
    ----------
    path : str or Path
        An experiment file, which may have tables ``[readers.NAME]``, each like an experiment's ``[model]``, and a
        section ``[adapt]``; or a file with ``name``, ``[labels]`` and these alone. Without readers the usual ones are
        taken: guessing, words, a linear model, and encoders, decoders and a student made of the run's own early news.
    overrides : list of str, optional
        As `load_config`; ``readers.NAME.key=value`` too.
    readers : str or Path, optional
        A second file with ``[readers.NAME]`` and ``[adapt]``, in the place of the first one's.
    env, allow : collection of str
        As `load_config`.

    Returns
    -------
    AdaptConfig

    Raises
    ------
    ConfigError
        If a file is missing or not TOML, a key is unknown, missing or out of range, or a reader does not fit.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from embargo.research.config import load_adapt
    >>> small = files("embargo.research.examples") / "small.toml"
    >>> study = load_adapt(small, ["readers.words.kind=lexicon", "readers.line.kind=linear"])
    >>> list(study.readers), study.config_of("line").model.kind
    (['words', 'line'], 'linear')
    """
    path = Path(path)
    document = document_of(path, overrides, env=env)
    own = {name: document.pop(name) for name in _OWN if name in document}
    _resolve(own, path, env)
    places = dict.fromkeys(_OWN, str(path))
    if readers is not None:
        second = read_toml(Path(readers), remedy="It holds [readers.NAME] tables, each like an experiment's [model].")
        if strange := sorted(set(second) - set(_OWN)):
            raise ConfigError(f"{readers}: {', '.join(strange)}: only [readers.NAME] and [adapt] belong here.")
        _resolve(second, Path(readers), env)
        own |= second
        places |= dict.fromkeys(second, str(readers))
    return _parsed(document | own, str(path), places, allow)


def parse_adapt(document: Mapping[str, Any], *, where: str, allow: Collection[str] = ()) -> AdaptConfig:
    """Check a nested mapping of settings, paths taken as they stand; see `load_adapt`.

    Raises
    ------
    ConfigError
        As `load_adapt`.
    """
    return _parsed(document, where, dict.fromkeys(_OWN, where), allow)


def _parsed(document: Mapping[str, Any], where: str, places: Mapping[str, str], allow: Collection[str]) -> AdaptConfig:
    """Check an experiment, told to stand in one place, with readers and prices that may stand in another."""
    rest = {name: value for name, value in document.items() if name not in _OWN}
    experiment: Config | LabelledConfig
    if "news" in rest or "prices" in rest:
        experiment = parse_config(rest, where=where, allow=allow)
    else:
        experiment = checked(LabelledConfig, rest, where=where)
    given, there = document.get("readers"), places["readers"]
    sections = _usual(experiment) if not given else _named(given, there)
    weighed = checked(AdaptSection, document.get("adapt", {}), where=f"{places['adapt']}: adapt")
    study = AdaptConfig(experiment, sections, weighed, tuple(allow))
    if len(sections) < 2:
        raise ConfigError(f"{there}: a study needs two readers or more, got {list(sections)}. Add [readers.NAME].")
    for name, section in sections.items():
        if isinstance(experiment, Config):
            _with(experiment, section, name)
        elif section.max_train is not None:
            raise ConfigError(f"{there}: readers.{name}.max_train keeps the newest, and a labelled file is undated.")
        elif section.scores is not None:
            raise ConfigError(f"{there}: readers.{name}.scores go by article, and a labelled file has none. Add news.")
    return study


def _named(given: Any, where: str) -> dict[str, ModelSection]:
    if not isinstance(given, dict):
        raise ConfigError(f"{where}: readers: write a table for each reader, such as [readers.words].")
    names, sections = TypeAdapter(Name), {}
    for name, section in given.items():
        try:
            names.validate_python(name)
        except ValidationError as failure:
            said = failure.errors()[0]["msg"].removeprefix("Value error, ")
            raise ConfigError(f"{where}: readers.{name}: {said}") from failure
        sections[str(name)] = checked(ModelSection, section, where=f"{where}: readers.{name}")
    return sections


def _usual(experiment: Config | LabelledConfig) -> dict[str, ModelSection]:
    """Return the readers that need no file, no network and no key, and the experiment's own.

    What is asked of the built-in decoder is brief: it reads little at once. It is the one that was tuned to answer.
    """
    found = {name: ModelSection(kind=name) for name in ("majority", "lexicon", "linear")}
    own = experiment.model if isinstance(experiment, Config) else None
    # A labelled file beside news: the built-in bases learn their words from the news, and are refused.
    if own is None or experiment.labels.source != "file":
        tiny = own if own is not None and own.kind == "transformer" and own.base == "tiny" else ModelSection()
        found |= {
            "tiny": tiny,
            "zero-shot": _asked(),
            "few-shot": _asked(examples=3),
            "retrieval": _asked(retrieve="bm25", retrieved=2),
            "tuned-lm": ModelSection(base="tiny-lm"),
            "student": ModelSection(
                kind="distilled", distill=DistillSection(teacher=ReaderSection(**tiny.model_dump(exclude={"distill"})))
            ),
        }
    if own is not None and own not in found.values() and own.kind not in found:
        found["configured"] = own
    return found


def _asked(**prompt: Any) -> ModelSection:
    # What it answers was learnt, so that its likelihood needs no division by lengths or by what it says of nothing.
    section = PromptSection(template="brief", normalise="none", calibrate=False, **prompt)
    return ModelSection(kind="prompted", base="tiny-instruct", prompt=section)


def _resolve(own: dict[str, Any], file: Path, env: Collection[str]) -> None:
    """Make the paths of readers absolute, those of a student's teacher too."""
    readers = own.get("readers")
    for name, section in readers.items() if isinstance(readers, dict) else ():
        for scores in told_in(section, "scores", "path"):
            scores["path"] = place_of(scores["path"], file, f"readers.{name}.scores.path", env)
        for prompt in told_in(section, "prompt", "template"):
            if prompt["template"].endswith(".toml"):
                prompt["template"] = place_of(prompt["template"], file, f"readers.{name}.prompt.template", env)
