"""What a probe answers: a verdict, one effect with its interval, the figures behind it, rows to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from embargo.backtest.leakage.findings import AuditVerdict, Finding

# Standard errors beyond which a difference is doubted; docs/memory_probes.md has the rates of false alarms.
DOUBT = 3.5
# Fewer days than this on either side of a comparison have no standard error worth the name.
FEWEST_DAYS = 40


@dataclass(frozen=True)
class ProbeResult:
    """The answer of one probe of a reader's memory, or of texts.

    Attributes
    ----------
    code : str
        Of the leak it looks for, such as ``"M3"``.
    verdict : AuditVerdict
    title : str
        What was asked, in a few words.
    detail : str
        What was found, in plain words with numbers.
    effect : float or None
        In ``unit``.
    interval : (float, float) or None
        Of the effect, at the level that was asked for.
    unit : str
    figures : mapping of str to float
        Everything else that was measured, by name; NaN where it has no value.
    evidence : list of dict
        Rows to look at, JSON-able.
    remedy : str
        Empty where nothing need be done.

    Examples
    --------
    >>> from embargo.backtest.leakage.memory import ProbeResult
    >>> ProbeResult("M3", "pass", "Nothing is recalled", "40 queries.", 0.01, (-0.02, 0.04), "correlation").effect
    0.01
    """

    code: str
    verdict: AuditVerdict
    title: str
    detail: str
    effect: float | None = None
    interval: tuple[float, float] | None = None
    unit: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    evidence: list[dict[str, Any]] = field(default_factory=list)
    remedy: str = ""

    def finding(self) -> Finding:
        """Return the answer as the audit reports it."""
        return Finding(
            self.code,
            self.verdict,
            self.title,
            self.detail,
            self.evidence,
            self.effect,
            self.unit,
            self.remedy,
            interval=self.interval,
        )
