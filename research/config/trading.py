"""The sections of an experiment that say how scores become weights, and what the trades between them cost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from embargo.research.config.settings import MOST, Count, Duration, Fraction, Positive, Section


class CrossSection(Section):
    """How a symbol's signal is compared: with its own past (causally), then with the other symbols of the row."""

    standardise: Literal["none", "rolling", "expanding"] = "none"
    window: Annotated[int, Field(ge=2, le=MOST)] = 60
    minimum: Annotated[int, Field(ge=2, le=MOST)] = 20
    winsorise: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    method: Literal["none", "zscore", "rank"] = "none"
    limit: Positive = 3.0
    neutral: Literal["none", "market", "sector"] = "none"


class SignalSection(Section):
    """How scored articles become one number per symbol and bar.

    An article weighs its confidence, times its source's weight, times what ``novelty_floor`` leaves a repeat, times
    ``echo_weight`` if it only reports a move of the price. ``half_life`` counts bars; ``half_life_hours`` in its place
    counts the hours that pass, nights and weekends too. ``sectors`` maps symbols to sectors; ``group_weight`` gives
    symbols without news that share of what was said of their sector, else of the market.
    """

    confidence: Literal["scored", "maximum", "margin", "entropy"] = "scored"
    threshold: Fraction = 0.5
    source_weights: dict[str, Annotated[float, Field(ge=0.0)]] = Field(default_factory=dict)
    novelty_floor: Fraction = 1.0
    novelty_window: Duration = "7D"
    novelty_scope: Literal["symbol", "market"] = "symbol"
    echo_weight: Fraction = 1.0
    mode: Literal["mean", "vote", "sum"] = "mean"
    hold: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    scale: Positive = 1.0
    half_life: Positive = 1.0
    half_life_hours: Positive | None = None
    holding_bars: Count | None = None
    shrinkage: Annotated[float, Field(ge=0.0)] = 0.5
    min_articles: Count = 1
    sectors: dict[str, str] = Field(default_factory=dict)
    group_weight: Fraction = 0.0
    cross_section: CrossSection = CrossSection()


class FusionSection(Section):
    """Whether news and market features are joined into a forecast of each symbol's next bars.

    ``text`` and ``market`` say which of the two are used. Each fold's fusion learns from the test windows before it, so
    the first window is not traded; the last ``validation_share`` of what it learns from calibrates it.
    """

    method: Literal["none", "logistic", "boosting", "neural"] = "none"
    text: bool = True
    market: bool = True
    target: Literal["relative", "absolute"] = "relative"
    classes: Literal["direction", "three"] = "direction"
    horizon_bars: Count = 1
    validation_share: Annotated[float, Field(gt=0.0, lt=0.9)] = 0.25

    @model_validator(mode="after")
    def _reads_something(self) -> FusionSection:
        if self.method != "none" and not (self.text or self.market):
            raise ValueError("a fusion needs text or market features; set one of them to true")
        return self


class PortfolioSection(Section):
    """How the signal becomes target weights.

    ``target_volatility`` scales the whole book to that annual volatility and ``inverse_volatility`` each symbol to its
    own, both from closed bars with ``risk_half_life``. ``gate`` multiplies the weights by regime, such as
    ``{ turbulent = 0.5 }``; regimes are those of the section of that name.
    """

    method: Literal["proportional", "sign", "top_bottom"] = "proportional"
    gross: Annotated[float, Field(gt=0.0, le=10.0)] = 1.0
    net: Annotated[float, Field(ge=0.0)] | None = None
    cap: Annotated[float, Field(gt=0.0, le=10.0)] = 0.2
    neutral: bool = False
    long_only: bool = False
    band: Fraction = 0.0
    k: Count = 5
    min_signal: Fraction = 0.02
    inverse_volatility: bool = False
    target_volatility: Positive | None = None
    risk_half_life: Positive = 21.0
    gate: dict[str, Fraction] = Field(default_factory=dict)
    initial_cash: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 1_000_000.0


class CostsSection(Section):
    """What trading costs: fractions of the traded notional, but for what shares and orders cost in currency.

    ``slippage`` is half the spread; ``impact`` times volatility times the square root of the share of volume comes on
    top. Borrowing is charged per year on what is held short, interest on cash that is owed.
    """

    fee: Annotated[float, Field(ge=0.0, lt=0.1)] = 0.0005
    fee_per_share: Annotated[float, Field(ge=0.0)] = 0.0
    fee_minimum: Annotated[float, Field(ge=0.0)] = 0.0
    slippage: Annotated[float, Field(ge=0.0, lt=0.1)] = 0.0005
    impact: Annotated[float, Field(ge=0.0, le=10.0)] = 0.0
    borrow_annual: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.005
    interest_annual: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0


class ExecutionSection(Section):
    """How orders are filled, and who keeps the books of record; see `embargo.backtest.books.execution.Execution`.

    ``engine = "kernel"`` is the faster of the two; its books are the same but hold no single trades.

    ``participation`` caps an order at that share of the mean volume of the last ``volume_bars`` closed bars, and
    ``unfilled`` says whether the rest is asked for again. ``funding`` charges the recorded funding of perpetuals.
    Nothing is filled on a bar of no volume and one price, if the symbol's volumes are known at all.
    """

    engine: Literal["vectorbt", "kernel"] = "vectorbt"
    fill: Literal["open", "close"] = "open"
    leverage: Annotated[float, Field(ge=1.0, le=10.0)] = 1.0
    maintenance: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.25
    participation: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    volume_bars: Count = 5
    unfilled: Literal["carry", "drop"] = "carry"
    lot: Annotated[float, Field(ge=0.0)] = 0.0
    stale_after: Count = 5
    haircut: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    funding: bool = False
