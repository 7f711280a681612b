"""A finished study of readers, and the document that it is written as."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from embargo.research.studies.adapt.recommend import Advice
from embargo.research.studies.adapt.rows import Pair, Row


@dataclass(frozen=True, eq=False)
class Adaptation:
    """A finished study of readers.

    Attributes
    ----------
    folder : Path
        Holds ``adapt.json, report.html, judged.parquet`` and, where there are prices, ``returns.parquet``; complete.
    rows : list of Row
        One per reader, in the order of the study.
    pairs : list of Pair
        Every two of those that were carried out.
    advice : Advice
    figures : dict
        JSON-able: what was tested on, prices of computing, cost at volumes, break-even points, settings.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.research.studies.adapt import Adaptation, Advice, Row
    >>> advice = Advice(None, None, (), (), "No reader can be recommended.", ())
    >>> found = Adaptation(Path("runs/mine-adapt-1a2b3c4d"), [Row("line", "linear")], [], advice, {})
    >>> found.rows[0].name
    'line'
    """

    folder: Path
    rows: list[Row]
    pairs: list[Pair]
    advice: Advice
    figures: dict[str, Any]


def as_document(found: Adaptation) -> dict[str, Any]:
    """Return every figure of a study as a JSON-able dictionary.

    Parameters
    ----------
    found : Adaptation

    Returns
    -------
    dict
        The study's ``figures``, and ``rows, pairs`` and ``advice``.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.research.studies.adapt import Adaptation, Advice, Row, as_document
    >>> advice = Advice(None, None, (), (), "No reader can be recommended.", ())
    >>> found = Adaptation(Path("runs/mine"), [Row("line", "linear")], [], advice, {"n": 12})
    >>> as_document(found)["n"], as_document(found)["rows"][0]["kind"]
    (12, 'linear')
    """
    return found.figures | {
        "rows": [asdict(row) for row in found.rows],
        "pairs": [asdict(pair) for pair in found.pairs],
        "advice": asdict(found.advice),
    }
