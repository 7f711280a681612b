"""``embargo runs --html``: its figures are those of the runs, it can be sorted and filtered, and text stays text."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from samples.browsing import MARKS, Visit, style
from samples.finished_runs import made, noise
from samples.small_runs import embargo

from embargo.data_loaders.simulated import SimulatedMarket, simulate_market
from embargo.research.pages import formats
from embargo.research.records.folders import list_runs
from embargo.research.records.ledger import Trial, record
from embargo.research.records.windows import TradedWindow, window_on
from embargo.research.studies.listing import entries_of, render_page

SEED = 7_300_000
HOSTILE = 'x <img src=y onerror="window.injected = 1"> [red] javascript:alert(1)#?&'
FIGURES: dict[str, dict[str, Any]] = {
    "alpha-1": {"sharpe": -0.5, "sharpe_p_value": 0.7, "total_return": -0.125, "n_trials": 2},
    "beta-2": {"sharpe": 12.25, "sharpe_p_value": 0.0004, "total_return": 0.5, "n_trials": 1_200},
    "gamma-3": {"sharpe": 2.125, "sharpe_p_value": 0.041, "total_return": 0.25, "n_trials": None},
    HOSTILE: {"sharpe": None, "sharpe_p_value": None, "total_return": None, "n_trials": 3},
}
STATUSES = dict(zip(FIGURES, ("caution", "valid", "invalid", "valid"), strict=True))
WINDOWS = dict(zip(FIGURES, ("w1", "w2", "w1", ""), strict=True))


def changed(run: Path, **figures: object) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps(metrics | figures))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four runs, two of them on one window, and a damaged one."""
    place = tmp_path / "runs"
    for (name, figures), returns in zip(FIGURES.items(), noise(SEED, n=80, others=3), strict=True):
        run = made(place / name, returns, status=STATUSES[name], window=WINDOWS[name])
        sharpe = figures["sharpe"]
        ends = {"sharpe_low": None, "sharpe_high": None} if sharpe is None else {"sharpe_low": sharpe - 1.0}
        changed(run, **figures, **({} if sharpe is None else {"sharpe_high": sharpe + 1.0}), **ends, max_drawdown=-0.1)
        (run / "report.html").write_text(f"the report of {name}")
    changed(place / "beta-2", data_verdict="bad", data_faults={"splits": {"verdict": "bad"}})
    broken = made(place / "zeta-9", noise(SEED)[0])
    (broken / "metrics.json").write_text("{")
    (broken / "report.html").write_text("figures that nobody vouches for")
    return place


def cells(page: str, name: str) -> list[str]:
    """The texts of a run's row."""
    rows = re.findall(r"<tr data-state=.*?</tr>", page, re.DOTALL)
    (row,) = [row for row in rows if html.escape(name, quote=False) in row.replace("&#34;", '"')]
    return [
        " ".join(html.unescape(re.sub(r"<[^>]+>", " ", cell)).split())
        for cell in re.findall(r"<t[hd][ >].*?</t[hd]>", row, re.DOTALL)
    ]


def shown(folder: Path, page: Path) -> str:
    result = embargo("runs", folder, "--html", page, "--cache", folder.parent / "cache")
    assert result.exit_code == 1, result.output
    assert "zeta-9/metrics.json: cannot be read" in result.output.replace("\n", "")
    return page.read_text(encoding="utf-8")


def test_the_figures_of_the_page_are_those_of_the_runs(folder: Path) -> None:
    page = shown(folder, folder.parent / "page.html")
    for name in FIGURES:
        metrics = json.loads((folder / name / "metrics.json").read_text())
        row = cells(page, name)
        assert row[1].endswith("unsealed")
        assert metrics["status"] in row[1].lower()
        assert [text.removesuffix(" not available") for text in row[5:]] == _expected(metrics)
    assert cells(page, "beta-2")[2] == "× Bad"
    assert cells(page, "alpha-1")[2] == "– not available"
    assert "leak found" in cells(page, "gamma-3")[1]
    assert cells(page, "zeta-9")[1] == "× Damaged"
    assert set(cells(page, "zeta-9")[2:]) == {"– not available"}


