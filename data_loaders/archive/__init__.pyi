from .label_sets import LabelFormat, read_label_set
from .news import LoadedNews, NewsStream, read_news, stream_news
from .panels import prices_from_frames
from .prices import BarStream, LoadedPrices, read_prices, stream_bars

__all__ = [
    "BarStream",
    "LabelFormat",
    "LoadedNews",
    "LoadedPrices",
    "NewsStream",
    "prices_from_frames",
    "read_label_set",
    "read_news",
    "read_prices",
    "stream_bars",
    "stream_news",
]
