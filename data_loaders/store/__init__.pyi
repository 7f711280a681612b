from .additions import Added, sift
from .bar_calendars import calendar_of_bars, calendars_in
from .importing import ImportReport, import_bars, import_news
from .integrity import Damage, StoreHealth
from .manifest import Batch, Cover, FileEntry
from .reading import Snapshot
from .revisions import Versions
from .store import Store

__all__ = [
    "Added",
    "Batch",
    "Cover",
    "Damage",
    "FileEntry",
    "ImportReport",
    "Snapshot",
    "Store",
    "StoreHealth",
    "Versions",
    "calendar_of_bars",
    "calendars_in",
    "import_bars",
    "import_news",
    "sift",
]
