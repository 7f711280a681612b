"""What a finished run says of its data, whatever version wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def data_of(metrics: Mapping[str, Any]) -> str | None:
    """Say in one word what the data of a run were worth.

    Parameters
    ----------
    metrics : mapping
        As in ``metrics.json``.

    Returns
    -------
    str or None
        ``clean``, ``look``, ``bad``, or ``accepted`` where all that is bad was accepted with a reason; None for a run
        from before runs were asked.

    Examples
    --------
    >>> data_of({"data_verdict": "bad", "data_faults": {"splits": {"verdict": "bad", "accepted": "a spin-off"}}})
    'accepted'
    """
    grade, faults = metrics.get("data_verdict"), metrics.get("data_faults")
    told = [fault for fault in faults.values() if isinstance(fault, Mapping)] if isinstance(faults, Mapping) else []
    bad = [fault for fault in told if fault.get("verdict") == "bad"]
    if grade not in ("clean", "look", "bad"):
        return None
    return "accepted" if bad and all(fault.get("accepted") for fault in bad) else str(grade)
