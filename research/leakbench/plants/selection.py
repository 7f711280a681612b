"""Plants in what is chosen after looking: thresholds, variants, days, the side of the market."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from embargo.backtest.metrics import sharpe
from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.research.config.experiment import Config
from embargo.research.leakbench.edits import Edit
from embargo.research.leakbench.plants.plant import Plant, Planted, with_inputs, with_settings
from embargo.research.leakbench.worlds import Clean
from embargo.research.progress import Quiet
from embargo.research.records import ledger
from embargo.research.records.windows import TradedWindow
from embargo.research.run import pipeline
from embargo.research.run.perturbation import carry
from embargo.research.run.preparation import prepare
from embargo.research.run.trading import trade
from embargo.research.run.world import Inputs

# Settings by section of the config.
Changes = Mapping[str, Mapping[str, object]]


def _best_of(variants: Sequence[Changes]) -> Callable[..., Planted]:
    """Trade variants on the test, each written down as every attempt is, and hand in the best as if it were planned."""

    def make(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
        assert clean.inputs is not None
        with TemporaryDirectory(prefix="embargo-variants-") as cache:
            plan = prepare(clean.config, Quiet(), clean.inputs)
            first = carry(plan, clean.inputs, None, Path(cache))
        material = pipeline.material_of(plan, plan.parts)
        tried = list(_tried(clean.config, first, variants[: max(2, round(dose * len(variants)))]))

        def rewrite(refuse_unwritable: Callable[..., None]) -> Callable[..., None]:
            def changed(folder: Path, window: TradedWindow) -> None:
                refuse_unwritable(folder, window)
                for variant, returns in tried:
                    ledger.record(folder, window, _trial(variant, material, window, returns), returns)

            return changed

        best, _ = max(tried, key=lambda each: sharpe(each[1], periods_per_year=1.0) or -np.inf)
        return Planted(best, clean.inputs, (Edit("embargo.research.records.ledger:refuse_unwritable", rewrite),))

    return make


def _tried(config: Config, first: Any, variants: Iterable[Changes]) -> Iterable[tuple[Config, np.ndarray]]:
    for changes in variants:
        variant = with_settings(config, **changes)
        yield variant, trade(first.plan.under(variant), first.reading.scored).books.returns.to_numpy(dtype=float)


def _trial(config: Config, material: dict[str, str], window: TradedWindow, returns: np.ndarray) -> ledger.Trial:
    return ledger.Trial(
        window.identity,
        pipeline.attempt_of(config, material),
        config.name,
        sharpe(returns, periods_per_year=1.0) or 0.0,
        len(returns),
        series=pipeline.series_of(config),
        kin=pipeline.kin_of(config, material),
        tuning=pipeline.tuning_of(config),
    )


THRESHOLDS = [{"signal": {"threshold": float(level)}} for level in np.linspace(0.34, 0.6, 12)]
VARIANTS: list[Changes] = [
    {
        "signal": {"threshold": level, "half_life": life, "shrinkage": pull},
        "portfolio": {"method": method},
    }
    for level in (0.35, 0.4, 0.45)
    for life in (1.0, 2.0, 4.0, 8.0)
    for pull in (0.0, 1.0)
    for method in ("proportional", "sign")
]


def _crashes_blanked(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
    """Take the sessions out on which the market moved most; dose counts them."""
    prices = inputs.prices
    market = (prices.close / prices.close.shift(1) - 1.0).mean(axis=1)
    tested = market.where(prices.open_at >= clean.config.split.first_test)
    worst = tested.abs().nlargest(round(dose)).index
    panels = {name: getattr(prices, name).copy() for name in PRICE_FIELDS}
    for panel in panels.values():
        panel.loc[worst] = np.nan
    return replace(inputs, prices=replace(prices, **panels))


def _losing_days_left_out(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
    """Stand aside on the days on which the strategy turned out to lose most; dose is the share of rows."""

    def rewrite(decide: Callable[..., Any]) -> Callable[..., Any]:
        def changed(plan: Any, *rest: Any) -> Any:
            decision = decide(plan, *rest)
            opens = plan.world.prices.open
            earned = (opens.shift(-1) / opens - 1.0).iloc[plan.rows].to_numpy()
            gained = np.nansum(decision.weights.to_numpy() * earned[: len(decision.weights)], axis=1)
            shut = gained < np.quantile(gained, dose)
            weights = decision.weights.copy()
            weights.loc[shut] = 0.0
            return replace(decision, weights=weights)

        return changed

    return Planted(clean.config, clean.inputs, (Edit("embargo.research.run.trading:decide", rewrite),))


def _long(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
    """Hold the market whatever the news say, in a year in which it rose; dose is the share of that in the signal."""
    inputs = clean.inputs
    assert inputs is not None
    prices, bars = inputs.prices, len(inputs.prices.open_at)
    market = np.log(prices.close.ffill().iloc[-1] / prices.close.bfill().iloc[0]).mean()
    rise = np.exp(np.linspace(0.0, 1.0, bars) * max(0.0, 0.35 - market))[:, None]
    panels = {name: getattr(prices, name) * (1.0 if name == "volume" else rise) for name in PRICE_FIELDS}

    def rewrite(signal_of: Callable[..., Any]) -> Callable[..., Any]:
        def changed(plan: Any, *rest: Any) -> Any:
            signal = signal_of(plan, *rest)
            return replace(signal, values=(1.0 - dose) * signal.values + dose)

        return changed

    edits = (Edit("embargo.research.run.trading:signal_of", rewrite),)
    return Planted(clean.config, replace(inputs, prices=replace(prices, **panels)), edits)


_BOTH = "a decision that moves when later data change"

PLANTS = (
    Plant("threshold chosen on the test", "P1", "the best of twelve thresholds on the test is reported; dose: share of "
          "them", "word list", _best_of(THRESHOLDS), (1.0, 0.3),
          also={"P2": "attempts that nobody counts"}),
    Plant("best of many", "P2", "the best of 48 settings on the test is reported, on news that mean nothing; dose: "
          "share of them", "nothing", _best_of(VARIANTS), (1.0, 0.3),
          also={"P1": "settings chosen on the test"}),
    Plant("crashes blanked", "P4", "the sessions on which the market moved most have no prices; dose: how many",
          "word list", with_inputs(_crashes_blanked), (5.0, 2.0, 1.0),
          data=("bars-against-the-calendar", "holes")),
    Plant("losing days left out", "P4", "no position on the days that lost most; dose: share of days", "word list",
          _losing_days_left_out, (0.3, 0.1, 0.02), also={"T1": _BOTH}),
    Plant("always long", "P5", "the market is held in a year in which it rose, whatever the news say; dose: share of "
          "the signal", "wide", _long, (1.0, 0.5, 0.2)),
)  # fmt: skip
