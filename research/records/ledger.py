"""The trial ledger: every attempt that was ever made, with its returns, by the bars and prices it was made on.

A Sharpe ratio is worth less the more was tried to get it, and neither one more bar, one symbol less, nor another folder
of runs makes the count begin anew: the ledger is one folder beside the cache, whatever the runs are written to. In it a
window of bars and prices has three files: what it is, a list of the attempts on it, and their returns. Who asks for
the attempts that overlap with a window pays for those, and for one line of each other window.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from embargo.data_loaders.errors import DataError, MissingPartError
from embargo.models.drafts import naming
from embargo.research.records.lines import append_line, opened
from embargo.research.records.windows import LIST, ROWS, TradedWindow, keep_window, windows_in

_EARLIER = "ledger.jsonl"


@dataclass(frozen=True)
class Trial:
    """One attempt on a window.

    Attributes
    ----------
    window : str
        Fingerprint of the bars and prices tested on (`embargo.research.records.windows.TradedWindow.identity`).
    settings : str
        Fingerprint of the experiment's settings and of what it read (`pipeline.attempt_of`); the same again is the same
        trial.
    name : str
    sharpe_per_bar : float
        Not annualised.
    bars : int
    sweep : str
        Name of the sweep it was a cell of; empty for a run of its own.
    series : str
        Fingerprint of the settings without the end of the data: equal for an experiment repeated as new bars come in.
    kin : str
        Fingerprint of the news and of all settings that are not tuned: equal for attempts that differ in tuning alone.
    tuning : str
        The tuned settings that are not at their default, in words.

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
    series: str = ""
    kin: str = ""
    tuning: str = ""

    @property
    def run(self) -> str:
        """Name of the folder of a run of its own."""
        return f"{self.name}-{self.settings[:8]}"


def trials_on(folder: Path, window: str) -> dict[str, Trial]:
    """Read the attempts recorded on a window; the newest line of each counts.

    Parameters
    ----------
    folder : Path
        The ledger's, from `embargo.research.cache.ledger_folder`.
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
    return {trial.settings: trial for trial in _lines(_place(folder, window, LIST)) if trial.window == window}


def trials_around(folder: Path, window: TradedWindow | None) -> Iterator[tuple[TradedWindow, dict[str, Trial]]]:
    """Read the attempts on every window that overlaps with one, or all there are, window by window.

    Parameters
    ----------
    folder : Path
        The ledger's.
    window : TradedWindow or None
        All windows of the ledger where it is None.

    Raises
    ------
    DataError
        As `trials_on`.
    """
    for found in windows_in(folder, window):
        trials = trials_on(folder, found.identity)
        for trial in trials.values():
            if trial.bars != len(found.open_at):
                raise DataError(
                    f"{_place(folder, trial.window, LIST)}: trial {trial.name!r} has {trial.bars} bars, and its window "
                    f"{len(found.open_at)}. Restore the file or move it away."
                )
        if trials:
            yield found, trials


def _lines(path: Path) -> Iterator[Trial]:
    """Read the lines of a list, in their order."""
    if not os.path.lexists(path):
        return
    with opened(path) as lines:
        for number, line in enumerate(lines, start=1):
            try:
                trial = _checked(Trial(**json.loads(line)))
            except (ValueError, TypeError, OverflowError, RecursionError) as failure:
                raise DataError(
                    f"{path}, line {number}: not a trial ({failure}). Restore the file or move it away."
                ) from failure
            yield trial


def _checked(trial: Trial) -> Trial:
    """Refuse a trial with TypeError if a field of it is of another type than declared, with ValueError if no number."""
    kinds = {"sharpe_per_bar": int | float, "bars": int}
    for name, value in asdict(trial).items():
        if not isinstance(value, kinds.get(name, str)):
            raise TypeError(f"{name} is {value!r}")
    if not math.isfinite(trial.sharpe_per_bar):
        raise ValueError(f"sharpe_per_bar is {trial.sharpe_per_bar}")
    return trial


def earlier_attempts(runs: Path, *, declared: int = 0) -> list[str]:
    """Say how many attempts the ledger of an earlier version holds, which lay beside the runs and is not read any more.

    Parameters
    ----------
    runs : Path
        Folder of runs.
    declared : int
        ``statistics.trials_elsewhere``; where it is not 0, they are taken to be among those.

    Returns
    -------
    list of str
        One sentence, or none.

    Raises
    ------
    DataError
        If there is one that cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.research.records.ledger import earlier_attempts
    >>> earlier_attempts(Path("no/such/folder"))
    []
    """
    path = runs / _EARLIER
    if declared or not os.path.lexists(path):
        return []
    with opened(path) as lines:
        number = len({_attempt_in(line) for line in lines if line.strip()})
    if not number:
        return []
    held = "1 attempt" if number == 1 else f"{number:,} attempts"
    said = (
        f"{path} holds {held} of an earlier version, on these bars or others, not counted here: set "
        "statistics.trials_elsewhere to the number of those on these bars, or repeat the runs that matter."
    )
    return [said]


def _attempt_in(line: bytes) -> object:
    """Return what makes a line of an earlier ledger another attempt; a line that cannot be read is one of its own."""
    try:
        found = json.loads(line)
        return str(found["window"]), str(found["settings"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return line


def returns_of(folder: Path, trials: Iterable[Trial]) -> dict[str, np.ndarray]:
    """Read the returns of attempts.

    Parameters
    ----------
    folder : Path
        The ledger's.
    trials : iterable of Trial
        From `trials_on`.

    Returns
    -------
    dict of str to float array, shape (bars,)
        Net return of each bar, a fraction, by settings fingerprint. Attempts whose returns are lost are left out.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.research.records import Trial, returns_of
    >>> returns_of(Path("no/such/folder"), [Trial("a window", "some settings", "mine", 0.05, 252)])
    {}
    """
    wanted = {_key(trial.settings): trial for trial in trials}
    found: dict[str, np.ndarray] = {}
    for window, bars in {(trial.window, trial.bars) for trial in wanted.values()}:
        path = _place(folder, window, ROWS)
        if not path.exists():
            continue
        with opened(path) as file:
            # A process that was killed while it wrote left half a row, which no line of the ledger speaks of.
            rows = np.fromfile(file, dtype=_row(bars), count=os.fstat(file.fileno()).st_size // _row(bars).itemsize)
        for key, returns in rows:
            trial = wanted.get(bytes(key))
            if trial is not None and trial.bars == bars and trial.window == window and np.isfinite(returns).all():
                found[trial.settings] = np.asarray(returns, dtype=float)
    return found


def refuse_unwritable(folder: Path, window: TradedWindow) -> None:
    """Make a ledger's folder and see that attempts on a window can be written, before hours of work for one.

    Parameters
    ----------
    folder : Path
        The ledger's.
    window : TradedWindow

    Raises
    ------
    MissingPartError
        If they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
        for suffix in (LIST, ROWS):
            if (path := _place(folder, window.identity, suffix)).exists():
                path.open("ab").close()
    except OSError as failure:
        raise MissingPartError(
            f"{failure.filename or folder}: the ledger of attempts cannot be written ({failure.strerror}). Mend the "
            "rights to it, or name another place in $EMBARGO_LEDGER or with --cache; what this ledger holds is not "
            "counted there."
        ) from failure


