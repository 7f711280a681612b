"""The section of an experiment that says how bars are sorted into regimes, and which definitions steer."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from embargo.research.config.settings import MOST, Count, Duration, Positive, Section

# Keys that name a file of their own.
FILED_REGIMES = ("labels", "threshold")


class RegimeLabels(Section):
    """A file of dated regimes: ``start`` (or ``from``), ``regime`` and, if they are to be known in time, ``known_at``.

    A date alone is 00:00 UTC as a start, and the end of that day as the instant at which something was known.
    """

    path: str
    """CSV, parquet or JSONL file of dated regimes."""


class RegimeThreshold(Section):
    """A series, such as a volatility index, cut into regimes."""

    path: str
    """CSV, parquet or JSONL file of the series."""
    cuts: tuple[float, ...]
    """Where the series is cut, from low to high."""
    names: tuple[str, ...]
    """Names of the regimes from low to high, one more than cuts."""
    value: str = "value"
    """Column of the values."""
    known_at: str = "known_at"
    """Column of the instants at which they were known; a date alone is known at its end (UTC), a month alone is
    refused."""
    stale_after: Duration | None = "10D"
    """Age after which a value no longer speaks."""

    @model_validator(mode="after")
    def _names_fit_cuts(self) -> RegimeThreshold:
        if not self.cuts or list(self.cuts) != sorted(set(self.cuts)) or not all(map(math.isfinite, self.cuts)):
            raise ValueError(f"cuts must be finite and increase, and there must be one, got {list(self.cuts)}")
        if len(self.names) != len(self.cuts) + 1:
            raise ValueError(f"{len(self.cuts)} cuts make {len(self.cuts) + 1} regimes; {len(self.names)} are named")
        if not all(name.strip() for name in self.names):
            raise ValueError("a regime has an empty name")
        return self


CausalRegime = Literal["trend", "volatility", "turning_points", "markov", "labels", "threshold"]
ExPostRegime = Literal["lunde_timmermann", "pagan_sossounov", "markov", "labels"]


class RegimesSection(Section):
    """How bars are sorted into regimes, and which of the definitions steer."""

    preset: Literal["equity", "crypto_daily", "crypto_hourly"] = "equity"
    """Which lookbacks and thresholds hold for the keys that are not set here."""
    definitions: tuple[CausalRegime, ...] = ("trend", "volatility")
    """Definitions told from what was known at each decision: bull, bear and sideways by `trend`; calm and turbulent by
    `volatility`; bull and bear by the `turning_points` called so far; the states of a Markov-switching model; `labels`
    and `threshold` from files."""
    ex_post: tuple[ExPostRegime, ...] = ("lunde_timmermann",)
    """Definitions that look back from the end and only report."""
    gate_by: tuple[CausalRegime, ...] = ("trend", "volatility")
    """Definitions that `portfolio.gate` goes by, which are then reported too."""
    trend_lookback: Annotated[int, Field(ge=5, le=MOST)] = 63
    """Bars of the trend."""
    trend_threshold: Positive = 0.5
    """Standard deviations that the trend has to reach to be no sideways market."""
    volatility_lookback: Annotated[int, Field(ge=5, le=MOST)] = 21
    """Bars of the volatility."""
    fall: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    """Fall from the last peak that calls a bear market, a fraction (Lunde and Timmermann 2004)."""
    rise: Positive = 0.2
    """Rise from the last trough that calls a bull market, a fraction."""
    override: Positive = 0.2
    """Move that lets a phase of Pagan and Sossounov (2003) be short, a fraction."""
    markov_states: Literal[2, 3] = 2
    """States of the Markov-switching model."""
    markov_minimum: Annotated[int, Field(ge=120, le=MOST)] = 504
    """Bars before the model is first fitted."""
    markov_refit: Count = 63
    """Bars after which it is fitted again on the past."""
    labels: RegimeLabels | None = None
    """File of dated regimes, for the definition `labels`."""
    threshold: RegimeThreshold | None = None
    """Series and cuts, for the definition `threshold`."""
    minimum_bars: Annotated[int, Field(ge=10, le=MOST)] = 60
    """Bars below which a regime carries no figures."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, settings: Any) -> Any:
        if not isinstance(settings, dict) or settings.get("preset", "equity") == "equity":
            return settings  # the defaults above
        # Statistics take seconds to import, and most commands read a config without any.
        from embargo.backtest.regimes import PRESETS

        preset = PRESETS.get(settings["preset"]) if isinstance(settings["preset"], str) else None
        return settings if preset is None else asdict(preset) | settings

    @model_validator(mode="after")
    def _files_are_named(self) -> RegimesSection:
        asked = {*self.definitions, *self.ex_post, *self.gate_by}
        for name, source in (("labels", self.labels), ("threshold", self.threshold)):
            if name in asked and source is None:
                raise ValueError(f"the definition {name!r} needs a file; write regimes.{name} = {{ path = ... }}")
        for name in ("definitions", "ex_post", "gate_by"):
            if len(set(getattr(self, name))) != len(getattr(self, name)):
                raise ValueError(f"{name} names a definition twice")
        for name in ("definitions", "gate_by"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty; name a definition, such as 'trend'")
        return self

    def steering_names(self) -> set[str] | None:
        """Return the regimes that the definitions of ``gate_by`` can tell; None where a file of labels names them."""
        if "labels" in self.gate_by:
            return None
        names = {
            "trend": {"bull", "bear", "sideways"},
            "volatility": {"calm", "turbulent"},
            "turning_points": {"bull", "bear"},
            "markov": {"calm", "turbulent"} | ({"uneasy"} if self.markov_states == 3 else set()),
            "threshold": set() if self.threshold is None else set(self.threshold.names),
        }
        return set().union(*(names[definition] for definition in self.gate_by))
