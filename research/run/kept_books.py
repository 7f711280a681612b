"""Books that vectorbt has kept before, as files of the cache: a run that is repeated does not load vectorbt."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# Of larger accounts the books are a small part of the run that made them.
MOST_BYTES = 16_000_000


@dataclass(frozen=True)
class KeptBooks:
    """A shelf of files, each ``<name>.npz``.

    Attributes
    ----------
    folder : Path

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from embargo.research.run.kept_books import KeptBooks
    >>> with TemporaryDirectory() as folder:
    ...     shelf = KeptBooks(Path(folder))
    ...     shelf.put("ab12", {"equity": np.array([100.0, 101.5])})
    ...     shelf.get("ab12")["equity"].tolist(), shelf.get("cd34")
    ([100.0, 101.5], None)
    """

    folder: Path

    def get(self, name: str) -> Mapping[str, np.ndarray] | None:
        """Return what is kept under a name, None where nothing whole is."""
        # A file that is absent, torn or damaged is no fault: zip files carry a sum of every part, and what it held is
        # booked again.
        with suppress(Exception), self._file(name).open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
            return {each: kept[each] for each in kept.files}
        return None

    def put(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays under a name, unless they are large or nothing can be written."""
        if sum(array.nbytes for array in arrays.values()) > MOST_BYTES:
            return
        file = self._file(name)
        draft = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
        # Nothing is lost where nothing can be kept: a full disk, a folder without rights.
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                with draft.open("wb") as stream:
                    np.savez(stream, allow_pickle=False, **arrays)
                draft.replace(file)
            finally:
                draft.unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.npz"
