"""Sessions of exchanges as exchange_calendars records them, each calendar whole, mended and kept on disk.

A calendar is made once for all the years that it records, so that no range asked for can fall outside by accident.
Where it is kept decides how long it takes and nothing else; a kept file that cannot be read is made anew.
"""

from __future__ import annotations

import os
import secrets
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32
from zoneinfo import ZoneInfo

from embargo.data_loaders.errors import ConfigError

# Who only says where calendars are kept waits for neither pandas nor the library.
if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Years of a calendar that states no bounds: before them no archive of prices begins, after them holidays are a guess.
FIRST_DAY, LAST_DAY = "1900-01-01", "2050-12-31"
LIBRARY = "exchange_calendars"
COLUMNS = ("open_at", "close_at", "break_end")


@dataclass(frozen=True)
class OtherHours:
    """Sessions whose hours the library has not heard of, on the exchange's clock.

    Attributes
    ----------
    days : tuple of str
    plain, true : tuple of str
        When the library lets them open and close, and when they did.
    """

    days: tuple[str, ...]
    plain: tuple[str, str]
    true: tuple[str, str]


# Read over what the library says, while it says the plain hours: a release that knows better is left alone.
OTHER_HOURS = {
    # On the day of the college entrance exam Seoul opens and closes an hour later, as in every year since 1999: so the
    # Korea Exchange in the press of 2021-11-04, 2022-11-16, 2023-11-02, 2024-10-31 and 2025-11-12. The library's list
    # of these days ends with 2020 (its pull request 574, merged in June 2026, brings later ones). That the exam of 2026
    # falls on November 19 was published by the Ministry of Education in August 2024.
    "XKRX": (
        OtherHours(
            ("2021-11-18", "2022-11-17", "2023-11-16", "2024-11-14", "2025-11-13", "2026-11-19"),
            plain=("09:00", "15:30"),
            true=("10:00", "16:30"),
        ),
    ),
}

_places: list[Path] = []


@dataclass(frozen=True, eq=False)
class RecordedSessions:
    """Every session that a calendar records.

    Attributes
    ----------
    code : str
    zone : ZoneInfo
        Where the exchange is.
    table : DataFrame, index naive session date
        ``open_at``, ``close_at`` and ``break_end`` (missing where there is no break), UTC.
    first, last : Timestamp
        Naive dates that bound what is recorded.
    """

    code: str
    zone: ZoneInfo
    table: pd.DataFrame
    first: pd.Timestamp
    last: pd.Timestamp


def keep_in(folder: Path | None, *, unless_told: bool = False) -> None:
    """Keep calendars that are made from now on in a folder, and look for them there; None keeps none.

    With ``unless_told`` a folder that was named before stays.
    """
    if not (unless_told and _places):
        _places[:] = [] if folder is None else [folder]


@lru_cache(maxsize=64)
def recorded_sessions(code: str) -> RecordedSessions:
    """Return every session of an exchange.

    Parameters
    ----------
    code : str
        exchange_calendars code.

    Raises
    ------
    ConfigError
        If the calendar is unknown, or the library cannot make it.
    """
    for folder in _places:
        # A file that is absent, torn or of another form is no fault: what it held is made again.
        with suppress(Exception):
            return _read(folder / _name(code), code)
    made = _made(code)
    for folder in _places:
        # Nothing is lost where nothing can be kept: a full disk, a folder without rights.
        with suppress(OSError):
            _write(made, folder / _name(code))
    return made


def _name(code: str) -> str:
    # What the library makes depends on pandas too, whose offsets it steps by.
    hours = f"hours-{crc32(repr(OTHER_HOURS).encode()):08x}"
    return f"{LIBRARY}-{version(LIBRARY)}-pandas-{version('pandas')}-{hours}/{code.replace('/', '_')}.parquet"


def _made(code: str) -> RecordedSessions:
    said = _said_by_library(code)
    return replace(said, table=with_other_hours(said))


def with_other_hours(said: RecordedSessions) -> pd.DataFrame:
    """Return the sessions that the library records, those of `OTHER_HOURS` with their hours."""
    import pandas as pd

    table = said.table.copy()
    for other in OTHER_HOURS.get(said.code, ()):
        for day in pd.DatetimeIndex(other.days).intersection(pd.DatetimeIndex(table.index)):
            plain, true = (
                [pd.Timestamp(f"{day:%Y-%m-%d} {at}", tz=said.zone).tz_convert("UTC") for at in hours]
                for hours in (other.plain, other.true)
            )
            if [table["open_at"].loc[day], table["close_at"].loc[day]] == plain:
                table.loc[day, ["open_at", "close_at"]] = true
    return table


