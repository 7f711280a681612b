from __future__ import annotations

import csv
import io
import json

from samples.loopback_commands import embargo

from embargo.backtest.leakage import CHECKS, LEAKS, ON_REQUEST
from embargo.research.cli.leaks import COLUMNS


def test_the_list_of_leaks_holds_every_check_and_every_leak_without_one() -> None:
    told = embargo("leaks", "--format", "csv")
    rows = list(csv.reader(io.StringIO(told.output)))
    assert tuple(rows[0]) == COLUMNS
    assert sorted(row[2] for row in rows if row[2] and row[2] != "check") == sorted([*CHECKS, *ON_REQUEST])
    looked_for = {check.code for check in (CHECKS | ON_REQUEST).values()}
    assert [row[0] for row in rows[1:] if not row[2]] == [code for code in LEAKS if code not in looked_for]
    asked = {row[2]: row[-1] for row in rows[1:]}
    assert asked["check_date_recall"] == "embargo audit --probe"
    assert asked["check_alpha_decay"] == "every run"
    assert list(dict.fromkeys(row[0] for row in rows[1:])) == list(LEAKS)
    read = json.loads(embargo("leaks", "--format", "json").output)
    assert [list(row.values()) for row in read] == rows[1:]


def test_the_table_tells_what_is_not_tested() -> None:
    told = embargo("leaks").output
    assert "not tested" in told
    assert "T10" in told
