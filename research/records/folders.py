"""Run folders: written whole or not at all, and listed with their headline figures.

A run is assembled in a hidden folder beside its final place and renamed when complete. The folder's name carries the
hash of settings and data, so that the same experiment on the same data lands in the same place.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embargo.data_loaders.errors import DataError, MissingPartError
from embargo.research.records.data_worth import data_of


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``folder`` when the block ends well and vanishes when it does not."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield draft
        draft.chmod(0o755)
        _replace(draft, folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _replace(draft: Path, folder: Path) -> None:
    if not folder.exists():
        draft.rename(folder)
        return
    retired = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
    folder.rename(retired / folder.name)
    try:
        draft.rename(folder)
    except OSError:
        (retired / folder.name).rename(folder)
        raise
    finally:
        shutil.rmtree(retired, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys; figures that are not finite become null, so that any reader can parse it."""
    path.write_text(json.dumps(_finite(value), indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def list_runs(folder: Path) -> list[dict[str, Any]]:
    """Read the headline figures of every complete run below a folder, sorted by name.

    Parameters
    ----------
    folder : Path
        Such as ``runs``.

    Returns
    -------
    list of dict
        With the keys ``run, sharpe, sharpe_low, sharpe_high`` (annual), ``sharpe_p_value, max_drawdown, total_return``
        (fractions), ``n_trials``, ``status`` and ``data`` (``clean``, ``look``, ``bad`` or ``accepted``, for bad data
        that were accepted); None where a run has no such figure.

    Raises
    ------
    MissingPartError
        If the folder does not exist.
    DataError
        If a run's ``metrics.json`` cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from embargo.research.records import list_runs
    >>> with TemporaryDirectory() as runs:
    ...     (Path(runs) / "mine-1a2b3c4d").mkdir()
    ...     _ = (Path(runs) / "mine-1a2b3c4d" / "metrics.json").write_text('{"sharpe": 0.4, "status": "valid"}')
    ...     [(run["run"], run["sharpe"], run["status"]) for run in list_runs(Path(runs))]
    [('mine-1a2b3c4d', 0.4, 'valid')]
    """
    if not folder.is_dir():
        raise MissingPartError(f"{folder}: no such folder of runs. Make one with 'embargo demo' or 'embargo run'.")
    rows = []
    for path in sorted(folder.glob("[!.]*/metrics.json")):
        try:
            metrics = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as failure:
            raise DataError(f"{path}: not readable ({failure}). Repeat that run or remove its folder.") from failure
        keys = (
            "sharpe",
            "sharpe_low",
            "sharpe_high",
            "sharpe_p_value",
            "max_drawdown",
            "total_return",
            "n_trials",
            "status",
        )
        rows.append({"run": path.parent.name, **{key: metrics.get(key) for key in keys}, "data": data_of(metrics)})
    return rows
