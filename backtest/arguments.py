"""Checks of the arguments that many functions of a backtest take, so that all accept the same and say the same.

Each returns nothing and raises `ConfigError` with the name, the value and the remedy. NaN passes none of them.
"""

from __future__ import annotations

import math
from numbers import Integral

from embargo.data_loaders.errors import ConfigError

FEWEST_RESAMPLES = 100


def check_level(level: float) -> None:
    """Refuse a confidence level outside [0.5, 1)."""
    if not 0.5 <= level < 1.0:
        raise ConfigError(f"level must lie in [0.5, 1), got {level}. It is a confidence, such as 0.95.")


def check_share(name: str, share: float) -> None:
    """Refuse a probability or rate outside (0, 1), such as a family-wise error rate."""
    if not 0.0 < share < 1.0:
        raise ConfigError(f"{name} must lie in (0, 1), got {share}. It is a fraction, not percent.")


def check_periods_per_year(periods_per_year: float) -> None:
    """Refuse a number of rows in a year that is not positive."""
    if not 0.0 < periods_per_year < math.inf:
        raise ConfigError(
            f"periods_per_year must be positive and finite, got {periods_per_year}. Use calendars.bars_per_year."
        )


def check_n_boot(n_boot: int, name: str = "n_boot") -> None:
    """Refuse a number of resamples, or of simulated worlds, too small for their quantiles."""
    if not isinstance(n_boot, Integral) or n_boot < FEWEST_RESAMPLES:
        raise ConfigError(
            f"{name} must be a whole number of at least {FEWEST_RESAMPLES}, got {n_boot}. Quantiles of fewer resamples "
            "mean little."
        )


def check_seed(seed: int) -> None:
    """Refuse a seed that is no whole number from 0 on; None would give other figures each time."""
    if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
        raise ConfigError(f"seed must be a whole number from 0 on, got {seed!r}.")


def check_type(name: str, value: object, wanted: type, remedy: str) -> None:
    """Refuse an argument of another type, by its name; raises TypeError."""
    if not isinstance(value, wanted):
        raise TypeError(f"{name}: expected {wanted.__name__}, got {type(value).__name__}. {remedy}")


def check_mean_block(block: float | None) -> None:
    """Refuse a mean block length below one row; None stands for an automatic length."""
    if block is not None and not block >= 1.0:
        raise ConfigError(f"block must be at least 1 row, got {block}. Leave it out for an automatic length.")


def check_block(block: int, n: int) -> None:
    """Refuse a block of whole rows that is empty or longer than the ``n`` rows there are."""
    if not 1 <= block <= n:
        raise ConfigError(f"block must lie between 1 and the {n} rows, got {block}.")


def check_at_least(name: str, value: float, least: float) -> None:
    """Refuse a count or a length below the least that makes sense."""
    if not value >= least:
        raise ConfigError(f"{name} must be at least {least}, got {value}.")


def check_positive(name: str, value: float) -> None:
    """Refuse what is not above 0."""
    if not value > 0.0:
        raise ConfigError(f"{name} must be positive, got {value}.")
