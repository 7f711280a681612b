"""The simulation of a schedule: makespans that are known, and deaths whose cost has a formula."""

from __future__ import annotations

import math

import numpy as np
import pytest

from embargo.data_loaders.errors import ConfigError
from embargo.research.benchmarks.schedule import HOUR, Job, jobs, simulate, table
from embargo.research.benchmarks.structure import ROOT
from embargo.research.engine.keepers import RETRIES


def makespan(seconds, workers, seed=0, **named):
    return simulate(Job("job", seconds, workers, **{"start_s": 0.0, **named}), np.random.default_rng(seed)).makespan


@pytest.mark.parametrize(
    ("seconds", "workers", "known"),
    [
        ([10.0] * 7, 3, 30.0),
        ([10.0] * 6, 3, 20.0),
        ([10.0] * 2, 8, 10.0),
        # Worked by hand: 3 and 3, then 2 and 2, then 2.
        ([3.0, 3.0, 2.0, 2.0, 2.0], 2, 7.0),
        # Graham's worst case in the order of the list: 2 - 1/m of the best.
        ([1.0] * 6 + [3.0], 3, 5.0),
        ([3.0] + [1.0] * 6, 3, 3.0),
        ([], 3, 0.0),
    ],
)
def test_lists_whose_makespan_is_known(seconds, workers, known):
    assert makespan(seconds, workers) == known


def test_start_driver_and_frames_cost_what_they_say():
    assert makespan([10.0] * 4, 2, start_s=5.0) == 25.0
    # One answer at a time: four tasks of no length are as long as the driver takes for them.
    assert makespan([0.0] * 4, 4, driver_s=2.0) == 8.0
    assert makespan([10.0] * 4, 2, driver_s=1.0) == 10.0 + 1.0 + 10.0 + 2.0
    # Frames of three on two workers leave one of them idle every other round.
    assert makespan([10.0] * 6, 2, frame=3) == 40.0
    assert makespan([10.0] * 6, 2) == 30.0


def test_a_task_whose_worker_dies_costs_what_the_formula_says():
    """A worker that dies at a rate r needs (exp(r s) - 1)(1 / r + restart) for s seconds on average."""
    rate, seconds, restart = 1.0, 0.2 * HOUR, 100.0
    found, kept = [], 0
    for seed in range(4_000):
        job = Job("one", [seconds], 1, start_s=restart, deaths_per_hour=rate)
        outcome = simulate(job, np.random.default_rng([7_300_030, seed]))
        kept += not outcome.given_up
        # One that is given up would have gone on; its part of the mean is that of a fresh start.
        found.append((outcome.makespan - restart, outcome.given_up))
    known = (math.exp(rate * seconds / HOUR) - 1.0) * (HOUR / rate + restart)
    mean = np.mean([took + (known + restart) * ended for took, ended in found])
    error = np.std([took for took, _ in found]) / math.sqrt(len(found))
    assert abs(mean - known) < 4 * error
    died = 1.0 - math.exp(-rate * seconds / HOUR)
    assert abs(kept / 4_000 - (1.0 - died ** (RETRIES + 1))) < 4 * math.sqrt(died ** (RETRIES + 1) / 4_000)


def test_what_was_kept_is_not_done_again():
    job = Job("one", [10_000.0], 1, start_s=0.0, deaths_per_hour=0.2, kept_s=100.0)
    lost = [simulate(job, np.random.default_rng([7_300_031, seed])) for seed in range(200)]
    again = [(each.worked - each.needed) / each.deaths for each in lost if each.deaths and not each.given_up]
    assert len(again) > 20
    assert 30.0 < np.mean(again) < 70.0  # half of what lies between two checkpoints
    assert max(again) < 100.0


def test_a_node_takes_all_its_workers_with_it_and_is_replaced():
    job = Job("job", [100.0] * 400, 8, start_s=0.0, node=4, losses_per_day=20.0, boot_s=60.0)
    outcome = simulate(job, np.random.default_rng(7_300_032))
    assert not outcome.given_up
    assert outcome.deaths >= 4
    assert outcome.deaths % 4 == 0
    assert outcome.makespan > 400 * 100.0 / 8
    assert outcome.worked > outcome.needed == 40_000.0


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"node": 0}, {"frame": 0}, {"boot_s": -1.0}, {"driver_s": -1.0}])
def test_jobs_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Job("job", [1.0], **{"workers": 1, **wrong})


def test_no_schedule_beats_its_bounds():
    for job in jobs():
        outcome = simulate(job, np.random.default_rng(7_300_033))
        assert not outcome.given_up
        assert outcome.makespan >= max(outcome.needed / job.workers, max(job.seconds), len(job.seconds) * job.driver_s)
        assert outcome.worked >= 0.999_999 * outcome.needed


@pytest.mark.slow
def test_the_document_shows_what_the_simulation_gives():
    assert "\n".join(table()) in (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
