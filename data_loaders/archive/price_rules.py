"""What may be asked of an archive of bars, completed with the names it has anyway and checked for contradictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import pandas as pd

from embargo.data_loaders.archive.files import Table
from embargo.data_loaders.archive.panels import bar_length
from embargo.data_loaders.archive.tables import columns_hint, columns_of, mapped
from embargo.data_loaders.archive.time_forms import TimeForm
from embargo.data_loaders.archive.times import check_time_from, form_of, range_of
from embargo.data_loaders.calendars import length_of
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import PRICE_FIELDS

_KNOWN = ("symbol", "date", "open_at", *PRICE_FIELDS, "adj_close", "seen_at")
_DAY = pd.Timedelta(days=1)


class PriceRequest(TypedDict, total=False):
    """What may be asked of ``read_prices`` and ``stream_bars``; ``read_prices`` says what it means."""

    columns: Mapping[str, str] | None
    filters: Mapping[str, Any] | None
    symbols: Sequence[str] | None
    start: str | pd.Timestamp | None
    end: str | pd.Timestamp | None
    bar: str
    symbol: str | None
    timezone: str | None
    time_format: str | None
    time_from: Sequence[str]


@dataclass(frozen=True)
class PriceRules:
    """Everything that a piece of a price file is put through."""

    columns: Mapping[str, str]
    filters: Mapping[str, Any]
    symbols: tuple[str, ...] | None
    symbol: str | None
    timezone: str | None
    start: pd.Timestamp | None
    end: pd.Timestamp | None
    calendar: str
    bar: str
    form: TimeForm | None = None
    time_from: tuple[str, ...] = ()

    @property
    def length(self) -> pd.Timedelta:
        """Length of a bar."""
        return length_of(self.bar)

    @property
    def daily(self) -> bool:
        """Whether bars are trading days, dated by a label."""
        return bool(self.length == _DAY)

    @property
    def stamp(self) -> str:
        """Canonical name of the column that dates a bar."""
        return "date" if self.daily else "open_at"

    @property
    def wanted(self) -> list[str]:
        """Source columns that these rules read."""
        return [*self.columns.values(), *self.filters, *self.time_from]


def price_rules(
    parts: Sequence[Table], calendar: str, also: Sequence[str] = (), **request: Unpack[PriceRequest]
) -> PriceRules:
    """Complete and check what was asked for; ``also`` are further columns that are needed.

    Raises
    ------
    DataError
        If a column has no source.
    ConfigError
        If the bar is longer than a day, or a setting unknown.
    """
    bar, symbol, timezone = request.get("bar", "1d"), request.get("symbol"), request.get("timezone")
    form = form_of(request.get("time_format"), timezone)
    daily = bar_length(bar, where=str(parts[0])) == _DAY
    time_from = tuple(request.get("time_from", ()))
    if time_from and daily:
        raise ConfigError(
            f"{parts[0]}: time_from is for bars shorter than a day, and a daily bar is named by its trading day alone: "
            f"map that with columns = {{ date = {time_from[0]!r} }}, or set bar."
        )
    check_time_from(time_from, request.get("columns") or {}, "open_at", timezone)
    names = [
        *([] if time_from else ["date" if daily else "open_at"]),
        *PRICE_FIELDS,
        *(["symbol"] if symbol is None else []),
        *also,
    ]
    given = mapped(parts, request.get("columns") or {}, [*names, "seen_at"])
    strange = sorted(set(given) - {*_KNOWN, *names})
    if strange:
        raise ConfigError(
            f"{parts[0]}: columns names {strange[0]!r}, which no price has. Names are {', '.join(_KNOWN)}."
        )
    missing = [name for name in names if name not in given]
    if missing:
        there = columns_of(parts[0])
        hint = columns_hint(parts[0], there)
        shown = [name if len(name) <= 60 else f"{name[:57]}..." for name in there[:40]]
        remedy = "Map them with 'columns'." if hint.startswith("Map") else hint
        remedy += " Or set 'symbol', if all rows are of one." if missing == ["symbol"] else ""
        raise DataError(f"{parts[0]}: no columns for {missing}; it has {shown}. {remedy}")
    symbols = request.get("symbols")
    start, end = range_of(request.get("start"), request.get("end"), where=str(parts[0]))
    return PriceRules(
        columns={name: given[name] for name in [*names, *(["seen_at"] if "seen_at" in given else [])]},
        filters=request.get("filters") or {},
        symbols=None if symbols is None else tuple(symbols),
        symbol=symbol,
        timezone=timezone,
        start=start,
        end=end,
        calendar=calendar,
        bar=bar,
        form=form,
        time_from=time_from,
    )
