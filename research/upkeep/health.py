"""Whether an installation has all that it needs: versions, card, cache, hub, names, disk, memory and threads.

Every look is short and changes nothing: no model is loaded, torch only where a graphics card is, and the hub gets three
seconds in a thread that is left behind.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import embargo
from embargo.data_loaders.errors import EmbargoError
from embargo.models.loading.devices import device_type
from embargo.research.cache import ledger_folder
from embargo.research.upkeep.holdings import held_in, size_told

Fitness = Literal["fine", "look", "wrong"]
DISTRIBUTION = "embargo-backtest"
HUB_S = 3.0
# A built-in base and its adapters take some hundred megabytes, a run of real data gigabytes.
DISK_WRONG, DISK_LOOK = 200_000_000, 5_000_000_000
MEMORY_LOOK = 2_000_000_000
_ROOT = Path(embargo.__file__).resolve().parent


@dataclass(frozen=True)
class Symptom:
    """What one look found.

    Attributes
    ----------
    what : str
        What was looked at.
    grade : {"fine", "look", "wrong"}
        ``"wrong"`` keeps Embargo, or a part of it that needs no extra, from working.
    said : str
    remedy : str
        What to do; empty where nothing is to be done.

    Examples
    --------
    >>> from embargo.research.upkeep import Symptom
    >>> Symptom("memory", "fine", "19.0 GB left.").remedy
    ''
    """

    what: str
    grade: Fitness
    said: str
    remedy: str = ""


def examine(cache: Path) -> list[Symptom]:
    """Look at everything once.

    Parameters
    ----------
    cache : Path
        From `embargo.research.cache.cache_folder`.

    Returns
    -------
    list of Symptom
        One of each look, in the order in which they matter.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.research.upkeep import examine
    >>> {"python", "packages", "cache", "ledger"} <= {each.what for each in examine(Path("nowhere"))}
    True
    """
    looks: tuple[Callable[[], Symptom], ...] = (
        python,
        packages,
        graphics_card,
        four_bits,
        lambda: cache_held(cache),
        lambda: ledger_place(cache),
        hub,
        names,
        lambda: disk(cache),
        memory,
        threads,
    )
    return [look() for look in looks]


def python() -> Symptom:
    """Hold this Python against what the package asks for."""
    said = f"{platform.python_version()} at {sys.executable}, embargo {embargo.__version__} at {_ROOT}"
    asked = _project().get("requires-python", "")
    if asked and not _fits(platform.python_version(), asked):
        return Symptom("python", "wrong", said, f"Embargo needs Python {asked}: make a new environment with one.")
    return Symptom("python", "fine", said)


def packages() -> Symptom:
    """Hold the packages that are installed against what is required, and against those that tests were run with."""
    wrong, other, checked = [], [], 0
    tested = dict(_tested())
    for name, asked in _required():
        checked += 1
        found = _version(name)
        if found is None:
            wrong.append(f"{name} is not installed ({asked or 'any version'} is needed)")
        elif asked and not _fits(found, asked):
            wrong.append(f"{name} is {found}, and {asked} is needed")
        elif (known := tested.get(_canonical(name))) is not None and found.partition("+")[0] != known:
            other.append(f"{name} {found} (tested: {known})")
    if wrong:
        remedy = f"Install them anew: pip install --constraint constraints.txt '{DISTRIBUTION}'."
        return Symptom("packages", "wrong", "; ".join(wrong) + ".", remedy)
    said = f"all {checked} that are needed fit"
    if other:
        remedy = (
            "Figures may differ in their last digits from those of other machines; constraints.txt names the tested."
        )
        return Symptom("packages", "look", f"{said}; others than tested: {', '.join(other)}.", remedy)
    return Symptom("packages", "fine", said + (", in the versions that tests were run with." if tested else "."))


def graphics_card() -> Symptom:
    """Say whether torch finds a card; without one torch is not even loaded."""
    if find_spec("torch") is None:
        return Symptom("graphics card", "wrong", "torch is not installed.", "Install torch first, as the README says.")
    if device_type() == "cpu":
        seen = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        if seen:
            remedy = f"torch {_version('torch')} has no use for it: install a build of torch with CUDA."
            return Symptom("graphics card", "look", f"the system has {len(seen)}, and torch finds none.", remedy)
        return Symptom("graphics card", "fine", "none; models are tuned on the processor.")
    import torch

    cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    said = ", ".join(f"{card.name} ({size_told(card.total_memory)})" for card in cards)
    return Symptom("graphics card", "fine", f"{said}, CUDA {torch.version.cuda}.")


def four_bits() -> Symptom:
    """Say whether weights can be held in four bits, as QLoRA does."""
    spec = find_spec("bitsandbytes")
    if spec is None or spec.origin is None:
        remedy = "Install bitsandbytes, or tune with method = 'lora'."
        return Symptom("4-bit weights", "look", "bitsandbytes is not installed: no QLoRA.", remedy)
    kinds = {"cuda": "a graphics card", "cpu": "the processor"}
    files = [file.name for file in Path(spec.origin).parent.glob("libbitsandbytes_*")]
    there = [words for kind, words in kinds.items() if any(kind in name for name in files)]
    needed = kinds[device_type()]
    said = f"bitsandbytes {_version('bitsandbytes')}, built for {' and '.join(there) or 'nothing that is known'}"
    if needed not in there:
        remedy = "Install a build of bitsandbytes for it, or tune with method = 'lora'."
        return Symptom("4-bit weights", "look", f"{said}, and not for {needed}.", remedy)
    return Symptom("4-bit weights", "fine", f"{said}.")


def cache_held(cache: Path) -> Symptom:
    """Say how much the cache holds, and whether it can be written to."""
    fault = _unwritable(cache)
    if fault:
        return Symptom("cache", "wrong", f"{cache}: {fault}.", "Name another with $EMBARGO_CACHE or --cache.")
    sizes: dict[str, int] = {}
    for each in held_in(cache):
        sizes[each.kind] = sizes.get(each.kind, 0) + each.size
    told = ", ".join(f"{kind} {size_told(count)}" for kind, count in sizes.items()) or "empty"
    return Symptom("cache", "fine", f"{cache}: {told}.")


def ledger_place(cache: Path) -> Symptom:
    """Say where attempts are written down."""
    try:
        ledger = ledger_folder(cache)
    except EmbargoError as failure:
        return Symptom("ledger", "wrong", str(failure), "Runs write every attempt down before they train anything.")
    fault = _unwritable(ledger)
    if fault:
        remedy = "Runs and sweeps stop before they train anything: name another folder with $EMBARGO_LEDGER."
        return Symptom("ledger", "wrong", f"{ledger}: {fault}.", remedy)
    windows = len(list(ledger.glob("*.window")))
    return Symptom("ledger", "fine", f"{ledger}: attempts on {windows:,} windows of bars and prices.")


def hub() -> Symptom:
    """Try to reach the model hub, three seconds at most; embargo works without it."""
    without = "bases are taken from folders and from what was fetched before."
    for switch in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(switch, "").strip().casefold() in ("1", "true", "yes", "on"):
            return Symptom("model hub", "fine", f"switched off by ${switch}: {without}")
    from huggingface_hub.constants import ENDPOINT

    address = urlsplit(os.environ.get("HF_ENDPOINT") or ENDPOINT)
    host = address.hostname or ""
    proxy = getproxies().get(address.scheme)
    through = urlsplit(proxy) if proxy and not proxy_bypass(host) else address
    port = through.port or (443 if through.scheme == "https" else 80)
    answered: list[bool] = []

    def ask() -> None:
        with suppress(OSError), socket.create_connection((through.hostname or "", port), timeout=HUB_S):
            answered.append(True)

    # A name that nobody resolves can take minutes, which no time-out of a socket ends.
    asking = Thread(target=ask, daemon=True, name="hub")
    asking.start()
    asking.join(HUB_S)
    way = "" if through is address else f" through the proxy {through.hostname}"
    if answered:
        return Symptom("model hub", "fine", f"{host} is reached{way}.")
    return Symptom("model hub", "look", f"{host} is not reached{way} within {HUB_S:g} s: {without}")


def names() -> Symptom:
    """Look for other packages of our name, which Python may take in our place."""
    path = [Path(place or ".") for place in dict.fromkeys(sys.path)]
    clashes = list(_rivals(path))
    if _version("embargo") is not None:
        clashes.append(f"the distribution embargo {_version('embargo')}, another project")
    here = [each for each in _rivals([Path()]) if each not in clashes]
    if not clashes and not here:
        return Symptom("names", "fine", "no other package is called embargo.")
    remedy = (
        "Python imports whichever its path has first: remove it ('pip uninstall embargo', then install "
        f"{DISTRIBUTION} again), rename the folder or file, or start from another folder."
    )
    grade: Fitness = "wrong" if clashes else "look"
    return Symptom("names", grade, f"called embargo too: {', '.join([*clashes, *here])}.", remedy)


def _rivals(path: Iterable[Path]) -> Iterator[str]:
    for place in path:
        if (place / "embargo.py").is_file():
            yield str((place / "embargo.py").absolute())
        # A folder without an __init__ counts after all packages, so that one of runs or notes does no harm.
        if (place / "embargo" / "__init__.py").is_file() and (place / "embargo").resolve() != _ROOT:
            yield str((place / "embargo").absolute())


def disk(cache: Path) -> Symptom:
    """Say how much space is left where the cache and the runs go."""
    told, grades = [], []
    for what, place in (("cache", cache), ("here", Path.cwd())):
        free = shutil.disk_usage(_nearest(place)).free
        told.append(f"{size_told(free)} free ({what})")
        grades.append("wrong" if free < DISK_WRONG else "look" if free < DISK_LOOK else "fine")
    grade: Fitness = "wrong" if "wrong" in grades else "look" if "look" in grades else "fine"
    remedy = "" if grade == "fine" else "Make room: 'embargo clean' shows what the cache holds."
    return Symptom("disk", grade, f"{', '.join(told)}.", remedy)


def memory() -> Symptom:
    """Say how much memory is left."""
    try:
        told = Path("/proc/meminfo").read_text(encoding="ascii")
        left = int(re.findall(r"MemAvailable:\s+(\d+) kB", told)[0]) * 1_024
    except (OSError, IndexError, ValueError):
        return Symptom("memory", "fine", "not known on this system.")
    if left < MEMORY_LOOK:
        remedy = "Tuning a small base takes about this much: end other programs, or run with --engine serial."
        return Symptom("memory", "look", f"{size_told(left)} left.", remedy)
    return Symptom("memory", "fine", f"{size_told(left)} left.")


def threads() -> Symptom:
    """Say how many processors there are, and which wishes for threads are set."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wishes = [f"{name}={os.environ[name]}" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in os.environ]
    said = f"{cores} processors may be used{', ' + ' and '.join(wishes) if wishes else ''}; each task takes one thread"
    return Symptom("threads", "fine", f"{said}, whatever is set, so that figures are the same everywhere.")


