"""What the checks found of the data that is not clean, and what the run makes without it."""

from __future__ import annotations

from embargo.data_loaders.checks.check import Grade
from embargo.research.records.figures import figure, record


@record
class WithoutBars:
    """What the same weights make when nothing is earned or lost over the bars that checks of the data mark."""

    n_marked: int = figure("Marked bars", "count", "Bars marked, each symbol's own, in all that the run reads.")
    n_symbols: int = figure("Symbols", "count", "Symbols with a marked bar.")
    n_left_out: int = figure(
        "Returns left out", "count", "Returns of single bars and symbols, in the test rows, that begin or end at one."
    )
    share_left_out: float = figure("Share left out", "fraction", "Share of all those returns.")
    sharpe: float | None = figure("Sharpe ratio", "Sharpe ratio a year", "Sharpe ratio without them.")
    total_return: float | None = figure("Total return", "fraction", "Growth of the account without them.")
    max_drawdown: float | None = figure("Maximum drawdown", "fraction", "Worst fall from an earlier peak without them.")


@record
class DataFault:
    """What one check of the data found that is not clean."""

    verdict: Grade = figure("Verdict", "text", "look: a person should judge it; bad: results rest on faulty data.")
    summary: str = figure("What was seen", "text", "The figures that decided.")
    accepted: str | None = figure(
        "Accepted because", "text", "Reason given for going on all the same.", default=None, optional=True
    )
    without: WithoutBars | None = figure(
        "Without these bars",
        "record",
        "Figures without the bars that it marks; none where it marks none.",
        default=None,
        optional=True,
    )
