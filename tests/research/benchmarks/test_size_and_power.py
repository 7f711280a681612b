import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embargo.research.benchmarks import size_and_power
from embargo.research.benchmarks.sections import SECTIONS
from embargo.research.benchmarks.size_and_power import (
    PLAIN,
    PROCEDURES,
    Procedure,
    bootstrap_rows,
    closed_form_rows,
    coverage_cell,
    judged,
    power_cell,
    report,
    returns_of,
    size_cell,
)

DOCUMENT = Path(__file__).parents[3] / "docs" / "size_and_power.md"


def names_of(document):
    """Return the names in the table of sizes."""
    size = document[document.index("## Size") : document.index("## Intervals")]
    return re.findall(r"^\| (`.*?) \|", size, flags=re.MULTILINE)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(size_and_power, "LENGTHS", (60, 90))
    monkeypatch.setattr(size_and_power, "EDGES", (0.0, 2.0))
    monkeypatch.setattr(size_and_power, "RESAMPLES", 100)
    monkeypatch.setattr(size_and_power, "SECTIONS", [replace(SECTIONS[-1], rows=SECTIONS[-1].rows[:1])])


@pytest.mark.parametrize("world", PLAIN)
def test_a_world_has_the_variance_and_memory_it_is_named_for(world):
    rng = np.random.default_rng(0)
    values = returns_of(world, 300, 1000, rng, edge=1.0) * 100
    assert values.shape == (300, 1000)
    assert values.mean() == pytest.approx(1 / np.sqrt(252), abs=0.01)
    assert values.var() == pytest.approx(1.0, rel=0.12 if world in ("GARCH(1,1)", "t, 4 d.f.") else 0.02)
    centred = values - values.mean()
    memory = (centred[:, 1:] * centred[:, :-1]).mean() / centred.var()
    assert memory == pytest.approx(0.2 if world == "AR(1) 0.2" else 0.0, abs=0.01)
    squares = centred**2 - (centred**2).mean()
    clusters = (squares[:, 1:] * squares[:, :-1]).mean() / squares.var()
    assert (
        clusters == pytest.approx(0.04, abs=0.02) if world == "AR(1) 0.2" else (clusters > 0.08) == ("GARCH" in world)
    )
    several = returns_of(world, 50, 1000, rng, series=3)
    correlation = np.mean([np.corrcoef(draw.T)[0, 1:] for draw in several])
    assert several.shape == (50, 1000, 3)
    assert correlation == pytest.approx(0.5, abs=0.04)


def test_the_worlds_of_fat_tails_have_them():
    values = returns_of("t, 4 d.f.", 200, 1000, np.random.default_rng(0))
    assert (values**4).mean() / values.var() ** 2 > 6
    assert (returns_of("i.i.d.", 200, 1000, np.random.default_rng(0)) ** 4).mean() * 1e8 == pytest.approx(3.0, rel=0.03)


def test_rows_judge_the_rates_and_mark_what_misses():
    assert judged("`x`", 0.05, 2000) == "5.0"
    assert judged("`x`", 0.065, 2000) == "6.5"
    assert judged("`x`", 0.0651, 2000) == "**6.5**"
    assert judged("`x`, percentile interval", 0.08, 2000) == "*8.0*"
    assert judged("`x`", 0.0349, 2000) == "**3.5**"
    assert judged("`x`", 0.078, 500) == "7.8"
    assert judged("`x`", 0.08, 500) == "**8.0**"


def test_a_procedure_that_rejects_at_random_has_its_rate():
    def coin_rows(panel, rng):
        return {"coin": rng.random(len(panel)) < 0.3}

    rate, draws = size_cell(Procedure(coin_rows, most_draws=4000), "i.i.d.", 30, 10_000, 1)["coin"]
    assert draws == 4000
    assert rate == pytest.approx(0.3, abs=0.03)


def test_every_procedure_joins_the_document(tiny):
    lines = []
    names = names_of(report(2, say=lines.append))
    assert len(names) * 8 + 1 == len(lines)
    assert len(names) > len(PROCEDURES)
    assert names_of(DOCUMENT.read_text(encoding="utf-8")) == names


def test_the_command_writes_the_document(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(size_and_power, "PROCEDURES", [Procedure(closed_form_rows)])
    size_and_power.main(["--draws", "2", "--workers", "1", "--write", str(tmp_path / "sizes.md")])
    assert names_of((tmp_path / "sizes.md").read_text(encoding="utf-8"))[0].startswith("`sharpe_errors`")
    assert "`mean_estimate`, p-value" in capsys.readouterr().out


def test_the_committed_table_shows_no_miss_that_is_not_explained():
    """What is in bold misses the band without a word in the function's description."""
    text = DOCUMENT.read_text(encoding="utf-8")
    size = text[text.index("## Size") : text.index("## Intervals")]
    missed = [line for line in size.splitlines() if "**" in line]
    assert missed == []
    assert "2,000" in text


@pytest.mark.slow
@pytest.mark.parametrize("world", PLAIN)
def test_what_a_run_reports_holds_its_size(world):
    """Fewer draws than the document: three standard errors of 600 draws."""
    for rows in (bootstrap_rows, closed_form_rows):
        for name, (value, _) in size_cell(Procedure(rows), world, 504, 600, 11).items():
            if not any(part in name for part in size_and_power.KNOWN_TO_MISS):
                assert value == pytest.approx(0.05, abs=0.0267), name


@pytest.mark.slow
def test_what_is_known_to_miss_does_so_under_autocorrelation():
    found = size_cell(Procedure(closed_form_rows), "AR(1) 0.2", 504, 600, 11)
    assert found["`probabilistic_sharpe`, paper's formula"][0] > 0.07
    assert found["`sharpe_errors`, normal i.i.d., two-sided"][0] > 0.08


@pytest.mark.slow
def test_intervals_cover_and_edges_are_found():
    covered = coverage_cell("AR(1) 0.2", 504, 600, 3)
    assert covered["`sharpe_estimate`, interval"] == pytest.approx(0.05, abs=0.0267)
    found = power_cell("i.i.d.", 504, 300, 3, 2.0)
    assert found["`sharpe_estimate`"] == pytest.approx(0.87, abs=0.06)
