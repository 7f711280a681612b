"""Numbers as texts write them: with a decimal comma, or in groups of three, where a dialect says so.

``1.234`` is a thousand to one source and a little over one to another, so that neither sign is ever guessed. What is
not written as said is no number, and the error says which setting would read it.
"""

from __future__ import annotations

import re

import pandas as pd

from embargo.data_loaders.archive.dialect import Dialect

# Nobody writes 0,123 for 123: a nought before the sign says that it is the decimal one.
FIRST_GROUP = r"[1-9]\d{0,2}"
# A space between groups is often one that no line is broken at, and an apostrophe a typographic one.
_GROUP_SIGNS = {" ": "[ \u00a0\u202f]", "'": "['\u2019]"}


def plain_numerals(values: pd.Series, dialect: Dialect) -> pd.Series:
    """Write texts of numbers with a point and without groups; what is not written as said becomes missing.

    Parameters
    ----------
    values : Series, shape (n,)
        Cells; those of a column of numbers stay as they are.
    dialect : Dialect
        Which says the signs.

    Returns
    -------
    Series, shape (n,), index kept.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import Dialect
    >>> from embargo.data_loaders.archive.numerals import plain_numerals
    >>> cells = pd.Series(["1.234,5", "-0,25", "12.34"], dtype="str")
    >>> plain_numerals(cells, Dialect(decimal=",", thousands=".")).fillna("no number").tolist()
    ['1234.5', '-0.25', 'no number']
    """
    written = values.dtype == object or isinstance(values.dtype, pd.StringDtype)
    if not written or (dialect.decimal in (None, ".") and dialect.thousands is None):
        return values
    text = values.astype("str").str.strip()
    point = re.escape(dialect.decimal or ".")
    whole, group = r"\d+", None
    if dialect.thousands is not None:
        group = _GROUP_SIGNS.get(dialect.thousands, re.escape(dialect.thousands))
        whole = rf"(?:{FIRST_GROUP}(?:{group}\d{{3}})+|\d+)"
    fits = (
        text.str.fullmatch(rf"[-+]?(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][-+]?\d+)?").fillna(False).astype(bool)
    )
    plain = text.where(fits)
    if group is not None:
        plain = plain.str.replace(group, "", regex=True)
    return plain.str.replace(point, ".", regex=True)


def numeral_hint(cell: str, dialect: Dialect) -> str:
    """Say which setting may read a text that is no number, without choosing where only its source can tell.

    Examples
    --------
    >>> from embargo.data_loaders import Dialect
    >>> from embargo.data_loaders.archive.numerals import numeral_hint
    >>> numeral_hint("49,90", Dialect())
    "If its comma is the decimal sign, set decimal = ','."
    """
    bare, decimal = cell.strip().lstrip("+-"), dialect.decimal or "."
    if re.fullmatch(rf"{FIRST_GROUP},\d{{3}}", bare) and decimal == "." and dialect.thousands is None:
        return "If its comma is the decimal sign, set decimal = ','; if it parts thousands, set thousands = ','."
    if re.fullmatch(rf"{FIRST_GROUP}(?:\.\d{{3}})+,\d+", bare) and not (decimal == "," and dialect.thousands == "."):
        return "If its comma is the decimal sign and points part thousands, set decimal = ',' and thousands = '.'."
    if re.fullmatch(r"\d*,\d+", bare) and decimal == ".":
        return "If its comma is the decimal sign, set decimal = ','."
    if re.fullmatch(r"\d*\.\d+", bare) and decimal == "," and not re.fullmatch(rf"{FIRST_GROUP}\.\d{{3}}", bare):
        return "If its point is the decimal sign, leave decimal out; one file has one sign."
    for sign in (".", ",", " ", "'"):
        group = _GROUP_SIGNS.get(sign, re.escape(sign))
        if sign != decimal and re.fullmatch(rf"{FIRST_GROUP}(?:{group}\d{{3}})+(?:{re.escape(decimal)}\d*)?", bare):
            return f"If {sign!r} parts thousands in it, set thousands = {sign!r}."
    return "Mend or filter the row."
