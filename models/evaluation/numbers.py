"""Numbers in texts, read as what they state: which a text keeps, which it loses and which it invents.

Two spellings of one quantity are the same number (``1,234.5`` and ``1234.50``, ``3.2bn`` and ``3,200 million``,
``5 %`` and ``5 percent``), and two quantities are not, however alike they look (``5`` and ``5 %``, ``3.2`` and
``3.2bn``, ``5`` and ``-5``). Currencies are not compared: whether ``$3`` became ``€3`` is not told here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

NumberUnit = Literal["", "%"]

_SCALES = {
    **dict.fromkeys(("k", "thousand"), 3),
    **dict.fromkeys(("m", "mn", "mln", "million", "millions"), 6),
    **dict.fromkeys(("b", "bn", "bln", "billion", "billions"), 9),
    **dict.fromkeys(("tn", "trn", "trillion", "trillions"), 12),
}
# A single letter is a scale only right behind the figure, for in "3 m" it may be metres or months; a capital one only
# behind money, for "3M" is a company.
_SCALE = r"(?:\s?(?:thousand|mln|mn|millions?|bln|bn|billions?|trn|tn|trillions?)|(?(currency)[kmb]|(?-i:[kmb])))"
_CURRENCY = r"[$€£¥]|(?-i:EUR|USD|GBP|JPY|CHF|CNY|SEK|NOK|DKK)\s?"
_PERCENT = r"(?:\s?%|\s?per\s?cent\b|\s?pct\b|\s?percentage points?\b|\s?pp\b)"
_BASIS = r"(?:\s?basis points?\b|\s?bps?\b)"
# Groups of three may be parted by a comma, an apostrophe or a space that does not break; a plain space parts numbers.
_FIGURE = r"\d{1,3}(?:[,'’\u00a0\u2009\u202f]\d{3})+(?:\.\d+)?|\d{1,3}(?:\.\d{3})+,\d+|\d+(?:[.,]\d+)?|\.\d+"
_NUMBER = re.compile(
    rf"(?<![\w.,%])(?P<sign>[-−+])?(?P<currency>{_CURRENCY})?(?P<inner>[-−+])?(?P<figure>{_FIGURE})"
    rf"(?:(?P<scale>{_SCALE})(?![A-Za-z]))?(?:(?P<percent>{_PERCENT})|(?P<basis>{_BASIS}))?(?!\w)(?![.,]\d)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Quantity:
    """A number as a text states it.

    Attributes
    ----------
    value : Decimal
        With its scale multiplied in; basis points as percent.
    unit : {"", "%"}
    start, end : int
        Where it stands in the text.

    Examples
    --------
    >>> from decimal import Decimal
    >>> from embargo.models.evaluation import Quantity
    >>> Quantity(Decimal("5.4"), "%", 10, 15).unit
    '%'
    """

    value: Decimal
    unit: NumberUnit
    start: int
    end: int

    @property
    def stated(self) -> tuple[Decimal, NumberUnit]:
        """What is compared: value and unit."""
        return self.value, self.unit


def quantities(text: str) -> list[Quantity]:
    """Return the numbers that a text states in digits, in their order.

    A comma before three digits parts thousands, any other one is a decimal sign; a point is a decimal sign unless a
    comma with decimals follows. Digits inside a word (``Q3``, ``A320``, ``3M``) are a name and no number; a hyphen
    between words or numbers is no minus. Numbers in words are not read.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of Quantity

    Examples
    --------
    >>> from embargo.models.evaluation import quantities
    >>> [f"{one.value:f}{one.unit}" for one in quantities("Q3 sales rose 5.4 percent to EUR 1,234.5mn, or 50 bps.")]
    ['5.4%', '1234500000', '0.5%']
    """
    found = []
    for match in _NUMBER.finditer(text):
        value = Decimal(_plain(match["figure"]))
        if match["scale"]:
            value = value.scaleb(_SCALES[match["scale"].strip().lower()])
        if match["basis"]:
            value = value.scaleb(-2)
        if {match["sign"], match["inner"]} & {"-", "−"}:
            value = -value
        unit: NumberUnit = "%" if match["percent"] or match["basis"] else ""
        found.append(Quantity(value.normalize(), unit, match.start(), match.end()))
    return found


def _plain(figure: str) -> str:
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d+", figure):
        return figure.replace(".", "").replace(",", ".")
    grouped = re.sub(r"[,'’\u00a0\u2009\u202f](?=\d{3}(?!\d))", "", figure)
    return grouped.replace(",", ".")


@dataclass(frozen=True)
class NumberAccuracy:
    """How the numbers of an output agree with those of its source and its reference.

    Attributes
    ----------
    kept : float or None
        Share of the source's distinct numbers that the output states; None where the source has none.
    recalled : float or None
        Share of the reference's distinct numbers that the output states; None where the reference has none.
    invented : float or None
        Share of the output's distinct numbers that the source does not state; None where the output has none.
    n_invented : int

    Examples
    --------
    >>> from embargo.models.evaluation import NumberAccuracy
    >>> NumberAccuracy(kept=0.5, recalled=None, invented=0.0, n_invented=0).kept
    0.5
    """

    kept: float | None
    recalled: float | None
    invented: float | None
    n_invented: int


def number_accuracy(output: str, source: str, reference: str = "") -> NumberAccuracy:
    """Hold the numbers of an output against those of the text it was made from and of the answer that was expected.

    Parameters
    ----------
    output, source, reference : str

    Returns
    -------
    NumberAccuracy

    Examples
    --------
    >>> from embargo.models.evaluation import number_accuracy
    >>> found = number_accuracy("Sales rose 7 % to 1,200.", "Sales rose 5 % to 1200 from 1100.", "1200")
    >>> round(found.kept, 2), found.recalled, found.invented
    (0.33, 1.0, 0.5)
    """
    told, known, wanted = ({one.stated for one in quantities(text)} for text in (output, source, reference))
    invented = told - known
    return NumberAccuracy(
        kept=_share(told & known, known),
        recalled=_share(told & wanted, wanted),
        invented=_share(invented, told),
        n_invented=len(invented),
    )


def _share(part: set[tuple[Decimal, NumberUnit]], whole: set[tuple[Decimal, NumberUnit]]) -> float | None:
    return len(part) / len(whole) if whole else None
