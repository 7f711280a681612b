from embargo.research.benchmarks import run_stages
from embargo.research.benchmarks.run_stages import Clocked, table


def test_folds_are_one_stage_and_nothing_is_left_out(monkeypatch):
    clock = iter([0.0, 1.0, 1.0, 3.0, 3.0, 7.0, 7.0, 15.0])
    monkeypatch.setattr(run_stages, "_spent", lambda: next(clock))
    stages = Clocked()
    for name in ("Tune the model, fold 1 of 2", "Audit for leaks", "Tune the model, fold 2 of 2"):
        stages.stage(name)
    stages.close()
    assert stages.took == {"Before the first stage": 1.0, "Tune the model": 10.0, "Audit for leaks": 4.0}


def test_a_stage_that_only_one_build_has_is_shown():
    lines = table({"Read": 2.0, "Gone": 1.0}, {"Read": 1.0, "New": 0.5})
    assert [line.split()[0] for line in lines] == ["before", "Read", "Gone", "New", "all"]
    assert lines[1].split()[-1] == "0.50"
    assert lines[-1].split()[1:] == ["3.00s", "1.50s", "0.50"]
