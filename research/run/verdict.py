"""The paragraph a reader takes away: did the signal earn what chance, attempts and leaks do not explain.

A claim needs five things at once: no leak, data that no check calls bad, news that beats its own shuffles at the level,
a Sharpe ratio whose p-value among everything tried on its bars is at most the same level, and a sample on which such
p-values are known to hold their level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from embargo.backtest.leakage import Finding
from embargo.data_loaders.splits.folds import Fold
from embargo.research.pages import formats
from embargo.research.pages.phrases import phrase
from embargo.research.pages.status import Status
from embargo.research.records.metrics import Metrics


@dataclass(frozen=True)
class Verdict:
    """What a run concludes.

    Attributes
    ----------
    status : {'valid', 'caution', 'invalid'}
        ``invalid`` when the audit proved a leak, ``caution`` when it found something suspicious or nothing was traded.
    edge : bool
        Whether the run claims that the signal earns something. Never true when invalid, or when the data are bad and
        nobody accepted that.
    headline, text : str
        Plain words.
    stamp : str or None
        What every page of the report carries.

    Examples
    --------
    >>> from embargo.research.run import Verdict
    >>> verdict = Verdict("valid", False, "An edge is not shown.", "Chance does as well.", None)
    >>> verdict.status, verdict.edge
    ('valid', False)
    """

    status: Status
    edge: bool
    headline: str
    text: str
    stamp: str | None


def conclude(
    metrics: Metrics, findings: Sequence[Finding], *, significance: float, bad_data: Sequence[str] = ()
) -> Verdict:
    """Weigh figures, findings and what the data are worth.

    Parameters
    ----------
    metrics : Metrics
    findings : sequence of Finding
    significance : float
        Level of each test, such as 0.05.
    bad_data : sequence of str
        Codes of the checks that call the data bad, without those that were accepted.
    """
    leaks = [finding for finding in findings if finding.verdict == "leak"]
    doubts = [finding for finding in findings if finding.verdict == "suspicious"]
    failures = _failures(metrics, significance)
    figures = _figures(metrics)
    if leaks:
        return Verdict(
            "invalid",
            False,
            phrase("leak"),
            f"The audit proved a leak: {_failed(leaks)}. {figures} None of these "
            "figures can be believed until the leak is mended; the findings below say where it is and how to mend it."
            f"{_on_bad(bad_data)}",
            "INVALID: the audit found a leak",
        )
    unknown = _size_not_known(metrics)
    edge = not failures and not bad_data and not unknown
    if metrics.sharpe is None:
        headline = phrase("not judged")
        reading = "There is nothing to judge; " + "; ".join(failures) + "."
    elif not failures:
        headline = phrase("edge withheld" if bad_data else "size not known" if unknown else "edge")
        reading = (
            "Resampling the returns, shuffling the news against the dates and allowing for the number of attempts all "
            f"leave that result standing at the {significance:.0%} level, one-sided."
        )
        if metrics.sharpe_low is not None and metrics.sharpe_low <= 0:
            reading += " The two-sided interval still reaches below zero, so the evidence is thin."
    else:
        lost = metrics.sharpe_high is not None and metrics.sharpe_high < 0.0
        headline = phrase("lost, edge not shown" if lost else "edge not shown")
        reading = "Why it is not shown: " + "; ".join(failures) + "." + _reach(metrics)
    text = f"{figures} {reading}{unknown}{_on_bad(bad_data)}"
    if edge and any(finding.code == "T4" and finding.verdict == "inconclusive" for finding in findings):
        text += " Whether the clock of the news is right could not be told (T4): stamps that are early are look-ahead."
    if edge and any(finding.code == "P2" and finding.verdict == "inconclusive" for finding in findings):
        text += (
            " How many attempts were made elsewhere was not said (P2): a result picked from many needs to be stronger."
        )
    stamp = None if metrics.sharpe is not None else phrase("not judged")
    if doubts:
        text += f" Read this with care: {_failed(doubts)}."
        stamp = _stamp(doubts)
    return Verdict("caution" if stamp else "valid", edge, headline, text, stamp)


def idle_windows(held: np.ndarray, decided_at: pd.DatetimeIndex, windows: Sequence[Fold]) -> list[str]:
    """Say in which test windows nothing was ever held; empty where none is such, and where all of them are.

    Their bars are returns of 0 among the others: they lower the Sharpe ratio and say nothing of the signal.

    Parameters
    ----------
    held : array, shape (rows, symbols)
        Weights that were held.
    decided_at : DatetimeIndex, shape (rows,)
    windows : sequence of Fold
        In the order of time.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.data_loaders.splits import walk_forward
    >>> from embargo.research.run.verdict import idle_windows
    >>> start, first, end = pd.to_datetime(["2019-01-01", "2020-01-01", "2020-01-05"], utc=True)
    >>> windows = walk_forward(start, first, end, test_span="2D", validation_span="30D")
    >>> days = pd.date_range(first, periods=4, tz="UTC")
    >>> idle_windows(np.array([[0.0], [0.0], [0.0], [0.5]]), days, windows)
    ['Nothing was held in 1 of 2 test windows (2020-01-01 to 2020-01-03): its bars count as returns of 0.']
    """
    moved = np.abs(held).max(axis=1, initial=0.0) > 0.0
    edges = [tuple(decided_at.searchsorted(pd.DatetimeIndex([one.test_start, one.test_end]))) for one in windows]
    idle = [
        one for one, (first, last) in zip(windows, edges, strict=True) if last > first and not moved[first:last].any()
    ]
    if not idle or not moved.any():
        return []
    named = [f"{one.test_start:%Y-%m-%d} to {one.test_end:%Y-%m-%d}" for one in idle]
    some = "; ".join(named[:3]) + ("; ..." if len(named) > 3 else "")
    whose = "its" if len(idle) == 1 else "their"
    return [
        f"Nothing was held in {len(idle)} of {len(windows)} test windows ({some}): {whose} bars count as returns of 0."
    ]


def _size_not_known(metrics: Metrics) -> str:
    """Say why a p-value may not hold its level on this sample; nothing where it is known to."""
    doubts = metrics.sample.doubts
    return f" Size not known to hold here: {'; '.join(doubts)}." if doubts else ""


def _on_bad(codes: Sequence[str]) -> str:
    """Say that figures of bad data are none of the market's; nothing where there are none."""
    if not codes:
        return ""
    return f" The data are bad ({', '.join(codes)}): what faulty prices or news earned, nobody could have earned."


