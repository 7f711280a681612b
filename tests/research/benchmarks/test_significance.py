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
    assert found.agreement.startswith("standard error" if row is significance.bootstrap_row else "equal")


def test_a_difference_is_shouted(monkeypatch):
    honest = significance.naive_splits
    monkeypatch.setattr(significance, "naive_splits", lambda *given: (honest(*given)[0] + 0.01, honest(*given)[1]))
    assert significance.overfitting_row(QUICK).agreement.startswith("DIFFERENT")


def test_the_two_bootstraps_spread_alike():
    words = significance.bootstrap_row(significance.Sizes(bars=300, bootstrap=4000)).agreement.split()
    assert float(words[2]) == pytest.approx(float(words[4]), rel=0.08)
    assert np.isfinite(float(words[2]))


def test_the_table_prints(capsys, monkeypatch):
    monkeypatch.setattr(significance, "ROWS", (significance.overfitting_row,))
    main(["--quick"])
    assert "20 splits" in capsys.readouterr().out
