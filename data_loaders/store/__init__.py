"""The point-in-time store: facts are appended, never overwritten, and can be asked for as known at any instant.

``Store`` is the door; a ``Snapshot`` is the world as known at one instant.
"""

from embargo.data_loaders.records import Dataset
from embargo.data_loaders.store.integrity import Damage, StoreHealth
from embargo.data_loaders.store.manifest import Batch, Cover, FileEntry
from embargo.data_loaders.store.reading import Snapshot
from embargo.data_loaders.store.revisions import Versions
from embargo.data_loaders.store.store import Store

__all__ = ["Batch", "Cover", "Damage", "Dataset", "FileEntry", "Snapshot", "Store", "StoreHealth", "Versions"]
