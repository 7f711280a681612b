"""The seals of the runs in a folder, kept beside them, so that a manifest changed afterwards is noticed."""

from __future__ import annotations

import json
import os
from pathlib import Path

from embargo.data_loaders.errors import DataError
from embargo.research.records.lines import append_line, opened

SEALS_NAME = "seals.jsonl"


def keep_seal(folder: Path, run: str, seal: str) -> None:
    """Write down the seal of a run's manifest, beside the runs.

    Parameters
    ----------
    folder : Path
        Of runs.
    run : str
        Name of the run's own folder.
    seal : str
        64 hex digits, from `embargo.research.records.folders.seal`.

    Raises
    ------
    OSError
        If the disk is full; the file is then as it was.
    """
    append_line(folder / SEALS_NAME, json.dumps({"run": run, "seal": seal}))


def seals_in(folder: Path) -> dict[str, frozenset[str]]:
    """Read which seals a folder of runs knows, by the name of a run.

    A run that was repeated has several: a kill may have left the folder of any of them.

    Parameters
    ----------
    folder : Path
        Of runs.

    Raises
    ------
    DataError
        If a line cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.research.records.seals import seals_in
    >>> seals_in(Path("no/such/folder"))
    {}
    """
    path, found = folder / SEALS_NAME, dict[str, set[str]]()
    if not os.path.lexists(path):
        return {}
    with opened(path) as lines:
        for number, line in enumerate(lines, start=1):
            try:
                run, seal = (str(json.loads(line)[key]) for key in ("run", "seal"))
            except (ValueError, TypeError, KeyError, RecursionError) as failure:
                raise DataError(
                    f"{path}, line {number}: not the seal of a run ({failure}). Restore the file or move it away."
                ) from failure
            found.setdefault(run, set()).add(seal)
    return {run: frozenset(seals) for run, seals in found.items()}
