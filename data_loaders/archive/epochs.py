"""Units of epoch times, and which of them makes sense of a number that another one puts into the wrong age."""

from __future__ import annotations

import pandas as pd

EPOCHS = {"unix:s": 1.0, "unix:ms": 1e-3, "unix:us": 1e-6, "unix:ns": 1e-9}
ELECTRONIC = (pd.Timestamp("1980-01-01", tz="UTC"), pd.Timestamp("2100-01-01", tz="UTC"))


def sensible_unit(value: float, unit: str) -> str | None:
    """Name the unit, other than this one, in which an epoch time lies between 1980 and 2100; None if none does."""
    first, last = (edge.timestamp() for edge in ELECTRONIC)
    return next((other for other, size in EPOCHS.items() if other != unit and first <= value * size < last), None)


def date_in(value: float, unit: str) -> str:
    """Write the day of an epoch time in UTC."""
    return f"{pd.Timestamp(value * EPOCHS[unit], unit='s', tz='UTC'):%Y-%m-%d}"


def better_unit(value: float, unit: str) -> str:
    """Say which unit to read an epoch time in that this one puts into no age at all."""
    other = sensible_unit(value, unit)
    if other is None:
        return "No unit puts it into our age: is it a date written without separators?"
    when = date_in(value, other)
    return f"In {other!r} it would be {when}. Set that unit if all times are in it; else write all in one."
