"""A finished run in a notebook: its tables as frames, its charts as figures, its verdict at a glance.

A run is read from its folder and never run again. Tables are read when they are first asked for, and then kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from embargo.backtest import display
from embargo.data_loaders.errors import DataError
from embargo.research.pages import formats
from embargo.research.records.finished import FinishedRun, read_run, read_table

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
            If a file of it cannot be read or does not fit the others.
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

        return load_config(self.folder / "config.toml")

    @cached_property
    def weights(self) -> pd.DataFrame:
        """Target weights, shape (bars, symbols); negative is short."""
        return self._table("weights")

    @cached_property
    def signal(self) -> pd.DataFrame:
        """Signal in [-1, 1] that the weights were made from, shape (bars, symbols)."""
        return self._table("signal")

    @cached_property
    def orders(self) -> pd.DataFrame:
        """Every order that was filled, one a row."""
        return self._table("orders")

    @cached_property
    def articles(self) -> pd.DataFrame:
        """Scored articles of the test windows, one row per article and symbol, with the bar that each reached."""
        return self._table("articles")

    @cached_property
    def growth(self) -> pd.DataFrame:
        """Value of 1 in the strategy and in each benchmark; one row more than there are bars, the first 1."""
        return self._table("growth")

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
        try:
            found = pd.DataFrame(json.loads(file.read_text(encoding="utf-8")), columns=columns)
        except (OSError, ValueError) as failure:
            raise DataError(f"{file}: cannot be read ({failure}). Repeat the run.") from failure
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
        return self._table("account")

    def _table(self, name: str) -> pd.DataFrame:
        return read_table(self.folder / f"{name}.parquet")

    def _facts(self) -> list[display.Figure]:
        metrics = self.metrics
        tally = self.findings["verdict"].value_counts()
        audit = ", ".join(f"{tally[verdict]} {verdict}" for verdict in _GRAVITY if verdict in tally)
        interval = formats.interval((metrics["sharpe_low"], metrics["sharpe_high"]))
        level = formats.percent(metrics.get("level"))
        return [
            display.Figure(
                "Sharpe ratio",
                formats.ratio(metrics.get("sharpe")),
                f"{level} interval {interval}",
            ),
            display.Figure("p", formats.probability(metrics.get("sharpe_p_value")), "that chance alone earned as much"),
            display.Figure("p, news shuffled", formats.probability(metrics.get("permutation_p_value"))),
            display.Figure(
                "Return a year",
                formats.percent(metrics.get("annual_return")),
                f"in all {formats.percent(metrics.get('total_return'))}",
            ),
            display.Figure("Deepest drawdown", formats.percent(metrics.get("max_drawdown"))),
            display.Figure("Audit", self.status, audit),
        ]

    @property
    def _title(self) -> str:
        return f"{self.name}: {self.metrics.get('verdict', self.status)}"

    def __repr__(self) -> str:
        return display.as_text(self._title, self._facts())

    def _repr_html_(self) -> str:
        return display.as_html(self._title, self._facts(), self.returns.to_numpy(dtype=float))
