"""How pages and terminal print numbers, instants, keys and settings: one rule per kind of quantity.

Every function takes what may be missing (None, NaN, NaT) and answers with the dash `MISSING`, never with "nan". Minus
signs are typographic. Ready texts come from here too, so that all pages speak with one voice.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

Unit = Literal["ratio", "coefficient", "percent", "basis points", "probability", "count", "number", "text"]

MISSING = "–"
# Beyond what JSON escapes: C1 signs, ends of lines, and what turns the direction of writing.
_COMMANDING = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
UNITS: tuple[Unit, ...] = get_args(Unit)

_ACRONYMS = {"ic": "IC", "f1": "F1", "ece": "ECE", "nll": "NLL", "id": "ID", "auc": "AUC", "utc": "UTC"}


def is_missing(value: Any) -> bool:
    """Whether a scalar is None, NaN, NaT or blank; infinities are values, not gaps."""
    if value is None or value is pd.NaT or value is pd.NA:
        return True
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, float | np.floating) and math.isnan(value)


def _signed(text: str) -> str:
    """Use the typographic minus sign, and no sign on what rounds to zero."""
    if text.startswith("-") and not any(digit in text for digit in "123456789"):
        text = text[1:] if "inf" not in text else text
    return text.replace("-", "−").replace("inf", "∞")


def ratio(value: Any) -> str:
    """Print a ratio such as a Sharpe ratio with two decimals: ``1.23``."""
    return MISSING if is_missing(value) else _signed(f"{float(value):,.2f}")


def coefficient(value: Any) -> str:
    """Print a correlation, or a share that is not told in percent, with three decimals: ``0.034``."""
    return MISSING if is_missing(value) else _signed(f"{float(value):z.3f}")


def percent(value: Any) -> str:
    """Print a fraction as percent with one decimal: 0.1234 gives ``12.3%``."""
    return MISSING if is_missing(value) else _signed(f"{100 * float(value):,.1f}%")


def fine_percent(value: Any) -> str:
    """Print a fraction as percent with two decimals, for parts that add up to a whole: 0.1234 gives ``12.34%``."""
    return MISSING if is_missing(value) else _signed(f"{100 * float(value):,.2f}%")


def basis_points(value: Any) -> str:
    """Print a fraction in basis points with one decimal, without their name: 0.00123 gives ``12.3``."""
    return MISSING if is_missing(value) else _signed(f"{1e4 * float(value):z,.1f}")


def probability(value: Any) -> str:
    """Print a p-value with three decimals: ``0.034``, and ``< 0.001`` below that."""
    if is_missing(value):
        return MISSING
    return "< 0.001" if 0 <= float(value) < 0.001 else _signed(f"{float(value):.3f}")


def p_value(value: Any) -> str:
    """Print a p-value as an equation: ``p = 0.034``, and ``p < 0.001`` below that; its spaces do not break.

    Examples
    --------
    >>> from embargo.research.pages.formats import p_value
    >>> p_value(0.0341).split(), p_value(1e-9).split()
    (['p', '=', '0.034'], ['p', '<', '0.001'])
    """
    printed = probability(value)
    return (f"p {printed}" if printed.startswith("<") else f"p = {printed}").replace(" ", "\u00a0")


def count(value: Any) -> str:
    """Print a whole number with thousands separators: ``1,234``."""
    return MISSING if is_missing(value) else _signed(f"{float(value):,.0f}")


def number(value: Any) -> str:
    """Print any number with up to four significant digits, whole numbers in full."""
    if is_missing(value):
        return MISSING
    amount = float(value)
    if math.isfinite(amount) and amount == int(amount) and abs(amount) < 1e15:
        return _signed(f"{amount:,.0f}")
    return _signed(f"{amount:,.4g}" if abs(amount) < 1e4 else f"{amount:,.1f}")


def text(value: Any) -> str:
    """Print anything as text; numbers as `number` does, instants as `instant`, truth values as yes and no."""
    if is_missing(value):
        return MISSING
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | float | np.integer | np.floating):
        return number(value)
    if isinstance(value, datetime | date | np.datetime64):
        return instant(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {text(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        entries = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return ", ".join(text(entry) for entry in entries)
    return str(value)


def instant(value: Any) -> str:
    """Print an instant in UTC: the date alone at midnight, else date and time to the second."""
    moment = pd.Timestamp(value)
    if is_missing(moment):
        return MISSING
    if moment.tzinfo is not None:
        moment = moment.tz_convert("UTC")
    if moment == moment.normalize():
        return f"{moment:%Y-%m-%d}"
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment.second else f"{moment:%Y-%m-%d %H:%M} UTC"


_RAW_INSTANT = re.compile(r"\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(\+00:00|Z\b)")


def instants_in(said: str) -> str:
    """Print a sentence with every raw instant in it as `instant` does: such a stamp is long, and has no place to break.

    Examples
    --------
    >>> from embargo.research.pages.formats import instants_in
    >>> instants_in("decided 2016-06-30T13:25:00+00:00, seen 2016-06-30 00:00:00+00:00")
    'decided 2016-06-30 13:25 UTC, seen 2016-06-30'
    """
    return _RAW_INSTANT.sub(lambda found: instant(found.group()), said)


BY_UNIT: dict[Unit, Callable[[Any], str]] = {
    "ratio": ratio,
    "coefficient": coefficient,
    "percent": percent,
    "basis points": basis_points,
    "probability": probability,
    "count": count,
    "number": number,
    "text": text,
}


def value_of(value: Any, unit: Unit) -> str:
    """Print a value in its unit; a value that is already text is left as it is."""
    if isinstance(value, str):
        return text(value)
    return BY_UNIT[unit](value)


def interval(bounds: tuple[float | None, float | None] | str | None, unit: Unit = "ratio") -> str:
    """Print a confidence interval as ``0.12 to 1.34``; a ready text is left as it is."""
    if bounds is None or isinstance(bounds, str):
        return text(bounds)
    low, high = bounds
    if is_missing(low) and is_missing(high):
        return MISSING
    return f"{value_of(low, unit)} to {value_of(high, unit)}"


def around(value: Any, bounds: tuple[float | None, float | None] | None, unit: Unit = "ratio") -> str:
    """Print a figure with its interval, where it has one: ``0.93 (0.21 to 1.68)``."""
    return value_of(value, unit) if bounds is None else f"{value_of(value, unit)} ({interval(bounds, unit)})"


def plain(name: Any) -> str:
    """Turn a key such as ``macro_f1`` into words such as ``Macro F1``."""
    words = " ".join(_ACRONYMS.get(word, word) for word in str(name).replace("_", " ").split(" "))
    return words[:1].upper() + words[1:]


def toml(settings: Mapping[str, Any]) -> str:
    """Write nested settings the way TOML would; what TOML cannot say (None) becomes a comment."""
    lines: list[str] = []
    _toml_table(settings, "", lines)
    return "\n".join(lines).strip() + "\n" if lines else ""


def toml_entry(key: str, value: Any) -> str:
    """Write one setting on one line, a mapping as an inline table.

    Examples
    --------
    >>> from embargo.research.pages.formats import toml_entry
    >>> toml_entry("columns", {"text": "head line"})
    'columns = { text = "head line" }'
    """
    return f"{_toml_key(key)} = {_toml_value(value)}"


def _toml_table(table: Mapping[str, Any], path: str, lines: list[str]) -> None:
    nested = {key: entry for key, entry in table.items() if isinstance(entry, Mapping)}
    plain = {key: entry for key, entry in table.items() if key not in nested}
    if path and (plain or not nested):
        lines.extend(["", f"[{path}]"])
    for key, entry in plain.items():
        lines.append(
            f"# {_toml_key(key)} is not set" if is_unset(entry) else f"{_toml_key(key)} = {_toml_value(entry)}"
        )
    for key, entry in nested.items():
        _toml_table(entry, f"{path}.{_toml_key(key)}" if path else _toml_key(key), lines)


def is_unset(value: Any) -> bool:
    """Whether a setting has no value that TOML could write."""
    return value is None or value is pd.NaT


def _toml_key(key: Any) -> str:
    name = str(key)
    bare = name and all(sign.isascii() and (sign.isalnum() or sign in "-_") for sign in name)
    return name if bare else _toml_text(name)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return repr(float(value))
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_toml_key(key)} = {_toml_value(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml_value(entry) for entry in value if not is_unset(entry)) + "]"
    return _toml_text(str(value))


def _toml_text(value: str) -> str:
    """Quote text as TOML does: as JSON does, and every other sign that commands a terminal by its number."""
    return _COMMANDING.sub(lambda sign: f"\\u{ord(sign[0]):04x}", json.dumps(value, ensure_ascii=False))


def flat(entries: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Flatten nested entries to (dotted key, printed value), in their own order."""
    rows: list[tuple[str, str]] = []
    for key, entry in entries.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(entry, Mapping) and entry:
            rows.extend(flat(entry, name))
        elif isinstance(entry, int) and not isinstance(entry, bool):
            rows.append((name, str(entry)))
        else:
            rows.append((name, text(entry)))
    return rows
