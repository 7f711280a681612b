"""What a run made on either side of its base model's knowledge cutoff."""

from __future__ import annotations

from embargo.research.records.figures import figure, record


@record
class CutoffSide:
    """What a run made on one side of its base model's knowledge cutoff."""

    n_bars: int = figure("Bars", "bars", "Test bars that open on this side.")
    n_articles: int = figure("Articles", "count", "Articles, by symbol, that reached one of them.")
    sharpe: float | None = figure("Sharpe ratio", "Sharpe ratio a year", "Sharpe ratio on this side alone.")
    sharpe_low: float | None = figure("Lower end", "Sharpe ratio a year", "Lower end of its interval.")
    sharpe_high: float | None = figure("Upper end", "Sharpe ratio a year", "Upper end of its interval.")
    information_coefficient: float | None = figure(
        "Information coefficient", "ratio", "Correlation of the scores with the rank of the return of the bar reached."
    )
    information_coefficient_low: float | None = figure("Lower end", "ratio", "Lower end of its interval.")
    information_coefficient_high: float | None = figure("Upper end", "ratio", "Upper end of its interval.")


@record
class EitherSide:
    """What a run made before and after its base model's knowledge cutoff."""

    cutoff: str = figure("Knowledge cutoff", "UTC instant", "As stated of the base model.")
    before: CutoffSide = figure("Before", "record", "What the base may remember.")
    after: CutoffSide = figure("After", "record", "What it cannot.")
