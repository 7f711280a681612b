"""The trial ledger forgets nothing and counts the same settings once."""

from __future__ import annotations

from multiprocessing import get_context
from pathlib import Path

import pytest

from data_loaders.errors import DataError
from research.ledger import LEDGER_NAME, Trial, record, trials_on


def trial(settings: str, window: str = "w", sharpe: float = 0.1) -> Trial:
    return Trial(window, settings, "run", sharpe, 500)


def test_counts_distinct_settings_within_a_window(tmp_path: Path) -> None:
    assert trials_on(tmp_path, "w") == {}
    for each in (trial("a"), trial("b"), trial("a", sharpe=0.2), trial("c", window="other")):
        record(tmp_path, each)
    found = trials_on(tmp_path, "w")
    assert sorted(found) == ["a", "b"]
    assert found["a"].sharpe_per_bar == 0.2


def test_a_torn_line_is_an_error_that_names_it(tmp_path: Path) -> None:
    record(tmp_path, trial("a"))
    with (tmp_path / LEDGER_NAME).open("a") as ledger:
        ledger.write('{"window": "w", "sett\n')
    with pytest.raises(DataError, match="line 2"):
        trials_on(tmp_path, "w")


def _record_many(folder: Path, start: int) -> None:
    for number in range(start, start + 50):
        record(folder, trial(f"settings-{number:04d}-" + "x" * 200))


def test_processes_side_by_side_lose_nothing(tmp_path: Path) -> None:
    context = get_context("fork")
    workers = [context.Process(target=_record_many, args=(tmp_path, 50 * number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(trials_on(tmp_path, "w")) == 200
