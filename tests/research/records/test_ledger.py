"""The trial ledger forgets nothing and counts the same settings once."""

from __future__ import annotations

import os
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from embargo.data_loaders.errors import DataError
from embargo.research.records.ledger import LEDGER_NAME, Trial, returns_of, trials_on
from embargo.research.records.ledger import record as record_with


def trial(settings: str, window: str = "w", sharpe: float = 0.1) -> Trial:
    return Trial(window, settings, "run", sharpe, 5)


def record(folder: Path, each: Trial, first: float = 0.0) -> None:
    record_with(folder, each, first + 0.01 * np.arange(5))


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
    assert len(returns_of(tmp_path, trials_on(tmp_path, "w").values())) == 200


def test_returns_are_kept_by_window_and_the_newest_count(tmp_path: Path) -> None:
    for each, first in ((trial("a"), 0.1), (trial("b"), 0.2), (trial("a"), 0.3), (trial("a", "other"), 0.4)):
        record(tmp_path, each, first)
    found = returns_of(tmp_path, trials_on(tmp_path, "w").values())
    assert {name: list(returns) for name, returns in found.items()} == {
        "a": list(0.3 + 0.01 * np.arange(5)),
        "b": list(0.2 + 0.01 * np.arange(5)),
    }
    assert list(returns_of(tmp_path, [trial("a", "other")])["a"]) == list(0.4 + 0.01 * np.arange(5))


def test_a_ledger_from_before_returns_were_kept_still_counts(tmp_path: Path) -> None:
    record(tmp_path, trial("a"))
    record(tmp_path, trial("b"))
    for path in tmp_path.glob("*.rows"):
        path.unlink()
    assert len(trials_on(tmp_path, "w")) == 2
    assert returns_of(tmp_path, trials_on(tmp_path, "w").values()) == {}


def test_a_row_of_returns_torn_by_a_kill_is_mended(tmp_path: Path) -> None:
    record(tmp_path, trial("a"), 0.1)
    (path,) = tmp_path.glob("*.rows")
    with path.open("ab") as file:
        file.write(b"half a row")
    assert list(returns_of(tmp_path, [trial("a")])) == ["a"]
    record(tmp_path, trial("b"), 0.2)
    found = returns_of(tmp_path, trials_on(tmp_path, "w").values())
    assert found["b"][0] == 0.2
    assert path.stat().st_size == 2 * (32 + 5 * 8)


def test_a_line_for_which_the_disk_has_no_room_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path, trial("a"), 0.1)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:10]))
    with pytest.raises(OSError, match="space"):
        record(tmp_path, trial("b"), 0.2)
    monkeypatch.setattr(os, "write", write)
    assert sorted(trials_on(tmp_path, "w")) == ["a"]
    record(tmp_path, trial("c"), 0.3)
    found = trials_on(tmp_path, "w")
    assert sorted(found) == ["a", "c"]
    assert sorted(returns_of(tmp_path, found.values())) == ["a", "c"]


def test_returns_of_another_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="5 bars"):
        record_with(tmp_path, trial("a"), np.zeros(4))
    assert not (tmp_path / LEDGER_NAME).exists()
