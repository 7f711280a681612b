"""Memory that nobody holds any more, given back to the machine."""

from __future__ import annotations

import pyarrow as pa


def release_unused() -> None:
    """Give back what Arrow's allocator keeps of what was let go.

    It keeps all of it for what may come: after two million texts were parted into words, 1.4 GB. Where there is nothing
    to give back this takes microseconds.

    Examples
    --------
    >>> from embargo.data_loaders.memory import release_unused
    >>> release_unused()
    """
    pa.default_memory_pool().release_unused()
