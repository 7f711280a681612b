"""What a run carries from stage to stage: settings, data, folds, the bars that it trades and the rules it trades by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import rows_where
from embargo.models.bases.resolve import Base
from embargo.models.bases.vintages import Vintages
from embargo.research.config.experiment import Config
from embargo.research.run.data_verdict import DataVerdict
from embargo.research.run.rules import Rules, rules_of
from embargo.research.run.samples import Part, Samples
from embargo.research.run.world import World


@dataclass(frozen=True)
class Instructed:
    """Labels that a built-in base learns to answer from.

    Attributes
    ----------
    planned : DataFrame
        ``text, label``: those that it is handed.
    read : DataFrame
        `embargo.models.record.RECORD_COLUMNS`: those that it read, by its own record.
    """

    planned: pd.DataFrame
    read: pd.DataFrame


@dataclass(frozen=True)
class Plan:
    """Everything a run is made of before anything is trained.

    Attributes
    ----------
    config : Config
    world : World
    parts : sequence of Part
        Folds with their samples, in order of time; empty where time is not cut into folds.
    rows : slice
        Positions of the bars to trade among all bars: those decided inside the test windows.
    rules : Rules
        Those of the config.
    base : Base, Vintages or None
        The base model, or those of which each fold takes one; None where the run needs none or pretrains the built-in.
    data : DataVerdict
        What the news and prices that it reads are worth.
    teacher : Base, Vintages or None
        As ``base``, of the reader that its own learns from.
    instructed : tuple of Instructed
        What the bases that were made of its news learnt from labels.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from embargo.research import Quiet, load_config, prepare
    >>> plan = prepare(load_config(files("embargo.research.examples") / "small.toml"), Quiet())
    >>> len(plan.parts), plan.rows
    (2, slice(124, 252, None))
    >>> free = plan.config.costs.model_copy(update={"fee": 0.0})
    >>> cheaper = plan.under(plan.config.model_copy(update={"costs": free}))
    >>> plan.rules.costs.fee, cheaper.rules.costs.fee
    (0.0005, 0.0)
    """

    config: Config
    world: World
    parts: Sequence[Part]
    rows: slice
    rules: Rules
    base: Base | Vintages | None
    data: DataVerdict
    teacher: Base | Vintages | None = None
    instructed: tuple[Instructed, ...] = ()

    @property
    def decided_at(self) -> pd.DatetimeIndex:
        """When each of the rows is decided, shape (rows,)."""
        return self.world.decided_at[self.rows]

    def under(self, config: Config) -> Plan:
        """Return the same plan under other settings of what is traded and how; data, folds and rows stay."""
        return replace(self, config=config, rules=rules_of(config))

    def without_news(self) -> Plan:
        """Return the plan as far as evidence of news is traded by it, fit to be sent elsewhere: prices and rules."""
        none = self.world.news.iloc[[]]
        inputs = replace(self.world.inputs, news=none, truth=None, labelled={}, scores={})
        world = replace(self.world, news=none, truth=None, inputs=inputs, numbered=None)
        data = replace(self.data, checks=(), places={}, world=world)
        return replace(self, world=world, data=data, parts=(), base=None, teacher=None, instructed=())


def base_of(plan: Plan, part: Samples) -> Base | None:
    """Return the base that a part's model starts from: of vintages, the newest that ends before its training does."""
    return _of_part(plan, part, plan.base)


def teacher_base_of(plan: Plan, part: Samples) -> Base | None:
    """Return the base that the teacher of a part's model starts from, as `base_of` does the model's own."""
    return _of_part(plan, part, plan.teacher)


def _of_part(plan: Plan, part: Samples, base: Base | Vintages | None) -> Base | None:
    if not isinstance(base, Vintages):
        return base
    # One labelled file trains one model for all folds, and the first is the earliest to be validated.
    first = plan.parts[0] if plan.config.labels.source == "file" else part
    assert isinstance(first, Part)
    return base.before(first.fold.train_end)


def background_of(plan: Plan, part: Samples) -> pd.DataFrame:
    """Return the news that were known when the training of a part ended, labelled or not.

    One labelled file trains one model for all folds, and the first of them is the earliest to be validated.
    """
    first = plan.parts[0] if plan.config.labels.source == "file" else part
    until = first.fold.train_end if isinstance(first, Part) else first.train["known_at"].max()
    news = plan.world.news
    return news.loc[news["known_at"] < until, ["article_id", "symbol", "text", "known_at"]]


def traded_parts(config: Config, parts: Sequence[Part]) -> Sequence[Part]:
    """Return the folds that are traded: a fusion learns from the first test window, which is then not."""
    return parts if config.fusion.method == "none" else parts[1:]


def traded_news(plan: Plan, scored: pd.DataFrame) -> pd.DataFrame:
    """Return the scored news of the test windows that are traded."""
    first = traded_parts(plan.config, plan.parts)[0].fold.index
    return rows_where(scored, (scored["fold"] >= first).to_numpy()).reset_index(drop=True)


def trading_rows(world: World, parts: Sequence[Part]) -> slice:
    """Return the positions of the bars decided inside the test windows, which follow one another without a gap.

    Raises
    ------
    DataError
        If no bar is decided inside them.
    """
    first, last = parts[0].fold.test_start, parts[-1].fold.test_end
    start, stop = (int(position) for position in world.decided_at.searchsorted([first, last]))
    if stop - start < 2:
        raise DataError(f"prices: {stop - start} bars are decided between {first} and {last}. Check split and prices.")
    return slice(start, stop)
