import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
import torch
from samples.tiny_reader import said

from embargo.data_loaders.threads import VARIABLES, one_thread


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def pools():
    return {each["filepath"]: each["num_threads"] for each in threadpoolctl.threadpool_info()}


@pytest.mark.usefixtures("two_threads")
def test_every_pool_has_one_thread_and_then_what_it_had(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    np.ones((2, 2)) @ np.ones((2, 2))
    before = pools()
    with one_thread():
        with one_thread():
            assert set(pools().values()) == {1}
        assert torch.get_num_threads() == 1, "the inner block has put back what the outer one holds"
        assert {os.environ[name] for name in VARIABLES} == {"1"}
    assert pools() == before
    assert torch.get_num_threads() == 2
    assert os.environ["OMP_NUM_THREADS"] == "2"


@pytest.mark.usefixtures("two_threads")
def test_an_error_inside_puts_back_too():
    def wrong():
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        one_thread()(wrong)()
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_thread_of_its_own_is_held_too():
    from concurrent.futures import ThreadPoolExecutor

    def number():
        with one_thread():
            return torch.get_num_threads()

    with one_thread(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(number).result() == 1


def test_libraries_loaded_inside_start_with_one_thread():
    script = (
        "from embargo.data_loaders.threads import one_thread\n"
        "with one_thread():\n"
        "    import numpy, threadpoolctl\n"
        "    print({each['num_threads'] for each in threadpoolctl.threadpool_info()})\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "{1}", done.stderr


def test_a_reader_says_the_same_whatever_the_number_of_threads():
    script = Path(__file__).parents[1] / "samples" / "tiny_reader.py"
    path = os.pathsep.join([str(script.parents[1]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": path}
    other = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=200)
    assert other.returncode == 0, other.stderr
    torch.set_num_threads(1)
    assert other.stdout == said()
