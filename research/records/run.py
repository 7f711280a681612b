"""A finished run in a notebook: its tables as frames, its charts as figures, its verdict at a glance.

A run is read from its folder and never run again. Tables are read when they are first asked for, and then kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from embargo.backtest import display
from embargo.data_loaders.errors import DataError
from embargo.research.records.data_worth import data_of
from embargo.research.records.finished import FinishedRun, read_run
from embargo.research.records.folders import CONFIG
from embargo.research.records.sealed import read_json, read_table, read_text

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from embargo.research.config.experiment import Config

_GRAVITY = ("leak", "suspicious", "inconclusive", "pass", "not-applicable")


@dataclass(frozen=True, repr=False, eq=False)
class Run:
    """A finished run, read back from its folder; make one with `Run.load`, `embargo.run` or `embargo.demo`.

    Rows are bars of the test windows in order of time, by the instant in UTC at which each opens. Returns, weights and
    turnover are fractions of equity.

    Attributes
    ----------
    finished : FinishedRun
        What every reader of finished runs goes by.

    Examples
    --------
    >>> import tempfile
    >>> from embargo import Run, demo
    >>> small = ["model.kind=lexicon", "news.simulated.symbols=4", "split.end=2018-07-01", "split.test_span=6MS"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = demo(out=folder, cache=folder, overrides=small, progress=False)
    ...     found = Run.load(made.folder)
    ...     weights = found.weights
    >>> weights.shape, found.status
    ((125, 4), 'valid')
    """

    finished: FinishedRun

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """Read a finished run from its folder.

        Parameters
        ----------
        path : str or Path
            Such as ``runs/demo-1a2b3c4d``.

        Returns
        -------
        Run

        Raises
        ------
        MissingPartError
            If the folder is no whole run.
        DataError
            If a file of it cannot be read, was changed after the run, or does not fit the others.
        """
        return cls(read_run(Path(path)))

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.finished.name

    @property
    def folder(self) -> Path:
        """Folder that the run was read from."""
        return self.finished.folder

    @property
    def status(self) -> str:
        """``valid``, ``caution`` or ``invalid``, as the audit left it."""
        return self.finished.status

    @property
    def sealed(self) -> bool:
        """Whether its files were held against the hashes that the run sealed; runs of older versions have none."""
        return self.finished.sealed

    @property
    def data(self) -> str | None:
        """``clean``, ``look``, ``bad`` or ``accepted``: what its news and prices are worth; None if it was not asked.

        Data are ``accepted`` where a reason was given for all that is bad.
        """
        return data_of(self.finished.metrics)

    @property
    def report(self) -> Path:
        """The page of the run, to be opened in a browser."""
        return self.folder / "report.html"

    @property
    def metrics(self) -> dict[str, Any]:
        """Every figure, as in ``metrics.json``; annual ones are per year, returns are fractions."""
        return self.finished.metrics

    @property
    def manifest(self) -> dict[str, Any]:
        """Where the run comes from: versions, commit, seed, fingerprints of data, models; as in ``manifest.json``."""
        return self.finished.manifest

    @property
    def returns(self) -> pd.Series:
        """Net return of each bar, shape (bars,)."""
        return self.finished.returns

    @property
    def regimes(self) -> pd.DataFrame:
        """Market regime of each bar by each definition, shape (bars, definitions); text."""
        return self.finished.regimes

    @cached_property
    def config(self) -> Config:
        """The experiment with every setting resolved."""
        from embargo.research.config.experiment import load_config

        read_text(self.folder, CONFIG, self.manifest)
        return load_config(self.folder / CONFIG)

    @cached_property
    def weights(self) -> pd.DataFrame:
        """Target weights, shape (bars, symbols); negative is short."""
        return self._panel("weights")

    @cached_property
    def signal(self) -> pd.DataFrame:
        """Signal in [-1, 1] that the weights were made from, shape (bars, symbols)."""
        return self._panel("signal")

    @cached_property
    def orders(self) -> pd.DataFrame:
        """Every order that was filled, one a row."""
        return self._table("orders", ("symbol", "bar", "fill_at", "size", "price"))

    @cached_property
    def articles(self) -> pd.DataFrame:
        """Scored articles of the test windows, one row per article and symbol, with the bar that each reached."""
        return self._table("articles", ("article_id", "symbol", "known_at"))

    @cached_property
    def growth(self) -> pd.DataFrame:
        """Value of 1 in the strategy and in each benchmark; one row more than there are bars, the first 1."""
        return self._panel("growth", more=1)

    @property
    def equity(self) -> pd.Series:
        """Equity at the end of each bar, in currency, shape (bars,)."""
        return self._account["equity"]

    @property
    def turnover(self) -> pd.Series:
        """What each bar traded, as a fraction of equity, shape (bars,)."""
        return self._account["turnover"]

    @cached_property
    def findings(self) -> pd.DataFrame:
        """What the audit found, the gravest first: ``code, verdict, title, detail, effect, unit, remedy, evidence``."""
        file = self.folder / "findings.json"
        columns = ["code", "verdict", "title", "detail", "effect", "unit", "remedy", "evidence"]
        document = read_json(self.folder, file.name, self.manifest)
        # An audit that cannot be told from one that found nothing must not pass for it.
        told = isinstance(document, list) and all(isinstance(row, dict) for row in document)
        if not document or not told or not all(row.get("verdict") in _GRAVITY for row in document):
            raise DataError(f"{file}: holds no findings of an audit with a verdict each. Repeat the run.")
        found = pd.DataFrame(document, columns=columns)
        order = found["verdict"].map({verdict: place for place, verdict in enumerate(_GRAVITY)})
        return found.iloc[order.argsort(kind="stable")].reset_index(drop=True)

    @cached_property
    def figures(self) -> dict[str, go.Figure]:
        """Charts of the run as plotly figures: ``growth`` and ``drawdown`` of the strategy and its benchmarks."""
        # Loaded here because who reads tables needs no charts.
        import plotly.graph_objects as go

        drawn = {
            "growth": (self.growth, "growth of 1", ".2f"),
            "drawdown": (self.growth / self.growth.cummax() - 1.0, "drawdown", ".0%"),
        }
        return {
            name: go.Figure(
                [
                    go.Scatter(x=panel.index, y=panel[column], mode="lines", name=escape(str(column)))
                    for column in panel.columns
                ],
                {"title": escape(self.name), "yaxis": {"title": title, "tickformat": form}},
            )
            for name, (panel, title, form) in drawn.items()
        }

    @cached_property
    def _account(self) -> pd.DataFrame:
        return self._table("account", ("equity", "turnover"))

    def _table(self, name: str, columns: Iterable[str]) -> pd.DataFrame:
        """Read a table that must have these columns."""
        file = self.folder / f"{name}.parquet"
        table = read_table(self.folder, file.name, self.manifest)
        lacking = [column for column in columns if column not in table]
        if lacking:
            raise DataError(f"{file}: there is no column {lacking[0]!r}. Repeat the run.")
        return table

    def _panel(self, name: str, *, more: int = 0) -> pd.DataFrame:
        """Read a panel that must stand on the bars of the returns, and end so many rows after them."""
        file = self.folder / f"{name}.parquet"
        panel = read_table(self.folder, file.name, self.manifest)
        bars = self.returns.index
        if len(panel) != len(bars) + more or not panel.index[: len(bars)].equals(bars) or panel.empty:
            raise DataError(f"{file}: its rows do not fit those of account.parquet. Repeat the run.")
        return panel

    def _facts(self) -> list[display.Figure]:
        tally = self.findings["verdict"].value_counts()
        audit = ", ".join(f"{tally[verdict]} {verdict}" for verdict in _GRAVITY if verdict in tally)
        level = self._number("level")
        interval = display.interval(
            self._number("sharpe_low"),
            self._number("sharpe_high"),
            0.95 if level is None else level,
            self._number("sharpe_p_value"),
            "one-sided",
        )
        return [
            display.Figure("Sharpe ratio a year", display.decimal(self._number("sharpe")), interval),
            display.Figure("p, news shuffled, one-sided", display.probability(self._number("permutation_p_value"))),
            display.Figure(
                "Return a year",
                display.percent(self._number("annual_return")),
                f"in all {display.percent(self._number('total_return'))}",
            ),
            display.Figure("Deepest drawdown", display.percent(self._number("max_drawdown"))),
            display.Figure("Audit", self.status, audit),
            *([] if self.data is None else [display.Figure("Data", self.data, self._noticed())]),
        ]

    def _noticed(self) -> str:
        """Codes of the checks of the data that gave the verdict."""
        grade, faults = self.metrics["data_verdict"], self.metrics.get("data_faults") or {}
        return ", ".join(code for code, fault in faults.items() if fault["verdict"] == grade)

    def _number(self, name: str) -> float | None:
        value = self.metrics.get(name)
        if value is not None and not isinstance(value, int | float):
            raise DataError(f"{self.folder / 'metrics.json'}: {name} is {value!r}, no number. Repeat the run.")
        return value

    @property
    def _title(self) -> str:
        return f"{self.name}: {self.metrics.get('verdict', self.status)}"

    def __repr__(self) -> str:
        return display.as_text(self._title, self._facts())

    def _repr_html_(self) -> str:
        return display.as_html(self._title, self._facts(), self.returns.to_numpy(dtype=float))
