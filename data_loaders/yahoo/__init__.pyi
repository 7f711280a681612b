from .bars import VENUE, calendar_of
from .client import checked_symbols
from .news import YahooNews, fetch_news
from .prices import YahooPrices, fetch_prices

__all__ = [
    "VENUE",
    "YahooNews",
    "YahooPrices",
    "calendar_of",
    "checked_symbols",
    "fetch_news",
    "fetch_prices",
]
