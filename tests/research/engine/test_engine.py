import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from samples import engine_tasks as tasks

from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.models.content import folder_hashes
from embargo.research.engine.choice import Auto, engine_of
from embargo.research.engine.cluster import Ray
from embargo.research.engine.keepers import RETRIES, Serial
from embargo.research.engine.processes import Processes


@pytest.fixture(scope="module")
def two():
    with Processes(2) as engine:
        yield engine


@pytest.fixture(scope="module")
def ray_of_two():
    with Ray(2) as engine:
        yield engine


@pytest.fixture(params=["processes", "ray"])
def there(request):
    return request.getfixturevalue({"processes": "two", "ray": "ray_of_two"}[request.param])


@pytest.fixture(params=["serial", "processes", "ray"])
def engine(request):
    name = {"processes": "two", "ray": "ray_of_two"}.get(request.param)
    return Serial() if name is None else request.getfixturevalue(name)


def test_the_same_bits_from_one_two_and_eight_processes_and_from_ray(there):
    serial = [each.tobytes() for each in Serial().map(tasks.product, list(range(9)), 5)]
    assert [each.tobytes() for each in there.map(tasks.product, list(range(9)), 5)] == serial
    for workers in (1, 8) if isinstance(there, Processes) else ():
        with Processes(workers) as engine:
            assert [each.tobytes() for each in engine.map(tasks.product, list(range(9)), 5)] == serial


def test_arrays_from_elsewhere_may_be_written_to(there):
    for each in there.map(tasks.product, [1], 5):
        each[:] = 0.0


def test_every_task_has_one_thread(engine):
    found = engine.map(tasks.threads, [0, 1, 2])
    assert all(numbers == {1} for numbers, _ in found)
    assert (os.getpid() in {process for _, process in found}) == isinstance(engine, Serial)


def test_results_keep_the_order_of_the_tasks_and_are_told_as_they_come(engine):
    told, shown = [], []
    found = engine.map(
        tasks.slow_first, [0, 1, 2], done=lambda *one: told.append(one), progress=lambda *at: shown.append(at)
    )
    assert found == [0, 1, 2]
    assert sorted(told) == [(0, 0), (1, 1), (2, 2)]
    assert shown == [(1, 3), (2, 3), (3, 3)]
    if not isinstance(engine, Serial):
        assert told[-1] == (0, 0), "a result waited for a slower one before it"


def test_nothing_to_do_gives_nothing(engine):
    assert engine.map(tasks.product, [], 5) == []


def test_errors_are_the_products_own(engine):
    with pytest.raises(DataError, match=r"^row 3: not a number\. Mend it\.$"):
        engine.map(tasks.wrong, [1, 2, 3, 4], 3)
    assert engine.map(tasks.wrong, [1, 2], 3) == [1, 2], "an error has spoilt the engine"


def test_errors_that_cannot_be_sent_are_told_all_the_same(there):
    with pytest.raises(RuntimeError, match="OddError: one and two"):
        there.map(tasks.odd, [1])
    with pytest.raises(TypeError, match="cannot be sent"):
        there.map(tasks.unsendable, [1])


def test_a_task_out_of_memory_says_what_to_do(there):
    with pytest.raises(MissingPartError, match=r"out of memory.*--workers"):
        there.map(tasks.full, [1])


def test_warnings_are_given_here(engine):
    with pytest.warns(RuntimeWarning, match="careful with 2"):
        assert engine.map(tasks.warns, [2]) == [2]


def test_a_killed_process_is_replaced_and_its_task_done_again(there, tmp_path):
    assert there.map(tasks.dies, [0, RETRIES, 1, 0], str(tmp_path)) == [0, RETRIES, 1, 0]


def test_what_a_process_leaves_that_is_killed_while_it_writes_harms_nobody(two, tmp_path):
    whole, place, moments = tmp_path / "whole", tmp_path / "killed", list(range(0, 14, 2))
    for folder in (whole, place):
        folder.mkdir()
    for moment in moments:
        (whole / f"killed-{moment}").touch()  # nobody is
    expected = Serial().map(tasks.makes_a_folder, moments, str(whole))
    assert two.map(tasks.makes_a_folder, moments, str(place)) == expected
    assert len(list(place.glob("killed-*"))) == len(moments)
    names = sorted(path.name for path in (place / "adapters").iterdir())
    assert names == sorted(name for name, _ in expected), "what the dead left is there still"
    for name, _ in expected:
        assert folder_hashes(place / "adapters" / name) == folder_hashes(whole / "adapters" / name)


