"""A student's lead over its teacher is explained where the table shows one, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from embargo.research.config.adapt import AdaptSection
from embargo.research.studies.adapt import Adaptation, Advice, Apart, Pair, Row
from embargo.research.studies.adapt.students import student_lines

TEACHER = {"kind": "transformer", "base": "tiny"}


def study(lead: float, p_holm: float, taught_by: dict[str, str]) -> Adaptation:
    readers = {"tiny": TEACHER, "student": {"kind": "distilled", "distill": {"teacher": taught_by}}}
    figures = {"adapt": AdaptSection().model_dump(), "settings": {"readers": readers}, "significance": 0.05}
    rows = [Row("tiny", "transformer", macro_f1=0.7), Row("student", "distilled", macro_f1=0.7 + lead)]
    apart = Apart(-lead, -lead - 0.04, -lead + 0.04, p_holm / 6, p_holm)
    pair = Pair("tiny", "student", apart, apart, apart, apart)
    return Adaptation(Path("runs/mine"), rows, [pair], Advice(None, None, (), (), "", ()), figures)


def test_a_lead_that_stands_is_explained_with_its_figures() -> None:
    (line,) = student_lines(study(0.056, 0.012, TEACHER))
    assert "macro-F1 0.756 against 0.700, a difference of 0.056, p (Holm), two-sided 0.012" in line
    assert "every text known before the training ended, with a label or not" in line


@pytest.mark.parametrize(
    ("lead", "p_holm", "taught_by"),
    [(-0.056, 0.012, TEACHER), (0.056, 0.2, TEACHER), (0.056, 0.012, TEACHER | {"base": "other"})],
    ids=["behind", "not shown", "taught by a reader that is not in the table"],
)
def test_nothing_is_said_where_there_is_nothing_to_explain(
    lead: float, p_holm: float, taught_by: dict[str, str]
) -> None:
    assert student_lines(study(lead, p_holm, taught_by)) == []
