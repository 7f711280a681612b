"""Figures against another way to them, a planted weekday and a run without one, and what terminal and page show."""

from __future__ import annotations

import html
import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from samples.finished_runs import bars, made
from samples.small_runs import SWEPT
from scipy import stats
from statsmodels.stats.multitest import multipletests
from study import WeekdayStudy, headline, print_weekdays, render_page, study_weekdays, weekday_table

import embargo
from embargo import Run
from embargo.backtest.significance.resampling import automatic_block_length
from embargo.data_loaders.errors import ConfigError
from embargo.research.pages import write_page


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "small.toml").write_text(SWEPT)
    return embargo.run(folder / "small.toml", out=folder / "runs", cache=folder / "cache", progress=False)


@pytest.fixture(scope="module")
def found(run: Run) -> WeekdayStudy:
    return study_weekdays(run)


def by_hand(values: np.ndarray) -> tuple[float, float, float, float]:
    """Mean, interval and two-sided p from the projections on cosines, each written out as a sum."""
    n, mean = len(values), values.sum() / len(values)
    # Fewer where rows remember each other, by the library's own length of blocks.
    degrees = max(1, int(min(0.4 * n ** (2 / 3), 0.6 * n / automatic_block_length(values))))
    places = (np.arange(n) + 0.5) / n
    weights = [math.sqrt(2 / n) * (np.cos(math.pi * k * places) * (values - mean)).sum() for k in range(1, degrees + 1)]
    error = math.sqrt(sum(weight**2 for weight in weights) / degrees / n)
    reach = stats.t.ppf(0.975, degrees) * error
    return mean, mean - reach, mean + reach, 2 * stats.t.sf(abs(mean / error), degrees)


def test_figures_are_those_of_another_computation(run: Run, found: WeekdayStudy) -> None:
    frame = run.returns.to_frame("net")
    frame["day"] = [instant.strftime("%A") for instant in frame.index]
    expected = {day: by_hand(rows.to_numpy()) for day, rows in frame.groupby("day")["net"]}
    assert [day.name for day in found.weekdays] == ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]
    for day in found.weekdays:
        assert day.bars == (frame["day"] == day.name).sum()
        assert (day.mean, day.low, day.high, day.p_value) == pytest.approx(expected[day.name], rel=1e-9)
    p_values = [day.p_value for day in found.weekdays]
    assert [day.p_holm for day in found.weekdays] == pytest.approx(multipletests(p_values, method="holm")[1])


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_weekday_is_found_and_no_other(tmp_path: Path, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0.0, 0.01, 600)
    friday = bars(600).day_of_week == 4
    clean = study_weekdays(Run.load(made(tmp_path / "clean", noise)))
    planted = study_weekdays(Run.load(made(tmp_path / "planted", noise + 0.01 * friday)))
    assert headline(clean) == "No weekday stands out from chance"
    assert headline(planted) == "More than chance on Friday"


def test_few_bars_have_a_mean_and_no_interval(tmp_path: Path) -> None:
    found = study_weekdays(Run.load(made(tmp_path / "short", np.full(60, 0.001))))
    assert {(day.bars, day.low, day.p_holm) for day in found.weekdays} == {(12, None, None)}
    assert weekday_table(found).rows[0] == ("Monday", "12", "10.0", "–", "–", "–")
    assert "too few bars" in render_page(found)


def test_terminal_and_page_show_the_same_table(found: WeekdayStudy, tmp_path: Path) -> None:
    printed = io.StringIO()
    print_weekdays(Console(file=printed, width=120), found)
    page = write_page(render_page(found), tmp_path / "weekdays.html").read_text(encoding="utf-8")
    for row in weekday_table(found).rows:
        (line,) = [line for line in printed.getvalue().splitlines() if line.startswith(row[0])]
        assert all(cell in line for cell in row)
        assert all(f">{html.escape(cell)}<" in page for cell in row)
    assert page == render_page(found), "the same result gives the same page"
    assert page.count("<main>") == 1


def test_text_from_outside_is_escaped(found: WeekdayStudy) -> None:
    hostile = replace(found, run="[red]<img src=x onerror=alert(1)>", status="invalid")
    page = render_page(hostile)
    assert "<img" not in page.split("<script>")[0]
    assert "[red]&lt;img src=x onerror=alert(1)&gt;" in page
    assert "Run: Invalid" in page
    printed = io.StringIO()
    print_weekdays(Console(file=printed, width=120), hostile)
    assert "[red]<img" in printed.getvalue(), "no markup of rich either"


def test_a_level_that_is_none_is_refused(run: Run) -> None:
    with pytest.raises(ConfigError, match="level"):
        study_weekdays(run, level=1.5)
