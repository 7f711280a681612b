"""A finished run read back from its folder, for commands that look at what runs have left.

Nothing is run again and no data are loaded; a folder that is no whole run is refused with what it lacks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import DataError, MissingPartError
from embargo.data_loaders.fields import CLASSES
from embargo.research.config.settings import read_toml

_STATUSES = ["valid", "caution", "invalid"]
_NEEDED = ("account.parquet", "regimes.parquet", "metrics.json", "manifest.json", "config.toml")


@dataclass(frozen=True, eq=False, repr=False)
class FinishedRun:
    """What a comparison needs of a run.

    Attributes
    ----------
    name : str
        Of its folder.
    folder : Path
    status : str
        ``valid``, ``caution`` or ``invalid``, as its audit left it.
    returns : Series, shape (test bars,)
        Net, by the instant each bar opens.
    regimes : DataFrame of str, shape (test bars, definitions)
    judged : DataFrame
        Labelled articles of the test windows with their scores; empty where the run had none.
    market : Series
        Return of the equal-weighted universe, by the instant each bar opens; empty where the run left none.
    symbols : tuple of str
        Traded; empty where the run left no weights.
    metrics, manifest, settings : dict
        As in ``metrics.json``, ``manifest.json`` and ``config.toml``, whatever version wrote them; `Metrics.from_dict`
        makes typed figures of the first if it was this one.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from embargo.research.records import FinishedRun
    >>> run = FinishedRun(
    ...     name="mine-1a2b3c4d",
    ...     folder=Path("runs/mine-1a2b3c4d"),
    ...     status="valid",
    ...     returns=pd.Series([0.01, -0.02]),
    ...     regimes=pd.DataFrame({"trend": ["bull", "bear"]}),
    ...     judged=pd.DataFrame(),
    ...     market=pd.Series(dtype=float),
    ...     symbols=("AAA", "BBB"),
    ...     metrics={"bars_per_year": 252},
    ...     manifest={"fingerprints": {"test_window": "3f2a"}},
    ...     settings={},
    ... )
    >>> run.bars_per_year, run.window
    (252.0, '3f2a')
    """

    name: str
    folder: Path
    status: str
    returns: pd.Series
    regimes: pd.DataFrame
    judged: pd.DataFrame
    market: pd.Series
    symbols: tuple[str, ...]
    metrics: dict[str, Any]
    manifest: dict[str, Any]
    settings: dict[str, Any]

    def __repr__(self) -> str:
        return f"<FinishedRun {self.name}: {self.status}, {len(self.returns):,} bars>"

    @property
    def bars_per_year(self) -> float:
        """Bars in a year, as the run counted them."""
        return float(self.metrics["bars_per_year"])

    @property
    def n_trials(self) -> int | None:
        """Attempts on its window when it was made; None where an older version left them out."""
        return self.metrics.get("n_trials")

    @property
    def deflated_sharpe(self) -> float | None:
        """What its Sharpe ratio was worth after them; None where an older version left it out."""
        return self.metrics.get("deflated_sharpe")

    @property
    def window(self) -> str:
        """Fingerprint of the bars and prices tested on."""
        return str((self.manifest.get("fingerprints") or {}).get("test_window", ""))

    @property
    def articles(self) -> pd.Series:
        """Day (UTC) on which each judged article was known, by article."""
        return self.judged.set_index("article_id")["day"] if len(self.judged) else pd.Series(dtype=object)


def read_run(folder: Path) -> FinishedRun:
    """Read a finished run from its folder.

    Parameters
    ----------
    folder : Path
        Such as ``runs/demo-1a2b3c4d``.

    Returns
    -------
    FinishedRun

    Raises
    ------
    MissingPartError
        If the folder is no whole run.
    DataError
        If a file of it cannot be read or does not fit the others.

    Examples
    --------
    >>> import json
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import pandas as pd
    >>> from embargo.research.records import read_run
    >>> bars = pd.date_range("2020-01-01", periods=3, tz="UTC")
    >>> with TemporaryDirectory() as temporary:
    ...     folder = Path(temporary) / "mine-1a2b3c4d"
    ...     folder.mkdir()
    ...     pd.DataFrame({"net_return": [0.01, -0.02, 0.005]}, index=bars).to_parquet(folder / "account.parquet")
    ...     pd.DataFrame({"trend": ["bull"] * 3}, index=bars).to_parquet(folder / "regimes.parquet")
    ...     _ = (folder / "metrics.json").write_text(json.dumps({"bars_per_year": 252, "status": "valid"}))
    ...     _ = (folder / "manifest.json").write_text("{}")
    ...     _ = (folder / "config.toml").write_text("seed = 1")
    ...     run = read_run(folder)
    >>> run.name, run.status, run.returns.tolist(), run.settings
    ('mine-1a2b3c4d', 'valid', [0.01, -0.02, 0.005], {'seed': 1})
    """
    if folder.is_file():
        raise MissingPartError(f"{folder}: a file, no run. Name the folder of the run that it lies in.")
    if not folder.is_dir():
        raise MissingPartError(f"{folder}: no such run. 'embargo runs' lists them.")
    gone = [name for name in _NEEDED if not (folder / name).is_file()]
    if gone:
        raise MissingPartError(
            f"{folder}: {', '.join(gone)} {'is' if len(gone) == 1 else 'are'} missing, so this is no whole run. Name "
            "folders that 'embargo run' or 'embargo demo' wrote."
        )
    metrics, manifest = (read_json(folder / name) for name in ("metrics.json", "manifest.json"))
    account, labels = (read_table(folder / f"{name}.parquet") for name in ("account", "regimes"))
    years = metrics.get("bars_per_year")
    if not isinstance(years, int | float) or not years > 0.0:
        raise DataError(f"{folder / 'metrics.json'}: bars_per_year is {years!r}, no positive number. Repeat the run.")
    status = metrics.get("status", "caution")
    if status not in _STATUSES:
        raise DataError(f"{folder / 'metrics.json'}: status is {status!r}, none of {_STATUSES}. Repeat the run.")
    if "net_return" not in account:
        raise DataError(f"{folder / 'account.parquet'}: there is no column net_return. Repeat the run.")
    returns = account["net_return"].astype(float)
    index = returns.index
    if not isinstance(index, pd.DatetimeIndex) or index.tz is None or not index.is_monotonic_increasing:
        raise DataError(f"{folder / 'account.parquet'}: bars are not in order of instants in UTC. Repeat the run.")
    if index.has_duplicates or not np.isfinite(returns).all():
        raise DataError(f"{folder / 'account.parquet'}: a bar has no return, or two. Repeat the run.")
    if not labels.index.equals(index) or labels.isna().to_numpy().any():
        raise DataError(f"{folder}: regimes.parquet and account.parquet do not fit each other. Repeat the run.")
    return FinishedRun(
        name=folder.resolve().name,
        folder=folder,
        status=status,
        returns=returns,
        regimes=labels,
        judged=_judged(folder),
        market=_market(folder / "growth.parquet"),
        symbols=_symbols(folder / "weights.parquet"),
        metrics=metrics,
        manifest=manifest,
        settings=read_toml(folder / "config.toml", remedy="Repeat the run."),
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read a file of figures of a run; DataError if it is not whole."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as failure:
        raise DataError(f"{path}: cannot be read ({failure}). Repeat the run.") from failure
    if not isinstance(document, dict):
        raise DataError(f"{path}: holds {type(document).__name__}, no figures by name. Repeat the run.")
    return document


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of a run; DataError if it is not whole."""
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as failure:
        raise DataError(f"{path}: cannot be read ({failure}). Repeat the run.") from failure


