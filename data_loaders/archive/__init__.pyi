from .dialect import Dialect
from .label_sets import LabelFormat, read_label_set
from .news import LoadedNews, read_news, stream_news
from .panels import prices_from_frames
from .prices import LoadedPrices, read_prices, stream_bars
from .score_files import LoadedScores, read_scores

__all__ = [
    "Dialect",
    "LabelFormat",
    "LoadedNews",
    "LoadedPrices",
    "LoadedScores",
    "prices_from_frames",
    "read_label_set",
    "read_news",
    "read_prices",
    "read_scores",
    "stream_bars",
    "stream_news",
]
