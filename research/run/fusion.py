"""Joining the news with the market's own features, fold by fold, without either having seen what it predicts.

A model that reads news is too sure of the articles it was tuned on. So each fusion learns from the test windows of the
folds before its own, in which every score was made by a model that had not seen the article; the first window, which
has nothing before it, is not traded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices
from embargo.research.config.trading import FusionSection
from embargo.research.run.plan import Plan
from embargo.research.run.world import content_of
from embargo.signals.aggregation import AggregationSettings, Evidence
from embargo.signals.fusion.features import market_features
from embargo.signals.fusion.fitting import fit_fusion
from embargo.signals.fusion.model import FusionModel, fusion_signal
from embargo.signals.fusion.samples import FusionInputs, fusion_inputs, fusion_samples, text_features
from embargo.signals.fusion.settings import FusionSettings


@dataclass(frozen=True)
class Fused:
    """Fitted fusions, and from which bar on each one predicts.

    Attributes
    ----------
    settings : FusionSection
    models : tuple of FusionModel
        In the order of time.
    starts : tuple of int
        Position among all bars of the first row that each model predicts; it goes on until the next one starts.
    counts : dict
        Samples by what became of them.
    """

    settings: FusionSection
    models: tuple[FusionModel, ...]
    starts: tuple[int, ...]
    counts: dict[str, int]

    def market(self, prices: Prices, last_closed: np.ndarray, rows: slice) -> dict[str, pd.DataFrame]:
        """Market features of some rows, from bars closed before each was decided; none where they are switched off."""
        return _market(self.settings, prices, last_closed, rows)

    def signal(
        self,
        evidence: Evidence,
        aggregation: AggregationSettings,
        market: dict[str, pd.DataFrame],
        *,
        tradable: pd.DataFrame,
        decided_at: pd.DatetimeIndex,
        first: int,
    ) -> np.ndarray:
        """Predict every row of some evidence with the model of its time; rows before the first model are 0.

        Parameters
        ----------
        evidence : Evidence, panels of shape (rows, symbols)
        aggregation : AggregationSettings
        market : dict of str to DataFrame
            From `market`.
        tradable : DataFrame of bool, shape (rows, symbols)
        decided_at : DatetimeIndex, shape (rows,)
        first : int
            Position of the first row among all bars.

        Returns
        -------
        float array, shape (rows, symbols), in [-1, 1]
        """
        inputs = _inputs(self.settings, evidence, aggregation, market, tradable, decided_at)
        signal = np.zeros(tradable.shape)
        ends = [*self.starts[1:], first + len(tradable)]
        for model, start, end in zip(self.models, self.starts, ends, strict=True):
            part = slice(max(0, start - first), max(0, min(end - first, len(tradable))))
            if part.start < part.stop:
                signal[part] = fusion_signal(model, inputs, part, mask=tradable).to_numpy()
        return signal

    def manifest(self) -> list[dict[str, Any]]:
        """Describe each model, JSON-able, with the hash of what was fitted."""
        return [model.manifest() | {"first_row": start} for model, start in zip(self.models, self.starts, strict=True)]


def fit_fusions(
    plan: Plan, evidence: Evidence, tradable: pd.DataFrame, known: dict[str, FusionModel] | None = None
) -> Fused:
    """Fit one fusion for each fold but the first, on the test windows before it.

    Parameters
    ----------
    plan : Plan
        With the bars of all test windows, those of the first fold too.
    evidence : Evidence, panels of shape (rows, symbols)
        Of scores made by the model of each article's own fold.
    tradable : DataFrame of bool, shape (rows, symbols)
    known : dict of str to FusionModel, optional
        Fusions by what they were fitted from; new ones are added.

    Raises
    ------
    DataError
        If a fold has too few samples before it.
    """
    settings, world = plan.config.fusion, plan.world
    assert settings.method != "none"
    market = _market(settings, world.prices, world.last_closed, plan.rows)
    inputs = _inputs(settings, evidence, plan.rules.signal.aggregation, market, tradable, plan.decided_at)
    bars = world.prices.select(bars=np.arange(plan.rows.start, plan.rows.stop))
    samples = fusion_samples(inputs, bars, horizon_bars=settings.horizon_bars, mask=tradable)
    embargo = pd.Timedelta(plan.config.split.embargo)
    models, starts = [], []
    known = {} if known is None else known
    how = FusionSettings(kind=settings.method, target=settings.target, classes=settings.classes, seed=plan.config.seed)
    for part in plan.parts[1:]:
        train, validation = _split(samples.frame, part.fold.test_start, embargo, settings.validation_share)
        key = content_of(train=train, validation=validation, settings=how)
        try:
            if key not in known:
                known[key] = fit_fusion(train, validation, how)
        except DataError as failure:
            raise DataError(
                f"fusion of fold {part.fold.index}: {failure} A fusion learns from the test windows "
                "before its own: widen split.test_span, set split.first_test earlier or trade more symbols."
            ) from failure
        models.append(known[key])
        starts.append(int(world.decided_at.searchsorted(part.fold.test_start)))
    return Fused(settings, tuple(models), tuple(starts), samples.counts)


def _split(
    frame: pd.DataFrame, test_start: pd.Timestamp, embargo: pd.Timedelta, share: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut what was over before a test window by time, with an embargo before each boundary."""
    usable = frame.loc[frame["ends_at"] <= test_start - embargo]
    if usable.empty:
        return usable, usable
    # The stubs know quantiles of numbers alone.
    boundary = cast(pd.Timestamp, usable["known_at"].quantile(1.0 - share))
    return usable.loc[usable["ends_at"] <= boundary - embargo], usable.loc[usable["known_at"] >= boundary]


def _market(settings: FusionSection, prices: Prices, last_closed: np.ndarray, rows: slice) -> dict[str, pd.DataFrame]:
    if not settings.market:
        return {}
    panels = market_features(prices, last_closed).panels
    return {name: panel.iloc[rows] for name, panel in panels.items()}


def _inputs(
    settings: FusionSection,
    evidence: Evidence,
    aggregation: AggregationSettings,
    market: dict[str, pd.DataFrame],
    tradable: pd.DataFrame,
    decided_at: pd.DatetimeIndex,
) -> FusionInputs:
    text = {}
    if settings.text:
        text = text_features(
            evidence, aggregation, open_at=pd.DatetimeIndex(tradable.index), symbols=list(tradable.columns)
        )
    return fusion_inputs(text, market, decided_at)
