from .additions import Added, sift
from .bar_calendars import calendar_of_bars, calendars_in
from .importing import ImportReport, import_bars, import_news
from .integrity import StoreHealth
from .lake import export_delta
from .manifest import Cover
from .reading import Snapshot
from .store import Store

__all__ = [
    "Added",
    "Cover",
    "ImportReport",
    "Snapshot",
    "Store",
    "StoreHealth",
    "calendar_of_bars",
    "calendars_in",
    "export_delta",
    "import_bars",
    "import_news",
    "sift",
]
