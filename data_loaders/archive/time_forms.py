"""Forms of times that have to be named, such as ``%m/%d/%Y %H:%M``: nobody can tell them from the data.

A form is a stricter strptime: figures that follow one another without a sign between them have their full width, words
are English, and what is not a code stands there as it is written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError

# Figures: how many at most, and at least where a sign follows.
_FIGURES = {
    "Y": (4, 4), "y": (2, 2), "m": (2, 1), "d": (2, 1), "H": (2, 1), "I": (2, 1), "M": (2, 1), "S": (2, 1),
    "f": (6, 1), "j": (3, 1),
}  # fmt: skip
_WORD = r"[A-Za-z]{3,9}"
_WORDS = {"b": _WORD, "B": _WORD, "a": _WORD, "A": _WORD, "p": "[AaPp][Mm]", "z": r"(?:[Zz]|[+-]\d{2}:?\d{2})"}
# Spreadsheets count days from here, and write the time of day as a fraction of one: since 1900 (where a 29th of
# February that never was is counted too) or, in books that began on a Mac, since 1904.
SERIALS = {"excel": pd.Timestamp("1899-12-30"), "excel1904": pd.Timestamp("1904-01-01")}
# Before the first of March 1900 the count is a day off.
_FIRST_SERIAL, _LAST_SERIAL = 61.0, 110_000.0
_EXAMPLE = "Write one such as '%m/%d/%Y %H:%M' or '%Y%m%d%H%M%S'"

# What a text looks like to whoever reads it, and which forms it may have; two where only its source can tell.
_LOOKS = (
    (r"\d{14}", ("%Y%m%d%H%M%S",)),
    (r"\d{4}\.\d{1,2}\.\d{1,2}", ("%Y.%m.%d",)),
    (r"\d{1,2}\.\d{1,2}\.\d{4}", ("%d.%m.%Y",)),
    (r"\d{1,2}/\d{1,2}/\d{4}", ("%m/%d/%Y", "%d/%m/%Y")),
    (r"\d{1,2}-\d{1,2}-\d{4}", ("%m-%d-%Y", "%d-%m-%Y")),
    (r"\d{1,2}/\d{1,2}/\d{2}\b", ("%m/%d/%y", "%d/%m/%y")),
    (r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4}", ("%a, %d %b %Y",)),
    (r"[A-Z][a-z]{2} [A-Z][a-z]{2} \d{1,2} \d{1,2}:\d{2}:\d{2} [+-]\d{4} \d{4}", ("%a %b %d %H:%M:%S %z %Y",)),
    (r"\d{1,2}-[A-Z][a-z]{2}-\d{4}", ("%d-%b-%Y",)),
    (r"\d{1,2} [A-Z][a-z]{2} \d{4}", ("%d %b %Y",)),
    (r"\d{1,2}-[A-Z][a-z]{2}-\d{2}\b", ("%d-%b-%y",)),
    (r"[A-Z][a-z]{2} \d{1,2}, \d{4}", ("%b %d, %Y",)),
    (r"[A-Z][a-z]{2} \d{1,2} \d{4}", ("%b %d %Y",)),
    (r"[A-Z][a-z]{3,8} \d{1,2}, \d{4}", ("%B %d, %Y",)),
    (r"\d{4}-\d{1,2}-\d{1,2}", ("%Y-%m-%d",)),
)
_CLOCKS = (
    (r" \d{1,2}:\d{2}:\d{2} [AaPp][Mm]", " %I:%M:%S %p"),
    (r" \d{1,2}:\d{2} [AaPp][Mm]", " %I:%M %p"),
    (r" \d{1,2}:\d{2}[AaPp][Mm]", " %I:%M%p"),
    (r", \d{1,2}:\d{2} [AaPp][Mm]", ", %I:%M %p"),
    (r" at \d{1,2}:\d{2} [AaPp][Mm]", " at %I:%M %p"),
    (r"T\d{1,2}:\d{2}:\d{2}", "T%H:%M:%S"),
    (r" \d{1,2}:\d{2}:\d{2}", " %H:%M:%S"),
    (r" \d{1,2}:\d{2}", " %H:%M"),
    (r" \d{6}", " %H%M%S"),
)


@dataclass(frozen=True)
class TimeForm:
    """A form that times are written in.

    Attributes
    ----------
    text : str
        As it was set.
    pattern : str
        Regular expression of a whole time.
    has_clock, has_zone : bool
        Whether a time of day, and an offset, are part of it.
    """

    text: str
    pattern: str
    has_clock: bool
    has_zone: bool

    def parsed(self, text: pd.Series, *, where: str) -> pd.Series:
        """Read texts in this form: UTC instants if it has a zone, else naive ones (of serials to the millisecond).

        Raises
        ------
        DataError
            Naming the first row that does not fit.
        """
        fits = text.str.fullmatch(self.pattern).astype(bool)
        if self.text in SERIALS:
            stamps = _from_serials(text.where(fits), SERIALS[self.text])
        else:
            stamps = pd.to_datetime(text.where(fits), format=self.text, errors="coerce", utc=self.has_zone)
        odd = stamps.isna()
        if odd.any():
            row = odd.index[int(np.argmax(odd.to_numpy()))]
            raise DataError(
                f"{where}, row {row}: {text.loc[row]!r} does not fit time_format = {self.text!r} ({int(odd.sum())} of "
                f"{len(odd)} times here). {_CAUTION} Name the form that all times have, or filter such rows out."
            )
        return stamps

    def without_clock(self, text: pd.Series) -> pd.Series:
        """Mark texts that tell no time of day: a whole serial number is a date."""
        if self.text in SERIALS:
            return text.str.fullmatch(r"\d+(?:[.,]0*)?").astype(bool)
        return pd.Series(not self.has_clock, index=text.index)


def _from_serials(text: pd.Series, first: pd.Timestamp) -> pd.Series:
    """Read counts of days since ``first``; NaT where they lie beyond what spreadsheets count."""
    days = pd.to_numeric(text.str.replace(",", ".", regex=False), errors="coerce").astype(float)
    days = days.where((days >= _FIRST_SERIAL) & (days < _LAST_SERIAL))
    # A float holds a serial to some microseconds: nobody reads more of a clock from it.
    milliseconds = (days * 86_400_000).round().astype("Int64")
    stamps: pd.Series = first.as_unit("ms") + pd.to_timedelta(milliseconds, unit="ms")
    return stamps


_CAUTION = "One column has one form."


@lru_cache(maxsize=64)
def time_form(text: str) -> TimeForm:
    """Read a ``time_format``.

    Codes are those of strptime: ``%Y %y %m %b %B %d %j %a %A %H %I %p %M %S %f %z`` and ``%%``. ``excel`` is the serial
    number of a spreadsheet, days since 1900 with the time of day as a fraction; ``excel1904`` that of books which count
    from 1904.

    Raises
    ------
    ConfigError
        If a code is unknown, stands there twice, or no whole date is told.
    """
    if text in SERIALS:
        # A comma is no group of thousands: 43,467 would be of the year 1900, before the first day that is read.
        return TimeForm(text, r"\d{2,6}(?:[.,]\d+)?", has_clock=True, has_zone=False)
    parts = re.findall(r"%.?|[^%]+", text, flags=re.DOTALL)
    codes = [part[1:] for part in parts if part.startswith("%") and part != "%%"]
    unknown = [f"%{code}" for code in codes if code not in _FIGURES and code not in _WORDS]
    if "%Z" in unknown:
        raise ConfigError(
            f"time_format = {text!r}: %Z, letters such as EST, tell no offset. Write the letters themselves in its "
            "place, and name the zone with 'timezone'."
        )
    if unknown:
        raise ConfigError(
            f"time_format = {text!r}: {', '.join(unknown)} is no known code. {_EXAMPLE}; epochs are set with "
            "timezone = 'unix:s'."
        )
    twice = sorted({code for code in codes if codes.count(code) > 1})
    if twice:
        raise ConfigError(f"time_format = {text!r}: %{twice[0]} stands there twice. {_EXAMPLE}.")
    told = set(codes)
    if not (told & {"Y", "y"}) or not ({"j"} <= told or ("d" in told and told & {"m", "b", "B"})):
        raise ConfigError(f"time_format = {text!r} tells no year, month and day. {_EXAMPLE}.")
    if ("I" in told) != ("p" in told) or {"H", "I"} <= told or (told & {"M", "S", "f"} and not told & {"H", "I"}):
        raise ConfigError(f"time_format = {text!r} tells no time of day: %H, or %I with %p, comes first. {_EXAMPLE}.")
    pattern = ""
    for place, part in enumerate(parts):
        code = part[1:]
        if part == "%%":
            pattern += "%"
        elif not part.startswith("%"):
            pattern += "".join(r"\s+" if run.isspace() else re.escape(run) for run in re.findall(r"\s+|\S+", part))
        elif code in _WORDS:
            pattern += _WORDS[code]
        else:
            most, least = _FIGURES[code]
            beside = [parts[other][1:] for other in (place - 1, place + 1) if 0 <= other < len(parts)
                      and parts[other].startswith("%")]  # fmt: skip
            full = any(other in _FIGURES for other in beside)
            pattern += rf"\d{{{most if full else least},{most}}}"
    return TimeForm(text, pattern, bool(told & {"H", "I"}), "z" in told)


def candidate_forms(stamp: str) -> tuple[str, ...]:
    """Name the forms that a text may have, several where only its source can tell; none where it is like no known one.

    Examples
    --------
    >>> from embargo.data_loaders.archive.time_forms import candidate_forms
    >>> candidate_forms("02/01/2024 09:30"), candidate_forms("2 Jan 2024"), candidate_forms("yesterday")
    (('%m/%d/%Y %H:%M', '%d/%m/%Y %H:%M'), ('%d %b %Y',), ())
    """
    stamp = stamp.strip()
    for look, forms in _LOOKS:
        found = re.match(look, stamp)
        if found is None:
            continue
        rest = stamp[found.end() :]
        clock, zone = "", ""
        for clock_look, written in _CLOCKS:
            if at := re.match(clock_look, rest):
                clock, rest = written, rest[at.end() :]
                break
        if re.fullmatch(r" ?[+-]\d{2}:?\d{2}", rest):
            zone = " %z" if rest.startswith(" ") else "%z"
        elif rest.strip().isalpha():
            zone = rest
        options = tuple(f"{form}{clock}{zone}" for form in forms)
        return options if re.fullmatch(time_form(options[0]).pattern, stamp) else ()
    return ()


def form_hint(stamp: str) -> str:
    """Say which ``time_format`` a text may have, without choosing where only its source can tell."""
    if not (options := candidate_forms(stamp)):
        return "Name the form with time_format, such as '%d.%m.%Y %H:%M'."
    choice = " or ".join(repr(option) for option in options)
    asked = "whichever its source means" if len(options) > 1 else "if that is what its source means"
    return f"Name the form with time_format: {choice}, {asked}."
