"""Put a config together from a file of news and one of prices, or the prices that a venue is to be asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from embargo.data_loaders.archive import read_prices, stream_news
from embargo.data_loaders.archive.times import joined_times
from embargo.data_loaders.errors import EmbargoError
from embargo.data_loaders.schemas import Prices
from embargo.models.loading.devices import device_type
from embargo.research.proposing.clocks import day_settings, zone_settings
from embargo.research.proposing.columns import (
    LABELS,
    bar_columns,
    news_columns,
    squeezed,
    symbols_in,
    texts_of,
)
from embargo.research.proposing.exchange import ProposedBars, bars_of, suggested_calendars
from embargo.research.proposing.lines import Setting, comment, section
from embargo.research.proposing.numbers import number_settings
from embargo.research.proposing.sheets import Sheet, distinct, open_sheet
from embargo.research.proposing.spans import split_settings
from embargo.research.proposing.stamps import StampForm, stamp_form

Venue = Literal["yahoo", "bybit"]
_QUOTES = ("open", "high", "low", "close", "volume")
# Keys of a section that a loader of files is told as they are.
_OF_LOADER = (
    "columns", "timezone", "time_format", "time_from", "date_only", "symbol", "symbol_separator", "symbol_case", "bar"
)  # fmt: skip


@dataclass(frozen=True)
class Proposal:
    r"""A config to be looked at.

    Attributes
    ----------
    text : str
        As TOML, with every guess as a comment.
    to_confirm : int
        Lines that rest on evidence.
    left_open : tuple of str
        Settings that nothing decides, as ``section.key``.

    Examples
    --------
    >>> from embargo.research.proposing import Proposal
    >>> found = Proposal('name = "mine"\n', to_confirm=3, left_open=("news.timezone",))
    >>> found.left_open
    ('news.timezone',)
    """

    text: str
    to_confirm: int
    left_open: tuple[str, ...]


@dataclass(eq=False)
class _Priced:
    """What is known of the prices."""

    settings: list[Setting]
    symbols: list[str] = field(default_factory=list)
    bars: ProposedBars | None = None
    panels: Prices | None = None

    @property
    def calendar(self) -> str | None:
        return None if self.bars is None else self.bars.calendar


def propose(
    news: Path,
    prices: Path | None = None,
    *,
    venue: Venue | None = None,
    symbols: Sequence[str] = (),
    now: pd.Timestamp,
    beside: Path,
    news_times: str | None = None,
    price_times: str | None = None,
) -> Proposal:
    r"""Propose a config for files of news and prices.

    Parameters
    ----------
    news, prices : Path
        Tables as `embargo.data_loaders.read_news` and ``read_prices`` read them. Without prices those of a ``venue``
        are taken, which is not asked.
    venue : {"yahoo", "bybit"}, optional
    symbols : sequence of str
        As the venue writes them.
    now : Timestamp
        UTC; nothing is dated after it.
    beside : Path
        Folder that the config will lie in: its paths start there.
    news_times, price_times : str, optional
        Forms of their times, as ``time_format``, from who knows them.

    Returns
    -------
    Proposal

    Raises
    ------
    MissingPartError, DataError
        If a file is not there or cannot be read, or its times are not of the form said.
    ConfigError
        If a form said is none.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from embargo.research.proposing import propose
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     news = Path(folder) / "news.csv"
    ...     _ = news.write_text("time,ticker,headline\n2024-01-02T10:00:00Z,BTC/USDT,Coins rise after the news\n")
    ...     found = propose(
    ...         news, venue="bybit", symbols=["BTC/USDT"], now=pd.Timestamp("2025-01-01", tz="UTC"), beside=Path(folder)
    ...     )
    >>> 'columns = { published_at = "time", text = "headline", symbol = "ticker" }' in found.text, found.left_open
    (True, ('split.first_test',))
    """
    sheet = open_sheet(news)
    priced = (
        _of_venue(venue, symbols, sheet) if venue is not None else _of_file(Path(str(prices)), now, beside, price_times)
    )
    own, form, read = _of_news(sheet, priced, now, beside, news_times)
    first = form.stamps if read is None else read["published_at"].dt.tz_localize(None)
    sections = {
        "": [Setting("name", _name_of(news))],
        "news": own,
        "prices": priced.settings,
        "labels": _labels(sheet),
        "split": split_settings(first, None if priced.bars is None else priced.bars.days, len(sheet.frame)),
        "model": _model(),
    }
    text = "\n".join(["\n".join(_opening()) + "\n", *(section(name, lines) for name, lines in sections.items())])
    every = [(name, setting) for name, settings in sections.items() for setting in settings]
    return Proposal(
        text,
        sum(setting.standing == "confirm" and setting.value != "?" for _, setting in every),
        tuple(f"{name}.{one.key}" for name, one in every if one.standing == "open" or one.value == "?"),
    )


def _opening() -> list[str]:
    told = (
        "Proposed by 'embargo init'. CONFIRM marks what the files show, with the evidence: read it, and mend the line "
        "if it is wrong. OPEN marks what no file can tell: take the mark off the right line, or write it. Then "
        "'embargo validate' checks config and data without training anything. Every other setting has a default."
    )
    return list(comment(told))


def _of_file(path: Path, now: pd.Timestamp, beside: Path, said: str | None) -> _Priced:
    sheet = open_sheet(path)
    columns, notes = bar_columns(sheet.frame)
    numbers = number_settings(sheet.frame, [columns[name] for name in (*_QUOTES, "adj_close") if name in columns])
    settings = [Setting("path", _relative(path, beside)), *sheet.settings, *numbers]
    signs = {one.key: one.value for one in numbers if one.standing == "confirm"}
    sheet = replace(sheet, dialect=replace(sheet.dialect, **signs))
    symbols, of_rows = _symbols_of_bars(sheet, columns, settings)
    settings += _lacking(sheet, columns)
    if "date" not in columns:
        return _Priced(settings, symbols)
    stored = sheet.frame[columns["date"]]
    round_the_clock = suggested_calendars(symbols) == ["24/7"]
    clock = columns.get("clock")
    if clock is not None and not _of_a_day(sheet, columns["date"], of_rows):
        stored = _joined(sheet, columns["date"], clock)
        settings.append(_time_from(sheet, columns["date"], clock))
    else:
        clock = None
    form = stamp_form(stored, now=now, groups=of_rows, weekdays=not round_the_clock, said=said)
    settings += _form_settings(form)
    bars = None
    if form.kind not in ("open", "unknown"):
        bars = bars_of(form, of_rows, stored=_walls(stored) if form.kind == "aware" else None)
        settings += bars.settings
    else:
        note = "the calendar is told from the days with bars, once the form of their dates is settled."
        settings.append(Setting("calendar", "?", (note,), "confirm"))
    dated = "date" if bars is None or bars.daily else "open_at"
    dates = {} if clock is not None else {dated: columns["date"]}
    mapped = dates | {name: columns[name] for name in ("symbol", *_QUOTES) if name in columns}
    settings.insert(1, _mapped(mapped, notes))
    if "adj_close" in columns:
        note = (
            f"{columns['adj_close']!r} may be the close with later splits and dividends worked in. If open to close "
            "are as traded, this line works them into all of them; if they are adjusted already, leave it out."
        )
        name = {"adj_close": columns["adj_close"]}
        settings[1] = _mapped(mapped | name, notes)
        settings.append(Setting("adjust", "total_return", (note,), "open"))
    panels = _read_prices(path, sheet, settings, bars)
    return _Priced(settings, symbols, bars, panels)


def _of_a_day(sheet: Sheet, date: str, of_rows: pd.Series) -> bool:
    """Tell whether each date stands there once for a symbol, so that a time of day beside it says nothing more."""
    return not pd.DataFrame({"date": sheet.frame[date], "symbol": of_rows}).duplicated().any()


def _joined(sheet: Sheet, date: str, clock: str) -> pd.Series:
    return joined_times(sheet.frame, [date, clock], where=str(sheet.path), remedy="Filter such rows out.")


def _time_from(sheet: Sheet, date: str, clock: str) -> Setting:
    row = sheet.frame[date].first_valid_index()
    note = (
        f"{date!r} holds dates and {clock!r} the time of day beside each, such as {sheet.frame[date].loc[row]!r} and "
        f"{sheet.frame[clock].loc[row]!r}; no other column holds such times."
    )
    return Setting("time_from", [date, clock], (note,), "confirm")


def _symbols_of_bars(sheet: Sheet, columns: Mapping[str, str], settings: list[Setting]) -> tuple[list[str], pd.Series]:
    if "symbol" in columns:
        rows = sheet.frame[columns["symbol"]].astype("str")
        return sorted(distinct(sheet, columns["symbol"]).astype("str")), rows
    stem = sheet.path.name.partition(".")[0]
    note = "no column names a symbol. If all rows are of one, name it as the news do."
    settings.append(Setting("symbol", stem.upper(), (note,), "open"))
    return [], pd.Series(stem, index=sheet.frame.index)


def _lacking(sheet: Sheet, columns: Mapping[str, str]) -> list[Setting]:
    """Name columns that bars need and the file does not seem to have."""
    lacking = [name for name in ("date", *_QUOTES) if name not in columns]
    if not lacking:
        return []
    note = f"no column is like {', '.join(lacking)}; there are {', '.join(map(repr, list(sheet.frame.columns)[:20]))}."
    note += " Name each as columns has the others; a file without volume cannot be traded from."
    return [Setting("columns", None, (note,), "open")]


def _read_prices(path: Path, sheet: Sheet, settings: list[Setting], bars: ProposedBars | None) -> Prices | None:
    """Read the prices as proposed; what is wrong with them is said where they are set."""
    if bars is None or bars.calendar is None or any(one.standing == "open" and one.key != "adjust" for one in settings):
        return None
    try:
        return read_prices(path, calendar=bars.calendar, dialect=sheet.dialect, **_told(settings)).prices
    except EmbargoError as failure:
        settings.append(_fault(failure))
        return None


def _of_venue(venue: Venue, symbols: Sequence[str], news: Sheet) -> _Priced:
    """Return settings of prices that a venue has, and the command that fetches them; nothing is asked here."""
    names = " ".join(symbols)
    kind, bar = ("linear" if any(":" in name for name in symbols) else "spot"), "1h" if venue == "bybit" else "1d"
    options = f"--market {kind} --bar {bar} " if venue == "bybit" else ""
    fetched = f"fetch them first: embargo fetch {venue} {names} {options}--start DATE --store store, from a year before"
    settings = [
        Setting("loader", "store", (f"{fetched} the first article.",), "confirm"),
        Setting("path", "store"),
        Setting("venue", venue),
        Setting("symbols", list(symbols)),
    ]
    found = ["24/7"] if venue == "bybit" else suggested_calendars(symbols) or ["XNYS"]
    if len(found) == 1:
        why = {
            "24/7": "coins trade at all hours.",
            "XNYS": "symbols without an ending are of the United States at Yahoo.",
        }.get(found[0], "so the symbols end.")
        settings.append(Setting("calendar", found[0], (why,), "confirm"))
    else:
        note = f"the symbols are of several exchanges ({', '.join(found)}), and a run has one. Take those of one."
        settings.append(Setting("calendar", "?", (note,), "confirm"))
    if bar != "1d":
        settings.append(Setting("bar", bar))
    return _Priced(settings, list(symbols))


def _of_news(
    sheet: Sheet, priced: _Priced, now: pd.Timestamp, beside: Path, said: str | None
) -> tuple[list[Setting], StampForm, pd.DataFrame | None]:
    columns, notes = news_columns(sheet.frame, priced.symbols)
    date, clock = columns.get("published_at"), columns.pop("clock", None)
    named = {name: column for name, column in columns.items() if clock is None or name != "published_at"}
    settings = [Setting("path", _relative(sheet.path, beside)), _mapped(named, notes), *sheet.settings]
    lacking = [name for name in ("published_at", "text") if name not in columns]
    if lacking:
        there = ", ".join(map(repr, list(sheet.frame.columns)[:20]))
        note = f"no column is like {' or '.join(lacking)}; there are {there}. Name it as columns has the others."
        settings.append(Setting("columns", None, (note,), "open"))
    settings += _symbol_settings(sheet, columns, priced)
    if date is None:
        return settings, StampForm("unknown"), None
    around = None if priced.bars is None else priced.bars.days
    stored = sheet.frame[date]
    if clock is not None:
        settings.append(_time_from(sheet, date, clock))
        stored = _joined(sheet, date, clock)
    form = stamp_form(stored, now=now, around=around, said=said)
    settings += [*_form_settings(form), *day_settings(form)]
    read = None if lacking else _read_news(sheet, settings, form)
    settings += zone_settings(form, date if clock is None else clock, read, priced.calendar, priced.panels)
    return settings, form, read


def _symbol_settings(sheet: Sheet, columns: Mapping[str, str], priced: _Priced) -> list[Setting]:
    if "symbol" not in columns:
        flags = [str(name) for name, kind in sheet.frame.dtypes.items() if pd.api.types.is_bool_dtype(kind)]
        note = "no column names symbols. If all articles are about one, name it here."
        if flags:
            note += (
                f" If columns of true and false say it, such as {', '.join(map(repr, flags[:4]))}, set symbol_flags."
            )
        return [Setting("symbol", (priced.symbols or ["SYMBOL"])[0], (note,), "open")]
    cells = sheet.frame[columns["symbol"]]
    names, sign = symbols_in(cells)
    settings = []
    if sign is not None:
        note = f"cells of {columns['symbol']!r} name several symbols between {sign!r}: one row for each of them."
        settings.append(Setting("symbol_separator", sign, (note,), "confirm"))
    known = set(priced.symbols)
    if not known:
        return settings
    for case, turn in (("upper", str.upper), ("lower", str.lower)):
        if not known & set(names) and known & {turn(name) for name in names}:
            note = f"the news write {names[0]!r}, and the prices {sorted(known)[0]!r}."
            settings.append(Setting("symbol_case", case, (note,), "confirm"))
            names = [turn(name) for name in names]
    absent = sorted(set(names) - known)
    if absent:
        shown = ", ".join(map(repr, absent[:6])) + (f" and {len(absent) - 6:,} more" if len(absent) > 6 else "")
        priced_ones = ", ".join(map(repr, sorted(known)[:4]))
        note = (
            f"{len(absent):,} of {len(set(names)):,} symbols of the news have no prices: {shown}; prices are of "
            f"{priced_ones}. Add their prices, those that were delisted above all, or spell them alike. This line "
            "would leave their news out, and the result would be of survivors if those are the missing ones."
        )
        settings.append(Setting("unpriced", "drop", (note,), "open"))
    return settings


def _read_news(sheet: Sheet, settings: list[Setting], form: StampForm) -> pd.DataFrame | None:
    """Read articles as proposed, a local clock taken for that of UTC; what is wrong is said where they are set."""
    if form.kind in ("open", "unknown") or any(one.standing == "open" and one.key != "unpriced" for one in settings):
        return None
    told = _told(settings)
    if form.kind == "local":
        told["timezone"] = "UTC"
    try:
        return next(iter(stream_news(sheet.path, dialect=sheet.dialect, **told)), None)
    except EmbargoError as failure:
        settings.append(_fault(failure))
        return None


def _told(settings: Sequence[Setting]) -> dict[str, Any]:
    return {one.key: one.value for one in settings if one.key in _OF_LOADER and one.standing in ("known", "confirm")}


def _fault(failure: EmbargoError) -> Setting:
    return Setting("path", None, (f"read as proposed, this is wrong: {failure}",), "open")


def _form_settings(form: StampForm) -> list[Setting]:
    """Return what has to be said of a form of times."""
    settings = []
    if form.kind == "unknown":
        settings.append(
            Setting("time_format", None, (*form.evidence, "Name the form in the codes of strptime."), "open")
        )
    elif form.kind == "open":
        settings.append(Setting("time_format", None, form.evidence, "open", form.rivals))
    elif form.time_format is not None:
        settings.append(Setting("time_format", form.time_format, form.evidence, "confirm"))
    if form.unit is not None:
        settings.append(Setting("timezone", form.unit, form.evidence, "confirm"))
    return settings


def _mapped(columns: Mapping[str, str], notes: Sequence[str]) -> Setting:
    # What is called as here is found by itself.
    others = {name: column for name, column in columns.items() if name != column}
    if not others:
        return Setting("columns", None, tuple(notes), "note")
    return Setting("columns", others, tuple(notes) or ("by their names.",), "confirm")


def _walls(stored: pd.Series) -> pd.Series | None:
    """Return the wall clock that stamps carry in the file."""
    if isinstance(stored.dtype, pd.DatetimeTZDtype):
        walls: pd.Series = stored.dropna().dt.tz_localize(None)
        return walls
    bare = texts_of(stored).str.replace(r"(?i)\s*(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$", "", regex=True)
    read = pd.to_datetime(bare, format="ISO8601", errors="coerce")
    return None if read.isna().any() else read


def _labels(sheet: Sheet) -> list[Setting]:
    notes = []
    if own := [str(column) for column in sheet.frame.columns if squeezed(str(column)) in LABELS]:
        notes.append(
            f"the news have labels of their own in {own[0]!r}. They are of use only if they were made when the article "
            "came out, or their column labels.ends_at says when: whoever labelled later may have seen the prices."
        )
    notes.append("the model learns from the return over the bar that followed each article, complete when that closed.")
    return [
        *([Setting("column", None, tuple(notes[:1]), "note")] if len(notes) > 1 else []),
        Setting("source", "returns", (notes[-1],), "confirm"),
        Setting("horizon_bars", 1),
    ]


def _model() -> list[Setting]:
    note = (
        "the built-in base: pretrained here, on the news before the first test, so that it knows nothing later. It is "
        "small enough for a processor"
    )
    if device_type() == "cuda":
        note += "; this machine has a graphics card, so larger ones can be tuned too ('embargo models' lists them)"
    note += ". A base made elsewhere needs model.knowledge_cutoff, the last day that it could have read of."
    return [Setting("kind", "transformer"), Setting("base", "tiny", (note,), "confirm"), Setting("method", "qlora")]


def _name_of(path: Path) -> str:
    plain = re.sub(r"[^a-z0-9_-]+", "-", path.name.partition(".")[0].casefold()).strip("-_")
    return plain[:40] or "mine"


def _relative(path: Path, beside: Path) -> str:
    return Path(os.path.relpath(path.resolve(), beside.resolve())).as_posix()
