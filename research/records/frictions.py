"""What trading cost, and how much money the edge could bear."""

from __future__ import annotations

from collections.abc import Mapping

from embargo.research.records.figures import figure, record


@record
class CostPaid:
    """What was paid for one thing."""

    currency: float = figure("Currency", "currency", "Paid over the whole run; negative where money was received.")
    per_year: float | None = figure("A year", "fraction a year", "Share of the mean equity, per year.")
    per_turnover: float | None = figure(
        "Of what is traded", "fraction", "Share of the traded notional, buys and sells."
    )


@record
class Capacity:
    """How much money the strategy could run before its own impact eats its edge, under the square-root law."""

    equity_break_even: float | None = figure(
        "Equity at which nothing is left", "currency", "Equity at which the strategy's own impact eats its edge."
    )
    equity_most_profit: float | None = figure(
        "Equity of most profit", "currency", "Equity at which most money is made: 4/9 of that."
    )
    equity_at_participation: float | None = figure(
        "Equity at the participation cap", "currency", "Equity up to which 95 % of the orders stay below the cap."
    )
    participation_break_even: float | None = figure(
        "Participation at which nothing is left", "fraction", "Share of the volume at which impact eats the edge."
    )
    impact: float = figure("Impact", "ratio", "Coefficient of the law, as given.")
    participation: float = figure("Participation cap", "fraction", "Largest order as a share of the volume, as given.")
    orders: int = figure("Orders", "count", "Orders looked at.")
    orders_without_volume: int = figure(
        "Orders without volume", "count", "Those left out, because no volume or volatility was known."
    )


@record
class Frictions:
    """What was paid and to whom, what trading might cost at most, and how much money the edge could bear."""

    costs_paid: Mapping[str, CostPaid] = figure(
        "Costs paid", "record", "By what was paid for, and in total.", default_factory=dict
    )
    break_even_cost: float | None = figure(
        "Break-even cost", "fraction", "Cost of the traded notional at which the mean return is 0.", default=None
    )
    capacity: Capacity | None = figure("Capacity", "record", "Equity that the edge could bear.", default=None)
