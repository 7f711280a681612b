"""The sections of an experiment that say how scores become weights, and what the trades between them cost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from embargo.research.config.settings import MOST, Count, Duration, Fraction, Positive, Section


class CrossSection(Section):
    """How a symbol's signal is compared: with its own past (causally), then with the other symbols of the row."""

    standardise: Literal["none", "rolling", "expanding"] = "none"
    """Compare with the symbol's own earlier signals: those of a window, or all."""
    window: Annotated[int, Field(ge=2, le=MOST)] = 60
    """Rows that a rolling history reaches back."""
    minimum: Annotated[int, Field(ge=2, le=MOST)] = 20
    """Earlier signals that it takes; a symbol with fewer has no signal yet."""
    winsorise: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    """Share of each row's tail that is pulled in to the quantile there."""
    method: Literal["none", "zscore", "rank"] = "none"
    """Within the row: divided by its standard deviation times `limit` and cut off at -1 and 1, or ranked from -1 to 1.
    """
    limit: Positive = 3.0
    """Standard deviations that make a full signal."""
    neutral: Literal["none", "market", "sector"] = "none"
    """Subtract the mean of the row, or of the symbol's sector in the row."""


class SignalSection(Section):
    """How scored articles become one number per symbol and bar.

    An article weighs its confidence, times its source's weight, times what ``novelty_floor`` leaves a repeat, times
    ``echo_weight`` if it only reports a move of the price.
    """

    confidence: Literal["scored", "maximum", "margin", "entropy"] = "scored"
    """What an article's confidence is: as scored, the largest probability, the largest less the second, or one less the
    entropy over its maximum."""
    threshold: Fraction = 0.5
    """Confidence, from 1/3 (a guess) to 1, below which an article abstains."""
    source_weights: dict[str, Annotated[float, Field(ge=0.0)]] = Field(default_factory=dict)
    """Weights of sources; those that are not named weigh 1 and are counted."""
    novelty_floor: Fraction = 1.0
    """Weight of a verbatim repeat; an article of similarity s to an earlier one weighs `floor + (1 - floor) * (1 - s)`,
    and 1 switches this off."""
    novelty_window: Duration = "7D"
    """How far back an earlier article makes one old."""
    novelty_scope: Literal["symbol", "market"] = "symbol"
    """Whether only articles about the same symbol make one old, or all."""
    echo_weight: Fraction = 1.0
    """Weight of an article that only reports a move of the price; 1 switches this off."""
    mode: Literal["mean", "vote", "sum"] = "mean"
    """Weighted mean of net sentiment; votes to buy, hold or sell; or the weighted sum through `tanh(sum / scale)`."""
    hold: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Net sentiment up to which a vote is to hold."""
    scale: Positive = 1.0
    """Sum at which the signal reaches tanh(1) = 0.76, in fully confident articles."""
    half_life: Positive = 1.0
    """Bars after which an article weighs half."""
    half_life_hours: Positive | None = None
    """Hours, nights and weekends too, after which an article weighs half; it takes the place of `half_life`."""
    holding_bars: Count | None = None
    """Rows that see an article, the one it lands on included; unset, it fades and is never forgotten."""
    shrinkage: Annotated[float, Field(ge=0.0)] = 0.5
    """Weight of "no opinion", in fully confident articles: the larger, the more articles a strong signal takes."""
    min_articles: Count = 1
    """Articles that a bar and symbol need; with fewer they are set aside."""
    sectors: dict[str, str] = Field(default_factory=dict)
    """Symbols to sectors."""
    group_weight: Fraction = 0.0
    """Share of its sector's mean signal, else of the market's, that a symbol without news takes."""
    cross_section: CrossSection = CrossSection()
    """How a symbol's signal is compared."""


class FusionSection(Section):
    """Whether news and market features are joined into a forecast of each symbol's next bars.

    Each fold's fusion learns from the test windows before it, so the first window is not traded.
    """

    method: Literal["none", "logistic", "boosting", "neural"] = "none"
    """What joins news and market features; `none` trades the news alone."""
    text: bool = True
    """Whether features of the news are used."""
    market: bool = True
    """Whether features of the market are used."""
    target: Literal["relative", "absolute"] = "relative"
    """Whether it forecasts returns less those of the market, or returns."""
    classes: Literal["direction", "three"] = "direction"
    """Whether it tells up from down, or a middle class too."""
    horizon_bars: Count = 1
    """Bars ahead that are forecast."""
    validation_share: Annotated[float, Field(gt=0.0, lt=0.9)] = 0.25
    """Share, the last, of what it learns from that calibrates it."""

    @model_validator(mode="after")
    def _reads_something(self) -> FusionSection:
        if self.method != "none" and not (self.text or self.market):
            raise ValueError("a fusion needs text or market features; set one of them to true")
        return self