def _said_by_library(code: str) -> RecordedSessions:
    # Loaded here because a kept calendar and round-the-clock bars do without.
    import exchange_calendars
    import pandas as pd
    from exchange_calendars.calendar_utils import global_calendar_dispatcher as dispatcher

    _mend_offsets()
    try:
        factory = dispatcher._calendar_factories[dispatcher.resolve_alias(code)]
    except (exchange_calendars.errors.InvalidCalendarName, KeyError) as failure:
        raise ConfigError(
            f"calendar {code!r} is unknown. Use '24/7' or an exchange_calendars code such as 'XNYS', 'XLON' or 'XTKS'."
        ) from failure
    first, last = factory.bound_min() or pd.Timestamp(FIRST_DAY), factory.bound_max() or pd.Timestamp(LAST_DAY)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            calendar = factory(start=first, end=last)
            schedule = calendar.schedule
    except Exception as failure:
        told = str(failure).splitlines()[0][:120] if str(failure) else ""
        raise ConfigError(
            f"calendar {code!r} cannot be made by {LIBRARY} {version(LIBRARY)} with pandas {version('pandas')} "
            f"({type(failure).__name__}: {told}). Name the calendar of an exchange with the same zone and hours, and "
            "the days on which they differ in prices.closed and prices.extra_sessions."
        ) from failure
    table = schedule[["open", "close", "break_end"]].set_axis(list(COLUMNS), axis=1).astype("datetime64[us, UTC]")
    table.index = pd.DatetimeIndex(table.index.to_numpy()).as_unit("us")
    return RecordedSessions(code, ZoneInfo(str(calendar.tz)), table, first, last)


def _mend_offsets() -> None:
    """Let the library's own offsets count again: pandas 3.1 calls ``_add_datetime`` where it called ``_apply``.

    Without this Tel Aviv, Athens, Bucharest, Belgrade and Nicosia cannot be made, and Seoul, Moscow and Mumbai lose
    their Saturdays and Sundays without a word.
    """
    from exchange_calendars import tase_holidays
    from exchange_calendars.pandas_extensions import offsets
    from pandas.tseries.offsets import CustomBusinessDay

    if hasattr(CustomBusinessDay, "_apply"):
        return
    for module in (offsets, tase_holidays):
        for kind in vars(module).values():
            if isinstance(kind, type) and "_apply" in vars(kind):
                kind._add_datetime = kind._apply  # type: ignore[attr-defined]
    offsets.CompositeCustomBusinessDay._add_datetime = _stepped
    offsets.CompositeCustomBusinessDay._get_daily_offset_mask = _worked


def _stepped(offset: Any, moment: Any) -> Any:
    """Move to the n-th day that is one of the offset's; by days, for the library's way asks pandas for ``_apply``."""
    import pandas as pd

    day = pd.Timedelta(days=1 if offset.n >= 0 else -1)
    for _ in range(abs(offset.n)):
        moment += day
        while not offset.is_on_offset(moment):
            moment += day
    return moment


def _worked(offset: Any, days: np.ndarray) -> np.ndarray:
    """Tell which days are the offset's: those of its week and, between two dates, those of the week that held then."""
    import numpy as np

    mask: np.ndarray = offset._as_custom_business_day()._get_daily_offset_mask(days)
    for first, last, week in offset.business_days:
        inside = np.ones(len(days), dtype=bool)
        if first is not None:
            inside &= days >= first.to_datetime64()
        if last is not None:
            inside &= days <= last.to_datetime64()
        mask = np.where(inside, week._get_daily_offset_mask(days), mask)
    return mask


def _write(made: RecordedSessions, file: Path) -> None:
    """Write times of day as the exchange's clock shows them, so that they outlive a change of the rules of zones."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    wall = made.table.apply(lambda column: column.dt.tz_convert(made.zone).dt.tz_localize(None))
    sheet = pa.Table.from_pandas(wall.rename_axis("session").reset_index(), preserve_index=False)
    facts = {"code": made.code, "zone": str(made.zone), "first": str(made.first), "last": str(made.last)}
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        pq.write_table(sheet.replace_schema_metadata(facts), draft, write_page_checksum=True)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def _read(file: Path, code: str) -> RecordedSessions:
    import pandas as pd
    import pyarrow.parquet as pq

    # Not by ``read_table``, which loads what reads folders of files: a tenth of a second for one small file.
    with pq.ParquetFile(file, page_checksum_verification=True) as opened:
        sheet = opened.read()
    facts = {name.decode(): value.decode() for name, value in (sheet.schema.metadata or {}).items()}
    zone = ZoneInfo(facts["zone"])
    wall = sheet.select(["session", *COLUMNS]).to_pandas().set_index("session").rename_axis(None)
    table = wall.apply(lambda column: column.dt.tz_localize(zone).dt.tz_convert("UTC")).astype("datetime64[us, UTC]")
    if facts["code"] != code or table.empty or table[["open_at", "close_at"]].isna().to_numpy().any():
        raise ValueError(f"{file} holds another calendar")
    table.index = pd.DatetimeIndex(table.index).as_unit("us")
    return RecordedSessions(code, zone, table, pd.Timestamp(facts["first"]), pd.Timestamp(facts["last"]))
