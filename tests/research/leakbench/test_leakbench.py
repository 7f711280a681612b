"""LeakBench is fair: checks know nothing of plants, plants do what they say, and what is counted is counted right."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from embargo.backtest.leakage import LEAKS
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.schemas import validate_news, validate_prices
from embargo.research import Quiet, prepare
from embargo.research.benchmarks.structure import ROOT
from embargo.research.leakbench import bench, carrying
from embargo.research.leakbench.bench import FIRST_SEED, Task, progress_of, run_bench, summarise, tasks
from embargo.research.leakbench.carrying import carry_case
from embargo.research.leakbench.edits import Edit, edited
from embargo.research.leakbench.page import markdown
from embargo.research.leakbench.plants.catalogue import PLANTS, WITHOUT_PLANT
from embargo.research.leakbench.results import Alarm, BenchCase, LeakBench, half_dose, rate, schema
from embargo.research.leakbench.worlds import KINDS, make_world
from embargo.research.run import trading
from embargo.research.run.perturbation import carry
from embargo.research.run.world import frame_hash, load_inputs

HERE = ROOT / "research" / "leakbench"
# What a plant writes into texts, ids and columns: a check that knew these would know the plant.
MARKS = (
    "gained strongly afterwards",
    "disappointed investors",
    "impact: very",
    "echo-",
    "Closing Report",
    str(FIRST_SEED),
)


def sources() -> dict[Path, str]:
    packages = ("backtest", "data_loaders", "models", "research", "signals")
    files = [path for name in packages for path in (ROOT / name).rglob("*.py") if HERE not in path.parents]
    return {path: path.read_text(encoding="utf-8") for path in files}


def test_the_product_knows_nothing_of_plants() -> None:
    told = ROOT / "research" / "cli"
    # The commands, and what empties the cache.
    named = {told / "leakbench.py", told / "catalogue.py", ROOT / "research" / "upkeep" / "holdings.py"}
    knowing = [
        str(path.relative_to(ROOT))
        for path, source in sources().items()
        if re.search(r"leakbench", source, re.IGNORECASE) and path not in named
    ]
    assert knowing == []
    marked = [(str(path), mark) for path, source in sources().items() for mark in MARKS if mark in source]
    assert marked == []
    own = "".join(path.read_text(encoding="utf-8") for path in HERE.rglob("*.py"))
    assert [mark for mark in MARKS[:-1] if mark not in own] == []


def test_every_leak_has_a_plant_or_a_reason() -> None:
    planted = {plant.code for plant in PLANTS.values()}
    assert planted | set(WITHOUT_PLANT) == set(LEAKS)
    assert planted & set(WITHOUT_PLANT) == set()
    assert len(PLANTS) >= 60


def test_clean_worlds_are_many() -> None:
    clean = [task for task in tasks() if not task.plant]
    assert len(clean) >= 150
    assert {task.kind for task in clean} == set(KINDS)
    assert {task.seed for task in tasks() if task.plant} <= {task.seed for task in clean}


@pytest.mark.parametrize("plant", PLANTS.values(), ids=lambda plant: plant.name)
def test_a_plant_says_what_it_is(plant) -> None:
    assert plant.world in KINDS
    assert plant.code in LEAKS
    assert set(plant.also) <= set(LEAKS) - {plant.code}
    assert all(plant.also.values())
    assert list(plant.doses) == sorted(set(plant.doses), reverse=True)
    if len(plant.doses) > 1:
        assert (
            "dose" in plant.what or "boundar" in plant.what or "labels of ten" in plant.what or "samples" in plant.what
        )


def test_accepted_data_checks_exist() -> None:
    world = make_world("word list", 1)
    known = {check.code for check in prepare(world.config, Quiet(), world.inputs).data.checks}
    assert {code for plant in PLANTS.values() for code in plant.data} <= known


@pytest.mark.parametrize("kind", ["word list", "sources", "late feed", "hourly", "dated texts", "london"])
def test_a_clean_world_keeps_the_contracts_and_is_fixed_by_its_seed(kind: str) -> None:
    first, second = make_world(kind, 3), make_world(kind, 3)
    assert first.config == second.config
    assert first.inputs is not None
    pd.testing.assert_frame_equal(first.inputs.news, second.inputs.news)
    validate_prices(first.inputs.prices)
    own = first.inputs.news.drop(columns="known_at")
    assert (validate_news(own)["known_at"].to_numpy() == first.inputs.news["known_at"].to_numpy()).all()


def test_an_edit_reaches_everybody_who_uses_the_function_and_is_taken_back() -> None:
    from embargo.research.run import perturbation, pipeline

    honest = trading.trade
    with edited([Edit("embargo.research.run.trading:trade", lambda _: lambda *given: "planted")]):
        assert trading.trade() == pipeline.trade() == perturbation.trade() == "planted"
    assert trading.trade is pipeline.trade is perturbation.trade is honest


def test_edits_are_taken_back_after_an_error() -> None:
    honest = trading.decide
    breaking = Edit("embargo.research.run.trading:no_such_function", lambda function: function)
    with (
        pytest.raises(AttributeError),
        edited([Edit("embargo.research.run.trading:decide", lambda _: print), breaking]),
    ):
        pass
    assert trading.decide is honest


def test_intervals_are_exact() -> None:
    for count, of in ((0, 150), (3, 150), (150, 150), (7, 9)):
        share = rate(count, of)
        if count:
            assert binom.sf(count - 1, of, share.low) == pytest.approx(0.025)
        if count < of:
            assert binom.cdf(count, of, share.high) == pytest.approx(0.025)
    assert rate(0, 0).high == 1.0


def test_the_dose_at_which_half_are_caught() -> None:
    assert half_dose([(1.0, 1.0), (0.1, 0.0)]) == (None, "not asked")
    dose, where = half_dose([(1.0, 1.0), (0.1, 0.0), (0.01, 0.0)])
    assert (dose, where) == (pytest.approx(10**-0.5), "between")
    assert half_dose([(1.0, 1.0), (0.3, 1.0), (0.1, 2 / 3)]) == (None, "below all")
    assert half_dose([(1.0, 1 / 3), (0.3, 0.0), (0.1, 0.0)]) == (None, "above all")


def alarm(code: str, verdict: str, check: str = "a check", where: str = "run") -> Alarm:
    return Alarm(code=code, verdict=verdict, check=check, where=where)


def test_only_what_is_graver_than_the_twin_and_names_the_cause_counts() -> None:
    plant = PLANTS["five hours early"]
    doubt, proof, other = alarm("T4", "suspicious"), alarm("T4", "leak"), alarm("D5", "leak")
    assert carrying._named(plant, [other, doubt], ()) is doubt
    assert carrying._named(plant, [doubt], [doubt]) is None
    assert carrying._named(plant, [proof], [doubt]) is proof
    assert carrying._named(plant, [other], ()) is None
    assert carrying._judged(plant, [other], (), "") == "wrong code"
    assert carrying._judged(plant, [other, doubt], [other, doubt], "") == "missed"
    assert carrying._named(plant, [alarm("clock", "bad", where="data")], ()) is not None
    assert carrying._named(plant, [alarm("splits", "bad", where="data")], ()) is None
    assert carrying._named(plant, [alarm("", "refused", where="door")], ()) is None


def made(
    plant: str, outcome: str, seed: int = FIRST_SEED, dose: float = 0.0, *alarms: Alarm, traded: str = "a"
) -> BenchCase:
    kind = PLANTS[plant].world if plant else "word list"
    by = "a check" if outcome == "caught" else ""
    return BenchCase(
        plant=plant, kind=kind, seed=seed, dose=dose, outcome=outcome, by=by, alarms=alarms, seconds=1.0, traded=traded
    )


def test_cases_are_counted() -> None:
    name = "own close decides"
    cases = [
        made("", "accused", FIRST_SEED, 0.0, alarm("D5", "leak"), alarm("D5", "leak")),
        made("", "clean", FIRST_SEED + 1),
        made(name, "caught", FIRST_SEED, 1.0, traded="b"),
        made(name, "missed", FIRST_SEED + 1, 1.0),
        made(name, "wrong code", FIRST_SEED, 0.3, traded="b"),
    ]
    found = summarise(cases)
    assert (found.accused.count, found.accused.of, found.doubted.count) == (1, 2, 0)
    assert found.alarms == {"D5 a check: leak": 1}
    assert (found.full.count, found.full.of, found.low.count, found.low.of) == (1, 2, 0, 1)
    [plant] = found.plants
    assert [(each.dose, each.caught.count, each.wrong_code, each.idle) for each in plant.doses] == [
        (1.0, 1, 0, 1),
        (0.3, 0, 1, 0),
    ]
    assert LeakBench.model_validate_json(found.model_dump_json()) == found
    page = markdown(found)
    assert name in page
    assert "1: 1 of 2, 0.3: 0 of 1" in page
    assert all(f"| {code} |" in page for code in WITHOUT_PLANT)


def test_the_schema_is_the_committed_one_and_refuses_what_it_does_not_describe() -> None:
    committed = (ROOT / "docs" / "leakbench.schema.json").read_text(encoding="utf-8")
    assert committed == schema(), "python -m embargo.research.leakbench.results > docs/leakbench.schema.json"
    found = summarise([made("", "clean")]).model_dump(mode="json")
    with pytest.raises(ValueError, match="Extra inputs"):
        LeakBench.model_validate(found | {"plant": 1})
    assert set(json.loads(committed)["required"]) <= set(found)


def test_a_bench_that_was_killed_goes_on(tmp_path: Path) -> None:
    wanted = [Task("", "word list", FIRST_SEED, 0.0), Task("no costs", "word list", FIRST_SEED, 1.0)]
    progress = tmp_path / "cases.jsonl"
    whole = [made("", "clean"), made("no costs", "caught", FIRST_SEED, 1.0)]
    progress.write_text("".join(case.model_dump_json() + "\n" for case in whole) + '{"plant": "no co', encoding="utf-8")
    assert run_bench(wanted, progress) == whole
    assert progress_of(tmp_path, rows=1) != progress_of(tmp_path, rows=2)


def test_an_unknown_plant_is_refused() -> None:
    with pytest.raises(ConfigError, match="no such plant"):
        tasks(only=["no such plant"])
    assert {task.plant for task in tasks(only=["P7"])} == {"", "no costs", "no costs of trading"}


def test_a_plant_is_carried_through_the_product_and_caught() -> None:
    case = carry_case("no costs", "word list", FIRST_SEED, 1.0, rows=1)
    assert (case.outcome, case.by, case.message) == ("caught", "check_costs", "")
    assert case.traded


def test_a_case_that_breaks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(carrying, "PLANTS", {"broken": replace(PLANTS["no costs"], name="broken", make=broken)})
    case = carry_case("broken", "word list", FIRST_SEED, 1.0, rows=1)
    assert (case.outcome, case.message) == ("failed", "ZeroDivisionError: by nothing")


def traded(config, inputs, edits, files, folder: Path) -> str:
    with edited(edits):
        if inputs is None:
            config = files(folder / "files")
            inputs = load_inputs(config, Quiet())
        result = carry(prepare(config, Quiet(), inputs), inputs, None, folder / "cache").result
    return frame_hash(result.decision.weights.assign(returns=result.books.returns.to_numpy()))


# Refused at the door; words of later years, which need not occur; and stamps of sightings, which nobody trades on.
UNTRADED = {
    "stamps without a zone",
    "bar of the decision counts as closed",
    "words of a later year",
    "found years later",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PLANTS if name not in UNTRADED])
def test_a_plant_reaches_what_is_traded(name: str, tmp_path: Path) -> None:
    plant = PLANTS[name]
    clean = make_world(plant.world, FIRST_SEED)
    planted = plant.make(clean, plant.doses[0], np.random.default_rng([FIRST_SEED, 11]))
    honest = traded(clean.config, clean.inputs, (), clean.files, tmp_path / "clean")
    assert traded(planted.config, planted.inputs, planted.edits, clean.files, tmp_path / "planted") != honest


@pytest.mark.slow
def test_the_command_writes_what_it_found(tmp_path: Path) -> None:
    from samples.loopback_commands import embargo

    told = embargo(
        "leakbench", "--quick", "--json", str(tmp_path / "found.json"), "--write", str(tmp_path / "page.md"),
        "--cache", str(tmp_path / "cache"),
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    found = LeakBench.model_validate_json((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert not found.complete
    assert {plant.name for plant in found.plants} == set(bench.QUICK_PLANTS)
    assert found.full.count == found.full.of
    assert "A part of the plants" in (tmp_path / "page.md").read_text(encoding="utf-8")
