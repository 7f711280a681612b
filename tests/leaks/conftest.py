"""Whatever a check reports in these tests keeps what a finding promises to whoever reads it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from embargo.backtest.leakage import CHECKS, GRAVITY, LEAKS, Finding
from embargo.backtest.leakage.memory import ProbeResult

CODES = {check.title: check.code for check in CHECKS.values()}
SEVERITIES = {check.title: check.severity for check in CHECKS.values()}
# These tell by what moved, and from where, which leak it is: their question has one code, their answers have many.
TELL_WHICH = (
    "embargo.backtest.leakage.protocol",
    "embargo.backtest.leakage.rereading",
    "embargo.backtest.leakage.settled",
    "embargo.research.run.perturbation",
)


@pytest.fixture(autouse=True)
def _findings_keep_their_promise(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hold every finding that a check makes against its entry in the catalogue and against what its fields mean."""
    made: list[tuple[str, Finding | ProbeResult]] = []
    proper = Finding.__post_init__

    def watched(self: Finding) -> None:
        proper(self)
        made.append((str(sys._getframe(2).f_globals["__name__"]), self))

    monkeypatch.setattr(Finding, "__post_init__", watched)
    yield
    for maker, finding in made:
        if maker in TELL_WHICH or (maker.startswith("embargo.backtest.leakage.") and ".memory" not in maker):
            assert finding.title in CODES, finding
            assert finding.code == CODES[finding.title] or (maker in TELL_WHICH and finding.code in LEAKS), finding
            assert finding.verdict not in GRAVITY[: GRAVITY.index(SEVERITIES[finding.title])], finding
            sound(finding)


def sound(finding: Finding | ProbeResult) -> None:
    """Hold the fields of a finding against each other."""
    doubted = finding.verdict in ("leak", "suspicious")
    assert isinstance(finding.detail, str), finding
    assert finding.detail.strip(), finding
    assert isinstance(finding.remedy, str), finding
    assert finding.remedy or not doubted, finding
    assert not (finding.remedy and finding.verdict in ("pass", "not-applicable")), finding
    assert isinstance(finding.unit, str), finding
    assert finding.unit or finding.effect is None, finding
    if finding.interval is not None and finding.effect is not None:
        assert finding.interval[0] <= finding.effect <= finding.interval[1], finding
    assert all(isinstance(row, dict) and row for row in finding.evidence), finding
    json.dumps(finding.evidence, allow_nan=False)
