"""What becomes of a job when a Ray cluster of several nodes loses one, and when a task takes all memory."""

from __future__ import annotations

import os
import socket

import psutil
import pytest
from samples import engine_tasks as tasks

from embargo.data_loaders.errors import ConfigError, MissingPartError
from embargo.research.engine.cluster import Ray
from embargo.research.engine.keepers import RETRIES, Serial

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def several():
    """Three nodes on this machine, with a server for clients on the first; all on loopback."""
    before = dict(os.environ)
    # By default its workers give way to whatever else this machine does.
    wanted = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    os.environ |= wanted
    from ray.cluster_utils import Cluster

    client = free_port()
    made = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 1,
            "include_dashboard": False,
            "ray_client_server_port": client,
        },
    )
    nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    yield made, nodes, client
    made.shutdown()
    os.environ.clear()
    os.environ.update(before)


def test_each_worker_has_a_gpu_of_its_own(several):
    made, _, _ = several
    node = made.add_node(num_cpus=2, num_gpus=2)
    with Ray(address=made.address) as engine:
        assert set(engine.map(tasks.gpu, list(range(8)), 2.0)) == {"0", "1"}
    made.remove_node(node)


def test_a_cluster_is_joined_from_elsewhere_too(several):
    _, _, client = several
    serial = [each.tobytes() for each in Serial().map(tasks.product, list(range(4)), 5)]
    with Ray(2, address=f"ray://127.0.0.1:{client}") as engine:
        assert [each.tobytes() for each in engine.map(tasks.product, list(range(4)), 5)] == serial


def test_one_process_is_in_one_cluster(several):
    made, _, client = several
    with Ray(1, address=made.address) as engine:
        assert engine.map(tasks.wrong, [1], 3) == [1]
        other = Ray(1, address=f"127.0.0.1:{client}")
        with pytest.raises(ConfigError, match=r"this process has joined .* already\. Call ray\.shutdown"):
            other.map(tasks.wrong, [1], 3)
        assert engine.map(tasks.wrong, [1, 2], 3) == [1, 2]


def test_a_node_that_is_gone_costs_no_bit(several):
    made, nodes, _ = several
    serial = [each.tobytes() for each in Serial().map(tasks.product, list(range(24)), 5)]
    told, gone, came = [], [], []
    engine = Ray(address=made.address)

    def lose(number, result):
        told.append(number)
        busy = {worker.node for worker in engine._running if worker.task is not None}
        for node in [each for each in nodes if each.node_id in busy] if len(told) % 3 == 0 else ():
            made.remove_node(node, allow_graceful=False)
            nodes.remove(node)
            gone.append(node.node_id)
            came.append(made.add_node(num_cpus=1).node_id)
            return

    with engine:
        found = engine.map(tasks.slow_product, list(range(24)), 5, done=lose)
        working = {worker.node for worker in engine._running}
    assert [each.tobytes() for each in found] == serial
    assert sorted(told) == list(range(24))
    assert len(gone) == 2
    # One that comes is given work.
    assert working & set(came)
    assert not working & set(gone)


def test_a_task_that_takes_all_memory_is_given_up_and_named(monkeypatch):
    used = psutil.virtual_memory()
    # What Ray kills tasks at: somewhat above what everything else here takes.
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{(used.total - used.available + 1.5e9) / used.total:.3f}")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    with (
        Ray(1) as engine,
        pytest.raises(
            MissingPartError, match=rf"task 1 of 1: its process died {RETRIES + 1} times.*memory.*fewer --workers"
        ),
    ):
        engine.map(tasks.hoards, [1])
