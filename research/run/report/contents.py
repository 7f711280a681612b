"""What a report says, as one frozen value: every figure, table and sentence that `render_page` may show.

The pipeline fills a `ReportData`; nothing in the report is computed from files, clocks or configuration, so that
the same value always gives the same page. The shapes are checked here, at the door, not in the template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from embargo.data_loaders.checks.check import Grade
from embargo.data_loaders.errors import DataError
from embargo.research.pages.formats import UNITS, Unit
from embargo.research.pages.status import STATUSES, VERDICTS, Status
from embargo.research.pages.tables import ReportTable

if TYPE_CHECKING:
    from embargo.research.run.look_back import LookBack
    from embargo.research.run.report.book import BookSources

REGIME_TABLE_COLUMNS = (
    "definition",
    "regime",
    "bars",
    "share",
    "sharpe",
    "low",
    "high",
    "p_value",
    "p_value_holm",
    "annual_return",
    "max_drawdown",
    "hit_rate",
    "note",
    "annual_return_low",
    "annual_return_high",
    "n_spells",
    "mean_spell_bars",
    "turnover_annual",
    "n_trades",
    "trade_hit_rate",
)
RELIABILITY_COLUMNS = ("lower", "upper", "confidence", "accuracy", "count", "accuracy_low", "accuracy_high", "stage")
FOLD_BOUNDS = ("train_start", "train_end", "validation_start", "validation_end", "test_start", "test_end")
FOLD_COLUMNS = (
    "fold",
    *FOLD_BOUNDS,
    "train_samples",
    "validation_samples",
    "test_samples",
    "purged",
    "embargoed",
    "epochs",
    "temperature",
    "macro_f1",
)
FINDING_KEYS = ("code", "verdict", "title", "detail", "evidence", "remedy")
CHECK_KEYS = ("code", "verdict", "summary", "where", "remedy", "accepted", "rows")
PERMUTATION_KEYS = ("observed", "counts", "edges", "p_value")


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One line of the table of metrics.

    Parameters
    ----------
    name : str
        Name as printed, such as ``"Sharpe ratio"``.
    strategy : float, str or None
        Value of the strategy; fractions, not percent, when `unit` is ``"percent"``. None prints as a dash.
    interval : (float, float), str or None
        Confidence interval in the unit of the value, or a ready text.
    benchmarks : mapping of str to float, str or None
        Value of each benchmark, keyed like the columns of `ReportData.equity`.
    unit : {"ratio", "coefficient", "percent", "basis points", "probability", "count", "number", "text"}
        How to print: ratio 1.23, coefficient 0.034, percent 12.3%, basis points 12.3, probability 0.034 or < 0.001,
        count 1,234, number 4 digits.
    definition : str
        One sentence that says what is measured, and over what period.

    Examples
    --------
    >>> from embargo.research.run.report import MetricRow
    >>> row = MetricRow("Total return", 0.031, benchmarks={"buy and hold": 0.052}, unit="percent")
    >>> row.benchmarks["buy and hold"]
    0.052
    """

    name: str
    strategy: float | str | None
    interval: tuple[float, float] | str | None = None
    benchmarks: Mapping[str, float | str | None] = field(default_factory=dict)
    unit: Unit = "ratio"
    definition: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class DataPart:
    """What a report says of the data that it rests on.

    Parameters
    ----------
    grade : {"clean", "look", "bad"}
        The gravest verdict of all checks.
    refused : bool
        Whether a check calls the data bad and nobody accepted that.
    stamp : str or None
        Sentence that stays in sight on every screen and every printed page.
    summary : str
        Which checks gave the verdict.
    checks : sequence of mapping
        Every check with `CHECK_KEYS`, the gravest first; ``rows`` is a DataFrame of examples, ``accepted`` a reason or
        None, the others are texts.
    without : ReportTable or None
        What the result is without the bars at fault.

    Examples
    --------
    >>> from embargo.research.run.report import DataPart
    >>> DataPart("clean", False, None, "21 checks, all clean.").checks
    ()
    """

    grade: Grade
    refused: bool
    stamp: str | None
    summary: str
    checks: Sequence[Mapping[str, Any]] = ()
    without: ReportTable | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ReportData:
    """Everything that a report shows.

    Parameters
    ----------
    name : str
        Name of the run.
    status : {"valid", "caution", "invalid"}
        The verdict in one word; ``"invalid"`` needs a `stamp`.
    stamp : str or None
        Sentence that stays in sight on every screen and every printed page.
    verdict_headline, verdict_text : str
        The answer in one line, and one paragraph in plain words.
    headline : sequence of (label, value, note)
        Tiles under the verdict; all three are ready texts.
    metrics : sequence of MetricRow
        Rows of the table of metrics.
    tables : sequence of ReportTable
        Shown below the metrics.
    equity : DataFrame
        Index of UTC instants, shape (bars, series); a column ``"strategy"`` and one per benchmark; starts at 1.0.
        Drawdowns are computed from it. NaN is drawn as a gap.
    regimes : DataFrame or None
        Same index as `equity`; one column per definition (such as ``"trend"``, ``"volatility"``) of text labels;
        missing labels stay unshaded.
    regime_table : DataFrame or None
        Columns `REGIME_TABLE_COLUMNS`; rates and returns as fractions, Sharpe ratios per year. Columns that are absent
        are shown as not available.
    significance : float
        Level below which a regime counts as above zero.
    regime_tables, chance_tables : sequence of ReportTable
        Shown below the table of regimes, and below the permutations.
    reliability : DataFrame or None
        Columns `RELIABILITY_COLUMNS`, `stage` is ``"before"`` or ``"after"`` calibration; ``accuracy_low`` and
        ``accuracy_high`` are the ends of each bin's interval.
    confusion : DataFrame or None
        Counts, true classes in rows and predicted classes in columns.
    classification : mapping or None
        Scalars such as ``accuracy``, ``macro_f1``, ``ece``, or ``(value, low, high)`` with an interval; a nested
        mapping becomes a row of the table by class.
    permutation : mapping or None
        ``observed`` (float), ``counts`` (k) and ``edges`` (k + 1) of the null histogram, ``p_value``; optional
        ``quantiles`` (mapping of probability to value), ``statistic`` (name), ``permutations`` (number) and ``method``
        (text).
    folds : DataFrame or None
        One row per fold with `FOLD_COLUMNS`; the dates are UTC and required, the others may be missing.
    findings : sequence of mapping
        Findings of the leakage audit with `FINDING_KEYS`; `verdict` is one of `VERDICTS`; `evidence` is a list of
        mappings, shown as a table. Optional ``effect`` (number), ``interval`` (two numbers) and ``unit`` (text) say how
        large it is.
    not_tested : sequence of (code, leak, reason)
        What the audit did not look for.
    counts : mapping
        What was dropped and why: ``{reason: number}`` or ``{stage: {reason: number}}``.
    config, manifest : mapping
        Configuration of the run, and its fingerprints, versions, seeds and commit. May be nested.
    data : DataPart or None
        What the news and prices are worth.
    book : LookBack or None
        Where the result came from.
    book_sources : BookSources or None
        What is drawn of the run beside it.
    level : float
        Of the bands.

    Raises
    ------
    DataError
        If a field has the wrong shape; the message names the field and the remedy.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.research.run.report import ReportData
    >>> bars = pd.date_range("2024-01-02", periods=3, tz="UTC")
    >>> data = ReportData(
    ...     name="mine",
    ...     status="caution",
    ...     stamp="CAUTION: three bars",
    ...     verdict_headline="Chance explains it",
    ...     verdict_text="Three bars say nothing.",
    ...     headline=[],
    ...     metrics=[],
    ...     equity=pd.DataFrame({"strategy": [1.0, 1.02, 1.01]}, index=bars),
    ... )
    >>> data.significance
    0.05
    """

    name: str
    status: Status
    stamp: str | None
    verdict_headline: str
    verdict_text: str
    headline: Sequence[tuple[str, str, str]]
    metrics: Sequence[MetricRow]
    equity: pd.DataFrame
    tables: Sequence[ReportTable] = ()
    regimes: pd.DataFrame | None = None
    regime_table: pd.DataFrame | None = None
    significance: float = 0.05
    regime_tables: Sequence[ReportTable] = ()
    chance_tables: Sequence[ReportTable] = ()
    reliability: pd.DataFrame | None = None
    confusion: pd.DataFrame | None = None
    classification: Mapping[str, Any] | None = None
    permutation: Mapping[str, Any] | None = None
    folds: pd.DataFrame | None = None
    findings: Sequence[Mapping[str, Any]] = ()
    not_tested: Sequence[tuple[str, str, str]] = ()
    counts: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    data: DataPart | None = None
    book: LookBack | None = None
    book_sources: BookSources | None = None
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise DataError(f"report of {self.name!r}: status is {self.status!r}; use one of {', '.join(STATUSES)}")
        if self.status == "invalid" and not (self.stamp or "").strip():
            raise DataError(f"report of {self.name!r}: an invalid run needs a stamp; say why it is invalid")
        _check_equity(self.equity)
        _check_regimes(self.regimes, self.equity)
        _need_columns(self.regime_table, ("definition", "regime", "sharpe", "low", "high"), "regime_table")
        _need_columns(self.reliability, RELIABILITY_COLUMNS, "reliability")
        _need_columns(self.folds, ("fold", *FOLD_BOUNDS), "folds")
        _check_permutation(self.permutation)
        for table in (*self.tables, *self.regime_tables, *self.chance_tables):
            if any(len(row) != len(table.head) for row in table.rows):
                raise DataError(f"report table {table.title!r}: a row has not {len(table.head)} cells, one a column")
        for row in self.metrics:
            if row.unit not in UNITS:
                raise DataError(f"report metrics: {row.name!r} has unit {row.unit!r}; use one of {', '.join(UNITS)}")
        for position, finding in enumerate(self.findings):
            verdict = finding.get("verdict")
            if verdict not in VERDICTS:
                raise DataError(
                    f"report findings: number {position} has verdict {verdict!r}; use one of {', '.join(VERDICTS)}"
                )


