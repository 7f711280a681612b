"""What a probe answers: a verdict, one effect with its interval, the figures behind it, rows to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True)
class Probe:
    """What a probe asks; its answers differ in what was found alone.

    Attributes
    ----------
    code, title, unit : str
        As of `ProbeResult`.
    remedy : str
        What to do where it doubts.
    lead : str
        What the effect is called where a pass says how large it would have had to be.

    Examples
    --------
    >>> from embargo.backtest.leakage.memory.result import Probe
    >>> asked = Probe("M3", "Nothing is recalled", "correlation", "Trust later days alone.", "A correlation")
    >>> asked.answer("pass", "40 queries.", 0.01, None, {"detectable": 0.25}).detail
    '40 queries. A correlation of 0.250 would be doubted.'
    >>> asked.answer("leak", "40 queries.", 0.9, None, {"detectable": 0.25}).remedy
    'Trust later days alone.'
    >>> asked.unproven("2 queries.").verdict, asked.unasked("No query.").verdict
    ('inconclusive', 'not-applicable')
    """

    code: str
    title: str
    unit: str = ""
    remedy: str = ""
    lead: str = ""

    def answer(
        self,
        verdict: AuditVerdict,
        said: str,
        effect: float | None,
        interval: tuple[float, float] | None,
        figures: Mapping[str, float],
        evidence: Sequence[dict[str, Any]] = (),
    ) -> ProbeResult:
        """Return what was found; a pass needs no remedy, but says what would be doubted."""
        passed = verdict == "pass"
        if passed and self.lead and figures.get("detectable", 0.0) > 0.0:
            said += f" {self.lead} of {figures['detectable']:.3f} would be doubted."
        remedy = "" if passed else self.remedy
        return ProbeResult(
            self.code, verdict, self.title, said, effect, interval, self.unit, figures, list(evidence), remedy
        )

    def unproven(self, said: str, figures: Mapping[str, float] | None = None, remedy: str = "") -> ProbeResult:
        """Say why nothing is proven."""
        return ProbeResult(
            self.code, "inconclusive", self.title, said, unit=self.unit, figures=figures or {}, remedy=remedy
        )

    def unasked(self, said: str, figures: Mapping[str, float] | None = None) -> ProbeResult:
        """Say why there was nothing to ask."""
        return ProbeResult(self.code, "not-applicable", self.title, said, unit=self.unit, figures=figures or {})
