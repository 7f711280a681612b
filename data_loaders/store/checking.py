"""A full check of a store: every file is hashed and every entry is read anew; damage is reported, not raised."""

from __future__ import annotations

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.store.article_lists import false_lists
from embargo.data_loaders.store.files import Folder
from embargo.data_loaders.store.integrity import Damage, StoreHealth, SweptError, Verifier, orphans
from embargo.data_loaders.store.manifest import Batch, Manifest, VisibleBatches, entry_name, visible


def _entries(folder: Folder, manifest: Manifest) -> tuple[list[Batch], list[Damage]]:
    sound, broken = [], []
    for batch_id in manifest.ids():
        try:
            document = Manifest(folder).entry(batch_id)
        except DataError as failure:
            broken.append(Damage(entry_name(batch_id), batch_id, "", str(failure)))
            continue
        if document is not None:
            sound.append(document)
    return sound, broken


def check(folder: Folder, manifest: Manifest) -> StoreHealth:
    """Hash every file and read every entry anew (see ``Store.check``)."""
    names = folder.all_names()
    batches, broken = _entries(folder, manifest)
    listing = VisibleBatches(visible(batches))
    verifier = Verifier(folder)
    for batch in listing.batches:
        for entry in batch.files:
            try:
                verifier.path_of(batch, entry)
            except SweptError:
                broken.append(Damage(entry.path, batch.id, batch.source, "the file is missing"))
            except DataError as failure:
                broken.append(Damage(entry.path, batch.id, batch.source, str(failure)))
    broken += false_lists(folder, verifier, listing.batches)
    files = [entry for batch in listing.batches for entry in batch.files]
    return StoreHealth(
        batches=len(listing.batches),
        files=len(files),
        rows=sum(entry.rows for entry in files),
        bytes=sum(entry.bytes for entry in files),
        damaged=tuple(broken),
        orphans=tuple(orphans(names, batches)),
    )
