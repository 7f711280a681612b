"""What Bybit trades: its spot pairs and linear perpetuals, their listing dates, and the names people give them.

Bybit's spot list holds only pairs that trade now and states no listing date; its linear list is asked for delisted
perpetuals too. A name is resolved to exactly one instrument or refused with those it may have meant.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from embargo.data_loaders.bybit.transport import Transport, listed
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.fields import UTC_DTYPE

BybitMarket = Literal["spot", "linear"]
VENUES: dict[str, str] = {"spot": "bybit-spot", "linear": "bybit-linear"}

# Without a status Bybit lists only what trades now; the first list that names an id wins.
_STATUSES: dict[BybitMarket, tuple[str | None, ...]] = {
    "spot": (None,),
    "linear": (None, "PreLaunch", "Delivering", "Closed"),
}
_PARAMETER_ERROR = frozenset({"10001"})


@dataclass(frozen=True)
class Instrument:
    """One instrument; ``launch`` and ``delivery`` are milliseconds UTC, 0 where Bybit does not state them."""

    id: str
    base: str
    quote: str
    settle: str
    status: str
    launch: int = 0
    delivery: int = 0


def venue_of(market: str) -> str:
    """Return the store's name of a market, refusing any but spot and linear."""
    if market not in VENUES:
        raise ConfigError(
            f"market {market!r} is unknown. Use 'spot' or 'linear' (perpetuals margined in USDT or USDC)."
        )
    return VENUES[market]


def load_instruments(transport: Transport, market: BybitMarket) -> tuple[dict[str, Instrument], dict[str, int]]:
    """Ask for every instrument of a market, page by page.

    Returns
    -------
    (instruments by id, counts)
        Counts: ``instruments``, ``not_perpetual`` (dated futures, left out), ``malformed`` (left out).

    Raises
    ------
    ServiceError
        If Bybit cannot be reached or refuses.
    """
    venue_of(market)
    found: dict[str, Instrument] = {}
    counts = {"instruments": 0, "not_perpetual": 0, "malformed": 0}
    for status in _STATUSES[market]:
        seen: set[str] = set()
        cursor = ""
        while True:
            params: dict[str, Any] = {"category": market, "limit": 1000}
            params |= {} if status is None else {"status": status}
            params |= {"cursor": cursor} if cursor else {}
            # A status that Bybit no longer knows has no instruments; the plain list must answer.
            tolerated = _PARAMETER_ERROR if status else frozenset[str]()
            what = f"Bybit {market} instruments"
            page = transport.ask("publicGetV5MarketInstrumentsInfo", params, what=what, tolerated=tolerated)
            rows = listed(page, what=what) if page or not status else []
            fresh = [row for row in rows if isinstance(row, dict) and str(row.get("symbol")) not in seen]
            counts["malformed"] += sum(not isinstance(row, dict) for row in rows)
            for row in fresh:
                seen.add(str(row.get("symbol")))
                _take(row, market, found, counts)
            cursor = str(page.get("nextPageCursor") or "")
            if not cursor or not fresh:
                break
    counts["instruments"] = len(found)
    return found, counts


def _take(row: dict[str, Any], market: BybitMarket, found: dict[str, Instrument], counts: dict[str, int]) -> None:
    if market == "linear" and row.get("contractType") != "LinearPerpetual":
        counts["not_perpetual"] += 1
        return
    try:
        instrument = Instrument(
            id=row["symbol"],
            base=row["baseCoin"],
            quote=row["quoteCoin"],
            settle=row.get("settleCoin") or row["quoteCoin"],
            status=row.get("status") or "unknown",
            launch=int(row.get("launchTime") or 0),
            delivery=int(row.get("deliveryTime") or 0),
        )
        instants([instrument.launch, instrument.delivery])
    except (KeyError, TypeError, ValueError, OverflowError):
        counts["malformed"] += 1
        return
    if not all(isinstance(text, str) and text for text in (instrument.id, instrument.base, instrument.quote)):
        counts["malformed"] += 1
        return
    found.setdefault(instrument.id, instrument)


def resolve(symbol: str, instruments: dict[str, Instrument], market: BybitMarket) -> Instrument:
    """Find the instrument that ``BTCUSDT``, ``BTC/USDT`` or ``BTC/USDT:USDT`` names in a market.

    In the linear market ``BTC/USDT`` is the perpetual that settles in USDT; in the spot market ``:USDT`` is ignored.

    Raises
    ------
    ConfigError
        If there is none, naming the nearest.
    """
    name = symbol.strip().upper()
    if name in instruments:
        return instruments[name]
    pair, _, settle = name.partition(":")
    base, slash, quote = pair.partition("/")
    if slash:
        wanted = settle or quote
        for instrument in instruments.values():
            same = instrument.quote == quote if market == "spot" else instrument.settle == wanted
            if instrument.base == base and same:
                return instrument
    near = difflib.get_close_matches((base + quote) if slash else name, instruments, n=3, cutoff=0.6)
    hint = f"Did you mean {', '.join(near)}?" if near else "No traded name is near it."
    gone = " Bybit lists only spot pairs that trade now." if market == "spot" else ""
    raise ConfigError(f"{symbol!r} is no instrument of Bybit's {market} market. {hint}{gone}")


def instants(milliseconds: Iterable[int]) -> pd.Series:
    """Milliseconds since 1970 as UTC instants in microseconds, 0 as missing."""
    numbers = pd.Series([value or None for value in milliseconds], dtype="Int64")
    return pd.to_datetime(numbers, unit="ms", utc=True).astype(UTC_DTYPE)


def instruments_frame(instruments: Iterable[Instrument], market: BybitMarket, *, now: pd.Timestamp) -> pd.DataFrame:
    """Write instruments as facts: venue, symbol, kind, base, quote, status, listed_at, delisted_at, seen_at."""
    rows = sorted(instruments, key=lambda instrument: instrument.id)
    frame = pd.DataFrame(
        {
            "venue": pd.Series([VENUES[market]] * len(rows), dtype="str"),
            "symbol": pd.Series([row.id for row in rows], dtype="str"),
            "kind": pd.Series([market] * len(rows), dtype="str"),
            "base": pd.Series([row.base for row in rows], dtype="str"),
            "quote": pd.Series([row.quote for row in rows], dtype="str"),
            "status": pd.Series([row.status for row in rows], dtype="str"),
        }
    )
    frame["listed_at"] = instants(row.launch for row in rows)
    frame["delisted_at"] = instants(row.delivery for row in rows)
    frame["seen_at"] = pd.Series([now] * len(rows), dtype=UTC_DTYPE)
    return frame