def _stamp(doubts: Sequence[Finding]) -> str:
    if any(finding.code == "M1" for finding in doubts):
        return "The base model may remember this period"
    return f"Caution: the audit has doubts ({', '.join(sorted({finding.code for finding in doubts}))})"


def _failed(findings: Sequence[Finding]) -> str:
    """Name the checks that were not met; their titles say what ought to hold."""
    names = ", ".join(f"“{finding.title}” ({finding.code})" for finding in findings)
    return f"{'this does' if len(findings) == 1 else 'these do'} not hold: {names}"


def _figures(metrics: Metrics) -> str:
    if metrics.sharpe is None:
        return f"After {metrics.n_articles:,} articles and {metrics.n_bars:,} bars the strategy had never traded."
    interval = ""
    if metrics.sharpe_low is not None or metrics.sharpe_high is not None:
        low, high = formats.ratio(metrics.sharpe_low), formats.ratio(metrics.sharpe_high)
        interval = f" ({metrics.level:.0%} interval {low} to {high})"
    return (
        f"Over {metrics.n_bars:,} bars and {metrics.n_articles:,} articles the strategy made "
        f"{formats.percent(metrics.total_return)} after costs: a Sharpe ratio of {formats.ratio(metrics.sharpe)} "
        f"a year{interval}."
    )


def _reach(metrics: Metrics) -> str:
    """Tell an absent edge from a short sample."""
    smallest = metrics.detectable_sharpe
    if smallest is None:
        return ""
    return f" A sample like this one shows a true Sharpe ratio of {formats.ratio(smallest)} or more in 80 % of cases."


def _failures(metrics: Metrics, significance: float) -> list[str]:
    if metrics.sharpe is None:
        unheard = (
            "articles whose confidence lay below signal.threshold are counted under “What was left out” (abstained)"
        )
        return [unheard, "a lower one is chosen on the validation part alone (embargo sweep)"]
    failures = []
    adjusted = metrics.adjusted_p_value
    if adjusted is None:
        failures.append(f"{metrics.n_bars:,} bars like these say too little to tell its Sharpe ratio from chance")
    elif adjusted > significance:
        tried = metrics.n_trials + metrics.trials_elsewhere
        picked = "" if tried == 1 else f", allowing for {tried} attempts,"
        failures.append(
            f"worthless news would show a Sharpe ratio this high{picked} with p = {formats.probability(adjusted)}, "
            "one-sided"
        )
    if metrics.permutation_p_value > significance:
        failures.append(
            "news shuffled against the dates does as well with "
            f"p = {formats.probability(metrics.permutation_p_value)}, one-sided"
        )
    return failures
