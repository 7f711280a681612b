"""A finished run for other tools: its tables as files, and its returns in the shapes that tear-sheet libraries take.

What the audit and the checks of the data said goes along: figures of a run that was stamped are no better elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from embargo.data_loaders.calendars import zone_of
from embargo.data_loaders.errors import DataError, MissingPartError
from embargo.models.content import new_folder
from embargo.research.plain import for_spreadsheet, plain
from embargo.research.records.finished import FinishedRun
from embargo.research.records.folders import write_json
from embargo.research.records.run import Run

Library = Literal["quantstats", "pyfolio", "skfolio"]
Form = Literal["csv", "xlsx", "parquet"]
STRATEGY, MARKET = "strategy", "equal_weight"
_ROWS_OF_SHEET, _COLUMNS_OF_SHEET = 1_048_576, 16_384


def daily_returns(run: FinishedRun) -> pd.DataFrame:
    """Return the simple return of each day, of the strategy and of holding all its symbols alike.

    Parameters
    ----------
    run : FinishedRun
        As of `embargo.research.records.read_run`, or ``Run.load(...).finished``.

    Returns
    -------
    DataFrame, shape (days, 1 or 2)
        Net returns as fractions, compounded over the bars of a day: ``strategy`` and, where the run left it,
        ``equal_weight``. The index ``date`` is a naive `DatetimeIndex` of days at the exchange, each once, in order. As
        in the run a return is dated by the open at which it begins to be earned, and complete at the next one: on its
        own date nobody knows it yet, so that it is for reports and never an input of a signal.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from embargo.research.records import FinishedRun
    >>> from embargo.research.records.exports import daily_returns
    >>> hours = pd.date_range("2024-01-01", periods=48, freq="h", tz="UTC")
    >>> run = FinishedRun(
    ...     name="mine",
    ...     folder=Path("mine"),
    ...     status="valid",
    ...     returns=pd.Series(0.001, index=hours),
    ...     regimes=pd.DataFrame(),
    ...     judged=pd.DataFrame(),
    ...     market=pd.Series(dtype=float),
    ...     symbols=("BTC/USDT",),
    ...     metrics={},
    ...     manifest={},
    ...     settings={"prices": {"calendar": "24/7"}},
    ... )
    >>> daily_returns(run).round(6).reset_index().values.tolist()
    [[Timestamp('2024-01-01 00:00:00'), 0.024278], [Timestamp('2024-01-02 00:00:00'), 0.024278]]
    """
    columns = {STRATEGY: run.returns}
    if len(run.market):
        columns[MARKET] = run.market.reindex(run.returns.index)
    bars = pd.DataFrame(columns)
    days = pd.DatetimeIndex(bars.index).tz_convert(_zone_of(run)).tz_localize(None).normalize()
    # A bar a day is taken as it is, to the last digit. What is missing stays so.
    found = bars.set_axis(days) if days.is_unique else (1.0 + bars).groupby(days).prod(skipna=False) - 1.0
    return found.set_axis(pd.DatetimeIndex(found.index, name="date").as_unit("ns"))


def returns_for(run: FinishedRun, library: Library) -> pd.Series | pd.DataFrame:
    """Return a run's daily returns in the shape that a library of tear sheets or portfolios takes.

    Parameters
    ----------
    run : FinishedRun
    library : {"quantstats", "pyfolio", "skfolio"}

    Returns
    -------
    Series or DataFrame
        For quantstats and pyfolio a Series, for ``quantstats.reports`` and ``pyfolio.timeseries`` or its tear sheets;
        for skfolio a DataFrame of all returns, for ``Portfolio(X=..., weights=[1.0, 0.0])``. Days and figures are those
        of `daily_returns`; a missing one is an error in none of them and a wrong figure in most, so there is none.

    Raises
    ------
    DataError
        If a return is missing.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from embargo.research.records import FinishedRun
    >>> from embargo.research.records.exports import returns_for
    >>> opens = pd.to_datetime(["2024-01-02 14:30Z", "2024-01-03 14:30Z"])
    >>> run = FinishedRun(
    ...     name="mine",
    ...     folder=Path("mine"),
    ...     status="valid",
    ...     returns=pd.Series([0.01, -0.02], index=opens),
    ...     regimes=pd.DataFrame(),
    ...     judged=pd.DataFrame(),
    ...     market=pd.Series(dtype=float),
    ...     symbols=("AAPL",),
    ...     metrics={},
    ...     manifest={},
    ...     settings={},
    ... )
    >>> returns_for(run, "quantstats").to_dict()
    {Timestamp('2024-01-02 00:00:00'): 0.01, Timestamp('2024-01-03 00:00:00'): -0.02}
    """
    days = daily_returns(run)
    if days.isna().any(axis=None):
        day = days.index[days.isna().any(axis=1)][0]
        raise DataError(f"{run.folder}: there is no return of {day:%Y-%m-%d}. Repeat the run.")
    return days if library == "skfolio" else days[STRATEGY].rename(run.name)


def tables_of_run(run: Run) -> dict[str, pd.DataFrame]:
    """Return what a run left, by name of table.

    Parameters
    ----------
    run : Run

    Returns
    -------
    dict of DataFrame
        ``returns`` (by bar, UTC: net return, equity, turnover, and returns of the benchmarks), ``daily_returns``,
        ``weights`` (targets, by bar and symbol), ``trades`` (orders that were filled) and ``articles`` (with scores and
        the bar that each reached; their texts stay where they were read).

    Raises
    ------
    DataError
        As of `Run`.
    """
    rivals = (run.growth / run.growth.shift() - 1.0).iloc[1:].drop(columns="strategy", errors="ignore")
    own = pd.DataFrame({"net_return": run.returns, "equity": run.equity, "turnover": run.turnover})
    named = {f"return of {name}": rivals[name].to_numpy() for name in rivals}
    return {
        "returns": own.assign(**named).rename_axis("open_at").reset_index(),
        "daily_returns": daily_returns(run.finished).reset_index(),
        "weights": run.weights.rename_axis("open_at").reset_index(),
        "trades": run.orders,
        "articles": run.articles,
    }


def export_run(run: Run, folder: Path, form: Form) -> list[Path]:
    """Write a run's tables into a new folder, and what the run was found to be beside them.

    Parameters
    ----------
    run : Run
    folder : Path
        Must not be there.
    form : {"csv", "xlsx", "parquet"}
        ``"xlsx"`` is one file with a sheet for each table, instants in UTC.

    Returns
    -------
    list of Path
        The files, ``about.json`` the last.

    Raises
    ------
    TakenError
        If the folder is there.
    MissingPartError
        If the package that writes ``"xlsx"`` is not installed.
    DataError
        If a table is too long for a sheet, or the run cannot be read.
    """
    if form == "xlsx" and find_spec("openpyxl") is None:
        raise MissingPartError(
            "xlsx is written by the package openpyxl, which is not installed. Run: "
            "pip install 'embargo-backtest[xlsx]', or use --csv, which any spreadsheet opens."
        )
    tables = tables_of_run(run)
    with new_folder(folder) as draft:
        names = _write(tables, draft, form, run)
        write_json(draft / "about.json", _about(run))
    return [folder / name for name in (*names, "about.json")]


def _write(tables: Mapping[str, pd.DataFrame], folder: Path, form: Form, run: Run) -> list[str]:
    if form == "parquet":
        for name, table in tables.items():
            table.to_parquet(folder / f"{name}.parquet", index=False)
    elif form == "csv":
        for name, table in tables.items():
            for_spreadsheet(table).to_csv(folder / f"{name}.csv", index=False)
    else:
        long = [name for name, table in tables.items() if len(table) >= _ROWS_OF_SHEET]
        if long:
            rows = f"{len(tables[long[0]]):,} rows, and a sheet holds {_ROWS_OF_SHEET:,}"
            raise DataError(f"{run.folder}: {long[0]} has {rows}. Use --csv or --parquet.")
        wide = [name for name, table in tables.items() if table.shape[1] > _COLUMNS_OF_SHEET]
        if wide:
            columns = f"{tables[wide[0]].shape[1]:,} columns, and a sheet holds {_COLUMNS_OF_SHEET:,}"
            raise DataError(f"{run.folder}: {wide[0]} has {columns}. Use --csv or --parquet.")
        with pd.ExcelWriter(folder / "run.xlsx", engine="openpyxl") as book:
            for name, table in tables.items():
                for_sheet(table).to_excel(book, sheet_name=name, index=False)
        return ["run.xlsx"]
    return [f"{name}.{form}" for name in tables]


def for_sheet(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as a workbook takes it: no formulas, no sign that no cell holds, and instants in UTC without zone.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.research.records.exports import for_sheet
    >>> for_sheet(pd.DataFrame({"at": [pd.Timestamp("2024-01-02 09:30-05:00")], "symbol": ["=A1"]})).iloc[0].tolist()
    [Timestamp('2024-01-02 14:30:00'), "'=A1"]
    """
    zoned = [name for name, kind in table.dtypes.items() if isinstance(kind, pd.DatetimeTZDtype)]
    cells = table.assign(**{str(name): table[name].dt.tz_convert("UTC").dt.tz_localize(None) for name in zoned})
    # Whoever writes workbooks refuses control signs, which an identity or a source's name may hold.
    return for_spreadsheet(cells).map(_shown).rename(columns=_shown)


def _shown(cell: Any) -> Any:
    return plain(cell) if isinstance(cell, str) else cell


def _about(run: Run) -> dict[str, object]:
    return {
        "run": run.name,
        "status": run.status,
        "data": run.data,
        "verdict": run.metrics.get("verdict"),
        "attempts": run.metrics.get("n_trials"),
        "times": "instants are UTC; a return is earned from the open of its bar to the next open",
        "note": "status and data belong to every figure here: of an invalid run or of bad data no figure holds",
    }


def _zone_of(run: FinishedRun) -> str:
    prices = run.settings.get("prices")
    calendar = prices.get("calendar", "XNYS") if isinstance(prices, dict) else "XNYS"
    return zone_of(str(calendar)).key
