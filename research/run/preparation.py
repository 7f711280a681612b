"""Everything that a run does before it trains: load, check, split, and decide once without any news.

It loads nothing that only training, measuring or reporting needs, so that a config is checked in seconds.
"""

from __future__ import annotations

from embargo.data_loaders.errors import ConfigError
from embargo.models.bases.resolve import Base
from embargo.models.bases.vintages import Vintages
from embargo.research.config.experiment import Config
from embargo.research.config.names import names_of
from embargo.research.progress import Stages
from embargo.research.run.data_verdict import judge_data
from embargo.research.run.given_scores import check_validated
from embargo.research.run.kept import Kept
from embargo.research.run.own_loaders import own_code
from embargo.research.run.plan import Plan, traded_parts, trading_rows
from embargo.research.run.regimes import regime_labels
from embargo.research.run.rules import rules_of
from embargo.research.run.samples import plan_folds, plan_parts
from embargo.research.run.trading import rehearse
from embargo.research.run.world import Inputs, load_inputs, world_of


def prepare(config: Config, stages: Stages, inputs: Inputs | None = None, kept: Kept | None = None) -> Plan:
    """Load, check and split everything a run needs, training nothing.

    Parameters
    ----------
    config : Config
    stages : Stages
        Shows progress.
    inputs : Inputs, optional
        What the config loads, where that has been done already.
    kept : Kept, optional
        Where what was said of the very same data is looked up; by default nowhere.

    Returns
    -------
    Plan

    Raises
    ------
    EmbargoError
        Whatever is wrong with the config or its data is raised here.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from embargo.research import Quiet, load_config, prepare
    >>> plan = prepare(load_config(files("embargo.research.examples") / "small.toml"), Quiet())
    >>> len(plan.parts), f"{plan.decided_at[0]} to {plan.decided_at[-1]}"
    (2, '2015-07-01 13:25:00+00:00 to 2015-12-31 14:25:00+00:00')
    """
    base: Base | Vintages | None = None
    teacher: Base | Vintages | None = None
    taught_by = config.model.teacher
    own_code(config)  # a reader that is missing, or was not allowed, is told before anything is loaded
    if config.model.is_own:
        # Loaded here because no other kind needs what the product's readers are made of.
        from embargo.models.scorers.own import own_kind

        own_kind(config.model.kind, allow=config.allow, settings=config.model.settings)
    if "endpoint" in (config.model.kind, None if taught_by is None else taught_by.kind):
        from embargo.research.run.asking import check_endpoint

        check_endpoint(config.model if taught_by is None else taught_by)
    if config.model.on_base:
        # Loaded here because no other kind needs what reads and checks a base.
        from embargo.research.run.bases import given_base, given_vintages

        base = given_base(config.model)
    if taught_by is not None and taught_by.on_base:
        from embargo.research.run.bases import given_base, given_vintages

        teacher = given_base(taught_by)
    world = world_of(config, load_inputs(config, stages) if inputs is None else inputs)
    folds = plan_folds(config, world)
    if config.model.on_base and base is None:
        base = given_vintages(config, folds)
    if taught_by is not None and taught_by.on_base and teacher is None:
        teacher = given_vintages(config, folds, taught_by)
    parts = plan_parts(config, world, folds, stages)
    check_validated(config, world, parts)
    traded = traded_parts(config, parts)
    if not traded:
        raise ConfigError("fusion: there is one test window, and a fusion learns from earlier ones. Shorten test_span.")
    rows = trading_rows(world, traded)
    stages.stage("Judge the data")
    judged = judge_data(config, world, parts, rows, kept)
    plan = Plan(config, world, parts, rows, rules_of(config), base, judged, teacher)
    rehearse(plan)
    regime_labels(plan)  # finds a bad file of regimes before anything is trained
    names_of(config)  # and one of names
    if (config.statistics.block or 1) > rows.stop - rows.start:
        raise ConfigError(
            f"statistics.block = {config.statistics.block} is longer than the {rows.stop - rows.start} test rows. "
            "Shorten it, or leave it out."
        )
    return plan