def _market(file: Path) -> pd.Series:
    growth = read_table(file) if file.is_file() else pd.DataFrame()
    if "equal weight" not in growth:
        return pd.Series(dtype=float)
    # Row t of growth is the value when bar t opens, so the return of bar t is known one row later.
    return growth["equal weight"].astype(float).pct_change().shift(-1).iloc[:-1]


def _symbols(file: Path) -> tuple[str, ...]:
    return tuple(map(str, read_table(file).columns)) if file.is_file() else ()


def _judged(folder: Path) -> pd.DataFrame:
    """Labelled articles with scores and the day they were known; empty where the files or the labels are absent."""
    files = [folder / f"{name}.parquet" for name in ("classification", "articles")]
    if not all(file.is_file() for file in files):
        return pd.DataFrame()
    judged, articles = (read_table(file) for file in files)
    if judged.empty or not {"article_id", "label", *CLASSES} <= set(judged.columns):
        return pd.DataFrame()
    if not {"article_id", "known_at"} <= set(articles.columns):
        raise DataError(f"{files[1]}: there is no column article_id, or none known_at. Repeat the run.")
    known = articles.drop_duplicates("article_id").set_index("article_id")["known_at"]
    judged = judged.drop_duplicates("article_id")
    return judged.assign(day=judged["article_id"].map(known.dt.strftime("%Y-%m-%d"))).dropna(subset="day")