def record(folder: Path, window: TradedWindow, trial: Trial, returns: np.ndarray) -> None:
    """Append a trial: its window, its returns, then its line, so that neither a kill nor runs side by side leave half.

    Parameters
    ----------
    folder : Path
        The ledger's.
    window : TradedWindow
        Of the trial.
    trial : Trial
    returns : float array, shape (trial.bars,)

    Raises
    ------
    DataError
        If the number of returns is not that of the trial, or the window is another.
    OSError
        If the disk is full; the list is then as it was.
    """
    if returns.shape != (trial.bars,) or trial.bars != len(window.open_at):
        raise DataError(
            f"ledger: trial {trial.name!r} has {trial.bars} bars but returns of shape {returns.shape} on a window of "
            f"{len(window.open_at)}."
        )
    if trial.window != window.identity:
        raise DataError(f"ledger: trial {trial.name!r} was made on another window than {window.identity}.")
    with naming(folder):
        keep_window(folder, window)
        # There before the returns, so that returns without a list are never the mark of a kill.
        _place(folder, trial.window, LIST).touch()
        row = np.array([(_key(trial.settings), returns)], dtype=_row(trial.bars))
        with _place(folder, trial.window, ROWS).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            whole = os.fstat(file.fileno()).st_size
            file.truncate(whole - whole % row.itemsize)
            file.write(row.tobytes())
        append_line(_place(folder, trial.window, LIST), json.dumps(asdict(trial), sort_keys=True))


def _key(settings: str) -> bytes:
    return hashlib.sha256(settings.encode()).digest()


def _row(bars: int) -> np.dtype[np.void]:
    return np.dtype([("settings", "V32"), ("returns", "<f8", (bars,))])


def _place(folder: Path, window: str, suffix: str) -> Path:
    return folder / f"{window[:16]}{suffix}"
