"""A study of readers as Markdown, for documents that live beside code."""

from __future__ import annotations

from collections.abc import Sequence

from embargo.research.pages.formats import MISSING
from embargo.research.studies.adapt.adaptation import Adaptation
from embargo.research.studies.adapt.rows import MEASURES
from embargo.research.studies.adapt.tables import (
    COST_HEADS,
    apart_cells,
    break_even_lines,
    cost_cells,
    failures,
    how_tested,
    priced_at,
    quality_cells,
    quality_heads,
    ran,
    volume_cells,
    volume_heads,
    what_was_tested,
)


def markdown(found: Adaptation, *, title: str) -> str:
    """Write a study as Markdown.

    Parameters
    ----------
    found : Adaptation
    title : str
        Of its section, a heading of the second level.

    Returns
    -------
    str

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.research.config.adapt import AdaptSection
    >>> from embargo.research.studies.adapt import Adaptation, Advice, Row, markdown
    >>> figures = {"level": 0.95, "significance": 0.05, "resamples": 2000, "family": 0, "n": 40, "traded": False}
    >>> figures |= {"adapt": AdaptSection().model_dump(), "break_evens": []}
    >>> row = Row("line", "linear", n=40, accuracy=0.6, macro_f1=0.5, ece=0.1, trust="before")
    >>> advice = Advice(None, None, (), (), "No reader can be recommended.", ())
    >>> text = markdown(Adaptation(Path("runs/mine"), [row], [], advice, figures), title="Mine")
    >>> text.splitlines()[0], "| line | 60.0% |" in text
    ('## Mine', True)
    """
    done = ran(found)
    parts = [
        f"## {title}",
        what_was_tested(found),
        f"**{found.advice.headline}**",
        "\n".join(f"- {line}" for line in found.advice.lines),
        _table(["reader", *quality_heads(found)], [[row.name, *quality_cells(found, row)] for row in done]),
        _table(
            ["reader", *COST_HEADS, *volume_heads()],
            [[row.name, *cost_cells(found, row), *volume_cells(found, row)] for row in done],
        ),
        priced_at(found),
        "\n".join(f"- {line}" for line in break_even_lines(found)),
        *(f"{row.name} could not be carried out: {row.failed}" for row in failures(found)),
    ]
    if found.pairs:
        measure = found.figures["adapt"]["judge_by"]
        names = [
            (measure, MEASURES[measure]),
            ("log_loss", "log loss"),
            *([("sharpe", "Sharpe ratio")] if found.figures["traded"] else []),
        ]
        for name, words in names:
            heads = ["first", "second", f"{words}: difference", "interval", "p, two-sided", "p (Holm), two-sided"]
            told = {(pair.a, pair.b): pair.of(pair.a, name) for pair in found.pairs}
            tested = {names: apart for names, apart in told.items() if apart.p_value is not None}
            rows = [[*names, *apart_cells(apart, sharpe=name == "sharpe")] for names, apart in tested.items()]
            parts.append(_table(heads, rows))
            if left := len(told) - len(tested):
                parts.append(
                    f"Not tested: {left} of {len(told)} pairs, of which one never traded or both are the same."
                )
    return "\n\n".join(part for part in [*parts, how_tested(found)] if part) + "\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") or MISSING for cell in line) + " |" for line in lines)