def _expected(metrics: dict[str, Any]) -> list[str]:
    return [
        formats.ratio(metrics["sharpe"]),
        formats.interval((metrics["sharpe_low"], metrics["sharpe_high"])),
        formats.probability(metrics["sharpe_p_value"]),
        formats.percent(metrics["total_return"]),
        formats.percent(metrics["max_drawdown"]),
        formats.count(metrics["n_trials"]),
    ]


def test_growth_is_that_of_the_account(folder: Path) -> None:
    page = shown(folder, folder.parent / "page.html")
    for name in FIGURES:
        grown = np.prod(1.0 + pd.read_parquet(folder / name / "account.parquet")["net_return"])
        (entry,) = [entry for entry in entries_of(list_runs(folder), folder, folder) if entry.row["run"] == name]
        assert entry.growth[[0, -1]].tolist() == pytest.approx([1.0, grown])
        assert f"Growth of 1 to {grown:.2f}" in page
    for path in re.findall(r'<path d="(M[^"]+)"', page):
        points = np.array([point.split() for point in path[1:].split("L")], dtype=float)
        assert len(points) <= 60
        assert points[:, 1].min() == pytest.approx(2.0)
        assert points[:, 1].max() == pytest.approx(24.0)
        assert (points[0, 0], points[-1, 0]) == (2.0, 94.0)


@pytest.mark.parametrize("place", ["page.html", "pages/deep/page.html", "runs/page.html"])
def test_links_lead_from_the_page_to_each_report(folder: Path, place: str) -> None:
    target = folder.parent / place
    target.parent.mkdir(parents=True, exist_ok=True)
    links = re.findall(r'<a href="([^"#][^"]*)"', shown(folder, target))
    reports = [(target.parent / unquote(html.unescape(link))).resolve() for link in links]
    assert sorted(reports) == sorted((folder / name / "report.html").resolve() for name in FIGURES)
    assert all(not re.search(r"[:?#<>\s]", link) for link in links)


def test_runs_on_the_same_window_stand_together_under_one_letter(folder: Path) -> None:
    entries = entries_of(list_runs(folder), folder, folder.parent / "no ledger")
    found = [(entry.row["run"], entry.window.label if entry.window else "") for entry in entries]
    assert found == [("alpha-1", "A"), ("gamma-3", "A"), ("beta-2", "B"), (HOSTILE, "C"), ("zeta-9", "")]
    windows = [entry.window for entry in entries if entry.window is not None]
    assert [window.runs for window in windows] == [2, 2, 1, 1]
    assert {window.attempts for window in windows} == {None}
    assert {window.bars for window in windows} == {80}


def test_runs_that_name_no_window_share_none(tmp_path: Path) -> None:
    for number, returns in enumerate(noise(SEED)):
        made(tmp_path / "runs" / f"run-{number}", returns, window="")
    found = entries_of(list_runs(tmp_path / "runs"), tmp_path / "runs", tmp_path)
    assert [entry.window.label for entry in found if entry.window] == ["A", "B"]


def tried(ledger: Path, window: TradedWindow, *names: str) -> None:
    for number, name in enumerate(names):
        trial = Trial(window.identity, f"{name}{number}", name, 0.05, len(window.open_at))
        record(ledger, window, trial, np.full(len(window.open_at), 0.001))


def test_attempts_are_those_that_the_ledger_knows(tmp_path: Path) -> None:
    prices, others = (
        simulate_market(SimulatedMarket(n_symbols=2, start="2015-01-01", end="2015-06-01", seed=SEED + seed)).prices
        for seed in (0, 1)
    )
    earlier = prices.select(bars=slice(0, 80))
    whole, sooner, foreign = (window_on(each, "1d") for each in (prices, earlier, others))
    ledger, runs = tmp_path / "ledger", tmp_path / "runs"
    tried(ledger, whole, "a", "b", "c")
    tried(ledger, sooner, "d")
    tried(ledger, foreign, "e")
    for name, window in (("one", whole.identity), ("two", whole.identity), ("three", "unheard of")):
        made(runs / name, noise(SEED)[0], window=window)
    entries = {str(entry.row["run"]): entry.window for entry in entries_of(list_runs(runs), runs, ledger)}
    one, three = entries["one"], entries["three"]
    assert one is not None
    assert three is not None
    assert (one.runs, one.attempts, one.around) == (2, 3, 4)
    assert (three.runs, three.attempts, three.around) == (1, None, None)
    page = render_page(entries_of(list_runs(runs), runs, ledger), runs, tmp_path / "page.html")
    row = next(row for row in re.findall(r"<tr><th.*?</tr>", page) if one.fingerprint[:12] in row)
    assert re.findall(r'class="num">(\d+)<', row) == ["400", "2", "3", "4"]


