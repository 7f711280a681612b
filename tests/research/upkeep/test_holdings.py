"""What can be made again is removed when it is asked for, and nothing else, nor while anybody uses it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from samples.loopback_commands import embargo

from embargo.data_loaders.errors import ConfigError
from embargo.models.drafts import discard, draft_for, sweep_up
from embargo.research.upkeep.holdings import KEPT, KINDS, held_in, remove

DAY = 86_400.0


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with two entries of ten bytes of each kind, forty days and one day old, and what is never removed."""
    monkeypatch.delenv("EMBARGO_LEDGER")
    place = tmp_path / "cache"
    now = time.time()
    for kind, (pattern, _) in KINDS.items():
        for name, days in (("old", 40), ("new", 1)):
            entry = place / pattern.replace("*", f"{kind}-{name}")
            file = entry if kind in ("old-scores", "checkpoints", "files-read") else entry / "content"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("0123456789")
            for path in (file, file.parent):
                os.utime(path, (now - days * DAY, now - days * DAY))
            if file != entry:
                os.utime(entry, (now - days * DAY, now - days * DAY))
    for kind in KEPT:
        (place / kind).mkdir()
        (place / kind / "content").write_text("precious")
        os.utime(place / kind / "content", (0, 0))
        os.utime(place / kind, (0, 0))
    (place / "mine").write_text("notes")
    return place


def files(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file() and path.name != ".in-use"}


def test_every_kind_is_listed_with_its_size_and_age(cache: Path) -> None:
    found = held_in(cache)
    assert {each.kind for each in found} == {*KINDS, *KEPT, "other"}
    adapters = [each for each in found if each.kind == "adapters"]
    assert [each.path.name for each in adapters] == ["adapters-old", "adapters-new"]
    assert [round((time.time() - each.written) / DAY) for each in adapters] == [40, 1]
    assert [each.path.name for each in found if each.kind == "checkpoints"] == [
        ".training-checkpoints-old",
        ".training-checkpoints-new",
    ]
    assert held_in(cache / "nowhere") == []


def test_nothing_is_removed_unless_it_is_asked_for(cache: Path) -> None:
    before = files(cache)
    for arguments in ((), ("--kind", "adapters"), ("--older-than", "1d")):
        answer = embargo("clean", "--cache", cache, *arguments)
        assert answer.exit_code == 0
        assert files(cache) == before
    assert "Would remove" in answer.output
    refused = embargo("clean", "--cache", cache, "--yes")
    assert (refused.exit_code, "say what to remove" in refused.stderr) == (2, True)


def test_kinds_and_ages_are_removed_and_counted(cache: Path) -> None:
    before = files(cache)
    answer = embargo(
        "clean", "--cache", cache, "--kind", "adapters", "--kind", "scores", "--older-than", "30d", "--yes"
    )
    assert answer.exit_code == 0
    assert before - files(cache) == {"adapters/adapters-old/content", "scores/scores-old/content"}
    assert "Removed 2 entries, " in answer.output
    assert "1 adapters" in answer.output
    assert "1 scores" in answer.output


def test_ledger_and_journal_are_never_removed(cache: Path) -> None:
    answer = embargo("clean", "--cache", cache, "--older-than", "0h", "--yes")
    assert answer.exit_code == 0
    assert files(cache) == {"ledger/content", "endpoints/content", "mine"}
    for kind in (*KEPT, "other", "unheard"):
        refused = embargo("clean", "--cache", cache, "--kind", kind, "--yes")
        assert (refused.exit_code, "cannot be removed" in refused.stderr) == (2, True)
    for each in held_in(cache):
        with pytest.raises(ConfigError, match="never removed"):
            remove(cache, [each])


def test_a_ledger_that_lies_among_what_is_removed_stays(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBARGO_LEDGER", str(cache / "adapters" / "adapters-old" / "ledger"))
    refused = embargo("clean", "--cache", cache, "--kind", "adapters", "--yes")
    assert (refused.exit_code, "the ledger of attempts" in refused.stderr) == (2, True)
    assert "adapters/adapters-new/content" in files(cache)


@pytest.mark.parametrize("age", ["30", "d", "-3d", "3 months", "1e9d"])
def test_ages_have_a_unit(cache: Path, age: str) -> None:
    refused = embargo("clean", "--cache", cache, f"--older-than={age}")
    assert (refused.exit_code, "30d" in refused.stderr) == (2, True)


def test_nothing_is_removed_while_another_process_uses_the_cache(cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from embargo.research.cache import cache_folder; "
        "cache_folder(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    user = subprocess.Popen(
        [sys.executable, "-c", code, str(cache)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with user:
        assert user.stdout is not None
        assert user.stdout.readline() == "held\n"
        before = files(cache)
        refused = embargo("clean", "--cache", cache, "--kind", "adapters", "--yes")
        assert (refused.exit_code, "another process of Embargo uses this cache" in refused.stderr) == (1, True)
        assert files(cache) == before
        user.communicate("", timeout=60)
    assert embargo("clean", "--cache", cache, "--kind", "adapters", "--yes").exit_code == 0


def test_what_killed_processes_left_is_counted_and_removed(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    killed = os.fork()
    if not killed:
        with draft_for(cache / "adapters" / "adapter-1") as draft:
            (draft / "weights").write_text("0123456789")
            os._exit(9)  # a kill leaves the draft, and takes its lock away
    os.waitpid(killed, 0)
    (cache / "computed").mkdir()
    (cache / "computed" / ".ab12.json.4711.0f0f0f0f").write_text("0123456789")
    (cache / "computed" / ".notes").write_text("of somebody else")
    with draft_for(cache / "onnx-1") as held:
        left = [each for each in held_in(cache) if each.kind == "leftovers"]
        assert [each.path.parent.name for each in left] == ["adapters", "computed"]
        assert min(each.size for each in left) >= 10
        shown = embargo("clean", "--cache", cache)
        assert "leftovers" in shown.stdout
        assert embargo("clean", "--cache", cache, "--kind", "leftovers", "--yes").exit_code == 0
        assert held.is_dir()
    assert files(cache) == {"computed/.notes"}
    assert list((cache / "adapters").iterdir()) == []


def test_drafts_that_are_held_stay_and_what_a_kill_left_half_removed_is_swept_up(tmp_path: Path) -> None:
    place = tmp_path / "cache" / "adapters"
    with draft_for(place / "adapter-1") as draft:
        assert embargo("clean", "--cache", tmp_path / "cache", "--older-than", "0h", "--yes").exit_code == 0
        assert draft.is_dir()
    (place / "adapter-2").mkdir()
    (place / "adapter-2" / "weights").write_text("x")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda *_, **__: None)  # killed before it was removed
        discard(place / "adapter-2")
    assert not (place / "adapter-2").exists()
    assert list(place.iterdir())
    sweep_up(place)
    assert list(place.iterdir()) == []
