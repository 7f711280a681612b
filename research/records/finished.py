"""A finished run read back from its folder, for commands that look at what runs have left.

Nothing is run again and no data are loaded. A folder that is no whole run is refused with what it lacks, and one whose
files are not those that the run wrote with what was changed.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import DataError, MissingPartError
from embargo.data_loaders.fields import CLASSES
from embargo.models.content import MANIFEST
from embargo.models.drafts import sweep_up
from embargo.research.records.folders import CONFIG, METRICS, check_headline
from embargo.research.records.sealed import holds, is_sealed, read_figures, read_manifest, read_table, read_text

_NEEDED = ("account.parquet", "regimes.parquet", METRICS, MANIFEST, CONFIG)
_OVER_TIME = "over_time.parquet"
_PAID = ("fees", "slippage", "carry")
# An account that grows a millionfold in a bar is damaged, and its squares would overflow.
_MOST_RETURN = 1e6


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
    news : tuple of (str, str), or None
        Instants (ISO, UTC) at which the first and the last of its test articles were known; None where it had none.
    turnover : Series, shape (test bars,)
        One way, a fraction of equity, by the instant each bar opens; empty where the run left none.
    costs : DataFrame, shape (test bars, 2)
        ``paid`` for trading and for holding, and ``equity`` at the open, in currency, by the instant each bar opens;
        negative where money was received; empty where the run left none.
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
    news: tuple[str, str] | None = None
    turnover: pd.Series = field(default_factory=lambda: pd.Series(dtype=float))
    costs: pd.DataFrame = field(default_factory=pd.DataFrame)

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
    def n_articles(self) -> int | None:
        """Articles read for its test bars; None where an older version left them out."""
        return self.metrics.get("n_articles")

    @property
    def window(self) -> str:
        """Fingerprint of the bars and prices tested on."""
        return self.fingerprint("test_window")

    def fingerprint(self, what: str) -> str:
        """Fingerprint of ``news``, ``prices``, ``samples``, ``settings`` or ``test_window``; empty where unknown."""
        return str((self.manifest.get("fingerprints") or {}).get(what, ""))

    @property
    def sealed(self) -> bool:
        """Whether its files were held against their hashes; runs of older versions have none."""
        return is_sealed(self.manifest)

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
    need_run(folder, _NEEDED)
    manifest = read_manifest(folder)
    metrics = read_figures(folder, METRICS, manifest)
    check_headline(metrics, folder / METRICS)
    years = metrics.get("bars_per_year")
    if isinstance(years, bool) or not isinstance(years, int | float) or not years > 0.0:
        raise DataError(f"{folder / METRICS}: bars_per_year is {years!r}, no positive number. Repeat the run.")
    account, labels = (read_table(folder, f"{name}.parquet", manifest) for name in ("account", "regimes"))
    returns = _returns(folder / "account.parquet", account)
    if not labels.index.equals(returns.index) or labels.isna().to_numpy().any():
        raise DataError(f"{folder}: regimes.parquet and account.parquet do not fit each other. Repeat the run.")
    judged, news = _articles(folder, manifest)
    return FinishedRun(
        name=folder.resolve().name,
        folder=folder,
        status=metrics.get("status") or "caution",
        returns=returns,
        regimes=labels,
        judged=judged,
        market=_market(folder, manifest),
        symbols=_symbols(folder, manifest),
        metrics=metrics,
        manifest=manifest,
        settings=settings_of(folder, manifest),
        news=news,
        turnover=_turnover(folder / "account.parquet", account),
        costs=_costs(folder, manifest, account, returns),
    )


def need_run(folder: Path, needed: Iterable[str]) -> None:
    """Raise MissingPartError unless a folder holds these files, as that of a whole run does."""
    if not os.path.lexists(folder):
        # A kill may have hidden it while it was replaced.
        sweep_up(folder.parent)
    if folder.is_file():
        raise MissingPartError(f"{folder}: a file, no run. Name the folder of the run that it lies in.")
    if not folder.is_dir():
        raise MissingPartError(f"{folder}: no such run. 'embargo runs' lists them.")
    gone = [name for name in needed if not os.path.lexists(folder / name)]
    if gone:
        raise MissingPartError(
            f"{folder}: {', '.join(gone)} {'is' if len(gone) == 1 else 'are'} missing, so this is no whole run. Name "
            "folders that 'embargo run' or 'embargo demo' wrote."
        )


def settings_of(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Read the settings that a run was made with, whatever version wrote them."""
    place = folder / CONFIG
    try:
        return tomllib.loads(read_text(folder, CONFIG, manifest))
    except (ValueError, RecursionError) as failure:
        raise DataError(f"{place}: not a TOML file ({failure}). Put it back as it was, or repeat the run.") from failure


def returns_in(folder: Path, manifest: Mapping[str, Any]) -> pd.Series:
    """Read a run's net returns by the instant each bar opens, shape (test bars,); DataError where they are none."""
    return _returns(folder / "account.parquet", read_table(folder, "account.parquet", manifest))


