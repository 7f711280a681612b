"""A run is what was written: every file that is read is held against its seal, and the list goes on past the others."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from samples.finished_runs import unsealed
from samples.small_runs import embargo

from embargo.data_loaders.errors import DataError, EmbargoError, MissingPartError
from embargo.models.content import seal_of
from embargo.research.modelling.opening import open_model
from embargo.research.progress import Quiet
from embargo.research.records import sealed
from embargo.research.records.finished import read_run
from embargo.research.records.folders import list_runs
from embargo.research.records.run import Run
from embargo.research.records.seals import SEALS_NAME
from embargo.research.studies.signal.recalled import recall

Copied = Callable[..., Path]


def put(file: Path, content: str | bytes) -> None:
    """Replace a file by another: copies of a run share their bytes."""
    file.unlink(missing_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)


def edited(run: Path, name: str, **changes: Any) -> None:
    put(run / name, json.dumps(json.loads((run / name).read_text()) | changes))


def damage_of(run: Path, *, verify: bool = False) -> str | None:
    (row,) = list_runs(run.parent, verify=verify)
    assert row["run"] == run.name
    assert row["damage"] is None or row["sharpe"] is None
    return None if row["damage"] is None else str(row["damage"])


def test_a_run_names_every_file_and_seals_its_manifest(copied: Copied) -> None:
    run = copied()
    manifest = json.loads((run / "manifest.json").read_text())
    files = {path.name for path in run.iterdir()}
    assert files - {"manifest.json"} == set(manifest["files"])
    assert {"report.html", "config.toml", "metrics.json", "findings.json", "account.parquet"} <= files
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((run / name).read_bytes()).hexdigest() == digest
    lines = (run.parent / SEALS_NAME).read_text().splitlines()
    assert [json.loads(line)["seal"] for line in lines] == [manifest["seal"]]
    (row,) = list_runs(run.parent, verify=True)
    assert (row["sealed"], row["damage"]) == (True, None)
    assert read_run(run).sealed


def test_figures_edited_after_the_run_are_named_and_not_shown(copied: Copied) -> None:
    run = copied()
    edited(run, "metrics.json", sharpe=9.99, status="valid")
    assert "metrics.json: was changed after the run" in str(damage_of(run))
    result = embargo("runs", run.parent)
    assert result.exit_code == 1
    assert "9.99" not in result.output
    assert "damaged: " in result.output
    for reader in (read_run, Run.load, lambda run: recall(run, Quiet())):
        with pytest.raises(DataError, match=r"metrics\.json: was changed"):
            reader(run)


def test_an_account_a_trillion_times_as_large_is_no_same_account(copied: Copied) -> None:
    run, other = copied("one"), copied("two")
    account = pd.read_parquet(run / "account.parquet")
    (run / "account.parquet").unlink()
    account.assign(equity=account["equity"] * 1e300).to_parquet(run / "account.parquet")
    result = embargo("compare", run, other)
    assert result.exit_code == 1
    assert "account.parquet: was changed after the run" in result.output.replace("\n", "")
    # The list reads the figures alone, unless it is asked to look at every file.
    assert damage_of(run) is None
    assert "account.parquet: was changed" in str(damage_of(run, verify=True))
    assert embargo("runs", run.parent).exit_code == 0
    assert embargo("runs", run.parent, "--verify").exit_code == 1


def resealed(run: Path) -> None:
    """Forge a manifest: hashes and seal of what lies there now."""
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["files"] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in run.iterdir()
        if path.name != "manifest.json"
    }
    put(run / "manifest.json", json.dumps(manifest | {"seal": seal_of(manifest)}))


@pytest.mark.parametrize("how", ["entry", "stripped", "resealed", "gone"])
def test_a_manifest_that_was_edited_is_noticed(copied: Copied, how: str) -> None:
    run = copied()
    if how == "entry":
        edited(run, "manifest.json", seed=7)
    elif how == "stripped":
        unsealed_by_replacing(run)
    elif how == "gone":
        (run / "manifest.json").unlink()
    else:
        edited(run, "metrics.json", sharpe=9.99)
        resealed(run)
    assert "manifest.json: " in str(damage_of(run))
    with pytest.raises(EmbargoError, match=r"manifest\.json"):
        read_run(run)
    # A list that is not there cannot tell: only what contradicts itself is then noticed.
    (run.parent / SEALS_NAME).unlink()
    noticed = damage_of(run) is not None
    assert noticed == (how in ("entry", "gone"))


def unsealed_by_replacing(run: Path) -> None:
    content = (run / "manifest.json").read_bytes()
    put(run / "manifest.json", content)
    unsealed(run)


def test_a_run_of_an_earlier_version_stays_readable_and_is_called_unsealed(copied: Copied) -> None:
    run = copied(seals=False)
    unsealed_by_replacing(run)
    (row,) = list_runs(run.parent, verify=True)
    assert (row["sealed"], row["damage"]) == (False, None)
    assert not read_run(run).sealed
    assert Run.load(run).weights.shape[0] == len(Run.load(run).returns)
    result = embargo("runs", run.parent)
    assert result.exit_code == 0
    assert "unsealed" in result.output
    assert "unsealed" not in embargo("runs", copied("sealed").parent).output


def test_what_a_user_puts_into_a_run_is_no_damage(copied: Copied) -> None:
    run = copied()
    (run / "notes.txt").write_text("looks good")
    (run / "plots").mkdir()
    assert damage_of(run, verify=True) is None
    assert read_run(run).sealed


def test_a_run_that_is_repeated_or_copied_keeps_its_word(copied: Copied, whole: Path) -> None:
    run = copied(seals=False)
    assert damage_of(run) is None
    # Another list that knows a run of this name by another seal.
    line = json.loads((whole / SEALS_NAME).read_text())
    (run.parent / SEALS_NAME).write_text(json.dumps(line | {"seal": "0" * 64}) + "\n")
    assert "belongs into a folder of its own" in str(damage_of(run))
    with (run.parent / SEALS_NAME).open("a") as seals:
        seals.write(json.dumps(line) + "\n")
    assert damage_of(run) is None


def _fifo(place: Path) -> None:
    os.mkfifo(place)


def _endless(place: Path) -> None:
    place.symlink_to("/dev/zero")


def _outside(place: Path) -> None:
    (place.parent.parent / "outside.json").write_text('{"sharpe": 9.99, "status": "valid"}')
    place.symlink_to(place.parent.parent / "outside.json")


def _socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(place.parent)
        try:
            listening.bind(place.name)
        finally:
            os.chdir(here)


def _sparse(place: Path) -> None:
    with place.open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize("kind", [_fifo, _endless, _outside, _socket, _sparse, Path.mkdir])
@pytest.mark.parametrize("name", ["metrics.json", "manifest.json", "account.parquet", "config.toml"])
@pytest.mark.timeout(60)
def test_what_is_no_plain_file_is_never_opened(copied: Copied, name: str, kind: Callable[[Path], None]) -> None:
    run, other = copied("one", seals=False), copied("two")
    unsealed_by_replacing(run)
    (run / name).unlink()
    kind(run / name)
    with pytest.raises(EmbargoError, match=name):
        read_run(run)
    if name != "account.parquet":
        with pytest.raises(EmbargoError, match=name):
            recall(run, Quiet())
    if name in ("metrics.json", "manifest.json"):
        assert name in str(damage_of(run))
    assert embargo("compare", other, run).exit_code in (1, 2)
    assert embargo("runs", run.parent).exit_code == int(name.endswith("json"))


DOCUMENTS = [
    "",
    "[]",
    "null",
    "3",
    '"text"',
    "{",
    "[" * 100_000 + "]" * 100_000,
    '{"sharpe": NaN}',
    '{"sharpe": 1e400}',
    '{"sharpe": -Infinity}',
    '{"sharpe": "high"}',
    '{"sharpe": true}',
    '{"sharpe": [1]}',
    '{"n_trials": 2.5}',
    '{"n_trials": ' + "9" * 400 + "}",
    '{"n_trials": ' + "9" * 5000 + "}",
    '{"status": "fine"}',
    '{"status": ["valid"]}',
    '{"verdict": "\\ud800"}',
    "\ufeff{}",
    "{}\x00",
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_figures_of_any_shape_are_named_and_the_list_goes_on(copied: Copied, document: str) -> None:
    run = copied(seals=False)
    unsealed_by_replacing(run)
    put(run / "metrics.json", document)
    sound = run.parent / "sound-1a2b3c4d"
    sound.mkdir()
    (sound / "metrics.json").write_text('{"sharpe": 0.5, "status": "valid"}')
    (sound / "manifest.json").write_text("{}")
    rows = {row["run"]: row for row in list_runs(run.parent)}
    assert rows[sound.name]["sharpe"] == 0.5
    assert str(run / "metrics.json") in rows[run.name]["damage"]
    with pytest.raises(DataError, match=r"metrics\.json: "):
        read_run(run)
    result = embargo("runs", run.parent)
    assert result.exit_code == 1
    assert sound.name in result.output


MANIFESTS = ["", "[]", "null", "{", '{"fingerprints": []}', '{"fingerprints": "x"}', '{"seal": 1}', '{"files": {}}']
MANIFESTS += ['{"files": {"../x": "y"}, "seal": "z"}', '{"files": [], "seal": null}', '{"seed": 1e400}']


@pytest.mark.parametrize("document", MANIFESTS)
def test_a_manifest_of_any_shape_is_named(copied: Copied, document: str) -> None:
    run = copied(seals=False)
    put(run / "manifest.json", document)
    assert "manifest.json: " in str(damage_of(run))
    for reader in (read_run, lambda run: recall(run, Quiet()), lambda run: open_model(run, fold=None, cache=run)):
        with pytest.raises(DataError, match=r"manifest\.json: "):
            reader(run)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"x" * 1000])
@pytest.mark.parametrize("name", ["account", "regimes", "growth", "articles", "classification", "weights"])
def test_a_table_that_is_none_is_named(copied: Copied, name: str, content: bytes) -> None:
    run = copied(seals=False)
    unsealed_by_replacing(run)
    put(run / f"{name}.parquet", content)
    with pytest.raises(DataError, match=rf"{name}\.parquet: cannot be read"):
        read_run(run)


@pytest.mark.parametrize("document", ["x = ", "x = " + "[" * 5000, "x = " + "9" * 5000, "\x00", "statistics = 3"])
def test_settings_of_any_shape_are_named(copied: Copied, document: str) -> None:
    run, other = copied(seals=False), copied("two")
    unsealed_by_replacing(run)
    put(run / "config.toml", document)
    result = embargo("compare", run, other)
    assert result.exit_code in (1, 2)
    assert "config.toml" in result.output.replace("\n", "")


def test_returns_that_no_account_has_are_refused(copied: Copied) -> None:
    run = copied(seals=False)
    unsealed_by_replacing(run)
    account = pd.read_parquet(run / "account.parquet")
    for spoiled, told in (
        (account.assign(net_return=1e200), "which no account does"),
        (account.assign(net_return="high"), "holds what is no number"),
        (account.assign(net_return=np.nan), "a bar has no return"),
        (account.iloc[:0], "a bar has no return"),
    ):
        (run / "account.parquet").unlink()
        spoiled.to_parquet(run / "account.parquet")
        with pytest.raises(DataError, match=rf"account\.parquet: .*{told}"):
            read_run(run)


def test_a_file_nobody_may_read_is_named(copied: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    run = copied()
    opened = os.open

    def refusing(path: Any, *rest: Any, **more: Any) -> int:
        if str(path).endswith("metrics.json"):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *rest, **more)

    monkeypatch.setattr(sealed.os, "open", refusing)
    assert "metrics.json: cannot be read (Permission denied)" in str(damage_of(run))
    with pytest.raises(DataError, match="Permission denied"):
        read_run(run)


def test_a_list_of_seals_that_never_ends_is_refused(copied: Copied) -> None:
    run = copied(seals=False)
    (run.parent / SEALS_NAME).symlink_to("/dev/zero")
    with pytest.raises(DataError, match="no file that a ledger wrote"):
        list_runs(run.parent)
    assert embargo("runs", run.parent).exit_code == 1


def test_a_file_that_the_manifest_does_not_know_is_not_read(copied: Copied, whole: Path) -> None:
    run = copied()
    (run / "findings.json").unlink()
    with pytest.raises(MissingPartError, match=r"findings\.json: is missing"):
        _ = Run.load(run).findings
    manifest = json.loads((run / "manifest.json").read_text())
    with pytest.raises(DataError, match="was added after the run"):
        sealed.read_text(run, "config.toml", manifest | {"files": {}})
    assert sealed.damages(run)[0].startswith(str(run / "findings.json"))
    assert list_runs(whole, verify=True)[0]["damage"] is None
