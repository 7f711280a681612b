"""Books that vectorbt has kept before, by all that they depend on: loading vectorbt takes longer than most runs.

What is looked up is what vectorbt would say again. An entry is named by a hash of all numbers that vectorbt is given,
of the processor, the versions of what computes and the code that asks, so that no entry is ever another's; a run that
differs in a single bit is booked anew.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

import numpy as np

_COMPUTES = ("vectorbt", "vectorbt-rust", "numpy", "numba", "pandas")


class Shelf(Protocol):
    """Where arrays are kept by name."""

    def get(self, name: str) -> Mapping[str, np.ndarray] | None:
        """Return what is kept under a name, None where nothing whole is."""

    def put(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays under a name."""


def name_of(arrays: Mapping[str, np.ndarray], code: Path) -> str:
    """Name books by all that they depend on.

    Parameters
    ----------
    arrays : mapping of str to array
        Every number that the bookkeeper is given.
    code : Path
        The module that asks it.

    Returns
    -------
    str
        64 hex digits.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from embargo.backtest.books import shelf
    >>> code = Path(shelf.__file__)
    >>> one, other = ({"sizes": np.array([1.0, last])} for last in (2.0, np.nextafter(2.0, 3.0)))
    >>> shelf.name_of(one, code) == shelf.name_of(one, code), shelf.name_of(one, code) == shelf.name_of(other, code)
    (True, False)
    """
    digest = hashlib.sha256(code.read_bytes())
    # Loops are compiled for the processor that they run on.
    features = np.show_config(mode="dicts")["SIMD Extensions"]
    digest.update(repr([platform.machine(), features, *((name, _version(name)) for name in _COMPUTES)]).encode())
    for name, array in sorted(arrays.items()):
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
