"""In which form times are written, and what decides it; what nothing decides is told with every form that fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from embargo.data_loaders.archive.epochs import ELECTRONIC, EPOCHS
from embargo.data_loaders.archive.time_forms import SERIALS, candidate_forms, time_form
from embargo.data_loaders.errors import DataError
from embargo.research.proposing.columns import texts_of

StampKind = Literal["aware", "local", "dates", "epoch", "open", "unknown"]
# A time of day, and an offset behind it, as ISO 8601 and its looser cousins write them.
_ISO = r"\d{4}-?\d{1,2}-?\d{1,2}|\d{4}/\d{1,2}/\d{1,2}"
_CLOCK = r"[T ]\d{1,2}:?\d{2}"
_OFFSET = r"(?i).*[T ]\d{1,2}:?\d{2}.*(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"
# Of so many rows at least, order and weekdays say something.
_ENOUGH = 20
_AGAIN = "Then say it to 'embargo init' (--news-times, --price-times), which tells more of what follows from it."
_DIGITS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}


@dataclass(frozen=True, eq=False)
class StampForm:
    """How a column of times is written.

    Attributes
    ----------
    kind : str
        ``"aware"``: each carries its zone; ``"local"``: times of a clock whose zone is not said; ``"dates"``: days
        alone; ``"epoch"``: numbers counted from 1970; ``"open"``: several forms fit; ``"unknown"``: none does.
    time_format : str or None
        Form to set, None where they are ISO 8601.
    unit : str or None
        Unit of epochs, such as ``"unix:ms"``.
    rivals : tuple of str
        Forms that fit, where nothing decides.
    evidence : tuple of str
    stamps : Series of naive datetime64
        What they say, by row: the wall clock as written, of aware ones and epochs UTC; empty where that is open.
    midnights : float
        Share that tells no time of day, or exactly midnight.
    """

    kind: StampKind
    time_format: str | None = None
    unit: str | None = None
    rivals: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    stamps: pd.Series = field(default_factory=lambda: pd.Series(dtype="datetime64[us]"))
    midnights: float = 0.0


def stamp_form(
    values: pd.Series,
    *,
    now: pd.Timestamp,
    groups: pd.Series | None = None,
    weekdays: bool = False,
    around: tuple[pd.Timestamp, pd.Timestamp] | None = None,
    said: str | None = None,
) -> StampForm:
    """Tell how times are written.

    Parameters
    ----------
    values : Series
        Cells as they stand, in the order of the file.
    now : Timestamp
        Nothing is dated after it.
    groups : Series, optional
        Rows of one group, such as a symbol, are in order of time by themselves.
    weekdays : bool, default False
        Whether rows are of weekdays alone, as those of an exchange.
    around : (Timestamp, Timestamp), optional
        Naive days between which most of them have to lie, such as those of the prices.
    said : str, optional
        The form, from who knows it.

    Raises
    ------
    ConfigError
        If the form said is none.
    DataError
        If a row does not fit it.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.research.proposing.stamps import stamp_form
    >>> now = pd.Timestamp("2025-01-01", tz="UTC")
    >>> stamp_form(pd.Series(["03/04/2024 10:05", "25/04/2024 09:00"]), now=now).time_format
    '%d/%m/%Y %H:%M'
    >>> stamp_form(pd.Series(["03/04/2024 10:05", "05/04/2024 09:00"]), now=now).rivals
    ('%m/%d/%Y %H:%M', '%d/%m/%Y %H:%M')
    """
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        utc = values.dropna().dt.tz_convert("UTC").dt.tz_localize(None)
        said = f"the file stores instants with their zone ({values.dt.tz})."
        return StampForm("aware", evidence=(said,), stamps=utc, midnights=_at_midnight(utc))
    if pd.api.types.is_datetime64_dtype(values.dtype):
        return _plain(values.dropna(), "the file stores times without a zone.")
    text = texts_of(values)
    if text.empty:
        return StampForm("unknown", evidence=("the column is empty.",))
    if said is not None:
        form = time_form(said)
        stamps = form.parsed(text, where="as said").astype("datetime64[us, UTC]" if form.has_zone else "datetime64[us]")
        return _settled(text, said, stamps.dt.tz_localize(None) if form.has_zone else stamps, ("as you say.",))
    judged = _Judge(now.tz_convert("UTC").tz_localize(None), groups, weekdays, around)
    # Whole numbers of a column with gaps are floats.
    digits = text.str.replace(r"\.0+$", "", regex=True)
    # A serial number may have a decimal comma; it has no thousands, or it would be of the year 1900.
    digits = digits.str.replace(r"^(\d{5}),(\d+)$", r"\1.\2", regex=True)
    if digits.str.fullmatch(r"\d+(?:\.\d+)?").all():
        return _of_numbers(digits, judged)
    if text.str.match(_ISO).all() and (iso := _iso(text)) is not None:
        return iso
    return _of_texts(text, judged)


@dataclass(frozen=True, eq=False)
class _Judge:
    """What decides between forms that all fit."""

    now: pd.Timestamp
    groups: pd.Series | None
    weekdays: bool
    around: tuple[pd.Timestamp, pd.Timestamp] | None

    def against(self, stamps: pd.Series) -> list[tuple[str, float]]:
        """Say how much speaks against a reading, by kind: share of rows, and 0 where nothing does."""
        steps = stamps if self.groups is None else stamps.iloc[self.groups.loc[stamps.index].argsort(kind="stable")]
        gaps = steps.diff().dropna()
        if self.groups is not None:
            same = self.groups.loc[steps.index]
            gaps = gaps.loc[(same == same.shift()).loc[gaps.index]]
        back = float(min((gaps < pd.Timedelta(0)).mean(), (gaps > pd.Timedelta(0)).mean())) if len(gaps) else 0.0
        late = float((stamps > self.now + pd.Timedelta(days=1)).mean())
        found = [("of the steps from row to row go back in time", back), ("lie in the future", late)]
        if self.weekdays:
            found.append(("fall on weekends", float((stamps.dt.day_of_week >= 5).mean())))
        if self.around is not None:
            first, last = (edge + pd.Timedelta(days=days) for edge, days in zip(self.around, (-400, 400), strict=True))
            found.append(("lie over a year from all prices", float((~stamps.between(first, last)).mean())))
        return found

    def decide(self, readings: dict[str, pd.Series]) -> tuple[str | None, tuple[str, ...]]:
        """Choose among readings that fit: the one that nothing speaks against, if something does against each other."""
        told: dict[str, list[str]] = {}
        for name, stamps in readings.items():
            if len(stamps) < _ENOUGH:
                return None, (f"{len(stamps)} rows are too few to tell by their order or weekdays.",)
            told[name] = [f"{share:.0%} {what}" for what, share in self.against(stamps) if share > 0.02]
        clean = [name for name, faults in told.items() if not faults]
        words = tuple(f"read as {name!r}, {' and '.join(faults)}." for name, faults in told.items() if faults)
        if len(clean) == 1:
            return clean[0], (*words, f"Read as {clean[0]!r}, the rows are in order and none of that is so.")
        return None, words or ("neither the order of the rows nor their days tell the forms apart.",)


def _at_midnight(stamps: pd.Series) -> float:
    return float((stamps == stamps.dt.normalize()).mean()) if len(stamps) else 0.0


def _plain(stamps: pd.Series, said: str) -> StampForm:
    midnights = _at_midnight(stamps)
    return StampForm("dates" if midnights == 1.0 else "local", evidence=(said,), stamps=stamps, midnights=midnights)


def _iso(text: pd.Series) -> StampForm | None:
    """Read texts of ISO 8601; None where they are none after all."""
    aware, clocked = text.str.fullmatch(_OFFSET).astype(bool), text.str.contains(_CLOCK, regex=True).astype(bool)
    bare = text.str.replace(r"(?i)\s*(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$", "", regex=True).where(aware, text)
    wall = pd.to_datetime(bare, format="ISO8601", errors="coerce")
    if wall.isna().any():
        return None
    wall = wall.astype("datetime64[us]")
    if aware.all():
        utc = pd.to_datetime(text.str.replace(r"(?i)\s*(?:UTC|GMT)$", "Z", regex=True), format="ISO8601", utc=True)
        said = f"each time carries its offset, such as {text.iloc[0]!r}."
        plain = utc.dt.tz_localize(None).astype("datetime64[us]")
        return StampForm("aware", evidence=(said,), stamps=plain, midnights=_at_midnight(wall))
    if not clocked.any():
        said = f"days without a time of day, such as {text.iloc[0]!r}."
        return StampForm("dates", evidence=(said,), stamps=wall, midnights=1.0)
    said = f"times without a zone, such as {text.loc[~aware].iloc[0]!r}"
    said += f"; {int(aware.sum()):,} of {len(text):,} carry an offset of their own." if aware.any() else "."
    return StampForm("local", evidence=(said,), stamps=wall, midnights=_at_midnight(wall))


def _of_numbers(text: pd.Series, judged: _Judge) -> StampForm:
    """Read figures: digits that write a date, counts from 1970, or the serial numbers of a spreadsheet."""
    lengths = set(text.str.len())
    form = _DIGITS.get(lengths.pop()) if len(lengths) == 1 else None
    if form is not None and (stamps := _read(form, text)) is not None and stamps.dt.year.between(1900, 2099).all():
        said = f"figures whose digits write a date, such as {text.iloc[0]}."
        midnights = _at_midnight(stamps)
        return StampForm("dates" if form == "%Y%m%d" else "local", form, None, (), (said,), stamps, midnights)
    numbers = text.astype(float)
    first, last = (edge.timestamp() for edge in ELECTRONIC)
    units = [unit for unit, size in EPOCHS.items() if (numbers * size).between(first, last).all()]
    if units:
        stamps = pd.to_datetime(numbers * EPOCHS[units[0]], unit="s").astype("datetime64[us]")
        said = f"numbers such as {text.iloc[0]}, which are of our age as {units[0]!r} alone: {_span(stamps)}."
        return StampForm("epoch", None, units[0], (), (said,), stamps, _at_midnight(stamps))
    if numbers.between(18_264, 73_050).all():
        return _of_serials(text, judged)
    return StampForm("unknown", evidence=(f"numbers such as {text.iloc[0]}, which are no dates of any known form.",))


def _of_serials(text: pd.Series, judged: _Judge) -> StampForm:
    readings = {form: stamps for form in SERIALS if (stamps := _read(form, text)) is not None}
    said = (
        f"numbers such as {text.iloc[0]}, which count days as spreadsheets do: "
        + " or ".join(f"{_span(stamps)} as {form!r}" for form, stamps in readings.items())
        + "."
    )
    chosen, words = judged.decide(readings)
    if chosen is None:
        asked = f"Open the file in the spreadsheet and hold one row's date against this. {_AGAIN}"
        return StampForm("open", None, None, tuple(readings), (said, *words, asked))
    return _settled(text, chosen, readings[chosen], (said, *words))


def _of_texts(text: pd.Series, judged: _Judge) -> StampForm:
    """Read texts of a named form: those that all rows fit, and what decides between several."""
    forms = list(dict.fromkeys(form for stamp in text.unique()[:200] for form in candidate_forms(stamp)))
    readings = {form: stamps for form in forms if (stamps := _read(form, text)) is not None}
    if not readings:
        return StampForm("unknown", evidence=(_misfit(text, forms),))
    excluded = [form for form in forms if form not in readings]
    chosen = next(iter(readings))
    words: tuple[str, ...] = ()
    if len(readings) > 1:
        found, words = judged.decide(readings)
        if found is None:
            first = text.iloc[0]
            meant = " or ".join(f"{stamps.iloc[0]:%d %B %Y}" for stamps in readings.values())
            asked = f"{first!r} is {meant}: its source knows. Months and days in the wrong order move news by months. "
            asked += _AGAIN
            return StampForm("open", None, None, tuple(readings), (*words, asked))
        chosen = found
    elif excluded:
        words = (_misfit(text, excluded[:1]),)
    return _settled(text, chosen, readings[chosen], words)


def _settled(text: pd.Series, chosen: str, stamps: pd.Series, words: tuple[str, ...]) -> StampForm:
    """Put together what a form that is known says."""
    form = time_form(chosen)
    said = f"times such as {text.iloc[0]!r} are written as {chosen!r}."
    midnights = _at_midnight(stamps) if form.has_clock else 1.0
    local: StampKind = "dates" if midnights == 1.0 else "local"
    return StampForm("aware" if form.has_zone else local, chosen, None, (), (said, *words), stamps, midnights)


def _read(form: str, text: pd.Series) -> pd.Series | None:
    """Read all texts in a form; None where one does not fit."""
    try:
        stamps = time_form(form).parsed(text, where="")
    except DataError:
        return None
    return (stamps.dt.tz_localize(None) if stamps.dt.tz is not None else stamps).astype("datetime64[us]")


def _misfit(text: pd.Series, forms: Sequence[str]) -> str:
    """Name the first row that a form does not fit."""
    if not forms:
        return f"{text.iloc[0]!r} is like no known form of times. Name it with time_format."
    odd = ~_fitting(text, forms[0])
    row = text.index[int(np.argmax(odd.to_numpy()))]
    return f"row {row}, {text.loc[row]!r}, is no {forms[0]!r} ({int(odd.sum()):,} of {len(text):,} rows are none)."


def _fitting(text: pd.Series, form: str) -> pd.Series:
    fits: Callable[[str], bool] = lambda one: _read(form, pd.Series([one])) is not None  # noqa: E731
    distinct = pd.Series(text.unique())
    return text.isin(distinct.loc[distinct.map(fits)])


def _span(stamps: pd.Series) -> str:
    return f"{stamps.min():%Y-%m-%d} to {stamps.max():%Y-%m-%d}"
