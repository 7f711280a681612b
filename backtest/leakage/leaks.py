"""Every known way to see the future, by its code, and what is said of a check that looks for one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from embargo.backtest.leakage.findings import AuditVerdict

LEAKS: Mapping[str, str] = MappingProxyType(
    {
        "T1": "A bar is traded on what was read from it",
        "T2": "Bars stamped at their open count as known then",
        "T3": "The newest bar was not complete, or was revised",
        "T4": "The clock of the news is wrong or has no zone",
        "T5": "News after the close, or dated by day alone, moves the same day",
        "T6": "Half days, holidays and changes of the clock are missing from the calendar",
        "T7": "A fill uses what the bar became later",
        "T8": "Funding or borrow fees are known before they settle",
        "T9": "Positions are closed because the data are about to end",
        "T10": "The time that reading takes is left out",
        "D1": "An article was edited later and keeps its first date",
        "D2": "History was filled in, or scored, years later",
        "D3": "Macro and company figures are dated by their period, or revised",
        "D4": "Articles without a date are used",
        "D5": "Copies of an article lie on both sides of a split",
        "D6": "The universe is that of today",
        "D7": "Prices are adjusted for what had not happened yet",
        "D8": "Gaps are filled from later rows",
        "D9": "A cache answers for another question",
        "D10": "What is read depends on the day of the run",
        "S1": "Labels reach over the boundary of a split",
        "S2": "Purging takes from the wrong side",
        "S3": "No embargo follows a boundary",
        "S4": "A scale, vocabulary or threshold is fitted on all dates",
        "S5": "The split does not follow time",
        "S6": "Examples in a prompt come from the test",
        "S7": "A feature is made from the target",
        "S8": "Regimes look ahead",
        "S9": "The text tells the move that it is held against",
        "M1": "The base model was trained on the test period",
        "M2": "The model knows more than its stated cutoff",
        "M3": "The model recalls outcomes",
        "M4": "The model was trained on these very headlines",
        "M5": "Names lead or mislead the model",
        "M6": "A masked company can still be recognised",
        "M7": "The model is told another date and knows better",
        "M8": "The answer does not depend on the evidence",
        "M9": "Skill ends where the training data do",
        "M10": "The model's reasons name later facts",
        "M11": "The fitted model learned from the test",
        "M12": "Calibration or thresholds were fitted on the test",
        "M13": "The model changed silently",
        "M14": "A remedy against memory does not work",
        "R1": "The search index holds later documents",
        "R2": "The memory holds outcomes before they are known",
        "R3": "One item tells about another in the same batch",
        "R4": "The prompt carries today's knowledge",
        "R5": "News give orders to the model",
        "P1": "Settings were chosen on the test",
        "P2": "Attempts were not counted",
        "P3": "Overlapping returns count as independent",
        "P4": "Regimes or days were chosen afterwards",
        "P5": "The market's rise counts as skill",
        "P6": "Nothing was held against chance",
        "P7": "Trading costs nothing",
    }
)


@dataclass(frozen=True)
class LeakCheck:
    """What a check promises.

    Attributes
    ----------
    code : str
        Of the leak it looks for, one of `LEAKS`.
    title : str
        What ought to hold.
    catches, silent_on : str
        What it finds, and what it leaves alone on purpose.
    cost : str
        What its time grows with.
    severity : AuditVerdict
        Gravest verdict that it gives: ``"leak"`` where it proves, ``"suspicious"`` where it raises a doubt.
    remedy : str
        What to do about a finding.
    asked_by : str
        Every run, or the command that asks.

    Examples
    --------
    >>> from embargo.backtest.leakage import CHECKS
    >>> CHECKS["check_latency"].title
    'A model needs time to read'
    """

    code: str
    title: str
    catches: str
    silent_on: str
    cost: str
    severity: AuditVerdict
    remedy: str
    asked_by: str = "every run"

    def __post_init__(self) -> None:
        if self.code not in LEAKS:
            raise ValueError(f"check {self.title!r}: {self.code!r} is no code of the catalogue. Add it to LEAKS.")


# By the name of the function in the door of the package.
