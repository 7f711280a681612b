"""``embargo export-run --pdf``: two pages whose figures are the run's, whatever the run is, byte for byte the same."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from samples.finished_runs import unsealed
from samples.pdf_text import Shown, boxes, embedded, pages
from samples.small_runs import SWEPT, embargo

from embargo.backtest.leakage import not_tested
from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.models.content import TakenError
from embargo.research.config.experiment import load_config
from embargo.research.pages import formats
from embargo.research.progress import Quiet
from embargo.research.records.run import Run
from embargo.research.run import execute
from embargo.research.run.pipeline import Outcome
from embargo.research.studies.sheet import render_sheet, write_sheet
from embargo.research.studies.sheet.paper import HIGH, MARGIN, WIDE, printable, width_of

FOOT = 36.0
HOSTILE = "Längster $x_1$ <b>&amp; \\alpha 東京 عربى 😀 " + "sehr-" * 40


@pytest.fixture(scope="module")
def sheet(small_run: Outcome) -> bytes:
    return render_sheet(Run.load(small_run.folder))


@pytest.fixture(scope="module")
def shown(sheet: bytes) -> list[list[Shown]]:
    return pages(sheet)


@pytest.fixture
def copied(small_run: Outcome, tmp_path: Path) -> Callable[..., Path]:
    """Copy the small run, unsealed, under another name."""

    def copy(name: str = "copy") -> Path:
        return unsealed(Path(shutil.copytree(small_run.folder, tmp_path / "runs" / name)))

    return copy


def changed(file: Path, change: Callable[[Any], Any]) -> None:
    document = json.loads(file.read_text())
    file.write_text(json.dumps(change(document)))


def words(page: list[Shown]) -> str:
    return " ".join(each.text for each in page)


def lines(page: list[Shown]) -> list[list[str]]:
    """The texts on one baseline, from left to right, the highest first."""
    heights = sorted({round(each.y, 1) for each in page}, reverse=True)
    rows = [
        sorted((each for each in page if round(each.y, 1) == height), key=lambda each: each.x) for height in heights
    ]
    return [[each.text for each in row] for row in rows]


def begins(page: list[Shown], *texts: str) -> list[str]:
    (row,) = [row for row in lines(page) if tuple(row[: len(texts)]) == texts]
    return row[len(texts) :]


def is_laid_out(found: list[list[Shown]]) -> None:
    """Nothing leaves the page or its margins, and no text lies on another."""
    assert len(found) == 2
    for page in found:
        spans = [(each, each.x + width_of(each.text, each.size, bold=each.bold)) for each in page]
        for each, right in spans:
            assert each.x >= MARGIN - 1.0, each
            assert right <= WIDE - MARGIN + 1.0, each
            assert 15.0 < each.y < HIGH - 20.0, each
        for (one, one_right), (two, two_right) in combinations(spans, 2):
            apart = abs(one.y - two.y) >= 0.72 * min(one.size, two.size)
            assert apart or one_right <= two.x + 0.5 or two_right <= one.x + 0.5, (one, two)
        body = [each for each in page if not each.text.startswith(("Made from the files", "An empty audit"))]
        assert min(each.y for each in body) >= FOOT


def test_two_pages_of_a4_with_fonts_inside(sheet: bytes, shown: list[list[Shown]]) -> None:
    assert boxes(sheet) == [(0.0, 0.0, 595.276, 841.89)] * 2
    assert embedded(sheet)
    assert all(embedded(sheet).values())
    assert b"/Subtype /Image" not in sheet
    is_laid_out(shown)


def test_the_date_is_that_of_the_run(small_run: Outcome, sheet: bytes) -> None:
    made = Run.load(small_run.folder).manifest["created_at"]
    stamp = re.sub(r"\D", "", made[:19]).encode()
    assert re.findall(rb"/(?:CreationDate|ModDate) \(D:(\d+)Z", sheet) == [stamp, stamp]


def test_the_same_run_gives_the_same_bytes_on_any_machine(small_run: Outcome, sheet: bytes, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text(
        "pdf.fonttype: 3\nfont.size: 30\ntext.color: red\nlines.linestyle: :\naxes.facecolor: black\nsavefig.dpi: 30\n"
        "savefig.bbox: tight\npath.simplify: False\ntext.hinting: none\ntext.kerning_factor: 6\n"
    )
    code = (
        "import sys; from pathlib import Path; from embargo.research.records.run import Run; "
        "from embargo.research.studies.sheet import write_sheet; "
        f"write_sheet(Run.load(Path({str(small_run.folder)!r})), Path('again.pdf'))"
    )
    environment = {"PYTHONHASHSEED": "7", "MPLCONFIGDIR": str(tmp_path), "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=tmp_path, env={**os.environ, **environment}, timeout=200
    )
    assert (tmp_path / "again.pdf").read_bytes() == sheet


def test_the_verdict_comes_first_with_interval_and_p_values(small_run: Outcome, shown: list[list[Shown]]) -> None:
    metrics = small_run.metrics
    first = words(shown[0])
    assert metrics.verdict is not None
    places = [first.index(part) for part in (metrics.verdict, "Sharpe ratio", "Growth of 1", "Returns by month")]
    assert places == sorted(places)
    for label, value, note in small_run.headline:
        assert f"{label} {value} {note}" in first
    assert formats.interval((metrics.sharpe_low, metrics.sharpe_high)) in first
    assert "✓ Valid" in first
    assert f"Data: {small_run.data.grade}" in first


def test_figures_are_those_of_the_run(small_run: Outcome, shown: list[list[Shown]]) -> None:
    metrics = json.loads((small_run.folder / "metrics.json").read_text())
    rivals = [metrics["benchmarks"][name] for name in metrics["benchmarks"] if name != "cash"][:3]
    printed = {"Annual return": "annual_return", "Annual volatility": "annual_volatility", "Hit rate": "hit_rate"}
    for label, name in printed.items():
        row = begins(shown[0], label)
        assert row[: 1 + len(rivals)] == [formats.percent(each[name]) for each in (metrics, *rivals)]
    for label, name in {"Sortino ratio": "sortino", "Calmar ratio": "calmar"}.items():
        row = begins(shown[0], label)
        assert row[: 1 + len(rivals)] == [formats.ratio(each[name]) for each in (metrics, *rivals)]
    depths = [formats.percent(each["depth"]) for each in metrics["drawdowns"][:5]]
    assert [row[-5] for row in lines(shown[0]) if row[-4:-3] and re.match(r"\d{4}-\d\d-\d\d", row[-4])] == depths
    for regime, found in metrics["regimes"]["trend"].items():
        row = begins(shown[1], "trend", regime)
        assert row == [
            formats.count(found["n_bars"]),
            formats.percent(found["share"]),
            formats.ratio(found["sharpe"]),
            formats.interval((found["low"], found["high"])),
            formats.probability(found["p_value"]),
            formats.probability(found["p_value_holm"]),
            formats.percent(found["annual_return"]),
            formats.percent(found["max_drawdown"]),
            formats.ratio(found["turnover_annual"]),
        ]
    second = words(shown[1])
    assert f"total return {formats.fine_percent(metrics['total_return'])}" in second
    total = metrics["costs_paid"]["total"]
    assert f"total {formats.count(total['currency'])} {formats.fine_percent(total['per_year'])}" in second
    assert f"Turnover: {formats.ratio(metrics['turnover'])} times a year" in second
    assert f"Gross exposure {formats.percent(metrics['exposure_gross'])}" in second
    assert f"Attempts {metrics['n_trials']:,} on these bars" in second


def test_every_column_of_a_regime_is_its_own(copied: Callable[..., Path]) -> None:
    run = copied()
    told = {"n_bars": 77, "share": 0.21, "sharpe": 1.31, "low": -0.41, "high": 2.51, "p_value": 0.071}
    told |= {"p_value_holm": 0.142, "annual_return": 0.081, "max_drawdown": -0.191, "turnover_annual": 12.34}

    def change(found: dict[str, Any]) -> dict[str, Any]:
        regimes = found["regimes"]
        first = next(iter(regimes["trend"].values()))
        return found | {"regimes": regimes | {"trend": {"bull": first | told}}}

    changed(run / "metrics.json", change)
    row = begins(pages(render_sheet(Run.load(run)))[1], "trend", "bull")
    assert row == ["77", "21.0%", "1.31", "−0.41 to 2.51", "0.071", "0.142", "8.1%", "−19.1%", "12.34"]


def test_months_are_those_of_the_account(small_run: Outcome, shown: list[list[Shown]]) -> None:
    growth = pd.read_parquet(small_run.folder / "growth.parquet")["strategy"]
    value, start, told = 1.0, {}, {}
    for at, worth in growth.items():
        assert isinstance(at, pd.Timestamp)
        start.setdefault((at.year, at.month), value)
        value = worth
        told[(at.year, at.month)] = formats.percent(worth / start[(at.year, at.month)] - 1.0)
    for year in {year for year, _ in told}:
        row = begins(shown[0], str(year))
        assert row[:-1] == [found for (when, _), found in told.items() if when == year]


def test_provenance_and_audit_are_told_whole(small_run: Outcome, shown: list[list[Shown]]) -> None:
    manifest, second = Run.load(small_run.folder).manifest, words(shown[1])
    for told in (small_run.folder.name, manifest["commit"], manifest["seal"], *manifest["fingerprints"].values()):
        assert told in second
    for code, leak, _ in not_tested(finding.code for finding in small_run.findings):
        assert f"{code} {leak}" in second
    for finding in small_run.findings:
        if finding.verdict not in ("pass", "not-applicable"):
            assert f"{finding.code} {finding.verdict}: {finding.title}" in second
    tally = [sum(finding.verdict == verdict for finding in small_run.findings) for verdict in ("pass", "inconclusive")]
    assert f"{tally[0]} pass" in second
    assert f"{tally[1]} inconclusive" in second


def test_a_run_that_never_traded_says_so(tmp_path: Path) -> None:
    (tmp_path / "never.toml").write_text(SWEPT + "threshold = 0.999\n")
    made = execute(
        load_config(tmp_path / "never.toml"), out=tmp_path / "runs", cache=tmp_path / "cache", stages=Quiet()
    )
    found = pages(render_sheet(Run.load(made.folder)))
    is_laid_out(found)
    assert "Not judged: the strategy never traded." in words(found[0])
    assert "The account never fell." in words(found[0])
    assert "too few bars with a return for a window" in words(found[0])
    assert "Nothing was traded, so nothing was paid." in words(found[1])
    assert "not judged: it never traded" in words(found[1])


def test_a_run_of_hours_fits(copied: Callable[..., Path]) -> None:
    run = copied()
    for name in ("account", "regimes", "over_time", "growth"):
        table = pd.read_parquet(run / f"{name}.parquet")
        hours = pd.date_range("2022-03-30 22:00", periods=len(table), freq="h", tz="UTC")
        table.set_axis(hours).to_parquet(run / f"{name}.parquet")
    settings = (run / "config.toml").read_text()
    (run / "config.toml").write_text(settings.replace('"XNYS"', '"24/7"').replace('bar = "1d"', 'bar = "1h"'))
    found = pages(render_sheet(Run.load(run)))
    is_laid_out(found)
    assert "2022-03-30 to 2022-04" in words(found[0])
    assert "bars of 1h, calendar 24/7" in words(found[0])
    assert begins(found[0], "2022")[-1].endswith("%")


def test_a_run_that_was_not_audited_says_so_on_both_pages(copied: Callable[..., Path]) -> None:
    run = copied()
    (run / "findings.json").unlink()
    (run / "data_checks.json").unlink()
    found = pages(render_sheet(Run.load(run)))
    is_laid_out(found)
    for page in found:
        assert "NOT AUDITED: nothing says that this run did not see the future" in words(page)
        assert "✓ Valid" not in words(page)
    assert "holds no findings.json" in words(found[1])
    assert "asked no checks of its data" in words(found[1])


def test_whatever_is_long_or_hostile_stays_on_two_pages(copied: Callable[..., Path]) -> None:
    run = copied("a" * 200)
    settings = (run / "config.toml").read_text()
    (run / "config.toml").write_text(
        re.sub(r"^name = .*$", lambda _: f"name = {json.dumps(HOSTILE, ensure_ascii=False)}", settings, flags=re.M)
    )

    def metrics(found: dict[str, Any]) -> dict[str, Any]:
        cells = list(found["regimes"]["trend"].values())
        paid = found["costs_paid"]
        many = {f"definition_{n}": {f"{HOSTILE}{k}": {**cell, "note": f"{n} {k} " * 20} for k, cell in enumerate(cells)}
                for n in range(9)}  # fmt: skip
        return found | {
            "status": "invalid",
            "verdict": "This was all seen before. " * 20,
            "regimes": many,
            "costs_paid": {**{f"part {n}": paid["commission"] for n in range(4)}, **paid},
            "sample": found["sample"] | {"doubts": [HOSTILE, "its mean drifts " * 30]},
            "data_verdict": "bad",
            "data_faults": {"splits": {"verdict": "bad", "summary": "", "accepted": None, "without": None}},
        }

    def findings(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [each | {"verdict": "leak", "title": f"{each['title']} {HOSTILE}"} for each in found]

    def checks(found: dict[str, Any]) -> dict[str, Any]:
        bad = [each | {"verdict": "bad", "summary": HOSTILE} for each in found["checks"]]
        return found | {
            "checks": bad,
            "stamp": "Data bad: " + "splits, " * 80,
            "refused": ["splits"],
            "summary": HOSTILE,
        }

    def manifest(found: dict[str, Any]) -> dict[str, Any]:
        models = [
            each | {"base": f"{HOSTILE}{n}", "cutoff_source": HOSTILE + str(n)}
            for n, each in enumerate(found["models"] * 9)
        ]
        return found | {"models": models}

    for name, change in (
        ("metrics", metrics), ("findings", findings), ("data_checks", checks), ("manifest", manifest)
    ):  # fmt: skip
        changed(run / f"{name}.json", change)
    added = pd.read_parquet(run / "contributions.parquet")
    added.set_axis([f"{HOSTILE}{n}" for n in range(len(added))]).to_parquet(run / "contributions.parquet")
    for name in ("account", "regimes", "over_time", "growth"):
        table = pd.read_parquet(run / f"{name}.parquet")
        if name == "growth":
            table = pd.concat([table, table.add_prefix("a rival with a long name ")], axis=1)
        days = pd.date_range("1971-01-04", periods=len(table), freq="99D", tz="UTC")
        table.set_axis(days).to_parquet(run / f"{name}.parquet")
    found = pages(render_sheet(Run.load(run)))
    is_laid_out(found)
    for page in found:
        assert "INVALID: the audit found a leak" in words(page)
        assert "Data bad: splits" in words(page)
        assert "× Invalid" in words(page)
        assert "Längster $x_1$ <b>&amp; \\alpha <U+6771>" in words(page)
    assert re.search(r"and [\d,]+ more in report\.html", words(found[1]))
    assert re.search(r"1971–\d{4}", words(found[0]))
    assert "years together" in words(found[0])


def test_earlier_years_that_do_not_fit_are_chained(copied: Callable[..., Path]) -> None:
    run = copied()
    for name in ("account", "regimes", "over_time", "growth"):
        table = pd.read_parquet(run / f"{name}.parquet")
        days = pd.date_range("1990-01-04", periods=len(table), freq="60D", tz="UTC")
        table.set_axis(days).to_parquet(run / f"{name}.parquet")
    growth = pd.read_parquet(run / "growth.parquet")["strategy"]
    page = pages(render_sheet(Run.load(run)))[0]
    (row,) = [row for row in lines(page) if "years together" in row[-1]]
    until = int(row[0].split("–")[1])
    ends = growth[pd.DatetimeIndex(growth.index).year <= until]
    assert f"{until - 1990 + 1} years together {formats.percent(ends.iloc[-1] - 1.0)}," in row[-1]
    years = [int(row[0]) for row in lines(page) if re.fullmatch(r"(19|20)\d\d", row[0]) and row[-1].endswith("%")]
    assert years == list(range(until + 1, pd.DatetimeIndex(growth.index)[-1].year + 1))


@pytest.mark.parametrize("name", ["paper", "charts", "blocks"])
def test_examples_of_what_draws_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"embargo.research.studies.sheet.{name}"))
    assert found.attempted > 0
    assert found.failed == 0


def test_signs_without_a_form_are_told_by_number() -> None:
    assert printable("a\u202eb\u200b東\x07") == "a<U+202E>b<U+200B><U+6771><U+0007>"
    assert printable("e\u0301 Ω Ж −") == "é Ω Ж −"


@pytest.mark.parametrize("gone", ["over_time.parquet", "contributions.parquet", "growth.parquet"])
def test_a_run_from_before_says_what_it_lacks(copied: Callable[..., Path], gone: str) -> None:
    run = copied()
    (run / gone).unlink()
    with pytest.raises(MissingPartError, match=rf"there is no {re.escape(gone)}, which the version.*Repeat the run"):
        render_sheet(Run.load(run))
    answer = embargo("export-run", run, "--pdf", run.parent / "sheet.pdf")
    assert answer.exit_code == 1
    assert not (run.parent / "sheet.pdf").exists()


def test_figures_of_another_version_are_refused(copied: Callable[..., Path]) -> None:
    run = copied()
    changed(run / "metrics.json", lambda found: {key: value for key, value in found.items() if key != "turnover"})
    with pytest.raises(DataError, match=r"metrics\.json: turnover is missing"):
        render_sheet(Run.load(run))


def test_what_does_not_fit_is_refused(copied: Callable[..., Path]) -> None:
    run = copied()
    over_time = pd.read_parquet(run / "over_time.parquet")
    over_time.iloc[1:].to_parquet(run / "over_time.parquet")
    with pytest.raises(DataError, match=r"over_time\.parquet: its rows do not fit"):
        render_sheet(Run.load(run))
    over_time.drop(columns="net").to_parquet(run / "over_time.parquet")
    with pytest.raises(DataError, match="there is no column 'net'"):
        render_sheet(Run.load(run))
    changed(run / "manifest.json", lambda found: found | {"created_at": "yesterday"})
    over_time.to_parquet(run / "over_time.parquet")
    with pytest.raises(DataError, match="created_at is 'yesterday'"):
        render_sheet(Run.load(run))


def test_a_run_that_was_changed_is_refused(small_run: Outcome, tmp_path: Path) -> None:
    run = Path(shutil.copytree(small_run.folder, tmp_path / "changed"))
    added = pd.read_parquet(run / "contributions.parquet")
    (added * 2.0).to_parquet(run / "contributions.parquet")
    with pytest.raises(DataError, match="was changed after the run"):
        render_sheet(Run.load(run))


def test_the_command_writes_one_file_and_overwrites_none(small_run: Outcome, sheet: bytes, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "sheet.pdf"
    answer = embargo("export-run", small_run.folder, "--pdf", target, "--csv", tmp_path / "tables")
    assert answer.exit_code == 0, answer.output
    assert str(target) in answer.output
    assert target.read_bytes() == sheet
    assert [path.name for path in target.parent.iterdir()] == ["sheet.pdf"]
    assert (tmp_path / "tables" / "about.json").is_file()
    again = embargo("export-run", small_run.folder, "--pdf", target)
    assert again.exit_code == 2
    with pytest.raises(TakenError, match="exists already"):
        write_sheet(Run.load(small_run.folder), target)
    with pytest.raises(ConfigError, match=r"ends in \.pdf"):
        write_sheet(Run.load(small_run.folder), tmp_path / "sheet")
    assert not (tmp_path / "sheet").exists()


def test_growth_that_is_steep_is_drawn_by_its_logarithm(copied: Callable[..., Path]) -> None:
    run = copied()
    growth = pd.read_parquet(run / "growth.parquet")
    growth["strategy"] = np.exp(np.linspace(0.0, 5.0, len(growth)))
    growth.to_parquet(run / "growth.parquet")
    page = pages(render_sheet(Run.load(run)))[0]
    assert "logarithmic" in words(page)
    is_laid_out([page, page])
