"""What may be spent is never passed, whatever order charges, ends, restarts and other processes come in."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.data_loaders.errors import DataError
from embargo.models.endpoints import BudgetError, Journal
from embargo.models.endpoints.journal import Read

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["charge", "done", "failed", "lost", "restart"]), st.floats(0.0, 0.4), st.floats(0.0, 1.0)
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(STEPS, st.floats(0.1, 2.0), st.integers(1, 12))
def test_no_order_of_events_passes_a_budget(steps, max_cost, max_requests):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        journal, open_requests, truly, made = Journal(path), [], 0.0, 0
        for step, bound, share in steps:
            if step == "restart":
                # What was in flight is never heard of again, and may have cost all that it could.
                journal.close()
                truly += sum(cost for _, cost in open_requests)
                journal, open_requests = Journal(path), []
            elif step == "charge":
                try:
                    number = journal.charge(
                        "p", "a", "t", tokens=(1, 1), cost=bound, max_cost=max_cost, max_requests=max_requests
                    )
                except BudgetError:
                    continue
                made += 1
                open_requests.append((number, bound))
            elif open_requests:
                number, cost = open_requests.pop(0)
                if step == "lost":
                    journal.settle(number, "lost", tokens=None, cost=None)
                    truly += cost
                else:
                    paid = cost * share if step == "done" else 0.0
                    journal.settle(number, step, tokens=(1, 1), cost=paid)
                    truly += paid
            spent = journal.spent("p")
            most = truly + sum(cost for _, cost in open_requests)
            assert spent.requests == made <= max_requests
            assert spent.cost == pytest.approx(most, abs=1e-9)
            assert spent.cost <= max_cost + 1e-9
        assert journal.spent("another").requests == 0
        journal.close()


def test_threads_with_journals_of_their_own_share_one_purse(tmp_path):
    made = []

    def spend():
        with Journal(tmp_path / "journal.sqlite") as journal:
            for _ in range(20):
                try:
                    made.append(journal.charge("p", "a", "t", tokens=(1, 1), cost=0.1, max_cost=2.05))
                except BudgetError:
                    return

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == len(set(made)) == 20


def test_answers_come_back_to_the_bit(tmp_path):
    logits = np.array([-0.1, -1e-17, -12.345678901234567])
    with Journal(tmp_path / "journal.sqlite") as journal:
        journal.keep("a", "t", Read("answered", logits, 0.5, 1.0, 0.1))
        journal.keep("a", "u", Read("refused", None))
        journal.keep("a", "t", Read("answered", logits + 1.0), turn=1)
    with Journal(tmp_path / "journal.sqlite") as journal:
        kept = journal.kept("a", ["t", "u", "v"])
        assert set(kept) == {"t", "u"}
        np.testing.assert_array_equal(kept["t"].logits, logits)
        assert kept["u"].logits is None
        np.testing.assert_array_equal(journal.kept("a", ["t"], turn=1)["t"].logits, logits + 1.0)
        assert journal.kept("b", ["t"]) == {}


def test_what_was_learnt_of_a_server_first_stays(tmp_path):
    with Journal(tmp_path / "journal.sqlite") as journal:
        assert journal.found("a") is None
        assert journal.keep_found("a", {"model": "m"}) == {"model": "m"}
        assert journal.keep_found("a", {"model": "n"}) == {"model": "m"}


def test_a_damaged_journal_is_told(tmp_path):
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"no database, " * 100)
    with pytest.raises(DataError, match="What was spent is in it"):
        Journal(path)
