"""What a cache holds, by kind and age, and the removal of what can be made again.

The ledger of attempts and the journal of what endpoints were paid are no such thing: they are never removed. Nothing is
while another process uses the cache, and a kill in the middle leaves nothing half.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from embargo.data_loaders.errors import ConfigError
from embargo.models.drafts import discard, left_behind
from embargo.research.cache import alone_in_cache, ledger_folder

# Where the entries of a kind lie, and what they cost to make again.
KINDS = {
    "bases": ("bases/*", "base models pretrained or fetched here; a built-in one takes minutes to make again"),
    "adapters": (
        "adapters/*",
        "adapters, the outcome of tuning; models are tuned again, and bundles of them need them",
    ),
    "checkpoints": ("adapters/.training-*", "trainings that were interrupted; they begin anew"),
    "scores": ("scores/*", "scores of articles by reader; texts are scored again, those of an endpoint are paid again"),
    "calendars": ("calendars/*", "sessions of exchanges; seconds each, XKRX half a minute"),
    "books": ("books/*", "books that vectorbt kept; booked again, a second each"),
    "computed": ("computed/*", "what chance makes of a run, and findings of its texts; computed again, seconds each"),
    "linear": ("linear/*", "fits of the linear reader; seconds each"),
    "onnx": ("onnx-*", "exported models to score with; made again from adapters"),
    "adapt": ("adapt/*", "what 'embargo adapt' measured of fits; measured again"),
    "leakbench": ("leakbench/*", "worlds that 'embargo leakbench' has carried through; carried through again"),
    "files-read": ("files_read/*", "notes of which files readers of your own opened"),
    "leftovers": (".embargo-draft-*", "what killed processes left half made; of no use to anybody"),
    "old-scores": ("scores.sqlite.moved", "scores of an earlier version, taken over into the folder of scores"),
}
KEPT = {
    "ledger": ("ledger", "every attempt that was made: never removed, since the p-values of later runs pay for them"),
    "endpoints": ("endpoints", "what endpoints answered and were paid: never removed, since budgets go by it"),
}
OTHER = "other"


@dataclass(frozen=True)
class Holding:
    """One thing that a cache holds.

    Attributes
    ----------
    kind : str
        A key of `KINDS` or `KEPT`, or ``"other"``.
    path : Path
    size : int
        Bytes.
    written : float
        When something of it was last written, in seconds since 1970; reading leaves no trace.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.research.upkeep import Holding
    >>> [Holding(kind, Path("cache") / kind, 10, 0.0).removable for kind in ("adapters", "ledger")]
    [True, False]
    """

    kind: str
    path: Path
    size: int
    written: float

    @property
    def removable(self) -> bool:
        """Whether it can be made again."""
        return self.kind in KINDS


def held_in(cache: Path) -> list[Holding]:
    """List what a cache holds, the oldest first in each kind; an empty list where there is none.

    Parameters
    ----------
    cache : Path

    Returns
    -------
    list of Holding

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from embargo.research.upkeep import held_in
    >>> with TemporaryDirectory() as cache:
    ...     (Path(cache) / "calendars").mkdir()
    ...     _ = (Path(cache) / "calendars" / "XNYS").write_text("sessions")
    ...     [(each.kind, each.path.name, each.size) for each in held_in(Path(cache))]
    [('calendars', 'XNYS', 8)]
    """
    found: list[Holding] = []
    places: set[Path] = set()
    for kind, (pattern, _) in (KINDS | KEPT).items():
        hidden = Path(pattern).name.startswith(".")
        paths = [path for path in cache.glob(pattern) if path.name.startswith(".") == hidden]
        if kind == "leftovers":
            paths = _left_in(cache)
        found += sorted((_holding(kind, path) for path in paths), key=lambda one: one.written)
        places |= {cache / Path(pattern).parts[0], *paths}
    rest = [path for path in _inside(cache) if path not in places and not path.name.startswith(".")]
    return found + [_holding(OTHER, path) for path in rest]


def _left_in(cache: Path) -> list[Path]:
    """Return what killed processes left in the rooms of a cache and beside them."""
    rooms = {(cache / pattern).parent for pattern, _ in KINDS.values()}
    return [path for room in sorted(rooms) for path in left_behind(room)]


def remove(cache: Path, chosen: Sequence[Holding]) -> list[Holding]:
    """Remove things from a cache and return those that are gone.

    Parameters
    ----------
    cache : Path
    chosen : sequence of Holding
        Of `held_in`.

    Returns
    -------
    list of Holding
        Those that are gone; one that another process removed meanwhile is not among them.

    Raises
    ------
    ConfigError
        If one of them is never removed, or the ledger of attempts lies in it.
    CacheInUseError
        If another process uses the cache; then nothing is removed.
    OSError
        If something cannot be removed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from embargo.research.upkeep import held_in, remove
    >>> with TemporaryDirectory() as folder:
    ...     (Path(folder) / "linear" / "linear-1a2b").mkdir(parents=True)
    ...     gone = remove(Path(folder), held_in(Path(folder)))
    ...     left = held_in(Path(folder))
    >>> [each.path.name for each in gone], left
    (['linear-1a2b'], [])
    """
    ledger = ledger_folder(cache).resolve()
    for holding in chosen:
        place = holding.path.resolve()
        if not holding.removable or cache.resolve() not in place.parents:
            raise ConfigError(f"{holding.path}: of the kind {holding.kind!r}, which is never removed. Leave it out.")
        if place == ledger or place in ledger.parents or ledger in place.parents:
            raise ConfigError(
                f"{holding.path}: the ledger of attempts ({ledger}) lies there, and is never removed. Set "
                "$EMBARGO_LEDGER to a folder of its own and move the ledger there first."
            )
    gone = []
    with alone_in_cache(cache):
        for holding in chosen:
            # Another process may have removed it since it was listed.
            with suppress(FileNotFoundError):
                discard(holding.path)
                gone.append(holding)
    return gone


def size_told(count: int) -> str:
    """Write a number of bytes.

    Examples
    --------
    >>> from embargo.research.upkeep.holdings import size_told
    >>> size_told(0), size_told(3_400_000)
    ('0 B', '3.4 MB')
    """
    number = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1_000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1_000
    return f"{number:,.1f} TB"


def _holding(kind: str, path: Path) -> Holding:
    size, written = 0, 0.0
    for file in _files_of(path):
        with suppress(OSError):
            seen = file.lstat()
            size, written = size + seen.st_size, max(written, seen.st_mtime)
    return Holding(kind, path, size, written)


def _files_of(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir() and not path.is_symlink():
        for place, _, names in os.walk(path):
            yield from (Path(place) / name for name in names)


def _inside(folder: Path) -> Iterable[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
