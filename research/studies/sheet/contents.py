"""What a tear sheet says of a finished run: read from its own files, and nothing computed that they do not hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from embargo.data_loaders.errors import DataError, MissingPartError
from embargo.research.pages import formats
from embargo.research.records.metrics import Metrics
from embargo.research.records.run import Run
from embargo.research.records.sealed import holds, read_figures, read_table

_OVER_TIME, _CONTRIBUTIONS, _GROWTH = "over_time.parquet", "contributions.parquet", "growth.parquet"
_CHECKS, _FINDINGS = "data_checks.json", "findings.json"
_COLUMNS = {
    _OVER_TIME: ("rolling_sharpe", "rolling_low", "rolling_high", "gross", "net", "carry"),
    _CONTRIBUTIONS: ("total",),
    _GROWTH: ("strategy",),
}


@dataclass(frozen=True, eq=False)
class SheetContents:
    """Everything that a tear sheet shows.

    Attributes
    ----------
    run : Run
    metrics : Metrics
    over_time, contributions : DataFrame
        As the run's look back left them.
    findings : DataFrame or None
        As `Run.findings`; None for a run that was not audited.
    checks : mapping or None
        As in ``data_checks.json``; None for a run whose data were not judged.
    """

    run: Run
    metrics: Metrics
    over_time: pd.DataFrame
    contributions: pd.DataFrame
    findings: pd.DataFrame | None
    checks: Mapping[str, Any] | None

    @property
    def title(self) -> str:
        """Title of the report, or the name of the experiment."""
        settings = self.run.finished.settings
        title = section_of(settings, "report").get("title")
        return str(title or settings.get("name") or self.run.name)

    @property
    def made(self) -> datetime | None:
        """When the run was made; None where it does not say."""
        told = self.run.manifest.get("created_at")
        try:
            return None if told is None else datetime.fromisoformat(str(told))
        except ValueError as failure:
            raise DataError(f"{self.run.folder}: manifest.json: created_at is {told!r}, no instant.") from failure


def contents_of(run: Run) -> SheetContents:
    """Read what a tear sheet shows.

    Parameters
    ----------
    run : Run

    Returns
    -------
    SheetContents

    Raises
    ------
    MissingPartError
        If an older version made the run, which did not keep what a sheet shows.
    DataError
        If a file of the run cannot be read, was changed, or holds figures of another version.
    """
    lacking = [name for name in _COLUMNS if not holds(run.folder, name, run.manifest)]
    if lacking:
        raise MissingPartError(
            f"{run.folder}: there is no {', '.join(lacking)}, which the version that made this run did not keep, so "
            "that no tear sheet can be drawn of it. Repeat the run; its figures are handed on by --csv all the same."
        )
    tables = {name: _table(run, name, columns) for name, columns in _COLUMNS.items()}
    bars = run.returns.index
    if not tables[_OVER_TIME].index.equals(bars):
        raise DataError(f"{run.folder / _OVER_TIME}: its rows do not fit those of account.parquet. Repeat the run.")
    return SheetContents(
        run=run,
        metrics=Metrics.from_dict(run.metrics, str(run.folder / "metrics.json")),
        over_time=tables[_OVER_TIME],
        contributions=tables[_CONTRIBUTIONS],
        findings=run.findings if holds(run.folder, _FINDINGS, run.manifest) else None,
        checks=_read_checks(run),
    )


def _table(run: Run, name: str, columns: Sequence[str]) -> pd.DataFrame:
    table = read_table(run.folder, name, run.manifest)
    lacking = [column for column in columns if column not in table]
    if lacking:
        raise DataError(f"{run.folder / name}: there is no column {lacking[0]!r}. Repeat the run.")
    return table


def _read_checks(run: Run) -> dict[str, Any] | None:
    return read_figures(run.folder, _CHECKS, run.manifest) if holds(run.folder, _CHECKS, run.manifest) else None


def section_of(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a section of settings or of a manifest, empty where there is none."""
    found = settings.get(name)
    return found if isinstance(found, Mapping) else {}


def span_of(contents: SheetContents) -> str:
    """Say on what the run was tested: days, bars, symbols, articles."""
    run, metrics = contents.run, contents.metrics
    index, prices = run.returns.index, section_of(run.finished.settings, "prices")
    bar, calendar = prices.get("bar", "1d"), prices.get("calendar", formats.MISSING)
    return (
        f"{index[0]:%Y-%m-%d} to {index[-1]:%Y-%m-%d}  ·  {metrics.n_bars:,} bars of {bar}, calendar {calendar}  ·  "
        f"{metrics.n_symbols:,} symbols  ·  {metrics.n_articles:,} articles  ·  after costs"
    )


