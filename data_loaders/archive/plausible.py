"""Whether instants lie where news and prices can: not in the first days of 1970, not in another century.

A wrong unit of epoch times is the usual cause, so an error names the row, its value, the unit it was read in and the
one that would make sense. Nothing is repaired.
"""

from __future__ import annotations

import pandas as pd

from embargo.data_loaders.archive.epochs import ELECTRONIC, EPOCHS, date_in, sensible_unit
from embargo.data_loaders.archive.tables import numbers_of
from embargo.data_loaders.errors import DataError

FIRST_NEWS = pd.Timestamp("1970-01-02", tz="UTC")
# The oldest series of prices begin around 1700; calendars know no year long after ours.
FIRST_BARS, LAST_BARS = pd.Timestamp("1700-01-01", tz="UTC"), pd.Timestamp("2200-01-01", tz="UTC")
# Epoch times before this are more likely misread, if another unit puts them into the years of electronic archives.
MISREAD_BEFORE = pd.Timestamp("1975-01-01", tz="UTC")
# Electronic archives reach back no further from their middle, so none reaches as far beyond it either.
BEYOND = pd.Timedelta(days=50 * 365)
# Old prices told in fractions of a second pass through January 1970 like through any other month.
_AROUND_1970 = (pd.Timestamp("1970-01-01", tz="UTC"), pd.Timestamp("1970-02-15", tz="UTC"))


def check_news_instants(instants: pd.Series, written: pd.Series, timezone: str | None, *, where: str) -> None:
    """Refuse news from before 1970-01-02, after 2099, or half a century after the middle of the rows.

    Parameters
    ----------
    instants : Series of UTC instants, shape (n,)
        As read; NaT where there is none.
    written : Series, shape (n,)
        What the source says.
    timezone : str or None
        What it was read with.
    where : str
        Named in errors.

    Raises
    ------
    DataError
        Naming the first such row, its value and, for epoch times, the unit that would make sense.
    """
    present = instants.dropna()
    if present.empty:
        return
    early = (present < FIRST_NEWS) | _misread(present, written, timezone, where=where)
    if early.any():
        raise _refused(present, early, written, timezone, "long before the first electronic archives", where=where)
    late = (present >= ELECTRONIC[1]) | (present > present.sort_values().iloc[len(present) // 2] + BEYOND)
    if late.any():
        raise _refused(present, late, written, timezone, "in another age than these news can be of", where=where)


def check_bar_instants(instants: pd.Series, written: pd.Series, timezone: str | None, *, where: str) -> None:
    """Refuse bars of no age, or that another unit would put into ours; parameters and errors as for news."""
    beyond = (instants < FIRST_BARS) | (instants >= LAST_BARS)
    if beyond.any():
        raise _refused(instants, beyond, written, timezone, "in no age that has bars", where=where)
    old = (instants < _AROUND_1970[0]) | ((instants > _AROUND_1970[1]) & (instants < MISREAD_BEFORE))
    wrong = _misread(instants, written, timezone, where=where)
    if wrong.any() and not old.any():
        raise _refused(instants, wrong, written, timezone, "with no bar in the years around it", where=where)


def _misread(instants: pd.Series, written: pd.Series, timezone: str | None, *, where: str) -> pd.Series:
    """Mark epoch times of the first years that another unit puts into our age."""
    wrong = pd.Series(instants < MISREAD_BEFORE)
    if timezone not in EPOCHS or not wrong.any() or isinstance(written.dtype, pd.DatetimeTZDtype):
        return wrong & False
    values = numbers_of(written.loc[instants.index[wrong]], where=where)
    wrong.loc[values.index] = values.map(lambda value: sensible_unit(value, str(timezone)) is not None).astype(bool)
    return wrong


def _refused(
    instants: pd.Series, wrong: pd.Series, written: pd.Series, timezone: str | None, told: str, *, where: str
) -> DataError:
    place, number = int(wrong.to_numpy().argmax()), int(wrong.sum())
    value = written.loc[instants.index].iloc[place]
    said = f"{where}, row {instants.index[place]}: {repr(value) if isinstance(value, str) else value}"
    how = f" read as {timezone!r}" if timezone in EPOCHS else ""
    said += f"{how} is {instants.iloc[place]}, {told} ({number} of {len(wrong)} times here)."
    if timezone not in EPOCHS or isinstance(written.dtype, pd.DatetimeTZDtype):
        return DataError(f"{said} Mend the time, or leave such rows out with filters.")
    epoch = float(numbers_of(pd.Series([value]), where=where).iloc[0])
    other = sensible_unit(epoch, str(timezone))
    if other is None:
        return DataError(f"{said} No unit puts it into our age: mend the row, or leave it out with filters.")
    if number == len(wrong):
        return DataError(f"{said} Set timezone = {other!r}, in which it is {date_in(epoch, other)}.")
    return DataError(
        f"{said} In {other!r} it would be {date_in(epoch, other)}: the file mixes units. Write all its times in one."
    )
