from .dialect import Dialect
from .label_sets import LabelFormat, read_label_set
from .news import LoadedNews, read_news, stream_news
from .panels import prices_from_frames
from .prices import LoadedPrices, read_prices, stream_bars

__all__ = [
    "Dialect",
    "LabelFormat",
    "LoadedNews",
    "LoadedPrices",
    "prices_from_frames",
    "read_label_set",
    "read_news",
    "read_prices",
    "stream_bars",
    "stream_news",
]
