"""The doctor names what is wrong, how it is mended, and hangs on nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from samples.loopback_commands import embargo

from embargo.research.upkeep import health


def test_a_whole_installation_is_well(tmp_path: Path) -> None:
    answer = embargo("doctor", "--json", "--cache", tmp_path / "cache")
    assert answer.exit_code == 0
    told = json.loads(answer.stdout)
    assert told["well"]
    found = {each["what"]: each for each in told["found"]}
    assert {"python", "packages", "graphics card", "4-bit weights", "cache", "ledger", "model hub", "names"} <= set(
        found
    )
    assert found["model hub"]["said"].startswith("switched off by $HF_HUB_OFFLINE")
    assert all(each["remedy"] for each in told["found"] if each["grade"] == "wrong")
    assert not (tmp_path / "cache").exists(), "a look changes nothing"


def test_what_is_wrong_is_said_with_its_remedy_and_the_status(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    (tmp_path / "locked").mkdir()
    answer = embargo("doctor", "--cache", tmp_path / "locked" / "cache")
    assert answer.exit_code == 0
    refused = embargo("doctor", "--cache", tmp_path / "taken")
    assert refused.exit_code == 1


def test_a_ledger_that_cannot_be_written_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("EMBARGO_LEDGER", str(tmp_path / "file"))
    found = health.ledger_place(tmp_path / "cache")
    assert (found.grade, "is a file" in found.said) == ("wrong", True)


@pytest.mark.parametrize(
    ("versions", "grade", "said"),
    [
        ({"pandas": None}, "wrong", "pandas is not installed"),
        ({"pandas": "2.3.0"}, "wrong", "pandas is 2.3.0, and >=3.1,<4 is needed"),
        ({"torch": "2.12.0"}, "wrong", "torch is 2.12.0, and ==2.13.0 is needed"),
        ({"torch": "2.13.0+cu130"}, "fine", "all "),
        ({"pandas": "3.99.0"}, "look", "pandas 3.99.0 (tested: "),
    ],
)
def test_versions_are_held_against_what_is_asked_and_what_was_tested(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str | None], grade: str, said: str
) -> None:
    tested = dict(health._tested())
    monkeypatch.setattr(health, "_version", lambda name: versions.get(name, tested.get(health._canonical(name), "1.0")))
    found = health.packages()
    assert (found.grade, said in found.said) == (grade, True), found
    assert bool(found.remedy) == (grade != "fine")


def test_every_requirement_is_read() -> None:
    asked = dict(health._required())
    assert asked["torch"] == "==2.13.0"
    assert asked["vectorbt"] == ">=1.2,<1.3", "what stands in brackets is an extra"
    assert len(asked) > 20


def test_a_wheel_tells_its_requirements_by_its_metadata(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(health, "_ROOT", tmp_path)
    lines = ["torch==2.13.0", "vectorbt[rust] <1.3,>=1.2", 'yfinance<2,>=1.7; extra == "yahoo"']
    monkeypatch.setattr(metadata, "requires", lambda name: lines)
    assert dict(health._required()) == {"torch": "==2.13.0", "vectorbt": "<1.3,>=1.2"}


def test_another_package_of_our_name_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert health.names().grade == "fine"
    (tmp_path / "embargo").mkdir()
    assert health.names().grade == "fine", "a folder of notes is no package"
    (tmp_path / "embargo" / "__init__.py").write_text("")
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    found = health.names()
    assert (found.grade, str(tmp_path / "embargo") in found.said) == ("look", True)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "embargo.py").write_text("")
    found = health.names()
    assert found.grade == "wrong"
    assert str(tmp_path / "embargo.py") in found.said
    assert "rename" in found.remedy


def test_the_other_project_of_our_name_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_version", lambda name: "1.4.3" if name == "embargo" else None)
    assert "pip uninstall embargo" in health.names().remedy


def test_a_hub_is_reached_or_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for switch in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(switch, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert health.hub().said == "127.0.0.1 is reached."
    found = health.hub()
    assert (found.grade, "is not reached" in found.said) == ("look", True)


def test_a_name_that_nobody_resolves_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look ends although the connection never does, and so does the program."""
    code = (
        "import socket, time; from embargo.research.upkeep import health; health.HUB_S = 0.1\n"
        "socket.create_connection = lambda *a, **k: time.sleep(3_600)\n"
        "print(health.hub().grade)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS"))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120, check=True
    )
    assert done.stdout == "look\n"


def test_little_memory_and_disk_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(health, "MEMORY_LOOK", 1 << 60)
    monkeypatch.setattr(health, "DISK_WRONG", 1 << 60)
    assert health.memory().grade in ("look", "fine")
    found = health.disk(tmp_path / "not" / "there")
    assert (found.grade, "embargo clean" in found.remedy) == ("wrong", True)


def test_a_card_is_told_with_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """No machine of the tests has a card: what torch would say of one stands in for it."""
    import torch

    monkeypatch.setattr(health, "device_type", lambda: "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    card = SimpleNamespace(name="A card", total_memory=24_000_000_000)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: card)
    assert health.graphics_card().said.startswith("A card (24.0 GB), CUDA ")


@pytest.mark.parametrize(
    ("built", "device", "grade"),
    [(["cuda130"], "cuda", "fine"), (["cpu"], "cuda", "look"), (["cpu"], "cpu", "fine"), ([], "cpu", "look")],
)
def test_weights_of_four_bits_need_a_build_for_the_device(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, built: list[str], device: str, grade: str
) -> None:
    for kind in built:
        (tmp_path / f"libbitsandbytes_{kind}.so").write_text("")
    monkeypatch.setattr(health, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    monkeypatch.setattr(health, "device_type", lambda: device)
    found = health.four_bits()
    assert (found.grade, bool(found.remedy)) == (grade, grade == "look")


def test_without_bitsandbytes_there_is_no_qlora(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "find_spec", lambda name: None)
    assert "no QLoRA" in health.four_bits().said
    assert health.graphics_card().grade == "wrong"
