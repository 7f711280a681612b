"""What each model of a run learns from and reads: time cut into folds, and every fold given its samples.

Samples are purged and embargoed at every boundary, and nothing is dropped without being counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from embargo.data_loaders import labels
from embargo.data_loaders.archive.files import told_workbooks, workbooks_in
from embargo.data_loaders.archive.label_sets import read_label_set
from embargo.data_loaders.checks.repeats import text_numbers
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.schemas import rows_where, utc_microseconds
from embargo.data_loaders.splits.folds import Fold, walk_forward, walk_forward_by_count
from embargo.data_loaders.splits.purging import SplitSamples, TimeSplit, part_of, split_undated
from embargo.models.record import read_whole
from embargo.research.config.archives import dialect_of
from embargo.research.config.experiment import Config, LabelsSection
from embargo.research.progress import Stages
from embargo.research.run.given_scores import scores_cautions, scores_told
from embargo.research.run.world import World, frame_hash

# Share of the news beyond which what is left out is more than a remark.
MUCH = 0.2


@dataclass(frozen=True)
class Samples:
    """What one model learns from, and what it is then asked to read.

    Attributes
    ----------
    index : int
        Of the fold or split.
    train, validation, test : DataFrame
        Labelled samples; ``test`` is only ever used to measure classification.
    test_news : DataFrame
        Articles known inside the test windows, labelled or not: those are traded on.
    trained_until : Timestamp
        Latest instant that anything in train or validation could know.
    thresholds : tuple of float or None
        Return thresholds between the classes, learnt on train; None for human labels.
    thresholds_on : DataFrame or None
        The samples that the thresholds were learnt on: ``use, text_hash, label, known_at, ends_at``.
    counts : dict of str to int
        Samples by what became of them.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from embargo.research import Quiet, load_config, prepare
    >>> plan = prepare(load_config(files("embargo.research.examples") / "small.toml"), Quiet())
    >>> samples = plan.parts[0]
    >>> len(samples.train), len(samples.validation), samples.n_test_articles
    (164, 79, 101)
    """

    index: int
    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    test_news: pd.DataFrame
    trained_until: pd.Timestamp
    thresholds: tuple[float, float] | None
    thresholds_on: pd.DataFrame | None
    counts: dict[str, int]

    @property
    def n_test_articles(self) -> int:
        """Distinct articles in the test windows."""
        return int(self.test_news["article_id"].nunique())


@dataclass(frozen=True)
class Part(Samples):
    """The samples of a fold that follows time.

    Attributes
    ----------
    fold : Fold
        Its windows.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from embargo.research import Quiet, load_config, prepare
    >>> plan = prepare(load_config(files("embargo.research.examples") / "small.toml"), Quiet())
    >>> [f"{part.fold.test_start:%Y-%m-%d}" for part in plan.parts]
    ['2015-07-01', '2015-10-01']
    """

    fold: Fold


def plan_folds(config: Config, world: World) -> list[Fold]:
    """Cut time into folds; see `embargo.data_loaders.splits.walk_forward` for the rules and errors."""
    split = config.split
    start = split.start or world.news["known_at"].iloc[0].floor("D")
    end = split.end or world.prices.close_at[-1].ceil("D")
    if not start < split.first_test < end:
        raise ConfigError(
            f"split.first_test = {split.first_test} does not lie inside the data, which run from {start} to {end}."
        )
    validation, train, test = split.validation_span, split.train_span, split.test_span
    if isinstance(validation, int):
        known_at = world.news.drop_duplicates("article_id")["known_at"]
        return walk_forward_by_count(
            start,
            split.first_test,
            end,
            instants=known_at,
            test_count=len(known_at) if split.method == "holdout" else int(test),
            validation_count=validation,
            train_count=None if train is None else int(train),
        )
    return walk_forward(
        start,
        split.first_test,
        end,
        test_span=end - split.first_test if split.method == "holdout" else str(test),
        validation_span=validation,
        train_span=None if train is None else str(train),
    )


def plan_parts(config: Config, world: World, folds: list[Fold], stages: Stages) -> list[Part]:
    """Give every fold its samples, purged and embargoed, and prove that they do not leak.

    Raises
    ------
    DataError
        If a part of a fold is empty.
    LeakError
        If a sample reaches over a boundary.
    """
    stages.stage("Label and split")
    return [
        Part(**vars(samples), fold=fold)
        for samples, fold in zip(plan_samples(config, world, folds), folds, strict=True)
    ]


def plan_samples(config: Config, world: World, cuts: Sequence[TimeSplit]) -> list[Samples]:
    """Do for splits of any kind what `plan_parts` does for folds."""
    if config.labels.source == "file":
        return _samples_from_file(config, world, cuts)
    said, embargo = config.labels, pd.Timedelta(config.split.embargo)
    by_returns = said.source == "returns"
    settled = _settled_returns(config, world) if by_returns else _settled_labels(config, world)
    planned = []
    for cut in cuts:
        thresholds, thresholds_on = None, None
        try:
            samples = _divided(settled, cut, embargo)
            if by_returns:
                thresholds, thresholds_on = _learn_thresholds(samples.train, said.neutral_share)
        except DataError as failure:
            if not settled.counts.get("before_prices"):
                raise
            raise DataError(
                f"{failure} {settled.counts['before_prices']} rows of news are older than the prices, which begin at "
                f"{world.prices.open_at[0]}, and have no return to learn from. Give prices from earlier."
            ) from failure
        train, validation, test = (
            part.drop(columns=labels.STORY) for part in (samples.train, samples.validation, samples.test)
        )
        counts = dict(samples.counts)
        if thresholds is not None:
            train, validation, test = (
                labels.samples_from_returns(part, *thresholds) for part in (train, validation, test)
            )
        if config.model.max_train and len(train) > config.model.max_train:
            counts["train_over_limit"] = len(train) - config.model.max_train
            train = train.sort_values("known_at", kind="stable").iloc[-config.model.max_train :]
        until = max(part[name].max() for part in (train, validation) for name in ("known_at", "ends_at"))
        counts |= settled.counts
        news = _test_news(world, cut)
        planned.append(Samples(cut.index, train, validation, test, news, until, thresholds, thresholds_on, counts))
    return planned


@dataclass(frozen=True, eq=False)
class _Settled:
    """What samples are taken from.

    Attributes
    ----------
    known_at : ndarray of datetime64[us], shape (rows,)
    take : callable
        Takes some of the rows, by position, as samples.
    by_then : callable
        Which rows are samples for a split, increasing.
    counts : dict of str to int
        Rows by what became of them.
    """

    known_at: np.ndarray
    take: Callable[[np.ndarray], pd.DataFrame]
    by_then: Callable[[TimeSplit], np.ndarray]
    counts: dict[str, int]


def _settled_labels(config: Config, world: World) -> _Settled:
    said = config.labels
    rows = labels.labelled_rows(world.news, said.column, mapping=said.mapping or None, ends_at=said.ends_at)
    rows[labels.STORY] = world.stories
    told = labels.LabelledRows.of(rows)
    whole, counts = told.settled()

    def by_then(cut: TimeSplit) -> np.ndarray:
        # A text that is labelled otherwise later contradicts its first label only from then on, so that samples that
        # are learnt from were set aside by nothing that came after them all.
        until = max(window.end for name in ("train", "validation") for window in cut.windows[name])
        first = int(np.searchsorted(told.known_at, utc_microseconds(pd.DatetimeIndex([until]))[0]))
        return np.concatenate([told.settled(first)[0], whole[whole >= first]])

    return _Settled(told.known_at, told.samples, by_then, {"rows": len(rows)} | counts)


def _settled_returns(config: Config, world: World) -> _Settled:
    if len(world.prices.symbols) == 1:
        raise ConfigError(
            "labels.source = 'returns' learns what a symbol earned beside the mean of all symbols, which is 0 for "
            f"{world.prices.symbols[0]} alone. Add prices of the symbols it is to be held against, or learn from "
            "labels.source = 'news' or 'file'."
        )
    labelled = labels.forward_returns(
        world.news, world.prices, world.decided_at, horizon_bars=config.labels.horizon_bars
    )
    # The classes depend on thresholds learnt on train alone, so they wait until time has been cut.
    story = text_numbers(labelled.frame["text"])
    frame = labelled.frame.assign(label=CLASSES.index("neutral"), **{labels.STORY: story})
    everything = np.arange(len(frame))
    return _Settled(
        utc_microseconds(frame["known_at"]), lambda place: frame.iloc[place], lambda _: everything, labelled.counts
    )


def _divided(settled: _Settled, cut: TimeSplit, embargo: pd.Timedelta) -> SplitSamples:
    """Divide samples as `part_of` does; those outside all windows are counted and not taken, for texts fill memory."""
    place = settled.by_then(cut)
    known_at = pd.DatetimeIndex(settled.known_at[place], tz="UTC")
    windows = [window for several in cut.windows.values() for window in several]
    inside = np.logical_or.reduce([window.holds(known_at) for window in windows])
    try:
        samples = part_of(settled.take(place[inside]), cut, embargo=embargo)
    except DataError:
        # The fault is told of all samples.
        part_of(settled.take(place), cut, embargo=embargo)
        raise
    return replace(samples, counts=samples.counts | {"outside": samples.counts["outside"] + int((~inside).sum())})


def early_samples(config: Config, world: World, until: pd.Timestamp) -> pd.DataFrame:
    """Return the samples whose articles and labels were known before an instant, less the embargo.

    Nothing later has a part in them: a label that came later contradicts none, and thresholds of returns are learnt on
    these alone.

    Parameters
    ----------
    config : Config
        With labels of the news, or of returns.
    world : World
    until : Timestamp
        Where what must not be known begins, UTC.

    Returns
    -------
    DataFrame
        ``article_id, text, label, known_at, starts_at, ends_at``; empty where no label is so early.
    """
    said, limit = config.labels, until - pd.Timedelta(config.split.embargo)
    news = world.news.loc[world.news["known_at"] < limit]
    if said.source == "returns":
        forward = labels.forward_returns(news, world.prices, world.decided_at, horizon_bars=said.horizon_bars).frame
        forward = forward.loc[forward["ends_at"] < limit]
        if forward.empty:
            return forward.assign(label=0)[list(labels.SAMPLE_COLUMNS)]
        return labels.samples_from_returns(forward, *labels.fit_thresholds(forward["value"], said.neutral_share))
    if said.ends_at is not None and said.column in news.columns:
        ends = labels.complete_at(news, said.ends_at, news["known_at"], news[said.column].notna())
        news = news.loc[ends < limit]
    return labels.samples_from_news(news, column=said.column, mapping=said.mapping or None, ends_at=said.ends_at).frame


def _learn_thresholds(learnt: pd.DataFrame, neutral_share: float) -> tuple[tuple[float, float], pd.DataFrame]:
    """Learn thresholds from returns, and write down whose returns these were."""
    return labels.fit_thresholds(learnt["value"], neutral_share), read_whole("threshold", learnt)


@dataclass(frozen=True)
class LabelledFile:
    """A labelled file cut in three, when its labels were known at the latest, and what was read and left out."""

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    known_until: pd.Timestamp
    counts: dict[str, int]


def split_labelled_file(settings: LabelsSection, seed: int) -> LabelledFile:
    """Read a labelled file and cut it at random, class by class: its texts are undated.

    Raises
    ------
    MissingPartError, DataError, ConfigError
        As `embargo.data_loaders.archive.label_sets.read_label_set`.
    """
    labelled = read_label_set(
        Path(str(settings.path)),
        format=settings.format,
        agreement=settings.agreement,
        threshold=settings.score_threshold,
        text=settings.text,
        label=settings.label,
        mapping=settings.mapping or None,
        filters=settings.filters,
        knowledge_cutoff=settings.knowledge_cutoff,
        dialect=dialect_of(settings),
    )
    # Two cuts: a hold-out to measure on, then train and validation out of the rest.
    held = split_undated(labelled.frame, validation_share=settings.validation_share, seed=seed)
    used = split_undated(held.train, validation_share=settings.validation_share, seed=seed + 1)
    sizes = {"train": len(used.train), "validation": len(used.validation), "test": len(held.validation)}
    until = labelled.frame["known_at"].max()
    return LabelledFile(used.train, used.validation, held.validation, until, labelled.counts | sizes)


# News of a weekend or a holiday after the last bar is no gap.
_TOGETHER = pd.Timedelta(days=10)
_UNUSABLE = {
    "undated": "without a time (undated)",
    "blank_text": "without a text (blank_text)",
    "without_symbol": "without a symbol (without_symbol)",
}


def left_out(config: Config, world: World, samples: Sequence[Samples]) -> list[str]:
    """Say what of news and bars is not used, one sentence each; empty where all of them are."""
    said = []
    for name, section in (("news", config.news), ("prices", config.prices)):
        if world.counts[name].get("workbooks_passed_over") and section.path:
            told = told_workbooks(workbooks_in(section.path))
            said.append(f"{name}.path: {told} Save each sheet that belongs there as CSV, or take them elsewhere.")
    counts = world.counts["news"]
    if gone := [f"{counts[name]:,} {what}" for name, what in _UNUSABLE.items() if counts.get(name)]:
        said.append(f"Of {counts.get('rows', 0):,} rows of news, {', '.join(gone)}: they are left out.")
    repeats, rows = _repeats(world)
    if repeats:
        whose = "of its symbol" if config.news.repeat_scope == "symbol" else "of any symbol"
        said.append(
            f"{repeats:,} of {rows:,} rows of news repeat another one {whose} within {config.news.repeat_window} and "
            "are left out (news.drop_repeats)."
        )
    if early := _early(samples):
        said.append(
            f"{early:,} rows of news are older than the prices, which begin at {world.prices.open_at[0]:%Y-%m-%d}: "
            "they have no return to learn from and are left out of the labels."
        )
    missing = max((part.counts.get("missing_prices", 0) for part in samples), default=0)
    if missing:
        said.append(
            f"{missing:,} rows of news fall where their symbol has no price (before its first bar, after its last, in "
            "a hole): they have no return to learn from."
        )
    if too_late := _after_prices(world, samples):
        said.append(too_late)
    if same := world.counts["prices"].get("identical_rows_collapsed", 0):
        said.append(f"{same:,} rows of prices repeat another one, field by field, and count once.")
    if shut := world.counts["prices"].get("on_closed_days", 0):
        said.append(f"{shut:,} rows of prices stand on days that prices.closed names and are left out.")
    return [*said, *scores_told(world, samples)]


def cautions(world: World, samples: Sequence[Samples]) -> list[str]:
    """Say where so much of the news is left out that the result speaks of another archive than the one given."""
    said = []
    repeats, rows = _repeats(world)
    if repeats > MUCH * rows:
        said.append(
            f"{repeats / rows:.0%} of the news were left out as repeats of another text. If these are stories of their "
            "own, told in one form, shorten news.repeat_window or set news.drop_repeats = false."
        )
    if too_late := _after_prices(world, samples):
        said.append(too_late)
    early = _early(samples)
    if early > MUCH * len(world.news):
        said.append(
            f"{early / len(world.news):.0%} of the news are older than the prices and taught nothing. Give prices from "
            "earlier, or set split.start where they begin."
        )
    return [*said, *scores_cautions(world)]


def _after_prices(world: World, samples: Sequence[Samples]) -> str:
    """Say that test windows go on after the prices have ended; empty where they end together."""
    last = world.prices.close_at[-1]
    known_at = pd.concat([part.test_news["known_at"] for part in samples]).drop_duplicates()
    after = known_at > last
    if not after.any() or known_at.max() - last < _TOGETHER:
        return ""
    number = int(max((part.test_news["known_at"] > last).sum() for part in samples))
    return (
        f"The prices end on {last:%Y-%m-%d}, before the news to be traded on do ({known_at.max():%Y-%m-%d}): "
        f"{number:,} rows of news come after the last bar and move nothing. Give prices until then, or set split.end."
    )


def _repeats(world: World) -> tuple[int, int]:
    counts = world.counts["news"]
    repeats = counts.get("repeats", 0)
    return repeats, repeats + counts["unpriced"] + counts["kept"]


def _early(samples: Sequence[Samples]) -> int:
    return max((part.counts.get("before_prices", 0) for part in samples), default=0)


def _samples_from_file(config: Config, world: World, cuts: Sequence[TimeSplit]) -> list[Samples]:
    known, key = world.inputs.labelled, repr((config.seed, config.labels))
    held = known.get(key) or known.setdefault(key, split_labelled_file(config.labels, config.seed))
    return [
        Samples(
            cut.index,
            held.train,
            held.validation,
            held.test,
            _test_news(world, cut),
            held.known_until,
            None,
            None,
            dict(held.counts),
        )
        for cut in cuts
    ]


def _test_news(world: World, cut: TimeSplit) -> pd.DataFrame:
    windows = cut.windows["test"]
    inside = np.logical_or.reduce([window.holds(world.news["known_at"]) for window in windows])
    if not inside.any():
        raise DataError(
            f"fold {cut.index}: no article between {windows[0].start} and {windows[-1].end}. "
            "Widen split.test_span or move split.end."
        )
    return rows_where(world.news, inside)


def samples_hash(parts: Sequence[Samples]) -> str:
    """Hash the texts and labels that models learn from and are calibrated on, equal on every machine; 64 hex digits."""
    used = [frame for part in parts for frame in (part.train, part.validation)]
    return frame_hash(each_once(used, ["article_id", "text", "label"]))


def each_once(frames: Sequence[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """Take the first row of each article; texts are copied once, for folds share most of their samples."""
    fresh = ~pd.concat([frame["article_id"] for frame in frames]).duplicated().to_numpy()
    parts = np.split(fresh, np.cumsum([len(frame) for frame in frames])[:-1])
    return pd.concat([rows_where(frame[columns], own) for frame, own in zip(frames, parts, strict=True)])
