"""What became of a run and of its checks: the words, and the marks that stand beside them without colour.

A run is ``valid``, ``caution`` or ``invalid``; a check of the leakage audit has a verdict of its own. Order is from the
one to worry about most.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from embargo.backtest.leakage.findings import AuditVerdict

Status = Literal["valid", "caution", "invalid"]

STATUS_WORDS: dict[Status, str] = {"invalid": "Invalid", "caution": "Caution", "valid": "Valid"}
STATUS_ICONS: dict[Status, str] = {"invalid": "×", "caution": "!", "valid": "✓"}
STATUSES: tuple[Status, ...] = tuple(STATUS_WORDS)

VERDICT_WORDS: dict[AuditVerdict, str] = {
    "leak": "Leak",
    "suspicious": "Suspicious",
    "inconclusive": "Inconclusive",
    "pass": "Pass",
    "not-applicable": "Not applicable",
}
VERDICT_ICONS: dict[AuditVerdict, str] = {
    "leak": "×",
    "suspicious": "!",
    "inconclusive": "?",
    "pass": "✓",
    "not-applicable": "–",
}
VERDICTS: tuple[AuditVerdict, ...] = tuple(VERDICT_WORDS)


def status_of(word: str) -> Status:
    """Read a status that a file holds; what is not known is ``caution``."""
    return next((status for status in STATUSES if status == word), "caution")


def worst_status(words: Iterable[str]) -> Status:
    """Return the status of several runs together: that of the worst of them, ``caution`` of none."""
    return min((status_of(word) for word in words), key=STATUSES.index, default="caution")
