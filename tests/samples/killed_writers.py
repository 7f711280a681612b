"""Processes that are killed at one event of the file system after another while they write a folder.

Run as a script: a parent without threads forks for each event, so that hundreds of kills take seconds. It prints one
line of JSON for each: the event, and what the folder above held afterwards.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

KILLED = 137
EVENTS = frozenset(
    ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.listdir", "os.scandir", "shutil.rmtree")
)


def killed_at(number: int, work: Callable[[], object], below: Path) -> int:
    """Do some work in a child that dies before its ``number``-th event in a folder; return the child's status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = number

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in EVENTS and any(str(below) in str(argument) for argument in arguments):
            left -= 1
            if left < 0:
                os._exit(KILLED)

    sys.addaudithook(count)
    try:
        work()
    except BaseException:
        os._exit(1)
    os._exit(0)


def small_run(place: Path, content: str) -> None:
    """Write a run folder of two files through the product, with its seal beside it."""
    from embargo.research.records.folders import seal, writing
    from embargo.research.records.seals import keep_seal

    with writing(place / "mine-1a2b3c4d") as draft:
        (draft / "metrics.json").write_text(json.dumps({"sharpe": float(content), "status": "valid"}))
        (draft / "config.toml").write_text("seed = 1")
        keep_seal(place, "mine-1a2b3c4d", seal(draft, {"content": content}))


def cached(place: Path, content: str) -> None:
    """Write a folder of the cache."""
    from embargo.models.content import cached_folder

    def build(folder: Path) -> dict[str, str]:
        (folder / "weights.bin").write_text(content)
        return {"content": content}

    cached_folder(place, "thing", {"a": 1}, build)


def saved() -> Callable[[Path, str], None]:
    """Carry out a small experiment, and return what writes its run folder anew, every table and page of it."""
    from unittest.mock import patch

    from embargo.research.config.experiment import load_config
    from embargo.research.examples.shipped import example
    from embargo.research.progress import Quiet
    from embargo.research.run import pipeline

    save, held = pipeline._save, []
    holding = patch.object(pipeline, "_save", lambda *given: held.append(given))
    with example("small") as path, tempfile.TemporaryDirectory() as cache, holding:
        pipeline.execute(load_config(path), out=Path(cache), cache=Path(cache), stages=Quiet())
    (given,) = held

    def write(place: Path, content: str) -> None:
        folder, *before, manifest, report = given
        save(place / folder.name, *before, manifest | {"content": content}, report)

    return write


def state_of(place: Path) -> list[str]:
    """Name what lies in a folder: finished folders by their manifest's content, drafts as such."""
    found = []
    for path in sorted(place.iterdir()):
        if path.is_dir():
            manifest = path / "manifest.json"
            whole = not path.name.startswith(".") and manifest.is_file()
            found.append(json.loads(manifest.read_text())["content"] if whole else "draft")
    return found


def main(kind: str, folder: str, before: str) -> None:
    """Kill a writer at each of its events, and afterwards let another one write, or list what is there."""
    from embargo.models.drafts import sweep_up

    write = saved() if kind == "saved" else {"run": small_run, "cached": cached}[kind]
    number, status = 0, KILLED
    while status == KILLED:
        place = Path(folder) / f"{number:03d}"
        place.mkdir()
        if before:
            write(place, before)
        status = killed_at(number, lambda place=place: write(place, "2"), place)  # type: ignore[misc]
        seen = state_of(place)
        sweep_up(place)
        swept = state_of(place)
        write(place, "3")
        line = {"event": number, "status": status, "seen": seen, "swept": swept, "after": state_of(place)}
        print(json.dumps(line), flush=True)
        number += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
