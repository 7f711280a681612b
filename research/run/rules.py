"""The rules that a run trades by: its config in the terms of the packages below.

They are made once for each config and travel with the plan, so that every stage trades by the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from embargo.backtest.books.costs import Costs
from embargo.backtest.books.execution import Execution
from embargo.research.config.experiment import Config
from embargo.research.config.regimes import RegimesSection
from embargo.signals.aggregation import AggregationSettings
from embargo.signals.articles import ArticleSettings
from embargo.signals.cross_section import CrossSectionSettings, SignalSettings
from embargo.signals.sectors import GroupSettings
from embargo.signals.weights import WeightSettings


@dataclass(frozen=True)
class Rules:
    """The settings that turn scores into weights and weights into books, in the terms of the packages below."""

    articles: ArticleSettings
    signal: SignalSettings
    sectors: Mapping[str, str]
    weights: WeightSettings
    risk_half_life: float
    gate: Mapping[str, float]
    regimes: RegimesSection
    costs: Costs
    execution: Execution


def rules_of(config: Config) -> Rules:
    """Translate the config's sections."""
    signal, portfolio, costs, execution = config.signal, config.portfolio, config.costs, config.execution
    return Rules(
        articles=ArticleSettings(
            confidence=signal.confidence,
            source_weights=signal.source_weights,
            novelty_floor=signal.novelty_floor,
            novelty_window=signal.novelty_window,
            novelty_scope=signal.novelty_scope,
            echo_weight=signal.echo_weight,
        ),
        signal=SignalSettings(
            AggregationSettings(
                threshold=signal.threshold,
                half_life_bars=signal.half_life,
                shrinkage=signal.shrinkage,
                min_articles=signal.min_articles,
                mode=signal.mode,
                hold=signal.hold,
                scale=signal.scale,
                half_life_hours=signal.half_life_hours,
                holding_bars=signal.holding_bars,
            ),
            GroupSettings(weight=signal.group_weight),
            CrossSectionSettings(min_signal=portfolio.min_signal, **signal.cross_section.model_dump()),
        ),
        sectors=signal.sectors,
        weights=WeightSettings(
            method=portfolio.method,
            gross=portfolio.gross,
            net=portfolio.net,
            cap=portfolio.cap,
            leverage=execution.leverage,
            neutral=portfolio.neutral,
            long_only=portfolio.long_only,
            band=portfolio.band,
            k=portfolio.k,
            min_signal=portfolio.min_signal,
            inverse_volatility=portfolio.inverse_volatility,
            target_volatility=portfolio.target_volatility,
        ),
        risk_half_life=portfolio.risk_half_life,
        gate={str(label): share for label, share in portfolio.gate.items()},
        regimes=config.regimes,
        costs=Costs(**costs.model_dump()),
        execution=Execution(**execution.model_dump(exclude={"engine", "funding"})),
    )
