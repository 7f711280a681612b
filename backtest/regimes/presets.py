"""Settings of the regime definitions that suit a market, in bars of its own calendar."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RegimePreset:
    """Lookbacks in bars and thresholds as fractions.

    Attributes
    ----------
    trend_lookback, trend_threshold
        Of ``trend_regime``: bars, and standard deviations.
    volatility_lookback
        Of ``volatility_regime``: bars.
    fall, rise
        Of the Lunde-Timmermann filter.
    override
        Of Pagan and Sossounov: the move that lets a phase be short.
    markov_minimum, markov_refit
        Of ``markov_regime``: bars.
    minimum_bars
        Rows below which a regime is not judged.

    Examples
    --------
    >>> from embargo.backtest.regimes import PRESETS
    >>> PRESETS['equity'].trend_lookback, PRESETS['crypto_daily'].trend_lookback
    (63, 91)
    """

    trend_lookback: int = 63
    trend_threshold: float = 0.5
    volatility_lookback: int = 21
    fall: float = 0.2
    rise: float = 0.2
    override: float = 0.2
    markov_minimum: int = 504
    markov_refit: int = 63
    minimum_bars: int = 60


# Crypto never closes, so a quarter has 91 bars and a week 168 hours. Its annual volatility is three to five times that
# of a share index, where a fall of 20 % comes several times a year and tells nothing.
PRESETS: dict[str, RegimePreset] = {
    "equity": RegimePreset(),
    "crypto_daily": RegimePreset(
        trend_lookback=91,
        trend_threshold=0.75,
        volatility_lookback=30,
        fall=0.4,
        rise=0.4,
        override=0.4,
        markov_minimum=730,
        markov_refit=91,
        minimum_bars=90,
    ),
    "crypto_hourly": RegimePreset(
        trend_lookback=24 * 30,
        trend_threshold=0.75,
        volatility_lookback=24 * 7,
        fall=0.4,
        rise=0.4,
        override=0.4,
        markov_minimum=24 * 180,
        markov_refit=24 * 30,
        minimum_bars=24 * 21,
    ),
}
