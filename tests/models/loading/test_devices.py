"""The device is told without torch as torch tells it, and torch is asked wherever a card may be there."""

import importlib.machinery
import sys
from types import SimpleNamespace

import pytest
import torch

from embargo.models.loading import devices


@pytest.fixture(autouse=True)
def asked_anew():
    for each in (devices._has_no_card, devices._flags):
        each.cache_clear()
    yield
    for each in (devices._has_no_card, devices._flags):
        each.cache_clear()


def built_for(tmp_path, monkeypatch, cuda, hip="None"):
    """Let torch be a build for something else."""
    (tmp_path / "version.py").write_text(
        f"__version__ = '2.13.0'\ncuda: Optional[str] = {cuda}\nhip: Optional[str] = {hip}\nrocm = None\n"
    )
    spec = importlib.machinery.ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(devices, "find_spec", lambda name: spec)


def test_what_is_told_of_this_machine_is_what_torch_says(monkeypatch):
    # As in a process that has not loaded torch; where one would be loaded, it is the one that is here.
    monkeypatch.setattr(devices, "sys", SimpleNamespace(modules={}, platform=sys.platform))
    assert devices.device_type() == ("cuda" if torch.cuda.is_available() else "cpu")
    if not torch.cuda.is_available():
        assert devices.multiplies_in_bf16() == torch.cpu._is_avx512_bf16_supported()


@pytest.mark.parametrize(("cuda", "hip"), [("'13.0'", "None"), ("None", "'7.1'")])
def test_torch_is_asked_where_its_build_and_a_driver_are_there(tmp_path, monkeypatch, cuda, hip):
    built_for(tmp_path, monkeypatch, cuda, hip)
    monkeypatch.setattr(devices, "_opens", lambda library: True)
    assert not devices._has_no_card()


def test_no_card_is_found_without_a_build_for_one_or_a_driver(tmp_path, monkeypatch):
    built_for(tmp_path, monkeypatch, "None")
    monkeypatch.setattr(devices, "_opens", lambda library: True)
    assert devices._has_no_card()
    devices._has_no_card.cache_clear()
    built_for(tmp_path, monkeypatch, "'13.0'")
    monkeypatch.setattr(devices, "_opens", lambda library: False)
    assert devices._has_no_card() == (sys.platform == "linux")


@pytest.mark.parametrize(
    ("told", "flags"), [("flags\t\t: fpu avx512_bf16\n", True), ("flags : fpu\n", False), ("", None)]
)
def test_what_a_processor_can_do_is_read_from_linux(tmp_path, monkeypatch, told, flags):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{told}")
    monkeypatch.setattr(devices, "_PROCESSOR", tmp_path / "cpuinfo")
    found = devices._flags()
    assert (None if found is None else "avx512_bf16" in found) == flags
