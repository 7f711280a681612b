"""Ray as a keeper of the engine's promise: what it refuses, what it says, and what becomes of a cluster that breaks.

That it gives the bits, errors and warnings of the others is tested beside them.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
from samples import engine_tasks as tasks

from embargo.data_loaders.errors import ConfigError, MissingPartError
from embargo.research.engine import cluster
from embargo.research.engine.choice import engine_of
from embargo.research.engine.cluster import Ray


@pytest.fixture(scope="module")
def local():
    """A Ray of this machine with one processor, which its worker holds."""
    said = []
    with Ray(1, say=said.append) as engine:
        assert engine.map(tasks.wrong, [1, 2], 3) == [1, 2]
        yield engine, said


def test_where_ray_is_missing_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPartError, match=r"--engine ray: .*pip install 'embargo-backtest\[ray\]'"):
        engine_of("ray")


@pytest.mark.parametrize(
    ("address", "error", "told"),
    [
        ("head", ConfigError, r"RAY_ADDRESS=head: name it as host:6379, ray://host:10001 or auto"),
        ("ray://head", ConfigError, r"RAY_ADDRESS=ray://head: name it as"),
        ("127.0.0.1:{port}", MissingPartError, r"RAY_ADDRESS=127.0.0.1:\d+: nobody answers there .*ray start --head"),
        ("ray://127.0.0.1:{port}", MissingPartError, r"nobody answers there"),
    ],
)
def test_addresses_where_no_cluster_is_are_told_at_once(monkeypatch, address, error, told):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("RAY_ADDRESS", address.format(port=port))
    with engine_of("ray") as engine, pytest.raises(error, match=told):
        engine.map(tasks.wrong, [1], 3)


def test_nothing_is_started_for_nothing():
    engine = Ray(2, say=lambda text: pytest.fail(text))
    assert engine.map(tasks.wrong, [], 3) == []
    assert not engine.started
    engine.close()


def test_a_ray_of_this_machine_says_that_it_does_not_pay(local):
    _, said = local
    assert len(said) == 2
    assert "--engine processes does the same for less" in said[0]
    assert said[1].startswith("Ray did not pay: 2 tasks took 0.")


def test_it_listens_to_this_machine_alone_and_writes_nothing_into_the_home(local):
    import psutil

    mine = psutil.Process()
    family = [mine, *mine.children(recursive=True)]
    assert any("raylet" in each.name() for each in family)
    listened = {each.laddr.ip for one in family for each in one.net_connections("inet") if each.status == "LISTEN"}
    assert listened
    assert listened <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert "RAY_AUTH_TOKEN" in os.environ


def test_processors_that_others_hold_are_told_of(local):
    told = r"for 1 seconds none of the 1 CPUs was free .*1 are held by other"
    with Ray(1, patience=1.0) as second, pytest.raises(MissingPartError, match=told):
        second.map(tasks.wrong, [1, 2], 3)
    # What held them goes on, and lets go.
    first, _ = local
    assert first.map(tasks.wrong, [1, 2], 3) == [1, 2]
    first._dismiss()
    with Ray(1) as second:
        assert second.map(tasks.wrong, [1, 2], 3) == [1, 2]


@pytest.mark.parametrize(
    ("name", "found", "told"),
    [
        ("processor", {"features": "X86_V9", "kernels": {}}, r"features .* against X86_V9"),
        ("_made_of", {"torch": "1.0"}, r"torch .* against 1\.0"),
    ],
)
def test_nodes_that_compute_otherwise_are_refused(local, tmp_path, monkeypatch, name, found, told):
    local[0]._dismiss()
    monkeypatch.setattr(cluster, name, lambda: found)
    with Ray(1, folder=tmp_path) as second, pytest.raises(ConfigError, match=rf"node 127.* does not compute.*{told}"):
        second.map(tasks.wrong, [1, 2], 3)
    assert list(tmp_path.iterdir()) == []


def test_nodes_that_do_not_see_the_cache_are_refused(local, tmp_path, monkeypatch):
    local[0]._dismiss()
    monkeypatch.setattr(Path, "touch", lambda self: None)
    with Ray(1, folder=tmp_path) as second, pytest.raises(ConfigError, match=r"node 127.* does not see .*--cache"):
        second.map(tasks.wrong, [1, 2], 3)