def _check_equity(equity: pd.DataFrame) -> None:
    index = equity.index
    if not isinstance(index, pd.DatetimeIndex) or str(index.tz) != "UTC":
        raise DataError("report equity: the index must be UTC instants; convert it with tz_convert('UTC')")
    if len(equity) < 2:
        raise DataError(f"report equity: {len(equity)} rows cannot be drawn; pass at least two bars")
    if not index.is_monotonic_increasing or not index.is_unique:
        raise DataError("report equity: the index must be increasing without repeats; sort it and drop the repeats")
    if "strategy" not in equity.columns:
        raise DataError(f"report equity: no column 'strategy' among {list(equity.columns)}; rename yours")


def _check_regimes(regimes: pd.DataFrame | None, equity: pd.DataFrame) -> None:
    if regimes is not None and not regimes.index.equals(equity.index):
        raise DataError(
            "report regimes: the index differs from that of equity; reindex the labels to the equity's bars"
        )


def _need_columns(frame: pd.DataFrame | None, columns: Sequence[str], what: str) -> None:
    if frame is None:
        return
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise DataError(f"report {what}: columns {', '.join(missing)} are missing; it has {list(frame.columns)}")


def _check_permutation(permutation: Mapping[str, Any] | None) -> None:
    if permutation is None:
        return
    missing = [key for key in PERMUTATION_KEYS if key not in permutation]
    if missing:
        raise DataError(f"report permutation: keys {', '.join(missing)} are missing; it has {sorted(permutation)}")
    if len(permutation["edges"]) != len(permutation["counts"]) + 1:
        raise DataError(
            f"report permutation: {len(permutation['edges'])} edges for {len(permutation['counts'])} counts; "
            "a histogram has one edge more than counts"
        )
