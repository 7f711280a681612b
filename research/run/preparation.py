"""Everything that a run does before it trains: load, check, split, and decide once without any news.

It loads nothing that only training, measuring or reporting needs, so that a config is checked in seconds.
"""

from __future__ import annotations

from embargo.data_loaders.errors import ConfigError
from embargo.research.config.experiment import Config
from embargo.research.progress import Stages
from embargo.research.run.regime_figures import regime_labels
from embargo.research.run.trading import rehearse, rules_of, trading_rows
from embargo.research.run.world import Plan, load_world, plan_folds, plan_parts


def prepare(config: Config, stages: Stages) -> Plan:
    """Load, check and split everything a run needs, training nothing.

    Raises
    ------
    EmbargoError
        Whatever is wrong with the config or its data is raised here.
    """
    base = None
    if config.model.kind == "transformer":
        # Loaded here because no other kind needs what reads and checks a base.
        from embargo.research.run.reading import given_base

        base = given_base(config)
    world = load_world(config, stages)
    parts = plan_parts(config, world, plan_folds(config, world), stages)
    # A fusion learns from the first test window, which is then not traded.
    traded = parts if config.fusion.method == "none" else parts[1:]
    if not traded:
        raise ConfigError("fusion: there is one test window, and a fusion learns from earlier ones. Shorten test_span.")
    rows, rules = trading_rows(world, traded), rules_of(config)
    rehearse(world, rows, rules)
    regime_labels(config, world, rows)  # finds a bad file of regimes before anything is trained
    if (config.statistics.block or 1) > rows.stop - rows.start:
        raise ConfigError(
            f"statistics.block = {config.statistics.block} is longer than the {rows.stop - rows.start} test rows. "
            "Shorten it, or leave it out."
        )
    return Plan(config, world, parts, rows, base)
