"""Which device and which arithmetic this process has, told without loading torch where that can be.

The identity of a score names the device, and a run whose scores are all kept needs nothing else of torch. torch itself
is asked wherever it is loaded already, or a graphics card may be there.
"""

from __future__ import annotations

import ctypes
import re
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

# Without NVIDIA's driver no build of torch finds a graphics card that it calls "cuda"; AMD's builds ask another.
_DRIVERS = ("libcuda.so.1", "libamdhip64.so")
_BUILT_FOR = re.compile(r"^(cuda|hip)\b[^=]*=\s*(.+?)\s*$", re.MULTILINE)
_PROCESSOR = Path("/proc/cpuinfo")


def device_type() -> Literal["cpu", "cuda"]:
    """Return the kind of `device()`, which names scores: ``"cuda"`` where torch finds a graphics card.

    Examples
    --------
    >>> from embargo.models.loading.devices import device_type
    >>> from embargo.models.loading.load import device
    >>> device_type() == device().type
    True
    """
    if "torch" not in sys.modules and _has_no_card():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def multiplies_in_bf16() -> bool:
    """Tell whether the device multiplies in bf16 by itself."""
    if device_type() == "cpu" and "torch" not in sys.modules:
        known = _flags()
        if known is not None:
            return "avx512_bf16" in known
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())


@cache
def _has_no_card() -> bool:
    """Tell whether torch, were it loaded, could find no card: its build knows none, or no driver can be opened."""
    found = find_spec("torch")
    if found is None or found.origin is None:
        return False
    try:
        built = dict(_BUILT_FOR.findall((Path(found.origin).parent / "version.py").read_text(encoding="utf-8")))
    except OSError:
        return False
    if built.keys() == {"cuda", "hip"} and set(built.values()) == {"None"}:
        return True
    return sys.platform == "linux" and not any(map(_opens, _DRIVERS))


def _opens(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


@cache
def _flags() -> frozenset[str] | None:
    """Return what the processor can do, as Linux tells it of x86; None where it does not."""
    try:
        lines = _PROCESSOR.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    told = next((line for line in lines if line.startswith("flags")), None)
    return None if told is None else frozenset(told.partition(":")[2].split())