def _returns(place: Path, account: pd.DataFrame) -> pd.Series:
    if "net_return" not in account:
        raise DataError(f"{place}: there is no column net_return. Repeat the run.")
    returns = _numbers(account["net_return"], place)
    index = returns.index
    if not isinstance(index, pd.DatetimeIndex) or index.tz is None or not index.is_monotonic_increasing:
        raise DataError(f"{place}: bars are not in order of instants in UTC. Repeat the run.")
    if returns.empty or index.has_duplicates or not np.isfinite(returns).all():
        raise DataError(f"{place}: a bar has no return, or two. Repeat the run.")
    if returns.abs().max() > _MOST_RETURN:
        raise DataError(f"{place}: a bar returns {returns.abs().max():.3g}, which no account does. Repeat the run.")
    return returns


def _turnover(place: Path, account: pd.DataFrame) -> pd.Series:
    if "turnover" not in account:
        return pd.Series(dtype=float)
    turnover = _numbers(account["turnover"], place)
    if not np.isfinite(turnover).all() or (turnover < 0.0).any():
        raise DataError(f"{place}: a bar has no turnover, or one below 0. Repeat the run.")
    return turnover


def _costs(folder: Path, manifest: Mapping[str, Any], account: pd.DataFrame, returns: pd.Series) -> pd.DataFrame:
    """Read what each bar paid, which runs keep as fractions of the equity that they began with."""
    place = folder / _OVER_TIME
    if "equity" not in account or not holds(folder, _OVER_TIME, manifest):
        return pd.DataFrame()
    over_time = read_table(folder, _OVER_TIME, manifest)
    if not set(_PAID) <= set(over_time.columns):
        return pd.DataFrame()
    if not over_time.index.equals(returns.index):
        raise DataError(f"{place}: its rows do not fit those of account.parquet. Repeat the run.")
    equity = _numbers(account["equity"], folder / "account.parquet")
    # Who loses all at once leaves no trace of what it was.
    initial = equity.iloc[0] / (1.0 + returns.iloc[0]) if returns.iloc[0] > -1.0 else np.nan
    paid = -sum(_numbers(over_time[name], place) for name in _PAID) * initial
    costs = pd.DataFrame({"paid": paid, "equity": equity.shift(fill_value=initial)})
    if not np.isfinite(costs.to_numpy()).all():
        raise DataError(f"{place}: a bar has no costs, or no equity that they were paid from. Repeat the run.")
    return costs


def _numbers(column: pd.Series, place: Path) -> pd.Series:
    try:
        return column.astype(float)
    except (TypeError, ValueError) as failure:
        raise DataError(f"{place}: {column.name} holds what is no number ({failure}). Repeat the run.") from failure


def _market(folder: Path, manifest: Mapping[str, Any]) -> pd.Series:
    name = "growth.parquet"
    growth = read_table(folder, name, manifest) if holds(folder, name, manifest) else pd.DataFrame()
    if "equal weight" not in growth:
        return pd.Series(dtype=float)
    if not isinstance(growth.index, pd.DatetimeIndex) or growth.index.tz is None or growth.index.has_duplicates:
        raise DataError(f"{folder / name}: its rows do not fit those of account.parquet. Repeat the run.")
    # Row t of growth is the value when bar t opens, so the return of bar t is known one row later.
    return _numbers(growth["equal weight"], folder / name).pct_change().shift(-1).iloc[:-1]


def _symbols(folder: Path, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    name = "weights.parquet"
    return tuple(map(str, read_table(folder, name, manifest).columns)) if holds(folder, name, manifest) else ()


def _articles(folder: Path, manifest: Mapping[str, Any]) -> tuple[pd.DataFrame, tuple[str, str] | None]:
    """Labelled articles with scores and the day they were known, and the span of all test articles, where there are."""
    names = [f"{name}.parquet" for name in ("articles", "classification")]
    articles, judged = (
        read_table(folder, name, manifest) if holds(folder, name, manifest) else pd.DataFrame() for name in names
    )
    if articles.empty:
        return pd.DataFrame(), None
    known_at = articles.get("known_at")
    if "article_id" not in articles or known_at is None or not isinstance(known_at.dtype, pd.DatetimeTZDtype):
        raise DataError(
            f"{folder / names[0]}: there is no column article_id, or none of instants known_at. Repeat the run."
        )
    span = (known_at.min().isoformat(), known_at.max().isoformat())
    if judged.empty or not {"article_id", "label", *CLASSES} <= set(judged.columns):
        return pd.DataFrame(), span
    for name in CLASSES:
        _numbers(judged[name], folder / names[1])
    known = articles.drop_duplicates("article_id").set_index("article_id")["known_at"]
    judged = judged.drop_duplicates("article_id")
    return judged.assign(day=judged["article_id"].map(known.dt.strftime("%Y-%m-%d"))).dropna(subset="day"), span
