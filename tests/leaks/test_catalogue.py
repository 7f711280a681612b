"""The catalogue is whole: every check is in it, every known leak is either looked for or told not to be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from embargo.backtest import leakage
from embargo.backtest.leakage import CHECKS, LEAKS, NOT_TESTED, ON_REQUEST, LeakCheck, memory, not_tested
from embargo.backtest.leakage.catalogue import reference
from embargo.research.run.pipeline import Outcome

PAGE = Path(__file__).parents[2] / "docs" / "leaks.md"


def test_every_check_of_the_door_is_registered_and_no_other() -> None:
    assert {name for name in leakage.__all__ if name.startswith("check_")} == set(CHECKS)


def test_every_probe_of_memory_is_asked_by_a_run_or_on_request() -> None:
    probes = {name for name in memory.__all__ if name.startswith("check_")}
    assert probes <= set(CHECKS) | set(ON_REQUEST)
    assert not set(CHECKS) & set(ON_REQUEST)
    for name, check in ON_REQUEST.items():
        assert check.asked_by in ("embargo audit --deep", "embargo audit --probe")
        assert "(" + check.code in (getattr(memory, name).__doc__ or ""), name
        assert check.code not in NOT_TESTED or check.asked_by in NOT_TESTED[check.code]


def test_every_leak_is_looked_for_or_said_not_to_be() -> None:
    looked_for = {check.code for check in CHECKS.values()}
    assert looked_for | set(NOT_TESTED) == set(LEAKS)
    assert looked_for & set(NOT_TESTED) == set()
    assert [code for code, _, _ in not_tested(looked_for)] == [code for code in LEAKS if code in NOT_TESTED]


def test_a_run_asks_its_reader_again(small_run: Outcome) -> None:
    [finding] = [each for each in small_run.findings if each.title == CHECKS["check_rereading"].title]
    assert (finding.code, finding.verdict, finding.effect) == ("D9", "pass", 0.0)


def test_a_check_of_an_unknown_leak_is_refused() -> None:
    with pytest.raises(ValueError, match="X1"):
        LeakCheck("X1", "title", "a", "b", "c", "leak", "d")


@pytest.mark.parametrize("name", [*CHECKS, *ON_REQUEST])
def test_every_promise_is_filled_in(name: str) -> None:
    check = (CHECKS | ON_REQUEST)[name]
    assert all(vars(check).values())
    assert check.severity in ("leak", "suspicious")


def test_every_check_says_in_its_help_which_leak_it_looks_for() -> None:
    for name, check in CHECKS.items():
        assert f"({check.code})" in (getattr(leakage, name).__doc__ or ""), name


def test_a_run_asks_every_check_and_its_findings_carry_the_titles(small_run: Outcome) -> None:
    asked = {(finding.code, finding.title) for finding in small_run.findings}
    assert asked == {(check.code, check.title) for check in CHECKS.values()}


def test_the_report_lists_what_was_not_tested(small_run: Outcome) -> None:
    page = (small_run.folder / "report.html").read_text(encoding="utf-8")
    table = page[page.index("Leaks that were not tested") :]
    assert re.findall(r'<span class="code">(\w+)</span>', table[: table.index("</table>")]) == [
        code for code in LEAKS if code in NOT_TESTED
    ]


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "python -m embargo.backtest.leakage.catalogue > docs/leaks.md"
    )
