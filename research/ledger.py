"""The trial ledger: an append-only list of every attempt made on the same test window.

A Sharpe ratio is worth less the more settings were tried to get it. Each finished run adds one line; the deflated
Sharpe ratio takes the number of attempts and the spread of their Sharpe ratios from here, so nobody has to remember.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from data_loaders.errors import DataError

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
    """

    window: str
    settings: str
    name: str
    sharpe_per_bar: float
    bars: int
    sweep: str = ""


def trials_on(folder: Path, window: str) -> dict[str, Trial]:
    """Read the attempts recorded on a window, by settings fingerprint; the newest line of each counts.

    Raises
    ------
    DataError
        If a line of the ledger cannot be read: a ledger that forgets attempts would flatter every run after.
    """
    path = folder / LEDGER_NAME
    found: dict[str, Trial] = {}
    if not path.exists():
        return found
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                trial = Trial(**json.loads(line))
            except (ValueError, TypeError) as failure:
                raise DataError(
                    f"{path}, line {number}: not a trial ({failure}). Restore the file or move it away."
                ) from failure
            if trial.window == window:
                found[trial.settings] = trial
    return found


def record(folder: Path, trial: Trial) -> None:
    """Append a trial as one line in a single write, so that runs side by side cannot tear each other's lines."""
    folder.mkdir(parents=True, exist_ok=True)
    line = json.dumps(asdict(trial), sort_keys=True) + "\n"
    descriptor = os.open(folder / LEDGER_NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
