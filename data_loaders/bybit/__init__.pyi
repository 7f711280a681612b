from .announcements import ANNOUNCED_BY, VENUE_WIDE, BybitAnnouncements, check_locale
from .connection import BARS, Bybit, BybitCandles, BybitFunding, BybitInstruments, bar_name, connect
from .instruments import VENUES, BybitMarket

__all__ = [
    "ANNOUNCED_BY",
    "BARS",
    "VENUES",
    "VENUE_WIDE",
    "Bybit",
    "BybitAnnouncements",
    "BybitCandles",
    "BybitFunding",
    "BybitInstruments",
    "BybitMarket",
    "bar_name",
    "check_locale",
    "connect",
]
