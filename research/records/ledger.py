"""The trial ledger: an append-only list of every attempt made on the same test window, with its returns.

A Sharpe ratio is worth less the more settings were tried to get it. Each finished run adds one line; the deflated
Sharpe ratio takes the number of attempts and the spread of their Sharpe ratios from here, so nobody has to remember.
The returns lie beside the list, one file for each window, because attempts that are alike are fewer attempts.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from embargo.data_loaders.errors import DataError

LEDGER_NAME = "ledger.jsonl"


@dataclass(frozen=True)
class Trial:
    """One attempt on a test window.

    Attributes
    ----------
    window : str
        Fingerprint of the data and dates tested on; attempts compete only within a window.
    settings : str
        Fingerprint of the experiment's settings and of what it read (`pipeline.attempt_of`); the same again is the same
        trial.
    name : str
    sharpe_per_bar : float
        Not annualised.
    bars : int
    sweep : str
        Name of the sweep it was a cell of; empty for a run of its own.
    seal : str
        Of the run's manifest, so that a manifest changed afterwards is noticed; empty for a cell of a sweep.

    Examples
    --------
    >>> from embargo.research.records import Trial
    >>> trial = Trial(window="a window", settings="some settings", name="mine", sharpe_per_bar=0.05, bars=252)
    >>> trial.sweep
    ''
    """

    window: str
    settings: str
    name: str
    sharpe_per_bar: float
    bars: int
    sweep: str = ""
    seal: str = ""

    @property
    def run(self) -> str:
        """Name of the folder of a run of its own."""
        return f"{self.name}-{self.settings[:8]}"


def seals_in(folder: Path) -> dict[str, frozenset[str]]:
    """Read which seals the ledger of a folder of runs knows, by the name of a run.

    A run that was repeated has several: a kill may have left the folder of any of them.

    Parameters
    ----------
    folder : Path
        Of runs, with their ledger.

    Raises
    ------
    DataError
        As `trials_on`.
    """
    found: dict[str, set[str]] = {}
    for trial in _trials(folder, marked=b'"seal"'):
        if trial.seal:
            found.setdefault(trial.run, set()).add(trial.seal)
    return {run: frozenset(seals) for run, seals in found.items()}


def trials_on(folder: Path, window: str) -> dict[str, Trial]:
    """Read the attempts recorded on a window; the newest line of each counts.

    Parameters
    ----------
    folder : Path
        Of runs, with their ledger.
    window : str
        Fingerprint of the bars and prices tested on, as in a run's ``manifest.json``.

    Returns
    -------
    dict of str to Trial
        By settings fingerprint; empty where there is no ledger.

    Raises
    ------
    DataError
        If a line of the ledger cannot be read: a ledger that forgets attempts would flatter every run after.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.research.records import trials_on
    >>> trials_on(Path("no/such/folder"), "a window")
    {}
    """
    return {trial.settings: trial for trial in _trials(folder) if trial.window == window}


def _trials(folder: Path, marked: bytes = b"") -> Iterator[Trial]:
    """Read the lines of a ledger that hold some bytes, in their order."""
    path = folder / LEDGER_NAME
    if not os.path.lexists(path):
        return
    with _opened(path) as lines:
        for number, line in enumerate(lines, start=1):
            if marked not in line:
                continue
            try:
                trial = _checked(Trial(**json.loads(line)))
            except (ValueError, TypeError, RecursionError) as failure:
                raise DataError(
                    f"{path}, line {number}: not a trial ({failure}). Restore the file or move it away."
                ) from failure
            yield trial


def _checked(trial: Trial) -> Trial:
    """Refuse a trial with TypeError if a field of it is of another type than declared."""
    kinds = {"sharpe_per_bar": int | float, "bars": int}
    for name, value in asdict(trial).items():
        if not isinstance(value, kinds.get(name, str)):
            raise TypeError(f"{name} is {value!r}")
    return trial


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file of a ledger to read, while nobody writes it; a device or a pipe, which may never end, is refused."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as failure:
        raise DataError(f"{path}: cannot be read ({failure.strerror}). Restore the file or move it away.") from failure
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise DataError(f"{path}: no file that a ledger wrote. Restore the file or move it away.")
        fcntl.flock(file, fcntl.LOCK_SH)
        yield file


def returns_of(folder: Path, trials: Iterable[Trial]) -> dict[str, np.ndarray]:
    """Read the returns of attempts on one window.

    Parameters
    ----------
    folder : Path
        Of runs, with their ledger.
    trials : iterable of Trial
        From `trials_on`.

    Returns
    -------
    dict of str to float array, shape (bars,)
        Net return of each bar, a fraction, by settings fingerprint. Attempts recorded without returns, as old ledgers
        have them, are left out.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.research.records import Trial, returns_of
    >>> returns_of(Path("no/such/folder"), [Trial("a window", "some settings", "mine", 0.05, 252)])
    {}
    """
    wanted = {_key(trial.settings): trial for trial in trials}
    found: dict[str, np.ndarray] = {}
    for path, bars in {(_place(folder, trial), trial.bars) for trial in wanted.values()}:
        if not path.exists():
            continue
        with _opened(path) as file:
            # A process that was killed while it wrote left half a row, which no line of the ledger speaks of.
            rows = np.fromfile(file, dtype=_row(bars), count=os.fstat(file.fileno()).st_size // _row(bars).itemsize)
        for key, returns in rows:
            trial = wanted.get(bytes(key))
            if trial is not None and trial.bars == bars:
                found[trial.settings] = np.asarray(returns, dtype=float)
    return found


def record(folder: Path, trial: Trial, returns: np.ndarray) -> None:
    """Append a trial: its returns, then its line, so that neither a kill nor runs side by side leave half of one.

    Parameters
    ----------
    folder : Path
    trial : Trial
    returns : float array, shape (trial.bars,)

    Raises
    ------
    DataError
        If the number of returns is not that of the trial.
    OSError
        If the disk is full; the ledger is then as it was.
    """
    if returns.shape != (trial.bars,):
        raise DataError(f"ledger: trial {trial.name!r} has {trial.bars} bars but returns of shape {returns.shape}.")
    path = _place(folder, trial)
    path.parent.mkdir(parents=True, exist_ok=True)
    row = np.array([(_key(trial.settings), returns)], dtype=_row(trial.bars))
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        whole = os.fstat(file.fileno()).st_size
        file.truncate(whole - whole % row.itemsize)
        file.write(row.tobytes())
    entries = {name: value for name, value in asdict(trial).items() if name != "seal" or value}
    line = (json.dumps(entries, sort_keys=True) + "\n").encode()
    descriptor = os.open(folder / LEDGER_NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        whole = os.fstat(descriptor).st_size
        if os.write(descriptor, line) < len(line):
            os.ftruncate(descriptor, whole)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / LEDGER_NAME))
    finally:
        os.close(descriptor)


def _key(settings: str) -> bytes:
    return hashlib.sha256(settings.encode()).digest()


def _row(bars: int) -> np.dtype[np.void]:
    return np.dtype([("settings", "V32"), ("returns", "<f8", (bars,))])


def _place(folder: Path, trial: Trial) -> Path:
    window = hashlib.sha256(trial.window.encode()).hexdigest()[:16]
    return folder / f"ledger-{window}-{trial.bars}.rows"