def test_a_run_whose_returns_are_no_returns_is_damaged_on_page_and_terminal(folder: Path) -> None:
    pd.DataFrame({"gain": [1.0]}).to_parquet(folder / "beta-2" / "account.parquet")
    target = folder.parent / "page.html"
    result = embargo("runs", folder, "--html", target, "--cache", folder.parent / "cache")
    assert "there is no column net_return" in " ".join(result.output.split())
    page = target.read_text(encoding="utf-8")
    assert cells(page, "beta-2")[1] == "× Damaged"
    assert "12.25" not in page
    assert "12.25" not in result.output


def test_a_page_into_nowhere_is_refused(folder: Path) -> None:
    result = embargo("runs", folder, "--html", folder / "nowhere" / "page.html")
    assert result.exit_code == 1
    assert "does not exist" in result.output


@MARKS[0]
@MARKS[1]
@pytest.mark.parametrize("width", [390, 1280])
def test_the_table_sorts_and_filters_on_any_screen(visit: Visit, folder: Path, width: int) -> None:
    target = folder.parent / "page.html"
    shown(folder, target)
    with visit(target, width) as page:
        rows, find = page.locator("#runs tbody tr:visible th"), page.get_by_role("searchbox", name="Find")

        def names() -> list[str]:
            return rows.all_text_contents()

        def sorted_by(head: str) -> tuple[list[str], list[str]]:
            """By mouse first, and the other way round by keyboard."""
            button = page.locator("#runs thead").get_by_role("button", name=head, exact=True)
            button.click()
            rising = names()
            button.focus()
            page.keyboard.press("Enter")
            return rising, names()

        def choose(state: str) -> list[str]:
            page.locator(f'button[data-state="{state}"]').click()
            return names()

        def typed(words: str) -> list[str]:
            find.fill("")
            find.press_sequentially(words)
            return names()

        hints = style(page, ".scroll.beyond", "content", "::before")
        assert all("goes on" in hint for hint in hints)
        assert bool(hints) == (width < 400)
        assert names() == ["alpha-1", "gamma-3", "beta-2", HOSTILE, "zeta-9"]
        rising, falling = sorted_by("Sharpe")
        assert rising[:3] == ["alpha-1", "gamma-3", "beta-2"]
        assert falling[:3] == ["beta-2", "gamma-3", "alpha-1"]
        # What is missing comes last either way.
        assert {*rising[3:]} == {*falling[3:]} == {HOSTILE, "zeta-9"}
        assert sorted_by("Attempts")[0][:3] == ["alpha-1", HOSTILE, "beta-2"]
        everyone = ["alpha-1", "beta-2", "gamma-3", HOSTILE, "zeta-9"]
        assert sorted_by("Run") == (everyone, everyone[::-1])
        assert sorted_by("Status")[0][:3] == ["zeta-9", "gamma-3", "alpha-1"]
        _, falling = sorted_by("Window")
        assert falling[:2] == [HOSTILE, "beta-2"]
        assert {*falling[2:4]} == {"alpha-1", "gamma-3"}
        told = page.locator("#runs thead th[aria-sort]")
        assert [(head.inner_text(), head.get_attribute("aria-sort")) for head in told.all()] == [
            ("Window", "descending")
        ]
        page.locator("#runs thead").get_by_role("button", name="Run", exact=True).click()
        assert typed("BETA bad") == ["beta-2"]
        assert page.locator("#runs [role=status]").inner_text() == "1 of 5 shown"
        assert typed("onerror") == [HOSTILE]
        assert typed("") == everyone
        assert choose("valid") == ["beta-2", HOSTILE]
        assert choose("damaged") == ["zeta-9"]
        assert typed("alpha") == []
        assert typed("") == ["zeta-9"]
        assert choose("") == everyone
