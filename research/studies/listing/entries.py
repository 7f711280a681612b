"""The runs of a folder with what the page of them needs beyond their headline figures: growth, window and attempts.

Runs on the same window carry the same label, because each is one attempt on the same bars and the best of them is
partly the luckiest. How many attempts there were is what the ledger knows, which also holds those whose folders are
gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from embargo.data_loaders.errors import EmbargoError
from embargo.research.records.finished import returns_in
from embargo.research.records.ledger import trials_around
from embargo.research.records.sealed import holds, read_manifest
from embargo.research.records.seals import seals_in
from embargo.research.records.windows import windows_in

_ACCOUNT, _REPORT = "account.parquet", "report.html"


@dataclass(frozen=True, slots=True, eq=False)
class SharedWindow:
    """Bars and prices that one or more of the runs were tested on.

    Attributes
    ----------
    label : str
        ``A`` for the first, then ``B``; runs of one label were tested on the same bars and prices.
    fingerprint : str
        Empty for runs that name no window; each of them has a window of its own.
    first, last : Timestamp or None
        When its first and its last bar open, UTC; None where no run left its returns.
    bars : int or None
    runs : int
        Those of the folder on it.
    attempts : int or None
        Those on it that the ledger knows; None where the ledger does not know the window.
    around : int or None
        Those on it or on a window that overlaps with it.
    """

    label: str
    fingerprint: str
    first: pd.Timestamp | None
    last: pd.Timestamp | None
    bars: int | None
    runs: int
    attempts: int | None
    around: int | None


@dataclass(frozen=True, slots=True, eq=False)
class ListedRun:
    """A run of the list.

    Attributes
    ----------
    row : dict
        Its headline figures and its damage, as `embargo.research.records.list_runs` returns them.
    growth : float array, shape (test bars + 1,)
        Of 1 after costs; empty where the run left no returns.
    window : SharedWindow or None
        None for a damaged run: what it says of its window cannot be relied on.
    report : Path or None
        Its own page; None for a damaged run, whose page may tell figures that the run never had.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.research.studies.listing import ListedRun
    >>> ListedRun({"run": "mine-1a2b3c4d", "damage": None}, np.ones(2), None, None).damaged
    False
    """

    row: dict[str, Any]
    growth: npt.NDArray[np.float64]
    window: SharedWindow | None
    report: Path | None

    @property
    def damaged(self) -> bool:
        """Whether files of it are not those that the run wrote."""
        return self.row["damage"] is not None


def entries_of(rows: Sequence[dict[str, Any]], folder: Path, ledger: Path) -> list[ListedRun]:
    """Read what the page shows of every run; the list goes on past a run whose returns are damaged.

    Parameters
    ----------
    rows : sequence of dict
        From `embargo.research.records.list_runs`.
    folder : Path
        That they lie in.
    ledger : Path
        From `embargo.research.cache.ledger_folder`; it need not exist.

    Returns
    -------
    list of ListedRun
        Runs on the same window stand together, in the order of the first of them; damaged ones come last.

    Raises
    ------
    DataError
        If the ledger cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from embargo.research.records import list_runs
    >>> from embargo.research.studies.listing import entries_of
    >>> with TemporaryDirectory() as place:
    ...     runs, ledger = Path(place, "runs"), Path(place, "ledger")
    ...     for name in ("one", "two"):
    ...         (runs / name).mkdir(parents=True)
    ...         _ = (runs / name / "metrics.json").write_text('{"sharpe": 0.4}')
    ...         _ = (runs / name / "manifest.json").write_text('{"fingerprints": {"test_window": "3f2a"}}')
    ...     found = entries_of(list_runs(runs), runs, ledger)
    >>> [(entry.row["run"], entry.window.label, entry.window.runs) for entry in found]
    [('one', 'A', 2), ('two', 'A', 2)]
    """
    seals = seals_in(folder)
    read = [_read(row, folder / row["run"], seals) for row in rows]
    groups: dict[str, list[_Read]] = {}
    for each in read:
        if each.row["damage"] is None:
            # A run that names no window shares it with nobody.
            groups.setdefault(each.window or f"\0{each.row['run']}", []).append(each)
    counts = _counted(ledger, {name for name in groups if not name.startswith("\0")})
    entries = []
    for number, (name, members) in enumerate(groups.items()):
        window = _window(label_at(number), members, *counts.get(name, (None, None)))
        entries += [ListedRun(each.row, each.growth, window, each.report) for each in members]
    damaged = [each for each in read if each.row["damage"] is not None]
    return entries + [ListedRun(each.row, each.growth, None, each.report) for each in damaged]


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    row: dict[str, Any]
    window: str
    bars: pd.DatetimeIndex | None
    growth: npt.NDArray[np.float64]
    report: Path | None


def _read(row: dict[str, Any], place: Path, seals: Mapping[str, frozenset[str]]) -> _Read:
    nothing = np.zeros(0)
    if row["damage"] is not None:
        return _Read(row, "", None, nothing, None)
    report = place / _REPORT if (place / _REPORT).is_file() else None
    try:
        manifest = read_manifest(place, seals)
        window = str((manifest.get("fingerprints") or {}).get("test_window") or "")
        if not holds(place, _ACCOUNT, manifest):
            return _Read(row, window, None, nothing, report)
        returns = returns_in(place, manifest)
    except EmbargoError as failure:
        # As of every damaged run, no figure is shown.
        kept = {"run": row["run"], "damage": str(failure), "sealed": False}
        return _Read(dict.fromkeys(row) | kept, "", None, nothing, None)
    growth = np.concatenate([[1.0], (1.0 + returns.to_numpy()).cumprod()])
    return _Read(row, window, pd.DatetimeIndex(returns.index), growth, report)


def _window(label: str, members: list[_Read], attempts: int | None, around: int | None) -> SharedWindow:
    bars = next((each.bars for each in members if each.bars is not None), None)
    first, last, number = (None, None, None) if bars is None else (bars[0], bars[-1], len(bars))
    return SharedWindow(label, members[0].window, first, last, number, len(members), attempts, around)


def _counted(ledger: Path, wanted: set[str]) -> dict[str, tuple[int, int]]:
    """Count the attempts on each window that the ledger knows, and those on it or on windows that overlap with it."""
    known = [window for window in windows_in(ledger) if window.identity in wanted]
    counts = {}
    for window in known:
        around = {found.identity: trials for found, trials in trials_around(ledger, window)}
        everything = {settings for trials in around.values() for settings in trials}
        counts[window.identity] = (len(around.get(window.identity, {})), len(everything))
    return counts


def label_at(number: int) -> str:
    """Label of a window by its place: ``A`` to ``Z``, then ``AA``.

    Examples
    --------
    >>> from embargo.research.studies.listing.entries import label_at
    >>> [label_at(number) for number in (0, 25, 26, 52)]
    ['A', 'Z', 'AA', 'BA']
    """
    label = ""
    while number >= 0:
        label = chr(ord("A") + number % 26) + label
        number = number // 26 - 1
    return label