def stamps_of(contents: SheetContents) -> list[tuple[str, str]]:
    """Return what every page carries, as (colour, text), the gravest first: a leak, bad data, doubts, no audit."""
    found, checks = contents.findings, contents.checks
    stamps = []
    if contents.run.status == "invalid":
        stamps.append(("bad", "INVALID: the audit found a leak, so none of these figures can be believed"))
    if checks is not None and checks.get("stamp"):
        stamps.append(("bad" if checks.get("refused") else "warn", str(checks["stamp"])))
    if contents.run.status == "caution" and found is not None:
        doubts = sorted(set(found.loc[found["verdict"] == "suspicious", "code"]))
        if doubts:
            stamps.append(("warn", f"CAUTION: the audit has doubts ({', '.join(doubts)})"))
    if found is None:
        stamps.append(("warn", "NOT AUDITED: nothing says that this run did not see the future"))
    return sorted(stamps, key=lambda stamp: stamp[0] != "bad")


def reader_of(contents: SheetContents) -> list[tuple[str, str]]:
    """Say what read the news and what it could know, as (what, told); folds that agree are told once."""
    models = [each for each in contents.run.manifest.get("models") or [] if isinstance(each, Mapping)]
    if not models:
        return [("Reader", "manifest.json names none")]
    settings = [section_of(each, "settings") for each in models]
    facts = [
        ("Reader", _told([each.get("kind") for each in models])),
        ("Base", _told([each.get("base") for each in models])),
        ("Method", _told([_method(each) for each in settings])),
        ("Fitted", f"{len(models)} {'time' if len(models) == 1 else 'times'}, each before its test window"),
        ("Base knows until", _until([each.get("base_knowledge_cutoff") for each in models if not _bare(each)])),
        ("All of it until", _until([each.get("knowledge_cutoff") for each in models])),
        ("As told by", formats.instants_in(_told([each.get("cutoff_source") for each in models]))),
    ]
    judged = contents.metrics.classification
    if judged is not None:
        read = formats.around(judged.accuracy, judged.accuracy_interval, "percent")
        facts.append(
            ("Read rightly", f"{read} of {judged.n:,} labelled articles, macro F1 {formats.ratio(judged.macro_f1)}")
        )
    return [(what, told) for what, told in facts if told]


def _bare(model: Mapping[str, Any]) -> bool:
    """Tell a reader that has no pretrained weights, and so nothing that it could remember."""
    return model.get("base") is None and model.get("kind") in ("lexicon", "linear")


def _method(settings: Mapping[str, Any]) -> str | None:
    method, rank = settings.get("method"), settings.get("rank")
    return None if method is None else f"{method}, rank {rank}" if rank is not None else str(method)


def _told(values: Sequence[Any]) -> str:
    """Name what differs between folds once; empty where none says anything."""
    named = list(dict.fromkeys(str(value) for value in values if value not in (None, "")))
    return " | ".join(named[:2]) + (f" | and {len(named) - 2} more" if len(named) > 2 else "")


def _until(instants: Sequence[Any]) -> str:
    days = sorted({str(value)[:10] for value in instants if value})
    unknown = sum(not value for value in instants)
    told = days[0] if len(days) == 1 else f"{days[0]} (first) to {days[-1]} (last)" if days else ""
    if not instants:
        return ""
    return told if not unknown else f"{told}; nobody says for {unknown} of {len(instants)}" if days else "nobody says"


def origin_of(contents: SheetContents, *, whole: bool = True) -> list[tuple[str, str]]:
    """Say where the run comes from: identity, commit, seed, versions and hashes, which may be short ones in a line."""
    run, manifest = contents.run, contents.run.manifest
    versions, marks = section_of(manifest, "versions"), section_of(manifest, "fingerprints")
    kept = ("python", "torch", "transformers", "peft", "numpy", "pandas", "vectorbt")
    known = ", ".join(f"{name} {versions[name]}" for name in kept if name in versions)
    hashes = [(f"Hash of {name.replace('_', ' ')}", str(value)) for name, value in marks.items()]
    return [
        ("Run", run.name),
        ("Commit", str(manifest.get("commit") or formats.MISSING)),
        ("Made", f"{formats.instant(contents.made)}, seed {manifest.get('seed', formats.MISSING)}"),
        ("Version", f"embargo {versions.get('embargo', formats.MISSING)}, {known}"),
        *(
            hashes
            if whole
            else [("Hashes", "; ".join(f"{what.removeprefix('Hash of ')} {value[:12]}" for what, value in hashes))]
        ),
        ("Seal", str(manifest.get("seal") or "none: changes after the run cannot be noticed")),
    ]