class PortfolioSection(Section):
    """How the signal becomes target weights."""

    method: Literal["proportional", "sign", "top_bottom"] = "proportional"
    """Positions in proportion to the signal; equal ones in every symbol with a signal; or equal ones in the `k` highest
    and lowest."""
    gross: Annotated[float, Field(gt=0.0, le=10.0)] = 1.0
    """Largest sum of absolute weights, a fraction of equity."""
    net: Annotated[float, Field(ge=0.0)] | None = None
    """Largest absolute sum of weights, a fraction of equity; unset, no limit of its own."""
    cap: Annotated[float, Field(gt=0.0, le=10.0)] = 0.2
    """Largest absolute weight of one symbol, a fraction of equity."""
    neutral: bool = False
    """Whether long and short sides are made equal; a one-sided row then holds nothing."""
    long_only: bool = False
    """Whether negative signals count as none."""
    band: Fraction = 0.0
    """Move of a target below which the weight last set is kept; exits to zero are always made."""
    k: Count = 5
    """Positions on each side, for `top_bottom`."""
    min_signal: Fraction = 0.02
    """Absolute signal below which there is none."""
    inverse_volatility: bool = False
    """Whether positions are divided by the symbol's trailing volatility."""
    target_volatility: Positive | None = None
    """Volatility a year, a fraction, to which the whole book is scaled from closed bars; unset, none."""
    risk_half_life: Positive = 21.0
    """Bars after which a return weighs half in these volatilities."""
    gate: dict[str, Fraction] = Field(default_factory=dict)
    """Factors that multiply the weights by regime, such as `{ turbulent = 0.5 }`."""
    initial_cash: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 1_000_000.0
    """Equity at the start, in currency."""


class CostsSection(Section):
    """What trading costs: fractions of the traded notional, but for what shares and orders cost in currency."""

    fee: Annotated[float, Field(ge=0.0, lt=0.1)] = 0.0005
    """Commission each way, a fraction of the traded notional."""
    fee_per_share: Annotated[float, Field(ge=0.0)] = 0.0
    """Commission per share, in currency, on top of `fee`."""
    fee_minimum: Annotated[float, Field(ge=0.0)] = 0.0
    """Least commission of one order, in currency."""
    slippage: Annotated[float, Field(ge=0.0, lt=0.1)] = 0.0005
    """Half the spread, a fraction of the price."""
    impact: Annotated[float, Field(ge=0.0, le=10.0)] = 0.0
    """Coefficient of the square-root law (Almgren et al. 2005): volatility times the root of the share of volume, times
    this, comes on top of the price; 0 is none."""
    borrow_annual: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.005
    """Fee a year on what is held short, a fraction."""
    interest_annual: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Interest a year on cash that is owed, a fraction."""


class ExecutionSection(Section):
    """How orders are filled, and who keeps the books of record; see `embargo.backtest.books.execution.Execution`.

    Nothing is filled on a bar of no volume and one price, if the symbol's volumes are known at all.
    """

    engine: Literal["vectorbt", "kernel"] = "vectorbt"
    """Who keeps the books of record; the kernel's are the same and sooner there, but hold no single trades."""
    fill: Literal["open", "close"] = "open"
    """Price at which a row trades: its own open, or its own close."""
    leverage: Annotated[float, Field(ge=1.0, le=10.0)] = 1.0
    """Gross exposure allowed, as a multiple of equity."""
    maintenance: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.25
    """With leverage: fraction of the gross position that equity may not fall below before targets are scaled down."""
    participation: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Largest order, a fraction of the mean volume of the last `volume_bars` closed bars; unset, no cap."""
    volume_bars: Count = 5
    """Closed bars of that mean."""
    unfilled: Literal["carry", "drop"] = "carry"
    """Whether what participation cut off is asked for again, or forgotten until the target changes."""
    lot: Annotated[float, Field(ge=0.0)] = 0.0
    """Orders are whole multiples of this many shares, rounded towards zero; 0 allows fractions."""
    stale_after: Count = 5
    """Bars in a row without a price after which a position is written out."""
    haircut: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Fraction of the last price lost when a position is written out."""
    funding: bool = False
    """Whether the recorded funding of perpetuals is charged."""
