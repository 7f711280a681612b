"""What bars are: how long, of which calendar, and on whose clock; holidays and hours are the evidence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from embargo.data_loaders.archive.times import later_of
from embargo.data_loaders.calendars import ROUND_THE_CLOCK, sessions, zone_of
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import utc_microseconds
from embargo.data_loaders.store.bar_calendars import CANDIDATES
from embargo.research.proposing.lines import Setting
from embargo.research.proposing.stamps import StampForm

# What Yahoo and others write behind a symbol, and the calendar of that exchange.
_SUFFIXES = {
    "L": "XLON", "DE": "XETR", "F": "XFRA", "PA": "XPAR", "AS": "XAMS", "BR": "XBRU", "MI": "XMIL", "MC": "XMAD",
    "SW": "XSWX", "ST": "XSTO", "CO": "XCSE", "HE": "XHEL", "OL": "XOSL", "T": "XTKS", "HK": "XHKG", "SS": "XSHG",
    "SZ": "XSHG", "KS": "XKRX", "TW": "XTAI", "NS": "XBOM", "BO": "XBOM", "TO": "XTSE", "AX": "XASX", "SA": "BVMF",
}  # fmt: skip
_COIN = r"(?i)(?:.*[-/](?:USDT?|USDC|EUR|BTC)(?::\w+)?|[A-Z]{2,6}USD[TC]?|BTC|ETH)"
# A year holds the holidays by which exchanges differ.
_YEAR = 250
_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class ProposedBars:
    """What bars were found to be.

    Attributes
    ----------
    calendar : str or None
        None where that is open.
    bar : str
        Length, such as ``"1d"``.
    settings : tuple of Setting
    days : (Timestamp, Timestamp)
        Naive: the first and the last.
    """

    calendar: str | None
    bar: str
    settings: tuple[Setting, ...]
    days: tuple[pd.Timestamp, pd.Timestamp]

    @property
    def daily(self) -> bool:
        """Whether a bar is a trading day."""
        return self.bar == "1d"


def length_of_bars(stamps: pd.Series, symbols: pd.Series) -> str:
    """Return the length of bars that follow one another in each symbol, such as ``"1h"``; a day where they are longer.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.research.proposing.exchange import length_of_bars
    >>> hours = pd.Series(pd.date_range("2024-01-01", periods=48, freq="h"))
    >>> length_of_bars(hours, pd.Series("BTC/USDT", index=hours.index))
    '1h'
    """
    order = pd.DataFrame({"symbol": symbols.loc[stamps.index], "at": stamps}).sort_values(["symbol", "at"])
    steps = order["at"].diff().loc[order["symbol"] == order["symbol"].shift()]
    steps = steps.loc[steps > pd.Timedelta(0)]
    if steps.empty or (usual := steps.mode().iloc[0]) > pd.Timedelta(hours=18):
        return "1d"
    minutes = max(round(usual / pd.Timedelta(minutes=1)), 1)
    return f"{minutes // 60}h" if minutes % 60 == 0 else f"{minutes}min"


def suggested_calendars(symbols: Sequence[str]) -> list[str]:
    """Return the calendars that the symbols themselves speak of: of their endings, or of coins."""
    if symbols and all(re.fullmatch(_COIN, name) for name in symbols):
        return [ROUND_THE_CLOCK]
    endings = {name.rpartition(".")[2] for name in symbols if "." in name}
    return sorted({_SUFFIXES[ending] for ending in endings if ending in _SUFFIXES})


def bars_of(form: StampForm, symbols: pd.Series, *, stored: pd.Series | None = None) -> ProposedBars:
    """Tell what bars are.

    Parameters
    ----------
    form : StampForm
        Of the column that dates them; not open.
    symbols : Series of str
        By row.
    stored : Series, optional
        The wall clock that aware stamps carry in the file, naive.
    """
    bar = length_of_bars(form.stamps, symbols)
    names = [str(name) for name in symbols.unique()]
    asked = [*suggested_calendars(names), *CANDIDATES]
    if bar == "1d":
        return _daily(form, asked, names, stored)
    return _intraday(form, asked, bar)


def _daily(form: StampForm, asked: list[str], names: list[str], stored: pd.Series | None) -> ProposedBars:
    settings: list[Setting] = []
    stamps = form.stamps if stored is None else stored
    days = pd.DatetimeIndex(stamps.dt.normalize().unique()).sort_values()
    timed = float((stamps != stamps.dt.normalize()).mean())
    if timed and form.kind == "aware":
        zone = _zone_of_midnights(form.stamps, asked)
        if zone is not None:
            local = form.stamps.dt.tz_localize("UTC").dt.tz_convert(zone).dt.tz_localize(None)
            days = pd.DatetimeIndex(local.unique()).sort_values()
            note = f"each stamp is midnight in {zone}, summer and winter: these are its days."
            settings.append(Setting("timezone", zone, (note,), "confirm"))
            timed = 0.0
    if timed:
        at = stamps.loc[stamps != stamps.dt.normalize()].iloc[0]
        note = (
            f"bars are a day apart, and {timed:.0%} of their stamps carry a time of day, such as {at}. A daily bar is "
            "named by its trading day alone: write the day of the session that the prices are of."
        )
        settings.append(Setting("date", None, (note,), "open"))
    calendar, chosen = _calendar_of_days(days, list(dict.fromkeys(asked)), suggested_calendars(names))
    return ProposedBars(calendar, "1d", (chosen, *settings), (days[0], days[-1]))


def _zone_of_midnights(stamps: pd.Series, asked: list[str]) -> str | None:
    for code in dict.fromkeys(asked):
        zone = zone_of(code)
        local = stamps.dt.tz_localize("UTC").dt.tz_convert(zone).dt.tz_localize(None)
        if (local == local.dt.normalize()).all():
            return zone.key
    return None


def _calendar_of_days(days: pd.DatetimeIndex, asked: list[str], suggested: list[str]) -> tuple[str | None, Setting]:
    """Choose the calendar whose sessions these days are, with the fewest sessions that have no bar."""
    weekend = (days.day_of_week >= 5).mean()
    if weekend > 0.2:
        note = f"{weekend:.0%} of the {len(days):,} days with bars are Saturdays and Sundays: trade never stops."
        return ROUND_THE_CLOCK, Setting("calendar", ROUND_THE_CLOCK, (note,), "confirm")
    fits: dict[str, tuple[int, int, pd.DatetimeIndex]] = {}
    for code in asked:
        if code == ROUND_THE_CLOCK:
            continue
        try:
            known = pd.DatetimeIndex(sessions(code, days[0], days[-1]).index)
        except (ConfigError, DataError):  # of years that this calendar does not record
            continue
        strangers = days.difference(known)
        fits[code] = (len(strangers), len(known.difference(days)), strangers)
        if fits[code][:2] == (0, 0) and len(days) >= _YEAR:
            break
    return _best_of(fits, len(days), suggested)


def _best_of(
    fits: dict[str, tuple[int, int, pd.DatetimeIndex]], n: int, suggested: list[str]
) -> tuple[str | None, Setting]:
    if not fits:
        note = "no calendar records these years. Name an exchange_calendars code, such as XNYS, or 24/7."
        return None, Setting("calendar", "?", (note,), "confirm")
    best = min(fits.values(), key=lambda fit: fit[:2])[:2]
    alike = [code for code, fit in fits.items() if fit[:2] == best]
    named = [code for code in alike if code in suggested]
    if len(alike) == 1 or len(named) == 1:
        code = (named or alike)[0]
        wrong, without, strangers = fits[code]
        note = f"{n - wrong:,} of the {n:,} days with bars are sessions of {code}"
        note += f", of which {without:,} have no bar" if without else ", and each of its sessions has one"
        note += ", and the symbols end as its do." if code in suggested else "."
        if wrong:
            note += f" No sessions: {', '.join(f'{day:%Y-%m-%d (%a)}' for day in strangers[:4])}: is it the exchange?"
        return code, Setting("calendar", code, (note,), "confirm")
    note = (
        f"the {n:,} days with bars fit {', '.join(alike)} alike, and these open at different hours. Name the exchange:"
    )
    note += " a later open than the true one would let news into prices that were made before it."
    # A setting left out would be New York without a word.
    return None, Setting("calendar", "?", (note,), "confirm")


def _intraday(form: StampForm, asked: list[str], bar: str) -> ProposedBars:
    stamps = form.stamps
    length = Setting("bar", bar, (f"bars of a symbol are mostly {bar} apart.",), "confirm")
    days = (stamps.min().normalize(), stamps.max().normalize())
    local = form.kind in ("local", "dates")
    weekday = stamps.dt.day_of_week
    if min((weekday == day).mean() for day in (5, 6)) > 0.1:
        share = (weekday >= 5).mean()
        note = f"{share:.0%} of the bars are of Saturdays and Sundays: trade never stops."
        calendar = Setting("calendar", ROUND_THE_CLOCK, (note,), "confirm")
        asked_for = [_open_zone(("UTC", "America/New_York"))] if local else []
        return ProposedBars(ROUND_THE_CLOCK, bar, (calendar, length, *asked_for), days)
    fits: dict[tuple[str, str | None], tuple[int, int]] = {}
    for code in dict.fromkeys(asked):
        if code == ROUND_THE_CLOCK:
            continue
        zones: tuple[str | None, ...] = tuple(dict.fromkeys((zone_of(code).key, "UTC"))) if local else (None,)
        for zone in zones:
            try:
                missed = _missed(stamps, code, zone)
            except (ConfigError, DataError):
                continue
            if missed is not None:
                fits[code, zone] = missed
    least = min(fits.values(), default=(0, 0))
    alike = [pair for pair, missed in fits.items() if missed == least]
    if len(alike) != 1:
        return _untold(alike, length, days, local=local)
    code, found = alike[0]
    note = f"every bar opens in a session of {code}" + (f" if its clock is that of {found}." if found else ".")
    settings = [Setting("calendar", code, (note,), "confirm"), length]
    if found is not None:
        note = f"read as {found} every bar opens in a session of {code}, summer and winter, and the first as it opens; "
        note += "no other way tried fits as well."
        settings.append(Setting("timezone", found, (note,), "confirm"))
    return ProposedBars(code, bar, tuple(settings), days)


def _untold(
    alike: list[tuple[str, str | None]], length: Setting, days: tuple[pd.Timestamp, pd.Timestamp], *, local: bool
) -> ProposedBars:
    said = ", ".join(f"{code} on the clock of {zone}" if zone else code for code, zone in alike[:5])
    note = (
        f"the bars open in sessions of {said} alike."
        if alike
        else "the bars open in the sessions of no calendar tried."
    )
    codes = list(dict.fromkeys(code for code, _ in alike))
    calendar = (
        Setting("calendar", codes[0], (note,), "confirm")
        if len(codes) == 1
        else Setting("calendar", "?", (f"{note} Name the exchange.",), "confirm")
    )
    settings = [calendar, length]
    if local:
        settings.append(_open_zone(tuple(dict.fromkeys(str(zone) for _, zone in alike)) or ("UTC", "America/New_York")))
    return ProposedBars(codes[0] if len(codes) == 1 else None, length.value, tuple(settings), days)


def _open_zone(zones: tuple[str, ...]) -> Setting:
    note = (
        "the times of the bars carry no zone, and bars alone do not tell it. Look it up where they come from: a bar "
        "dated too early shows prices before they were made."
    )
    return Setting("timezone", zones[0], (note,), "open", zones[1:])


def _missed(stamps: pd.Series, code: str, zone: str | None) -> tuple[int, int] | None:
    """Count sessions without a bar, and those whose first bar does not open with them; None if a bar is in none."""
    instants = stamps.dt.tz_localize("UTC") if zone in (None, "UTC") else later_of(stamps, str(zone))
    at = np.unique(utc_microseconds(instants))
    table = sessions(code, instants.min() - _DAY, instants.max() + _DAY)
    opens, closes = utc_microseconds(table["open_at"]), utc_microseconds(table["close_at"])
    row = np.searchsorted(opens, at, side="right") - 1
    if not ((row >= 0) & (at < closes[np.maximum(row, 0)])).all():
        return None
    held, first = np.unique(row, return_index=True)
    return int(row.max() - row.min() + 1 - len(held)), int((at[first] != opens[held]).sum())