def test_a_task_that_always_dies_is_given_up_and_named(there, tmp_path):
    how = {Processes: r"killed by signal 9 \(SIGKILL\)", Ray: r"died"}[type(there)]
    with pytest.raises(MissingPartError, match=rf"task 2 of 2: its process .*{how},? {RETRIES + 1} times.*memory"):
        there.map(tasks.dies, [0, RETRIES + 1], str(tmp_path))


DRIVER = """
import sys
from samples import engine_tasks as tasks
from embargo.research.engine.choice import engine_of
if __name__ == "__main__":
    try:
        with engine_of(sys.argv[2], 2) as engine:
            engine.map(tasks.writes_and_waits, [1, 2], sys.argv[1])
    except KeyboardInterrupt:
        print("stopped")
"""


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # A process that nobody has waited for is dead all the same.
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("name", ["processes", pytest.param("ray", marks=pytest.mark.slow)])
def test_no_process_outlives_its_driver(tmp_path, how, name):
    (tmp_path / "driver.py").write_text(DRIVER)
    (tmp_path / "seen").mkdir()
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    driver = subprocess.Popen(
        [sys.executable, tmp_path / "driver.py", tmp_path / "seen", name],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "seen").iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    processes = [int(each.name) for each in (tmp_path / "seen").iterdir()]
    assert len(processes) == 2
    driver.send_signal(how)
    said, _ = driver.communicate(timeout=60)
    assert said == ("stopped\n" if how == signal.SIGINT else "")
    while any(map(alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, processes))


class Clock:
    """Seconds that pass as often as it is read."""

    def __init__(self, step):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


@pytest.mark.parametrize(
    ("seconds", "step", "elsewhere"),
    [(0.5, 0.0, 0), (60.0, 0.0, 3), (None, 0.2, 0), (None, 60.0, 2)],
    ids=["short", "long", "measured short", "measured long"],
)
def test_auto_hands_over_what_repays_it(seconds, step, elsewhere):
    told, said = [], []
    with Auto(3, say=said.append, clock=Clock(step)) as engine:
        found = engine.map(tasks.threads, [0, 1, 2], seconds=seconds, done=lambda number, _: told.append(number))
    assert sum(process != os.getpid() for _, process in found) == elsewhere
    assert sorted(told) == [0, 1, 2]
    assert any("processes" in each for each in said) == (elsewhere > 0 or (seconds or step) * 3 > 1.0)


def test_auto_gives_the_bits_of_serial():
    serial = Serial().map(tasks.product, [1, 2, 3], 5)
    with Auto(2, clock=Clock(60.0)) as engine:
        found = engine.map(tasks.product, [1, 2, 3], 5)
    assert all(np.array_equal(one, other) for one, other in zip(serial, found, strict=True))


@pytest.mark.parametrize(("name", "workers"), [("cluster", None), ("serial", 2), ("processes", 0), ("auto", 0)])
def test_engines_that_cannot_be_are_refused(name, workers):
    with pytest.raises(ConfigError, match=r"--engine cluster|--workers"):
        engine_of(name, workers)


def test_shared_data_are_sent_once_to_each_process(there):
    sent = []

    class Counted:
        def __reduce__(self):
            sent.append(1)
            return int, (5,)

    assert [each.shape for each in there.map(tasks.product, [1, 2, 3, 4], Counted())] == [(96, 96)] * 4
    assert len(sent) == 1
    assert pickle.loads(pickle.dumps(Counted())) == 5


def test_each_process_sees_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5")
    with Processes() as engine:
        assert engine.workers == 2
        assert set(engine.map(tasks.gpu, list(range(8)))) == {"3", "GPU-5"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert Processes(1).map(tasks.gpu, [1]) == [""]
