import re

import numpy as np
import pytest

from embargo.research.benchmarks import significance
from embargo.research.benchmarks.significance import QUICK, ROWS, main


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_every_row_agrees_with_its_peer(row):
    found = row(QUICK)
    assert found.seconds > 0.0
    assert found.peer_seconds > 0.0
    assert found.memory > 0.0
    loosely = {significance.bootstrap_row: "standard error", significance.attempts_row: r"\d+ and \d+ found"}
    assert re.match(loosely.get(row, "equal"), found.agreement)


def test_a_difference_is_shouted(monkeypatch):
    honest = significance.naive_splits
    monkeypatch.setattr(significance, "naive_splits", lambda *given: (honest(*given)[0] + 0.01, honest(*given)[1]))
    assert significance.overfitting_row(QUICK).agreement.startswith("DIFFERENT")


def test_the_two_bootstraps_spread_alike():
    words = significance.bootstrap_row(significance.Sizes(bars=300, bootstrap=4000)).agreement.split()
    assert float(words[2]) == pytest.approx(float(words[4]), rel=0.08)
    assert np.isfinite(float(words[2]))


def test_attempts_with_an_edge_are_found_by_both():
    words = significance.attempts_row(significance.Sizes(bars=800, resamples=150, strategies=200)).agreement
    assert [int(number) for number in re.findall(r"\d+", words)] == [2, 2, 2]


def test_the_table_prints(capsys, monkeypatch):
    monkeypatch.setattr(significance, "ROWS", (significance.overfitting_row,))
    main(["--quick"])
    assert "20 splits" in capsys.readouterr().out
