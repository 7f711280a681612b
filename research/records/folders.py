"""Run folders: written whole or not at all, and listed with their headline figures.

A run is assembled in a hidden folder beside its final place and renamed when complete. The folder's name carries the
hash of settings and data, so that the same experiment on the same data lands in the same place.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embargo.data_loaders.errors import DataError, EmbargoError, MissingPartError
from embargo.models.content import MANIFEST, folder_hashes, seal_of
from embargo.models.drafts import draft_for, put_in_place, sweep_up, whole_file
from embargo.research.records.data_worth import data_of
from embargo.research.records.sealed import damages, is_sealed, read_figures, read_manifest
from embargo.research.records.seals import seals_in

STATUSES = ("valid", "caution", "invalid")
METRICS = "metrics.json"
CONFIG = "config.toml"
_HEADLINE = ("sharpe", "sharpe_low", "sharpe_high", "sharpe_p_value", "max_drawdown", "total_return", "n_trials")


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``folder`` when the block ends well and vanishes when it does not.

    What killed processes left beside it is put back or swept up first.
    """
    with draft_for(folder) as draft:
        yield draft
        put_in_place(draft, folder)


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, whole or not at all; figures that are not finite become null, for any reader."""
    with whole_file(path) as file:
        file.write_text(json.dumps(_finite(value), indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def seal(folder: Path, manifest: Mapping[str, Any]) -> str:
    """Write a run's manifest with the hash of every file beside it, and return the seal over all of it.

    Parameters
    ----------
    folder : Path
        With all files of the run but this one.
    manifest : mapping
        As `embargo.research.records.provenance.manifest_of` returns it.
    """
    whole = _finite({**manifest, "files": folder_hashes(folder)})
    whole["seal"] = seal_of(whole)
    write_json(folder / MANIFEST, whole)
    return str(whole["seal"])


def list_runs(folder: Path, *, verify: bool = False) -> list[dict[str, Any]]:
    """Read the headline figures of every run below a folder, sorted by name; the list goes on past a damaged one.

    Parameters
    ----------
    folder : Path
        Such as ``runs``.
    verify : bool, default False
        Whether to hold every file of a run against its seal, not only the two that are read.

    Returns
    -------
    list of dict
        With the keys ``run, sharpe, sharpe_low, sharpe_high`` (annual), ``sharpe_p_value, max_drawdown, total_return``
        (fractions), ``n_trials``, ``status`` and ``data`` (``clean``, ``look``, ``bad`` or ``accepted``, for bad data
        that were accepted); None where a run has no such figure. ``sealed`` says whether the files could be held
        against their hashes; ``damage`` says what does not fit, and is None where all does. Of a damaged run no figure
        is shown.

    Raises
    ------
    MissingPartError
        If the folder does not exist.
    DataError
        If the folder or its list of seals cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from embargo.research.records import list_runs
    >>> with TemporaryDirectory() as runs:
    ...     for name, metrics in (("mine-1a2b3c4d", '{"sharpe": 0.4, "status": "valid"}'), ("other-5e6f7a8b", "[]")):
    ...         (Path(runs) / name).mkdir()
    ...         _ = (Path(runs) / name / "manifest.json").write_text("{}")
    ...         _ = (Path(runs) / name / "metrics.json").write_text(metrics)
    ...     [(run["run"], run["sharpe"], run["sealed"], run["damage"] is None) for run in list_runs(Path(runs))]
    [('mine-1a2b3c4d', 0.4, False, True), ('other-5e6f7a8b', None, False, False)]
    """
    if not folder.is_dir():
        raise MissingPartError(f"{folder}: no such folder of runs. Make one with 'embargo demo' or 'embargo run'.")
    sweep_up(folder)
    try:
        places = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir())
    except OSError as failure:
        raise DataError(f"{folder}: cannot be read ({failure.strerror}). Check the rights to it.") from failure
    seals = seals_in(folder)
    return [_row(place, seals, verify) for place in places if _is_run(place)]


def _is_run(place: Path) -> bool:
    """Tell a run, whole or not, from a sweep, a model or a folder of the user's own; what cannot be seen may be one."""
    try:
        names = set(os.listdir(place))  # noqa: PTH208 - names alone, of folders that may be large
    except OSError:
        return True
    return METRICS in names or {MANIFEST, CONFIG} <= names


def _row(place: Path, seals: Mapping[str, frozenset[str]], verify: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "run": place.name,
        **dict.fromkeys((*_HEADLINE, "status", "data", "damage")),
        "sealed": False,
    }
    try:
        manifest = read_manifest(place, seals)
        metrics = read_figures(place, METRICS, manifest)
        check_headline(metrics, place / METRICS)
        if verify and (found := damages(place)):
            raise DataError(" ".join(found))
    except EmbargoError as failure:
        return row | {"damage": str(failure)}
    figures = {key: metrics.get(key) for key in (*_HEADLINE, "status")}
    return row | figures | {"data": data_of(metrics), "sealed": is_sealed(manifest)}


def check_headline(metrics: Mapping[str, Any], place: Path) -> None:
    """Refuse figures of a run that are not the numbers, and the status, which every reader takes them for."""
    for name in (*_HEADLINE, "deflated_sharpe", "n_articles"):
        value = metrics.get(name)
        kind = int if name.startswith("n_") else int | float
        if value is not None and (isinstance(value, bool) or not isinstance(value, kind)):
            raise DataError(f"{place}: {name} is {_short(value)}, no number. Repeat the run.")
    status = metrics.get("status")
    if status is not None and status not in STATUSES:
        raise DataError(f"{place}: status is {_short(status)}, none of {list(STATUSES)}. Repeat the run.")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
