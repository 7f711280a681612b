"""How the numbers of bars are written: with which decimal sign, and whether thousands are parted.

One cell may settle it: ``1.234,50`` can be read one way only. ``1,234`` alone cannot, and is left open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from embargo.data_loaders.archive.numerals import FIRST_GROUP
from embargo.research.proposing.columns import texts_of
from embargo.research.proposing.lines import Setting

_SPACES = "[ \u00a0\u202f]"
# What a cell looks like, and what follows from it alone: the decimal sign, and the sign between thousands.
_LOOKS = (
    (rf"{FIRST_GROUP}(?:\.\d{{3}})+,\d+", ",", "."),
    (rf"{FIRST_GROUP}(?:,\d{{3}})+\.\d+", ".", ","),
    (rf"{FIRST_GROUP}(?:\.\d{{3}}){{2,}}", ",", "."),
    (rf"{FIRST_GROUP}(?:,\d{{3}}){{2,}}", ".", ","),
    (rf"{FIRST_GROUP}(?:{_SPACES}\d{{3}})+,\d+", ",", " "),
    (rf"{FIRST_GROUP}(?:{_SPACES}\d{{3}})+\.\d+", ".", " "),
    (rf"{FIRST_GROUP}(?:{_SPACES}\d{{3}})+", None, " "),
    (rf"{FIRST_GROUP}(?:['\u2019]\d{{3}})+,\d+", ",", "'"),
    (rf"{FIRST_GROUP}(?:['\u2019]\d{{3}})+\.\d+", ".", "'"),
    (rf"{FIRST_GROUP}(?:['\u2019]\d{{3}})+", None, "'"),
    (rf"(?!{FIRST_GROUP},\d{{3}}$)\d*,\d+", ",", None),
    (rf"(?!{FIRST_GROUP}\.\d{{3}}$)\d*\.\d+", ".", None),
)
# Three figures behind one sign: thousands, or three decimals.
_EITHER = {",": rf"{FIRST_GROUP},\d{{3}}", ".": rf"{FIRST_GROUP}\.\d{{3}}"}


@dataclass(frozen=True)
class _Cell:
    column: str
    text: str

    def __str__(self) -> str:
        return f"{self.text!r} in {self.column!r}"


def number_settings(frame: pd.DataFrame, columns: Sequence[str]) -> list[Setting]:
    """Tell how numbers are written; nothing where they are plain.

    Parameters
    ----------
    frame : DataFrame
        Cells as they stand.
    columns : sequence of str
        Those of prices and volume.

    Returns
    -------
    list of Setting
        ``decimal`` and ``thousands``, each with the cell it rests on; open where no cell decides, and an open ``path``
        where cells contradict one another.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.research.proposing.numbers import number_settings
    >>> frame = pd.DataFrame({"close": ["1.234,50", "998,00"], "volume": ["1.200", "900"]}, dtype="str")
    >>> [(one.key, one.value, one.standing) for one in number_settings(frame, ["close", "volume"])]
    [('decimal', ',', 'confirm'), ('thousands', '.', 'confirm')]
    """
    decimals, groups, either = _told(frame, columns)
    if len(decimals) > 1:
        note = f"{decimals[',']} has a decimal comma, and {decimals['.']} a point. A file has one sign: write it again."
        return [Setting("path", None, (note,), "open")]
    if not decimals:
        return _undecided(groups, either)
    decimal, cell = next(iter(decimals.items()))
    other = "," if decimal == "." else "."
    if other in either:
        # Whatever is no decimal sign and has three figures behind it parts thousands.
        groups.setdefault(other, either[other])
    settings = []
    if decimal == ",":
        note = f"{cell} can be read with a decimal comma alone."
        settings.append(Setting("decimal", ",", (note,), "confirm"))
    return settings + _parted(groups)


def _told(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[dict[str, _Cell], dict[str, _Cell], dict[str, _Cell]]:
    """Return the first cell that shows each decimal sign, each sign between thousands, and each that may be either."""
    decimals: dict[str, _Cell] = {}
    groups: dict[str, _Cell] = {}
    either: dict[str, _Cell] = {}
    for column in columns:
        if not pd.api.types.is_string_dtype(frame[column].dtype):
            continue
        text = pd.Series(texts_of(frame[column]).str.lstrip("+-").unique(), dtype="str")
        for look, decimal, group in _LOOKS:
            if (cell := _first(text, look, column)) is None:
                continue
            if decimal is not None:
                decimals.setdefault(decimal, cell)
            if group is not None:
                groups.setdefault(group, cell)
        for sign, look in _EITHER.items():
            if (cell := _first(text, look, column)) is not None:
                either.setdefault(sign, cell)
    return decimals, groups, either


def _undecided(groups: dict[str, _Cell], either: dict[str, _Cell]) -> list[Setting]:
    """Ask for what no cell decides."""
    if "," in either and "." in either:
        note = f"{either[',']} and {either['.']}: no cell shows which sign is that of decimals. Ask the source."
        two = "The other one then parts thousands."
        return [
            Setting("decimal", ",", (note, two), "open"),
            Setting("thousands", ".", ("with a decimal comma; with a decimal point it is ','.",), "open"),
        ]
    if "," in either:
        note = f"{either[',']} is a thousand and more, or has three decimals: its source knows. Take one of two lines."
        return [
            Setting("decimal", ",", (note,), "open"),
            Setting("thousands", ",", ("where the comma parts thousands.",), "open"),
        ]
    settings = _parted(groups)
    if "." in either:
        note = (
            f"{either['.']} is read with three decimals, as a point is where nothing else is said. If it is a thousand "
            "and more, set decimal = ',' and thousands = '.'."
        )
        settings.insert(0, Setting("decimal", ".", (note,), "confirm"))
    return settings


def _parted(groups: dict[str, _Cell]) -> list[Setting]:
    if len(groups) > 1:
        note = f"{' and '.join(map(str, groups.values()))} part thousands in more than one way. Write the file again."
        return [Setting("path", None, (note,), "open")]
    return [
        Setting("thousands", sign, (f"{cell} has {sign!r} between groups of three figures.",), "confirm")
        for sign, cell in groups.items()
    ]


def _first(text: pd.Series, look: str, column: str) -> _Cell | None:
    fits = text.str.fullmatch(look).astype(bool)
    return _Cell(column, str(text.loc[fits].iloc[0])) if fits.any() else None
