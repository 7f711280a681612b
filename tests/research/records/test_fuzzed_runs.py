"""Damaged run folders, drawn from a fixed seed: every reader answers, or says clearly what is wrong."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from samples.finished_runs import unsealed
from samples.small_runs import embargo

from embargo.data_loaders.errors import EmbargoError
from embargo.research.notebook import compare
from embargo.research.records.folders import list_runs
from embargo.research.records.run import Run

SEED = 20_260
VALUES = [None, True, [], {}, "x", "", -1, 0, 9.99, 1e300, 10**200, [[[]]], {"a": [1]}, "\u2028<b>[bold]"]
FILES = ["metrics.json", "manifest.json", "findings.json", "config.toml", "account.parquet", "regimes.parquet"]
FILES += ["weights.parquet", "growth.parquet", "articles.parquet", "classification.parquet", "orders.parquet"]


def replaced(file: Path, content: bytes) -> None:
    """Copies of a run share their bytes: write beside and replace."""
    file.unlink()
    file.write_bytes(content)


def spoiled_bytes(draw: random.Random, content: bytes) -> bytes:
    """Flip, cut, repeat or blank some bytes."""
    found = bytearray(content)
    start = draw.randrange(len(found))
    stop = min(len(found), start + draw.choice([1, 1, 4, 64, 4096]))
    how = draw.choice(["flip", "cut", "repeat", "blank", "end", "none"])
    if how == "flip":
        found[start] ^= 1 << draw.randrange(8)
    elif how == "cut":
        del found[start:stop]
    elif how == "repeat":
        found[start:start] = found[start:stop]
    elif how == "blank":
        found[start:stop] = bytes(stop - start)
    elif how == "end":
        del found[start:]
    else:
        found.clear()
    return bytes(found)


def spoiled_json(draw: random.Random, document: Any) -> Any:
    """Put another value in the place of one, take one away, or give one another name, anywhere inside."""
    if isinstance(document, dict) and document and draw.random() < 0.9:
        name = draw.choice(sorted(document))
        how = draw.random()
        if how < 0.2:
            return {key: value for key, value in document.items() if key != name}
        if how < 0.3:
            return {f"{key}_" if key == name else key: value for key, value in document.items()}
        return document | {name: spoiled_json(draw, document[name])}
    if isinstance(document, list) and document and draw.random() < 0.8:
        at = draw.randrange(len(document))
        return [spoiled_json(draw, value) if place == at else value for place, value in enumerate(document)]
    return draw.choice(VALUES)


def headline(run: Path) -> dict[str, Any]:
    (row,) = list_runs(run.parent)
    return row


def readers(run: Path, other: Path) -> dict[str, Callable[[], object]]:
    def shown() -> object:
        loaded = Run.load(run)
        parts = ("weights", "signal", "orders", "articles", "growth", "equity", "findings", "config", "figures")
        return repr(loaded), loaded._repr_html_(), [getattr(loaded, part) for part in parts]

    return {"notebook": shown, "compare": lambda: repr(compare(run, other, by="regime"))}


def test_the_readers_take_a_sound_run(copied: Callable[..., Path], whole: Path) -> None:
    run = copied()
    (other,) = [path for path in whole.iterdir() if path.is_dir()]
    assert all(read() for read in readers(run, other).values())
    assert headline(run)["damage"] is None


def check(number: int, copied: Callable[..., Path], whole: Path) -> str:
    """Damage one file of a copy in one way, let every reader at it, and return what they made of it."""
    draw = random.Random(SEED + number)
    sealed = draw.random() < 0.6
    run = copied(f"runs{number}", seals=sealed)
    (other,) = [path for path in whole.iterdir() if path.is_dir()]
    name = draw.choice(FILES[:3] if not sealed else FILES)
    if not sealed:
        replaced(run / "manifest.json", (run / "manifest.json").read_bytes())
        unsealed(run)
    content = (run / name).read_bytes()
    # Tables whose bytes nobody vouches for go to outside software as they are: only sealed ones are spoiled here.
    if name.endswith(".json") and draw.random() < (0.7 if sealed else 1.0):
        spoiled = json.dumps(spoiled_json(draw, json.loads(content))).encode()
    else:
        spoiled = spoiled_bytes(draw, content)
    if name.endswith(".json") and not sealed and draw.random() < 0.3:
        spoiled = spoiled_bytes(draw, spoiled)
    replaced(run / name, spoiled)
    changed = spoiled != content
    refused = {}
    for reader, read in readers(run, other).items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read()
        except EmbargoError as failure:
            refused[reader] = str(failure)
    assert all(str(run) in told for told in refused.values()), refused
    row = headline(run)
    result = embargo("runs", run.parent)
    assert result.exit_code == int(row["damage"] is not None), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    verified = list_runs(run.parent, verify=True)[0]["damage"]
    if sealed and changed:
        assert verified is not None, f"{name}: a changed file was taken for the run's own"
        assert name in verified
        assert "notebook" in refused, f"{name}: shown as if nothing had happened"
        if name in ("metrics.json", "manifest.json"):
            assert row["damage"] is not None
            assert row["sharpe"] is None
        if name in ("metrics.json", "manifest.json", "account.parquet", "regimes.parquet", "config.toml"):
            assert "compare" in refused
    else:
        assert verified is None or not sealed
    return "refused" if refused else "read"


@pytest.mark.timeout(300)
def test_damaged_runs_are_answered_or_refused(copied: Callable[..., Path], whole: Path) -> None:
    made = [check(number, copied, whole) for number in range(25)]
    assert {"refused", "read"} <= set(made)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_five_hundred_damaged_runs_are_answered_or_refused(copied: Callable[..., Path], whole: Path) -> None:
    made = [check(number, copied, whole) for number in range(25, 525)]
    assert made.count("refused") > 100
    assert made.count("read") > 20
