"""Why a student may read better than its teacher, told where the table of a study shows that it does."""

from __future__ import annotations

from typing import Any

from embargo.research.pages import formats
from embargo.research.studies.adapt.adaptation import Adaptation
from embargo.research.studies.adapt.rows import MEASURES


def student_lines(found: Adaptation) -> list[str]:
    """Say of each student that is shown to read better than its teacher why that may be.

    A teacher is a reader of the study whose settings are those that the student was taught with. Nothing is said of a
    student whose lead does not stand after Holm's correction.

    Parameters
    ----------
    found : Adaptation

    Returns
    -------
    list of str
        One sentence or two for each; empty where no student leads.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.research.config.adapt import AdaptSection
    >>> from embargo.research.studies.adapt import Adaptation, Advice, Apart, Pair, Row
    >>> readers = {"tiny": {"kind": "transformer"}}
    >>> readers["student"] = {"kind": "distilled", "distill": {"teacher": {"kind": "transformer"}, "student": "linear"}}
    >>> figures = {"adapt": AdaptSection().model_dump(), "settings": {"readers": readers}, "significance": 0.05}
    >>> rows = [Row("tiny", "transformer", macro_f1=0.70), Row("student", "distilled", macro_f1=0.75)]
    >>> apart = Apart(-0.05, -0.08, -0.02, 0.001, 0.012)
    >>> advice = Advice(None, None, (), (), "No reader can be recommended.", ())
    >>> pair = Pair("tiny", "student", apart, apart, apart, apart)
    >>> print(*student_lines(Adaptation(Path("runs/mine"), rows, [pair], advice, figures)))  # doctest: +ELLIPSIS
    student reads better than tiny, which taught it (macro-F1 0.750 against 0.700, a difference of 0.050, ...
    """
    readers = found.figures["settings"].get("readers", {})
    measure, level = found.figures["adapt"]["judge_by"], found.figures["significance"]
    told = []
    for row in found.rows:
        taught = _taught(readers.get(row.name, {}))
        if taught is None or not row.ran:
            continue
        teacher = next((other for other in found.rows if other.ran and readers.get(other.name) == taught), None)
        pair = next((one for one in found.pairs if teacher and {one.a, one.b} == {row.name, teacher.name}), None)
        if teacher is None or pair is None:
            continue
        apart = pair.of(row.name, measure)
        if apart.difference is None or apart.difference <= 0.0 or not apart.stands(level):
            continue
        mine, theirs = (formats.coefficient(one.quality(measure)[0]) for one in (row, teacher))
        form = ""
        if readers[row.name]["distill"].get("student", "linear") == "linear":
            form = ", and what is fitted to them is a simpler form of reader, with less to fit to chance"
        told.append(
            f"{row.name} reads better than {teacher.name}, which taught it ({MEASURES[measure]} {mine} against "
            f"{theirs}, a difference of {formats.coefficient(apart.difference)}, p (Holm), two-sided "
            f"{formats.probability(apart.p_value_holm)}). That may be: it learns its teacher's calibrated "
            "probabilities, not hard labels, on every text known before the training ended, with a label or not, so "
            f"that it is held steady by more texts than its teacher was tuned on{form}."
        )
    return told


def _taught(section: dict[str, Any]) -> dict[str, Any] | None:
    """Return the settings of a student's teacher, as those of a reader are written; None for other readers."""
    told = section.get("distill")
    return None if told is None else dict(told["teacher"])