def _project() -> dict[str, str]:
    """Return what this installation asks of Python, as its metadata or its checkout say."""
    checkout = _checkout()
    if checkout is not None:
        return {"requires-python": str(checkout["requires-python"])}
    with suppress(metadata.PackageNotFoundError):
        return {"requires-python": str(metadata.metadata(DISTRIBUTION)["Requires-Python"] or "")}
    return {}


def _required() -> Iterator[tuple[str, str]]:
    """Yield the packages that nothing works without, and the versions that are asked for."""
    checkout = _checkout()
    lines: list[str] = []
    if checkout is not None:
        lines = list(checkout["dependencies"])
    else:
        with suppress(metadata.PackageNotFoundError):
            lines = [line for line in metadata.requires(DISTRIBUTION) or [] if "extra ==" not in line]
    for line in lines:
        matched = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*\(?([^;)]*)", line)
        if matched is not None:
            yield matched[1], matched[2].strip()


def _checkout() -> dict[str, list[str]] | None:
    """Return what the checkout that this runs from says of itself; None where it was installed as a wheel."""
    with suppress(OSError, tomllib.TOMLDecodeError, KeyError):
        project: dict[str, list[str]] = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return project
    return None


def _tested() -> Iterator[tuple[str, str]]:
    """Yield the versions that tests were run with, where the checkout names them."""
    with suppress(OSError):
        for line in (_ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
            name, pinned, version = line.partition("==")
            if pinned:
                yield _canonical(name.strip()), version.strip()


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).casefold()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _fits(version: str, asked: str) -> bool:
    # Loaded here because who only asks for one of the other looks needs none.
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(asked).contains(version, prereleases=True)


def _unwritable(folder: Path) -> str:
    """Say why nothing could be written into a folder that is there or to be made; empty where it could."""
    there = _nearest(folder)
    if not there.is_dir():
        return f"{there} is a file"
    return "" if os.access(there, os.W_OK | os.X_OK) else f"nothing can be written to {there}"


def _nearest(place: Path) -> Path:
    """Return the place, or the folder above it that is there."""
    return next((each for each in (place, *place.absolute().parents) if each.exists()), Path("/"))
